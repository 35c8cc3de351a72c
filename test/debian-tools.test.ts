/** What the reference tools say of an image is what owimg says: over the fixtures, over what lies in them, and over images that the tools make on the spot. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { architectures, compressions, operatingSystems } from '../formats/data/uimage.ts';
import { type Inspection, inspect, type Layer } from '../src/index.ts';
import { fixtures, readFixture } from './support/fixtures.ts';
import { randomFrom } from './support/random.ts';
import { attempt, installed, run } from './support/tools.ts';

const folder = mkdtempSync(join(tmpdir(), 'owimg-tools-'));
afterAll(() => rmSync(folder, { recursive: true }));

const read = (path: string): Uint8Array => new Uint8Array(readFileSync(path));
function write(name: string, bytes: Uint8Array | string): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

/** One image of a format: a fixture, or what lies in one as such, with what `inspect` says of these bytes alone. */
interface Sample {
  readonly from: string;
  readonly bytes: Uint8Array;
  readonly result: Inspection;
  readonly root: Layer;
}

const samples = new Map<string, Sample[]>();
const samplesOf = (...formats: string[]): Sample[] => formats.flatMap((format) => samples.get(format) ?? []);

beforeAll(async () => {
  const seen = new Set<string>();
  const compared = new Set(['uimage', 'fit', 'dtb', 'squashfs', 'tar', 'sysupgrade-tar']);
  for (const fixture of fixtures) {
    const file = readFixture(fixture);
    const layers = (await inspect(file)).root;
    const waiting = layers === null ? [] : [layers];
    for (let layer = waiting.pop(); layer !== undefined; layer = waiting.pop()) {
      waiting.push(...layer.children.filter(({ source }) => source === undefined));
      const bytes = file.subarray(layer.offset, layer.offset + layer.length);
      const key = Buffer.from(bytes).toString('latin1');
      if (!compared.has(layer.format) || seen.has(key)) continue;
      seen.add(key);
      const result = await inspect(bytes);
      if (result.root === null) throw new Error(`${fixture.format}/${fixture.file}: nothing is known of its ${layer.format} at ${layer.offset}`);
      const sample = { from: `${fixture.format}/${fixture.file} at ${layer.offset}`, bytes, result, root: result.root };
      samples.set(layer.format, [...(samples.get(layer.format) ?? []), sample]);
    }
  }
});

const field = (layer: Layer, name: string) => layer.fields.find((entry) => entry.name === name);
const value = (layer: Layer, name: string): unknown => field(layer, name)?.value;
/** `Tue Nov 14 22:13:20 2023` in UTC -> as owimg shows it. */
const date = (told: string): string => new Date(`${told} UTC`).toISOString().replace('.000', '');
/** What stands behind `Name:` at the beginning of a line. */
function line(told: string, name: string, separator = ': *'): string | undefined {
  return new RegExp(`^${name}${separator}(.*)$`, 'm').exec(told)?.[1];
}

/** The names that mkimage itself lists, short -> long. */
function mkimageNames(option: string): Map<string, string> {
  return new Map([...attempt('mkimage', option, 'list').err.matchAll(/^\t(\S+) +(.+)$/gm)].map(([, short, long]) => [short as string, long as string]));
}

const bytesFrom = (random: (below: number) => number, length: number): Uint8Array => Uint8Array.from({ length }, () => random(256));

