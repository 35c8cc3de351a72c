/** The recipe steps of headers and trailers: what they write is what the reference tools write, and their inverses give it back. */
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { wrgg } from '../formats/wrgg.ts';
import { firstDifference } from '../src/convert.ts';
import { toBytes } from '../src/core/hex.ts';
import { loadDeviceFacts } from '../src/devices/load.ts';
import { formats } from '../src/index.ts';
import { compose, decompose, type Recipe, sharedPart, sharedSteps } from '../src/recipes/interpreter.ts';
import { readFixtureFile } from './support/fixtures.ts';
import { joined, loadImage, withoutMetadata } from './support/images.ts';
import { type StepCase, stepOf } from './support/steps.ts';
import { installed, run } from './support/tools.ts';

const words = (text: string): string[] => text.split(' ').map((word) => (word === '""' ? '' : word));

/** Made by the reference tool with this command line. */
const fixtures: readonly (StepCase & { readonly fixture: string; readonly command?: string })[] = [
  {
    step: 'netgear-dni',
    fixture: 'netgear-dni/sound-hd-id.img',
    command: 'mkdniimg -B WNDR4300 -v OpenWrt.@REVISION_NUMBER@ -H 29763948+0+128+128+2x2+3x3 -r "" -i @OUT@ -o @OUT@.new',
  },
  { step: 'netgear-dni WW', fixture: 'netgear-dni/sound-region.img', command: 'mkdniimg -B R6220 -v OpenWrt.@REVISION_NUMBER@ -r WW -i @OUT@ -o @OUT@.new' },
  { step: 'zyimage', fixture: 'znbg-trailer/sound-kap-630.bin', command: 'zyimage -d 0x810630 -v KAP-630 @OUT@' },
  { step: 'gemtek-trailer', fixture: 'gemtek-trailer/sound-kernel-and-rootfs.bin' },
  { step: 'linksys-image type=EA7300v2', fixture: 'linksys-footer/sound-kernel-and-rootfs.bin', device: { sizes: { page: 2048 } } },
  { step: 'seama', fixture: 'seama/sound-entity.bin', command: 'seama -i @OUT@ -m dev=/dev/mtdblock/1 -m type=firmware' },
  {
    step: 'seama-seal',
    fixture: 'seama/sound-sealed.bin',
    command: 'seama -i @OUT@ -s @OUT@.seama -m signature=wrgac27_dlink.2013gui_dir850l',
  },
  { step: 'asus-trx', fixture: 'asus-trx/sound-rt-ac68u.trx', command: 'asustrx -p RT-AC68U -v 3.0.0.4 -i @OUT@ -o @OUT@.new' },
  { step: 'motorola-bin', fixture: 'motorola/sound-wr850g.bin', command: 'motorola-bin -1 @OUT@ @OUT@.new' },
  { step: 'motorola-bin', fixture: 'motorola/sound-we800g.bin', command: 'motorola-bin -3 @OUT@ @OUT@.new' },
  { step: 'linksys-bin', fixture: 'cybertan/sound-w54g.bin', command: 'addpattern -4 -p W54G -v v4.20.6 -i @OUT@ -o @OUT@.new' },
  { step: 'linksys-bin', fixture: 'cybertan/sound-pattern-5.bin', command: 'addpattern -5 -p EA65 -v v1.1.40 -s 60 -i @OUT@ -o @OUT@.new' },
  { step: 'addpattern', fixture: 'cybertan/sound-wrt160nl.bin', command: 'addpattern -B wrt160nl -v v1.00.01 -i @OUT@ -o @OUT@.new' },
  {
    step: 'mkwrggimg',
    fixture: 'wrgg/sound-big-endian.bin',
    command: 'mkwrggimg -b -i @OUT@ -o @OUT@.new -d /dev/mtdblock/1 -m dap2695-a1 -s wapac02_dkbs_dap2695 -v OpenWrt -B @REVISION_NUMBER@',
  },
  {
    step: 'dir685-image',
    fixture: 'wrgg/sound-little-endian.bin',
    command: 'mkwrggimg -i @OUT@ -o @OUT@.new -d /dev/mtdblock/1 -s wrgns01_dlwbr_dir685RBWW -v N/A -m dir685 -B 96bb',
  },
  { step: 'senao-header', fixture: 'senao/sound-kernel.bin', command: 'mksenaofw -r 0x0101 -p 0x65 -t 2 -v 1.0.0 -e @OUT@ -o @OUT@.new' },
  {
    step: 'mkubntimage',
    fixture: 'ubnt/sound-xm.bin',
    command: 'mkfwimage -B XM -v XM.ar7240.v6.0.0-OpenWrt-@REVISION_NUMBER@ -k @KERNEL@ -r @OUT@ -o @OUT@',
  },
  {
    step: 'mkubntimage',
    fixture: 'ubnt/sound-wa-signature.bin',
    command: 'mkfwimage -B WA -v WA.ar934x.v8.5.3-OpenWrt-@REVISION_NUMBER@ -k @KERNEL@ -r @OUT@ -o @OUT@',
  },
  {
    step: 'uImage lzma',
    fixture: 'uimage/sound-lzma.bin',
    device: { variables: { KERNEL_LOADADDR: '0x80060000' } },
  },
];

