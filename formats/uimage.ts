/**
 * U-Boot legacy image: a header of 64 bytes, all numbers big endian, in front of a kernel (or a root file
 * system, a script, several files).
 *
 * The header CRC covers the header with its own field zero; the data CRC covers the data as stored. Vendors
 * changed the magic number, some put more bytes between header and data which the header CRC then covers, and
 * some keep numbers in the last bytes of the name: a board id, a second CRC, where the root file system begins.
 *
 * Layout: U-Boot include/image.h. Writers: U-Boot tools/mkimage (patched by OpenWrt for `-M magic`),
 * firmware-utils uimage_padhdr, and those named in data/uimage-vendors.ts.
 */
import { joined } from '../src/core/bytes.ts';
import { type CodedCheck, compare, crc32, crc32Of, withReplaced, zeros } from '../src/core/checksums.ts';
import { OwimgError } from '../src/core/errors.ts';
import { finding, type LocalFinding, lengthBeyondEnd } from '../src/core/findings.ts';
import { type Format, type Payload, type Reading, region, truncatedHeader } from '../src/core/format.ts';
import { fromHex, hex, hexBytes, latin1, printable, toBytes } from '../src/core/hex.ts';
import { type ComposeUse, type DecomposeUse, optionWord, type StepUse } from '../src/core/recipe-step.ts';
import { hex32, rawText, struct, u8, u32 } from '../src/core/struct.ts';
import type { Field, Identity, Kind, Region } from '../src/core/types.ts';
import { flagKey, hexKey, numberKey, optionalNumberKey, textKey, wordsOf, wrapping } from '../src/core/wrap.ts';
import { architectures, compressions, imageTypes, kernelArchitectures, magics, operatingSystems } from './data/uimage.ts';
import * as vendors from './data/uimage-vendors.ts';

const header = struct('big', {
  magic: hex32,
  headerChecksum: hex32, // ih_hcrc
  time: u32,
  dataLength: u32, // ih_size
  load: hex32,
  entry: hex32, // ih_ep
  dataChecksum: hex32, // ih_dcrc
  os: u8,
  architecture: u8, // ih_arch
  type: u8,
  compression: u8, // ih_comp
  name: rawText(32),
});

const standardMagic = 0x27051956;
const reversedMagic = 0x56190527;
/** The COVR magic is the squashfs one: only a good header CRC tells them apart. */
const squashfsMagic = 0x68737173;

interface Layout<Values> {
  read(bytes: Uint8Array, offset?: number): Values;
  fields(values: Values, meanings?: Readonly<Record<string, string>>, base?: number): Field[];
}

/** The fields of what stands at an offset. */
function shown<Values>(layout: Layout<Values>, bytes: Uint8Array, offset: number, meanings: Readonly<Record<string, string>> = {}): Field[] {
  return layout.fields(layout.read(bytes, offset), meanings, offset);
}

/** What stands between the 64 bytes and the data, and what the header CRC covers then. */
interface Variant {
  readonly name: string;
  /** Where the data begins. */
  readonly dataOffset: number;
  /** Bytes that the header CRC covers, counted from 0. */
  readonly covered: number;
  /** What the bytes between say, if they are no padding. */
  readonly extra?: (bytes: Uint8Array) => Field[];
  /** The time field counts as zero too. */
  readonly timeZero?: boolean;
  /** The writer says gzip whatever the data is, and the boot loader does not look. */
  readonly compressionUnsaid?: boolean;
}

const variants: readonly Variant[] = [
  { name: 'standard', dataOffset: 64, covered: 64 },
  { name: 'padded by 32 bytes', dataOffset: 96, covered: 96 },
  { name: 'SGE, 96 bytes of model and versions', dataOffset: 160, covered: 160, extra: (bytes) => shown(vendors.sgeHeader, bytes, 64) },
  {
    name: 'DNS-313, 40 bytes of model, version and MAC',
    dataOffset: 104,
    covered: 104,
    extra: (bytes) => shown(vendors.dns313Header, bytes, 64),
    compressionUnsaid: true,
  },
  { name: 'padded by 160 bytes', dataOffset: 224, covered: 224 },
  { name: 'Dongwon, checksum over four bytes of data too', dataOffset: 64, covered: 68, timeZero: true },
];

const standard = variants[0] as Variant;
const kernelTypes = new Set([2, 14]); // kernel, kernel_noload
const osLinux = 5;
const [typeMulti, typeScript, typeFilesystem, typeFirmware] = [4, 6, 7, 5];

/** What `build` takes; `extra` are the bytes that a variant puts between header and data. */
export interface UimageInput {
  readonly magic: number;
  readonly time: number;
  readonly load: number;
  readonly entry: number;
  readonly os: number;
  readonly architecture: number;
  readonly type: number;
  readonly compression: number;
  readonly name: Uint8Array | string;
  readonly data: Uint8Array;
  readonly extra?: Uint8Array;
  /** The header CRC covers the first four bytes of data and takes the time as zero. */
  readonly dongwon?: boolean;
  /** The last bytes of the name repeat length and CRC of the data, for I-O DATA. */
  readonly mstc?: boolean;
  /** The last bytes of the name are a Cameo tag, its sum, and what makes the header CRC 0xffffffff. */
  readonly cameo?: boolean;
  /** A second Cameo tag follows the data; its sum begins here, counted from the header's first byte. */
  readonly cameoSumOffset?: number;
}

