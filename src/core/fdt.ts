/**
 * Flattened device trees: the container of device trees (DTB) and of FIT images. All numbers are big endian.
 *
 * A header of 40 bytes points at three blocks: reserved memory, the structure (a stream of tokens aligned to
 * four bytes) and the strings (names of properties). Nothing in it has a checksum.
 *
 * Layout: Devicetree Specification 0.4, chapter 5. Writers: dtc and libfdt.
 */

import { standsAt } from './bytes.ts';
import { OwimgError } from './errors.ts';
import { finding, type LocalFinding, lengthBeyondEnd } from './findings.ts';
import { region, tile } from './format.ts';
import { fromHex, hex, hexBytes, latin1, toBytes } from './hex.ts';
import type { Limits } from './limits.ts';
import { paddingLength, runLength } from './padding.ts';
import { hex32, struct, u32 } from './struct.ts';
import type { Field, Range, Region } from './types.ts';

const header = struct('big', {
  magic: hex32,
  totalLength: u32, // totalsize
  structureOffset: u32, // off_dt_struct
  stringsOffset: u32, // off_dt_strings
  reserveMapOffset: u32, // off_mem_rsvmap
  version: u32,
  lastCompatibleVersion: u32, // last_comp_version
  bootCpu: u32, // boot_cpuid_phys
  stringsLength: u32, // size_dt_strings
  structureLength: u32, // size_dt_struct, since version 17
});

type Header = ReturnType<typeof header.read>;

export const fdtHeaderLength = header.length;
export const fdtMagic = fromHex('d00dfeed');

const tokens = { beginNode: 1, endNode: 2, property: 3, nop: 4, end: 9 } as const;
const oldestVersion = 16;
const newestVersion = 17;
/** As deep as Linux goes (FDT_MAX_DEPTH in drivers/of/fdt.c). */
const deepest = 64;
/** Names are 31 characters by the specification; a few trees have longer ones. */
const longestName = 255;
/** Work of {@link probeFdt}: four steps a token, one a character of a name. In FIT images the node `images` comes first. */
const probedSteps = 2048;
const probedBytes = 1024;
/** A block of names or a list of strings beyond this is no compiler's work: it is not taken apart. */
const largestStrings = 64 * 1024;
const mostNames = 1024;

export interface FdtProperty {
  readonly name: string;
  /** The token with length and name offset behind it; the value follows 12 bytes later. */
  readonly offset: number;
  readonly value: Range;
}

export interface FdtNode {
  readonly name: string;
  readonly offset: number;
  readonly properties: readonly FdtProperty[];
  readonly children: readonly FdtNode[];
}

interface FdtPropertyInput {
  readonly name: string;
  readonly value: Uint8Array;
  /** What fills the value up to a multiple of four, where it is not zeros: libfdt leaves there what was there before. */
  readonly filler?: Uint8Array;
}

/** A node as {@link writeFdt} takes it. */
export interface FdtNodeInput {
  readonly name: string;
  readonly properties: readonly FdtPropertyInput[];
  readonly children: readonly FdtNodeInput[];
}

export interface FdtInput {
  readonly root: FdtNodeInput;
  /**
   * Names of properties in the order of the strings block; ones that are missing follow in the order of the tree.
   * A compiler gives that order; a tool that edits the tree afterwards leaves and adds names.
   */
  readonly strings?: readonly string[];
  readonly reservations?: readonly { readonly address: bigint; readonly length: bigint }[];
  readonly bootCpu?: number;
  readonly lastCompatibleVersion?: number;
  /** What stands behind the strings block and counts to the tree: nothing reads it. mkimage leaves there what was there before. */
  readonly tail?: Uint8Array;
}

export interface Fdt {
  /** How many of the tree's bytes are there. */
  readonly length: number;
  /** The length that the header states. */
  readonly totalLength: number;
  readonly root: FdtNode;
  /** The structure was read to its end; otherwise `root` holds what stands in front of the damage. */
  readonly complete: boolean;
  readonly fields: readonly Field[];
  /** Header and blocks; what was not read of the structure is `unknown`. */
  readonly regions: readonly Region[];
  readonly findings: readonly LocalFinding[];
  /**
   * What {@link writeFdt} makes the same bytes of, with zeros for the values of some properties; absent for
   * layouts that neither dtc nor libfdt writes.
   */
  readonly input?: (blank?: ReadonlySet<FdtProperty>) => FdtInput;
}

