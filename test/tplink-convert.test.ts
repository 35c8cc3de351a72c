/** Recipes with TP-Link's formats, forwards and backwards. What must come out was made by the reference tools. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { checkContext } from '../src/check.ts';
import { convertWith, firstDifference } from '../src/convert.ts';
import { joined } from '../src/core/bytes.ts';
import type { BuildValue, PartName } from '../src/core/recipe-step.ts';
import type { Device } from '../src/devices/facts.ts';
import { loadDeviceFacts } from '../src/devices/load.ts';
import { formats, inspect } from '../src/index.ts';
import { compose, decompose, type Recipe } from '../src/recipes/interpreter.ts';
import { imageShape } from '../src/recipes/shape.ts';
import { readFixtureFile } from './support/fixtures.ts';
import { loadImage } from './support/images.ts';

const facts = await loadDeviceFacts();
const context = { formats, boards: facts.safeloaderBoards };
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
/** Comparing bytes one by one as values of a test takes seconds for an image of some MiB. */
function expectSame(actual: Uint8Array | undefined, expected: Uint8Array): void {
  expect(firstDifference(actual ?? new Uint8Array(), expected)).toBeNull();
}
function expectParts(actual: ReadonlyMap<PartName, Uint8Array>, expected: Readonly<Record<PartName, Uint8Array>>): void {
  expect([...actual.keys()].sort()).toEqual(Object.keys(expected).sort());
  for (const [name, bytes] of Object.entries(expected)) expectSame(actual.get(name), bytes);
}

const reference = (file: string): unknown => JSON.parse(readFileSync(new URL(`reference/${file}`, import.meta.url), 'utf8'));

const v1Sysupgrade = readFixtureFile('tplink-v1/sound-sysupgrade.bin');
/** LZMA without a header of its own. */
const lzma = v1Sysupgrade.subarray(512, 512 + 13295);
const rootfs = v1Sysupgrade.subarray(13808, 13808 + 5762);
/** LZMA with a header in front of it, which tells where it ends. */
const kernel = readFixtureFile('tplink-v1/sound-kernel-only.bin');
const loader = Uint8Array.from({ length: 3584 }, (_, index) => index * 7 + 3);

const build = { dist: 'OpenWrt', version: 'SNAPSHOT', revision: 'r99999-0123456789', epoch: '1700000000', linux: '6.18.44' };

function deviceNamed(name: string): Device {
  const device = facts.devices.find(({ profile }) => profile === name);
  if (device === undefined) throw new Error(`no device ${name}`);
  return device;
}
const anyDevice = deviceNamed('tplink_archer-c7-v5');

const recipe = (steps: readonly string[], commands: readonly (readonly string[])[] = [], variables: Record<string, string> = {}): Recipe => ({
  device: { ...anyDevice, variables: { ...anyDevice.variables, ...variables } },
  image: { name: 'image.bin', role: 'factory', fs: 'squashfs', steps, commands },
});

const make = async (which: Recipe, parts: Record<PartName, Uint8Array>, values: Readonly<Record<BuildValue, string>> = build): Promise<Uint8Array> =>
  (await compose(which, new Map(Object.entries(parts)), values, context)).image;

/** The words of a shell command without other quotes than double ones. */
const words = (line: string): string[] => [...line.matchAll(/"([^"]*)"|(\S+)/g)].map((match) => match[1] ?? (match[2] as string));

