/** What fixtures of JFFS2 and UBIFS hold, by the tools that made them. */
import { expect, test } from 'vitest';
import { jffs2 } from '../formats/jffs2.ts';
import { ubifs } from '../formats/ubifs.ts';
import { CheckGroups } from '../src/core/checksums.ts';
import type { AnyFormat, Reading } from '../src/core/format.ts';
import { Budget } from '../src/core/limits.ts';
import { fixtures, readFixture } from './support/fixtures.ts';

async function read(format: AnyFormat, file: string, change: (bytes: Uint8Array) => Uint8Array = (bytes) => bytes): Promise<Reading> {
  const bytes = change(readFixture(fixtures.find((entry) => entry.format === format.id && entry.file === file) as { path: string }));
  return format.parse(bytes, { unpack: false, deep: false, budget: new Budget() });
}
const values = ({ fields }: Reading) => Object.fromEntries(fields.map(({ name, value }) => [name, value]));

test.each([
  ['sound-little-endian.jffs2', 'little endian'],
  ['sound-big-endian.jffs2', 'big endian'],
])('jffs2.parse() counts the nodes of %s', async (file, byteOrder) => {
  expect(values(await read(jffs2, file))).toMatchObject({
    byteOrder,
    eraseBlockLength: 8192,
    'nodes.0x2003': 2,
    'nodes.0xe001': 6,
    'nodes.0xe002': 9,
  });
});

test('jffs2.parse() lists the root directory', async () => {
  const names = (await read(jffs2, 'sound-big-endian.jffs2')).fields.filter(({ name }) => name.startsWith('rootEntry'));
  expect(names.map(({ value }) => value).sort()).toEqual(['bin', 'dev', 'etc']);
});

test('jffs2.parse() finds summaries and extended attributes', async () => {
  expect(values(await read(jffs2, 'sound-summary.jffs2'))['nodes.0x2006']).toBeGreaterThan(0);
  expect(values(await read(jffs2, 'sound-extended-attributes.jffs2'))).toMatchObject({ 'nodes.0xe008': 1, 'nodes.0xe009': 1 });
});

test('jffs2.parse() does not believe the name of an obsolete node, nor miss that it is one', async () => {
  // The second node is a directory entry; clearing 0x2000 of its type makes it obsolete.
  const reading = await read(jffs2, 'sound-little-endian.jffs2', (bytes) => bytes.with(12 + 3, 0xc0));
  expect(values(reading)).toMatchObject({ obsoleteNodes: 1 });
  expect(reading.checks.filter((check) => check.ok !== true)).toEqual([]);
});

test('jffs2.detect() leaves the padding nodes of padjffs2 alone', () => {
  const mark = new Uint8Array([0x19, 0x85, 0x20, 0x04, 0x04, 0, 0, 0, 0xc4, 0x94, 0xdb, 0xf4]);
  expect(jffs2.detect(mark)).toBe('no');
});

test('ubifs.parse() reads superblock and master node', async () => {
  expect(values(await read(ubifs, 'sound-lzo.ubifs'))).toMatchObject({
    minimumIo: 512,
    lebLength: 15360,
    lebCount: 11,
    mostLebs: 20,
    logLebs: 2,
    compression: 1,
    'master.rootLeb': 10,
    'nodes.6': 1,
    'nodes.7': 2,
  });
  expect(values(await read(ubifs, 'sound-nor.ubifs'))).toMatchObject({ minimumIo: 8, compression: 2, flags: '0x00000004' });
});

test('CheckGroups.all() joins what passed and bounds what failed', () => {
  const groups = new CheckGroups('crc32', 2);
  const add = (offset: number, stored: number): void =>
    groups.add('crc', () => `node ${offset}`, {
      code: 'data-checksum-mismatch',
      stored,
      computed: 1,
      at: { offset, length: 4 },
      covers: [{ offset: offset + 4, length: 4 }],
    });
  add(0, 1);
  add(8, 1);
  for (const offset of [16, 24, 32, 40]) add(offset, 2);
  expect(groups.all().map(({ name, ok, expected, covers }) => ({ name, ok, expected, covers }))).toEqual([
    { name: 'crc', ok: true, expected: '2 values', covers: [{ offset: 0, length: 16 }] },
    { name: 'crc of node 16', ok: false, expected: '0x00000002', covers: [{ offset: 16, length: 8 }] },
    { name: 'crc of node 24', ok: false, expected: '0x00000002', covers: [{ offset: 24, length: 8 }] },
    { name: 'crc of 2 more', ok: false, expected: '2 values', covers: [{ offset: 32, length: 16 }] },
  ]);
});
