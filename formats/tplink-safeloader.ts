/**
 * TP-Link SafeLoader: what the web pages of most TP-Link routers since 2014 take. Big endian: the length of the
 * file and an MD5, 4 KiB for the vendor, a table of partitions as text, and the partitions one behind the other
 * without alignment. Their `base` counts from the table's first byte.
 *
 * The MD5 covers a salt, which is not in the file, and then everything behind the MD5 up to the stated length;
 * the length itself is not covered. In TP-Link's own qNew images the MD5 stands in front of the length, which
 * does not count these 20 bytes, and nobody knows what it covers.
 *
 * `support-list` names the devices; the web page refuses all others. It, `soft-version` and `extra-para` are
 * records with a length in front: core/safeloader-metadata.ts.
 *
 * Layout and writer: firmware-utils tplink-safeloader.c.
 */
import { joined } from '../src/core/bytes.ts';
import { type CodedCheck, compare, digest } from '../src/core/checksums.ts';
import { OwimgError } from '../src/core/errors.ts';
import { finding, type LocalFinding, lengthBeyondEnd } from '../src/core/findings.ts';
import { explainFiller, type Format, type Payload, type Reading, region, tile, truncatedHeader } from '../src/core/format.ts';
import { byteCount, fromHex, hexBytes, hexOffset, latin1, printable, toBytes } from '../src/core/hex.ts';
import { paddingLength } from '../src/core/padding.ts';
import type { ComposeUse, DecomposeUse, SafeloaderBoard, SafeloaderPartName, StepUse } from '../src/core/recipe-step.ts';
import { numericVersion, type RecordName, readRecord, safeloaderRecord, safeloaderVersion } from '../src/core/safeloader-metadata.ts';
import { bytes as raw, struct, u32 } from '../src/core/struct.ts';
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
const signatureLength = 128;
const salt = fromHex('7a2b15ed9b98596de504ab44ac2a9f4e');
const tableWord = 'fwup-ptn ';
const flashWord = 'partition ';
/** What the first line of the table begins with, and how far it is looked at. */
const firstLine = /^fwup-ptn \S+ base 0x[0-9a-f]{1,8} size 0x[0-9a-f]/i;
const firstLineLength = 128;
/** In front of the text of `partition-table`. */
const flashTableStart = [0x00, 0x04, 0x00, 0x00];
/** OpenWrt's own file system begins behind it. */
const endMark = Uint8Array.of(0xde, 0xad, 0xc0, 0xde);
const qNewMark = '?NEW';
const cloudMark = 'fw-type:Cloud';

const number = struct('big', { value: u32 });
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

interface Facts {
  readonly fields: Field[];
  readonly identities: Identity[];
  readonly findings: LocalFinding[];
}

const placeText = ({ offset, length }: Range): string => `base ${hexOffset(offset)} size ${hexOffset(length)}`;

/** `soft-version@1` is the second one of a device with two of everything. */
const plainName = (name: string): string => name.replace(/@\d$/, '');

const isRecord = (name: string): name is RecordName => name === 'soft-version' || name === 'support-list' || name === 'extra-para';

/** The partition `partition-table`. */
function readFlashLayout(bytes: Uint8Array, at: Range, { fields, findings }: Facts): void {
  const { lines } = readTable(bytes, at.offset + flashTableStart.length, at.offset + Math.min(at.length, tableLength), flashWord);
  if (lines.length === 0) {
    const args = { what: 'flash layout', expected: '"partition NAME base 0x... size 0x..."', actual: 'something else' };
    findings.push(finding('structure-invalid', at, args));
  }
  for (const line of lines) fields.push({ name: `flash.${line.name}`, ...line.line, value: placeText(line) });
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
    const plain = plainName(name);
    if (plain === 'partition-table') {
      regions.push(region('metadata', name, range.offset, range.length));
      if (end <= bytes.length) readFlashLayout(bytes, range, facts);
    } else if (isRecord(plain)) {
      regions.push(region('metadata', name, range.offset, range.length));
      if (end > bytes.length) continue;
      const record = readRecord(bytes, range, plain, entryLimit);
      fields.push(...record.fields);
      facts.identities.push(...record.identities);
      findings.push(...record.findings);
    } else {
      regions.push(region('payload', name, range.offset, range.length));
      // Behind a root file system stand end-of-filesystem marks.
      payloads.push({ label: name, ranges: [range], ...(plain === 'file-system' ? { content: 'slice' } : {}) });
    }
  }
  return { regions, payloads };
}

function build({ vendorArea = new Uint8Array(0), partitions, signature = new Uint8Array(0) }: SafeloaderInput): Uint8Array {
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
}

const isSysupgrade = ({ words }: StepUse): boolean => words[0]?.includes('sysupgrade') === true;

