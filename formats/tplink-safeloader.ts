/**
 * TP-Link SafeLoader: what the web pages of most TP-Link routers since 2014 take. Big endian: the length of the
 * file and an MD5, 4 KiB for the vendor, a table of partitions as text, and the partitions one behind the other
 * without alignment. Their `base` counts from the table's first byte.
 *
 * The MD5 covers a salt, which is not in the file, and then everything behind the MD5 up to the stated length;
 * the length itself is not covered. In TP-Link's own qNew images the MD5 stands in front of the length, which
 * does not count these 20 bytes, and nobody knows what it covers.
 *
 * `soft-version`, `support-list` and `extra-para` have a length and a zero in front (32 bits each), and one
 * byte 00 or FF behind, or not. `support-list` names the devices; the web page refuses all others.
 *
 * Layout and writer: firmware-utils tplink-safeloader.c.
 */
import { type CodedCheck, compare, digest } from '../src/core/checksums.ts';
import { OwimgError } from '../src/core/errors.ts';
import { finding, type LocalFinding, lengthBeyondEnd } from '../src/core/findings.ts';
import { explainFiller, type Format, type Payload, type Reading, region, tile, truncatedHeader } from '../src/core/format.ts';
import { fromHex, hexBytes, hexOffset, latin1, printable, toBytes } from '../src/core/hex.ts';
import { paddingLength } from '../src/core/padding.ts';
import { bytes as raw, struct, u8, u32 } from '../src/core/struct.ts';
import type { Confidence, Field, Identity, Range, Region } from '../src/core/types.ts';

const preambles = {
  usual: struct('big', { imageLength: u32, md5: raw(16) }),
  qNew: struct('big', { md5: raw(16), imageLength: u32 }),
};
const preambleLength = 20;
const vendorAreaLength = 0x1000;
const qNewHeaderLength = 0x3c;
const tableLength = 0x800;
/** No flash chip of these devices is larger. */
const largestImage = 256 * 1024 * 1024;
/** The flash keeps at most 64 KiB for any of the partitions that are about the image. */
const largestMetadata = 1024 * 1024;
const signatureLength = 128;
const salt = fromHex('7a2b15ed9b98596de504ab44ac2a9f4e');
const tableWord = 'fwup-ptn ';
const flashWord = 'partition ';
/** In front of the text of `partition-table`. */
const flashTableStart = [0x00, 0x04, 0x00, 0x00];
const qNewMark = '?NEW';
const cloudMark = 'fw-type:Cloud';

const number = struct('big', { value: u32 });
const metaHeader = struct('big', { length: u32, zero: u32 });
const softVersion = struct('big', {
  pad: u8,
  major: u8,
  minor: u8,
  patch: u8,
  yearHigh: u8, // this and the next three are binary coded decimal
  yearLow: u8,
  month: u8,
  day: u8,
  revision: u32,
});

/** What stands between preamble and table. */
type HeaderType = 'default' | 'vendor' | 'cloud' | 'qNew';

interface Entry extends Range {
  readonly name: string;
}

/** A line of a table of partitions, and where it and its size stand in the window. */
interface Line extends Entry {
  readonly line: Range;
  readonly size: Range;
}

export interface SafeloaderPartition {
  readonly name: string;
  readonly data: Uint8Array;
}

export interface SafeloaderInput {
  /** What the vendor area begins with, as `safeloaderVendor` makes it; the rest of it is FF. */
  readonly vendorArea?: Uint8Array;
  /** In this order, `partition-table` first. */
  readonly partitions: readonly SafeloaderPartition[];
  /** Follows the image; the MD5 does not cover it. */
  readonly signature?: Uint8Array;
}

const startsWith = (bytes: Uint8Array, offset: number, text: string): boolean => latin1(bytes.subarray(offset, offset + text.length)) === text;

const uint32 = (bytes: Uint8Array, offset: number): number => new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(offset);

const isFiller = (bytes: Uint8Array): boolean => bytes[0] === 0xff && paddingLength(bytes) === bytes.length;

