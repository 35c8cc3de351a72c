/** What is known of devices, for a terminal. */
import { byteCount } from '../core/hex.ts';
import { imageRoutes } from '../devices/doors.ts';
import type { Device, DeviceFacts, DeviceImage, ImageRole, Recovery } from '../devices/facts.ts';
import type { Route } from '../routes/verdict.ts';
import { painter, type TextOptions, wrap } from './text.ts';
import { counted, harmless } from './words.ts';

/** Rows of a list; a longer one says how many more there are. */
const mostRows = 20;

/** Other titles in a row of a list. */
const mostOtherTitles = 2;

export interface ListedDevice {
  readonly device: Device;
  /** What to type. */
  readonly name: string;
}

/** Matches, best first. */
export function renderDeviceList(devices: readonly ListedDevice[], { columns, colour }: TextOptions): string {
  const paint = painter(colour);
  const shown = devices.slice(0, mostRows);
  const nameWidth = Math.max('profile'.length, ...shown.map(({ name }) => name.length));
  const targetWidth = Math.max('target'.length, ...shown.map(({ device }) => device.target.length));
  const titleWidth = Math.max(16, columns - nameWidth - targetWidth - 4);
  const row = (title: string, name: string, target: string): string => {
    const [first = '', ...rest] = wrap(title, titleWidth).split('\n');
    return [`${first.padEnd(titleWidth)}  ${name.padEnd(nameWidth)}  ${target}`.trimEnd(), ...rest.map((line) => `  ${line}`.slice(0, columns))].join('\n');
  };
  const titleOf = ({ title, otherTitles }: Device): string => {
    const more = otherTitles.length > mostOtherTitles ? ' …' : '';
    return otherTitles.length === 0 ? title : `${title} (also ${otherTitles.slice(0, mostOtherTitles).join(', ')}${more})`;
  };
  const lines = [
    paint('dim', row('title', 'profile', 'target')),
    ...shown.map(({ device, name }) => row(harmless(titleOf(device)), harmless(name), harmless(device.target))),
  ];
  if (devices.length > shown.length) lines.push(`… and ${devices.length - shown.length} more: give another word, or --json for all`);
  return `${lines.join('\n')}\n`;
}

/** How many devices there are, and where. */
export function renderDeviceCounts({ devices, source }: DeviceFacts, columns: number): string {
  const targets = new Map<string, Map<string, number>>();
  for (const { target } of devices) {
    const [family = '', subtarget = ''] = target.split('/');
    const counts = targets.get(family) ?? new Map<string, number>();
    counts.set(subtarget, (counts.get(subtarget) ?? 0) + 1);
    targets.set(family, counts);
  }
  const subtargets = [...targets.values()].reduce((sum, counts) => sum + counts.size, 0);
  const total = (counts: ReadonlyMap<string, number>): number => [...counts.values()].reduce((sum, count) => sum + count, 0);
  const width = Math.max(...[...targets.keys()].map((family) => family.length));
  const lines = [...targets]
    .sort(([a, one], [b, other]) => total(other) - total(one) || a.localeCompare(b))
    .map(([family, counts]) => {
      const parts = [...counts].sort(([, one], [, other]) => other - one).map(([name, count]) => `${name} ${count}`);
      return wrap(parts.join(', '), columns, `  ${family.padEnd(width)} ${String(total(counts)).padStart(5)}  `);
    });
  const head = `${counted(devices.length, 'device profile')} in ${counted(subtargets, 'target')} of OpenWrt ${source.slice(0, 12)}`;
  const usage = ['Search: owimg devices WORDS, as in', '  owimg devices archer c7', '  owimg devices tplink_archer-c7-v5'];
  return `${[head, ...lines, '', ...usage].join('\n')}\n`;
}

