import { describe, expect, test } from 'vitest';
import { type FitInput, fit } from '../formats/fit.ts';
import type { FdtNodeInput } from '../src/core/fdt.ts';
import { toBytes } from '../src/core/hex.ts';
import { Budget } from '../src/core/limits.ts';
import { inspect, OwimgError } from '../src/index.ts';
import { fixtures, readFixture } from './support/fixtures.ts';

const context = { unpack: true, deep: true, budget: new Budget() };
const fixture = (file: string): Uint8Array => readFixture(fixtures.find((entry) => entry.format === 'fit' && entry.file === file) as { path: string });
const parse = async (bytes: Uint8Array) => fit.parse(bytes, context);
const build = fit.build as (input: FitInput) => Uint8Array;
const codes = (reading: { findings: readonly { code: string }[] }) => reading.findings.map(({ code }) => code);

const node = (name: string, properties: Record<string, Uint8Array>, ...children: FdtNodeInput[]): FdtNodeInput => ({
  name,
  properties: Object.entries(properties).map(([key, value]) => ({ name: key, value })),
  children,
});
const text = (value: string): Uint8Array => toBytes(`${value}\0`);
const number = (value: number): Uint8Array => {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
};
const hash = (algorithm: string, length: number, more: Record<string, Uint8Array> = {}): FdtNodeInput =>
  node('hash-1', { value: new Uint8Array(length), algo: text(algorithm), ...more });
const tree = (...images: FdtNodeInput[]): FdtNodeInput => node('', { description: text('test') }, node('images', {}, ...images));