/** Of some megabytes; toEqual() compares a number at a time. */
function expectSame(made: Uint8Array, expected: Uint8Array): void {
  expect(firstDifference(made, expected)).toBeNull();
}

describe.each(fixtures)('$step of $fixture', ({ fixture, command, ...step }) => {
  const made = readFixtureFile(fixture);
  const ran = stepOf({ ...step, commands: command === undefined ? [] : [words(command)] });

  test('compose() makes what the reference tool makes, of what decompose() gives', async () => {
    const { image, parts } = await ran.decompose(made);
    expect(image.length).toBeLessThanOrEqual(made.length);
    expect(Buffer.from(image).equals(made)).toBe(false);
    expectSame(await ran.compose(image, parts), made);
  });
});

test('linksys-image fills the image up with FF so that the footer ends with a page', async () => {
  const made = readFixtureFile('linksys-footer/sound-kernel-and-rootfs.bin');
  const { compose: make } = stepOf({ step: 'linksys-image type=EA7300v2', device: { sizes: { page: 2048 } } });
  expectSame(await make(made.subarray(0, 24580)), made);
});

test('mkubntimage-split cuts the image after 1 MiB, and its inverse joins it and tells the revision', async () => {
  const commands = [words('mkfwimage -B XM -v XM.ar7240.v6.0.0-OpenWrt-@REVISION@ -k @OUT@.old1 -r @OUT@.old2 -o @OUT@')];
  const image = new Uint8Array(1024 * 1024 + 1000).map((_, index) => index % 251);
  const split = stepOf({ step: 'mkubntimage-split', commands });
  const made = await split.compose(image);
  const pieces = { kernel: image.subarray(0, 1024 * 1024), rootfs: image.subarray(1024 * 1024) };
  expectSame(made, await stepOf({ step: 'mkubntimage', commands }).compose(pieces.rootfs, { kernel: pieces.kernel }));
  const taken = await split.decompose(made);
  expectSame(taken.image, image);
  expect(taken.told).toEqual({ revision: 'r99999-0123456789' });
});

