import { describe, expect, test } from 'vitest';
import { cksum, compare, crc0, crc32, crc32Of, digest, failedCheck, jamcrc, mergeRanges, withReplaced } from '../src/core/checksums.ts';
import { finding, lengthBeyondEnd } from '../src/core/findings.ts';
import { tile } from '../src/core/format.ts';
import { byteCount, fromHex, hexBytes, printable, toBytes } from '../src/core/hex.ts';
import { Budget, defaultLimits } from '../src/core/limits.ts';
import { paddingLength, runLength, trailingPadding } from '../src/core/padding.ts';
import { bytes, hex32, struct, text, u16, u16le, u32, u32s, u64 } from '../src/core/struct.ts';

describe('checksums', () => {
  const digits = toBytes('123456789');

  // The check values of the CRC catalogue (https://reveng.sourceforge.io/crc-catalogue/) for these nine digits.
  test('crc32() gives CBF43926', () => expect(crc32(digits)).toBe(0xcbf43926));
  test('jamcrc() gives 340BC6D9', () => expect(jamcrc(digits)).toBe(0x340bc6d9));
  test('crc0() gives 2DFD2D88', () => expect(crc0(digits)).toBe(0x2dfd2d88));
  test('cksum() gives 377A6011', () => expect(cksum(digits)).toBe(0x377a6011));
  test('cksum() takes a length of more than one byte in', () => expect(cksum(new Uint8Array(300))).toBe(0x14f1b695));
  test('crc32Of() goes on from part to part', () => expect(crc32Of([digits.subarray(0, 4), digits.subarray(4)])).toBe(0xcbf43926));

  test('digest() gives the vectors of RFC 1321 and FIPS 180', () => {
    expect(hexBytes(digest('md5', [toBytes('abc')]))).toBe('900150983cd24fb0d6963f7d28e17f72');
    expect(hexBytes(digest('sha1', [toBytes('a'), toBytes('bc')]))).toBe('a9993e364706816aba3e25717850c26c9cd0d89d');
    expect(hexBytes(digest('sha256', [toBytes('abc')]))).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
  });

  test('withReplaced() leaves all other bytes alone', () => {
    const parts = withReplaced(toBytes('abcdefgh'), [
      { offset: 1, bytes: toBytes('__') },
      { offset: 6, bytes: toBytes('?') },
    ]);
    expect(parts.map((part) => String.fromCharCode(...part)).join('')).toBe('a__def?h');
  });

  test('mergeRanges() joins neighbours and overlaps', () => {
    expect(
      mergeRanges([
        { offset: 8, length: 4 },
        { offset: 0, length: 4 },
        { offset: 4, length: 2 },
        { offset: 9, length: 9 },
        { offset: 30, length: 0 },
      ]),
    ).toEqual([
      { offset: 0, length: 6 },
      { offset: 8, length: 10 },
    ]);
  });

  test('compare() covers the stored value too, and cannot be made without one', () => {
    const comparison = {
      code: 'data-checksum-mismatch',
      name: 'crc',
      algorithm: 'crc32',
      computed: 5,
      at: { offset: 0, length: 4 },
      covers: [{ offset: 8, length: 2 }],
    } as const;
    expect(compare({ ...comparison, stored: 5 })).toMatchObject({
      ok: true,
      covers: [
        { offset: 0, length: 4 },
        { offset: 8, length: 2 },
      ],
    });
    expect(compare({ ...comparison, stored: null })).toMatchObject({ ok: null, expected: null });
    const failed = failedCheck(compare({ ...comparison, stored: 6 }));
    expect(failed).toMatchObject({ code: 'data-checksum-mismatch', severity: 'error', offset: 0, length: 10 });
    expect(failed.message).toContain('should be 0x00000006 but the bytes give 0x00000005');
  });
});

