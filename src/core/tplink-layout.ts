/**
 * What stands behind the 512 bytes of a TP-Link header. The two header formats put the same numbers in other
 * places, and take another salt; what the numbers say, and what is written behind them, is the same.
 *
 * Without a boot loader: header, kernel, root file system, filler FF with end-of-filesystem marks, up to the
 * length of the flash partition (factory) or cut off behind the last mark (sysupgrade). A kernel-only header is
 * followed by the kernel and nothing else. With a boot loader: header, boot loader, filler to 64 KiB, and then
 * a complete image with a header of its own.
 *
 * The MD5 covers every byte of the file as written, with a salt in the place of the MD5. Nothing says how long
 * the file was, so of the lengths that the tool may have written the one counts whose MD5 is right.
 */
import { type CodedCheck, compare, digest } from './checksums.ts';
import { OwimgError } from './errors.ts';
import { finding, type LocalFinding, lengthBeyondEnd } from './findings.ts';
import { explainFiller, type Payload, region, tile } from './format.ts';
import { byteCount, hex, hexBytes, hexOffset } from './hex.ts';
import type { StepUse } from './recipe-step.ts';
import type { Kind, Range, Region } from './types.ts';

export const tplinkHeaderLength = 512;

const flashBlock = 64 * 1024;
/** Where `-j` writes a mark: at the next of each of these, once where both fall together. */
const markBoundaries = [4 * 1024, flashBlock];
const endMark = [0xde, 0xad, 0xc0, 0xde];
/** OEM images keep 128 KiB for the boot loader, whatever its length. */
const oemBootLength = 2 * flashBlock;
const absent = 0xffffffff;
/** Larger than the flash of any device with such a header. */
const largestFlash = 256 * 1024 * 1024;

/** The numbers of a header that say what lies where. Offsets count from the header's first byte. */
export interface TplinkNumbers {
  readonly md5: Uint8Array;
  /** Length of the flash partition, which is that of a factory image; 0 in the kernel-only header of version 1. */
  readonly flashLength: number;
  readonly kernelOffset: number;
  readonly kernelLength: number;
  readonly rootfsOffset: number;
  /** 0 (version 1) or FFFFFFFF (version 2) without a root file system. */
  readonly rootfsLength: number;
  /** Counts from behind the header. */
  readonly bootOffset: number;
  readonly bootLength: number;
}

/** One of the two header formats. */
export interface TplinkHeaderFormat {
  readonly title: string;
  readonly at: { readonly [K in keyof TplinkNumbers]: Range };
  readonly salts: { readonly plain: Uint8Array; readonly boot: Uint8Array };
  /** Whether an MD5 of zeros means that there is none, and not that it is wrong. */
  readonly mayLackMd5: (numbers: TplinkNumbers) => boolean;
  /** The numbers, where such a header stands at the first byte beyond doubt. */
  readonly proven: (bytes: Uint8Array) => TplinkNumbers | undefined;
}

/** What the numbers of a header make of the bytes. */
export interface TplinkLayout {
  /** Bytes of the image, from the header's first one. */
  readonly length: number;
  readonly kind: Kind;
  /** Where the root file system is, which old tools did not always say. */
  readonly rootfsOffset: number | undefined;
  readonly regions: readonly Region[];
  readonly payloads: readonly Payload[];
  readonly check: CodedCheck;
  readonly findings: readonly LocalFinding[];
}

const align = (offset: number, boundary: number): number => Math.ceil(offset / boundary) * boundary;

/** Where `-j` writes its marks behind an image that ends at `end`. */
function markOffsets(end: number): number[] {
  const marks: number[] = [];
  let position = end;
  for (const boundary of markBoundaries) {
    if (marks.some((mark) => mark % boundary === 0)) continue;
    position = align(position, boundary);
    marks.push(position);
    position += endMark.length;
  }
  return marks;
}

function md5Of(image: Uint8Array, at: Range, salt: Uint8Array): Uint8Array {
  return digest('md5', [image.subarray(0, at.offset), salt, image.subarray(at.offset + at.length)]);
}

interface Parts {
  readonly kernelEnd: number;
  readonly rootfs: { readonly offset: number; readonly end: number } | undefined;
  /** Where the last of the two ends. */
  readonly end: number;
}

