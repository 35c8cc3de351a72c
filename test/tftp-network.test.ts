/** What happens to a computer's network while a transfer runs: addresses go and come, sending is forbidden. In namespaces that the test makes. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { Namespace, namespacesMissing, type Running } from './support/namespaces.ts';
import { numberedBytes } from './support/tftp-peers.ts';

const missing = namespacesMissing();
const folder = mkdtempSync(join(tmpdir(), 'owimg-network-'));
afterAll(() => rmSync(folder, { recursive: true }));
const image = join(folder, 'image.bin');
const blocks = 300;
writeFileSync(image, numberedBytes(blocks * 512 + 100));

/** A loader of the test's own behind sockets, which takes some milliseconds for every block, and says where it is. */
const loaderScript = `
import { createSocket } from 'node:dgram';
import { createHash } from 'node:crypto';
import { WaitingLoader } from './test/support/loaders.ts';
const sockets = new Map();
let taken = 0;
const loader = new WaitingLoader({ answerPort: 2345, repeatAfter: 1000 }, (bytes, from, to) => setTimeout(() => sockets.get(from).send(bytes, to.port, to.address, () => undefined), 8));
for (const port of [69, 2345]) {
  const socket = createSocket('udp4');
  sockets.set(port, socket);
  socket.on('message', (bytes, from) => {
    loader.receive(bytes, port, from, performance.now());
    if (bytes[1] === 3 && (bytes[2] << 8 | bytes[3]) > taken) {
      taken = bytes[2] << 8 | bytes[3];
      if (taken % 50 === 0) console.log('block ' + taken + ';');
    }
    if (loader.taken.length > 0) console.log('taken ' + createHash('sha256').update(loader.taken[0]).digest('hex'));
  });
  socket.bind(port, '192.168.1.1', () => { if (port === 2345) console.log('ready'); });
}
setInterval(() => loader.tick(performance.now()), 50);
`;

const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