type Token =
  | { readonly kind: 'begin'; readonly name: string; readonly next: number; readonly clean: boolean }
  | { readonly kind: 'property'; readonly value: Range; readonly nameOffset: number; readonly next: number }
  | { readonly kind: 'endNode' | 'nop' | 'end'; readonly next: number }
  /** The bytes end inside of the token: the header's length says so already. */
  | { readonly kind: 'cut' }
  | { readonly kind: 'damaged'; readonly finding: LocalFinding };

const aligned = (offset: number): number => Math.ceil(offset / 4) * 4;
const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
const isZero = (bytes: Uint8Array): boolean => bytes.length === 0 || (bytes[0] === 0 && runLength(bytes) === bytes.length);

/** The text from `offset` to its NUL, both before `end`; `undefined` if it is too long or not printable. */
function nameAt(bytes: Uint8Array, offset: number, end: number): string | undefined {
  const window = bytes.subarray(offset, Math.min(end, offset + longestName + 1));
  const length = window.indexOf(0);
  if (length < 0) return undefined;
  const name = window.subarray(0, length);
  return name.every((byte) => byte > 0x20 && byte < 0x7f) ? latin1(name) : undefined;
}

/** Reads one token of a structure block that ends at `end`. */
function readToken(bytes: Uint8Array, offset: number, end: number): Token {
  const damaged = (what: string, expected: string, actual: string, length = 4): Token => {
    const place = { offset, length: Math.max(0, Math.min(length, bytes.length - offset)) };
    return { kind: 'damaged', finding: finding('structure-invalid', place, { what, expected, actual }) };
  };
  if (offset + 4 > end) return damaged('end of the structure block', 'the token 9', 'no token');
  if (offset + 4 > bytes.length) return { kind: 'cut' };
  const view = viewOf(bytes);
  const value = view.getUint32(offset);
  if (value === tokens.endNode) return { kind: 'endNode', next: offset + 4 };
  if (value === tokens.nop) return { kind: 'nop', next: offset + 4 };
  if (value === tokens.end) return { kind: 'end', next: offset + 4 };
  if (value === tokens.beginNode) {
    const name = nameAt(bytes, offset + 4, end);
    if (name === undefined) {
      const nameEnd = Math.min(end, offset + 4 + longestName + 1);
      if (nameEnd > bytes.length) return { kind: 'cut' };
      return damaged('name of a node', `at most ${longestName} printable characters`, 'others', nameEnd - offset);
    }
    const next = aligned(offset + 4 + name.length + 1);
    return { kind: 'begin', name, next, clean: isZero(bytes.subarray(offset + 4 + name.length, next)) };
  }
  if (value !== tokens.property) return damaged('token of the structure block', '1, 2, 3, 4 or 9', hex(value));
  if (offset + 12 > end) return damaged('end of the structure block', 'a property of 12 bytes at least', `${end - offset} bytes`);
  if (offset + 12 > bytes.length) return { kind: 'cut' };
  const length = view.getUint32(offset + 4);
  const valueOffset = offset + 12;
  if (valueOffset + length > end) {
    const at = { offset: offset + 4, length: 4 };
    return { kind: 'damaged', finding: lengthBeyondEnd('a property', at, length, end - valueOffset, Math.min(end, bytes.length)) };
  }
  if (valueOffset + length > bytes.length) return { kind: 'cut' };
  return { kind: 'property', value: { offset: valueOffset, length }, nameOffset: view.getUint32(offset + 8), next: aligned(valueOffset + length) };
}

/** Before version 17 nothing says how long the structure is: up to what follows it. */
function structureEnd(values: Header): number {
  const { structureOffset, structureLength, stringsOffset, reserveMapOffset, totalLength, version } = values;
  if (version >= 17) return structureOffset + structureLength;
  return Math.min(totalLength, ...[stringsOffset, reserveMapOffset].filter((offset) => offset > structureOffset));
}

const isSupported = ({ version, lastCompatibleVersion }: Header): boolean => version >= oldestVersion && lastCompatibleVersion <= newestVersion;