function partsOf(numbers: TplinkNumbers, available: number): Parts {
  const kernelEnd = numbers.kernelOffset + numbers.kernelLength;
  if (numbers.rootfsLength === 0 || numbers.rootfsLength === absent) return { kernelEnd, rootfs: undefined, end: kernelEnd };
  // Until 2016 the tool left the layout's own offset here, which lies in the kernel; the root file system follows it.
  const stale = numbers.rootfsOffset < kernelEnd && kernelEnd <= available;
  const offset = Math.max(stale ? kernelEnd : numbers.rootfsOffset, tplinkHeaderLength);
  const end = offset + numbers.rootfsLength;
  return { kernelEnd, rootfs: { offset, end }, end };
}

/** Where the tool ends an image with these numbers: whole, cut off behind the last mark, or without marks. */
function possibleLengths({ flashLength }: TplinkNumbers, parts: Parts): number[] {
  if (parts.rootfs === undefined) return flashLength === 0 ? [parts.end] : [parts.end, flashLength];
  return [flashLength, ...markOffsets(parts.end).map((mark) => mark + endMark.length), parts.end];
}

/** The header behind a boot loader. */
function findInner(bytes: Uint8Array, numbers: TplinkNumbers, format: TplinkHeaderFormat): { offset: number; numbers: TplinkNumbers } | undefined {
  const behind = [numbers.kernelOffset - tplinkHeaderLength, tplinkHeaderLength + align(numbers.bootLength, flashBlock), tplinkHeaderLength + oemBootLength];
  for (const offset of behind) {
    if (offset < tplinkHeaderLength + numbers.bootLength) continue;
    const inner = format.proven(bytes.subarray(offset));
    if (inner !== undefined) return { offset, numbers: inner };
  }
  return undefined;
}

/** Reads what stands behind a header. `bytes` begin with the header, which is complete. */
export function readTplinkLayout(bytes: Uint8Array, numbers: TplinkNumbers, format: TplinkHeaderFormat): TplinkLayout {
  const available = bytes.length;
  const { at } = format;
  const findings: LocalFinding[] = [];
  const parts = partsOf(numbers, available);
  const hasBoot = numbers.bootLength > 0;
  const inner = hasBoot ? findInner(bytes, numbers, format) : undefined;

  const lengths = possibleLengths(numbers, parts);
  if (inner !== undefined) {
    const innerParts = partsOf(inner.numbers, available - inner.offset);
    lengths.push(...possibleLengths(inner.numbers, innerParts).map((length) => inner.offset + length));
  }
  const kernelOnly = parts.rootfs === undefined && inner === undefined;
  if (!kernelOnly || numbers.flashLength > 0) lengths.push(available);
  const salt = hasBoot ? format.salts.boot : format.salts.plain;
  const isEmpty = numbers.md5.every((byte) => byte === 0) && format.mayLackMd5(numbers);
  const stored = hexBytes(numbers.md5);
  const md5 = (length: number): Uint8Array => md5Of(bytes.subarray(0, length), at.md5, salt);
  const proven = isEmpty
    ? undefined
    : [...new Set(lengths)].find((length) => length >= tplinkHeaderLength && length <= available && hexBytes(md5(length)) === stored);
  const likely = kernelOnly ? Math.min(parts.end, available) : numbers.flashLength >= tplinkHeaderLength ? Math.min(numbers.flashLength, available) : available;
  const length = Math.max(tplinkHeaderLength, proven ?? likely);

  const regions: Region[] = [region('header', `${format.title} header`, 0, tplinkHeaderLength)];
  const payloads: Payload[] = [];
  let whole = true;
  const part = (label: string, offset: number, end: number, entry: Partial<Payload> = {}): void => {
    const range = { offset, length: Math.min(end, length) - offset };
    if (range.length <= 0) return;
    regions.push(region('payload', label, range.offset, range.length));
    payloads.push({ ...entry, label, ranges: [range] });
  };
  /** Reports a part which its header says is longer than what is there. */
  const measure = (what: string, field: Range, offset: number, partLength: number): void => {
    if (offset + partLength <= available) return;
    whole = false;
    findings.push(lengthBeyondEnd(what, field, partLength, Math.max(0, available - offset), available));
  };

  if (inner !== undefined) {
    const boot = tplinkHeaderLength + Math.min(numbers.bootOffset, inner.offset - tplinkHeaderLength);
    const bootEnd = Math.min(boot + numbers.bootLength, inner.offset);
    part('boot loader', boot, bootEnd);
    part('firmware', inner.offset, length, { mayRepeat: true });
    findings.push(finding('bootloader-inside', { offset: boot, length: bootEnd - boot }, { length: numbers.bootLength, distance: inner.offset }));
  } else {
    if (hasBoot) {
      measure('the boot loader', at.bootLength, tplinkHeaderLength, numbers.bootLength);
      if (whole) {
        const args = {
          what: `boot loader length of the ${format.title} header`,
          expected: 'a second header behind the boot loader',
          actual: numbers.bootLength,
        };
        findings.push(finding('structure-invalid', at.bootLength, args));
      }
    } else if (numbers.kernelOffset !== tplinkHeaderLength) {
      const args = { what: 'kernel offset', expected: hexOffset(tplinkHeaderLength), actual: hexOffset(numbers.kernelOffset) };
      findings.push(finding('structure-invalid', at.kernelOffset, args));
    }
    const { rootfs, kernelEnd } = parts;
    const limit = rootfs !== undefined && rootfs.offset < kernelEnd ? rootfs.offset : kernelEnd;
    measure('the kernel', at.kernelLength, numbers.kernelOffset, numbers.kernelLength);
    // Some kernels are a loader of OpenWrt's own, and behind it the uImage that it starts.
    part('kernel', Math.max(tplinkHeaderLength, numbers.kernelOffset), limit, { content: 'slice' });
    if (rootfs !== undefined) {
      measure('the root file system', at.rootfsLength, rootfs.offset, numbers.rootfsLength);
      // Behind it come the marks, which are found like anything else that lies in flash.
      part('root file system', rootfs.offset, length, { content: 'slice' });
    }
  }

  const check = compare({
    code: 'image-checksum-mismatch',
    name: 'md5',
    algorithm: 'salted md5',
    stored: isEmpty || (proven === undefined && !whole) ? null : numbers.md5,
    computed: md5(length),
    at: at.md5,
    covers: [{ offset: 0, length }],
  });
  const kind: Kind = kernelOnly ? 'kernel' : inner !== undefined || length === numbers.flashLength ? 'factory' : 'sysupgrade';
  return { length, kind, rootfsOffset: parts.rootfs?.offset, regions: explainFiller(tile(regions, 0, length), bytes), payloads, check, findings };
}

