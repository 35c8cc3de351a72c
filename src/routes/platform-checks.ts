/**
 * What a target's own check (`platform_check_image` in target/linux/<target>/base-files/lib/upgrade/platform.sh) accepts, and
 * which targets demand metadata.
 */
import { allLayers } from '../core/layers.ts';
import type { Finding, Layer } from '../core/types.ts';
import type { Device } from '../devices/facts.ts';
import { type Subject, tarMemberLength } from './subject.ts';

/** `broken`: not even --force gets past it. `noBackup`: the settings cannot be kept. */
export type PlatformAnswer =
  | { readonly ok: true; readonly noBackup?: true; readonly trx?: true }
  | {
      readonly ok: false;
      readonly says: string;
      readonly why: string;
      readonly broken?: true;
      readonly trx?: true;
      /** It is this hardware under another of its names. */
      readonly renamed?: true;
    }
  | { readonly ok: null; readonly why: string };

/** Targets on which REQUIRE_IMAGE_METADATA is not set when the image is checked. */
const withoutMetadata: ReadonlySet<string> = new Set([
  'armsr',
  'bcm47xx',
  'bcm4908',
  'bcm53xx',
  'econet',
  'loongarch64',
  'octeon',
  'omap',
  'pistachio',
  'sifiveu',
  'sunxi',
  'x86',
]);

const family = (device: Device): string => device.target.split('/')[0] as string;

export const requiresMetadata = (device: Device): boolean => !withoutMetadata.has(family(device));

type Rule = (subject: Subject) => PlatformAnswer;

const anything: Rule = () => ({ ok: true });

/** The layers that `get_image` would see: a gzip is unpacked before the magic number is read. */
function unpacked({ root }: Subject): Layer {
  const [only] = root.children;
  return root.format === 'gzip' && only !== undefined ? only : root;
}

/** `nand_do_platform_check`: a sysupgrade tar with this board's directory, or a FIT, UBI or UBIFS image. */
const nand: Rule = (subject) => {
  const layer = unpacked(subject);
  if (layer.format === 'fit' || layer.format === 'ubi' || layer.format === 'ubifs') return { ok: true };
  const says = 'invalid sysupgrade file';
  if (layer.format !== 'sysupgrade-tar') return { ok: false, says, why: `it is a ${layer.format}, not a sysupgrade tar, FIT, UBI or UBIFS image` };
  const directory = subject.inspection.identities.find(({ source }) => source === 'sysupgrade-tar.board')?.value ?? '';
  const { board, device } = subject;
  const accepted = [board, board.replace(',', '_')];
  if (subject.running.board === undefined) accepted.push(...device.images.flatMap(({ tarDirectory }) => tarDirectory?.replace('sysupgrade-', '') ?? []));
  if (accepted.includes(directory)) return { ok: true };
  const why = `its directory is sysupgrade-${directory}, the running system looks for sysupgrade-${board.replace(',', '_')}`;
  const own = [device.profile, device.boardName, ...device.boards].flatMap((name) => (name === undefined ? [] : [name, name.replace(',', '_')]));
  return own.includes(directory) ? { ok: false, says, why, renamed: true } : { ok: false, says, why };
};

/** `fit_check_image`: a FIT whose hashes are right. */
const fitOnly: Rule = (subject) => {
  const { format } = unpacked(subject);
  return format === 'fit' ? { ok: true } : { ok: false, says: 'Invalid image type.', why: `it is a ${format}, not a FIT`, broken: true };
};

/** Partition tables are compared with the running disk's; one that differs is asked about, not refused. */
const disk: Rule = (subject) => {
  const { format } = unpacked(subject);
  if (subject.context.roles.disks.has(format)) return { ok: true };
  return { ok: false, says: 'Invalid image type.', why: `it is a ${format}, not a disk image` };
};

/** bcm47xx and bcm53xx know the vendor's header, and the TRX in it. */
const broadcom: Rule = (subject) => {
  const { root } = subject;
  if (root.format === 'seama') return { ok: true };
  const wrapped = ['netgear-chk', 'cybertan', 'trx', 'tplink-safeloader'].includes(root.format);
  if (!wrapped) {
    const says = 'Invalid image type. Please use firmware specific for this device.';
    return { ok: false, says, why: `it is a ${root.format}, not a TRX, CHK or CyberTAN image`, broken: true };
  }
  const trx = allLayers(root).find(({ format }) => format === 'trx');
  const damaged = root.format !== 'tplink-safeloader' && (trx === undefined || subject.inspection.findings.some(isTrxError));
  if (!damaged) return { ok: true, trx: true };
  const says =
    root.format === 'trx' ? 'Invalid (corrupted?) TRX firmware' : `No valid TRX firmware in the ${root.format === 'netgear-chk' ? 'CHK' : 'CyberTAN'} image`;
  return { ok: false, says, why: 'the TRX is damaged or incomplete', broken: true, trx: true };
};

