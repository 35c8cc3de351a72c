/** What scripts/openwrt-facts.mk prints, made into the lines of devices.ndjson. Pure: runs nothing, reads no file. */
import type { DeviceImage } from '../src/devices/facts.ts';

/** A line of devices.ndjson. */
export interface DeviceLine {
  readonly target: string;
  readonly subtarget: string;
  readonly profile: string;
  readonly arch: string;
  readonly title: string;
  readonly alt_titles: readonly string[];
  readonly supported_devices: readonly string[];
  readonly board_name: string | null;
  readonly compat_version: string;
  readonly compat_message: string | null;
  readonly soc: string | null;
  readonly dts: string | null;
  readonly sizes: Readonly<Record<string, { readonly bytes: number }>>;
  readonly flags: Readonly<Record<string, string>>;
  readonly vars: Readonly<Record<string, string>>;
  readonly kernel: { readonly steps: readonly string[] } | null;
  readonly initramfs?: { readonly steps: readonly string[] } | null;
  readonly images: readonly ImageLine[];
}

export interface ImageLine {
  readonly name: string;
  readonly role: DeviceImage['role'];
  readonly fs: string | null;
  readonly file: string;
  readonly steps: readonly string[];
  readonly tar_dir?: string;
  readonly tools: readonly (readonly string[])[];
}

/** What one device's makefile says. */
export interface Evaluation {
  readonly profile: string;
  readonly variables: ReadonlyMap<string, string>;
  /** Recipe of the initramfs image; `null` if there is none. */
  readonly initramfs: string | null;
  /** In OpenWrt's order; `fs` is `null` for artifacts. */
  readonly images: readonly { readonly name: string; readonly file: string; readonly fs: string | null; readonly recipe: string }[];
  /** `sysupgrade.bin squashfs` -> the shell commands that make this image. */
  readonly commands: ReadonlyMap<string, string>;
}

const sizeVariables = ['IMAGE_SIZE', 'KERNEL_SIZE', 'BLOCKSIZE', 'PAGESIZE', 'SUBPAGESIZE', 'VID_HDR_OFFSET', 'NAND_SIZE', 'FACTORY_SIZE'];
const flagVariables = ['KERNEL_IN_UBI', 'UBOOTENV_IN_UBI', 'UBINIZE_OPTS', 'UBINIZE_PARTS', 'MKUBIFS_OPTS'];
/** Told elsewhere in the line, or of the build alone. */
const notVariables = new Set([
  ...[...sizeVariables, ...flagVariables, 'ARCH', 'BOARD_NAME', 'SOC', 'SUPPORTED_DEVICES', 'KERNEL', 'KERNEL_INITRAMFS', 'IMAGES', 'ARTIFACTS', 'COMPILE'],
  ...['FILESYSTEMS', 'PROFILES', 'CMDLINE', 'IMAGE_METADATA', 'UBOOT_PATH', 'UIMAGE_TIME', 'KDIR_KERNEL_IMAGE', 'KERNEL_DEPENDS'],
  ...['BROKEN', 'DEFAULT', 'KERNEL_IMAGE', 'KERNEL_PREFIX', 'KERNEL_SUFFIX', 'ROOTFS_SIZE'],
]);
const isOwnVariable = (name: string): boolean => /^(?!DEVICE_|KERNEL_INITRAMFS_)[A-Z][A-Z0-9_]*$/.test(name) && !notVariables.has(name);

const squeeze = (text: string): string => text.trim().replaceAll(/\s+/g, ' ');
const wordsOf = (text: string): string[] => text.split(' ').filter((word) => word !== '');
const stepsOf = (recipe: string): string[] =>
  recipe
    .split('|')
    .map(squeeze)
    .filter((step) => step !== '');

/** `15360k`, `128KiB`, `0x20000` -> bytes. */
export function bytesOf(text: string): number {
  const [, number = '', unit = ''] = /^(0x[0-9a-f]+|\d+)([kmg]?)(?:iB)?$/i.exec(text) ?? [];
  if (number === '') throw new Error(`"${text}" is no size: expected a number, with k, m or g behind it or without`);
  return Number(number) * 1024 ** ' kmg'.indexOf(unit.toLowerCase() || ' ');
}