describe.skipIf(missing !== undefined)(`a computer whose network changes${missing === undefined ? '' : `: ${missing}`}`, () => {
  const made: Namespace[] = [];
  afterEach(async () => {
    for (const one of made.splice(0)) await one.remove();
  });

  function pair(): readonly [host: Namespace, router: Namespace] {
    const [host, router] = [new Namespace(), new Namespace()];
    made.push(host, router);
    host.cable('lan', router, 'port1');
    host.ip('address', 'add', '192.168.1.2/24', 'dev', 'lan');
    router.ip('address', 'add', '192.168.1.1/24', 'dev', 'port1');
    return [host, router];
  }

  const owimg = (where: Namespace, ...args: string[]): Running => where.start(process.execPath, '--import', 'tsx', 'bin/owimg.ts', ...args);

  async function loaderIn(router: Namespace): Promise<Running> {
    const loader = router.start(process.execPath, '--import', 'tsx', '--input-type=module', '-e', loaderScript);
    await loader.until('ready');
    return loader;
  }

  interface Event {
    readonly event: string;
    readonly code?: string;
    readonly outcome?: string;
    readonly retransmissions?: number;
    readonly file?: { readonly sha256: string };
  }
  const eventsOf = ({ out }: Running): Event[] =>
    out()
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Event);

  test.each<[string, string, readonly string[], (host: Namespace) => void, (host: Namespace) => void]>([
    [
      'its address is taken away',
      'ENETUNREACH',
      [],
      (host) => host.ip('address', 'del', '192.168.1.2/24', 'dev', 'lan'),
      (host) => host.ip('address', 'add', '192.168.1.2/24', 'dev', 'lan'),
    ],
    [
      'the address that it is bound to is taken away',
      'ENETUNREACH',
      ['--bind', '192.168.1.2'],
      (host) => host.ip('address', 'del', '192.168.1.2/24', 'dev', 'lan'),
      (host) => host.ip('address', 'add', '192.168.1.2/24', 'dev', 'lan'),
    ],
    [
      'a rule forbids the way',
      'EACCES',
      [],
      (host) => host.ip('route', 'add', 'prohibit', '192.168.1.1/32'),
      (host) => host.ip('route', 'del', 'prohibit', '192.168.1.1/32'),
    ],
    [
      'the other side is called unreachable',
      'EHOSTUNREACH',
      [],
      (host) => host.ip('route', 'add', 'unreachable', '192.168.1.1/32'),
      (host) => host.ip('route', 'del', 'unreachable', '192.168.1.1/32'),
    ],
    ['the cable is out', 'ENETUNREACH', [], (host) => host.ip('link', 'set', 'lan', 'down'), (host) => host.ip('link', 'set', 'lan', 'up')],
  ])('in the middle of a put %s (%s), and 1.5 s later all is as it was: told, and complete', async (_, code, options, harm, heal) => {
    const [host, router] = pair();
    const loader = await loaderIn(router);
    const put = owimg(host, 'tftp', 'put', image, '192.168.1.1', '--push', '--ndjson', ...options);
    await loader.until('block 100;');
    harm(host);
    await pause(1500);
    heal(host);
    expect(await put.ended).toBe(0);
    const events = eventsOf(put);
    expect(events).toContainEqual(expect.objectContaining({ event: 'send-problem', code }));
    expect(put.err()).toMatch(/trying on/i);
    const result = events.at(-1);
    expect(result).toMatchObject({ event: 'result', outcome: 'complete' });
    expect(result?.retransmissions).toBeGreaterThan(0);
    await loader.until(`taken ${result?.file?.sha256}`);
  });

  test('a link-local address is answered, however it is written', async () => {
    const [host, router] = pair();
    for (const [space, card] of [
      [host, 'lan'],
      [router, 'port1'],
    ] as const)
      space.ip('address', 'add', `fe80::${card === 'lan' ? 2 : 1}/64`, 'dev', card, 'nodad');
    const serving = owimg(router, 'serve', image, '--accept', 'unknown-format');
    await serving.until('listening on [fe80::1%port1]:69');
    const number = /^(\d+):/.exec(host.ip('-o', 'link', 'show', 'dev', 'lan'))?.[1];
    for (const written of ['FE80:0::0001%lan', `fe80::1%${number}`, '[fe80::1%lan]']) {
      const got = owimg(host, 'tftp', 'get', written, 'image.bin', '-o', join(folder, 'link-local.bin'), '--force', '--wait', '5');
      expect(await got.ended, `${written}: ${got.err()}`).toBe(0);
    }
    expect(Buffer.compare(readFileSync(join(folder, 'link-local.bin')), readFileSync(image))).toBe(0);
    const named = owimg(
      host,
      'tftp',
      'get',
      'fe80::1',
      'image.bin',
      '-o',
      join(folder, 'link-local.bin'),
      '--force',
      '--interface',
      'lan',
      '-6',
      '--wait',
      '5',
    );
    expect(await named.ended, named.err()).toBe(0);
  });

  test('a push that begins without an address is told so, goes on, and completes when the address is there', async () => {
    const [host, router] = pair();
    host.ip('address', 'del', '192.168.1.2/24', 'dev', 'lan');
    const loader = await loaderIn(router);
    const put = owimg(host, 'tftp', 'put', image, '192.168.1.1', '--push');
    await put.until('no way to that network yet');
    await pause(1000);
    expect(put.err().match(/no way to that network yet/g)).toHaveLength(1);
    host.ip('address', 'add', '192.168.1.2/24', 'dev', 'lan');
    expect(await put.ended).toBe(0);
    await loader.until('taken ');
  });

  test('in the middle of serving its address is taken away, and 1.5 s later it is there again: the device gets all', async () => {
    const [host, router] = pair();
    const large = join(folder, 'large.bin');
    writeFileSync(large, numberedBytes(24 * 1024 * 1024));
    const serving = owimg(host, 'serve', large, '--accept', 'unknown-format', '--once', '--ndjson');
    await serving.until('listening on 192.168.1.2:69');
    const got = owimg(router, 'tftp', 'get', '192.168.1.2', 'large.bin', '-o', join(folder, 'got.bin'), '--rfc1350');
    await serving.until('asked for large.bin');
    await pause(200);
    host.ip('address', 'del', '192.168.1.2/24', 'dev', 'lan');
    await pause(1500);
    host.ip('address', 'add', '192.168.1.2/24', 'dev', 'lan');
    expect(await got.ended).toBe(0);
    expect(await serving.ended).toBe(0);
    const ended = eventsOf(serving).find(({ event }) => event === 'ended');
    expect(ended).toMatchObject({ outcome: 'complete' });
    expect(ended?.retransmissions).toBeGreaterThan(0);
    expect(Buffer.compare(readFileSync(join(folder, 'got.bin')), readFileSync(large))).toBe(0);
  });
});