/** What `layOutTplink` puts behind a header. */
export interface TplinkContent {
  readonly kernel: Uint8Array;
  readonly rootfs: Uint8Array;
  /** From the header's first byte, or what it is to be a multiple of, directly behind the kernel (`-a`). */
  readonly rootfsAt: { readonly offset: number } | { readonly align: number };
  readonly flashLength: number;
  /** `-j` */
  readonly endMarks: boolean;
  /** `-s`: end behind the last mark, not with the flash partition. */
  readonly stripped: boolean;
}

/** Kernel and root file system as the tools place them: all that follows the header, and the numbers for it. */
export function layOutTplink(content: TplinkContent): { readonly rootfsOffset: number; readonly body: Uint8Array } {
  const { kernel, rootfs, rootfsAt, flashLength } = content;
  const kernelEnd = tplinkHeaderLength + kernel.length;
  const rootfsOffset = 'offset' in rootfsAt ? rootfsAt.offset : align(kernelEnd, rootfsAt.align);
  if (rootfsOffset < kernelEnd)
    throw new OwimgError('bad-value', `Cannot place the root file system at ${hexOffset(rootfsOffset)}: the kernel reaches up to ${hexOffset(kernelEnd)}`);
  const rootfsEnd = rootfsOffset + rootfs.length;
  const marks = content.endMarks ? markOffsets(rootfsEnd) : [];
  const last = marks.at(-1);
  const end = last === undefined ? rootfsEnd : last + endMark.length;
  if (end > flashLength) throw new OwimgError('conversion-impossible', `Cannot place ${end} bytes in a flash partition of ${flashLength}`);
  const image = new Uint8Array(content.stripped ? end : flashLength).fill(0xff);
  image.set(kernel, tplinkHeaderLength);
  image.set(rootfs, rootfsOffset);
  for (const mark of marks) image.set(endMark, mark);
  return { rootfsOffset, body: image.subarray(tplinkHeaderLength) };
}

/** What a person says of the layout: without a root file system it is a kernel alone, which nothing follows. */
export interface TplinkPlacing extends Omit<TplinkContent, 'rootfsAt'> {
  readonly rootfsOffset: number | undefined;
  readonly align: number;
}

/** The offset of the root file system, if there is one, and all that follows the header. */
export function placeTplink({ rootfsOffset, align: multiple, ...content }: TplinkPlacing): { readonly placed: number | undefined; readonly body: Uint8Array } {
  if (content.rootfs.length === 0) return { placed: undefined, body: content.kernel };
  if (multiple === 0) throw new OwimgError('bad-value', 'Cannot align the root file system to a multiple of 0: expected 1 or more');
  if (content.flashLength > largestFlash)
    throw new OwimgError('bad-value', `Cannot make an image of ${content.flashLength} bytes: expected the length of a flash partition`);
  const placed = layOutTplink({ ...content, rootfsAt: rootfsOffset === undefined ? { align: multiple } : { offset: rootfsOffset } });
  return { placed: placed.rootfsOffset, body: placed.body };
}

