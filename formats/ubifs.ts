/**
 * UBIFS, the writable file system inside a UBI volume; some devices have it as root file system. Little endian.
 *
 * It is a row of logical erase blocks (LEB): superblock, two copies of the master node, log, LEB properties tree
 * (LPT), orphans, and the main area with the index and the files. All but the LPT, which is packed bit by bit,
 * consists of nodes on multiples of 8 with a common header of 24 bytes. A node's checksum is CRC-32 without the
 * final inversion over everything behind the checksum. Behind the last node of a block all is FF.
 *
 * Layout: Linux fs/ubifs/ubifs-media.h. Writer: mtd-utils mkfs.ubifs.
 */
import { CheckGroups, jamcrc } from '../src/core/checksums.ts';
import { finding, type LocalFinding } from '../src/core/findings.ts';
import { type Format, type Reading, region, truncatedHeader } from '../src/core/format.ts';
import { fromHex, hex, hexBytes } from '../src/core/hex.ts';
import type { Budget } from '../src/core/limits.ts';
import { runLength } from '../src/core/padding.ts';
import { hex32, bytes as raw, struct, u8, u16, u32, u64 } from '../src/core/struct.ts';
import type { Field, Range, Region } from '../src/core/types.ts';

const common = {
  magic: hex32,
  checksum: hex32, // crc
  sequence: u64, // sqnum
  nodeLength: u32, // len
  type: u8, // node_type
  group: u8, // group_type
  padding: raw(2),
};

const commonHeader = struct('little', common);

const superblock = struct('little', {
  ...common,
  padding1: raw(2),
  keyHash: u8,
  keyFormat: u8, // key_fmt
  flags: hex32,
  minimumIo: u32, // min_io_size
  lebLength: u32, // leb_size
  lebCount: u32, // leb_cnt
  mostLebs: u32, // max_leb_cnt
  mostBudBytes: u64, // max_bud_bytes
  logLebs: u32,
  lptLebs: u32,
  orphanLebs: u32, // orph_lebs
  journalHeads: u32, // jhead_cnt
  fanout: u32,
  lsaveCount: u32, // lsave_cnt
  formatVersion: u32, // fmt_version
  compression: u16, // default_compr
  padding2: raw(2),
  reservedUid: u32, // rp_uid
  reservedGid: u32, // rp_gid
  reservedBytes: u64, // rp_size
  timeGranularity: u32, // time_gran
  uuid: raw(16),
  readOnlyCompatibility: u32, // ro_compat_version
});

const masterNode = struct('little', {
  ...common,
  highestInode: u64, // highest_inum
  commit: u64, // cmt_no
  flags: hex32,
  logLeb: u32, // log_lnum
  rootLeb: u32, // root_lnum
  rootOffset: u32, // root_offs
  rootLength: u32, // root_len
});

type SuperblockValues = ReturnType<typeof superblock.read>;
type MasterValues = ReturnType<typeof masterNode.read>;

const magic = 0x06101831;
const magicBytes = fromHex('31181006');
const headerLength = commonHeader.length;
const superblockLength = 4096;
const masterLength = 512;
const [typePadding, typeSuperblock, typeMaster, typeIndex] = [5, 6, 7, 9];
const nodeNames = [
  'inode',
  'data',
  'directory entry',
  'extended attribute',
  'truncation',
  'padding',
  'superblock',
  'master',
  'log reference',
  'index',
  'commit start',
  'orphan',
  'authentication',
  'signature',
];
const compressions = ['none', 'LZO', 'zlib', 'zstd'];
const flagNames: readonly (readonly [flag: number, meaning: string])[] = [
  [0x02, 'big LPT'],
  [0x04, 'free space is to be fixed up at the first mount'],
  [0x08, 'names are hashed twice'],
  [0x10, 'encrypted'],
  [0x20, 'authenticated'],
];

/** What fills a gap that is too short for a padding node. */
const fillerByte = 0xce;
/** LEB 0 is the superblock, 1 and 2 hold the master nodes. */
const logStart = 3;
const [smallestLeb, largestLeb] = [15 * 1024, 2 * 1024 * 1024];

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
const align = (length: number): number => (length + 7) & ~7;

/** Where the parts of the file system begin, in LEBs. */
interface Layout {
  readonly lpt: number;
  readonly orphans: number;
  readonly main: number;
}