/** Steps with a name for people; `null` for those that only align or check. Others are shown as the recipe calls them. */
const stepNames: Readonly<Record<string, string | null>> = {
  'append-kernel': 'kernel',
  'append-rootfs': 'root file system',
  'append-dtb': 'device tree',
  'append-metadata': 'OpenWrt metadata',
  'append-squashfs-fakeroot-be': 'empty root file system',
  'append-squashfs4-fakeroot': 'empty root file system',
  'append-ubi': 'UBI with the root file system',
  'append-uboot': 'U-Boot',
  'append-uImage-fakehdr': 'empty uImage header',
  'check-size': null,
  combined: 'kernel and root file system',
  fit: 'FIT',
  'gzip-filename': 'gzip',
  'kernel-bin': 'Linux',
  'libdeflate-gzip': 'gzip',
  lzma: 'LZMA',
  'lzma-d16': 'LZMA',
  'lzma-no-dict': 'LZMA',
  'netgear-chk': 'Netgear CHK',
  'netgear-dni': 'Netgear DNI',
  'pad-extra': null,
  'pad-offset': null,
  'pad-rootfs': null,
  'pad-to': null,
  'sysupgrade-tar': 'tar of kernel and root file system',
  seama: 'Seama',
  'tplink-safeloader': 'TP-Link SafeLoader with the kernel',
  'tplink-v1-header': 'TP-Link v1 header',
  'tplink-v1-image': 'TP-Link v1 image of kernel and root file system',
  'tplink-v2-header': 'TP-Link v2 header',
  'tplink-v2-image': 'TP-Link v2 image of kernel and root file system',
  trx: 'TRX',
};

/** A recipe without its bookkeeping: `kernel, root file system, Netgear CHK`. */
function recipe(steps: readonly string[]): string {
  const named = steps.map((step) => {
    const [name = ''] = step.split(' ');
    return name in stepNames ? (stepNames[name] ?? '') : name;
  });
  return named.filter((name, index) => name !== '' && name !== named[index - 1]).join(', ');
}

const routeNames: Readonly<Record<Route, string>> = {
  stock: "vendor's upgrade (its web page; some devices need another way)",
  sysupgrade: 'sysupgrade (LuCI or the command) on a running OpenWrt',
  mtd: 'raw write to the flash',
  tftp: "the boot loader's recovery",
  ram: 'started from RAM',
  disk: 'written to SD card, USB stick or disk',
};

const withoutRoute: Readonly<Partial<Record<ImageRole, string>>> = {
  part: 'a part of the others, of no use alone',
  'bootloader/other': 'for the boot loader; replaces or loads parts of it',
};

function door(device: Device, image: DeviceImage): string {
  const routes = imageRoutes(device, image);
  if (routes.length === 0) return withoutRoute[image.role] ?? 'owimg does not know what for';
  const then = image.role === 'factory-initramfs' ? '; OpenWrt then runs from RAM, sysupgrade installs it' : '';
  return `${routes.map((route) => routeNames[route]).join(', or ')}${then}`;
}

const sizeNames: Readonly<Record<keyof Device['sizes'], string>> = {
  image: 'firmware partition',
  kernel: 'kernel partition',
  nand: 'NAND',
  factory: 'factory image',
  block: 'erase block',
  page: 'page',
  subpage: 'subpage',
  vidHeaderOffset: 'UBI volume header at',
};

/** What a compat version means for an upgrade, https://openwrt.org/docs/guide-developer/device-support-policies has the policy. */
function compatMeaning(version: string): string {
  const [major = 1, minor = 0] = version.split('.').map(Number);
  const meanings: string[] = [];
  if (major > 1) meanings.push(`${major > 2 ? `1.x to ${major - 1}.x` : '1.x'} refuses the sysupgrade image`);
  if (minor > 0) {
    const older = minor > 1 ? `${major}.0 to ${major}.${minor - 1}` : `${major}.0`;
    meanings.push(`${older} takes the image only without the settings (sysupgrade -n)`);
  }
  return meanings.length === 0 ? version : `${version}: a running OpenWrt that says ${meanings.join('; one that says ')}`;
}

const purposeNames: Readonly<Record<Recovery['purpose'], string>> = { install: 'to install', recovery: 'to recover', 'return-to-stock': 'back to stock' };

const modeNames: Readonly<Record<Recovery['mode'], string>> = {
  'router-is-client': 'the boot loader fetches the file: your computer is the TFTP server',
  'router-is-server': 'the boot loader is the TFTP server: your computer sends the file',
  'uboot-console': 'typed by hand at the serial console of U-Boot; your computer is the TFTP server',
  bootp: 'the boot loader asks by BOOTP or DHCP: your computer answers and is the TFTP server',
};

