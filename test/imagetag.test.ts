import { describe, expect, test } from 'vitest';
import { type ImagetagInput, imagetag, imagetagParts } from '../formats/imagetag.ts';
import { digest } from '../src/core/checksums.ts';
import { hexBytes } from '../src/core/hex.ts';
import { inspect } from '../src/index.ts';
import { fixtures, readFixture } from './support/fixtures.ts';

function fixture(file: string): Uint8Array {
  const found = fixtures.find((entry) => entry.format === 'imagetag' && entry.file === file);
  if (found === undefined) throw new Error(`no fixture ${file}`);
  return readFixture(found);
}

/** The kernel and the root file system that were given to imagetag for all fixtures. */
const image = fixture('sound-version-6.bin');
const recipe = {
  kernel: image.subarray(268, 268 + 13287),
  load: 0x80010000,
  entry: 0x80010000,
  rootfs: image.subarray(13556, 13556 + 8196),
  flashImageStart: 0xbfc10100,
  blockSize: 0x1000,
};
const texts = { boardId: '96348GW-11', chipId: '6348', information1: 'golden', information2: 'squashfs' };

describe('imagetag.parse()', () => {
  test('reads the numbers, which are decimal text', async () => {
    const { root, identities } = await inspect(image);
    const fields = Object.fromEntries(root.fields.map(({ name, value }) => [name, value]) ?? []);
    expect(fields).toMatchObject({
      totalLength: 24324,
      flashImageStart: 3217096960,
      flashRootLength: 11024,
      kernelAddress: 3217096960,
      kernelLength: 13300,
      realRootfsLength: 11024,
      'kernel.load': '0x80010000',
      'kernel.dataLength': 13287,
    });
    expect(identities).toEqual([
      { source: 'imagetag.boardId', value: '96348GW-11', offset: 44 },
      { source: 'imagetag.chipId', value: '6348', offset: 38 },
    ]);
  });

  test('finds the file system behind the kernel, in front of it and behind a boot loader', async () => {
    const place = async (file: string) => (await inspect(fixture(file))).root.children.find(({ format }) => format === 'squashfs')?.offset;
    expect(await place('sound-version-6.bin')).toBe(13556);
    expect(await place('sound-rootfs-first.bin')).toBe(256);
    expect(await place('sound-boot-loader.bin')).toBe(17280);
  });

  test('says that the length is 12 short of what the checksum covers', async () => {
    const { findings } = await inspect(fixture('sound-rootfs-first.bin'));
    expect(findings).toMatchObject([{ code: 'length-understated', severity: 'note', offset: 62, length: 10 }]);
    expect(findings[0]?.message).toBe('totalLength says 25575 bytes, but the checksum is right over 25587');
  });

  test('reads a tag whose root file system length OpenWrt set to 0 on the device, and the file system behind it', async () => {
    const { kernel, rootfs, ...parts } = { ...imagetagParts(recipe), texts };
    const tagged = imagetag.build?.({ ...parts, kernel, rootfs: new Uint8Array(0) }) as Uint8Array;
    const flash = new Uint8Array(tagged.length + rootfs.length);
    flash.set(tagged);
    flash.set(rootfs, tagged.length);
    const { format, status, root } = await inspect(flash);
    expect([format, status]).toEqual(['flash-slice', 'sound']);
    expect(root.children.map((layer) => [layer.format, layer.offset])).toEqual([
      ['imagetag', 0],
      ['squashfs', 13556],
      ['eof-mark', 21748],
    ]);
  });
});

describe('imagetag.build()', () => {
  const build = (input: ImagetagInput) => imagetag.build?.(input) as Uint8Array;

  test('gives the bytes of imagetag for a kernel and a root file system', () => {
    expect(build({ texts, ...imagetagParts(recipe) })).toEqual(image);
  });

  test('gives the bytes of imagetag --block-size 0x10000 --pad 1', () => {
    const built = build({ texts, ...imagetagParts({ ...recipe, blockSize: 0x10000, minimumLength: 1024 * 1024 }) });
    expect(hexBytes(digest('sha256', [built]))).toBe('4820707ec0dcdb19ec58c27c03d1ff3feaf59235e82d9e1e04965646b3add507');
  });

  test('gives the bytes of imagetag --cfe --align-rootfs', () => {
    const expected = fixture('sound-boot-loader.bin');
    const cfe = { address: 0xbfc00000, data: expected.subarray(256, 256 + 896), covered: false };
    expect(build({ texts, cfe, ...imagetagParts({ ...recipe, alignRootfs: true }) })).toEqual(expected);
  });

  test('refuses a board name longer than its field', () => {
    expect(() => build({ texts: { ...texts, boardId: 'a board of seventeen' }, ...imagetagParts(recipe) })).toThrow(/room for 16 characters/);
  });
});
