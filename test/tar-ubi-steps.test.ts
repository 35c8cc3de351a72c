/** The steps around sysupgrade tars and UBI images: their bytes are those of OpenWrt's scripts, and taking apart gives back what was put in. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { ubi } from '../formats/ubi.ts';
import { jamcrc } from '../src/core/checksums.ts';
import type { BuildValue } from '../src/core/recipe-step.ts';
import type { UbiVolume } from '../src/core/ubi-image.ts';
import type { Device } from '../src/devices/facts.ts';
import { formats, OwimgError } from '../src/index.ts';
import { compose, decompose, type Recipe } from '../src/recipes/interpreter.ts';
import { readFixtureFile } from './support/fixtures.ts';
import { installed, run } from './support/tools.ts';

const folder = mkdtempSync(join(tmpdir(), 'owimg-steps-'));
afterAll(() => rmSync(folder, { recursive: true }));

const read = (path: string): Uint8Array => new Uint8Array(readFileSync(path));
function write(name: string, bytes: Uint8Array | string): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

const context = { formats, boards: [] };
const epoch = '1700000000';
const build: Readonly<Record<BuildValue, string>> = { dist: 'OpenWrt', version: 'SNAPSHOT', revision: 'r1-abc', epoch, linux: '6.6.99' };

function recipe(steps: readonly string[], command: string, { kernel = [], sizes = {} }: Partial<Pick<Device, 'kernel' | 'sizes'>> = {}): Recipe {
  const device: Device = {
    profile: 'vendor_board',
    title: 'Vendor Board',
    otherTitles: [],
    target: 'ath79/nand',
    architecture: 'mips',
    boards: ['vendor,board'],
    compatVersion: '1.0',
    sizes,
    flags: {},
    variables: {},
    kernel,
    initramfs: [],
    images: [],
    recovery: [],
  };
  const commands = command === '' ? [] : [command.split(' ')];
  return { device, image: { name: 'factory.bin', role: 'factory', fs: 'squashfs', steps, commands, tarDirectory: 'sysupgrade-vendor_board' } };
}

const kernel = readFixtureFile('uimage/sound-lzma.bin');
const squashfsFile = readFixtureFile('squashfs/sound-gzip.squashfs');
/** As far as its header says; the tool fills the file up. */
const squashfs = squashfsFile.subarray(0, new DataView(squashfsFile.buffer, squashfsFile.byteOffset).getUint32(40, true));
const ubifs = readFixtureFile('ubifs/sound-lzo.ubifs');
const other = Uint8Array.from({ length: 3000 }, (_, index) => index * 7);

const parts = (entries: Readonly<Record<string, Uint8Array>>): ReadonlyMap<string, Uint8Array> => new Map(Object.entries(entries));

async function composed(given: Recipe, entries: Readonly<Record<string, Uint8Array>>, values: Partial<typeof build> = {}): Promise<Uint8Array> {
  return (await compose(given, parts(entries), { ...build, ...values }, context)).image;
}

/** Composed and taken apart again. */
async function roundTrip(given: Recipe, entries: Readonly<Record<string, Uint8Array>>): Promise<Uint8Array> {
  const image = await composed(given, entries);
  const found = await decompose(given, image, context);
  expect(Object.fromEntries(found.bytes)).toEqual(entries);
  expect(found.told.get('epoch')).toBe(epoch);
  return image;
}

async function refusal(work: Promise<unknown>): Promise<{ code: string; message: string }> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof OwimgError)) throw error ?? new Error('nothing was refused');
  return { code: error.code, message: error.message };
}

/** One line for each volume: `kernel image=...`. */
function ubinize(options: readonly string[], volumes: readonly (readonly string[])[]): Uint8Array {
  const sections = volumes.map(([name, ...lines], id) => {
    const type = lines.some((line) => line.startsWith('vol_type')) ? [] : ['vol_type=dynamic'];
    return [`[${name}]`, 'mode=ubi', `vol_id=${id}`, ...type, `vol_name=${name}`, ...lines].join('\n');
  });
  const path = join(folder, 'made.ubi');
  run('ubinize', '-Q', epoch, '-o', path, ...options, write('ubi.ini', sections.join('\n')));
  return read(path);
}

