/**
 * zip: one header and the packed bytes for each member, then a directory with all members once more, then the end
 * record that says where the directory lies. All numbers are little endian. What vendors offer their downloads in.
 *
 * Each member has a CRC-32 of its unpacked data. So for a stored member it covers bytes of the file, for a packed
 * one only what comes out of it. Nothing covers the headers, but they say almost everything twice.
 *
 * Layout: PKWARE APPNOTE.TXT 6.3.10. Writers: Info-ZIP, Python's zipfile and many others.
 */
import { type CodedCheck, compare, crc32 } from '../src/core/checksums.ts';
import { finding, type LocalFinding, lengthBeyondEnd } from '../src/core/findings.ts';
import { type Format, type ParseContext, type Payload, type Reading, region, tile, truncatedHeader } from '../src/core/format.ts';
import { hex, hexBytes, latin1 } from '../src/core/hex.ts';
import { runLength } from '../src/core/padding.ts';
import { unsafePath, visible } from '../src/core/path.ts';
import { hex16, hex32, struct, u16, u32, u64, type ValuesOf } from '../src/core/struct.ts';
import type { Field, Range, Region } from '../src/core/types.ts';
import { charge, inflateRaw, openZip } from '../src/core/unpack.ts';
import { decrypt } from '../src/core/zip-cipher.ts';
import { knownPasswords, methods, systems } from './data/zip.ts';

const localTable = {
  signature: hex32,
  versionNeeded: u16,
  flags: hex16,
  method: u16,
  time: hex16,
  date: hex16,
  checksum: hex32, // crc-32
  packedLength: u32, // compressed size
  length: u32, // uncompressed size
  nameLength: u16,
  extraLength: u16,
};
const centralTable = {
  signature: hex32,
  versionMadeBy: hex16,
  versionNeeded: u16,
  flags: hex16,
  method: u16,
  time: hex16,
  date: hex16,
  checksum: hex32,
  packedLength: u32,
  length: u32,
  nameLength: u16,
  extraLength: u16,
  commentLength: u16,
  disk: u16,
  internalAttributes: hex16,
  externalAttributes: hex32,
  headerOffset: u32, // relative offset of local header
};
const localHeader = struct('little', localTable);
const centralHeader = struct('little', centralTable);
const endRecord = struct('little', {
  signature: hex32,
  disk: u16,
  directoryDisk: u16,
  entriesHere: u16,
  entries: u16,
  directoryLength: u32,
  directoryOffset: u32,
  commentLength: u16,
});
const end64Locator = struct('little', { signature: hex32, disk: u32, endOffset: u64, disks: u32 });
const end64Record = struct('little', {
  signature: hex32,
  recordLength: u64, // without this field and the one in front of it
  versionMadeBy: hex16,
  versionNeeded: u16,
  disk: u32,
  directoryDisk: u32,
  entriesHere: u64,
  entries: u64,
  directoryLength: u64,
  directoryOffset: u64,
});
const descriptor = struct('little', { checksum: hex32, packedLength: u32, length: u32 });
const descriptor64 = struct('little', { checksum: hex32, packedLength: u64, length: u64 });

const signatures = { local: 0x04034b50, central: 0x02014b50, end: 0x06054b50, end64: 0x06064b50, end64Locator: 0x07064b50, descriptor: 0x08074b50 } as const;
const signatureLength = 4;
const flag = { encrypted: 0x0001, descriptor: 0x0008, stronglyEncrypted: 0x0040, utf8: 0x0800, directoryEncrypted: 0x2000 } as const;
const anyEncryption = flag.encrypted | flag.stronglyEncrypted | flag.directoryEncrypted;
const [stored, deflate] = [0, 8];
/** A field that holds this has its value in the zip64 extra field. */
const [in64, in64Short] = [0xffffffff, 0xffff];
const extra = { zip64: 0x0001, unicodePath: 0x7075 } as const;
const unix = 3;
const typeMask = 0xf000;
/** Not the pipe, which Info-ZIP notes for what it packed from one. */
const unsafeTypes: ReadonlyMap<number, string> = new Map([
  [0xa000, 'is a symbolic link'],
  [0x2000, 'is a device file'],
  [0x6000, 'is a device file'],
]);

