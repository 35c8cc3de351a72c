/**
 * Broken, dangerous and misplaced images which lie beside the project, given to the device and the door that their manifest names.
 * Skipped where they are missing. What must come out follows from the manifest's words for the problem; the table from these words to
 * outcomes stands here.
 */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { checkContext, checkWith } from '../src/check.ts';
import type { Device, DeviceFacts, DeviceImage } from '../src/devices/facts.ts';
import { loadDeviceFacts } from '../src/devices/load.ts';
import { type FindingCode, formats, inspect } from '../src/index.ts';
import type { Running } from '../src/routes/subject.ts';
import type { Outcome, Route, Verdict } from '../src/routes/verdict.ts';
import { owimg } from './support/console.ts';

const folder = fileURLToPath(new URL('../../shared/golden/open-bricks/', import.meta.url));
const present = existsSync(folder);

interface Context {
  readonly device?: string;
  readonly door?: string;
  readonly deviceCompat?: string;
  readonly requireSignature?: boolean;
  readonly useFileName?: string;
  readonly requestedFileName?: string;
  readonly imageSize?: number;
  readonly kernelSize?: number;
  readonly oldName?: string;
}

interface Brick {
  readonly file: string;
  readonly storedAs: string;
  readonly derivedFrom: string;
  readonly expect: { readonly wellFormed: boolean; readonly problem: readonly string[] };
  readonly context?: Context;
}

const doors: Readonly<Record<string, Route>> = {
  'mtd-write-firmware': 'mtd',
  'mtd-write-kernel': 'mtd',
  'stock-web': 'stock',
  cfe: 'stock',
  'bootloader-tftp': 'tftp',
  sysupgrade: 'sysupgrade',
};

/** What a problem comes to, by the way it goes; `any` where that makes no difference. */
type Expected = Partial<Record<Route | 'any', Outcome>> & { readonly codes: readonly FindingCode[] };

/** By the first word of the problem; the empty one stands for images with which nothing is wrong. */
const outcomes: Readonly<Record<string, Expected>> = {
  '': { any: 'installs', codes: [] },
  'board-mismatch': { any: 'refused', codes: ['device-mismatch', 'platform-check-failed'] },
  'board-renamed': { any: 'refused', codes: ['device-renamed', 'platform-check-failed'] },
  'bootloader-inside': { any: 'bricks', codes: ['bootloader-inside', 'dump-in-front'] },
  'compat-major': { any: 'refused', codes: ['compat-version-major'] },
  'compat-minor': { any: 'installs-without-settings', codes: ['compat-version-minor'] },
  // The last metadata counts, and it names another board.
  'duplicate-metadata': { any: 'refused', codes: ['device-mismatch'] },
  'factory-via-mtd': { any: 'bricks', codes: ['boot-magic-mismatch', 'layout-mismatch'] },
  'factory-via-sysupgrade': { any: 'refused', codes: ['metadata-missing'] },
  'filename-too-long': { any: 'refused', codes: ['name-too-long'] },
  'hwid-mismatch': { any: 'refused', codes: ['header-mismatch'] },
  'image-too-big': { any: 'bricks', codes: ['image-too-big'] },
  'initramfs-not-installable': { sysupgrade: 'bricks', mtd: 'bricks', codes: ['initramfs-not-installable'] },
  'kernel-too-big': { any: 'bricks', codes: ['kernel-too-big'] },
  // The file itself is sound: that this release does not run on the device, no file shows.
  'known-bad-release': { any: 'installs', codes: [] },
  'nand-image-on-nor': { any: 'bricks', codes: ['layout-mismatch'] },
  'no-kernel': { mtd: 'bricks', sysupgrade: 'refused', codes: ['kernel-missing', 'boot-magic-mismatch', 'metadata-missing'] },
  'no-rootfs': { any: 'bricks', codes: ['initramfs-not-installable'] },
  'nor-image-on-nand': { any: 'bricks', codes: ['layout-mismatch'] },
  'signature-missing': { any: 'refused', codes: ['signature-demanded'] },
  // A signature is there; only the key on the device can tell whether it is right.
  'signature-unverified': { any: 'installs', codes: [] },
  'sysupgrade-via-oem': { stock: 'refused', tftp: 'bricks', codes: ['layout-mismatch'] },
  'tftp-filename-mismatch': { any: 'refused', codes: ['file-name-not-asked'] },
  'wrapped-gzip': { any: 'bricks', codes: ['boot-magic-mismatch'] },
};

/** Where one file is another case than its first word says. */
const exceptions: Readonly<Record<string, Expected>> = {
  // No metadata, so sysupgrade says no before it could write it.
  'initramfs-for-sysupgrade.bin': { any: 'refused', codes: ['metadata-missing'] },
  'installer-not-recovery.bin': { any: 'refused', codes: ['metadata-missing'] },
  // CONTROL is shown, but OpenWrt reads the directory alone.
  'tar-board-differs.bin': { any: 'refused', codes: ['metadata-missing'] },
};

const image = (steps: string, extra: Partial<DeviceImage> = {}): DeviceImage => ({
  name: 'sysupgrade.bin',
  role: 'sysupgrade',
  fs: 'squashfs',
  steps: steps.split(' | '),
  ...extra,
});

