/**
 * Image tag of Broadcom's CFE on bcm63xx DSL routers: 256 bytes in front of a kernel and a root file system.
 * Lengths and addresses are decimal digits in ASCII, filled up with NUL; the checksums are binary, big endian,
 * all CRC-32 without the final inversion: one over the tag in front of it, one over all that follows the tag,
 * one over the root file system and one over the kernel.
 *
 * OpenWrt puts the kernel first and gives its address as the root file system's too, for that is where CFE
 * begins to write; so the checksum "over the root file system" covers as many bytes from the kernel on. Images
 * of vendors have the root file system first. CFE writes flashRootLength + kernelLength bytes in both. A
 * kernel is {load address, entry, length} and LZMA data, as a rule without the eight bytes of its length.
 *
 * Layout: Broadcom bcmTag.h, firmware-utils bcm_tag.h. Writers: firmware-utils imagetag, zyxbcm, spw303v.
 */
import { joined } from '../src/core/bytes.ts';
import { type CodedCheck, compare, jamcrc, zeros } from '../src/core/checksums.ts';
import { OwimgError } from '../src/core/errors.ts';
import { finding, type LocalFinding, lengthBeyondEnd } from '../src/core/findings.ts';
import { type Format, type Payload, type Reading, region, tile, truncatedHeader } from '../src/core/format.ts';
import { fromHex, hex, latin1, printable, toBytes } from '../src/core/hex.ts';
import { paddingLength } from '../src/core/padding.ts';
import { type ComposeUse, optionWord } from '../src/core/recipe-step.ts';
import { hex32, bytes as rawBytes, rawText, struct, u32 } from '../src/core/struct.ts';
import type { Confidence, Field, Range, Region } from '../src/core/types.ts';
import { fileKey, flagKey, numberKey, optionalNumberKey, textKey, wrapping } from '../src/core/wrap.ts';
import { kernelOnlyBoards, tcomSuffix } from './data/imagetag.ts';

const tag = struct('big', {
  tagVersion: rawText(4),
  signature1: rawText(20), // sig_1
  signature2: rawText(14), // sig_2
  chipId: rawText(6),
  boardId: rawText(16),
  bigEndian: rawText(2),
  totalLength: rawText(10),
  cfeAddress: rawText(12),
  cfeLength: rawText(10),
  flashImageStart: rawText(12),
  flashRootLength: rawText(10),
  kernelAddress: rawText(12),
  kernelLength: rawText(10),
  middle: rawBytes(78),
  imageChecksum: hex32, // imageCRC
  rootfsChecksum: hex32,
  kernelChecksum: hex32,
  imageSequence: rawText(4),
  realRootfsLength: u32, // rootLength
  headerChecksum: hex32,
  reserved: rawBytes(16), // reserved2
});

const numberNames = ['totalLength', 'cfeAddress', 'cfeLength', 'flashImageStart', 'flashRootLength', 'kernelAddress', 'kernelLength'] as const;
const addressNames: readonly string[] = ['cfeAddress', 'flashImageStart', 'kernelAddress'];

const marks = { dualImage: rawText(2), inactiveFlag: rawText(2), rsaText: rawText(20) };

/** What stands in the middle of the tag; the tag does not say which of these it is. */
const middles = {
  broadcom: struct('big', { ...marks, information1: rawText(30), layoutVersion: rawText(4), bodyChecksum: hex32, information2: rawText(16) }),
  zyxel: struct('big', {
    ...marks,
    information1: rawText(20),
    flashImageEnd: rawText(12),
    bodyChecksum: hex32,
    unused: rawBytes(2),
    information2: rawText(16),
  }),
  tcom: struct('big', { certificates: rawBytes(78) }),
};
type Variant = keyof typeof middles;

const variantTitles: Readonly<Record<Variant, string>> = { broadcom: 'CFE image tag', zyxel: 'CFE image tag of ZyXEL', tcom: 'CFE image tag of T-Com' };
const signature = 'Broadcom Corporatio';
const tcomSignature = 'AAAAAAAA Corporatio';
/** As much of a signature as tells that this is a tag. */
const signatureStarts = [signature, tcomSignature].map((text) => text.slice(0, 13));
const tcomBytes = fromHex(tcomSuffix);

