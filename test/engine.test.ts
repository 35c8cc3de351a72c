/** What the engine makes of bytes that no format explains, in front of what it knows and in between. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { chdr } from '../formats/chdr.ts';
import { allLayers } from '../src/core/layers.ts';
import { type Inspection, inspect } from '../src/index.ts';
import { readFixtureFile } from './support/fixtures.ts';
import { randomFrom } from './support/random.ts';

const random = randomFrom(2);
/** Bytes that are no format's, and no padding. */
const noise = (length: number): Uint8Array => Uint8Array.from({ length }, () => 1 + random(250));
const joined = (...parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));
const codes = ({ findings }: Inspection): string[] => findings.map(({ code, severity }) => `${severity} ${code}`);

describe('a prefix that was put in front of a finished image', () => {
  const image = readFixtureFile('fwtool/sound-metadata.bin');
  const prefix = noise(140);

  test('is unknown, and no reason to call the image broken', async () => {
    const result = await inspect(joined(prefix, image));
    expect(codes(result).sort()).toEqual(['note data-prepended', 'warning format-unknown']);
    expect(result.findings.find(({ code }) => code === 'data-prepended')).toMatchObject({ offset: 0, length: prefix.length, layer: 'flash-slice' });
    expect([result.status, result.kind]).toEqual(['unknown', 'unknown']);
  });

  test('is not under the checksum of the metadata, all that follows is', async () => {
    const { coverage, identities } = await inspect(joined(prefix, image));
    const alone = await inspect(image);
    const spoken = ({ offset, length, checks }: (typeof coverage.ranges)[number]): string => `${offset} ${length} ${[...checks].sort().join()}`;
    expect(coverage.ranges.map(spoken)).toEqual(alone.coverage.ranges.map((range) => spoken({ ...range, offset: range.offset + prefix.length })));
    expect(identities).toEqual(alone.identities.map((identity) => ({ ...identity, offset: identity.offset + prefix.length })));
  });

  test('does not hide a damaged image', async () => {
    const damaged = joined(prefix, image);
    damaged[prefix.length + 0x5f00] = 0x5a;
    const result = await inspect(damaged);
    expect(codes(result)).toContain('error metadata-checksum-mismatch');
    expect(result.status).toBe('broken');
  });
});

test('a wrong checksum behind an unknown beginning is a warning: a vendor may have put headers in between', async () => {
  const uimage = readFixtureFile('uimage/data-checksum-mismatch--kernel.bin');
  expect(codes(await inspect(uimage))).toEqual(['error data-checksum-mismatch']);
  const result = await inspect(joined(noise(64), uimage));
  expect(codes(result)).toEqual(['warning format-unknown', 'warning data-checksum-mismatch']);
  expect(result.status).toBe('unknown');
  const layers = allLayers(result.root);
  expect(layers.flatMap(({ findings }) => findings)).toEqual(result.findings);
});

describe('bytes inside of a layer that no format explains', () => {
  const rootfs = readFixtureFile('squashfs/sound-gzip.squashfs');
  const wrapped = (rest: Uint8Array): Uint8Array => chdr.build?.({ image: joined(rootfs, rest) }) as Uint8Array;

  test('get a note at their place', async () => {
    const result = await inspect(wrapped(noise(100)));
    expect(result.findings).toMatchObject([{ code: 'data-unexplained', severity: 'note', offset: 16 + rootfs.length, length: 100, layer: 'chdr' }]);
    expect(result.status).toBe('sound');
  });

  test('get none where they are few, or padding', async () => {
    expect(codes(await inspect(wrapped(noise(15))))).toEqual([]);
    expect(codes(await inspect(wrapped(new Uint8Array(100))))).toEqual([]);
  });
});

test("a layer of a file in an archive has that file's name once", async () => {
  const { root } = await inspect(readFixtureFile('gzip/sound-sysupgrade-metadata.bin.gz'));
  const labels = allLayers(root).map(({ format, label }) => `${format} ${label ?? '-'}`);
  expect(labels).toEqual(['gzip -', 'flash-slice unpacked data', 'uimage -', 'lzma kernel', 'squashfs -', 'eof-mark -', 'fwtool -']);
});

test('what is no firmware says so in its root layer, and nothing else', async () => {
  const { root, findings } = await inspect(new TextEncoder().encode('<!DOCTYPE html><html><body>404</body></html>'));
  expect(findings.map(({ code }) => code)).toEqual(['not-firmware']);
  expect(root.findings).toEqual(findings);
});

describe('a file inside of an archive that no format explains', () => {
  const member = (name: string, bytes: Uint8Array): Uint8Array => {
    const folder = mkdtempSync(join(tmpdir(), 'owimg-engine-'));
    try {
      writeFileSync(join(folder, name), bytes);
      return new Uint8Array(execFileSync('tar', ['c', '--format=ustar', '-C', folder, name]));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  };
  /** Without the end of the first archive, so that one goes on with the next. */
  const both = (first: Uint8Array, second: Uint8Array): Uint8Array => joined(first.subarray(0, 512 + Math.ceil(size(first) / 512) * 512), second);
  const size = (archive: Uint8Array): number => Number.parseInt(Buffer.from(archive.subarray(124, 135)).toString(), 8);
  const secret = member('secret.bin', noise(5000));

  test('makes the archive unknown, if it is all there is', async () => {
    const result = await inspect(secret);
    expect(codes(result)).toEqual(['note member-unknown', 'warning archive-unrecognised']);
    expect(result.status).toBe('unknown');
  });

  test('gets a note beside an image', async () => {
    const result = await inspect(both(secret, member('fw.bin', readFixtureFile('fwtool/sound-metadata.bin'))));
    expect(result.findings).toMatchObject([{ code: 'member-unknown', offset: 512, length: 5000, message: expect.stringContaining('"secret.bin"') }]);
    expect([result.status, result.kind]).toEqual(['sound', 'sysupgrade']);
  });

  test('makes a gzip file unknown', async () => {
    const result = await inspect(new Uint8Array(gzipSync(noise(5000))));
    expect(codes(result)).toEqual(['warning format-unknown']);
    expect(result.status).toBe('unknown');
  });

  test('is no firmware where it is text', async () => {
    const result = await inspect(member('notes.txt', new TextEncoder().encode('Release notes\n'.repeat(9))));
    expect(codes(result)).toEqual(['error archive-without-firmware']);
    expect(result.status).toBe('broken');
  });
});

test('a trailer that stands there only because of the prefix is not read again without it', async () => {
  const tagged = readFixtureFile('wfi-tag/sound-big-endian.bin');
  const damaged = joined(tagged.subarray(0, 2), noise(298), readFixtureFile('uimage/sound-lzma.bin'), tagged.subarray(-20));
  const { root, status } = await inspect(damaged);
  expect(root.children.map(({ format }) => format)).toEqual(['uimage', 'wfi-tag']);
  expect(status).not.toBe('sound');
});
