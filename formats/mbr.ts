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
import { layOut, type Partition } from '../src/core/partitions.ts';
import { hex8, hex16, hex32, bytes as raw, struct, u32, type ValuesOf } from '../src/core/struct.ts';
import type { Confidence, Field, Region } from '../src/core/types.ts';
import { bootCodes, extendedTypes, partitionTypes, protectiveType } from './data/mbr.ts';

const entryTable = {
  status: hex8,
  chsStart: raw(3),
  type: hex8,
  chsEnd: raw(3),
  start: u32,
  sectors: u32,
};
const entryStruct = struct('little', entryTable);
type Entry = ValuesOf<typeof entryTable>;

const header = struct('little', {
  bootCode: raw(440),
  diskSignature: hex32,
  reserved: hex16, // 5A5A: the disk must not be written
  entries: raw(64),
  signature: hex16,
});

const sectorLength = header.length;
const entryCount = 4;
const signature = 0xaa55;
/** The first partition of any image begins in front of this sector: an image has less than 1 GiB. */
const furthestStart = 2 * 1024 * 1024;

/** Heads and sectors by which ptgen turns sector numbers into cylinders. */
export interface Geometry {
  readonly heads: number;
  readonly sectors: number;
}

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

const entryOffset = (index: number): number => header.at.entries.offset + index * entryStruct.length;

function readEntries(bytes: Uint8Array, sector = 0): Entry[] {
  return Array.from({ length: entryCount }, (_, index) => entryStruct.read(bytes, sector + entryOffset(index)));
}

const isEmpty = ({ status, type, start, sectors }: Entry): boolean => status === 0 && type === 0 && start === 0 && sectors === 0;
const isPossible = ({ status, type, start, sectors }: Entry): boolean =>
  (status === 0x00 || status === 0x80) && type !== 0 && start > 0 && sectors > 0 && start + sectors <= 0x1_0000_0000;

function overlap(entries: readonly Entry[]): boolean {
  const sorted = [...entries].sort((a, b) => a.start - b.start);
  return sorted.some((entry, index) => index > 0 && entry.start < (sorted[index - 1] as Entry).start + (sorted[index - 1] as Entry).sectors);
}

/** Sectors that end in 55 AA too but hold no table: a FAT file system's first one, and a Linux kernel for x86. */
function isOtherBootSector(bytes: Uint8Array): boolean {
  const jumps = (bytes[0] === 0xeb && bytes[2] === 0x90) || bytes[0] === 0xe9;
  const bytesPerSector = (bytes[11] as number) | ((bytes[12] as number) << 8);
  const media = bytes[21] as number;
  const isFat = jumps && [512, 1024, 2048, 4096].includes(bytesPerSector) && media >= 0xf0;
  return isFat || latin1(bytes.subarray(0x202, 0x206)) === 'HdrS';
}

/** `cylinder 32, head 3, sector 4`. */
function cylinder([head = 0, sector = 0, low = 0]: Uint8Array): string {
  return `cylinder ${((sector & 0xc0) << 2) | low}, head ${head}, sector ${sector & 0x3f}`;
}

/** The three bytes that ptgen writes; cylinders above 1023 wrap around. */
function chs(sector: number, { heads, sectors }: Geometry): Uint8Array {
  const track = Math.floor(sector / sectors);
  const number = Math.floor(track / heads);
  return Uint8Array.of(track % heads, ((sector % sectors) + 1) | ((number >> 2) & 0xc0), number & 0xff);
}

const typeName = (type: number): string => partitionTypes.get(type) ?? `type 0x${type.toString(16).padStart(2, '0')}`;

function entryFields(entry: Entry, name: string, offset: number): Field[] {
  const meanings = {
    status: entry.status === 0x80 ? 'active' : entry.status === 0 ? 'not active' : 'not defined',
    chsStart: cylinder(entry.chsStart),
    chsEnd: cylinder(entry.chsEnd),
    type: partitionTypes.get(entry.type) ?? 'not known',
  };
  return entryStruct.fields(entry, meanings, offset).map((field) => ({ ...field, name: `${name}.${field.name}` }));
}