type Local = ValuesOf<typeof localTable>;
type Central = ValuesOf<typeof centralTable>;

/** What follows a header of fixed length. */
interface VariableParts {
  readonly nameLength: number;
  readonly extraLength: number;
  readonly commentLength?: number;
}

/** What a member's directory entry says, or its own header where there is no directory. */
interface Entry {
  readonly index: number;
  readonly name: string;
  readonly flags: number;
  readonly method: number;
  /** As DOS kept it. */
  readonly time: number;
  readonly checksum: number;
  readonly packedLength: number;
  readonly length: number;
  readonly headerOffset: number;
  /** Where the packed length stands. */
  readonly lengthAt: Range;
  /** Why nobody should unpack it, by its attributes. */
  readonly unsafe?: string | undefined;
}

interface LocalEntry extends Entry {
  readonly dataOffset: number;
  /** Lengths behind the data have 64 bits. */
  readonly wide: boolean;
}

/** One member, as far as it can be read. */
interface Member extends Entry {
  /** Where the checksum stands. */
  readonly checksumAt: Range;
  readonly data: Range;
  /** All of its packed bytes are there. */
  readonly whole: boolean;
}

const signatureAt = (bytes: Uint8Array, offset: number): number =>
  offset + signatureLength <= bytes.length ? new DataView(bytes.buffer, bytes.byteOffset + offset).getUint32(0, true) : 0;

const shifted = (range: Range, offset: number): Range => ({ offset: range.offset + offset, length: range.length });

/** 2023-11-14 22:13:20 of the two numbers in which DOS kept it. */
function dosTime(date: number, time: number): { date: string; time: string } {
  const two = (value: number): string => String(value).padStart(2, '0');
  return {
    date: `${1980 + (date >> 9)}-${two((date >> 5) & 0x0f)}-${two(date & 0x1f)}`,
    time: `${two(time >> 11)}:${two((time >> 5) & 0x3f)}:${two((time & 0x1f) * 2)}`,
  };
}

function commonMeanings({ flags, method, date, time }: Local | Central): Record<'flags' | 'method' | 'date' | 'time', string | undefined> {
  const set = Object.entries(flag).flatMap(([name, bit]) => ((flags & bit) === 0 ? [] : [name]));
  return { flags: set.length === 0 ? undefined : set.join(', '), method: methods.get(method) ?? 'not defined', ...dosTime(date, time) };
}

/** The extra fields by their number; what is left when they do not fit is ignored. */
function extraFields(bytes: Uint8Array): Map<number, Uint8Array> {
  const fields = new Map<number, Uint8Array>();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let offset = 0; offset + 4 <= bytes.length; ) {
    const length = view.getUint16(offset + 2, true);
    if (offset + 4 + length > bytes.length) break;
    fields.set(view.getUint16(offset, true), bytes.subarray(offset + 4, offset + 4 + length));
    offset += 4 + length;
  }
  return fields;
}

/** The values that did not fit into 32 bits; those that the extra field lacks stay as they are. */
function widened<K extends 'length' | 'packedLength' | 'headerOffset'>(
  values: Readonly<Record<K, number>>,
  order: readonly K[],
  bytes: Uint8Array | undefined,
): Record<K, number> {
  const result: Record<K, number> = { ...values };
  if (bytes === undefined) return result;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let offset = 0;
  for (const key of order) {
    if (values[key] !== in64 || offset + 8 > bytes.length) continue;
    result[key] = Number(view.getBigUint64(offset, true));
    offset += 8;
  }
  return result;
}

