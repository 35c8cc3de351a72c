/** What archives and compressed streams have in common: limits, and what they say of what is in them. */
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { gzip } from '../formats/gzip.ts';
import { fromHex, toBytes } from '../src/core/hex.ts';
import { Budget, defaultLimits } from '../src/core/limits.ts';
import { writeTar } from '../src/core/tar.ts';
import { inspect } from '../src/index.ts';
import { readFixtureFile } from './support/fixtures.ts';

const kernel = readFixtureFile('uimage/sound-lzma.bin');
const file = (name: string, data: Uint8Array) => ({ name, mode: 0o644, time: 0, data });
const codes = ({ findings }: { findings: readonly { code: string }[] }): string[] => findings.map((entry) => entry.code);

test('inspect() gives an archive with one firmware file the kind of that file, whatever lies beside it', async () => {
  const result = await inspect(writeTar([file('README.txt', toBytes('release notes')), file('fw.bin', kernel)]));
  expect(result).toMatchObject({ format: 'tar', kind: 'kernel', status: 'sound' });
});

test('inspect() shows every firmware file of an archive and calls it an archive', async () => {
  const result = await inspect(writeTar([file('a.bin', kernel), file('b.bin', kernel)]));
  expect(result).toMatchObject({ kind: 'archive', status: 'sound' });
  expect(result.root.children.map((layer) => layer.label)).toEqual(['a.bin', 'b.bin']);
});

test('inspect() gives offsets inside of a gzip from the first unpacked byte', async () => {
  const { root } = await inspect(new Uint8Array(gzipSync(kernel)));
  const [child] = root.children ?? [];
  expect(child).toMatchObject({ format: 'uimage', offset: 0, length: 13359, source: { how: 'unpacked', by: 'gzip' } });
});

test('gzip.parse() reads no further than the header where nothing is to be unpacked', () => {
  const bytes = new Uint8Array(gzipSync(kernel));
  const reading = gzip.parse(bytes, { unpack: false, deep: false, budget: new Budget() });
  expect(reading).toMatchObject({ open: true, length: bytes.length, payloads: [], checks: [], findings: [] });
});

test('inspect() stops at the limit of entries', async () => {
  const limits = { members: 3 };
  const members = Array.from({ length: 5 }, (_, index) => file(`${index}.bin`, kernel));
  const streams = members.map(() => gzipSync(kernel));
  expect(codes(await inspect(writeTar(members), { limits }))).toEqual(['entries-too-many']);
  expect(codes(await inspect(new Uint8Array(Buffer.concat(streams)), { limits }))).toContain('entries-too-many');
});

test('inspect() shows no more findings of a layer than the limit, and says so', async () => {
  const members = Array.from({ length: 20 }, (_, index) => file(`../${index}.bin`, kernel));
  const { findings, root, status } = await inspect(writeTar(members), { limits: { shown: 15 } });
  expect(findings.map((entry) => entry.code)).toEqual([...Array<string>(15).fill('path-unsafe'), 'details-omitted']);
  expect(root.fields).toHaveLength(15);
  expect(status).toBe('broken');
});

test('inspect() unpacks no more in one file than the limit, however it is divided', async () => {
  const streams = Array.from({ length: 8 }, () => gzipSync(kernel));
  const result = await inspect(new Uint8Array(Buffer.concat(streams)), { limits: { unpackedBytes: 4 * kernel.length } });
  expect(codes(result)).toContain('unpacking-stopped');
});

test('zip.parse() reads a header once, however many directory entries point to it', async () => {
  const count = 20_000;
  const header = fromHex('504b0304 1400 0000 0000 0000 0000 00000000 00000000 00000000 fdff 0000');
  const local = Uint8Array.of(...header, ...new Uint8Array(0xfffd).fill(0x61));
  const entry = fromHex('504b0102 1400 1400 0000 0000 0000 0000 00000000 00000000 00000000 0100 0000 0000 0000 0000 00000000 00000000 61');
  const directory = Buffer.concat(Array.from({ length: count }, () => entry));
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(count, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(local.length, 16);
  const { findings, root } = await inspect(new Uint8Array(Buffer.concat([local, directory, end])));
  expect(root.fields).toHaveLength(defaultLimits.shown);
  expect(findings.at(-1)?.code).toBe('details-omitted');
});