function headerCrc(bytes: Uint8Array, variant: Variant): number {
  const replaced = [{ offset: 4, bytes: zeros(variant.timeZero === true ? 8 : 4) }];
  return crc32Of(withReplaced(bytes.subarray(0, variant.covered), replaced));
}

function storedHeaderCrc(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(4);
}

/** The variant that the header CRC proves, if any. */
function provenVariant(bytes: Uint8Array): Variant | undefined {
  const stored = storedHeaderCrc(bytes);
  return variants.find((variant) => bytes.length >= variant.covered && headerCrc(bytes, variant) === stored);
}

/** The magic number, written wrongly, with which the header CRC is right. */
function intendedMagic(bytes: Uint8Array): number | undefined {
  const replaced = bytes.slice(0, header.length);
  const view = new DataView(replaced.buffer);
  const { os, architecture, type, compression } = header.read(replaced);
  if ([operatingSystems[os], architectures[architecture], imageTypes[type], compressions[compression]].includes(undefined)) return undefined;
  return [...magics.keys()].find((magic) => {
    view.setUint32(0, magic);
    return headerCrc(replaced, standard) === view.getUint32(4);
  });
}

/** With a damaged header the data CRC may still tell where the data begins. */
function likelyVariant(bytes: Uint8Array, dataLength: number, dataChecksum: number): Variant {
  const fits = (variant: Variant): boolean =>
    variant.dataOffset + dataLength <= bytes.length && crc32(bytes.subarray(variant.dataOffset, variant.dataOffset + dataLength)) === dataChecksum;
  return (dataLength > 0 ? variants.find(fits) : undefined) ?? standard;
}

/** What a vendor made of the name, and of bytes at or behind the end of the data. */
interface Vendor {
  /** In the place of a name that is no text. */
  readonly name?: string;
  readonly kind?: Kind;
  readonly fields: readonly Field[];
  readonly identities?: readonly Identity[];
  readonly checks?: readonly CodedCheck[];
  readonly findings?: readonly LocalFinding[];
  /** Where a root file system begins behind the kernel, from the header's first byte on. */
  readonly rootfsOffset?: number;
  /** At the end of the data, which is not the kernel's or the root file system's. */
  readonly tail?: readonly Region[];
  /** The writer names a compression whatever the data is. */
  readonly compressionUnsaid?: boolean;
  readonly mstc?: boolean;
}

/** A header and its data, as the readers of vendors' names see them. */
interface Image {
  readonly bytes: Uint8Array;
  readonly values: ReturnType<typeof header.read>;
  readonly dataOffset: number;
  /** Where the data ends. */
  readonly end: number;
  /** All of the data is there. */
  readonly whole: boolean;
  readonly dataComputed: number;
}

const nameEnd = header.length;

function readUmedia({ bytes }: Image): Vendor | undefined {
  const offset = nameEnd - vendors.umediaName.length;
  const { umediaMagic, boardId } = vendors.umediaName.read(bytes, offset);
  if (umediaMagic !== vendors.umediaMagic) return undefined;
  const identity = { source: 'uimage.boardId', value: hex(boardId), offset: offset + vendors.umediaName.at.boardId.offset };
  return { kind: 'factory', fields: shown(vendors.umediaName, bytes, offset), identities: [identity] };
}

/** I-O DATA repeats length and CRC of the data, and its boot loader goes by these. */
function readMstc({ bytes, values, dataOffset, end, whole, dataComputed }: Image): Vendor | undefined {
  if (!vendors.mstcMagics.has(values.magic)) return undefined;
  const layout = vendors.mstcName;
  const offset = nameEnd - layout.length;
  const { dataLengthCopy, dataChecksumCopy } = layout.read(bytes, offset);
  const findings: LocalFinding[] = [];
  if (dataLengthCopy !== values.dataLength) {
    const place = { offset, length: 4 };
    findings.push(finding('structure-invalid', place, { what: 'second length of the data', expected: String(values.dataLength), actual: dataLengthCopy }));
  }
  const check = compare({
    code: 'data-checksum-mismatch',
    name: 'mstc-data-crc',
    algorithm: 'crc32',
    stored: whole ? dataChecksumCopy : null,
    computed: dataComputed,
    at: { offset: offset + layout.at.dataChecksumCopy.offset, length: 4 },
    covers: [{ offset: dataOffset, length: end - dataOffset }],
  });
  return { fields: shown(layout, bytes, offset), checks: [check], findings, mstc: true };
}

