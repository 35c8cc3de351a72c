/**
 * The thin skin: sockets, the real clock, network interfaces. Every decision is made in responder.ts.
 *
 * Node can neither bind a socket to an interface nor say by which one a datagram came in. So an answer goes out from the interface's own
 * address, which makes the system send it by that interface, and where the machine has several interfaces the device has to be named
 * by its hardware address: then nobody on another network is answered.
 */
import { randomInt } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';
import { OwimgError } from '../core/errors.ts';
import { fromHex } from '../core/hex.ts';
import { addressText, isHostBeside, macText, neighbourOf, ownAddressFor, parseAddress } from './addresses.ts';
import { discoverBytes, isOfferFor, serverOf } from './discover.ts';
import { fileNameLimit, parsePacket } from './packets.ts';
import { Responder, type ResponderEvent } from './responder.ts';

/** Sees every datagram; for `--trace`. Addresses with their ports. */
export type DhcpTrace = (direction: 'sent' | 'received', packet: Uint8Array, peer: string, local: string) => void;

export interface DhcpOptions {
  readonly bootp: boolean;
  readonly dhcp: boolean;
  readonly interfaceName: string;
  /** The device's hardware address. */
  readonly mac?: string | undefined;
  /** The address that the device gets; the one next to ours without it. */
  readonly clientAddress?: string | undefined;
  /** Which address of the interface is ours, where it has several; the one beside the device's without it, or the first. */
  readonly serverAddress?: string | undefined;
  /** What the device shall fetch. */
  readonly file: string;
  readonly trace?: DhcpTrace | undefined;
  readonly event?: ((event: ResponderEvent | DhcpSendProblem) => void) | undefined;
}

/** The system refused to send: no cable, no address. */
export interface DhcpSendProblem {
  readonly event: 'dhcp-send-problem';
  readonly code: string;
}

const [serverPort, clientPort] = [67, 68];
const everybody = '255.255.255.255';

const now = (): number => performance.now();

/** What the options come to on this machine. */
export interface DhcpPlan {
  readonly server: number;
  readonly netmask: number;
  readonly client: number;
  readonly mac: string | undefined;
  readonly ownMac: Uint8Array;
}

/** All interfaces but loopback, also those without an address or a cable where the system tells of them. */
function allInterfaces(): Set<string> {
  const all = new Set(Object.entries(networkInterfaces()).flatMap(([key, entries = []]) => (entries.some(({ internal }) => internal) ? [] : [key])));
  try {
    for (const [, key = ''] of readFileSync('/proc/net/dev', 'utf8').matchAll(/^\s*([^\s:|]+):/gm)) if (key !== 'lo') all.add(key);
  } catch {
    // Only Linux tells it so.
  }
  return all;
}

const otherInterfaces = (name: string): string[] => [...allInterfaces()].filter((other) => other !== name);

/** How often a cable is looked for. */
const lookEvery = 250;

/**
 * Waits for the cable: while the device at its other end is off, systems hide the addresses of an interface.
 *
 * @param waiting called once if it has to wait
 * @param limit milliseconds
 * @returns how it ended; `ready` also for an interface that is not there at all: that is for others to say
 */
export async function cableIn(
  name: string,
  signal: AbortSignal,
  waiting: () => void,
  limit = Number.POSITIVE_INFINITY,
): Promise<'ready' | 'interrupted' | 'time'> {
  const end = now() + limit;
  for (let first = true; networkInterfaces()[name] === undefined && allInterfaces().has(name); first = false) {
    if (signal.aborted) return 'interrupted';
    if (now() >= end) return 'time';
    if (first) waiting();
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, lookEvery);
      signal.addEventListener('abort', done, { once: true });
    });
  }
  return 'ready';
}

