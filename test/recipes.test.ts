/** Recipes run backwards and forwards again over images that OpenWrt's own recipes made (test/images). */
import { describe, expect, test } from 'vitest';
import { formats } from '../formats/index.ts';
import { jffs2Padding } from '../src/core/padjffs2.ts';
import type { BuildValue } from '../src/core/recipe-step.ts';
import type { Device, DeviceImage } from '../src/devices/facts.ts';
import { loadDeviceFacts } from '../src/devices/load.ts';
import { compose, decompose, missingSteps } from '../src/recipes/interpreter.ts';
import { imageNames, joined, loadImage } from './support/images.ts';

const facts = await loadDeviceFacts();
const context = { formats, boards: facts.safeloaderBoards };
/** What the images were built with. */
const build: Record<BuildValue, string> = { dist: 'OpenWrt', version: 'SNAPSHOT', revision: 'r99999-0123456789', epoch: '1700000000', linux: '6.18.44' };

/** `tplink_archer-c7-v5-factory.bin`: the profile, and the image's name in the recipe. */
function recipeOf(name: string): { device: Device; image: DeviceImage } | undefined {
  const found = facts.devices.flatMap((device) => {
    if (!name.startsWith(`${device.profile}-`)) return [];
    const image = device.images.find((entry) => name === `${device.profile}-${entry.name}`);
    return image === undefined ? [] : [{ device, image }];
  });
  return found.sort((a, b) => b.device.profile.length - a.device.profile.length)[0];
}

/** Made by the tool alone, with a kernel that ends before the place where a full build cuts it: of no recipe. */
const byToolAlone = /^ubnt_.*-factory\.bin$/;

const known = imageNames.flatMap((name) => {
  const recipe = byToolAlone.test(name) ? undefined : recipeOf(name);
  return recipe === undefined || recipe.image.role === 'disk' || missingSteps(recipe.image, formats).length > 0 ? [] : [{ name, ...recipe }];
});

describe('compose() undoes decompose()', () => {
  test.each(known)('$name, byte for byte', async ({ name, device, image }) => {
    const bytes = loadImage(name);
    const parts = await decompose({ device, image }, bytes, context);
    expect(parts.bytes.size).toBeGreaterThan(0);
    // A real root file system and a kernel, not just what was left over.
    for (const part of ['kernel', 'rootfs']) expect(parts.bytes.get(part)?.length ?? 1, part).toBeGreaterThan(0);
    const again = await compose({ device, image }, parts.bytes, build, context);
    expect(Buffer.compare(again.image, bytes)).toBe(0);
  });

  test('there are images of many recipes to try it with', () => {
    expect(new Set(known.flatMap(({ image }) => image.steps.map((step) => step.split(' ')[0]))).size).toBeGreaterThan(12);
  });
});

describe('decompose()', () => {
  test('names the step that owimg cannot do', async () => {
    const device = facts.devices[0] as Device;
    const image: DeviceImage = { name: 'x.bin', role: 'factory', fs: 'squashfs', steps: ['append-kernel', 'knit 3'] };
    await expect(decompose({ device, image }, new Uint8Array(8), context)).rejects.toThrow('owimg cannot do the step "knit 3" of its recipe yet');
  });

  test('refuses what stands behind the root file system and is of no recipe', async () => {
    const { device, image } = recipeOf('netgear_ex6120-sysupgrade.bin') as { device: Device; image: DeviceImage };
    const parts = await decompose({ device, image }, loadImage('netgear_ex6120-sysupgrade.bin'), context);
    const added = joined(
      parts.bytes.get('kernel') as Uint8Array,
      parts.bytes.get('rootfs') as Uint8Array,
      new TextEncoder().encode('somebody was here '.repeat(9)),
    );
    await expect(decompose({ device, image }, added, context)).rejects.toThrow('behind the root file system stand 162 bytes');
  });
});

describe('compose()', () => {
  test('names the part that is missing, and the option that gives it', async () => {
    const { device, image } = recipeOf('netgear_ex6120-sysupgrade.bin') as { device: Device; image: DeviceImage };
    const made = compose({ device, image }, new Map(), build, context);
    await expect(made).rejects.toMatchObject({
      code: 'part-missing',
      message: expect.stringContaining('its recipe takes "kernel"'),
      hint: expect.stringContaining('--part kernel=FILE'),
    });
  });

  test('an image that is too big for its device is refused with both numbers', async () => {
    const { device, image } = recipeOf('netgear_ex6120-sysupgrade.bin') as { device: Device; image: DeviceImage };
    const parts = new Map([
      ['kernel', new Uint8Array(8 * 1024 * 1024)],
      ['rootfs', new Uint8Array(1024)],
    ]);
    await expect(compose({ device, image }, parts, build, context)).rejects.toThrow('too big for the device: 8.1 MiB, and the limit is 7.6 MiB');
  });
});

/** Lengths as the reference tool gives them for these arguments. */
describe('jffs2Padding()', () => {
  const mark = Uint8Array.of(0xde, 0xad, 0xc0, 0xde);
  test('puts the mark at each boundary that the one before did not meet, and FF between', () => {
    const padded = joined(new Uint8Array(5), ...jffs2Padding(5, [4096, 8192]));
    expect(padded.length).toBe(8192 + 4);
    expect(padded.subarray(5, 4096).every((byte) => byte === 0xff)).toBe(true);
    expect(padded.subarray(4096, 4100)).toEqual(mark);
    expect(padded.subarray(4100, 8192).every((byte) => byte === 0xff)).toBe(true);
    expect(padded.subarray(8192)).toEqual(mark);
  });
});
