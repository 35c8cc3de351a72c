/** The thin skin: sockets, the real clock, addresses. Every decision is made in client.ts and server.ts. */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { isIPv4, isIPv6, SocketAddress } from 'node:net';
import { networkInterfaces } from 'node:os';
import { OwimgError } from '../core/errors.ts';
import { type ClientEvent, type ClientJob, ClientTransfer, type Outcome, type Peer, peerText } from './client.ts';
import { isOff, localInterfaces } from './local-addresses.ts';
import { windowLimit } from './options.ts';
import { type ServerEvent, type ServerRules, type ServerTransfer, TftpServer } from './server.ts';

/** Sees every datagram; for `--trace`. */
export type Trace = (direction: 'sent' | 'received', packet: Uint8Array, peer: Peer, local: Peer) => void;

type Family = 4 | 6;

/** Asked for; systems give less: on Linux net.core.rmem_max. */
const defaultReceiveBuffer = 4 * 1024 * 1024;

/** What a packet occupies in a socket's buffer beside its data. */
const packetOverhead = 1024;

/** Addresses come and go with links: so often the server looks for new ones. */
const rescanEvery = 250;

const now = (): number => performance.now();

/** IPv4 addresses as they are written alone, also where they came through an IPv6 socket. */
const plainAddress = (address: string): string => (address.startsWith('::ffff:') && isIPv4(address.slice(7)) ? address.slice(7) : address);

/** fe80::/10: the same address may be on every network, so it is told with an interface. */
const isLinkLocal = (address: string): boolean => /^fe[89ab][0-9a-f]:/i.test(address);

/** The name of the interface with this number. */
function interfaceNamed(zone: string): string {
  if (!/^\d+$/.test(zone) || process.platform === 'win32') return zone;
  const found = Object.entries(networkInterfaces()).find(([, entries = []]) =>
    entries.some((entry) => entry.family === 'IPv6' && entry.scopeid === Number(zone)),
  );
  return found?.[0] ?? zone;
}

/**
 * The one way to write an address: `0:0:0:0:0:0:0:1` is `::1`, `FE80::1%eth0` is `fe80::1%eth0`, `::ffff:127.0.0.1` is `127.0.0.1`.
 *
 * @param text an address in numbers, maybe in brackets
 * @returns `undefined` for what is no address, names among it
 */
export function canonicalAddress(text: string): string | undefined {
  const plain = text.replace(/^\[(.*)\]$/, '$1');
  if (isIPv4(plain)) return plain;
  const [, numbers = '', zone] = /^([^%]*)(?:%(.+))?$/.exec(plain) ?? [];
  if (!isIPv6(numbers)) return undefined;
  const address = plainAddress(new SocketAddress({ address: numbers, family: 'ipv6' }).address);
  // Beside link-local addresses nothing needs an interface, and the system names none in its answers.
  return zone !== undefined && isLinkLocal(address) ? `${address}%${interfaceNamed(zone)}` : address;
}

const familyOf = (address: string): Family => (isIPv4(address) ? 4 : 6);

const peerOf = ({ address, port }: RemoteInfo): Peer => ({ address: plainAddress(address), port });

/**
 * Addresses here are numbers already, so nothing is looked up. Node's own lookup answers a turn of the event loop later, for every packet.
 */
function noLookup(address: string, family: unknown, callback: unknown): void {
  (callback as (error: null, address: string, family: unknown) => void)(null, address, family);
}

function udpSocket(family: Family): Socket {
  const type = family === 4 ? 'udp4' : 'udp6';
  return createSocket({ type, lookup: noLookup as never, ipv6Only: family === 6 });
}

/** Asks for a large receive buffer and takes what it gets. @returns bytes */
function enlarge(socket: Socket, wanted: number): number {
  for (let size = wanted; size >= 64 * 1024; size /= 2) {
    try {
      socket.setRecvBufferSize(Math.floor(size));
      break;
    } catch {
      // Some systems refuse what Linux cuts down.
    }
  }
  return socket.getRecvBufferSize();
}

/**
 * For a transfer with a window, where every microsecond counts: the system need not find the way for each packet again. Whoever else sends to the
 * port is told by the system that it is closed, instead of by error 5.
 *
 * @returns whether packets go to `peer` by themselves now
 */
function connected(socket: Socket, peer: Peer): boolean {
  try {
    socket.connect(peer.port, peer.address);
    socket.remoteAddress();
    return true;
  } catch {
    return false;
  }
}

/** So long the process looks for the next packet before it goes to sleep, in milliseconds. */
const awakeFor = 0.1;

