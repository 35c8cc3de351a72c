/**
 * FIT (flattened image tree): a device tree whose node `images` holds kernels, device trees, file systems and
 * whatever else, and whose node `configurations` says which of them boot together. Big endian.
 *
 * The data of an image stands in the tree (`data`), behind it (`data-offset`, counted from the tree's end
 * rounded up to 4) or at a fixed place (`data-position`). Each hash covers exactly the data as stored, none of
 * the properties beside it: those only a signed configuration protects.
 *
 * Layout: U-Boot doc/usage/fit/source_file_format.rst. Writers: U-Boot tools/mkimage with trees by OpenWrt's
 * mkits.sh, mkits-qsdk-ipq-image.sh, mkits-zyxel-fit.sh, mkits-zyxel-fit-filogic.sh.
 */
import { type CodedCheck, compare, crc16Ccitt, crc32, digest } from '../src/core/checksums.ts';
import { OwimgError } from '../src/core/errors.ts';
import {
  childOf,
  type Fdt,
  type FdtInput,
  type FdtNode,
  type FdtNodeInput,
  type FdtProperty,
  fdtHeaderLength,
  fdtMagic,
  probeFdt,
  propertyOf,
  readFdt,
  stringsOf,
  tileFdt,
  writeFdt,
} from '../src/core/fdt.ts';
import { finding, type LocalFinding, lengthBeyondEnd } from '../src/core/findings.ts';
import { type Format, type Payload, type Reading, region, truncatedHeader } from '../src/core/format.ts';
import { byteCount, hex, hexBytes, printable, toBytes } from '../src/core/hex.ts';
import { defaultLimits, type Limits } from '../src/core/limits.ts';
import { paddingLength } from '../src/core/padding.ts';
import type { ComposeUse, DecomposeUse, StepUse } from '../src/core/recipe-step.ts';
import type { Confidence, Field, FieldValue, Identity, Kind, Range, Region } from '../src/core/types.ts';
import { compressions, imageTypes } from './data/uimage.ts';

const imagesNode = 'images';

interface Algorithm {
  readonly length: number;
  /** Absent where owimg cannot compute it. */
  readonly compute?: (data: Uint8Array) => Uint8Array;
}

function bigEndian(value: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => value >>> (8 * (length - 1 - index)));
}

const algorithms: ReadonlyMap<string, Algorithm> = new Map<string, Algorithm>([
  ['crc32', { length: 4, compute: (data) => bigEndian(crc32(data), 4) }],
  ['crc16-ccitt', { length: 2, compute: (data) => bigEndian(crc16Ccitt(data), 2) }],
  ['md5', { length: 16, compute: (data) => digest('md5', [data]) }],
  ['sha1', { length: 20, compute: (data) => digest('sha1', [data]) }],
  ['sha256', { length: 32, compute: (data) => digest('sha256', [data]) }],
  ['sha384', { length: 48, compute: (data) => digest('sha384', [data]) }],
  ['sha512', { length: 64, compute: (data) => digest('sha512', [data]) }],
  ['sm3_256', { length: 32 }],
]);

/** Properties of a configuration that name images; the last two are Broadcom's (pkgtb). */
const references = ['kernel', 'fdt', 'ramdisk', 'loadables', 'firmware', 'fpga', 'script', 'setup', 'standalone', 'tee', 'bootfs', 'rootfs'];

/** Properties that are numbers to people, not addresses. */
const numbers = new Set(['timestamp', '#address-cells', 'data-size', 'data-offset', 'data-position', 'data-size-unciphered']);

/** What `build` takes. Values of hash nodes are computed: what the tree has there only reserves their length. */
export interface FitInput extends FdtInput {
  /** Data behind the tree, where the properties `data-offset` or `data-position` point; offsets from the tree's first byte. */
  readonly external?: readonly { readonly offset: number; readonly data: Uint8Array }[];
}

/** Longest text that is shown of a property. */
const longestText = 4096;
/** U-Boot's own images have at most three. */
const mostHashes = 16;