function recoveryRows({
  mode,
  routerAddress,
  hostAddress,
  fileName,
  fileNameRequired,
  trigger,
  imageKind,
  commit,
  openwrtLoader,
}: Recovery): [string, string][] {
  const rows: [string, string | undefined][] = [
    ['how', modeNames[mode]],
    ['computer', hostAddress],
    ['router', routerAddress],
    ['file', fileName === undefined ? undefined : `${fileName} (${fileNameRequired === true ? 'exactly this name' : 'an example'})`],
    ['image', imageKind],
    ['trigger', trigger],
    ['loader', openwrtLoader === true ? "only with the U-Boot that OpenWrt builds, not with the vendor's" : undefined],
    ['source', `https://github.com/openwrt/openwrt/commit/${commit}`],
  ];
  return rows.filter((row): row is [string, string] => row[1] !== undefined);
}

/** Names of others at the end. */
const mostOthers = 3;

/** All that a person may want to know of one device, and what else a query may have meant. */
export function renderDevice({ device, name }: ListedDevice, others: readonly ListedDevice[], { columns, colour }: TextOptions): string {
  const paint = painter(colour);
  const labelWidth = 14;
  const row = (label: string, text: string, indent = 2): string => wrap(harmless(text), columns, `${' '.repeat(indent)}${label.padEnd(labelWidth - indent)}`);
  const lines = [paint('bold', wrap(harmless(device.title), columns))];
  const [board, ...olderBoards] = device.boards;
  if (device.otherTitles.length > 0) lines.push(row('also', device.otherTitles.join(', ')));
  lines.push(row('profile', name === device.profile ? name : `${device.profile} (in several targets; type ${name})`), row('target', device.target));
  if (board !== undefined) lines.push(row('board', board));
  if (olderBoards.length > 0) lines.push(row('older', olderBoards.join(', ')));
  if (device.soc !== undefined) lines.push(row('SoC', device.soc));
  const sizes = (Object.keys(sizeNames) as (keyof Device['sizes'])[]).flatMap((key) => {
    const size = device.sizes[key];
    return size === undefined ? [] : [`${sizeNames[key]} ${byteCount(size)}`];
  });
  if (sizes.length > 0) lines.push(row('sizes', sizes.join(', ')));
  lines.push(row('compat', compatMeaning(device.compatVersion)));
  // The messages are written for printf: a backslash and n is a new line.
  const messages = (device.compatMessage ?? '').split(/\\n/).map((line) => line.replaceAll('\\t', ' ').trim());
  for (const message of messages.filter((line) => line !== '')) lines.push(row('', message));

  lines.push('', paint('bold', 'Images that OpenWrt builds for it (ends of their names)'));
  if (device.kernel.length > 0) lines.push(row('kernel', recipe(device.kernel)));
  for (const image of device.images) {
    lines.push(`  ${harmless(image.fs === null ? image.name : `${image.fs}-${image.name}`)}`, row('for', door(device, image), 4));
    const made = recipe(image.steps);
    if (made !== '') lines.push(row('made of', made, 4));
  }
  if (device.initramfs.length > 0) lines.push('  initramfs', row('for', `${routeNames.ram}; stores nothing`, 4), row('made of', recipe(device.initramfs), 4));
  if (device.images.length + device.initramfs.length === 0) lines.push('  none');

  if (device.recovery.length > 0) {
    lines.push('', paint('bold', "Over the network, as OpenWrt's commits tell"));
    for (const recovery of device.recovery) {
      lines.push(`  ${purposeNames[recovery.purpose]}`, ...recoveryRows(recovery).map(([label, text]) => row(label, text, 4)));
    }
  }
  if (others.length > 0) {
    const more = others.length > mostOthers ? ` and ${others.length - mostOthers} more` : '';
    const names = others.slice(0, mostOthers).map((other) => other.name);
    lines.push('', wrap(harmless(`Others with a like name: ${names.join(', ')}${more}`), columns));
  }
  return `${lines.join('\n')}\n`;
}
