/** `owimg metadata` as people and scripts call it. */
import { readdirSync, readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, test } from 'vitest';
import schema from '../docs/schema/made.schema.json' with { type: 'json' };
import { inspect } from '../src/index.ts';
import { owimg } from './support/console.ts';
import { readFixtureFile } from './support/fixtures.ts';
import { folderPerTest, owimgWithInput } from './support/folder.ts';
import { loadImage, withoutMetadata } from './support/images.ts';

const folder = folderPerTest();
/** By fwtool -I: JSON for vendor,golden-v1. */
const image = readFixtureFile('fwtool/sound-metadata.bin');
const bare = withoutMetadata(image);
const signed = readFixtureFile('fwtool/sound-signature.bin');
const validate = new Ajv2020({ strict: true, allowUnionTypes: true }).compile(schema);

describe('owimg metadata show', () => {
  test('prints the JSON, readable, and as it stands in the file', async () => {
    const given = folder.write('fw.bin', image);
    const { status, out } = await owimg(['metadata', 'show', given]);
    expect(status).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ compat_version: '1.0', supported_devices: ['vendor,golden-v1', 'golden-v1'] });
    expect(out).toContain('\n  "supported_devices": [\n');
    const { out: raw } = await owimg(['metadata', 'show', given, '--raw']);
    expect(new TextDecoder('latin1').decode(image)).toContain(raw.trimEnd());
  });

  test('--json is what the schema says', async () => {
    const { out } = await owimg(['metadata', 'show', folder.write('fw.bin', signed), '--json']);
    validate(JSON.parse(out));
    expect(validate.errors).toBeNull();
    expect(JSON.parse(out)).toMatchObject({ signed: true, status: 'sound' });
  });

  test('of an image without any is exit status 1', async () => {
    const { status, err } = await owimg(['metadata', 'show', 'fixtures/uimage/sound-lzma.bin']);
    expect([status, err.includes('has no metadata')]).toEqual([1, true]);
  });

  test('of a broken image shows it, with what is wrong, and exits with 1', async () => {
    const { status, out, err } = await owimg(['metadata', 'show', 'fixtures/fwtool/metadata-checksum-mismatch--gap-byte.bin']);
    expect([status, out.includes('supported_devices')]).toEqual([1, true]);
    expect(err).toMatch(/^error: /);
  });
});

describe('owimg metadata remove', () => {
  test('leaves the image in front, and says that a signature went with it', async () => {
    const { status, out } = await owimg(['metadata', 'remove', folder.write('fw.bin', signed)]);
    expect(status).toBe(0);
    expect(Buffer.compare(folder.read('fw.without-metadata.bin'), withoutMetadata(signed))).toBe(0);
    expect(out.replaceAll(/\s+/g, ' ')).toContain('The signature is gone with it');
  });

  test('of an image without any writes nothing', async () => {
    const { status } = await owimg(['metadata', 'remove', 'fixtures/uimage/sound-lzma.bin', '-o', folder.path('x')]);
    expect(status).toBe(1);
    expect(readdirSync(folder.path('.'))).toEqual([]);
  });

  test('of an image with a wrong checksum is refused, unless that is accepted', async () => {
    const broken = 'fixtures/fwtool/metadata-checksum-mismatch--gap-byte.bin';
    const refused = await owimg(['metadata', 'remove', broken, '-o', folder.path('x')]);
    expect([refused.status, refused.err.includes('--accept metadata-checksum-mismatch')]).toEqual([1, true]);
    const { status } = await owimg(['metadata', 'remove', broken, '-o', folder.path('x'), '--accept', 'metadata-checksum-mismatch']);
    expect(status).toBe(0);
  });
});

