/**
 * The steps of OpenWrt's image recipes that make a layer, and what must then stand in it. `include/image-commands.mk`
 * and the targets' image/Makefile define them; the names of the fields are those that our formats give.
 */
import { optionWord } from '../core/recipe-step.ts';
import type { FieldValue } from '../core/types.ts';
import type { Device, SafeloaderBoard } from '../devices/facts.ts';

export interface StepUse {
  /** What follows the step's name. */
  readonly words: readonly string[];
  readonly device: Device;
  /** The words of a tool's command line in a full build; empty if the image is not made with it. */
  readonly command: (tool: string) => readonly string[];
  /** Its entry in the table of tplink-safeloader. */
  readonly board: SafeloaderBoard | undefined;
}

export interface LayerStep {
  readonly format: string;
  /**
   * What the layer holds: all that the recipe made so far, or the device's kernel and root file system (of which one may be
   * what was made so far), or the kernel followed by what was made so far. `nothing`: what it holds is not looked for.
   */
  readonly takes: 'image' | 'kernel-and-rootfs' | 'kernel-and-image' | 'nothing';
  readonly trailer?: true;
  /** What it holds are parts with names or offsets of their own, not bytes one after the other. */
  readonly parts?: true;
  readonly fields?: (use: StepUse) => Readonly<Record<string, FieldValue | undefined>>;
  /** With these words no header is put around kernel and root file system. */
  readonly slice?: (use: StepUse) => boolean;
  /** Its values are the ids of one device, or of a few. */
  readonly identifies?: true;
  /** Around a uImage its values go into the header that is there. */
  readonly uimage?: true;
}

/** Steps that change nothing that could be looked for: filler at the end, checks, metadata (which has its own rules). */
export const skippedSteps: ReadonlySet<string> = new Set([
  'append-gl-metadata',
  'append-metadata',
  'append-teltonika-metadata',
  'check-size',
  'create-uImage-dtb',
  'ls-clean',
  'dir685-pad-rootfs',
  'pad-rootfs',
  'patch-cmdline',
  'wrgg-pad-rootfs',
]);

/** Steps that turn the kernel into other bytes without a header that could be looked for: a loader that unpacks it, an ELF section. */
export const kernelCodeSteps: ReadonlySet<string> = new Set([
  'append-dtb-elf',
  'append-dtb-to-elf',
  'lzma-cfe',
  'relocate-kernel',
  'rt-compress',
  'rt-loader',
  'strip-kernel',
]);

/** Steps that make a partition table; the steps behind them fill the partitions. */
export const diskSteps: ReadonlySet<string> = new Set([
  'apalis-emmc',
  'combined',
  'hdd-img',
  'imx-sdcard',
  'imx-sdcard-raw-uboot',
  'ls-append-sdhead',
  'methode-gpt-emmc',
  'mt7622-gpt',
  'mt7623-mbr',
  'mt798x-gpt',
  'mxs-sdcard-ext4-ext4',
  'mxs-sdcard-vfat-ext4',
  'omap-sdcard',
  'pine64-img',
  'qsdk-ipq-app-gpt',
  'riscv-sdcard',
  'sdcard-img',
  'sdcard-img-ext4',
  'sunxi-sdcard',
  'tactical-1000-gpt-emmc',
  'tegra-sdcard',
  'ventana-img',
  'zynq-sdcard',
]);

/** Some values stand in quotes, with blanks that only fill up the field. */
const variable = ({ device }: StepUse, name: string): string | undefined => device.variables[name]?.replace(/^"(.*)"$/, '$1').trimEnd();

const compressions: Readonly<Record<string, number>> = { none: 0, gzip: 1, bzip2: 2, lzma: 3, lzo: 4, lz4: 5, zstd: 6 };

/** Of `uimage`, by OpenWrt's name. */
const architectures: Readonly<Record<string, number>> = {
  arm: 2,
  armeb: 2,
  i386: 3,
  mips: 5,
  mipsel: 5,
  mips64: 5,
  powerpc: 7,
  aarch64: 22,
  x86_64: 24,
  riscv64: 26,
};

const image = (format: string, fields?: LayerStep['fields']): LayerStep => ({ format, takes: 'image', ...(fields === undefined ? {} : { fields }) });
const trailer = (format: string, fields?: LayerStep['fields']): LayerStep => ({ ...image(format, fields), trailer: true });

/** A header with ids of the device. */
const identified = (step: LayerStep): LayerStep => ({ ...step, identifies: true });

const tplink = (use: StepUse): Readonly<Record<string, FieldValue | undefined>> => ({
  hardwareId: variable(use, 'TPLINK_HWID'),
  hardwareRevision: variable(use, 'TPLINK_HWREV'),
});

const wrgg = identified(
  image('wrgg', (use) => {
    const text = (option: string): string | undefined => optionWord(use.command('mkwrggimg'), option) || undefined;
    return { signature: text('-s'), model: text('-m') };
  }),
);

