/**
 * What one file in formats/ exports, and what it may say of its bytes.
 *
 * A format sees a window: its own first byte and all that follows up to the end of whatever holds it. It
 * says how many of these bytes are its own, what they mean and which stretches carry something else. It
 * never looks into those and never names another format: that is the engine's work.
 */
import type { CodedCheck } from './checksums.ts';
import type { LocalFinding } from './findings.ts';
import { hexBytes } from './hex.ts';
import type { Budget } from './limits.ts';
import { paddingLength } from './padding.ts';
import type { RecipeSteps } from './recipe-step.ts';
import type { Confidence, Field, Identity, Kind, Range, Region } from './types.ts';
import type { Wrap } from './wrap.ts';

/** What a format is for, as far as the engine must know to read what stands beside it. */
export type Role =
  /** A header around something else, made for a boot loader or a vendor's upgrade. */
  | 'wrapper'
  /** What a boot loader starts: a kernel container, or a bare kernel. */
  | 'kernel'
  /** What a kernel mounts, or finds it in. */
  | 'rootfs'
  /** A compressed stream: a kernel in it, or a whole image. */
  | 'compressed'
  /** Holds files. */
  | 'archive'
  | 'disk'
  /** Appended behind an image, found from the end of the file. Never the root. */
  | 'trailer'
  /** At the end of a container's last payload, inside of its length and checksum. Never the root. */
  | 'footer'
  /** A marker between padding. Never the root. */
  | 'mark'
  /** Read only inside of something else or by itself: a device tree. */
  | 'data';

/** Bytes by which a format can be found in the middle of others. */
export interface Magic {
  /** Where they stand, counted from the format's first byte. */
  readonly offset: number;
  readonly bytes: Uint8Array;
}

export interface Reference {
  readonly title: string;
  readonly url: string;
}

/** The offset of gathered bytes that lie nowhere: blocks of flash that were never written and read as FF, holes of a file that read as zeros. */
export const nowhere = -1;

/** A stretch that a format carries for somebody else. */
export interface Payload {
  readonly label: string;
  /** Where it lies in the window. Several: gathered from there, in this order; some perhaps from {@link nowhere}. Empty for unpacked bytes without a place. */
  readonly ranges: readonly Range[];
  /** The unpacked bytes, where they do not lie in the window as such. */
  readonly unpacked?: { readonly bytes: Uint8Array; readonly by: string };
  /** The gathered bytes, where `ranges` has more than one entry or the payload stands outside of the tiling. */
  readonly gathered?: { readonly bytes: Uint8Array; readonly by: string };
  /** The compression that the header promises: the id of a format with role `compressed`, or `none`. */
  readonly compression?: string;
  /** Where the header promises it. */
  readonly compressionAt?: Range;
  /** `one` (usual): one thing and padding. `slice`: several things one after the other, as in flash. `opaque`: do not look inside. */
  readonly content?: 'one' | 'slice' | 'opaque';
  /** It boots, so where nobody knows what it begins with, that is worth a warning. */
  readonly boots?: boolean;
  /** It may be the same format again without anything being wrong. */
  readonly mayRepeat?: boolean;
  /** A few bytes that stand behind what is found in it, and which it alone explains. */
  readonly behind?: { readonly label: string; readonly length: number };
  /** Vendors keep a block of their own at its end: a format with role `footer` is looked for there. */
  readonly footer?: boolean;
}

/** What one format says of a window. All offsets count from the window's first byte. */
export interface Reading<Input = unknown> {
  /** Where its bytes begin: 0 except for trailers. */
  readonly start?: number;
  /** How many bytes are its own. */
  readonly length: number;
  /** The length is not known from the bytes: it reaches up to whatever comes next. */
  readonly open?: boolean;
  /** What it is in this file, for a title: `uImage (MIPS Linux kernel, lzma)`. */
  readonly summary?: string;
  readonly kind?: Kind;
  readonly fields: readonly Field[];
  /** Tile `[start, start + length)`; a stretch of kind `payload` with a payload's range is cut up by what is found in it. */
  readonly regions: readonly Region[];
  readonly checks: readonly CodedCheck[];
  readonly findings: readonly LocalFinding[];
  readonly identities: readonly Identity[];
  readonly payloads: readonly Payload[];
  /** What `build` needs to make these very bytes again; absent where the format has no `build`. */
  readonly input?: () => Input;
}