describe('steps of one image by OpenWrt itself', () => {
  test.each([
    ['huawei_hg553', 'cfe.bin', ['kernel', 'rootfs']],
    ['huawei_hg553', 'sysupgrade.bin', ['kernel', 'metadata', 'rootfs']],
    ['dlink_dir-842-c1', 'factory.bin', ['kernel', 'rootfs']],
    ['dlink_dir-842-c1', 'sysupgrade.bin', ['kernel', 'metadata', 'rootfs']],
    ['dlink_dap-2695-a1', 'factory.img', ['kernel', 'rootfs']],
    ['dlink_dap-2695-a1', 'sysupgrade.bin', ['kernel', 'metadata', 'rootfs']],
    ['netgear_rbr50', 'factory.img', ['kernel', 'rootfs']],
    ['netgear_wndr3400-v1', 'chk', ['kernel', 'loader', 'rootfs']],
  ])('%s %s is taken apart and put together to the byte', async (profile, name, names) => {
    const image = loadImage(`${profile}-${name}`);
    const { recipe, context } = await recipeOf(profile, name);
    const parts = await decompose(recipe, image, context);
    expect([...parts.bytes.keys()].sort()).toEqual(names);
    expectSame((await compose(recipe, parts.bytes, build, context)).image, image);
  });

  test.each([
    ['huawei_hg553', 'cfe.bin', 'sysupgrade.bin'],
    ['dlink_dir-842-c1', 'factory.bin', 'sysupgrade.bin'],
    ['dlink_dap-2695-a1', 'factory.img', 'sysupgrade.bin'],
  ])('the parts of %s %s make its %s, and the other way round', async (profile, factory, sysupgrade) => {
    for (const [from, to] of [
      [factory, sysupgrade],
      [sysupgrade, factory],
    ] as const) {
      const { recipe, context } = await recipeOf(profile, from);
      const parts = await decompose(recipe, loadImage(`${profile}-${from}`), context);
      const { image } = await compose((await recipeOf(profile, to)).recipe, parts.bytes, build, context);
      expectSame(image, loadImage(`${profile}-${to}`));
    }
  });

  test('the kernel of an imagetag is LZMA data without a header', async () => {
    const { recipe, context } = await recipeOf('huawei_hg553', 'cfe.bin');
    const parts = await decompose(recipe, loadImage('huawei_hg553-cfe.bin'), context);
    // Load address and entry point stand in front of it in the image.
    expect(parts.bytes.get('kernel')?.[0]).toBe(0x5d);
    expect(new TextDecoder().decode(parts.bytes.get('rootfs')?.subarray(0, 4))).toBe('hsqs');
  });
});

const build = { dist: 'OpenWrt', version: 'SNAPSHOT', revision: 'r99999-0123456789', epoch: '1700000000', linux: '6.18.44' };

async function recipeOf(profile: string, name: string) {
  const { devices, safeloaderBoards } = await loadDeviceFacts();
  const device = devices.find((entry) => entry.profile === profile);
  const image = device?.images.find((entry) => entry.name === name);
  if (device === undefined || image === undefined) throw new Error(`no ${name} of ${profile}`);
  return { recipe: { device, image } satisfies Recipe, context: { formats, boards: safeloaderBoards } };
}

