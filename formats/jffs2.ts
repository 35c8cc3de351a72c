/**
 * JFFS2, a log of nodes on NOR (and older NAND) flash: the writable overlay of OpenWrt, a root file system of its
 * own on small devices, and where some boot loaders keep the kernel as a file. It exists in both byte orders.
 *
 * Every node begins on a multiple of 4 with a header of 12 bytes: magic number, type, length, checksum of these
 * first 8 bytes. What follows depends on the type and has checksums of its own. All of them are CRC-32 with start
 * value 0 and without the final inversion. Behind the last node of an erase block all is FF.
 *
 * A system makes a node obsolete by clearing one bit of its type; no checksum covers that bit.
 *
 * Layout: Linux include/uapi/linux/jffs2.h. Writer: mtd-utils mkfs.jffs2.
 */
import { CheckGroups, crc0 } from '../src/core/checksums.ts';
import { finding, type LocalFinding, lengthBeyondEnd } from '../src/core/findings.ts';
import { type Format, type Magic, type Reading, region, truncatedHeader } from '../src/core/format.ts';
import { fromHex, hex, printable } from '../src/core/hex.ts';
import type { Budget } from '../src/core/limits.ts';
import { runLength } from '../src/core/padding.ts';
import { hex16, hex32, bytes as raw, struct, u8, u16, u32 } from '../src/core/struct.ts';
import type { Field, Range, Region } from '../src/core/types.ts';

const common = { magic: hex16, type: hex16, nodeLength: u32 /* totlen */, headerChecksum: hex32 /* hdr_crc */ };

const direntTable = {
  ...common,
  parent: u32, // pino
  version: u32,
  inode: u32, // ino; 0 if the name was deleted
  modified: u32, // mctime
  nameLength: u8, // nsize
  fileType: u8, // type
  unused: raw(2),
  nodeChecksum: hex32,
  nameChecksum: hex32,
};

const inodeTable = {
  ...common,
  inode: u32, // ino
  version: u32,
  mode: u32,
  uid: u16,
  gid: u16,
  fileLength: u32, // isize
  accessed: u32, // atime
  modified: u32, // mtime
  changed: u32, // ctime
  offset: u32,
  packedLength: u32, // csize
  unpackedLength: u32, // dsize
  compression: u8, // compr
  wantedCompression: u8, // usercompr
  flags: u16,
  dataChecksum: hex32,
  nodeChecksum: hex32,
};

const xattrTable = {
  ...common,
  xid: u32,
  version: u32,
  prefix: u8, // xprefix
  nameLength: u8,
  valueLength: u16,
  dataChecksum: hex32,
  nodeChecksum: hex32,
};

const xrefTable = { ...common, inode: u32, xid: u32, sequence: u32 /* xseqno */, nodeChecksum: hex32 };

const summaryTable = {
  ...common,
  entries: u32, // sum_num
  cleanMarker: u32, // cln_mkr
  padded: u32,
  dataChecksum: hex32, // sum_crc
  nodeChecksum: hex32,
};

const tablesOf = (endian: 'little' | 'big') => ({
  header: struct(endian, common),
  dirent: struct(endian, direntTable),
  inode: struct(endian, inodeTable),
  xattr: struct(endian, xattrTable),
  xref: struct(endian, xrefTable),
  summary: struct(endian, summaryTable),
});

const tables = { little: tablesOf('little'), big: tablesOf('big') };

type Endian = keyof typeof tables;

const magic = 0x1985;
const headerLength = tables.little.header.length;
/** Set in a node that counts; cleared in an obsolete one. */
const accurate = 0x2000;
const [typeDirent, typeInode, typeCleanMarker, typePadding, typeSummary, typeXattr, typeXref] = [0xe001, 0xe002, 0x2003, 0x2004, 0x2006, 0xe008, 0xe009];

const typeNames: ReadonlyMap<number, string> = new Map([
  [typeDirent, 'directory entries'],
  [typeInode, 'inodes'],
  [typeCleanMarker, 'clean markers'],
  [typePadding, 'padding nodes'],
  [typeSummary, 'summaries'],
  [typeXattr, 'extended attributes'],
  [typeXref, 'references to extended attributes'],
]);