function interfaceAddress({ interfaceName: name, serverAddress }: DhcpOptions, client: number | undefined): NetworkInterfaceInfo {
  const all = networkInterfaces();
  const entries = (all[name] ?? []).filter(({ family }) => family === 'IPv4');
  const own = entries.map((entry) => ({ entry, address: Number(parseAddress(entry.address)), netmask: Number(parseAddress(entry.netmask)) }));
  const found = ownAddressFor(own, serverAddress === undefined ? undefined : Number(parseAddress(serverAddress)), client);
  if (found === undefined) {
    const known = Object.entries(all).flatMap(([key, others = []]) => (others.some(({ family, internal }) => family === 'IPv4' && !internal) ? [key] : []));
    const why =
      all[name] === undefined
        ? 'it does not exist, or has no address'
        : serverAddress !== undefined && entries.length > 0
          ? `it has ${entries.map(({ address }) => address).join(', ')}, and not ${serverAddress}`
          : 'it has no IPv4 address';
    throw new OwimgError(
      'cannot-listen',
      `Cannot give addresses on "${name}": ${why}`,
      `Give it one first, as ${serverAddress ?? '192.168.1.2'}/24. ${known.length === 0 ? 'No interface has one now.' : `These have one: ${known.join(', ')}.`}`,
    );
  }
  return found.entry;
}

interface Checked {
  readonly mac: string | undefined;
  /** The address that was asked for. */
  readonly wanted: number | undefined;
}

/**
 * What can be said before the cable is in.
 *
 * @param others the other interfaces of the machine
 * @throws OwimgError `bad-value`, `bad-usage`
 */
export function checkDhcpOptions(
  { interfaceName, mac, clientAddress, file }: DhcpOptions,
  others: readonly string[] = otherInterfaces(interfaceName),
): Checked {
  const address = mac === undefined ? undefined : macText(mac);
  if (mac !== undefined && address === undefined)
    throw new OwimgError('bad-value', `Cannot use "${mac}" as a hardware address: expected six bytes, as 00:1f:c6:12:34:56`, 'It is printed on the device.');
  const wanted = clientAddress === undefined ? undefined : parseAddress(clientAddress);
  if (clientAddress !== undefined && wanted === undefined)
    throw new OwimgError('bad-value', `Cannot use "${clientAddress}" as the device's address: expected an IPv4 address, as 192.168.1.1`);
  if (new TextEncoder().encode(file).length > fileNameLimit)
    throw new OwimgError('bad-value', `Cannot announce "${file}": a BOOTP reply has room for a name of ${fileNameLimit} bytes`, 'Give it a shorter name.');
  if (address === undefined && others.length > 0) {
    throw new OwimgError(
      'bad-usage',
      `Cannot tell whether a request comes in by ${interfaceName}: this machine also has ${others.join(', ')}`,
      'Name the device by its hardware address with --mac: it is printed on the label. Nobody else is answered then.',
    );
  }
  return { mac: address, wanted };
}

/**
 * What will be answered to whom.
 *
 * @param others the other interfaces of the machine
 * @throws OwimgError `bad-value`, `bad-usage`, `cannot-listen`
 */
export function dhcpPlan(options: DhcpOptions, others?: readonly string[]): DhcpPlan {
  const { interfaceName, clientAddress } = options;
  const { mac, wanted } = checkDhcpOptions(options, others);
  const own = interfaceAddress(options, wanted);
  const [server, netmask] = [Number(parseAddress(own.address)), Number(parseAddress(own.netmask))];
  const client = wanted ?? neighbourOf(server, netmask);
  if (client === undefined || !isHostBeside(client, server, netmask)) {
    const network = own.cidr ?? own.address;
    const what =
      client === undefined
        ? `the network ${network} has no room for it`
        : client === server
          ? `it is that of ${interfaceName} itself`
          : `it is not one of ${network}`;
    throw new OwimgError(
      'bad-value',
      `Cannot give the device ${clientAddress ?? 'an address'}: ${what}`,
      `Give ${interfaceName} an address beside it, or choose another with --client-address.`,
    );
  }
  return { server, netmask, client, mac, ownMac: fromHex(own.mac.replaceAll(':', '')) };
}

function bound(address: string, port: number, shared: boolean): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createSocket({ type: 'udp4', reuseAddr: shared });
    const failed = (error: Error): void => {
      socket.close();
      reject(error);
    };
    socket.once('error', failed);
    socket.bind({ address, port }, () => {
      socket.off('error', failed);
      socket.setBroadcast(true);
      resolve(socket);
    });
  });
}

