/** `owimg to-factory` and `owimg to-sysupgrade` as people and scripts call them. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import schema from '../docs/schema/convert.schema.json' with { type: 'json' };
import { owimg } from './support/console.ts';
import { loadImage } from './support/images.ts';
import { installed } from './support/tools.ts';

const profile = 'netgear_ex6120';
const prefix = `openwrt-ramips-mt7620-${profile}-squashfs-`;
const sysupgrade = loadImage(`${profile}-sysupgrade.bin`);
const factory = loadImage(`${profile}-factory.chk`);
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
/** What the release's page says of the build. */
const build = ['--release', 'SNAPSHOT', '--revision', 'r99999-0123456789'];

let folder: string;
let given: string;
let made: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'owimg-convert-'));
  given = join(folder, `${prefix}sysupgrade.bin`);
  made = join(folder, `${prefix}factory.chk`);
  writeFileSync(given, sysupgrade);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const read = (path: string): Uint8Array => new Uint8Array(readFileSync(path));

describe('owimg to-factory', () => {
  test('writes the very bytes that OpenWrt builds, beside the file, under the name that OpenWrt gives them', async () => {
    const { status, out } = await owimg(['to-factory', given]);
    expect(status).toBe(0);
    expect(Buffer.compare(read(made), factory)).toBe(0);
    expect(out).toContain('sysupgrade.bin of NETGEAR EX6120');
    expect(out.replaceAll(/\s+/g, ' ')).toContain('Read back: it is well-formed: all 5 checks passed.');
    expect(out.replaceAll(/\s+/g, ' ')).toContain('give the file that you gave, byte for byte');
    const lines = out.split('\n').filter((line) => !line.includes(folder));
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
  });

  test('the layout bars of both images are drawn to one scale', async () => {
    const { out } = await owimg(['to-factory', given]);
    const [before, after] = ['before', 'after'].map((word) => out.split('\n').find((line) => line.startsWith(`  ${word}`)) as string);
    for (const bar of [before, after]) expect(bar).toMatch(/█+▒+·+/);
    expect(before).toContain('64.3 KiB');
    expect(after).toContain('64.1 KiB');
  });

  test('the JSON is what the schema says, of a result, of a dry run and of an error', async () => {
    const validate = new Ajv2020({ strict: true, allowUnionTypes: true }).compile(schema);
    for (const args of [['--dry-run'], [], [], ['-d', 'tplink_archer-c7-v5']]) {
      const { out } = await owimg(['to-factory', given, '--json', ...args]);
      validate(JSON.parse(out));
      expect(validate.errors).toBeNull();
    }
    const { out } = await owimg(['to-factory', given, '--json', '--force']);
    const { output, from, to, recipe, verdict, result } = JSON.parse(out);
    expect(output).toEqual({ path: made, size: factory.length, sha256: sha256(factory), written: true });
    expect([from.name, to.name, recipe.reproduces, verdict.outcome, result.status]).toEqual(['sysupgrade.bin', 'factory.chk', true, 'installs', 'sound']);
  });

  test('a file that exists is kept, and replaced with --force', async () => {
    writeFileSync(made, 'mine');
    const kept = await owimg(['to-factory', given]);
    expect(kept.status).toBe(4);
    expect(kept.err).toContain('it exists, and is kept');
    expect(readFileSync(made, 'utf8')).toBe('mine');
    expect((await owimg(['to-factory', given, '--force'])).status).toBe(0);
    expect(sha256(read(made))).toBe(sha256(factory));
    expect(readdirSync(folder).length).toBe(2);
  });

  test('--dry-run does all but write', async () => {
    const { status, out } = await owimg(['to-factory', given, '--dry-run']);
    expect(status).toBe(0);
    expect(out).toContain('Not written (--dry-run)');
    expect(out).toContain(sha256(factory));
    expect(readdirSync(folder).length).toBe(1);
  });

  test('-o - puts the bytes on standard output and the report on standard error', async () => {
    const { status, out, err } = await owimg(['to-factory', given, '-o', '-']);
    expect(status).toBe(0);
    expect(Buffer.compare(Buffer.from(out, 'latin1'), factory)).toBe(0);
    expect(err).toContain('Proof');
  });

  test('a broken image is refused with its finding, and nothing is written', async () => {
    const broken = sysupgrade.slice();
    broken[5000] = (broken[5000] as number) ^ 1;
    writeFileSync(given, broken);
    const { status, err } = await owimg(['to-factory', given, '-d', profile]);
    expect(status).toBe(1);
    expect(err).toContain('Cannot convert a broken image');
    expect(err).toContain('data-checksum-mismatch at 0x18');
    expect(err).toContain('--accept data-checksum-mismatch');
    expect(readdirSync(folder).length).toBe(1);
  });

  test('an error that the user accepts does not stop it, others do', async () => {
    const broken = sysupgrade.slice();
    broken[5000] = (broken[5000] as number) ^ 1;
    writeFileSync(given, broken);
    expect((await owimg(['to-factory', given, '-d', profile, '--accept', 'data-checksum-mismatch'])).status).toBe(1);
    const accepted = ['data-checksum-mismatch', 'metadata-checksum-mismatch'];
    const { status } = await owimg(['to-factory', given, '-d', profile, '--accept', ...accepted]);
    expect(status).toBe(1);
    expect(read(made).length).toBe(factory.length);
  });

  test('an image for another device is refused, whatever --device says', async () => {
    const { status, err } = await owimg(['to-factory', given, '--device', 'netgear_ex6130']);
    expect(status).toBe(1);
    expect(err).toContain('this is no image for NETGEAR EX6130');
    expect(readdirSync(folder).length).toBe(1);
  });

  test('an image of that kind already needs no converting', async () => {
    writeFileSync(given, factory);
    const { status, err } = await owimg(['to-factory', given]);
    expect(status).toBe(1);
    expect(err).toContain('It already is a factory image of NETGEAR EX6120 (factory.chk)');
  });

  test('a device without a factory image: it says so', async () => {
    writeFileSync(given, loadImage('hootoo_ht-tm05-sysupgrade.bin'));
    const { status, err } = await owimg(['to-factory', given]);
    expect(status).toBe(1);
    expect(err).toContain('OpenWrt builds no factory image for HooToo HT-TM05');
  });

  test('compares with the published image, by the lists that lie beside the file or are named', async () => {
    const listed = (digest: string): string => `${sha256(sysupgrade)} *${prefix}sysupgrade.bin\n${digest} *${prefix}factory.chk\n`;
    writeFileSync(join(folder, 'sha256sums'), listed(sha256(factory)));
    expect((await owimg(['to-factory', given, '--dry-run'])).out).toContain('Bit-identical with the published image');
    const other = join(folder, 'others');
    writeFileSync(other, listed('0'.repeat(64)));
    expect((await owimg(['to-factory', given, '--dry-run', '--published', other])).out).toContain('NOT bit-identical');
    const profiles = {
      profiles: {
        [profile]: {
          supported_devices: [],
          images: [{ name: `${prefix}factory.chk`, sha256: '1'.repeat(64), sha256_unsigned: sha256(factory), type: 'factory' }],
        },
      },
    };
    writeFileSync(other, JSON.stringify(profiles));
    const { published } = JSON.parse((await owimg(['to-factory', given, '--dry-run', '--json', '--published', other])).out);
    expect(published).toEqual({ name: `${prefix}factory.chk`, list: 'profiles.json', sha256: '1'.repeat(64), identical: true, unsigned: true });
  });

  test.each([
    [['-d', profile, '--image', 'factory-eu.bin'], 2, 'OpenWrt builds no factory-eu.bin for NETGEAR EX6120'],
    [['-d', 'no such thing'], 3, 'no such thing'],
    [['--part', 'loader'], 2, 'expected NAME=FILE'],
    [['--metadata', 'package.json'], 2, 'takes no "metadata"'],
    [['--initramfs', 'missing.itb'], 4, 'Cannot read "missing.itb"'],
    [['-o', '/no/such/folder/x.bin'], 4, 'the folder "/no/such/folder" does not exist'],
  ])('%j: a clear error', async (args, expected, message) => {
    const { status, err } = await owimg(['to-factory', given, ...args]);
    expect(status).toBe(expected);
    expect(err).toContain(message);
    expect(readdirSync(folder).length).toBe(1);
  });
});

