/** `owimg strip` as people and scripts call it. */
import { readdirSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, test } from 'vitest';
import schema from '../docs/schema/made.schema.json' with { type: 'json' };
import { tplinkV1 } from '../formats/tplink-v1.ts';
import { numberKey, wrapping, wrapValues } from '../src/core/wrap.ts';
import { owimg } from './support/console.ts';
import { readFixtureFile } from './support/fixtures.ts';
import { folderPerTest, owimgWithInput } from './support/folder.ts';
import { joined, rebuilt } from './support/images.ts';

const folder = folderPerTest();
const validate = new Ajv2020({ strict: true, allowUnionTypes: true }).compile(schema);
const flat = (text: string): string => text.replaceAll(/\s+/g, ' ');

/** As TP-Link ships it: 128 KiB for the boot loader in front of an image with a header of its own. */
function stockWithLoader(): { readonly stock: Uint8Array; readonly firmware: Uint8Array } {
  const firmware = readFixtureFile('tplink-v1/sound-sysupgrade.bin');
  const body = new Uint8Array(0x20000 + firmware.length).fill(0xff);
  body.fill(0x42, 0, 4096);
  body.set(firmware, 0x20000);
  return { firmware, stock: rebuilt(tplinkV1, firmware, () => ({ flashLength: 0x3c0000 + 0x20200, bootLength: 4096, body })) };
}

