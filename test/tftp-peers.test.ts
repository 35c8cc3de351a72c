/** Real peers, both directions, over loopback: what arrives is what was sent, whatever was agreed on. Peers that are not installed are skipped, visibly. */
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ClientJob, Outcome } from '../src/tftp/client.ts';
import type { Wishes } from '../src/tftp/options.ts';
import { getPace, pushPace } from '../src/tftp/pace.ts';
import { bytesSource } from '../src/tftp/sending.ts';
import { type ServerEvent, serverLimits } from '../src/tftp/server.ts';
import { type ListenEvent, runClient, UdpServer } from '../src/tftp/udp.ts';
import { owimg } from './support/console.ts';
import { bytesAt, type ClientName, clientMissing, type Daemon, type DaemonName, getCommand, missing, runTool, startDaemon } from './support/tftp-daemons.ts';
import { Collected, numberedBytes } from './support/tftp-peers.ts';

const mebi = 1024 * 1024;
const small = [0, 1, 511, 512, 513, 100_000];
const large = [32 * mebi, 40 * mebi];
const folder = mkdtempSync(join(tmpdir(), 'owimg-tftp-'));
chmodSync(folder, 0o755);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const contents = new Map([...small, ...large].map((size) => [size, numberedBytes(size)]));
const content = (size: number): Uint8Array => contents.get(size) as Uint8Array;
const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

