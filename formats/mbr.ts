/**
 * MBR, the partition table of most SD card and disk images: a sector of 512 bytes with room for boot code, a
 * disk signature, four entries and 55 AA. All numbers are little endian; a sector has 512 bytes.
 *
 * An entry of an extended type holds a chain of further such sectors (EBR), each with one logical partition,
 * counted from its own sector, and a link to the next, counted from the extended partition's first sector.
 * There is no checksum.
 *
 * Layout: UEFI specification 5.2, util-linux include/pt-mbr.h. Writers: firmware-utils ptgen, sfdisk.
 */
import { OwimgError } from '../src/core/errors.ts';
import { finding, type LocalFinding } from '../src/core/findings.ts';
import { type Format, type Reading, region } from '../src/core/format.ts';
import { hexBytes, latin1 } from '../src/core/hex.ts';
import type { Budget } from '../src/core/limits.ts';
import {
  chs,
  type Geometry,
  isEmptyEntry,
  layOut,
  type MbrEntry,
  mbrEntry,
  mbrEntryFields,
  mbrEntryOffset,
  mbrSector,
  mbrSignature,
  type Partition,
  readMbrEntries,
} from '../src/core/partitions.ts';
import type { Confidence, Field, Region } from '../src/core/types.ts';
import { bootCodes, extendedTypes, partitionTypes, protectiveType } from './data/mbr.ts';

const sectorLength = mbrSector.length;
/** The first partition of any image begins in front of this sector: an image has less than 1 GiB. */
const furthestStart = 2 * 1024 * 1024;
const maximumEntries = 4;
const maximumSectors = 0x1_0000_0000;

export interface MbrPartition {
  readonly type: number;
  /** In sectors of 512 bytes. */
  readonly start: number;
  readonly sectors: number;
  /** 0x80: boot from this one. */
  readonly status?: number;
  /** Three bytes each; made from the geometry, as ptgen does it, where they are not given. */
  readonly chsStart?: Uint8Array;
  readonly chsEnd?: Uint8Array;
}

/** What `build` takes: the table, and everything behind its sector. */
export interface MbrInput {
  /** 440 bytes, or fewer that are filled up with 00. */
  readonly bootCode?: Uint8Array;
  readonly diskSignature: number;
  readonly reserved?: number;
  readonly geometry?: Geometry;
  /** Up to four; `null` leaves an entry empty. */
  readonly partitions: readonly (MbrPartition | null)[];
  readonly body: Uint8Array;
}

const hasPlace = ({ start, sectors }: MbrEntry): boolean => start > 0 && sectors > 0 && start + sectors <= maximumSectors;
const isPossible = (entry: MbrEntry): boolean => (entry.status === 0x00 || entry.status === 0x80) && entry.type !== 0 && hasPlace(entry);

function overlap(entries: readonly MbrEntry[]): boolean {
  const sorted = [...entries].sort((a, b) => a.start - b.start);
  return sorted.some((entry, index) => index > 0 && entry.start < (sorted[index - 1] as MbrEntry).start + (sorted[index - 1] as MbrEntry).sectors);
}

/** Sectors that end in 55 AA too but hold no table: a FAT file system's first one, and a Linux kernel for x86. */
function isOtherBootSector(bytes: Uint8Array): boolean {
  const jumps = (bytes[0] === 0xeb && bytes[2] === 0x90) || bytes[0] === 0xe9;
  const bytesPerSector = (bytes[11] as number) | ((bytes[12] as number) << 8);
  const media = bytes[21] as number;
  const isFat = jumps && [512, 1024, 2048, 4096].includes(bytesPerSector) && media >= 0xf0;
  return isFat || latin1(bytes.subarray(0x202, 0x206)) === 'HdrS';
}

const typeName = (type: number): string => partitionTypes.get(type) ?? `type 0x${type.toString(16).padStart(2, '0')}`;

/** What is wrong with an entry in use. */
function entryFindings({ status, type, start, sectors }: MbrEntry, name: string, offset: number): LocalFinding[] {
  const findings: LocalFinding[] = [];
  const wrong = (field: keyof MbrEntry, expected: string, actual: number): void => {
    const at = { offset: offset + mbrEntry.at[field].offset, length: mbrEntry.at[field].length };
    findings.push(finding('structure-invalid', at, { what: `${field} of ${name}`, expected, actual }));
  };
  if (status !== 0x00 && status !== 0x80) wrong('status', '0 or 128', status);
  if (type === 0) wrong('type', 'not 0, for it is in use', type);
  if (start === 0) wrong('start', 'at least 1', start);
  if (sectors === 0) wrong('sectors', 'at least 1', sectors);
  else if (start + sectors > maximumSectors) wrong('sectors', `at most ${maximumSectors - start}`, sectors);
  return findings;
}

function bootCodeName(code: Uint8Array): string {
  if (code.every((byte) => byte === 0)) return 'none';
  const text = latin1(code);
  return bootCodes.find(([mark]) => text.includes(mark))?.[1] ?? 'not known';
}

