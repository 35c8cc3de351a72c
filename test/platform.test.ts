/** Node and browsers must read every image alike: both platforms against known values and against each other. */
import { deflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fromHex, hexBytes, toBytes } from '../src/core/hex.ts';
import * as node from '../src/platform/node.ts';
import type { DigestAlgorithm } from '../src/platform/types.ts';
import * as web from '../src/platform/web.ts';

const platforms = [
  ['node', node],
  ['web', web],
] as const;
const algorithms = ['md5', 'sha1', 'sha256', 'sha384', 'sha512'] as const satisfies readonly DigestAlgorithm[];
const runs = { numRuns: 200, seed: 1 };
const plenty = 1 << 20;
const bytesUpTo = (maxLength: number) => fc.uint8Array({ maxLength });
/** Random bytes do not shrink; a few repeated ones do. */
const compressible = fc.array(fc.constantFrom('kernel', 'root', '\0\0\0\0', 'owimg'), { maxLength: 400 }).map((words) => toBytes(words.join('')));
const deflated = (bytes: Uint8Array): Uint8Array => new Uint8Array(deflateRawSync(bytes));

/** An archive whose directory is empty, in front of it some packed bytes. */
function zipOf(packed: Uint8Array): { archive: Uint8Array; offset: number } {
  const offset = 30;
  const end = fromHex('504b0506 0000 0000 0000 0000 00000000 00000000 0000');
  return { archive: Uint8Array.of(...new Uint8Array(offset), ...packed, ...end), offset };
}

