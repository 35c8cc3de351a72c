/**
 * What needs Node: `import { serveTftp } from 'owimg/node'`. TFTP (RFC 1350, 2347, 2348, 2349, 7440) to and from boot loaders; the
 * rest of owimg is in `owimg`.
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
import { type ClientEvent, failureCodes, type Outcome, type Peer } from './tftp/client.ts';
import type { ServerLimits, Wishes } from './tftp/options.ts';
import { getPace, pushPace } from './tftp/pace.ts';
import { bytesSource } from './tftp/sending.ts';
import { type ServerEvent, serverLimits } from './tftp/server.ts';
import { type ListenEvent, runClient, type SendProblem, type Trace, UdpServer } from './tftp/udp.ts';

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

/**
 * Gets a file, in octet mode.
 *
 * @param server its address (a number, not a name) and port: 69 as a rule
 * @throws OwimgError `cannot-reach`, `transfer-failed`, `transfer-interrupted`, `cannot-listen`
 */
export async function getTftp(server: Peer, name: string, options: TransferOptions = {}): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
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
      deliver: (data) => void parts.push(data),
    }),
    common(options),
  );
  const error = failed(outcome);
  if (error !== undefined) throw error;
  return joined(parts);
}

async function put(server: Peer, name: string, bytes: Uint8Array, patience: number, options: TransferOptions): Promise<Sent> {
  const { wishes } = options;
  const outcome = await runClient(
    server,
    () => ({ direction: 'put', server, name, mode: 'octet', source: bytesSource(bytes), wishes, pace: pushPace, askFor: options.askFor ?? patience }),
    common(options),
  );
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
  put(server, name, bytes, askFor, options);

/**
 * Asks a boot loader four times a second from one port until it answers, however long the device takes to be switched on, then puts the file.
 *
 * @param bytes must not be changed before it is over
 * @throws OwimgError `cannot-reach` (with `askFor`, or refused), `transfer-failed`, `transfer-interrupted`, `cannot-listen`
 */
export const pushTftp = (server: Peer, name: string, bytes: Uint8Array, options: TransferOptions = {}): Promise<Sent> =>
  put(server, name, bytes, Number.POSITIVE_INFINITY, { ...options, askFor: options.askFor ?? Number.POSITIVE_INFINITY });

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

export type { ClientEvent, Outcome, Peer } from './tftp/client.ts';
export type { ServerLimits, Terms, Wishes } from './tftp/options.ts';
export type { ServerEvent, ServerTransfer } from './tftp/server.ts';
export type { ListenEvent, Trace, UdpServer } from './tftp/udp.ts';
