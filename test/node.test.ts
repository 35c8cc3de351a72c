/** `owimg/node`: what programs call, over loopback. */
import { createSocket } from 'node:dgram';
import { afterEach, describe, expect, test } from 'vitest';
import { getTftp, type Peer, pushTftp, putTftp, serveTftp, type UdpServer } from '../src/node.ts';
import { ackPacket, errorPacket, parsePacket } from '../src/tftp/packets.ts';

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

/** A loader that takes a file, or answers everything with an error. */
async function loader(error?: string): Promise<{ readonly peer: Peer; readonly got: Uint8Array[]; close(): void }> {
  const socket = createSocket('udp4');
  const got: Uint8Array[] = [];
  socket.on('message', (bytes, from) => {
    const packet = parsePacket(new Uint8Array(bytes));
    const answer = error !== undefined ? errorPacket(0, error) : packet.kind === 'data' ? ackPacket(packet.block) : ackPacket(0);
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
