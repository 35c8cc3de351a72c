/**
 * `npm run facts -- [--check] [--commit OPENWRT_COMMIT] DIR`: packs the device facts into src/devices/data/facts.ts. `--check` only compares.
 *
 * DIR holds what `npm run openwrt-facts` wrote: `devices.ndjson` (one line a device profile), `safeloader-boards.json` (the table inside
 * of tplink-safeloader) and `source.json` (the commit). It may hold `tftp-recovery.json`, records from commit messages that were
 * read by people, and with it `uboot-env.json`, the environments of the U-Boots that OpenWrt builds; without them, and without the board
 * table, the facts that are packed now keep theirs. docs/facts.md tells more.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { deflateRawSync } from 'node:zlib';
import type { Device, DeviceFacts, DeviceSizes, Recovery, SafeloaderBoard } from '../src/devices/facts.ts';
import { loadDeviceFacts } from '../src/devices/load.ts';
import type { DeviceLine } from './openwrt-devices.ts';
import type { BoardRecord } from './safeloader-table.ts';

interface RecoveryRecord {
  readonly in_head: readonly string[];
  readonly mode: Recovery['mode'];
  readonly router_ip: string | null;
  readonly host_ip: string | null;
  readonly filename: string | null;
  readonly filename_kind: 'example' | 'required' | null;
  readonly trigger: string | null;
  readonly image_kind: NonNullable<Recovery['imageKind']> | null;
  readonly purpose: Recovery['purpose'];
  readonly commit: string;
}

/** One environment of a U-Boot that OpenWrt builds. */
interface EnvironmentRecord {
  readonly commit: string;
  readonly ipaddr: string | null;
  readonly serverip: string | null;
  readonly bootfile: string | null;
}

const sizeNames: Readonly<Record<string, keyof DeviceSizes>> = {
  IMAGE_SIZE: 'image',
  KERNEL_SIZE: 'kernel',
  BLOCKSIZE: 'block',
  PAGESIZE: 'page',
  SUBPAGESIZE: 'subpage',
  VID_HDR_OFFSET: 'vidHeaderOffset',
  NAND_SIZE: 'nand',
  FACTORY_SIZE: 'factory',
};

/** Variables that only name the build itself. */
const notFacts = new Set(['UBNT_REVISION', 'KERNEL_INSTALL']);

/**
 * Variables that a full build leaks from one device into the next, where no command line shows it: both are defined behind teltonika_rut976 and
 * set none (target/linux/ramips/image/mt76x8.mk); the published images have it.
 */
const modules = '2c7c_6005 TLA2021 CH343 esim ala440';
const leaked: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  teltonika_rut200: { SUPPORTED_TELTONIKA_HW_MODS: modules },
  teltonika_rut241: { SUPPORTED_TELTONIKA_HW_MODS: modules },
};

/** Tools whose arguments are all in the steps and the variables. */
const derivedTools = new Set(['sysupgrade-tar.sh', 'mkimage', 'mkits.sh', 'tplink-safeloader', 'trx', 'otrx', 'fiptool']);

/** What the recipes were evaluated with: a build has its own. */
const revision = 'r99999-0123456789';
const withoutBuild = (word: string): string => word.replaceAll(revision, '@REVISION@').replaceAll('r99999', '@REVISION_NUMBER@');

const given = <T>(name: string, value: T | null | undefined): object => (value === null || value === undefined || value === '' ? {} : { [name]: value });

function recoveryOf(record: RecoveryRecord): Recovery {
  return {
    mode: record.mode,
    ...given('routerAddress', record.router_ip),
    ...given('hostAddress', record.host_ip),
    ...given('fileName', record.filename),
    ...(record.filename_kind === 'required' ? { fileNameRequired: true } : {}),
    ...given('trigger', record.trigger),
    ...given('imageKind', record.image_kind),
    purpose: record.purpose,
    commit: record.commit.slice(0, 12),
  };
}