let awakeUntil = 0;
let awake = false;

/**
 * To be called when a packet was dealt with. In a quick network the next one is there before the system would have put the process to sleep and
 * woken it again, which takes longer than all our work on a packet: so it stays awake for a moment.
 */
function stayAwake(time: number): void {
  awakeUntil = time + awakeFor;
  if (awake) return;
  awake = true;
  setImmediate(look);
}

function look(): void {
  if (now() < awakeUntil) setImmediate(look);
  else awake = false;
}

/** Timers of Node count in milliseconds: what is due sooner is looked for all the time. */
const shortestTimer = 1;

/** One timer that is seldom set anew: a deadline moves with every packet, and is looked at when the timer has run out. */
class LazyTimer {
  readonly #deadline: () => number;
  readonly #due: () => void;
  #timer: NodeJS.Timeout | undefined;
  #firesAt = Number.POSITIVE_INFINITY;
  #soon: NodeJS.Immediate | undefined;

  constructor(deadline: () => number, due: () => void) {
    this.#deadline = deadline;
    this.#due = due;
  }

  /** To be called whenever the deadline may have come nearer. */
  check(): void {
    const deadline = this.#deadline();
    if (deadline >= this.#firesAt || deadline === Number.POSITIVE_INFINITY) return;
    const left = deadline - now();
    if (left < shortestTimer) {
      this.#soon ??= setImmediate(() => {
        this.#soon = undefined;
        this.#look();
      });
      return;
    }
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    this.#firesAt = deadline;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#firesAt = Number.POSITIVE_INFINITY;
      this.#look();
    }, Math.ceil(left));
  }

  stop(): void {
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    if (this.#soon !== undefined) clearImmediate(this.#soon);
    this.#timer = undefined;
    this.#soon = undefined;
    this.#firesAt = Number.POSITIVE_INFINITY;
  }

  #look(): void {
    if (now() >= this.#deadline()) this.#due();
    this.check();
  }
}

function bound(socket: Socket, address: string | undefined, port: number): Promise<Peer> {
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.bind({ port, ...(address === undefined ? {} : { address }) }, () => {
      socket.off('error', reject);
      resolve(socket.address());
    });
  });
}

const reasons: Readonly<Record<string, string>> = {
  EACCES: 'this user may not open ports below 1024',
  EADDRINUSE: 'another program has it',
  EADDRNOTAVAIL: 'this machine does not have that address',
};

function cannotListen(address: string | undefined, port: number, error: unknown): OwimgError {
  const { code = '', message } = error as NodeJS.ErrnoException;
  const what = address === undefined ? `port ${port}` : peerText({ address, port });
  return new OwimgError('cannot-listen', `Cannot open UDP ${what}: ${reasons[code] ?? message}`, listenHint(code, port));
}

function listenHint(code: string, port: number): string {
  if (code === 'EACCES') {
    return process.platform === 'linux'
      ? `Run it with sudo, or allow it once for all users: sudo sysctl net.ipv4.ip_unprivileged_port_start=${port}. Boot loaders know no other port.`
      : 'Run it as administrator. Boot loaders know no other port.';
  }
  if (code === 'EADDRINUSE') {
    return process.platform === 'linux'
      ? `See which one: sudo ss -lunp sport = :${port}. Stop it (sudo systemctl stop tftpd-hpa atftpd dnsmasq), or serve on one address with --bind.`
      : 'Stop the other TFTP server, or serve on one address with --bind.';
  }
  if (code === 'EADDRNOTAVAIL') return 'Give the network card that address first, or bind to one that it has.';
  return 'Choose another address or port with --bind and --port.';
}

/** @throws OwimgError `bad-usage` for a link-local address without an interface */
function withInterface(address: string, card: string | undefined): string {
  if (!isLinkLocal(address) || address.includes('%')) return address;
  if (card !== undefined) return `${address}%${card}`;
  const known = [...localInterfaces()].filter(([, entries]) => entries.some((entry) => isLinkLocal(entry.address))).map(([name]) => `${address}%${name}`);
  throw new OwimgError(
    'bad-usage',
    `Cannot tell by which network card ${address} is reached: an address that begins with fe80 is one of a single cable`,
    known.length === 0 ? `Write the card behind it: ${address}%eth0.` : `Write it behind the address: ${known.join(' or ')}.`,
  );
}

/**
 * The address behind a name, written in the one way that answers come with.
 *
 * @param family 0 takes what comes first
 * @param card the network card for a link-local address that names none
 * @throws OwimgError `cannot-reach`, `bad-usage`
 */