/** The order in which tplink-safeloader asks. At least 24 bytes are there. */
function headerType(bytes: Uint8Array): HeaderType {
  if (startsWith(bytes, preambleLength, qNewMark)) return 'qNew';
  if (startsWith(bytes, preambleLength, cloudMark)) return 'cloud';
  return uint32(bytes, preambleLength) <= vendorAreaLength ? 'vendor' : 'default';
}

const tableOffset = (type: HeaderType): number => preambleLength + vendorAreaLength + (type === 'qNew' ? qNewHeaderLength : 0);

/** Whether bytes that end in front of the table may be the start of an image. */
function beginsLikeOne(bytes: Uint8Array): boolean {
  if (bytes.length < preambleLength + 4) return isFiller(bytes.subarray(preambleLength)) && claimsMore(bytes, 0);
  const type = headerType(bytes);
  if (!claimsMore(bytes, type === 'qNew' ? preambles.qNew.at.imageLength.offset : 0)) return false;
  if (type === 'qNew' || type === 'cloud') return true;
  const unused = bytes.subarray(preambleLength + (type === 'vendor' ? 4 + uint32(bytes, preambleLength) : 0));
  return isFiller(unused.subarray(0, 64));
}

const claimsMore = (bytes: Uint8Array, offset: number): boolean => uint32(bytes, offset) > bytes.length && uint32(bytes, offset) < largestImage;

/** The lines of a table up to the first byte that is no text, and those that cannot be read. */
function readTable(bytes: Uint8Array, start: number, end: number, word: string): { readonly lines: readonly Line[]; readonly unreadable: readonly Range[] } {
  const text = /^[\t\n\r\x20-\x7e]*/.exec(latin1(bytes.subarray(start, end)))?.[0] ?? '';
  const lines: Line[] = [];
  const unreadable: Range[] = [];
  let position = 0;
  for (const entry of text.split('\n')) {
    const offset = start + position;
    position += entry.length + 1;
    if (entry === '') continue;
    const line = { offset, length: entry.length };
    const match = /^(\S+) (\S+) base 0x([0-9a-f]{1,8}) size (0x[0-9a-f]{1,8})\s*$/i.exec(entry);
    if (match === null || `${match[1]} ` !== word) {
      unreadable.push(line);
      continue;
    }
    const size = match[4] as string;
    const sizeAt = { offset: offset + entry.lastIndexOf(size), length: size.length };
    lines.push({ name: match[2] as string, offset: Number.parseInt(match[3] as string, 16), length: Number(size), line, size: sizeAt });
  }
  return { lines, unreadable };
}

const tableText = (word: string, entries: readonly Entry[], lineEnd: string): string =>
  entries
    .map(({ name, offset, length }) => `${word}${name} base 0x${offset.toString(16).padStart(5, '0')} size 0x${length.toString(16).padStart(5, '0')}${lineEnd}`)
    .join('');

/** Text, NUL, and FF up to `length`. */
function filledTable(text: string, length: number): Uint8Array {
  if (text.length >= length) throw new OwimgError('bad-value', `Cannot write a table of partitions of ${text.length} bytes: it has room for ${length - 1}`);
  return toBytes(`${text}\0`.padEnd(length, '\xff'));
}

/** Where the partitions come to lie, from the table's first byte. */
function placed(partitions: readonly SafeloaderPartition[]): Entry[] {
  let offset = tableLength;
  return partitions.map(({ name, data }) => {
    const entry = { name, offset, length: data.length };
    offset += data.length;
    return entry;
  });
}

const imageTableText = (entries: readonly Entry[]): string => tableText(tableWord, entries, '\t\r\n');

const endOf = (entries: readonly Entry[]): number => entries.reduce((_, { offset, length }) => offset + length, tableLength);

/** Whether the partitions fill the image and its table as `build` would do it. `bytes` begin with the table. */
function isPacked(bytes: Uint8Array, partitions: readonly SafeloaderPartition[]): boolean {
  const entries = placed(partitions);
  return endOf(entries) === bytes.length && latin1(bytes.subarray(0, tableLength)) === `${imageTableText(entries)}\0`.padEnd(tableLength, '\xff');
}

