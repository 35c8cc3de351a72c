/** The simulated loaders behind real sockets of the loopback, and surroundings that a test writes. */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import type { Surroundings } from '../../src/flash/surroundings.ts';
import { type AskingHabits, AskingLoader, type LoaderHabits, WaitingLoader } from './loaders.ts';

const now = (): number => performance.now();

async function open(): Promise<Socket> {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return socket;
}

export interface Behind<T> {
  readonly loader: T;
  readonly port: number;
  close(): void;
}

const packet = (opcode: number, block: number, data: Uint8Array): Uint8Array => Uint8Array.from([0, opcode, block >> 8, block & 0xff, ...data]);

/**
 * A loader that waits to be given a file, at 127.0.0.1. Its port 69 is `port`.
 *
 * @param readable what it gives to who reads; nothing without it, as U-Boot
 */
export async function waitingLoader(habits: LoaderHabits, readable?: Uint8Array): Promise<Behind<WaitingLoader>> {
  const [main, other, reading] = [await open(), await open(), await open()];
  const give = (block: number, port: number): void =>
    reading.send(packet(3, block, (readable ?? new Uint8Array(0)).subarray((block - 1) * 512, block * 512)), port, '127.0.0.1');
  main.on('message', (bytes, { port }) => {
    if (bytes[1] === 1 && readable !== undefined) give(1, port);
  });
  reading.on('message', (bytes, { port }) => {
    const next = (((bytes[2] as number) << 8) | (bytes[3] as number)) + 1;
    if (bytes[1] === 4 && (next - 1) * 512 <= (readable?.length ?? 0)) give(next, port);
  });
  const loader: WaitingLoader = new WaitingLoader(habits, (bytes, fromPort, { address, port }) => (fromPort === 69 ? main : other).send(bytes, port, address));
  main.on('message', (bytes, { address, port }) => loader.receive(bytes, 69, { address, port }, now()));
  other.on('message', (bytes, { address, port }) => loader.receive(bytes, habits.answerPort ?? 69, { address, port }, now()));
  const timer = setInterval(() => loader.tick(now()), 50);
  return {
    loader,
    port: main.address().port,
    close: () => {
      clearInterval(timer);
      main.close();
      other.close();
      reading.close();
    },
  };
}

/** A loader that asks for a file at 127.0.0.1. */
export async function askingLoader(habits: AskingHabits, server: number): Promise<Behind<AskingLoader>> {
  const socket = await open();
  const loader: AskingLoader = new AskingLoader(habits, { address: '127.0.0.1', port: server }, (bytes, { address, port }) =>
    socket.send(bytes, port, address),
  );
  socket.on('message', (bytes, { address, port }) => loader.receive(bytes, { address, port }, now()));
  const timer = setInterval(() => loader.tick(now()), 50);
  loader.start(now());
  return {
    loader,
    port: socket.address().port,
    close: () => {
      clearInterval(timer);
      socket.close();
    },
  };
}

/** A port of the loopback that nobody has. */
export async function freePort(): Promise<number> {
  const socket = await open();
  const { port } = socket.address();
  socket.close();
  await once(socket, 'close');
  return port;
}

/** A network without anybody in it, in which time passes as soon as somebody waits. */
export function emptySurroundings(more: Partial<Surroundings> = {}): Surroundings & { readonly time: number } {
  let time = 0;
  return {
    get time() {
      return time;
    },
    now: () => time,
    sleep: async (milliseconds) => {
      time += milliseconds;
      // What comes in by sockets has its turn.
      await new Promise((resolve) => setTimeout(resolve, 1));
    },
    ping: async () => undefined,
    cardTo: async () => undefined,
    hardwareAddress: async () => undefined,
    hasLink: async () => undefined,
    banner: async () => undefined,
    webPage: async () => undefined,
    ssh: async () => ({ ok: false, text: 'Connection refused' }),
    ...more,
  };
}
