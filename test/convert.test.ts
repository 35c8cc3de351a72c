/** Conversions between the images of a device, there and back again (test/images, made by OpenWrt's own recipes). */
import { describe, expect, test } from 'vitest';
import { formats } from '../formats/index.ts';
import { checkContext } from '../src/check.ts';
import { type ConvertRequest, convertWith, firstDifference, placeOf, proveConversion } from '../src/convert.ts';
import type { Device, DeviceImage } from '../src/devices/facts.ts';
import { loadDeviceFacts } from '../src/devices/load.ts';
import { convert, type ErrorCode, inspect, OwimgError } from '../src/index.ts';
import { imageNames, loadImage } from './support/images.ts';

const facts = await loadDeviceFacts();
const context = checkContext(formats, facts);
/** What the images were built with, which no factory image tells. */
const build = { version: 'SNAPSHOT', revision: 'r99999-0123456789', epoch: '1700000000' };

function recipeOf(name: string): { device: Device; image: DeviceImage } | undefined {
  const found = facts.devices.flatMap((device) => {
    const image = device.images.find((entry) => name === `${device.profile}-${entry.name}`);
    return image === undefined ? [] : [{ device, image }];
  });
  return found.sort((a, b) => b.device.profile.length - a.device.profile.length)[0];
}

const names = imageNames.filter((name) => ['sysupgrade', 'factory', 'recovery'].includes(recipeOf(name)?.image.role ?? ''));

/** Why a conversion need not be possible. */
const excused: readonly ErrorCode[] = ['conversion-impossible', 'image-ambiguous', 'part-missing', 'step-unknown'];

async function converted(bytes: Uint8Array, request: ConvertRequest): Promise<Uint8Array> {
  const conversion = await convertWith(bytes, formats, context, request);
  await proveConversion(conversion.image, conversion, formats, context);
  return conversion.image;
}

describe('there and back gives the image again', () => {
  const done: string[] = [];
  test.each(names)('%s', async (name) => {
    const { device, image } = recipeOf(name) as { device: Device; image: DeviceImage };
    const bytes = loadImage(name);
    const to = image.role === 'sysupgrade' ? 'factory' : 'sysupgrade';
    const images = device.images.filter(({ role }) => (to === 'sysupgrade' ? role === 'sysupgrade' : role === 'factory' || role === 'recovery'));
    for (const { name: other } of images) {
      try {
        const there = await converted(bytes, { device, to, image: other, build });
        const back = await converted(there, { device, to: to === 'factory' ? 'sysupgrade' : 'factory', image: image.name, build });
        expect(firstDifference(back, bytes), `${name} to ${other} and back`).toBeNull();
        done.push(`${name} ${other}`);
      } catch (error) {
        if (!(error instanceof OwimgError)) throw error;
        expect(excused, `${name} to ${other}: ${error.message}`).toContain(error.code);
      }
    }
  });

  test('it was possible for many of them', () => {
    expect(done.length).toBeGreaterThan(20);
  });
});

describe('the image of the same build', () => {
  const pairs = names.flatMap((from) => {
    const recipe = recipeOf(from);
    return names.flatMap((to) => {
      const other = recipeOf(to);
      const isPair =
        recipe !== undefined &&
        other !== undefined &&
        recipe.device === other.device &&
        (recipe.image.role === 'sysupgrade') !== (other.image.role === 'sysupgrade');
      return isPair ? [{ from, to, device: recipe.device, image: other.image }] : [];
    });
  });

  test.each(pairs)('$from becomes $to, byte for byte', async ({ from, to, device, image }) => {
    const direction = image.role === 'sysupgrade' ? 'sysupgrade' : 'factory';
    const made = await converted(loadImage(from), { device, to: direction, image: image.name, build });
    expect(firstDifference(made, loadImage(to))).toBeNull();
  });

  test('there are pairs of several kinds', () => {
    expect(pairs.length).toBeGreaterThan(5);
  });
});

test('convert() takes the device from the image, and proves what it made', async () => {
  const { device, from, to, image, proof, differs } = await convert(loadImage('tplink_archer-c7-v5-sysupgrade.bin'), { to: 'factory' });
  expect([device.profile, from.name, to.name]).toEqual(['tplink_archer-c7-v5', 'sysupgrade.bin', 'factory.bin']);
  expect(firstDifference(image, loadImage('tplink_archer-c7-v5-factory.bin'))).toBeNull();
  expect([proof.inspection.status, proof.verdict.outcome, differs]).toEqual(['sound', 'installs', []]);
});

test('firstDifference() finds it at any offset and alignment, and where one is longer', () => {
  const bytes = new Uint8Array(64);
  for (let offset = 0; offset < 40; offset += 1) {
    for (const shift of [0, 1, 4]) {
      const other = new Uint8Array(64 + shift).subarray(shift);
      other[offset] = 1;
      expect(firstDifference(bytes, other)).toBe(offset);
    }
  }
  expect(firstDifference(bytes, bytes.slice())).toBeNull();
  expect(firstDifference(bytes, new Uint8Array(61))).toBe(61);
});

test('placeOf() names the field or region of the innermost layer', async () => {
  const { root } = await inspect(loadImage('netgear_ex6120-factory.chk'));
  expect(placeOf(root, 0)).toBe('netgear-chk, magic');
  expect(placeOf(root, root.length)).toContain('behind its end');
});