/** Throws if a value is too large for its field. */
export function requireFitting(values: Readonly<Record<string, number | Uint8Array>>, at: Readonly<Record<string, Range>>): void {
  for (const [name, { length }] of Object.entries(at)) {
    const value = values[name] as number | Uint8Array;
    const fits = typeof value === 'number' ? Number.isInteger(value) && value >= 0 && value < 2 ** (8 * length) : value.length <= length;
    const shown = typeof value === 'number' ? value : `of ${value.length} bytes`;
    if (!fits) throw new OwimgError('bad-value', `Cannot write a ${name} ${shown}: the field has ${length} bytes`);
  }
}

/** A header with everything behind it, and its MD5 filled in; `null` leaves the MD5 zero. */
export function sealTplink(header: Uint8Array, body: Uint8Array, at: Range, salt: Uint8Array | null): Uint8Array {
  const image = new Uint8Array(header.length + body.length);
  image.set(header);
  image.set(body, header.length);
  image.set(salt === null ? new Uint8Array(at.length) : md5Of(image, at, salt), at.offset);
  return image;
}

/** A flash layout as the tools know it by name (`-F`). */
export interface TplinkFlashLayout {
  /** Of the flash partition, which is that of a factory image. */
  readonly length: number;
  readonly load: number;
  readonly entry: number;
  /** Where the root file system lies if it is not aligned behind the kernel (`-a`), from the header's first byte. */
  readonly rootfsOffset: number;
}

/** The words of a command line of mktplinkfw or mktplinkfw2, by the letters of the options; of several the last one counts. */
export type TplinkOptions = ReadonlyMap<string, string>;

const wholeStep = ({ name, words }: StepUse): string => [name, ...words].join(' ');

/**
 * Reads a command line as getopt does: an option with a value takes the next word, even if that looks like an option (where a device
 * has no TPLINK_HWID, `-H` takes the next option for it), and words that no option takes are passed over.
 *
 * @param valued the letters of the options that take a value; @param flags of those that take none
 * @throws OwimgError `step-unknown` for an option that is in neither
 */
export function tplinkOptions(command: readonly string[], use: StepUse, valued: string, flags: string): TplinkOptions {
  const [tool, ...words] = command;
  if (tool === undefined) throw new OwimgError('step-unknown', `Cannot run the step "${wholeStep(use)}": the command line of its tool is not known`);
  const options = new Map<string, string>();
  for (let index = 0; index < words.length; index += 1) {
    const letter = /^-(.)$/.exec(words[index] as string)?.[1];
    if (letter === undefined) continue;
    if (!valued.includes(letter) && !flags.includes(letter)) {
      throw new OwimgError('step-unknown', `Cannot run the step "${wholeStep(use)}": owimg does not know what -${letter} means to ${tool}`);
    }
    if (valued.includes(letter)) index += 1;
    options.set(letter, valued.includes(letter) ? (words[index] ?? '') : '');
  }
  return options;
}

/** A number as C reads it (`strtoul` with base 0): `0x1f`, `017`, `15`; 0 for anything else. */
export function cNumber(text: string): number {
  const [, hexadecimal, octal, decimal] = /^(?:0x([0-9a-f]+)|0([0-7]*)|([1-9]\d*))/i.exec(text) ?? [];
  if (hexadecimal !== undefined) return Number.parseInt(hexadecimal, 16);
  return decimal === undefined ? Number.parseInt(octal || '0', 8) : Number(decimal);
}

/** An address or length of the command line: `0x` is a must, and without it the tools take none. */
const address = (options: TplinkOptions, letter: string): number => {
  const text = options.get(letter) ?? '';
  return /^0x[0-9a-f]/i.test(text) ? cNumber(text) : 0;
};

/** What the tools make of their command line, beside the values that only one of them has. */
export interface TplinkPlaced {
  readonly load: number;
  readonly entry: number;
  /** Of the layout; 0 where none was named. */
  readonly flashLength: number;
  readonly kernelOffset: number;
  readonly kernelLength: number;
  /** `undefined` with `-c`: there is no root file system. */
  readonly rootfs: { readonly offset: number; readonly length: number } | undefined;
  /** All that follows the header. */
  readonly body: Uint8Array;
}

