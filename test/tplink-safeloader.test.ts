/** Facts of tplink-safeloader, and the header types that only TP-Link writes. */
import { describe, expect, test } from 'vitest';
import { type SafeloaderInput, safeloaderFlashTable, safeloaderVendor, tplinkSafeloader } from '../formats/tplink-safeloader.ts';
import { toBytes } from '../src/core/hex.ts';
import { safeloaderRecord, safeloaderVersion } from '../src/core/safeloader-metadata.ts';
import { inspect } from '../src/index.ts';
import { fixtures, readFixture } from './support/fixtures.ts';

const fixture = (file: string): Uint8Array =>
  readFixture(fixtures.find((entry) => entry.format === 'tplink-safeloader' && entry.file === file) ?? { path: '' });
const build = (input: SafeloaderInput): Uint8Array => (tplinkSafeloader.build as (input: SafeloaderInput) => Uint8Array)(input);

const archerC7 = fixture('sound-extra-para.bin');
const cpe210 = fixture('sound-vendor-text.bin');

/** What the image table of the CPE210 image says: offsets in the file. */
const cpe210Parts = [
  { name: 'partition-table', offset: 6164, length: 0x800 },
  { name: 'soft-version', offset: 8212, length: 0x15 },
  { name: 'support-list', offset: 8233, length: 0xf0 },
  { name: 'os-image', offset: 8473, length: 0x33ef },
  { name: 'file-system', offset: 21768, length: 0x10004 },
];
const cpe210Data = new Map(cpe210Parts.map(({ name, offset, length }) => [name, cpe210.subarray(offset, offset + length)]));
const partitions = [...cpe210Data].map(([name, data]) => ({ name, data }));

test('tplink-safeloader.parse() reads the devices of the support list, each where it stands', async () => {
  const { identities } = await inspect(archerC7);
  const regions = ['00000000', '45550000', '55530000', '43410000', '4A500000', '54570000', '52550000', '4B520000'];
  expect(identities).toEqual(
    regions.map((region, index) => ({
      source: 'tplink-safeloader.supportList',
      value: `{product_name:Archer C7,product_ver:5.0.0,special_id:${region}}`,
      offset: 8258 + index * 63,
    })),
  );
});

test('tplink-safeloader.parse() reads partitions, flash layout and versions', async () => {
  const field = async (bytes: Uint8Array, name: string) => (await inspect(bytes)).root.fields.find((entry) => entry.name === name);
  expect(await field(archerC7, 'partition.os-image')).toMatchObject({ value: 'base 0x1227 size 0x33ef', meaning: 'at 0x223b' });
  expect(await field(archerC7, 'softVersion')).toMatchObject({ value: 'soft_ver:7.0.0' });
  expect(await field(archerC7, 'extraPara')).toMatchObject({ value: '0100', offset: 87606, length: 2 });
  expect(await field(cpe210, 'vendor')).toMatchObject({ value: 'CPE510(TP-LINK|UN|N300-5):1.0' });
  expect(await field(cpe210, 'flash.file-system')).toMatchObject({ value: 'base 0x50000 size 0x720000' });
  expect(await field(cpe210, 'softVersion')).toMatchObject({ value: '0.0.0', offset: 8221 });
  expect(await field(cpe210, 'softVersionDate')).toMatchObject({ value: '2023-11-14' });
  expect(await field(cpe210, 'softVersionRevision')).toMatchObject({ value: 99999 });
});