const slice = (bytes: Uint8Array, { offset, length }: Range): Uint8Array => bytes.subarray(offset, offset + length);
const endOf = ({ offset, length }: Range): number => offset + length;

function text(bytes: Uint8Array, node: FdtNode, name: string): string | undefined {
  const property = propertyOf(node, name);
  return property === undefined ? undefined : printable(slice(bytes, property.value).subarray(0, longestText));
}

function number(bytes: Uint8Array, property: FdtProperty | undefined): number | undefined {
  if (property === undefined || property.value.length < 4) return undefined;
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(property.value.offset);
}

interface Placement {
  /** Where the properties say that it lies; may reach beyond the end. */
  readonly claimed: Range;
  readonly external: boolean;
  /** The numbers that say so. */
  readonly offsetAt: Range;
  readonly lengthAt: Range;
}

/** Where an image's data lies: U-Boot asks for a position first, then for an offset, then for data in the tree. */
function locateData(bytes: Uint8Array, node: FdtNode, totalLength: number): Placement | undefined {
  const position = propertyOf(node, 'data-position');
  const size = propertyOf(node, 'data-size');
  const [place, base] = number(bytes, position) === undefined ? [propertyOf(node, 'data-offset'), Math.ceil(totalLength / 4) * 4] : [position, 0];
  const start = number(bytes, place);
  if (place !== undefined && start !== undefined) {
    const length = number(bytes, size);
    if (size === undefined || length === undefined) return undefined;
    return { claimed: { offset: base + start, length }, external: true, offsetAt: place.value, lengthAt: size.value };
  }
  const data = propertyOf(node, 'data');
  if (data === undefined) return undefined;
  const lengthAt = { offset: data.offset + 4, length: 4 };
  return { claimed: data.value, external: false, offsetAt: lengthAt, lengthAt };
}

interface Hash {
  readonly node: FdtNode;
  readonly algorithm: string;
  readonly algo: FdtProperty | undefined;
  readonly value: FdtProperty | undefined;
  readonly ignored: boolean;
}

const hashesOf = (bytes: Uint8Array, image: FdtNode): Hash[] =>
  image.children
    .filter((child) => child.name.startsWith('hash'))
    .map((node) => ({
      node,
      algorithm: text(bytes, node, 'algo') ?? '',
      algo: propertyOf(node, 'algo'),
      value: propertyOf(node, 'value'),
      ignored: propertyOf(node, 'uboot-ignore') !== undefined,
    }));

/** Whether `build` computes the value: not for one that the boot loader ignores or that owimg cannot compute. */
const isComputed = ({ algorithm, value, ignored }: Hash): boolean =>
  !ignored && value !== undefined && algorithms.get(algorithm)?.compute !== undefined && algorithms.get(algorithm)?.length === value.value.length;

interface Image {
  readonly node: FdtNode;
  readonly type: string;
  readonly compression: string;
  readonly location: Placement | undefined;
  /** What is there of the data; absent if it begins behind the end or lies in other data. */
  readonly data: Range | undefined;
  readonly whole: boolean;
}

interface Content {
  readonly images: readonly Image[];
  readonly findings: readonly LocalFinding[];
}

