/**
 * FAT12, FAT16, FAT32: a boot sector with the parameters (BPB), one or two file allocation tables, directories
 * of 32-byte entries, and clusters. All numbers are little endian. There is no checksum, but the second table
 * and (FAT32) a second boot sector are copies of the first.
 *
 * On boards whose boot ROM or boot loader reads files, the kernel, device trees and boot scripts lie in it.
 *
 * Layout: Microsoft, FAT32 File System Specification 1.03; Linux include/uapi/linux/msdos_fs.h. Writers:
 * mkfs.fat, mcopy.
 */
import { joined } from '../src/core/bytes.ts';
import { cutRanges, FileList, gather } from '../src/core/files.ts';
import { finding, type LocalFinding, lengthBeyondEnd } from '../src/core/findings.ts';
import { type Format, type Reading, region, tile } from '../src/core/format.ts';
import { hexBytes, latin1, printable, printableUtf16 } from '../src/core/hex.ts';
import type { Limits } from '../src/core/limits.ts';
import { hex8, hex16, hex32, bytes as raw, struct, text, u8, u16, u32, type ValuesOf } from '../src/core/struct.ts';
import type { Confidence, Field, Range } from '../src/core/types.ts';

const commonTable = {
  jump: raw(3),
  oem: text(8),
  bytesPerSector: u16,
  sectorsPerCluster: u8,
  reservedSectors: u16,
  tables: u8, // BPB_NumFATs
  rootEntries: u16,
  sectors16: u16,
  media: hex8,
  tableSectors16: u16,
  sectorsPerTrack: u16,
  heads: u16,
  hiddenSectors: u32,
  sectors32: u32,
};
const wideTable = { tableSectors32: u32, flags: hex16, version: u16, rootCluster: u32, infoSector: u16, backupSector: u16, reserved: raw(12) };
const tailTable = { drive: hex8, driveFlags: hex8, extended: hex8, serial: hex32, label: text(11), type: text(8) };
const narrow = struct('little', { ...commonTable, ...tailTable });
const wide = struct('little', { ...commonTable, ...wideTable, ...tailTable });
type BootSector = ValuesOf<typeof commonTable> & Partial<ValuesOf<typeof wideTable>> & ValuesOf<typeof tailTable>;

const directoryEntry = struct('little', {
  name: raw(8),
  extension: raw(3),
  attributes: u8,
  lowerCase: u8,
  tenths: u8,
  createTime: u16,
  createDate: u16,
  accessDate: u16,
  clusterHigh: u16,
  writeTime: u16,
  writeDate: u16,
  clusterLow: u16,
  length: u32,
});

const signatureOffset = 0x1fe;
const signature = '55aa';
/** Entries of 13 characters that a long name takes at most. */
const longestName = 20;
const [isVolumeLabel, isDirectory, isLongName] = [0x08, 0x10, 0x0f];
/** Above it a file system without `tableSectors16` aside is FAT16, as Linux draws the line. */
const mostClusters12 = 4084;

type Bits = 12 | 16 | 32;

interface Geometry {
  readonly bits: Bits;
  readonly sectorLength: number;
  readonly clusterLength: number;
  readonly clusters: number;
  readonly tableLength: number;
  readonly tablesOffset: number;
  readonly rootOffset: number;
  readonly rootLength: number;
  readonly dataOffset: number;
  /** As the boot sector says it. */
  readonly length: number;
}

function readBootSector(bytes: Uint8Array): BootSector {
  const isWide = bytes[22] === 0 && bytes[23] === 0;
  return isWide ? wide.read(bytes) : narrow.read(bytes);
}

const powerOfTwo = (value: number): boolean => value > 0 && (value & (value - 1)) === 0;