function layoutOf({ logLebs, lptLebs, orphanLebs }: SuperblockValues): Layout {
  const lpt = logStart + logLebs;
  return { lpt, orphans: lpt + lptLebs, main: lpt + lptLebs + orphanLebs };
}

const possible = (values: SuperblockValues): boolean =>
  values.lebLength >= smallestLeb && values.lebLength <= largestLeb && values.lebLength % 8 === 0 && values.lebCount > layoutOf(values).main;

const nodeChecksum = (bytes: Uint8Array, offset: number, length: number): number => jamcrc(bytes.subarray(offset + 8, offset + length));

/** Whether the bytes begin with a superblock node, whatever its first four bytes are. */
function superblockOk(bytes: Uint8Array): boolean {
  if (bytes.length < superblockLength) return false;
  const { nodeLength, type, checksum } = commonHeader.read(bytes);
  return type === typeSuperblock && nodeLength === superblockLength && nodeChecksum(bytes, 0, superblockLength) === checksum;
}

interface Node {
  readonly offset: number;
  readonly length: number;
  readonly type: number;
  readonly ok: boolean;
}

/** Scans the nodes; collects what is to be said of them. */
class Reader {
  readonly checks: CheckGroups;
  readonly findings: LocalFinding[] = [];
  readonly regions: Region[] = [];
  readonly counts = new Map<number, number>();
  /** The newest good master node. */
  master: { readonly values: MasterValues; readonly offset: number } | undefined;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #values: SuperblockValues;
  readonly #layout: Layout;
  readonly #shown: number;
  #left: number;