const flash = ['-p', '128KiB', '-m', '2048'];
const script = (words: string): string => `ubinize-image.sh ${words} @OUT@.tmp ${flash.join(' ')}`;
const rootfsData = ['rootfs_data', 'vol_size=1MiB', 'vol_flags=autoresize'];
const roundedUp = (bytes: Uint8Array): string => `vol_size=${Math.ceil(bytes.length / 1024) * 1024}`;

describe.skipIf(!installed('ubinize'))('append-ubi makes what scripts/ubinize-image.sh asks of ubinize', () => {
  test('kernel and SquashFS', async () => {
    const expected = ubinize(flash, [
      ['kernel', `image=${write('kernel', kernel)}`],
      ['rootfs', `image=${write('rootfs', squashfs)}`, roundedUp(squashfs)],
      rootfsData,
    ]);
    const image = await roundTrip(recipe(['append-ubi'], script('--kernel @KERNEL@ --rootfs @ROOTFS@')), { kernel, rootfs: squashfs });
    expect(Buffer.compare(image, expected)).toBe(0);
  });

  test('a kernel in front, filled up, and filler behind', async () => {
    const expected = ubinize(flash, [['rootfs', `image=${write('rootfs', squashfs)}`, roundedUp(squashfs)], rootfsData]);
    const image = await roundTrip(recipe(['append-kernel', 'pad-to 256k', 'append-ubi', 'pad-to 1m'], script('--rootfs @ROOTFS@')), {
      kernel,
      rootfs: squashfs,
    });
    expect(image.length).toBe(1024 * 1024);
    expect(image.subarray(0, kernel.length)).toEqual(kernel);
    expect(Buffer.compare(image.subarray(256 * 1024, 256 * 1024 + expected.length), expected)).toBe(0);
    expect(image.subarray(256 * 1024 + expected.length).every((byte) => byte === 0)).toBe(true);
  });

  test('a UBIFS, which grows by itself', async () => {
    const expected = ubinize(flash, [['rootfs', `image=${write('rootfs', ubifs)}`, 'vol_flags=autoresize']]);
    const image = await composed(recipe(['append-ubi'], script('--rootfs @ROOTFS@=-m_2048_-e_124KiB_-c_2048')), { rootfs: ubifs });
    expect(Buffer.compare(image, expected)).toBe(0);
  });

  test('volumes for the environment of U-Boot, and parts of every kind', async () => {
    const expected = ubinize(flash, [
      ['ubootenv', 'vol_size=1MiB'],
      ['ubootenv2', 'vol_size=1MiB'],
      ['fip', `image=${write('fip', other)}`, 'vol_type=static', roundedUp(other)],
      ['boot', `image=${write('boot', other)}`, 'vol_size=15MiB'],
      ['vol', `image=${write('kernel', kernel)}`, roundedUp(kernel)],
      ['empty', 'vol_size=1MiB'],
    ]);
    const words = '--uboot-env --part fip=:$STAGING_DIR_IMAGE/u-boot.fip --part boot=@KERNEL@.boot.ubifs=15 --part vol=@KERNEL@ --part empty';
    const image = await composed(recipe(['append-ubi'], script(words)), { fip: other, boot: other, kernel });
    expect(Buffer.compare(image, expected)).toBe(0);
  });

  test('a static volume gives back its content to the byte, whatever it ends with', async () => {
    const given = recipe(['append-ubi'], script('--uboot-env --part fip=:fip --kernel @KERNEL@'));
    await roundTrip(given, { fip: Uint8Array.of(...other, 0xff, 0xff, 0, 0), kernel });
  });

  test('ubinize-kernel puts what was made so far into the volume "kernel"', async () => {
    const expected = ubinize(flash, [['kernel', `image=${write('kernel', kernel)}`]]);
    const given = recipe(['append-kernel', 'ubinize-kernel'], `ubinize-image.sh --kernel @OUT@.tmp @OUT@ ${flash.join(' ')}`);
    expect(Buffer.compare(await roundTrip(given, { kernel }), expected)).toBe(0);
  });
});