const signatureDamaged = (sector: number, what: string, bytes: Uint8Array): LocalFinding => {
  const offset = sector + mbrSector.at.signature.offset;
  return finding('magic-damaged', { offset, length: 2 }, { what, expected: '55aa', actual: hexBytes(bytes.subarray(offset, offset + 2)) });
};

interface Chain {
  readonly fields: Field[];
  readonly tables: Region[];
  readonly partitions: Partition[];
  readonly findings: LocalFinding[];
}

/** Follows the chain of logical partitions; every link may be damaged or lead back. */
function readChain(bytes: Uint8Array, extended: MbrEntry, entryAt: number, { limits }: Budget): Chain {
  const chain: Chain = { fields: [], tables: [], partitions: [], findings: [] };
  const seen = new Set<number>();
  const end = extended.start + extended.sectors;
  let sector = extended.start;
  let link = entryAt;
  for (let number = maximumEntries + 1; ; number += 1) {
    const offset = sector * sectorLength;
    const label = `partition ${number}`;
    const linkPlace = { offset: link, length: mbrEntry.length };
    if (seen.size >= limits.shown) {
      chain.findings.push(finding('entries-too-many', linkPlace, { what: 'logical partitions', limit: limits.shown }));
      return chain;
    }
    if (seen.has(sector) || sector >= end) {
      const actual = seen.has(sector) ? `sector ${sector} again` : `sector ${sector}`;
      const expected = `a sector from ${extended.start + 1} to ${end - 1} that was not used before`;
      chain.findings.push(finding('structure-invalid', linkPlace, { what: `link to ${label}`, expected, actual }));
      return chain;
    }
    if (offset + sectorLength > bytes.length) {
      const claimed = (end - sector) * sectorLength;
      chain.findings.push(finding('partition-beyond-end', linkPlace, { partition: `the extended partition from ${label} on`, claimed, available: 0 }));
      return chain;
    }
    seen.add(sector);
    chain.tables.push(region('header', `boot record of ${label}`, offset, sectorLength));
    if (new DataView(bytes.buffer, bytes.byteOffset + offset).getUint16(mbrSector.at.signature.offset, true) !== mbrSignature) {
      chain.findings.push(signatureDamaged(offset, `the boot record of ${label}`, bytes));
      return chain;
    }
    const [logical, next] = readMbrEntries(bytes, offset) as [MbrEntry, MbrEntry, MbrEntry, MbrEntry];
    if (!isEmptyEntry(logical)) {
      const at = offset + mbrEntryOffset(0);
      chain.fields.push(...mbrEntryFields(logical, `partition${number}`, at, partitionTypes.get(logical.type)));
      chain.findings.push(...entryFindings(logical, label, at));
      const entry = { offset: at, length: mbrEntry.length };
      if (sector + logical.start + logical.sectors > end) {
        const actual = `up to sector ${sector + logical.start + logical.sectors - 1}`;
        chain.findings.push(finding('structure-invalid', entry, { what: `place of ${label}`, expected: `up to sector ${end - 1}`, actual }));
      }
      if (hasPlace(logical)) {
        chain.partitions.push({
          label: `${label} (${typeName(logical.type)})`,
          offset: (sector + logical.start) * sectorLength,
          length: logical.sectors * sectorLength,
          entry,
        });
      }
    }
    if (isEmptyEntry(next)) return chain;
    link = offset + mbrEntryOffset(1);
    chain.fields.push(...mbrEntryFields(next, `linkTo${number + 1}`, link, partitionTypes.get(next.type)));
    sector = extended.start + next.start;
  }
}