  constructor(bytes: Uint8Array, values: SuperblockValues, budget: Budget) {
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
    this.#values = values;
    this.#layout = layoutOf(values);
    this.#shown = budget.limits.shown;
    this.#left = budget.nodes(bytes.length);
    this.checks = new CheckGroups('jamcrc', this.#shown);
  }

  read(): void {
    const { lebLength } = this.#values;
    const { lpt, orphans, main } = this.#layout;
    const label = (leb: number): [Region['kind'], string] => {
      if (leb === 0) return ['header', 'superblock'];
      if (leb < logStart) return ['header', 'master nodes'];
      if (leb < lpt) return ['metadata', 'log'];
      if (leb < orphans) return ['metadata', 'LEB properties'];
      return leb < main ? ['metadata', 'orphans'] : ['payload', 'index and files'];
    };
    for (let leb = 0; leb * lebLength < this.#bytes.length; leb += 1) {
      const start = leb * lebLength;
      if (this.#left < 0) {
        const place = { offset: start, length: this.#bytes.length - start };
        this.findings.push(
          finding('entries-too-many', place, { what: 'UBIFS nodes', limit: [...this.counts.values()].reduce((sum, count) => sum + count, 0) }),
        );
        this.#take('unknown', 'not read', start, this.#bytes.length);
        break;
      }
      const end = Math.min(start + lebLength, this.#bytes.length);
      const used = leb >= lpt && leb < orphans ? this.#written(start, end) : this.#scan(leb, start, end);
      this.#take(...label(leb), start, used);
      this.#take('padding', 'erased', used, end);
    }
  }

  #say(entry: LocalFinding): void {
    if (this.findings.length < this.#shown) this.findings.push(entry);
  }

  #take(kind: Region['kind'], label: string, start: number, end: number): void {
    if (end <= start) return;
    const last = this.regions.at(-1);
    if (last?.label === label) this.regions[this.regions.length - 1] = { ...last, length: end - last.offset };
    else this.regions.push(region(kind, label, start, end - start));
  }

  /** Just past the last byte of a block that is not FF. */
  #written(start: number, end: number): number {
    let used = end;
    while (used > start && this.#bytes[used - 1] === 0xff) used -= 1;
    return used;
  }

  /** Reads the nodes of one block and says where its erased end begins. */
  #scan(leb: number, start: number, end: number): number {
    let position = start;
    while (position < end) {
      if (this.#bytes[position] === 0xff) {
        const used = this.#written(position, end);
        if (used === position) return position;
      }
      const node = this.#nodeAt(leb, position, end);
      if (node !== undefined) position = Math.min(end, position + align(node.length));
      else if (this.#bytes[position] === fillerByte) position += Math.min(runLength(this.#bytes, position), end - position);
      else {
        const found = hexBytes(this.#bytes.subarray(position, Math.min(end, position + 4)));
        const args = { what: `start of a UBIFS node in block ${leb}`, expected: hexBytes(magicBytes), actual: found };
        // Where the next one would begin stood in this one, so the rest of the block is lost with it.
        this.#say(finding('structure-invalid', { offset: position, length: end - position }, args));
        return this.#written(position, end);
      }
    }
    return end;
  }

  #nodeAt(leb: number, offset: number, end: number): Node | undefined {
    if (offset + headerLength > end) return undefined;
    // The first node is the superblock, even if its magic number is damaged.
    if (offset > 0 && this.#view.getUint32(offset, true) !== magic) return undefined;
    // Read by hand: there are many thousands of them.
    const nodeLength = this.#view.getUint32(offset + commonHeader.at.nodeLength.offset, true);
    const type = this.#view.getUint8(offset + commonHeader.at.type.offset);
    const checksum = this.#view.getUint32(offset + commonHeader.at.checksum.offset, true);
    if (nodeLength < headerLength || offset + nodeLength > end) {
      // What the file's end cut off is said once, for the file system as a whole.
      if (offset + nodeLength > this.#bytes.length && nodeLength <= this.#values.lebLength) return { offset, length: end - offset, type, ok: false };
      const place = { offset: offset + commonHeader.at.nodeLength.offset, length: 4 };
      this.#say(
        finding('structure-invalid', place, {
          what: `length of a UBIFS node in block ${leb}`,
          expected: `${headerLength} to ${end - offset}`,
          actual: nodeLength,
        }),
      );
      return { offset, length: end - offset, type, ok: false };
    }
    const computed = nodeChecksum(this.#bytes, offset, nodeLength);
    const ok = computed === checksum;
    const isHeader = type === typeSuperblock || type === typeMaster;
    const name = type === typeSuperblock ? 'superblock-crc' : type === typeMaster ? 'master-crc' : 'node-crc';
    this.checks.add(name, () => `the ${nodeNames[type] ?? 'unknown'} node at ${offset}`, {
      code: isHeader ? 'header-checksum-mismatch' : 'data-checksum-mismatch',
      stored: checksum,
      computed,
      at: { offset: offset + commonHeader.at.checksum.offset, length: 4 },
      covers: [{ offset: offset + 8, length: nodeLength - 8 }],
    });
    this.counts.set(type, (this.counts.get(type) ?? 0) + 1);
    this.#left -= 1;
    if (ok && type === typeMaster && nodeLength >= masterLength) {
      const values = masterNode.read(this.#bytes, offset);
      if (this.master === undefined || values.sequence >= this.master.values.sequence) this.master = { values, offset };
    }
    const padding = ok && type === typePadding && nodeLength >= headerLength + 4 ? this.#view.getUint32(offset + headerLength, true) : 0;
    return { offset, length: Math.min(end - offset, nodeLength + padding), type, ok };
  }

  /** The index begins where the newest master node says. */
  checkMaster(): void {
    const { lebLength, lebCount } = this.#values;
    if (this.master === undefined) {
      if (this.#bytes.length < logStart * lebLength) return;
      const place = { offset: lebLength, length: (logStart - 1) * lebLength };
      this.#say(finding('member-missing', place, { member: 'master node', container: 'UBIFS file system' }));
      return;
    }
    const { values, offset } = this.master;
    const { rootLeb, rootOffset, rootLength } = values;
    const root = rootLeb * lebLength + rootOffset;
    if (rootLeb < lebCount && root + headerLength > this.#bytes.length) return;
    const header = rootLeb < lebCount && rootOffset + headerLength <= lebLength ? commonHeader.read(this.#bytes, root) : undefined;
    if (header?.magic === magic && header.type === typeIndex && header.nodeLength === rootLength) return;
    const at = (name: keyof MasterValues): Range => ({ offset: offset + masterNode.at[name].offset, length: masterNode.at[name].length });
    const expected = `an index node of ${rootLength} bytes`;
    const actual = header === undefined ? `block ${rootLeb} of ${lebCount}` : `${hex(header.magic)}, type ${header.type}, ${header.nodeLength} bytes`;
    this.#say(finding('structure-invalid', { ...at('rootLeb'), length: 12 }, { what: 'place of the UBIFS index', expected, actual }));
  }
}

const shownField = ({ name }: Field): boolean => !name.startsWith('padding');

export const ubifs: Format = {
  id: 'ubifs',
  title: 'UBIFS',
  summary: 'The file system made for UBI volumes: the writable overlay on NAND, on some devices the root file system itself.',
  role: 'rootfs',
  kind: 'rootfs',
  references: [
    { title: 'Linux fs/ubifs/ubifs-media.h', url: 'https://github.com/torvalds/linux/blob/v6.12/fs/ubifs/ubifs-media.h' },
    { title: 'mtd-utils mkfs.ubifs', url: 'https://github.com/sigma-star/mtd-utils/tree/v2.1.5/ubifs-utils/mkfs.ubifs' },
  ],
  limitations: [
    'Nodes and their checksums are read; the index is not followed and files are not put together.',
    'The LEB properties tree, which is packed bit by bit, is not read.',
    'A signature of an authenticated file system is not verified.',
  ],
  magics: [{ offset: 0, bytes: magicBytes }],

  detect(bytes) {
    if (bytes.length < headerLength) return bytes.length >= 4 && viewOf(bytes).getUint32(0, true) === magic ? 'maybe' : 'no';
    const header = commonHeader.read(bytes);
    if (header.magic !== magic) return superblockOk(bytes) ? 'maybe' : 'no';
    if (superblockOk(bytes) && possible(superblock.read(bytes))) return 'yes';
    return header.type === typeSuperblock ? 'maybe' : 'no';
  },

  parse(bytes, { budget }): Reading {
    if (bytes.length < superblockLength) {
      const place = { offset: 0, length: bytes.length };
      const cut = finding('header-truncated', place, { what: 'a UBIFS superblock', length: superblockLength, available: bytes.length });
      return truncatedHeader('UBIFS', superblockLength, cut, bytes.length);
    }
    const values = superblock.read(bytes);
    const { lebLength, lebCount, flags, compression } = values;
    const findings: LocalFinding[] = [];
    if (values.magic !== magic) {
      findings.push(finding('magic-damaged', superblock.at.magic, { what: 'the UBIFS superblock', expected: hex(magic), actual: hex(values.magic) }));
    }
    const sensible = possible(values);
    if (!sensible) {
      const place = { offset: superblock.at.lebLength.offset, length: 8 };
      const expected = `blocks of ${smallestLeb} to ${largestLeb} bytes, more than ${layoutOf(values).main} of them`;
      findings.push(finding('structure-invalid', place, { what: 'UBIFS geometry', expected, actual: `${lebCount} of ${lebLength}` }));
    }
    const claimed = sensible ? lebLength * lebCount : superblockLength;
    const length = Math.min(claimed, bytes.length);
    if (claimed > bytes.length) {
      const offset = superblock.at.lebCount.offset;
      findings.push(
        finding('rootfs-truncated', { offset, length: bytes.length - offset }, { claimed, available: bytes.length, missing: claimed - bytes.length }),
      );
    }
    // Without a geometry there is only one block to read: the superblock itself.
    const reader = new Reader(bytes.subarray(0, length), sensible ? values : { ...values, lebLength: superblockLength }, budget);
    reader.read();
    if (sensible) reader.checkMaster();
    const meanings = {
      compression: compressions[compression] ?? 'not defined',
      ...(flags === 0 ? {} : { flags: flagNames.flatMap(([flag, meaning]) => ((flags & flag) === 0 ? [] : [meaning])).join(', ') }),
    };
    const fields = superblock.fields(values, meanings).filter(shownField);
    if (reader.master !== undefined) {
      const own = masterNode.fields(reader.master.values, {}, reader.master.offset).filter(shownField);
      fields.push(...own.map((field) => ({ ...field, name: `master.${field.name}` })));
    }
    for (const [type, count] of [...reader.counts].sort(([a], [b]) => a - b)) {
      fields.push({ name: `nodes.${type}`, offset: 0, length, value: count, meaning: nodeNames[type] ?? 'not defined' });
    }
    return {
      length,
      summary: `UBIFS (${lebCount} blocks of ${lebLength}, ${meanings.compression === 'none' ? 'not compressed' : meanings.compression})`,
      fields,
      regions: reader.regions,
      checks: reader.checks.all(),
      findings: [...findings, ...reader.findings],
      identities: [],
      payloads: [],
    };
  },
};