const md5Of = (covered: Uint8Array): Uint8Array => digest('md5', [salt, covered]);

/** The data of a partition with a length in front; what is wrong with it. */
function readMeta(bytes: Uint8Array, at: Range, name: string): { readonly data: Range; readonly findings: readonly LocalFinding[] } {
  const end = at.offset + at.length;
  if (at.length < metaHeader.length) {
    const args = { what: `the partition "${name}"`, length: metaHeader.length, available: at.length };
    return { data: { offset: end, length: 0 }, findings: [finding('header-truncated', at, args)] };
  }
  const { length } = metaHeader.read(bytes, at.offset);
  const offset = at.offset + metaHeader.length;
  const available = end - offset;
  if (length <= available) return { data: { offset, length }, findings: [] };
  return {
    data: { offset, length: available },
    findings: [lengthBeyondEnd(`the partition "${name}"`, { offset: at.offset, length: 4 }, length, available, end)],
  };
}

interface Facts {
  readonly fields: Field[];
  readonly identities: Identity[];
  readonly findings: LocalFinding[];
}

function readSoftVersion(bytes: Uint8Array, data: Range, { fields }: Facts): void {
  const content = bytes.subarray(data.offset, data.offset + data.length);
  if (content.every((byte) => byte < 0x80)) {
    const text = printable(content).replaceAll('\\x0a', '').replaceAll('\\x0d', '');
    fields.push({ name: 'softVersion', ...data, value: text });
    return;
  }
  if (data.length < softVersion.length) {
    fields.push({ name: 'softVersion', ...data, value: hexBytes(content) });
    return;
  }
  const { at } = softVersion;
  const values = softVersion.read(bytes, data.offset);
  const [year, month, day] = [content.subarray(4, 6), content.subarray(6, 7), content.subarray(7, 8)].map(hexBytes);
  const place = (field: Range, length = field.length): Range => ({ offset: data.offset + field.offset, length });
  fields.push(
    { name: 'softVersion', ...place(at.major, 3), value: `${values.major}.${values.minor}.${values.patch}` },
    { name: 'softVersionDate', ...place(at.yearHigh, 4), value: `${year}-${month}-${day}` },
    { name: 'softVersionRevision', ...place(at.revision), value: values.revision },
  );
  if (data.length < softVersion.length + 4) return;
  const compatLevel = { offset: softVersion.length, length: 4 };
  fields.push({ name: 'softVersionCompatLevel', ...place(compatLevel), value: uint32(content, compatLevel.offset) });
}

function readSupportList(bytes: Uint8Array, data: Range, entryLimit: number, { fields, identities, findings }: Facts): void {
  const text = latin1(bytes.subarray(data.offset, data.offset + data.length));
  const devices: Identity[] = [];
  for (const match of text.matchAll(/[^\r\n\0]+/g)) {
    if (match[0].startsWith('SupportList:')) continue;
    if (devices.length === entryLimit) {
      findings.push(finding('entries-too-many', data, { what: 'lines in the support list', limit: entryLimit }));
      break;
    }
    devices.push({ source: 'tplink-safeloader.supportList', value: printable(toBytes(match[0])), offset: data.offset + match.index });
  }
  fields.push({ name: 'supportList', ...data, value: devices.map((device) => device.value) });
  identities.push(...devices);
}

const placeText = ({ offset, length }: Range): string => `base ${hexOffset(offset)} size ${hexOffset(length)}`;

/** `soft-version@1` is the second one of a device with two of everything. */
const plainName = (name: string): string => name.replace(/@\d$/, '');

const metadataNames = new Set(['partition-table', 'soft-version', 'support-list', 'extra-para']);