/** The images and where their data lies. Data that begins behind the end or reaches into other data is not looked at. */
function readImages(bytes: Uint8Array, tree: Fdt, limits: Limits): Content {
  const findings: LocalFinding[] = [];
  const parent = childOf(tree.root, imagesNode);
  const nodes = parent?.children ?? [];
  const place = (node: FdtNode): Range => ({ offset: node.offset, length: Math.min(5 + node.name.length, bytes.length - node.offset) });
  if (parent !== undefined && nodes.length > limits.shown) {
    findings.push(finding('entries-too-many', place(parent), { what: 'images', limit: limits.shown }));
  }
  const shownNodes = nodes.slice(0, limits.shown);
  const starts = shownNodes.flatMap((node) => locateData(bytes, node, tree.totalLength)?.claimed.offset ?? []);
  const taken: Range[] = [];
  const images = shownNodes.map((node): Image => {
    const location = locateData(bytes, node, tree.totalLength);
    const image = {
      node,
      type: (text(bytes, node, 'type') ?? '').toLowerCase(),
      compression: (text(bytes, node, 'compression') ?? '').toLowerCase(),
      location,
    };
    if (location === undefined) {
      // Of a tree that could not be read to its end, the last image may lack anything.
      const isCut = !tree.complete && node === nodes.at(-1);
      if (!isCut) findings.push(finding('member-missing', place(node), { container: `image "${node.name}"`, member: 'data' }));
      return { ...image, data: undefined, whole: false };
    }
    const { claimed, external, offsetAt, lengthAt } = location;
    const what = `the data of image "${node.name}"`;
    if (claimed.offset > bytes.length) {
      findings.push(lengthBeyondEnd(what, offsetAt, endOf(claimed), bytes.length, bytes.length));
      return { ...image, data: undefined, whole: false };
    }
    const available = bytes.length - claimed.offset;
    const whole = claimed.length <= available;
    if (!whole) findings.push(lengthBeyondEnd(what, lengthAt, claimed.length, available, bytes.length));
    // A length that is wrong should not hide the images behind it.
    const next = whole ? bytes.length : Math.min(bytes.length, ...starts.filter((start) => start > claimed.offset));
    const data = { offset: claimed.offset, length: Math.min(claimed.length, next - claimed.offset) };
    const overlaps = taken.some((other) => data.offset < endOf(other) && other.offset < endOf(data));
    if (data.length > 0 && (overlaps || (external && data.offset < tree.length))) {
      const args = { what: `place of ${what}`, expected: 'bytes of its own behind the tree', actual: hex(claimed.offset) };
      findings.push(finding('structure-invalid', offsetAt, args));
      return { ...image, data: undefined, whole: false };
    }
    taken.push(data);
    return { ...image, data, whole };
  });
  return { images, findings };
}

/** Every hash of an image; each algorithm is computed once. In a tree that is cut off, what is missing is no news. */
function checkHashes(bytes: Uint8Array, { node, data, whole }: Image, complete: boolean): { checks: CodedCheck[]; findings: LocalFinding[] } {
  const checks: CodedCheck[] = [];
  const findings: LocalFinding[] = [];
  const computed = new Map<string, Uint8Array>();
  const hashes = hashesOf(bytes, node);
  if (hashes.length > mostHashes) {
    findings.push(finding('entries-too-many', { offset: node.offset, length: 4 }, { what: `hashes in image "${node.name}"`, limit: mostHashes }));
  }
  for (const { node: hash, algorithm, algo, value, ignored } of hashes.slice(0, mostHashes)) {
    const name = `${node.name}/${hash.name}`;
    const invalid = (at: FdtProperty | undefined, what: string, expected: string, actual: string | number): void => {
      if (ignored || (at === undefined && !complete)) return;
      findings.push(finding('structure-invalid', at?.value ?? { offset: hash.offset, length: 4 }, { what: `${what} of hash "${name}"`, expected, actual }));
    };
    const known = algorithms.get(algorithm);
    if (known === undefined) {
      invalid(algo, 'algorithm', [...algorithms.keys()].join(', '), `"${algorithm}"`);
      continue;
    }
    if (value === undefined || value.value.length !== known.length) {
      invalid(value, 'length of the value', `${known.length} bytes for ${algorithm}`, value?.value.length ?? 'no value');
      continue;
    }
    const covers = [...(data === undefined ? [] : [data]), value.value];
    if (known.compute === undefined || data === undefined || !whole) {
      const expected = hexBytes(slice(bytes, value.value));
      checks.push({ code: 'hash-mismatch', name, algorithm, ok: null, expected, actual: null, at: value.value, covers });
      continue;
    }
    const actual = computed.get(algorithm) ?? known.compute(slice(bytes, data));
    computed.set(algorithm, actual);
    const stored = ignored ? null : slice(bytes, value.value);
    checks.push(compare({ code: 'hash-mismatch', name, algorithm, stored, computed: actual, at: value.value, covers }));
  }
  return { checks, findings };
}

