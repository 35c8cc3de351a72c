/**
 * What needs Node: `import { serveTftp } from 'owimg/node'`. TFTP (RFC 1350, 2347, 2348, 2349, 7440) to and from boot loaders, addresses for those that ask
 * for one, and what `owimg flash` does; the rest of owimg is in `owimg`.
 *
 * @example
 * ```ts
 * import { getTftp, serveTftp } from 'owimg/node';
 *
 * const server = await serveTftp([{ names: ['recovery.bin'], bytes: new Uint8Array(70_000) }], { addresses: ['127.0.0.1'], port: 0 });
 * const port = server.listeners[0]?.port ?? 0;
 *
 * const bytes = await getTftp({ address: '127.0.0.1', port }, 'RECOVERY.BIN');
 * console.log(bytes.length); // → 70000
 *
 * server.stop('done');
 * ```
 */
import { joined } from './core/bytes.ts';
import { OwimgError } from './core/errors.ts';
import type { ResponderEvent } from './dhcp/responder.ts';
import type { DhcpSendProblem, DhcpTrace, UdpResponder } from './dhcp/udp.ts';
import type { FlashEvent, Flashed } from './flash/carry-out.ts';
import type { Prepared as FlashPlan, PrepareOptions as FlashPlanOptions } from './flash/prepare.ts';
import { bootedAlready, type ClientEvent, type ClientJob, failureCodes, type Outcome, type Peer } from './tftp/client.ts';
import type { ServerLimits, Wishes } from './tftp/options.ts';
import { getPace, pushPace } from './tftp/pace.ts';
import { bytesSource } from './tftp/sending.ts';
import { type ServerEvent, serverLimits } from './tftp/server.ts';
import { canonicalAddress, type ListenEvent, runClient, type SendProblem, type Trace, UdpServer } from './tftp/udp.ts';

export interface TransferOptions {
  /** What to ask for (block size, window ...); a plain request without it. Boot loaders mostly want that. */
  readonly wishes?: Wishes;
  /** How long to ask for an answer, in milliseconds: 20,000, and for {@link pushTftp} for as long as it takes. */
  readonly askFor?: number;
  /** Local address. */
  readonly bind?: string;
  readonly trace?: Trace;
  readonly event?: (event: ClientEvent | SendProblem) => void;
  /** Ends the transfer: the other side is told. */
  readonly signal?: AbortSignal;
}

/** How a transfer went that sent something. */
export type Sent = Extract<Outcome, { readonly outcome: 'complete' | 'unconfirmed' }>;

const askFor = 20_000;

const common = ({ bind, trace, event, signal }: TransferOptions) => ({ bind, trace, event, signal });

function failed(outcome: Outcome): OwimgError | undefined {
  return outcome.outcome === 'failed' ? new OwimgError(failureCodes[outcome.failure], outcome.message) : undefined;
}

/** Answers come with addresses in their one canonical way. */
const canonical = ({ address, port }: Peer): Peer => ({ address: canonicalAddress(address) ?? address, port });

const pieceLength = 1024 * 1024;

/** Keeps what arrives in large pieces: a packet's own memory is many times its bytes. */
function collected(): { readonly add: (data: Uint8Array) => void; readonly bytes: () => Uint8Array } {
  const pieces: Uint8Array[] = [];
  let piece = new Uint8Array(0);
  let used = 0;
  const add = (data: Uint8Array): void => {
    if (used + data.length > piece.length) {
      pieces.push(piece.subarray(0, used));
      piece = new Uint8Array(pieceLength);
      used = 0;
    }
    piece.set(data, used);
    used += data.length;
  };
  return { add, bytes: () => joined([...pieces, piece.subarray(0, used)]) };
}

/**
 * Gets a file, in octet mode.
 *
 * @param peer the server's address (a number, not a name) and port: 69 as a rule
 * @throws OwimgError `cannot-reach`, `transfer-failed`, `transfer-interrupted`, `cannot-listen`
 */
export async function getTftp(peer: Peer, name: string, options: TransferOptions = {}): Promise<Uint8Array> {
  const server = canonical(peer);
  const { add, bytes } = collected();
  const outcome = await runClient(
    server,
    () => ({
      direction: 'get',
      server,
      name,
      mode: 'octet',
      wishes: options.wishes,
      pace: getPace,
      askFor: options.askFor ?? askFor,
      deliver: add,
    }),
    common(options),
  );
  const error = failed(outcome);
  if (error !== undefined) throw error;
  return bytes();
}

type PutJob = Extract<ClientJob, { readonly direction: 'put' }>;

async function put(
  peer: Peer,
  name: string,
  bytes: Uint8Array,
  habits: Pick<PutJob, 'pace' | 'askFor' | 'quiet' | 'endsBy'>,
  options: TransferOptions,
): Promise<Sent> {
  const server = canonical(peer);
  const { wishes } = options;
  const job: PutJob = { direction: 'put', server, name, mode: 'octet', source: bytesSource(bytes), wishes, ...habits };
  const outcome = await runClient(server, () => job, common(options));
  const error = failed(outcome);
  if (error !== undefined) throw error;
  return outcome as Sent;
}