function geometryOf(boot: BootSector): Geometry {
  const { bytesPerSector: sectorLength, reservedSectors, tables } = boot;
  const tableLength = (boot.tableSectors16 || (boot.tableSectors32 ?? 0)) * sectorLength;
  const tablesOffset = reservedSectors * sectorLength;
  const rootOffset = tablesOffset + tables * tableLength;
  const rootLength = Math.ceil((boot.rootEntries * directoryEntry.length) / sectorLength) * sectorLength;
  const clusterLength = boot.sectorsPerCluster * sectorLength;
  const dataOffset = rootOffset + rootLength;
  const length = (boot.sectors16 || boot.sectors32) * sectorLength;
  const clusters = Math.max(0, Math.floor((length - dataOffset) / clusterLength));
  const bits = boot.tableSectors16 === 0 ? 32 : clusters > mostClusters12 ? 16 : 12;
  return { bits, sectorLength, clusterLength, clusters, tableLength, tablesOffset, rootOffset, rootLength, dataOffset, length };
}

type BootField = keyof typeof commonTable | keyof typeof wideTable;

/** What contradicts itself in the boot sector: field, expected, found. */
function contradictions(boot: BootSector): [field: BootField, expected: string, actual: number][] {
  const found: [BootField, string, number][] = [];
  const { bytesPerSector, sectorsPerCluster, reservedSectors, tables, media } = boot;
  if (![512, 1024, 2048, 4096].includes(bytesPerSector)) found.push(['bytesPerSector', '512, 1024, 2048 or 4096', bytesPerSector]);
  if (!powerOfTwo(sectorsPerCluster)) found.push(['sectorsPerCluster', 'a power of two', sectorsPerCluster]);
  if (reservedSectors === 0) found.push(['reservedSectors', 'at least 1', reservedSectors]);
  if (tables !== 1 && tables !== 2) found.push(['tables', '1 or 2', tables]);
  if (media !== 0xf0 && media < 0xf8) found.push(['media', '240 or 248 to 255', media]);
  if (found.length > 0) return found;
  const { bits, clusters, tableLength, length } = geometryOf(boot);
  const sectorsField = boot.sectors16 === 0 ? 'sectors32' : 'sectors16';
  const tableField = boot.tableSectors16 === 0 ? 'tableSectors32' : 'tableSectors16';
  const wanted = Math.ceil(((clusters + 2) * bits) / 8 / bytesPerSector);
  if (clusters === 0) found.push([sectorsField, 'more than the tables take', length / bytesPerSector]);
  else if (tableLength / bytesPerSector < wanted) found.push([tableField, `at least ${wanted}`, tableLength / bytesPerSector]);
  if (bits === 32 ? boot.rootEntries !== 0 : boot.rootEntries === 0) found.push(['rootEntries', bits === 32 ? '0' : 'at least 1', boot.rootEntries]);
  return found;
}

const jumps = (boot: BootSector): boolean => (boot.jump[0] === 0xeb && boot.jump[2] === 0x90) || boot.jump[0] === 0xe9;

interface Chain {
  readonly ranges: readonly Range[];
  readonly damage?: string;
}

/** The clusters of a file system, each of which belongs to one file at most. */
class Clusters {
  readonly #bytes: Uint8Array;
  readonly #geometry: Geometry;
  readonly #taken: Uint8Array;

  constructor(bytes: Uint8Array, geometry: Geometry) {
    this.#bytes = bytes;
    this.#geometry = geometry;
    // No more than there are bytes for, whatever the boot sector says.
    this.#taken = new Uint8Array(Math.min(geometry.clusters, Math.ceil(bytes.length / geometry.clusterLength)) + 2);
  }