/** What U-Boot and OpenWrt's sysupgrade demand of a whole tree. */
function checkRoot(bytes: Uint8Array, root: FdtNode, configurations: FdtNode | undefined, { shown: most }: Limits): LocalFinding[] {
  const findings: LocalFinding[] = [];
  const place = { offset: root.offset, length: 4 };
  const names = new Set(childOf(root, imagesNode)?.children.map(({ name }) => name));
  if (propertyOf(root, 'description') === undefined) {
    const args = { what: 'root node of the FIT', expected: 'a description, without which U-Boot refuses it', actual: 'none' };
    findings.push(finding('structure-invalid', place, args));
  }
  if (names.size === 0) findings.push(finding('member-missing', place, { container: 'FIT', member: 'image' }));
  if (configurations === undefined) return findings;
  const standard = propertyOf(configurations, 'default');
  const name = text(bytes, configurations, 'default');
  if (standard !== undefined && name !== undefined && childOf(configurations, name) === undefined) {
    findings.push(finding('configuration-missing', standard.value, { name }));
  }
  for (const configuration of configurations.children) {
    for (const property of configuration.properties) {
      if (!references.includes(property.name)) continue;
      const list = stringsOf(bytes, property.value);
      if (list === undefined) {
        const args = { what: `${property.name} of configuration "${configuration.name}"`, expected: 'names of images', actual: 'other bytes' };
        findings.push(finding('structure-invalid', property.value, args));
      }
      for (const named of list ?? []) {
        if (names.has(named.text)) continue;
        if (findings.length >= most) return [...findings, finding('entries-too-many', named, { what: 'images missing', limit: most })];
        findings.push(finding('subimage-missing', named, { configuration: configuration.name, property: property.name, name: named.text }));
      }
    }
  }
  return findings;
}

/** U-Boot compares these names with its tables; other readers of FIT images do not. */
function checkNames({ node, type, compression }: Image): LocalFinding[] {
  const check = (property: string, value: string, table: readonly string[]): LocalFinding[] => {
    const at = propertyOf(node, property);
    if (at === undefined || table.includes(value)) return [];
    const args = { what: `${property} of image "${node.name}"`, expected: 'a name that U-Boot knows', actual: `"${value}"` };
    return [finding('structure-invalid', at.value, args)];
  };
  return [...check('type', type, imageTypes), ...check('compression', compression, compressions)];
}

function signatureNotes(bytes: Uint8Array, owner: FdtNode): LocalFinding[] {
  return owner.children
    .filter((child) => child.name.startsWith('signature'))
    .map((node) => {
      const place = propertyOf(node, 'value')?.value ?? { offset: node.offset, length: 4 };
      const algorithm = text(bytes, node, 'algo') ?? 'no algorithm';
      return finding('signature-key-missing', place, { node: `${owner.name}/${node.name}`, algorithm, key: text(bytes, node, 'key-name-hint') ?? '' });
    });
}

/** Trees without configurations are no boot images: vendors' upgrades take them apart by the names of the images. */
function kindOf(images: readonly Image[], configurations: FdtNode | undefined, complete: boolean): Kind {
  const has = (...types: string[]): boolean => images.some(({ type }) => types.includes(type));
  const isPackage = configurations?.children.some((node) => propertyOf(node, 'bootfs') !== undefined) === true;
  const isUnbootable = complete && configurations === undefined && !has('kernel', 'kernel_noload');
  if (isPackage || isUnbootable) return images.length > 0 ? 'factory' : 'unknown';
  if (has('filesystem')) return 'sysupgrade';
  if (has('kernel', 'kernel_noload')) return has('ramdisk') ? 'initramfs' : 'kernel';
  return has('firmware', 'standalone', 'tee', 'loadable') ? 'bootloader' : 'unknown';
}

