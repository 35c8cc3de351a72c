/**
 * The transfer itself: sends the file to the loader, or serves it until the loader has it, with an address before where it asks for one. The bytes are
 * those that were judged.
 */
import { isIPv4 } from 'node:net';
import { OwimgError } from '../core/errors.ts';
import { addressText } from '../dhcp/addresses.ts';
import type { ResponderEvent } from '../dhcp/responder.ts';
import { cableIn, checkDhcpOptions, type DhcpOptions, type DhcpSendProblem, type DhcpTrace, dhcpPlan, UdpResponder } from '../dhcp/udp.ts';
import { bootedAlready, type ClientEvent, type ClientJob, type ClientTransfer, type Failure, type Outcome, type Peer } from '../tftp/client.ts';
import { getPace, pushPace } from '../tftp/pace.ts';
import { bytesSource } from '../tftp/sending.ts';
import { type ServerEvent, serverLimits } from '../tftp/server.ts';
import { type ListenEvent, localAddresses, runClient, type SendProblem, type Trace, UdpServer } from '../tftp/udp.ts';
import { type Plan, writtenByEcoNet } from './plan.ts';
import { askedAgainWithin } from './times.ts';

/** The network card has no link, or no address: the device at its other end may be off. */
export interface CableEvent {
  readonly event: 'waiting-for-cable';
  readonly interface: string;
}

export type TransferEvent = ClientEvent | SendProblem | ServerEvent | ListenEvent | ResponderEvent | DhcpSendProblem | CableEvent;

export interface Job {
  readonly plan: Plan;
  readonly bytes: Uint8Array;
  readonly signal: AbortSignal;
  /** How long to wait for the device, in milliseconds. */
  readonly askFor: number;
  readonly event: (event: TransferEvent) => void;
  readonly trace?: Trace | undefined;
  readonly dhcpTrace?: DhcpTrace | undefined;
  /** Called now and then while it runs: bytes that the device has. */
  readonly progress?: ((bytes: number) => void) | undefined;
}

export type Sent =
  | {
      readonly sent: 'sent';
      readonly to: Peer;
      readonly bytes: number;
      readonly retransmissions: number;
      readonly milliseconds: number;
      /** The last acknowledgement is missing: loaders that begin to write at once never send it. */
      readonly unconfirmed: boolean;
      /** What the loader said behind the last block, where that is no failure: it keeps the file in memory, and writes nothing. */
      readonly remark: string | undefined;
    }
  | {
      readonly sent: 'failed';
      readonly began: boolean;
      readonly failure: Failure | 'nobody-asked';
      readonly message: string;
      readonly said: string | undefined;
      /** It said so behind the last block: it had all of it by then. */
      readonly allSent?: boolean | undefined;
      /** It ended at block 65536, which not every loader can number. */
      readonly reason?: 'rollover' | undefined;
      /** What a device asked for last and was not given, where nobody was given anything. */
      readonly refused?: Refusal | undefined;
    }
  | { readonly sent: 'interrupted' };

export type Failed = Extract<Sent, { readonly sent: 'failed' }>;

/** A request that was turned down. */
export type Refusal = Extract<ServerEvent, { event: 'refused' }>;

/**
 * Loaders of EcoNet say this behind the last block of a file whose name is none of those that they write: it is in their memory, and stays there. The only
 * text on record; OpenWrt, commit 193648a73a.
 */
const keptInMemory = /^\W*invalid filename, upload failed\W*$/i;

const addressOf = ({ from }: { readonly from: Peer }): string => from.address;