/** What is wrong with an entry in use. */
function entryFindings({ status, type, start, sectors }: Entry, name: string, offset: number): LocalFinding[] {
  const findings: LocalFinding[] = [];
  const wrong = (field: keyof Entry, expected: string, actual: number): void => {
    const at = { offset: offset + entryStruct.at[field].offset, length: entryStruct.at[field].length };
    findings.push(finding('structure-invalid', at, { what: `${field} of ${name}`, expected, actual }));
  };
  if (status !== 0x00 && status !== 0x80) wrong('status', '0 or 128', status);
  if (type === 0) wrong('type', 'not 0, for it is in use', type);
  if (start === 0) wrong('start', 'at least 1', start);
  if (sectors === 0) wrong('sectors', 'at least 1', sectors);
  else if (start + sectors > 0x1_0000_0000) wrong('sectors', `at most ${0x1_0000_0000 - start}`, sectors);
  return findings;
}

function bootCodeName(code: Uint8Array): string {
  if (code.every((byte) => byte === 0)) return 'none';
  const text = latin1(code);
  return bootCodes.find(([mark]) => text.includes(mark))?.[1] ?? 'not known';
}

const signatureDamaged = (sector: number, what: string, bytes: Uint8Array): LocalFinding => {
  const offset = sector + header.at.signature.offset;
  return finding('magic-damaged', { offset, length: 2 }, { what, expected: '55aa', actual: hexBytes(bytes.subarray(offset, offset + 2)) });
};

interface Chain {
  readonly fields: Field[];
  readonly tables: Region[];
  readonly partitions: Partition[];
  readonly findings: LocalFinding[];
}