/** The boot loader of D-Link's switches takes a partition that holds a tag and the sum of all bytes in front of it. */
function readCameo({ bytes }: Image): Vendor | undefined {
  const offset = cameoOffset;
  if (!hasCameoTag(bytes, offset)) return undefined;
  const at = { offset: offset + vendors.cameoName.at.cameoSum.offset, length: 4 };
  const check = compare({
    code: 'header-checksum-mismatch',
    name: 'cameo-header-sum',
    algorithm: 'sum32',
    stored: vendors.cameoName.read(bytes, offset).cameoSum,
    computed: byteSum(bytes.subarray(0, at.offset)),
    at,
    covers: [{ offset: 0, length: at.offset }],
  });
  return { fields: shown(vendors.cameoName, bytes, offset), checks: [check] };
}

const cameoOffset = nameEnd - vendors.cameoName.length;
const hasCameoTag = (bytes: Uint8Array, offset: number): boolean => latin1(bytes.subarray(offset, offset + vendors.cameoTag.length)) === vendors.cameoTag;

function byteSum(bytes: Uint8Array): number {
  let sum = 0;
  for (const byte of bytes) sum += byte;
  return sum >>> 0;
}

/** A second tag, directly behind the data. Its sum begins where the vendor's root file system partition does, at a multiple of 64 KiB. */
function readCameoTrailer(bytes: Uint8Array, offset: number): { fields: Field[]; check: CodedCheck; sumOffset: number } | undefined {
  const layout = vendors.cameoTrailer;
  if (!hasCameoTag(bytes, offset) || bytes.length < offset + layout.length) return undefined;
  const at = { offset: offset + layout.at.cameoTrailerSum.offset, length: 4 };
  const stored = layout.read(bytes, offset).cameoTrailerSum;
  let start = at.offset;
  let computed = 0;
  while (start > 0 && computed !== stored) {
    const previous = start;
    start = Math.floor((start - 1) / vendors.cameoBlockLength) * vendors.cameoBlockLength;
    computed = (computed + byteSum(bytes.subarray(start, previous))) >>> 0;
  }
  const check = compare({
    code: 'data-checksum-mismatch',
    name: 'cameo-sum',
    algorithm: 'sum32',
    stored,
    computed,
    at,
    covers: [{ offset: start, length: at.offset - start }],
  });
  return { fields: shown(layout, bytes, offset), check, sumOffset: start };
}

function readJcg({ bytes, values, dataOffset, end }: Image): Vendor | undefined {
  const { load, entry } = vendors.jcgAddresses;
  const offset = nameEnd - vendors.jcgName.length;
  const { rootfsOffset } = vendors.jcgName.read(bytes, offset);
  if (values.load !== load || values.entry !== entry || rootfsOffset <= dataOffset || rootfsOffset >= end) return undefined;
  return { fields: shown(vendors.jcgName, bytes, offset), rootfsOffset, compressionUnsaid: true };
}

/** Asus: four version numbers, a product id, and where the root file system begins or what stands at the end. */
function readAsus(image: Image): Vendor | undefined {
  const { bytes, dataOffset, end, whole } = image;
  const { offset } = header.at.name;
  const productId = printable(bytes.subarray(offset + 4, offset + 27));
  // Any other name begins with a letter or a digit.
  if ((bytes[offset] as number) >= 0x20 || !vendors.asusProduct.test(productId.slice(0, 12))) return undefined;
  const identity = { source: 'uimage.productId', value: productId, offset: offset + 4 };
  const common = { kind: 'factory' as const, identities: [identity], name: productId };
  const inData = (value: number): { rootfsOffset?: number } => (value > dataOffset && value < end ? { rootfsOffset: value } : {});
  const { build, key, prefixedOffset } = vendors.trx2Name.read(bytes, offset);
  if (prefixedOffset >>> 24 === vendors.asusOffsetPrefix) {
    const rootfsOffset = prefixedOffset & 0xffffff;
    const meanings = { prefixedOffset: `root file system at ${rootfsOffset}` };
    const inText = vendors.asusProduct.test(productId) && (build < 380 || build > 490);
    if (inText) return { ...common, fields: shown(vendors.trx1Name, bytes, offset, meanings), ...inData(rootfsOffset) };
    const product = productId.slice(0, 12);
    const check = compare({
      code: 'data-checksum-mismatch',
      name: 'asus-key',
      algorithm: 'asus-key',
      stored: whole && rootfsOffset <= end ? key : null,
      computed: asusKey(bytes.subarray(0, end), rootfsOffset),
      at: { offset: offset + vendors.trx2Name.at.key.offset, length: 1 },
      covers: [],
      digits: 2,
    });
    return {
      ...common,
      name: product,
      identities: [{ ...identity, value: product }],
      fields: shown(vendors.trx2Name, bytes, offset, meanings),
      checks: [check],
      ...inData(rootfsOffset),
    };
  }
  const tail = whole ? readAsusTail(image) : undefined;
  if (tail !== undefined) return { ...common, ...tail, fields: [...shown(vendors.trx3Name, bytes, offset), ...tail.fields] };
  const { rootfsOffset } = vendors.rtn56uName.read(bytes, offset);
  if (rootfsOffset <= dataOffset || rootfsOffset > end) return undefined;
  const second = readSecondHeader(image, rootfsOffset);
  return { ...common, ...second, fields: [...shown(vendors.rtn56uName, bytes, offset), ...second.fields], ...inData(rootfsOffset) };
}