function nameOf(bytes: Uint8Array, flags: number, extras: ReadonlyMap<number, Uint8Array>): string {
  const unicode = extras.get(extra.unicodePath);
  // A version, the CRC of the name that this one replaces, the name.
  if (unicode !== undefined && unicode.length > 5 && new DataView(unicode.buffer, unicode.byteOffset).getUint32(1, true) === crc32(bytes)) {
    return visible(new TextDecoder().decode(unicode.subarray(5)));
  }
  return visible((flags & flag.utf8) === 0 ? latin1(bytes) : new TextDecoder().decode(bytes));
}

interface Directory {
  readonly offset: number;
  readonly entries: number;
  /** Where the entries end and the end records begin. */
  readonly entriesEnd: number;
  readonly locatorOffset?: number;
  readonly endOffset: number;
  /** The end of the archive, its comment included. */
  readonly end: number;
}

/** What the end record at an offset says, if it is one and fits to where it lies. */
function directoryAt(bytes: Uint8Array, endOffset: number): Directory | undefined {
  if (endOffset + endRecord.length > bytes.length || signatureAt(bytes, endOffset) !== signatures.end) return undefined;
  const { directoryOffset, directoryLength, entries, commentLength } = endRecord.read(bytes, endOffset);
  const end = endOffset + endRecord.length + commentLength;
  if (end > bytes.length) return undefined;
  const locatorOffset = endOffset - end64Locator.length;
  if (locatorOffset >= 0 && signatureAt(bytes, locatorOffset) === signatures.end64Locator) {
    const entriesEnd = Number(end64Locator.read(bytes, locatorOffset).endOffset);
    if (entriesEnd + end64Record.length > locatorOffset || signatureAt(bytes, entriesEnd) !== signatures.end64) return undefined;
    const wide = end64Record.read(bytes, entriesEnd);
    const offset = Number(wide.directoryOffset);
    return offset + Number(wide.directoryLength) === entriesEnd
      ? { offset, entries: Number(wide.entries), entriesEnd, locatorOffset, endOffset, end }
      : undefined;
  }
  return directoryOffset + directoryLength === endOffset ? { offset: directoryOffset, entries, entriesEnd: endOffset, endOffset, end } : undefined;
}

/** By the last end record that fits. One inside of a stored member counts from another first byte, so it does not. */
function findDirectory(bytes: Uint8Array): Directory | undefined {
  const first = signatures.end & 0xff;
  for (let offset = bytes.lastIndexOf(first); offset >= 0; offset = offset === 0 ? -1 : bytes.lastIndexOf(first, offset - 1)) {
    const directory = directoryAt(bytes, offset);
    if (directory !== undefined) return directory;
  }
  return undefined;
}

/** Why a member is no plain file, by what Unix keeps in the attributes. */
function unsafeType({ versionMadeBy, externalAttributes }: Central): string | undefined {
  return versionMadeBy >> 8 === unix ? unsafeTypes.get((externalAttributes >>> 16) & typeMask) : undefined;
}

/** Reads one archive and gathers what it finds on its way. */
class Reader {
  readonly fields: Field[] = [];
  readonly regions: Region[] = [];
  readonly findings: LocalFinding[] = [];
  readonly members: Member[] = [];
  readonly #bytes: Uint8Array;
  readonly #memberLimit: number;

  constructor(bytes: Uint8Array, memberLimit: number) {
    this.#bytes = bytes;
    this.#memberLimit = memberLimit;
  }