/** What can be told from a few bytes. */
interface FdtProbe {
  /** `sound`: version and offsets fit, and a root node begins where they point. */
  readonly header: 'none' | 'cut' | 'damaged' | 'sound';
  /** The root has a child node of the name asked for. */
  readonly hasChild: boolean;
  /** No byte that the header promises is missing. */
  readonly whole: boolean;
}

/** Looks at the header and at a bounded number of tokens for a child node of the root. Never throws. */
export function probeFdt(bytes: Uint8Array, child: string): FdtProbe {
  const absent = { hasChild: false, whole: false };
  if (!standsAt(bytes, 0, fdtMagic)) return { header: 'none', ...absent };
  if (bytes.length < header.length) return { header: 'cut', ...absent };
  const values = header.read(bytes);
  const { totalLength, structureOffset, stringsOffset, stringsLength, reserveMapOffset } = values;
  const whole = totalLength <= bytes.length;
  const end = structureEnd(values);
  const inside = Math.max(end, stringsOffset + stringsLength, reserveMapOffset + 16) <= totalLength && reserveMapOffset >= 36;
  if (isSupported(values) && inside && structureOffset >= 36 && structureOffset % 4 === 0) {
    const hasChild = walkForChild(bytes, structureOffset, end, child);
    if (hasChild !== undefined) return { header: 'sound', hasChild, whole };
  }
  return { header: 'damaged', hasChild: findNode(bytes, child), whole };
}

/** Whether a name and its NUL stand there. */
function beginsWith(bytes: Uint8Array, offset: number, name: string): boolean {
  for (let index = 0; index < name.length; index += 1) if (bytes[offset + index] !== name.charCodeAt(index)) return false;
  return bytes[offset + name.length] === 0;
}

/** With a damaged header the token that begins a node still tells what this was. */
function findNode(bytes: Uint8Array, name: string): boolean {
  const view = viewOf(bytes);
  const end = Math.min(bytes.length, probedBytes) - 4 - name.length;
  for (let offset = header.length; offset < end; offset += 4) {
    if (view.getUint32(offset) === tokens.beginNode && beginsWith(bytes, offset + 4, name)) return true;
  }
  return false;
}

/**
 * Whether the root has a child node of that name; `undefined` if no root node begins here. It is asked wherever
 * the magic number stands, so it makes no objects for tokens and takes a bounded number of steps.
 */
function walkForChild(bytes: Uint8Array, start: number, end: number, child: string): boolean | undefined {
  const view = viewOf(bytes);
  const limit = Math.min(end, bytes.length) - 4;
  let depth = 0;
  let steps = 0;
  for (let offset = start; offset <= limit && steps < probedSteps; steps += 4) {
    const token = view.getUint32(offset);
    offset += 4;
    if (token === tokens.beginNode) {
      if (depth === 1 && beginsWith(bytes, offset, child)) return true;
      const nameOffset = offset;
      while (offset < limit && bytes[offset] !== 0 && steps < probedSteps) {
        offset += 1;
        steps += 1;
      }
      if (depth === 0 && offset > nameOffset) return undefined;
      offset = aligned(offset + 1);
      depth += 1;
    } else if (token === tokens.property && depth > 0 && offset <= limit) offset = aligned(offset + 8 + view.getUint32(offset));
    else if (token === tokens.endNode && depth > 1) depth -= 1;
    else if (token !== tokens.nop) break;
  }
  return depth > 0 ? false : undefined;
}

interface OpenNode {
  readonly name: string;
  readonly offset: number;
  readonly properties: FdtProperty[];
  readonly children: FdtNode[];
}

interface Structure {
  readonly root: FdtNode;
  readonly complete: boolean;
  /** Where reading ended: behind the last token, or at the damage. */
  readonly end: number;
  readonly findings: readonly LocalFinding[];
  /** Name offsets in use; `undefined` where something stands in it that a writer does not make. */
  readonly names: ReadonlyMap<number, string> | undefined;
}