describe('tplink-safeloader.build() makes the bytes of tplink-safeloader', () => {
  test('from partitions and a vendor text', () => {
    expect(build({ vendorArea: safeloaderVendor('CPE510(TP-LINK|UN|N300-5):1.0\r\n'), partitions })).toEqual(cpe210);
  });

  test('the flash layout', () => {
    const layout = [
      { name: 'fs-uboot', offset: 0x00000, length: 0x20000 },
      { name: 'partition-table', offset: 0x20000, length: 0x02000 },
      { name: 'default-mac', offset: 0x30000, length: 0x00020 },
      { name: 'product-info', offset: 0x31100, length: 0x00100 },
      { name: 'signature', offset: 0x32000, length: 0x00400 },
      { name: 'os-image', offset: 0x40000, length: 0x033ef },
      { name: 'file-system', offset: 0x50000, length: 0x720000 },
      { name: 'soft-version', offset: 0x7b0000, length: 0x00100 },
      { name: 'support-list', offset: 0x7b1000, length: 0x00400 },
      { name: 'user-config', offset: 0x7c0000, length: 0x10000 },
      { name: 'default-config', offset: 0x7d0000, length: 0x10000 },
      { name: 'log', offset: 0x7e0000, length: 0x10000 },
      { name: 'radio', offset: 0x7f0000, length: 0x10000 },
    ];
    expect(safeloaderFlashTable(layout)).toEqual(cpe210Data.get('partition-table'));
  });

  test('versions with and without a byte behind them', () => {
    expect(safeloaderRecord(safeloaderVersion([0, 0, 0], 1700000000, 99999), 0xff)).toEqual(cpe210Data.get('soft-version'));
    expect(safeloaderRecord(safeloaderVersion([0, 0, 0], 1700000000, 99999))).toEqual(fixture('sound-without-trailing-bytes.bin').subarray(8212, 8212 + 20));
    expect(safeloaderRecord(toBytes('soft_ver:7.0.0\n\0'), 0x00)).toEqual(archerC7.subarray(8212, 8212 + 25));
    expect(safeloaderVersion([1, 2, 3], 1700000000, 1, 7)).toEqual(new Uint8Array([0xff, 1, 2, 3, 0x20, 0x23, 0x11, 0x14, 0, 0, 0, 1, 0, 0, 0, 7]));
  });

  test('and refuses what does not fit', () => {
    expect(() => build({ vendorArea: new Uint8Array(4097), partitions })).toThrow('Cannot write a vendor area of 4097 bytes: it has room for 4096');
    const many = Array.from({ length: 60 }, (_, index) => ({ name: `partition-${index}`, data: new Uint8Array(1) }));
    expect(() => build({ partitions: many })).toThrow('Cannot write a table of partitions');
  });
});

describe("TP-Link's own images", () => {
  test('cloud header', async () => {
    const { root, status } = await inspect(build({ vendorArea: toBytes('fw-type:Cloud\nver:1'), partitions }));
    expect(status).toBe('sound');
    expect(root.fields.find(({ name }) => name === 'headerType')?.value).toBe('cloud');
  });

  test('qNew header: length behind the MD5, 60 bytes more, nothing to check the MD5 against', async () => {
    const payload = cpe210.subarray(0x1014);
    const image = new Uint8Array(0x1050 + payload.length).fill(0xff);
    new DataView(image.buffer).setUint32(16, image.length - 20);
    image.set(toBytes('?NEW'), 20);
    image.set(payload, 0x1050);
    const { root, status, identities, format } = await inspect(image);
    expect([format, status, root.length]).toEqual(['tplink-safeloader', 'sound', image.length]);
    expect(root.checks).toMatchObject([{ ok: null, covers: [{ offset: 0, length: 16 }] }]);
    expect(identities[0]).toMatchObject({ value: 'CPE210(TP-LINK|UN|N300-2):1.0' });
    expect(root.children.map(({ label, offset }) => [label, offset])).toContainEqual(['file-system', 21768 + 60]);
  });

  test('a signature of 128 bytes behind the image is no garbage', async () => {
    const signature = Uint8Array.from({ length: 128 }, (_, index) => index);
    const { root, status, findings } = await inspect(build({ partitions, signature }));
    expect([status, root.checks[0]?.ok]).toEqual(['sound', true]);
    expect(findings.map(({ code, offset, length }) => [code, offset, length])).toEqual([['signature-unverified', 87308, 128]]);
  });
});

test('tplink-safeloader.parse() reads the partitions behind a line that is damaged', async () => {
  const { root, findings } = await inspect(fixture('structure-invalid--first-line.bin'));
  expect(findings.map(({ code, offset }) => [code, offset])).toEqual([
    ['image-checksum-mismatch', 4],
    ['structure-invalid', 4116],
  ]);
  expect(root.children.map(({ format }) => format)).toContain('squashfs');
});

test('tplink-safeloader.parse() names a partition that lies in another one', async () => {
  const text = Array.from(cpe210.subarray(0x1014, 0x1814), (byte) => String.fromCharCode(byte)).join('');
  const overlapping = cpe210.slice();
  overlapping.set(toBytes(text.replace('os-image base 0x01105', 'os-image base 0x01015')), 0x1014);
  const { findings } = await inspect(overlapping);
  expect(findings.filter(({ code }) => code === 'structure-invalid').map(({ message }) => message)).toEqual([
    'The base of the partition "os-image" is not possible: expected at least 0x1105, found 0x1015',
  ]);
});