describe.each(platforms)('%s', (_, platform) => {
  test('crc32() of the check string, in one go and in two', () => {
    expect(platform.crc32(toBytes('123456789'))).toBe(0xcbf43926);
    expect(platform.crc32(toBytes('6789'), platform.crc32(toBytes('12345')))).toBe(0xcbf43926);
    expect(platform.crc32(new Uint8Array(0), 0xcbf43926)).toBe(0xcbf43926);
  });

  test.each([
    ['md5', '900150983cd24fb0d6963f7d28e17f72'],
    ['sha1', 'a9993e364706816aba3e25717850c26c9cd0d89d'],
    ['sha256', 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'],
    ['sha384', 'cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7'],
    ['sha512', 'ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f'],
  ] as const)('digest() %s of "abc" in two parts', (algorithm, expected) => {
    expect(hexBytes(platform.digest(algorithm, [toBytes('a'), toBytes('bc')]))).toBe(expected);
  });

  test('inflateRaw() stops at the end of the stream and says where that was', () => {
    // "owimg" in one block with fixed codes, then bytes that are none of its business.
    const stream = fromHex('cb2fcfcc4d0700');
    expect(platform.inflateRaw(Uint8Array.of(...stream, 1, 2, 3), plenty)).toEqual({ ok: true, bytes: toBytes('owimg'), consumed: 7 });
  });

  test('inflateRaw() gives as much as is allowed and not a byte more', () => {
    const stream = deflated(new Uint8Array(200_000));
    expect(platform.inflateRaw(stream, 200_000)).toMatchObject({ ok: true, consumed: stream.length });
    expect(platform.inflateRaw(stream, 199_999)).toEqual({ ok: false, failure: 'limit', reason: 'more than 199999 bytes came out' });
    expect(platform.inflateRaw(stream, 0)).toMatchObject({ ok: false, failure: 'limit' });
  });

  test('inflateRaw() tells a stream that is cut off from a damaged one', () => {
    const stream = deflated(toBytes('a kernel and a root file system'));
    expect(platform.inflateRaw(stream.subarray(0, -1), plenty)).toEqual({ ok: false, failure: 'truncated', reason: 'it ends too early' });
    expect(platform.inflateRaw(new Uint8Array(0), plenty)).toMatchObject({ ok: false, failure: 'truncated' });
    expect(platform.inflateRaw(Uint8Array.of(0x07, 0, 0), plenty)).toEqual({ ok: false, failure: 'corrupt', reason: 'invalid block type' });
  });

  test('openZip() unpacks a member', async () => {
    const data = toBytes('owimg'.repeat(100));
    const packed = deflated(data);
    const { archive, offset } = zipOf(packed);
    const unpack = await platform.openZip(archive);
    expect(await unpack(offset, packed.length, 500)).toEqual({ ok: true, bytes: data });
    expect(await unpack(offset, packed.length, 499)).toEqual({ ok: false, failure: 'limit', reason: 'more than 499 bytes came out' });
    expect(await unpack(offset, packed.length - 1, 500)).toEqual({ ok: false, failure: 'truncated', reason: 'it ends too early' });
    expect(await unpack(offset, 0, 500)).toEqual({ ok: false, failure: 'truncated', reason: 'it ends too early' });
  });
});

describe('both platforms', () => {
  test('crc32() agrees for any bytes and any start value', () => {
    fc.assert(
      fc.property(bytesUpTo(3000), fc.nat(0xffffffff), (bytes, previous) => {
        expect(web.crc32(bytes, previous)).toBe(node.crc32(bytes, previous));
      }),
      runs,
    );
  });

  test('latin1() agrees for all byte values, and toBytes() reverses it', () => {
    fc.assert(
      fc.property(bytesUpTo(20_000), (bytes) => {
        expect(web.latin1(bytes)).toBe(node.latin1(bytes));
        expect(toBytes(node.latin1(bytes))).toEqual(bytes);
      }),
      runs,
    );
    const all = Uint8Array.from({ length: 256 }, (_, value) => value);
    expect([...web.latin1(all)].map((character) => character.charCodeAt(0))).toEqual([...all]);
  });

  test.each(algorithms)('digest() %s agrees for any parts', (algorithm) => {
    fc.assert(
      fc.property(fc.array(bytesUpTo(300), { maxLength: 4 }), (parts) => {
        expect(web.digest(algorithm, parts)).toEqual(node.digest(algorithm, parts));
      }),
      runs,
    );
  });

  test('inflateRaw() and openZip() agree for sound streams, whatever follows', async () => {
    const inputs = fc.tuple(fc.oneof(bytesUpTo(3000), compressible), bytesUpTo(20));
    await fc.assert(
      fc.asyncProperty(inputs, async ([bytes, behind]) => {
        const packed = deflated(bytes);
        const expected = { ok: true, bytes, consumed: packed.length };
        const stream = Uint8Array.of(...packed, ...behind);
        expect(web.inflateRaw(stream, plenty)).toEqual(expected);
        expect(node.inflateRaw(stream, plenty)).toEqual(expected);
        const { archive, offset } = zipOf(stream);
        for (const [, platform] of platforms) {
          const unpack = await platform.openZip(archive);
          expect(await unpack(offset, stream.length, plenty)).toEqual({ ok: true, bytes });
        }
      }),
      runs,
    );
  });

  test('inflateRaw() and openZip() agree on what is wrong with damaged streams', async () => {
    const inputs = fc.tuple(compressible, fc.nat(5000), fc.integer({ min: 1, max: 255 }), fc.nat(400));
    await fc.assert(
      fc.asyncProperty(inputs, async ([bytes, position, change, cut]) => {
        const packed = deflated(bytes);
        const index = position % packed.length;
        packed[index] = (packed[index] as number) ^ change;
        const stream = packed.subarray(0, packed.length - (cut % packed.length));
        const expected = node.inflateRaw(stream, plenty);
        expect(web.inflateRaw(stream, plenty)).toEqual(expected);
        const { archive, offset } = zipOf(stream);
        for (const [, platform] of platforms) {
          const unpack = await platform.openZip(archive);
          const result = await unpack(offset, stream.length, plenty);
          expect(result).toEqual(expected.ok ? { ok: true, bytes: expected.bytes } : expected);
        }
      }),
      { ...runs, numRuns: 500 },
    );
  });
});
