/**
 * GPT, the partition table of EFI: a first sector that looks like an MBR with one partition over all (the
 * protective MBR, in which OpenWrt may list some partitions a second time), a header in sector 1, a table of
 * entries, and both again at the end of the disk. All numbers are little endian.
 *
 * The header CRC covers the header (usually 92 bytes) with its own field zero; the entries CRC covers the whole
 * table. The backup is the same with the sector numbers of header and table exchanged; ptgen leaves it out
 * unless it is told to write it.
 *
 * Layout: UEFI specification 5.3. Writers: firmware-utils ptgen, sgdisk, cgpt.
 */
import { type CodedCheck, compare, crc32, crc32Of, withReplaced, zeros } from '../src/core/checksums.ts';
import { OwimgError } from '../src/core/errors.ts';
import { finding, type LocalFinding, lengthBeyondEnd } from '../src/core/findings.ts';
import { type Format, type Reading, region } from '../src/core/format.ts';
import { fromHex, hex, hexBytes, printable, printableUtf16 } from '../src/core/hex.ts';
import type { Budget } from '../src/core/limits.ts';
import {
  chs,
  type Geometry,
  isEmptyEntry,
  layOut,
  mbrEntry,
  mbrEntryFields,
  mbrEntryOffset,
  mbrSector,
  mbrSignature,
  type Partition,
  readMbrEntries,
} from '../src/core/partitions.ts';
import { hex32, bytes as raw, struct, text, u32, u64, type ValuesOf } from '../src/core/struct.ts';
import type { Confidence, Field, Range, Region } from '../src/core/types.ts';
import { attributes, partitionTypes } from './data/gpt.ts';
import { partitionTypes as mbrTypes, protectiveType } from './data/mbr.ts';

const headerTable = {
  signature: text(8),
  revision: hex32,
  headerLength: u32,
  headerChecksum: hex32,
  reserved: u32,
  self: u64, // MyLBA
  alternate: u64, // AlternateLBA
  firstUsable: u64,
  lastUsable: u64,
  diskGuid: raw(16),
  entriesStart: u64, // PartitionEntryLBA
  entryCount: u32,
  entryLength: u32,
  entriesChecksum: hex32,
};
const header = struct('little', headerTable);
type Header = ValuesOf<typeof headerTable>;

const entryTable = { type: raw(16), guid: raw(16), first: u64, last: u64, attributes: u64, name: raw(72) };
const entryStruct = struct('little', entryTable);
type Entry = ValuesOf<typeof entryTable>;

const signature = 'EFI PART';
const sectorLengths = [512, 4096] as const;
const longestEntry = 4096;
const nameLength = 36;

export interface GptPartition {
  /** 1 for the first entry of the table. */
  readonly number: number;
  readonly type: string;
  readonly guid: string;
  readonly first: number;
  /** The last sector that belongs to it. */
  readonly last: number;
  readonly attributes?: bigint;
  /** Up to 36 characters; 72 bytes where they are no plain text. */
  readonly name?: string | Uint8Array;
}

/** What `build` takes. Sector numbers are as in the table; `image` is the whole disk, in which the tables are written. */
export interface GptInput {
  readonly image: Uint8Array;
  readonly sectorLength?: 512 | 4096;
  /** The first sector as it is; without it a protective MBR is made as ptgen makes it. */
  readonly mbr?: Uint8Array;
  /** In the protective MBR that is made. */
  readonly diskSignature?: number;
  readonly geometry?: Geometry;
  readonly diskGuid: string;
  readonly firstUsable: number;
  readonly lastUsable: number;
  readonly alternate: number;
  readonly entriesStart?: number;
  readonly entryCount?: number;
  readonly entryLength?: number;
  readonly headerLength?: number;
  readonly partitions: readonly GptPartition[];
  /** Where the table of the backup begins; without it no backup is written. */
  readonly backupEntriesStart?: number;
}

