/** What owimg writes as a UBI image is what ubinize writes, byte for byte; ubinize makes the expected bytes on the spot. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { ubi } from '../formats/ubi.ts';
import { Budget, defaultLimits } from '../src/core/limits.ts';
import { buildUbi, type UbinizeFlash, type UbiVolume, ubinizeOffsets } from '../src/core/ubi-image.ts';
import { randomFrom } from './support/random.ts';
import { installed, run } from './support/tools.ts';

const folder = mkdtempSync(join(tmpdir(), 'owimg-ubinize-'));
afterAll(() => rmSync(folder, { recursive: true }));

function write(name: string, bytes: Uint8Array | string): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

/** A section of ubinize's configuration. */
interface Section {
  readonly id: number;
  readonly name: string;
  readonly type: 'static' | 'dynamic';
  /** `vol_size` */
  readonly length?: number;
  readonly content?: Uint8Array;
  readonly alignment?: number;
  readonly autoresize?: true;
  readonly skipCheck?: true;
}

function ubinize(sections: readonly Section[], options: readonly string[]): Uint8Array {
  const lines = sections.flatMap(({ id, name, type, length, content, alignment, autoresize, skipCheck }) => {
    const flags = [...(autoresize === true ? ['autoresize'] : []), ...(skipCheck === true ? ['skip-check'] : [])];
    return [
      `[section${id}]`,
      'mode=ubi',
      `vol_id=${id}`,
      `vol_type=${type}`,
      `vol_name=${name}`,
      ...(length === undefined ? [] : [`vol_size=${length}`]),
      ...(content === undefined ? [] : [`image=${write(`image${id}`, content)}`]),
      ...(alignment === undefined ? [] : [`vol_alignment=${alignment}`]),
      ...(flags.length === 0 ? [] : [`vol_flags=${flags.join(',')}`]),
    ];
  });
  const path = join(folder, 'made.ubi');
  run('ubinize', '-o', path, ...options, write('ubi.ini', lines.join('\n')));
  return new Uint8Array(readFileSync(path));
}

function volumeOf({ id, name, type, length, content = new Uint8Array(), alignment = 1, autoresize, skipCheck }: Section, leb: number): UbiVolume {
  // ubinize counts whole logical blocks here, whatever the alignment leaves of them.
  const reservedPebs = Math.ceil((length ?? content.length) / leb);
  const flags = { ...(autoresize === true ? { autoresize } : {}), ...(skipCheck === true ? { skipCheck } : {}) };
  return { id, name, type, alignment, reservedPebs, data: content, ...flags };
}

const KiB = 1024;
const flashes: readonly (readonly [string, UbinizeFlash, readonly string[]])[] = [
  ['128 KiB blocks, pages of 2 KiB', { pebLength: 128 * KiB, minimumIo: 2048 }, ['-p', '128KiB', '-m', '2048']],
  ['sub-pages', { pebLength: 128 * KiB, minimumIo: 2048, subpage: 512 }, ['-p', '128KiB', '-m', '2048', '-s', '512']],
  ['sub-pages as large as pages', { pebLength: 128 * KiB, minimumIo: 2048, subpage: 2048 }, ['-p', '128KiB', '-m', '2048', '-s', '2048']],
  [
    'a VID header that is not in the first sub-page',
    { pebLength: 128 * KiB, minimumIo: 2048, subpage: 512, vidHeaderOffset: 2048 },
    ['-p', '128KiB', '-m', '2048', '-s', '512', '-O', '2048'],
  ],
  ['256 KiB blocks, pages of 4 KiB', { pebLength: 256 * KiB, minimumIo: 4096 }, ['-p', '256KiB', '-m', '4KiB']],
  ['16 KiB blocks', { pebLength: 16 * KiB, minimumIo: 512, subpage: 256 }, ['-p', '16KiB', '-m', '512', '-s', '256']],
  ['NOR flash', { pebLength: 64 * KiB, minimumIo: 1, subpage: 1, vidHeaderOffset: 64 }, ['-p', '64KiB', '-m', '1', '-s', '1', '-O', '64']],
  ['NOR flash that can write 8 bytes', { pebLength: 64 * KiB, minimumIo: 8 }, ['-p', '65536', '-m', '8']],
  ['blocks so small that the table is short', { pebLength: 4 * KiB, minimumIo: 512 }, ['-p', '4KiB', '-m', '512']],
];

