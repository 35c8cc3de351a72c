/**
 * The server's side: requests to read are answered from a short list of offers, everything else is refused. Nothing is looked up in a file system.
 * State machines like the client's: packets and the time go in, packets go out.
 */
import { type Peer, peerText, said, samePeer } from './client.ts';
import { type ServerLimits, serverTerms, type Terms } from './options.ts';
import { type Pace, pacedBy, servePace, Waiting } from './pace.ts';
import { errorCodes, errorPacket, type Options, optionsPacket, parsePacket, type Request } from './packets.ts';
import { Sending, type Source } from './sending.ts';

/** A file that may be read, and the names that it may be asked for under. */
export interface Offer<S extends Source = Source> {
  readonly names: readonly string[];
  readonly source: S;
}

export interface ServerRules<S extends Source = Source> {
  readonly offers: readonly Offer<S>[];
  /** The first offer is given for any name that no other has. */
  readonly anyName: boolean;
  readonly limits: ServerLimits;
  readonly pace?: Pace | undefined;
  /** Transfers at once; a request beyond them is refused. */
  readonly most?: number | undefined;
}

/** What holds unless something else is asked for. 1468 bytes of data make the largest packet that is not cut into fragments. */
export const serverLimits: ServerLimits = { plain: false, blockSize: 1468, windowSize: 64 };

export type ServingOutcome = 'complete' | 'unconfirmed' | 'stopped-by-peer' | 'silent' | 'changed' | 'interrupted' | 'replaced';

export type ServerEvent =
  | { readonly event: 'request'; readonly from: Peer; readonly name: string; readonly options: Options; readonly offer: string; readonly size: number }
  | { readonly event: 'refused'; readonly from: Peer; readonly name: string; readonly why: 'unknown-name' | 'write' | 'mode' | 'busy'; readonly text: string }
  | { readonly event: 'repeated'; readonly from: Peer; readonly name: string }
  | {
      readonly event: 'ended';
      readonly from: Peer;
      readonly name: string;
      readonly outcome: ServingOutcome;
      /** In words, where there is more to say. */
      readonly text: string;
      readonly bytes: number;
      readonly size: number;
      readonly milliseconds: number;
      readonly retransmissions: number;
    }
  | { readonly event: 'stranger'; readonly from: Peer }
  | { readonly event: 'dropped'; readonly from: Peer; readonly reason: string };

export interface ServerWire<L> {
  /** From the port that requests come to. */
  reply(packet: Uint8Array, to: Peer, local: L): void;
  /** Makes a way for one transfer, by a port of its own or the listening one, and says how to send by it. */
  open(transfer: ServerTransfer, local: L): (packet: Uint8Array, to: Peer) => void;
  /** The transfer is over: nothing more will be sent. */
  close(transfer: ServerTransfer): void;
  event?(event: ServerEvent): void;
}

/** As routers ask: leading slashes and backslashes, `./`, and case do not matter. */
export const plainName = (name: string): string =>
  name
    .replaceAll('\\', '/')
    .replace(/^(\.?\/)+/, '')
    .toLowerCase();

/** An old request may still be under way for so long when the transfer goes on already. */
const echoTime = 2500;

/** So many transfers one address and port may have: a device that was restarted asks from the same port. */
const perPeer = 4;

const defaultMost = 1000;

/** So long an ended transfer's last packets are recognised. */
const rememberFor = 30_000;

export class ServerTransfer {
  readonly peer: Peer;
  readonly request: Request;
  readonly terms: Terms;
  readonly started: number;
  /** Bytes of the whole. */
  readonly size: number;
  readonly #answer: Options;
  readonly #source: Source;
  readonly #sending: Sending;
  readonly #asked: Waiting;
  readonly #single: boolean;
  readonly #done: (transfer: ServerTransfer, outcome: ServingOutcome, text: string, now: number) => void;
  readonly #event: (event: ServerEvent) => void;
  #send: (packet: Uint8Array, to: Peer) => void = () => undefined;
  /** The options wait for their acknowledgement. */
  #negotiating: boolean;
  /** When the peer last got further. */
  #lastProgress: number;
  #progressed = false;
  outcome: ServingOutcome | undefined;

