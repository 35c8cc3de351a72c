/**
 * ext2, ext3, ext4: a superblock of 1024 bytes at 0x400, then group descriptors in the block behind it. All
 * numbers are little endian.
 *
 * With `metadata_csum` the superblock ends in a CRC-32C over its first 1020 bytes, and each group descriptor
 * has the low half of one over the file system's seed, the group's number and the descriptor; with `uninit_bg`
 * (make_ext4fs) each descriptor has a CRC-16 over UUID, number and descriptor instead. Else there is no checksum.
 *
 * Layout: Linux Documentation/filesystems/ext4/globals.rst. Writers: make_ext4fs, genext2fs, mke2fs.
 */
import { type CodedCheck, compare, crc16, crc32c } from '../src/core/checksums.ts';
import { finding, type LocalFinding } from '../src/core/findings.ts';
import { type Format, type Reading, region } from '../src/core/format.ts';
import { hexBytes } from '../src/core/hex.ts';
import { hex16, hex32, bytes as raw, struct, text, u8, u16, u32, type ValuesOf } from '../src/core/struct.ts';
import type { Confidence, Field } from '../src/core/types.ts';

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

/** A check of all descriptors: it shows the first group whose checksum is wrong, or group 0. */
function groupCheck(bytes: Uint8Array, block: Superblock, { groups, descriptorLength, descriptorsOffset }: Geometry): CodedCheck | undefined {
  const modern = (block.readOnlyCompatible & hasChecksums) !== 0;
  if (!modern && (block.readOnlyCompatible & hasGroupChecksums) === 0) return undefined;
  const length = groups * descriptorLength;
  if ((block.incompatible & hasMetaGroups) !== 0 || descriptorsOffset + length > bytes.length) return undefined;
  const seed = (block.incompatible & hasSeed) === 0 ? crc32c(block.uuid) : block.checksumSeed;
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
    'Superblock and group descriptors are read, not bitmaps, inodes, directories and files, nor the journal.',
    'With `meta_bg` the group descriptors are not read.',
  ],

  detect(bytes): Confidence {
    if (bytes.length < superblockOffset + superblock.length) return 'no';
    const block = superblock.read(bytes, superblockOffset);
    const wrong = contradictions(block).length;
    if (block.magic === magic) return wrong === 0 && block.revision <= 1 ? 'yes' : wrong <= 1 ? 'maybe' : 'no';
    // A damaged magic number: everything else must fit, and there must be something that does.
    return wrong === 0 && block.revision === 1 && block.state <= 7 && block.creator < creators.length && block.blockGroup === 0 ? 'maybe' : 'no';
  },

  parse(bytes): Reading {
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
    let summary = `${name}${block.label === '' ? '' : ` "${block.label}"`}`;
    if (geometry !== undefined) {
      const { blocks, blockLength, descriptorsOffset, groups, descriptorLength } = geometry;
      summary += ` (${blocks} blocks of ${blockLength} bytes)`;
      const missing = geometry.length - bytes.length;
      if (missing > 0) {
        const at = place('blocks');
        const cut = { offset: at.offset, length: bytes.length - at.offset };
        findings.push(finding('rootfs-truncated', cut, { claimed: geometry.length, available: bytes.length, missing }));
      }
      const check = groupCheck(bytes.subarray(0, length), block, geometry);
      if (check !== undefined) checks.push(check);
      const descriptorsEnd = Math.min(length, descriptorsOffset + groups * descriptorLength);
      if (descriptorsEnd > Math.max(start, descriptorsOffset)) {
        if (descriptorsOffset > start) regions.push(region('padding', 'to the next block', start, descriptorsOffset - start));
        regions.push(region('header', 'group descriptors', descriptorsOffset, descriptorsEnd - descriptorsOffset));
      }
    }
    const described = regions.reduce((last, entry) => Math.max(last, entry.offset + entry.length), 0);
    regions.push(region('payload', 'file system', described, length - described));
    return { length, summary, fields, regions, checks, findings, identities: [], payloads: [] };
  },
};