/** What scripts/openwrt-facts.mk printed. Folders of the build are put back to their variables: `$KDIR/image.dtb`. */
export function readEvaluations(output: string): Evaluation[] {
  const folders: [string, string][] = [];
  const devices = new Map<
    string,
    { variables: Map<string, string>; initramfs: string | null; images: Evaluation['images'][number][]; commands: Map<string, string> }
  >();
  let profile = '';
  for (const line of output.split('\n')) {
    const [, key = line, text = ''] = /^(@folder .*|[^=]+)=(.*)$/.exec(line) ?? [];
    const [kind = '', name = '', ...more] = key.split(' ');
    if (kind === '@folder') folders.push([text, name]);
    if (kind === '@device') {
      profile = name;
      devices.set(profile, { variables: new Map(), initramfs: null, images: [], commands: new Map() });
    }
    const device = devices.get(kind === '@commands' ? name : profile);
    if (device === undefined) continue;
    const value = folders.reduce((sofar, [path, variable]) => sofar.replaceAll(path, () => variable), text);
    if (kind === '@commands') device.commands.set(more.join(' ').trim(), value.replaceAll('@NL@', '\n'));
    else if (kind === '@initramfs') device.initramfs = squeeze(value);
    else if (kind === '@image' || kind === '@artifact') device.images.push({ name, file: more[0] ?? '', fs: more[1] ?? null, recipe: squeeze(value) });
    else if (text !== '') device.variables.set(key, squeeze(value.replaceAll('@NL@', ' ')));
  }
  return [...devices].map(([name, device]) => ({ profile: name, ...device }));
}

/** Programs that pack, copy and measure: they say nothing of the image's format. */
const plainTools = new Set([
  ...['padjffs2', 'lzma', 'lzma-old', 'xz', 'lzop', 'gzip', 'libdeflate-gzip', 'mkhash', 'fwtool', 'sed', 'tune2fs', 'e2fsck', 'mkfs.fat', 'make_ext4fs'],
  ...['mksquashfs3-lzma', 'mksquashfs4', 'mkfs.jffs2', 'mkfs.ubifs', 'tar', 'cpio', 'zip', 'grub-bios-setup'],
]);
/** Image tools that the makefiles call without a path. */
const pathlessTools = new Set(['fix-u-media-header', 'mkbrnimg', 'mkheader_gemtek', 'mkwrggimg', 'mkwrgimg', 'sign_dlink_ru', 'uimage_padhdr']);

/** The command lines of image tools in shell text: programs of OpenWrt's own, with their arguments. No shell: expansions stay as they stand. */
export function toolsOf(shell: string): string[][] {
  const commands: string[][] = [[]];
  const token = /\n|;|&&?|\|\|?|[(){}]|(?:'[^']*'|"(?:\\[\s\S]|[^"\\])*"|\\.|\$\{[^}]*\}|\$\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)|`[^`]*`|[^\s;&|()'"`\\])+/g;
  for (const [text] of shell.replaceAll('\\\n', ' ').matchAll(token)) {
    if (/^[\n;&|(){}]/.test(text)) commands.push([]);
    else commands.at(-1)?.push(text.replaceAll(/'([^']*)'|"((?:\\[\s\S]|[^"\\])*)"/g, (_, single?: string, double?: string) => single ?? double ?? ''));
  }
  return commands.flatMap((words) => {
    const start = words.findIndex((word) => !/^[@+-]*(\w+=.*|env|sh|bash|perl|python3|then|)$/.test(word));
    const [program = '', ...rest] = words.slice(start);
    const name = program.slice(program.lastIndexOf('/') + 1);
    const isOurs = /^[@+-]*(\$STAGING_DIR_HOST\/bin|scripts|\.)\//.test(program) || pathlessTools.has(program);
    return isOurs && !plainTools.has(name) ? [[name, ...rest]] : [];
  });
}

/** The targets whose single image is what the vendor's upgrade takes and sysupgrade too. */
const oneImageTargets = new Set(['bcm47xx', 'bcm53xx', 'bcm4908']);