/** atftpd acknowledges the last block before it has written it. */
async function written(where: string, name: string, expected: Uint8Array): Promise<boolean> {
  for (let tries = 0; tries < 40; tries += 1) {
    if (same(bytesAt(where, name), expected)) return true;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return false;
}

const bytesText = (where: string, name: string): string => Buffer.from(bytesAt(where, name)).toString('latin1');

function client(
  at: { readonly address: string; readonly port: number },
  job: { direction: 'get' | 'put'; name: string; wishes?: Wishes | undefined; bytes?: Uint8Array; deliver?: (data: Uint8Array) => void },
): Promise<Outcome> {
  const server = { address: at.address, port: at.port };
  const pace = job.direction === 'get' ? getPace : pushPace;
  const full = {
    server,
    mode: 'octet',
    pace,
    askFor: 10_000,
    source: bytesSource(job.bytes ?? new Uint8Array(0)),
    deliver: () => undefined,
    ...job,
  } as ClientJob;
  return runClient(server, () => full, {});
}

const combinations: readonly (readonly [string, Wishes | undefined])[] = [
  ['plain', undefined],
  ['blksize 8', { blockSize: 8 }],
  ['blksize 1428', { blockSize: 1428 }],
  ['blksize 65464', { blockSize: 65464 }],
  ['tsize', { transferSize: 0 }],
  ['timeout 2', { timeout: 2 }],
  ['windowsize 4', { windowSize: 4 }],
  ['all', { blockSize: 1024, transferSize: 0, timeout: 3, windowSize: 16 }],
];

describe.each<DaemonName>(['atftpd', 'tftpd-hpa', 'dnsmasq'])('our client and %s', (name) => {
  const reason = missing(name);
  if (reason !== undefined) {
    test.skip(`skipped: ${reason}`, () => undefined);
    return;
  }
  let daemon: Daemon;
  beforeAll(async () => {
    daemon = await startDaemon(name, join(folder, name));
    for (const [size, bytes] of contents) {
      const path = join(daemon.folder, String(size));
      writeFileSync(path, bytes);
      chmodSync(path, 0o644);
    }
  });
  afterAll(() => daemon?.stop());

  test.each(combinations)('get, %s: every size', async (_, wishes) => {
    for (const size of small) {
      const got = new Collected();
      const outcome = await client(daemon, { direction: 'get', name: String(size), wishes, deliver: got.add });
      expect(outcome, `${size} bytes`).toMatchObject({ outcome: 'complete', bytes: size });
      expect(same(got.bytes, content(size))).toBe(true);
    }
  });

  test.each(large)('get, plain, %i bytes: the numbers of the blocks roll over', async (size) => {
    const got = new Collected();
    const outcome = await client(daemon, { direction: 'get', name: String(size), deliver: got.add });
    expect(outcome).toMatchObject({ outcome: 'complete', bytes: size });
    expect(same(got.bytes, content(size))).toBe(true);
  });

  test('get, a file that is not there: refused, with its words', async () => {
    expect(await client(daemon, { direction: 'get', name: 'none', wishes: { blockSize: 1024 } })).toMatchObject({ failure: 'refused', said: { code: 1 } });
  });

  test.skipIf(name !== 'dnsmasq')('put where nothing can be written: refused', async () => {
    expect(await client(daemon, { direction: 'put', name: 'new', bytes: content(513) })).toMatchObject({ outcome: 'failed' });
  });

  test.skipIf(name === 'dnsmasq').each(combinations)('put, %s: every size', async (_, wishes) => {
    for (const size of small) {
      const outcome = await client(daemon, {
        direction: 'put',
        name: `new-${size}`,
        bytes: content(size),
        wishes: wishes?.transferSize === undefined ? wishes : { ...wishes, transferSize: size },
      });
      expect(outcome, `${size} bytes`).toMatchObject({ outcome: 'complete', bytes: size });
      expect(await written(daemon.folder, `new-${size}`, content(size))).toBe(true);
    }
  });

  test.skipIf(name === 'dnsmasq').each(large)('put, plain, %i bytes: the numbers of the blocks roll over', async (size) => {
    expect(await client(daemon, { direction: 'put', name: `new-${size}`, bytes: content(size) })).toMatchObject({ outcome: 'complete', bytes: size });
    expect(await written(daemon.folder, `new-${size}`, content(size))).toBe(true);
  });
});

describe.each<DaemonName>(['atftpd', 'tftpd-hpa'])('owimg tftp --netascii and %s', (name) => {
  const reason = missing(name);
  if (reason !== undefined) {
    test.skip(`skipped: ${reason}`, () => undefined);
    return;
  }
  let daemon: Daemon;
  beforeAll(async () => {
    daemon = await startDaemon(name, join(folder, `${name}-text`));
  });
  afterAll(() => daemon?.stop());

  // What is two bytes on the wire is cut in two at the end of a block, or of the file.
  const texts: readonly (readonly [string, string])[] = [
    ['lines', 'a\nb\n\nc'],
    ['a CR by itself', 'a\rb\r\nc\r'],
    ['CR LF cut in two by a block', `${'x'.repeat(511)}\n${'y'.repeat(600)}\n`],
    ['CR NUL cut in two by a block', `${'x'.repeat(511)}\r${'y'.repeat(600)}`],
    ['only ends of lines, 512 bytes as they travel', '\n'.repeat(256)],
    ['nothing', ''],
  ];

  test.each(texts)('put: %s', async (label, text) => {
    const [from, to] = [join(folder, 'text.txt'), `put-${label.replaceAll(/\W+/g, '-')}`];
    writeFileSync(from, text, 'latin1');
    const { status, err } = await owimg(['tftp', 'put', from, daemon.address, to, '-p', String(daemon.port), '--netascii', '--trace']);
    expect(status, err).toBe(0);
    expect(err).toContain(`WRQ "${to}" netascii`);
    expect(await written(daemon.folder, to, new Uint8Array(Buffer.from(text, 'latin1'))), JSON.stringify(bytesText(daemon.folder, to))).toBe(true);
  });

  test.each(texts)('get: %s', async (label, text) => {
    const there = `get-${label.replaceAll(/\W+/g, '-')}`;
    writeFileSync(join(daemon.folder, there), text, 'latin1');
    chmodSync(join(daemon.folder, there), 0o644);
    const output = join(folder, `${name}-${there}`);
    const { status, err } = await owimg(['tftp', 'get', daemon.address, there, '-p', String(daemon.port), '-o', output, '--netascii', '--trace']);
    expect(status, err).toBe(0);
    expect(err).toContain(`RRQ "${there}" netascii`);
    expect(readFileSync(output, 'latin1')).toBe(text);
  });
});

describe.each<ClientName>(['atftp', 'tftp-hpa', 'curl', 'busybox'])('our server and %s', (name) => {
  const reason = clientMissing(name);
  if (reason !== undefined) {
    test.skip(`skipped: ${reason}`, () => undefined);
    return;
  }
  const events: (ServerEvent | ListenEvent)[] = [];
  const servers: Record<string, UdpServer> = {};
  beforeAll(async () => {
    const offers = [...contents].map(([size, bytes]) => ({ names: [String(size)], source: bytesSource(bytes) }));
    const rules = { offers, anyName: false, limits: { ...serverLimits, blockSize: 65464 } };
    const event = (entry: ServerEvent | ListenEvent): void => void events.push(entry);
    servers['a port for each'] = await UdpServer.listen(rules, { addresses: ['127.0.0.1'], port: 0, event });
    servers['one port'] = await UdpServer.listen(rules, { addresses: ['127.0.0.1'], port: 0, singlePort: true, event });
    servers['RFC 1350'] = await UdpServer.listen({ ...rules, limits: { ...rules.limits, plain: true } }, { addresses: ['127.0.0.1'], port: 0, event });
  });
  afterAll(() => {
    for (const server of Object.values(servers)) server.stop('');
  });
  const portOf = (kind: string): number => servers[kind]?.listeners[0]?.port as number;

  const known = [
    ['plain', {}],
    ['blksize 8', { blockSize: 8 }],
    ['blksize 1428', { blockSize: 1428 }],
    ['blksize 16384', { blockSize: 16384 }],
    ['windowsize 4', { windowSize: 4 }],
    ['blksize 1024, windowsize 16', { blockSize: 1024, windowSize: 16 }],
  ] as const;
  for (const kind of ['a port for each', 'one port', 'RFC 1350']) {
    test.each(known.filter(([, options]) => getCommand(name, '', 0, '', '', options) !== undefined))(`${kind}, %s: every size`, async (label, options) => {
      for (const size of small) {
        const output = join(folder, `${name}-${kind.replaceAll(' ', '-')}-${label.replaceAll(/[ ,]+/g, '-')}-${size}`);
        const { said } = await runTool(getCommand(name, '127.0.0.1', portOf(kind), String(size), output, options) as string[], folder);
        // curl makes no file for nothing.
        const got = size === 0 && name === 'curl' ? new Uint8Array(0) : new Uint8Array(readFileSync(output));
        expect(same(got, content(size)), `${size} bytes: ${said}`).toBe(true);
      }
      const ended = events.filter((entry) => entry.event === 'ended');
      expect(ended.filter(({ outcome }) => outcome !== 'complete')).toEqual([]);
      expect(events.filter(({ event }) => event === 'stranger')).toEqual([]);
    });
  }

  test.each(large)('plain, %i bytes: the numbers of the blocks roll over', async (size) => {
    const output = join(folder, `${name}-${size}`);
    const command = getCommand(name, '127.0.0.1', portOf('a port for each'), String(size), output, {});
    const { said } = await runTool(command as string[], folder);
    expect(same(new Uint8Array(readFileSync(output)), content(size)), said).toBe(true);
    rmSync(output);
  });

  test('a name that is not offered: it says that the file was not found', async () => {
    const command = getCommand(name, '127.0.0.1', portOf('a port for each'), 'other.bin', join(folder, 'none'), {});
    const { said, status } = await runTool(command as string[], folder);
    if (name === 'curl') expect(status).toBe(68);
    else expect(said).toMatch(/file not found/i);
    expect(events).toContainEqual(expect.objectContaining({ event: 'refused', name: 'other.bin', why: 'unknown-name' }));
  });
});

test.skipIf(clientMissing('tftp-hpa') !== undefined)('tftp-hpa in its usual mode, netascii, is refused: it would destroy the image', async () => {
  const server = await UdpServer.listen(
    { offers: [{ names: ['fw.bin'], source: bytesSource(content(513)) }], anyName: false, limits: serverLimits },
    { addresses: ['127.0.0.1'], port: 0 },
  );
  const { said } = await runTool(['tftp', '127.0.0.1', String(server.listeners[0]?.port), '-c', 'get', 'fw.bin', join(folder, 'ascii')], folder);
  server.stop('');
  expect(said).toContain('octet');
});