/** Asks the loader to take the file, as long as it takes. */
export async function sendFile({ plan, bytes, signal, askFor, event, trace, progress }: Job): Promise<Sent> {
  const { router, name, port, device, host, interface: card, blockSize } = plan;
  if (router === undefined || name === undefined) throw new Error('A plan without an address was to be carried out');
  const begin = performance.now();
  let since = begin;
  let to: Peer = { address: router.value, port: port.value };
  const makeJob = (): ClientJob => ({
    direction: 'put',
    server: { address: router.value, port: port.value },
    name: name.value,
    mode: 'octet',
    wishes: blockSize === undefined ? undefined : { blockSize, transferSize: bytes.length },
    // Loaders listen for seconds: every request counts, and an error packet of ours makes some of them begin anew.
    pace: { ...pushPace, most: pushPace.first },
    askFor,
    quiet: true,
    endsBy: (_, text) => !bootedAlready(text),
    source: bytesSource(bytes),
  });
  const [ofCard] = card === undefined ? [] : localAddresses(card).filter((address) => isIPv4(address) === isIPv4(router.value));
  // An address that was named counts: some loaders take a file from one address only.
  const bind = host?.from === 'option' ? host.value : ofCard;
  const outcome: Outcome = await runClient({ address: router.value, port: port.value }, makeJob, {
    bind,
    signal,
    trace,
    event: (told) => {
      if (told.event === 'answered') {
        to = told.from;
        since = performance.now();
      }
      event(told);
    },
    watch: (transfer: ClientTransfer) => {
      if (transfer.peer !== undefined) progress?.(transfer.bytes);
    },
  });
  const milliseconds = performance.now() - since;
  if (outcome.outcome !== 'failed') {
    const { retransmissions } = outcome;
    return { sent: 'sent', to, bytes: bytes.length, retransmissions, milliseconds, unconfirmed: outcome.outcome === 'unconfirmed', remark: undefined };
  }
  if (outcome.failure === 'interrupted') return { sent: 'interrupted' };
  const { failure, message, allSent, reason } = outcome;
  const said = outcome.said?.text;
  const inMemory = allSent && failure === 'peer-error' && keptInMemory.test(said ?? '') && writtenByEcoNet(device.target, name.value) === false;
  if (inMemory) return { sent: 'sent', to, bytes: bytes.length, retransmissions: 0, milliseconds, unconfirmed: true, remark: said };
  return { sent: 'failed', began: failure !== 'no-answer' && failure !== 'refused', failure, message, said, allSent, reason };
}

/** `same`, `different`: what came back. `refused`: the loader does not give it, as most. */
export type ReadBack = 'same' | 'different' | 'refused' | 'interrupted';

/** So long a loader is asked for what it was sent: most never answer. */
const readBackFor = 5000;

/** Asks the loader for what it was just sent, and compares. */
export async function readBack({ plan, bytes, signal, event, trace }: Job): Promise<ReadBack> {
  const { router, name, port } = plan;
  if (router === undefined || name === undefined) return 'refused';
  const server = { address: router.value, port: port.value };
  let [length, same] = [0, true];
  const deliver = (data: Uint8Array): void => {
    same &&= data.every((byte, index) => byte === bytes[length + index]);
    length += data.length;
  };
  const job: ClientJob = { direction: 'get', server, name: name.value, mode: 'octet', pace: getPace, askFor: readBackFor, quiet: true, deliver };
  const outcome = await runClient(server, () => job, { signal, trace, event });
  if (outcome.outcome !== 'failed') return same && length === bytes.length ? 'same' : 'different';
  return outcome.failure === 'interrupted' ? 'interrupted' : 'refused';
}

/** A server that was asked for the file once, and goes on to listen whether it is asked again. */
export interface Serving {
  readonly sent: Sent;
  /** The device has asked once more since it had all of it. */
  askedAgain(): boolean;
  stop(): void;
}

type Ended = Extract<ServerEvent, { event: 'ended' }>;

const interrupted: Serving = { sent: { sent: 'interrupted' }, askedAgain: () => false, stop: () => undefined };

const nobody = (message: string): Failed => ({ sent: 'failed', began: false, failure: 'nobody-asked', message, said: undefined });

const secondsText = (milliseconds: number): string => `${milliseconds < 10_000 ? milliseconds / 1000 : Math.round(milliseconds / 1000)} s`;

