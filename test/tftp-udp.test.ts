/** The sockets: real ones, on loopback and in a network namespace of the test's own. */
import { createHash } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { userInfo } from 'node:os';
import { afterEach, describe, expect, test } from 'vitest';
import { OwimgError } from '../src/core/errors.ts';
import type { ClientJob, Outcome } from '../src/tftp/client.ts';
import type { Wishes } from '../src/tftp/options.ts';
import { getPace, type Pace, pushPace } from '../src/tftp/pace.ts';
import { ackPacket, dataPacket, type Packet, parsePacket, requestPacket } from '../src/tftp/packets.ts';
import { bytesSource } from '../src/tftp/sending.ts';
import { type ServerEvent, serverLimits } from '../src/tftp/server.ts';
import {
  type ClientOptions,
  canonicalAddress,
  type ListenEvent,
  type ListenOptions,
  localAddresses,
  resolveHost,
  runClient,
  UdpServer,
} from '../src/tftp/udp.ts';
import { BadRelay } from './support/bad-relay.ts';
import { type LoaderHabits, ubootTftpsrv, WaitingLoader } from './support/loaders.ts';
import type { Conditions } from './support/simulated-network.ts';
import { freePort } from './support/tftp-daemons.ts';
import { Collected, numberedBytes } from './support/tftp-peers.ts';
import { attempt } from './support/tools.ts';

const mebi = 1024 * 1024;
const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

async function serve(
  bytes: Uint8Array,
  options: Partial<ListenOptions> = {},
): Promise<{ server: UdpServer; port: number; events: (ServerEvent | ListenEvent)[] }> {
  const events: (ServerEvent | ListenEvent)[] = [];
  const rules = { offers: [{ names: ['fw.bin'], source: bytesSource(bytes) }], anyName: false, limits: serverLimits };
  const server = await UdpServer.listen(rules, { addresses: ['127.0.0.1'], port: 0, event: (event) => void events.push(event), ...options });
  closing.push(() => server.stop('the test is over'));
  return { server, port: server.listeners[0]?.port as number, events };
}

interface Asked {
  readonly address?: string;
  readonly port: number;
  readonly wishes?: Wishes | undefined;
  readonly bytes?: Uint8Array;
  readonly deliver?: (data: Uint8Array) => void;
  readonly pace?: Pace;
  readonly askFor?: number;
}

function client(direction: 'get' | 'put', { address = '127.0.0.1', port, bytes, ...job }: Asked, options: ClientOptions = {}): Promise<Outcome> {
  const server = { address, port };
  const usual = { server, direction, name: 'fw.bin', mode: 'octet', pace: direction === 'get' ? getPace : pushPace, askFor: 10_000, quiet: true };
  return runClient(server, () => ({ ...usual, source: bytesSource(bytes ?? new Uint8Array(0)), deliver: () => undefined, ...job }) as ClientJob, options);
}

