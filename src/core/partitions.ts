/** What partition tables of all kinds have in common: the first sector, the stretches of a disk, and what lies between them. */
import { finding, type LocalFinding } from './findings.ts';
import { type Payload, region } from './format.ts';
import { runLength } from './padding.ts';
import { hex8, hex16, hex32, bytes as raw, struct, u32, type ValuesOf } from './struct.ts';
import type { Field, Range, Region } from './types.ts';

const entryTable = { status: hex8, chsStart: raw(3), type: hex8, chsEnd: raw(3), start: u32, sectors: u32 };

/** One of the four entries of an MBR. */
export const mbrEntry = struct('little', entryTable);
export type MbrEntry = ValuesOf<typeof entryTable>;

/** The first sector: an MBR, or what stands in front of a GPT to protect it. */
export const mbrSector = struct('little', {
  bootCode: raw(440),
  diskSignature: hex32,
  reserved: hex16, // 5A5A: the disk must not be written
  entries: raw(64),
  signature: hex16,
});
export const mbrSignature = 0xaa55;

const sectorLength = mbrSector.length;
const mbrEntryCount = 4;

/** Where an entry of the sector lies. */
export const mbrEntryOffset = (index: number): number => mbrSector.at.entries.offset + index * mbrEntry.length;

/** The four entries of the sector at `offset`. */
export function readMbrEntries(bytes: Uint8Array, offset = 0): MbrEntry[] {
  return Array.from({ length: mbrEntryCount }, (_, index) => mbrEntry.read(bytes, offset + mbrEntryOffset(index)));
}

export const isEmptyEntry = ({ status, type, start, sectors }: MbrEntry): boolean => status === 0 && type === 0 && start === 0 && sectors === 0;

/** Heads and sectors by which ptgen turns sector numbers into cylinders. */
export interface Geometry {
  readonly heads: number;
  readonly sectors: number;
}

/** The three bytes that ptgen writes for a sector; cylinders above 1023 wrap around. */
export function chs(sector: number, { heads, sectors }: Geometry): Uint8Array {
  const track = Math.floor(sector / sectors);
  const cylinder = Math.floor(track / heads);
  return Uint8Array.of(track % heads, ((sector % sectors) + 1) | ((cylinder >> 2) & 0xc0), cylinder & 0xff);
}

/** `cylinder 32, head 3, sector 4`. */
function chsText([head = 0, sector = 0, low = 0]: Uint8Array): string {
  return `cylinder ${((sector & 0xc0) << 2) | low}, head ${head}, sector ${sector & 0x3f}`;
}

/** The fields of an entry, their names led by `name` and a dot. */
export function mbrEntryFields(entry: MbrEntry, name: string, offset: number, typeName: string | undefined): Field[] {
  const meanings = {
    status: entry.status === 0x80 ? 'active' : entry.status === 0 ? 'not active' : 'not defined',
    chsStart: chsText(entry.chsStart),
    chsEnd: chsText(entry.chsEnd),
    type: typeName ?? 'not known',
  };
  return mbrEntry.fields(entry, meanings, offset).map((field) => ({ ...field, name: `${name}.${field.name}` }));
}

/** Blank sectors that end a stretch of data; boot loaders have shorter gaps inside. */
const separator = 8;
/** Stretches that are told apart in one gap; more do not occur, and each costs the engine a look. */
const stretchesPerGap = 64;

export interface Partition extends Range {
  /** `partition 1 (Linux)`. */
  readonly label: string;
  /** Where its entry lies: the place of what is wrong with it. */
  readonly entry: Range;
}

export interface Layout {
  /** Tile `[0, end)`. */
  readonly regions: Region[];
  readonly payloads: Payload[];
  readonly findings: LocalFinding[];
  /** Where the last table or partition ends, or the bytes do. */
  readonly end: number;
}

function isBlank(bytes: Uint8Array, offset: number, end: number): boolean {
  const value = bytes[offset];
  return (value === 0x00 || value === 0xff) && runLength(bytes.subarray(offset, end)) === end - offset;
}

