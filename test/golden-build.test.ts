/**
 * Build of each format gives the reference tool's bytes for the manifest's parameters: the payloads, and the words of the tools' command
 * lines put into the keys of `owimg wrap`, make the very file that the tools made. Skipped where the images are missing.
 */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { formats } from '../src/index.ts';
import { wrapWith } from '../src/wrap.ts';

const golden = fileURLToPath(new URL('../../shared/golden/open/', import.meta.url));
const present = existsSync(golden);

interface GoldenImage {
  readonly file: string;
  readonly storedAs: string;
  readonly image: string;
  readonly commands: readonly string[];
}
const images: readonly GoldenImage[] = present ? (JSON.parse(readFileSync(`${golden}manifest.json`, 'utf8')) as { images: GoldenImage[] }).images : [];

const load = ({ file, storedAs }: GoldenImage): Uint8Array => {
  const stored = readFileSync(`${golden}${file}`);
  return new Uint8Array(storedAs === 'gzip' ? gunzipSync(stored) : stored);
};

/** What the commands of one image have made so far, by name; all else is a payload. */
type Files = Map<string, Uint8Array>;
const read = (files: Files, name: string): Uint8Array =>
  files.get(name) ?? (name === '/dev/null' ? new Uint8Array(0) : new Uint8Array(readFileSync(`${golden}${name}`)));

type Given = Map<string, (string | Uint8Array)[]>;
const keysOf = (entries: Readonly<Record<string, string | Uint8Array | readonly string[] | undefined>>): Given =>
  new Map(
    Object.entries(entries).flatMap(([key, value]) => (value === undefined ? [] : [[key, Array.isArray(value) ? [...value] : [value as string | Uint8Array]]])),
  );

function wrap(id: string, payload: Uint8Array, given: Given): Uint8Array {
  const format = formats.find((entry) => entry.id === id);
  if (format === undefined) throw new Error(`no format ${id}`);
  return wrapWith(format, payload, given);
}

/** A tool: the format that it writes, and which option gives which key. */
interface Tool {
  readonly as: string;
  /** The option that names the input; a number counts the words that belong to no option. */
  readonly input: string | number;
  readonly output: string | number;
  readonly keys?: Readonly<Record<string, string>>;
  /** Keys that take the name of a file. */
  readonly files?: Readonly<Record<string, string>>;
  /** Options without a word behind them, and what they mean. */
  readonly flags?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** How the tool spells values that we spell otherwise, by key. */
  readonly spelled?: Readonly<Record<string, (value: string) => string>>;
  /** What it writes where nothing is said. */
  readonly always?: Readonly<Record<string, string>>;
}

/** The manifest's SOURCE_DATE_EPOCH, and the day that it falls on. */
const [epoch, date] = ['1700000000', '23-11-14'];

/** `-F`: the flash layouts of mktplinkfw and mktplinkfw2 that occur: length, load address, entry point, place of the root file system. */
const flashLayouts: Readonly<Record<string, readonly [string, string, string, string]>> = {
  '4M': ['0x3c0000', '0x80060000', '0x80060000', '0x140000'],
  '4Mlzma': ['0x3c0000', '0x80060000', '0x80060000', '0x100000'],
  '8Mmtk/1': ['0x7c0000', '0x80000000', '0x8000c310', '0x100000'],
  '4Mmtk': ['0x3c0000', '0x80000000', '0x80000000', '0x140000'],
  '4MLmtk': ['0x3d0000', '0x80000000', '0x80000000', '0x140000'],
  '8MSUmtk': ['0x770000', '0x80000000', '0x80000000', '0x140000'],
};
const reversed = (address: string): string => `0x${(address.slice(2).match(/../g) as string[]).reverse().join('')}`;

