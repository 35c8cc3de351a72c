/** Which command writes an image to a device, and what that would touch besides the system: for what `strip` and `extract` leave. */
import type { AnyFormat } from './core/format.ts';
import { byteCount } from './core/hex.ts';
import { allLayers } from './core/layers.ts';
import type { Inspection, Layer } from './core/types.ts';

export interface Advice {
  readonly next: readonly string[];
  readonly warnings: readonly string[];
}

/** How vendors call the partitions that no upgrade should touch. */
const touched: readonly (readonly [pattern: RegExp, what: string])[] = [
  [/u-?boot|boot ?loader|^boot$|redboot|^cfe$|^spl$/i, 'a boot loader'],
  [/^(art|caldata|cal-?data|calibration|radio|eeprom|factory|wifi-?data)$/i, 'calibration data of the radio'],
  [/^(nvram|(user|default)-config|config|pin|default-mac|product-info|profile|board-?data|u-?boot-?env)$/i, 'configuration or the numbers of one device'],
];

/** What lies in it beside the system. */
function besides({ root }: Inspection): string[] {
  const labels = allLayers(root).flatMap((layer) => [
    ...(layer.label === undefined ? [] : [layer.label]),
    ...layer.regions.filter(({ kind }) => kind === 'payload').map(({ label }) => label),
  ]);
  return touched.flatMap(([pattern, what]) => {
    const found = labels.find((label) => pattern.test(label));
    return found === undefined
      ? []
      : [`It holds ${what} ("${found}"): who writes it writes that too, and a device that is not this very one may not start again.`];
  });
}

/** Formats whose header lies in the flash: the boot loader reads it there. */
const liesInFlash: ReadonlySet<string> = new Set(['flash-slice', 'uimage', 'trx', 'tplink-v1', 'tplink-v2', 'seama', 'imagetag', 'fit']);

const isRole = (formats: readonly AnyFormat[], role: AnyFormat['role']): ((layer: Layer) => boolean) => {
  const ids = new Set(formats.filter((format) => format.role === role).map(({ id }) => id));
  return ({ format }) => ids.has(format);
};

/** For a file at `path`. */
export function writingAdvice(inspection: Inspection, path: string, formats: readonly AnyFormat[]): Advice {
  const { root, kind, format, status } = inspection;
  const file = path === '-' ? 'FILE' : path;
  const check = `owimg check ${file} --device NAME (says what each way of flashing would do on your device; ask it first)`;
  const warnings = besides(inspection);
  if (status === 'broken') return { next: ['Do not flash this file: it is broken.'], warnings };
  if (status === 'unknown') {
    return { next: [`owimg inspect ${file} (owimg cannot tell what would take these bytes: do not flash them on its word)`], warnings };
  }
  if (kind === 'bootloader') {
    return {
      next: [`Keep it. Do not write it: owimg inspect ${file} says more.`],
      warnings: ['It is a boot loader. A wrong one, or a write that stops in the middle, leaves a device that only a programmer brings back.'],
    };
  }
  const metadata = root.children.some(({ format: id }) => id === 'fwtool');
  if (metadata && (kind === 'sysupgrade' || kind === 'disk' || kind === 'factory')) return { next: [check, `then: sysupgrade ${file}`], warnings };
  if (kind === 'disk') {
    return {
      next: [`dd if=${file} of=/dev/sdX bs=1M conv=fsync (sdX: the card, the stick or the disk; look twice which one it is)`],
      warnings: [...warnings, 'It replaces all of the card or disk: boot loader, system, settings and everything else on it.'],
    };
  }
  const layers = allLayers(root);
  const hasRootfs = layers.some(isRole(formats, 'rootfs'));
  if (format === 'ubi') {
    return {
      next: [check, `then: ubiformat /dev/mtdN -y -f ${file} (mtdN: the partition for UBI, see cat /proc/mtd; it must not be attached)`],
      warnings: [
        ...warnings,
        'It replaces the whole UBI partition, the settings in it included. On some devices calibration data lies in a volume there: save those first.',
      ],
    };
  }
  if (format === 'sysupgrade-tar') return { next: [`owimg metadata add ${file} --device NAME (sysupgrade demands metadata)`], warnings };
  if (format !== 'ubi' && layers.some((layer) => layer.format === 'ubi')) {
    const apart = 'It holds a kernel and UBI, which devices with NAND keep in partitions of their own: no one command writes this file as it is.';
    return { next: [check, `owimg extract ${file} ubi takes the UBI out, if it is that which you need.`], warnings: [...warnings, apart] };
  }
  if (liesInFlash.has(format) && hasRootfs) {
    return {
      next: [
        check,
        `then, on the running OpenWrt: mtd -r write ${file.split('/').pop()} firmware (from /tmp; the partition may be called "linux" on old systems)`,
      ],
      warnings: [
        ...warnings,
        `mtd writes to the partition that you name and asks nothing. "firmware" holds system and settings: the settings are lost; boot loader and calibration lie in others and stay as they are. Compare first: cat /proc/mtd must show "firmware" with at least ${byteCount(root.length)}.`,
      ],
    };
  }
  if (kind === 'kernel' || kind === 'initramfs') {
    return {
      next: ['It is a kernel alone: the boot loader can start it from RAM (tftpboot, then bootm), and it belongs to nothing but the kernel partition.', check],
      warnings: [...warnings, 'Do not write it to the partition "firmware" or "rootfs": the root file system behind it would be gone.'],
    };
  }
  if (kind === 'rootfs') {
    return {
      next: ['It is a root file system alone: look into it (unsquashfs, ubireader), do not flash it.'],
      warnings: [...warnings, 'Written to the partition "firmware" it would stand where the boot loader looks for the kernel.'],
    };
  }
  if (kind === 'factory')
    return { next: [check, "then the vendor's web page or the boot loader's recovery takes it, if it is made for your device."], warnings };
  return { next: [`owimg inspect ${file} (owimg cannot tell what would take these bytes: do not flash them on its word)`], warnings };
}