/** What an image is for, which OpenWrt tells by its name alone. The first rule that fits holds. */
export function roleOf(name: string, target: string, isArtifact: boolean): DeviceImage['role'] {
  if (/sysupgrade/.test(name)) return 'sysupgrade';
  if (oneImageTargets.has(target) && /^(trx|chk|bin|lxl)$/.test(name)) return 'both';
  if (/^initramfs.*(factory|trx)/.test(name)) return 'factory-initramfs';
  if (/^(sdcard|combined|emmc).*\.img|^combined\.bin$|^factory.*\.gz$|^img\.gz$/.test(name)) return 'disk';
  if (/recovery\.bin$|^tftp\.bin$|^noheader/.test(name)) return 'recovery';
  if (!isArtifact && /^initramfs/.test(name)) return 'other';
  if (!isArtifact && /kernel|rootfs|filesystem|^(root|nand)\.ubi$|^dtb$|^fdt|^bootfs|gpt|^rcw|^(image-cfs|uImage)-/.test(name)) return 'part';
  if (/factory|^cfe|^firmware\.bin$|^tclinux\.trx$|^cpximg|^flash\.bin$|^eva\.bin$|^fullimage|^cxsw_update/.test(name)) return 'factory';
  return isArtifact ? 'bootloader/other' : 'other';
}

/**
 * One line of devices.ndjson. `alone` is the evaluation of this device by itself; `inOrder` that with all devices before it
 * in the makefiles, whose left-over variables get into the recipes of its images as they do in OpenWrt's own builds.
 */
export function deviceLineOf(target: string, subtarget: string, alone: Evaluation, inOrder: Evaluation): DeviceLine {
  const { profile, variables, initramfs } = alone;
  const optional = (name: string): string | null => variables.get(name) ?? null;
  const pick = (names: readonly string[]): [string, string][] => names.flatMap((name) => (variables.has(name) ? [[name, variables.get(name) ?? '']] : []));
  const boardName = optional('BOARD_NAME');
  return {
    target,
    subtarget,
    profile,
    arch: variables.get('ARCH') ?? '',
    title: variables.get('DEVICE_TITLE') ?? '',
    alt_titles: pick([0, 1, 2, 3, 4, 5].map((number) => `DEVICE_ALT${number}_TITLE`)).map(([, title]) => title),
    supported_devices: wordsOf(variables.get('SUPPORTED_DEVICES') ?? ''),
    board_name: boardName,
    compat_version: variables.get('DEVICE_COMPAT_VERSION') ?? '',
    compat_message: optional('DEVICE_COMPAT_MESSAGE'),
    soc: optional('SOC'),
    dts: optional('DEVICE_DTS'),
    sizes: Object.fromEntries(pick(sizeVariables).map(([name, size]) => [name, { bytes: bytesOf(size) }])),
    flags: Object.fromEntries(pick(flagVariables)),
    vars: Object.fromEntries(pick([...variables.keys()].filter(isOwnVariable).sort())),
    kernel: { steps: stepsOf(variables.get('KERNEL') ?? '') },
    ...(initramfs === null ? {} : { initramfs: { steps: stepsOf(initramfs) } }),
    images: inOrder.images.map(({ name, file, fs, recipe }) => {
      const steps = stepsOf(recipe);
      const inTar = steps.some((step) => step.startsWith('sysupgrade-tar'));
      const tools = toolsOf(inOrder.commands.get(`${name} ${fs ?? ''}`.trim()) ?? '');
      // The rule of Device/Build/image in OpenWrt's include/image.mk.
      const packed = fs === 'ext4' && !/(dtb|gz)$/.test(name) ? '.gz' : '';
      return {
        name,
        role: roleOf(name, target, fs === null),
        fs,
        file: `${file}${packed}`,
        steps,
        tools,
        ...(inTar ? { tar_dir: `sysupgrade-${boardName ?? profile}` } : {}),
      };
    }),
  };
}

/**
 * The numbers that OpenWrt's configuration has by default (partition sizes and such), as `CONFIG_` assignments for make.
 * `symbols` are those that hold: `TARGET_x86`, `TARGET_x86_64`.
 */
export function defaultNumbers(kconfig: string, symbols: ReadonlySet<string>): string[] {
  return kconfig
    .split(/^\s*(?:menu)?config /m)
    .slice(1)
    .flatMap((entry) => {
      const [name = ''] = /^\w+/.exec(entry) ?? [];
      if (!/^\s*int\b/m.test(entry)) return [];
      const defaults = [...entry.matchAll(/^\s*default (\d+)(?: if (.*))?$/gm)];
      const holds = (condition: string): boolean => condition.split('||').some((symbol) => symbols.has(symbol.trim()));
      const [, number] = defaults.find(([, , condition]) => condition === undefined || holds(condition)) ?? [];
      return number === undefined ? [] : [`CONFIG_${name}=${number}`];
    });
}
