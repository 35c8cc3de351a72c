/**
 * ELF: a header of 52 (32 bits) or 64 bytes (64 bits) in either byte order, a table of segments to load and a
 * table of sections. Boot loaders of MikroTik, Octeon and others load a kernel in this form; OpenWrt's
 * second-stage loaders come in it too.
 *
 * It has no checksum and no length: it reaches as far as what its tables name.
 *
 * Layout: System V ABI, chapter 4. Writers: GNU ld, objcopy; `.appended_dtb`: OpenWrt's append-dtb-elf.
 */
import { finding, type LocalFinding, lengthBeyondEnd } from '../src/core/findings.ts';
import { type Format, type Payload, type Reading, region, tile, truncatedHeader } from '../src/core/format.ts';
import { printable } from '../src/core/hex.ts';
import { paddingLength } from '../src/core/padding.ts';
import { hex32, hex32be, bytes as raw, struct, u8, u16, u32, u64 } from '../src/core/struct.ts';
import type { Range, Region } from '../src/core/types.ts';

const identification = {
  magic: hex32be,
  class: u8,
  byteOrder: u8,
  identVersion: u8,
  osAbi: u8,
  abiVersion: u8,
  reserved: raw(7),
  type: u16,
  machine: u16,
  version: u32,
};
const sizes = {
  flags: hex32,
  headerLength: u16, // e_ehsize
  segmentEntryLength: u16, // e_phentsize
  segmentCount: u16, // e_phnum
  sectionEntryLength: u16, // e_shentsize
  sectionCount: u16, // e_shnum
  nameSection: u16, // e_shstrndx
};

type Endian = 'big' | 'little';
type Meanings = Readonly<Record<'class' | 'byteOrder' | 'type' | 'machine', string | undefined>>;

function layout32(endian: Endian) {
  const header = struct(endian, { ...identification, entry: hex32, segmentTable: u32, sectionTable: u32, ...sizes });
  return {
    header,
    fields: (bytes: Uint8Array, meanings: Meanings) => header.fields(header.read(bytes), meanings),
    segment: struct(endian, { type: u32, offset: u32, virtual: u32, physical: u32, length: u32, memoryLength: u32, flags: u32, alignment: u32 }),
    section: struct(endian, {
      name: u32,
      type: u32,
      flags: u32,
      address: u32,
      offset: u32,
      length: u32,
      link: u32,
      info: u32,
      alignment: u32,
      entryLength: u32,
    }),
  };
}

function layout64(endian: Endian) {
  const header = struct(endian, { ...identification, entry: u64, segmentTable: u64, sectionTable: u64, ...sizes });
  return {
    header,
    fields: (bytes: Uint8Array, meanings: Meanings) => header.fields(header.read(bytes), meanings),
    segment: struct(endian, { type: u32, flags: u32, offset: u64, virtual: u64, physical: u64, length: u64, memoryLength: u64, alignment: u64 }),
    section: struct(endian, {
      name: u32,
      type: u32,
      flags: u64,
      address: u64,
      offset: u64,
      length: u64,
      link: u32,
      info: u32,
      alignment: u64,
      entryLength: u64,
    }),
  };
}

/** By class (1, 2) and byte order (1 little, 2 big). */
const layouts = {
  1: { 1: layout32('little'), 2: layout32('big') },
  2: { 1: layout64('little'), 2: layout64('big') },
} as const;

const magic = 0x7f454c46;
const types: readonly string[] = ['none', 'relocatable', 'executable', 'shared', 'core'];
const machines: ReadonlyMap<number, string> = new Map([
  [2, 'SPARC'],
  [3, 'x86'],
  [8, 'MIPS'],
  [20, 'PowerPC'],
  [21, 'PowerPC 64'],
  [40, 'ARM'],
  [62, 'x86-64'],
  [93, 'ARC'],
  [183, 'ARM64'],
  [195, 'ARCv2'],
  [243, 'RISC-V'],
  [258, 'LoongArch'],
]);

/** A segment, a section or a table: where it lies, as far as numbers can say it. */
interface Part extends Range {
  readonly name: string;
  /** Where that is written. */
  readonly at: Range;
}

/** Neither `null` nor `nobits`: the section takes up bytes of the file. */
const takesBytes = (type: number): boolean => type !== 0 && type !== 8;

function layoutOf(bytes: Uint8Array) {
  const [kind, order] = [bytes[4], bytes[5]];
  return (kind === 1 || kind === 2) && (order === 1 || order === 2) ? layouts[kind][order] : undefined;
}

/** The entries of a table that lie in the bytes, `limit` at most. */
function entries<T>(bytes: Uint8Array, table: Part, length: number, limit: number, read: (offset: number) => T): { value: T; at: Range }[] {
  const count = length === 0 ? 0 : Math.floor(Math.max(0, Math.min(table.length, bytes.length - table.offset)) / length);
  return Array.from({ length: Math.min(count, limit) }, (_, index) => {
    const offset = table.offset + index * length;
    return { value: read(offset), at: { offset, length } };
  });
}

