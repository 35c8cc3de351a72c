/** Real images that others made and that lie beside the project. Skipped where they are missing. */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { placeOf } from '../src/convert.ts';
import { convert, formats, inspect } from '../src/index.ts';
import { openWith } from '../src/inspect.ts';
import { strip } from '../src/strip.ts';

const folder = fileURLToPath(new URL('../../shared/samples/', import.meta.url));

/** What each is. The unknown ones are of formats that are not in yet, or no images: the report must say so, not more. */
const samples: readonly (readonly [file: string, format: string, status: string])[] = [
  ['a5v11-1701-firmware.bin', 'unknown', 'unknown'], // Poray, scrambled
  ['a5v11-1701-sysupgrade.bin', 'flash-slice', 'sound'],
  ['a5v11-stock-bootloader.bin', 'uimage', 'sound'],
  ['binwalk-yaffs2.bin', 'unknown', 'unknown'], // begins as a TP-Link header does
  ['binwalk-zip_truncated.bin', 'zip', 'broken'],
  ['christianrodher-cpe510-factory.bin', 'tplink-safeloader', 'sound'],
  ['crysisx-wr720n-v3-sysupgrade.bin', 'tplink-v1', 'broken'], // cut off
  ['ddwrt-v24_mini_wr850g.bin', 'motorola', 'sound'],
  ['ddwrt-v24_mini_wrt54g.bin', 'cybertan', 'sound'],
  ['debian-uboot-firefly-rk3399.itb', 'fit', 'sound'],
  ['debian-uboot-wandboard.img', 'fit', 'sound'],
  ['fact-fit.itb', 'fit', 'sound'],
  ['fact-jffs2-be.img', 'jffs2', 'sound'],
  ['fact-test.ubifs', 'ubifs', 'sound'],
  ['fact-ubi.img', 'ubi', 'sound'],
  ['hlk-rm04-minimal-factory.bin', 'unknown', 'unknown'], // Hilink, encrypted
  ['hlk-rm04-minimal-sysupgrade.bin', 'flash-slice', 'sound'],
  ['owrt-brcm24.trx', 'trx', 'sound'],
  ['owrt-ichensky-wr740n-v4-factory.bin', 'tplink-v1', 'sound'],
  ['owrt-ichensky-wr740n-v4-sysupgrade.bin', 'tplink-v1', 'sound'],
  ['owrt-wr841nv14-tftp-recovery.bin', 'flash-slice', 'sound'],
  ['sudowrt-ubnt-bullet-m-factory.bin', 'ubnt', 'sound'],
  ['sudowrt-ubnt-bullet-m-sysupgrade.bin', 'flash-slice', 'sound'],
  ['sudowrt-wndr3700-factory.img', 'netgear-dni', 'sound'],
  ['sudowrt-wndr3700-sysupgrade.bin', 'flash-slice', 'sound'],
  ['sudowrt-wzr-hp-ag300h-factory.bin', 'unknown', 'unknown'], // Buffalo, encrypted
  ['uboot-gl-inet_gl-ar150_100815.bin', 'unknown', 'unknown'], // a boot loader, no image
];

test.skipIf(!existsSync(folder)).each(samples)('%s is read as %s and is %s', async (file, format, status) => {
  const result = await inspect(new Uint8Array(readFileSync(folder + file)));
  expect([result.format, result.status]).toEqual([format, status]);
});

/** Pairs that others built in one go with an OpenWrt of their time: what was made otherwise then is named before anybody looks. */
describe.skipIf(!existsSync(folder))('a real image converted is the other real one', () => {
  const sysupgrade = 'owrt-ichensky-wr740n-v4-sysupgrade.bin';
  const factory = 'owrt-ichensky-wr740n-v4-factory.bin';
  test.each([
    [sysupgrade, 'factory', factory],
    [factory, 'sysupgrade', sysupgrade],
  ] as const)('%s to %s: but for the places that the report names', async (given, to, other) => {
    const bytes = new Uint8Array(readFileSync(folder + given));
    const expected = new Uint8Array(readFileSync(folder + other));
    const { image, differs, proof } = await convert(bytes, { device: 'tplink_tl-wr740n-v4', to });
    expect(proof.verdict.outcome).toBe('installs');
    // The one for sysupgrade is from before OpenWrt appended metadata.
    expect(image.length).toBeGreaterThanOrEqual(expected.length);
    const { root } = await inspect(expected);
    const places = new Set([...expected.keys()].filter((offset) => image[offset] !== expected[offset]).map((offset) => placeOf(root, offset)));
    expect(places.size).toBeGreaterThan(0);
    const named = new Set(differs.map(({ what }) => what));
    expect([...places].filter((place) => !named.has(place))).toEqual([]);
  });

  test('the vendor header of a factory image taken off leaves the very file that was published for sysupgrade', async () => {
    const { bytes } = await strip(await openWith(formats, new Uint8Array(readFileSync(`${folder}sudowrt-wndr3700-factory.img`))), formats);
    expect(Buffer.compare(bytes, readFileSync(`${folder}sudowrt-wndr3700-sysupgrade.bin`))).toBe(0);
  });

  test('what an older release laid out otherwise is refused: its kernel would look for the root file system where it was', async () => {
    const bytes = new Uint8Array(readFileSync(`${folder}sudowrt-ubnt-bullet-m-factory.bin`));
    const request = { device: 'ubnt_bullet-m-ar7240', to: 'sysupgrade' } as const;
    await expect(convert(bytes, request)).rejects.toMatchObject({ code: 'input-refused', hint: expect.stringContaining('--accept layout-mismatch') });
  });

  test.each([
    ['hlk-rm04-minimal-sysupgrade.bin', 'hilink_hlk-rm04', 'the step "hilink-header"'],
    ['a5v11-1701-sysupgrade.bin', 'unbranded_a5-v11', 'the step "poray-header'],
    ['sudowrt-wndr3700-sysupgrade.bin', 'netgear_wndr3700', 'offset of squashfs'],
  ])('%s: what cannot be made is named', async (file, device, message) => {
    await expect(convert(new Uint8Array(readFileSync(folder + file)), { device, to: 'factory' })).rejects.toThrow(message);
  });
});