/** The header's checksum covers the tag up to itself. */
const headerCovered = tag.at.headerChecksum.offset;

const kernelHeader = struct('big', { load: hex32, entry: hex32, dataLength: u32 });
const defaults = { tagVersion: '6', signature1: signature, signature2: 'ver. 2.0', bigEndian: '1' };
/** What tells the kernel where the flash behind the root file system is free: DE AD C0 DE. */
const endOfFilesystem = fromHex('deadc0de');

/** Larger than the flash of any device that has a CFE. */
const largestPart = 256 * 1024 * 1024;

/** The texts of a tag, as long as their fields at most. */
export interface ImagetagTexts {
  readonly chipId: string;
  readonly boardId: string;
  readonly tagVersion?: string;
  readonly signature1?: string;
  readonly signature2?: string;
  readonly bigEndian?: string;
  readonly dualImage?: string;
  readonly inactiveFlag?: string;
  readonly rsaText?: string;
  readonly information1?: string;
  readonly layoutVersion?: string;
  readonly information2?: string;
  readonly imageSequence?: string;
}

/** What `build` takes. */
export interface ImagetagInput {
  readonly texts: ImagetagTexts;
  readonly variant?: Variant;
  /** In the variant of T-Com: what stands in the place of most texts. */
  readonly certificates?: Uint8Array;
  readonly reserved?: Uint8Array;
  /** A boot loader in front of all else. Broadcom's own tool lets the checksum of the image cover it, imagetag does not. */
  readonly cfe?: { readonly address: number; readonly data: Uint8Array; readonly covered: boolean };
  /** Where in the flash the first byte behind the tag and the boot loader belongs. */
  readonly flashImageStart: number;
  readonly order: 'kernel-first' | 'rootfs-first';
  /** With its header of 12 bytes and what fills it up to the root file system. */
  readonly kernel: Uint8Array;
  readonly rootfs: Uint8Array;
  readonly realRootfsLength: number;
  /** Only where it is not the number of bytes that the checksum of the image covers. */
  readonly totalLength?: number;
}

/** The digits in front of the first other character; 0 for an empty field, NaN for one without digits. */
function decimal(raw: Uint8Array): number {
  const text = printable(raw);
  return text === '' ? 0 : Number(/^\d+/.exec(text)?.[0] ?? Number.NaN);
}

function sameText(bytes: Uint8Array, offset: number, text: string): boolean {
  return latin1(bytes.subarray(offset, offset + text.length)) === text;
}

const textNames = [
  ...['chipId', 'boardId', 'tagVersion', 'signature1', 'signature2', 'bigEndian', 'dualImage', 'inactiveFlag', 'rsaText'],
  ...['information1', 'layoutVersion', 'information2', 'imageSequence'],
];

function textsOf(values: Readonly<Record<string, unknown>>): ImagetagTexts {
  const present = textNames.flatMap((name) => (values[name] instanceof Uint8Array ? [[name, latin1(values[name]).replace(/\0+$/, '')]] : []));
  return Object.fromEntries(present) as ImagetagTexts;
}

const isDigits = (raw: Uint8Array): boolean => /^\d+$/.test(printable(raw));

/** The stretches that a tag describes; lengths that are no numbers count as 0. */
interface Layout {
  readonly order: ImagetagInput['order'];
  readonly orderKnown: boolean;
  readonly cfe: Range;
  readonly kernel: Range;
  readonly rootfs: Range;
  /** Kernel and root file system. */
  readonly body: Range;
  /** What the checksum that is named after the root file system covers. */
  readonly rootfsCovered: Range;
}

type Numbers = Readonly<Record<(typeof numberNames)[number], number>>;