describe('the steps of TP-Link headers make the bytes of mktplinkfw and mktplinkfw2', () => {
  const v1 = (line: string): Recipe => recipe(['tplink-v1-image'], [words(line)]);
  const v2 = (line: string): Recipe => recipe(['tplink-v2-image'], [words(line)]);
  const short = { ...build, revision: 'r99999' };
  const files = '-k @KERNEL@ -r @ROOTFS@ -o @OUT@.new';

  test.each([
    ['tplink-v1/sound-sysupgrade.bin', v1(`mktplinkfw -H 0x08410009 -W 1 -F 4Mlzma -N OpenWrt -V @REVISION@ -m 1 ${files} -j -X 0x40000 -a 0x4 -s`)],
    ['tplink-v1/sound-version-2.bin', v1(`mktplinkfw -H 0x10430004 -W 1 -F 4M -N OpenWrt -V @REVISION@ -m 2 ${files} -j -X 0x40000 -a 0x4 -s`)],
    [
      'tplink-v1/sound-reversed-addresses.bin',
      v1(`mktplinkfw -H 0x04790001 -W 1 -F 8Mmtk -e -O -s -N OpenWrt -V @REVISION@ -v 3.14.1 -m 1 ${files} -j -a 0x4`),
    ],
    ['tplink-v2/sound-sysupgrade.bin', v2(`mktplinkfw2 -H 0x89700001 -W 1 -F 4Mmtk -T 2 -V "ver. 2.0" -a 0x4 -j -e -s ${files}`)],
  ])('%s, from kernel and root file system and back', async (file, which) => {
    const expected = readFixtureFile(file);
    expectSame(await make(which, { kernel: lzma, rootfs }, short), expected);
    const { bytes, told } = await decompose(which, expected, context);
    expectParts(bytes, { kernel: lzma, rootfs });
    if (file.startsWith('tplink-v1')) expect(Object.fromEntries(told)).toEqual({ dist: 'OpenWrt', revision: 'r99999' });
  });

  test.each([
    [
      'the whole flash partition',
      '33f8318f556de78fe01103078d26f45bee9fdc867958a5c936121a799bf71a7a',
      v1(`mktplinkfw -H 0x08410009 -W 1 -F 4Mlzma -N OpenWrt -V @REVISION@ -m 1 ${files} -j -X 0x40000 -a 0x4`),
    ],
    [
      'a region',
      'aa4dbe6264a4f08cfbd011a4a5d33a24fb9691e3e098b8a5e25d3cd9d2c6a9b2',
      v1(`mktplinkfw -H 0xc7000002 -W 1 -F 4Mlzma -N OpenWrt -V @REVISION@ -m 1 -C US ${files} -j -X 0x40000 -a 0x4`),
    ],
    [
      'version 3',
      '2102ca899935e1802aab8a6d14e2d32de08d6500cf8b4f43fbba896f9b971b5b',
      v2(`mktplinkfw2 -H 0x0c200004 -W 0x1 -w 0x4 -F 4MLmtk -T 3 -V "ver. 2.0" -a 0x4 -j ${files}`),
    ],
  ])('%s', async (_, digest, which) => expect(sha256(await make(which, { kernel: lzma, rootfs }, short))).toBe(digest));

  test.each([
    [
      'names that are too long for their fields',
      'f1eae3ec170d4e4c4d9025d472c042799c4a52c65d210c7e3ea0b69c49be9e89',
      v1('mktplinkfw -H 1 -F 4M -N "A distribution with a long name" -V @REVISION@ -k @KERNEL@ -r @ROOTFS@ -s -o @OUT@.new'),
    ],
    [
      'a version that is too long for its field, and further versions',
      '83067c3e82f9545e8c376fc762cedf04e5ced6ec342590f2f962f24f6aa7d350',
      v2('mktplinkfw2 -H 017 -F 4Mmtk -V "ver. 2.0 with more words than its field of 48 bytes holds" -y 3.4 -v 1.2.3 -k @KERNEL@ -r @ROOTFS@ -s -o @OUT@.new'),
    ],
    [
      'an option that takes the next one for its value, where a device has no TPLINK_HWID',
      'b38416373962035c728b0fe4a80c206127a346954e03b2bc767d2f4177a34609',
      v2('mktplinkfw2 -H -W 0x2 -w 0x1 -F 4Mmtk -V "ver. 2.0" -k @KERNEL@ -r @ROOTFS@ -s -o @OUT@.new'),
    ],
    [
      'what is written where no name is given, which tells nothing of the build',
      '0aa9e218bb60d91783aefebc6c280ec46e9f87f38c49a244e1803a77cc92a6e0',
      v1('mktplinkfw -H 1 -F 4M -k @KERNEL@ -r @ROOTFS@ -s -o @OUT@.new'),
    ],
  ])('%s', async (_, digest, which) => {
    const long = { ...build, dist: 'A distribution with a long name', revision: 'r1-averyveryverylongrevisiontextthatdoesnotfitinto36' };
    const made = await make(which, { kernel, rootfs }, long);
    expect(sha256(made)).toBe(digest);
    expect(Object.fromEntries((await decompose(which, made, context)).told)).toEqual({});
  });

  test('a header in front of a kernel alone, from the variables of its device', async () => {
    const v1Header = recipe(['append-kernel', 'tplink-v1-header'], [], {
      TPLINK_HWID: '0x08410009',
      TPLINK_HWREV: '1',
      TPLINK_HEADER_VERSION: '1',
      KERNEL_LOADADDR: '0x80060000',
    });
    expectSame(await make(v1Header, { kernel: lzma }, short), kernel);
    expectSame((await decompose(v1Header, kernel, context)).bytes.get('kernel'), lzma);
    const v2Kernel = readFixtureFile('tplink-v2/sound-version-3-kernel-only.bin');
    const v2Header = recipe(['append-kernel', 'tplink-v2-header'], [], {
      TPLINK_HWID: '0x0c200004',
      TPLINK_HWREV: '0x1',
      TPLINK_HWREVADD: '0x4',
      TPLINK_FLASHLAYOUT: '8MSUmtk',
      TPLINK_HVERSION: '3',
      KERNEL_LOADADDR: '0x80000000',
    });
    expectSame(await make(v2Header, { kernel: lzma }), v2Kernel);
    expectSame((await decompose(v2Header, v2Kernel, context)).bytes.get('kernel'), lzma);
  });

  const rows = reference('mktplinkfw.json') as { image: string; step: string; command: string[]; sha256: string }[];
  test.each(rows)('$image: $step', async ({ step, command, sha256: digest }) => {
    const alone = step.startsWith('tplink-v2-header');
    const okli = step.startsWith('tplink-v1-okli-image');
    const which = recipe(alone ? ['append-kernel', step] : [step], [command]);
    const made = await make(which, { kernel, rootfs, loader });
    expect(sha256(made)).toBe(digest);
    const { bytes } = await decompose(which, made, context);
    expectParts(bytes, { ...(okli ? { loader } : {}), kernel, ...(alone ? {} : { rootfs }) });
  });
});

