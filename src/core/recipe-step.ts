/**
 * What a step of OpenWrt's image recipes does to an image, and how that is undone. A step stands beside the format that it
 * writes, as `recipeSteps` of the format; the interpreter in src/recipes/ runs them.
 */
import { OwimgError } from './errors.ts';
import type { Role } from './format.ts';
import type { Range } from './types.ts';

/** Bytes. */
export interface DeviceSizes {
  /** Of the firmware partition. */
  readonly image?: number;
  /** Of the kernel's partition. */
  readonly kernel?: number;
  /** Erase block. */
  readonly block?: number;
  /** Page of NAND flash, the smallest unit that can be written. */
  readonly page?: number;
  readonly subpage?: number;
  readonly vidHeaderOffset?: number;
  readonly nand?: number;
  readonly factory?: number;
}

/** What the steps of a recipe may know of the device. */
export interface RecipeDevice {
  /** The name in the build system and in file names: `tplink_archer-c7-v5`. */
  readonly profile: string;
  /** With subtarget: `ath79/generic`. */
  readonly target: string;
  /** As OpenWrt calls it: `mips`, `mipsel`, `arm`, `aarch64` ... */
  readonly architecture: string;
  /** SUPPORTED_DEVICES: what the running system may call itself, its own name first, older names behind. */
  readonly boards: readonly string[];
  /** BOARD_NAME, where the directory of a sysupgrade tar is not called after the profile. */
  readonly boardName?: string;
  readonly compatVersion: string;
  readonly compatMessage?: string;
  readonly sizes: DeviceSizes;
  /** Variables of the recipe with a meaning of their own (UBINIZE_OPTS, KERNEL_IN_UBI ...). */
  readonly flags: Readonly<Record<string, string>>;
  /** Variables that the steps use: `TPLINK_HWID`, `NETGEAR_BOARD_ID` ... */
  readonly variables: Readonly<Record<string, string>>;
}

/** One board in the table of `tplink-safeloader`. */
export interface SafeloaderBoard {
  /** TPLINK_BOARD_ID. */
  readonly id: string;
  /** What stands in the vendor area, perhaps nothing but a length of 0; `undefined`: not even that. */
  readonly vendor?: string;
  readonly supportList: string;
  /** The byte behind each record, where there is one. */
  readonly trail?: number;
  /** A text, or the three numbers in front of date and revision. */
  readonly softVersion: string | readonly [number, number, number];
  /** 0: not written. */
  readonly compatLevel: number;
  /** The flash. `firmware` is cut into kernel and root file system where the kernel ends. */
  readonly partitions: readonly { readonly name: string; readonly offset: number; readonly length: number }[];
  /** A sysupgrade image holds the flash from the one up to what the image has for the other. */
  readonly firstSysupgradePartition: string;
  readonly lastSysupgradePartition: string;
  /** Where it calls partitions of an image by other names. */
  readonly partitionNames?: Readonly<Partial<Record<SafeloaderPartName, string>>>;
  /** The data of the partition `extra-para`, where the image has one. */
  readonly extraPara?: readonly number[];
}

/** The partitions that tplink-safeloader makes, in the order in which they stand in a factory image. */
export type SafeloaderPartName = 'partition-table' | 'soft-version' | 'support-list' | 'os-image' | 'file-system' | 'extra-para';

/**
 * What differs from build to build and is in no fact: names and numbers of the release, and the time that OpenWrt writes where
 * a tool wants one (`epoch`: SOURCE_DATE_EPOCH, seconds since 1970, as text), and the kernel's version (`linux`: `6.18.44`).
 */
export type BuildValue = 'dist' | 'version' | 'revision' | 'epoch' | 'linux';

/**
 * What recipes put together. `kernel` is the finished one, with its own header and all that the kernel's recipe does;
 * `metadata` the JSON text that fwtool appends. Others have the name that the recipe gives them (`initramfs`, `loader` ...).
 */
export type PartName = string;

/** One of the things that stand one behind the other. Offsets count from the first of the bytes that were read. */
export interface FlashPiece extends Range {
  /** `null` for filler, and for bytes that nobody knows. */
  readonly format: string | null;
  readonly role: Role | 'padding' | 'unknown';
  /** Where it ends is not known from the bytes. */
  readonly open: boolean;
}

