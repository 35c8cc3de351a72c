/** Partition tables and the file systems of disks: facts known from their makers, and what other tools say of the same images. */
import { createHash } from 'node:crypto';
import { linkSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { ext4 } from '../formats/ext4.ts';
import { fat } from '../formats/fat.ts';
import { gpt } from '../formats/gpt.ts';
import { mbr } from '../formats/mbr.ts';
import type { Format, Reading } from '../src/core/format.ts';
import { Budget, defaultLimits } from '../src/core/limits.ts';
import { type Inspection, inspect, type Layer } from '../src/index.ts';
import { randomFrom } from './support/random.ts';
import { attempt, installed, run } from './support/tools.ts';

const fixturePath = (file: string): string => fileURLToPath(new URL(`../fixtures/${file}`, import.meta.url));
const fixture = (file: string): Uint8Array => new Uint8Array(readFileSync(fixturePath(file)));

const folder = mkdtempSync(join(tmpdir(), 'owimg-disk-'));
afterAll(() => rmSync(folder, { recursive: true }));
/** A file of zeros for a tool to work on. */
function blank(name: string, length: number): string {
  const path = join(folder, name);
  writeFileSync(path, '');
  truncateSync(path, length);
  return path;
}
const read = (path: string): Uint8Array => new Uint8Array(readFileSync(path));

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
/** Bytes that no format takes for its own. */
function noise(length: number, seed: number): Uint8Array {
  const random = randomFrom(seed);
  return Uint8Array.from({ length }, () => random(256));
}

/** Path, length and hash of each regular file in a folder that a tool has written. */
function filesIn(path: string, prefix = ''): string[] {
  return readdirSync(join(path, prefix), { withFileTypes: true })
    .flatMap((entry) => {
      const name = `${prefix}${entry.name}`;
      if (entry.isDirectory()) return filesIn(path, `${name}/`);
      const bytes = entry.isFile() ? read(join(path, name)) : undefined;
      return bytes === undefined ? [] : [`${name} ${bytes.length} ${sha256(bytes)}`];
    })
    .sort();
}

const parse = (format: Format, image: Uint8Array): Reading => format.parse(image, { unpack: false, deep: false, budget: new Budget() }) as Reading;

/** The same from a format's reading of an image; `others` are names of a file that has another name too, by that one. */
function filesOf(format: Format, image: Uint8Array, others: Readonly<Record<string, string>> = {}): string[] {
  const { fields, payloads } = parse(format, image);
  const contents = new Map(
    payloads.map(({ label, ranges, gathered }) => {
      const { offset = 0, length = 0 } = ranges[0] ?? {};
      return [label, gathered?.bytes ?? image.subarray(offset, offset + length)];
    }),
  );
  return fields
    .filter(({ name }) => name === 'file')
    .map(({ value: path }) => {
      const bytes = contents.get(others[String(path)] ?? String(path)) ?? new Uint8Array(0);
      return `${path} ${bytes.length} ${sha256(bytes)}`;
    })
    .sort();
}

const root = (result: Inspection): Layer => result.root;
const value = (layer: Layer, name: string): unknown => layer.fields.find((field) => field.name === name)?.value;
const values = (layer: Layer, pattern: RegExp): unknown[] => layer.fields.filter((field) => pattern.test(field.name)).map((field) => field.value);

describe('mbr', () => {
  test('mbr.build() makes the sector that ptgen -h 16 -s 63 makes', () => {
    const built = mbr.build?.({
      diskSignature: 0x61d136f2,
      geometry: { heads: 16, sectors: 63 },
      partitions: [
        { type: 0x83, start: 512, sectors: 8192, status: 0x80 },
        { type: 0x83, start: 9216, sectors: 8192 },
      ],
      body: new Uint8Array(0),
    }) as Uint8Array;
    expect(built.length).toBe(512);
    expect(Buffer.from(built.subarray(440, 478)).toString('hex')).toBe(
      'f236d16100008008090083' + '0a0a08' + '0002000000200000' + '0002130983' + '041411' + '0024000000200000',
    );
    expect([...built.subarray(478, 510)]).toEqual(Array(32).fill(0));
    expect([...built.subarray(510)]).toEqual([0x55, 0xaa]);
  });

  test('mbr.build() refuses a fifth partition and one without sectors', () => {
    const partition = { type: 0x83, start: 1, sectors: 1 };
    const body = new Uint8Array(0);
    expect(() => mbr.build?.({ diskSignature: 0, partitions: Array(5).fill(partition), body })).toThrow('room for 4');
    expect(() => mbr.build?.({ diskSignature: 0, partitions: [{ ...partition, sectors: 0 }], body })).toThrow('at least 1');
  });

  test('mbr.detect() does not take a FAT boot sector or an x86 kernel for a disk', () => {
    expect(mbr.detect(fixture('fat/sound-fat12-fragmented.img'))).toBe('no');
    const kernel = fixture('mbr/sound-boot-and-root.img');
    kernel.set(Buffer.from('HdrS'), 0x202);
    expect(mbr.detect(kernel)).toBe('no');
  });

  test('a chain that leads back is told once, at its link', async () => {
    const result = await inspect(fixture('mbr/structure-invalid--chain-without-end.img'));
    expect(result.findings.filter((entry) => entry.severity === 'error').map((entry) => [entry.code, entry.offset])).toEqual([['structure-invalid', 8654]]);
  });

  test.skipIf(!installed('sfdisk'))('sfdisk lists the same partitions', async () => {
    for (const file of ['mbr/sound-logical.img', 'mbr/sound-boot-and-root.img']) {
      const listed = [...run('sfdisk', '-d', fixturePath(file)).matchAll(/start= *(\d+), size= *(\d+), type=([0-9a-f]+)/g)];
      const layer = root(await inspect(fixture(file)));
      // Logical partitions count from their own record; the regions have them in sectors of the disk.
      const seen = listed.map(([, start, size]) => [Number(start) * 512, Number(size) * 512]);
      const sizes = values(layer, /^partition\d+\.sectors$/).map((sectors) => Number(sectors) * 512);
      expect(sizes).toEqual(seen.map(([, size]) => size));
      expect(values(layer, /^partition\d+\.type$/)).toEqual(listed.map(([, , , type]) => `0x${type?.padStart(2, '0')}`));
      const starts = layer.regions.map((region) => region.offset);
      for (const [start] of seen) expect(starts).toContain(start);
    }
  });
});

describe('gpt', () => {
  test('gpt.build() makes the table that ptgen -g -h 254 -s 63 makes, with its protective MBR', () => {
    const partition = (number: number, type: string, first: number, last: number, attributes: bigint, name: string) => {
      const guid = `5452574f-2211-4433-5566-778899aabb${number.toString(16).padStart(2, '0')}`;
      return { number, type, guid, first, last, attributes, name };
    };
    const [linux, efi] = ['0fc63daf-8483-4772-8e79-3d69d8477de4', 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b'];
    const built = gpt.build?.({
      image: new Uint8Array(34 * 512),
      diskSignature: 0x5452574f,
      geometry: { heads: 254, sectors: 63 },
      diskGuid: '5452574f-2211-4433-5566-778899aabb00',
      firstUsable: 34,
      lastUsable: 139263,
      alternate: 139296,
      partitions: [
        partition(1, linux, 8192, 9215, 5n, 'ubootenv'),
        partition(2, linux, 9216, 13311, 1n, 'factory'),
        partition(3, efi, 13312, 21503, 1n, 'fip'),
        partition(4, efi, 24576, 90111, 1n, 'recovery'),
        partition(5, 'cae9be83-b15f-49cc-863f-081b744a2d93', 131072, 139263, 0n, 'production'),
        partition(128, '21686148-6449-6e6f-744e-656564454649', 34, 8191, 0n, ''),
      ],
    });
    expect(Buffer.compare(built as Uint8Array, fixture('gpt/sound-ptgen.bin'))).toBe(0);
  });

  test('gpt.build() refuses what does not fit', () => {
    const common = { image: new Uint8Array(34 * 512), diskGuid: '5452574f-2211-4433-5566-778899aabb00', firstUsable: 34, lastUsable: 99, alternate: 132 };
    const partition = { number: 1, type: common.diskGuid, guid: common.diskGuid, first: 40, last: 50 };
    expect(() => gpt.build?.({ ...common, partitions: [{ ...partition, last: 100 }] })).toThrow('usable are 34 to 99');
    expect(() => gpt.build?.({ ...common, partitions: [{ ...partition, name: 'x'.repeat(37) }] })).toThrow('more than 36 characters');
    expect(() => gpt.build?.({ ...common, partitions: [{ ...partition, guid: 'no guid' }] })).toThrow('32 hexadecimal digits');
    expect(() => gpt.build?.({ ...common, partitions: [], backupEntriesStart: 100 })).toThrow('only 34 sectors');
  });

  test('gpt.parse() reads the partitions from the backup when the header is damaged', async () => {
    const layer = root(await inspect(fixture('gpt/magic-damaged--signature.img')));
    expect(layer.children.map((child) => [child.format, child.label, child.offset])).toEqual([['squashfs', 'partition 2 (rootfs)', 72 * 512]]);
    expect(layer.checks.map((check) => [check.name, check.ok])).toEqual([
      ['header-crc', false],
      ['entries-crc', true],
      ['backup.header-crc', true],
      ['backup.entries-crc', true],
    ]);
  });

  test('gpt.parse() finds a backup in the last sector that is not where the header says', async () => {
    const image = fixture('gpt/sound-sgdisk.img');
    const grown = new Uint8Array(image.length + 4096);
    grown.set(image.subarray(0, 143 * 512));
    grown.set(image.subarray(143 * 512), 151 * 512);
    const { findings } = await inspect(grown);
    expect(findings.map((entry) => entry.code)).toContain('structure-invalid');
    expect(findings.find((entry) => entry.code === 'structure-invalid')?.message).toContain('self of the backup GPT');
  });

  test('a disk inside of a partition, as installers carry it, is nothing wrong', async () => {
    const outer = new Uint8Array(4096 + 94208);
    const inner = fixture('mbr/sound-boot-and-root.img');
    outer.set(mbr.build?.({ diskSignature: 1, partitions: [{ type: 0x83, start: 8, sectors: 184 }], body: new Uint8Array(0) }) as Uint8Array);
    outer.set(inner, 4096);
    const result = await inspect(outer);
    expect(root(result).children.map((child) => child.format)).toEqual(['mbr']);
    expect(result.findings).toEqual([]);
  });

  test.skipIf(!installed('sgdisk'))('sgdisk lists the same partitions', async () => {
    const listed = run('sgdisk', '-p', fixturePath('gpt/sound-sgdisk.img'));
    const layer = root(await inspect(fixture('gpt/sound-sgdisk.img')));
    expect(listed).toContain(`Disk identifier (GUID): ${String(value(layer, 'diskGuid')).toUpperCase()}`);
    expect(listed).toContain(`First usable sector is ${value(layer, 'firstUsable')}, last usable sector is ${value(layer, 'lastUsable')}`);
    const rows = [...listed.matchAll(/^ +(\d+) +(\d+) +(\d+) .* (\S+)$/gm)].map(([, number, first, last, name]) => [number, first, last, name]);
    expect(rows.length).toBe(2);
    const seen = rows.map(([number]) => [number, ...['first', 'last', 'name'].map((name) => String(value(layer, `partition${number}.${name}`)))]);
    expect(seen).toEqual(rows);
  });
});

describe('fat', () => {
  test('fat.parse() gathers the parts of a fragmented file', async () => {
    const layer = root(await inspect(fixture('fat/sound-fat12-fragmented.img')));
    expect(values(layer, /^file$/)).toEqual(['cmdline.txt', 'rootfs.squashfs', 'boot/extlinux-configuration.txt', 'boot/rootfs.squashfs']);
    expect(layer.children.map((child) => [child.label, child.format, child.length, child.source?.from])).toEqual([
      [
        'rootfs.squashfs',
        'squashfs',
        5762,
        [
          { offset: 2560, length: 2048 },
          { offset: 5120, length: 3714 },
        ],
      ],
      ['boot/rootfs.squashfs', 'squashfs', 5762, undefined],
    ]);
  });

  test('fat.detect() leaves a GRUB boot sector to the MBR', () => {
    const grub = fixture('mbr/sound-boot-and-root.img');
    grub.set([0xeb, 0x63, 0x90]);
    expect(fat.detect(grub)).toBe('no');
    expect(mbr.detect(grub)).toBe('yes');
  });

  test.skipIf(!installed('fsck.fat'))('fsck.fat sees the same geometry', async () => {
    for (const file of ['fat/sound-fat12-fragmented.img', 'fat/sound-fat32.img']) {
      const told = run('fsck.fat', '-nv', fixturePath(file));
      const layer = root(await inspect(fixture(file)));
      const at = (label: string) => layer.regions.find((region) => region.label === label)?.offset;
      expect(told).toContain(`First FAT starts at byte ${at('file allocation table 1')} `);
      const data = Number(/Data area starts at byte (\d+)/.exec(told)?.[1]);
      expect(layer.regions.some((region) => region.offset === data)).toBe(true);
      expect(fat.detect(fixture(file))).toBe('yes');
    }
  });

  test.skipIf(!installed('mkfs.fat', 'mcopy', 'mdel'))('mcopy takes the same files out of FAT12, FAT16 and FAT32', async () => {
    const source = join(folder, 'fat-files');
    mkdirSync(source);
    const put = (name: string, bytes: Uint8Array): string => {
      writeFileSync(join(source, name), bytes);
      return join(source, name);
    };
    const names = [
      'KERNEL.IMG',
      'lower.dtb',
      'Mixed.Case',
      'a long name with blanks, exactly 39 letters',
      'a-name-of-26-letters-in-it',
      '.hidden',
      'no-content',
    ];
    const files = names.map((name, index) => put(name, noise(index === 6 ? 0 : 700 * index + 1, index)));
    const [first, second, big] = [put('first.bin', noise(3000, 20)), put('second.bin', noise(100, 21)), put('big.bin', noise(20_000, 22))];
    for (const [bits, length] of [
      [12, 1024 * 1024],
      [16, 8 * 1024 * 1024],
      [32, 34 * 1024 * 1024],
    ] as const) {
      const path = blank(`fat${bits}.img`, length);
      run('mkfs.fat', '--invariant', '-F', String(bits), '-s', '1', '-i', '12345678', path);
      run('mcopy', '-i', path, first, second, '::');
      // With nothing free behind it, what comes next fills the gap and goes on behind the other.
      run('mmd', '-i', path, '::overlays', '::overlays/one more folder', '::empty');
      run('mcopy', '-i', path, ...files, '::overlays/one more folder/');
      // More entries than the first cluster of the directory has room for.
      for (let number = 0; number < 20; number += 1) run('mcopy', '-i', path, second, `::overlays/copy number ${number}`);
      run('mdel', '-i', path, '::first.bin');
      run('mcopy', '-i', path, big, '::');
      const out = join(folder, `fat${bits}`);
      mkdirSync(out);
      run('mcopy', '-s', '-n', '-i', path, '::', out);
      const listed = filesIn(out);
      expect(listed.length).toBe(29);
      const image = read(path);
      const { findings, payloads, summary } = parse(fat, image);
      expect([summary?.slice(0, 6), findings]).toEqual([`FAT${bits} `, []]);
      expect(filesOf(fat, image)).toEqual(listed);
      // mtools takes the first free cluster on FAT12 and FAT16; on FAT32 it goes on where it was.
      if (bits !== 32) expect(payloads.find(({ label }) => label === 'big.bin')?.ranges.length).toBe(2);
    }
  });

  test.skipIf(!installed('mkfs.fat', 'mcopy'))('what is recognised in a file becomes a layer with its path, and what is not changes nothing', async () => {
    const path = blank('boot.img', 1024 * 1024);
    run('mkfs.fat', '--invariant', '-s', '1', path);
    writeFileSync(join(folder, 'noise.bin'), noise(5000, 3));
    run('mmd', '-i', path, '::overlays');
    run('mcopy', '-i', path, fixturePath('dtb/sound-board.dtb'), '::overlays/a-long-name-of-a-device-tree.dtb');
    run('mcopy', '-i', path, join(folder, 'noise.bin'), '::');
    const result = await inspect(read(path));
    expect(root(result).children.map(({ label, format }) => [label, format])).toEqual([['overlays/a-long-name-of-a-device-tree.dtb', 'dtb']]);
    expect([result.kind, result.status, result.findings, result.coverage.checked]).toEqual(['disk', 'sound', [], 0]);
    expect(result.identities.map(({ source, value: name }) => [source, name])).toContainEqual(['dtb.compatible', 'vendor,golden-v1']);
    expect(root(result).regions.filter(({ kind }) => kind === 'unknown')).toEqual([]);
  });
});

describe('ext4', () => {
  test.skipIf(!installed('dumpe2fs'))('dumpe2fs reads the same superblock', async () => {
    for (const file of ['sound-ext2.img', 'sound-uninit-bg.img', 'sound-metadata-csum.img']) {
      const told = run('dumpe2fs', '-h', fixturePath(`ext4/${file}`));
      const line = (name: string) => new RegExp(`^${name}: +(.*)$`, 'm').exec(told)?.[1];
      const layer = root(await inspect(fixture(`ext4/${file}`)));
      expect(value(layer, 'uuid')).toBe(line('Filesystem UUID'));
      expect(value(layer, 'label')).toBe(line('Filesystem volume name'));
      expect(String(value(layer, 'blocks'))).toBe(line('Block count'));
      expect(String(value(layer, 'inodes'))).toBe(line('Inode count'));
      const named = ['compatible', 'incompatible', 'readOnlyCompatible'].flatMap(
        (name) => layer.fields.find((field) => field.name === name)?.meaning?.split(', ') ?? [],
      );
      expect(named.filter((name) => name !== 'none').sort()).toEqual(line('Filesystem features')?.split(' ').sort());
    }
  });

  test.skipIf(!installed('mke2fs'))('mke2fs: the descriptors of many groups are checked, each with its number', async () => {
    for (const feature of ['metadata_csum,^uninit_bg', '^metadata_csum,uninit_bg']) {
      const path = blank('groups.img', 4 * 1024 * 1024);
      run('mke2fs', '-q', '-F', '-t', 'ext4', '-b', '1024', '-g', '256', '-O', `${feature},^resize_inode`, path);
      const bytes = read(path);
      expect((await inspect(bytes)).findings).toEqual([]);
      const descriptors = root(await inspect(bytes)).regions.find((region) => region.label === 'group descriptors');
      expect(descriptors?.length).toBeGreaterThanOrEqual(16 * 32);
      const damaged = (descriptors?.offset ?? 0) + 9 * ((descriptors?.length ?? 0) / 16) + 3;
      bytes[damaged] = (bytes[damaged] as number) ^ 0x10;
      expect((await inspect(bytes)).findings.map((entry) => entry.code)).toEqual(['header-checksum-mismatch']);
    }
  });

  /** A folder with what tells the ways of keeping blocks apart. */
  function tree(name: string): string {
    const path = join(folder, name);
    mkdirSync(join(path, 'boot', 'a folder'), { recursive: true });
    mkdirSync(join(path, 'many'));
    const put = (file: string, bytes: Uint8Array): void => writeFileSync(join(path, file), bytes);
    put('cmdline.txt', noise(50, 1));
    put('empty', new Uint8Array(0));
    put('boot/twelve-blocks', noise(12 * 1024, 2));
    put('boot/one-level', noise(200_001, 3));
    put('boot/a folder/two-levels', noise(600_000, 4));
    // With a hole behind every other block there are more extents than an inode has room for.
    const holes = new Uint8Array(96 * 4096 + 100);
    for (let block = 0; block < 96; block += 2) holes.set(noise(4096, block), block * 4096);
    put('boot/holes', holes);
    put('boot/nothing but a hole', new Uint8Array(50_000));
    linkSync(join(path, 'cmdline.txt'), join(path, 'boot', 'second-name'));
    symlinkSync('boot', join(path, 'link'));
    for (let number = 0; number < 150; number += 1) put(`many/with a name that is somewhat longer, number ${number}`, noise(1, number));
    return path;
  }

  test.skipIf(!installed('mke2fs', 'debugfs', 'e2fsck'))('debugfs takes the same files out, with block maps, extents and indexed directories', async () => {
    const source = tree('ext4-files');
    const checks = ['directory-crc', 'inode-crc'];
    for (const { name, options, expected } of [
      { name: 'ext2', options: ['-t', 'ext2', '-b', '1024'], expected: [] },
      { name: 'ext3', options: ['-t', 'ext3', '-b', '4096'], expected: [] },
      { name: 'extents', options: ['-t', 'ext4', '-b', '1024', '-O', '^metadata_csum,^64bit'], expected: [] },
      { name: 'checksums', options: ['-t', 'ext4', '-b', '1024', '-O', 'metadata_csum,metadata_csum_seed,64bit'], expected: [...checks, 'extent-crc'] },
      { name: 'maps-with-checksums', options: ['-t', 'ext4', '-b', '2048', '-I', '128', '-O', 'metadata_csum,^extent,^64bit'], expected: checks },
      { name: 'many-groups', options: ['-t', 'ext4', '-b', '1024', '-g', '1024', '-O', '^flex_bg,^resize_inode,^metadata_csum'], expected: [] },
      { name: 'revision-0', options: ['-t', 'ext2', '-r', '0', '-b', '1024', '-O', 'none'], expected: [] },
    ]) {
      const path = blank(`${name}.img`, 8 * 1024 * 1024);
      run('mke2fs', '-q', '-F', ...options, '-d', source, path);
      // It sorts the names into a tree; its status says that it has changed something.
      attempt('e2fsck', '-f', '-y', '-D', path);
      const out = join(folder, `out-${name}`);
      mkdirSync(out);
      run('debugfs', '-R', `rdump / ${out}`, path);
      const listed = filesIn(out);
      expect(listed, name).toEqual(filesIn(source));
      const image = read(path);
      expect(filesOf(ext4, image, { 'boot/second-name': 'cmdline.txt' }), name).toEqual(listed);
      expect((await inspect(image)).findings, name).toEqual([]);
      const made = parse(ext4, image).checks.filter((check) => check.name.endsWith('-crc'));
      expect(made.map((check) => check.name).sort(), name).toEqual([...expected].sort());
    }
  });

  test.skipIf(!installed('mke2fs'))('of a root file system only the top and boot are looked at', async () => {
    const source = join(folder, 'root');
    const board = fixture('dtb/sound-board.dtb');
    for (const name of ['etc', 'bin', 'boot/deeper', 'lib']) {
      mkdirSync(join(source, name), { recursive: true });
      writeFileSync(join(source, name, 'a.dtb'), board);
    }
    writeFileSync(join(source, 'top.dtb'), board);
    const path = blank('root.img', 1024 * 1024);
    run('mke2fs', '-q', '-F', '-t', 'ext4', '-d', source, path);
    const result = await inspect(read(path));
    expect(root(result).summary).toContain('a root file system');
    expect(root(result).children.map(({ label }) => label)).toEqual(['top.dtb', 'boot/deeper/a.dtb']);
    expect([result.kind, result.status, result.findings]).toEqual(['rootfs', 'sound', []]);
  });

  test.skipIf(!installed('mke2fs', 'mkfs.fat', 'mcopy'))('more files than are looked at are a note, in both file systems', async () => {
    const source = join(folder, 'many-files');
    mkdirSync(join(source, 'files'), { recursive: true });
    for (let number = 0; number < defaultLimits.files; number += 1) writeFileSync(join(source, 'files', `${number}`), `${number}`);
    const [path, fatPath] = [blank('many.img', 4 * 1024 * 1024), blank('many-fat.img', 4 * 1024 * 1024)];
    run('mke2fs', '-q', '-F', '-t', 'ext4', '-d', source, path);
    run('mkfs.fat', '-s', '1', fatPath);
    run('mcopy', '-s', '-i', fatPath, join(source, 'files'), '::');
    for (const image of [path, fatPath]) {
      const { status, findings, root: layer } = await inspect(read(image));
      expect([status, findings.map(({ code }) => code)]).toEqual(['sound', ['files-omitted', 'details-omitted']]);
      expect(layer?.summary).toContain('more than');
    }
  });

  test('damage in a tree is told where it is', async () => {
    const places = async (file: string) => (await inspect(fixture(`ext4/${file}`))).findings.map(({ code, offset, length }) => [code, offset, length]);
    expect(await places('structure-invalid--directory-in-itself.img')).toEqual([['structure-invalid', 27712, 16]]);
    expect(await places('structure-invalid--block-used-twice.img')).toEqual([['structure-invalid', 8488, 60]]);
    expect(await places('structure-invalid--extent-behind-end.img')).toEqual([['structure-invalid', 39208, 60]]);
    expect(await places('header-checksum-mismatch--inode.img')).toEqual([['header-checksum-mismatch', 39168, 256]]);
    expect(await places('header-checksum-mismatch--directory.img')).toEqual([['header-checksum-mismatch', 18432, 1024]]);
  });

  test('ext4.detect() takes no zeros and no other file system', () => {
    expect(ext4.detect(new Uint8Array(65536))).toBe('no');
    expect(ext4.detect(fixture('fat/sound-fat12-fragmented.img'))).toBe('no');
    expect(ext4.detect(fixture('squashfs/sound-gzip.squashfs'))).toBe('no');
  });
});
