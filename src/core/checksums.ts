/** Every checksum of the field, by the name the reference pages use. */
import { crc32, digest } from '#platform';
import { type FindingCode, finding, type LocalFinding } from './findings.ts';
import { hex, hexBytes } from './hex.ts';
import type { Check, Range } from './types.ts';

export { crc32, digest };

/** CRC32 over several stretches, as if they were one. */
export function crc32Of(parts: readonly Uint8Array[]): number {
  let value = 0;
  for (const part of parts) value = crc32(part, value);
  return value;
}

/** CRC32 without the final inversion: TRX, fwtool, imagetag, UBI, UBIFS. */
export function jamcrc(...parts: readonly Uint8Array[]): number {
  return ~crc32Of(parts) >>> 0;
}

/** CRC32 with start value 0 and no final inversion: JFFS2, Belkin, Moxa. */
export function crc0(bytes: Uint8Array): number {
  // A start value of 0 is what zlib's crc32 reaches when it is told to go on from 0xffffffff.
  return ~crc32(bytes, 0xffffffff) >>> 0;
}

/** The table of a reflected CRC, from its reversed polynomial. */
function crcTable(polynomial: number): Uint32Array {
  const table = new Uint32Array(256);
  for (let byte = 0; byte < 256; byte += 1) {
    let value = byte;
    for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ polynomial : value >>> 1;
    table[byte] = value;
  }
  return table;
}

const crc32cTable = crcTable(0x82f63b78);
const crc16Table = crcTable(0xa001);

const reflectedCrc = (table: Uint32Array, bytes: Uint8Array, seed: number): number => {
  let value = seed;
  for (const byte of bytes) value = (table[(value ^ byte) & 0xff] as number) ^ (value >>> 8);
  return value >>> 0;
};

/** CRC-32C (Castagnoli) without the final inversion, as Linux' `crc32c()`: ext4, btrfs. `seed` goes on from a former result. */
export function crc32c(bytes: Uint8Array, seed = 0xffffffff): number {
  return reflectedCrc(crc32cTable, bytes, seed);
}

/** CRC-16 (ANSI, reflected) as Linux' `crc16()`: ext4's group descriptors. `seed` goes on from a former result. */
export function crc16(bytes: Uint8Array, seed = 0xffff): number {
  return reflectedCrc(crc16Table, bytes, seed);
}

let crc64Table: { readonly low: Int32Array; readonly high: Int32Array } | undefined;

function makeCrc64Table(): { readonly low: Int32Array; readonly high: Int32Array } {
  const table = { low: new Int32Array(256), high: new Int32Array(256) };
  for (let byte = 0; byte < 256; byte += 1) {
    let low = byte;
    let high = 0;
    for (let bit = 0; bit < 8; bit += 1) {
      const odd = low & 1;
      low = (low >>> 1) | (high << 31);
      high >>>= 1;
      if (odd === 1) {
        low ^= 0xd7870f42;
        high ^= 0xc96c5795;
      }
    }
    table.low[byte] = low;
    table.high[byte] = high;
  }
  return table;
}

/** CRC-64 of ECMA-182, reflected, as 8 bytes, the lowest first: xz. */
export function crc64(bytes: Uint8Array): Uint8Array {
  crc64Table ??= makeCrc64Table();
  const table = crc64Table;
  let low = -1;
  let high = -1;
  for (const byte of bytes) {
    const index = (low ^ byte) & 0xff;
    low = ((low >>> 8) | (high << 24)) ^ (table.low[index] as number);
    high = (high >>> 8) ^ (table.high[index] as number);
  }
  const value = new Uint8Array(8);
  const view = new DataView(value.buffer);
  view.setInt32(0, ~low, true);
  view.setInt32(4, ~high, true);
  return value;
}

/** CRC-16 with polynomial 0x1021 and start value 0, not reflected: U-Boot's `crc16-ccitt`, known as XMODEM. */
export function crc16Ccitt(bytes: Uint8Array): number {
  let value = 0;
  for (const byte of bytes) {
    let mixed = ((value >> 8) ^ byte) & 0xff;
    mixed ^= mixed >> 4;
    value = ((value << 8) ^ (mixed << 12) ^ (mixed << 5) ^ mixed) & 0xffff;
  }
  return value;
}

