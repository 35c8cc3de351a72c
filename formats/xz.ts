/**
 * xz: streams of blocks, each block compressed by itself; behind the blocks an index of their sizes and a footer
 * that leads to it. All numbers little endian, everything aligned to 4 bytes.
 *
 * A CRC32 each covers the flags of a stream's header, every block's header, the index and the footer. The check
 * behind a block (CRC32, CRC64 or SHA-256) is made over the unpacked bytes, so the packed ones are proved only by
 * unpacking them.
 *
 * Layout: The .xz File Format, version 1.2.1. Writers: xz, OpenWrt tools/xz.
 */
import { undoFilter } from '../src/core/branch-filters.ts';
import { joined, standsAt } from '../src/core/bytes.ts';
import { type CodedCheck, compare, crc32, crc64, digest } from '../src/core/checksums.ts';
import { finding, type LocalFinding } from '../src/core/findings.ts';
import { type Format, type Payload, type Reading, region, truncatedHeader } from '../src/core/format.ts';
import { fromHex, hex } from '../src/core/hex.ts';
import { unpackLzma2 } from '../src/core/lzma.ts';
import { runLength } from '../src/core/padding.ts';
import { hex32, bytes as raw, struct, u8, u32 } from '../src/core/struct.ts';
import type { Field, Range, Region } from '../src/core/types.ts';

const header = struct('little', { magic: raw(6), reserved: u8, checkType: u8, checksum: hex32 });
const footer = struct('little', { checksum: hex32, backwardLength: u32, reserved: u8, checkType: u8, magic: raw(2) });
const magic = fromHex('fd377a585a00');

interface CheckType {
  readonly name: string;
  readonly length: number;
  readonly compute?: (bytes: Uint8Array) => number | Uint8Array;
}

const checkTypes: ReadonlyMap<number, CheckType> = new Map([
  [0, { name: 'none', length: 0 }],
  [1, { name: 'crc32', length: 4, compute: (bytes) => crc32(bytes) }],
  [4, { name: 'crc64', length: 8, compute: crc64 }],
  [10, { name: 'sha256', length: 32, compute: (bytes) => digest('sha256', [bytes]) }],
]);

/** Types that are not used yet have a length already. */
const checkLengths = [0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64];
const checkTypeOf = (type: number): CheckType => checkTypes.get(type) ?? { name: 'not defined', length: checkLengths[type & 15] as number };

/** Filters that are not undone. */
const filterNames: ReadonlyMap<number, string> = new Map([
  [0x04, 'x86'],
  [0x06, 'IA-64'],
  [0x0b, 'RISC-V'],
]);
const lzma2 = 0x21;

const aligned = (length: number): number => Math.ceil(length / 4) * 4;
const word = (bytes: Uint8Array, offset: number): number => new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(offset, true);

/** Reads numbers of 1 to 9 bytes, seven bits each; a number that is cut off, too long or too large ends it for good. */
class Numbers {
  readonly #bytes: Uint8Array;
  offset: number;
  failed = false;

  constructor(bytes: Uint8Array, offset: number) {
    this.#bytes = bytes;
    this.offset = offset;
  }

  next(): number {
    let value = 0;
    for (let index = 0; index < 9; index += 1) {
      const byte = this.#bytes[this.offset];
      this.offset += 1;
      if (byte === undefined || (byte === 0 && index > 0)) break;
      value += (byte & 0x7f) * 2 ** (7 * index);
      if (byte < 0x80) {
        if (Number.isSafeInteger(value)) return value;
        break;
      }
    }
    this.failed = true;
    return 0;
  }
}

/** What the index says of one block. */
interface IndexRecord {
  /** Header, packed data and check, without the padding between the last two. */
  readonly unpaddedLength: number;
  readonly unpackedLength: number;
}