/** Made of one byte from the middle of the kernel and one from the middle of what follows it. */
function asusKey(image: Uint8Array, rootfsOffset: number): number {
  const kernelByte = image[Math.floor(rootfsOffset / 2)] ?? 0;
  const rootfsByte = image[rootfsOffset + Math.floor((image.length - rootfsOffset) / 2)] ?? 0;
  return (rootfsByte === 0 ? (kernelByte % 3) - 3 : kernelByte + ~rootfsByte) & 0xff;
}

/** All 16-bit words, little endian, under exclusive or, and inverted; it is stored big endian. */
function asusSum(bytes: Uint8Array): number {
  let sum = 0xffff;
  for (let offset = 0; offset + 1 < bytes.length; offset += 2) sum ^= (bytes[offset] as number) | ((bytes[offset + 1] as number) << 8);
  return sum;
}

/** The block at the end of the data of the third kind: build numbers, then a footer that says how long it is. */
function readAsusTail({ bytes, dataOffset, end }: Image): (Pick<Vendor, 'checks' | 'tail'> & { fields: Field[] }) | undefined {
  const footerOffset = end - vendors.asusFooter.length;
  if (footerOffset < dataOffset) return undefined;
  const { contentLength, footerSum, contentSum, tailMagic } = vendors.asusFooter.read(bytes, footerOffset);
  const contentOffset = footerOffset - contentLength.reduce((value, byte) => value * 256 + byte, 0);
  if (tailMagic !== vendors.asusTailMagic || contentOffset < dataOffset || footerOffset - contentOffset < vendors.asusContent.length) return undefined;
  const footer = bytes.slice(footerOffset, end);
  const { at } = vendors.asusFooter;
  footer.fill(0, at.footerSum.offset, at.footerSum.offset + 2);
  const check = (
    name: string,
    stored: number,
    computed: number,
    place: { offset: number; length: number },
    covers: { offset: number; length: number },
  ): CodedCheck =>
    compare({
      code: 'data-checksum-mismatch',
      name,
      algorithm: 'xor16',
      stored,
      computed,
      digits: 4,
      at: { offset: footerOffset + place.offset, length: place.length },
      covers: [covers],
    });
  const content = { offset: contentOffset, length: footerOffset - contentOffset };
  const numbersOffset = footerOffset - vendors.asusContent.length;
  return {
    fields: [...shown(vendors.asusContent, bytes, numbersOffset), ...shown(vendors.asusFooter, bytes, footerOffset)],
    checks: [
      check('asus-content-sum', contentSum, asusSum(bytes.subarray(contentOffset, footerOffset)), at.contentSum, content),
      check('asus-footer-sum', footerSum, asusSum(footer), at.footerSum, { offset: footerOffset, length: footer.length }),
    ],
    tail: [region('metadata', 'Asus build numbers', contentOffset, content.length), region('metadata', 'Asus footer', footerOffset, footer.length)],
  };
}

/** What mkrtn56uimg leaves for the time after flashing: a header for the kernel alone, and a mark behind it. */
function readSecondHeader({ bytes, dataOffset, end }: Image, rootfsOffset: number): Pick<Vendor, 'checks' | 'tail'> & { fields: Field[] } {
  const markLength = 4;
  const offset = end - markLength - header.length;
  const copy = bytes.subarray(offset, end);
  if (offset < rootfsOffset || headerCrc(copy, standard) !== storedHeaderCrc(copy)) return { fields: [] };
  const values = header.read(bytes, offset);
  const at = (place: { offset: number; length: number }): { offset: number; length: number } => ({ ...place, offset: offset + place.offset });
  const kernel = { offset: dataOffset, length: rootfsOffset - dataOffset };
  return {
    fields: header.fields(values, {}, offset).map((field) => ({ ...field, name: `second.${field.name}` })),
    checks: [
      compare({
        code: 'header-checksum-mismatch',
        name: 'second-header-crc',
        algorithm: 'crc32',
        stored: values.headerChecksum,
        computed: headerCrc(copy, standard),
        at: at(header.at.headerChecksum),
        covers: [{ offset, length: header.length }],
      }),
      compare({
        code: 'kernel-checksum-mismatch',
        name: 'second-data-crc',
        algorithm: 'crc32',
        stored: values.dataChecksum,
        computed: crc32(bytes.subarray(kernel.offset, rootfsOffset)),
        at: at(header.at.dataChecksum),
        covers: [kernel],
      }),
    ],
    tail: [region('header', 'second header, for the flash', offset, header.length), region('padding', 'end-of-filesystem mark', end - markLength, markLength)],
  };
}