let cksumTable: Uint32Array | undefined;

/** The table of a CRC that is not reflected, from its polynomial. */
function straightCrcTable(polynomial: number): Uint32Array {
  const table = new Uint32Array(256);
  for (let byte = 0; byte < 256; byte += 1) {
    let value = byte << 24;
    for (let bit = 0; bit < 8; bit += 1) value = value < 0 ? (value << 1) ^ polynomial : value << 1;
    table[byte] = value;
  }
  return table;
}

/** What POSIX `cksum` prints: a CRC over the bytes and then over their number, its lowest byte first, without zeros at its end. */
export function cksum(bytes: Uint8Array): number {
  cksumTable ??= straightCrcTable(0x04c11db7);
  const table = cksumTable;
  let value = 0;
  for (const byte of bytes) value = (value << 8) ^ (table[(value >>> 24) ^ byte] as number);
  for (let rest = bytes.length; rest > 0; rest = Math.floor(rest / 256)) value = (value << 8) ^ (table[(value >>> 24) ^ (rest & 0xff)] as number);
  return ~value >>> 0;
}

/** Sum of bytes, modulo 256. */
export function sum8(bytes: Uint8Array): number {
  let sum = 0;
  // By index, and wrapped early: a loop over the iterator takes five times as long.
  for (let index = 0; index < bytes.length; index += 1) sum = (sum + (bytes[index] as number)) | 0;
  return sum & 0xff;
}

/** Netgear's sum over several stretches: the sum of bytes and the sum of those sums, each folded to 16 bits. */
export function netgearSum(...parts: readonly Uint8Array[]): number {
  let sum = 0;
  let sumOfSums = 0;
  for (const part of parts) {
    let index = 0;
    // Four bytes at a time, as a sum of sums of images takes longer than any other of their checksums.
    for (; index + 4 <= part.length; index += 4) {
      const [a, b, c, d] = [part[index] as number, part[index + 1] as number, part[index + 2] as number, part[index + 3] as number];
      sumOfSums = (sumOfSums + 4 * sum + 4 * a + 3 * b + 2 * c + d) | 0;
      sum = (sum + a + b + c + d) | 0;
    }
    for (; index < part.length; index += 1) {
      sum = (sum + (part[index] as number)) | 0;
      sumOfSums = (sumOfSums + sum) | 0;
    }
  }
  const fold = (value: number): number => {
    const once = (value & 0xffff) + (value >>> 16);
    return (once + (once >>> 16)) & 0xffff;
  };
  return ((fold(sumOfSums) << 16) | fold(sum)) >>> 0;
}

/** `count` zero bytes: the checksum field while the checksum over it is made. */
export function zeros(count: number): Uint8Array {
  return new Uint8Array(count);
}

/** The bytes with some stretches replaced, as parts for {@link crc32Of} or `digest`. Stretches in ascending order. */
export function withReplaced(bytes: Uint8Array, replacements: readonly { offset: number; bytes: Uint8Array }[]): Uint8Array[] {
  const parts: Uint8Array[] = [];
  let position = 0;
  for (const { offset, bytes: replacement } of replacements) {
    parts.push(bytes.subarray(position, offset), replacement);
    position = offset + replacement.length;
  }
  parts.push(bytes.subarray(position));
  return parts;
}

/** A check and the code of the finding that it makes when it fails. */
export interface CodedCheck extends Check {
  readonly code: FindingCode;
  /** Where the stored value lies: the place of the finding if the check covers no bytes. */
  readonly at: Range;
}

type MismatchCode = Extract<FindingCode, `${string}-checksum-mismatch` | 'hash-mismatch'>;

interface Comparison {
  readonly code: MismatchCode;
  readonly name: string;
  readonly algorithm: string;
  /** The stored value. `null`: it is left empty by design, so the check cannot be made. */
  readonly stored: number | Uint8Array | null;
  readonly computed: number | Uint8Array;
  /** Where the stored value lies. */
  readonly at: Range;
  /** The bytes which the value is computed over, in ascending order. None: it is over unpacked data, and the check covers no bytes. */
  readonly covers: readonly Range[];
  /** Hexadecimal digits of a number. */
  readonly digits?: number;
}

