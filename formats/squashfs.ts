/**
 * SquashFS, the read-only root file system of nearly every OpenWrt image. Version 4 is little endian with a
 * superblock of 96 bytes; versions 1 to 3 exist in both byte orders and with magic numbers of vendors.
 *
 * It has no checksum: only `bytes_used`, which says how long the file system is.
 *
 * Layout: Linux fs/squashfs/squashfs_fs.h; version 3: squashfs-tools 3.x.
 */
import { finding, type LocalFinding } from '../src/core/findings.ts';
import { type Format, type Reading, region, truncatedHeader } from '../src/core/format.ts';
import { hex, latin1, toBytes } from '../src/core/hex.ts';
import { hex16, hex32, bytes as raw, struct, u8, u16, u32, u64 } from '../src/core/struct.ts';
import type { Field } from '../src/core/types.ts';

const version4 = {
  magic: hex32,
  inodes: u32,
  time: u32, // mkfs_time
  blockLength: u32, // block_size
  fragments: u32,
  compression: u16,
  blockLog: u16,
  flags: hex16,
  ids: u16, // no_ids
  major: u16,
  minor: u16,
  rootInode: u64,
  bytesUsed: u64,
  idTable: u64,
  xattrTable: u64,
  inodeTable: u64,
  directoryTable: u64,
  fragmentTable: u64,
  exportTable: u64, // lookup_table
};

/** Versions 1 to 3 agree on these; what follows up to byte 119 differs. */
const version3 = {
  magic: hex32,
  inodes: u32,
  bytesUsed2: u32,
  uidStart2: u32,
  guidStart2: u32,
  inodeTable2: u32,
  directoryTable2: u32,
  major: u16,
  minor: u16,
  blockLength1: u16,
  blockLog: u16,
  flags: u8,
  uids: u8,
  guids: u8,
  time: u32,
  rootInode: u64,
  blockLength: u32,
  fragments: u32,
  fragmentTable2: u32,
  bytesUsed: u64,
  rest: raw(48),
};

const tables = {
  little: { 4: struct('little', version4), 3: struct('little', version3) },
  big: { 4: struct('big', version4), 3: struct('big', version3) },
} as const;

type Endian = keyof typeof tables;

/** First four bytes in the file -> byte order. The others than hsqs and sqsh are marks of vendors' LZMA variants. */
const magics: ReadonlyMap<string, Endian> = new Map([
  ['hsqs', 'little'],
  ['sqsh', 'big'],
  ['shsq', 'little'],
  ['qshs', 'big'],
  ['hsqt', 'little'],
  ['tqsh', 'big'],
  ['zlqs', 'little'],
  ['sqlz', 'big'],
]);

const compressions: readonly string[] = ['not defined', 'gzip', 'lzma', 'lzo', 'xz', 'lz4', 'zstd'];
const absent = 0xffffffffffffffffn;

interface Superblock {
  readonly endian: Endian;
  readonly major: number;
  readonly minor: number;
  readonly length: number;
  readonly blockLength: number;
  readonly blockLog: number;
  readonly bytesUsed: number;
  readonly compression: number;
  readonly fields: Field[];
  readonly bytesUsedAt: { readonly offset: number; readonly length: number };
  readonly tableOffsets: readonly { readonly name: string; readonly value: bigint }[];
}

/** Reads the superblock in one byte order; `undefined` where it is cut off or of no known version. */
function read(bytes: Uint8Array, endian: Endian): Superblock | undefined {
  if (bytes.length < 32) return undefined;
  const major = new DataView(bytes.buffer, bytes.byteOffset).getUint16(28, endian === 'little');
  if (major === 4) {
    const table = tables[endian][4];
    if (bytes.length < table.length) return undefined;
    const values = table.read(bytes);
    const { idTable, xattrTable, inodeTable, directoryTable, fragmentTable, exportTable } = values;
    const tableOffsets = Object.entries({ idTable, xattrTable, inodeTable, directoryTable, fragmentTable, exportTable }).map(([name, value]) => ({
      name,
      value,
    }));
    return {
      ...values,
      endian,
      length: table.length,
      bytesUsed: Number(values.bytesUsed),
      fields: table.fields(values, { compression: compressions[values.compression], time: new Date(values.time * 1000).toISOString().replace('.000', '') }),
      bytesUsedAt: table.at.bytesUsed,
      tableOffsets,
    };
  }
  if (major < 1 || major > 3) return undefined;
  const table = tables[endian][3];
  if (bytes.length < table.length) return undefined;
  const values = table.read(bytes);
  const old = major < 3;
  return {
    ...values,
    endian,
    length: table.length,
    blockLength: major === 1 ? values.blockLength1 : values.blockLength,
    bytesUsed: old ? values.bytesUsed2 : Number(values.bytesUsed),
    compression: 0,
    fields: table.fields(values),
    bytesUsedAt: old ? table.at.bytesUsed2 : table.at.bytesUsed,
    tableOffsets: [],
  };
}