/** @throws OwimgError `step-unknown` */
function boardOf({ board, device, name, words }: StepUse): SafeloaderBoard {
  if (board !== undefined) return board;
  const wanted = device.variables['TPLINK_BOARD_ID'];
  const actual = wanted === undefined ? 'the device names none' : `found "${wanted}"`;
  throw new OwimgError('step-unknown', `Cannot run the step "${[name, ...words].join(' ')}": expected a board of tplink-safeloader, ${actual}`);
}

const nameOf = ({ partitionNames }: SafeloaderBoard, part: SafeloaderPartName): string => partitionNames?.[part] ?? part;

const eraseBlock = 0x10000;
const align = (offset: number): number => Math.ceil(offset / eraseBlock) * eraseBlock;

/** Holds kernel and root file system, wherever the one ends and the other begins. */
const isFirmware = ({ name }: Entry): boolean => name === 'firmware';

/**
 * The flash once the kernel's length is known: the partition `firmware` becomes two. What a factory image writes begins at an erase block,
 * in a sysupgrade image the root file system follows at once. The length of its partition is counted from the start of the flash.
 *
 * @throws OwimgError `conversion-impossible`
 */
function flashOf(board: SafeloaderBoard, kernel: Uint8Array, sysupgrade: boolean): readonly Entry[] {
  const { partitions } = board;
  const index = partitions.findLastIndex(isFirmware);
  const firmware = partitions[index];
  if (firmware === undefined) return partitions;
  requireRoom(firmware, kernel.length, 'kernel');
  const end = firmware.offset + kernel.length;
  const offset = sysupgrade ? end : align(end);
  const parts: Entry[] = [
    { name: nameOf(board, 'os-image'), offset: firmware.offset, length: kernel.length },
    { name: nameOf(board, 'file-system'), offset, length: (firmware.length - offset) >>> 0 },
  ];
  return [...partitions.slice(0, index), ...parts, ...partitions.slice(index + 1)];
}

/** @throws OwimgError `conversion-impossible` */
function requireRoom({ name, length }: Entry, needed: number, what: string): void {
  if (needed <= length) return;
  const sentence = `Cannot make the image: the ${what} takes ${byteCount(needed)}, and the flash partition "${name}" has ${byteCount(length)}`;
  throw new OwimgError('conversion-impossible', sentence, `It is ${byteCount(needed - length)} too much.`);
}

/** @throws OwimgError `conversion-impossible` */
function partitionNamed<T extends { readonly name: string }>(partitions: readonly T[], name: string, of: string): T {
  const found = partitions.find((entry) => entry.name === name);
  if (found !== undefined) return found;
  const names = partitions.map((entry) => entry.name).join(', ');
  throw new OwimgError('conversion-impossible', `Expected a partition "${name}" in ${of}, found ${names || 'none'}`);
}

/** FF up to the next erase block, and the mark at which OpenWrt begins its own file system (`-j`). */
function marked(rootfs: Uint8Array, offset: number): Uint8Array {
  const end = align(rootfs.length + offset) - offset;
  return joined([rootfs, new Uint8Array(end - rootfs.length).fill(0xff), endMark]);
}

/** `r12345-abcdef` -> 12345, as the program reads it. */
const revisionNumber = (revision: string): number => Number(/^r(\d+)/.exec(revision)?.[1] ?? 0);

function versionData({ softVersion, compatLevel }: SafeloaderBoard, use: ComposeUse): Uint8Array {
  if (typeof softVersion === 'string') return toBytes(`${softVersion}\0`);
  return safeloaderVersion(softVersion, Number(use.build('epoch')), revisionNumber(use.build('revision')), compatLevel);
}

/** The parts of an image, in their order, and the flash that they are for. `rootfs`: what was made before the step. */
function partsOf(rootfs: Uint8Array, use: ComposeUse): { readonly parts: readonly SafeloaderPartition[]; readonly flash: readonly Entry[] } {
  const board = boardOf(use);
  const kernel = use.part('kernel');
  const flash = flashOf(board, kernel, isSysupgrade(use));
  const begin = board.partitions.some(isFirmware) ? partitionNamed(flash, nameOf(board, 'file-system'), `the flash of ${board.id}`).offset : 0;
  const part = (name: SafeloaderPartName, data: Uint8Array): SafeloaderPartition => ({ name: nameOf(board, name), data });
  const parts = [
    part('partition-table', safeloaderFlashTable(flash)),
    part('soft-version', safeloaderRecord(versionData(board, use), board.trail)),
    part('support-list', safeloaderRecord(toBytes(board.supportList), board.trail)),
    part('os-image', kernel),
    part('file-system', marked(rootfs, begin)),
    ...(board.extraPara === undefined ? [] : [part('extra-para', safeloaderRecord(Uint8Array.from(board.extraPara), board.trail))]),
  ];
  return { parts, flash };
}