const tools: Readonly<Record<string, Tool>> = {
  mkimage: {
    as: 'uimage',
    input: '-d',
    output: 0,
    keys: { '-A': 'architecture', '-O': 'os', '-a': 'load', '-e': 'entry', '-T': 'type', '-C': 'compression', '-n': 'name' },
    spelled: { architecture: (word) => word.replace(/^ppc$/, 'powerpc'), name: (word) => word.slice(0, 32) },
    always: { time: epoch, load: '0' },
  },
  addpattern: {
    as: 'cybertan',
    input: '-i',
    output: '-o',
    keys: { '-p': 'pattern', '-v': 'version', '-s': 'serial' },
    flags: { '-4': { flags: '1f00' }, '-5': { stable: '7300', try1: '7400', try2: 'ffff', try3: 'ffff' } },
    spelled: { version: (word) => word.replace(/^v/, '') },
    always: { date },
  },
  asustrx: { as: 'asus-trx', input: '-i', output: '-o', keys: { '-p': 'productId', '-v': 'version' } },
  'motorola-bin': { as: 'motorola', input: 0, output: 1, flags: { '-1': { flags: 'WR850G' } } },
  mkchkimg: { as: 'netgear-chk', input: '-k', output: '-o', keys: { '-b': 'boardId', '-r': 'region' }, files: { '-f': 'rootfs' } },
  mkdniimg: {
    as: 'netgear-dni',
    input: '-i',
    output: '-o',
    keys: { '-B': 'device', '-v': 'version', '-r': 'region', '-H': 'hd_id' },
    spelled: { version: (word) => `V${word}` },
  },
  mkbuffaloimg: {
    as: 'buffalo-bcast',
    input: '-i',
    output: '-o',
    keys: { '-B': 'device', '-v': 'version', '-r': 'region', '-R': 'RootfsSize', '-K': 'KernelSize' },
  },
  'linksys-addfwhdr': { as: 'chdr', input: '-i', output: '-o' },
  imagetag: {
    as: 'imagetag',
    input: '-i',
    output: '--output',
    keys: {
      '--boardid': 'boardId',
      '--chipid': 'chipId',
      '--entry': 'entry',
      '--load-addr': 'load',
      '--info1': 'information1',
      '--info2': 'information2',
      '--block-size': 'blockSize',
      '--image-offset': 'flashImageStart',
      '--rsa-signature': 'rsaText',
      '--tag-version': 'tagVersion',
      '--layoutver': 'layoutVersion',
      '--second-image-flag': 'dualImage',
      '--pad': 'minimumLength',
    },
    files: { '-f': 'rootfs' },
    // The flash lies at 0xbfc00000, and the offset counts the tag.
    spelled: { flashImageStart: (word) => String(0xbfc00000 + 0x100 + Number(word)), minimumLength: (word) => String(Number(word) * 1024 * 1024) },
  },
  zyimage: { as: 'znbg-trailer', input: 0, output: 0, keys: { '-d': 'deviceId', '-v': 'version' } },
  mktplinkfw: {
    as: 'tplink-v1',
    input: '-k',
    output: '-o',
    keys: {
      '-H': 'hardwareId',
      '-W': 'hardwareRevision',
      '-N': 'vendor',
      '-V': 'firmwareVersion',
      '-m': 'version',
      '-C': 'country',
      '-a': 'align',
      '-L': 'load',
      '-E': 'entry',
    },
    files: { '-r': 'rootfs' },
    flags: { '-s': { stripped: 'yes' }, '-c': { flashLength: '0' } },
    always: { endMarks: 'no' },
  },
  mktplinkfw2: {
    as: 'tplink-v2',
    input: '-k',
    output: '-o',
    keys: {
      '-H': 'hardwareId',
      '-W': 'hardwareRevision',
      '-w': 'hardwareVersionAdded',
      '-V': 'firmwareVersion',
      '-T': 'version',
      '-a': 'align',
      '-L': 'load',
      '-E': 'entry',
    },
    files: { '-r': 'rootfs' },
    flags: { '-s': { stripped: 'yes' } },
    always: { endMarks: 'no' },
  },
  'sysupgrade-tar.sh': {
    as: 'sysupgrade-tar',
    input: '--kernel',
    output: 0,
    keys: { '--board': 'board' },
    files: { '--rootfs': 'root', '--dtb': 'dtb' },
    always: { time: epoch },
  },
};

