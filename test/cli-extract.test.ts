/** `owimg extract` as people and scripts call it, and `openWith`, which it stands on. */
import { readdirSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, test } from 'vitest';
import schema from '../docs/schema/made.schema.json' with { type: 'json' };
import { allLayers } from '../src/core/layers.ts';
import { writeTar } from '../src/core/tar.ts';
import { formats, inspect } from '../src/index.ts';
import { openWith } from '../src/inspect.ts';
import { fileNames, findPart, partsOf, safeName } from '../src/layer-path.ts';
import { owimg } from './support/console.ts';
import { fixtures, readFixture, readFixtureFile } from './support/fixtures.ts';
import { folderPerTest, owimgWithInput } from './support/folder.ts';

const folder = folderPerTest();
const kernel = readFixtureFile('uimage/sound-lzma.bin');
const squashfs = readFixtureFile('squashfs/sound-gzip.squashfs');
const hostile = ['../../escape.bin', '/etc/passwd', '..', 'con', 'a/b/../../c.bin', '-rf', '.hidden', 'A.bin', 'a.bin'];

describe('owimg extract', () => {
  test('takes a layer out by its path of formats and labels', async () => {
    const { status, out } = await owimg(['extract', 'fixtures/uimage/sound-lzma.bin', 'uimage/kernel', '-o', folder.path('k.lzma')]);
    expect(status).toBe(0);
    expect(Buffer.compare(folder.read('k.lzma'), kernel.subarray(64))).toBe(0);
    expect(out).toMatch(/uimage\/kernel +0x40 +13.0 KiB/);
    expect(out.replaceAll(/\s+/g, ' ')).toContain('Do not write it to the partition "firmware"');
  });

  test('gives the bytes of a UBI volume, which lie scattered in the file', async () => {
    await owimg(['extract', 'fixtures/ubi/sound-16k-blocks.ubi', 'ubi/kernel', '-o', folder.path('k.bin')]);
    expect(Buffer.compare(folder.read('k.bin'), kernel)).toBe(0);
  });

  test('gives an unpacked kernel with --deep', async () => {
    const { status } = await owimg(['extract', 'fixtures/uimage/sound-asus-trx2.bin', 'dtb', '--deep', '-o', folder.path('d.dtb')]);
    expect(status).toBe(0);
    expect([...folder.read('d.dtb').subarray(0, 4)]).toEqual([0xd0, 0x0d, 0xfe, 0xed]);
  });

  test('without a layer, or with one that is not there, lists them and exits with 2', async () => {
    const none = await owimg(['extract', 'fixtures/uimage/sound-lzma.bin']);
    expect([none.status, none.err.includes('uimage/kernel')]).toEqual([2, true]);
    const wrong = await owimg(['extract', 'fixtures/uimage/sound-lzma.bin', 'rootfs']);
    expect([wrong.status, wrong.err.includes('uimage/kernel')]).toEqual([2, true]);
  });

  test('asks which one where several have the name', async () => {
    const { status, err } = await owimg(['extract', 'fixtures/zip/sound-two-firmware.zip', 'squashfs', '-o', folder.path('x')]);
    expect(status).toBe(2);
    expect(err).toContain('zip/EU/a.bin/squashfs, zip/US/b.bin/squashfs');
    const { status: found } = await owimg(['extract', 'fixtures/zip/sound-two-firmware.zip', 'US/b.bin/squashfs', '-o', folder.path('x')]);
    expect(found).toBe(0);
    expect(new TextDecoder().decode(folder.read('x').subarray(0, 4))).toBe('hsqs');
  });

  test('--all writes no file outside of its folder, whatever the members of an archive are called', async () => {
    const members = hostile.map((name) => ({ name, mode: 0o644, time: 0, data: kernel }));
    const given = folder.write('evil.tar', writeTar(members));
    const { status } = await owimg(['extract', given, '--all', '-o', folder.path('out'), '--accept', 'path-unsafe']);
    expect(status).toBe(0);
    expect(readdirSync(folder.path('.')).sort()).toEqual(['evil.tar', 'out']);
    const names = readdirSync(folder.path('out'));
    // Each member and the kernel in it, and no two names that only case tells apart.
    expect(names.length).toBe(hostile.length * 2);
    expect(new Set(names.map((name) => name.toLowerCase())).size).toBe(names.length);
    for (const name of names) expect(name).toMatch(/^[A-Za-z0-9][A-Za-z0-9._+@-]*$/);
  });

  test('an archive with unsafe paths is refused at first', async () => {
    const given = folder.write('evil.tar', writeTar([{ name: '../x', mode: 0o644, time: 0, data: kernel }]));
    const { status, err } = await owimg(['extract', given, '--all', '-o', folder.path('out')]);
    expect([status, err.includes('path-unsafe')]).toEqual([1, true]);
    expect(readdirSync(folder.path('.'))).toEqual(['evil.tar']);
  });

  test('--all keeps a folder that is there, and fills it with --force', async () => {
    const args = ['extract', 'fixtures/uimage/sound-lzma.bin', '--all', '-o', folder.path('out')];
    expect((await owimg(args)).status).toBe(0);
    expect(readdirSync(folder.path('out'))).toEqual(['uimage.kernel.bin']);
    const again = await owimg(args);
    expect([again.status, again.err.includes('it exists, and is kept')]).toEqual([4, true]);
    expect((await owimg([...args, '--force'])).status).toBe(0);
  });

  test('keeps a file that is there', async () => {
    folder.write('k', 'precious');
    expect((await owimg(['extract', 'fixtures/uimage/sound-lzma.bin', 'kernel', '-o', folder.path('k')])).status).toBe(4);
    expect(new TextDecoder().decode(folder.read('k'))).toBe('precious');
  });

  test('into a missing folder is exit status 4', async () => {
    expect((await owimg(['extract', 'fixtures/uimage/sound-lzma.bin', 'kernel', '-o', folder.path('no/k')])).status).toBe(4);
    expect((await owimg(['extract', 'fixtures/uimage/sound-lzma.bin', '--all', '-o', folder.path('no/k')])).status).toBe(4);
  });

  test('from a broken image is refused with its finding, unless that is accepted', async () => {
    const broken = 'fixtures/uimage/data-checksum-mismatch--kernel.bin';
    const refused = await owimg(['extract', broken, 'kernel', '-o', folder.path('k')]);
    expect([refused.status, refused.err.includes('--accept data-checksum-mismatch')]).toEqual([1, true]);
    expect((await owimg(['extract', broken, 'kernel', '-o', folder.path('k'), '--accept', 'data-checksum-mismatch'])).status).toBe(0);
  });

  test.each([
    [['kernel', '--all'], 'at once'],
    [['--all', '-o', '-'], 'standard output'],
  ])('%j is wrong use', async (args, words) => {
    const { status, err } = await owimg(['extract', 'fixtures/uimage/sound-lzma.bin', ...args]);
    expect([status, err.includes(words)]).toEqual([2, true]);
  });

  test('from standard input to standard output gives the bytes alone', () => {
    expect(Buffer.compare(owimgWithInput(['extract', '-', 'kernel', '-o', '-'], kernel), kernel.subarray(64))).toBe(0);
  });

  test('the JSON is what the schema says', async () => {
    const validate = new Ajv2020({ strict: true, allowUnionTypes: true }).compile(schema);
    for (const args of [['kernel', '-o', folder.path('k')], ['--all', '-o', folder.path('all')], ['nothing']]) {
      validate(JSON.parse((await owimg(['extract', 'fixtures/ubi/sound-16k-blocks.ubi', ...args, '--json'])).out));
      expect(validate.errors).toBeNull();
    }
  });
});