  constructor(
    peer: Peer,
    request: Request,
    source: Source,
    rules: { readonly limits: ServerLimits; readonly pace?: Pace | undefined },
    single: boolean,
    now: number,
    event: (event: ServerEvent) => void,
    done: (transfer: ServerTransfer, outcome: ServingOutcome, text: string, now: number) => void,
  ) {
    const { answer, terms } = serverTerms(request.options, source.length, rules.limits);
    const pace = pacedBy(rules.pace ?? servePace, terms.timeout);
    this.peer = peer;
    this.request = request;
    this.terms = terms;
    this.started = now;
    this.size = source.length;
    this.#answer = answer;
    this.#source = source;
    this.#negotiating = answer.size > 0;
    this.#asked = new Waiting(pace, now);
    this.#single = single;
    this.#event = event;
    this.#done = done;
    this.#lastProgress = now;
    this.#sending = new Sending(source, terms, pace, (packet) => this.#send(packet, peer), now);
  }

  get bytes(): number {
    return this.#sending.acknowledged;
  }

  get retransmissions(): number {
    return this.#sending.retransmissions;
  }

  get deadline(): number {
    if (this.outcome !== undefined) return Number.POSITIVE_INFINITY;
    return this.#negotiating ? Math.min(this.#asked.due, this.#asked.end) : this.#sending.deadline;
  }

  start(send: (packet: Uint8Array, to: Peer) => void, now: number): void {
    this.#send = send;
    const change = this.#source.changed?.();
    if (change !== undefined) this.#stopChanged(change, now);
    else if (this.#negotiating) this.#sendOptions();
    else {
      this.#sending.start(now);
      this.#settle(now);
    }
  }

  /** One datagram that came to the transfer's own port. */
  receive(bytes: Uint8Array, from: Peer, now: number): void {
    if (this.outcome !== undefined) return;
    const packet = parsePacket(bytes);
    if (!samePeer(from, this.peer)) {
      this.#event({ event: 'stranger', from });
      if (packet.kind === 'data' || packet.kind === 'ack' || packet.kind === 'options')
        this.#send(errorPacket(errorCodes.unknownTransfer, 'unknown transfer'), from);
      return;
    }
    switch (packet.kind) {
      case 'ack':
        this.#acknowledge(packet.block, now);
        break;
      case 'error':
        if (packet.code === errorCodes.unknownTransfer) this.#event({ event: 'dropped', from, reason: 'an error that does not end a transfer' });
        else this.#end('stopped-by-peer', said(packet.code, packet.text), now);
        break;
      case 'text':
        this.#end('stopped-by-peer', said(-1, packet.text), now);
        break;
      case 'malformed':
        this.#event({ event: 'dropped', from, reason: packet.reason });
        break;
      default:
        this.#event({ event: 'dropped', from, reason: 'it does not belong to a transfer' });
    }
  }

  /** The request came once more. `false`: it is a new one. */
  repeated(request: Request, now: number): boolean {
    if (this.outcome !== undefined || !sameRequest(request, this.request)) return false;
    if (!this.#progressed) {
      // Our answer may be lost, or the request was sent twice: the answer is the same.
      if (this.#negotiating) this.#sendOptions();
      return true;
    }
    // By a port of its own the running transfer cannot be mistaken for a new one; by the listening port only time can tell.
    return this.#single && now - this.#lastProgress < echoTime;
  }

  tick(now: number): void {
    if (this.outcome !== undefined) return;
    if (!this.#negotiating) {
      this.#sending.tick(now);
      this.#settle(now);
    } else if (now >= this.#asked.end) this.#end('silent', 'it never answered', now);
    else if (now >= this.#asked.due) {
      this.#asked.repeated(now);
      this.#sendOptions();
    }
  }

  /** @param text told to the peer, where there is one */
  stop(outcome: ServingOutcome, text: string | undefined, now: number): void {
    if (this.outcome !== undefined) return;
    if (text !== undefined) this.#send(errorPacket(errorCodes.undefined, text), this.peer);
    this.#end(outcome, text ?? '', now);
  }

  #sendOptions(): void {
    this.#send(optionsPacket(this.#answer), this.peer);
  }

  #acknowledge(block: number, now: number): void {
    if (this.#negotiating) {
      if (block !== 0) return;
      this.#negotiating = false;
      this.#progressed = true;
      this.#lastProgress = now;
      this.#sending.start(now);
    } else if (this.#sending.acknowledge(block, now) === 'progress') {
      this.#progressed = true;
      this.#lastProgress = now;
    }
    this.#settle(now);
  }

  #settle(now: number): void {
    switch (this.#sending.state) {
      case 'running':
        return;
      case 'complete':
        this.#end('complete', '', now);
        return;
      case 'unconfirmed':
        this.#end('unconfirmed', 'all was sent; only the last acknowledgement is missing', now);
        return;
      case 'changed':
        this.#stopChanged(this.#sending.change, now);
        return;
      default: {
        const where = this.#sending.atRollover ? 'at block 65536: it may be unable to count further' : `after ${this.bytes} bytes`;
        this.#send(errorPacket(errorCodes.undefined, 'no answer for too long'), this.peer);
        this.#end('silent', `it stopped answering ${where}`, now);
      }
    }
  }

