/**
 * Images made by the reference tools, good and broken ones, which lie beside the project. Skipped where they are missing.
 *
 * What each must give is in their manifests; the tables from the manifests' words to ours stand here.
 */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { allLayers } from '../src/core/layers.ts';
import { type FindingCode, formats, type Inspection, inspect, type Layer } from '../src/index.ts';
import { tilingProblems } from './support/layers.ts';

const golden = fileURLToPath(new URL('../../shared/golden/', import.meta.url));
const present = existsSync(golden);

interface GoldenLayer {
  readonly format: string;
  readonly offset: number;
  readonly length: number;
  readonly fields?: unknown;
  readonly checksums?: readonly { readonly name: string; readonly stored: string }[];
}

interface GoldenImage {
  readonly file: string;
  readonly storedAs: string;
  readonly image: string;
  readonly format: string;
  readonly role?: string;
  readonly ids?: Readonly<Record<string, unknown>>;
  readonly facts: {
    readonly layers: readonly GoldenLayer[];
    readonly payloads: readonly { readonly file: string; readonly offset: number; readonly length: number }[];
    readonly endOfFilesystemMarks: readonly number[];
  };
}

interface Brick {
  readonly file: string;
  readonly storedAs: string;
  readonly derivedFrom?: string;
  readonly expect: { readonly wellFormed: boolean; readonly problem: readonly string[]; readonly whereByteOffset: number | null };
}

function manifest<T>(set: string): readonly T[] {
  return present ? (JSON.parse(readFileSync(`${golden}${set}/manifest.json`, 'utf8')) as { images: T[] }).images : [];
}

function load(set: string, { file, storedAs }: { file: string; storedAs: string }): Uint8Array {
  const stored = readFileSync(`${golden}${set}/${file}`);
  return new Uint8Array(storedAs === 'gzip' ? gunzipSync(stored) : stored);
}

/** The manifest's names of layers that are ours under another name. */
const layerNames: Readonly<Record<string, string>> = {
  'uimage-padhdr': 'uimage',
  'uimage-sge': 'uimage',
  dns313: 'uimage',
  'tplink-v3': 'tplink-v2',
  'asus-trx-tail': 'asus-trx',
  'seama-entity': 'seama',
  'seama-seal': 'seama',
  tar: 'sysupgrade-tar',
};

/** Formats of the manifest that owimg does not read yet: their images must not be called sound, and are not compared. */
const later = new Set([
  'usrobotics',
  'edimax-ps16',
  'netgear-encrypted',
  'wrg',
  'dap',
  'dap2',
  'cameo',
  'jboot-stag',
  'jboot-auh',
  'elecom-wrc-gs',
  'elecom-product',
  'edimax-csys',
  'zyxel-ras',
  'zytrx',
  'edimax-header',
  'sercomm-header',
  'sercomm-footer',
  'xiaomi-hdr1',
  'buffalo-enc',
  'buffalo-tag',
  'buffalo-dhp',
  'jcg',
  'luxul-lxl',
  'planex',
  'myloader',
  'wrt400n',
  'gemtek',
  'iptime',
  'eva',
  'hcs',
  'meraki',
  'meraki-old',
  'h3c',
  'add-header',
  'combined-ci',
  'combined-ce',
  'tplink-2022',
]);

/** Images that the manifest's reader found no layer in, of formats that are not in yet. */
const laterImages = new Set([
  'nec-enc-seama.bin',
  'zynos-nbg318s.bin.gz',
  'zynos-p335.bin.gz',
  'edimax-csysimg-br6104k.bin.gz',
  'buffalo-tftp.bin',
  'hilink-enc.bin',
  'poray.bin',
  'iptime-naspkg.bin',
  'xor-image.bin',
  'osbridge.bin',
  'sks7300.bin',
  'nosimg.bin',
  'brnimg.bin',
  'buffalo-bcast.bin',
]);

/** uImages that were changed after they were made, by tools whose formats are not in yet: read as damaged uImages. */
const misread = new Set(['osbridge.bin', 'jcg-kernel-rootfs.bin']);

const isLater = (image: GoldenImage): boolean => laterImages.has(image.file) || image.facts.layers.some(({ format }) => later.has(format));

/** `device:WNDR4300` and `dev=/dev/mtdblock/1` of the manifest are a field and its value with us. */
const withoutKey = (value: unknown): string => String(value).replace(/^[a-z_]+[:=](?=.)/i, '');

/** One spelling for a value of the manifest and one of ours. */
function spell(value: unknown): string {
  const text = String(value).trim().toLowerCase();
  if (/^0x[0-9a-f]+$/.test(text)) return String(BigInt(text));
  return /^[0-9a-f]+$/.test(text) && text.length >= 8 && !/^\d+$/.test(text) ? String(BigInt(`0x${text}`)) : text;
}