describe('openWith()', () => {
  test('says of every fixture what inspect says, and has the bytes of every layer', async () => {
    for (const fixture of fixtures) {
      const bytes = readFixture(fixture);
      const { inspection, bytesOf } = await openWith(formats, bytes, { deep: true });
      expect(inspection, fixture.path).toEqual(await inspect(bytes, { deep: true }));
      for (const layer of allLayers(inspection.root)) expect(bytesOf(layer).length, `${fixture.path} ${layer.format}`).toBe(layer.length);
    }
  });

  test('gives the packed kernel and the unpacked one', async () => {
    const { inspection, bytesOf } = await openWith(formats, readFixtureFile('gzip/sound-name-time.gz'));
    const [child] = inspection.root.children;
    expect(child?.source?.how).toBe('unpacked');
    expect((await inspect(bytesOf(child as NonNullable<typeof child>))).format).toBe(child?.format);
  });
});

describe('the names of layers', () => {
  test('no two parts of any fixture have the same path, and each is found by its own', async () => {
    for (const fixture of fixtures) {
      const parts = partsOf(await openWith(formats, readFixture(fixture)), formats);
      expect(new Set(parts.map(({ path }) => path)).size, fixture.path).toBe(parts.length);
      for (const part of parts.slice(0, 40)) expect(findPart(parts, part.path), `${fixture.path} ${part.path}`).toBe(part);
      expect(new Set([...fileNames(parts).values()].map((name) => name.toLowerCase())).size).toBe(parts.length);
    }
  });

  test.each([
    ['../../etc/passwd', 'etc_passwd'],
    ['..', 'part'],
    ['', 'part'],
    ['CON', 'part_CON'],
    ['a\u0000b\nc', 'a_b_c'],
    ['x'.repeat(300), 'x'.repeat(100)],
  ])('safeName(%j) is %j', (text, name) => {
    expect(safeName(text)).toBe(name);
  });
});

test('partsOf() gives a bare file system as one part', async () => {
  const parts = partsOf(await openWith(formats, squashfs), formats);
  expect(parts.map(({ path }) => path)).toEqual(['squashfs']);
});
