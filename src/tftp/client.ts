/**
 * The client's side of one transfer: asks until somebody answers, keeps to the one who did, falls back to a plain request where options are
 * refused. A state machine: packets and the time go in, packets go out by `wire`; `deadline` says when to call `tick`.
 */
import type { ErrorCode } from '../core/errors.ts';
import { printable } from '../core/hex.ts';
import { acceptedTerms, plainTerms, type Terms, type Wishes, wishedOptions } from './options.ts';
import { type Pace, pacedBy, Waiting } from './pace.ts';
import { ackPacket, errorCodes, errorName, errorPacket, type Packet, parsePacket, requestPacket } from './packets.ts';
import { Receiving } from './receiving.ts';
import { Sending, type Source } from './sending.ts';

export interface Peer {
  readonly address: string;
  readonly port: number;
}

export const samePeer = (a: Peer, b: Peer): boolean => a.port === b.port && a.address === b.address;

export const peerText = ({ address, port }: Peer): string => (address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`);

/** What a person may want to see while it goes on. */
export type ClientEvent =
  | { readonly event: 'asking'; readonly attempt: number; readonly options: boolean }
  | { readonly event: 'answered'; readonly from: Peer; readonly terms: Terms }
  | { readonly event: 'fallback'; readonly reason: string }
  /** An error that does not end it: it is asked again. */
  | { readonly event: 'put-off'; readonly from: Peer; readonly text: string }
  | { readonly event: 'stranger'; readonly from: Peer; readonly packet: string }
  | { readonly event: 'dropped'; readonly from: Peer; readonly reason: string };

export interface ClientWire {
  send(packet: Uint8Array, to: Peer): void;
  event?(event: ClientEvent): void;
}

export type Failure =
  | 'no-answer'
  /** The peer said no before anything was transferred. */
  | 'refused'
  | 'peer-error'
  | 'silent'
  | 'protocol'
  | 'changed'
  | 'interrupted'
  /** What was delivered could not be kept. */
  | 'not-kept';

/** The code of the error that a failed transfer is told with. */
export const failureCodes = {
  'no-answer': 'cannot-reach',
  refused: 'cannot-reach',
  'peer-error': 'transfer-failed',
  silent: 'transfer-failed',
  protocol: 'transfer-failed',
  changed: 'transfer-failed',
  interrupted: 'transfer-interrupted',
  'not-kept': 'cannot-write',
} as const satisfies Record<Failure, ErrorCode>;

export type Outcome =
  | { readonly outcome: 'complete'; readonly bytes: number; readonly retransmissions: number }
  /** All was sent; the last acknowledgement did not come. */
  | { readonly outcome: 'unconfirmed'; readonly bytes: number; readonly retransmissions: number }
  | {
      readonly outcome: 'failed';
      readonly failure: Failure;
      readonly message: string;
      /** What the peer said: code and text of its error; code -1 for plain text. */
      readonly said?: { readonly code: number; readonly text: string } | undefined;
      /** Bytes that were acknowledged, or taken. */
      readonly bytes: number;
      /** It ended at block 65536, which not every peer can number: larger blocks need fewer of them. */
      readonly reason?: 'rollover' | undefined;
      /** All was sent before it failed: with some loaders (EcoNet) the error behind the last block is success. */
      readonly allSent: boolean;
    };

interface Common {
  /** Where requests go to. The answer comes from its address, and mostly from another port. */
  readonly server: Peer;
  readonly name: string;
  readonly mode: 'octet' | 'netascii';
  /** What to ask for; `undefined` for a plain request. */
  readonly wishes?: Wishes | undefined;
  readonly pace: Pace;
  /** How long to ask for an answer, in milliseconds. */
  readonly askFor: number;
  /** Silence for strangers: an error packet makes some loaders begin anew. */
  readonly quiet?: boolean | undefined;
  /** Whether an error in answer to a request ends it, or is only waited out. */
  readonly endsBy?: ((code: number, text: string) => boolean) | undefined;
  /** The number behind 65535, where the peer's is known. */
  readonly rollover?: 0 | 1 | undefined;
}

export type ClientJob =
  | (Common & { readonly direction: 'put'; readonly source: Source })
  | (Common & { readonly direction: 'get'; readonly deliver: (data: Uint8Array) => void });

/** Firmware that has booted already has a TFTP server of its own, which wants a password: the next power-on may be quicker, so it is asked on. */
export const bootedAlready = (text: string): boolean => /invalid password/i.test(text);

/** So many requests with options stay without an answer before one is made without. */
const requestsWithOptions = 3;

/** So long the last acknowledgement is repeated where packets were lost. */
const dallyFor = 5000;

const never = Number.POSITIVE_INFINITY;

export class ClientTransfer {
  readonly #job: ClientJob;
  readonly #wire: ClientWire;
  readonly #asking: Waiting;
  #attempts = 0;
  /** Options are in the request that was sent last. */
  #withOptions: boolean;
  /** Plain requests from now on: options were refused. */
  #plain: boolean;
  #peer: Peer | undefined;
  /** Who refused the options: what it still says belongs to that request. */
  #refusedBy: Peer | undefined;
  #half: Sending | Receiving | undefined;
  #terms: Terms = plainTerms;
  #closesAt = never;
  /** What the peer said of it without ending it. */
  #doubt = '';
  outcome: Outcome | undefined;
  /** Nothing more will be sent: the socket can go. */
  closed = false;

  constructor(job: ClientJob, wire: ClientWire, now: number) {
    this.#job = job;
    this.#wire = wire;
    this.#plain = job.wishes === undefined || wishedOptions(job.wishes).size === 0;
    this.#withOptions = !this.#plain;
    this.#asking = new Waiting({ ...job.pace, patience: job.askFor }, now);
  }

  /** The other side, as soon as it has answered. */
  get peer(): Peer | undefined {
    return this.#peer;
  }

  get terms(): Terms {
    return this.#terms;
  }

  /** Bytes that were acknowledged, or taken. */
  get bytes(): number {
    const half = this.#half;
    return half === undefined ? 0 : half instanceof Sending ? half.acknowledged : half.bytes;
  }

  get allSent(): boolean {
    return this.#half instanceof Sending && this.#half.allSent;
  }

  get retransmissions(): number {
    return this.#half?.retransmissions ?? 0;
  }

  get deadline(): number {
    if (this.closed) return never;
    if (this.outcome !== undefined) return this.#closesAt;
    return this.#half?.deadline ?? Math.min(this.#asking.due, this.#asking.end);
  }

  start(now: number): void {
    this.#asking.progress(now);
    this.#ask();
  }

  /** One datagram. `bytes` is kept: nobody may write into it afterwards. */
  receive(bytes: Uint8Array, from: Peer, now: number): void {
    if (this.closed) return;
    const packet = parsePacket(bytes);
    if (this.#peer !== undefined) {
      if (samePeer(from, this.#peer)) this.#transfer(packet, from, now);
      else this.#stranger(packet, from);
    } else if (from.address !== this.#job.server.address) this.#stranger(packet, from);
    else this.#answer(packet, from, now);
  }

  /** To be called when `deadline` has come. */
  tick(now: number): void {
    if (this.closed) return;
    if (this.outcome !== undefined) {
      if (now >= this.#closesAt) this.closed = true;
      return;
    }
    if (this.#half === undefined) {
      if (now >= this.#asking.end) {
        const { server, askFor } = this.#job;
        this.#fail('no-answer', `No answer from ${peerText(server)} within ${askFor < 10_000 ? askFor / 1000 : Math.round(askFor / 1000)} s`);
      } else if (now >= this.#asking.due) {
        this.#asking.repeated(now);
        this.#ask();
      }
      return;
    }
    this.#half.tick(now);
    this.#settle(now);
  }

  /** Somebody wants it to end: the other side is told. */
  interrupt(text = 'interrupted'): void {
    if (this.outcome === undefined) this.#fail('interrupted', 'Interrupted', undefined, { code: errorCodes.undefined, text });
    this.closed = true;
  }

  /** What was delivered cannot be kept. */
  abandon(message: string): void {
    if (this.outcome === undefined) this.#fail('not-kept', message, undefined, { code: errorCodes.diskFull, text: 'cannot keep it' });
  }

  #ask(): void {
    const { direction, name, mode, wishes, server } = this.#job;
    // Whether the other side is only late or does not understand options nobody can tell: after three with options one goes out without.
    this.#withOptions = !this.#plain && this.#attempts % (requestsWithOptions + 1) < requestsWithOptions;
    this.#attempts += 1;
    const options = this.#withOptions && wishes !== undefined ? wishedOptions(wishes) : new Map<string, string>();
    this.#wire.event?.({ event: 'asking', attempt: this.#attempts, options: this.#withOptions });
    this.#wire.send(requestPacket({ kind: direction === 'get' ? 'read' : 'write', name, mode, options }), server);
  }

  #answer(packet: Packet, from: Peer, now: number): void {
    const { direction } = this.#job;
    if (packet.kind === 'error') this.#refusal(packet.code, packet.text, from, now);
    else if (packet.kind === 'text') this.#refusal(-1, packet.text, from, now);
    else if (this.#refusedBy !== undefined && samePeer(from, this.#refusedBy) && from.port !== this.#job.server.port)
      this.#drop(from, 'it belongs to a request that was taken back');
    else if (packet.kind === 'options') this.#oack(packet.options, from, now);
    else if (direction === 'put' && packet.kind === 'ack' && packet.block === 0) this.#begin(plainTerms, from, now);
    else if (direction === 'get' && packet.kind === 'data' && packet.block === 1) {
      this.#begin(plainTerms, from, now);
      this.#transfer(packet, from, now);
    } else this.#drop(from, packet.kind === 'malformed' ? packet.reason : 'it is no answer to the request');
  }

  #oack(options: ReadonlyMap<string, string>, from: Peer, now: number): void {
    if (!this.#withOptions) {
      this.#drop(from, 'options that the last request did not ask for');
      return;
    }
    const terms = acceptedTerms(options, this.#job.wishes ?? {});
    if (typeof terms !== 'string') {
      this.#begin(terms, from, now);
      if (this.#half instanceof Receiving) this.#half.start(now);
      return;
    }
    this.#wire.send(errorPacket(errorCodes.optionsRefused, terms), from);
    this.#fallBack(`it answers with ${terms}`, from, now);
  }

  #fallBack(reason: string, from: Peer, now: number): void {
    this.#plain = true;
    this.#refusedBy = from;
    this.#wire.event?.({ event: 'fallback', reason });
    this.#asking.progress(now);
    this.#ask();
  }

  #refusal(code: number, text: string, from: Peer, now: number): void {
    const refusesOptions = code === errorCodes.optionsRefused || code === errorCodes.illegalOperation;
    if (refusesOptions && this.#withOptions) {
      this.#fallBack(`it refuses options: ${said(code, text)}`, from, now);
    } else if (
      code === errorCodes.optionsRefused ||
      (refusesOptions && this.#refusedBy !== undefined && samePeer(from, this.#refusedBy) && from.port !== this.#job.server.port)
    ) {
      this.#drop(from, 'an error that belongs to a request with options');
    } else if (code === errorCodes.unknownTransfer) {
      this.#drop(from, 'an error that belongs to another transfer');
    } else if (this.#job.endsBy?.(code, text) === false) {
      this.#wire.event?.({ event: 'put-off', from, text: said(code, text) });
    } else {
      const { direction, name } = this.#job;
      this.#fail('refused', `${peerText(from)} refuses to ${direction === 'get' ? 'send' : 'take'} "${name}": ${said(code, text)}`, { code, text });
    }
  }

  #begin(terms: Terms, from: Peer, now: number): void {
    const job = this.#job;
    this.#peer = from;
    const rollover = job.rollover ?? terms.rollover;
    const pace = pacedBy(job.pace, terms.timeout);
    // The size of netascii text is another one on either side.
    this.#terms = { ...terms, rollover, transferSize: job.direction === 'get' && job.mode === 'octet' ? terms.transferSize : undefined };
    const emit = (packet: Uint8Array): void => this.#wire.send(packet, from);
    this.#wire.event?.({ event: 'answered', from, terms: { ...terms, rollover } });
    if (job.direction === 'put') {
      const half = new Sending(job.source, this.#terms, pace, emit, now);
      this.#half = half;
      half.start(now);
      this.#settle(now);
    } else this.#half = new Receiving(this.#terms, pace, job.deliver, emit, now);
  }

  #transfer(packet: Packet, from: Peer, now: number): void {
    const half = this.#half;
    if (half === undefined) return;
    if (this.outcome !== undefined) {
      if (packet.kind === 'data' && half instanceof Receiving) half.data(packet.block, packet.data, now);
      return;
    }
    switch (packet.kind) {
      case 'data':
        if (half instanceof Receiving) half.data(packet.block, packet.data, now);
        else this.#drop(from, 'data, while we send');
        break;
      case 'ack':
        if (half instanceof Sending) half.acknowledge(packet.block, now);
        else this.#drop(from, 'an acknowledgement, while we receive');
        break;
      case 'options':
        // Our answer to it was lost; to a request for writing the first block is the answer, and it is repeated anyway.
        if (half instanceof Receiving && half.blocks === 0) this.#wire.send(ackPacket(0), from);
        break;
      case 'error':
        // By RFC 1350 this one does not end a transfer: it is meant for a packet that went astray.
        if (packet.code === errorCodes.unknownTransfer) {
          this.#doubt = `; it said ${said(packet.code, packet.text)}`;
          this.#drop(from, 'an error that does not end a transfer');
        } else this.#fail('peer-error', `${peerText(from)} ended the transfer: ${said(packet.code, packet.text)}`, packet);
        break;
      case 'text':
        this.#fail('peer-error', `${peerText(from)} says: ${packet.text}`, { code: -1, text: packet.text });
        break;
      default:
        this.#drop(from, packet.kind === 'malformed' ? packet.reason : 'a request, in the middle of a transfer');
    }
    this.#settle(now);
  }

  #settle(now: number): void {
    const half = this.#half;
    if (half === undefined || this.outcome !== undefined) return;
    const { retransmissions } = half;
    const blocks = half.atRollover ? ', at block 65536: it may be unable to count further' : '';
    const patience = Math.round(pacedBy(this.#job.pace, this.#terms.timeout).patience / 1000);
    switch (half.state) {
      case 'running':
        return;
      case 'complete':
        this.outcome = { outcome: 'complete', bytes: this.bytes, retransmissions };
        // Where packets get lost the last acknowledgement may be the next.
        if (half instanceof Receiving && retransmissions > 0) this.#closesAt = now + dallyFor;
        else this.closed = true;
        return;
      case 'unconfirmed':
        this.outcome = { outcome: 'unconfirmed', bytes: this.bytes, retransmissions };
        this.closed = true;
        return;
      case 'changed':
        this.#fail('changed', `Stopped: ${(half as Sending).change}`, undefined, { code: errorCodes.undefined, text: 'the file has changed' });
        return;
      case 'too-long':
        this.#fail('protocol', `The peer sends blocks of more than ${this.#terms.blockSize} bytes`, undefined, {
          code: errorCodes.illegalOperation,
          text: 'block too long',
        });
        return;
      case 'other-size':
        this.#fail('protocol', `The peer announced ${this.#terms.transferSize} bytes and sent ${this.bytes}`);
        return;
      default:
        this.#fail('silent', `The peer has been silent for ${patience} s${blocks}${this.#doubt}`, undefined, {
          code: errorCodes.undefined,
          text: 'no answer for too long',
        });
    }
  }

  #fail(
    failure: Failure,
    message: string,
    heard?: { readonly code: number; readonly text: string },
    tell?: { readonly code: number; readonly text: string },
  ): void {
    const allSent = this.#half instanceof Sending && this.#half.allSent;
    const atRollover = failure === 'silent' && this.#half?.atRollover === true;
    const saidByPeer = heard === undefined ? {} : { said: { code: heard.code, text: heard.text } };
    this.outcome = { outcome: 'failed', failure, message, bytes: this.bytes, allSent, ...saidByPeer, ...(atRollover ? { reason: 'rollover' } : {}) };
    this.closed = true;
    if (tell !== undefined && this.#peer !== undefined) this.#wire.send(errorPacket(tell.code, tell.text), this.#peer);
  }

  #stranger(packet: Packet, from: Peer): void {
    this.#wire.event?.({ event: 'stranger', from, packet: packet.kind });
    // An error is never answered, and what is no TFTP neither.
    const answered = packet.kind === 'data' || packet.kind === 'ack' || packet.kind === 'options';
    if (answered && this.#job.quiet !== true) this.#wire.send(errorPacket(errorCodes.unknownTransfer, 'unknown transfer'), from);
  }

  #drop(from: Peer, reason: string): void {
    this.#wire.event?.({ event: 'dropped', from, reason });
  }
}

/** What a peer's error says: its text, and the meaning of its code where that adds something. */
export function said(code: number, text: string): string {
  const words = printable(new TextEncoder().encode(text));
  if (code === -1) return words;
  return words === '' ? errorName(code) : `"${words}" (${code === 0 ? 'error 0' : `error ${code}: ${errorName(code)}`})`;
}