describe('owimg to-sysupgrade', () => {
  beforeEach(() => {
    rmSync(given);
    writeFileSync(made, factory);
  });

  test('with the version and revision of the build the result is what OpenWrt builds', async () => {
    const { status, out } = await owimg(['to-sysupgrade', made, ...build]);
    expect(status).toBe(0);
    expect(Buffer.compare(read(given), sysupgrade)).toBe(0);
    expect(out).toContain('revision r99999-0123456789: as you said');
  });

  test('without them the report says which bytes hang on them, and no others differ', async () => {
    const { status, out } = await owimg(['to-sysupgrade', made, '--json', '--release', 'SNAPSHOT', '--revision', 'r12345-9876543210']);
    expect(status).toBe(0);
    const { values } = JSON.parse(out) as { values: { name: string; bytes: { offset: number; length: number }[] }[] };
    const named = values.flatMap(({ bytes }) => bytes);
    const result = read(given);
    expect(result.length).toBe(sysupgrade.length);
    const differing = [...result.keys()].filter((offset) => result[offset] !== sysupgrade[offset]);
    expect(differing.length).toBeGreaterThan(5);
    expect(differing.filter((offset) => !named.some((range) => offset >= range.offset && offset < range.offset + range.length))).toEqual([]);
  });

  test('what nothing tells is called unknown, in the file and in the report', async () => {
    const { status, out } = await owimg(['to-sysupgrade', made]);
    expect(status).toBe(0);
    expect(out).toContain('revision unknown: nothing tells it');
    expect(Buffer.from(read(given)).toString('latin1')).toContain('"revision": "unknown"');
  });

  test('--metadata is appended as it is', async () => {
    const metadata = join(folder, 'metadata.json');
    const json = `${JSON.stringify({ metadata_version: '1.1', compat_version: '1.0', supported_devices: ['netgear,ex6120'] })}\n`;
    writeFileSync(metadata, json);
    const { status } = await owimg(['to-sysupgrade', made, '--metadata', metadata]);
    expect(status).toBe(0);
    expect(Buffer.from(read(given)).toString('latin1')).toContain(json);
  });

  test('--metadata for another device is thrown away again', async () => {
    const metadata = join(folder, 'metadata.json');
    writeFileSync(metadata, `${JSON.stringify({ metadata_version: '1.1', compat_version: '1.0', supported_devices: ['netgear,ex6130'] })}\n`);
    const { status, err } = await owimg(['to-sysupgrade', made, '--metadata', metadata]);
    expect(status).toBe(1);
    expect(err).toContain('would be no good by sysupgrade');
    expect(readdirSync(folder).sort()).toEqual(['metadata.json', `${prefix}factory.chk`]);
  });
});