test('tplink-v2-image puts the image behind what was made before, and takes it off again', async () => {
  const command = words('mktplinkfw2 -H 0x89700001 -W 1 -F 4Mmtk -T 2 -V "ver. 2.0" -a 0x4 -j -e -s -k @KERNEL@ -r @ROOTFS@ -o @OUT@.new');
  const recovery = recipe(['pad-extra 128k', 'tplink-v2-image -e'], [command]);
  const expected = joined([new Uint8Array(0x20000), readFixtureFile('tplink-v2/sound-sysupgrade.bin')]);
  expectSame(await make(recovery, { kernel: lzma, rootfs }), expected);
  expect([...(await decompose(recovery, expected, context)).bytes.keys()]).toEqual(['kernel', 'rootfs']);
});

describe('the step tplink-safeloader makes the bytes of tplink-safeloader', () => {
  const digests = Object.entries(reference('tplink-safeloader.json') as Record<string, readonly [string | null, string]>);
  const safeloader = (id: string, kind: string): Recipe => recipe(['append-rootfs', `tplink-safeloader ${kind}`], [], { TPLINK_BOARD_ID: id });

  test('the digests are of all boards', () => expect(digests.map(([id]) => id)).toEqual(facts.safeloaderBoards.map(({ id }) => id)));

  test.each(digests)('%s: factory and sysupgrade, and back to the parts', async (id, [factory, sysupgrade]) => {
    for (const [kind, digest] of [
      ['factory', factory],
      ['sysupgrade', sysupgrade],
    ] as const) {
      const which = safeloader(id, kind);
      if (digest === null) {
        await expect(make(which, { kernel, rootfs })).rejects.toMatchObject({
          code: 'conversion-impossible',
          message: expect.stringContaining('"support-list"'),
        });
        continue;
      }
      const made = await make(which, { kernel, rootfs });
      expect(sha256(made)).toBe(digest);
      const { bytes, inexact } = await decompose(which, made, context);
      expectParts(bytes, { kernel, rootfs });
      expect([...inexact]).toEqual([]);
    }
  });

  test('an image tells the day and the number of the revision', async () => {
    for (const kind of ['factory', 'sysupgrade']) {
      const made = await make(safeloader('CPE210', kind), { kernel, rootfs });
      const { told } = await decompose(safeloader('CPE210', kind), made, context);
      expect(Object.fromEntries(told)).toEqual({ epoch: String(Date.UTC(2023, 10, 14) / 1000), revision: 'r99999' });
    }
    const text = await make(safeloader('ARCHER-C7-V5', 'factory'), { kernel, rootfs });
    expect([...(await decompose(safeloader('ARCHER-C7-V5', 'factory'), text, context)).told]).toEqual([]);
  });
});