function deviceOf(line: DeviceLine, recovery: readonly Recovery[]): Device {
  const sizes = Object.entries(line.sizes).map(([name, { bytes }]) => {
    const key = sizeNames[name];
    if (key === undefined) throw new Error(`${line.profile}: the size ${name} has no name in scripts/facts.ts`);
    return [key, bytes] as const;
  });
  return {
    profile: line.profile,
    target: `${line.target}/${line.subtarget}`,
    architecture: line.arch,
    title: line.title,
    otherTitles: line.alt_titles,
    boards: line.supported_devices,
    ...given('boardName', line.board_name),
    compatVersion: line.compat_version,
    ...given('compatMessage', line.compat_message),
    ...given('soc', line.soc),
    ...given('dts', line.dts),
    sizes: Object.fromEntries(sizes),
    flags: line.flags,
    variables: { ...Object.fromEntries(Object.entries(line.vars).filter(([name]) => !notFacts.has(name))), ...leaked[line.profile] },
    kernel: line.kernel?.steps ?? [],
    initramfs: line.initramfs?.steps ?? [],
    images: line.images.map(({ name, role, fs, file, steps: evaluated, tar_dir, tools = [] }) => {
      // Some targets pack what the recipe has made (CONFIG_TARGET_IMAGES_GZIP); only the file's name shows it.
      const steps = file.endsWith('.gz') && !name.endsWith('.gz') ? [...evaluated, 'gzip'] : evaluated;
      const commands = tools.filter(([tool]) => !derivedTools.has(tool as string)).map((command) => command.map(withoutBuild));
      return { name, role, fs, steps, ...given('tarDirectory', tar_dir), ...(commands.length === 0 ? {} : { commands }) };
    }),
    recovery,
  };
}

/** What the initramfs image is called that the recovery of OpenWrt's own U-Boots asks for. */
const recoveryFile = /^openwrt-(.+)-initramfs-recovery\.itb$/;

/** The recovery of OpenWrt's own U-Boots, from their environments: it begins by itself where the flash holds no system. */
function environmentRecovery(path: string, profiles: readonly string[]): ReadonlyMap<string, Recovery> {
  const byProfile = new Map<string, Recovery>();
  for (const { bootfile, ipaddr, serverip, commit } of JSON.parse(readFileSync(path, 'utf8')) as EnvironmentRecord[]) {
    const name = recoveryFile.exec(bootfile ?? '')?.[1];
    const [profile] = profiles.filter((known) => name?.endsWith(`-${known}`)).sort((a, b) => b.length - a.length);
    // Variants for NAND, SD card and eMMC of one device ask alike.
    if (profile === undefined || byProfile.has(profile)) continue;
    byProfile.set(profile, {
      mode: 'router-is-client',
      ...given('routerAddress', ipaddr),
      ...given('hostAddress', serverip),
      ...given('fileName', bootfile),
      fileNameRequired: true,
      trigger: 'automatic where no system is found in the flash, or hold reset button while powering on for 10 s',
      imageKind: 'initramfs',
      purpose: 'recovery',
      commit: commit.slice(0, 12),
      openwrtLoader: true,
    });
  }
  return byProfile;
}

/** How devices are recovered: from the files, or as the present facts tell. */
async function readRecovery(folder: string, profiles: readonly string[]): Promise<ReadonlyMap<string, readonly Recovery[]>> {
  const path = join(folder, 'tftp-recovery.json');
  if (!existsSync(path)) return new Map((await loadDeviceFacts()).devices.map(({ profile, recovery }) => [profile, recovery]));
  const byProfile = new Map<string, Recovery[]>();
  for (const record of JSON.parse(readFileSync(path, 'utf8')) as RecoveryRecord[]) {
    for (const profile of record.in_head) byProfile.set(profile, [...(byProfile.get(profile) ?? []), recoveryOf(record)]);
  }
  const environments = join(folder, 'uboot-env.json');
  if (existsSync(environments)) {
    for (const [profile, recovery] of environmentRecovery(environments, profiles)) byProfile.set(profile, [...(byProfile.get(profile) ?? []), recovery]);
  }
  return byProfile;
}