function layoutOf({ cfeLength, flashImageStart, flashRootLength, kernelAddress, kernelLength }: Omit<Numbers, 'totalLength'>): Layout {
  const start = tag.length + cfeLength;
  const distance = kernelAddress - flashImageStart;
  const rootfsFirst = distance === flashRootLength && flashRootLength > 0;
  return {
    order: rootfsFirst ? 'rootfs-first' : 'kernel-first',
    orderKnown: rootfsFirst || distance === 0,
    cfe: { offset: tag.length, length: cfeLength },
    kernel: { offset: rootfsFirst ? start + flashRootLength : start, length: kernelLength },
    rootfs: { offset: rootfsFirst ? start : start + kernelLength, length: flashRootLength },
    body: { offset: start, length: flashRootLength + kernelLength },
    rootfsCovered: { offset: start, length: flashRootLength },
  };
}

interface Middle {
  readonly variant: Variant;
  readonly fields: readonly Field[];
  readonly values: Readonly<Record<string, unknown>>;
  /** The second copy of the checksum over kernel and root file system. */
  readonly copy?: { readonly stored: number; readonly at: Range };
}

/** The signature tells T-Com's tag; ZyXEL's has the flash address behind the image where others have text or nothing. */
function readMiddle(bytes: Uint8Array, signature1: string, flashEnd: number): Middle {
  const { offset } = tag.at.middle;
  if (signature1.startsWith(tcomSignature)) {
    const values = middles.tcom.read(bytes);
    return { variant: 'tcom', values, fields: middles.tcom.fields(values, {}, offset) };
  }
  const zyxel = middles.zyxel.read(bytes);
  const variant = printable(zyxel.flashImageEnd) === String(flashEnd) ? 'zyxel' : 'broadcom';
  const { at } = middles[variant];
  const copyAt = { offset: offset + at.bodyChecksum.offset, length: at.bodyChecksum.length };
  if (variant === 'zyxel') {
    const fields = middles.zyxel
      .fields(zyxel, { flashImageEnd: hex(flashEnd) }, offset)
      .map((field) => (field.name === 'flashImageEnd' ? { ...field, value: flashEnd } : field));
    return { variant, values: zyxel, fields, copy: { stored: zyxel.bodyChecksum, at: copyAt } };
  }
  const values = middles.broadcom.read(bytes);
  return { variant, values, fields: middles.broadcom.fields(values, {}, offset), copy: { stored: values.bodyChecksum, at: copyAt } };
}

const suffixOf = (variant: Variant): readonly Uint8Array[] => (variant === 'tcom' ? [tcomBytes] : []);

function checksumOf(bytes: Uint8Array, { offset, length }: Range, suffix: readonly Uint8Array[] = []): number {
  return jamcrc(bytes.subarray(offset, offset + length), ...suffix);
}

type Part = 'header' | 'image' | 'rootfs' | 'kernel';

/** A kernel's header, its data and what fills it up; as much as there is of it. */
function readKernel(bytes: Uint8Array, { offset, length }: Range): { fields: Field[]; regions: Region[]; payloads: Payload[]; findings: LocalFinding[] } {
  const end = Math.min(bytes.length, offset + length);
  if (end - offset < kernelHeader.length) return { fields: [], regions: [region('payload', 'kernel', offset, end - offset)], payloads: [], findings: [] };
  const values = kernelHeader.read(bytes, offset);
  const fields = kernelHeader.fields(values, {}, offset).map((field) => ({ ...field, name: `kernel.${field.name}` }));
  const findings: LocalFinding[] = [];
  const dataOffset = offset + kernelHeader.length;
  const room = length - kernelHeader.length;
  if (values.dataLength > room) {
    const place = { offset: offset + kernelHeader.at.dataLength.offset, length: 4 };
    findings.push(finding('structure-invalid', place, { what: "length in the kernel's header", expected: `at most ${room}`, actual: values.dataLength }));
  }
  const data = { offset: dataOffset, length: Math.min(values.dataLength, end - dataOffset) };
  const rest = bytes.subarray(data.offset + data.length, end);
  const filled = paddingLength(rest) === rest.length;
  return {
    fields,
    regions: [
      region('header', 'kernel header', offset, kernelHeader.length),
      region('payload', 'kernel', data.offset, data.length),
      region(filled ? 'padding' : 'unknown', filled ? 'up to the end of the kernel' : 'behind the kernel', data.offset + data.length, rest.length),
    ],
    payloads: data.length === 0 ? [] : [{ label: 'kernel', ranges: [data], ...kernelCoding(bytes.subarray(data.offset, data.offset + data.length)) }],
    findings,
  };
}