/** Reads one of the partitions that are about the image and not for the flash. */
function readMetadata(bytes: Uint8Array, at: Range, name: string, entryLimit: number, facts: Facts): void {
  const { fields, findings } = facts;
  if (plainName(name) === 'partition-table') {
    const flash = readTable(bytes, at.offset + flashTableStart.length, at.offset + Math.min(at.length, tableLength), flashWord);
    if (flash.lines.length === 0) {
      const args = { what: 'flash layout', expected: '"partition NAME base 0x... size 0x..."', actual: 'something else' };
      findings.push(finding('structure-invalid', at, args));
    }
    for (const entry of flash.lines) fields.push({ name: `flash.${entry.name}`, ...entry.line, value: placeText(entry) });
    return;
  }
  if (at.length > largestMetadata) {
    findings.push(finding('structure-invalid', at, { what: `length of the partition "${name}"`, expected: `at most ${largestMetadata}`, actual: at.length }));
    return;
  }
  const { data, findings: wrong } = readMeta(bytes, at, name);
  findings.push(...wrong);
  if (plainName(name) === 'soft-version') readSoftVersion(bytes, data, facts);
  else if (plainName(name) === 'support-list') readSupportList(bytes, data, entryLimit, facts);
  else fields.push({ name: 'extraPara', ...data, value: hexBytes(bytes.subarray(data.offset, data.offset + data.length)) });
}

/** What is wrong with the table of partitions itself. */
function tableFindings(bytes: Uint8Array, table: Range, lines: readonly Line[], unreadable: readonly Range[]): LocalFinding[] {
  if (unreadable.length > 0) {
    return unreadable.map((line) => {
      const actual = `"${printable(bytes.subarray(line.offset, line.offset + Math.min(line.length, 40)))}"`;
      return finding('structure-invalid', line, { what: 'line in the table of partitions', expected: '"fwup-ptn NAME base 0x... size 0x..."', actual });
    });
  }
  // The web page refuses an image without these two.
  return ['partition-table', 'support-list']
    .filter((name) => !lines.some((line) => plainName(line.name) === name))
    .map((name) => finding('structure-invalid', table, { what: 'table of partitions', expected: `a partition "${name}"`, actual: 'none' }));
}

/** The partitions where the table says they are: `bytes` are the image, `limit` the length that it states. */
function readPartitions(
  bytes: Uint8Array,
  table: number,
  lines: readonly Line[],
  limit: number,
  entryLimit: number,
  facts: Facts,
): { readonly regions: readonly Region[]; readonly payloads: readonly Payload[] } {
  const { fields, findings } = facts;
  const regions: Region[] = [];
  const payloads: Payload[] = [];
  const sorted = [...lines].sort((a, b) => a.offset - b.offset);
  let position = table + tableLength;
  for (const [index, { name, line, size, ...place }] of sorted.entries()) {
    const offset = table + place.offset;
    const end = offset + place.length;
    fields.push({ name: `partition.${name}`, ...line, value: placeText(place), meaning: `at ${hexOffset(offset)}` });
    if (offset < position) {
      const args = { what: `base of the partition "${name}"`, expected: `at least ${hexOffset(position - table)}`, actual: hexOffset(place.offset) };
      findings.push(finding('structure-invalid', line, args));
    }
    if (end > limit) findings.push(lengthBeyondEnd(`the partition "${name}"`, size, place.length, Math.max(0, limit - offset), bytes.length));
    // An impossible size is taken to be the one that reaches up to the next partition.
    const next = sorted[index + 1];
    const taken = end > limit && next !== undefined ? table + next.offset : end;
    const start = Math.max(offset, position);
    const range = { offset: start, length: Math.min(taken, bytes.length) - start };
    if (range.length <= 0) continue;
    position = start + range.length;
    if (metadataNames.has(plainName(name))) {
      regions.push(region('metadata', name, range.offset, range.length));
      if (end <= bytes.length) readMetadata(bytes, range, name, entryLimit, facts);
    } else {
      regions.push(region('payload', name, range.offset, range.length));
      // Behind a root file system stand end-of-filesystem marks.
      payloads.push({ label: name, ranges: [range], ...(plainName(name) === 'file-system' ? { content: 'slice' } : {}) });
    }
  }
  return { regions, payloads };
}