/** Walks the structure block up to its end or to the first damage. Not recursive: the depth comes from the file. */
function readStructure(bytes: Uint8Array, values: Header, limits: Limits): Structure {
  const end = structureEnd(values);
  const stringsEnd = values.stringsOffset + values.stringsLength;
  const names = new Map<number, string>();
  const findings: LocalFinding[] = [];
  const open: OpenNode[] = [];
  let root: FdtNode | undefined;
  let clean = true;
  let entries = 0;
  let offset = values.structureOffset;
  let complete = false;
  const stop = (entry: LocalFinding): void => void findings.push(entry);
  const invalid = (what: string, expected: string, actual: string): void =>
    stop(finding('structure-invalid', { offset, length: Math.min(4, bytes.length - offset) }, { what, expected, actual }));
  const rest = (): Range => ({ offset, length: Math.min(end, bytes.length) - offset });

  while (!complete) {
    const token = readToken(bytes, offset, end);
    if (token.kind === 'cut') break;
    if (token.kind === 'damaged') {
      stop(token.finding);
      break;
    }
    const node = open.at(-1);
    if (token.kind === 'begin') {
      if (root !== undefined && node === undefined) {
        invalid('structure block', 'one root node', 'a second one');
        break;
      }
      if (node === undefined && token.name !== '') {
        invalid('name of the root node', 'none', `"${token.name}"`);
        break;
      }
      if (open.length >= deepest) {
        stop(finding('nesting-too-deep', rest(), { limit: deepest }));
        break;
      }
      const begun: OpenNode = { name: token.name, offset, properties: [], children: [] };
      if (node === undefined) root = begun;
      else node.children.push(begun);
      open.push(begun);
      clean &&= token.clean;
      entries += 1;
    } else if (token.kind === 'endNode') {
      if (node === undefined) {
        invalid('structure block', 'an open node', 'the end of one');
        break;
      }
      open.pop();
    } else if (token.kind === 'property') {
      if (node === undefined || node.children.length > 0) {
        invalid('place of a property', 'inside of a node, in front of its child nodes', node === undefined ? 'outside of all nodes' : 'behind a child node');
        break;
      }
      const at = { offset: offset + 8, length: 4 };
      if (token.nameOffset >= values.stringsLength) {
        stop(
          lengthBeyondEnd(
            'the strings block with the name of a property',
            at,
            token.nameOffset + 1,
            values.stringsLength,
            Math.min(values.totalLength, bytes.length),
          ),
        );
        break;
      }
      const nameOffset = values.stringsOffset + token.nameOffset;
      const name = names.get(token.nameOffset) ?? nameAt(bytes, nameOffset, stringsEnd);
      if (name === undefined || name === '') {
        if (Math.min(stringsEnd, nameOffset + longestName + 1) > bytes.length) break;
        stop(finding('structure-invalid', at, { what: 'name of a property', expected: `1 to ${longestName} printable characters`, actual: 'others' }));
        break;
      }
      names.set(token.nameOffset, name);
      node.properties.push({ name, offset, value: token.value });
      entries += 1;
    } else if (token.kind === 'end') {
      if (open.length > 0 || root === undefined) {
        invalid('structure block', root === undefined ? 'a root node' : `the end of ${open.length} open nodes`, 'its end');
        break;
      }
      complete = true;
    } else clean = false;
    if (entries > limits.entries) {
      stop(finding('entries-too-many', rest(), { what: 'nodes and properties', limit: limits.entries }));
      break;
    }
    offset = token.next;
  }
  const empty: FdtNode = { name: '', offset: values.structureOffset, properties: [], children: [] };
  return { root: root ?? empty, complete, end: offset, findings, names: clean && complete && offset === end ? names : undefined };
}

interface Reservations {
  readonly entries: readonly { readonly address: bigint; readonly length: bigint; readonly offset: number }[];
  readonly end: number;
  readonly findings: readonly LocalFinding[];
}

