/**
 * ext2, ext3, ext4: a superblock of 1024 bytes at 0x400, then group descriptors in the block behind it. Each group
 * has a table of inodes; an inode says which blocks a file or directory has, in a map of block numbers (ext2, ext3)
 * or a tree of extents (ext4). All numbers are little endian.
 *
 * With `metadata_csum` the superblock ends in a CRC-32C over its first 1020 bytes, and each group descriptor
 * has the low half of one over the file system's seed, the group's number and the descriptor; with `uninit_bg`
 * (make_ext4fs) each descriptor has a CRC-16 over UUID, number and descriptor instead. With `metadata_csum` each
 * inode, directory block and extent block has one too. Else there is no checksum; files never have one.
 *
 * Layout: Linux Documentation/filesystems/ext4/globals.rst and dynamic.rst. Writers: make_ext4fs, genext2fs, mke2fs.
 */
import { CheckGroups, type CodedCheck, compare, crc16, crc32c } from '../src/core/checksums.ts';
import { cutRanges, FileList } from '../src/core/files.ts';
import { finding, type LocalFinding } from '../src/core/findings.ts';
import { type Format, nowhere, type Reading, region, tile } from '../src/core/format.ts';
import { hexBytes, printable } from '../src/core/hex.ts';
import type { Limits } from '../src/core/limits.ts';
import { hex16, hex32, bytes as raw, struct, text, u8, u16, u32, type ValuesOf } from '../src/core/struct.ts';
import type { Confidence, Field, Range } from '../src/core/types.ts';

const superblockOffset = 0x400;
const table = {
  inodes: u32, // s_inodes_count
  blocks: u32, // s_blocks_count_lo
  reservedBlocks: u32,
  freeBlocks: u32,
  freeInodes: u32,
  firstDataBlock: u32,
  blockLog: u32, // s_log_block_size: 0 is 1024
  clusterLog: u32,
  blocksPerGroup: u32,
  clustersPerGroup: u32,
  inodesPerGroup: u32,
  mountTime: u32,
  writeTime: u32,
  mountCount: u16,
  maximumMountCount: u16,
  magic: hex16,
  state: u16,
  errors: u16,
  minorRevision: u16,
  checkTime: u32,
  checkInterval: u32,
  creator: u32,
  revision: u32,
  reservedUser: u16,
  reservedGroup: u16,
  firstInode: u32,
  inodeLength: u16,
  blockGroup: u16,
  compatible: hex32,
  incompatible: hex32,
  readOnlyCompatible: hex32,
  uuid: raw(16),
  label: text(16),
  lastMounted: text(64),
  algorithms: u32,
  preallocatedBlocks: u8,
  preallocatedDirectoryBlocks: u8,
  reservedDescriptorBlocks: u16,
  journalUuid: raw(16),
  journalInode: u32,
  journalDevice: u32,
  lastOrphan: u32,
  hashSeed: raw(16),
  hashVersion: u8,
  journalBackup: u8,
  descriptorLength: u16, // s_desc_size
  defaultMountOptions: hex32,
  firstMetaBlockGroup: u32,
  creationTime: u32, // s_mkfs_time
  journalBlocks: raw(68),
  blocksHigh: u32,
  rest1: raw(0x21),
  checksumType: u8,
  rest2: raw(0xfa),
  checksumSeed: hex32, // at 0x270
  rest3: raw(0x188),
  checksum: hex32,
};
const superblock = struct('little', table);
type Superblock = ValuesOf<typeof table>;

const magic = 0xef53;
/** What people ask for; the rest is bookkeeping of the kernel. */
const shownFields: ReadonlySet<string> = new Set([
  'inodes',
  'blocks',
  'freeBlocks',
  'freeInodes',
  'firstDataBlock',
  'blockLog',
  'blocksPerGroup',
  'inodesPerGroup',
  'writeTime',
  'magic',
  'state',
  'creator',
  'revision',
  'inodeLength',
  'compatible',
  'incompatible',
  'readOnlyCompatible',
  'uuid',
  'label',
  'journalInode',
  'descriptorLength',
  'creationTime',
  'blocksHigh',
  'checksumType',
  'checksum',
]);

const features = {
  compatible: ['dir_prealloc', 'imagic_inodes', 'has_journal', 'ext_attr', 'resize_inode', 'dir_index', '', '', '', 'sparse_super2', 'fast_commit'],
  incompatible: [
    ...['compression', 'filetype', 'needs_recovery', 'journal_dev', 'meta_bg', '', 'extent', '64bit', 'mmp', 'flex_bg', 'ea_inode', '', 'dirdata'],
    ...['metadata_csum_seed', 'large_dir', 'inline_data', 'encrypt', 'casefold'],
  ],
  readOnlyCompatible: [
    ...['sparse_super', 'large_file', 'btree_dir', 'huge_file', 'uninit_bg', 'dir_nlink', 'extra_isize', '', 'quota', 'bigalloc', 'metadata_csum'],
    ...['replica', 'read-only', 'project', '', 'verity', 'orphan_present'],
  ],
} as const;
const [hasJournal, has64Bit, hasMetaGroups, hasSeed, hasGroupChecksums, hasChecksums] = [0x4, 0x80, 0x10, 0x2000, 0x10, 0x400];