describe('an image in an archive', () => {
  const gzip = (bytes: Uint8Array): Uint8Array => new Uint8Array(gzipSync(bytes));

  test('gzipped: taken out, and the result is named after it', async () => {
    rmSync(given);
    writeFileSync(`${given}.gz`, gzip(sysupgrade));
    expect((await owimg(['to-factory', `${given}.gz`])).status).toBe(0);
    expect(sha256(read(made))).toBe(sha256(factory));
  });

  test.skipIf(!installed('zip'))('several in one: the choice is asked for, and taken', async () => {
    writeFileSync(join(folder, 'other-sysupgrade.bin'), sysupgrade);
    execFileSync('zip', ['-q', 'both.zip', `${prefix}sysupgrade.bin`, 'other-sysupgrade.bin'], { cwd: folder });
    const both = join(folder, 'both.zip');
    const asked = await owimg(['to-factory', both]);
    expect(asked.status).toBe(2);
    expect(asked.err).toContain(`holds 2 firmware files: ${prefix}sysupgrade.bin, other-sysupgrade.bin`);
    const missing = await owimg(['to-factory', both, '--member', 'third.bin']);
    expect([missing.status, missing.err]).toEqual([2, expect.stringContaining('no firmware file that is called "third.bin"')]);
    const { status, out } = await owimg(['to-factory', both, '--member', 'other-sysupgrade.bin', '--json']);
    expect([status, JSON.parse(out).member]).toEqual([0, 'other-sysupgrade.bin']);
    expect(sha256(read(join(folder, 'other-factory.chk')))).toBe(sha256(factory));
  });
});