describe.skipIf(!installed('ubinize'))('buildUbi() gives the bytes of ubinize', () => {
  const random = randomFrom(20);
  const bytes = (length: number): Uint8Array => Uint8Array.from({ length }, () => random(256));

  async function compareWithUbinize(
    sections: readonly Section[],
    flash: UbinizeFlash,
    options: readonly string[],
    more: { version?: number } = {},
  ): Promise<void> {
    const [imageSequence, eraseCounter] = [random(0xffffffff), random(100_000)];
    const expected = ubinize(sections, [...options, '-Q', String(imageSequence), '-e', String(eraseCounter)]);
    const offsets = ubinizeOffsets(flash);
    const volumes = sections.map((section) => volumeOf(section, flash.pebLength - offsets.dataOffset));
    const built = buildUbi({ pebLength: flash.pebLength, ...offsets, imageSequence, eraseCounter, volumes, ...more });
    expect(Buffer.compare(built, expected)).toBe(0);
    if (more.version !== undefined) return;
    const input = (await ubi.parse(expected, { unpack: false, deep: false, budget: new Budget(defaultLimits) })).input?.();
    expect(input).toBeDefined();
    expect(Buffer.compare(buildUbi(input as Parameters<typeof buildUbi>[0]), expected)).toBe(0);
  }

  test.each(flashes)('for %s: volumes of no byte, one, a whole logical block and more, static and dynamic', async (_, flash, options) => {
    const leb = flash.pebLength - ubinizeOffsets(flash).dataOffset;
    const lengths = [1, leb - 1, leb, leb + 1, 2 * leb, 2 * leb + 7];
    const sections: Section[] = lengths.flatMap((length, index) => [
      { id: 2 * index, name: `static ${length}`, type: 'static', content: bytes(length) },
      { id: 2 * index + 1, name: `dynamic ${length}`, type: 'dynamic', content: bytes(length), length: Math.ceil(length / KiB) * KiB },
    ]);
    await compareWithUbinize([...sections, { id: 12, name: 'rest', type: 'dynamic', length: 1024 * KiB, autoresize: true }], flash, options);
  });

  test('for volumes in another order than their ids, with ids left out, with room to grow and with alignments', async () => {
    const flash = { pebLength: 16 * KiB, minimumIo: 512 };
    const sections: Section[] = [
      { id: 7, name: 'seven', type: 'dynamic', content: bytes(20_000), length: 200_000 },
      { id: 0, name: 'rootfs', type: 'static', content: bytes(30_000), length: 50_000, alignment: 4096 },
      { id: 3, name: 'checked by nobody', type: 'static', content: bytes(100), length: 50_000, skipCheck: true },
      { id: 1, name: 'a', type: 'dynamic', content: bytes(30_000), length: 31_000, alignment: 1536, autoresize: true },
    ];
    await compareWithUbinize(sections, flash, ['-p', '16KiB', '-m', '512']);
  });

  test('for no more than volumes without content', async () => {
    const sections: Section[] = ['ubootenv', 'ubootenv2'].map((name, id) => ({ id, name, type: 'dynamic', length: 1024 * KiB }));
    await compareWithUbinize(sections, { pebLength: 128 * KiB, minimumIo: 2048 }, ['-p', '128KiB', '-m', '2048']);
  });

  test('for content that ends in FF or in zeros', async () => {
    const sections: Section[] = [0xff, 0].map((filler, id) => ({ id, name: `${filler}`, type: 'dynamic', content: new Uint8Array(9000).fill(filler, 10) }));
    await compareWithUbinize(sections, { pebLength: 4 * KiB, minimumIo: 256 }, ['-p', '4KiB', '-m', '256']);
  });

  test('for another version of UBI', async () => {
    const sections: Section[] = [{ id: 0, name: 'data', type: 'dynamic', content: bytes(5000) }];
    await compareWithUbinize(sections, { pebLength: 16 * KiB, minimumIo: 512 }, ['-p', '16KiB', '-m', '512', '-x', '2'], { version: 2 });
  });
});