function cannotListen(address: string, port: number, error: unknown): OwimgError {
  const { code = '', message } = error as NodeJS.ErrnoException;
  const linux = process.platform === 'linux';
  if (code === 'EACCES')
    return new OwimgError(
      'cannot-listen',
      `Cannot open UDP ${address}:${port}: this user may not open ports below 1024`,
      linux ? 'Run it with sudo.' : 'Run it as administrator.',
    );
  if (code === 'EADDRINUSE') {
    const who = port === serverPort ? 'another DHCP server runs on this machine' : 'a DHCP client of this machine has it';
    const see = linux ? `See which one: sudo ss -lunp sport = :${port}. ` : '';
    const stop = port === serverPort ? 'Stop it first.' : 'Give this interface a fixed address first.';
    return new OwimgError('cannot-listen', `Cannot open UDP ${address}:${port}: ${who}`, `${see}${stop}`);
  }
  return new OwimgError('cannot-listen', `Cannot open UDP ${address}:${port}: ${message}`, 'Is the cable in, and does the interface have an address?');
}

/** Alone if it can be, else beside another server of this machine that does not mind: it may serve another interface. If it serves this one, it is heard. */
async function aloneOrBeside(address: string, port: number): Promise<Socket> {
  try {
    return await bound(address, port, false);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    return bound(address, port, true);
  }
}

/** Where broadcasts come in. Bound to that address only, it does not meet the socket for our own; systems that refuse it get one for all. */
async function broadcastSocket(port: number, open: (address: string, port: number) => Promise<Socket> = aloneOrBeside): Promise<Socket> {
  try {
    return await open(everybody, port);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EADDRNOTAVAIL' && code !== 'EINVAL') throw error;
    return bound('0.0.0.0', port, true);
  }
}

/** Answers one device on one interface. Four sockets: our own address and everybody's, the server's port and the client's. */
export class UdpResponder {
  readonly plan: DhcpPlan;
  readonly #options: DhcpOptions;
  readonly #responder: Responder;
  readonly #sockets: Socket[] = [];
  #serving: Socket | undefined;
  #asking: Socket | undefined;
  #timer: NodeJS.Timeout | undefined;
  #settled: () => void = () => undefined;

  private constructor(options: DhcpOptions) {
    this.#options = options;
    this.plan = dhcpPlan(options);
    const { bootp, dhcp, file } = options;
    this.#responder = new Responder(
      { bootp, dhcp, file, ...this.plan, xid: randomInt(2 ** 32) },
      {
        reply: (packet, to) => this.#send(this.#serving, serverPort, packet, to === 'everybody' ? everybody : addressText(to), clientPort),
        ask: (packet) => this.#send(this.#asking, clientPort, packet, everybody, serverPort),
        event: (event) => options.event?.(event),
      },
    );
  }

  /**
   * Opens the sockets, listens for other servers, and answers from then on.
   *
   * @throws OwimgError `bad-value`, `bad-usage`, `cannot-listen`; `another-server` where one is heard
   */
  static async start(options: DhcpOptions, signal?: AbortSignal): Promise<UdpResponder> {
    const skin = new UdpResponder(options);
    try {
      await skin.#open();
      await skin.#listen(signal);
    } catch (error) {
      skin.stop();
      throw error;
    }
    return skin;
  }

  /** `silent`: another server was heard, and nobody is answered any more. */
  get state(): 'new' | 'listening' | 'answering' | 'silent' {
    return this.#responder.state;
  }

  stop(): void {
    clearTimeout(this.#timer);
    for (const socket of this.#sockets.splice(0)) socket.close();
    this.#serving = undefined;
    this.#asking = undefined;
    this.#settled();
  }

  async #open(): Promise<void> {
    const own = addressText(this.plan.server);
    const open = async (address: string, port: number, make: () => Promise<Socket>): Promise<Socket> => {
      const socket = await make().catch((error: unknown) => {
        throw cannotListen(address, port, error);
      });
      this.#sockets.push(socket);
      socket.on('message', (bytes, from) => {
        this.#options.trace?.('received', bytes, `${from.address}:${from.port}`, `${address}:${port}`);
        this.#responder.receive(bytes, from.address);
        this.#advance();
      });
      socket.on('error', (error) => this.#problem(error));
      return socket;
    };
    this.#serving = await open(own, serverPort, () => aloneOrBeside(own, serverPort));
    await open(everybody, serverPort, () => broadcastSocket(serverPort));
    this.#asking = await open(own, clientPort, () => aloneOrBeside(own, clientPort));
    await open(everybody, clientPort, () => broadcastSocket(clientPort));
  }

  async #listen(signal: AbortSignal | undefined): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#settled = resolve;
      signal?.addEventListener('abort', () => resolve(), { once: true });
      if (signal?.aborted === true) resolve();
      this.#responder.start(now());
      this.#advance();
    });
    const other = this.#responder.otherServer;
    if (other !== undefined)
      throw new OwimgError('another-server', `Not giving addresses on ${this.#options.interfaceName}: another DHCP server is there, ${other}`);
  }

  /** Sets the timer, and ends the wait of `start`. */
  #advance(): void {
    clearTimeout(this.#timer);
    const { deadline } = this.#responder;
    if (this.#responder.state === 'listening')
      this.#timer = setTimeout(
        () => {
          this.#responder.tick(now());
          this.#advance();
        },
        Math.max(1, Math.ceil(deadline - now())),
      );
    else this.#settled();
  }

  #send(socket: Socket | undefined, port: number, packet: Uint8Array, address: string, to: number): void {
    this.#options.trace?.('sent', packet, `${address}:${to}`, `${addressText(this.plan.server)}:${port}`);
    socket?.send(packet, to, address, (error) => {
      if (error !== null) this.#problem(error);
    });
  }

  #problem(error: Error): void {
    this.#options.event?.({ event: 'dhcp-send-problem', code: (error as NodeJS.ErrnoException).code ?? error.message });
  }
}