const reversed = (value: number): number => ((value << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24)) >>> 0;

/**
 * Lays kernel and root file system out as the command line wants it. Options: `-F` layout, `-L` load address, `-E` entry point, `-e`
 * both in reverse, `-a` alignment and `-R` offset of the root file system, `-X` bytes to leave free, `-j` marks, `-s` no filler at the end,
 * `-c` a kernel alone.
 *
 * @param rootfs not asked for with `-c`
 * @throws OwimgError `step-unknown` for a layout that is not known, `conversion-impossible` where the parts are too long
 */
export function placeByCommand(
  use: StepUse,
  options: TplinkOptions,
  layouts: ReadonlyMap<string, TplinkFlashLayout>,
  kernel: Uint8Array,
  rootfs: () => Uint8Array,
): TplinkPlaced {
  const name = options.get('F');
  const layout = layouts.get(name ?? '');
  if (layout === undefined && (name !== undefined || !options.has('c'))) {
    const known = [...layouts.keys()].join(', ');
    throw new OwimgError('step-unknown', `Cannot run the step "${wholeStep(use)}": expected a flash layout out of ${known}, found "${name ?? ''}"`);
  }
  const requireRoom = (what: string, length: number, limit: number): void => {
    if (length <= limit) return;
    const over = byteCount(length - limit);
    const sentence = `Cannot make the image: ${what} ${byteCount(length)} long, and the flash layout "${name}" has room for ${byteCount(Math.max(0, limit))}`;
    throw new OwimgError('conversion-impossible', sentence, `It is ${over} too much. Build or download an image with fewer packages.`);
  };
  const [load, entry] = [address(options, 'L') || (layout?.load ?? 0), address(options, 'E') || (layout?.entry ?? 0)];
  const order = options.has('e') ? reversed : (value: number): number => value;
  const placed = {
    load: order(load),
    entry: order(entry),
    flashLength: layout?.length ?? 0,
    kernelOffset: tplinkHeaderLength,
    kernelLength: kernel.length,
  };
  if (layout === undefined || options.has('c')) {
    if (layout !== undefined) requireRoom('the kernel is', kernel.length, layout.length - tplinkHeaderLength);
    return { ...placed, rootfs: undefined, body: kernel };
  }
  const file = rootfs();
  const limit = layout.length - address(options, 'X');
  const alignment = address(options, 'a');
  const offset = address(options, 'R') || layout.rootfsOffset;
  if (alignment > 0) requireRoom('kernel and root file system are together', kernel.length + file.length, limit - tplinkHeaderLength);
  else {
    requireRoom('the kernel is', kernel.length, offset - tplinkHeaderLength);
    requireRoom('the root file system is', file.length, limit - offset);
  }
  const { rootfsOffset, body } = layOutTplink({
    kernel,
    rootfs: file,
    rootfsAt: alignment > 0 ? { align: alignment } : { offset },
    flashLength: layout.length,
    endMarks: options.has('j'),
    stripped: options.has('s'),
  });
  return { ...placed, rootfs: { offset: rootfsOffset, length: file.length }, body };
}

/** Kernel and root file system of an image that begins with the header of these numbers. */
export function tplinkParts(image: Uint8Array, numbers: TplinkNumbers): { readonly kernel: Uint8Array; readonly rootfs: Uint8Array } {
  const { kernelEnd, rootfs } = partsOf(numbers, image.length);
  return {
    kernel: image.subarray(numbers.kernelOffset, kernelEnd),
    rootfs: rootfs === undefined ? new Uint8Array() : image.subarray(rootfs.offset, rootfs.end),
  };
}

/** What a load address or entry point stands for where the header holds it in reverse (`-e`). */
export function addressMeaning(value: number): string | undefined {
  // MIPS kernels lie in KSEG0, which begins at 0x80000000.
  const inKseg0 = (address: number): boolean => address >>> 28 === 8;
  return !inKseg0(value) && inKseg0(reversed(value)) ? `${hex(reversed(value))} in reverse byte order` : undefined;
}

/** Text of a header field up to its NUL, or `null` if that is none; behind it only `filler`, if given. */
export function headerText(bytes: Uint8Array, filler?: number): string | null {
  const found = bytes.indexOf(0);
  const end = found < 0 ? bytes.length : found;
  if (bytes.subarray(0, end).some((byte) => byte < 0x20 || byte > 0x7e)) return null;
  if (filler !== undefined && bytes.subarray(end + 1).some((byte) => byte !== filler)) return null;
  return String.fromCharCode(...bytes.subarray(0, end));
}