describe('UdpServer and runClient()', () => {
  test.each(['127.0.0.1', '::1'])('a transfer by %s, from the port asked for', async (address) => {
    const bytes = numberedBytes(100_001);
    const { port, events } = await serve(bytes, { addresses: [address] });
    const got = new Collected();
    const sourcePort = await freePort(address);
    const outcome = await client('get', { address, port, deliver: got.add, wishes: { blockSize: 1428, windowSize: 8 } }, { bind: address, port: sourcePort });
    expect(outcome).toEqual({ outcome: 'complete', bytes: bytes.length, retransmissions: 0 });
    expect(Buffer.compare(got.bytes, bytes)).toBe(0);
    expect(events).toContainEqual(expect.objectContaining({ event: 'request', from: { address, port: sourcePort } }));
  });

  test('another loopback address is answered from that address', async () => {
    const { port } = await serve(numberedBytes(600), { addresses: ['127.0.0.5'] });
    expect(await client('get', { address: '127.0.0.5', port })).toMatchObject({ outcome: 'complete' });
  });

  test('a link-local address that is not there yet does not keep the others from being served; another one does', async () => {
    const { server } = await serve(numberedBytes(600), { addresses: ['127.0.0.1', 'fe80::1234%lo'] });
    expect(server.listeners.map(({ address }) => address)).toEqual(['127.0.0.1']);
    await expect(serve(numberedBytes(600), { addresses: ['127.0.0.1', '192.0.2.1'] })).rejects.toMatchObject({ code: 'cannot-listen' });
    await expect(serve(numberedBytes(600), { addresses: ['fe80::1234%lo'] })).rejects.toMatchObject({ code: 'cannot-listen' });
  });

  test('a hundred devices at once get 16 MiB each, all of it', async () => {
    const bytes = numberedBytes(16 * mebi);
    const expected = createHash('sha256').update(bytes).digest('hex');
    const { port, events } = await serve(bytes);
    const devices = Array.from({ length: 100 }, async () => {
      const hash = createHash('sha256');
      const outcome = await client('get', { port, wishes: { blockSize: 1468, windowSize: 8 }, deliver: (data) => void hash.update(data) });
      return `${outcome.outcome} ${hash.digest('hex')}`;
    });
    expect(new Set(await Promise.all(devices))).toEqual(new Set([`complete ${expected}`]));
    expect(events.filter(({ event }) => event === 'request')).toHaveLength(100);
  });

  const networks: readonly (readonly [string, Conditions])[] = [
    ['30 % loss, 20 % duplicates, reordering', { loss: 30, duplicates: 20, delay: [0, 6] }],
    ['300 ms delay', { loss: 0, duplicates: 20, delay: [295, 305] }],
  ];
  test.each(networks)('a get by a network with %s brings all of it', async (_, conditions) => {
    const bytes = numberedBytes(120_000);
    const { port } = await serve(bytes);
    const relay = await BadRelay.to(port, conditions);
    closing.push(() => relay.close());
    const got = new Collected();
    const pace = { first: 200, most: 400, patience: 20_000 };
    const outcome = await client('get', { port: relay.port, pace, deliver: got.add, wishes: { blockSize: 1428, windowSize: 16, transferSize: 0 } });
    expect(outcome).toMatchObject({ outcome: 'complete', bytes: bytes.length });
    expect(Buffer.compare(got.bytes, bytes)).toBe(0);
  });

  test('a peer that dies in the middle is an error after the patience', async () => {
    const { port } = await serve(numberedBytes(mebi));
    const relay = await BadRelay.to(port, { loss: 0, duplicates: 0, delay: [0, 1] });
    closing.push(() => relay.close());
    let taken = 0;
    const deliver = (data: Uint8Array): void => {
      taken += data.length;
      if (taken > 100_000) relay.down = true;
    };
    expect(await client('get', { port: relay.port, deliver, pace: { first: 100, most: 200, patience: 800 } })).toMatchObject({ failure: 'silent' });
  });

  test('a device whose port is closed for a moment, as while it starts, gets on with its window', async () => {
    const bytes = numberedBytes(3 * 512 + 1);
    const rules = {
      offers: [{ names: ['fw.bin'], source: bytesSource(bytes) }],
      anyName: false,
      limits: serverLimits,
      pace: { first: 50, most: 50, patience: 5000 },
    };
    const server = await UdpServer.listen(rules, { addresses: ['127.0.0.1'], port: 0 });
    closing.push(() => server.stop('the test is over'));
    const own = await freePort();
    const heard = async (first: { readonly bytes: Uint8Array; readonly port: number }, count: number): Promise<{ packets: Packet[]; port: number }> => {
      const socket = createSocket('udp4');
      await new Promise<void>((resolve) => socket.bind(own, '127.0.0.1', resolve));
      const packets: Packet[] = [];
      const port = await new Promise<number>((resolve) => {
        socket.on('message', (data, from) => {
          packets.push(parsePacket(data));
          if (packets.length === count) resolve(from.port);
        });
        socket.send(first.bytes, first.port, '127.0.0.1');
      });
      await new Promise<void>((resolve) => socket.close(resolve));
      return { packets, port };
    };
    const options = new Map([['windowsize', '8']]);
    const request = requestPacket({ kind: 'read', name: 'fw.bin', mode: 'octet', options });
    const asked = await heard({ bytes: request, port: server.listeners[0]?.port as number }, 1);
    expect(asked.packets).toEqual([{ kind: 'options', options }]);
    // The server repeats its answer to a closed port.
    await new Promise((resolve) => setTimeout(resolve, 300));
    const { packets } = await heard({ bytes: ackPacket(0), port: asked.port }, 5);
    const blocks = packets.flatMap((packet) => (packet.kind === 'data' ? [[packet.block, packet.data.length]] : []));
    expect(blocks.slice(0, 4)).toEqual([
      [1, 512],
      [2, 512],
      [3, 512],
      [4, 1],
    ]);
  });

  test('packets of strangers do not disturb a transfer with a window', async () => {
    const bytes = numberedBytes(mebi);
    const { port } = await serve(bytes);
    const own = await freePort();
    const stranger = createSocket('udp4');
    closing.push(() => stranger.close());
    const got = new Collected();
    let disturbed = 0;
    const deliver = (data: Uint8Array): void => {
      got.add(data);
      if (got.bytes.length > 100_000 && disturbed < 20) {
        disturbed += 1;
        stranger.send(dataPacket(disturbed, new Uint8Array(3)), own, '127.0.0.1');
      }
    };
    const outcome = await client('get', { port, deliver, wishes: { blockSize: 512, windowSize: 8 } }, { bind: '127.0.0.1', port: own });
    expect(disturbed).toBe(20);
    expect(outcome).toEqual({ outcome: 'complete', bytes: bytes.length, retransmissions: 0 });
    expect(Buffer.compare(got.bytes, bytes)).toBe(0);
  });

  /** A loader behind real sockets. */
  async function startLoader(habits: LoaderHabits): Promise<{ loader: WaitingLoader; port: number }> {
    const port = await freePort();
    const own = await freePort();
    const ports = new Map([
      [69, createSocket('udp4')],
      [own, createSocket('udp4')],
    ]);
    const loader: WaitingLoader = new WaitingLoader({ ...habits, answerPort: own }, (bytes, from, to) => ports.get(from)?.send(bytes, to.port, to.address));
    for (const [number, socket] of ports) {
      socket.on('message', (bytes, from) => loader.receive(bytes, number, from, performance.now()));
      await new Promise<void>((resolve) => socket.bind(number === 69 ? port : number, '127.0.0.1', resolve));
      closing.push(() => socket.close());
    }
    const clock = setInterval(() => loader.tick(performance.now()), 50);
    closing.push(() => clearInterval(clock));
    return { loader, port };
  }

  test('a push goes on while nobody listens, and until the loader comes up late', async () => {
    const image = numberedBytes(512 * 300);
    const port = await freePort();
    const events: string[] = [];
    const push = client(
      'put',
      { port, bytes: image, askFor: Number.POSITIVE_INFINITY, pace: { ...pushPace, most: 250 } },
      { event: ({ event }) => void events.push(event) },
    );
    await new Promise((resolve) => setTimeout(resolve, 1200));
    const started = await startLoader(ubootTftpsrv);
    // The loader's port of this test is another one: what arrives at the first is passed on.
    const door = createSocket('udp4');
    closing.push(() => door.close());
    await new Promise<void>((resolve) => door.bind(port, '127.0.0.1', resolve));
    door.on('message', (bytes, from) => started.loader.receive(bytes, 69, from, performance.now()));
    expect(await push).toMatchObject({ outcome: 'complete', bytes: image.length });
    expect(Buffer.compare(started.loader.taken[0] as Uint8Array, image)).toBe(0);
    expect(events.filter((event) => event === 'asking').length).toBeGreaterThanOrEqual(4);
  });

  test('an interrupt tells the other side, and closes the socket', async () => {
    const { port, events } = await serve(numberedBytes(8 * mebi));
    const controller = new AbortController();
    let taken = 0;
    const deliver = (data: Uint8Array): void => {
      taken += data.length;
      if (taken > mebi) controller.abort();
    };
    expect(await client('get', { port, deliver }, { signal: controller.signal })).toMatchObject({ failure: 'interrupted' });
    await expect.poll(() => events.at(-1)).toMatchObject({ event: 'ended', outcome: 'stopped-by-peer', text: '"interrupted" (error 0)' });
  });

  test('stopping the server tells the client', async () => {
    const { server, port } = await serve(numberedBytes(8 * mebi));
    let taken = 0;
    const deliver = (data: Uint8Array): void => {
      taken += data.length;
      if (taken > mebi) server.stop('owimg was stopped');
    };
    expect(await client('get', { port, deliver })).toMatchObject({ failure: 'peer-error', said: { code: 0, text: 'owimg was stopped' } });
  });

  test('what cannot be kept ends the transfer on both sides', async () => {
    const { port, events } = await serve(numberedBytes(mebi));
    const deliver = (): void => {
      throw new OwimgError('file-too-large', 'too much');
    };
    await expect(client('get', { port, deliver })).rejects.toThrow('too much');
    await expect.poll(() => events.at(-1)).toMatchObject({ event: 'ended', outcome: 'stopped-by-peer' });
  });

  test('a port that somebody has is refused, with what to do', async () => {
    const { port } = await serve(numberedBytes(1));
    const error = await serve(numberedBytes(1), { port }).catch((reason: unknown) => reason);
    expect(error).toMatchObject({
      code: 'cannot-listen',
      message: `Cannot open UDP 127.0.0.1:${port}: another program has it`,
      hint: expect.stringContaining('--bind'),
    });
    const again = await client('get', { port }, { bind: '127.0.0.1', port }).catch((reason: unknown) => reason);
    expect(again).toMatchObject({ code: 'cannot-listen' });
  });

  test('an address that the machine does not have is refused', async () => {
    await expect(serve(numberedBytes(1), { addresses: ['192.0.2.77'] })).rejects.toThrow('does not have that address');
  });

  test('a window is cut to what the receive buffer holds', async () => {
    let fits = 0;
    const { port } = await serve(numberedBytes(1));
    const server = { address: '127.0.0.1', port };
    const job = { server, direction: 'get', name: 'fw.bin', mode: 'octet', pace: getPace, askFor: 1000, deliver: () => undefined } as const;
    const makeJob = (windowThatFits: (blockSize: number) => number) => {
      fits = windowThatFits(8192);
      return job;
    };
    await runClient(server, makeJob, { receiveBuffer: 65_536 });
    expect(fits).toBeGreaterThanOrEqual(4);
    expect(fits).toBeLessThanOrEqual(20);
  });

  test('where nobody listens it is asked on until the time is over', async () => {
    const events: string[] = [];
    const pace = { first: 100, most: 100, patience: 1000 };
    const outcome = await client('get', { port: await freePort(), askFor: 600, pace }, { event: ({ event }) => void events.push(event) });
    expect(outcome).toMatchObject({ failure: 'no-answer' });
    expect(events.filter((event) => event === 'asking').length).toBeGreaterThanOrEqual(5);
  });

  test('memory does not grow with what is served', async () => {
    const bytes = numberedBytes(64 * mebi);
    const { port } = await serve(bytes);
    await client('get', { port, wishes: { blockSize: 1428, windowSize: 16 } });
    globalThis.gc?.();
    const before = process.memoryUsage();
    for (let round = 0; round < 3; round += 1) await client('get', { port, wishes: { blockSize: 1428, windowSize: 16 } });
    globalThis.gc?.();
    const after = process.memoryUsage();
    expect((after.arrayBuffers + after.external - before.arrayBuffers - before.external) / mebi).toBeLessThan(32);
  });
});