/** Whether LZMA data has its length behind the five bytes of properties: only then can it be unpacked by itself. */
function kernelCoding(data: Uint8Array): Pick<Payload, 'compression' | 'content'> {
  const length = data.subarray(5, 13);
  const known = length.length === 8 && data[13] === 0 && (length.every((byte) => byte === 0xff) || length.subarray(4).every((byte) => byte === 0));
  return known ? { compression: 'lzma' } : { content: 'opaque' };
}

function build(input: ImagetagInput): Uint8Array {
  const { variant = 'broadcom', cfe, kernel, rootfs, flashImageStart, order } = input;
  const parts = [...(cfe === undefined ? [] : [cfe.data]), ...(order === 'kernel-first' ? [kernel, rootfs] : [rootfs, kernel])];
  const image = new Uint8Array(parts.reduce((sum, part) => sum + part.length, tag.length));
  let end = tag.length;
  for (const part of parts) {
    image.set(part, end);
    end += part.length;
  }
  const numbers = {
    cfeAddress: cfe?.address ?? 0,
    cfeLength: cfe?.data.length ?? 0,
    flashImageStart,
    flashRootLength: rootfs.length,
    kernelAddress: order === 'kernel-first' ? flashImageStart : flashImageStart + rootfs.length,
    kernelLength: kernel.length,
  };
  const layout = layoutOf(numbers);
  const all = { offset: tag.length, length: image.length - tag.length };
  const covered = kernelOnlyBoards.includes(input.texts.boardId) ? layout.kernel : cfe?.covered === true ? all : layout.body;
  const totalLength = input.totalLength ?? (cfe?.covered === true ? all : layout.body).length;

  const fitting = (name: string, value: string, room: number): Uint8Array => {
    if (value.length <= room) return toBytes(value);
    throw new OwimgError('bad-value', `Cannot write "${value}" as ${name} of an image tag: it has room for ${room} characters`);
  };
  const texts: ImagetagTexts = { ...defaults, ...(variant === 'tcom' ? { signature1: tcomSignature } : {}), ...input.texts };
  const text = (name: keyof ImagetagTexts, room: number): Uint8Array => fitting(name, texts[name] ?? '', room);
  const number = (name: keyof Numbers): Uint8Array => fitting(name, String({ ...numbers, totalLength }[name]), tag.at[name].length);
  const shared = { dualImage: text('dualImage', 2), inactiveFlag: text('inactiveFlag', 2), rsaText: text('rsaText', 20) };
  const bodyChecksum = checksumOf(image, layout.body);
  const middle = {
    broadcom: () =>
      middles.broadcom.write({
        ...shared,
        information1: text('information1', 30),
        layoutVersion: text('layoutVersion', 4),
        bodyChecksum,
        information2: text('information2', 16),
      }),
    zyxel: () =>
      middles.zyxel.write({
        ...shared,
        information1: text('information1', 20),
        flashImageEnd: fitting('flashImageEnd', String(flashImageStart + layout.body.length), 12),
        bodyChecksum,
        unused: zeros(2),
        information2: text('information2', 16),
      }),
    tcom: () => middles.tcom.write({ certificates: input.certificates ?? zeros(middles.tcom.length) }),
  }[variant]();
  const values = {
    tagVersion: text('tagVersion', 4),
    signature1: text('signature1', 20),
    signature2: text('signature2', 14),
    chipId: text('chipId', 6),
    boardId: text('boardId', 16),
    bigEndian: text('bigEndian', 2),
    totalLength: number('totalLength'),
    cfeAddress: number('cfeAddress'),
    cfeLength: number('cfeLength'),
    flashImageStart: number('flashImageStart'),
    flashRootLength: number('flashRootLength'),
    kernelAddress: number('kernelAddress'),
    kernelLength: number('kernelLength'),
    middle,
    imageChecksum: checksumOf(image, covered, suffixOf(variant)),
    rootfsChecksum: checksumOf(image, layout.rootfsCovered),
    kernelChecksum: checksumOf(image, layout.kernel),
    imageSequence: text('imageSequence', 4),
    realRootfsLength: input.realRootfsLength,
    reserved: input.reserved ?? zeros(16),
  };
  const headerChecksum = jamcrc(tag.write({ ...values, headerChecksum: 0 }).subarray(0, headerCovered));
  image.set(tag.write({ ...values, headerChecksum }));
  return image;
}