describe('append-ubi', () => {
  const given = recipe(['append-kernel', 'pad-to 128k', 'append-ubi'], script('--rootfs @ROOTFS@'));
  const whole = (volumes: readonly Partial<UbiVolume>[]): Uint8Array =>
    ubi.build?.({
      pebLength: 128 * 1024,
      vidHeaderOffset: 2048,
      dataOffset: 4096,
      imageSequence: 1,
      eraseCounter: 0,
      volumes: volumes.map((volume, id) => ({ id, name: `volume${id}`, type: 'dynamic', alignment: 1, reservedPebs: 9, data: new Uint8Array(), ...volume })),
    }) as Uint8Array;
  const behindKernel = (...pieces: readonly Uint8Array[]): Uint8Array => {
    const first = new Uint8Array(128 * 1024);
    first.set(kernel);
    return Uint8Array.from([first, ...pieces].flatMap((piece) => [...piece]));
  };
  const rootfs = { name: 'rootfs', data: squashfs };
  const data = { name: 'rootfs_data', autoresize: true };

  test.each([
    ['no UBI image', [], 'no UBI image was found'],
    ['two UBI images', [whole([rootfs, data]), new Uint8Array(4096), whole([rootfs, data])], 'it holds a UBI image at 0x20000 and one at'],
    ['no volume "rootfs"', [whole([{ name: 'kernel', data: kernel }, data])], 'lacks the volume "rootfs"'],
    [
      'a volume "rootfs" without content',
      [whole([{ ...rootfs, data: new Uint8Array() }, data])],
      'not one that ubinize writes. Volume "rootfs" lacks its logical block 0',
    ],
    ['no volume "rootfs_data"', [whole([rootfs])], 'lacks the volume "rootfs_data"'],
    ['a volume that no recipe makes', [whole([rootfs, data, { name: 'factory', data: other }])], 'its volume "factory" is none of "rootfs", "rootfs_data"'],
    ['something behind the UBI image', [whole([rootfs, data]), kernel], 'behind the UBI image stand'],
  ])('refuses to take apart what holds %s', async (_, pieces, message) => {
    const refused = await refusal(decompose(given, behindKernel(...pieces), context));
    expect(refused).toEqual({ code: 'conversion-impossible', message: expect.stringContaining(message) });
  });

  test('refuses to take a part out of an empty volume', async () => {
    const refused = await refusal(decompose(recipe(['append-ubi'], script('--part fip=:fip')), whole([{ name: 'fip', type: 'static' }]), context));
    expect(refused).toEqual({ code: 'conversion-impossible', message: expect.stringContaining('its volume "fip" is empty') });
  });

  test('refuses a UBI image that a system has used', async () => {
    const image = whole([rootfs, data]);
    expect((await decompose(given, behindKernel(image), context)).bytes.get('rootfs')).toEqual(squashfs);
    // A sequence number in the VID header of the first block of "rootfs", which only a system writes, and the header's checksum.
    const header = image.subarray(2 * 128 * 1024 + 2048);
    header[47] = 1;
    new DataView(header.buffer, header.byteOffset).setUint32(60, jamcrc(header.subarray(0, 60)));
    const refused = await refusal(decompose(given, behindKernel(image), context));
    expect(refused).toEqual({ code: 'conversion-impossible', message: expect.stringContaining('a copy of flash memory that was in use') });
  });

  test('keeps the filler that the kernel ends with by its own recipe', async () => {
    const filled = new Uint8Array(64 * 1024);
    filled.set(kernel);
    const inUbi = recipe(['append-ubi'], script('--kernel @KERNEL@ --rootfs @ROOTFS@'), { kernel: ['kernel-bin', 'lzma', 'uImage lzma', 'pad-to 64k'] });
    await roundTrip(inUbi, { kernel: filled, rootfs: squashfs });
    // Where no filler stands, none is taken.
    await roundTrip(inUbi, { kernel, rootfs: squashfs });
  });

  test('refuses an image that leaves no spare blocks in the flash', async () => {
    const sizes = { image: 1024 * 1024, nand: 16 * 1024 * 1024, block: 128 * 1024 };
    const steps = ['append-ubi'];
    const words = script('--rootfs @ROOTFS@');
    // Two volume tables and one block: 384 KiB, and 192 KiB are left.
    const refused = await refusal(composed(recipe(steps, words, { sizes }), { rootfs: squashfs }));
    expect(refused).toEqual({ code: 'conversion-impossible', message: expect.stringContaining('384 KiB, and the limit is 192 KiB') });
    expect((await composed(recipe(steps, words, { sizes: { ...sizes, image: 1280 * 1024 } }), { rootfs: squashfs })).length).toBe(393_216);
  });

  test.each([
    ['an option that owimg does not know', 'ubinize-image.sh --rootfs @ROOTFS@ @OUT@.tmp -p 128KiB -m 2048 -Z 1', 'option -Z'],
    ['an option without its number', 'ubinize-image.sh --rootfs @ROOTFS@ @OUT@.tmp -p many -m 2048', 'option -p'],
    ['no command line', '', 'how ubinize is called'],
  ])('refuses a recipe with %s', async (_, command, message) => {
    const refused = await refusal(composed(recipe(['append-ubi'], command), { rootfs: squashfs }));
    expect(refused).toEqual({ code: 'step-unknown', message: expect.stringContaining(message) });
  });

  test('refuses to make a volume of nothing, as ubinize does, and an image number that is no time', async () => {
    const simple = recipe(['append-ubi'], script('--rootfs @ROOTFS@'));
    expect(await refusal(composed(simple, { rootfs: new Uint8Array() }))).toMatchObject({ code: 'conversion-impossible' });
    for (const wrong of ['yesterday', '-1', '4294967296'])
      expect(await refusal(composed(simple, { rootfs: squashfs }, { epoch: wrong }))).toMatchObject({ code: 'bad-value' });
    expect(await refusal(composed(simple, {}))).toMatchObject({ code: 'part-missing' });
  });
});