function shown(bytes: Uint8Array, { name, value }: FdtProperty): { value: FieldValue; meaning?: string } {
  const content = slice(bytes, value);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  if (name === 'data') return { value: value.length, meaning: 'bytes' };
  if (name === 'value') return { value: hexBytes(content) };
  if (value.length === 0) return { value: '', meaning: 'set' };
  if (name === 'timestamp' && value.length === 4) {
    const time = view.getUint32(value.offset);
    return { value: time, meaning: new Date(time * 1000).toISOString().replace('.000', '') };
  }
  if (numbers.has(name) && value.length === 4) return { value: view.getUint32(value.offset) };
  const texts = stringsOf(bytes, value);
  if (texts !== undefined) return { value: texts.length === 1 ? (texts[0]?.text ?? '') : texts.map((entry) => entry.text) };
  if (value.length === 4) return { value: hex(view.getUint32(value.offset)) };
  if (value.length === 8) return { value: hex(view.getBigUint64(value.offset), 16) };
  const start = content.subarray(0, 64);
  return start.length < content.length ? { value: `${hexBytes(start)}…`, meaning: `${content.length} bytes` } : { value: hexBytes(content) };
}

/** The first `most` properties of the tree, named by their paths. */
function fieldsOf(bytes: Uint8Array, node: FdtNode, most: number, path = ''): Field[] {
  const fields = node.properties.slice(0, most).map((property): Field => ({ name: `${path}/${property.name}`, ...property.value, ...shown(bytes, property) }));
  for (const child of node.children) {
    if (fields.length >= most) break;
    fields.push(...fieldsOf(bytes, child, most - fields.length, `${path}/${child.name}`));
  }
  return fields;
}

const propertyCount = ({ properties, children }: FdtNode): number => children.reduce((count, child) => count + propertyCount(child), properties.length);

/** Profile names that OpenWrt writes into descriptions, names for device trees, and Zyxel's model numbers. */
function identitiesOf(bytes: Uint8Array, root: FdtNode, configurations: FdtNode | undefined, { shown: most, entries }: Limits): Identity[] {
  // A name that several configurations give counts once, at its first place.
  const found = new Map<string, Identity>();
  const add = (source: string, value: string, offset: number): void => {
    const key = `${source} ${value}`;
    if (found.size < most && !found.has(key)) found.set(key, { source, value, offset });
  };
  for (const node of configurations?.children ?? []) {
    const description = propertyOf(node, 'description');
    const profile = /^OpenWrt (\S+)$/.exec(text(bytes, node, 'description') ?? '')?.[1];
    if (description !== undefined && profile !== undefined) add('fit.description', profile, description.value.offset + 8);
    const compatible = propertyOf(node, 'compatible');
    for (const { text: value, offset } of compatible === undefined ? [] : (stringsOf(bytes, compatible.value) ?? [])) {
      add('fit.compatible', value, offset);
    }
  }
  const models = propertyOf(root, 'compat-models')?.value ?? { offset: 0, length: 0 };
  for (let index = 0; index < Math.min(Math.floor(models.length / 2), entries); index += 1) {
    const offset = models.offset + index * 2;
    const value = hexBytes(bytes.subarray(offset, offset + 2));
    if (value !== 'ffff') add('fit.compat-models', value, offset);
  }
  return [...found.values()];
}

/** The tree's regions, with the data of images in it and behind it. */
function regionsOf(bytes: Uint8Array, tree: Fdt, images: readonly Image[], length: number): Region[] {
  const data = images.flatMap(({ node, data: range }) =>
    range === undefined || range.length === 0 ? [] : [region('payload', node.name, range.offset, range.length)],
  );
  const inline = data.filter((entry) => entry.offset < tree.length).sort((a, b) => a.offset - b.offset);
  const blocks = tree.regions.flatMap((block): Region[] => {
    const inside = inline.filter((entry) => entry.offset >= block.offset && endOf(entry) <= endOf(block));
    let position = block.offset;
    const pieces: Region[] = [];
    for (const entry of inside) {
      pieces.push({ ...block, offset: position, length: entry.offset - position });
      position = endOf(entry);
    }
    return [...pieces, { ...block, offset: position, length: endOf(block) - position }];
  });
  return tileFdt(bytes, [...blocks, ...data], length);
}

