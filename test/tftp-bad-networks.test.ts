/** Put and serve by real sockets, with a network between them that loses, doubles, delays and reorders, and with devices that die. */
import { createSocket } from 'node:dgram';
import { afterEach, describe, expect, test } from 'vitest';
import type { ClientJob, Outcome } from '../src/tftp/client.ts';
import type { Wishes } from '../src/tftp/options.ts';
import { type Pace, pushPace, servePace } from '../src/tftp/pace.ts';
import { bytesSource } from '../src/tftp/sending.ts';
import { type ServerEvent, serverLimits } from '../src/tftp/server.ts';
import { type ListenEvent, runClient, UdpServer } from '../src/tftp/udp.ts';
import { BadRelay } from './support/bad-relay.ts';
import { type AskingHabits, AskingLoader, type LoaderHabits, ubootTftpboot, WaitingLoader } from './support/loaders.ts';
import type { Conditions } from './support/simulated-network.ts';
import { freePort } from './support/tftp-daemons.ts';
import { numberedBytes } from './support/tftp-peers.ts';

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

const address = '127.0.0.1';
const networks: readonly (readonly [string, Conditions])[] = [
  ['30 % loss', { loss: 30, duplicates: 0, delay: [0, 1] }],
  ['20 % duplicates, reordering', { loss: 0, duplicates: 20, delay: [0, 30] }],
  ['30 % loss, 20 % duplicates, reordering', { loss: 30, duplicates: 20, delay: [0, 30] }],
  ['300 ms delay, 30 % loss, 20 % duplicates', { loss: 30, duplicates: 20, delay: [290, 310] }],
];
const perfect: Conditions = { loss: 0, duplicates: 0, delay: [0, 1] };

async function relayTo(port: number, conditions: Conditions, seed = 1): Promise<BadRelay> {
  const relay = await BadRelay.to(port, conditions, seed);
  closing.push(() => relay.close());
  return relay;
}

/** A loader that waits for a file, behind real sockets. */
async function waitingLoader(habits: LoaderHabits): Promise<{ readonly loader: WaitingLoader; readonly port: number }> {
  const [port, own] = [await freePort(), await freePort()];
  const sockets = new Map([
    [69, createSocket('udp4')],
    [own, createSocket('udp4')],
  ]);
  let open = true;
  const loader: WaitingLoader = new WaitingLoader({ ...habits, answerPort: own }, (bytes, from, to) => {
    if (open) sockets.get(from)?.send(bytes, to.port, to.address);
  });
  for (const [number, socket] of sockets) {
    socket.on('message', (bytes, from) => loader.receive(bytes, number, from, performance.now()));
    await new Promise<void>((resolve) => socket.bind(number === 69 ? port : number, address, resolve));
  }
  const clock = setInterval(() => loader.tick(performance.now()), 20);
  closing.push(() => {
    open = false;
    clearInterval(clock);
    for (const socket of sockets.values()) socket.close();
  });
  return { loader, port };
}

/** A loader that asks for a file, behind a real socket; begins at once. */
async function askingLoader(habits: AskingHabits, port: number): Promise<AskingLoader> {
  const socket = createSocket('udp4');
  let open = true;
  const loader = new AskingLoader(habits, { address, port }, (bytes, to) => {
    if (open) socket.send(bytes, to.port, to.address);
  });
  socket.on('message', (bytes, from) => loader.receive(bytes, from, performance.now()));
  await new Promise<void>((resolve) => socket.bind(0, address, resolve));
  const clock = setInterval(() => loader.tick(performance.now()), 20);
  closing.push(() => {
    open = false;
    clearInterval(clock);
    socket.close();
  });
  loader.start(performance.now());
  return loader;
}

function put(port: number, bytes: Uint8Array, pace: Pace, wishes?: Wishes): Promise<Outcome> {
  const server = { address, port };
  const job: ClientJob = {
    direction: 'put',
    server,
    name: 'fw.bin',
    mode: 'octet',
    pace,
    askFor: 20_000,
    quiet: true,
    wishes,
    source: bytesSource(bytes),
  };
  return runClient(server, () => job, {});
}

