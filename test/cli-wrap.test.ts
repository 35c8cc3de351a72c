/** `owimg wrap` as people and scripts call it. The bytes themselves are compared with the reference tools' in golden-build.test.ts. */
import { readdirSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, test } from 'vitest';
import schema from '../docs/schema/made.schema.json' with { type: 'json' };
import { formats, inspect } from '../src/index.ts';
import { owimg } from './support/console.ts';
import { readFixtureFile } from './support/fixtures.ts';
import { folderPerTest, owimgWithInput } from './support/folder.ts';

const folder = folderPerTest();
/** Made by `mkimage -A mips -O linux -a 0x80060000 -e 0x80060000 -T kernel -C lzma -n "MIPS OpenWrt Linux-6.6.99"` at 1700000000. */
const uimage = readFixtureFile('uimage/sound-lzma.bin');
const keys = ['architecture=mips', 'load=0x80060000', 'compression=lzma', 'name=MIPS OpenWrt Linux-6.6.99', 'time=1700000000'];
const lzma = (): string => folder.write('kernel.lzma', uimage.subarray(64));

describe('owimg wrap', () => {
  test('gives the bytes of mkimage, and says what it put on', async () => {
    const { status, out } = await owimg(['wrap', lzma(), '--as', 'uimage', ...keys]);
    expect(status).toBe(0);
    expect(Buffer.compare(folder.read('kernel.uimage.lzma'), uimage)).toBe(0);
    expect(out).toMatch(/uImage header +0x0 +64 bytes/);
    expect(out.replaceAll(/\s+/g, ' ')).toContain('well-formed: both checks passed');
  });

  test('takes numbers for words and words in any case', async () => {
    const { status } = await owimg([
      'wrap',
      lzma(),
      '--as',
      'uimage',
      'architecture=5',
      'load=2147876864',
      'compression=LZMA',
      ...keys.slice(3),
      '-o',
      folder.path('u'),
    ]);
    expect(status).toBe(0);
    expect(Buffer.compare(folder.read('u'), uimage)).toBe(0);
  });

  test('puts a trailer behind the file', async () => {
    const given = folder.write('u.bin', uimage);
    const { out } = await owimg(['wrap', given, '--as', 'gemtek-trailer', '-o', folder.path('t.bin'), '--json']);
    expect(JSON.parse(out).added).toEqual([{ format: 'gemtek-trailer', what: 'Gemtek trailer', offset: uimage.length, length: 16 }]);
    expect(Buffer.compare(folder.read('t.bin').subarray(0, -16), uimage)).toBe(0);
  });

  test('puts files into the partitions of a TRX, and a product id into its end', async () => {
    const rootfs = folder.write('root.squashfs', readFixtureFile('squashfs/sound-gzip.squashfs'));
    const [made, signed] = [folder.path('fw.trx'), folder.path('asus.trx')];
    expect((await owimg(['wrap', lzma(), '--as', 'trx', `partition1=${rootfs}`, 'align=1024', 'padTo=0x1000', '-o', made])).status).toBe(0);
    const { root } = await inspect(folder.read('fw.trx'));
    expect(root.children.map(({ format, offset }) => [format, offset % 1024])).toEqual([
      ['lzma', 28],
      ['squashfs', 0],
    ]);
    expect((await owimg(['wrap', made, '--as', 'asus-trx', 'productId=RT-AC68U', '-o', signed])).status).toBe(0);
    const asus = await inspect(folder.read('asus.trx'));
    expect([asus.status, asus.identities[0]?.value]).toEqual(['sound', 'RT-AC68U']);
    // A second id would overwrite what is no longer zeros.
    expect((await owimg(['wrap', signed, '--as', 'asus-trx', 'productId=RT-N16', '-o', folder.path('x')])).status).toBe(2);
  });

  test('without a file lists the keys, every format in 80 columns', async () => {
    for (const { id, wrap } of formats) {
      if (wrap === undefined) continue;
      const { status, out } = await owimg(['wrap', '--as', id]);
      expect(status).toBe(0);
      for (const key of Object.keys(wrap.keys)) expect(out).toContain(`  ${key}`);
      expect(Math.max(...out.split('\n').map((line) => line.length)), id).toBeLessThanOrEqual(80);
    }
  });

  test.each([
    [['load=0x80060000'], 'without architecture=… compression=…'],
    [[...keys, 'lod=1'], 'Cannot set "lod"'],
    [[...keys, 'load'], 'expected KEY=VALUE'],
    [[...keys, 'load=0'], 'more than once'],
    [['architecture=mips', 'compression=lzma', 'load=0x1ffffffff'], 'at most 0xffffffff'],
    [['architecture=vax', 'compression=lzma', 'load=0'], 'one of its words'],
    [['architecture=mips', 'compression=lzma', 'load=0', `name=${'x'.repeat(33)}`], 'room for 32'],
    [['architecture=mips', 'compression=lzma', 'load=0', 'extra=0g'], 'hexadecimal'],
  ])('with %j is wrong use, lists what there is, and writes nothing', async (given, words) => {
    const { status, err } = await owimg(['wrap', lzma(), '--as', 'uimage', ...given]);
    expect([status, err.includes(words)], err).toEqual([2, true]);
    expect(err).toContain('--as uimage');
    expect(readdirSync(folder.path('.'))).toEqual(['kernel.lzma']);
  });

  test.each(['squashfs', 'nonsense'])('as %s is wrong use, with the list of formats', async (id) => {
    const { status, err } = await owimg(['wrap', lzma(), '--as', id]);
    expect([status, err.includes('cybertan')]).toEqual([2, true]);
  });

  test('does not write what contradicts itself', async () => {
    const args = ['wrap', lzma(), '--as', 'uimage', 'architecture=mips', 'load=0', 'compression=gzip', '-o', folder.path('u')];
    const { status, err } = await owimg(args);
    expect([status, err.includes('compression-mismatch')]).toEqual([1, true]);
    expect(readdirSync(folder.path('.'))).toEqual(['kernel.lzma']);
    expect((await owimg([...args, '--accept', 'compression-mismatch'])).status).toBe(0);
  });

  test('wraps bytes that nobody knows, and refuses ones that are known to be broken', async () => {
    const unknown = folder.write(
      'u.bin',
      Uint8Array.from({ length: 4096 }, (_, index) => (index * 7919) >> 3),
    );
    expect((await owimg(['wrap', unknown, '--as', 'chdr', '-o', folder.path('c')])).status).toBe(0);
    const broken = await owimg(['wrap', 'fixtures/uimage/data-checksum-mismatch--kernel.bin', '--as', 'chdr', '-o', folder.path('d')]);
    expect([broken.status, broken.err.includes('data-checksum-mismatch')]).toEqual([1, true]);
  });

  test('no number that a person types makes a buffer without bounds', async () => {
    const huge = '0xfffffff0';
    for (const [id, ...given] of [
      ['trx', `padTo=${huge}`],
      ['trx', `offsets=${huge}`],
      ['imagetag', 'boardId=a', 'chipId=1', 'load=0', `minimumLength=${huge}`],
      ['tplink-v1', 'hardwareId=1', 'load=0', `flashLength=${huge}`, `rootfs=${lzma()}`],
    ] as const) {
      expect((await owimg(['wrap', lzma(), '--as', id, ...given, '-o', folder.path('x')])).status, id).toBe(2);
    }
  });

  test('keeps a file that is there, and one that it is told to read and is not there is exit status 4', async () => {
    folder.write('u', 'precious');
    expect((await owimg(['wrap', lzma(), '--as', 'uimage', ...keys, '-o', folder.path('u')])).status).toBe(4);
    expect((await owimg(['wrap', lzma(), '--as', 'trx', 'partition1=/no/such/file', '-o', folder.path('t')])).status).toBe(4);
    expect((await owimg(['wrap', lzma(), '--as', 'uimage', ...keys, '-o', folder.path('no/u')])).status).toBe(4);
    expect((await owimg(['wrap', lzma(), '--as', 'uimage', ...keys, '-o', folder.path('u'), '--force'])).status).toBe(0);
    expect(Buffer.compare(folder.read('u'), uimage)).toBe(0);
  });

  test('from standard input to standard output gives the bytes alone', () => {
    expect(Buffer.compare(owimgWithInput(['wrap', '-', '--as', 'uimage', ...keys, '-o', '-'], uimage.subarray(64)), uimage)).toBe(0);
  });

  test('the JSON is what the schema says, of a result, of the keys and of an error', async () => {
    const validate = new Ajv2020({ strict: true, allowUnionTypes: true }).compile(schema);
    for (const args of [[lzma(), ...keys], [], [lzma()]]) {
      validate(JSON.parse((await owimg(['wrap', ...args, '--as', 'uimage', '--json'])).out));
      expect(validate.errors).toBeNull();
    }
  });
});