/** A step of one image's recipe. */
export interface StepUse {
  readonly name: string;
  /** The recipe begins with it. */
  readonly first: boolean;
  /** What follows the step's name; quoted words without their quotes. */
  readonly words: readonly string[];
  readonly device: RecipeDevice;
  /** Its entry in the table of tplink-safeloader. */
  readonly board: SafeloaderBoard | undefined;
  /** The directory in the image's sysupgrade tar, `sysupgrade-BOARD`. */
  readonly tarDirectory: string | undefined;
  /**
   * The words of a tool's command line in a full build, the tool's name first; empty if the image is not made with it. `nth`: of
   * several, counted from 0. Words with `@REVISION@` and the like are to be filled by {@link ComposeUse.filled}.
   */
  command(tool: string, nth?: number): readonly string[];
}

export interface ComposeUse extends StepUse {
  hasPart(name: PartName): boolean;
  /** @throws OwimgError `part-missing` */
  part(name: PartName): Uint8Array;
  /** A value of the build; the report says what hangs on it. */
  build(value: BuildValue): string;
  /** Puts the build's values into a word of a command line. */
  filled(word: string): string;
}

export interface DecomposeUse extends StepUse {
  /**
   * A part was found. `padded`: filler may stand behind it, which is cut off where the part's own layers end.
   * @throws OwimgError `conversion-impossible` where another step found other bytes for it
   */
  found(name: PartName, bytes: Uint8Array, padded?: boolean): Promise<void>;
  /** The image tells a value of the build. */
  tells(value: BuildValue, text: string): void;
  /** What stands one behind the other in these bytes: for steps that have no header to go by. */
  pieces(bytes: Uint8Array): Promise<readonly FlashPiece[]>;
}

type Bytes = Uint8Array | Promise<Uint8Array>;

interface Inverse {
  /**
   * What the recipe had made before this step; the parts that the step took are handed to `found`. The image was read before and is
   * without errors: checksums need no second look.
   */
  decompose(image: Uint8Array, use: DecomposeUse): Bytes;
}

/** A step that may change everything. */
export interface RewritingStep extends Inverse {
  /** What the step makes of what the recipe made so far. */
  compose(image: Uint8Array, use: ComposeUse): Bytes;
}

/** A step that only puts something behind what the recipe made so far, which is not copied for that. */
interface AppendingStep extends Inverse {
  /** @param length of what the recipe made so far */
  append(length: number, use: ComposeUse): readonly Uint8Array[];
}

export type RecipeStep = RewritingStep | AppendingStep;

/** By the names of the steps. */
export type RecipeSteps = Readonly<Record<string, RecipeStep>>;

/** The word behind an option: `-C US`. */
export function optionWord(words: readonly string[], name: string): string | undefined {
  const index = words.indexOf(name);
  return index < 0 ? undefined : words[index + 1];
}

/** What stands behind each mention of an option: `-m dev=1 -m type=firmware`. */
export function optionWords(words: readonly string[], name: string): string[] {
  return words.flatMap((word, index) => (word === name && index + 1 < words.length ? [words[index + 1] as string] : []));
}

/**
 * The number in a step's argument: `64k`, `0x20000`, `4096k`, `2M`.
 * @throws OwimgError `step-unknown` where it is none
 */
export function sizeWord(word: string | undefined, step: string): number {
  const value = sizeOf(word ?? '');
  if (Number.isNaN(value)) throw new OwimgError('step-unknown', `Cannot run the step "${step}": expected a size, found "${word ?? ''}"`);
  return value;
}

/** The number in a text like `64k`, `128KiB`, `0x20000`, `2M`; NaN where it is none. */
export function sizeOf(text: string): number {
  const match = /^(0x[0-9a-f]+|\d+)([km]?)(?:iB)?$/i.exec(text);
  if (match === null) return Number.NaN;
  const unit = { k: 1024, m: 1_048_576 }[(match[2] as string).toLowerCase()] ?? 1;
  return Number(match[1]) * unit;
}