const powerOfTwo = (value: number): boolean => value > 0 && (value & (value - 1)) === 0;
const goodBlock = (block: Superblock): boolean =>
  powerOfTwo(block.blockLength) && block.blockLength >= 4096 && block.blockLength <= 1 << 20 && 1 << block.blockLog === block.blockLength;

/** The superblock, and whether its magic number stands in the other byte order. */
function superblock(bytes: Uint8Array): { block: Superblock; swapped: boolean } | undefined {
  const endian = magics.get(latin1(bytes.subarray(0, 4)));
  if (endian === undefined) return undefined;
  // Vendors' magic numbers do not tell the byte order reliably: the one in which the blocks make sense counts.
  const other: Endian = endian === 'little' ? 'big' : 'little';
  const first = read(bytes, endian);
  const second = read(bytes, other);
  if (first !== undefined && (goodBlock(first) || second === undefined || !goodBlock(second))) return { block: first, swapped: false };
  return second === undefined ? undefined : { block: second, swapped: second.major === 4 };
}

export const squashfs: Format = {
  id: 'squashfs',
  title: 'SquashFS',
  summary: 'The compressed read-only file system that OpenWrt mounts as /rom.',
  role: 'rootfs',
  kind: 'rootfs',
  references: [
    { title: 'Linux fs/squashfs/squashfs_fs.h', url: 'https://github.com/torvalds/linux/blob/v6.12/fs/squashfs/squashfs_fs.h' },
    { title: 'squashfs-tools', url: 'https://github.com/plougher/squashfs-tools' },
  ],
  limitations: ['The superblock is read, not the tables, inodes and files behind it; SquashFS has no checksum that could prove them.'],
  magics: [...magics.keys()].map((magic) => ({ offset: 0, bytes: toBytes(magic) })),

  detect(bytes) {
    const found = superblock(bytes);
    if (found === undefined) return magics.has(latin1(bytes.subarray(0, 4))) && bytes.length < 120 && bytes.length >= 4 ? 'maybe' : 'no';
    const { block, swapped } = found;
    return goodBlock(block) && !swapped && block.bytesUsed >= block.length ? 'yes' : 'maybe';
  },

  parse(bytes): Reading {
    const found = superblock(bytes);
    if (found === undefined) {
      const cut = finding('header-truncated', { offset: 0, length: bytes.length }, { what: 'a SquashFS superblock', length: 96, available: bytes.length });
      return truncatedHeader('SquashFS', 96, cut, bytes.length);
    }
    const { block, swapped } = found;
    const findings: LocalFinding[] = [];
    const magic = latin1(bytes.subarray(0, 4));
    if (swapped) {
      const expected = block.endian === 'little' ? '"hsqs"' : '"sqsh"';
      findings.push(finding('magic-damaged', { offset: 0, length: 4 }, { what: 'the SquashFS', expected, actual: `"${magic}", the other byte order` }));
    }
    if (!goodBlock(block)) {
      const field = block.fields.find((entry) => entry.name === 'blockLength') as Field;
      const expected = `a power of two from 4096 to 1048576 whose logarithm is ${block.blockLog}`;
      findings.push(finding('structure-invalid', field, { what: 'SquashFS block size', expected, actual: block.blockLength }));
    }
    if (block.bytesUsed < block.length) {
      findings.push(
        finding('structure-invalid', block.bytesUsedAt, { what: 'SquashFS length', expected: `at least ${block.length}`, actual: block.bytesUsed }),
      );
    }
    const missing = block.bytesUsed - bytes.length;
    if (missing > 0) {
      const place = { offset: block.bytesUsedAt.offset, length: bytes.length - block.bytesUsedAt.offset };
      findings.push(finding('rootfs-truncated', place, { claimed: block.bytesUsed, available: bytes.length, missing }));
    }
    if (block.major === 4 && compressions[block.compression] === undefined) {
      findings.push(finding('structure-invalid', { offset: 20, length: 2 }, { what: 'SquashFS compression', expected: '1 to 6', actual: block.compression }));
    }
    for (const { name, value } of block.tableOffsets) {
      if (value === absent || value < BigInt(Math.max(block.length, block.bytesUsed))) continue;
      const field = block.fields.find((entry) => entry.name === name) as Field;
      findings.push(finding('structure-invalid', field, { what: `SquashFS ${name} offset`, expected: `less than ${block.bytesUsed}`, actual: hex(value) }));
    }
    const length = Math.min(bytes.length, Math.max(block.bytesUsed, block.length));
    const compression = block.major === 4 ? `, ${compressions[block.compression] ?? 'unknown compression'}` : '';
    return {
      length,
      summary: `SquashFS ${block.major}.${block.minor} (${block.endian} endian${compression}, blocks of ${block.blockLength})`,
      fields: block.fields,
      regions: [region('header', 'superblock', 0, block.length), region('payload', 'file system', block.length, length - block.length)],
      checks: [],
      findings,
      identities: [],
      payloads: [],
    };
  },
};