/** `c12a7328-f81f-…`: the first three groups are stored in little endian. */
function guidText(bytes: Uint8Array): string {
  const order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
  const digits = hexBytes(Uint8Array.from(order, (index) => bytes[index] as number));
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

function guidBytes(guid: string): Uint8Array {
  const digits = guid.replaceAll('-', '');
  if (!/^[0-9a-f]{32}$/i.test(digits)) throw new OwimgError('bad-value', `Cannot use "${guid}" as a GUID: it needs 32 hexadecimal digits`);
  return fromHex(guidText(fromHex(digits)).replaceAll('-', ''));
}

function nameBytes(name: string): Uint8Array {
  if (name.length > nameLength) throw new OwimgError('bad-value', `Cannot use "${name}" as a partition name: it has more than ${nameLength} characters`);
  const bytes = new Uint8Array(nameLength * 2);
  const view = new DataView(bytes.buffer);
  for (let index = 0; index < name.length; index += 1) view.setUint16(index * 2, name.charCodeAt(index), true);
  return bytes;
}

/** The name as text where that gives the same bytes again. */
function nameInput(bytes: Uint8Array): string | Uint8Array {
  const name = printableUtf16(bytes);
  return name.length <= nameLength && hexBytes(nameBytes(name)) === hexBytes(bytes) ? name : bytes;
}

function attributeNames(value: bigint): string {
  const found = [...attributes].filter(([bit]) => ((value >> BigInt(bit)) & 1n) === 1n).map(([, name]) => name);
  const typeBits = value >> 48n;
  if (typeBits > 0n) found.push(`${hex(typeBits, 4)} of its type`);
  return found.join(', ') || 'none';
}

/** One of the two headers with its table. */
interface Table {
  readonly values: Header;
  readonly sector: number;
  readonly sound: boolean;
  readonly entries: { readonly number: number; readonly offset: number; readonly values: Entry }[];
  readonly fields: Field[];
  readonly regions: Region[];
  readonly checks: CodedCheck[];
  readonly findings: LocalFinding[];
}

/** How many of the eight letters stand in a sector. */
function signatureMatch(bytes: Uint8Array, offset: number): number {
  let count = 0;
  for (let index = 0; index < signature.length; index += 1) if (bytes[offset + index] === signature.charCodeAt(index)) count += 1;
  return count;
}

function readTable(bytes: Uint8Array, sector: number, sectorLength: number, which: 'primary' | 'backup', { limits }: Budget): Table {
  const base = sector * sectorLength;
  const values = header.read(bytes, base);
  const { headerLength, entryCount, entryLength } = values;
  const prefix = which === 'primary' ? '' : 'backup.';
  const what = which === 'primary' ? 'GPT' : 'backup GPT';
  const place = (field: keyof Header): Range => ({ offset: base + header.at[field].offset, length: header.at[field].length });
  const findings: LocalFinding[] = [];
  const wrong = (field: keyof Header, expected: string, actual: number | bigint): void => {
    findings.push(finding('structure-invalid', place(field), { what: `${field} of the ${what}`, expected, actual: String(actual) }));
  };
  if (signatureMatch(bytes, base) < signature.length) {
    const actual = `"${printable(bytes.subarray(base, base + signature.length))}"`;
    findings.push(finding('magic-damaged', place('signature'), { what: `the ${what}`, expected: `"${signature}"`, actual }));
  }
  const goodLength = headerLength >= header.length && headerLength <= sectorLength;
  if (!goodLength) wrong('headerLength', `${header.length} to ${sectorLength}`, headerLength);
  if (values.self !== BigInt(sector)) wrong('self', String(sector), values.self);
  const goodEntries = entryLength >= entryStruct.length && entryLength <= longestEntry && entryLength % 8 === 0;
  if (!goodEntries) wrong('entryLength', `a multiple of 8 from ${entryStruct.length} to ${longestEntry}`, entryLength);

  const covered = { offset: base, length: Math.min(bytes.length - base, goodLength ? headerLength : header.length) };
  const headerCheck = compare({
    code: 'header-checksum-mismatch',
    name: `${prefix}header-crc`,
    algorithm: 'crc32',
    stored: values.headerChecksum,
    computed: crc32Of(
      withReplaced(bytes.subarray(base, base + covered.length), [{ offset: header.at.headerChecksum.offset, bytes: zeros(header.at.headerChecksum.length) }]),
    ),
    at: place('headerChecksum'),
    covers: [covered],
  });
  const checks = [headerCheck];
  const regions = [region('header', `${what} header`, base, Math.min(sectorLength, bytes.length - base))];

  const entriesOffset = Number(values.entriesStart) * sectorLength;
  const entriesLength = goodEntries ? entryCount * entryLength : 0;
  const available = Math.max(0, bytes.length - entriesOffset);
  const whole = entriesLength <= available;
  const table = bytes.subarray(Math.min(entriesOffset, bytes.length), Math.min(entriesOffset + entriesLength, bytes.length));
  if (!whole) findings.push(lengthBeyondEnd(`the table of the ${what}`, place('entryCount'), entriesLength, available, bytes.length));
  if (goodEntries) {
    if (table.length > 0) regions.push(region('header', `${what} entries`, entriesOffset, table.length));
    checks.push(
      compare({
        code: 'header-checksum-mismatch',
        name: `${prefix}entries-crc`,
        algorithm: 'crc32',
        stored: whole ? values.entriesChecksum : null,
        computed: crc32(table),
        at: place('entriesChecksum'),
        covers: table.length > 0 ? [{ offset: entriesOffset, length: table.length }] : [],
      }),
    );
  }
  const entries: Table['entries'] = [];
  for (let start = 0; goodEntries && start + entryLength <= table.length; start += entryLength) {
    // The type's first byte tells nearly all unused entries without reading them.
    if (table[start] === 0 && table.subarray(start, start + 16).every((byte) => byte === 0)) continue;
    if (entries.length >= limits.shown) {
      const rest = { offset: entriesOffset + start, length: table.length - start };
      findings.push(finding('entries-too-many', rest, { what: 'partitions', limit: limits.shown }));
      break;
    }
    entries.push({ number: start / entryLength + 1, offset: entriesOffset + start, values: entryStruct.read(table, start) });
  }
  const fields = header
    .fields(values, {}, base)
    .map((field) => ({ ...field, name: prefix + field.name, ...(field.name === 'diskGuid' ? { value: guidText(values.diskGuid) } : {}) }));
  return { values, sector, sound: checks.every((check) => check.ok === true), entries, fields, regions, checks, findings };
}

function entryFields({ number, offset, values }: Table['entries'][number]): Field[] {
  const shown: Partial<Record<string, Pick<Field, 'value' | 'meaning'>>> = {
    type: { value: guidText(values.type), meaning: partitionTypes.get(guidText(values.type)) ?? 'not known' },
    guid: { value: guidText(values.guid) },
    attributes: { value: hex(values.attributes, 16), meaning: attributeNames(values.attributes) },
    name: { value: printableUtf16(values.name) },
  };
  return entryStruct.fields(values, {}, offset).map((field) => ({ ...field, ...shown[field.name], name: `partition${number}.${field.name}` }));
}

function partitionLabel({ number, values }: Table['entries'][number]): string {
  const type = guidText(values.type);
  return `partition ${number} (${printableUtf16(values.name) || (partitionTypes.get(type) ?? type)})`;
}

/** The fields in which the backup says something else than the table in front. */
function differences(primary: Header, backup: Header): string {
  const same: (keyof Header)[] = ['revision', 'headerLength', 'firstUsable', 'lastUsable', 'entryCount', 'entryLength', 'entriesChecksum'];
  const found: string[] = same.filter((field) => primary[field] !== backup[field]);
  if (hexBytes(primary.diskGuid) !== hexBytes(backup.diskGuid)) found.push('diskGuid');
  if (backup.alternate !== primary.self) found.push('alternate');
  return found.join(', ');
}

/** What is wrong with the sector that protects the table from programs which know only the MBR. */
function protectionFindings(bytes: Uint8Array): LocalFinding[] {
  const { signature: stored } = mbrSector.read(bytes);
  const { offset, length } = mbrSector.at.signature;
  if (stored !== mbrSignature) {
    const actual = hexBytes(bytes.subarray(offset, offset + length));
    return [finding('magic-damaged', { offset, length }, { what: 'the protective MBR', expected: '55aa', actual })];
  }
  const entries = readMbrEntries(bytes);
  if (entries.some((entry) => entry.type === protectiveType && entry.start === 1)) return [];
  const actual = entries.map((entry) => `${hex(entry.type, 2)} from ${entry.start}`).join(', ');
  const expected = `one of type ${hex(protectiveType, 2)} that begins at sector 1`;
  return [finding('structure-invalid', mbrSector.at.entries, { what: 'table of the protective MBR', expected, actual })];
}

function findSectorLength(bytes: Uint8Array): 512 | 4096 {
  return sectorLengths.find((length) => signatureMatch(bytes, length) === signature.length) ?? 512;
}

function isProtected(bytes: Uint8Array): boolean {
  return mbrSector.read(bytes).signature === mbrSignature && readMbrEntries(bytes).some((entry) => entry.type === protectiveType && entry.start === 1);
}

export const gpt: Format<GptInput> = {
  id: 'gpt',
  title: 'GPT partition table',
  summary: 'A disk, SD card or eMMC image with named partitions: what EFI and many newer boot ROMs and boot loaders read.',
  role: 'disk',
  kind: 'disk',
  references: [
    { title: 'UEFI specification, 5.3 GUID Partition Table Disk Layout', url: 'https://uefi.org/specs/UEFI/2.10/05_GUID_Partition_Table_Format.html' },
    { title: 'firmware-utils ptgen.c', url: 'https://github.com/openwrt/firmware-utils/blob/d21804ad/src/ptgen.c' },
  ],
  limitations: ['A backup is looked for where the header says that it is, and in the last sector; a disk of which only the backup is left is not recognised.'],

  detect(bytes): Confidence {
    if (bytes.length < mbrSector.length) return 'no';
    const sectorLength = findSectorLength(bytes);
    if (signatureMatch(bytes, sectorLength) === signature.length && bytes.length >= sectorLength + header.length) {
      const { headerLength, self } = header.read(bytes, sectorLength);
      return headerLength >= header.length && headerLength <= sectorLength && self === 1n ? 'yes' : 'maybe';
    }
    return isProtected(bytes) ? 'maybe' : 'no';
  },

  parse(bytes, { budget }): Reading<GptInput> {
    const sectorLength = findSectorLength(bytes);
    const mbrValues = mbrSector.read(bytes);
    const findings = protectionFindings(bytes);
    const mbrFields = mbrSector.fields(mbrValues).filter((field) => field.name === 'diskSignature');
    readMbrEntries(bytes).forEach((entry, index) => {
      if (!isEmptyEntry(entry)) mbrFields.push(...mbrEntryFields(entry, `mbr${index + 1}`, mbrEntryOffset(index), mbrTypes.get(entry.type)));
    });
    const tables: Region[] = [region('header', 'protective MBR', 0, mbrSector.length)];
    const available = bytes.length - sectorLength;
    if (available < header.length) {
      const left = { offset: Math.min(sectorLength, bytes.length), length: Math.max(0, available) };
      findings.push(finding('header-truncated', left, { what: 'a GPT header', length: header.length, available: left.length }));
      const { regions, end } = layOut(bytes, [...tables, region('header', 'GPT header, cut off', left.offset, left.length)], [], bytes.length);
      return { length: end, summary: 'GPT, cut off', fields: mbrFields, regions, checks: [], findings, identities: [], payloads: [] };
    }
    const primary = readTable(bytes, 1, sectorLength, 'primary', budget);
    const backupSector = findBackup(bytes, primary, sectorLength);
    const backup = backupSector === undefined ? undefined : readTable(bytes, backupSector, sectorLength, 'backup', budget);
    if (backup === undefined) {
      const at = { offset: sectorLength + header.at.alternate.offset, length: header.at.alternate.length };
      findings.push(finding('backup-missing', at, { what: 'the GPT', at: `sector ${primary.values.alternate}` }));
    } else if (primary.sound && backup.sound) {
      const moved = primary.values.alternate === BigInt(backup.sector) ? '' : `it lies at sector ${backup.sector}, not ${primary.values.alternate}`;
      const difference = [differences(primary.values, backup.values), moved].filter(Boolean).join('; ');
      const place = { offset: backup.sector * sectorLength, length: header.length };
      if (difference !== '') findings.push(finding('backup-differs', place, { what: 'the GPT', difference }));
    }
    const effective = !primary.sound && backup?.sound === true ? backup : primary;
    const partitions: Partition[] = [];
    const entryFindings: LocalFinding[] = [];
    for (const entry of effective.entries) {
      const place = { offset: entry.offset, length: entryStruct.length };
      const first = Number(entry.values.first);
      const last = Number(entry.values.last);
      const label = partitionLabel(entry);
      if (last < first) {
        entryFindings.push(finding('structure-invalid', place, { what: `end of ${label}`, expected: `at least sector ${first}`, actual: `sector ${last}` }));
        continue;
      }
      partitions.push({ label, offset: first * sectorLength, length: (last - first + 1) * sectorLength, entry: place });
    }
    for (const table of backup === undefined ? [primary] : [primary, backup]) tables.push(...table.regions);
    const diskEnd = (Number(effective.values.alternate) + 1) * sectorLength;
    const layout = layOut(bytes, tables, partitions, Math.max(diskEnd, sectorLength * 2));
    const names = effective.entries.map((entry) => partitionLabel(entry).replace(/^.*?\((.*)\)$/, '$1'));
    return {
      length: layout.end,
      summary: `GPT with ${names.length} partition${names.length === 1 ? '' : 's'} (${names.join('; ')})`,
      fields: [...mbrFields, ...primary.fields, ...(backup?.fields ?? []), ...effective.entries.flatMap(entryFields)],
      regions: layout.regions,
      checks: [...primary.checks, ...(backup?.checks ?? [])],
      findings: [...findings, ...primary.findings, ...(backup?.findings ?? []), ...entryFindings, ...layout.findings],
      identities: [],
      payloads: layout.payloads,
      input: () => ({
        image: bytes.subarray(0, layout.end),
        sectorLength,
        mbr: bytes.subarray(0, mbrSector.length),
        diskGuid: guidText(primary.values.diskGuid),
        firstUsable: Number(primary.values.firstUsable),
        lastUsable: Number(primary.values.lastUsable),
        alternate: Number(primary.values.alternate),
        entriesStart: Number(primary.values.entriesStart),
        entryCount: primary.values.entryCount,
        entryLength: primary.values.entryLength,
        headerLength: primary.values.headerLength,
        partitions: primary.entries.map(({ number, values }) => ({
          number,
          type: guidText(values.type),
          guid: guidText(values.guid),
          first: Number(values.first),
          last: Number(values.last),
          attributes: values.attributes,
          name: nameInput(values.name),
        })),
        ...(backup === undefined ? {} : { backupEntriesStart: Number(backup.values.entriesStart) }),
      }),
    };
  },

  build(input) {
    const {
      image,
      sectorLength = 512,
      alternate,
      entriesStart = 2,
      entryCount = 128,
      entryLength = entryStruct.length,
      partitions,
      backupEntriesStart,
    } = input;
    const { headerLength = header.length, firstUsable, lastUsable } = input;
    const entries = new Uint8Array(entryCount * entryLength);
    for (const { number, type, guid, first, last, attributes: bits = 0n, name = '' } of partitions) {
      if (number < 1 || number > entryCount) throw new OwimgError('bad-value', `Cannot build partition ${number}: the table has ${entryCount} entries`);
      if (first < firstUsable || last > lastUsable || last < first) {
        const usable = `${firstUsable} to ${lastUsable}`;
        throw new OwimgError('bad-value', `Cannot build partition ${number} from sector ${first} to ${last}: usable are ${usable}`);
      }
      const nameField = typeof name === 'string' ? nameBytes(name) : name;
      const values = { type: guidBytes(type), guid: guidBytes(guid), first: BigInt(first), last: BigInt(last), attributes: bits, name: nameField };
      entries.set(entryStruct.write(values), (number - 1) * entryLength);
    }
    const built = image.slice();
    const put = (bytes: Uint8Array, sector: number, what: string): void => {
      const offset = sector * sectorLength;
      if (offset + bytes.length > built.length) {
        throw new OwimgError(
          'bad-value',
          `Cannot build the ${what} at sector ${sector}: the image has only ${Math.floor(built.length / sectorLength)} sectors`,
        );
      }
      built.set(bytes, offset);
    };
    const putTable = (self: number, other: number, start: number): void => {
      put(entries, start, 'table');
      const values: Header = {
        signature,
        revision: 0x00010000,
        headerLength,
        headerChecksum: 0,
        reserved: 0,
        self: BigInt(self),
        alternate: BigInt(other),
        firstUsable: BigInt(firstUsable),
        lastUsable: BigInt(lastUsable),
        diskGuid: guidBytes(input.diskGuid),
        entriesStart: BigInt(start),
        entryCount,
        entryLength,
        entriesChecksum: crc32(entries),
      };
      const written = new Uint8Array(headerLength);
      written.set(header.write(values));
      new DataView(written.buffer).setUint32(header.at.headerChecksum.offset, crc32(written), true);
      put(written, self, 'header');
    };
    put(input.mbr ?? protectiveMbr(alternate, input), 0, 'protective MBR');
    putTable(1, alternate, entriesStart);
    if (backupEntriesStart !== undefined) putTable(alternate, 1, backupEntriesStart);
    return built;
  },
};

/** The sector of the backup header: where the primary header says, or the last one. */
function findBackup(bytes: Uint8Array, primary: Table, sectorLength: number): number | undefined {
  const sectors = [Number(primary.values.alternate), Math.floor(bytes.length / sectorLength) - 1];
  // Some damage to the letters is allowed: the checksum tells it.
  return sectors.find((sector) => sector > 1 && sector * sectorLength + header.length <= bytes.length && signatureMatch(bytes, sector * sectorLength) >= 6);
}

/** As ptgen makes it: one partition over the whole disk. */
function protectiveMbr(
  lastSector: number,
  { diskSignature = 0, geometry = { heads: 16, sectors: 63 } }: Pick<GptInput, 'diskSignature' | 'geometry'>,
): Uint8Array {
  const start = 1;
  const values = { status: 0, chsStart: chs(start, geometry), type: protectiveType, chsEnd: chs(lastSector, geometry), start, sectors: lastSector };
  const entries = new Uint8Array(mbrSector.at.entries.length);
  entries.set(mbrEntry.write(values));
  return mbrSector.write({ bootCode: new Uint8Array(0), diskSignature, reserved: 0, entries, signature: mbrSignature });
}