export const mbr: Format<MbrInput> = {
  id: 'mbr',
  title: 'MBR partition table',
  summary: 'A disk or SD card image with up to four partitions, or more in an extended one: what most single board computers and x86 (BIOS) boot from.',
  role: 'disk',
  kind: 'disk',
  references: [
    { title: 'firmware-utils ptgen.c', url: 'https://github.com/openwrt/firmware-utils/blob/d21804ad/src/ptgen.c' },
    { title: 'util-linux include/pt-mbr.h', url: 'https://github.com/util-linux/util-linux/blob/v2.40/include/pt-mbr.h' },
  ],
  limitations: ['Sectors are taken to have 512 bytes: the table does not say it.', 'Boot code is recognised by its marks, not checked: it has no checksum.'],

  detect(bytes): Confidence {
    if (bytes.length < sectorLength || isOtherBootSector(bytes)) return 'no';
    const entries = readMbrEntries(bytes);
    if (entries.some((entry) => entry.type === protectiveType) || latin1(bytes.subarray(sectorLength, sectorLength + 8)) === 'EFI PART') return 'no';
    const used = entries.filter((entry) => !isEmptyEntry(entry));
    const possible = used.filter((entry) => isPossible(entry) && entry.start < furthestStart);
    if (possible.length === 0) return 'no';
    const strict = used.every(isPossible) && used.filter((entry) => entry.status === 0x80).length <= 1 && !overlap(used);
    const [low, high] = bytes.subarray(mbrSector.at.signature.offset) as unknown as [number, number];
    if (low === 0x55 && high === 0xaa) return strict ? 'yes' : 'maybe';
    // One damaged byte in the signature: the entries must fit the file all the more.
    const fits = strict && possible.some((entry) => entry.start * sectorLength < bytes.length);
    return fits && (low === 0x55 || high === 0xaa) ? 'maybe' : 'no';
  },

  parse(bytes, { budget }): Reading<MbrInput> {
    const values = mbrSector.read(bytes);
    const entries = readMbrEntries(bytes);
    const meanings = { diskSignature: values.diskSignature === 0x5452574f ? '"OWRT"' : undefined };
    const fields: Field[] = mbrSector
      .fields(values, meanings)
      .filter((field) => field.name !== 'entries')
      .map((field) => (field.name === 'bootCode' ? { ...field, value: bootCodeName(values.bootCode) } : field));
    const findings: LocalFinding[] = values.signature === mbrSignature ? [] : [signatureDamaged(0, 'the MBR', bytes)];
    const tables: Region[] = [region('header', 'MBR', 0, sectorLength)];
    const partitions: Partition[] = [];
    const names: string[] = [];
    const containers: (MbrEntry & { label: string; place: Partition['entry'] })[] = [];
    let end = 0;
    entries.forEach((entry, index) => {
      if (isEmptyEntry(entry)) return;
      const at = mbrEntryOffset(index);
      const place = { offset: at, length: mbrEntry.length };
      fields.push(...mbrEntryFields(entry, `partition${index + 1}`, at, partitionTypes.get(entry.type)));
      findings.push(...entryFindings(entry, `partition ${index + 1}`, at));
      if (!hasPlace(entry)) return;
      const label = `partition ${index + 1} (${typeName(entry.type)})`;
      names.push(typeName(entry.type));
      end = Math.max(end, (entry.start + entry.sectors) * sectorLength);
      if (!extendedTypes.has(entry.type)) {
        partitions.push({ label, offset: entry.start * sectorLength, length: entry.sectors * sectorLength, entry: place });
        return;
      }
      containers.push({ ...entry, label, place });
    });
    for (const extended of containers) {
      const inside = partitions.find(({ offset, length }) => overlapsSectors(extended, offset / sectorLength, length / sectorLength));
      if (inside !== undefined) findings.push(finding('partition-overlap', extended.place, { first: inside.label, second: extended.label }));
    }
    for (const extended of containers) {
      const chain = readChain(bytes, extended, extended.place.offset, budget);
      fields.push(...chain.fields);
      findings.push(...chain.findings);
      tables.push(...chain.tables);
      partitions.push(...chain.partitions);
      names.push(...chain.partitions.map((partition) => partition.label.replace(/^.*?\((.*)\)$/, '$1')));
    }
    const layout = layOut(bytes, tables, partitions, end);
    return {
      length: layout.end,
      summary: `MBR with ${names.length} partition${names.length === 1 ? '' : 's'} (${names.join('; ')})`,
      fields,
      regions: layout.regions,
      checks: [],
      findings: [...findings, ...layout.findings],
      identities: [],
      payloads: layout.payloads,
      input: () => ({
        bootCode: values.bootCode,
        diskSignature: values.diskSignature,
        reserved: values.reserved,
        partitions: entries.map((entry) => (isEmptyEntry(entry) ? null : entry)),
        body: bytes.subarray(sectorLength, layout.end),
      }),
    };
  },

  build({ bootCode = new Uint8Array(0), diskSignature, reserved = 0, geometry = { heads: 16, sectors: 63 }, partitions, body }) {
    if (bootCode.length > mbrSector.at.bootCode.length) {
      throw new OwimgError('bad-value', `Cannot build an MBR with ${bootCode.length} bytes of boot code: there is room for ${mbrSector.at.bootCode.length}`);
    }
    if (partitions.length > maximumEntries) {
      throw new OwimgError('bad-value', `Cannot build an MBR with ${partitions.length} partitions: it has room for ${maximumEntries}`);
    }
    const entries = new Uint8Array(mbrSector.at.entries.length);
    partitions.forEach((partition, index) => {
      if (partition === null) return;
      const { type, start, sectors, status = 0 } = partition;
      const { chsStart = chs(start, geometry), chsEnd = chs(start + sectors - 1, geometry) } = partition;
      const entry: MbrEntry = { status, chsStart, type, chsEnd, start, sectors };
      const wrong = entryFindings(entry, `partition ${index + 1}`, 0)[0];
      if (wrong !== undefined) throw new OwimgError('bad-value', wrong.message);
      entries.set(mbrEntry.write(entry), index * mbrEntry.length);
    });
    const image = new Uint8Array(sectorLength + body.length);
    image.set(mbrSector.write({ bootCode, diskSignature, reserved, entries, signature: mbrSignature }));
    image.set(body, sectorLength);
    return image;
  },
};

function overlapsSectors({ start, sectors }: MbrEntry, otherStart: number, otherSectors: number): boolean {
  return start < otherStart + otherSectors && otherStart < start + sectors;
}