/** Whether a value of the manifest is among ours; a version may be several numbers with us, a folder ends with a slash. */
function isShown(values: ReadonlySet<string>, value: unknown): boolean {
  const spelled = spell(value);
  if ([spelled, synonyms[spelled] ?? spelled, `${spelled}/`].some((text) => values.has(text))) return true;
  if ([...values].some((text) => text.replaceAll('-', '') === spelled)) return true; // a date
  return /^\d+(\.\d+)+$/.test(spelled) && spelled.split('.').every((part) => values.has(part));
}

/** Every number and text that our layer shows. */
function shown(layer: Layer): Set<string> {
  const values = layer.fields.flatMap(({ value, meaning }) => [
    ...(Array.isArray(value) ? value : [value]),
    Array.isArray(value) ? value.join('.') : value,
    meaning ?? value,
  ]);
  const places = [...layer.fields, ...layer.regions].flatMap(({ offset, length }) => [offset, length]);
  const labels = layer.regions.map(({ label }) => label);
  // `base 0x1227 size 0x33ef` of a partition, the number of a volume in the names of its fields.
  const words = layer.fields.flatMap(({ name, value }) => [...String(value).split(/\s+/), ...name.split(/\D+/)]);
  return new Set([...values, ...places, ...labels, ...words, layer.length].map(spell));
}

function leavesOf(value: unknown, path = ''): [string, unknown][] {
  if (Array.isArray(value)) return value.flatMap((entry, index) => leavesOf(entry, `${path}[${index}]`));
  if (typeof value === 'object' && value !== null)
    return Object.entries(value).flatMap(([key, entry]) => leavesOf(entry, path === '' ? key : `${path}.${key}`));
  return value === null || value === '' ? [] : [[path, value]];
}

const layersOf = (result: Inspection): Layer[] => allLayers(result.root);

describe.skipIf(!present)('golden images', () => {
  const images = manifest<GoldenImage>('open');
  const inScope = images.filter((image) => !isLater(image));

  test('the formats that are in make up more than half of them', () => expect(inScope.length).toBeGreaterThan(90));

  test.each(inScope.map((image) => [image.file, image] as const))('%s is sound', async (_, image) => {
    const result = await inspect(load('open', image), { name: image.image });
    expect(result.findings.filter(({ severity }) => severity !== 'note')).toEqual([]);
    expect(result.status).toBe('sound');
    expect(layersOf(result).flatMap(tilingProblems)).toEqual([]);
  });

  test.each(inScope.map((image) => [image.file, image] as const))('%s agrees with the manifest', async (_, image) => {
    const result = await inspect(load('open', image), { name: image.image });
    const layers = layersOf(result);
    for (const expected of image.facts.layers) {
      const format = layerNames[expected.format] ?? expected.format;
      if (format === 'gzip' || format === 'zip') continue; // the manifest has digests of what is inside
      const found = layers.filter((layer) => layer.format === format && layer.source?.how !== 'unpacked');
      expect(
        found.map(({ offset }) => offset),
        `${format} at ${expected.offset}`,
      ).toContain(expected.offset);
      const layer = found.find(({ offset }) => offset === expected.offset) as Layer;
      const values = new Set([...shown(layer), ...result.identities.map(({ value }) => spell(value))]);
      for (const [path, value] of leavesOf(expected.fields)) {
        // The volume table of 16 KiB erase blocks has fewer records than the manifest's reader took.
        if (image.file === 'ubinize-small.ubi.gz' && /^volumes\[[3-9]\]/.test(path)) continue;
        // biome-ignore lint/suspicious/noControlCharactersInRegex: a name that a vendor fills with numbers is no text
        if (/[\x00-\x08]/.test(String(value))) continue;
        if (String(value).endsWith(':') || ownWords.has(path.replaceAll(/\[\d+\]/g, ''))) continue; // a key without a value
        expect(isShown(values, value) || (keyed.has(format) && isShown(values, withoutKey(value))), `${format}.${path} ${value}`).toBe(true);
      }
      const stored = new Set(layer.checks.map((check) => spell(check.expected)));
      for (const { name, stored: value } of expected.checksums ?? []) {
        if (/^(ec|vid) PEB|^header sysupgrade/.test(name) || format === 'netgear-dni') continue; // one check of ours stands for all of them; the sum of a DNI file is always ff
        expect(stored, `${format} ${name}`).toContain(spell(value));
      }
    }
    const spots = new Set(layers.flatMap((layer) => [...layer.regions.map(({ offset }) => offset), ...layer.children.map(({ offset }) => offset)]));
    const gathered = layers.some((layer) => layer.source !== undefined);
    for (const { file, offset } of image.facts.payloads) if (/squashfs$|\.dtb$/.test(file) && !gathered) expect([...spots], file).toContain(offset);
    const marks = layers.flatMap((layer) => layer.fields.filter(({ name }) => /^mark\d/.test(name)).map((field) => field.offset));
    const known = image.facts.endOfFilesystemMarks.filter((offset) =>
      layers.some((layer) => layer.format === 'eof-mark' && layer.offset <= offset && offset < layer.offset + layer.length),
    );
    for (const offset of known) expect(marks).toContain(offset);
  });

  test.each(inScope.filter(({ ids }) => ids !== undefined).map((image) => [image.file, image] as const))('%s names its device', async (_, image) => {
    const { identities } = await inspect(load('open', image));
    const named = identities.map(({ value }) => spell(value));
    for (const [path, value] of leavesOf(image.ids)) {
      if (path.endsWith('compat_version') || String(value).includes('Image version mismatch')) continue;
      if (!isKeptName(path, value)) continue;
      expect(named, path).toContain(/dni|seama/.test(path) ? spell(withoutKey(value)) : spell(value));
    }
  });

  const roles: Readonly<Record<string, string>> = { 'factory-with-bootloader': 'factory', 'kernel-only': 'kernel' };
  test.each(inScope.filter(({ role }) => role !== undefined).map((image) => [image.file, image] as const))(
    '%s is of the kind that it was made for',
    async (_, image) => {
      const { kind } = await inspect(load('open', image));
      const expected = roles[image.role as string] ?? image.role;
      // Nothing in these bytes tells a kernel with an initramfs inside from one without.
      if (expected === 'initramfs') expect(['initramfs', 'kernel']).toContain(kind);
      else expect(kind).toBe(expected);
    },
  );

  test.each(images.filter((image) => isLater(image) && !misread.has(image.file)).map((image) => [image.file, image] as const))(
    '%s, of a format that is not in yet, is not called broken',
    async (_, image) => {
      expect((await inspect(load('open', image))).status).not.toBe('broken');
    },
  );
});