/** Its sections lie in flash one behind the other, but are cut where no layer ends. */
const ubnt: Omit<LayerStep, 'takes'> = {
  format: 'ubnt',
  parts: true,
  identifies: true,
  fields: (use) => ({ board: /^(.+?)\.v/.exec(optionWord(use.command('mkfwimage'), '-v') ?? '')?.[1] }),
};

/** By name of the step. */
export const layerSteps: Readonly<Record<string, LayerStep>> = {
  'asus-trx': {
    ...trailer('asus-trx', (use) => ({ productId: (optionWord(use.words, '-n') ?? optionWord(use.command('asustrx'), '-p'))?.trimEnd() })),
    uimage: true,
  },
  'cameo-tag': { ...image('uimage', () => ({ cameoTag: 'CAMEOTAG' })), uimage: true },
  'cfe-bin': {
    identifies: true,
    format: 'imagetag',
    takes: 'kernel-and-rootfs',
    fields: (use) => ({ boardId: variable(use, 'CFE_BOARD_ID'), chipId: variable(use, 'CHIP_ID') }),
  },
  'cfe-jffs2-kernel': { format: 'jffs2', takes: 'nothing' },
  fit: image('fit'),
  gzip: image('gzip'),
  'libdeflate-gzip': image('gzip'),
  'dir685-image': wrgg,
  'linksys-bin': identified(image('cybertan', (use) => ({ pattern: optionWord(use.command('addpattern'), '-p') }))),
  'linksys-image': identified(trailer('linksys-footer', ({ words }) => ({ type: words.find((word) => word.startsWith('type='))?.slice('type='.length) }))),
  lzma: image('lzma'),
  'lzma-d16': image('lzma'),
  'netgear-chk': identified(image('netgear-chk', (use) => ({ boardId: optionWord(use.command('mkchkimg'), '-b') }))),
  'netgear-squashfs': { format: 'uimage', takes: 'nothing', fields: (use) => ({ magic: variable(use, 'UIMAGE_MAGIC') }) },
  'netgear-dni': identified(
    image('netgear-dni', (use) => ({ device: optionWord(use.command('mkdniimg'), '-B'), hd_id: optionWord(use.command('mkdniimg'), '-H') })),
  ),
  'qsdk-ipq-factory-nand': image('fit'),
  'qsdk-ipq-factory-nor': { format: 'fit', takes: 'kernel-and-rootfs', parts: true },
  seama: image('seama'),
  'senao-header': identified(
    image('senao', (use) => ({
      vendorId: optionWord(use.command('mksenaofw'), '-r'),
      productId: optionWord(use.command('mksenaofw'), '-p'),
    })),
  ),
  'senao-tar-gz': { format: 'gzip', takes: 'nothing' },
  'seama-seal': identified(image('seama', (use) => ({ meta: [`signature=${variable(use, 'SEAMA_SIGNATURE')}`] }))),
  'sysupgrade-tar': { format: 'sysupgrade-tar', takes: 'kernel-and-rootfs', parts: true },
  'tplink-safeloader': {
    identifies: true,
    format: 'tplink-safeloader',
    takes: 'kernel-and-image',
    fields: ({ board }) => ({ supportList: board?.supportList.split(/\r?\n/).filter((line) => line !== '' && line !== 'SupportList:') }),
    slice: ({ words }) => words[0] === 'sysupgrade',
  },
  'tplink-v1-header': identified(image('tplink-v1', tplink)),
  'tplink-v1-image': {
    identifies: true,
    format: 'tplink-v1',
    takes: 'kernel-and-rootfs',
    parts: true,
    fields: tplink,
  },
  'tplink-v2-header': identified(image('tplink-v2', tplink)),
  'tplink-v2-image': {
    identifies: true,
    format: 'tplink-v2',
    takes: 'kernel-and-rootfs',
    parts: true,
    fields: tplink,
  },
  trx: image('trx'),
  'trx-nand': { format: 'trx', takes: 'kernel-and-image', parts: true },
  'trx-with-loader': { format: 'trx', takes: 'kernel-and-image', parts: true },
  'trx-without-loader': { format: 'trx', takes: 'kernel-and-image', parts: true },
  uImage: image('uimage', (use) => ({
    magic: optionWord(use.words, '-M') ?? variable(use, 'UIMAGE_MAGIC') ?? '0x27051956',
    load: variable(use, 'KERNEL_LOADADDR'),
    architecture: architectures[use.device.architecture],
    compression: compressions[use.words[0] ?? ''],
  })),
  'mkubntimage-split': { ...ubnt, takes: 'image' },
  mkubntimage: { ...ubnt, takes: 'nothing' },
  mkwrggimg: wrgg,
  'wrgg-image': wrgg,
  zyimage: identified(trailer('znbg-trailer', ({ words }) => ({ deviceId: optionWord(words, '-d') }))),
};