/**
 * Incompatible features with which directories and blocks look as they do here. Not among them is `needs_recovery`: until the journal
 * is replayed they are old.
 */
const walkableFeatures = 0x3e7c2;
/** Of a read-only file system whose files have blocks in common. */
const hasSharedBlocks = 0x4000;

const creators = ['Linux', 'Hurd', 'Masix', 'FreeBSD', 'Lites'];

function featureNames(value: number, names: readonly string[]): string {
  const found: string[] = [];
  for (let bit = 0; bit < 32; bit += 1) if ((value >>> bit) & 1) found.push(names[bit] || `bit ${bit}`);
  return found.join(', ') || 'none';
}

const time = (seconds: number): string => new Date(seconds * 1000).toISOString().replace('.000', '');

/** `f34b1b5e-…`, in the order of the bytes. */
const uuidText = (bytes: Uint8Array): string => hexBytes(bytes).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');

interface Geometry {
  readonly blockLength: number;
  readonly blocks: number;
  readonly groups: number;
  readonly descriptorLength: number;
  /** Of the group descriptors. */
  readonly descriptorsOffset: number;
  readonly length: number;
}

function geometryOf(block: Superblock): Geometry {
  const wide = (block.incompatible & has64Bit) !== 0;
  const blockLength = 1024 * 2 ** block.blockLog;
  const blocks = block.blocks + (wide ? block.blocksHigh * 2 ** 32 : 0);
  return {
    blockLength,
    blocks,
    groups: Math.ceil((blocks - block.firstDataBlock) / block.blocksPerGroup),
    descriptorLength: wide ? block.descriptorLength : 32,
    descriptorsOffset: (block.firstDataBlock + 1) * blockLength,
    length: blocks * blockLength,
  };
}

/** What contradicts itself in the superblock, as field name, expected and found. */
function contradictions(block: Superblock): [field: keyof Superblock, expected: string, actual: number][] {
  const { blockLog, blocksPerGroup, inodesPerGroup, firstDataBlock, inodeLength, revision, descriptorLength, incompatible, inodes } = block;
  const found: [keyof Superblock, string, number][] = [];
  if (blockLog > 6) return [['blockLog', '0 to 6', blockLog]];
  const bits = 8 * 1024 * 2 ** blockLog;
  const clustered = (block.readOnlyCompatible & 0x200) !== 0;
  if (blocksPerGroup === 0 || (!clustered && blocksPerGroup > bits)) found.push(['blocksPerGroup', `1 to ${bits}`, blocksPerGroup]);
  if (inodesPerGroup === 0 || inodesPerGroup > bits) found.push(['inodesPerGroup', `1 to ${bits}`, inodesPerGroup]);
  if (firstDataBlock !== (blockLog === 0 ? 1 : 0) && !clustered) found.push(['firstDataBlock', blockLog === 0 ? '1' : '0', firstDataBlock]);
  const goodInode = inodeLength >= 128 && inodeLength <= 1024 * 2 ** blockLog && (inodeLength & (inodeLength - 1)) === 0;
  if (revision > 0 && !goodInode) found.push(['inodeLength', `a power of two from 128 to ${1024 * 2 ** blockLog}`, inodeLength]);
  const wide = (incompatible & has64Bit) !== 0;
  if (wide && (descriptorLength < 64 || descriptorLength > 1024 || (descriptorLength & (descriptorLength - 1)) !== 0))
    found.push(['descriptorLength', 'a power of two from 64 to 1024', descriptorLength]);
  if (found.length > 0) return found;
  const { blocks, groups } = geometryOf(block);
  if (blocks <= firstDataBlock) found.push(['blocks', `more than ${firstDataBlock}`, blocks]);
  else if (inodes !== groups * inodesPerGroup) found.push(['inodes', String(groups * inodesPerGroup), inodes]);
  return found;
}

/** Where the checksums with `metadata_csum` begin. */
const seedOf = (block: Superblock): number => ((block.incompatible & hasSeed) === 0 ? crc32c(block.uuid) : block.checksumSeed);

/** A check of all descriptors: it shows the first group whose checksum is wrong, or group 0. */
function groupCheck(bytes: Uint8Array, block: Superblock, { groups, descriptorLength, descriptorsOffset }: Geometry): CodedCheck | undefined {
  const modern = (block.readOnlyCompatible & hasChecksums) !== 0;
  if (!modern && (block.readOnlyCompatible & hasGroupChecksums) === 0) return undefined;
  const length = groups * descriptorLength;
  if ((block.incompatible & hasMetaGroups) !== 0 || descriptorsOffset + length > bytes.length) return undefined;
  const seed = seedOf(block);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const number = new Uint8Array(4);
  const checksumAt = 0x1e;
  let shown = { group: 0, stored: 0, computed: 0 };
  for (let group = 0; group < groups; group += 1) {
    const offset = descriptorsOffset + group * descriptorLength;
    const before = bytes.subarray(offset, offset + checksumAt);
    const behind = bytes.subarray(offset + checksumAt + 2, offset + descriptorLength);
    new DataView(number.buffer).setUint32(0, group, true);
    const computed = modern
      ? crc32c(behind, crc32c(new Uint8Array(2), crc32c(before, crc32c(number, seed)))) & 0xffff
      : crc16(behind, crc16(before, crc16(number, crc16(block.uuid))));
    const stored = view.getUint16(offset + checksumAt, true);
    if (group === 0 || stored !== computed) shown = { group, stored, computed };
    if (stored !== computed) break;
  }
  return compare({
    code: 'header-checksum-mismatch',
    name: 'group-descriptors',
    algorithm: modern ? 'crc32c' : 'crc16',
    stored: shown.stored,
    computed: shown.computed,
    at: { offset: descriptorsOffset + shown.group * descriptorLength + checksumAt, length: 2 },
    covers: [{ offset: descriptorsOffset, length }],
    digits: 4,
  });
}