/** What scripts/sysupgrade-tar.sh does with these files. */
function gnuTar(files: Readonly<Record<string, Uint8Array>>): Uint8Array {
  const directory = join(folder, 'sysupgrade-vendor_board');
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory);
  for (const [name, bytes] of Object.entries({ CONTROL: Buffer.from('BOARD=vendor_board\n'), ...files })) writeFileSync(join(directory, name), bytes);
  run('chmod', '755', directory);
  run('chmod', '644', ...[...Object.keys(files), 'CONTROL'].map((name) => join(directory, name)));
  const archive = join(folder, 'sysupgrade.tar');
  run('tar', '-C', folder, '--sort=name', '--owner=0', '--group=0', '--numeric-owner', '-cf', archive, 'sysupgrade-vendor_board', `--mtime=@${epoch}`);
  return read(archive);
}

/** `dd bs=1024 conv=sync` */
function inBlocks(bytes: Uint8Array): Uint8Array {
  const path = join(folder, 'root.blocks');
  run('dd', `if=${write('root', bytes)}`, `of=${path}`, 'bs=1024', 'conv=sync', 'status=none');
  return read(path);
}

const gnu = installed('tar', 'dd') && run('tar', '--version').includes('GNU tar');

describe.skipIf(!gnu)('sysupgrade-tar makes what GNU tar does', () => {
  test.each([
    ['a SquashFS, filled up', squashfs],
    ['a SquashFS of whole blocks', Uint8Array.of(...squashfs, ...new Uint8Array(2048 - (squashfs.length % 1024)))],
  ])('with %s', async (_, rootfs) => {
    const image = await composed(recipe(['sysupgrade-tar'], ''), { kernel, rootfs });
    expect(Buffer.compare(image, gnuTar({ kernel, root: inBlocks(rootfs) }))).toBe(0);
  });

  test('with kernel and SquashFS, which come out as they went in', async () => {
    await roundTrip(recipe(['sysupgrade-tar'], ''), { kernel, rootfs: squashfs });
    await roundTrip(recipe(['append-kernel', 'sysupgrade-tar'], ''), { kernel, rootfs: squashfs });
  });

  test.each([
    ['a UBIFS', ubifs],
    ['what is no file system that the script knows', other],
    ['a single byte', Uint8Array.of(0)],
    ['a record of tar to the byte', new Uint8Array(10_240 - 5 * 512 - 1024)],
  ])('with %s as it is', async (_, rootfs) => {
    const image = await roundTrip(recipe(['sysupgrade-tar'], ''), { kernel: other, rootfs });
    expect(Buffer.compare(image, gnuTar({ kernel: other, root: rootfs }))).toBe(0);
  });

  test('with a SquashFS that the recipe filled up and marked, which is not filled up again', async () => {
    const given = recipe(['append-rootfs', 'pad-rootfs', 'sysupgrade-tar rootfs=@OUT@'], '');
    const image = await roundTrip(given, { rootfs: squashfs, kernel });
    const root = await composed(recipe(['append-rootfs', 'pad-rootfs'], ''), { rootfs: squashfs });
    expect([...root.subarray(-4)]).toEqual([0xde, 0xad, 0xc0, 0xde]);
    expect(Buffer.compare(image, gnuTar({ kernel, root }))).toBe(0);
  });

  test('with a kernel that the recipe made, a device tree and a loader', async () => {
    const dtb = other.subarray(0, 500);
    const given = recipe(['append-kernel', 'pad-to 16k', 'sysupgrade-tar kernel=@OUT@ dtb=$KDIR/image-board.dtb'], '');
    const filled = new Uint8Array(16 * 1024);
    filled.set(kernel);
    expect(Buffer.compare(await roundTrip(given, { kernel, rootfs: squashfs, dtb }), gnuTar({ kernel: filled, root: inBlocks(squashfs), dtb }))).toBe(0);
    const loader = recipe(['append-rootfs', 'sysupgrade-tar kernel=$KDIR/loader-vendor_board.bin rootfs=@OUT@'], '');
    expect(Buffer.compare(await roundTrip(loader, { rootfs: squashfs, loader: other }), gnuTar({ kernel: other, root: inBlocks(squashfs) }))).toBe(0);
  });
});