export const elf: Format = {
  id: 'elf',
  title: 'ELF',
  summary: 'A program as linkers write it: a kernel that a boot loader loads by its segments, or a second-stage loader.',
  role: 'kernel',
  kind: 'kernel',
  references: [{ title: 'System V ABI, chapter 4: object files', url: 'https://www.sco.com/developers/gabi/2003-12-17/ch4.eheader.html' }],
  limitations: ['It has no checksum. Symbols, relocations and what is in the sections are not read, but for an appended device tree.'],

  detect(bytes) {
    if (bytes.length < 4 || new DataView(bytes.buffer, bytes.byteOffset).getUint32(0) !== magic) return 'no';
    const layout = layoutOf(bytes);
    if (layout === undefined || bytes.length < layout.header.length) return 'maybe';
    const { identVersion, type, headerLength } = layout.header.read(bytes);
    return identVersion === 1 && types[type] !== undefined && headerLength === layout.header.length ? 'yes' : 'maybe';
  },

  parse(bytes, { budget }): Reading {
    const layout = layoutOf(bytes);
    const needed = layout?.header.length ?? 52;
    if (bytes.length < needed) {
      const cut = finding('header-truncated', { offset: 0, length: bytes.length }, { what: 'an ELF header', length: needed, available: bytes.length });
      return truncatedHeader('ELF', needed, cut, bytes.length);
    }
    const findings: LocalFinding[] = [];
    const invalid = (at: Range, what: string, expected: string, actual: number): void => {
      findings.push(finding('structure-invalid', at, { what, expected, actual }));
    };
    if (layout === undefined) {
      if (bytes[4] !== 1 && bytes[4] !== 2) invalid({ offset: 4, length: 1 }, 'ELF class', '1 or 2', bytes[4] as number);
      if (bytes[5] !== 1 && bytes[5] !== 2) invalid({ offset: 5, length: 1 }, 'ELF byte order', '1 or 2', bytes[5] as number);
      const regions = [region('header', 'ELF identification', 0, 16), region('unknown', 'not readable', 16, bytes.length - 16)];
      return { length: bytes.length, summary: 'ELF, damaged', fields: [], regions, checks: [], findings, identities: [], payloads: [] };
    }
    const { header, segment, section } = layout;
    const values = header.read(bytes);
    const { type, machine, headerLength, segmentCount, segmentEntryLength, sectionCount, sectionEntryLength } = values;
    if (values.identVersion !== 1) invalid(header.at.identVersion, 'ELF version', '1', values.identVersion);
    if (types[type] === undefined) invalid(header.at.type, 'ELF type', '0 to 4', type);
    if (headerLength !== header.length) invalid(header.at.headerLength, 'ELF header length', `${header.length}`, headerLength);
    if (segmentCount > 0 && segmentEntryLength !== segment.length) {
      invalid(header.at.segmentEntryLength, 'length of an ELF segment entry', `${segment.length}`, segmentEntryLength);
    }
    if (sectionCount > 0 && sectionEntryLength !== section.length) {
      invalid(header.at.sectionEntryLength, 'length of an ELF section entry', `${section.length}`, sectionEntryLength);
    }

    const segmentTable: Part = {
      name: 'segment table',
      offset: Number(values.segmentTable),
      length: segmentCount * segment.length,
      at: header.at.segmentTable,
    };
    const sectionTable: Part = {
      name: 'section table',
      offset: Number(values.sectionTable),
      length: sectionCount * section.length,
      at: header.at.sectionTable,
    };
    const limit = budget.limits.entries;
    const segments = entries(bytes, segmentTable, segment.length, limit, (offset) => segment.read(bytes, offset)).map(
      ({ value, at }, index): Part => ({ name: `segment ${index}`, offset: Number(value.offset), length: Number(value.length), at }),
    );
    const read = entries(bytes, sectionTable, section.length, limit, (offset) => section.read(bytes, offset));
    const names = read[values.nameSection]?.value;
    const nameOf = (offset: number): string => {
      const start = Number(names?.offset ?? bytes.length) + offset;
      return printable(bytes.subarray(start, start + 64));
    };
    const sections = read
      .filter(({ value }) => takesBytes(value.type))
      .map(({ value, at }): Part => ({ name: nameOf(value.name), offset: Number(value.offset), length: Number(value.length), at }));

    const parts = [segmentTable, sectionTable, ...segments, ...sections].filter((part) => part.length > 0);
    const last = parts.reduce<Part>((far, part) => (part.offset + part.length > far.offset + far.length ? part : far), {
      name: 'header',
      offset: 0,
      length: header.length,
      at: header.at.headerLength,
    });
    const end = last.offset + last.length;
    if (end > bytes.length) findings.push(lengthBeyondEnd(`the ELF file up to its ${last.name}`, last.at, end, bytes.length, bytes.length));
    const length = Math.min(end, bytes.length);
    const described = sections.some((part) => part.length > 0) ? sections : segments;
    const regions = tile(
      [
        region('header', 'ELF header', 0, header.length),
        region('header', segmentTable.name, segmentTable.offset, segmentTable.length),
        region('header', sectionTable.name, sectionTable.offset, sectionTable.length),
        ...described.map((part) => region('payload', part.name || 'section without a name', part.offset, part.length)),
      ],
      0,
      length,
    ).map((entry): Region => (isPadding(bytes, entry) ? { ...entry, kind: 'padding', label: 'to an alignment' } : entry));
    const appended = regions.find((entry) => entry.kind === 'payload' && entry.label === '.appended_dtb');
    const payloads: Payload[] = appended === undefined ? [] : [{ label: appended.label, ranges: [{ offset: appended.offset, length: appended.length }] }];
    const meanings = {
      class: bytes[4] === 1 ? '32 bits' : '64 bits',
      byteOrder: bytes[5] === 1 ? 'little endian' : 'big endian',
      type: types[type],
      machine: machines.get(machine),
    };
    return {
      length,
      summary: `ELF (${meanings.class} ${meanings.byteOrder} ${meanings.machine ?? `machine ${machine}`}, ${meanings.type ?? `type ${type}`})`,
      kind: type === 2 || type === 3 ? 'kernel' : 'unknown',
      fields: layout.fields(bytes, meanings),
      regions,
      checks: [],
      findings,
      identities: [],
      payloads,
    };
  },
};

function isPadding(bytes: Uint8Array, { kind, offset, length }: Region): boolean {
  return kind === 'unknown' && paddingLength(bytes.subarray(offset, offset + length)) === length;
}