const isTrxError = ({ layer, severity }: Finding): boolean => severity === 'error' && (layer === 'trx' || layer === 'netgear-chk' || layer === 'cybertan');

/** RedBoot boards look for the first letters of a sysupgrade tar. */
const redboot: Rule = ({ root, device }) => {
  const block = device.sizes.block ?? 65_536;
  const length = tarMemberLength(root, 'kernel') ?? 0;
  if (root.format === 'sysupgrade-tar' && length % block !== 0) {
    const says = `'kernel' size is not a multiple of block size 0x${block.toString(16)}! Abort.`;
    return { ok: false, says, why: `its kernel has ${length} bytes` };
  }
  if (root.format === 'sysupgrade-tar') return { ok: true };
  return { ok: false, says: 'Unknown image format, aborting!', why: `it is a ${root.format}, not a sysupgrade tar` };
};

const unsupported: Rule = () => ({ ok: false, says: 'Sysupgrade is not supported on your board yet.', why: 'the target has no way to upgrade it' });

const unread =
  (what: string): Rule =>
  () => ({ ok: null, why: `owimg does not know what ${what} accepts` });

/** Whether OpenWrt's own sysupgrade image of the device ends in this. */
const builds = (device: Device, suffix: string): boolean => device.images.some(({ role, name }) => role === 'sysupgrade' && name.endsWith(suffix));

const redbootBoards: ReadonlySet<string> = new Set(['jjplus,ja76pf2', 'ubnt,routerstation', 'ubnt,routerstation-pro']);

/** FIT, tar or anything, as the target's list of boards says; the image that OpenWrt builds tells which. */
const fitOrNand: Rule = (subject) => {
  if (builds(subject.device, '.itb')) return fitOnly(subject);
  const tar = subject.device.images.some(({ role, steps }) => role === 'sysupgrade' && steps.some((step) => step.startsWith('sysupgrade-tar')));
  return tar ? nand(subject) : { ok: true };
};

/** By target, then by target with subtarget, which goes first. */
const rules: Readonly<Record<string, Rule>> = {
  'airoha/an7581': (subject) => {
    if (builds(subject.device, '.itb')) return fitOnly(subject);
    return subject.device.boards.includes('nokia,xg-040g-md') ? nand(subject) : { ok: true };
  },
  'airoha/an7583': fitOrNand,
  armsr: disk,
  'ath79/generic': (subject) => (subject.device.boards.some((board) => redbootBoards.has(board)) ? redboot(subject) : { ok: true }),
  bcm27xx: disk,
  bcm47xx: broadcom,
  bcm4908: (subject) => (['fit', 'netgear-chk'].includes(subject.root.format) ? { ok: true } : unread('bcm4908')(subject)),
  bcm53xx: (subject) => (subject.device.profile.startsWith('meraki_') ? { ok: true } : broadcom(subject)),
  'imx/cortexa9': nand,
  'layerscape/armv8_64b': anything,
  loongarch64: disk,
  'mediatek/filogic': fitOrNand,
  'mediatek/mt7622': fitOrNand,
  'mediatek/mt7623': (subject) => {
    if (builds(subject.device, '.itb')) return fitOnly(subject);
    return subject.device.profile.startsWith('unielec_') ? { ok: true } : unsupported(subject);
  },
  octeon: (subject) => (subject.root.format === 'sysupgrade-tar' ? { ok: true } : nand(subject)),
  omap: disk,
  pistachio: nand,
  rockchip: disk,
  'siflower/sf21': fitOrNand,
  sifiveu: disk,
  stm32: disk,
  sunxi: disk,
  tegra: disk,
  x86: disk,
};

/** What the target's own check says to this image. */
export function platformCheck(subject: Subject): PlatformAnswer {
  // A header that owimg does not know may be just what the target looks for.
  if (subject.root.regions[0]?.kind === 'unknown') return { ok: null, why: 'the file begins with bytes that owimg does not know' };
  const rule = rules[subject.device.target] ?? rules[family(subject.device)] ?? anything;
  return rule(subject);
}