export const tplinkSafeloader: Format<SafeloaderInput> = {
  id: 'tplink-safeloader',
  title: 'TP-Link SafeLoader',
  summary:
    'A table of partitions under one MD5, with the list of devices that may take it; what the web pages of newer TP-Link devices and their recovery take.',
  role: 'wrapper',
  kind: 'factory',
  references: [
    { title: 'firmware-utils tplink-safeloader.c', url: 'https://github.com/openwrt/firmware-utils/blob/d21804ad/src/tplink-safeloader.c' },
    { title: 'tplink-safeloader: add QNEW image detection', url: 'http://lists.openwrt.org/pipermail/openwrt-devel/2023-February/040446.html' },
  ],
  limitations: [
    'The MD5 of qNew images, which only TP-Link makes, is not verified: nobody has published what it covers. They are not built either.',
    "The RSA signature behind some of TP-Link's own images is measured, not verified.",
  ],
  magics: [
    { offset: tableOffset('default'), bytes: toBytes(tableWord) },
    { offset: tableOffset('qNew'), bytes: toBytes(tableWord) },
  ],

  detect(bytes): Confidence {
    const table = bytes.length < preambleLength + 4 ? Number.POSITIVE_INFINITY : tableOffset(headerType(bytes));
    if (bytes.length < table + tableWord.length) return bytes.length > preambleLength + 1 && beginsLikeOne(bytes) ? 'maybe' : 'no';
    if (startsWith(bytes, table, tableWord)) return 'yes';
    // With a damaged first line, the flash layout that follows the table still tells.
    return startsWith(bytes, table + tableLength + flashTableStart.length, flashWord) ? 'maybe' : 'no';
  },

  parse(bytes, { budget }): Reading<SafeloaderInput> {
    const type = bytes.length < preambleLength + 4 ? 'default' : headerType(bytes);
    const table = tableOffset(type);
    const dataOffset = table + tableLength;
    if (bytes.length < dataOffset) {
      const args = { what: 'a SafeLoader header', length: dataOffset, available: bytes.length };
      return truncatedHeader('SafeLoader', dataOffset, finding('header-truncated', { offset: 0, length: bytes.length }, args), bytes.length);
    }
    const facts: Facts = { fields: [], identities: [], findings: [] };
    const { fields, findings } = facts;
    const preamble = type === 'qNew' ? preambles.qNew : preambles.usual;
    const values = preamble.read(bytes);
    const lengthField = preamble.at.imageLength;
    const stated = values.imageLength + (type === 'qNew' ? preambleLength : 0);
    const possible = stated >= dataOffset;
    const whole = possible && stated <= bytes.length;
    if (!possible) {
      findings.push(finding('structure-invalid', lengthField, { what: 'SafeLoader image length', expected: `at least ${dataOffset}`, actual: stated }));
    } else if (!whole) findings.push(lengthBeyondEnd('the SafeLoader image', lengthField, stated, bytes.length, bytes.length));
    const length = whole ? stated : bytes.length;
    const signature = bytes.subarray(length);
    const signed = whole && signature.length === signatureLength && paddingLength(signature) < signature.length;

    fields.push(...preamble.fields(values), { name: 'headerType', offset: preambleLength, length: 4, value: type });
    const area = bytes.subarray(preambleLength, table);
    const vendorLength = type === 'vendor' ? Math.min(uint32(area, 0), area.length - 4) : 0;
    const vendor = { offset: preambleLength + 4, length: vendorLength };
    if (vendorLength > 0) fields.push({ name: 'vendor', ...vendor, value: latin1(area.subarray(4, 4 + vendorLength)).trimEnd() });

    const { lines, unreadable } = readTable(bytes, table, dataOffset, tableWord);
    findings.push(...tableFindings(bytes, { offset: table, length: tableLength }, lines, unreadable));
    // What a file that is cut off lacks is said once; beyond this the table contradicts the stated length.
    const limit = possible ? stated : length;
    const { regions, payloads } = readPartitions(bytes.subarray(0, length), table, lines, limit, budget.limits.entries, facts);
    const headers = [
      region('header', 'length and MD5', 0, preambleLength),
      region('header', 'vendor area', preambleLength, area.length),
      region('header', 'table of partitions', table, tableLength),
    ];
    const tiled = explainFiller(tile([...headers, ...regions], 0, length, 'unknown', 'in no partition'), bytes);
    if (signed) {
      tiled.push(region('metadata', 'signature', length, signature.length));
      findings.push(finding('signature-unverified', { offset: length, length: signature.length }, { length: signature.length }));
    }
    const check: CodedCheck =
      type === 'qNew'
        ? {
            code: 'image-checksum-mismatch',
            name: 'md5',
            algorithm: 'md5',
            ok: null,
            expected: hexBytes(values.md5),
            actual: null,
            at: preamble.at.md5,
            covers: [preamble.at.md5],
          }
        : compare({
            code: 'image-checksum-mismatch',
            name: 'md5',
            algorithm: 'salted md5',
            stored: whole ? values.md5 : null,
            computed: md5Of(bytes.subarray(preambleLength, length)),
            at: preamble.at.md5,
            covers: [{ offset: preambleLength, length: length - preambleLength }],
          });

    const partitions = lines.map(({ name, offset, length: partitionLength }) => ({
      name,
      data: bytes.subarray(table + offset, Math.min(table + offset + partitionLength, length)),
    }));
    const input = (): SafeloaderInput => ({ ...(isFiller(area) ? {} : { vendorArea: area }), partitions, ...(signed ? { signature } : {}) });
    return {
      length: length + (signed ? signatureLength : 0),
      summary: `SafeLoader image, ${lines.length} partitions, for ${facts.identities.length} devices`,
      fields,
      regions: tiled,
      checks: [check],
      findings,
      identities: facts.identities,
      payloads,
      ...(type !== 'qNew' && isPacked(bytes.subarray(table, length), partitions) ? { input } : {}),
    };
  },

  build({ vendorArea = new Uint8Array(0), partitions, signature = new Uint8Array(0) }) {
    if (vendorArea.length > vendorAreaLength)
      throw new OwimgError('bad-value', `Cannot write a vendor area of ${vendorArea.length} bytes: it has room for ${vendorAreaLength}`);
    const entries = placed(partitions);
    const table = tableOffset('default');
    const length = table + endOf(entries);
    const image = new Uint8Array(length + signature.length).fill(0xff);
    image.set(vendorArea, preambleLength);
    image.set(filledTable(imageTableText(entries), tableLength), table);
    let position = table + tableLength;
    for (const { data } of partitions) {
      image.set(data, position);
      position += data.length;
    }
    image.set(preambles.usual.write({ imageLength: length, md5: md5Of(image.subarray(preambleLength, length)) }));
    image.set(signature, length);
    return image;
  },
};

