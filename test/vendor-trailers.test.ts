/** What is special in the trailers of Linksys, Gemtek and Keenetic; all else the laws test. */
import { describe, expect, test } from 'vitest';
import { fwtool } from '../formats/fwtool.ts';
import { gemtekTrailer } from '../formats/gemtek-trailer.ts';
import { linksysFooter } from '../formats/linksys-footer.ts';
import { znbgTrailer } from '../formats/znbg-trailer.ts';
import type { AnyFormat } from '../src/core/format.ts';
import { latin1 } from '../src/core/hex.ts';
import { allLayers } from '../src/core/layers.ts';
import { inspect } from '../src/index.ts';
import { fixtures, readFixture } from './support/fixtures.ts';

function fixture(path: string): Uint8Array {
  const found = fixtures.find(({ format, file }) => `${format}/${file}` === path);
  if (found === undefined) throw new Error(`no fixture ${path}`);
  return readFixture(found);
}

const image = fixture('gemtek-trailer/sound-kernel-and-rootfs.bin').subarray(0, 24580);
/** A metadata chunk: version and flags, 8 bytes of zeros, then the JSON text. */
const metadataChunk = (json: string) => ({ type: 1, data: new TextEncoder().encode(`${'\0'.repeat(8)}${json}`) });

const chunks = [metadataChunk('{"metadata_version": "1.1", "compat_version": "1.0", "supported_devices": ["a,b"], "version": {"board": "a_b"}}')];

/** The image with one trailer after the other appended, each made over all in front of it. */
function appended(...trailers: readonly [format: AnyFormat, values: object][]): Uint8Array {
  let bytes = image;
  for (const [{ build }, values] of trailers) {
    const trailer = build?.({ image: bytes, ...values }) as Uint8Array;
    const longer = new Uint8Array(bytes.length + trailer.length);
    longer.set(bytes);
    longer.set(trailer, bytes.length);
    bytes = longer;
  }
  return bytes;
}

const vendors: readonly [format: AnyFormat, values: object][] = [
  [linksysFooter, { type: 'EA7300v2' }],
  [gemtekTrailer, {}],
  [znbgTrailer, { deviceId: 0x810630, version: 'KAP-630' }],
];

describe.each(vendors.map(([format, values]) => [format.id, format, values] as const))('%s', (id, format, values) => {
  const metadata = [fwtool, { chunks }] as [AnyFormat, object];
  const vendor = [format, values] as [AnyFormat, object];

  test.each([
    ['behind', [vendor, metadata]],
    ['in front', [metadata, vendor]],
  ] as const)('is read with metadata %s', async (_, trailers) => {
    const result = await inspect(appended(...trailers));
    expect(result).toMatchObject({ status: 'sound', kind: 'sysupgrade', findings: [] });
    const layers = allLayers(result.root as NonNullable<typeof result.root>);
    expect(layers.slice(-2).map((layer) => layer.format)).toEqual(trailers.map(([{ id: name }]) => name));
    expect(layers.flatMap(({ checks }) => checks).every(({ ok }) => ok === true)).toBe(true);
  });

  test('is found by its checksum with metadata behind, whatever happened to its magic number', async () => {
    const bytes = appended(vendor);
    bytes.fill(0x2a, image.length, image.length + 4);
    const { findings } = await inspect(appended([{ ...format, build: () => bytes.subarray(image.length) }, {}], metadata));
    expect(findings.map(({ code, offset, layer }) => [code, offset, layer.split('/').at(-1)])).toEqual([['magic-damaged', image.length, id]]);
  });

  test('is not looked for in front of what follows it', () => {
    const bytes = appended(vendor);
    const longer = new Uint8Array(bytes.length + 3).fill(0x41);
    longer.set(bytes);
    expect(format.locate?.(longer)).toBe(-1);
  });
});

test('linksysFooter.build() gives what the recipe writes', () => {
  const text = latin1(linksysFooter.build?.({ image, type: 'EA6350', lineFeed: true }) as Uint8Array);
  expect(text).toBe(`.LINKSYS.01000409EA6350         4276C21E0       K0000000F0246434${'\0'.repeat(192)}\n`);
});

test('linksysFooter.build() refuses what has no room', () => {
  expect(() => linksysFooter.build?.({ image, type: 'EA7300v2-EA7300v2' })).toThrow('Cannot store a type of 17 characters: the footer has room for 15');
  expect(() => linksysFooter.build?.({ image, type: '', reserved: new Uint8Array(3) })).toThrow('Cannot store 3 reserved bytes');
});

test('znbgTrailer.build() refuses what has no room', () => {
  const version = 'x'.repeat(47);
  expect(() => znbgTrailer.build?.({ image, deviceId: 1, version: `${version}x` })).toThrow('Cannot store a version of 48 characters');
  expect(() => znbgTrailer.build?.({ image, deviceId: 2 ** 32, version })).toThrow('Cannot store the device id 4294967296');
  expect(znbgTrailer.build?.({ image, deviceId: 1, version })).toHaveLength(60);
});

test('znbgTrailer.parse() reads the device id and the version', async () => {
  const { identities, root } = await inspect(fixture('znbg-trailer/sound-kap-630.bin'));
  expect(identities).toContainEqual({ source: 'znbg-trailer.deviceId', value: '0x00810630', offset: 24584 });
  const trailer = root.children.find(({ format }) => format === 'znbg-trailer');
  expect(trailer?.fields.map(({ name, value, offset }) => [name, value, offset])).toEqual([
    ['magic', 'ZNBG', 24580],
    ['deviceId', '0x00810630', 24584],
    ['version', 'KAP-630', 24588],
    ['checksum', '0xe8397080', 24636],
  ]);
});
