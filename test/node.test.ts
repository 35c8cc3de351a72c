/** `owimg/node`: what programs call, over loopback. */
import { createSocket } from 'node:dgram';
import { afterEach, describe, expect, test } from 'vitest';
import {
  type FlashEvent,
  type FlashPlanOptions,
  flash,
  getTftp,
  type Peer,
  planFlash,
  pushTftp,
  putTftp,
  serveDhcp,
  serveTftp,
  type TransferOptions,
  type UdpServer,
} from '../src/node.ts';
import { ackPacket, errorPacket, parsePacket } from '../src/tftp/packets.ts';
import { waitingLoader } from './support/flash-loaders.ts';
import { loadImage } from './support/images.ts';
import { ubootTftpsrv } from './support/loaders.ts';

const address = '127.0.0.1';
const image = Uint8Array.from({ length: 70_000 }, (_, index) => (index * 7) % 251);

let server: UdpServer | undefined;
afterEach(() => {
  server?.stop('over');
  server = undefined;
});

async function serving(options: Parameters<typeof serveTftp>[1] = {}): Promise<Peer> {
  server = await serveTftp([{ names: ['fw.bin'], bytes: image }], { addresses: [address], port: 0, ...options });
  return server.listeners[0] as Peer;
}

/** A loader that takes a file, or answers so many times with an error. */
async function loader(error?: string, times = Number.POSITIVE_INFINITY): Promise<{ readonly peer: Peer; readonly got: Uint8Array[]; close(): void }> {
  const socket = createSocket('udp4');
  const got: Uint8Array[] = [];
  let refusals = 0;
  socket.on('message', (bytes, from) => {
    const packet = parsePacket(new Uint8Array(bytes));
    refusals += error === undefined ? 0 : 1;
    const answer = error !== undefined && refusals <= times ? errorPacket(0, error) : packet.kind === 'data' ? ackPacket(packet.block) : ackPacket(0);
    if (packet.kind === 'data') got[packet.block - 1] = packet.data.slice();
    socket.send(answer, from.port, from.address);
  });
  await new Promise<void>((resolve) => socket.bind(0, address, resolve));
  return { peer: { address, port: socket.address().port }, got, close: () => void socket.close() };
}

describe('getTftp() and serveTftp()', () => {
  test('give the very bytes, plain and with options', async () => {
    const peer = await serving();
    for (const options of [{}, { wishes: { blockSize: 1428, windowSize: 8, transferSize: 0 } }]) {
      expect(Buffer.compare(await getTftp(peer, 'fw.bin', options), image)).toBe(0);
    }
  });

  test('give nothing but what was named, unless any name will do', async () => {
    const peer = await serving();
    await expect(getTftp(peer, '../fw.bin')).rejects.toMatchObject({ code: 'cannot-reach', message: expect.stringContaining('file not found') });
    server?.stop('over');
    expect((await getTftp(await serving({ anyName: true }), 'whatever.img')).length).toBe(image.length);
  });

  test('say that nobody answered', async () => {
    const silent = createSocket('udp4');
    await new Promise<void>((resolve) => silent.bind(0, address, resolve));
    const asked = getTftp({ address, port: silent.address().port }, 'fw.bin', { askFor: 300 });
    await expect(asked).rejects.toMatchObject({ code: 'cannot-reach', message: expect.stringContaining('No answer') });
    silent.close();
  });

  test('end when they are told to', async () => {
    const silent = createSocket('udp4');
    await new Promise<void>((resolve) => silent.bind(0, address, resolve));
    const controller = new AbortController();
    const asked = getTftp({ address, port: silent.address().port }, 'fw.bin', { signal: controller.signal });
    controller.abort();
    await expect(asked).rejects.toMatchObject({ code: 'transfer-interrupted' });
    silent.close();
  });
});

describe('putTftp() and pushTftp()', () => {
  test('put the very bytes', async () => {
    for (const put of [putTftp, pushTftp]) {
      const { peer, got, close } = await loader();
      const { outcome, bytes } = await put(peer, 'code.bin', image);
      expect([outcome, bytes]).toEqual(['complete', image.length]);
      expect(Buffer.compare(Buffer.concat(got), image)).toBe(0);
      close();
    }
  });

  test('tell what the loader says', async () => {
    const { peer, close } = await loader('Code pattern is incorrect');
    await expect(putTftp(peer, 'code.bin', image)).rejects.toMatchObject({
      code: 'cannot-reach',
      message: expect.stringContaining('Code pattern is incorrect'),
    });
    close();
  });
});

test('pushTftp() goes on where the firmware of the device answers in the place of its loader', async () => {
  const { peer, got, close } = await loader('Invalid Password', 3);
  let asked = 0;
  const event: TransferOptions['event'] = (told) => {
    if (told.event === 'asking') asked += 1;
  };
  const { outcome } = await pushTftp(peer, 'code.bin', image, { event });
  expect(outcome).toBe('complete');
  expect(asked).toBe(4);
  expect(Buffer.compare(Buffer.concat(got), image)).toBe(0);
  close();
});

test('addresses of IPv6 may be written in any way', async () => {
  server = await serveTftp([{ names: ['fw.bin'], bytes: image }], { addresses: ['::1'], port: 0 });
  const { port } = server.listeners[0] as Peer;
  expect(Buffer.compare(await getTftp({ address: '0:0:0:0:0:0:0:1', port }, 'fw.bin', { askFor: 3000 }), image)).toBe(0);
});