/**
 * Puts a file, in octet mode.
 *
 * @param bytes must not be changed before it is over
 * @returns `unconfirmed` where only the last acknowledgement is missing: many loaders begin to write at once
 * @throws OwimgError `cannot-reach`, `transfer-failed`, `transfer-interrupted`, `cannot-listen`
 */
export const putTftp = (server: Peer, name: string, bytes: Uint8Array, options: TransferOptions = {}): Promise<Sent> =>
  put(server, name, bytes, { pace: pushPace, askFor: options.askFor ?? askFor }, options);

/**
 * Asks a boot loader four times a second from one port until it answers, however long the device takes to be switched on, then puts the file. What
 * the device's own firmware says to it (that it wants a password) does not end it: the next power-on may be quicker.
 *
 * @param bytes must not be changed before it is over
 * @throws OwimgError `cannot-reach` (with `askFor`, or refused), `transfer-failed`, `transfer-interrupted`, `cannot-listen`
 */
export const pushTftp = (server: Peer, name: string, bytes: Uint8Array, options: TransferOptions = {}): Promise<Sent> =>
  put(
    server,
    name,
    bytes,
    {
      pace: { ...pushPace, most: pushPace.first },
      askFor: options.askFor ?? Number.POSITIVE_INFINITY,
      quiet: true,
      endsBy: (_, text) => !bootedAlready(text),
    },
    options,
  );

export interface ServeOptions {
  /** Local addresses; all that the machine has without it. */
  readonly addresses?: readonly string[];
  /** 69 without it; 0 takes a free one. */
  readonly port?: number;
  /** The first file is given for any name that no other has. */
  readonly anyName?: boolean;
  /** Everything by the one port. */
  readonly singlePort?: boolean;
  /** What is granted to who asks for options; nothing more than RFC 1350 with `plain`. */
  readonly limits?: Partial<ServerLimits>;
  readonly trace?: Trace;
  readonly event?: (event: ServerEvent | ListenEvent) => void;
}

/** A file that is served; case, leading slashes and backslashes in a request do not matter. */
export interface ServedFile {
  readonly names: readonly [string, ...string[]];
  readonly bytes: Uint8Array;
}

/**
 * Serves these files and nothing else, to read only.
 *
 * @throws OwimgError `cannot-listen`
 */
export function serveTftp(files: readonly ServedFile[], options: ServeOptions = {}): Promise<UdpServer> {
  const { anyName = false, limits, addresses, port = 69, singlePort, trace, event } = options;
  const offers = files.map(({ names, bytes }) => ({ names, source: bytesSource(bytes) }));
  return UdpServer.listen({ offers, anyName, limits: { ...serverLimits, ...limits } }, { addresses, port, singlePort, trace, event });
}

export interface ServeDhcpOptions {
  /** The network card that leads to the device. */
  readonly interface: string;
  /** Answer BOOTP, DHCP or both; at least one of them. */
  readonly bootp?: boolean;
  readonly dhcp?: boolean;
  /** The hardware address of the only device that is answered; needed where the machine has other network cards. Without it the first that asks. */
  readonly mac?: string;
  /** The address that the device gets; the one next to ours without it. */
  readonly clientAddress?: string;
  /** Which address of the card is ours, where it has several. */
  readonly serverAddress?: string;
  /** The name that the device is told to fetch by TFTP from our address: {@link serveTftp}. At most 127 bytes. */
  readonly file: string;
  readonly trace?: DhcpTrace;
  readonly event?: (event: ResponderEvent | DhcpSendProblem) => void;
  /** Ends the wait for a link, and that for other servers. What runs is ended by `stop()`. */
  readonly signal?: AbortSignal;
}

/**
 * Gives one device an address by BOOTP (RFC 951) or DHCP (RFC 2131), for boot loaders that ask for one before they fetch a file. Waits for a link, listens
 * for 5 seconds whether another DHCP server is there, and answers at once from then on. Falls silent as soon as another server is heard. Needs UDP ports 67
 * and 68, so mostly an administrator.
 *
 * @example
 * ```ts
 * import { serveDhcp } from 'owimg/node';
 *
 * const options = { interface: 'no-such-card', bootp: true, mac: '4c:5e:0c:12:34:56', file: 'vmlinux' };
 * const started = await serveDhcp(options).catch(({ code }) => code);
 * console.log(started); // → cannot-listen
 * ```
 *
 * @throws OwimgError `bad-usage`, `bad-value`, `cannot-listen`, `another-server`, `transfer-interrupted`
 */
export async function serveDhcp(options: ServeDhcpOptions): Promise<UdpResponder> {
  const { interface: interfaceName, bootp = false, dhcp = false, mac, clientAddress, serverAddress, file, trace, event } = options;
  if (!bootp && !dhcp) throw new OwimgError('bad-usage', 'Cannot give addresses by neither BOOTP nor DHCP', 'Give bootp or dhcp, or both.');
  const { cableIn, checkDhcpOptions, UdpResponder: Responder } = await import('./dhcp/udp.ts');
  const wanted = { interfaceName, bootp, dhcp, mac, clientAddress, serverAddress, file, trace, event };
  checkDhcpOptions(wanted);
  const signal = options.signal ?? new AbortController().signal;
  const cable = await cableIn(interfaceName, signal, () => undefined);
  const responder = cable === 'ready' ? await Responder.start(wanted, signal) : undefined;
  if (responder !== undefined && !signal.aborted) return responder;
  responder?.stop();
  throw new OwimgError('transfer-interrupted', 'Stopped before anybody was given an address');
}