/** A vendor area with a text. */
export function safeloaderVendor(text: string): Uint8Array {
  return new Uint8Array([...number.write({ value: text.length }), ...toBytes(text)]);
}

/** The partition `partition-table`: the layout of the flash, addresses and lengths in it. */
export function safeloaderFlashTable(layout: readonly Entry[]): Uint8Array {
  const text = tableText(flashWord, layout, '\n');
  return new Uint8Array([...flashTableStart, ...filledTable(text, tableLength - flashTableStart.length)]);
}

/** `soft-version`, `support-list` or `extra-para` with its length in front; `trail` is the byte behind it, which depends on the device. */
export function safeloaderMeta(data: Uint8Array, trail?: 0x00 | 0xff): Uint8Array {
  return new Uint8Array([...metaHeader.write({ length: data.length, zero: 0 }), ...data, ...(trail === undefined ? [] : [trail])]);
}

/** The data of a numeric `soft-version`; `time` in seconds, as in SOURCE_DATE_EPOCH. */
export function safeloaderVersion(version: readonly [number, number, number], time: number, revision: number, compatLevel = 0): Uint8Array {
  const digits = new Date(time * 1000).toISOString().slice(0, 10).replaceAll('-', '');
  const [yearHigh, yearLow, month, day] = fromHex(digits) as unknown as [number, number, number, number];
  const [major, minor, patch] = version;
  const written = softVersion.write({ pad: 0xff, major, minor, patch, yearHigh, yearLow, month, day, revision });
  const level = compatLevel === 0 ? [] : number.write({ value: compatLevel });
  return new Uint8Array([...written, ...level]);
}