function payloadOf({ node, type, compression, data }: Image, isFactory: boolean): Payload[] {
  if (data === undefined || data.length === 0) return [];
  const content = childOf(node, 'cipher') !== undefined ? 'opaque' : isFactory ? 'slice' : 'one';
  // U-Boot leaves ramdisks to the kernel, whatever the property says.
  const promised = type === 'ramdisk' || compression === '' ? {} : { compression };
  return [{ label: node.name, ranges: [data], content, mayRepeat: type !== 'kernel', ...promised }];
}

/** @throws OwimgError `bad-value` */
function build(input: FitInput): Uint8Array {
  const tree = writeFdt(input);
  const external = input.external ?? [];
  const built = new Uint8Array(external.reduce((end, { offset, data }) => Math.max(end, offset + data.length), tree.length));
  built.set(tree);
  for (const { offset, data } of external) {
    if (offset < tree.length) throw new OwimgError('bad-value', `Cannot put data at ${offset}: the tree ends at ${tree.length}`);
    built.set(data, offset);
  }
  const { images, findings } = readImages(built, readFdt(built, defaultLimits), defaultLimits);
  const problem = findings[0];
  if (problem !== undefined) throw new OwimgError('bad-value', `Cannot build the FIT: ${problem.message}`);
  for (const { node, data } of images) {
    for (const { algorithm, value } of hashesOf(built, node).filter(isComputed)) {
      const hash = data === undefined ? undefined : algorithms.get(algorithm)?.compute?.(slice(built, data));
      if (hash !== undefined && value !== undefined) built.set(hash, value.value.offset);
    }
  }
  return built;
}

/** One of the images that OpenWrt's scripts/mkits-qsdk-ipq-image.sh puts into a FIT, and where its bytes come from. */
interface QsdkImage {
  readonly name: string;
  readonly source: { readonly part: 'kernel' | 'rootfs' } | 'made';
}

/**
 * The images on the script's command line: pairs of a name (of the flash partition that Qualcomm's upgrade writes it to) and a file.
 *
 * @throws OwimgError `step-unknown`
 */
function qsdkImages(use: StepUse): readonly QsdkImage[] {
  const [, , ...words] = use.command('mkits-qsdk-ipq-image.sh');
  const sources: Readonly<Record<string, QsdkImage['source']>> = { '@OUT@': 'made', '@KERNEL@': { part: 'kernel' }, '@ROOTFS@': { part: 'rootfs' } };
  const images = Array.from({ length: Math.floor(words.length / 2) }, (_, index) => {
    const [name, file] = [words[2 * index], words[2 * index + 1]] as [string, string];
    const source = sources[file];
    return source === undefined ? undefined : { name, source };
  });
  const known = images.filter((image) => image !== undefined);
  if (known.length === images.length && images.length > 0 && words.length % 2 === 0) return known;
  throw new OwimgError('step-unknown', `Cannot run the step "${use.name}" of ${use.device.profile}: owimg does not know all that goes into its FIT image`);
}

/** mkimage makes the tree longer by this for every hash, before it adds anything, and leaves what it does not need. */
const roomPerHash = 128;

/** Names of properties as dtc meets them, and behind them those that mkimage adds. */
const qsdkNames = ['description', '#address-cells', 'data', 'type', 'arch', 'compression', 'algo', 'timestamp', 'value'];

