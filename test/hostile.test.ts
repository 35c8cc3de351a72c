/** Files made to cost time or memory: what they claim is bounded, and said. */
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { fit } from '../formats/fit.ts';
import { fwtool } from '../formats/fwtool.ts';
import { ubi } from '../formats/ubi.ts';
import { crc32 } from '../src/core/checksums.ts';
import { nowhere } from '../src/core/format.ts';
import { toBytes } from '../src/core/hex.ts';
import { allLayers } from '../src/core/layers.ts';
import { Budget } from '../src/core/limits.ts';
import { writeTar } from '../src/core/tar.ts';
import { inspect } from '../src/index.ts';
import { readFixtureFile } from './support/fixtures.ts';
import { tilingProblems } from './support/layers.ts';

const context = { unpack: false, deep: false, budget: new Budget() };
const joined = (...parts: Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));
const codes = ({ findings }: { findings: readonly { code: string }[] }): string[] => findings.map((entry) => entry.code);

test('inspect() stops to look for magic numbers where too many begin nothing', async () => {
  const kernel = readFixtureFile('uimage/sound-lzma.bin');
  const file = joined(toBytes(`junk${'OKLI'.repeat(20)}`), new Uint8Array(64), kernel);
  const found = await inspect(file);
  expect(codes(found)).not.toContain('entries-too-many');
  expect(found.root?.children.map((layer) => layer.format)).toEqual(['uimage']);
  const stopped = await inspect(file, { limits: { falseMagics: 10 } });
  expect(stopped.status).toBe('broken');
  expect(codes(stopped)).toContain('entries-too-many');
  expect(stopped.root?.children).toEqual([]);
});

test('inspect() takes what it does not read of too many gzip members and xz streams as not read', async () => {
  const gzip = gzipSync(toBytes('x'));
  const xz = Buffer.from('fd377a585a000004e6d6b446000000001cdf44211fb6f37d010000000004595a', 'hex');
  for (const member of [gzip, xz]) {
    const result = await inspect(joined(...Array.from({ length: 5 }, () => member)), { limits: { members: 2 } });
    expect(codes(result)).toContain('entries-too-many');
    expect(result.root?.regions.at(-1)).toMatchObject({ kind: 'unknown', label: 'not read', length: 3 * member.length });
    expect(allLayers(result.root as NonNullable<typeof result.root>).flatMap(tilingProblems)).toEqual([]);
  }
});

test('tar.parse() compares an MD5 only with the one member that it can mean', async () => {
  const data = toBytes('abc');
  const md5 = toBytes('900150983cd24fb0d6963f7d28e17f72');
  const members = [
    ['a.bin', data],
    ['a.md5', md5],
    ['b.bin', data],
    ['b.img', data],
    ['b.md5', md5],
    ['c.md5', md5],
  ] as const;
  const { root } = await inspect(writeTar(members.map(([name, content]) => ({ name, mode: 0o644, time: 0, data: content }))));
  expect(root?.checks.filter(({ algorithm }) => algorithm === 'md5').map(({ name, ok }) => [name, ok])).toEqual([['MD5 of a.bin', true]]);
});

test('fwtool.parse() does not choke on JSON of any depth', async () => {
  const json = toBytes(`\0\0\0\0\0\0\0\0{"supported_devices":["a"],"compat_version":${'['.repeat(14_000)}${']'.repeat(14_000)}}`);
  const chunks = fwtool.build?.({ image: new Uint8Array(64), chunks: [{ type: 1, data: json }] }) as Uint8Array;
  const { findings } = await fwtool.parse(joined(new Uint8Array(64), chunks), context);
  expect(findings.map(({ message }) => message)).toEqual(['The metadata cannot be used: compat_version is no text, expected "major.minor"']);
});

test('fwtool.locate() looks at no more than a few trailers, the last ones first', () => {
  const trailer = joined(toBytes('FWx0'), new Uint8Array(12));
  const metadata = fwtool.build?.({ image: new Uint8Array(64), chunks: [{ type: 1, data: toBytes('\0\0\0\0\0\0\0\0{}') }] }) as Uint8Array;
  const behind = (count: number): Uint8Array => joined(new Uint8Array(64), metadata, ...Array.from({ length: count }, () => trailer), new Uint8Array(1));
  expect(fwtool.locate?.(behind(3))).toBe(64);
  expect(fwtool.locate?.(behind(16))).not.toBe(64 + metadata.length);
});

test('ubi.parse() fills no more holes than the image has erase blocks, whatever its volumes claim', async () => {
  const geometry = { pebLength: 4096, vidHeaderOffset: 64, dataOffset: 128, imageSequence: 7, eraseCounter: 0 };
  const volumes = ['a', 'b', 'c'].map((name, id) => ({ id, name, type: 'dynamic', alignment: 1, reservedPebs: 0xffffffff, data: new Uint8Array(10) }) as const);
  const image = ubi.build?.({ ...geometry, volumes }) as Uint8Array;
  const blocks = image.length / geometry.pebLength;
  // A sequence number makes it the image of a flash in use, in which blocks that are missing read as FF.
  for (let block = 0; block < blocks; block += 1) {
    const offset = block * geometry.pebLength + geometry.vidHeaderOffset;
    const view = new DataView(image.buffer, offset, 64);
    view.setBigUint64(40, BigInt(block + 1));
    view.setUint32(60, ~crc32(image.subarray(offset, offset + 60)) >>> 0);
  }
  const { payloads } = await ubi.parse(image, context);
  const holes = payloads.flatMap(({ ranges }) => ranges).filter(({ offset }) => offset === nowhere);
  expect(payloads.map(({ label }) => label)).toEqual(['a', 'b', 'c']);
  expect(holes).toHaveLength(blocks);
});

test('fit.parse() reports a list of images that is no list of names, and stops at the limit of findings', async () => {
  const property = (name: string, value: Uint8Array) => ({ name, value });
  const image = { name: 'kernel', properties: [property('data', toBytes('abcd')), property('type', toBytes('kernel\0'))], children: [] };
  const tree = (loadables: Uint8Array) => ({
    root: {
      name: '',
      properties: [property('description', toBytes('x\0'))],
      children: [
        { name: 'images', properties: [], children: [image] },
        { name: 'configurations', properties: [], children: [{ name: 'one', properties: [property('loadables', loadables)], children: [] }] },
      ],
    },
  });
  const read = async (loadables: Uint8Array, limits = {}) => codes(await inspect(fit.build?.(tree(loadables)) as Uint8Array, { limits }));
  expect(await read(toBytes('kernel\0'))).toEqual([]);
  expect(await read(toBytes('kernel'))).toEqual(['structure-invalid']);
  expect(await read(toBytes('a\0'.repeat(5000)))).toEqual(['structure-invalid']);
  expect(await read(toBytes('a\0'.repeat(20)), { shown: 3 })).toEqual([...Array<string>(3).fill('subimage-missing'), 'details-omitted']);
});