  #shown(prefix: string, fields: readonly Field[]): void {
    for (const field of fields) this.fields.push({ ...field, name: `${prefix}${field.name}` });
  }

  #text(name: string, offset: number, length: number, value: (bytes: Uint8Array) => string): void {
    if (length > 0) this.fields.push({ name, offset, length, value: value(this.#bytes.subarray(offset, offset + length)) });
  }

  #invalid(at: Range, what: string, expected: string, actual: string | number): void {
    this.findings.push(finding('structure-invalid', at, { what, expected, actual }));
  }

  #cut(what: string, offset: number, length: number): void {
    const available = this.#bytes.length - offset;
    this.findings.push(finding('header-truncated', { offset, length: available }, { what, length, available }));
    if (available > 0) this.regions.push(region('header', `${what}, cut off`, offset, available));
  }

  /** Whether one more entry may be read. */
  #mayRead(index: number, offset: number): boolean {
    if (index < this.#memberLimit) return true;
    const args = { what: 'zip members', limit: this.#memberLimit };
    this.findings.push(finding('entries-too-many', { offset, length: this.#bytes.length - offset }, args));
    return false;
  }

  /** The archive as its directory has it. */
  readByDirectory(directory: Directory): void {
    const { offset: directoryOffset, entriesEnd } = directory;
    const entries: Entry[] = [];
    let offset = directoryOffset;
    while (offset < entriesEnd && this.#mayRead(entries.length, offset)) {
      const read = this.#readCentral(offset, entries.length, entriesEnd);
      if (read === undefined) break;
      entries.push(read.entry);
      offset = read.end;
    }
    if (entries.length !== directory.entries || offset !== entriesEnd) {
      const expected = `${directory.entries} entries, of ${entriesEnd - directoryOffset} bytes`;
      this.#invalid(
        { offset: directoryOffset, length: entriesEnd - directoryOffset },
        'zip directory',
        expected,
        `${entries.length} of ${offset - directoryOffset}`,
      );
    }
    this.#readEnd(directory);
    // In the order of the file, so that every byte is read for one member only.
    let free = 0;
    for (const entry of [...entries].sort((a, b) => a.headerOffset - b.headerOffset)) {
      const { name, headerOffset, index } = entry;
      const at = { offset: Math.min(headerOffset, directoryOffset), length: localHeader.length };
      if (headerOffset < free) {
        this.#invalid(at, `place of the zip member "${name}"`, `${free} or later, for there another one ends`, headerOffset);
        continue;
      }
      const local = this.#readLocal(headerOffset, index, directoryOffset);
      if (local === undefined) {
        this.#invalid(at, `place of the zip member "${name}"`, 'a header of it', signatureText(this.#bytes, headerOffset));
        continue;
      }
      this.#compareHeaders(entry, local);
      free = this.#readMember(entry, local, directoryOffset);
    }
  }

  /** The archive as the headers of its members have it: all that is left when the end is cut off. Gives its end. */
  readByHeaders(): number {
    const bytes = this.#bytes;
    const end = bytes.length;
    let offset = 0;
    while (signatureAt(bytes, offset) === signatures.local && this.#mayRead(this.members.length, offset)) {
      const local = this.#readLocal(offset, this.members.length, end);
      if (local === undefined) {
        this.#cut('a zip member header', offset, this.#neededLength(offset, localHeader));
        return end;
      }
      const entry = (local.flags & flag.descriptor) !== 0 && local.packedLength === 0 ? this.#described(local) : local;
      if (entry === undefined) {
        this.#cut('a zip member of unknown length', local.dataOffset, end - local.dataOffset);
        return end;
      }
      offset = this.#readMember(entry, local, end);
    }
    const directoryOffset = offset;
    for (let index = 0; signatureAt(bytes, offset) === signatures.central && this.#mayRead(index, offset); index += 1) {
      const read = this.#readCentral(offset, index, end);
      if (read === undefined) {
        this.#cut('an entry of the zip directory', offset, this.#neededLength(offset, centralHeader));
        return end;
      }
      offset = read.end;
    }
    if (offset + endRecord.length <= end && signatureAt(bytes, offset) === signatures.end) {
      const values = endRecord.read(bytes, offset);
      this.#shown('end.', endRecord.fields(values, {}, offset));
      const recordEnd = Math.min(end, offset + endRecord.length + values.commentLength);
      this.regions.push(region('header', 'end record', offset, recordEnd - offset));
      const expected = `the directory at ${directoryOffset}, of ${offset - directoryOffset} bytes`;
      this.#invalid({ offset, length: endRecord.length }, 'zip end record', expected, `${values.directoryOffset}, of ${values.directoryLength} bytes`);
      return recordEnd;
    }
    this.#cut('the end record of a zip', offset, endRecord.length);
    return end;
  }

  /** How long a cut header should be: as much of it as is there tells. */
  #neededLength(offset: number, header: { readonly length: number; read(bytes: Uint8Array, offset: number): VariableParts }): number {
    if (offset + header.length > this.#bytes.length) return header.length;
    const { nameLength, extraLength, commentLength = 0 } = header.read(this.#bytes, offset);
    return header.length + nameLength + extraLength + commentLength;
  }

  #readCentral(offset: number, index: number, limit: number): { entry: Entry; end: number } | undefined {
    const bytes = this.#bytes;
    if (offset + centralHeader.length > limit || signatureAt(bytes, offset) !== signatures.central) return undefined;
    const values = centralHeader.read(bytes, offset);
    const { flags, method, time, checksum, nameLength, extraLength, commentLength, versionMadeBy } = values;
    const nameOffset = offset + centralHeader.length;
    const extraOffset = nameOffset + nameLength;
    const commentOffset = extraOffset + extraLength;
    const end = commentOffset + commentLength;
    if (end > limit) return undefined;
    const extras = extraFields(bytes.subarray(extraOffset, commentOffset));
    const name = nameOf(bytes.subarray(nameOffset, extraOffset), flags, extras);
    const prefix = `directory[${index}].`;
    const meanings = { ...commonMeanings(values), versionMadeBy: systems[versionMadeBy >> 8] ?? 'not defined' };
    this.#shown(prefix, centralHeader.fields(values, meanings, offset));
    this.#text(`${prefix}name`, nameOffset, nameLength, () => name);
    this.#text(`${prefix}extra`, extraOffset, extraLength, hexBytes);
    this.#text(`${prefix}comment`, commentOffset, commentLength, (comment) => visible(latin1(comment)));
    this.regions.push(region('header', `directory entry of ${name}`, offset, end - offset));
    const lengths = widened(values, ['length', 'packedLength', 'headerOffset'], extras.get(extra.zip64));
    const lengthAt = shifted(centralHeader.at.packedLength, offset);
    return { entry: { index, name, flags, method, time, checksum, ...lengths, lengthAt, unsafe: unsafeType(values) }, end };
  }

  #readLocal(offset: number, index: number, limit: number): LocalEntry | undefined {
    const bytes = this.#bytes;
    if (offset + localHeader.length > limit || signatureAt(bytes, offset) !== signatures.local) return undefined;
    const values = localHeader.read(bytes, offset);
    const { flags, method, time, checksum, nameLength, extraLength } = values;
    const nameOffset = offset + localHeader.length;
    const extraOffset = nameOffset + nameLength;
    const dataOffset = extraOffset + extraLength;
    if (dataOffset > limit) return undefined;
    const extras = extraFields(bytes.subarray(extraOffset, dataOffset));
    const name = nameOf(bytes.subarray(nameOffset, extraOffset), flags, extras);
    const prefix = `members[${index}].`;
    this.#shown(prefix, localHeader.fields(values, commonMeanings(values), offset));
    this.#text(`${prefix}name`, nameOffset, nameLength, () => name);
    this.#text(`${prefix}extra`, extraOffset, extraLength, hexBytes);
    this.regions.push(region('header', `header of ${name}`, offset, dataOffset - offset));
    const lengths = widened(values, ['length', 'packedLength'], extras.get(extra.zip64));
    const lengthAt = shifted(localHeader.at.packedLength, offset);
    return { index, name, flags, method, time, checksum, ...lengths, headerOffset: offset, lengthAt, dataOffset, wide: extras.has(extra.zip64) };
  }

  /** What a member's two headers say must be the same; some values may come only behind the data. */
  #compareHeaders(entry: Entry, local: LocalEntry): void {
    if ((entry.flags & flag.directoryEncrypted) !== 0) return;
    const later = (local.flags & flag.descriptor) !== 0;
    const keys = later ? (['name', 'method'] as const) : (['name', 'method', 'checksum', 'packedLength', 'length'] as const);
    for (const key of keys) {
      if (entry[key] === local[key]) continue;
      const at =
        key === 'name' ? { offset: local.headerOffset + localHeader.length, length: local.name.length } : shifted(localHeader.at[key], local.headerOffset);
      const shown = (value: number | string): number | string => (key === 'checksum' ? hex(value as number) : value);
      this.#invalid(at, `${key} in the header of the zip member "${entry.name}"`, `${shown(entry[key])} as in the directory`, shown(local[key]));
    }
  }

  /** A member's data and what follows it. Gives its end. */
  #readMember(entry: Entry, local: LocalEntry, limit: number): number {
    const { name, packedLength, lengthAt } = entry;
    const available = limit - local.dataOffset;
    const data = { offset: local.dataOffset, length: Math.min(packedLength, available) };
    const whole = packedLength <= available;
    if (!whole) this.findings.push(lengthBeyondEnd(`the zip member "${name}"`, lengthAt, packedLength, available, Math.max(limit, lengthAt.offset)));
    if (data.length > 0) this.regions.push(region('payload', name, data.offset, data.length));
    const dataEnd = data.offset + data.length;
    const described = whole && (local.flags & flag.descriptor) !== 0 ? this.#readDescriptor(entry, local, dataEnd, limit) : undefined;
    const checksumAt = described?.checksumAt ?? shifted(localHeader.at.checksum, local.headerOffset);
    this.members.push({ ...entry, checksumAt, data, whole });
    return described?.end ?? dataEnd;
  }

  /** Checksum and lengths behind the data of a member whose writer did not know them before. */
  #readDescriptor(entry: Entry, local: LocalEntry, offset: number, limit: number): { checksumAt: Range; end: number } | undefined {
    const table = local.wide ? descriptor64 : descriptor;
    const start = offset + (signatureAt(this.#bytes, offset) === signatures.descriptor ? signatureLength : 0);
    const end = start + table.length;
    const values = end <= limit ? table.read(this.#bytes, start) : undefined;
    const same = (['checksum', 'packedLength', 'length'] as const).every((key) => values !== undefined && Number(values[key]) === entry[key]);
    if (values === undefined || !same) {
      const expected = `${hex(entry.checksum)}, ${entry.packedLength}, ${entry.length} as in the directory`;
      const actual = values === undefined ? 'the directory' : `${hex(values.checksum)}, ${values.packedLength}, ${values.length}`;
      this.#invalid({ offset, length: Math.min(end, limit) - offset }, `record behind the zip member "${entry.name}"`, expected, actual);
      return undefined;
    }
    const prefix = `members[${entry.index}].behind.`;
    this.#shown(
      prefix,
      local.wide ? descriptor64.fields(descriptor64.read(this.#bytes, start), {}, start) : descriptor.fields(descriptor.read(this.#bytes, start), {}, start),
    );
    this.regions.push(region('header', `checksum and lengths of ${entry.name}`, offset, end - offset));
    return { checksumAt: shifted(table.at.checksum, start), end };
  }

  /** The lengths of a member without a directory, from the first record behind it that fits to its own place. */
  #described(local: LocalEntry): Entry | undefined {
    const bytes = this.#bytes;
    const table = local.wide ? descriptor64 : descriptor;
    const first = signatures.descriptor & 0xff;
    for (let offset = bytes.indexOf(first, local.dataOffset); offset >= 0; offset = bytes.indexOf(first, offset + 1)) {
      const start = offset + signatureLength;
      if (signatureAt(bytes, offset) !== signatures.descriptor || start + table.length > bytes.length) continue;
      const { checksum, packedLength, length } = table.read(bytes, start);
      if (Number(packedLength) === offset - local.dataOffset) return { ...local, checksum, packedLength: Number(packedLength), length: Number(length) };
    }
    return undefined;
  }

  #readEnd({ entriesEnd, locatorOffset, endOffset, end }: Directory): void {
    const bytes = this.#bytes;
    if (locatorOffset !== undefined) {
      this.#shown('end64.', end64Record.fields(end64Record.read(bytes, entriesEnd), {}, entriesEnd));
      this.#shown('end64Locator.', end64Locator.fields(end64Locator.read(bytes, locatorOffset), {}, locatorOffset));
      this.regions.push(region('header', 'zip64 end record', entriesEnd, locatorOffset - entriesEnd));
      this.regions.push(region('header', 'zip64 end locator', locatorOffset, end64Locator.length));
    }
    const values = endRecord.read(bytes, endOffset);
    this.#shown('end.', endRecord.fields(values, {}, endOffset));
    this.#text('end.comment', endOffset + endRecord.length, values.commentLength, (comment) => visible(latin1(comment)));
    this.regions.push(region('header', 'end record', endOffset, end - endOffset));
    for (const key of ['disk', 'directoryDisk'] as const) {
      if (values[key] === 0 || (locatorOffset !== undefined && values[key] === in64Short)) continue;
      this.#invalid(shifted(endRecord.at[key], endOffset), `${key} of the zip end record`, '0, for the archive is in one file', values[key]);
    }
  }
}