/** The FIT that mkimage makes of the tree of scripts/mkits-qsdk-ipq-image.sh. */
function composeQsdk(image: Uint8Array, use: ComposeUse): Uint8Array {
  const time = Number(use.build('epoch'));
  if (!Number.isInteger(time) || time < 0 || time > 0xffffffff) {
    throw new OwimgError('bad-value', `Cannot date a FIT image "${use.build('epoch')}": expected seconds since 1970, 0 to ${0xffffffff}`);
  }
  const string = (name: string, value: string): FdtNodeInput['properties'][number] => ({ name, value: toBytes(`${value}\0`) });
  const images = qsdkImages(use).map(
    ({ name, source }): FdtNodeInput => ({
      name,
      properties: [
        string('description', name),
        { name: 'data', value: source === 'made' ? image : use.part(source.part) },
        string('type', 'firmware'),
        string('arch', 'ARM'),
        string('compression', 'none'),
      ],
      children: [{ name: 'hash@1', properties: [{ name: 'value', value: new Uint8Array(4) }, string('algo', 'crc32')], children: [] }],
    }),
  );
  const root: FdtNodeInput = {
    name: '',
    properties: [
      { name: 'timestamp', value: bigEndian(time, 4) },
      string('description', 'OpenWrt factory image'),
      { name: '#address-cells', value: bigEndian(1, 4) },
    ],
    children: [{ name: imagesNode, properties: [], children: images }],
  };
  // A number takes 16 bytes in the structure; the names are added once.
  const added = 16 * (1 + images.length) + 'timestamp\0value\0'.length;
  return build({ root, strings: qsdkNames, tail: new Uint8Array(roomPerHash * images.length - added) });
}

async function decomposeQsdk(image: Uint8Array, use: DecomposeUse): Promise<Uint8Array> {
  const impossible = (reason: string): OwimgError =>
    new OwimgError('conversion-impossible', `Cannot take the image apart at the step "${use.name}": ${reason}`);
  if (image.length < fdtHeaderLength) throw impossible(`its ${byteCount(image.length)} are no FIT image`);
  const tree = readFdt(image, defaultLimits);
  const nodes = childOf(tree.root, imagesNode)?.children ?? [];
  const planned = qsdkImages(use);
  const other = nodes.find(({ name }) => !planned.some((entry) => entry.name === name));
  if (other !== undefined) throw impossible(`its FIT image "${other.name}" is none of ${planned.map(({ name }) => `"${name}"`).join(', ')}`);
  const behind = image.subarray(tree.length);
  if (paddingLength(behind) !== behind.length) throw impossible(`behind the FIT stand ${byteCount(behind.length)}, which no recipe puts there`);
  let made = image.subarray(0, 0);
  for (const { name, source } of planned) {
    const data = nodes.filter((node) => node.name === name).map((node) => propertyOf(node, 'data'))[0]?.value;
    if (data === undefined || endOf(data) > image.length) throw impossible(`its FIT lacks the data of "${name}"`);
    if (source === 'made') made = slice(image, data);
    else await use.found(source.part, slice(image, data), source.part === 'rootfs');
  }
  const time = number(image, propertyOf(tree.root, 'timestamp'));
  if (time !== undefined && time > 0) use.tells('epoch', String(time));
  return made;
}