/** What the C source calls the partitions, and what they are called where a board gives no other name. */
const partitionNames = {
  partition_table: 'partition-table',
  soft_ver: 'soft-version',
  os_image: 'os-image',
  support_list: 'support-list',
  file_system: 'file-system',
  extra_para: 'extra-para',
} as const;

const namesOf = (names: BoardRecord['partition_names']): NonNullable<SafeloaderBoard['partitionNames']> =>
  Object.fromEntries(Object.entries(names).map(([field, name]) => [partitionNames[field as keyof typeof partitionNames], name]));

/** The boards of tplink-safeloader: from the file, or as they are now. */
async function readSafeloaderBoards(path: string): Promise<readonly SafeloaderBoard[]> {
  if (!existsSync(path)) return (await loadDeviceFacts()).safeloaderBoards;
  const { boards } = JSON.parse(readFileSync(path, 'utf8')) as { boards: BoardRecord[] };
  return boards.map((board) => ({
    id: board.id,
    // An empty text is written too: its length.
    ...(board.vendor === null ? {} : { vendor: board.vendor }),
    supportList: board.support_list,
    ...(board.part_trail === 'none' ? {} : { trail: board.part_trail }),
    softVersion: board.soft_ver.kind === 'text' ? board.soft_ver.text : (board.soft_ver.num as [number, number, number]),
    compatLevel: board.soft_ver_compat_level,
    partitions: board.partitions.map(({ name, base, size }) => ({ name, offset: base, length: size })),
    firstSysupgradePartition: board.first_sysupgrade_partition,
    lastSysupgradePartition: board.last_sysupgrade_partition,
    ...(Object.keys(board.partition_names).length === 0 ? {} : { partitionNames: namesOf(board.partition_names) }),
    ...given('extraPara', board.extra_para),
  }));
}

/** All facts from the files in a folder. */
async function readFacts(folder: string, commit: string | undefined): Promise<DeviceFacts> {
  const read = (name: string): string => readFileSync(join(folder, name), 'utf8');
  const lines = read('devices.ndjson')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as DeviceLine);
  const recovery = await readRecovery(
    folder,
    lines.map(({ profile }) => profile),
  );
  const devices = lines.map((line) => deviceOf(line, recovery.get(line.profile) ?? []));
  return {
    source: commit ?? (JSON.parse(read('source.json')) as { openwrt: string }).openwrt,
    devices,
    safeloaderBoards: await readSafeloaderBoards(join(folder, 'safeloader-boards.json')),
  };
}

function render(facts: DeviceFacts): string {
  const text = new TextEncoder().encode(JSON.stringify(facts));
  const packed = deflateRawSync(text, { level: 9, memLevel: 9 }).toString('base64');
  return `// Made by npm run facts from OpenWrt ${facts.source}. Do not edit.
export const unpackedLength = ${text.length};
export const packed =
  '${packed}';
`;
}

const { values, positionals } = parseArgs({ options: { check: { type: 'boolean' }, commit: { type: 'string' } }, allowPositionals: true });
const [folder] = positionals;
if (folder === undefined) throw new Error('Usage: npm run facts -- [--check] [--commit OPENWRT_COMMIT] DIR');
const path = fileURLToPath(new URL('../src/devices/data/facts.ts', import.meta.url));
// A comparison needs no word on where the files are from.
const unnamed = values.check === true && !existsSync(join(folder, 'source.json'));
const page = render(await readFacts(folder, values.commit ?? (unnamed ? (await loadDeviceFacts()).source : undefined)));
if (values.check !== true) {
  writeFileSync(path, page);
  process.stdout.write(`${page.length} bytes of device facts written to src/devices/data/facts.ts\n`);
} else if (readFileSync(path, 'utf8') !== page) {
  process.stderr.write('src/devices/data/facts.ts is not what npm run facts makes of these files\n');
  process.exitCode = 1;
}