const show = (value: number | Uint8Array, digits = 8): string => (typeof value === 'number' ? hex(value, digits) : hexBytes(value));

/** Compares a stored checksum with the computed one. What it covers includes the stored value's own bytes, if it covers any. */
export function compare(comparison: Comparison): CodedCheck {
  const { code, name, algorithm, stored, computed, at, digits } = comparison;
  const covers = comparison.covers.length === 0 ? [] : mergeRanges([...comparison.covers, at]);
  const actual = show(computed, digits);
  if (stored === null) return { code, name, algorithm, ok: null, expected: null, actual, covers, at };
  const expected = show(stored, digits);
  return { code, name, algorithm, ok: expected === actual, expected, actual, covers, at };
}

/** The finding that a failed check makes; its place is the hull of what the check covers. */
export function failedCheck(check: CodedCheck): LocalFinding {
  const places = check.covers.length === 0 ? [check.at] : check.covers;
  const { offset } = places[0] as Range;
  const end = places.reduce((last, range) => Math.max(last, range.offset + range.length), 0);
  const { name, algorithm } = check;
  const args = { name, algorithm, expected: check.expected ?? '', actual: check.actual ?? '' };
  return finding(check.code as MismatchCode, { offset, length: end - offset }, args);
}

/** Sorted, without overlaps, without empty ones; neighbours are joined. */
export function mergeRanges(ranges: readonly Range[]): Range[] {
  const sorted = ranges.filter((range) => range.length > 0).sort((a, b) => a.offset - b.offset);
  const merged: { offset: number; length: number }[] = [];
  for (const { offset, length } of sorted) {
    const last = merged.at(-1);
    if (last !== undefined && offset <= last.offset + last.length) last.length = Math.max(last.length, offset + length - last.offset);
    else merged.push({ offset, length });
  }
  return merged;
}

/** One of many checks: numbers only, as there are thousands of them. */
type GroupedComparison = Omit<Comparison, 'name' | 'algorithm' | 'stored' | 'computed' | 'digits'> & {
  readonly stored: number | null;
  readonly computed: number;
};

interface CheckGroup {
  readonly first: GroupedComparison;
  count: number;
  readonly covers: Range[];
}

/**
 * Many checks of few kinds: a file system has one for each of its thousands of nodes. The passed ones of a kind
 * become one check; of the failed ones each stays by itself, up to a limit.
 */
export class CheckGroups {
  readonly #algorithm: string;
  readonly #limit: number;
  readonly #passed = new Map<string, CheckGroup>();
  readonly #failed: CodedCheck[] = [];
  readonly #hidden = new Map<string, CheckGroup>();

  constructor(algorithm: string, limit: number) {
    this.#algorithm = algorithm;
    this.#limit = limit;
  }

  /** `name` says which kind of check it is, `where` which one of these. */
  add(name: string, where: () => string, comparison: GroupedComparison): void {
    const passed = comparison.stored === comparison.computed;
    if (!passed && this.#failed.length < this.#limit) {
      this.#failed.push(compare({ ...comparison, name: `${name} of ${where()}`, algorithm: this.#algorithm }));
      return;
    }
    const groups = passed ? this.#passed : this.#hidden;
    const group = groups.get(name) ?? { first: comparison, count: 0, covers: [] };
    groups.set(name, group);
    group.count += 1;
    group.covers.push(...comparison.covers, comparison.at);
  }

  all(): CodedCheck[] {
    const of = (group: CheckGroup, name: string): CodedCheck => ({
      ...compare({ ...group.first, name, algorithm: this.#algorithm }),
      covers: mergeRanges(group.covers),
    });
    const values = ({ count }: CheckGroup): string => `${count} values`;
    const passed = [...this.#passed].map(([name, group]): CodedCheck => {
      const check = of(group, name);
      return group.count === 1 ? check : { ...check, expected: values(group), actual: values(group) };
    });
    const hidden = [...this.#hidden].map(
      ([name, group]): CodedCheck => ({ ...of(group, `${name} of ${group.count} more`), expected: values(group), actual: 'others' }),
    );
    return [...passed, ...this.#failed, ...hidden];
  }
}