export interface HeardServer {
  readonly address: string;
  /** Where it sends devices for their file; `undefined` where it names nobody. */
  readonly nextServer: string | undefined;
}

/** Milliseconds. Asked twice, as one of them may be lost. */
const askAt = [0, 300];

/** Milliseconds. dnsmasq, which most routers have, looks for 3 s whether an address is free before it offers it: less would mean that nobody is there. */
export const askFor = 3500;

/** Milliseconds that a second server has to be heard too. */
const afterFirst = 300;

/** Alone or not at all: beside a DHCP client of this machine it would take that one's answers. */
const alone = (address: string, port: number): Promise<Socket> => bound(address, port, false);

/**
 * Asks on one interface which DHCP servers are there, as a client that wants an address would; no address is taken. Takes {@link askFor} milliseconds, less where one answers.
 *
 * @returns also one of this very machine
 * @throws OwimgError `cannot-listen` where the interface has no address; the system's own error (`code`) where the client's port cannot be opened, or nothing be sent
 */
export async function otherDhcpServers(interfaceName: string): Promise<readonly HeardServer[]> {
  const own = networkInterfaces()[interfaceName]?.find(({ family }) => family === 'IPv4');
  if (own === undefined) throw new OwimgError('cannot-listen', `Cannot ask for DHCP servers on "${interfaceName}": it has no IPv4 address`);
  const xid = randomInt(2 ** 32);
  const question = discoverBytes(fromHex(own.mac.replaceAll(':', '')), xid);
  const sockets: Socket[] = [];
  const timers: NodeJS.Timeout[] = [];
  const heard = new Map<string, HeardServer>();
  try {
    const asking = await alone(own.address, clientPort);
    sockets.push(asking);
    sockets.push(await broadcastSocket(clientPort, alone));
    await new Promise<void>((resolve, reject) => {
      for (const socket of sockets) {
        socket.on('error', reject);
        socket.on('message', (bytes, from) => {
          const message = parsePacket(bytes);
          if (message.kind === 'malformed' || !isOfferFor(message, xid)) return;
          const address = serverOf(message, from.address);
          if (heard.size === 0) timers.push(setTimeout(resolve, afterFirst));
          heard.set(address, { address, nextServer: message.siaddr === 0 ? undefined : addressText(message.siaddr) });
        });
      }
      const ask = (): void => asking.send(question, serverPort, everybody, (error) => error !== null && reject(error));
      timers.push(...askAt.map((at) => setTimeout(ask, at)), setTimeout(resolve, askFor));
    });
  } finally {
    for (const timer of timers) clearTimeout(timer);
    for (const socket of sockets) socket.close();
  }
  return [...heard.values()];
}
