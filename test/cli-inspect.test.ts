import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import schema from '../docs/schema/inspect.schema.json' with { type: 'json' };
import { owimg } from './support/console.ts';
import { fixtures } from './support/fixtures.ts';

const fixture = (path: string): string => fileURLToPath(new URL(`../fixtures/${path}`, import.meta.url));
const sound = fixture('fwtool/sound-metadata.bin');
const broken = fixture('uimage/data-checksum-mismatch--kernel.bin');
const kernel = fixture('uimage/sound-lzma.bin');
const validate = new Ajv2020({ strict: true, allowUnionTypes: true }).compile(schema);
let folder = '';
const file = (name: string, content: Uint8Array | string): string => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
};

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'owimg-test-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('owimg inspect', () => {
  test('begins with what the file is and whether it is sound', async () => {
    const { status, out, err } = await owimg(['inspect', sound]);
    expect(out.replaceAll('\n', ' ')).toContain('sound-metadata.bin: sysupgrade image, well-formed: all 3 checks passed');
    expect(err).toBe('');
    expect(status).toBe(0);
  });

  test('names the devices, the layers, the checks and what no check covers', async () => {
    const { out } = await owimg(['inspect', sound]);
    expect(out).toContain('vendor,golden-v1, golden-v1 (fwtool.supported_devices)');
    expect(out).toMatch(/├ uImage "MIPS OpenWrt Linux-6.6.99" +0x0 +13.0 KiB 2 ok/);
    expect(out).toMatch(/ok +uimage +data-crc +crc32 +0x2254c1f9/);
    expect(out).toContain('99.9 % of the bytes are under a check that passed. Under none: 12 bytes of');
  });

  test('says what was not unpacked, until it is', async () => {
    const said = 'Not unpacked: kernel (lzma). Whether it unpacks, and to the length that it names, only --deep can tell.';
    expect((await owimg(['inspect', sound])).out.replaceAll(/\s+/g, ' ')).toContain(said);
    expect((await owimg(['inspect', '--deep', sound])).out).not.toContain('Not unpacked');
  });

  test('tells what is proved by unpacking from what nothing proves', async () => {
    const { out } = await owimg(['inspect', fixture('gzip/sound-name-time.gz')]);
    const flat = out.replaceAll(/\s+/g, ' ');
    expect(flat).toContain('0 % of the bytes are under a check that passed. 5.6 KiB are packed, and what they unpack to is under a check that passed.');
    expect(flat).toMatch(/Under none: \d+ bytes of "gzip header" at 0x0, 8 bytes of "checksum and length"/);
    const damaged = (await owimg(['inspect', fixture('gzip/data-checksum-mismatch--crc.gz')])).out.replaceAll(/\s+/g, ' ');
    expect(damaged).not.toContain('are packed');
  });

  test('shows the wrong check and the firmware among very many members', async () => {
    const path = join(folder, 'many.tar');
    const members = Array.from({ length: 40 }, (_, index) => file(`notes-${index}.txt`, `notes ${index}\n`));
    execFileSync('tar', ['cf', path, '--format=ustar', '-C', folder, ...members.map((member) => basename(member)), '-C', dirname(broken), basename(broken)]);
    const { status, out } = await owimg(['inspect', path]);
    expect(out).toMatch(/WRONG +uimage +data-crc/);
    expect(out).toMatch(/[├└] data-checksum-mismatch--kernel\.bin:/);
    expect(out).toMatch(/… and \d+ more parts: --json shows all/);
    expect(status).toBe(1);
  });

  test.each([
    ['names devices', sound, 'compare the names above with yours.'],
    ['names none', kernel, 'it names no device, so only the place you got it from can tell.'],
    ['is broken', broken, 'Do not flash this file.'],
  ])('ends with what to do with a file that %s', async (_, path, expected) => {
    const { out } = await owimg(['inspect', path]);
    expect(out.trimEnd().split('\n\n').at(-1)?.replaceAll('\n', ' ')).toContain(expected);
  });

  test('sends to the one for the device where an archive holds several images', async () => {
    const path = join(folder, 'several.tar');
    const from = (image: string): string[] => ['-C', dirname(image), basename(image)];
    execFileSync('tar', ['cf', path, '--format=ustar', ...from(sound), ...from(kernel)]);
    const { status, out } = await owimg(['inspect', path]);
    expect(out).toContain('Its images are for\n  vendor,golden-v1');
    expect(out.replaceAll('\n', ' ')).toContain('Take the file for your device out of it, and inspect that one by itself.');
    expect(status).toBe(0);
  });

  test('says what is wrong, where, and what to do', async () => {
    const { status, out } = await owimg(['inspect', broken]);
    const flat = out.replaceAll(/\s+/g, ' ');
    expect(flat).toContain('BROKEN: 1 error');
    expect(flat).toContain('data-crc (crc32) should be 0x2254c1f9 but the bytes give 0x');
    expect(flat).toContain('[uimage, offset 0x18 to 0x342e]');
    expect(flat).toContain('Do not flash this file.');
    expect(status).toBe(1);
  });

  test('keeps to 80 columns for every fixture', async () => {
    for (const { path, file: name } of fixtures) {
      const { out } = await owimg(['inspect', path]);
      const long = out.split('\n').filter((line) => [...line].length > 80 && !line.startsWith(path.slice(0, 20)));
      expect(long, name).toEqual([]);
    }
  });

  test('colours only when asked', async () => {
    expect((await owimg(['inspect', sound])).out).not.toContain('\x1b[');
    expect((await owimg(['inspect', sound], { colour: true })).out).toContain('\x1b[32m');
  });

  test('does not let a file steer the terminal', async () => {
    const image = new Uint8Array(readFileSync(broken));
    image.set(new TextEncoder().encode('\x1b[2J\x07'), 32);
    const { out } = await owimg(['inspect', file('escape.bin', image)]);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not be there
    expect(out).not.toMatch(/[\x07\x1b]/);
    expect(out).toContain('\\x1b[2J\\x07');
  });

  test('does not let a name steer the terminal', async () => {
    const { err } = await owimg(['inspect', join(folder, 'fw\x1b[2J.bin')]);
    expect(err).toContain('fw\\x1b[2J.bin": no such file');
    expect(err).not.toContain('\x1b');
  });

  test('says what it is at on the terminal of a person, for a file that takes long', async () => {
    const path = file('long.bin', '');
    truncateSync(path, 8 * 1024 ** 2);
    const { err } = await owimg(['inspect', path], { interactive: true });
    // Each line is put over the one before, and the last one is wiped off.
    expect(err.split('\r\x1b[K').slice(-2)).toEqual([expect.stringMatching(/^inspecting .* …$/), '']);
    expect((await owimg(['inspect', path])).err).toBe('');
  });

  test.each([
    ['no such file', 'nowhere.bin', 'no such file'],
    ['a directory', '.', 'it is a directory'],
  ])('exits 4 for %s', async (_, name, reason) => {
    const { status, out, err } = await owimg(['inspect', join(folder, name)]);
    expect(err).toContain(reason);
    expect(out).toBe('');
    expect(status).toBe(4);
  });

  test('refuses a file of 3 GiB without reading it', async () => {
    const path = file('huge.bin', '');
    truncateSync(path, 3 * 1024 ** 3);
    const { status, err } = await owimg(['inspect', path]);
    expect(err).toContain('it has 3 GiB, the limit is 1 GiB');
    expect(status).toBe(4);
  });

  test.runIf(process.getuid?.() !== 0)('exits 4 for a file it may not read', async () => {
    const path = file('secret.bin', 'x');
    chmodSync(path, 0);
    expect((await owimg(['inspect', path])).status).toBe(4);
  });

  test('calls an empty file empty', async () => {
    const { status, out } = await owimg(['inspect', file('empty.bin', '')]);
    expect(out).toContain('The file has no bytes');
    expect(status).toBe(1);
  });

  test('recognises a web page', async () => {
    const { status, out } = await owimg(['inspect', file('page.bin', '<!DOCTYPE html>\n<html><head><title>firmware.bin at main</title></head></html>')]);
    expect(out.replaceAll(/\s+/g, ' ')).toContain('This is not firmware: an HTML page');
    expect(status).toBe(1);
  });

  test('exits 3 for bytes that nobody knows', async () => {
    const { status, out } = await owimg([
      'inspect',
      file(
        'noise.bin',
        Uint8Array.from({ length: 5000 }, (_, index) => (index * index * 31 + 17) % 251),
      ),
    ]);
    expect(out).toContain('NOT RECOGNISED');
    expect(status).toBe(3);
  });

  test('prints one object that the schema accepts', async () => {
    for (const { path, file: name } of fixtures) {
      const { out } = await owimg(['inspect', '--json', path]);
      expect(validate(JSON.parse(out)), `${name}: ${JSON.stringify(validate.errors?.slice(0, 2))}`).toBe(true);
    }
  });

  test('prints an array for several files, the unreadable one among them', async () => {
    const { status, out } = await owimg(['inspect', '--json', sound, join(folder, 'nowhere.bin'), broken]);
    const results = JSON.parse(out);
    expect(validate(results)).toBe(true);
    expect(results.map((result: { status?: string; error?: { code: string } }) => result.status ?? result.error?.code)).toEqual([
      'sound',
      'cannot-read',
      'broken',
    ]);
    expect(status).toBe(4);
  });

  test('prints one line an object with --ndjson', async () => {
    const { out } = await owimg(['inspect', '--ndjson', sound, broken]);
    const lines = out.trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line).status)).toEqual(['sound', 'broken']);
    expect(lines.every((line) => validate(JSON.parse(line)))).toBe(true);
  });

  test('sums up several files', async () => {
    const { out } = await owimg(['inspect', sound, broken]);
    expect(out).toContain('2 files: 1 sound, 1 broken');
  });

  test.each([
    ['no file', ['inspect']],
    ['an unknown option', ['inspect', '--nonsense', 'x']],
    ['an unknown command', ['nonsense']],
    ['standard input given twice', ['inspect', '-', '-']],
    ['two forms of output', ['inspect', '--json', '--ndjson', 'x']],
  ])('exits 2 for %s', async (_, args) => {
    const { status, out, err } = await owimg(args);
    expect(status).toBe(2);
    expect(err).not.toBe('');
    expect(out).toBe('');
  });

  test('reports a name that contradicts the content', async () => {
    const path = join(folder, 'openwrt-initramfs.chk');
    symlinkSync(sound, path);
    const { status, out } = await owimg(['inspect', path]);
    expect(out.replaceAll(/\s+/g, ' ')).toContain('The file name says ".chk", but the content is flash-slice (sysupgrade)');
    expect(status).toBe(0);
  });
});

test('a sysupgrade image that was cut off behind its kernel is not called sound', async () => {
  const cut = readFileSync(sound).subarray(0, 15_000);
  const { status, out } = await owimg(['inspect', file('openwrt-squashfs-sysupgrade.bin', cut)]);
  expect(out.replaceAll(/\s+/g, ' ')).toContain('kernel without a root file system, doubtful: 1 warning');
  expect(out.replaceAll(/\s+/g, ' ')).toContain('or its end is missing');
  expect(status).toBe(0);
});

test('owimg formats lists every format with its sources', async () => {
  const { status, out } = await owimg(['formats', '--json']);
  const { formats } = JSON.parse(out);
  expect(formats.map(({ id }: { id: string }) => id)).toContain('uimage');
  for (const { references } of formats) expect(references.length).toBeGreaterThan(0);
  expect(status).toBe(0);
});

test('owimg --help and --version exit 0', async () => {
  expect((await owimg(['--help'])).out).toContain('inspect [options] <file...>');
  expect(await owimg(['--version'])).toMatchObject({ status: 0, err: '' });
});