describe('metadata of vendors', () => {
  const image = toBytes('an image');
  const version = '"dist": "OpenWrt", "version": "SNAPSHOT", "revision": "r99999-0123456789"';
  /** Behind eight bytes of header and in front of sixteen of trailer. */
  const json = (made: Uint8Array): string => new TextDecoder().decode(made.subarray(image.length + 8, -16));

  test('append-gl-metadata tells the time of the build as it is in China', async () => {
    const boards = ['glinet,gl-axt1800', 'glinet,axt1800'];
    const { compose: make } = stepOf({ step: 'append-gl-metadata', device: { profile: 'glinet_gl-axt1800', target: 'qualcommax/ipq60xx', boards } });
    // As in the image that OpenWrt's recipe makes.
    expect(json(await make(image))).toBe(
      `{  "metadata_version": "1.1", "compat_version": "1.0",   "supported_devices":["glinet,gl-axt1800","glinet,axt1800"], "version": { "release": "SNAPSHOT", "date": "20231115061320", ${version}, "target": "qualcommax/ipq60xx", "board": "glinet_gl-axt1800" } }\n`,
    );
  });

  test("append-teltonika-metadata names Teltonika's devices, and OpenWrt's in its message", async () => {
    const { compose: make, decompose: take } = stepOf({
      step: 'append-teltonika-metadata',
      device: {
        profile: 'teltonika_rutm11',
        target: 'ramips/mt7621',
        boards: ['teltonika,rutm11'],
        compatVersion: '1.1',
        compatMessage: 'Config cannot be migrated from swconfig to DSA',
        variables: { SUPPORTED_TELTONIKA_DEVICES: 'teltonika,rutm', SUPPORTED_TELTONIKA_HW_MODS: 'W25N02KV' },
      },
    });
    const made = await make(image);
    expect(json(made)).toBe(
      `{ "metadata_version": "1.1", "compat_version": "1.1", "version":"OpenWrt-SNAPSHOT-r99999-0123456789", "device_code": [".*"], "hwver": [".*"], "batch": [".*"], "serial": [".*"], "compat_message": "Config cannot be migrated from swconfig to DSA", "new_supported_devices": ["teltonika,rutm"], "supported_devices": ["teltonika,rutm11 - Image version mismatch: image 1.1, device 1.0. Please wipe config during upgrade (force required) or reinstall. Reason: Config cannot be migrated from swconfig to DSA"],  "version_wrt": { ${version}, "target": "ramips/mt7621", "board": "teltonika_rutm11" }, "hw_support": {}, "hw_mods": {"mod1": "W25N02KV"} }\n`,
    );
    const taken = await take(made);
    expect(taken.image).toEqual(image);
    expect(taken.told).toEqual({ dist: 'OpenWrt', version: 'SNAPSHOT', revision: 'r99999-0123456789' });
  });

  test('append-netis-n6-metadata ends without a line end', async () => {
    const { compose: make } = stepOf({ step: 'append-netis-n6-metadata', device: { target: 'ramips/mt7621' } });
    expect(json(await make(image))).toBe(
      `{ "up_model": "Netis-N6R", "supported_devices": ["mt7621-rfb-ax-nand"], "version": { ${version}, "board": "ramips" } }`,
    );
  });

  test('append-dlink-covr-metadata holds the MD5 of the image', async () => {
    const sum = createHash('md5').update(image).digest('hex');
    expect(json(await stepOf({ step: 'append-dlink-covr-metadata COVR-X1860' }).compose(image))).toBe(
      `{"supported_devices": "COVR-X1860", "firmware": "${sum}"}\n`,
    );
  });
});

describe('sums at the end', () => {
  const image = toBytes('an image');
  const md5 = (text: string): Buffer => createHash('md5').update(text).digest();

  test.each([
    ['append-md5sum-bin', md5('an image')],
    ['append-md5sum-ascii-salted ffff', Buffer.from(md5('an imageffff').toString('hex'))],
    ['watchguard-cksum 82kdlzk2', Buffer.from(md5('an image82kdlzk2').toString('hex'))],
  ])('%s appends it, and its inverse checks it', async (step, sum) => {
    const { compose: make, decompose: take } = stepOf({ step });
    const made = await make(image);
    expect(made).toEqual(joined(image, sum));
    expect((await take(made)).image).toEqual(image);
    await expect(take(joined(toBytes('another!'), sum))).rejects.toThrow('it does not end with the MD5 of what is in front');
  });
});

describe.skipIf(!installed('mkimage'))('uImages beside mkimage', () => {
  /** With the time of our builds. */
  function mkimage(data: Uint8Array, ...options: string[]): Uint8Array {
    const folder = mkdtempSync(join(tmpdir(), 'owimg-'));
    try {
      const [from, to] = [join(folder, 'data'), join(folder, 'made')];
      writeFileSync(from, data);
      run('env', 'SOURCE_DATE_EPOCH=1700000000', 'mkimage', '-O', 'linux', '-C', 'none', ...options, '-d', from, to);
      return new Uint8Array(readFileSync(to));
    } finally {
      rmSync(folder, { recursive: true });
    }
  }
  const kernel = readFixtureFile('uimage/sound-lzma.bin');

  test('append-uImage-fakehdr appends a header without data', async () => {
    const { compose: make, decompose: take } = stepOf({ step: 'append-uImage-fakehdr filesystem', device: { architecture: 'aarch64' } });
    const header = mkimage(new Uint8Array(), '-A', 'arm64', '-T', 'filesystem', '-n', 'OpenWrt fake filesystem', '-s');
    const made = await make(kernel);
    expect(made).toEqual(joined(kernel, header));
    expect(await take(joined(made, new Uint8Array(100)))).toMatchObject({ image: kernel, told: { dist: 'OpenWrt', epoch: '1700000000' } });
  });

  test('netgear-rootfs puts the root file system into one', async () => {
    const rootfs = readFixtureFile('squashfs/sound-gzip.squashfs');
    const { compose: make, decompose: take } = stepOf({ step: 'netgear-rootfs' });
    const made = await make(kernel, { rootfs });
    expect(made).toEqual(joined(kernel, mkimage(rootfs, '-A', 'mips', '-T', 'filesystem', '-n', 'OpenWrt filesystem')));
    expect(await take(made)).toMatchObject({ image: kernel, parts: { rootfs } });
  });
});

