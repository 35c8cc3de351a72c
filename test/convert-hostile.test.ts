/** Images that were cut, bent and mixed up, converted for their own and for other devices, all errors accepted. */
import { expect, test } from 'vitest';
import { formats } from '../formats/index.ts';
import { checkContext } from '../src/check.ts';
import { convertWith, proveConversion } from '../src/convert.ts';
import type { Device } from '../src/devices/facts.ts';
import { loadDeviceFacts } from '../src/devices/load.ts';
import { findingKinds, OwimgError } from '../src/index.ts';
import { imageNames, loadImage } from './support/images.ts';
import { randomFrom } from './support/random.ts';

const facts = await loadDeviceFacts();
const context = checkContext(formats, facts);
const accept = new Set(Object.keys(findingKinds));

/** `tplink_archer-c7-v5-factory.bin`: the device whose profile the name begins with. */
const deviceOf = (name: string): Device | undefined =>
  facts.devices.filter(({ profile }) => name.startsWith(`${profile}-`)).sort((a, b) => b.profile.length - a.profile.length)[0];

const given = imageNames.flatMap((name) => {
  const device = deviceOf(name);
  const bytes = loadImage(name);
  return device === undefined || bytes.length > 256 * 1024 ? [] : [{ device, bytes }];
});

type Random = ReturnType<typeof randomFrom>;

/** Up to three changes: a bit, a number in the header, a stretch of filler, an end that is missing. */
function bent(image: Uint8Array, random: Random): Uint8Array {
  let bytes = image.slice();
  for (let count = random(4); count > 0; count -= 1) {
    const at = random(bytes.length);
    const changes = [
      () => bytes.set([random(256)], random(Math.min(bytes.length, 1024))),
      () => bytes.set([(bytes[at] as number) ^ (1 << random(8))], at),
      () => new DataView(bytes.buffer).setUint32(Math.min(at, bytes.length - 4), [0, 0xffffffff, 0x7fffffff, 0x80000000][random(4)] as number),
      () => bytes.fill(random(2) === 0 ? 0 : 0xff, at, at + random(5000)),
    ];
    const cut = bytes.slice(0, Math.max(8, at));
    const change = changes[random(changes.length + 1)];
    if (change === undefined) bytes = cut;
    else change();
  }
  return bytes;
}

test.each([1, 2, 3])('convertWith() and its proof throw nothing but OwimgError (seed %i)', async (seed) => {
  const random = randomFrom(seed);
  const codes = new Map<string, number>();
  for (let count = 0; count < 80; count += 1) {
    const { device, bytes } = given[random(given.length)] as (typeof given)[number];
    const asked = random(8) === 0 ? (facts.devices[random(facts.devices.length)] as Device) : device;
    const image = random(3) === 0 ? asked.images[random(Math.max(1, asked.images.length))]?.name : undefined;
    const parts = new Map([
      ['loader', new Uint8Array(random(9000))],
      ['initramfs', new Uint8Array(100)],
    ]);
    const request = {
      device: asked,
      to: random(2) === 0 ? ('factory' as const) : ('sysupgrade' as const),
      image,
      accept,
      parts: random(8) === 0 ? parts : undefined,
    };
    const code = await convertWith(bent(bytes, random), formats, context, request)
      .then((conversion) => proveConversion(conversion.image, conversion, formats, context, accept))
      .then(() => 'made')
      .catch((error: unknown) => {
        if (error instanceof OwimgError) return error.code;
        throw error;
      });
    codes.set(code, (codes.get(code) ?? 0) + 1);
  }
  // Neither refuses it everything nor does it make something of everything.
  expect(codes.get('made')).toBeGreaterThan(5);
  expect(codes.get('input-refused')).toBeGreaterThan(5);
});