/** Pairs of address and length, ended by a pair of zeros. */
function readReservations(bytes: Uint8Array, values: Header, limits: Limits): Reservations {
  const view = viewOf(bytes);
  const entries: { address: bigint; length: bigint; offset: number }[] = [];
  const limit = Math.min(values.totalLength, bytes.length);
  let offset = values.reserveMapOffset;
  for (; offset + 16 <= limit; offset += 16) {
    const address = view.getBigUint64(offset);
    const length = view.getBigUint64(offset + 8);
    if (address === 0n && length === 0n) return { entries, end: offset + 16, findings: [] };
    if (entries.length >= limits.entries) {
      const many = finding('entries-too-many', { offset, length: limit - offset }, { what: 'memory reservations', limit: limits.entries });
      return { entries, end: offset, findings: [many] };
    }
    entries.push({ address, length, offset });
  }
  if (values.totalLength > bytes.length) return { entries, end: offset, findings: [] };
  const args = { what: 'memory reservation map', expected: 'a pair of zeros at its end', actual: 'no end' };
  return { entries, end: offset, findings: [finding('structure-invalid', header.at.reserveMapOffset, args)] };
}

/** Each name stands where a writer finds it first, searching from the start of the block. */
function namesAreFirst(block: string, names: ReadonlyMap<number, string>): boolean {
  if (block.length > largestStrings || names.size > mostNames) return false;
  return [...names].every(([offset, name]) => block.indexOf(`${name}\0`) === offset);
}

function inputOf(bytes: Uint8Array, values: Header, structure: Structure, reservations: Reservations): Fdt['input'] {
  const { version, lastCompatibleVersion, bootCpu, totalLength, structureOffset, stringsOffset, stringsLength, reserveMapOffset } = values;
  const usual = version === newestVersion && reserveMapOffset === header.length && structureOffset === reservations.end && stringsOffset === structure.end;
  if (!usual || structure.names === undefined || totalLength > bytes.length) return undefined;
  const block = latin1(bytes.subarray(stringsOffset, stringsOffset + stringsLength));
  const terminated = block === '' || block.endsWith('\0');
  if (!terminated || !namesAreFirst(block, structure.names)) return undefined;
  return (blank) => {
    const propertyInput = (property: FdtProperty): FdtPropertyInput => {
      const { offset, length } = property.value;
      const value = blank?.has(property) === true ? new Uint8Array(length) : bytes.subarray(offset, offset + length);
      const filler = bytes.subarray(offset + length, aligned(offset + length));
      return { name: property.name, value, ...(isZero(filler) ? {} : { filler }) };
    };
    const nodeInput = ({ name, properties, children }: FdtNode): FdtNodeInput => ({
      name,
      properties: properties.map(propertyInput),
      children: children.map(nodeInput),
    });
    return {
      root: nodeInput(structure.root),
      strings: block.split('\0').slice(0, -1),
      reservations: reservations.entries.map(({ address, length }) => ({ address, length })),
      bootCpu,
      lastCompatibleVersion,
      tail: bytes.subarray(stringsOffset + stringsLength, totalLength),
    };
  };
}