const groupPointers = struct('little', { blockBitmap: u32, inodeBitmap: u32, inodeTable: u32 });
/** The upper halves of the same, in descriptors of 64 bytes and more. */
const highPointersOffset = 0x20;

const inodeTable = {
  mode: hex16, // i_mode
  user: u16,
  length: u32, // i_size_lo
  times: raw(16),
  group: u16,
  links: u16,
  sectors: u32,
  flags: hex32,
  osd1: u32,
  blocks: raw(60), // i_block
  generation: u32,
  attributes: u32,
  lengthHigh: u32, // i_size_high
  fragment: u32,
  osd2: raw(8),
  checksumLow: u16, // i_checksum_lo
  reserved: u16,
};
const inodeStruct = struct('little', inodeTable);
/** Behind it in inodes of more than 128 bytes. */
const inodeExtra = struct('little', { extraLength: u16, checksumHigh: u16 });
const [kindMask, isDirectory, isRegular] = [0xf000, 0x4000, 0x8000];
/** Named pipes, devices, symbolic links, sockets: nothing to look into. */
const otherKinds: ReadonlySet<number> = new Set([0x1000, 0x2000, 0x6000, 0xa000, 0xc000]);
const [isCompressed, isEncrypted, isIndexed, hasExtents, isInline] = [0x4, 0x800, 0x1000, 0x80000, 0x10000000];
/** Content that does not lie in blocks as such. */
const notPlain = isCompressed | isEncrypted | isInline;

const rootInode = 2;
const directBlocks = 12;
const extentHeader = struct('little', { magic: hex16, entries: u16, capacity: u16, depth: u16, generation: u32 });
const extentMagic = 0xf30a;
const extentEntryLength = 12;
const deepestExtents = 5;
/** Lengths above it are of extents without content yet, which read as zeros. */
const longestExtent = 0x8000;
const directoryHeader = struct('little', { inode: u32, length: u16, nameLength: u8, kind: u8 });
const directoryTail = struct('little', { inode: u32, length: u16, nameLength: u8, kind: u8, checksum: u32 });
const tailKind = 0xde;

/** A root file system has these directories; what boots lies above them or in its `boot`. */
const isRootFileSystem = (names: ReadonlySet<string>): boolean => names.has('etc') && ['bin', 'sbin', 'usr', 'lib'].some((name) => names.has(name));

interface Inode {
  readonly number: number;
  readonly offset: number;
  readonly mode: number;
  readonly length: number;
  readonly flags: number;
  /** Where the checksums of what belongs to it begin. */
  readonly seed: number;
}

/** Blocks one after the other, in the file and on the disk. */
interface Run {
  readonly logical: number;
  readonly physical: number;
  count: number;
}

interface Entry {
  readonly name: Uint8Array;
  readonly inode: number;
  readonly place: Range;
}

/** Walks directories and follows the blocks of files. Every block is taken once at most, so that the work stays linear whatever the inodes say. */
class Walker {
  readonly files: FileList;
  readonly checks: CheckGroups;
  isRoot = false;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #block: Superblock;
  readonly #geometry: Geometry;
  readonly #limits: Limits;
  readonly #whole: boolean;
  readonly #taken: Uint8Array;
  /** The hole bytes that files may still have: they cost memory that the image did not bring. */
  #holes: number;