/** Formats whose fields the manifest has as lines of key and value. */
const keyed = new Set(['netgear-dni', 'seama', 'sysupgrade-tar']);

/** Lines that name no device: versions, empty values, block devices of the running system. */
const isKeptName = (path: string, value: unknown): boolean => !/(dni|seama)/.test(path) || /^(device|hd_id|region|signature|dev)[:=]./.test(String(value));

/** What only the manifest calls so: how it found a value, the same place counted from elsewhere, a map that our regions are. */
const ownWords = new Set([
  'images.how',
  'partitions.base',
  'sizeEndian',
  'trailerOffset',
  'extraHeaderLength',
  'dataOffset',
  'volumes.autoresize',
  'map.vol',
  'map.lnum',
  'map.ec',
  'quirk',
  'md5',
  'members.type',
  'imageLength',
  'chunks.kind',
]);

/** Words that U-Boot's tools abbreviate. */
const synonyms: Readonly<Record<string, string>> = { ppc: 'powerpc' };

/** The manifest's words for what is wrong, and the codes of ours that say so. */
const words: Readonly<Record<string, readonly FindingCode[]>> = {
  'header-crc': ['header-checksum-mismatch'],
  'header-checksum': ['header-checksum-mismatch'],
  'data-crc': ['data-checksum-mismatch', 'image-checksum-mismatch'],
  md5: ['image-checksum-mismatch', 'data-checksum-mismatch'],
  checksum: ['image-checksum-mismatch', 'data-checksum-mismatch'],
  'image-crc': ['image-checksum-mismatch'],
  'image-checksum': ['image-checksum-mismatch'],
  'kernel-crc': ['kernel-checksum-mismatch'],
  'kernel-checksum': ['kernel-checksum-mismatch'],
  'rootfs-crc': ['rootfs-checksum-mismatch'],
  'fit-hash': ['hash-mismatch'],
  'part-crc': ['data-checksum-mismatch'],
  'end-crc': ['image-checksum-mismatch'],
  'wrong-magic': ['magic-damaged', 'bytes-swapped'],
  'byte-swapped': ['bytes-swapped'],
  'length-beyond-end': ['length-beyond-end', 'rootfs-truncated'],
  truncated: ['length-beyond-end', 'header-truncated', 'rootfs-truncated', 'stream-corrupt'],
  'squashfs-truncated': ['rootfs-truncated'],
  'bad-structure': ['structure-invalid', 'entries-too-many'],
  'bad-metadata-crc': ['metadata-checksum-mismatch'],
  'bad-metadata-json': ['metadata-invalid'],
  'bad-metadata-size': ['structure-invalid'],
  'metadata-missing': ['magic-damaged', 'metadata-displaced', 'header-truncated'],
  'trailing-garbage': ['metadata-displaced', 'data-trailing', 'image-checksum-mismatch'],
  'config-missing': ['configuration-missing'],
  'nesting-too-deep': ['nesting-too-deep'],
  'tar-header-checksum': ['header-checksum-mismatch'],
  'tar-missing-member': ['member-missing'],
  'zero-bytes': ['file-empty', 'member-missing'],
  'unsafe-path': ['path-unsafe'],
  'ubi-ec-crc': ['header-checksum-mismatch'],
  'ubi-vid-crc': ['header-checksum-mismatch'],
  'ubi-bad-magic': ['magic-damaged'],
  'ubi-missing-peb': ['block-missing'],
  'ubi-bad-vtbl': ['structure-invalid', 'header-checksum-mismatch'],
  'ubi-image-seq': ['sequence-differs'],
  'ubi-geometry': ['geometry-differs', 'structure-invalid'],
  'text-mode-damage': ['text-mode-damage'],
  'erased-flash': ['not-firmware'],
  'zero-filled': ['not-firmware'],
  'html-page': ['not-firmware'],
  'not-firmware': ['not-firmware'],
  'text-file': ['not-firmware'],
  'unknown-format': ['format-unknown', 'not-firmware'],
  'lzma-dictionary': ['lzma-dictionary-invalid'],
  'compression-mismatch': ['compression-mismatch'],
  'no-firmware-inside': ['archive-without-firmware'],
  'encrypted-archive': ['archive-encrypted'],
  'archive-bomb': ['unpacking-stopped'],
  'length-mismatch': ['stream-length-mismatch'],
  'bootloader-inside': ['format-unknown'],
  'lzma-size': ['stream-length-mismatch', 'structure-invalid'],
  'bad-strip-offset': ['start-displaced'],
  'double-wrapped': ['wrapped-twice', 'nesting-too-deep'],
};