const vendorReaders: readonly ((image: Image) => Vendor | undefined)[] = [readUmedia, readMstc, readCameo, readJcg, readAsus];

function readVendor(image: Image): Vendor {
  for (const read of vendorReaders) {
    const vendor = read(image);
    if (vendor !== undefined) return vendor;
  }
  return { fields: [] };
}

interface Members {
  readonly payloads: Payload[];
  readonly fields: Field[];
  readonly regions: Region[];
  readonly findings: LocalFinding[];
}

/** The table of a multi-file image or a script: lengths, then 0; all members but the last are padded to 4 bytes. */
function readMembers(bytes: Uint8Array, start: number, end: number, memberLimit: number): Members {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const members: Members = { payloads: [], fields: [], regions: [], findings: [] };
  const lengths: number[] = [];
  let position = start;
  let ended = false;
  while (position + 4 <= end && lengths.length < memberLimit) {
    const length = view.getUint32(position);
    position += 4;
    if (length === 0) {
      ended = true;
      break;
    }
    members.fields.push({ name: `memberLength${lengths.length}`, offset: position - 4, length: 4, value: length });
    lengths.push(length);
  }
  if (!ended) {
    const args = { what: 'member table', expected: 'a length of 0 at its end', actual: 'no end' };
    members.findings.push(finding('structure-invalid', { offset: start, length: end - start }, args));
    members.fields.length = 0;
    members.regions.push(region('unknown', 'member table without an end', start, end - start));
    return members;
  }
  members.regions.push(region('header', 'member table', start, position - start));
  lengths.forEach((length, index) => {
    const available = Math.max(0, end - position);
    if (length > available) members.findings.push(lengthBeyondEnd(`member ${index}`, { offset: start + index * 4, length: 4 }, length, available, end));
    const taken = Math.min(length, available);
    if (taken === 0) return;
    members.regions.push(region('payload', `member ${index}`, position, taken));
    members.payloads.push({ label: `member ${index}`, ranges: [{ offset: position, length: taken }] });
    position += taken;
    const padding = index === lengths.length - 1 ? 0 : Math.min((4 - (length % 4)) % 4, end - position);
    if (padding > 0) members.regions.push(region('padding', 'to a multiple of 4', position, padding));
    position += padding;
  });
  if (position < end) members.regions.push(region('unknown', 'behind the last member', position, end - position));
  return members;
}

function paddingField(extra: Uint8Array): Field[] {
  return extra.length === 0 ? [] : [{ name: 'padding', offset: header.length, length: extra.length, value: hexBytes(extra) }];
}

/** The model that stands between header and data. */
function modelIdentities(fields: readonly Field[]): Identity[] {
  const models = fields.filter(({ name, value }) => name === 'model' && value !== '');
  return models.map(({ value, offset }) => ({ source: 'uimage.model', value: String(value), offset }));
}

function kindOf(type: number, os: number, magic: number): Kind {
  // Netgear's boot loaders take the kernel as a file system, under a magic number of their own.
  if (type === typeFilesystem) return magic === standardMagic ? 'rootfs' : 'kernel';
  const isKernel = kernelTypes.has(type) || type === typeMulti || (type === typeFirmware && os === osLinux);
  if (isKernel) return 'kernel';
  return type === typeFirmware ? 'bootloader' : 'unknown';
}

const named = (table: readonly string[], value: number): string => table[value] ?? 'not defined';

function build(input: UimageInput): Uint8Array {
  const { data, extra = new Uint8Array(0), cameoSumOffset } = input;
  if (data.length > 0xffffffff) throw new OwimgError('bad-value', `Cannot build a uImage of ${data.length} bytes: the length field has 32 bits`);
  const dataOffset = header.length + extra.length;
  const end = dataOffset + data.length;
  const image = new Uint8Array(end + (cameoSumOffset === undefined ? 0 : vendors.cameoTrailer.length));
  const dataChecksum = crc32(data);
  const name = zeros(header.at.name.length);
  name.set((typeof input.name === 'string' ? toBytes(input.name) : input.name).subarray(0, name.length));
  if (input.mstc === true)
    name.set(vendors.mstcName.write({ dataLengthCopy: data.length, dataChecksumCopy: dataChecksum }), name.length - vendors.mstcName.length);
  image.set(header.write({ ...input, name, dataLength: data.length, headerChecksum: 0, dataChecksum }));
  image.set(extra, header.length);
  image.set(data, dataOffset);
  if (input.cameo === true) writeCameo(image);
  const variant: Variant =
    input.dongwon === true ? { name: '', dataOffset, covered: dataOffset + 4, timeZero: true } : { name: '', dataOffset, covered: dataOffset };
  const view = new DataView(image.buffer);
  view.setUint32(4, headerCrc(image, variant));
  if (cameoSumOffset !== undefined) {
    image.set(toBytes(vendors.cameoTag), end);
    view.setUint32(image.length - 4, byteSum(image.subarray(cameoSumOffset, image.length - 4)));
  }
  return image;
}

