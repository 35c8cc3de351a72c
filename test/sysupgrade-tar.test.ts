import { expect, test } from 'vitest';
import { sysupgradeTar } from '../formats/sysupgrade-tar.ts';
import { toBytes } from '../src/core/hex.ts';
import { inspect, OwimgError } from '../src/index.ts';
import { readFixtureFile } from './support/fixtures.ts';

const image = readFixtureFile('sysupgrade-tar/sound-uimage-squashfs.tar');
const kernel = readFixtureFile('uimage/sound-lzma.bin');
/** A SquashFS as the tool puts it in: filled up to a multiple of 1024 bytes. */
const root = new Uint8Array(6144);
root.set(readFixtureFile('squashfs/sound-gzip.squashfs'));

test('sysupgradeTar.parse() finds kernel and root where tar put them', async () => {
  const { root: layer, kind } = await inspect(image);
  expect(kind).toBe('sysupgrade');
  expect(layer?.children.map(({ label, format, offset }) => ({ label, format, offset }))).toEqual([
    { label: 'kernel', format: 'uimage', offset: 2048 },
    { label: 'root', format: 'squashfs', offset: 16384 },
  ]);
  expect(layer?.checks.map(({ name, expected, ok }) => ({ name, expected, ok }))).toEqual([
    { name: 'header of sysupgrade-vendor_golden-v1/', expected: '0x16c4', ok: true },
    { name: 'header of sysupgrade-vendor_golden-v1/CONTROL', expected: '0x18e6', ok: true },
    { name: 'header of sysupgrade-vendor_golden-v1/kernel', expected: '0x194e', ok: true },
    { name: 'header of sysupgrade-vendor_golden-v1/root', expected: '0x1885', ok: true },
  ]);
});

test('sysupgradeTar.parse() names the board of the directory and of CONTROL', async () => {
  const { identities } = await inspect(image);
  expect(identities).toEqual([
    { source: 'sysupgrade-tar.board', value: 'vendor_golden-v1', offset: 11 },
    { source: 'sysupgrade-tar.control', value: 'BOARD=vendor_golden-v1', offset: 1024 },
  ]);
});

test('sysupgradeTar.parse() takes a comma in the board of CONTROL for what the directory writes as _', async () => {
  const { findings } = await inspect(
    sysupgradeTar.build?.({ board: 'vendor_board', time: 0, CONTROL: toBytes('BOARD=vendor,board\n'), kernel, root }) as Uint8Array,
  );
  expect(findings).toEqual([]);
});

test('sysupgradeTar.build() gives the bytes of sysupgrade-tar.sh for board, time and files alone', () => {
  expect(sysupgradeTar.build?.({ board: 'vendor_golden-v1', time: 1_700_000_000, kernel, root })).toEqual(image);
});

test.each([
  ['a board that does not fit into a name', { board: 'b'.repeat(90), time: 0 }],
  ['a time before 1970', { board: 'board', time: -1 }],
  ['a time that does not fit into 11 octal digits', { board: 'board', time: 8 ** 11 }],
])('sysupgradeTar.build() refuses %s', (_, input) => {
  expect(() => sysupgradeTar.build?.(input)).toThrow(OwimgError);
});