/** The manifest says 0 where it names no place within the tree; we name the node. */
const ourPlace: Readonly<Record<string, number>> = { 'fit-deep-nesting.bin.gz': 572, 'fit-unclosed-nodes.bin': 76 };

/** Seen only by `--deep`, which unpacks the kernel: LZMA has no checksum, and the length in its header stands alone. */
const onlyDeep = new Set(['lzma-size-wrong.bin']);

describe.skipIf(!present)('broken golden images', () => {
  const goodFile = new Map(manifest<GoldenImage>('open').map((image) => [image.file, image]));
  const bricks = manifest<Brick>('open-bricks');
  const fromLater = ({ derivedFrom }: Brick): boolean => {
    const parent = derivedFrom === undefined ? undefined : goodFile.get(derivedFrom);
    return parent !== undefined && isLater(parent);
  };
  const broken = bricks.filter(({ expect: { wellFormed } }) => !wellFormed);

  test.each(broken.map((brick) => [brick.file, brick] as const))('%s is not called sound', async (_, brick) => {
    const { status } = await inspect(load('open-bricks', brick), { deep: onlyDeep.has(brick.file) });
    expect(status).not.toBe('sound');
    expect(status).not.toBe('doubtful');
  });

  test.each(broken.filter((brick) => !fromLater(brick)).map((brick) => [brick.file, brick] as const))('%s gets our code at its place', async (_, brick) => {
    const { findings, status } = await inspect(load('open-bricks', brick), { deep: onlyDeep.has(brick.file) });
    const { problem, whereByteOffset } = brick.expect;
    const codes = problem.flatMap((word) => {
      expect(Object.keys(words), `no code for "${word}"`).toContain(word);
      return words[word] as readonly FindingCode[];
    });
    const fitting = findings.filter(({ code }) => codes.includes(code as FindingCode));
    expect(
      findings.map(({ code }) => code).filter((code) => codes.includes(code as FindingCode)),
      `one of ${codes.join()} in ${findings.map(({ code }) => code).join()}`,
    ).not.toEqual([]);
    const where = ourPlace[brick.file] ?? whereByteOffset;
    if (where !== null)
      expect(
        fitting.some(({ offset, length }) => offset <= where && where <= offset + length),
        `${where} in ${fitting.map(({ offset, length }) => `${offset}+${length}`).join()}`,
      ).toBe(true);
    expect(['broken', 'unknown']).toContain(status);
  });

  const wellFormed = bricks.filter((brick) => brick.expect.wellFormed && !fromLater(brick));
  test.each(wellFormed.map((brick) => [brick.file, brick] as const))('%s, well-formed, is not called broken', async (_, brick) => {
    const { status } = await inspect(load('open-bricks', brick));
    expect(status).not.toBe('broken');
  });
});

test.skipIf(!present)('every format of the manifest is either in or known to be missing', () => {
  const known = new Set(formats.map(({ id }) => id));
  const names = new Set(manifest<GoldenImage>('open').flatMap((image) => image.facts.layers.map(({ format }) => layerNames[format] ?? format)));
  expect([...names].filter((name) => !known.has(name) && !later.has(name))).toEqual([]);
});