export const uimage: Format<UimageInput> = {
  id: 'uimage',
  title: 'U-Boot legacy image (uImage)',
  summary:
    'A 64-byte header with two CRCs in front of a kernel; what U-Boot boots with bootm and what most NOR devices have at the start of their firmware partition.',
  role: 'kernel',
  kind: 'kernel',
  references: [
    { title: 'U-Boot include/image.h', url: 'https://github.com/u-boot/u-boot/blob/6073c36b/include/image.h' },
    {
      title: 'OpenWrt patch for other magic numbers',
      url: 'https://github.com/openwrt/openwrt/blob/3d1645ee/tools/mkimage/patches/030-allow-to-use-different-magic.patch',
    },
  ],
  limitations: [
    'A Cameo tag behind a root file system, as vendors have it, is not read; one behind a kernel is.',
    "OpenWrt's loader (lzma-loader) in front of an OKLI uImage is code without a header: it is known only by what it is packed in (ELF, uImage, LZMA), and a kernel that is built into it is not unpacked.",
  ],
  magics: [
    { offset: 0, bytes: fromHex('27051956') },
    { offset: 0, bytes: toBytes('OKLI') },
  ],

  wrap: wrapping(
    'data',
    {
      architecture: numberKey('processor', { bits: 8, names: wordsOf(architectures) }),
      load: numberKey('address to which the boot loader unpacks it'),
      entry: optionalNumberKey('address at which it is started; the load address if not given'),
      compression: numberKey('how the data is compressed: it is taken as it is, and not compressed', { bits: 8, names: wordsOf(compressions) }),
      name: textKey('name that the boot loader shows', header.at.name.length, { initial: '' }),
      type: numberKey('what it is', { bits: 8, names: wordsOf(imageTypes), initial: 'kernel' }),
      os: numberKey('operating system', { bits: 8, names: wordsOf(operatingSystems), initial: 'linux' }),
      time: numberKey('seconds since 1970', { initial: '0' }),
      magic: numberKey('magic number; some vendors have their own', { initial: '0x27051956' }),
      padding: numberKey('zeros between header and data, under the header checksum; 32 and 160 occur', { bits: 16, initial: '0' }),
      extra: hexKey('bytes of a vendor between header and data', undefined, { initial: '' }),
      mstc: flagKey('length and checksum once more in the name, for I-O DATA'),
      cameo: flagKey("tag of D-Link's switches in the name"),
    },
    (data, { entry, padding, extra, mstc, cameo, ...values }): UimageInput => {
      const between = new Uint8Array(extra.length + padding);
      between.set(extra);
      return { ...values, entry: entry ?? values.load, data, extra: between, mstc, cameo };
    },
  ),

  detect(bytes) {
    if (bytes.length < 4) return 'no';
    const magic = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
    if (bytes.length < header.length) return magic === standardMagic ? 'maybe' : 'no';
    if (provenVariant(bytes) !== undefined) return 'yes';
    if (magic === standardMagic) return 'maybe';
    if (magic === squashfsMagic) return 'no';
    if (magic !== reversedMagic && !magics.has(magic)) return intendedMagic(bytes) === undefined ? 'no' : 'maybe';
    const { os, architecture, type, compression } = header.read(bytes);
    const plausible = [os, architecture, type].every((value) => value > 0) && imageTypes[type] !== undefined && operatingSystems[os] !== undefined;
    return plausible && architectures[architecture] !== undefined && compressions[compression] !== undefined ? 'maybe' : 'no';
  },

  parse(bytes, { budget }): Reading<UimageInput> {
    if (bytes.length < header.length) {
      const cut = finding('header-truncated', { offset: 0, length: bytes.length }, { what: 'a uImage header', length: header.length, available: bytes.length });
      return truncatedHeader('uImage', header.length, cut, bytes.length);
    }
    const values = header.read(bytes);
    const { magic, dataLength, dataChecksum, os, architecture, type, compression } = values;
    const proven = provenVariant(bytes);
    const variant = proven ?? likelyVariant(bytes, dataLength, dataChecksum);
    const available = Math.max(0, bytes.length - variant.dataOffset);
    const taken = Math.min(dataLength, available);
    const end = Math.min(bytes.length, variant.dataOffset + taken);
    const data = bytes.subarray(variant.dataOffset, end);
    const whole = dataLength <= available;
    const findings: LocalFinding[] = [];
    if (magic === reversedMagic) {
      findings.push(
        finding('magic-damaged', header.at.magic, { what: 'the uImage', expected: hex(standardMagic), actual: `${hex(magic)}, the same in reverse` }),
      );
    } else if (!magics.has(magic) && proven === undefined) {
      findings.push(
        finding('magic-damaged', header.at.magic, { what: 'the uImage', expected: hex(intendedMagic(bytes) ?? standardMagic), actual: hex(magic) }),
      );
    } else if (!magics.has(magic)) findings.push(finding('magic-unusual', header.at.magic, { what: 'the uImage', actual: hex(magic) }));
    if (!whole) findings.push(lengthBeyondEnd('the data', header.at.dataLength, dataLength, available, bytes.length));
    const invalid = (what: 'os' | 'architecture' | 'type' | 'compression', table: readonly string[]): void => {
      if (table[values[what]] !== undefined) return;
      findings.push(finding('structure-invalid', header.at[what], { what: `uImage ${what}`, expected: `0 to ${table.length - 1}`, actual: values[what] }));
    };
    invalid('os', operatingSystems);
    invalid('architecture', architectures);
    invalid('type', imageTypes);
    invalid('compression', compressions);

    const dataComputed = crc32(data);
    const vendor = readVendor({ bytes, values, dataOffset: variant.dataOffset, end, whole, dataComputed });
    const trailer = whole ? readCameoTrailer(bytes, end) : undefined;
    const length = trailer === undefined ? end : end + vendors.cameoTrailer.length;

    const holdsMembers = type === typeMulti || type === typeScript;
    const members = holdsMembers ? readMembers(bytes, variant.dataOffset, end, budget.limits.members) : undefined;
    const payloads: Payload[] = members?.payloads ?? [];
    const label = type === typeFilesystem ? 'file system' : named(imageTypes, type);
    const regions: Region[] = [region('header', 'uImage header', 0, Math.min(variant.dataOffset, end)), ...(members?.regions ?? [])];
    if (members === undefined && data.length > 0) {
      const { rootfsOffset, tail = [] } = vendor;
      const dataEnd = tail[0]?.offset ?? end;
      const first = { offset: variant.dataOffset, length: (rootfsOffset ?? dataEnd) - variant.dataOffset };
      // TP-Link's EC330 has a uImage in a uImage: right where the outer one promises no compression.
      const mayRepeat = compression === 0;
      const unsaid = variant.compressionUnsaid === true || vendor.compressionUnsaid === true;
      const promised = unsaid ? {} : { compression: compressions[compression] ?? 'none', compressionAt: header.at.compression };
      // A kernel that is not packed may be OpenWrt's loader, and behind it, from where it searches, an OKLI uImage.
      const content = compression === 0 && type !== typeFilesystem ? 'slice' : 'one';
      payloads.push({ label, mayRepeat, content, ranges: [first], ...promised });
      regions.push(region('payload', label, first.offset, first.length));
      if (rootfsOffset !== undefined) {
        payloads.push({ label: 'root file system', ranges: [{ offset: rootfsOffset, length: dataEnd - rootfsOffset }], content: 'slice' });
        regions.push(region('payload', 'root file system', rootfsOffset, dataEnd - rootfsOffset));
      }
      regions.push(...tail);
    }
    if (trailer !== undefined) regions.push(region('metadata', 'Cameo tag', end, vendors.cameoTrailer.length));
    const extra = bytes.subarray(64, Math.min(variant.dataOffset, bytes.length));
    const extraFields = (extra.length === variant.dataOffset - 64 ? variant.extra?.(bytes) : undefined) ?? paddingField(extra);
    const identities = [...(vendor.identities ?? []), ...modelIdentities(extraFields)];
    const meanings = {
      magic: magics.get(magic) ?? 'not used by OpenWrt',
      time: new Date(values.time * 1000).toISOString().replace('.000', ''),
      os: named(operatingSystems, os),
      architecture: named(architectures, architecture),
      type: named(imageTypes, type),
      compression: named(compressions, compression),
    };
    const check = {
      header: compare({
        code: 'header-checksum-mismatch',
        name: 'header-crc',
        algorithm: 'crc32',
        stored: values.headerChecksum,
        computed: headerCrc(bytes, variant),
        at: header.at.headerChecksum,
        covers:
          variant.timeZero === true
            ? [
                { offset: 0, length: 8 },
                { offset: 12, length: variant.covered - 12 },
              ]
            : [{ offset: 0, length: variant.covered }],
      }),
      data: compare({
        code: 'data-checksum-mismatch',
        name: 'data-crc',
        algorithm: 'crc32',
        stored: whole ? dataChecksum : null,
        computed: dataComputed,
        at: header.at.dataChecksum,
        covers: [{ offset: variant.dataOffset, length: data.length }],
      }),
    };
    const whose = variant.dataOffset === standard.dataOffset && variant.timeZero !== true ? '' : `, ${variant.name}`;
    return {
      length,
      summary: `uImage "${vendor.name ?? printable(values.name)}" (${meanings.os} ${meanings.architecture} ${meanings.type}, ${meanings.compression}${whose})`,
      kind: vendor.kind ?? kindOf(type, os, magic),
      fields: [...header.fields(values, meanings), ...vendor.fields, ...extraFields, ...(members?.fields ?? []), ...(trailer?.fields ?? [])],
      regions,
      checks: [check.header, check.data, ...(vendor.checks ?? []), ...(trailer === undefined ? [] : [trailer.check])],
      findings: [...findings, ...(vendor.findings ?? []), ...(members?.findings ?? [])],
      identities,
      payloads,
      input: () => ({
        ...values,
        data,
        ...(extra.length > 0 ? { extra } : {}),
        ...(variant.timeZero === true ? { dongwon: true } : {}),
        ...(vendor.mstc === true ? { mstc: true } : {}),
        ...(hasCameoTag(bytes, cameoOffset) ? { cameo: true } : {}),
        ...(trailer === undefined ? {} : { cameoSumOffset: trailer.sumOffset }),
      }),
    };
  },

  build,

  recipeSteps: {
    uImage: {
      compose: (image, use) => {
        const { variables } = use.device;
        const load = Number(variables['KERNEL_LOADADDR']);
        const name = unquoted(optionWord(use.words, '-n') ?? variables['UIMAGE_NAME']);
        return build({
          ...recipeHeader(use),
          magic: Number(optionWord(use.words, '-M') ?? variables['UIMAGE_MAGIC'] ?? standardMagic),
          load,
          entry: variables['KERNEL_ENTRY'] === undefined ? load : Number(variables['KERNEL_ENTRY']),
          type: imageTypes.indexOf('kernel'),
          compression: compressions.indexOf(use.words[0] ?? ''),
          name: name ?? `${architectureOf(use).name.toUpperCase()} ${use.build('dist')} Linux-${use.build('linux')}`,
          data: image,
        });
      },
      decompose: (image, use) => {
        const { dataLength, time, name } = header.read(image);
        const [, dist, linux] = /^\S+ (.+) Linux-(\S+)$/.exec(printable(name)) ?? [];
        if (dist !== undefined) use.tells('dist', dist);
        if (linux !== undefined) use.tells('linux', linux);
        use.tells('epoch', String(time));
        return image.subarray(header.length, header.length + dataLength);
      },
    },
    'append-uImage-fakehdr': {
      compose: (image, use) => {
        const [type = '', magic = standardMagic] = use.words;
        const name = `${use.build('dist')} fake ${type}`;
        return joined([image, build({ ...recipeHeader(use), magic: Number(magic), type: imageTypes.indexOf(type), name, data: zeros(0) })]);
      },
      decompose: async (image, use) => {
        const start = await lastHeader(image, use);
        const { time, name } = header.read(image, start);
        use.tells('dist', printable(name).replace(/ fake \S+$/, ''));
        use.tells('epoch', String(time));
        return image.subarray(0, start);
      },
    },
    'netgear-rootfs': {
      compose: (image, use) => {
        const magic = Number(use.device.variables['UIMAGE_MAGIC'] ?? standardMagic);
        const name = `${use.build('dist')} filesystem`;
        return joined([image, build({ ...recipeHeader(use), magic, type: typeFilesystem, name, data: use.part('rootfs') })]);
      },
      decompose: async (image, use) => {
        const start = await lastHeader(image, use);
        const { dataLength, time, name } = header.read(image, start);
        await use.found('rootfs', image.subarray(start + header.length, start + header.length + dataLength));
        use.tells('dist', printable(name).replace(/ filesystem$/, ''));
        use.tells('epoch', String(time));
        return image.subarray(0, start);
      },
    },
  },
};