describe('values that do not fit', () => {
  const image = new Uint8Array(100).fill(1);
  const cases: readonly (StepCase & { readonly message: string })[] = [
    { step: 'netgear-dni', commands: [words(`mkdniimg -B ${'x'.repeat(120)} -v 1 -r EU`)], message: 'the header has room for 127' },
    { step: 'zyimage', commands: [words(`zyimage -d 0x1 -v ${'x'.repeat(48)}`)], message: 'Cannot store a version of 48 characters' },
    { step: 'linksys-image type=ABCDEFGHIJKLMNOP', message: 'Cannot store a type of 16 characters' },
    { step: 'linksys-image', commands: [['linksys-image.sh']], message: 'owimg cannot do the step "linksys-image" of ath79/generic yet' },
    { step: 'asus-trx', commands: [words('asustrx -p RT-AC68U')], message: 'the last 64 bytes of the TRX are not free' },
    { step: 'asus-trx -v 3 -n RT-AX52', message: 'owimg cannot do the step "asus-trx -v 3 -n RT-AX52" yet' },
    { step: 'motorola-bin', commands: [words('motorola-bin -4')], message: 'expected one of WR850G, WA840G, WE800G' },
    { step: 'linksys-bin', commands: [words('addpattern -p TOOLONGID -v v1.0.0')], message: 'Cannot store a pattern of 9 characters' },
    { step: 'linksys-bin', commands: [words('addpattern -g -p W54G -v v1.0.0')], message: 'owimg does not know its option -g' },
    { step: 'cfe-bin', commands: [words('imagetag --root-first')], message: 'owimg does not know the option --root-first of imagetag' },
    { step: 'senao-header', commands: [words('mksenaofw -r 0x101 -p 0x6e -t 2 -z')], message: 'owimg does not know the option -z of mksenaofw' },
    { step: 'senao-header', commands: [words('mksenaofw -r 0x101 -p 0x6e -t 13')], message: 'expected 0 to 12' },
    { step: 'mkubntimage-split', commands: [words('mkfwimage -B XM -v 1')], message: 'Cannot cut the image after 1 MiB, as the recipe does: it has 100 bytes' },
    { step: 'append-uImage-fakehdr filesystem', message: 'no uImage header was found at its end' },
  ];
  test.each(cases)('$step: $message', async ({ message, ...step }) => {
    const ran = stepOf(step);
    await expect(step.step.includes('fakehdr') ? ran.decompose(image) : ran.compose(image)).rejects.toThrow(message);
  });
});

test('wrgg.build() refuses texts that have no room, while its step cuts them as the tool does', async () => {
  const image = new Uint8Array(10);
  const texts = { signature: 'signature', version: '1', model: 'x'.repeat(17), buildNumber: '', deviceName: '/dev/mtdblock/1' };
  expect(() => wrgg.build?.({ endian: 'big', image, ...texts })).toThrow('Cannot store a model of 17 characters: the header has room for 16');
  const made = await stepOf({ step: 'mkwrggimg', commands: [['mkwrggimg', '-s', 'signature', '-m', 'x'.repeat(17), '-v', '1', '-B', '@REVISION@']] }).compose(
    image,
  );
  // strncpy() with the room of the field: the revision loses its last character.
  expect(new TextDecoder().decode(made.subarray(0x58, 0x68))).toBe('r99999-012345678');
});