/** What is answered to whom; `undefined` where the plan gives no addresses. */
function dhcpOptionsOf({ plan, event, dhcpTrace }: Job): DhcpOptions | undefined {
  const { gives, interface: interfaceName, name, host, router } = plan;
  if (gives === undefined) return undefined;
  if (interfaceName === undefined || name === undefined) throw new Error('A plan without a network card was to be carried out');
  const option = (value: typeof host): string | undefined => (value?.from === 'option' ? value.value : undefined);
  return { ...gives, interfaceName, file: name.value, serverAddress: option(host), clientAddress: option(router), event, trace: dhcpTrace };
}

/**
 * Serves the file until a device has it. A device that asks for an address first is given one; it goes on to be answered until all is stopped, since one that
 * starts anew asks anew.
 *
 * @throws OwimgError `cannot-listen`; where addresses are given also `bad-value`, `bad-usage`, and `another-server`
 */
export async function serveFile(job: Job): Promise<Serving> {
  const dhcp = dhcpOptionsOf(job);
  if (dhcp === undefined) return serveAt(job, new Patience(job.askFor));
  checkDhcpOptions(dhcp);
  const { signal, event } = job;
  const begin = performance.now();
  // Loaders ask only after they were switched on, and many cables lead to nothing else.
  const cable = await cableIn(dhcp.interfaceName, signal, () => event({ event: 'waiting-for-cable', interface: dhcp.interfaceName }), job.askFor);
  if (cable === 'interrupted') return interrupted;
  if (cable === 'time') return { ...interrupted, sent: nobody(`Nothing came up on ${dhcp.interfaceName}: no cable, or no address`) };
  const address = addressText(dhcpPlan(dhcp).server);
  return serveAt(job, new Patience(job.askFor, performance.now() - begin), { dhcp, address });
}

interface Giving {
  readonly dhcp: DhcpOptions;
  /** Ours, on that network card. */
  readonly address: string;
}

async function serveAt({ plan, bytes, signal, askFor, event, trace, progress }: Job, patience: Patience, giving?: Giving): Promise<Serving> {
  const { host, name, port, interface: card, singlePort } = plan;
  let complete: (how: Ended | { readonly otherServer: string }) => void = () => undefined;
  let taken: { readonly by: string; readonly at: number } | undefined;
  let last: Ended | undefined;
  let refused: Refusal | undefined;
  let again = false;
  const completed = new Promise<Ended | { readonly otherServer: string }>((resolve) => {
    complete = resolve;
  });
  const offer = { names: name === undefined ? [] : [name.value], source: bytesSource(bytes) };
  const ofCard = card === undefined ? undefined : localAddresses(card).filter(isIPv4);
  const server = await UdpServer.listen(
    {
      offers: [offer],
      // Who was told a name asks for it; loaders that insist on one of their own get the file all the same.
      anyName: name === undefined || (giving !== undefined && name.from !== 'option'),
      limits: serverLimits,
    },
    {
      addresses: giving !== undefined ? [giving.address] : host !== undefined ? [host.value] : ofCard,
      port: port.value,
      singlePort,
      trace,
      event: (told) => {
        event(told);
        if (told.event === 'refused') refused = told;
        else if (told.event === 'request') {
          patience.pause();
          if (taken !== undefined && addressOf(told) === taken.by && performance.now() - taken.at < askedAgainWithin) again = true;
        } else if (told.event === 'ended' && (told.outcome === 'complete' || told.outcome === 'unconfirmed')) {
          taken ??= { by: addressOf(told), at: performance.now() };
          complete(told);
        } else if (told.event === 'ended') {
          last = told;
          patience.resume();
        }
      },
    },
  );
  const watching = setInterval(() => {
    const [first] = server.transfers;
    if (first !== undefined) progress?.(first.bytes);
  }, 200);
  const done = new AbortController();
  patience.begin();
  const waiting = Promise.race([completed, patience.ended, interruption(signal, done.signal)]);
  let responder: UdpResponder | undefined;
  let addressed = false;
  const stop = (): void => {
    responder?.stop();
    server.stop('owimg was stopped');
  };
  let ended: Awaited<typeof waiting>;
  try {
    if (giving !== undefined) {
      const { dhcp } = giving;
      const told = (happened: ResponderEvent | DhcpSendProblem): void => {
        dhcp.event?.(happened);
        if (happened.event === 'dhcp-reply' && !addressed) {
          addressed = true;
          // It starts to ask for the file now.
          patience.anew();
        }
        // Who has its address from us already comes for the file.
        if (happened.event === 'dhcp-other-server' && !addressed) complete({ otherServer: happened.address });
      };
      responder = await UdpResponder.start({ ...dhcp, event: told }, signal);
    }
    ended = await waiting;
  } catch (error) {
    stop();
    throw error;
  } finally {
    done.abort();
    patience.stop();
    clearInterval(watching);
  }
  const askedAgain = (): boolean => again;
  if (ended === 'interrupted' || ended === 'time') {
    stop();
    if (ended === 'interrupted') return interrupted;
    return { sent: gaveUp(askFor, { last, refused, addressed, serves: name?.value }), askedAgain, stop };
  }
  if ('otherServer' in ended) {
    stop();
    throw new OwimgError('another-server', `No more addresses are given on ${giving?.dhcp.interfaceName}: another DHCP server is there, ${ended.otherServer}`);
  }
  const { from, retransmissions, milliseconds } = ended;
  const sent: Sent = {
    sent: 'sent',
    to: from,
    bytes: bytes.length,
    retransmissions,
    milliseconds,
    unconfirmed: ended.outcome === 'unconfirmed',
    remark: undefined,
  };
  return { sent, askedAgain, stop };
}