/**
 * `padjffs2 -J` and `-j` write a padding node of this length as a mark of their own, behind which a boot loader
 * skips the rest of its flash. It is no part of a file system.
 */
const markLength = 0x04000000;
/** DE AD C0 DE, OpenWrt's mark for the end of a file system. */
const endMark = 0xdeadc0de;
/** No node is longer than an erase block: so far the next one is looked for behind damage. */
const longestNode = 256 * 1024;
const rootInode = 1;
const directoryType = 4;
/** Names of the root directory that are shown. */
const shownNames = 64;

const align = (length: number): number => (length + 3) & ~3;
const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

interface Header {
  readonly type: number;
  readonly length: number;
  readonly obsolete: boolean;
}

/** The header at `offset`, if its magic number and checksum are right and its type is one that exists. */
function headerAt(bytes: Uint8Array, view: DataView, offset: number, endian: Endian): Header | undefined {
  const little = endian === 'little';
  if (offset + headerLength > bytes.length || view.getUint16(offset, little) !== magic) return undefined;
  const stored = view.getUint16(offset + 2, little);
  const type = stored | accurate;
  if (!typeNames.has(type)) return undefined;
  let covered = bytes.subarray(offset, offset + 8);
  if (stored !== type) {
    covered = covered.slice();
    viewOf(covered).setUint16(2, type, little);
  }
  if (crc0(covered) !== view.getUint32(offset + 8, little)) return undefined;
  const length = view.getUint32(offset + 4, little);
  return type === typePadding && length === markLength ? undefined : { type, length, obsolete: stored !== type };
}

/** The byte order in which the first node makes sense. */
function endianOf(bytes: Uint8Array): { endian: Endian; proven: boolean } | undefined {
  if (bytes.length < 2) return undefined;
  const view = viewOf(bytes);
  for (const endian of ['little', 'big'] as const) {
    if (view.getUint16(0, endian === 'little') !== magic) continue;
    return { endian, proven: headerAt(bytes, view, 0, endian) !== undefined };
  }
  return undefined;
}

/** Walks the nodes; collects what is to be said of them. */
class Reader {
  readonly checks: CheckGroups;
  readonly findings: LocalFinding[] = [];
  readonly regions: Region[] = [];
  readonly counts = new Map<number, number>();
  readonly names: { readonly name: string; readonly at: Range }[] = [];
  readonly cleanMarkers: number[] = [];
  obsolete = 0;
  directories = 0;
  /** Just past the last node. */
  end = 0;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #endian: Endian;
  readonly #shown: number;
  readonly #most: number;