describe('planFlash() and flash()', () => {
  const wndr = loadImage('netgear_wndr3700-v2-factory.img');
  const archer = loadImage('tplink_archer-c7-v5-factory.bin');
  const guessed = { router: address, accept: ['habit-guessed'] } as const;

  test('send to a loader that waits, with events', async () => {
    const { loader: uboot, port, close } = await waitingLoader(ubootTftpsrv);
    const events: FlashEvent[] = [];
    const planned = await planFlash({ bytes: wndr, name: 'wndr3700-factory.img' }, 'netgear_wndr3700-v2', { ...guessed, port });
    expect(planned.obstacle).toBeUndefined();
    expect(planned.plan).toMatchObject({ part: 'client', verdict: { outcome: 'installs' }, file: { size: wndr.length } });
    expect(await flash(planned, { event: (event) => void events.push(event) })).toEqual({ result: 'sent', verification: undefined });
    close();
    expect(Buffer.compare(uboot.taken[0] as Uint8Array, wndr)).toBe(0);
    expect(events.map(({ event }) => event)).toEqual(expect.arrayContaining(['asking', 'answered', 'sent']));
    expect(events.at(-1)).toMatchObject({ event: 'sent', bytes: wndr.length, sha256: planned.plan.file.sha256 });
  });

  test.each<[string, Uint8Array, string, FlashPlanOptions, string, string]>([
    ['an image for another device', archer, 'tplink_archer-c7-v4', { host: address }, 'input-refused', '--accept'],
    ['damage', wndr.with(5000, (wndr[5000] as number) ^ 1), 'netgear_wndr3700-v2', guessed, 'input-refused', '--accept'],
    ['a device of which nothing is known', archer, 'dlink_dir-842-c1', {}, 'verdict-unknown', '--accept'],
    ['a card that has to be named', archer, 'tplink_archer-c7-v5', { bootp: true }, 'bad-usage', 'A loader asks everybody'],
  ])('do nothing with %s; the plan says why', async (_, bytes, device, options, code, hint) => {
    const planned = await planFlash({ bytes }, device, { port: 6969, ...options });
    expect(planned.obstacle).toMatchObject({ code, hint: expect.stringContaining(hint) });
    const events: FlashEvent[] = [];
    await expect(flash(planned, { event: (event) => void events.push(event) })).rejects.toBe(planned.obstacle);
    expect(events).toEqual([]);
  });

  test('do nothing on a guess that nobody has confirmed', async () => {
    const planned = await planFlash({ bytes: wndr }, 'netgear_wndr3700-v2', { router: address, port: 6969 });
    expect(planned.obstacle).toBeUndefined();
    await expect(flash(planned)).rejects.toMatchObject({ code: 'not-confirmed', hint: expect.stringContaining('habit-guessed') });
  });

  test('go on with what is accepted', async () => {
    const options = { host: address, port: 0 };
    const { obstacle } = await planFlash({ bytes: archer }, 'tplink_archer-c7-v4', options);
    const accept = /--accept ([a-z -]+)/.exec(obstacle?.hint ?? '')?.[1]?.split(' ') ?? [];
    const planned = await planFlash({ bytes: archer }, 'tplink_archer-c7-v4', { ...options, accept });
    expect(planned.obstacle).toBeUndefined();
    const event = (told: FlashEvent): void => {
      if (told.event === 'listening') void getTftp(told.local, planned.plan.name?.value ?? 'any');
    };
    expect((await flash(planned, { event })).result).toBe('sent');
  });

  test('end when they are told to, or when the time is over', async () => {
    const planned = await planFlash({ bytes: archer }, 'tplink_archer-c7-v5', { host: address, port: 0 });
    const controller = new AbortController();
    const flashing = flash(planned, { signal: controller.signal, event: ({ event }) => void (event === 'listening' && controller.abort()) });
    await expect(flashing).rejects.toMatchObject({ code: 'transfer-interrupted' });
    await expect(flash(planned, { wait: 50 })).rejects.toMatchObject({ code: 'cannot-reach', message: 'No device has asked for the file within 0.05 s' });
  });

  test('refuse options that cannot be meant', async () => {
    await expect(planFlash({ bytes: archer }, 'tplink_archer-c7-v5', { port: 70_000 })).rejects.toMatchObject({ code: 'bad-value' });
    await expect(planFlash({ bytes: archer }, 'tplink_archer-c7-v5', { host: 'here' })).rejects.toMatchObject({ code: 'bad-value' });
    await expect(planFlash({ bytes: archer }, 'no such device')).rejects.toMatchObject({ code: 'device-unknown' });
  });
});

describe('serveDhcp()', () => {
  const wanted = { interface: 'no-such-card', mac: '02:00:00:00:00:01', file: 'vmlinux' };

  test.each([
    ['neither BOOTP nor DHCP', {}, 'bad-usage'],
    ['a hardware address that is none', { bootp: true, mac: 'eth0' }, 'bad-value'],
    ['a card that is not there', { dhcp: true }, 'cannot-listen'],
  ])('refuses %s', async (_, options, code) => {
    await expect(serveDhcp({ ...wanted, ...options })).rejects.toMatchObject({ code });
  });
});