function signatureText(bytes: Uint8Array, offset: number): string {
  return offset + signatureLength <= bytes.length ? hexBytes(bytes.subarray(offset, offset + signatureLength)) : `${offset}, beyond the end`;
}

interface Contents {
  readonly payloads: Payload[];
  readonly checks: CodedCheck[];
  readonly findings: LocalFinding[];
}

/** The packed bytes of an encrypted member whose password everybody knows. */
function decrypted(archive: Uint8Array, { data, flags, checksum, time }: Member): Uint8Array | undefined {
  if ((flags & (flag.stronglyEncrypted | flag.directoryEncrypted)) !== 0) return undefined;
  const bytes = archive.subarray(data.offset, data.offset + data.length);
  // The writer did not know the checksum yet if it stands behind the data.
  const check = (flags & flag.descriptor) === 0 ? checksum >>> 24 : time >>> 8;
  for (const password of knownPasswords) {
    const plain = decrypt(bytes, password, check);
    if (plain !== undefined) return plain;
  }
  return undefined;
}

/** Members as payloads: stored ones where they lie, packed ones unpacked if they are wanted. */
async function readContents(archive: Uint8Array, members: readonly Member[], complete: boolean, { unpack, budget }: ParseContext): Promise<Contents> {
  const payloads: Payload[] = [];
  const checks: CodedCheck[] = [];
  const findings: LocalFinding[] = [];
  const wanted = unpack && complete;
  const opened = wanted && members.some(({ method }) => method === deflate) ? await openZip(archive) : undefined;
  for (const member of members) {
    const { name, data, headerOffset, method, length } = member;
    const reason = unsafePath(name) ?? member.unsafe;
    if (reason !== undefined) {
      findings.push(finding('path-unsafe', { offset: headerOffset + localHeader.length, length: name.length }, { path: name, reason }));
    }
    if (!member.whole || name.endsWith('/')) continue;
    const found = (bytes: Uint8Array, covers: readonly Range[]): void => {
      const what = { code: 'data-checksum-mismatch', name: `crc of ${name}`, algorithm: 'crc32' } as const;
      checks.push(compare({ ...what, stored: member.checksum, computed: crc32(bytes), at: member.checksumAt, covers }));
      if (bytes.length !== length) findings.push(finding('stream-length-mismatch', data, { what: `"${name}"`, expected: length, actual: bytes.length }));
      const unpacked = covers.length > 0 ? {} : { unpacked: { bytes, by: 'zip' } };
      if (bytes.length > 0) payloads.push({ label: name, ranges: [data], ...unpacked });
    };
    const encrypted = (member.flags & anyEncryption) !== 0;
    const plain = encrypted ? decrypted(archive, member) : undefined;
    if (encrypted && plain === undefined) {
      findings.push(finding('archive-encrypted', shifted(localHeader.at.flags, headerOffset), { member: name }));
      continue;
    }
    if (method !== stored && method !== deflate) {
      findings.push(finding('compression-unsupported', data, { member: name, method: methods.get(method) ?? `method ${method}` }));
      continue;
    }
    if (method === stored) {
      if (plain === undefined) found(archive.subarray(data.offset, data.offset + data.length), [data]);
      else if (wanted) found(plain, []);
      continue;
    }
    if (opened === undefined) continue;
    const limit = budget.unpackLimit(data.length);
    if (length > limit) {
      findings.push(finding('unpacking-stopped', data, { reason: `"${name}" claims ${length} bytes in ${data.length}, more than ${limit}` }));
      continue;
    }
    const result = plain === undefined ? await opened(data.offset, data.length, limit) : inflateRaw(plain, budget);
    if (plain === undefined) charge(budget, result, limit);
    if (result.ok) found(result.bytes, []);
    else if (result.failure === 'limit') findings.push(finding('unpacking-stopped', data, { reason: `out of "${name}" ${result.reason}` }));
    else findings.push(finding('stream-corrupt', data, { what: `"${name}"`, reason: result.reason }));
  }
  return { payloads, checks, findings };
}