test('imageShape() of a SafeLoader sysupgrade image takes the places of the partitions that the board names', () => {
  const device = deviceNamed('tplink_deco-m5-v1');
  const image = device.images.find(({ name }) => name === 'sysupgrade.bin');
  if (image === undefined) throw new Error('no sysupgrade.bin');
  // os-image@1 at 0xd90000, file-system@1 at 0x1190000
  expect(imageShape(device, image, facts.safeloaderBoards)).toContainEqual({ what: 'gap', at: 0x400000 });
});

describe('what cannot be made is refused', () => {
  const command = (line: string): Recipe => recipe(['tplink-v1-image factory'], [words(line)]);
  const options = '-H 1 -N OpenWrt -V r1 -k @KERNEL@ -r @ROOTFS@ -o @OUT@.new';
  const large = new Uint8Array(0x3c0000);

  test.each([
    ['a kernel that reaches into the root file system', `mktplinkfw ${options} -F 4Mlzma`, { kernel: large, rootfs }, 'the kernel is 3.8 MiB long'],
    ['a root file system that reaches beyond the flash', `mktplinkfw ${options} -F 4Mlzma`, { kernel, rootfs: large }, 'the root file system is 3.8 MiB long'],
    ['both together', `mktplinkfw ${options} -F 4Mlzma -a 0x4 -X 0x40000`, { kernel, rootfs: large }, 'are together 3.8 MiB long'],
  ])('%s', async (_, line, parts, message) => {
    await expect(make(command(line), parts)).rejects.toMatchObject({ code: 'conversion-impossible', message: expect.stringContaining(message) });
  });

  test('space that -X leaves free is not taken, to the byte', async () => {
    const limit = 0x3c0000 - 0x40000 - 512 - kernel.length;
    const which = command(`mktplinkfw ${options} -F 4Mlzma -a 0x4 -X 0x40000 -s`);
    await expect(make(which, { kernel, rootfs: large.subarray(0, limit) })).resolves.toBeDefined();
    await expect(make(which, { kernel, rootfs: large.subarray(0, limit + 1) })).rejects.toMatchObject({
      hint: expect.stringContaining('It is 1 byte too much.'),
    });
  });

  test.each([
    ['a flash layout that is not known', command(`mktplinkfw ${options} -F 5M`), 'expected a flash layout out of 4M, 4Mlzma, 8M'],
    ['an option that is not known', command(`mktplinkfw ${options} -F 4M -b boot.bin`), 'owimg does not know what -b means to mktplinkfw'],
    ['a step without a command line', recipe(['tplink-v1-image factory']), 'the command line of its tool is not known'],
    ['a board that is not known', recipe(['append-rootfs', 'tplink-safeloader factory'], [], { TPLINK_BOARD_ID: 'NO-BOARD' }), 'found "NO-BOARD"'],
  ])('%s', async (_, which, message) => {
    await expect(make(which, { kernel, rootfs })).rejects.toMatchObject({ code: 'step-unknown', message: expect.stringContaining(message) });
  });

  test('a kernel that is larger than its partition', async () => {
    const which = recipe(['append-rootfs', 'tplink-safeloader sysupgrade'], [], { TPLINK_BOARD_ID: 'CPE210' });
    const message = 'the kernel takes 7.5 MiB, and the flash partition "firmware" has 7.4 MiB';
    await expect(make(which, { kernel: new Uint8Array(7_900_000), rootfs })).rejects.toMatchObject({
      code: 'conversion-impossible',
      message: expect.stringContaining(message),
    });
  });

  test('an image in which no root file system is found', async () => {
    const which = recipe(['append-rootfs', 'tplink-safeloader sysupgrade'], [], { TPLINK_BOARD_ID: 'ARCHER-C7-V5' });
    await expect(decompose(which, kernel, context)).rejects.toMatchObject({
      code: 'conversion-impossible',
      message: expect.stringContaining('no root file system was found'),
    });
  });
});