/** The records of an index; `undefined` where it is not one, or has more than `limit` of them. */
function readIndex(bytes: Uint8Array, limit: number): IndexRecord[] | undefined {
  if (bytes[0] !== 0) return undefined;
  const numbers = new Numbers(bytes, 1);
  const count = numbers.next();
  if (count > Math.min(limit, bytes.length)) return undefined;
  const records: IndexRecord[] = [];
  while (records.length < count && !numbers.failed) records.push({ unpaddedLength: numbers.next(), unpackedLength: numbers.next() });
  const whole = !numbers.failed && aligned(numbers.offset) + 4 === bytes.length && bytes.subarray(numbers.offset, bytes.length - 4).every((byte) => byte === 0);
  return whole ? records : undefined;
}

/** Where the parts of a stream lie that stand behind its blocks. */
interface Ending {
  readonly index: number;
  readonly footer: number;
  /** `undefined`: the index is damaged. */
  readonly records: readonly IndexRecord[] | undefined;
}

/**
 * The end of the stream that begins at `start`: the first footer that leads to an index whose blocks fill the
 * stream up to it. Nothing in front tells how long a stream is.
 */
function findEnding(bytes: Uint8Array, start: number, limit: number): Ending | undefined {
  const blocks = start + header.length;
  let damaged: Ending | undefined;
  let work = 0;
  for (let at = blocks; at + footer.length <= bytes.length; at += 4) {
    if (bytes[at + 10] !== 0x59 || bytes[at + 11] !== 0x5a) continue; // YZ
    const length = (word(bytes, at + 4) + 1) * 4;
    const index = at - length;
    if (index < blocks || bytes[index] !== 0 || bytes[at + 8] !== 0) continue;
    // Any number of false footers may name one index; together they have it read no more than once.
    work += length;
    if (work > bytes.length) break;
    const records = readIndex(bytes.subarray(index, at), limit);
    const filled = records?.reduce((sum, record) => sum + aligned(record.unpaddedLength), 0);
    if (filled === index - blocks) return { index, footer: at, records };
    if (crc32(bytes.subarray(at + 4, at + 10)) === word(bytes, at)) damaged ??= { index, footer: at, records: undefined };
  }
  return damaged;
}

interface Filter {
  readonly id: number;
  readonly properties: Uint8Array;
}

interface BlockHeader {
  readonly length: number;
  /** Those in front of LZMA2, in the order in which they were applied. */
  readonly filters: readonly Filter[];
  readonly dictionaryLength: number;
  readonly packedLength: number | undefined;
  readonly unpackedLength: number | undefined;
}

/** `undefined` where the header contradicts the format. */
function readBlockHeader(bytes: Uint8Array): BlockHeader | undefined {
  const length = ((bytes[0] ?? 0) + 1) * 4;
  if (bytes[0] === 0 || length > bytes.length) return undefined;
  const flags = bytes[1] as number;
  if ((flags & 0x3c) !== 0) return undefined;
  const numbers = new Numbers(bytes.subarray(0, length - 4), 2);
  const packedLength = (flags & 0x40) === 0 ? undefined : numbers.next();
  const unpackedLength = (flags & 0x80) === 0 ? undefined : numbers.next();
  const filters: Filter[] = [];
  for (let index = 0; index <= (flags & 3); index += 1) {
    const id = numbers.next();
    const size = numbers.next();
    if (numbers.failed || numbers.offset + size > length - 4) return undefined;
    filters.push({ id, properties: bytes.subarray(numbers.offset, numbers.offset + size) });
    numbers.offset += size;
  }
  const last = filters.pop() as Filter;
  const dictionary = last.properties[0] ?? 41;
  if (numbers.failed || last.id !== lzma2 || last.properties.length !== 1 || dictionary > 40) return undefined;
  const dictionaryLength = dictionary === 40 ? 0xffffffff : (2 | (dictionary & 1)) * 2 ** (Math.floor(dictionary / 2) + 11);
  return { length, filters, dictionaryLength, packedLength, unpackedLength };
}

