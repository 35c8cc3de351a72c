import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { lzma } from '../formats/lzma.ts';
import { toBytes } from '../src/core/hex.ts';
import { Budget } from '../src/core/limits.ts';
import { unpackLzma } from '../src/core/lzma.ts';
import { inspect } from '../src/index.ts';
import { fixtures, readFixture } from './support/fixtures.ts';

const fixture = (format: string, file: string): Uint8Array => {
  const found = fixtures.find((entry) => entry.format === format && entry.file === file);
  return readFixture(found as NonNullable<typeof found>);
};
const numbers = (last: number): string => Array.from({ length: last }, (_, index) => `${index + 1}\n`).join('');
const endMarker = fixture('lzma', 'sound-end-marker.lzma');
const knownLength = fixture('lzma', 'sound-known-length.lzma');
const parameters = { properties: 0x6d, dictionaryLength: 1 << 23, length: null, limit: 1 << 20 };

describe('unpackLzma()', () => {
  test('gives the bytes that were packed', () => {
    const result = unpackLzma(endMarker.subarray(13), parameters);
    expect(result).toEqual({ ok: true, bytes: toBytes(numbers(3000)), consumed: 1300 });
  });

  test('gives the bytes for properties that no kernel has', () => {
    const packed = fixture('lzma', 'sound-other-properties.lzma');
    const result = unpackLzma(packed.subarray(13), { ...parameters, properties: packed[0] as number });
    expect(packed[0]).toBe(36); // lc 0, lp 4, pb 0
    expect(result).toMatchObject({ ok: true, bytes: toBytes(numbers(3000).split('\n').slice(0, -1).reverse().join('\n').concat('\n')) });
  });

  test('leaves alone what lies behind the end', () => {
    const longer = new Uint8Array([...knownLength.subarray(13), ...new Uint8Array(100).fill(0xff)]);
    expect(unpackLzma(longer, { ...parameters, length: 24576 })).toMatchObject({ ok: true, consumed: 13282 });
  });

  test('refuses a stream cut anywhere', () => {
    for (let length = 0; length < 1300; length += 1) {
      expect(unpackLzma(endMarker.subarray(13, 13 + length), parameters)).toMatchObject({ ok: false, failure: 'truncated', offset: length });
    }
    for (let length = 0; length < 13282; length += 97) {
      expect(unpackLzma(knownLength.subarray(13, 13 + length), { ...parameters, length: 24576 })).toMatchObject({ ok: false, failure: 'truncated' });
    }
  });

  test('refuses an end marker where more should come, and says how much came', () => {
    const result = unpackLzma(endMarker.subarray(13), { ...parameters, length: 20000 });
    expect(result).toMatchObject({ ok: false, failure: 'length', unpacked: 13893 });
  });

  test('refuses a stream that goes on, and says how much it gives', () => {
    const result = unpackLzma(knownLength.subarray(13), { ...parameters, length: 24000 });
    expect(result).toMatchObject({ ok: false, failure: 'length', unpacked: 24576 });
  });

  test('stops at the limit', () => {
    expect(unpackLzma(endMarker.subarray(13), { ...parameters, limit: 13892 })).toMatchObject({ ok: false, failure: 'limit' });
    expect(unpackLzma(endMarker.subarray(13), { ...parameters, limit: 13893 })).toMatchObject({ ok: true });
    expect(unpackLzma(knownLength.subarray(13), { ...parameters, length: 24576, limit: 24575 })).toMatchObject({ ok: false, failure: 'limit', unpacked: 0 });
  });

  test('refuses a match that points further back than the dictionary', () => {
    const packed = fixture('lzma', 'sound-known-length.lzma').subarray(13);
    expect(unpackLzma(packed, { ...parameters, length: 24576, dictionaryLength: 4096 })).toMatchObject({ ok: false, failure: 'corrupt' });
  });

  test('never throws and never gives more than the limit', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat(255), fc.option(fc.nat(5000)), (bytes, properties, length) => {
        bytes[0] = 0;
        const result = unpackLzma(bytes, { properties, dictionaryLength: 4096, length, limit: 4000 });
        if (result.ok) expect(result.bytes.length).toBeLessThanOrEqual(4000);
        else expect(result.offset).toBeLessThanOrEqual(bytes.length);
      }),
      { numRuns: 1000, seed: 1 },
    );
  });
});

describe('lzma', () => {
  test('lzma.detect() says no to random bytes behind a plausible header', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 300, maxLength: 600 }), (bytes) => {
        bytes.set([0x6d, 0, 0, 0x80, 0, 0, 0, 0x60, 0, 0, 0, 0, 0, 0, (bytes[14] as number) & 0x7f]);
        expect(lzma.detect(bytes)).toBe('no');
      }),
      { numRuns: 500, seed: 1 },
    );
  });

  test('lzma.parse() leaves open where a stream ends that it does not unpack', () => {
    const bytes = endMarker;
    const reading = lzma.parse(bytes, { unpack: false, deep: false, budget: new Budget() });
    expect(reading).toMatchObject({ length: 1313, open: true, payloads: [] });
  });

  test('lzma.parse() unpacks what is no more work than reading it', () => {
    const image = new Uint8Array(60000).fill(0xff);
    image.set(knownLength);
    const reading = lzma.parse(image, { unpack: false, deep: false, budget: new Budget() });
    expect(reading).toMatchObject({ length: 13295, open: false, findings: [], payloads: [] });
  });

  test('a bare kernel in front of a squashfs ends where its stream ends', async () => {
    const { root } = await inspect(fixture('flash-slice', 'sound-bare-lzma.bin'));
    expect(root.children.map(({ format, offset, length }) => [format, offset, length])).toEqual([
      ['lzma', 0, 13295],
      ['squashfs', 13295, 5762],
      ['eof-mark', 21487, 4],
    ]);
  });
});