describe('fit.parse()', () => {
  test.each([
    ['sound-kernel-and-dtb.itb', { 'kernel-1': [208, 13295], 'fdt-1': [13800, 749] }],
    ['sound-external.itb', { 'kernel-1': [1024, 13295], 'fdt-1': [14320, 749] }],
    ['sound-external-aligned-with-rootfs.itb', { 'kernel-1': [4096, 13295], 'fdt-1': [20480, 749], 'rootfs-1': [24576, 8192] }],
  ])('finds the data of each image in %s', async (file, expected) => {
    const { payloads } = await parse(fixture(file));
    expect(Object.fromEntries(payloads.map(({ label, ranges }) => [label, [ranges[0]?.offset, ranges[0]?.length]]))).toEqual(expected);
  });

  test('computes every hash to what dumpimage shows, over data and value alone', async () => {
    const { checks } = await parse(fixture('sound-every-hash.itb'));
    expect(checks.map(({ algorithm, ok, actual }) => [algorithm, ok, actual])).toEqual([
      ['crc32', true, '5e9e6775'],
      ['crc16-ccitt', true, 'f0e3'],
      ['md5', true, 'da89770dab7dcab843f2ce109bb879ca'],
      ['sha1', true, '31db9994df40cb599f6436beb46ff4d9c2249e24'],
      ['sha256', true, '4becb4afc4bbb0706eb8df24e32b8924925961ef48a2ac0e4a95cd7da10e97a5'],
      ['sha384', true, '9115a80b8698a8d9f095b444771a2a6e2bed650b3627392d3a1e91d4f7ac5812835da607ecdcba8f98a78b7bc544ce97'],
      ['sha512', true, 'bd257597a6e59f5ffa3be1ef76ba1d288ddf45d6573986ff6ea97076311cc4120af8919e42effdda331e877ef5d6ce58b34c930114edc383d65e2e5168263f25'],
    ]);
    expect(checks[1]?.covers).toEqual([
      { offset: 192, length: 81 },
      { offset: 472, length: 2 },
    ]);
  });

  test.each([
    ['sound-kernel-and-dtb.itb', 'kernel'],
    ['sound-external-aligned-with-rootfs.itb', 'sysupgrade'],
    ['sound-initramfs.itb', 'initramfs'],
    ['sound-every-hash.itb', 'bootloader'],
    ['sound-qsdk-factory.itb', 'factory'],
    ['sound-zyxel-factory.itb', 'factory'],
    ['sound-broadcom-package.pkgtb', 'factory'],
  ])('takes %s for %s', async (file, kind) => {
    expect((await inspect(fixture(file))).kind).toBe(kind);
  });

  test('gives the profile of a configuration, its compatible names and the model numbers of Zyxel', async () => {
    const identities = async (file: string) => (await parse(fixture(file))).identities.map(({ source, value, offset }) => [source, value, offset]);
    expect(await identities('sound-kernel-and-dtb.itb')).toEqual([['fit.description', 'vendor_golden-v1', 14820]]);
    expect(await identities('sound-every-hash.itb')).toEqual([
      ['fit.compatible', 'vendor,board-a', 1040],
      ['fit.compatible', 'vendor,board-b', 1055],
    ]);
    expect(await identities('sound-zyxel-factory.itb')).toEqual([
      ['fit.compat-models', '6be1', 140],
      ['fit.compat-models', '6fe1', 142],
      ['fit.compat-models', '77e1', 144],
    ]);
  });

  test('says which key a signature asks for', async () => {
    const { findings } = await parse(fixture('sound-signed-configuration.itb'));
    expect(findings.map(({ code, severity, offset, length }) => [code, severity, offset, length])).toEqual([['signature-key-missing', 'note', 3100, 256]]);
    expect(findings[0]?.message).toContain('sha256,rsa2048, key "dev"');
  });

  test.each([
    ['length-beyond-end--data-position.itb', 'length-beyond-end', 192],
    ['length-beyond-end--data-size.itb', 'length-beyond-end', 176],
    ['length-beyond-end--property.itb', 'length-beyond-end', 200],
    ['length-beyond-end--name-of-property.itb', 'length-beyond-end', 13512],
    ['length-beyond-end--totalsize.itb', 'length-beyond-end', 4],
    ['length-beyond-end--structure.itb', 'length-beyond-end', 8],
    ['configuration-missing--default.itb', 'configuration-missing', 14772],
  ])('names in %s the one field that is wrong', async (file, code, offset) => {
    expect((await parse(fixture(file))).findings.map((entry) => [entry.code, entry.offset])).toEqual([[code, offset]]);
  });

  test('still proves the images that a wrong length of another does not touch', async () => {
    const { checks } = await parse(fixture('length-beyond-end--data-size.itb'));
    expect(checks.map(({ name, ok }) => [name, ok])).toEqual([
      ['kernel-1/hash-1', null],
      ['kernel-1/hash-2', null],
      ['fdt-1/hash-1', true],
      ['fdt-1/hash-2', true],
    ]);
  });

  test('does not take a hash for good that it cannot compute or that U-Boot ignores', async () => {
    const data = { data: text('data') };
    const bytes = build({ root: tree(node('a', data, hash('sm3_256', 32)), node('b', data, hash('crc32', 4, { 'uboot-ignore': new Uint8Array(0) }))) });
    const { checks, findings } = await parse(bytes);
    expect(findings).toEqual([]);
    expect(checks.map(({ name, ok }) => [name, ok])).toEqual([
      ['a/hash-1', null],
      ['b/hash-1', null],
    ]);
  });

  test('refuses a hash value of another length than its algorithm has', async () => {
    const bytes = build({ root: tree(node('a', { data: text('data') }, hash('sha1', 4))) });
    expect(codes(await parse(bytes))).toEqual(['structure-invalid']);
  });

  test('does not hash data that two images claim', async () => {
    const image = (name: string, position: number) => node(name, { 'data-position': number(position), 'data-size': number(64) }, hash('crc32', 4));
    const external = [1024, 1088].map((offset) => ({ offset, data: new Uint8Array(64).fill(offset) }));
    const bytes = build({ root: tree(image('a', 1024), image('b', 1088)), external });
    const before = await parse(bytes);
    expect(before.checks.map(({ ok }) => ok)).toEqual([true, true]);
    const at = before.fields.find(({ name }) => name === '/images/b/data-position')?.offset ?? 0;
    bytes.set(number(1040), at);
    const after = await parse(bytes);
    expect(after.findings.map(({ code, offset }) => [code, offset])).toEqual([['structure-invalid', at]]);
    expect(after.checks.map(({ ok }) => ok)).toEqual([true, null]);
  });

  test('does not look into encrypted data', async () => {
    const cipher = node('cipher', { algo: text('aes256'), 'key-name-hint': text('dev') });
    const { payloads } = await parse(build({ root: tree(node('a', { data: text('data') }, cipher)) }));
    expect(payloads.map(({ content }) => content)).toEqual(['opaque']);
  });

  test('counts the properties that it does not show', async () => {
    const many = Object.fromEntries(Array.from({ length: 600 }, (_, index) => [`p${index}`, number(index)]));
    const { fields, findings } = await parse(build({ root: tree(node('a', { data: text('data'), ...many })) }));
    expect(fields.length).toBeLessThan(600);
    expect(findings.map(({ message }) => message)).toEqual(['90 more properties were read but are not shown']);
  });
});

describe('fit.build()', () => {
  test('computes the hashes anew', async () => {
    const { input } = await parse(fixture('hash-mismatch--stored-value.itb'));
    expect(build(input?.() as FitInput)).toEqual(fixture('sound-kernel-and-dtb.itb'));
  });

  test('refuses data that no place is left for', () => {
    expect(() => build({ root: tree(), external: [{ offset: 40, data: text('data') }] })).toThrow(OwimgError);
    expect(() => build({ root: tree(node('a', { 'data-position': number(4096), 'data-size': number(1) })) })).toThrow(OwimgError);
  });
});