async function serve(bytes: Uint8Array, pace: Pace): Promise<{ readonly port: number; readonly events: (ServerEvent | ListenEvent)[] }> {
  const events: (ServerEvent | ListenEvent)[] = [];
  const rules = { offers: [{ names: ['firmware.bin'], source: bytesSource(bytes) }], anyName: false, limits: serverLimits, pace };
  const server = await UdpServer.listen(rules, { addresses: [address], port: 0, event: (event) => void events.push(event) });
  closing.push(() => server.stop('the test is over'));
  return { port: server.listeners[0]?.port as number, events };
}

describe('put by a bad network', () => {
  test.each(networks)('with %s: the loader has every byte, once', async (_, conditions) => {
    const image = numberedBytes(4 * 512);
    const { loader, port } = await waitingLoader({ repeatAfter: 700 });
    const relay = await relayTo(port, conditions);
    const outcome = await put(relay.port, image, pushPace);
    // Where the last acknowledgement was lost it is "probably complete", which is no failure.
    expect(outcome.outcome).not.toBe('failed');
    expect(loader.taken.map((taken) => Buffer.compare(taken, image))).toEqual([0]);
    expect(relay.lost > 0).toBe(conditions.loss > 0);
  });

  test('a loader that dies in the middle: a clear error after the patience, with what it had', async () => {
    const { loader, port } = await waitingLoader({ repeatAfter: 700 });
    const relay = await relayTo(port, perfect);
    const image = numberedBytes(4000 * 512);
    const putting = put(relay.port, image, { first: 100, most: 200, patience: 1500 });
    await expect.poll(() => loader.received, { timeout: 30_000 }).toBeGreaterThan(50);
    relay.down = true;
    const died = performance.now();
    const outcome = await putting;
    expect(outcome).toMatchObject({ outcome: 'failed', failure: 'silent', allSent: false, message: expect.stringContaining('has been silent for') });
    expect(outcome.bytes).toBeGreaterThanOrEqual(50 * 512);
    expect(performance.now() - died).toBeGreaterThanOrEqual(1000);
    expect(loader.taken).toEqual([]);
  });
});

describe('serving by a bad network', () => {
  const quick: AskingHabits = { ...ubootTftpboot, repeatAfter: 500, tries: 60 };
  const rfc1350: AskingHabits = { ...quick, options: {} };

  test.each(networks)('with %s: loaders with and without options have every byte', async (_, conditions) => {
    const image = numberedBytes(5 * 512 + 3);
    const { port } = await serve(image, { ...servePace, first: 500, most: 1000 });
    const relay = await relayTo(port, conditions);
    const loaders = await Promise.all([askingLoader(quick, relay.port), askingLoader(rfc1350, relay.port)]);
    await expect.poll(() => loaders.map(({ state }) => state), { timeout: 30_000 }).toEqual(['done', 'done']);
    for (const { bytes } of loaders) expect(Buffer.compare(bytes, image)).toBe(0);
    expect(relay.lost > 0).toBe(conditions.loss > 0);
  });

  test('a device that dies in the middle: the transfer is given up after the patience, and the next device gets all', async () => {
    const image = numberedBytes(20_000 * 512);
    const { port, events } = await serve(image, { first: 100, most: 200, patience: 1500 });
    const relay = await relayTo(port, perfect);
    const dying = await askingLoader({ ...rfc1350, repeatAfter: 5000 }, relay.port);
    await expect.poll(() => dying.bytes.length, { timeout: 30_000 }).toBeGreaterThan(50 * 512);
    relay.down = true;
    await expect
      .poll(() => events.at(-1), { timeout: 30_000 })
      .toMatchObject({ event: 'ended', outcome: 'silent', text: expect.stringMatching(/^it stopped answering after \d+ bytes$/) });
    expect(dying.state).toBe('loading');
    relay.down = false;
    const next = await askingLoader(quick, port);
    await expect.poll(() => next.state, { timeout: 30_000 }).toBe('done');
    expect(Buffer.compare(next.bytes, image)).toBe(0);
  });
});