export const imagetag: Format<ImagetagInput> = {
  id: 'imagetag',
  title: 'Broadcom CFE image tag (bcm63xx)',
  summary:
    'What CFE on bcm63xx DSL routers takes over TFTP or its web page: a tag of 256 bytes with board, chip and four checksums, a kernel and a root file system.',
  role: 'wrapper',
  kind: 'factory',
  references: [
    { title: 'firmware-utils bcm_tag.h', url: 'https://github.com/openwrt/firmware-utils/blob/d21804ad/src/bcm_tag.h' },
    { title: 'firmware-utils imagetag.c', url: 'https://github.com/openwrt/firmware-utils/blob/d21804ad/src/imagetag.c' },
    { title: 'firmware-utils zyxbcm.c', url: 'https://github.com/openwrt/firmware-utils/blob/d21804ad/src/zyxbcm.c' },
    { title: 'firmware-utils spw303v.c', url: 'https://github.com/openwrt/firmware-utils/blob/d21804ad/src/spw303v.c' },
  ],
  limitations: [
    'A kernel whose LZMA data lacks its length is not unpacked.',
    'The addresses and lengths of certificates in the tag of T-Com are shown as bytes.',
  ],
  magics: [signature, tcomSignature].map((text) => ({ offset: tag.at.signature1.offset, bytes: toBytes(text) })),

  wrap: wrapping(
    'kernel: LZMA data as it is to lie in the image',
    {
      rootfs: fileKey('root file system'),
      boardId: textKey('board id, which CFE and the web page compare: 96348GW-11', tag.at.boardId.length),
      chipId: textKey('chip: 6348', tag.at.chipId.length),
      load: numberKey('address to which CFE unpacks the kernel'),
      entry: optionalNumberKey('address at which it is started; the load address if not given'),
      flashImageStart: numberKey('where the first byte behind the tag belongs in the flash', { initial: '0xbfc10100' }),
      blockSize: numberKey('erase block, up to which the root file system is filled', { initial: '0x10000' }),
      alignRootfs: flagKey('the root file system begins at an erase block, not at a multiple of 4'),
      minimumLength: numberKey('bytes behind the tag that there must be', { initial: '0' }),
      tagVersion: textKey('version of the tag', tag.at.tagVersion.length, { initial: defaults.tagVersion }),
      signature1: textKey('first signature', tag.at.signature1.length, { initial: defaults.signature1 }),
      signature2: textKey('second signature', tag.at.signature2.length, { initial: defaults.signature2 }),
      rsaText: textKey('text that some vendors compare', 20, { initial: '' }),
      information1: textKey('text', 30, { initial: '' }),
      information2: textKey('text', 16, { initial: '' }),
      layoutVersion: textKey('version of the layout', 4, { initial: '' }),
      dualImage: textKey('flag for a second image', 2, { initial: '' }),
      inactiveFlag: textKey('flag of an inactive image', 2, { initial: '' }),
      imageSequence: textKey('sequence number', 4, { initial: '' }),
    },
    (kernel, values): ImagetagInput => {
      const { rootfs, load, entry = load, flashImageStart, blockSize, alignRootfs, minimumLength, ...texts } = values;
      if (blockSize === 0 || Math.max(blockSize, minimumLength) > largestPart)
        throw new OwimgError('bad-value', 'Cannot lay out the image: expected a blockSize and a minimumLength of flash, 256 MiB at most');
      return { texts, ...imagetagParts({ kernel, load, entry, rootfs, flashImageStart, blockSize, alignRootfs, minimumLength }) };
    },
  ),

  detect(bytes): Confidence {
    const { offset } = tag.at.signature1;
    if (bytes.length < tag.length) {
      const start = latin1(bytes.subarray(offset, offset + 13));
      return start.length >= 8 && signatureStarts.some((text) => text.startsWith(start)) ? 'maybe' : 'no';
    }
    const versionFits = (bytes[0] as number) >= 0x30 && (bytes[0] as number) <= 0x39;
    const signed = signatureStarts.some((text) => sameText(bytes, offset, text));
    if (!versionFits) return signed ? 'maybe' : 'no';
    const values = tag.read(bytes);
    if (jamcrc(bytes.subarray(0, headerCovered)) === values.headerChecksum) return 'yes';
    return signed || numberNames.every((name) => isDigits(values[name])) ? 'maybe' : 'no';
  },

  parse(bytes): Reading<ImagetagInput> {
    if (bytes.length < tag.length) {
      const cut = finding('header-truncated', { offset: 0, length: bytes.length }, { what: 'a CFE image tag', length: tag.length, available: bytes.length });
      return truncatedHeader('CFE image tag', tag.length, cut, bytes.length);
    }
    const values = tag.read(bytes);
    const findings: LocalFinding[] = [];
    const numbers = Object.fromEntries(
      numberNames.map((name) => {
        const number = decimal(values[name]);
        if (Number.isNaN(number)) {
          findings.push(
            finding('structure-invalid', tag.at[name], { what: `${name} of the image tag`, expected: 'decimal digits', actual: printable(values[name]) }),
          );
        }
        return [name, Number.isNaN(number) ? 0 : number];
      }),
    ) as Numbers;
    const { totalLength } = numbers;
    const layout = layoutOf(numbers);
    const { body, kernel, cfe } = layout;
    const boardId = printable(values.boardId);
    const middle = readMiddle(values.middle, printable(values.signature1), numbers.flashImageStart + body.length);
    const { variant } = middle;

    if (!layout.orderKnown) {
      const expected = `${numbers.flashImageStart} (kernel first) or ${numbers.flashImageStart + numbers.flashRootLength} (root file system first)`;
      findings.push(finding('structure-invalid', tag.at.kernelAddress, { what: 'kernelAddress of the image tag', expected, actual: numbers.kernelAddress }));
    }
    const within = ({ offset, length }: Range): boolean => offset + length <= bytes.length;
    // imagetag counts from behind the boot loader, Broadcom's own tool from in front of it, and CFE goes by totalLength.
    const stretches: readonly Range[] = kernelOnlyBoards.includes(boardId)
      ? [kernel]
      : [body, { offset: tag.length, length: cfe.length + body.length }, { offset: tag.length, length: totalLength }];
    const proven = stretches.find((range) => within(range) && checksumOf(bytes, range, suffixOf(variant)) === values.imageChecksum);
    const covered = proven ?? (stretches[0] as Range);
    const claimed = Math.max(body.offset + body.length, tag.length + totalLength);
    const length = Math.min(claimed, bytes.length);
    if (claimed > bytes.length) {
      findings.push(lengthBeyondEnd('the image', tag.at.totalLength, claimed - tag.length, bytes.length - tag.length, bytes.length));
    } else if (proven === body && totalLength < body.length) {
      findings.push(finding('length-understated', tag.at.totalLength, { field: 'totalLength', claimed: totalLength, actual: body.length }));
    }

    const check = (part: Part, stored: number | null, at: Range, range: Range, suffix: readonly Uint8Array[] = []): CodedCheck =>
      compare({
        code: `${part}-checksum-mismatch`,
        name: `${part}-crc`,
        algorithm: 'jamcrc',
        stored: within(range) ? stored : null,
        computed: checksumOf(bytes, range, suffix),
        at,
        covers: [{ offset: range.offset, length: Math.max(0, Math.min(range.length, bytes.length - range.offset)) }],
      });
    // Vendors leave these two out.
    const optional = (stored: number): number | null => (stored === 0 ? null : stored);
    const checks = [
      check('header', values.headerChecksum, tag.at.headerChecksum, { offset: 0, length: headerCovered }),
      check('image', values.imageChecksum, tag.at.imageChecksum, covered, suffixOf(variant)),
      check('rootfs', optional(values.rootfsChecksum), tag.at.rootfsChecksum, layout.rootfsCovered),
      check('kernel', optional(values.kernelChecksum), tag.at.kernelChecksum, kernel),
    ];
    // A second copy of the image checksum. Only imagetag, which leaves the real length too, is known to write it.
    const { copy } = middle;
    if (copy !== undefined && values.realRootfsLength > 0 && (covered !== body || copy.stored !== values.imageChecksum)) {
      checks.push({ ...check('image', copy.stored, copy.at, body), name: 'body-crc' });
    }

    const read = readKernel(bytes, kernel);
    findings.push(...read.findings);
    const payloads: Payload[] = [...read.payloads];
    const regions: Region[] = [region('header', 'image tag', 0, tag.length), ...read.regions];
    const carry = (label: string, { offset, length: size }: Range, content: 'one' | 'slice'): void => {
      const taken = Math.min(size, length - offset);
      if (taken <= 0) return;
      regions.push(region('payload', label, offset, taken));
      payloads.push({ label, ranges: [{ offset, length: taken }], content });
    };
    carry('boot loader', cfe, 'one');
    carry('root file system', layout.rootfs, 'slice');

    const shown = ({ name, ...field }: Field): Field => {
      const number = (numbers as Readonly<Record<string, number>>)[name];
      if (number === undefined) return { name, ...field };
      return { name, ...field, value: number, ...(addressNames.includes(name) && number > 0 ? { meaning: hex(number) } : {}) };
    };
    return {
      length,
      summary: `${variantTitles[variant]} for board "${boardId}", chip ${printable(values.chipId)}`,
      fields: [...tag.fields(values).flatMap((field) => (field.name === 'middle' ? middle.fields : [shown(field)])), ...read.fields],
      regions: tile(regions, 0, length, 'unknown', 'neither kernel nor root file system'),
      checks,
      findings,
      identities: [
        { source: 'imagetag.boardId', value: boardId, offset: tag.at.boardId.offset },
        { source: 'imagetag.chipId', value: printable(values.chipId), offset: tag.at.chipId.offset },
      ],
      payloads,
      input: () => {
        const take = ({ offset, length: size }: Range): Uint8Array => bytes.subarray(offset, offset + size);
        return {
          texts: textsOf({ ...middle.values, ...values }),
          variant,
          ...(variant === 'tcom' ? { certificates: values.middle } : {}),
          reserved: values.reserved,
          ...(cfe.length > 0 ? { cfe: { address: numbers.cfeAddress, data: take(cfe), covered: covered.offset === tag.length } } : {}),
          flashImageStart: numbers.flashImageStart,
          order: layout.order,
          kernel: take(kernel),
          rootfs: take(layout.rootfs),
          realRootfsLength: values.realRootfsLength,
          totalLength,
        };
      },
    };
  },

  build,

  recipeSteps: {
    'cfe-bin': {
      compose: (image, use) => joined([image, build(recipeInput(use))]),
      decompose: async (image, use) => {
        const values = tag.read(image);
        const { kernel, rootfs } = layoutOf(Object.fromEntries(numberNames.map((name) => [name, decimal(values[name])])) as Numbers);
        const { dataLength } = kernelHeader.read(image, kernel.offset);
        const dataOffset = kernel.offset + kernelHeader.length;
        await use.found('kernel', image.subarray(dataOffset, dataOffset + dataLength));
        await use.found('rootfs', image.subarray(rootfs.offset, rootfs.offset + rootfs.length), true);
        return image.subarray(0, 0);
      },
    },
  },
};