describe('owimg strip', () => {
  test('of a stock image with a boot loader leaves the firmware, says what went, and how it is written', async () => {
    const { stock, firmware } = stockWithLoader();
    const { status, out, err } = await owimg(['strip', folder.write('boot.bin', stock)]);
    expect([status, err]).toEqual([0, '']);
    expect(Buffer.compare(folder.read('boot.stripped.bin'), firmware)).toBe(0);
    expect(out).toMatch(/boot loader +0x200 +4 KiB/);
    expect(flat(out)).toContain('well-formed: its only check passed');
    expect(flat(out)).toContain('mtd -r write boot.stripped.bin firmware');
    expect(flat(out)).toContain('the settings are lost; boot loader and calibration lie in others');
    const lines = out.split('\n').filter((line) => !line.includes('/tmp/') && !line.includes('owimg-test-'));
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
  });

  test('takes the last trailer off before the header', async () => {
    const image = readFixtureFile('fwtool/sound-metadata.bin');
    const { status, out } = await owimg(['strip', folder.write('fw.bin', image), '--json']);
    expect(status).toBe(0);
    const { removed, output } = JSON.parse(out);
    expect(removed).toMatchObject([{ format: 'fwtool' }]);
    expect(removed[0].offset + removed[0].length).toBe(image.length);
    expect(Buffer.compare(folder.read('fw.stripped.bin'), image.subarray(0, removed[0].offset))).toBe(0);
    expect(output).toMatchObject({ size: removed[0].offset, path: folder.path('fw.stripped.bin') });
  });

  test('takes the header off, and nothing of what follows is lost', async () => {
    const image = readFixtureFile('cybertan/sound-w54g.bin');
    await owimg(['strip', folder.write('code.bin', image), '-o', folder.path('fw.trx')]);
    expect(Buffer.compare(folder.read('fw.trx'), image.subarray(32))).toBe(0);
  });

  test('of a SafeLoader image puts each part where it lies in the flash', async () => {
    const image = readFixtureFile('tplink-safeloader/sound-archer-c7-v5.bin');
    const { status, out } = await owimg(['strip', folder.write('f.bin', image)]);
    expect(status).toBe(0);
    expect(flat(out)).toContain('"file-system" at 0x10000 (0xd0000 in the flash)');
    const made = folder.read('f.stripped.bin');
    expect(new TextDecoder().decode(made.subarray(0x10000, 0x10004))).toBe('hsqs');
    expect(made.subarray(0xfff0, 0x10000).every((byte) => byte === 0xff)).toBe(true);
  });

  test.each([
    ['sound-boot-loader.bin', 256 + 896],
    ['sound-version-6.bin', 256],
  ])('of the image tag %s keeps the header of the kernel, and does not say how to write what it cannot check', async (name, start) => {
    const image = readFixtureFile(`imagetag/${name}`);
    const { status, out } = await owimg(['strip', folder.write('i.bin', image)]);
    expect(status).toBe(0);
    const made = folder.read('i.stripped.bin');
    expect(Buffer.compare(made, image.subarray(start, start + made.length))).toBe(0);
    expect(made.length).toBe(image.length - start);
    expect(out).not.toContain('mtd -r write');
    expect(out).toContain('do not flash them');
  });

  test('of an archive of several firmware files is exit status 2 with the list', async () => {
    const { status, err } = await owimg(['strip', 'fixtures/zip/sound-two-firmware.zip', '-o', folder.path('x.bin')]);
    expect(status).toBe(2);
    expect(err).toContain('EU/a.bin, US/b.bin');
    expect(readdirSync(folder.path('.'))).toEqual([]);
  });

  test.each(['squashfs/sound-gzip.squashfs', 'flash-slice/sound-kernel-and-squashfs.bin', 'sysupgrade-tar/sound-uimage-squashfs.tar'])(
    'of %s finds nothing to take off, and writes nothing',
    async (name) => {
      const { status, err } = await owimg(['strip', `fixtures/${name}`, '-o', folder.path('x.bin')]);
      expect(status).toBe(1);
      expect(err).toContain('Cannot take anything off');
      expect(readdirSync(folder.path('.'))).toEqual([]);
    },
  );

  test('keeps a file that is there, and replaces it with --force', async () => {
    const given = folder.write('code.bin', readFixtureFile('cybertan/sound-w54g.bin'));
    folder.write('out.trx', 'precious');
    const first = await owimg(['strip', given, '-o', folder.path('out.trx')]);
    expect(first.status).toBe(4);
    expect(first.err).toContain('it exists, and is kept');
    expect(new TextDecoder().decode(folder.read('out.trx'))).toBe('precious');
    expect((await owimg(['strip', given, '-o', folder.path('out.trx'), '--force'])).status).toBe(0);
    expect(folder.read('out.trx').subarray(0, 4)).toEqual(Uint8Array.from([0x48, 0x44, 0x52, 0x30]));
  });

  test('into a missing folder is exit status 4, before anything is read', async () => {
    const { status, err } = await owimg(['strip', 'no-such-file.bin', '-o', folder.path('missing/out.bin')]);
    expect(status).toBe(4);
    expect(err).toContain('does not exist');
    expect(err).toContain('missing');
  });

  test('of a broken image is refused with its finding, unless that is accepted', async () => {
    const broken = 'fixtures/chdr/image-checksum-mismatch--image.bin';
    const refused = await owimg(['strip', broken, '-o', folder.path('x.bin')]);
    expect(refused.status).toBe(1);
    expect(refused.err).toContain('image-checksum-mismatch');
    expect(readdirSync(folder.path('.'))).toEqual([]);
    const accepted = await owimg(['strip', broken, '-o', folder.path('x.bin'), '--accept', 'image-checksum-mismatch']);
    expect(accepted.status).toBe(0);
    expect(Buffer.compare(folder.read('x.bin'), readFixtureFile('chdr/image-checksum-mismatch--image.bin').subarray(16))).toBe(0);
  });

  test('of what owimg does not recognise is exit status 3', async () => {
    const { status, err } = await owimg([
      'strip',
      folder.write(
        'x.bin',
        Uint8Array.from({ length: 4096 }, (_, index) => (index * 7919) >> 3),
      ),
    ]);
    expect([status, err.includes('does not recognise')]).toEqual([3, true]);
  });

  test('from standard input to standard output gives the bytes alone', () => {
    const image = readFixtureFile('cybertan/sound-w54g.bin');
    expect(Buffer.compare(owimgWithInput(['strip', '-', '-o', '-'], image), image.subarray(32))).toBe(0);
  });

  test('of standard input without -o is wrong use', async () => {
    const { status, err } = await owimg(['strip', '-']);
    expect(status).toBe(2);
    expect(err).toContain('-o FILE');
  });

  test('to standard output tells what it did on standard error', async () => {
    const image = readFixtureFile('cybertan/sound-w54g.bin');
    const { out, err } = await owimg(['strip', folder.write('c.bin', image), '-o', '-']);
    expect(out.length).toBe(image.length - 32);
    expect(err).toContain('Written: standard output');
  });

  test('the JSON is what the schema says, of a result and of an error', async () => {
    const given = folder.write('boot.bin', stockWithLoader().stock);
    for (const args of [[given], [given], ['missing.bin'], ['fixtures/zip/sound-two-firmware.zip', '-o', folder.path('z')]]) {
      validate(JSON.parse((await owimg(['strip', ...args, '--json'])).out));
      expect(validate.errors).toBeNull();
    }
  });

  test('takes unknown bytes in front off only where the user vouches for them', async () => {
    const firmware = readFixtureFile('tplink-v1/sound-sysupgrade.bin');
    const prefix = Uint8Array.from({ length: 64 }, (_, index) => 0x80 + ((index * 37) % 100));
    const given = folder.write('p.bin', joined(prefix, firmware));
    expect((await owimg(['strip', given])).status).toBe(3);
    const { status } = await owimg(['strip', given, '--accept', 'format-unknown']);
    expect(status).toBe(0);
    expect(Buffer.compare(folder.read('p.stripped.bin'), firmware)).toBe(0);
  });
});

test('wrapValues() reads words and numbers, and says what a key takes', () => {
  const declared = wrapping('image', { load: numberKey('address', { names: new Map([[3, 'three']]) }) }, (_, values) => values);
  expect(wrapValues('x', declared, new Map([['load', ['THREE']]]))).toEqual({ load: 3 });
  expect(wrapValues('x', declared, new Map([['load', ['0x10']]]))).toEqual({ load: 16 });
  expect(() => wrapValues('x', declared, new Map([['load', ['-1']]]))).toThrow('expected one of its words, or a number');
  expect(() => wrapValues('x', declared, new Map([['load', ['0x100000000']]]))).toThrow('at most 0xffffffff');
});
