/**
 * `npm run facts -- DIR`: packs the device facts into src/devices/data/facts.ts. `--check` only compares.
 *
 * DIR holds what an evaluation of an OpenWrt tree gave: `devices.ndjson` (one line a device profile), `tftp-recovery.json`
 * (from commit messages) and `safeloader-boards.json` (the table inside of tplink-safeloader).
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { deflateRawSync } from 'node:zlib';
import type { Device, DeviceFacts, DeviceImage, DeviceSizes, Recovery, SafeloaderBoard } from '../src/devices/facts.ts';

/** A line of devices.ndjson, as far as it is used. */
interface DeviceLine {
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

interface ImageLine {
  readonly name: string;
  readonly role: DeviceImage['role'];
  readonly fs: string | null;
  readonly steps: readonly string[];
  readonly tar_dir?: string;
  readonly file: string;
  readonly tools?: readonly (readonly string[])[];
}

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

interface BoardRecord {
  readonly id: string;
  readonly support_list: string;
  readonly partitions: readonly { readonly name: string; readonly base: number; readonly size: number }[];
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

/** Tools whose arguments are all in the steps and the variables. */
const derivedTools = new Set(['sysupgrade-tar.sh', 'ubinize-image.sh', 'mkimage', 'mkits.sh', 'tplink-safeloader', 'trx', 'otrx', 'fiptool']);

/** Names of files of the build, which mean nothing outside of it. */
const made = /^(@OUT@|@KERNEL@|@ROOTFS@|\$KDIR|\$STAGING_DIR)/;

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

function deviceOf(line: DeviceLine, recovery: readonly RecoveryRecord[]): Device {
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
    variables: Object.fromEntries(Object.entries(line.vars).filter(([name]) => !notFacts.has(name))),
    kernel: line.kernel?.steps ?? [],
    initramfs: line.initramfs?.steps ?? [],
    images: line.images.map(({ name, role, fs, file, steps: evaluated, tar_dir, tools = [] }) => {
      // Some targets pack what the recipe has made (CONFIG_TARGET_IMAGES_GZIP); only the file's name shows it.
      const steps = file.endsWith('.gz') && !name.endsWith('.gz') ? [...evaluated, 'gzip'] : evaluated;
      const commands = tools.filter(([tool]) => !derivedTools.has(tool as string)).map((command) => command.filter((word) => !made.test(word)));
      return { name, role, fs, steps, ...given('tarDirectory', tar_dir), ...(commands.length === 0 ? {} : { commands }) };
    }),
    recovery: recovery.map(recoveryOf),
  };
}

/** All facts from the files in a folder. */
function readFacts(folder: string): DeviceFacts {
  const read = (name: string): string => readFileSync(join(folder, name), 'utf8');
  const json = <T>(name: string): T => JSON.parse(read(name)) as T;
  const byProfile = new Map<string, RecoveryRecord[]>();
  for (const record of json<RecoveryRecord[]>('tftp-recovery.json')) {
    for (const profile of record.in_head) byProfile.set(profile, [...(byProfile.get(profile) ?? []), record]);
  }
  const lines = read('devices.ndjson').trimEnd().split('\n');
  const devices = lines.map((line) => JSON.parse(line) as DeviceLine).map((line) => deviceOf(line, byProfile.get(line.profile) ?? []));
  const { boards } = json<{ boards: BoardRecord[] }>('safeloader-boards.json');
  const safeloaderBoards: SafeloaderBoard[] = boards.map(({ id, support_list, partitions }) => ({
    id,
    supportList: support_list,
    partitions: partitions.map(({ name, base, size }) => ({ name, offset: base, length: size })),
  }));
  const [environment] = json<{ commit: string }[]>('uboot-env.json');
  return { source: (environment as { commit: string }).commit, devices, safeloaderBoards };
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

const { values, positionals } = parseArgs({ options: { check: { type: 'boolean' } }, allowPositionals: true });
const [folder] = positionals;
if (folder === undefined) throw new Error('Usage: npm run facts -- [--check] DIR');
const path = fileURLToPath(new URL('../src/devices/data/facts.ts', import.meta.url));
const page = render(readFacts(folder));
if (values.check !== true) {
  writeFileSync(path, page);
  process.stdout.write(`${page.length} bytes of device facts written to src/devices/data/facts.ts\n`);
} else if (readFileSync(path, 'utf8') !== page) {
  process.stderr.write('src/devices/data/facts.ts is not what npm run facts makes of these files\n');
  process.exitCode = 1;
}