describe('sysupgrade-tar', () => {
  const given = recipe(['sysupgrade-tar'], '');
  const tarOf = (more: Readonly<Record<string, Uint8Array>>, without = 'nothing'): Promise<Uint8Array> => {
    const word = Object.keys(more).length === 0 ? '' : ' dtb=$KDIR/image-board.dtb';
    return composed(recipe([`sysupgrade-tar${word}`], ''), { kernel, rootfs: squashfs, ...more }).then((image) => {
      const at = Buffer.from(image).indexOf(`sysupgrade-vendor_board/${without}`);
      if (at < 0) return image;
      // The name of a member that no recipe knows.
      const renamed = image.slice();
      renamed.set(Buffer.from('x'), at + 'sysupgrade-vendor_board/'.length);
      const header = renamed.subarray(at, at + 512);
      header.fill(0x20, 148, 156);
      const sum = header.reduce((total, byte) => total + byte, 0);
      header.set(Buffer.from(`${sum.toString(8).padStart(6, '0')}\0 `), 148);
      return renamed;
    });
  };

  test.each([
    ['a device tree that its recipe does not put in', () => tarOf({ dtb: other }), 'puts no "sysupgrade-vendor_board/dtb" into the tar'],
    ['another file instead of the kernel', () => tarOf({}, 'kernel'), 'puts no "sysupgrade-vendor_board/xernel" into the tar'],
    ['no tar', () => Promise.resolve(kernel), 'no tar'],
    ['something behind the tar', async () => Uint8Array.of(...(await tarOf({})), ...kernel), 'behind the tar stand'],
    ['nothing of a root file system', () => composed(given, { kernel, rootfs: new Uint8Array() }), 'lacks its member "root"'],
  ])('refuses to take apart %s', async (_, make, message) => {
    const refused = await refusal(make().then((image) => decompose(given, image, context)));
    expect(refused).toEqual({ code: 'conversion-impossible', message: expect.stringContaining(message) });
  });

  test.each(['kernel=@OUT@.bootimg', 'kernel=$KDIR/secret', 'dtb=$KDIR/tree'])('names a file that owimg does not know: %s', async (word) => {
    const refused = await refusal(composed(recipe([`sysupgrade-tar ${word}`], ''), { kernel, rootfs: squashfs }));
    expect(refused).toEqual({ code: 'step-unknown', message: expect.stringContaining(`sysupgrade-tar ${word}`) });
  });
});