/** Texts on imagetag's command line, by the names of its options. */
const textOptions = {
  chipId: '--chipid',
  boardId: '--boardid',
  tagVersion: '--tag-version',
  signature1: '--signature',
  signature2: '--signature2',
  rsaText: '--rsa-signature',
  information1: '--info1',
  layoutVersion: '--layoutver',
  information2: '--info2',
} as const satisfies Partial<Record<keyof ImagetagTexts, string>>;

/** @throws OwimgError `step-unknown` for options that no recipe of OpenWrt uses */
function recipeInput(use: ComposeUse): ImagetagInput {
  const command = use.command('imagetag');
  const known = new Set<string>([
    ...Object.values(textOptions),
    ...['-i', '-f', '--output', '--entry', '--load-addr', '--flash-start', '--block-size', '--image-offset', '--pad', '--align-rootfs'],
  ]);
  const unknown = command.find((word) => word.startsWith('-') && !known.has(word));
  if (unknown !== undefined) throw new OwimgError('step-unknown', `Cannot run the step "${use.name}": owimg does not know the option ${unknown} of imagetag`);
  const texts = Object.entries(textOptions).flatMap(([name, option]) => {
    const text = optionWord(command, option);
    return text === undefined ? [] : [[name, use.filled(text)]];
  });
  const number = (option: string, usual: string): number => Number(optionWord(command, option) ?? usual);
  const parts = imagetagParts({
    kernel: use.part('kernel'),
    load: number('--load-addr', '0'),
    entry: number('--entry', '0'),
    rootfs: use.part('rootfs'),
    flashImageStart: number('--flash-start', '0xbfc00000') + number('--image-offset', '0x10000') + tag.length,
    blockSize: number('--block-size', '0x10000'),
    alignRootfs: command.includes('--align-rootfs'),
    minimumLength: number('--pad', '0') * 1024 * 1024,
  });
  return { ...parts, texts: Object.fromEntries(texts) as ImagetagTexts };
}