export async function resolveHost(host: string, family: 0 | 4 | 6 = 0, card?: string): Promise<string> {
  const given = canonicalAddress(host);
  if (given !== undefined) {
    if (family !== 0 && familyOf(given) !== family) throw new OwimgError('bad-usage', `Cannot use ${given}: it is not an IPv${family} address`);
    return withInterface(given, card);
  }
  try {
    const { address } = await lookup(host, { family });
    return canonicalAddress(address) ?? address;
  } catch (error) {
    throw new OwimgError(
      'cannot-reach',
      `Cannot find the address of "${host}": ${(error as Error).message}`,
      'Give the address in numbers: boot loaders have no names.',
    );
  }
}

/**
 * All addresses of a network interface, or of all of them, also without a link. Link-local IPv6 addresses come with their interface.
 *
 * @param hidden `false` leaves out what cards without a link have: quicker, for who asks again and again
 * @throws OwimgError `cannot-listen` if there is no such interface, it is switched off, or has no address
 */
export function localAddresses(name?: string, hidden = true): string[] {
  const all = localInterfaces(hidden);
  if (name !== undefined && isOff(name))
    throw new OwimgError('cannot-listen', `Cannot use the interface "${name}": it is switched off`, `Switch it on: sudo ip link set ${name} up.`);
  if (name !== undefined && !all.has(name)) {
    const known = [...all.keys()].join(', ');
    throw new OwimgError('cannot-listen', `Cannot use the interface "${name}": it does not exist, or has no address`, `These have an address: ${known}.`);
  }
  const addresses: string[] = [];
  for (const [interfaceName, entries] of all) {
    if (name === undefined ? hidden && isOff(interfaceName) : interfaceName !== name) continue;
    for (const { address } of entries) addresses.push(address.startsWith('fe80:') && !address.includes('%') ? `${address}%${interfaceName}` : address);
  }
  return addresses;
}

export interface ClientOptions {
  /** Local address; the system's choice without it. */
  readonly bind?: string | undefined;
  /** Local port; a free one without it. */
  readonly port?: number | undefined;
  /** Bytes. */
  readonly receiveBuffer?: number | undefined;
  readonly trace?: Trace | undefined;
  readonly event?: ((event: ClientEvent | SendProblem) => void) | undefined;
  /** Ends it: the other side is told. */
  readonly signal?: AbortSignal | undefined;
  /** Called now and then while it runs. */
  readonly watch?: ((transfer: ClientTransfer) => void) | undefined;
}

/** The system refused to send: no cable, no route, no address. It is tried again. */
export interface SendProblem {
  readonly event: 'send-problem';
  readonly code: string;
}

const watchEvery = 200;

/**
 * One transfer by UDP, from the first request to the last acknowledgement.
 *
 * @param makeJob gets the largest window that the receive buffer holds, for blocks of the size asked for
 * @throws OwimgError `cannot-listen`
 */