describe('images that whole recipes made', () => {
  test.each([
    ['tplink_archer-c2-v1', 'sysupgrade.bin'],
    ['tplink_archer-c20-v5', 'sysupgrade.bin'],
    ['tplink_archer-c7-v5', 'factory.bin'],
    ['tplink_archer-c7-v5', 'sysupgrade.bin'],
    ['tplink_cpe610-v2', 'sysupgrade.bin'],
    ['tplink_eap225-outdoor-v1', 'factory.bin'],
    ['tplink_tl-wdr4300-v1-il', 'sysupgrade.bin'],
    ['tplink_tl-wr841-v9', 'factory.bin'],
    ['tplink_tl-wr842n-v1', 'sysupgrade.bin'],
    ['mercusys_mr70x-v1', 'factory.bin'],
  ])('%s %s is made again from its parts', async (profile, name) => {
    const device = deviceNamed(profile);
    const image = device.images.find((entry) => entry.name === name);
    if (image === undefined) throw new Error(`${profile} has no ${name}`);
    const expected = loadImage(`${profile}-${name}`);
    const { bytes, told } = await decompose({ device, image }, expected, context);
    expectSame((await compose({ device, image }, bytes, { ...build, ...Object.fromEntries(told) }, context)).image, expected);
  });

  test('the metadata tells the whole revision, of which soft-version keeps the number', async () => {
    const device = deviceNamed('tplink_cpe610-v2');
    const image = device.images.find(({ name }) => name === 'sysupgrade.bin');
    if (image === undefined) throw new Error('no sysupgrade.bin');
    const { told } = await decompose({ device, image }, loadImage('tplink_cpe610-v2-sysupgrade.bin'), context);
    expect(told.get('revision')).toBe('r99999-0123456789');
  });

  test('sysupgrade of Archer C7 v5 becomes its factory image, and back', async () => {
    const [sysupgrade, factory] = [loadImage('tplink_archer-c7-v5-sysupgrade.bin'), loadImage('tplink_archer-c7-v5-factory.bin')];
    const convert = async (bytes: Uint8Array, to: 'factory' | 'sysupgrade'): Promise<Uint8Array> =>
      (await convertWith(bytes, formats, checkContext(formats, facts), { device: anyDevice, to, build })).image;
    expectSame(await convert(sysupgrade, 'factory'), factory);
    expectSame(await convert(factory, 'sysupgrade'), sysupgrade);
  });

  test('a packed loader with the kernel behind it is found without unpacking, and fits the recipe', async () => {
    const bytes = loadImage('tplink_tl-wr842n-v1-sysupgrade.bin');
    const { root } = await inspect(bytes);
    expect(root.children.slice(0, 3).map(({ format, offset }) => [format, offset])).toEqual([
      ['gzip', 512],
      ['uimage', 512 + 7680],
      ['squashfs', 43308],
    ]);
    const device = deviceNamed('tplink_tl-wr842n-v1');
    const { image } = await convertWith(bytes, formats, checkContext(formats, facts), { device, to: 'factory' });
    expect(sha256(image)).toBe('e810436da0cd3e20a17abaf7301bcd431e1e6fc810946112956f015150297496');
  });

  test('without the loader the image does not fit the recipe', async () => {
    const device = deviceNamed('tplink_tl-wr842n-v1');
    const image = device.images.find(({ name }) => name === 'sysupgrade.bin');
    if (image === undefined) throw new Error('no sysupgrade.bin');
    const { bytes } = await decompose({ device, image }, loadImage('tplink_tl-wr842n-v1-sysupgrade.bin'), context);
    const bare = new Map([...bytes, ['kernel', bytes.get('kernel')?.subarray(7680) ?? new Uint8Array()]]);
    const made = (await compose({ device, image }, bare, build, context)).image;
    const conversion = convertWith(made, formats, checkContext(formats, facts), { device, to: 'factory' });
    await expect(conversion).rejects.toMatchObject({ code: 'input-refused', message: expect.stringContaining('expected gzip, found uimage') });
  });
});