test('ubnt: an image that is too big for the board is refused', async () => {
  const split = stepOf({ step: 'mkubntimage-split', commands: [words('mkfwimage -B XM -v 1')] });
  await expect(split.compose(new Uint8Array(0x760001))).rejects.toThrow('The image would be too big for the device');
});

describe('sharedSteps()', () => {
  const image = (...steps: string[]) => ({ name: 'image.bin', role: 'factory' as const, fs: 'squashfs', steps });
  const shared = (from: string, to: string) => sharedSteps(image(...from.split(' | ')), image(...to.split(' | ')), formats);

  test('is undefined where owimg can do all steps', () => {
    expect(shared('append-kernel | append-rootfs', 'append-kernel | append-rootfs | append-metadata')).toBeUndefined();
  });

  test('counts the steps that both begin with, where one of them is unknown', () => {
    expect(shared('append-kernel | strange | pad-rootfs | netgear-dni', 'append-kernel | strange | pad-rootfs | append-metadata')).toEqual({
      count: 3,
      padded: false,
    });
  });

  test('is undefined where an unknown step follows', () => {
    expect(shared('append-kernel | netgear-dni', 'append-kernel | strange')).toBeUndefined();
    expect(shared('append-kernel | strange 1 | netgear-dni', 'append-kernel | strange 2 | append-metadata')).toBeUndefined();
  });

  test('ends in front of filler, where filler follows in the given image', () => {
    const tail = 'strange | append-rootfs | pad-rootfs';
    expect(shared(`${tail} | pad-to 64k | netgear-dni`, `${tail} | check-size | append-metadata`)).toEqual({ count: 2, padded: true });
    expect(shared('strange | pad-to 4k | pad-to 64k', 'strange | pad-to 4k | append-metadata')).toEqual({ count: 1, padded: true });
  });
});

describe('images with steps that owimg cannot do', () => {
  test('decompose() gives what the shared steps made, and compose() goes on from it', async () => {
    const from = await recipeOf('netgear_wndr3700-v2', 'factory.img');
    const to = await recipeOf('netgear_wndr3700-v2', 'sysupgrade.bin');
    const [factory, sysupgrade] = [loadImage('netgear_wndr3700-v2-factory.img'), loadImage('netgear_wndr3700-v2-sysupgrade.bin')];
    const shared = sharedSteps(from.recipe.image, to.recipe.image, formats);
    // Without it the step that is missing is named.
    await expect(decompose(from.recipe, factory, from.context)).rejects.toThrow('owimg cannot do the step "netgear-squashfs" of its recipe yet');
    const source = { ...from.recipe, ...(shared === undefined ? {} : { shared }) };
    const target = { ...to.recipe, ...(shared === undefined ? {} : { shared }) };
    const parts = await decompose(source, factory, from.context);
    expect([...parts.bytes.keys()]).toEqual([sharedPart]);
    expectSame((await compose(target, parts.bytes, build, to.context)).image, sysupgrade);
    const back = await decompose(target, sysupgrade, to.context);
    expectSame((await compose(source, back.bytes, build, from.context)).image, factory);
  });

  test('a file that only its metadata names is taken for what it is', async () => {
    const sysupgrade = loadImage('edimax_re23s-sysupgrade.bin');
    const { made } = await converted('edimax_re23s', sysupgrade);
    expectSame(made, withoutMetadata(sysupgrade));
  });

  test('the same file without its metadata is refused, for nothing tells what it is', async () => {
    await expect(converted('edimax_re23s', withoutMetadata(loadImage('edimax_re23s-sysupgrade.bin')))).rejects.toThrow('owimg does not recognise it');
  });
});

async function converted(profile: string, bytes: Uint8Array): Promise<{ readonly made: Uint8Array }> {
  const [{ convertWith }, { checkContext }] = await Promise.all([import('../src/convert.ts'), import('../src/check.ts')]);
  const facts = await loadDeviceFacts();
  const device = facts.devices.find((entry) => entry.profile === profile);
  if (device === undefined) throw new Error(`no device ${profile}`);
  const { image } = await convertWith(bytes, formats, checkContext(formats, facts), { device, to: 'factory' });
  return { made: image };
}