export const fit: Format<FitInput> = {
  id: 'fit',
  title: 'Flattened image tree (FIT)',
  summary: 'A device tree that holds kernel, device trees and root file system with a hash for each; what U-Boot boots on newer devices.',
  role: 'kernel',
  kind: 'kernel',
  references: [
    { title: 'U-Boot FIT source file format', url: 'https://github.com/u-boot/u-boot/blob/6073c36b/doc/usage/fit/source_file_format.rst' },
    { title: 'OpenWrt mkits.sh', url: 'https://github.com/openwrt/openwrt/blob/3d1645ee/scripts/mkits.sh' },
    { title: 'OpenWrt mkits-qsdk-ipq-image.sh', url: 'https://github.com/openwrt/openwrt/blob/3d1645ee/scripts/mkits-qsdk-ipq-image.sh' },
    { title: 'OpenWrt mkits-zyxel-fit-filogic.sh', url: 'https://github.com/openwrt/openwrt/blob/3d1645ee/scripts/mkits-zyxel-fit-filogic.sh' },
  ],
  limitations: [
    'Signatures are shown but not verified: the public key lies in the boot loader.',
    'SM3 hashes and dm-verity trees are shown but not computed.',
    'Encrypted images (a node "cipher") are not looked into; their hashes are checked.',
  ],
  magics: [{ offset: 0, bytes: fdtMagic }],

  detect(bytes): Confidence {
    const { header, hasChild } = probeFdt(bytes, imagesNode);
    // A few bytes of a header do not tell which kind of tree it was; files of firmware are FIT images.
    if (header === 'cut') return 'maybe';
    if (!hasChild) return 'no';
    return header === 'sound' ? 'yes' : 'maybe';
  },

  parse(bytes, { budget }): Reading<FitInput> {
    if (bytes.length < fdtHeaderLength) {
      const args = { what: 'the header of a FIT image or a device tree', length: fdtHeaderLength, available: bytes.length };
      return truncatedHeader('FIT', fdtHeaderLength, finding('header-truncated', { offset: 0, length: bytes.length }, args), bytes.length);
    }
    const { limits } = budget;
    const tree = readFdt(bytes, limits);
    const { images, findings: imageFindings } = readImages(bytes, tree, limits);
    const configurations = childOf(tree.root, 'configurations');
    const findings: LocalFinding[] = [...tree.findings, ...imageFindings];
    const checks: CodedCheck[] = [];
    for (const image of images) {
      const hashes = checkHashes(bytes, image, tree.complete);
      checks.push(...hashes.checks);
      findings.push(...hashes.findings, ...(configurations === undefined ? [] : checkNames(image)));
    }
    if (tree.complete) findings.push(...checkRoot(bytes, tree.root, configurations, limits));
    for (const owner of [...images.map(({ node }) => node), ...(configurations?.children ?? [])]) findings.push(...signatureNotes(bytes, owner));

    const external = images.flatMap(({ location, data }) => (location?.external === true && data !== undefined ? [data] : []));
    const length = Math.max(tree.length, ...external.map(endOf));
    const regions = regionsOf(bytes, tree, images, length);
    const isTiled = ({ offset, length: wanted }: Range): boolean =>
      regions.some((entry) => entry.kind === 'payload' && entry.offset === offset && entry.length === wanted);
    // Between and behind data `build` writes zeros.
    const isPlain = regions.every(({ kind, offset }) => kind !== 'unknown' && (kind !== 'padding' || offset < tree.length || bytes[offset] === 0));
    const kind = kindOf(images, configurations, tree.complete);
    const fields = fieldsOf(bytes, tree.root, limits.shown);
    const count = propertyCount(tree.root);
    const { input } = tree;
    const names = images.map(({ node }) => node.name);
    const title = text(bytes, tree.root, 'description') ?? '';
    return {
      length,
      summary: `FIT "${title}" (${names.length > 6 ? `${names.length} images` : names.join(', ')})`,
      kind,
      fields: [...tree.fields, ...fields],
      regions,
      checks,
      findings:
        count > limits.shown
          ? [...findings, finding('list-shortened', { offset: tree.root.offset, length: 4 }, { what: 'properties', count: count - limits.shown })]
          : findings,
      identities: identitiesOf(bytes, tree.root, configurations, limits),
      payloads: images.flatMap((image) => payloadOf(image, kind === 'factory')).filter(({ ranges }) => ranges.every(isTiled)),
      ...(input === undefined || !isPlain || images.some(({ whole }) => !whole)
        ? {}
        : {
            input: () => ({
              ...input(new Set(images.flatMap(({ node }) => hashesOf(bytes, node).filter(isComputed)).flatMap(({ value }) => value ?? []))),
              external: external.map((range) => ({ offset: range.offset, data: slice(bytes, range) })),
            }),
          }),
    };
  },

  build,

  recipeSteps: {
    'qsdk-ipq-factory-nand': { compose: composeQsdk, decompose: decomposeQsdk },
    'qsdk-ipq-factory-nor': { compose: composeQsdk, decompose: decomposeQsdk },
  },
};