/** A command line as words; quotes hold words together. */
const wordsOf = (command: string): string[] => (command.match(/"[^"]*"|\S+/g) ?? []).map((word) => word.replaceAll('"', ''));

/** What stands behind each option, and the words that belong to none. */
function parse(
  words: readonly string[],
  known: ReadonlySet<string>,
): { readonly options: Map<string, string[]>; readonly rest: string[]; readonly flags: Set<string> } {
  const options = new Map<string, string[]>();
  const flags = new Set<string>();
  const rest: string[] = [];
  for (let index = 0; index < words.length; index += 1) {
    const word = words[index] as string;
    if (known.has(word)) {
      options.set(word, [...(options.get(word) ?? []), words[index + 1] as string]);
      index += 1;
    } else if (/^--?[A-Za-z0-9]/.test(word)) flags.add(word);
    else rest.push(word);
  }
  return { options, rest, flags };
}

function runTool(name: string, words: readonly string[], files: Files): void {
  const { as, input, output, keys = {}, files: named = {}, flags = {}, spelled = {}, always = {} } = tools[name] as Tool;
  const ends = [input, output].filter((end) => typeof end === 'string');
  const {
    options,
    rest,
    flags: set,
  } = parse(words, new Set([...Object.keys(keys), ...Object.keys(named), ...ends, '-F', '-X', ...(name === 'mktplinkfw' ? ['-v'] : [])]));
  const word = (end: string | number): string => (typeof end === 'number' ? rest[end] : options.get(end)?.[0]) as string;
  const values: Record<string, string | Uint8Array> = { ...always };
  for (const [option, key] of Object.entries(keys)) {
    const [value] = options.get(option) ?? [];
    if (value !== undefined) values[key] = (spelled[key] ?? ((text: string) => text))(value);
  }
  for (const [option, key] of Object.entries(named)) {
    const [value] = options.get(option) ?? [];
    if (value !== undefined) values[key] = read(files, value);
  }
  const layout = options.get('-F')?.[0];
  if (layout !== undefined) {
    const [flashLength, loadAddress, entry, rootfsOffset] = (flashLayouts[name === 'mktplinkfw' ? `${layout}/1` : layout] ?? flashLayouts[layout]) as readonly [
      string,
      string,
      string,
      string,
    ];
    const ordered = set.has('-e') ? reversed : (address: string): string => address;
    Object.assign(values, { flashLength, load: values['load'] ?? ordered(loadAddress), entry: values['entry'] ?? ordered(entry) });
    // Without -a the root file system has its place in the layout; -O is for kernels alone.
    if (!options.has('-a')) values['rootfsOffset'] = rootfsOffset;
  }
  const [high, middle, low] = name === 'mktplinkfw' ? (options.get('-v')?.[0]?.split('.') ?? []) : [];
  if (high !== undefined) Object.assign(values, { versionHigh: high, versionMiddle: middle, versionLow: low });
  if (set.has('-j')) values['endMarks'] = 'yes';
  for (const flag of set) Object.assign(values, flags[flag] ?? {});
  files.set(word(output), wrap(as, read(files, word(input)), keysOf(values)));
}

/** trx and otrx lay out what follows on their command line, from left to right. */
function runTrx(name: string, words: readonly string[], files: Files): void {
  const version = words.includes('-2') ? '2' : '1';
  const headerLength = version === '2' ? 32 : 28;
  const body: number[] = [];
  const offsets: number[] = [];
  const values: Record<string, string | Uint8Array> = { version };
  const end = (): number => headerLength + body.length;
  const fillTo = (multiple: number): void => {
    while (end() % multiple !== 0) body.push(0);
  };
  // otrx create FILE; trx has -o.
  let output = name === 'otrx' ? (words[1] as string) : '';
  for (let index = 0; index < words.length; index += 1) {
    const value = words[index + 1] as string;
    switch (words[index]) {
      case '-o':
        output = value;
        break;
      case '-a':
        fillTo(Number(value));
        break;
      case '-x':
        if (Number(value) < 0) body.splice(body.length + Number(value));
        else body.push(...new Uint8Array(Number(value)));
        break;
      case '-M':
        values['magic'] = value;
        break;
      case '-F':
        values['imageLength'] = String(end());
        break;
      case '-f':
        offsets.push(end());
        body.push(...read(files, value));
        fillTo(4);
        break;
      case '-A':
        body.push(...read(files, value));
        fillTo(4);
        break;
    }
  }
  const parts = offsets.map((offset, index) => Uint8Array.from(body.slice(offset - headerLength, (offsets[index + 1] ?? end()) - headerLength)));
  for (const [index, part] of parts.entries()) if (index > 0) values[`partition${index}`] = part;
  values['offsets'] = offsets.join(',');
  values['padTo'] = '0x1000';
  files.set(output, wrap('trx', parts[0] as Uint8Array, keysOf(values)));
}

/** seama writes beside its input, or seals it; oseama puts files one behind the other. */
function runSeama(name: string, words: readonly string[], files: Files): void {
  const { options, rest } = parse(words, new Set(['-i', '-m', '-s', '-f', '-b']));
  const meta = options.get('-m') ?? [];
  if (name === 'oseama') {
    const body: number[] = [];
    const texts = meta.reduce((sum, text) => sum + Math.ceil((text.length + 1) / 4) * 4, 28);
    words.forEach((word, index) => {
      const value = words[index + 1] as string;
      if (word === '-f') body.push(...read(files, value));
      // Counted from the file's first byte: header, MD5 and texts stand in front.
      if (word === '-b') body.push(...new Uint8Array(Number(value) - texts - body.length));
    });
    files.set(rest[1] as string, wrap('seama', Uint8Array.from(body), keysOf({ meta, padEach: 'yes' })));
    return;
  }
  const input = options.get('-i')?.[0] as string;
  const [sealed] = options.get('-s') ?? [];
  files.set(sealed ?? `${input}.seama`, wrap('seama', read(files, input), keysOf({ meta, seal: sealed === undefined ? undefined : 'yes' })));
}

/** One command line; `false` if it is of a tool that writes a format which one file cannot be wrapped in. */
function run(command: string, files: Files): boolean {
  const [first = '', ...others] = wordsOf(command);
  const name = first === 'sh' ? (others[0] as string).replace(/^\$T\//, '') : first;
  const words = first === 'sh' ? others.slice(1) : others;
  if (name === 'cp' || name === 'mv') files.set(words[1] as string, read(files, words[0] as string));
  else if (name === 'trx' || name === 'otrx') runTrx(name, words, files);
  else if (name === 'seama' || name === 'oseama') runSeama(name, words, files);
  else if (name === 'fwtool') {
    const [option, chunk, image] = words as [string, string, string];
    files.set(image, wrap('fwtool', read(files, image), keysOf({ [option === '-I' ? 'metadata' : 'signature']: read(files, chunk) })));
  } else if (/^printf "\.GEMTEK/.test(command)) files.set('gemtek-trailer.bin', wrap('gemtek-trailer', read(files, 'gemtek-trailer.bin'), new Map()));
  else if (/^printf "([^%"]*)" > (\S+)$/.test(command)) {
    const [, text, file] = /^printf "(.*)" > (\S+)$/.exec(command) as unknown as [string, string, string];
    files.set(file, new TextEncoder().encode(text.replaceAll('\\n', '\n')));
  } else if (tools[name] !== undefined) runTool(name, words, files);
  else return false;
  return true;
}

/** What one file cannot be wrapped in, or not with the tool's own values, and why. */
const left: Readonly<Record<string, string>> = {
  'uimage-multi.bin': 'several files with a table',
  'uimage-script.scr': 'a table in front of the text',
  'linksys-wrt160nl.bin': 'tested below: -B stands for values that are not on the command line',
  'imagetag-root-first.bin': 'the kernel stands behind the root file system',
  'tplink-v3-boot.bin.gz': 'a boot loader is put in front of an image',
};

/** Images all of whose commands are of tools in the tables. */
function reproducible({ commands, file }: GoldenImage): boolean {
  const known = (command: string): boolean => {
    const [first = '', second = ''] = wordsOf(command);
    const name = first === 'sh' ? second.replace(/^\$T\//, '') : first;
    const others = ['cp', 'mv', 'trx', 'otrx', 'seama', 'oseama', 'fwtool', ...Object.keys(tools)];
    return others.includes(name) ? !(name === 'mkimage' && command.includes('.its')) : /GEMTEK|^printf "[^%"]*" > \S+$/.test(command);
  };
  return left[file] === undefined && commands.every(known) && commands.some((command) => !/^(cp|mv|printf "[^."])/.test(command));
}