  #stopChanged(change: string, now: number): void {
    this.#send(errorPacket(errorCodes.undefined, 'the file has changed'), this.peer);
    this.#end('changed', change, now);
  }

  #end(outcome: ServingOutcome, text: string, now: number): void {
    this.outcome = outcome;
    this.#done(this, outcome, text, now);
  }
}

function sameRequest(a: Request, b: Request): boolean {
  if (a.name !== b.name || a.mode !== b.mode || a.kind !== b.kind || a.options.size !== b.options.size) return false;
  for (const [name, value] of a.options) if (b.options.get(name) !== value) return false;
  return true;
}

/** @typeParam L how a request came in: which of the listening sockets */
export class TftpServer<L> {
  readonly #rules: ServerRules;
  readonly #wire: ServerWire<L>;
  readonly #single: boolean;
  /** By {@link peerText}. */
  readonly #transfers = new Map<string, ServerTransfer[]>();
  /** Peers whose transfer has ended, and when. */
  readonly #ended = new Map<string, number>();
  #count = 0;

  /** @param single one port for everything: transfers are told apart by their peers */
  constructor(rules: ServerRules, single: boolean, wire: ServerWire<L>) {
    this.#rules = rules;
    this.#wire = wire;
    this.#single = single;
  }

  get count(): number {
    return this.#count;
  }