describe('addresses', () => {
  test('resolveHost() takes numbers as they are, names by the system, and says what is wrong', async () => {
    expect(await resolveHost('192.168.1.1')).toBe('192.168.1.1');
    expect(await resolveHost('[::1]')).toBe('::1');
    expect(await resolveHost('localhost', 4)).toBe('127.0.0.1');
    await expect(resolveHost('192.168.1.1', 6)).rejects.toThrow('not an IPv6 address');
  });

  test.each([
    ['0:0:0:0:0:0:0:1', '::1'],
    ['::0001', '::1'],
    ['[2001:DB8:0:0::0001]', '2001:db8::1'],
    ['2001:db8::1%lo', '2001:db8::1'],
    ['FE80::0001%eth0', 'fe80::1%eth0'],
    ['::ffff:127.0.0.1', '127.0.0.1'],
    ['::FFFF:7f00:1', '127.0.0.1'],
    ['192.168.1.1', '192.168.1.1'],
    ['localhost', undefined],
    ['fe80::1%', undefined],
    ['1.2.3', undefined],
    ['', undefined],
  ])('canonicalAddress() writes %s as %s', (text, expected) => {
    expect(canonicalAddress(text)).toBe(expected);
  });

  test.each([
    ['0:0:0:0:0:0:0:1', '::1'],
    ['::0001', '::1'],
    ['::ffff:127.0.0.1', '127.0.0.1'],
  ])('a transfer from %s works as from %s', async (written, address) => {
    const { port } = await serve(numberedBytes(3000), { addresses: [address] });
    expect(await client('get', { address: await resolveHost(written), port, askFor: 2000 })).toMatchObject({ outcome: 'complete', bytes: 3000 });
  });

  test('resolveHost() wants the network card of a link-local address, and takes the one that is named', async () => {
    await expect(resolveHost('FE80::1')).rejects.toMatchObject({ code: 'bad-usage', hint: expect.stringContaining('fe80::1%') });
    expect(await resolveHost('FE80::1', 0, 'eth7')).toBe('fe80::1%eth7');
    await expect(resolveHost('::ffff:127.0.0.1', 6)).rejects.toThrow('Cannot use 127.0.0.1: it is not an IPv6 address');
  });

  test('localAddresses() names the interfaces that there are for one that is not', () => {
    expect(localAddresses()).toContain('127.0.0.1');
    expect(() => localAddresses('nope0')).toThrow(/"nope0": it does not exist/);
    expect(localAddresses('lo')).toContain('127.0.0.1');
  });
});