describe.skipIf(!installed('dumpimage', 'mkimage'))('dumpimage and mkimage', () => {
  const names = { architecture: mkimageNames('-A'), os: mkimageNames('-O'), type: mkimageNames('-T'), compression: mkimageNames('-C') };
  const longName = (layer: Layer, name: keyof typeof names): string => names[name].get(field(layer, name)?.meaning ?? '') ?? 'Unknown Image';

  /** It takes everything behind the header for the data, so that it gets no more than the header says. */
  function listUimage(bytes: Uint8Array) {
    const end = bytes.length < 64 ? bytes.length : 64 + new DataView(bytes.buffer, bytes.byteOffset).getUint32(12);
    return attempt('dumpimage', '-T', 'kernel', '-l', write('uimage.bin', bytes.subarray(0, end)));
  }

  const told = (out: string) => ({
    name: line(out, 'Image Name', ': {3}'),
    created: date(line(out, 'Created') ?? ''),
    type: line(out, 'Image Type'),
    dataLength: Number.parseInt(line(out, 'Data Size') ?? '', 10),
    load: `0x${line(out, 'Load Address')}`,
    entry: `0x${line(out, 'Entry Point')}`,
    members: [...out.matchAll(/^ {3}Image \d+: (\d+) Bytes/gm)].map(([, length]) => Number(length)),
  });
  /** Vendors put numbers where others have the name; dumpimage shows the text in front of the first zero. */
  const nameOf = (bytes: Uint8Array): string => (Buffer.from(bytes.subarray(32, 64)).toString('latin1').split('\0')[0] as string).replace(/^\n/, '');
  const shown = ({ bytes, root }: Pick<Sample, 'bytes' | 'root'>) => ({
    name: nameOf(bytes),
    created: field(root, 'time')?.meaning,
    type: `${longName(root, 'architecture')} ${longName(root, 'os')} ${longName(root, 'type')} (${longName(root, 'compression')})`,
    dataLength: value(root, 'dataLength'),
    load: value(root, 'load'),
    entry: value(root, 'entry'),
    members: root.fields.filter(({ name }) => name.startsWith('memberLength')).map((entry) => entry.value),
  });

  test('uimage.parse() reads what dumpimage lists', () => {
    const accepted = samplesOf('uimage').flatMap((sample) => {
      const { ok, out } = listUimage(sample.bytes);
      return ok ? [{ ...sample, out }] : [];
    });
    for (const { out, ...sample } of accepted) {
      // A table without an end is not read to its end.
      const members = sample.result.status === 'broken' ? {} : { members: told(out).members };
      expect(shown(sample), sample.from).toEqual({ ...told(out), members: expect.anything(), ...members });
    }
    expect(accepted.length).toBeGreaterThanOrEqual(16);
    expect(accepted.filter(({ out }) => told(out).members.length === 3).length).toBeGreaterThanOrEqual(1);
  });

  test('a uImage that dumpimage refuses is not sound, but for headers that vendors changed', () => {
    const refused = samplesOf('uimage').filter(({ bytes }) => !listUimage(bytes).ok);
    const changed = ({ root }: Sample): boolean => value(root, 'magic') !== '0x27051956' || root.regions[0]?.length !== 64;
    const standard = refused.filter((sample) => !changed(sample));
    expect(standard.filter(({ result }) => result.status !== 'broken').map(({ from }) => from)).toEqual([]);
    expect(standard.length).toBeGreaterThanOrEqual(9);
    expect(standard.map(({ from }) => from)).toContain('uimage/header-checksum-mismatch--name.bin at 0');
  });

  // For a TEE mkimage takes the addresses out of the data.
  const systems = [...names.os.keys()].filter((name) => name !== 'tee');
  const types = ['kernel', 'kernel_noload', 'ramdisk', 'filesystem', 'firmware', 'standalone', 'script', 'multi'];

  /** An image of random values from the tool. */
  function make(seed: number, ...compressed: string[]): { bytes: Uint8Array; given: Record<string, unknown>; data: Uint8Array[] } {
    const random = randomFrom(seed);
    const pick = (list: readonly string[]): string => list[random(list.length)] as string;
    const hex32 = (): string => `0x${[random(0x10000), random(0x10000)].map((half) => half.toString(16).padStart(4, '0')).join('')}`;
    const type = pick(types);
    const data = Array.from({ length: type === 'multi' ? 1 + random(4) : 1 }, () => bytesFrom(random, 1 + random(300)));
    const given = {
      architecture: pick([...names.architecture.keys()]),
      os: pick(systems),
      type,
      compression: pick(compressed),
      load: hex32(),
      entry: hex32(),
      name: Array.from({ length: 1 + random(32) }, () => String.fromCharCode(0x21 + random(0x5e))).join(''),
      time: random(0x7fffffff),
    };
    const { architecture, os, compression, load, entry, name, time } = given;
    const files = data.map((part, index) => write(`part${index}`, part)).join(':');
    const path = join(folder, 'made.bin');
    const options = ['-A', architecture, '-O', os, '-T', type, '-C', compression, '-a', load, '-e', entry, '-n', name, '-d', files, path];
    run('env', `SOURCE_DATE_EPOCH=${time}`, 'mkimage', ...options);
    return { bytes: read(path), given, data };
  }

  test('uimage.parse() reads from what mkimage makes what mkimage was given', async () => {
    const used = { architecture: new Set<unknown>(), os: new Set<unknown>(), compression: new Set<unknown>(), type: new Set<unknown>() };
    for (let seed = 1; seed <= 100; seed += 1) {
      const { bytes, given, data } = make(seed, ...names.compression.keys());
      const result = await inspect(bytes);
      const root = result.root as Layer;
      const meaning = (name: string) => field(root, name)?.meaning;
      const seen = {
        ...Object.fromEntries(['load', 'entry', 'name', 'time'].map((name) => [name, value(root, name)])),
        ...Object.fromEntries(Object.keys(used).map((name) => [name, meaning(name)])),
      };
      expect(seen, `seed ${seed}`).toEqual(given);
      expect(
        root.checks.map(({ name, ok }) => [name, ok]),
        `seed ${seed}`,
      ).toEqual([
        ['header-crc', true],
        ['data-crc', true],
      ]);
      // Random bytes are not what gzip or LZMA writes, which owimg may say.
      const allowed = given['compression'] === 'none' ? [] : ['compression-mismatch'];
      expect(
        result.findings.map(({ code }) => code).filter((code) => !allowed.includes(code)),
        `seed ${seed}`,
      ).toEqual([]);
      const parts = root.regions.filter(({ kind }) => kind === 'payload').map(({ offset, length }) => bytes.slice(offset, offset + length));
      expect(parts, `seed ${seed}`).toEqual(data);
      for (const [name, set] of Object.entries(used)) set.add(given[name]);
    }
    const known = { architecture: architectures, os: operatingSystems, compression: compressions };
    for (const [name, table] of Object.entries(known)) expect(table).toEqual(expect.arrayContaining([...names[name as keyof typeof known].keys()]));
    expect(Object.values(used).map(({ size }) => size)).toEqual([names.architecture.size, systems.length, names.compression.size, types.length]);
  });

  test('one changed bit, and owimg and dumpimage both refuse the image', async () => {
    const { bytes } = make(7, 'none');
    expect([listUimage(bytes).ok, (await inspect(bytes)).status]).toEqual([true, 'sound']);
    const random = randomFrom(7);
    for (let round = 0; round < 40; round += 1) {
      const damaged = bytes.slice();
      const offset = round < 20 ? random(64) : random(bytes.length);
      damaged[offset] = (damaged[offset] as number) ^ (1 << random(8));
      const { status } = await inspect(damaged);
      const refused = !attempt('dumpimage', '-T', 'kernel', '-l', write('damaged.bin', damaged)).ok;
      expect([offset, refused, status]).toEqual([offset, true, 'broken']);
    }
  });

  interface Listed {
    /** Lines in front of the first image, and the one that names the default configuration. */
    readonly head: [string, string][];
    readonly images: { name: string; lines: [string, string][] }[];
    readonly configurations: { name: string; lines: [string, string][] }[];
  }

  function listedFit(out: string): Listed {
    const listed: Listed = { head: [], images: [], configurations: [] };
    let lines = listed.head;
    for (const text of out.trimEnd().split('\n')) {
      const [, what, name] = /^ (Image|Configuration) \d+ \((.*)\)$/.exec(text) ?? [];
      if (what !== undefined) {
        lines = [];
        listed[what === 'Image' ? 'images' : 'configurations'].push({ name: name as string, lines });
        continue;
      }
      const [, key, rest] = /^ *([A-Z][A-Za-z ]*): +(.*)$/.exec(text) ?? [];
      if (key === undefined) throw new Error(`Cannot read this line of dumpimage: "${text}"`);
      (key === 'Default Configuration' ? listed.head : lines).push([key, rest as string]);
    }
    return listed;
  }

  const nodesOf = (root: Layer, parent: string): string[] => [
    ...new Set(root.fields.flatMap(({ name }) => (name.startsWith(`${parent}/`) ? (/^([^/]+)\//.exec(name.slice(parent.length + 1))?.[1] ?? []) : []))),
  ];

  /** What dumpimage must say in a line, from what owimg read. */
  function expectedLine(root: Layer, path: string, key: string, occurrence: number): string {
    const text = (name: string): string => String(value(root, `${path}/${name}`) ?? 'unavailable');
    const named = (name: string, short: string, list: ReadonlyMap<string, string>, unknown: string): string =>
      list.get(String(value(root, `${path}/${name}`) ?? short).toLowerCase()) ?? unknown;
    const child = (kind: string, name: string): string => {
      const node = nodesOf(root, path).filter((entry) => entry.startsWith(kind))[occurrence];
      return String(value(root, `${path}/${node}/${name}`));
    };
    switch (key) {
      case 'FIT description':
      case 'Description':
        return text('description');
      case 'Created':
        return String(field(root, '/timestamp')?.meaning);
      case 'Type':
        return named('type', '', names.type, 'Unknown Image');
      case 'Compression':
        return named('compression', 'none', names.compression, 'Unknown Compression');
      case 'Architecture':
        return named('arch', '', names.architecture, 'Unknown Architecture');
      case 'OS':
        return named('os', '', names.os, 'Unknown OS');
      case 'Data Size':
        return String(value(root, `${path}/data-size`) ?? value(root, `${path}/data`) ?? 'unavailable');
      case 'Load Address':
        return text('load');
      case 'Entry Point':
        return text('entry');
      case 'Hash algo':
        return child('hash', 'algo');
      case 'Hash value':
        return child('hash', 'value');
      case 'Default Configuration':
        return `'${value(root, '/configurations/default')}'`;
      case 'Kernel':
      case 'Firmware':
      case 'FDT':
      case 'Loadables':
        return text(key.toLowerCase());
      case 'Init Ramdisk':
        return text('ramdisk');
      case 'Sign algo':
        return `${child('signature', 'algo')}:${child('signature', 'key-name-hint')}`;
      case 'Sign value':
        return child('signature', 'value');
      case 'Timestamp':
        return String(field(root, `${path}/${nodesOf(root, path).find((node) => node.startsWith('signature'))}/timestamp`)?.meaning);
      default:
        throw new Error(`Cannot compare "${key}" of ${path}`);
    }
  }

  /** A size stands in bytes, KiB and MiB, and one of 32 bits with its sign; a date in words. */
  function plain(key: string, told: string): string {
    if (key === 'Created' || key === 'Timestamp') return date(told);
    if (key === 'Data Size' && told !== 'unavailable') return String(Number.parseInt(told, 10) >>> 0);
    return told;
  }

  const listFit = (bytes: Uint8Array) => attempt('dumpimage', '-T', 'flat_dt', '-l', write('fit.itb', bytes));

  test('fit.parse() reads what dumpimage lists', () => {
    let [compared, lines] = [0, 0];
    for (const { from, bytes, root } of samplesOf('fit')) {
      const { ok, out } = listFit(bytes);
      if (!ok) continue;
      const listed = listedFit(out);
      const sections = [
        { path: '', lines: listed.head },
        ...listed.images.map(({ name, lines }) => ({ path: `/images/${name}`, lines })),
        ...listed.configurations.map(({ name, lines }) => ({ path: `/configurations/${name}`, lines })),
      ];
      for (const { path, lines } of sections) {
        const occurrences = new Map<string, number>();
        const expected = lines.map(([key]) => {
          const occurrence = occurrences.get(key) ?? 0;
          occurrences.set(key, occurrence + 1);
          return [key, expectedLine(root, path, key, occurrence)];
        });
        expect(expected, `${from}: ${path}`).toEqual(lines.map(([key, told]) => [key, plain(key, told)]));
      }
      expect(nodesOf(root, '/images'), from).toEqual(listed.images.map(({ name }) => name));
      expect(nodesOf(root, '/configurations'), from).toEqual(listed.configurations.map(({ name }) => name));
      compared += 1;
      lines += sections.reduce((sum, section) => sum + section.lines.length, 0);
    }
    expect(compared).toBeGreaterThanOrEqual(20);
    expect(lines).toBeGreaterThanOrEqual(600);
  });

  test('fit.parse() finds the data that dumpimage takes out', () => {
    let compared = 0;
    for (const { from, bytes, result, root } of samplesOf('fit')) {
      if (result.status !== 'sound') continue;
      const path = write('fit.itb', bytes);
      for (const [index, name] of nodesOf(root, '/images').entries()) {
        const out = join(folder, 'taken.bin');
        run('dumpimage', '-T', 'flat_dt', '-p', String(index), '-o', out, path);
        const taken = read(out);
        // Behind a file system in it may be padding, which is a region of its own.
        const offset = root.regions.find(({ kind, label }) => kind === 'payload' && label === name)?.offset as number;
        expect(taken.length, `${from}: ${name}`).toBe(value(root, `/images/${name}/data-size`) ?? value(root, `/images/${name}/data`));
        expect(Buffer.compare(taken, bytes.subarray(offset, offset + taken.length)), `${from}: ${name}`).toBe(0);
        compared += 1;
      }
    }
    expect(compared).toBeGreaterThanOrEqual(20);
  });

  test('a FIT that dumpimage refuses is not sound', () => {
    const refused = samplesOf('fit').filter(({ bytes }) => !listFit(bytes).ok);
    expect(refused.filter(({ result }) => result.status !== 'broken').map(({ from }) => from)).toEqual([]);
    expect(refused.length).toBeGreaterThanOrEqual(6);
  });
});

describe.skipIf(!installed('fdtdump', 'fdtget', 'dtc'))('fdtdump, fdtget and dtc', () => {
  const readable = (bytes: Uint8Array): boolean => attempt('dtc', '-q', '-I', 'dtb', '-O', 'dtb', '-o', join(folder, 'out.dtb'), write('in.dtb', bytes)).ok;

  test('dtb.parse() reads header, reservations and names of the board as fdtdump and fdtget do', () => {
    const whole = samplesOf('dtb').filter(({ result }) => result.status === 'sound');
    for (const { from, bytes, root } of whole) {
      const path = write('board.dtb', bytes);
      const dump = run('fdtdump', path);
      const number = (name: string): number => Number((line(dump, `// ${name}`, ':\\s+') ?? '').split(' ')[0]);
      expect(
        [
          'totalLength',
          'structureOffset',
          'stringsOffset',
          'reserveMapOffset',
          'version',
          'lastCompatibleVersion',
          'bootCpu',
          'stringsLength',
          'structureLength',
        ].map((name) => value(root, name)),
        from,
      ).toEqual(
        [
          'totalsize',
          'off_dt_struct',
          'off_dt_strings',
          'off_mem_rsvmap',
          'version',
          'last_comp_version',
          'boot_cpuid_phys',
          'size_dt_strings',
          'size_dt_struct',
        ].map(number),
      );
      const reserved = [...dump.matchAll(/^\/memreserve\/ (\S+) (\S+);$/gm)].map(([, ...numbers]) => numbers.map(BigInt));
      const shown = root.fields.filter(({ name }) => name.startsWith('reservation')).map((entry) => (entry.value as string[]).map(BigInt));
      expect(shown, from).toEqual(reserved);
      for (const name of ['model', 'compatible']) expect([value(root, name)].flat().join(' '), from).toBe(run('fdtget', '-t', 's', path, '/', name).trimEnd());
    }
    expect(whole.length).toBeGreaterThanOrEqual(2);
    expect(whole.map(({ from }) => from)).toContain('dtb/sound-reservations-and-padding.dtb at 0');
  });

  test('a device tree that dtc or fdtget refuses is not sound', () => {
    const refused = samplesOf('dtb').filter(({ bytes }) => !readable(bytes) || !attempt('fdtget', '-p', write('in.dtb', bytes), '/').ok);
    expect(refused.filter(({ result }) => result.status !== 'broken').map(({ from }) => from)).toEqual([]);
    expect(refused.length).toBeGreaterThanOrEqual(3);
  });

  test('dtb.parse() reads a tree that dtc makes on the spot', async () => {
    for (let seed = 1; seed <= 20; seed += 1) {
      const random = randomFrom(seed);
      const word = (): string => Array.from({ length: 1 + random(20) }, () => String.fromCharCode(0x61 + random(26))).join('');
      const [model, compatible] = [`${word()} ${word()}`, Array.from({ length: 1 + random(4) }, () => `${word()},${word()}`)];
      const reservations = Array.from({ length: random(3) }, () => [random(0x7fffffff), 1 + random(0x10000)]);
      const nodes = Array.from({ length: random(6) }, (_, index) => `${word()}@${index} { reg = <${random(1000)} 1>; label = "${word()}"; };`);
      const source = [
        '/dts-v1/;',
        ...reservations.map(([offset, length]) => `/memreserve/ ${offset} ${length};`),
        `/ { model = "${model}"; compatible = ${compatible.map((name) => `"${name}"`).join(', ')}; ${nodes.join(' ')} };`,
      ].join('\n');
      const path = join(folder, 'made.dtb');
      run('dtc', '-q', '-I', 'dts', '-O', 'dtb', '-p', String(random(64)), '-o', path, write('made.dts', source));
      const result = await inspect(read(path));
      expect([result.format, result.status], `seed ${seed}`).toEqual(['dtb', 'sound']);
      expect(result.identities.map((entry) => [entry.source, entry.value])).toEqual([
        ['dtb.model', model],
        ...compatible.map((name) => ['dtb.compatible', name]),
      ]);
      const root = result.root as Layer;
      expect(root.fields.filter(({ name }) => name.startsWith('reservation')).map((entry) => (entry.value as string[]).map(Number))).toEqual(reservations);
    }
  });
});

describe.skipIf(!installed('unsquashfs', 'mksquashfs'))('unsquashfs and mksquashfs', () => {
  /** Flags of the superblock, bit -> the words of unsquashfs where it is set. */
  const flagLines: readonly (readonly [number, RegExp])[] = [
    [0x0001, /^Inodes are uncompressed$/m],
    [0x0002, /^Data is uncompressed$/m],
    [0x0008, /^Fragments are uncompressed$/m],
    [0x0020, /^Always-use-fragments option is specified$/m],
    [0x0040, /^Duplicates are removed$/m],
    [0x0080, /^Filesystem is exportable via NFS$/m],
    [0x0200, /^Xattrs are not stored$/m],
  ];

  function compareSuperblock(root: Layer, told: string, from: string): void {
    const number = (name: string): number => Number.parseInt(line(told, name, ' +') ?? '', 10);
    const shown = {
      version: `${value(root, 'major')}:${value(root, 'minor')}`,
      created: field(root, 'time')?.meaning,
      compression: field(root, 'compression')?.meaning,
      numbers: ['bytesUsed', 'blockLength', 'fragments', 'inodes', 'ids'].map((name) => Number(value(root, name))),
      flags: flagLines.map(([bit]) => (Number(value(root, 'flags')) & bit) !== 0),
    };
    expect(shown, from).toEqual({
      version: /^Found a valid SQUASHFS (\d+:\d+) superblock/m.exec(told)?.[1],
      created: date(line(told, 'Creation or last append time', ' +') ?? ''),
      compression: line(told, 'Compression', ' +'),
      numbers: ['Filesystem size', 'Block size', 'Number of fragments', 'Number of inodes', 'Number of ids'].map(number),
      flags: flagLines.map(([, words]) => words.test(told)),
    });
  }

  test('squashfs.parse() reads the superblock that unsquashfs reads', () => {
    const accepted = samplesOf('squashfs').flatMap((sample) => {
      const { ok, out } = attempt('unsquashfs', '-s', write('root.squashfs', sample.bytes));
      return ok ? [{ ...sample, out }] : [];
    });
    for (const { root, out, from } of accepted) compareSuperblock(root, out, from);
    expect(accepted.length).toBeGreaterThanOrEqual(6);
  });

  test('a SquashFS whose superblock unsquashfs refuses is not sound', () => {
    const refused = samplesOf('squashfs').filter(({ bytes }) => !attempt('unsquashfs', '-s', write('root.squashfs', bytes)).ok);
    expect(refused.filter(({ result }) => result.status !== 'broken').map(({ from }) => from)).toEqual([]);
    expect(refused.map(({ from }) => from)).toContain('squashfs/magic-damaged--swapped.squashfs at 0');
  });

  test.each([
    ['gzip', 4096, '-no-duplicates'],
    ['xz', 262144, '-always-use-fragments'],
    ['lzo', 131072, '-noI'],
    ['lz4', 1048576, '-noF'],
    ['zstd', 65536, '-noD'],
    ['lzma', 131072, '-no-fragments'],
  ])('squashfs.parse() calls sound what mksquashfs -comp %s -b %i %s makes', async (compression, blockLength, option) => {
    const random = randomFrom(blockLength);
    const tree = join(folder, `tree-${compression}`);
    mkdirSync(join(tree, 'etc/config'), { recursive: true });
    for (let index = 0; index < 12; index += 1) {
      const content = index % 3 === 0 ? new Uint8Array(random(20000)) : bytesFrom(random, random(9000));
      writeFileSync(join(tree, index % 2 === 0 ? 'etc' : 'etc/config', `file${index}`), content);
    }
    const path = join(folder, `${compression}.squashfs`);
    const time = random(0x7fffffff);
    run('mksquashfs', tree, path, '-comp', compression, '-b', String(blockLength), '-mkfs-time', String(time), '-no-progress', '-all-root', option);
    const bytes = read(path);
    const result = await inspect(bytes);
    const root = result.root as Layer;
    expect([result.format, result.kind, result.status, result.findings]).toEqual(['squashfs', 'rootfs', 'sound', []]);
    expect([value(root, 'time'), value(root, 'blockLength'), field(root, 'compression')?.meaning]).toEqual([time, blockLength, compression]);
    // Root, etc, config and the files.
    expect(value(root, 'inodes')).toBe(15);
    compareSuperblock(root, run('unsquashfs', '-s', path), path);
    const cut = bytes.subarray(0, Number(value(root, 'bytesUsed')) - 1);
    expect((await inspect(cut)).findings.map(({ code }) => code)).toEqual(['rootfs-truncated']);
  });
});

describe.skipIf(!installed('tar'))('tar', () => {
  const list = (bytes: Uint8Array) =>
    attempt('tar', '--utc', '--full-time', '--numeric-owner', '--quoting-style=literal', '-tvPf', write('archive.tar', bytes));

  test('tar.parse() and sysupgrade-tar.parse() read the members that tar lists', () => {
    let [archives, members] = [0, 0];
    for (const { from, bytes, root } of samplesOf('tar', 'sysupgrade-tar')) {
      const { ok, out } = list(bytes);
      if (!ok) continue;
      const listed = [...out.matchAll(/^\S{10} (\d+)\/(\d+) +(\d+) (\S+ \S+) (.*)$/gm)].map(([, uid, gid, length, time, name]) => ({
        numbers: [uid, gid, length].map(Number),
        time: `${time?.replace(' ', 'T')}Z`,
        name,
      }));
      const whole = root.regions.flatMap(({ label }) => /^header of (.*)$/.exec(label)?.[1] ?? []);
      const shown = whole.flatMap((name, index) => {
        const part = (what: string) => value(root, `members[${index}].${what}`);
        // Long names have entries of their own.
        if (['x', 'g', 'L', 'K'].includes(String(part('type')))) return [];
        const link = part('linkName') === '' ? '' : ` -> ${part('linkName')}`;
        return [{ numbers: ['uid', 'gid', 'length'].map(part), time: field(root, `members[${index}].time`)?.meaning, name: `${name}${link}` }];
      });
      expect(shown, from).toEqual(listed);
      archives += 1;
      members += listed.length;
    }
    expect(archives).toBeGreaterThanOrEqual(18);
    expect(members).toBeGreaterThanOrEqual(60);
  });

  test('an archive that tar refuses is not sound', () => {
    const refused = samplesOf('tar', 'sysupgrade-tar').filter(({ bytes }) => !list(bytes).ok);
    expect(refused.filter(({ result }) => result.status !== 'broken').map(({ from }) => from)).toEqual([]);
    expect(refused.length).toBeGreaterThanOrEqual(4);
  });
});

describe.skipIf(!installed('ubinize'))('ubinize', () => {
  test.each([
    ['128 KiB blocks, pages of 2 KiB', 131072, ['-m', '2048'], 2048, 4096],
    ['16 KiB blocks, sub-pages', 16384, ['-m', '512', '-s', '256'], 256, 512],
    ['64 KiB blocks of NOR', 65536, ['-m', '1'], 64, 128],
    ['a VID header elsewhere', 32768, ['-m', '1024', '-O', '2048'], 2048, 3072],
  ])('ubi.parse() reads volumes and their content from %s', async (_, pebLength, options, vidHeaderOffset, dataOffset) => {
    const random = randomFrom(pebLength);
    const leb = pebLength - dataOffset;
    const given = [
      { id: 0, name: 'kernel', type: 'static', blocks: 3, content: bytesFrom(random, 2 * leb + 1 + random(leb - 1)) },
      { id: 1, name: 'rootfs', type: 'dynamic', blocks: 5, content: bytesFrom(random, 4 * leb) },
      { id: 7, name: 'ubootenv 2', type: 'dynamic', blocks: 2, content: bytesFrom(random, 1 + random(leb)) },
      { id: 8, name: 'rootfs_data', type: 'dynamic', blocks: 1, content: undefined },
    ];
    const configuration = given.map(({ id, name, type, blocks, content }) =>
      [
        `[volume-${id}]`,
        'mode=ubi',
        `vol_id=${id}`,
        `vol_type=${type}`,
        `vol_name=${name}`,
        `vol_size=${blocks * leb}`,
        ...(content === undefined ? ['vol_flags=autoresize'] : [`image=${write(`volume${id}`, content)}`]),
      ].join('\n'),
    );
    const path = join(folder, 'made.ubi');
    const sequence = random(0x7fffffff);
    const eraseCounter = random(1000);
    run(
      'ubinize',
      '-o',
      path,
      '-p',
      String(pebLength),
      ...options,
      '-Q',
      String(sequence),
      '-e',
      String(eraseCounter),
      write('ubi.ini', configuration.join('\n')),
    );
    const bytes = read(path);
    const result = await inspect(bytes);
    const root = result.root as Layer;
    expect([result.format, root.checks.filter(({ ok }) => ok !== true)]).toEqual(['ubi', []]);
    // Nobody knows random bytes.
    expect(result.findings.map(({ code }) => code)).toEqual(['data-unknown', 'data-unknown']);
    const geometry = ['pebLength', 'vidHeaderOffset', 'dataOffset', 'imageSequence', 'eraseCounter'].map((name) => Number(value(root, name)));
    expect(geometry).toEqual([pebLength, vidHeaderOffset, dataOffset, sequence, eraseCounter]);
    const volumes = root.fields.flatMap(({ name }) => /^volume(\d+)\.name$/.exec(name)?.[1] ?? []);
    const shown = volumes.map((id) => ({
      id: Number(id),
      name: value(root, `volume${id}.name`),
      type: field(root, `volume${id}.volumeType`)?.meaning,
      blocks: value(root, `volume${id}.reservedPebs`),
      autoresize: value(root, `volume${id}.flags`) === 1,
    }));
    expect(shown).toEqual(given.map(({ content, ...volume }) => ({ ...volume, autoresize: content === undefined })));
    for (const { name, content } of given) {
      const parts = root.regions.filter(({ kind, label }) => kind === 'payload' && label === name);
      const gathered = Buffer.concat(parts.map(({ offset, length }) => bytes.subarray(offset, offset + length)));
      expect(gathered.length, name).toBe(content?.length ?? 0);
      expect(Buffer.compare(gathered, content ?? new Uint8Array(0)), name).toBe(0);
    }
  });

  test.skipIf(!installed('mkfs.ubifs', 'mksquashfs'))('a UBIFS and a SquashFS in volumes are gathered whole, with nothing wrong in them', async () => {
    const random = randomFrom(3);
    const tree = join(folder, 'tree-ubi');
    mkdirSync(tree);
    for (let index = 0; index < 8; index += 1) writeFileSync(join(tree, `file${index}`), bytesFrom(random, random(40000)));
    const [ubifs, squashfs, path] = ['made.ubifs', 'made.squashfs', 'made.ubi'].map((name) => join(folder, name)) as [string, string, string];
    run('mkfs.ubifs', '-m', '2048', '-e', '126976', '-c', '60', '-x', 'zlib', '-r', tree, '-o', ubifs);
    run('mksquashfs', tree, squashfs, '-comp', 'xz', '-no-progress');
    const volume = (id: number, name: string, image: string): string =>
      `[${name}]\nmode=ubi\nvol_id=${id}\nvol_type=dynamic\nvol_name=${name}\nvol_size=40MiB\nimage=${image}\n`;
    const configuration = `${volume(0, 'rootfs', squashfs)}${volume(1, 'rootfs_data', ubifs)}`;
    run('ubinize', '-o', path, '-p', '131072', '-m', '2048', write('ubi.ini', configuration));
    const result = await inspect(read(path));
    expect([result.status, result.findings]).toEqual(['sound', []]);
    const children = result.root?.children.map(({ format, label, length }) => [format, label, length]);
    const bytesUsed = Number(line(run('unsquashfs', '-s', squashfs), 'Filesystem size', ' +')?.split(' ')[0]);
    expect(children).toEqual([
      ['squashfs', 'rootfs', bytesUsed],
      ['ubifs', 'rootfs_data', read(ubifs).length],
    ]);
  });
});