export interface ParseContext {
  /** Compressed payloads are wanted: the file is an archive, or the user asked for `--deep`. */
  readonly unpack: boolean;
  readonly deep: boolean;
  readonly budget: Budget;
}

/** One file in formats/ exports one of these. All its functions are pure. */
export interface Format<Input = unknown> {
  /** File name, fixture folder and word on the command line. */
  readonly id: string;
  readonly title: string;
  /** One sentence: what it is and who reads it. */
  readonly summary: string;
  readonly role: Role;
  /** What a file is that has this as its outermost layer; a reading may know better. */
  readonly kind: Kind;
  /** Where the layout is written down, and who writes it. */
  readonly references: readonly [Reference, ...Reference[]];
  /** What owimg does not read of it. Empty: all of it. */
  readonly limitations: readonly string[];
  /** By which it is looked for inside of bytes that nothing else explains; only ones that `detect` can then prove. */
  readonly magics?: readonly Magic[];
  /** In flash it begins at a multiple of this, counted from the start of the flash or of something in front of it. */
  readonly alignment?: number;
  /** Never throws; looks at a bounded number of bytes. */
  detect(bytes: Uint8Array): Confidence;
  /** For trailers and footers instead of `detect`: where the one begins that ends (or should end) at the window's end; -1 if there is none. */
  locate?(bytes: Uint8Array): number;
  /** Called after `detect` or `locate`; damage becomes findings. */
  parse(bytes: Uint8Array, context: ParseContext): Reading<Input> | Promise<Reading<Input>>;
  /** The bytes that the reference tool gives for these values. Throws OwimgError for values that do not fit. */
  build?(input: Input): Uint8Array;
  /** How it is put around one file by hand, for `owimg wrap`. */
  readonly wrap?: Wrap<Input>;
  /** The steps of OpenWrt's image recipes that write it, and their inverses. */
  readonly recipeSteps?: RecipeSteps;
}

/** A region; the shortest way to write one. */
export function region(kind: Region['kind'], label: string, offset: number, length: number): Region {
  return { kind, label, offset, length };
}

/** The reading of a header that is cut off: everything that is left, one finding. */
export function truncatedHeader(what: string, headerLength: number, finding: LocalFinding, available: number): Reading<never> {
  return {
    length: available,
    summary: `${what}, cut off`,
    fields: [],
    regions: available > 0 ? [region('header', `${what} header, ${available} of ${headerLength} bytes`, 0, available)] : [],
    checks: [],
    findings: [finding],
    identities: [],
    payloads: [],
  };
}

/**
 * The regions between given ones: `regions` sorted by offset, with gaps in `[start, end)` filled as `unknown`,
 * overlaps cut, and what lies outside dropped. For formats whose tables can put things anywhere.
 */
export function tile(regions: readonly Region[], start: number, end: number, gap: Region['kind'] = 'unknown', gapLabel = 'not described'): Region[] {
  const sorted = [...regions].filter((entry) => entry.length > 0).sort((a, b) => a.offset - b.offset);
  const tiled: Region[] = [];
  let position = start;
  for (const entry of sorted) {
    const from = Math.max(entry.offset, position);
    const to = Math.min(entry.offset + entry.length, end);
    if (to <= from) continue;
    if (from > position) tiled.push(region(gap, gapLabel, position, from - position));
    tiled.push({ ...entry, offset: from, length: to - from });
    position = to;
  }
  if (position < end) tiled.push(region(gap, gapLabel, position, end - position));
  return tiled;
}

/** Regions of kind `unknown` that hold nothing but 00 or FF become padding. Offsets count from the first of `bytes`. */
export function explainFiller(regions: readonly Region[], bytes: Uint8Array): Region[] {
  return regions.map((entry) => {
    const { offset, length } = entry;
    if (entry.kind !== 'unknown' || paddingLength(bytes.subarray(offset, offset + length)) < length) return entry;
    return region('padding', `filled with ${hexBytes(bytes.subarray(offset, offset + 1))}`, offset, length);
  });
}

/** A format whatever its `build` takes: what a list of formats holds. */
// biome-ignore lint/suspicious/noExplicitAny: an input goes in where it came out, from the same format
export type AnyFormat = Format<any>;