export const zip: Format = {
  id: 'zip',
  title: 'zip archive',
  summary: 'An archive of files; what vendors offer their firmware in for download, and some take as it is.',
  role: 'archive',
  kind: 'archive',
  references: [
    { title: 'PKWARE APPNOTE.TXT 6.3.10', url: 'https://pkware.cachefly.net/webdocs/APPNOTE/APPNOTE-6.3.10.TXT' },
    { title: 'Info-ZIP on extra fields', url: 'https://libzip.org/specifications/extrafld.txt' },
  ],
  limitations: [
    'Members are unpacked if they are stored or deflated, not with other methods.',
    'Encrypted members are read only if their password stands in a recipe of OpenWrt and the encryption is the traditional one.',
    'Archives in several files and ones with a program in front of them are not put together.',
    'Names without the UTF-8 flag are shown as Latin-1.',
    'Without its directory an archive is listed by the headers of its members, but deflated ones are not unpacked.',
  ],

  detect(bytes) {
    const signature = signatureAt(bytes, 0);
    if (signature === signatures.end) return directoryAt(bytes, 0) === undefined ? 'maybe' : 'yes';
    if (signature !== signatures.local) return 'no';
    if (bytes.length < localHeader.length) return 'maybe';
    const { method, nameLength, versionNeeded } = localHeader.read(bytes);
    return methods.has(method) && nameLength > 0 && (versionNeeded & 0xff) < 100 ? 'yes' : 'maybe';
  },

  async parse(bytes, context): Promise<Reading> {
    if (bytes.length < endRecord.length) {
      const cut = { what: 'a zip', length: endRecord.length, available: bytes.length };
      return truncatedHeader('zip', endRecord.length, finding('header-truncated', { offset: 0, length: bytes.length }, cut), bytes.length);
    }
    const reader = new Reader(bytes, context.budget.limits.members);
    const directory = findDirectory(bytes);
    let end: number;
    if (directory === undefined) end = reader.readByHeaders();
    else {
      reader.readByDirectory(directory);
      end = directory.end;
    }
    const { payloads, checks, findings } = await readContents(bytes.subarray(0, end), reader.members, directory !== undefined, context);
    const regions = tile(reader.regions, 0, end).map((entry) =>
      entry.kind === 'unknown' && bytes[entry.offset] === 0 && runLength(bytes.subarray(entry.offset, entry.offset + entry.length)) === entry.length
        ? region('padding', 'filled with 00', entry.offset, entry.length)
        : entry,
    );
    const count = reader.members.length;
    return {
      length: end,
      summary: `zip of ${count} member${count === 1 ? '' : 's'}`,
      fields: reader.fields,
      regions,
      checks,
      findings: [...reader.findings, ...findings],
      identities: [],
      payloads,
    };
  },
};