describe('struct()', () => {
  const header = struct('big', { magic: hex32, version: u16, little: u16le, size: u64, name: text(6), raw: bytes(2), list: u32s(2) });
  const values = { magic: 0xfeedbeef, version: 0x0102, little: 0x0102, size: 5n, name: 'abc', raw: fromHex('aabb'), list: [1, 2] };
  const written = 'feedbeef' + '0102' + '0201' + '0000000000000005' + '616263000000' + 'aabb' + '0000000100000002';

  test('writes what it reads', () => {
    expect(hexBytes(header.write(values))).toBe(written);
    expect(header.read(fromHex(written))).toEqual(values);
    expect(header.length).toBe(32);
  });

  test('knows where each field lies', () => {
    expect(header.at.name).toEqual({ offset: 16, length: 6 });
    expect(header.fields(values, { version: 'second' }, 100)[1]).toEqual({ name: 'version', offset: 104, length: 2, value: 0x0102, meaning: 'second' });
  });

  test('refuses to read past the end', () => {
    expect(() => header.read(fromHex(written).subarray(0, 31))).toThrow('Cannot read a header of 32 bytes at 0: only 31 are left');
  });

  test('reads in little endian', () => expect(struct('little', { value: u32 }).read(fromHex('01000000')).value).toBe(1));
});

describe('padding', () => {
  test('runLength() counts over word boundaries from any alignment', () => {
    for (let start = 0; start < 9; start += 1) {
      const filled = new Uint8Array(64).fill(0xff);
      filled[start] = 1;
      filled[50] = 2;
      expect(runLength(filled, start + 1)).toBe(50 - start - 1);
    }
    expect(runLength(new Uint8Array(0))).toBe(0);
  });

  test('paddingLength() takes only 00 and FF for padding', () => {
    expect(paddingLength(fromHex('00000001'))).toBe(3);
    expect(paddingLength(fromHex('ffff'))).toBe(2);
    expect(paddingLength(fromHex('2020'))).toBe(0);
  });

  test('trailingPadding() leaves short runs to the data', () => {
    expect(trailingPadding(new Uint8Array([1, ...new Uint8Array(15)]))).toBe(0);
    expect(trailingPadding(new Uint8Array([1, ...new Uint8Array(16)]))).toBe(16);
  });
});

describe('tile()', () => {
  test('fills gaps, cuts overlaps, drops what lies outside', () => {
    const region = (offset: number, length: number) => ({ kind: 'payload', label: `${offset}`, offset, length }) as const;
    const tiled = tile([region(10, 5), region(2, 4), region(12, 20), region(90, 9)], 0, 20);
    expect(tiled.map(({ kind, offset, length }) => [kind, offset, length])).toEqual([
      ['unknown', 0, 2],
      ['payload', 2, 4],
      ['unknown', 6, 4],
      ['payload', 10, 5],
      ['payload', 15, 5],
    ]);
  });
});

describe('Budget', () => {
  test('unpackLimit() is bound by the ratio, and by what was unpacked before', () => {
    const budget = new Budget({ ...defaultLimits, unpackedBytes: 5000, unpackRatio: 10 });
    expect(budget.unpackLimit(100)).toBe(1000);
    budget.tookUnpacked(4500);
    expect(budget.unpackLimit(100)).toBe(500);
    expect(budget.unpackLimit(1e9)).toBe(500);
  });
});

test('lengthBeyondEnd() says what was claimed, what is there, and reaches to the end', () => {
  const made = lengthBeyondEnd('the data', { offset: 12, length: 4 }, 100, 60, 124);
  expect(made).toMatchObject({ code: 'length-beyond-end', offset: 12, length: 112 });
  expect(made.message).toBe('Cannot read all of the data: it should have 100 bytes but only 60 are left, 40 are missing');
});

test('finding() takes severity and hint from the table', () => {
  expect(finding('file-empty', { offset: 0, length: 0 }, {})).toMatchObject({
    severity: 'error',
    message: 'The file has no bytes',
    hint: 'The download failed. Download it again.',
  });
});

test('printable() and byteCount() are for people', () => {
  expect(printable(fromHex('41091b4200ff'))).toBe('A\\x09\\x1bB');
  expect([1, 1023, 1024, 1536, 16 * 1024 ** 2, 3 * 1024 ** 3].map(byteCount)).toEqual(['1 byte', '1023 bytes', '1 KiB', '1.5 KiB', '16 MiB', '3 GiB']);
});