describe.skipIf(!installed('mkimage', 'dtc'))('qsdk-ipq-factory makes the tree that mkimage does', () => {
  const node = (name: string, file: string): string => `
    ${name} {
      description = "${name}";
      data = /incbin/("${file}");
      type = "firmware";
      arch = "ARM";
      compression = "none";
      hash@1 { algo = "crc32"; };
    };`;

  function mkimage(nodes: string): Uint8Array {
    const source = `/dts-v1/; / { description = "OpenWrt factory image"; #address-cells = <1>; images { ${nodes} }; };`;
    const path = join(folder, 'made.itb');
    run('env', `SOURCE_DATE_EPOCH=${epoch}`, 'mkimage', '-f', write('made.its', source), path);
    return read(path);
  }

  /** How much room mkimage leaves behind the tree differs from version to version; nothing reads it. */
  function withoutRoom(fit: Uint8Array): Uint8Array {
    const view = new DataView(fit.buffer, fit.byteOffset);
    const end = view.getUint32(12) + view.getUint32(32);
    expect(fit.subarray(end).every((byte) => byte === 0)).toBe(true);
    const cut = fit.slice(0, end);
    new DataView(cut.buffer).setUint32(4, end);
    return cut;
  }

  test('around a UBI image', async () => {
    const commands = [script('--rootfs @ROOTFS@').split(' '), 'mkits-qsdk-ipq-image.sh @OUT@.its ubi @OUT@'.split(' ')];
    const plain = recipe(['append-ubi', 'qsdk-ipq-factory-nand'], '');
    const nand: Recipe = { ...plain, image: { ...plain.image, commands } };
    const inside = await composed(recipe(['append-ubi'], script('--rootfs @ROOTFS@')), { rootfs: squashfs });
    const image = await roundTrip(nand, { rootfs: squashfs });
    expect(Buffer.compare(withoutRoom(image), withoutRoom(mkimage(node('ubi', write('ubi', inside)))))).toBe(0);
    expect(await refusal(decompose(nand, kernel, context))).toMatchObject({ code: 'conversion-impossible' });
  });

  test('around kernel and root file system', async () => {
    const nor = recipe(['qsdk-ipq-factory-nor'], 'mkits-qsdk-ipq-image.sh @OUT@.its hlos @KERNEL@ rootfs @ROOTFS@');
    const image = await roundTrip(nor, { kernel, rootfs: squashfs });
    const nodes = `${node('hlos', write('hlos', kernel))}${node('rootfs', write('squashfs', squashfs))}`;
    expect(Buffer.compare(withoutRoom(image), withoutRoom(mkimage(nodes)))).toBe(0);
    const nand = recipe(['qsdk-ipq-factory-nand'], 'mkits-qsdk-ipq-image.sh @OUT@.its ubi @OUT@');
    const refused = await refusal(decompose(nand, image, context));
    expect(refused).toEqual({ code: 'conversion-impossible', message: expect.stringContaining('"hlos" is none of "ubi"') });
  });
});