function factoryImage(rootfs: Uint8Array, use: ComposeUse): Uint8Array {
  const { parts, flash } = partsOf(rootfs, use);
  const { id, vendor } = boardOf(use);
  for (const { name, data } of parts) requireRoom(partitionNamed(flash, name, `the flash of ${id}`), data.length, `partition "${name}" of the image`);
  return build({ ...(vendor === undefined ? {} : { vendorArea: safeloaderVendor(vendor) }), partitions: parts });
}

/** The flash from the first to the last partition of a sysupgrade image. */
function sysupgradeRange({ id, firstSysupgradePartition, lastSysupgradePartition }: SafeloaderBoard, flash: readonly Entry[]): readonly Entry[] {
  const [first, last] = [firstSysupgradePartition, lastSysupgradePartition].map((name) => flash.indexOf(partitionNamed(flash, name, `the flash of ${id}`)));
  return flash.slice(first, (last as number) + 1);
}

function sysupgradeImage(rootfs: Uint8Array, use: ComposeUse): Uint8Array {
  const { parts, flash } = partsOf(rootfs, use);
  const board = boardOf(use);
  const range = sysupgradeRange(board, flash);
  const start = (range[0] as Entry).offset;
  const last = partitionNamed(parts, board.lastSysupgradePartition, 'the image');
  const image = new Uint8Array((range.at(-1) as Entry).offset - start + last.data.length).fill(0xff);
  for (const entry of range) {
    const data = parts.find(({ name }) => name === entry.name)?.data;
    if (data === undefined) continue;
    requireRoom(entry, data.length, `partition "${entry.name}" of the image`);
    image.set(data, entry.offset - start);
  }
  return image;
}

/** The day and the number of the revision are all that an image keeps of them. */
function tellBuild(image: Uint8Array, version: Range | undefined, use: DecomposeUse): void {
  const found = version === undefined ? undefined : numericVersion(image, version);
  if (found === undefined) return;
  use.tells('epoch', String(found.time));
  if (found.revision > 0) use.tells('revision', `r${found.revision}`);
}

async function takeFactoryApart(image: Uint8Array, use: DecomposeUse): Promise<Uint8Array> {
  const board = boardOf(use);
  const table = tableOffset(headerType(image));
  const partitions = readTable(image, table, table + tableLength, tableWord).lines.map(({ name, offset, length }) => ({
    name,
    offset: table + offset,
    length,
  }));
  const part = (name: SafeloaderPartName): Uint8Array => {
    const { offset, length } = partitionNamed(partitions, nameOf(board, name), 'the image');
    return image.subarray(offset, offset + length);
  };
  const version = nameOf(board, 'soft-version');
  tellBuild(
    image,
    partitions.find(({ name }) => name === version),
    use,
  );
  await use.found('kernel', part('os-image'));
  return part('file-system');
}

async function takeSysupgradeApart(image: Uint8Array, use: DecomposeUse): Promise<Uint8Array> {
  const board = boardOf(use);
  const { partitions, lastSysupgradePartition: last } = board;
  const split = partitions.findLast(isFirmware);
  const [kernelName, rootfsName, versionName] = [nameOf(board, 'os-image'), nameOf(board, 'file-system'), nameOf(board, 'soft-version')];
  const kernelAt = split ?? partitionNamed(partitions, kernelName, `the flash of ${board.id}`);
  const rootfsAt = split ?? partitionNamed(partitions, rootfsName, `the flash of ${board.id}`);
  // The image begins with the first partition, which is the kernel's or holds it.
  const start = kernelAt.offset;
  const behind = last === rootfsName ? undefined : partitions[partitions.indexOf(rootfsAt) + 1];
  const end = behind === undefined ? image.length : behind.offset - start;
  const version = last === rootfsName ? undefined : partitions.find(({ name }) => name === versionName);
  if (version !== undefined) tellBuild(image, { offset: version.offset - start, length: version.length }, use);
  if (split === undefined) {
    const begin = rootfsAt.offset - start;
    await use.found('kernel', image.subarray(0, begin), true);
    return image.subarray(begin, end);
  }
  const stretch = image.subarray(0, end);
  const begin = (await use.pieces(stretch)).findLast(({ role }) => role === 'rootfs')?.offset;
  if (begin === undefined) {
    const place = `in the ${byteCount(end)} for kernel and root file system`;
    throw new OwimgError('conversion-impossible', `Cannot take the image apart at the step "tplink-safeloader": no root file system was found ${place}`);
  }
  await use.found('kernel', stretch.subarray(0, begin));
  return stretch.subarray(begin);
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
    if (startsWith(bytes, table, tableWord)) return firstLine.test(latin1(bytes.subarray(table, table + firstLineLength))) ? 'yes' : 'maybe';
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

  build,

  recipeSteps: {
    'tplink-safeloader': {
      compose: (image, use) => (isSysupgrade(use) ? sysupgradeImage(image, use) : factoryImage(image, use)),
      decompose: (image, use) => (isSysupgrade(use) ? takeSysupgradeApart(image, use) : takeFactoryApart(image, use)),
    },
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