/** Follows the chain of logical partitions; every link may be damaged or lead back. */
function readChain(bytes: Uint8Array, extended: Entry, entryAt: number, { limits }: Budget): Chain {
  const chain: Chain = { fields: [], tables: [], partitions: [], findings: [] };
  const seen = new Set<number>();
  const end = extended.start + extended.sectors;
  let sector = extended.start;
  let link = entryAt;
  for (let number = entryCount + 1; ; number += 1) {
    const offset = sector * sectorLength;
    const label = `partition ${number}`;
    const linkPlace = { offset: link, length: entryStruct.length };
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
    if (new DataView(bytes.buffer, bytes.byteOffset + offset).getUint16(header.at.signature.offset, true) !== signature) {
      chain.findings.push(signatureDamaged(offset, `the boot record of ${label}`, bytes));
      return chain;
    }
    const [logical, next] = readEntries(bytes, offset) as [Entry, Entry, Entry, Entry];
    if (!isEmpty(logical)) {
      const at = offset + entryOffset(0);
      chain.fields.push(...entryFields(logical, `partition${number}`, at));
      const findings = entryFindings(logical, label, at);
      chain.findings.push(...findings);
      const entry = { offset: at, length: entryStruct.length };
      if (findings.length === 0 && sector + logical.start + logical.sectors > end) {
        const actual = `up to sector ${sector + logical.start + logical.sectors - 1}`;
        chain.findings.push(finding('structure-invalid', entry, { what: `place of ${label}`, expected: `up to sector ${end - 1}`, actual }));
      }
      if (findings.length === 0) {
        chain.partitions.push({
          label: `${label} (${typeName(logical.type)})`,
          offset: (sector + logical.start) * sectorLength,
          length: logical.sectors * sectorLength,
          entry,
        });
      }
    }
    if (isEmpty(next)) return chain;
    link = offset + entryOffset(1);
    chain.fields.push(...entryFields(next, `linkTo${number + 1}`, link));
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
    const entries = readEntries(bytes);
    if (entries.some((entry) => entry.type === protectiveType) || latin1(bytes.subarray(sectorLength, sectorLength + 8)) === 'EFI PART') return 'no';
    const used = entries.filter((entry) => !isEmpty(entry));
    const possible = used.filter((entry) => isPossible(entry) && entry.start < furthestStart);
    if (possible.length === 0) return 'no';
    const strict = used.every(isPossible) && used.filter((entry) => entry.status === 0x80).length <= 1 && !overlap(used);
    const [low, high] = bytes.subarray(header.at.signature.offset) as unknown as [number, number];
    if (low === 0x55 && high === 0xaa) return strict ? 'yes' : 'maybe';
    // One damaged byte in the signature: the entries must fit the file all the more.
    const fits = strict && possible.some((entry) => entry.start * sectorLength < bytes.length);
    return fits && (low === 0x55 || high === 0xaa) ? 'maybe' : 'no';
  },

  parse(bytes, { budget }): Reading<MbrInput> {
    const values = header.read(bytes);
    const entries = readEntries(bytes);
    const meanings = { diskSignature: values.diskSignature === 0x5452574f ? '"OWRT"' : undefined };
    const fields: Field[] = header
      .fields(values, meanings)
      .filter((field) => field.name !== 'entries')
      .map((field) => (field.name === 'bootCode' ? { ...field, value: bootCodeName(values.bootCode) } : field));
    const findings: LocalFinding[] = values.signature === signature ? [] : [signatureDamaged(0, 'the MBR', bytes)];
    const tables: Region[] = [region('header', 'MBR', 0, sectorLength)];
    const partitions: Partition[] = [];
    const names: string[] = [];
    const containers: (Entry & { label: string; place: Partition['entry'] })[] = [];
    let end = 0;
    entries.forEach((entry, index) => {
      if (isEmpty(entry)) return;
      const at = entryOffset(index);
      const place = { offset: at, length: entryStruct.length };
      fields.push(...entryFields(entry, `partition${index + 1}`, at));
      const wrong = entryFindings(entry, `partition ${index + 1}`, at);
      findings.push(...wrong);
      if (wrong.length > 0) return;
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
        partitions: entries.map((entry) => (isEmpty(entry) ? null : entry)),
        body: bytes.subarray(sectorLength, layout.end),
      }),
    };
  },

  build({ bootCode = new Uint8Array(0), diskSignature, reserved = 0, geometry = { heads: 16, sectors: 63 }, partitions, body }) {
    if (bootCode.length > header.at.bootCode.length) {
      throw new OwimgError('bad-value', `Cannot build an MBR with ${bootCode.length} bytes of boot code: there is room for ${header.at.bootCode.length}`);
    }
    if (partitions.length > entryCount) {
      throw new OwimgError('bad-value', `Cannot build an MBR with ${partitions.length} partitions: it has room for ${entryCount}`);
    }
    const entries = new Uint8Array(header.at.entries.length);
    partitions.forEach((partition, index) => {
      if (partition === null) return;
      const { type, start, sectors, status = 0 } = partition;
      const { chsStart = chs(start, geometry), chsEnd = chs(start + sectors - 1, geometry) } = partition;
      const entry: Entry = { status, chsStart, type, chsEnd, start, sectors };
      const wrong = entryFindings(entry, `partition ${index + 1}`, 0)[0];
      if (wrong !== undefined) throw new OwimgError('bad-value', wrong.message);
      entries.set(entryStruct.write(entry), index * entryStruct.length);
    });
    const image = new Uint8Array(sectorLength + body.length);
    image.set(header.write({ bootCode, diskSignature, reserved, entries, signature }));
    image.set(body, sectorLength);
    return image;
  },
};

function overlapsSectors({ start, sectors }: Entry, otherStart: number, otherSectors: number): boolean {
  return start < otherStart + otherSectors && otherStart < start + sectors;
}