/** Where the last header of these bytes stands; behind it and its data there may be filler alone. */
async function lastHeader(image: Uint8Array, use: DecomposeUse): Promise<number> {
  const pieces = (await use.pieces(image)).filter(({ role }) => role !== 'padding' && role !== 'mark');
  const last = pieces.at(-1);
  if (last?.format === 'uimage') return last.offset;
  throw new OwimgError('conversion-impossible', `Cannot take the image apart at the step "${use.name}": no uImage header was found at its end`);
}

const unquoted = (text: string | undefined): string | undefined => text?.replace(/^(["'])(.*)\1$/, '$2');

function architectureOf({ device }: StepUse): { readonly name: string; readonly number: number } {
  const name = kernelArchitectures[device.architecture] ?? device.architecture;
  return { name, number: architectures.indexOf(name) };
}

/** What mkimage writes without being told. */
function recipeHeader(use: ComposeUse): Omit<UimageInput, 'magic' | 'type' | 'name' | 'data'> {
  const time = Number(use.build('epoch'));
  return { time, load: 0, entry: 0, os: osLinux, architecture: architectureOf(use).number, compression: 0 };
}

/** Puts tag and sum into the name, and behind them what makes the header CRC come out as the ffffffff that the sum counts in its place. */
function writeCameo(image: Uint8Array): void {
  const view = new DataView(image.buffer);
  image.set(toBytes(vendors.cameoTag), cameoOffset);
  view.setUint32(4, 0xffffffff);
  view.setUint32(nameEnd - 8, byteSum(image.subarray(0, nameEnd - 8)));
  view.setUint32(4, 0);
  view.setUint32(nameEnd - 4, ~crc32(image.subarray(0, nameEnd - 4)), true);
}