/** What is read of a file, stream by stream. */
class Reader {
  readonly #bytes: Uint8Array;
  readonly #limit: number;
  /** Bytes that may come out. */
  #left: number;
  readonly #unpack: boolean;
  readonly fields: Field[] = [];
  readonly regions: Region[] = [];
  readonly checks: CodedCheck[] = [];
  readonly findings: LocalFinding[] = [];
  readonly packed: Range[] = [];
  readonly unpacked: Uint8Array[] = [];
  /** Everything came out as it should. */
  whole = true;
  end = 0;
  streams = 0;
  blocks = 0;
  unpackedLength = 0;

  constructor(bytes: Uint8Array, unpack: boolean, unpackLimit: number, entryLimit: number) {
    this.#bytes = bytes;
    this.#unpack = unpack;
    this.#left = unpackLimit;
    this.#limit = entryLimit;
  }

  get unpackedTotal(): number {
    return this.unpacked.reduce((sum, part) => sum + part.length, 0);
  }

  #check(name: string, at: Range, covers: Range): void {
    const { offset, length } = covers;
    const bytes = this.#bytes;
    const computed = crc32(bytes.subarray(offset, offset + length));
    this.checks.push(compare({ code: 'header-checksum-mismatch', name, algorithm: 'crc32', stored: word(bytes, at.offset), computed, at, covers: [covers] }));
  }

  #fail(entry: LocalFinding): void {
    this.findings.push(entry);
    this.whole = false;
  }

  /** Fields of later streams carry their number. */
  #name = (name: string): string => (this.streams === 0 ? name : `${name}${this.streams}`);

  /** Reads the stream at `start`; false where nobody can say where it ends. */
  stream(start: number): boolean {
    const bytes = this.#bytes;
    const values = header.read(bytes, start);
    const type = checkTypeOf(values.checkType);
    this.fields.push(...header.fields(values, { checkType: type.name }, start).map((field) => ({ ...field, name: this.#name(field.name) })));
    this.regions.push(region('header', 'stream header', start, header.length));
    this.#check(this.#name('header-crc'), { offset: start + 8, length: 4 }, { offset: start + 6, length: 2 });
    if (values.reserved !== 0 || values.checkType > 15) {
      const actual = hex(values.reserved * 256 + values.checkType, 4);
      this.#fail(finding('structure-invalid', { offset: start + 6, length: 2 }, { what: 'xz stream flags', expected: '0x0000 to 0x000f', actual }));
    }
    const blocks = start + header.length;
    const ending = findEnding(bytes, start, this.#limit);
    if (ending === undefined) {
      this.#fail(finding('stream-corrupt', { offset: start, length: bytes.length - start }, { what: 'xz', reason: 'no footer ends it' }));
      this.regions.push(region('payload', 'blocks', blocks, bytes.length - blocks));
      this.end = bytes.length;
      return false;
    }
    if (ending.records === undefined) {
      this.whole = false;
      this.regions.push(region('payload', 'blocks', blocks, ending.index - blocks));
    } else this.#blocks(blocks, ending.records, type);
    this.#ending(ending, values.checkType);
    this.streams += 1;
    return true;
  }

  #ending(ending: Ending, checkType: number): void {
    const bytes = this.#bytes;
    const { index, footer: at, records } = ending;
    const values = footer.read(bytes, at);
    this.regions.push(region('header', 'index', index, at - index), region('header', 'stream footer', at, footer.length));
    this.#check(this.#name('index-crc'), { offset: at - 4, length: 4 }, { offset: index, length: at - 4 - index });
    this.#check(this.#name('footer-crc'), { offset: at, length: 4 }, { offset: at + 4, length: 6 });
    if (records === undefined && this.checks.at(-2)?.ok === true) {
      const place = { offset: index, length: at - index };
      this.#fail(finding('structure-invalid', place, { what: 'xz index', expected: 'blocks that fill the stream', actual: 'other lengths' }));
    }
    if (values.checkType !== checkType) {
      const args = { what: 'check type in the xz footer', expected: `${checkType} as in the header`, actual: values.checkType };
      this.#fail(finding('structure-invalid', { offset: at + 9, length: 1 }, args));
    }
    this.end = at + footer.length;
  }

  #blocks(start: number, records: readonly IndexRecord[], type: CheckType): void {
    let offset = start;
    for (const { unpaddedLength, unpackedLength } of records) {
      this.#block({ offset, length: unpaddedLength }, unpackedLength, type);
      this.blocks += 1;
      this.unpackedLength += unpackedLength;
      offset += aligned(unpaddedLength);
    }
  }

  /** A block: header, packed bytes, zeros up to a multiple of 4, check. Its length does not count the zeros. */
  #block({ offset, length }: Range, unpackedLength: number, type: CheckType): void {
    const name = `block ${this.blocks}`;
    const next = offset + aligned(length);
    const block = readBlockHeader(this.#bytes.subarray(offset, offset + length));
    const packed = { offset: offset + (block?.length ?? 0), length: length - (block?.length ?? 0) - type.length };
    if (block === undefined || packed.length <= 0) {
      const place = { offset, length: next - offset };
      this.regions.push(region('payload', name, offset, place.length));
      this.#fail(finding('structure-invalid', place, { what: `header of xz ${name}`, expected: 'lengths and filters', actual: 'something else' }));
      return;
    }
    const padding = { offset: packed.offset + packed.length, length: next - offset - length };
    const check = { offset: next - type.length, length: type.length };
    this.regions.push(
      region('header', `header of ${name}`, offset, block.length),
      region('payload', name, packed.offset, packed.length),
      region('padding', 'to a multiple of 4', padding.offset, padding.length),
      region('header', `${type.name} of ${name}`, check.offset, check.length),
    );
    if (this.#bytes.subarray(padding.offset, check.offset).some((byte) => byte !== 0)) {
      this.#fail(finding('structure-invalid', padding, { what: `padding of xz ${name}`, expected: 'zeros', actual: 'other bytes' }));
    }
    this.#check(`block-${this.blocks}-header-crc`, { offset: packed.offset - 4, length: 4 }, { offset, length: block.length - 4 });
    const lengths = [
      ['packed', block.packedLength, packed.length],
      ['unpacked', block.unpackedLength, unpackedLength],
    ] as const;
    for (const [what, stated, actual] of lengths) {
      if (stated === undefined || stated === actual) continue;
      const expected = `${actual} as in the index`;
      this.#fail(finding('structure-invalid', { offset, length: block.length }, { what: `${what} length of xz ${name}`, expected, actual: stated }));
    }
    this.packed.push(packed);
    if (this.#unpack) this.#unpackBlock(packed, check, block, unpackedLength, type);
  }

  #unpackBlock(packed: Range, check: Range, block: BlockHeader, unpackedLength: number, type: CheckType): void {
    const what = `xz block ${this.blocks}`;
    const result = unpackLzma2(this.#bytes.subarray(packed.offset, packed.offset + packed.length), block.dictionaryLength, this.#left);
    this.#left -= result.ok ? result.bytes.length : result.unpacked;
    if (!result.ok) {
      const noticed = { offset: packed.offset, length: Math.max(1, result.offset) };
      if (result.failure === 'limit') this.#fail(finding('unpacking-stopped', noticed, { reason: `${what}: ${result.reason}` }));
      else this.#fail(finding('stream-corrupt', noticed, { what, reason: result.reason }));
      return;
    }
    if (result.consumed !== packed.length) {
      const reason = `it ends ${packed.length - result.consumed} bytes before the index says`;
      this.#fail(finding('stream-corrupt', { offset: packed.offset + result.consumed, length: packed.length - result.consumed }, { what, reason }));
      return;
    }
    if (result.bytes.length !== unpackedLength) {
      this.#fail(finding('stream-length-mismatch', packed, { what, expected: unpackedLength, actual: result.bytes.length }));
      return;
    }
    for (const { id, properties } of [...block.filters].reverse()) {
      if (undoFilter(id, properties, result.bytes)) continue;
      this.#fail(finding('filter-unknown', packed, { what, filter: filterNames.get(id) ?? `not defined, ${hex(id, 2)}` }));
      return;
    }
    this.unpacked.push(result.bytes);
    if (type.compute === undefined) return;
    const stored = this.#bytes.subarray(check.offset, check.offset + check.length);
    this.checks.push(
      compare({
        code: 'data-checksum-mismatch',
        name: `block-${this.blocks}-check`,
        algorithm: type.name,
        stored: type.length === 4 ? word(stored, 0) : stored,
        computed: type.compute(result.bytes),
        at: check,
        // It covers the unpacked bytes; of the packed ones none is certain to change them.
        covers: [],
      }),
    );
  }
}

const hasMagic = (bytes: Uint8Array, at = 0): boolean => standsAt(bytes, at, magic);

/** Where the next stream begins, behind zeros in groups of four; -1 if none does. */
function nextStream(bytes: Uint8Array, from: number): number {
  const zeros = bytes[from] === 0 ? runLength(bytes, from) : 0;
  const at = from + zeros;
  return zeros % 4 === 0 && hasMagic(bytes, at) && at + header.length <= bytes.length ? at : -1;
}

export const xz: Format = {
  id: 'xz',
  title: 'xz',
  summary: 'Compressed streams with checksums: disk images for download, and kernels of newer devices.',
  role: 'compressed',
  kind: 'archive',
  references: [{ title: 'The .xz File Format', url: 'https://github.com/tukaani-project/xz/blob/v5.6.3/doc/xz-file-format.txt' }],
  limitations: ['What was filtered for x86, IA-64 or RISC-V before it was compressed is proved to unpack, but not read.'],

  detect(bytes) {
    if (!hasMagic(bytes)) return 'no';
    return bytes.length >= header.length && crc32(bytes.subarray(6, 8)) === word(bytes, 8) ? 'yes' : 'maybe';
  },

  parse(bytes, { unpack, budget }): Reading {
    if (bytes.length < header.length) {
      const cut = finding('header-truncated', { offset: 0, length: bytes.length }, { what: 'an xz header', length: header.length, available: bytes.length });
      return truncatedHeader('xz', header.length, cut, bytes.length);
    }
    const reader = new Reader(bytes, unpack, budget.unpackLimit(bytes.length), budget.limits.entries);
    let known = true;
    for (let start = 0; known && start >= 0; ) {
      if (reader.streams >= budget.limits.members) {
        const rest = { offset: start, length: bytes.length - start };
        reader.findings.push(finding('entries-too-many', rest, { what: 'xz streams', limit: budget.limits.members }));
        reader.regions.push(region('unknown', 'not read', rest.offset, rest.length));
        reader.end = bytes.length;
        break;
      }
      known = reader.stream(start);
      const next = known ? nextStream(bytes, reader.end) : -1;
      if (next > reader.end) reader.regions.push(region('padding', 'between two streams', reader.end, next - reader.end));
      start = next;
    }
    budget.tookUnpacked(reader.unpackedTotal);
    const payloads: Payload[] = [];
    if (unpack && reader.whole && reader.unpackedTotal > 0) {
      payloads.push({ label: 'unpacked', ranges: reader.packed, unpacked: { bytes: joined(reader.unpacked), by: 'xz' }, content: 'slice' });
    }
    return {
      length: reader.end,
      summary: `xz, ${reader.unpackedLength} bytes unpacked`,
      fields: reader.fields,
      regions: reader.regions,
      checks: reader.checks,
      findings: reader.findings,
      identities: [],
      payloads,
    };
  },
};