/** Reads the whole tree. The caller has checked that the header is there; damage becomes findings. */
export function readFdt(bytes: Uint8Array, limits: Limits): Fdt {
  const values = header.read(bytes);
  const { totalLength, structureOffset, stringsOffset, stringsLength, reserveMapOffset, version } = values;
  const findings: LocalFinding[] = [];
  const length = Math.max(header.length, Math.min(totalLength, bytes.length));
  const fields = header.fields(values).slice(0, version >= 17 ? undefined : -1);
  const headerRegion = region('header', 'tree header', 0, header.length);
  const damage = (...entries: LocalFinding[]): Fdt => ({
    length,
    totalLength,
    root: { name: '', offset: 0, properties: [], children: [] },
    complete: false,
    fields,
    regions: [headerRegion, region('unknown', 'not read', header.length, length - header.length)],
    findings: entries,
  });
  const invalid = (field: keyof Header, what: string, expected: string, actual: number): LocalFinding =>
    finding('structure-invalid', header.at[field], { what, expected, actual });

  if (version < oldestVersion) return damage(invalid('version', 'version of the device tree', `${oldestVersion} or ${newestVersion}`, version));
  if (values.lastCompatibleVersion > newestVersion) {
    const expected = `at most ${newestVersion}`;
    return damage(invalid('lastCompatibleVersion', 'version that this device tree demands', expected, values.lastCompatibleVersion));
  }
  if (totalLength < header.length) return damage(invalid('totalLength', 'length of the device tree', `at least ${header.length}`, totalLength));
  if (totalLength > bytes.length) findings.push(lengthBeyondEnd('the device tree', header.at.totalLength, totalLength, bytes.length, bytes.length));
  const beyond = (field: keyof Header, what: string, claimed: number): LocalFinding[] =>
    claimed > totalLength ? [lengthBeyondEnd(what, header.at[field], claimed, totalLength, length)] : [];
  const misplaced = [
    ...beyond('structureOffset', 'the tree up to the end of its structure block', structureEnd(values)),
    ...beyond('stringsOffset', 'the tree up to the end of its strings block', stringsOffset + stringsLength),
    ...beyond('reserveMapOffset', 'the tree up to the end of its reservation map', reserveMapOffset + 16),
  ];
  if (misplaced.length > 0) return damage(...findings, ...misplaced);
  if (structureOffset % 4 !== 0) return damage(...findings, invalid('structureOffset', 'offset of the structure block', 'a multiple of 4', structureOffset));

  const reservations = readReservations(bytes, values, limits);
  const structure = readStructure(bytes, values, limits);
  findings.push(...reservations.findings, ...structure.findings);
  const blocks = [
    { field: 'reserveMapOffset', what: 'offset of the reservation map', start: reserveMapOffset, end: reservations.end },
    { field: 'structureOffset', what: 'offset of the structure block', start: structureOffset, end: structureEnd(values) },
    { field: 'stringsOffset', what: 'offset of the strings block', start: stringsOffset, end: stringsOffset + stringsLength },
  ] as const;
  let position = version >= 17 ? header.length : header.length - 4;
  for (const { field, what, start, end } of [...blocks].sort((a, b) => a.start - b.start)) {
    if (start < position && end > start) findings.push(invalid(field, what, `at least ${position}, behind what stands before it`, start));
    position = Math.max(position, end);
  }

  const structureRead = Math.min(structure.end, bytes.length);
  const unread = Math.min(structureEnd(values), bytes.length) - structureRead;
  const lastEnd = Math.max(...blocks.map(({ end }) => end));
  const tail = bytes.subarray(lastEnd, length);
  const tailLabel = paddingLength(tail) === tail.length ? `filled with ${hexBytes(tail.subarray(0, 1))}` : 'left behind by the writer, read by nobody';
  const input = inputOf(bytes, values, structure, reservations);
  return {
    length,
    totalLength,
    root: structure.root,
    complete: structure.complete,
    fields: [
      ...fields,
      ...reservations.entries.slice(0, limits.shown).map(({ address, length: reserved, offset }, index) => ({
        name: `reservation${index}`,
        offset,
        length: 16,
        value: [hex(address, 16), hex(reserved, 16)],
        meaning: 'address and length of memory that the kernel leaves alone',
      })),
    ],
    regions: [
      headerRegion,
      region('header', 'reservation map', reserveMapOffset, reservations.end - reserveMapOffset),
      region('header', 'structure', structureOffset, structureRead - structureOffset),
      ...(structure.complete ? [] : [region('unknown', 'structure, not read', structureRead, unread)]),
      region('header', 'strings', stringsOffset, stringsLength),
      region('padding', tailLabel, lastEnd, length - lastEnd),
    ],
    findings,
    ...(input === undefined ? {} : { input }),
  };
}

/** Tiles `[0, length)` with regions; a gap of zeros or FF is padding, any other is unknown. */
export function tileFdt(bytes: Uint8Array, regions: readonly Region[], length: number): Region[] {
  return tile(regions, 0, length).map((entry) => {
    const gap = bytes.subarray(entry.offset, entry.offset + entry.length);
    if (entry.kind !== 'unknown' || paddingLength(gap) !== gap.length) return entry;
    return { ...entry, kind: 'padding', label: `filled with ${hexBytes(gap.subarray(0, 1))}` };
  });
}

export const propertyOf = (node: FdtNode, name: string): FdtProperty | undefined => node.properties.find((property) => property.name === name);
export const childOf = (node: FdtNode, name: string): FdtNode | undefined => node.children.find((child) => child.name === name);