export async function runClient(server: Peer, makeJob: (windowThatFits: (blockSize: number) => number) => ClientJob, options: ClientOptions): Promise<Outcome> {
  const { trace, event, signal } = options;
  const socket = udpSocket(familyOf(server.address.replace(/%.*$/, '')));
  let local: Peer;
  try {
    local = await bound(socket, options.bind, options.port ?? 0);
  } catch (error) {
    socket.close();
    throw cannotListen(options.bind, options.port ?? 0, error);
  }
  const buffer = enlarge(socket, options.receiveBuffer ?? defaultReceiveBuffer);
  const job = makeJob((blockSize) => Math.min(windowLimit, Math.max(1, Math.floor(buffer / (blockSize + packetOverhead)))));
  return new Promise((resolve, reject) => {
    let transfer: ClientTransfer;
    let settled = false;
    let direct = false;
    let repeating = false;
    const problem = (error: Error | null): void => {
      if (error !== null) event?.({ event: 'send-problem', code: (error as NodeJS.ErrnoException).code ?? error.message });
    };
    const send = (packet: Uint8Array, to: Peer): void => {
      trace?.('sent', packet, to, local);
      // What the system says to a packet matters while nobody answers, and when one has to be repeated.
      const report = transfer?.peer === undefined || repeating ? problem : undefined;
      if (direct) socket.send(packet, report);
      else if (report !== undefined) socket.send(packet, to.port, to.address, report);
      else socket.send(packet, to.port, to.address);
    };
    const timer = new LazyTimer(
      () => transfer.deadline,
      () => {
        repeating = true;
        step(() => transfer.tick(now()));
        repeating = false;
      },
    );
    const watching = options.watch === undefined ? undefined : setInterval(() => options.watch?.(transfer), watchEvery);
    const onAbort = (): void => step(() => transfer.interrupt());
    let open = true;
    const close = (): void => {
      // Whoever takes the data may stop it all in the middle of a step.
      if (!open) return;
      open = false;
      timer.stop();
      signal?.removeEventListener('abort', onAbort);
      // What was sent without a callback has left already or waits in libuv, which sends it before it closes.
      socket.close();
    };
    const settle = (): void => {
      if (transfer.outcome !== undefined && !settled) {
        settled = true;
        clearInterval(watching);
        resolve(transfer.outcome);
      }
      if (transfer.closed) close();
    };
    /** Whatever goes wrong in our own code ends the promise, not the process. */
    const step = (work: () => void): void => {
      if (transfer.closed) return;
      try {
        work();
        const { peer, terms } = transfer;
        if (!direct && terms.windowSize > 1 && peer !== undefined && job.quiet !== true && !transfer.closed) direct = connected(socket, peer);
        if (transfer.outcome === undefined) timer.check();
        else {
          settle();
          if (!transfer.closed) timer.check();
        }
      } catch (error) {
        // What was delivered could not be kept: the other side is told before it ends.
        transfer.abandon(error instanceof Error ? error.message : String(error));
        settled = true;
        clearInterval(watching);
        close();
        reject(error);
      }
    };
    transfer = new ClientTransfer(job, event === undefined ? { send } : { send, event }, now());
    socket.on('message', (bytes, from) => {
      const peer = peerOf(from);
      trace?.('received', bytes, peer, local);
      const time = now();
      step(() => transfer.receive(bytes, peer, time));
      stayAwake(time);
    });
    socket.on('error', problem);
    signal?.addEventListener('abort', onAbort);
    step(() => transfer.start(now()));
    if (signal?.aborted === true) onAbort();
  });
}

/** Where a server listens. */
export interface Listener {
  readonly local: Peer;
  readonly socket: Socket;
}

export interface ListenOptions {
  /** Local addresses; all that the machine has, also those that come later, without it. */
  readonly addresses?: readonly string[] | undefined;
  /** 0 takes a free one. */
  readonly port: number;
  /** Everything by the one port: for routers behind a firewall that knows no other. */
  readonly singlePort?: boolean | undefined;
  readonly trace?: Trace | undefined;
  readonly event?: ((event: ServerEvent | ListenEvent) => void) | undefined;
}

export type ListenEvent =
  | { readonly event: 'listening'; readonly local: Peer }
  | { readonly event: 'not-listening'; readonly local: Peer; readonly reason: string };

/** A server on one socket for each local address, so that the answer goes out by the address that was asked: some loaders take it from no other. */
export class UdpServer {
  readonly #options: ListenOptions;
  readonly #server: TftpServer<Listener>;
  readonly #listeners = new Map<string, Listener>();
  readonly #failed = new Set<string>();
  readonly #ways = new Map<ServerTransfer, { readonly timer: LazyTimer; readonly socket: Socket | undefined }>();
  #rescan: NodeJS.Timeout | undefined;
  #scanning = false;
  #stopped = false;