const rows = images.filter(reproducible).map((image) => [image.file, image] as const);

describe.skipIf(!present)('build of each format gives the reference tool’s bytes for the manifest’s parameters', () => {
  test.each(rows)('%s', (_, image) => {
    const files: Files = new Map();
    for (const command of image.commands) expect(run(command, files), command).toBe(true);
    const made = files.get(image.image) as Uint8Array;
    expect(Buffer.compare(made, load(image))).toBe(0);
  });

  test('linksys-wrt160nl.bin, with the values of its board', () => {
    const image = images.find(({ file }) => file === 'linksys-wrt160nl.bin') as GoldenImage;
    const files: Files = new Map();
    run(image.commands[0] as string, files);
    const given = keysOf({ pattern: 'NL16', hardwareVersion: '0', serial: '0x0f', flags: '3f00', version: '1.00.01', date });
    expect(Buffer.compare(wrap('cybertan', read(files, 't.trx'), given), load(image))).toBe(0);
  });

  test('uimage-padhdr.bin, with zeros between header and data', () => {
    const image = images.find(({ file }) => file === 'uimage-padhdr.bin') as GoldenImage;
    const kernel = { architecture: 'mips', compression: 'lzma', load: '0x80060000', name: 'MIPS OpenWrt Linux-6.6.99', time: epoch };
    const made = wrap('uimage', read(new Map(), 'payload/kernel.lzma'), keysOf({ ...kernel, padding: '160' }));
    expect(Buffer.compare(made, load(image))).toBe(0);
  });

  test('linksys-footer-ubi.img, with a footer for its device', () => {
    const image = load(images.find(({ file }) => file === 'linksys-footer-ubi.img.gz') as GoldenImage);
    const ubi = load(images.find(({ file }) => file === 'ubinize-small.ubi.gz') as GoldenImage);
    const kernel = read(new Map(), 'payload/uImage-lzma.bin');
    const ubiOffset = Math.ceil(kernel.length / 16384) * 16384;
    const body = new Uint8Array(Math.ceil((ubiOffset + ubi.length + 256) / 2048) * 2048 - 256).fill(0xff, ubiOffset + ubi.length);
    body.set(kernel);
    body.set(ubi, ubiOffset);
    expect(Buffer.compare(wrap('linksys-footer', body, keysOf({ type: 'EA4500V3' })), image)).toBe(0);
  });

  test('every format that can be wrapped is among them', () => {
    const tested = new Set([...rows.flatMap(([, { commands }]) => commands), 'linksys-footer']);
    const names: Readonly<Record<string, string>> = {
      trx: 'trx',
      seama: 'seama',
      fwtool: 'fwtool',
      'gemtek-trailer': 'GEMTEK',
      'linksys-footer': 'linksys-footer',
    };
    const byTool = Object.entries(tools).map(([tool, { as }]) => [as, tool] as const);
    const isTested = (id: string): boolean =>
      [...byTool.filter(([as]) => as === id).map(([, tool]) => tool), names[id] ?? '?'].some((tool) => [...tested].some((text) => text.includes(tool)));
    // No image of the manifest has a wfi-tag: its reference tool's bytes are the fixture, see below.
    const missing = formats.filter(({ id, wrap: declared }) => declared !== undefined && id !== 'wfi-tag' && !isTested(id)).map(({ id }) => id);
    expect(missing).toEqual([]);
  });
});

test('wfi-tag gives the bytes of cfe-wfi-tag.py --version 0x5732 --chip-id 0x63268 --flash-type 3', () => {
  const made = new Uint8Array(readFileSync('fixtures/wfi-tag/sound-big-endian.bin'));
  const given = keysOf({ version: '0x5732', chipId: '0x63268', flashType: '3' });
  expect(Buffer.compare(wrap('wfi-tag', made.subarray(0, -20), given), made)).toBe(0);
});