  constructor(bytes: Uint8Array, block: Superblock, geometry: Geometry, limits: Limits) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#block = block;
    this.#geometry = geometry;
    this.#limits = limits;
    this.#whole = geometry.length <= bytes.length;
    this.#taken = new Uint8Array(Math.ceil(bytes.length / geometry.blockLength));
    this.#holes = bytes.length;
    this.files = new FileList(bytes, 'ext4', limits);
    this.checks = new CheckGroups('crc32c', limits.shown);
    this.#takeTables();
  }

  /** What is not for files: superblock and descriptors, bitmaps and inode tables. */
  #takeTables(): void {
    const { blockLength, descriptorsOffset, groups, descriptorLength, length } = this.#geometry;
    const { inodesPerGroup } = this.#block;
    this.#taken.fill(1, 0, Math.ceil((descriptorsOffset + groups * descriptorLength) / blockLength));
    const tableLength = inodesPerGroup * this.#inodeLength;
    if (!this.#whole || groups * tableLength > length) return;
    for (let group = 0; group < groups; group += 1) {
      const [blockBitmap, inodeBitmap, table] = this.#pointers(group);
      for (const bitmap of [blockBitmap, inodeBitmap]) if (bitmap < this.#taken.length) this.#taken[bitmap] = 1;
      this.#taken.fill(1, table, table + Math.ceil(tableLength / blockLength));
    }
  }

  get #inodeLength(): number {
    return this.#block.revision === 0 ? inodeStruct.length : this.#block.inodeLength;
  }

  /** Block bitmap, inode bitmap and inode table of a group. */
  #pointers(group: number): [number, number, number] {
    const { descriptorsOffset, descriptorLength } = this.#geometry;
    const offset = descriptorsOffset + group * descriptorLength;
    const high = descriptorLength >= highPointersOffset + groupPointers.length ? offset + highPointersOffset : undefined;
    const at = (place: Range): number =>
      this.#view.getUint32(offset + place.offset, true) + (high === undefined ? 0 : this.#view.getUint32(high + place.offset, true) * 2 ** 32);
    return [at(groupPointers.at.blockBitmap), at(groupPointers.at.inodeBitmap), at(groupPointers.at.inodeTable)];
  }

  #wrong(place: Range, what: string, expected: string, actual: string | number): void {
    this.files.found(finding('structure-invalid', place, { what, expected, actual }));
  }

  /** `undefined` where it cannot be read; that was told, unless the end of the file cut it off. */
  #inode(number: number, place: Range, path: string): Inode | undefined {
    const { inodesPerGroup, inodes, firstInode, revision } = this.#block;
    const first = revision === 0 ? 11 : firstInode;
    if ((number < first && number !== rootInode) || number > inodes) {
      this.#wrong(place, `inode of ${path}`, `${first} to ${inodes}`, number);
      return undefined;
    }
    const group = Math.floor((number - 1) / inodesPerGroup);
    const table = this.#pointers(group)[2] * this.#geometry.blockLength;
    const offset = table + ((number - 1) % inodesPerGroup) * this.#inodeLength;
    if (offset + this.#inodeLength > this.#bytes.length) {
      if (offset + this.#inodeLength > this.#geometry.length)
        this.#wrong(place, `inode table of group ${group}`, `inside of ${this.#geometry.length} bytes`, `${table}`);
      return undefined;
    }
    const values = inodeStruct.read(this.#bytes, offset);
    const seed = this.#inodeSeed(number, values.generation);
    if (!this.#checkInode(number, offset, values, seed)) return undefined;
    return { number, offset, mode: values.mode, length: values.length + values.lengthHigh * 2 ** 32, flags: values.flags, seed };
  }

  #inodeSeed(number: number, generation: number): number {
    const numbers = new DataView(new ArrayBuffer(8));
    numbers.setUint32(0, number, true);
    numbers.setUint32(4, generation, true);
    return crc32c(new Uint8Array(numbers.buffer), seedOf(this.#block));
  }

  get #checksummed(): boolean {
    return (this.#block.readOnlyCompatible & hasChecksums) !== 0;
  }

  #checkInode(number: number, offset: number, { checksumLow }: ValuesOf<typeof inodeTable>, seed: number): boolean {
    if (!this.#checksummed) return true;
    const bytes = this.#bytes.slice(offset, offset + this.#inodeLength);
    const low = inodeStruct.at.checksumLow;
    bytes.fill(0, low.offset, low.offset + low.length);
    let stored = checksumLow;
    const extra = bytes.length >= inodeStruct.length + inodeExtra.length ? inodeExtra.read(bytes, inodeStruct.length) : undefined;
    const wide = extra !== undefined && extra.extraLength >= inodeExtra.length;
    if (wide) {
      stored += extra.checksumHigh * 0x10000;
      const high = inodeStruct.length + inodeExtra.at.checksumHigh.offset;
      bytes.fill(0, high, high + inodeExtra.at.checksumHigh.length);
    }
    const computed = crc32c(bytes, seed);
    return this.#check('inode-crc', `inode ${number}`, stored, wide ? computed : computed & 0xffff, { offset: offset + low.offset, length: low.length }, [
      { offset, length: bytes.length },
    ]);
  }

  #check(name: string, which: string, stored: number, computed: number, at: Range, covers: readonly Range[]): boolean {
    this.checks.add(name, () => which, { code: 'header-checksum-mismatch', stored, computed, at, covers });
    return stored === computed;
  }

  /** Takes blocks for a file; what is wrong with them comes back. */
  #take(first: number, count: number): string | undefined {
    const { blocks } = this.#geometry;
    if (first === 0 || first + count > blocks) return `block ${first + count - 1} of ${blocks}`;
    // Those that the end of the file cut off are not there to be used twice.
    const end = Math.min(first + count, this.#taken.length);
    for (let block = first; block < end; block += 1) {
      if (this.#taken[block] === 1) return `block ${block}, which is in use already`;
      this.#taken[block] = 1;
    }
    return undefined;
  }

  /** The bytes of a block; `undefined` if the end of the file cut it off. */
  #blockOffset(block: number): number | undefined {
    const { blockLength } = this.#geometry;
    return (block + 1) * blockLength <= this.#bytes.length ? block * blockLength : undefined;
  }

  /** Adds runs from the extents in a node; what is wrong comes back. */
  #readExtents(runs: Run[], inode: Inode, offset: number, length: number, depth: number | undefined): string | undefined {
    const header = extentHeader.read(this.#bytes, offset);
    const most = Math.floor((length - extentHeader.length) / extentEntryLength);
    if (header.magic !== extentMagic) return `an extent node that begins with ${header.magic.toString(16)}`;
    if (header.capacity > most || header.entries > header.capacity) return `an extent node with ${header.entries} of ${header.capacity} entries`;
    if (depth === undefined ? header.depth > deepestExtents : header.depth !== depth) return `an extent node of depth ${header.depth}`;
    if (depth !== undefined && this.#checksummed) {
      const end = offset + extentHeader.length + header.capacity * extentEntryLength;
      if (end + 4 > offset + length) return 'an extent node without room for its checksum';
      const computed = crc32c(this.#bytes.subarray(offset, end), inode.seed);
      const covers = [{ offset, length: end + 4 - offset }];
      if (!this.#check('extent-crc', `block ${offset / length}`, this.#view.getUint32(end, true), computed, { offset: end, length: 4 }, covers))
        return 'an extent node with a wrong checksum';
    }
    for (let index = 0; index < header.entries; index += 1) {
      const at = offset + extentHeader.length + index * extentEntryLength;
      const logical = this.#view.getUint32(at, true);
      const last = runs.at(-1);
      if (logical < (last === undefined ? 0 : last.logical + Math.max(1, last.count))) return `an extent for block ${logical} of the file in the wrong place`;
      const damage = header.depth === 0 ? this.#readExtent(runs, logical, at) : this.#readExtentChild(runs, inode, at, header.depth - 1);
      if (damage !== undefined) return damage;
    }
    return undefined;
  }

  #readExtent(runs: Run[], logical: number, at: number): string | undefined {
    const stored = this.#view.getUint16(at + 4, true);
    const physical = this.#view.getUint16(at + 6, true) * 2 ** 32 + this.#view.getUint32(at + 8, true);
    const count = stored > longestExtent ? stored - longestExtent : stored;
    if (count === 0) return 'an extent of no blocks';
    const damage = this.#take(physical, count);
    if (damage === undefined && stored <= longestExtent) runs.push({ logical, physical, count });
    return damage;
  }

  #readExtentChild(runs: Run[], inode: Inode, at: number, depth: number): string | undefined {
    const child = this.#view.getUint32(at + 4, true) + this.#view.getUint16(at + 8, true) * 2 ** 32;
    const damage = this.#take(child, 1);
    if (damage !== undefined) return damage;
    const offset = this.#blockOffset(child);
    return offset === undefined ? undefined : this.#readExtents(runs, inode, offset, this.#geometry.blockLength, depth);
  }

  /** Adds runs from block numbers that stand at `offset`, each for `span` blocks of the file; what is wrong comes back. */
  #readMap(runs: Run[], offset: number, count: number, level: number, start: number, end: number): string | undefined {
    const perBlock = this.#geometry.blockLength / 4;
    const span = perBlock ** level;
    for (let index = 0; index < count && start + index * span < end; index += 1) {
      const block = this.#view.getUint32(offset + index * 4, true);
      if (block === 0) continue;
      const damage = this.#take(block, 1);
      if (damage !== undefined) return damage;
      const logical = start + index * span;
      const last = runs.at(-1);
      if (level > 0) {
        const inner = this.#blockOffset(block);
        const wrong = inner === undefined ? undefined : this.#readMap(runs, inner, perBlock, level - 1, logical, end);
        if (wrong !== undefined) return wrong;
      } else if (last !== undefined && last.logical + last.count === logical && last.physical + last.count === block) last.count += 1;
      else runs.push({ logical, physical: block, count: 1 });
    }
    return undefined;
  }

  #readBlocks(inode: Inode): { runs: Run[]; damage: string | undefined } {
    const { offset } = inode;
    const { offset: blocksAt, length: blocksLength } = inodeStruct.at.blocks;
    const runs: Run[] = [];
    if ((inode.flags & hasExtents) !== 0) return { damage: this.#readExtents(runs, inode, offset + blocksAt, blocksLength, undefined), runs };
    const { blockLength } = this.#geometry;
    const end = Math.ceil(inode.length / blockLength);
    let damage = this.#readMap(runs, offset + blocksAt, directBlocks, 0, 0, end);
    let start = directBlocks;
    for (let level = 1; level <= 3 && damage === undefined; level += 1) {
      damage = this.#readMap(runs, offset + blocksAt + (directBlocks + level - 1) * 4, 1, level, start, end);
      start += (blockLength / 4) ** level;
    }
    return { runs, damage };
  }

  /** Where the content lies, up to `length`; a hole comes from nowhere. Undefined, and told, if that is not possible. */
  #stretches(inode: Inode, path: string): Range[] | undefined {
    const { blockLength, length: available } = this.#geometry;
    const wrong = (field: 'blocks' | 'length', expected: string, actual: string): undefined => {
      const { offset, length } = inodeStruct.at[field];
      this.#wrong({ offset: inode.offset + offset, length }, `${field === 'blocks' ? 'block list' : field} of ${path}`, expected, actual);
    };
    if (inode.length > available) return wrong('length', `at most ${available} bytes`, `${inode.length}`);
    const { runs, damage } = this.#readBlocks(inode);
    if (damage !== undefined) return wrong('blocks', 'blocks of its own', damage);
    const ranges: { offset: number; length: number }[] = [];
    let position = 0;
    const end = Math.ceil(inode.length / blockLength);
    for (const { logical, physical, count } of [...runs, { logical: end, physical: 0, count: 0 }]) {
      if (logical > position && position < end) ranges.push({ offset: nowhere, length: (Math.min(logical, end) - position) * blockLength });
      const last = ranges.at(-1);
      const offset = physical * blockLength;
      if (last !== undefined && last.offset !== nowhere && last.offset + last.length === offset) last.length += count * blockLength;
      else if (count > 0) ranges.push({ offset, length: count * blockLength });
      position = logical + count;
    }
    return cutRanges(ranges, inode.length, this.#bytes.length);
  }

  /** The entries in one block of a directory, up to the first that cannot be. */
  #readDirectoryBlock(inode: Inode, offset: number, first: boolean, path: string): Entry[] {
    const { blockLength } = this.#geometry;
    const end = offset + blockLength;
    if (!this.#checkDirectoryBlock(inode, offset, first)) return [];
    const entries: Entry[] = [];
    for (let at = offset; at + directoryHeader.length <= end; ) {
      const { inode: number, length: stored, nameLength } = directoryHeader.read(this.#bytes, at);
      // A block of 64 KiB is longer than the field can say.
      const length = blockLength === 0x10000 && (stored === 0 || stored === 0xffff) ? blockLength : stored;
      if (length % 4 !== 0 || length < directoryHeader.length + (number === 0 ? 0 : nameLength) || at + length > end) {
        const place = { offset: at + directoryHeader.at.length.offset, length: directoryHeader.at.length.length };
        this.#wrong(place, `length of an entry of ${path}`, `${directoryHeader.length + nameLength} to ${end - at}, a multiple of 4`, length);
        break;
      }
      const name = this.#bytes.subarray(at + directoryHeader.length, at + directoryHeader.length + nameLength);
      if (number !== 0) entries.push({ name, inode: number, place: { offset: at, length: directoryHeader.length + nameLength } });
      at += length;
    }
    return entries;
  }

  /** Whether the checksum of a block of a directory is right, where there is one. Blocks of a tree over the names have it in another place. */
  #checkDirectoryBlock(inode: Inode, offset: number, first: boolean): boolean {
    if (!this.#checksummed) return true;
    const { blockLength } = this.#geometry;
    const which = `block ${offset / blockLength}`;
    const index = (inode.flags & isIndexed) !== 0 && (first || this.#view.getUint16(offset + directoryHeader.at.length.offset, true) === blockLength);
    if (!index) {
      const at = offset + blockLength - directoryTail.length;
      const tail = directoryTail.read(this.#bytes, at);
      const checksum = { offset: at + directoryTail.at.checksum.offset, length: directoryTail.at.checksum.length };
      const computed = crc32c(this.#bytes.subarray(offset, at), inode.seed);
      if (tail.inode !== 0 || tail.length !== directoryTail.length || tail.nameLength !== 0 || tail.kind !== tailKind) {
        this.#wrong({ offset: at, length: directoryTail.length }, `end of directory ${which}`, 'a checksum', `kind ${tail.kind}`);
        return false;
      }
      // The tail's other bytes can only be what they are.
      return this.#check('directory-crc', which, tail.checksum, computed, checksum, [{ offset, length: blockLength }]);
    }
    // Limit and count of the entries of 8 bytes, the first of which they stand in.
    const entries = first ? 32 : 8;
    const limit = this.#view.getUint16(offset + entries, true);
    const count = this.#view.getUint16(offset + entries + 2, true);
    const tail = entries + limit * 8;
    if (count > limit || tail + 8 > blockLength) {
      this.#wrong(
        { offset: offset + entries, length: 4 },
        `index in directory ${which}`,
        `at most ${Math.floor((blockLength - 8 - entries) / 8)}`,
        `${count} of ${limit}`,
      );
      return false;
    }
    const used = this.#bytes.subarray(offset, offset + entries + count * 8);
    const reserved = this.#bytes.subarray(offset + tail, offset + tail + 4);
    const computed = crc32c(new Uint8Array(4), crc32c(reserved, crc32c(used, inode.seed)));
    const at = { offset: offset + tail + 4, length: 4 };
    return this.#check('directory-crc', which, this.#view.getUint32(at.offset, true), computed, at, [
      { offset, length: used.length },
      { offset: offset + tail, length: 4 },
    ]);
  }

  #readDirectory(inode: Inode, path: string, place: Range): Entry[] {
    const { blockLength } = this.#geometry;
    const what = path === '' ? 'the root directory' : path;
    if (inode.length === 0 || inode.length % blockLength !== 0) {
      const { offset, length } = inodeStruct.at.length;
      this.#wrong({ offset: inode.offset + offset, length }, `length of ${what}`, `a multiple of ${blockLength}`, inode.length);
      return [];
    }
    const ranges = this.#stretches(inode, what) ?? [];
    if (ranges.some(({ offset }) => offset === nowhere)) {
      const { offset, length } = inodeStruct.at.blocks;
      this.#wrong({ offset: inode.offset + offset, length }, `block list of ${what}`, `${inode.length / blockLength} blocks`, 'a hole');
      return [];
    }
    if (!this.files.addDirectory(path, place, ranges)) return [];
    return ranges.flatMap(({ offset, length }, index) =>
      Array.from({ length: Math.floor(length / blockLength) }, (_, block) =>
        this.#readDirectoryBlock(inode, offset + block * blockLength, index === 0 && block === 0, what),
      ).flat(),
    );
  }

  #readFile(inode: Inode, path: string, place: Range): void {
    this.files.addName(path, place, inode.length);
    if (inode.length === 0 || (inode.flags & notPlain) !== 0) return;
    const ranges = this.#stretches(inode, path);
    if (ranges === undefined) return;
    this.#holes -= ranges.reduce((sum, { offset, length }) => (offset === nowhere ? sum + length : sum), 0);
    if (this.#holes < 0) this.files.omit(place);
    else this.files.addContent(path, place, ranges);
  }

  walk(): void {
    const place = { offset: superblockOffset, length: superblock.length };
    const root = this.#inode(rootInode, place, 'the root directory');
    if (root === undefined) return;
    if ((root.mode & kindMask) !== isDirectory) {
      this.#wrong({ offset: root.offset, length: 2 }, 'kind of the root directory', 'a directory', `mode ${root.mode.toString(16)}`);
      return;
    }
    /** A file may have several names. */
    const seen = new Set([rootInode]);
    const queue = [{ inode: root, path: '', place: place as Range, depth: 0 }];
    for (const directory of queue) {
      if ((directory.inode.flags & (isEncrypted | isInline)) !== 0) continue;
      const entries = this.#readDirectory(directory.inode, directory.path, directory.place).map((entry) => ({ ...entry, name: printable(entry.name) }));
      if (directory.depth === 0) this.isRoot = isRootFileSystem(new Set(entries.map(({ name }) => name)));
      for (const { name, inode: number, place: at } of entries) {
        if (name === '.' || name === '..') continue;
        const path = `${directory.path}${name}`;
        if (!this.files.takeEntry(at)) return;
        if (name === '') this.#wrong(at, `name of an entry of ${directory.path || 'the root directory'}`, 'a name', 'none');
        if (name.includes('/')) this.files.found(finding('path-unsafe', at, { path, reason: 'has a slash in one name' }));
        if (name === '' || name.includes('/')) continue;
        const inode = this.#inode(number, at, path);
        if (inode === undefined) continue;
        const kind = inode.mode & kindMask;
        const again = seen.has(number);
        seen.add(number);
        if (kind === isRegular && again) this.files.addName(path, at, inode.length);
        else if (kind === isRegular) this.#readFile(inode, path, at);
        else if (kind === isDirectory && again) this.#wrong(at, `directory ${path}`, 'one that is not in the tree yet', `inode ${number} again`);
        else if (kind !== isDirectory) {
          if (!otherKinds.has(kind)) this.#wrong(at, `kind of ${path}`, 'a file or a directory', `mode ${inode.mode.toString(16)}`);
        } else if (this.isRoot && directory.depth === 0 && name !== 'boot') continue;
        else if (directory.depth === this.#limits.depth) this.files.omit(at);
        else queue.push({ inode, path: `${path}/`, place: at, depth: directory.depth + 1 });
      }
    }
  }
}