describe('owimg metadata add', () => {
  test('gives the bytes of fwtool -I for the same JSON', async () => {
    const json = (await owimg(['metadata', 'show', folder.write('fw.bin', image), '--raw'])).out;
    const text = new TextDecoder('latin1').decode(image).includes(json) ? json : json.trimEnd();
    const { status } = await owimg(['metadata', 'add', folder.write('bare.bin', bare), '--metadata', folder.write('m.json', text)]);
    expect(status).toBe(0);
    expect(Buffer.compare(folder.read('bare.metadata.bin'), image)).toBe(0);
  });

  test('gives the very image that OpenWrt builds for a device', async () => {
    const built = loadImage('netgear_ex6120-sysupgrade.bin');
    const given = folder.write('bare.bin', withoutMetadata(built));
    const build = ['--release', 'SNAPSHOT', '--revision', 'r99999-0123456789'];
    const { status, out } = await owimg(['metadata', 'add', given, '--device', 'netgear_ex6120', ...build, '-o', folder.path('fw.bin')]);
    expect(status).toBe(0);
    expect(Buffer.compare(folder.read('fw.bin'), built)).toBe(0);
    expect(out).toMatch(/fwtool: metadata trailer +0x[0-9a-f]+ +16 bytes/);
    expect(out).toContain('sysupgrade /');
  });

  test('refuses where there is some, and replaces it with --force: then there is one, and it is the new one', async () => {
    const given = folder.write('fw.bin', signed);
    const args = ['metadata', 'add', given, '-d', 'netgear_r6220', '-o', folder.path('out.bin')];
    const refused = await owimg(args);
    expect([refused.status, refused.err.includes('--force')]).toEqual([2, true]);
    const { status, out } = await owimg([...args, '--force']);
    expect(status).toBe(0);
    expect(out.replaceAll(/\s+/g, ' ')).toContain('The signature is gone with it');
    const { findings, identities } = await inspect(folder.read('out.bin'));
    expect(findings.map(({ code }) => code)).not.toContain('metadata-duplicate');
    expect(identities.map(({ value }) => value)).toContain('netgear,r6220');
    expect(identities.map(({ value }) => value)).not.toContain('vendor,golden-v1');
  });

  test.each([
    [[], 'expected --metadata FILE or --device NAME'],
    [['--metadata', 'package.json', '--device', 'netgear_r6220'], 'expected --metadata FILE or --device NAME'],
    [['--metadata', 'package.json', '--revision', 'r1'], 'Cannot change'],
    [['--metadata', 'README.md'], 'it is no JSON'],
  ])('with %j is wrong use', async (args, words) => {
    const { status, err } = await owimg(['metadata', 'add', folder.write('bare.bin', bare), ...args]);
    expect([status, err.includes(words)], err).toEqual([2, true]);
    expect(readdirSync(folder.path('.'))).toEqual(['bare.bin']);
  });

  test('of JSON that names no device writes nothing', async () => {
    const { status, err } = await owimg(['metadata', 'add', folder.write('bare.bin', bare), '--metadata', folder.write('m.json', '[1]')]);
    expect([status, err.includes('metadata-invalid')]).toEqual([1, true]);
    expect(readdirSync(folder.path('.')).sort()).toEqual(['bare.bin', 'm.json']);
  });

  test('keeps a file that is there', async () => {
    folder.write('out.bin', 'precious');
    const { status } = await owimg(['metadata', 'add', folder.write('bare.bin', bare), '-d', 'netgear_r6220', '-o', folder.path('out.bin')]);
    expect(status).toBe(4);
    expect(readFileSync(folder.path('out.bin'), 'utf8')).toBe('precious');
  });

  test('from standard input to standard output gives the bytes alone', () => {
    expect(Buffer.compare(owimgWithInput(['metadata', 'remove', '-', '-o', '-'], image), bare)).toBe(0);
  });

  test('the JSON is what the schema says', async () => {
    const { out } = await owimg(['metadata', 'add', folder.write('bare.bin', bare), '-d', 'netgear_r6220', '--json']);
    validate(JSON.parse(out));
    expect(validate.errors).toBeNull();
    expect(JSON.parse(out)).toMatchObject({ command: 'metadata', added: [{ format: 'fwtool', offset: bare.length }, { length: 16 }] });
  });
});