  constructor(bytes: Uint8Array, endian: Endian, budget: Budget) {
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
    this.#endian = endian;
    this.#shown = budget.limits.shown;
    this.#most = budget.nodes(bytes.length);
    this.checks = new CheckGroups('crc0', this.#shown);
  }

  read(): void {
    let position = 0;
    for (let nodes = 0; position < this.#bytes.length; nodes += 1) {
      if (nodes > this.#most) {
        this.findings.push(
          finding('entries-too-many', { offset: position, length: this.#bytes.length - position }, { what: 'JFFS2 nodes', limit: this.#most }),
        );
        this.#take('unknown', 'not read', this.#bytes.length);
        break;
      }
      const header = headerAt(this.#bytes, this.#view, position, this.#endian);
      if (header !== undefined) position = this.#node(position, header);
      else {
        const next = this.#erasedUpTo(position) ?? this.#damagedUpTo(position);
        if (next === undefined) break;
        position = next;
      }
    }
  }

  #say(entry: LocalFinding): void {
    if (this.findings.length < this.#shown) this.findings.push(entry);
  }

  /** Takes the bytes up to `end` in. */
  #take(kind: Region['kind'], label: string, end: number): void {
    const last = this.regions.at(-1);
    if (last?.label === label) this.regions[this.regions.length - 1] = { ...last, length: end - last.offset };
    else if (end > this.end) this.regions.push(region(kind, label, this.end, end - this.end));
    this.end = end;
  }

  /** Where the next node begins behind erased flash. */
  #erasedUpTo(position: number): number | undefined {
    if (this.#bytes[position] !== 0xff) return undefined;
    const next = position + (runLength(this.#bytes, position) & ~3);
    if (next === position || headerAt(this.#bytes, this.#view, next, this.#endian) === undefined) return undefined;
    this.#take('padding', 'erased', next);
    return next;
  }

  /** Where the next node begins behind something that is none; `undefined` at the end of the file system. */
  #damagedUpTo(position: number): number | undefined {
    const left = this.#bytes.length - position;
    const little = this.#endian === 'little';
    const begins = left >= 2 && this.#view.getUint16(position, little) === magic;
    if (left < headerLength) {
      if (!begins) return undefined;
      this.#say(finding('header-truncated', { offset: position, length: left }, { what: 'a JFFS2 node header', length: headerLength, available: left }));
      this.#take('unknown', 'node, cut off', this.#bytes.length);
      return undefined;
    }
    const isMark = begins && this.#view.getUint32(position + 4, little) === markLength;
    if (isMark || this.#view.getUint32(position) === endMark) return undefined;
    const next = this.#findNode(position + 4);
    if (begins) this.#checkHeader(position);
    else if (next !== undefined) {
      const args = { what: 'magic number of this JFFS2 node', expected: hex(magic, 4), actual: hex(this.#view.getUint16(position, little), 4) };
      this.#say(finding('structure-invalid', { offset: position, length: next - position }, args));
    }
    if (next === undefined && !begins) return undefined;
    this.#take('unknown', 'damaged node', next ?? position + headerLength);
    return next;
  }

  #findNode(from: number): number | undefined {
    const end = Math.min(this.#bytes.length - headerLength, from + longestNode);
    for (let offset = from; offset <= end; offset += 4) {
      if (headerAt(this.#bytes, this.#view, offset, this.#endian) !== undefined) return offset;
    }
    return undefined;
  }

  /** Bytes of a node that a checksum covers: all but the one with the bit that makes it obsolete. */
  #covered(offset: number, length: number): Range[] {
    const uncovered = this.#endian === 'little' ? 3 : 2;
    return [
      { offset, length: uncovered },
      { offset: offset + uncovered + 1, length: length - uncovered - 1 },
    ];
  }

  #checkHeader(offset: number): void {
    this.checks.add('header-crc', () => `the node at ${offset}`, {
      code: 'header-checksum-mismatch',
      stored: this.#view.getUint32(offset + 8, this.#endian === 'little'),
      computed: crc0(this.#slice(offset, 8)),
      at: { offset: offset + 8, length: 4 },
      covers: this.#covered(offset, 8),
    });
  }

  #slice(offset: number, length: number): Uint8Array {
    return this.#bytes.subarray(offset, offset + length);
  }

  /** Reads one node and says where the next one begins. */
  #node(offset: number, { type, length, obsolete }: Header): number {
    const available = this.#bytes.length - offset;
    const at = { offset: offset + 4, length: 4 };
    if (length < headerLength) {
      this.#say(finding('structure-invalid', at, { what: 'length of this JFFS2 node', expected: `at least ${headerLength}`, actual: length }));
    } else if (length > available) this.#say(lengthBeyondEnd('this JFFS2 node', at, length, available, this.#bytes.length));
    this.counts.set(type, (this.counts.get(type) ?? 0) + 1);
    if (type === typeCleanMarker) this.cleanMarkers.push(offset);
    if (obsolete) this.obsolete += 1;
    else {
      this.#checkHeader(offset);
      if (length <= available) this.#content(type, offset, length);
    }
    const next = Math.min(this.#bytes.length, offset + align(Math.max(length, headerLength)));
    this.#take('payload', 'nodes', next);
    return next;
  }

  #content(type: number, offset: number, length: number): void {
    const { dirent, inode, xattr, xref, summary } = tables[this.#endian];
    const fits = ({ length: least }: { length: number }): boolean => {
      if (length >= least) return true;
      const at = { offset: offset + 4, length: 4 };
      this.#say(finding('structure-invalid', at, { what: 'length of this JFFS2 node', expected: `at least ${least}`, actual: length }));
      return false;
    };
    const node = { offset, length };
    if (type === typeDirent && fits(dirent)) {
      const values = dirent.read(this.#bytes, offset);
      this.#checkNode(node, dirent.at.nodeChecksum.offset, dirent.at.nodeChecksum, values.nodeChecksum);
      this.#checkData('name-crc', node, { ...dirent, at: dirent.at.nameChecksum }, values.nameChecksum, values.nameLength);
      this.#name({ offset: offset + dirent.length, length: values.nameLength }, values);
    } else if (type === typeInode && fits(inode)) {
      const values = inode.read(this.#bytes, offset);
      this.#checkNode(node, inode.at.dataChecksum.offset, inode.at.nodeChecksum, values.nodeChecksum);
      this.#checkData('data-crc', node, { ...inode, at: inode.at.dataChecksum }, values.dataChecksum, values.packedLength);
    } else if (type === typeXattr && fits(xattr)) {
      const values = xattr.read(this.#bytes, offset);
      this.#checkNode(node, xattr.at.nodeChecksum.offset, xattr.at.nodeChecksum, values.nodeChecksum);
      this.#checkData('xattr-crc', node, { ...xattr, at: xattr.at.dataChecksum }, values.dataChecksum, values.nameLength + 1 + values.valueLength);
    } else if (type === typeXref && fits(xref)) {
      this.#checkNode(node, xref.at.nodeChecksum.offset, xref.at.nodeChecksum, xref.read(this.#bytes, offset).nodeChecksum);
    } else if (type === typeSummary && fits(summary)) {
      const values = summary.read(this.#bytes, offset);
      this.#checkNode(node, summary.at.dataChecksum.offset, summary.at.nodeChecksum, values.nodeChecksum);
      this.#checkData('summary-crc', node, { ...summary, at: summary.at.dataChecksum }, values.dataChecksum, length - summary.length);
    }
  }

  /** The checksum over the first `length` bytes of a node. */
  #checkNode({ offset }: Range, length: number, at: Range, stored: number): void {
    this.checks.add('node-crc', () => `the node at ${offset}`, {
      code: 'header-checksum-mismatch',
      stored,
      computed: crc0(this.#slice(offset, length)),
      at: { offset: offset + at.offset, length: 4 },
      covers: this.#covered(offset, length),
    });
  }

  /** The checksum over `length` bytes behind a node's fields. */
  #checkData(name: string, { offset, length: nodeLength }: Range, fields: { length: number; at: Range }, stored: number, length: number): void {
    const room = nodeLength - fields.length;
    const data = { offset: offset + fields.length, length };
    if (length > room) {
      const place = { offset, length: fields.length };
      this.#say(finding('structure-invalid', place, { what: 'length of what this JFFS2 node holds', expected: `at most ${room}`, actual: length }));
      return;
    }
    this.checks.add(name, () => `the node at ${offset}`, {
      code: 'data-checksum-mismatch',
      stored,
      computed: crc0(this.#slice(data.offset, data.length)),
      at: { offset: offset + fields.at.offset, length: 4 },
      covers: [data],
    });
  }

  #name(at: Range, { parent, inode, fileType }: { parent: number; inode: number; fileType: number }): void {
    if (inode === 0) return;
    if (fileType === directoryType) this.directories += 1;
    if (parent === rootInode && this.names.length < shownNames) this.names.push({ name: printable(this.#slice(at.offset, at.length)), at });
  }

  /** The most frequent distance of two clean markers, which stand at the start of erase blocks. */
  eraseBlockLength(): number | undefined {
    const counts = new Map<number, number>();
    let best: number | undefined;
    this.cleanMarkers.forEach((offset, index) => {
      const distance = offset - (this.cleanMarkers[index - 1] ?? offset);
      if (distance === 0) return;
      const count = (counts.get(distance) ?? 0) + 1;
      counts.set(distance, count);
      if (best === undefined || count > (counts.get(best) ?? 0)) best = distance;
    });
    return best;
  }
}

const hexText = (text: string): Magic => ({ offset: 0, bytes: fromHex(text) });

export const jffs2: Format = {
  id: 'jffs2',
  title: 'JFFS2',
  summary:
    'A log-structured file system on raw flash: the overlay of OpenWrt on NOR, a root file system on small devices, and where some boot loaders keep the kernel.',
  role: 'rootfs',
  kind: 'rootfs',
  references: [
    { title: 'Linux include/uapi/linux/jffs2.h', url: 'https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/jffs2.h' },
    { title: 'mtd-utils mkfs.jffs2.c', url: 'https://github.com/sigma-star/mtd-utils/blob/v2.1.5/jffsX-utils/mkfs.jffs2.c' },
  ],
  limitations: [
    'Nodes and their checksums are read; files are not put together from them, so a kernel that is kept as a file is not looked into.',
    'Nothing in JFFS2 says how long it is: nodes that are missing at the end, or erase blocks that were never written, do not show.',
  ],
  // What a file system can begin with: a clean marker, or on NAND a directory entry or an inode.
  magics: [hexText('851903200c000000'), hexText('198520030000000c'), hexText('851901e0'), hexText('1985e001'), hexText('851902e0'), hexText('1985e002')],

  detect(bytes) {
    const found = endianOf(bytes);
    if (found?.proven === true) return 'yes';
    if (found === undefined || bytes.length < 4) return 'no';
    const little = found.endian === 'little';
    const view = viewOf(bytes);
    const isMark = bytes.length >= 8 && view.getUint32(4, little) === markLength;
    return typeNames.has(view.getUint16(2, little)) && !isMark ? 'maybe' : 'no';
  },

  parse(bytes, { budget }): Reading {
    const { endian } = endianOf(bytes) ?? { endian: 'little' };
    if (bytes.length < headerLength) {
      const place = { offset: 0, length: bytes.length };
      const cut = finding('header-truncated', place, { what: 'a JFFS2 node header', length: headerLength, available: bytes.length });
      return truncatedHeader('JFFS2', headerLength, cut, bytes.length);
    }
    const reader = new Reader(bytes, endian, budget);
    reader.read();
    const { header } = tables[endian];
    const first = header.read(bytes);
    const whole = { offset: 0, length: reader.end };
    const fields: Field[] = header.fields(first, { type: typeNames.get(first.type) ?? 'not defined' });
    fields.push({ name: 'byteOrder', ...header.at.magic, value: `${endian} endian` });
    const eraseBlockLength = reader.eraseBlockLength();
    if (eraseBlockLength !== undefined) fields.push({ name: 'eraseBlockLength', ...whole, value: eraseBlockLength });
    for (const [type, name] of typeNames) {
      const count = reader.counts.get(type);
      if (count !== undefined) fields.push({ name: `nodes.${hex(type, 4)}`, ...whole, value: count, meaning: name });
    }
    if (reader.obsolete > 0) fields.push({ name: 'obsoleteNodes', ...whole, value: reader.obsolete });
    reader.names.forEach(({ name, at }, index) => {
      fields.push({ name: `rootEntry${index}`, ...at, value: name });
    });
    const names = reader.names.map(({ name }) => name);
    return {
      length: reader.end,
      summary: `JFFS2 (${endian} endian${names.length > 0 ? `, holds ${names.slice(0, 8).join(', ')}${names.length > 8 ? ', …' : ''}` : ''})`,
      // Files but no directory at all: a boot loader's, with a kernel in it.
      kind: names.length > 0 && reader.directories === 0 ? 'kernel' : 'rootfs',
      fields,
      regions: reader.regions,
      checks: reader.checks.all(),
      findings: reader.findings,
      identities: [],
      payloads: [],
    };
  },
};