/** The strings of a value, each with its place; `undefined` if it is not a list of printable texts. */
export function stringsOf(
  bytes: Uint8Array,
  { offset, length }: Range,
): { readonly text: string; readonly offset: number; readonly length: number }[] | undefined {
  if (length === 0 || length > largestStrings) return undefined;
  const value = bytes.subarray(offset, offset + length);
  if (value[length - 1] !== 0 || !value.every((byte) => byte === 0 || (byte >= 0x20 && byte < 0x7f))) return undefined;
  if (value.reduce((count, byte) => (byte === 0 ? count + 1 : count), 0) > mostNames) return undefined;
  const texts = latin1(value).slice(0, -1).split('\0');
  if (texts.length > 1 && texts.includes('')) return undefined;
  let position = offset;
  return texts.map((text) => {
    const place = { text, offset: position, length: text.length };
    position += text.length + 1;
    return place;
  });
}

function checkName(what: string, name: string): void {
  if (name.length > 0 && name.length <= longestName && /^[\x21-\x7e]+$/.test(name)) return;
  throw new OwimgError('bad-value', `Cannot build a ${what} named "${name}": it takes 1 to ${longestName} printable characters without blanks`);
}

/** The tree as dtc and libfdt lay it out: reservations, structure, strings, tail. */
export function writeFdt(input: FdtInput): Uint8Array {
  const { root, strings = [], reservations = [], bootCpu = 0, lastCompatibleVersion = oldestVersion, tail = new Uint8Array(0) } = input;
  let block = strings.map((name) => `${name}\0`).join('');
  const known = new Map<string, number>();
  const nameOffset = (name: string): number => {
    let offset = known.get(name) ?? block.indexOf(`${name}\0`);
    if (offset < 0) {
      offset = block.length;
      block += `${name}\0`;
    }
    known.set(name, offset);
    return offset;
  };

  const parts: Uint8Array[] = [];
  let structureLength = 0;
  const put = (part: Uint8Array, filler?: Uint8Array): void => {
    const filled = new Uint8Array(aligned(part.length) - part.length);
    filled.set(filler?.subarray(0, filled.length) ?? []);
    parts.push(part, filled);
    structureLength += part.length + filled.length;
  };
  const putNumbers = (...numbers: number[]): void => {
    const part = new Uint8Array(numbers.length * 4);
    numbers.forEach((number, index) => {
      viewOf(part).setUint32(index * 4, number);
    });
    put(part);
  };
  const putNode = (node: FdtNodeInput, depth: number): void => {
    if (depth >= deepest) throw new OwimgError('bad-value', `Cannot build a device tree with more than ${deepest} nodes inside each other`);
    if (depth > 0) checkName('node', node.name);
    else if (node.name !== '') throw new OwimgError('bad-value', `Cannot build a root node named "${node.name}": it has no name`);
    putNumbers(tokens.beginNode);
    put(toBytes(`${node.name}\0`));
    for (const { name, value, filler } of node.properties) {
      checkName('property', name);
      putNumbers(tokens.property, value.length, nameOffset(name));
      put(value, filler);
    }
    for (const child of node.children) putNode(child, depth + 1);
    putNumbers(tokens.endNode);
  };
  putNode(root, 0);
  putNumbers(tokens.end);

  const structureOffset = header.length + (reservations.length + 1) * 16;
  const stringsOffset = structureOffset + structureLength;
  const length = stringsOffset + block.length + tail.length;
  if (length > 0xffffffff) throw new OwimgError('bad-value', `Cannot build a device tree of ${length} bytes: the length field has 32 bits`);

  const built = new Uint8Array(length);
  const values = { magic: viewOf(fdtMagic).getUint32(0), totalLength: length, structureOffset, stringsOffset, reserveMapOffset: header.length };
  const rest = { version: newestVersion, lastCompatibleVersion, bootCpu, stringsLength: block.length, structureLength };
  built.set(header.write({ ...values, ...rest }));
  const view = viewOf(built);
  reservations.forEach(({ address, length: reserved }, index) => {
    view.setBigUint64(header.length + index * 16, address);
    view.setBigUint64(header.length + index * 16 + 8, reserved);
  });
  let position = structureOffset;
  for (const part of parts) {
    built.set(part, position);
    position += part.length;
  }
  built.set(toBytes(block), stringsOffset);
  built.set(tail, stringsOffset + block.length);
  return built;
}