  #next(cluster: number): number {
    const { bits, tablesOffset } = this.#geometry;
    const at = (index: number): number => this.#bytes[tablesOffset + index] ?? 0xff;
    if (bits === 12) {
      const index = cluster + (cluster >> 1);
      const pair = at(index) | (at(index + 1) << 8);
      return cluster % 2 === 0 ? pair & 0xfff : pair >> 4;
    }
    const index = cluster * (bits / 8);
    const low = at(index) | (at(index + 1) << 8);
    return bits === 16 ? low : low + (at(index + 2) << 16) + ((at(index + 3) & 0x0f) << 24);
  }

  /**
   * Takes up to `count` clusters of a chain, or all of it; they come back as stretches. `damage` says why there
   * are fewer than asked for.
   */
  take(first: number, count = Number.POSITIVE_INFINITY): Chain {
    const { dataOffset, clusterLength, clusters, bits } = this.#geometry;
    const end = bits === 12 ? 0xff8 : bits === 16 ? 0xfff8 : 0x0ffffff8;
    const ranges: { offset: number; length: number }[] = [];
    let cluster = first;
    for (let taken = 0; taken < count; taken += 1) {
      // A directory does not say how long it is: its chain does.
      if (cluster >= end) return count === Number.POSITIVE_INFINITY ? { ranges } : { ranges, damage: `its chain ends after ${taken} of ${count} clusters` };
      if (cluster < 2 || cluster >= clusters + 2) return { ranges, damage: `cluster ${cluster} does not exist` };
      if (cluster >= this.#taken.length) return { ranges, damage: `cluster ${cluster} lies behind the end` };
      if (this.#taken[cluster] === 1) return { ranges, damage: `cluster ${cluster} is used twice` };
      this.#taken[cluster] = 1;
      const offset = dataOffset + (cluster - 2) * clusterLength;
      const last = ranges.at(-1);
      if (last !== undefined && last.offset + last.length === offset) last.length += clusterLength;
      else ranges.push({ offset, length: clusterLength });
      cluster = this.#next(cluster);
    }
    return { ranges };
  }
}

/** The sum over a short name which the parts of its long name carry. */
function nameChecksum(entry: Uint8Array): number {
  let sum = 0;
  for (const byte of entry.subarray(0, 11)) sum = (((sum & 1) << 7) + (sum >> 1) + byte) & 0xff;
  return sum;
}

interface Entry {
  readonly name: string;
  /** Where its 32 bytes lie in the window. */
  readonly offset: number;
  readonly cluster: number;
  readonly length: number;
  readonly directory: boolean;
}

/** The entries of one directory; long names are put together from the entries in front of the short one. */
function readDirectory(bytes: Uint8Array, ranges: readonly Range[], bits: Bits): Entry[] {
  const entries: Entry[] = [];
  let parts: { checksum: number; units: Uint8Array }[] = [];
  for (const range of ranges) {
    for (let offset = range.offset; offset + directoryEntry.length <= range.offset + range.length; offset += directoryEntry.length) {
      const entry = bytes.subarray(offset, offset + directoryEntry.length);
      if (entry[0] === 0x00) return entries;
      const attributes = entry[11] as number;
      if (entry[0] === 0xe5) {
        parts = [];
        continue;
      }
      if ((attributes & 0x3f) === isLongName) {
        if (((entry[0] as number) & 0x40) !== 0 || parts.length >= longestName) parts = [];
        const units = gather(entry, [
          { offset: 1, length: 10 },
          { offset: 14, length: 12 },
          { offset: 28, length: 4 },
        ]);
        parts.unshift({ checksum: entry[13] as number, units });
        continue;
      }
      const long = parts;
      parts = [];
      if ((attributes & isVolumeLabel) !== 0) continue;
      const values = directoryEntry.read(entry);
      const lower = (text: string, bit: number): string => ((values.lowerCase & bit) === 0 ? text : text.toLowerCase());
      const base = lower(printable(values.name).trimEnd(), 0x08);
      const extension = lower(printable(values.extension).trimEnd(), 0x10);
      if (base === '.' || base === '..') continue;
      const checksum = nameChecksum(entry);
      const isLong = long.length > 0 && long.every((part) => part.checksum === checksum);
      const longName = isLong ? printableUtf16(joined(long.map((part) => part.units))) : '';
      const shortName = extension === '' ? base : `${base}.${extension}`;
      const cluster = values.clusterLow + (bits === 32 ? (values.clusterHigh & 0x0fff) * 0x10000 : 0);
      entries.push({ name: longName || shortName, offset, cluster, length: values.length, directory: (attributes & isDirectory) !== 0 });
    }
  }
  return entries;
}

const hasSlash = (name: string): boolean => /[/\\]/.test(name.replaceAll(/\\[xu][0-9a-f]{2,4}/g, ''));

/** Walks the directories from the top. Every cluster is taken once at most, so that the work stays linear whatever the tables say. */
function readFiles(bytes: Uint8Array, boot: BootSector, geometry: Geometry, limits: Limits): FileList {
  const files = new FileList(bytes, 'fat', limits);
  const clusters = new Clusters(bytes, geometry);
  const whole = geometry.length <= bytes.length;
  const everything = Number.POSITIVE_INFINITY;
  const stretches = ({ ranges, damage }: Chain, length: number, place: Range, path: string): Range[] => {
    // In a cut file system what is missing is told once, for the whole.
    if (damage !== undefined && whole) {
      files.found(finding('structure-invalid', place, { what: `cluster chain of ${path}`, expected: 'one of its own as long as it is', actual: damage }));
    }
    return cutRanges(ranges, length, bytes.length);
  };
  const fixedRoot = { ranges: [{ offset: geometry.rootOffset, length: geometry.rootLength }] };
  const rootChain = geometry.bits === 32 ? clusters.take(boot.rootCluster ?? 0) : fixedRoot;
  const rootPlace = geometry.bits === 32 ? wide.at.rootCluster : narrow.at.rootEntries;
  const queue = [{ path: '', depth: 0, place: rootPlace, ranges: stretches(rootChain, everything, rootPlace, 'the root directory') }];
  for (const directory of queue) {
    if (!files.addDirectory(directory.path, directory.place, directory.ranges)) continue;
    for (const entry of readDirectory(bytes, directory.ranges, geometry.bits)) {
      const path = `${directory.path}${entry.name}`;
      const place = { offset: entry.offset, length: directoryEntry.length };
      if (!files.takeEntry(place)) return files;
      if (hasSlash(entry.name)) files.found(finding('path-unsafe', place, { path, reason: 'has a slash in one name' }));
      else if (!entry.directory) {
        files.addName(path, place, entry.length);
        if (entry.length === 0) continue;
        const chain = clusters.take(entry.cluster, Math.ceil(entry.length / geometry.clusterLength));
        files.addContent(path, place, stretches(chain, entry.length, place, path));
      } else if (directory.depth === limits.depth) files.omit(place);
      else queue.push({ path: `${path}/`, depth: directory.depth + 1, place, ranges: stretches(clusters.take(entry.cluster), everything, place, path) });
    }
  }
  return files;
}

/** Where the copies differ from what they are copies of. */
function copyFindings(bytes: Uint8Array, boot: BootSector, { tablesOffset, tableLength, sectorLength, bits }: Geometry): LocalFinding[] {
  const findings: LocalFinding[] = [];
  const differs = (what: string, first: number, second: number, length: number): void => {
    if (second + length > bytes.length) return;
    for (let index = 0; index < length; index += 1) {
      if (bytes[first + index] === bytes[second + index]) continue;
      findings.push(finding('backup-differs', { offset: second, length }, { what, difference: `byte ${index} is the first that differs` }));
      return;
    }
  };
  if (boot.tables === 2) differs('the file allocation table', tablesOffset, tablesOffset + tableLength, tableLength);
  const backupSector = boot.backupSector ?? 0;
  if (bits === 32 && backupSector > 0 && backupSector < boot.reservedSectors) differs('the boot sector', 0, backupSector * sectorLength, 512);
  return findings;
}

export const fat: Format = {
  id: 'fat',
  title: 'FAT file system',
  summary: 'The boot partition of boards whose boot ROM or boot loader reads files: kernel, device trees, configuration.',
  role: 'disk',
  kind: 'disk',
  references: [
    { title: 'Linux include/uapi/linux/msdos_fs.h', url: 'https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/msdos_fs.h' },
    { title: 'dosfstools mkfs.fat', url: 'https://github.com/dosfstools/dosfstools/blob/v4.2/src/mkfs.fat.c' },
  ],
  limitations: [
    'Clusters that no file uses are taken for free; whether the tables call them so is not compared.',
    'Files and directories behind the first 512.',
    'exFAT is another format and not read.',
  ],

  detect(bytes): Confidence {
    if (bytes.length < wide.length) return 'no';
    const boot = readBootSector(bytes);
    const wrong = contradictions(boot).length;
    const signed = hexBytes(bytes.subarray(signatureOffset, signatureOffset + 2)) === signature;
    const points = [signed, jumps(boot), wrong === 0].filter(Boolean).length;
    if (points === 3) return 'yes';
    if (wrong > 1 || points < 2) return 'no';
    // One thing is damaged: the name of the file system must speak for it.
    return latin1(bytes.subarray(54, 57)) === 'FAT' || latin1(bytes.subarray(82, 85)) === 'FAT' ? 'maybe' : 'no';
  },

  parse(bytes, { budget }): Reading {
    const boot = readBootSector(bytes);
    const table = 'rootCluster' in boot ? wide : narrow;
    const place = (field: BootField): Range => (table.at as Record<string, Range>)[field] as Range;
    const findings: LocalFinding[] = [];
    const stored = hexBytes(bytes.subarray(signatureOffset, signatureOffset + 2));
    if (stored !== signature) {
      const at = { offset: Math.min(signatureOffset, bytes.length), length: stored.length / 2 };
      findings.push(finding('magic-damaged', at, { what: 'the FAT boot sector', expected: signature, actual: stored }));
    }
    if (!jumps(boot)) {
      const actual = hexBytes(boot.jump);
      findings.push(finding('structure-invalid', place('jump'), { what: 'jump in the FAT boot sector', expected: 'eb..90 or e9....', actual }));
    }
    const fields = (table === wide ? wide.fields(boot as ValuesOf<typeof wideTable> & BootSector) : narrow.fields(boot))
      .filter((field) => field.name !== 'reserved')
      .map((field): Field => (typeof field.value === 'string' ? { ...field, value: field.value.trimEnd() } : field));
    const wrong = contradictions(boot);
    if (wrong.length > 0) {
      for (const [field, expected, actual] of wrong) findings.push(finding('structure-invalid', place(field), { what: `FAT ${field}`, expected, actual }));
      const head = Math.min(512, bytes.length);
      const regions = [region('header', 'boot sector', 0, head), region('unknown', 'file system', head, bytes.length - head)];
      return { length: bytes.length, summary: 'FAT, damaged', fields, regions, checks: [], findings, identities: [], payloads: [] };
    }
    const geometry = geometryOf(boot);
    const { bits, sectorLength, tableLength, tablesOffset, clusterLength, clusters, length } = geometry;
    if (length > bytes.length) {
      findings.push(lengthBeyondEnd('the FAT file system', place(boot.sectors16 === 0 ? 'sectors32' : 'sectors16'), length, bytes.length, bytes.length));
    }
    const files = readFiles(bytes, boot, geometry, budget.limits);
    const regions = [
      region('header', 'boot sector', 0, sectorLength),
      region('metadata', 'reserved sectors', sectorLength, tablesOffset - sectorLength),
      ...Array.from({ length: boot.tables }, (_, index) =>
        region('metadata', `file allocation table ${index + 1}`, tablesOffset + index * tableLength, tableLength),
      ),
      ...files.regions,
    ];
    const label = boot.label.trimEnd();
    const end = Math.min(length, bytes.length);
    return {
      length: end,
      summary: `FAT${bits}${label === '' || label === 'NO NAME' ? '' : ` "${label}"`} (${clusters} clusters of ${clusterLength} bytes, ${files.summary})`,
      fields: [...fields, ...files.fields],
      regions: files.omitted ? tile(regions, 0, end, 'payload', 'other files') : tile(regions, 0, end, 'padding', 'not used by files'),
      checks: [],
      findings: [...findings, ...copyFindings(bytes, boot, geometry), ...files.findings],
      identities: [],
      payloads: files.payloads,
    };
  },
};