/** `undefined` where its features, or its end, do not let anybody find files. */
function walk(bytes: Uint8Array, block: Superblock, geometry: Geometry, limits: Limits): Walker | undefined {
  const { descriptorsOffset, groups, descriptorLength } = geometry;
  const readable = (block.incompatible & ~walkableFeatures) === 0 && (block.readOnlyCompatible & hasSharedBlocks) === 0;
  if (!readable || descriptorsOffset + groups * descriptorLength > bytes.length) return undefined;
  const walker = new Walker(bytes, block, geometry, limits);
  walker.walk();
  return walker;
}

export const ext4: Format = {
  id: 'ext4',
  title: 'ext2, ext3, ext4',
  summary: 'The writable root file system of disk images, and what holds the kernel on many boot partitions.',
  role: 'rootfs',
  kind: 'rootfs',
  references: [
    { title: 'Linux Documentation/filesystems/ext4', url: 'https://github.com/torvalds/linux/blob/v6.12/Documentation/filesystems/ext4/super.rst' },
    { title: 'e2fsprogs lib/ext2fs/csum.c', url: 'https://github.com/tytso/e2fsprogs/blob/v1.47.0/lib/ext2fs/csum.c' },
  ],
  limitations: [
    'Bitmaps and the journal are not read, nor are backups of the superblock and the group descriptors. Free blocks are not told from those of files that were not looked at.',
    'With `meta_bg` neither the group descriptors nor files are read. Files are not looked for either with `needs_recovery`, `shared_blocks`, or features that change directories.',
    'Of a root file system (it has `etc` and `bin`) only the files at the top and in `boot` are looked at; of others the first 512 files and directories.',
    'Files that are compressed, encrypted or kept inside of their inode are listed, not read.',
  ],

  detect(bytes): Confidence {
    if (bytes.length < superblockOffset + superblock.length) return 'no';
    const block = superblock.read(bytes, superblockOffset);
    const wrong = contradictions(block).length;
    if (block.magic === magic) return wrong === 0 && block.revision <= 1 ? 'yes' : wrong <= 1 ? 'maybe' : 'no';
    // A damaged magic number: everything else must fit, and there must be something that does.
    return wrong === 0 && block.revision === 1 && block.state <= 7 && block.creator < creators.length && block.blockGroup === 0 ? 'maybe' : 'no';
  },

  parse(bytes, { budget }): Reading {
    const block = superblock.read(bytes, superblockOffset);
    const findings: LocalFinding[] = [];
    const place = (field: keyof Superblock) => ({ offset: superblockOffset + superblock.at[field].offset, length: superblock.at[field].length });
    if (block.magic !== magic) {
      const actual = hexBytes(bytes.subarray(place('magic').offset, place('magic').offset + 2));
      findings.push(finding('magic-damaged', place('magic'), { what: 'the ext4 superblock', expected: '53ef', actual }));
    }
    const wrong = contradictions(block);
    for (const [field, expected, actual] of wrong) findings.push(finding('structure-invalid', place(field), { what: `ext4 ${field}`, expected, actual }));
    const { compatible, incompatible, readOnlyCompatible } = block;
    const name = (incompatible & 0x2c0) !== 0 ? 'ext4' : (compatible & hasJournal) !== 0 ? 'ext3' : 'ext2';
    const meanings = {
      blockLog: wrong.some(([field]) => field === 'blockLog') ? undefined : `blocks of ${1024 * 2 ** block.blockLog} bytes`,
      writeTime: time(block.writeTime),
      creationTime: time(block.creationTime),
      state: block.state === 1 ? 'clean' : 'not clean',
      creator: creators[block.creator] ?? 'not known',
      compatible: featureNames(compatible, features.compatible),
      incompatible: featureNames(incompatible, features.incompatible),
      readOnlyCompatible: featureNames(readOnlyCompatible, features.readOnlyCompatible),
    };
    const fields = superblock
      .fields(block, meanings, superblockOffset)
      .filter((field) => shownFields.has(field.name))
      .map((field): Field => (field.name === 'uuid' ? { ...field, value: uuidText(block.uuid) } : field));
    const checks: CodedCheck[] = [];
    if ((readOnlyCompatible & hasChecksums) !== 0) {
      checks.push(
        compare({
          code: 'header-checksum-mismatch',
          name: 'superblock',
          algorithm: 'crc32c',
          stored: block.checksum,
          computed: crc32c(bytes.subarray(superblockOffset, superblockOffset + superblock.at.checksum.offset)),
          at: place('checksum'),
          covers: [{ offset: superblockOffset, length: superblock.length }],
        }),
      );
    }
    const start = superblockOffset + superblock.length;
    const bootCode = bytes.subarray(0, superblockOffset).some((byte) => byte !== 0);
    const regions = [
      region(bootCode ? 'payload' : 'padding', bootCode ? 'boot code' : 'boot block, empty', 0, superblockOffset),
      region('header', 'superblock', superblockOffset, superblock.length),
    ];
    // Without a sound geometry nobody knows how long it is.
    const geometry = wrong.length === 0 ? geometryOf(block) : undefined;
    const length = geometry === undefined ? bytes.length : Math.max(start, Math.min(bytes.length, geometry.length));
    let walker: Walker | undefined;
    const details: string[] = [];
    if (geometry !== undefined) {
      const { blocks, blockLength, descriptorsOffset, groups, descriptorLength } = geometry;
      details.push(`${blocks} blocks of ${blockLength} bytes`);
      const missing = geometry.length - bytes.length;
      if (missing > 0) {
        const at = place('blocks');
        const cut = { offset: at.offset, length: bytes.length - at.offset };
        findings.push(finding('rootfs-truncated', cut, { claimed: geometry.length, available: bytes.length, missing }));
      }
      const check = groupCheck(bytes.subarray(0, length), block, geometry);
      if (check !== undefined) checks.push(check);
      walker = walk(bytes.subarray(0, length), block, geometry, budget.limits);
      if (walker !== undefined) details.push(walker.isRoot ? 'a root file system' : walker.files.summary);
      const descriptorsEnd = Math.min(length, descriptorsOffset + groups * descriptorLength);
      if (descriptorsEnd > Math.max(start, descriptorsOffset)) {
        if (descriptorsOffset > start) regions.push(region('padding', 'to the next block', start, descriptorsOffset - start));
        regions.push(region('header', 'group descriptors', descriptorsOffset, descriptorsEnd - descriptorsOffset));
      }
    }
    return {
      length,
      summary: `${name}${block.label === '' ? '' : ` "${block.label}"`}${details.length === 0 ? '' : ` (${details.join(', ')})`}`,
      fields: [...fields, ...(walker?.files.fields ?? [])],
      regions: tile([...regions, ...(walker?.files.regions ?? [])], 0, length, 'payload', 'file system'),
      checks: [...checks, ...(walker?.checks.all() ?? [])],
      findings: [...findings, ...(walker?.files.findings ?? [])],
      identities: [],
      payloads: walker?.files.payloads ?? [],
    };
  },
};