/** A device that does not exist, as the images of the set were made for it. */
function invented(board: string, kernel: string, images: readonly DeviceImage[], extra: Partial<Device> = {}): Device {
  return {
    profile: board.replace(',', '_'),
    target: 'ath79/generic',
    architecture: 'mips',
    title: `Golden Test Board (${board})`,
    otherTitles: [],
    boards: [board],
    compatVersion: '1.0',
    sizes: {},
    flags: {},
    variables: {},
    kernel: kernel.split(' | '),
    initramfs: ['kernel-bin', 'lzma', 'uImage lzma'],
    images,
    recovery: [],
    ...extra,
  };
}

const uimageKernel = 'kernel-bin | lzma | uImage lzma';
const raw = image('append-kernel | pad-to 4k | append-rootfs | pad-rootfs | append-metadata');
const tar = image('sysupgrade-tar | append-metadata', { tarDirectory: 'sysupgrade-vendor_golden-v1' });

/** The device of a context: from the facts of OpenWrt, or made up for the images that the set has of it. */
function deviceOf(brick: Brick, facts: DeviceFacts): Device {
  const { device: board = '', imageSize, kernelSize, oldName } = brick.context as Context;
  if (/golden-v[12]$/.test(board)) {
    const fit = brick.file.startsWith('fit-') || brick.derivedFrom.startsWith('fit-');
    const name = board.includes(',') ? board : `vendor,${board}`;
    const boards = [name, board, oldName ?? name].filter((entry, index, all) => all.indexOf(entry) === index);
    // The tars of the set are for a target that looks into them.
    if (brick.derivedFrom.startsWith('sysupgrade')) return invented(name, uimageKernel, [tar], { target: 'imx/cortexa9', boards });
    if (fit) return invented(name, 'kernel-bin | lzma | fit lzma golden.dtb', [raw], { boards, initramfs: ['kernel-bin', 'lzma', 'fit lzma golden.dtb'] });
    return invented(name, uimageKernel, [raw], { boards });
  }
  if (board === 'dlink,dir-850l') {
    // Its OpenWrt profile is called after its revisions; the set means what they have in common.
    const sealed = image('append-kernel | seama | seama-seal', { name: 'factory.bin', role: 'factory' });
    return invented(board, 'kernel-bin | lzma', [image('append-kernel | append-rootfs | seama | pad-rootfs | append-metadata'), sealed]);
  }
  const device = facts.devices.find(({ boards }) => boards[0] === board) as Device;
  const sizes = { ...device.sizes, ...(imageSize === undefined ? {} : { image: imageSize }), ...(kernelSize === undefined ? {} : { kernel: kernelSize }) };
  // The set has a bare LZMA kernel in its SafeLoader images, where OpenWrt's build for this device has a uImage.
  return board === 'tplink,archer-c7-v5' ? { ...device, sizes, kernel: ['kernel-bin', 'lzma'] } : { ...device, sizes };
}

const bricks: readonly Brick[] = present ? (JSON.parse(readFileSync(`${folder}manifest.json`, 'utf8')) as { images: Brick[] }).images : [];
const inPlace = bricks.filter(({ expect: { wellFormed }, context }) => wellFormed && context?.device !== undefined && context.door !== undefined);

const facts = await loadDeviceFacts();

async function verdictOf(brick: Brick, device: Device): Promise<Verdict> {
  const { door = '', deviceCompat, requireSignature, useFileName } = brick.context as Context;
  const stored = readFileSync(folder + brick.file);
  const bytes = new Uint8Array(brick.storedAs === 'gzip' ? gunzipSync(stored) : stored);
  const inspection = await inspect(bytes, { deep: true });
  const running: Running = {
    compatVersion: deviceCompat,
    signedOnly: requireSignature,
    board: brick.context?.device,
  };
  const { verdicts } = checkWith(inspection, bytes.length, checkContext(formats, facts), { device, running, name: useFileName });
  return verdicts.find(({ route }) => route === doors[door]) as Verdict;
}

describe.skipIf(!present)('well-formed images at the wrong door', () => {
  test('there are at least forty of them', () => expect(inPlace.length).toBeGreaterThanOrEqual(40));

  test.each(inPlace.map((brick) => [brick.file, brick] as const))('%s gets the outcome of its problem', async (file, brick) => {
    const [problem = ''] = brick.expect.problem;
    const expected = exceptions[file] ?? outcomes[problem];
    expect(expected, `no outcome for "${problem}"`).toBeDefined();
    const { codes, ...byRoute } = expected as Expected;
    const verdict = await verdictOf(brick, deviceOf(brick, facts));
    expect(verdict.outcome, verdict.reason).toBe(byRoute[verdict.route] ?? byRoute.any);
    if (codes.length > 0) expect(verdict.findings.map(({ code }) => code).filter((code) => codes.includes(code as FindingCode))).not.toEqual([]);
  });

  test('sysupgrade-right.bin.gz is not taken for an image of the real Archer C7 v5, whose boot loader wants a uImage', async () => {
    const brick = inPlace.find(({ file }) => file === 'sysupgrade-right.bin.gz') as Brick;
    const device = facts.devices.find(({ profile }) => profile === 'tplink_archer-c7-v5') as Device;
    expect((await verdictOf(brick, device)).outcome).toBe('bricks');
  });

  test.each(['vendor,golden-v1', 'vendor,golden-v2'])('owimg check exits 3 for %s, which does not exist', async (device) => {
    const { status, err } = await owimg(['check', `${folder}compat-major.bin`, '--device', device]);
    expect(status).toBe(3);
    expect(err).toContain(device);
  });
});