/** What {@link imagetagParts} takes: what OpenWrt's recipes give to imagetag. */
export interface ImagetagParts {
  /** LZMA data as it is to lie in the image. */
  readonly kernel: Uint8Array;
  readonly load: number;
  readonly entry: number;
  readonly rootfs: Uint8Array;
  readonly flashImageStart: number;
  /** The erase block, up to which the root file system is filled. */
  readonly blockSize: number;
  /** The root file system begins at an erase block, not at a multiple of 4. */
  readonly alignRootfs?: boolean;
  /** Bytes behind the tag which the image must have at least. */
  readonly minimumLength?: number;
}

/** A kernel and a root file system, laid out behind a tag as imagetag does: the kernel first, the end of the file system marked. */
export function imagetagParts(parts: ImagetagParts): Pick<ImagetagInput, 'flashImageStart' | 'order' | 'kernel' | 'rootfs' | 'realRootfsLength'> {
  const { flashImageStart, blockSize, minimumLength = 0 } = parts;
  const roundUp = (value: number, unit: number): number => Math.ceil(value / unit) * unit;
  const rootfsStart = roundUp(flashImageStart + kernelHeader.length + parts.kernel.length, parts.alignRootfs === true ? blockSize : 4);
  const kernel = zeros(rootfsStart - flashImageStart);
  kernel.set(kernelHeader.write({ load: parts.load, entry: parts.entry, dataLength: parts.kernel.length }));
  kernel.set(parts.kernel, kernelHeader.length);
  const markOffset = roundUp(rootfsStart + parts.rootfs.length, blockSize) - rootfsStart;
  const realRootfsLength = markOffset + endOfFilesystem.length;
  const rootfs = zeros(Math.max(realRootfsLength, realRootfsLength + roundUp(minimumLength - kernel.length - realRootfsLength, 4)));
  rootfs.set(parts.rootfs);
  rootfs.fill(0xff, realRootfsLength);
  rootfs.set(endOfFilesystem, markOffset);
  return { flashImageStart, order: 'kernel-first', kernel, rootfs, realRootfsLength };
}