const blankName = (bytes: Uint8Array, offset: number): string => (bytes[offset] === 0 ? '00' : 'ff');

/** Cuts a gap into padding and stretches of data, at sectors. */
function stretches(bytes: Uint8Array, start: number, end: number, label: string): Region[] {
  const found: Region[] = [];
  let data = 0;
  let position = start;
  while (position < end) {
    const filler = bytes[position] === 0x00 || bytes[position] === 0xff ? runLength(bytes.subarray(position, end)) : 0;
    const padding = position + filler === end ? filler : filler - (filler % sectorLength);
    if (padding > 0) {
      found.push(region('padding', `filled with ${blankName(bytes, position)}`, position, padding));
      position += padding;
      continue;
    }
    data += 1;
    let blank = 0;
    let next = position;
    while (next < end && (blank < separator || data >= stretchesPerGap)) {
      const sectorEnd = Math.min(next + sectorLength, end);
      blank = isBlank(bytes, next, sectorEnd) ? blank + 1 : 0;
      next = sectorEnd;
    }
    const length = (blank >= separator ? next - separator * sectorLength : next) - position;
    found.push(region('payload', label, position, length));
    position += length;
  }
  return found;
}

/**
 * Lays partitions out between the stretches that the tables themselves take. What lies in front of the first
 * partition is where boot loaders live; it and what else lies in no partition is looked into as well. A
 * partition may hold a whole disk again: installers carry one.
 *
 * @param end where the disk ends as its table says, if that is further than its last partition
 */
export function layOut(bytes: Uint8Array, tables: readonly Region[], partitions: readonly Partition[], end = 0): Layout {
  const layout: Layout = { regions: [], payloads: [], findings: [], end: 0 };
  const firstPartition = partitions.reduce((first, partition) => Math.min(first, partition.offset), bytes.length);
  const items = [
    ...tables.map((table) => ({ ...table, entry: undefined })),
    ...partitions.map((partition) => ({ ...region('payload', partition.label, partition.offset, partition.length), entry: partition.entry })),
  ].sort((a, b) => a.offset - b.offset);
  let position = 0;
  let last = { label: '', end: 0 };
  const gap = (to: number): void => {
    if (to <= position) return;
    const found = stretches(bytes, position, to, position < firstPartition ? 'boot loader area' : 'outside of partitions');
    layout.regions.push(...found);
    for (const { kind, label, offset, length } of found) {
      if (kind === 'payload') layout.payloads.push({ label, ranges: [{ offset, length }], content: 'slice', mayRepeat: true });
    }
    position = to;
  };
  for (const { kind, label, offset, length, entry } of items) {
    const overlaps = offset < last.end;
    if (overlaps && entry !== undefined) layout.findings.push(finding('partition-overlap', entry, { first: last.label, second: label }));
    const itemEnd = offset + length;
    if (itemEnd > last.end) last = { label, end: itemEnd };
    if (entry !== undefined && itemEnd > bytes.length) {
      layout.findings.push(finding('partition-beyond-end', entry, { partition: label, claimed: length, available: Math.max(0, bytes.length - offset) }));
    }
    gap(Math.min(offset, bytes.length));
    const there = Math.min(itemEnd, bytes.length) - position;
    if (there <= 0) continue;
    if (entry !== undefined && isBlank(bytes, position, position + there)) {
      layout.regions.push(region('padding', `${label}, filled with ${blankName(bytes, position)}`, position, there));
      position += there;
      continue;
    }
    layout.regions.push(region(kind, label, position, there));
    // Of an overlapping partition only the rest is shown: its beginning belongs to the other one.
    if (entry !== undefined && !overlaps) layout.payloads.push({ label, ranges: [{ offset: position, length: there }], mayRepeat: true });
    position += there;
  }
  gap(Math.min(end, bytes.length));
  return { ...layout, end: position };
}