interface Course {
  /** The last transfer, which broke off. */
  readonly last: Ended | undefined;
  readonly refused: Refusal | undefined;
  readonly addressed: boolean;
  /** The name that is served; `undefined` for any. */
  readonly serves: string | undefined;
}

/** What is said when nobody has got the file in time. */
function gaveUp(askFor: number, { last, refused, addressed, serves }: Course): Failed {
  if (last !== undefined) {
    const why = last.text === '' ? `after ${last.bytes} of ${last.size} bytes` : last.text;
    return { ...nobody(`Nobody asked again within ${secondsText(askFor)}; the last transfer broke off: ${why}`), began: true };
  }
  if (refused?.why === 'unknown-name' && serves !== undefined)
    return { ...nobody(`The device asked for "${refused.name}", and owimg serves "${serves}"`), refused };
  if (refused !== undefined) return { ...nobody(`${refused.from.address} asked for "${refused.name}", and was refused: ${refused.text}`), refused };
  if (addressed) return nobody('The device was given an address, and has not asked for the file');
  return nobody(`No device has asked for the file within ${secondsText(askFor)}`);
}

/** How long nobody may ask. Does not count while somebody is served, and counts anew when a transfer broke off. */
class Patience {
  readonly #milliseconds: number;
  #left: number;
  #serving = 0;
  #begun = false;
  #timer: NodeJS.Timeout | undefined;
  #end: (how: 'time') => void = () => undefined;
  readonly ended = new Promise<'time'>((resolve) => {
    this.#end = resolve;
  });

  /** @param used milliseconds that are over already */
  constructor(milliseconds: number, used = 0) {
    this.#milliseconds = milliseconds;
    this.#left = Math.max(0, milliseconds - used);
  }

  begin(): void {
    this.#begun = true;
    this.#count();
  }

  /** A transfer begins. */
  pause(): void {
    this.#serving += 1;
    clearTimeout(this.#timer);
  }

  /** A transfer broke off. */
  resume(): void {
    this.#serving -= 1;
    this.anew();
  }

  anew(): void {
    this.#left = this.#milliseconds;
    this.#count();
  }

  stop(): void {
    this.#begun = false;
    clearTimeout(this.#timer);
  }

  #count(): void {
    clearTimeout(this.#timer);
    if (this.#begun && this.#serving === 0 && Number.isFinite(this.#left)) this.#timer = setTimeout(() => this.#end('time'), this.#left);
  }
}

/** Somebody wants it to end; `done` ends the waiting for that. */
const interruption = (signal: AbortSignal, done: AbortSignal): Promise<'interrupted'> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve('interrupted');
    else signal.addEventListener('abort', () => resolve('interrupted'), { once: true, signal: done });
  });