/** An image, and what it is called: the name helps where the bytes do not tell what they are. */
export interface FlashImage {
  /** Must not be changed before all is over. */
  readonly bytes: Uint8Array;
  readonly name?: string;
}

/**
 * Proves an image, judges it for a device, plans how the device's boot loader gets it by TFTP, and looks whether this computer is ready. Sends nothing.
 *
 * @param device its profile, board name, title or words of it
 * @returns what {@link flash} carries out; `obstacle` says what speaks against it
 * @throws OwimgError `device-unknown`, `device-ambiguous`, `member-needed`, `bad-value`, `bad-usage`
 */
export async function planFlash({ bytes, name = '-' }: FlashImage, device: string, options: FlashPlanOptions = {}): Promise<FlashPlan> {
  const [{ prepare }, { systemHost }] = await Promise.all([import('./flash/prepare.ts'), import('./flash/system-host.ts')]);
  return prepare({ bytes, path: name }, device, options, systemHost());
}

export interface FlashOptions {
  /** How long to wait for the device, in milliseconds; as long as it takes without it. */
  readonly wait?: number;
  /** All that the device's console has said so far: a loader that refuses the image says so there. */
  readonly console?: () => Promise<string>;
  readonly event?: (event: FlashEvent) => void;
  readonly trace?: Trace;
  readonly dhcpTrace?: DhcpTrace;
  /** Called now and then: bytes that the device has. */
  readonly progress?: (bytes: number) => void;
  /** Ends it in good order: the device is told, sockets are closed. */
  readonly signal?: AbortSignal;
}

/**
 * Carries a plan out: sends the file, or serves it until the device has it, with an address before where it asks for one; with `verify` it stays until the
 * device is back and compares. Nobody is asked: whoever calls it has shown `plan` to the person, and what is guessed in it is confirmed by
 * `accept: ['habit-guessed']`.
 *
 * @example
 * ```ts
 * import { readFile } from 'node:fs/promises';
 * import { flash, getTftp, planFlash } from 'owimg/node';
 *
 * const bytes = await readFile('fixtures/tplink-safeloader/sound-archer-c7-v5.bin');
 * const planned = await planFlash({ bytes }, 'tplink_archer-c7-v5', { host: '127.0.0.1', port: 0 });
 * const { part, name, verdict } = planned.plan;
 * console.log(part, name?.value, verdict.outcome); // → server ArcherC7v5_tp_recovery.bin installs
 *
 * const { result } = await flash(planned, {
 *   event: (event) => {
 *     // This computer plays the router, too.
 *     if (event.event === 'listening') void getTftp(event.local, 'ArcherC7v5_tp_recovery.bin');
 *   },
 * });
 * console.log(result); // → sent
 * ```
 *
 * @returns `sent`, or with `verify` what came of it
 * @throws OwimgError what stands in `obstacle`: a verdict that speaks against it, options that are missing, a computer that is not ready; `not-confirmed` for a
 *   guess; `cannot-reach`, `transfer-failed`, `transfer-interrupted`, `cannot-listen`, `another-server` of the transfer
 */
export async function flash(planned: FlashPlan, options: FlashOptions = {}): Promise<Flashed> {
  const [{ carryOut }, { unconfirmedGuess }, { systemSurroundings }] = await Promise.all([
    import('./flash/carry-out.ts'),
    import('./flash/obstacle.ts'),
    import('./flash/system-surroundings.ts'),
  ]);
  const obstacle = planned.obstacle ?? unconfirmedGuess(planned.plan, planned.accepted);
  if (obstacle !== undefined) throw obstacle;
  const { signal = new AbortController().signal, event = () => undefined, ...rest } = options;
  const flashed = await carryOut(planned, { ...rest, event }, systemSurroundings(), signal);
  if (flashed.result === 'interrupted' && flashed.verification === undefined)
    throw new OwimgError('transfer-interrupted', 'Stopped before the device had the file');
  return flashed;
}

export type { ResponderEvent } from './dhcp/responder.ts';
export type { DhcpSendProblem, DhcpTrace, UdpResponder } from './dhcp/udp.ts';
export type { Verification } from './flash/afterwards.ts';
export type { FlashEvent, Flashed } from './flash/carry-out.ts';
export type { Plan } from './flash/plan.ts';
export type { Prepared as FlashPlan, PrepareOptions as FlashPlanOptions } from './flash/prepare.ts';
export type { ClientEvent, Outcome, Peer } from './tftp/client.ts';
export type { ServerLimits, Terms, Wishes } from './tftp/options.ts';
export type { ServerEvent, ServerTransfer } from './tftp/server.ts';
export type { ListenEvent, Trace, UdpServer } from './tftp/udp.ts';