// In a network namespace of its own: all addresses, port 69, an address that comes later.
const canUnshare = userInfo().uid === 0 && attempt('unshare', '-n', 'true').ok && attempt('ip', '-V').ok;
test.skipIf(!canUnshare)('by all addresses: port 69, also by an address that the machine gets later (network namespace)', () => {
  const script = `
import { runClient, UdpServer } from './src/tftp/udp.ts';
import { bytesSource } from './src/tftp/sending.ts';
import { getPace } from './src/tftp/pace.ts';
import { serverLimits } from './src/tftp/server.ts';
import { execFileSync } from 'node:child_process';
const rules = { offers: [{ names: ['fw.bin'], source: bytesSource(new Uint8Array(3000)) }], anyName: false, limits: serverLimits };
const server = await UdpServer.listen(rules, { port: 69 });
execFileSync('ip', ['address', 'add', '10.9.8.7/32', 'dev', 'lo']);
for (const address of ['127.0.0.1', '10.9.8.7']) {
  const peer = { address, port: 69 };
  const outcome = await runClient(peer, () => ({ direction: 'get', server: peer, name: 'fw.bin', mode: 'octet', pace: { ...getPace, first: 100, most: 100 }, askFor: 5000, deliver: () => undefined }), {});
  console.log(address, outcome.outcome, outcome.bytes);
}
server.stop('');
`;
  const { out, err } = attempt(
    'unshare',
    '-n',
    'sh',
    '-c',
    `ip link set lo up && exec "$@"`,
    'sh',
    process.execPath,
    '--import',
    'tsx',
    '--input-type=module',
    '-e',
    script,
  );
  expect(`${out}${err}`).toContain('127.0.0.1 complete 3000\n10.9.8.7 complete 3000\n');
});