  /** All that run. */
  *transfers(): Generator<ServerTransfer> {
    for (const list of this.#transfers.values()) yield* list;
  }

  /** One datagram that came to the listening port. */
  receive(bytes: Uint8Array, from: Peer, local: L, now: number): void {
    const key = peerText(from);
    const running = this.#transfers.get(key);
    if (this.#single && running !== undefined && bytes[0] === 0 && (bytes[1] === 4 || bytes[1] === 5)) {
      for (const transfer of [...running]) transfer.receive(bytes, from, now);
      return;
    }
    const packet = parsePacket(bytes);
    switch (packet.kind) {
      case 'read':
        this.#read(packet, from, key, local, now);
        break;
      case 'write':
        this.#refuse(packet, from, local, 'write', errorCodes.accessViolation, 'read only: nothing can be written here');
        break;
      case 'ack':
      case 'data':
      case 'options':
        // The last packets of what has ended are no strangers.
        if (now - (this.#ended.get(key) ?? Number.NEGATIVE_INFINITY) < rememberFor) break;
        this.#event({ event: 'stranger', from });
        this.#wire.reply(errorPacket(errorCodes.unknownTransfer, 'unknown transfer'), from, local);
        break;
      case 'malformed':
        this.#event({ event: 'dropped', from, reason: packet.reason });
        // Who asks for something deserves an answer; who sends noise does not.
        if (bytes[0] === 0 && (bytes[1] === 1 || bytes[1] === 2)) this.#wire.reply(errorPacket(errorCodes.illegalOperation, 'malformed request'), from, local);
        break;
      default:
        this.#event({
          event: 'dropped',
          from,
          reason: packet.kind === 'error' ? `an error: ${said(packet.code, packet.text)}` : `text: ${said(-1, packet.text)}`,
        });
    }
  }

  /** Ends everything, and tells the peers. */
  stop(text: string, now: number): void {
    for (const transfer of [...this.transfers()]) transfer.stop('interrupted', text, now);
  }

  #read(request: Request, from: Peer, key: string, local: L, now: number): void {
    if (request.mode !== 'octet') {
      this.#refuse(
        request,
        from,
        local,
        'mode',
        errorCodes.illegalOperation,
        request.mode === '' ? 'the request names no mode' : `mode ${request.mode} would change the image: ask in octet (binary) mode`,
      );
      return;
    }
    const running = this.#transfers.get(key) ?? [];
    if (running.some((transfer) => transfer.repeated(request, now))) {
      this.#event({ event: 'repeated', from, name: request.name });
      return;
    }
    const offer = this.#find(request.name);
    if (offer === undefined) {
      this.#refuse(request, from, local, 'unknown-name', errorCodes.notFound, 'file not found');
      return;
    }
    // By one port the old transfer could not be told from the new one.
    const superseded = this.#single ? running : running.slice(0, Math.max(0, running.length - perPeer + 1));
    for (const transfer of [...superseded]) transfer.stop('replaced', undefined, now);
    if (this.#count >= (this.#rules.most ?? defaultMost)) {
      this.#refuse(request, from, local, 'busy', errorCodes.undefined, 'too many transfers at once');
      return;
    }
    this.#open(request, offer, from, key, local, now);
  }

  #open(request: Request, offer: Offer, from: Peer, key: string, local: L, now: number): void {
    const { options, name } = request;
    const transfer = new ServerTransfer(
      from,
      request,
      offer.source,
      this.#rules,
      this.#single,
      now,
      (event) => this.#event(event),
      (ended, outcome, text, at) => this.#done(ended, key, outcome, text, at),
    );
    this.#transfers.set(key, [...(this.#transfers.get(key) ?? []), transfer]);
    this.#count += 1;
    this.#event({ event: 'request', from, name, options, offer: offer.names[0] ?? '', size: offer.source.length });
    transfer.start(this.#wire.open(transfer, local), now);
  }

  #find(name: string): Offer | undefined {
    const asked = plainName(name);
    const { offers, anyName } = this.#rules;
    return offers.find(({ names }) => names.some((known) => plainName(known) === asked)) ?? (anyName ? offers[0] : undefined);
  }

  #refuse({ name }: Request, from: Peer, local: L, why: 'unknown-name' | 'write' | 'mode' | 'busy', code: number, text: string): void {
    this.#event({ event: 'refused', from, name, why, text });
    this.#wire.reply(errorPacket(code, text), from, local);
  }

  #done(transfer: ServerTransfer, key: string, outcome: ServingOutcome, text: string, now: number): void {
    const left = (this.#transfers.get(key) ?? []).filter((other) => other !== transfer);
    if (left.length > 0) this.#transfers.set(key, left);
    else this.#transfers.delete(key);
    this.#count -= 1;
    this.#remember(key, now);
    const { peer, request, bytes, size, retransmissions, started } = transfer;
    this.#event({ event: 'ended', from: peer, name: request.name, outcome, text, bytes, size, milliseconds: now - started, retransmissions });
    this.#wire.close(transfer);
  }

  #remember(key: string, now: number): void {
    this.#ended.delete(key);
    this.#ended.set(key, now);
    for (const [old, at] of this.#ended) {
      if (now - at < rememberFor && this.#ended.size <= defaultMost) break;
      this.#ended.delete(old);
    }
  }

  #event(event: ServerEvent): void {
    this.#wire.event?.(event);
  }
}