  private constructor(rules: ServerRules, options: ListenOptions) {
    this.#options = options;
    this.#server = new TftpServer<Listener>(rules, options.singlePort === true, {
      reply: (packet, to, { socket, local }) => this.#send(socket, local, packet, to),
      open: (transfer, listener) => this.#open(transfer, listener),
      close: (transfer) => this.#close(transfer),
      ...(options.event === undefined ? {} : { event: options.event }),
    });
  }

  /** @throws OwimgError `cannot-listen` */
  static async listen(rules: ServerRules, options: ListenOptions): Promise<UdpServer> {
    const server = new UdpServer(rules, options);
    try {
      await server.#listen();
    } catch (error) {
      server.stop('');
      throw error;
    }
    if (options.addresses === undefined) server.#rescan = setInterval(() => void server.#scan(), rescanEvery);
    return server;
  }

  get listeners(): Peer[] {
    return [...this.#listeners.values()].map(({ local }) => local);
  }

  /** Transfers that run. */
  get count(): number {
    return this.#server.count;
  }

  get transfers(): ServerTransfer[] {
    return [...this.#server.transfers()];
  }

  /** Ends everything; who is in the middle of a transfer is told. */
  stop(text: string): void {
    if (this.#stopped) return;
    this.#server.stop(text, now());
    this.#stopped = true;
    clearInterval(this.#rescan);
    for (const { socket } of this.#listeners.values()) socket.close();
  }

  async #listen(): Promise<void> {
    const { addresses = localAddresses(), port } = this.#options;
    const given = this.#options.addresses !== undefined;
    let problem: unknown;
    for (const address of addresses) {
      try {
        await this.#add(address, port);
      } catch (error) {
        problem ??= error;
        // One of IPv6 is still searched for on the network for a second when a link has come up: no loader waits for it.
        if (given && isLinkLocal(address) && (error as NodeJS.ErrnoException).code === 'EADDRNOTAVAIL') continue;
        if (given) throw cannotListen(address, port, error);
        this.#failed.add(address);
        this.#options.event?.({ event: 'not-listening', local: { address, port }, reason: cannotListen(address, port, error).message });
      }
    }
    if (this.#listeners.size === 0) throw cannotListen(undefined, port, problem ?? { code: '', message: 'the machine has no address' });
  }

  async #scan(): Promise<void> {
    if (this.#scanning || this.#stopped) return;
    this.#scanning = true;
    for (const address of localAddresses(undefined, false)) {
      if (this.#listeners.has(address) || this.#failed.has(address)) continue;
      // An IPv6 address cannot be bound to while the network is searched for another one that is the same: it is tried again.
      await this.#add(address, this.#options.port).catch(() => undefined);
    }
    this.#scanning = false;
  }

  async #add(address: string, port: number): Promise<void> {
    const socket = udpSocket(familyOf(address.replace(/%.*$/, '')));
    try {
      const { port: taken } = await bound(socket, address, port);
      if (this.#stopped) {
        socket.close();
        return;
      }
      const listener: Listener = { socket, local: { address, port: taken } };
      this.#listeners.set(address, listener);
      if (this.#options.singlePort === true) enlarge(socket, defaultReceiveBuffer);
      socket.on('error', () => undefined);
      socket.on('message', (bytes, from) => {
        const peer = peerOf(from);
        this.#options.trace?.('received', bytes, peer, listener.local);
        const time = now();
        this.#server.receive(bytes, peer, listener, time);
        if (this.#server.count > 0) stayAwake(time);
        if (this.#options.singlePort === true) for (const { timer } of this.#ways.values()) timer.check();
      });
      this.#options.event?.({ event: 'listening', local: listener.local });
    } catch (error) {
      socket.close();
      throw error;
    }
  }

  #send(socket: Socket, local: Peer, packet: Uint8Array, to: Peer): void {
    this.#options.trace?.('sent', packet, to, local);
    socket.send(packet, to.port, to.address);
  }

  #open(transfer: ServerTransfer, listener: Listener): (packet: Uint8Array, to: Peer) => void {
    const timer = new LazyTimer(
      () => transfer.deadline,
      () => transfer.tick(now()),
    );
    // The deadline is there when the first packet has been sent.
    setImmediate(() => this.#ways.get(transfer)?.timer.check());
    if (this.#options.singlePort === true) {
      this.#ways.set(transfer, { timer, socket: undefined });
      return (packet, to) => this.#send(listener.socket, listener.local, packet, to);
    }
    const { address } = listener.local;
    const socket = udpSocket(familyOf(address.replace(/%.*$/, '')));
    this.#ways.set(transfer, { timer, socket });
    let local: Peer = { address, port: 0 };
    socket.on('error', ({ code }: NodeJS.ErrnoException) => {
      // A device that starts anew has its port closed for a moment.
      if (code !== 'ECONNREFUSED') setImmediate(() => transfer.stop('interrupted', undefined, now()));
    });
    let direct = false;
    socket.bind({ address, port: 0 }, () => {
      local = { address, port: socket.address().port };
      direct = transfer.terms.windowSize > 1 && connected(socket, transfer.peer);
    });
    socket.on('message', (bytes, from) => {
      const peer = peerOf(from);
      this.#options.trace?.('received', bytes, peer, local);
      const time = now();
      transfer.receive(bytes, peer, time);
      timer.check();
      stayAwake(time);
    });
    return (packet, to) => {
      if (!direct) this.#send(socket, local, packet, to);
      else {
        this.#options.trace?.('sent', packet, to, local);
        socket.send(packet);
      }
    };
  }

  #close(transfer: ServerTransfer): void {
    const way = this.#ways.get(transfer);
    this.#ways.delete(transfer);
    way?.timer.stop();
    way?.socket?.close();
  }
}
