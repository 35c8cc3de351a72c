/**
 * TRX, the container of Broadcom's CFE: a header of 28 (version 1) or 32 bytes (version 2), little endian,
 * then up to three or four partitions at offsets from the header's first byte.
 *
 * The CRC is a CRC-32 without the final inversion over everything behind its own field, up to the stated length;
 * a root file system may lie behind that. In version 2 the last partition is a 32-byte CyberTAN header of which
 * the boot loader changes eight bytes; they count as FF.
 *
 * Layout and writers: firmware-utils trx.c, otrx.c.
 */
import { joined } from '../src/core/bytes.ts';
import { compare, jamcrc, withReplaced } from '../src/core/checksums.ts';
import { OwimgError } from '../src/core/errors.ts';
import { finding, type LocalFinding, lengthBeyondEnd } from '../src/core/findings.ts';
import { type Format, type Payload, type Reading, region, tile, truncatedHeader } from '../src/core/format.ts';
import { hex, toBytes } from '../src/core/hex.ts';
import { endMarks, jffs2Padding, usualBoundaries } from '../src/core/padjffs2.ts';
import { optionWord, type RecipeStep, type RewritingStep } from '../src/core/recipe-step.ts';
import { hex32, struct, u16, u32, u32s } from '../src/core/struct.ts';
import type { Confidence, Region } from '../src/core/types.ts';
import { choiceKey, fileKey, numberKey, numbersKey, optionalNumberKey, wrapping } from '../src/core/wrap.ts';

const common = { magic: hex32, imageLength: u32, checksum: hex32, flags: u16, version: u16 };
const headers = { 1: struct('little', { ...common, offsets: u32s(3) }), 2: struct('little', { ...common, offsets: u32s(4) }) };

const standardMagic = 0x30524448;
/** `brcm,trx-magic` of the device trees, and what `trx -M` is given in target/linux. */
const magics: ReadonlyMap<number, string> = new Map([
  [standardMagic, 'HDR0'],
  [0x32504844, 'DHP2, Buffalo WSR-2533DHP2'],
  [0x33504844, 'DHP3, Buffalo WSR-2533DHP3, WSR-3200AX4S'],
  [0x324c4850, 'PHL2, Buffalo WSR-2533DHPL2'],
  [0x534c4844, 'DHLS, Buffalo WSR-2533DHPLS'],
  [0x746f435c, 'Buffalo WCR-1166DS'],
  [0x746f435d, 'Arcadyan WE410443, WE420223, Beeline SmartBox'],
]);

/** Where in the last partition of version 2 the bytes lie that the CRC takes as FF, and how many. */
const ignored = { offset: 22, length: 8 };

/** What `build` takes: the image behind the header, with the partitions in their places. */
export interface TrxInput {
  readonly magic: number;
  readonly version: 1 | 2;
  readonly flags: number;
  /** From the header's first byte; 0 is unused. */
  readonly offsets: readonly number[];
  /** Everything behind the header. */
  readonly body: Uint8Array;
  /** Bytes that length and CRC count, the header among them; all of them if it is left out. */
  readonly checkedLength?: number;
}

type Version = 1 | 2;

/** The stretches of which the CRC counts the bytes as FF. */
function ignoredAt(version: Version, offsets: readonly number[], end: number): { offset: number; bytes: Uint8Array }[] {
  const last = offsets[3] ?? 0;
  if (version !== 2 || last < headers[2].length || last + ignored.offset + ignored.length > end) return [];
  return [{ offset: last + ignored.offset, bytes: new Uint8Array(ignored.length).fill(0xff) }];
}

interface Partitions {
  readonly partition1: Uint8Array;
  readonly partition2: Uint8Array;
  readonly partition3: Uint8Array;
  readonly align: number;
  readonly offsets: readonly number[];
  readonly padTo: number;
  readonly imageLength: number | undefined;
  readonly version: '1' | '2';
  readonly flags: number;
  readonly magic: number;
}

/** Puts partitions behind a header, each at its offset or at the next multiple of `align`. */
function layOutPartitions(first: Uint8Array, given: Partitions): TrxInput {
  const { align, padTo, imageLength, flags, magic } = given;
  const version = given.version === '2' ? 2 : 1;
  const { length: headerLength, at } = headers[version];
  const parts = [first, given.partition1, given.partition2, given.partition3];
  const used = parts.findLastIndex((part) => part.length > 0) + 1;
  if (used > at.offsets.length / 4) throw new OwimgError('bad-value', `Cannot put ${used} partitions into a TRX of version ${version}: it has room for three`);
  if (align === 0 || padTo === 0) throw new OwimgError('bad-value', 'Cannot align to a multiple of 0: expected 1 or more');
  const offsets: number[] = [];
  let end = headerLength;
  for (const [index, part] of parts.entries()) {
    if (part.length === 0) {
      offsets.push(given.offsets[index] ?? 0);
      continue;
    }
    const offset = given.offsets[index] ?? (index === 0 ? end : Math.ceil(end / align) * align);
    if (offset < end) throw new OwimgError('bad-value', `Cannot put partition ${index} at ${offset}: what stands in front of it ends at ${end}`);
    if (offset + part.length > largestLength) throw new OwimgError('bad-value', `Cannot put partition ${index} at ${offset}: no image is that large`);
    offsets.push(offset);
    end = offset + part.length;
  }
  const length = Math.ceil(end / padTo) * padTo;
  if (length > largestLength) throw new OwimgError('bad-value', `Cannot fill the image up to ${length} bytes: no image is that large`);
  const body = new Uint8Array(length - headerLength);
  for (const [index, part] of parts.entries()) if (part.length > 0) body.set(part, (offsets[index] as number) - headerLength);
  return {
    magic,
    version,
    flags,
    offsets: offsets.slice(0, at.offsets.length / 4),
    body,
    ...(imageLength === undefined ? {} : { checkedLength: imageLength }),
  };
}

/** Larger than any router's flash. */
const largestLength = 512 * 1024 * 1024;

function checksumOf(image: Uint8Array, version: Version, offsets: readonly number[]): number {
  const covered = image.subarray(12);
  return jamcrc(
    ...withReplaced(
      covered,
      ignoredAt(version, offsets, image.length).map((entry) => ({ ...entry, offset: entry.offset - 12 })),
    ),
  );
}

function plausible(bytes: Uint8Array): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const version = view.getUint16(14, true);
  if (version !== 1 && version !== 2) return false;
  const { length, read } = headers[version];
  if (bytes.length < length) return false;
  const { imageLength, offsets } = read(bytes);
  const used = offsets.filter((offset) => offset > 0);
  return imageLength >= length && imageLength <= bytes.length && used[0] !== undefined && used[0] >= length && used.every((offset) => offset <= bytes.length);
}

function build({ magic, version, flags, offsets, body, checkedLength }: TrxInput): Uint8Array {
  const header = headers[version];
  if (offsets.length > header.at.offsets.length / 4) {
    throw new OwimgError(
      'bad-value',
      `Cannot build a TRX of version ${version} with ${offsets.length} partitions: it has room for ${header.at.offsets.length / 4}`,
    );
  }
  const image = new Uint8Array(header.length + body.length);
  const imageLength = checkedLength ?? image.length;
  if (imageLength < header.length || imageLength > image.length) {
    throw new OwimgError('bad-value', `Cannot build a TRX with a length of ${imageLength}: expected ${header.length} to ${image.length}`);
  }
  image.set(header.write({ magic, imageLength, checksum: 0, flags, version, offsets: [...offsets] }));
  image.set(body, header.length);
  new DataView(image.buffer).setUint32(8, checksumOf(image.subarray(0, imageLength), version, offsets), true);
  return image;
}

/** What the command lines of trx and otrx say: a partition, bytes that belong to the one in front, zeros up to a multiple, zeros up to an offset. */
type Item = Uint8Array | { readonly append: Uint8Array } | { readonly align: number } | { readonly upTo: number };

const nandBlock = 0x20000;
/** A CyberTAN header. */
const patternLength = 32;

/** The mark that lets the kernel make a file system of its own, once for each size that an erase block may have. */
const fsMarkBehind: readonly Item[] = [{ align: 0x10000 }, { append: joined([endMarks.end, ...jffs2Padding(endMarks.end.length, usualBoundaries)]) }];
const rootfsBehind = (image: Uint8Array): readonly Item[] => [{ align: 1024 }, image, ...fsMarkBehind];

/** A TRX as the tools lay it out: each file up to a multiple of 4, all up to a multiple of 4096. */
function assembled(items: readonly Item[], { version = 1, magic = standardMagic }: { readonly version?: Version; readonly magic?: number } = {}): Uint8Array {
  const parts: Uint8Array[] = [];
  const offsets: number[] = [];
  let position = headers[version].length;
  const add = (part: Uint8Array): void => {
    parts.push(part);
    position += part.length;
  };
  const fill = (end: number): void => add(new Uint8Array(Math.max(0, end - position)));
  const align = (unit: number): void => fill(Math.ceil(position / unit) * unit);
  for (const item of items) {
    if ('align' in item) align(item.align);
    else if ('upTo' in item) fill(item.upTo);
    else {
      if (item instanceof Uint8Array) offsets.push(position);
      add(item instanceof Uint8Array ? item : item.append);
      align(4);
    }
  }
  align(4096);
  return build({ magic, version, flags: 0, offsets, body: joined(parts) });
}

/** What lies from each partition's offset up to the next one. */
function partitionsOf(image: Uint8Array): Uint8Array[] {
  const { imageLength, version } = headers[1].read(image);
  const used = headers[version === 2 ? 2 : 1].read(image).offsets.filter((offset) => offset > 0);
  return used.map((offset, index) => image.subarray(offset, used[index + 1] ?? imageLength));
}

/** The kernel's partition, behind that of a loader perhaps, and what was made so far in the last one. */
function kernelAndImage(compose: RewritingStep['compose'], loader?: 'loader'): RecipeStep {
  return {
    compose,
    decompose: async (image, use) => {
      const partitions = partitionsOf(image);
      // With the zeros that fill it up to a multiple of 4: it may end with some of its own.
      if (loader !== undefined) await use.found(loader, partitions.shift() as Uint8Array);
      const [kernel, rest] = partitions as [Uint8Array, Uint8Array];
      await use.found('kernel', kernel, true);
      return rest;
    },
  };
}

export const trx: Format<TrxInput> = {
  id: 'trx',
  title: 'Broadcom TRX',
  summary: 'The container which Broadcom CFE boot loaders and their vendor firmware take: up to four partitions under one CRC.',
  role: 'wrapper',
  kind: 'factory',
  references: [
    { title: 'firmware-utils trx.c', url: 'https://github.com/openwrt/firmware-utils/blob/d21804ad/src/trx.c' },
    { title: 'firmware-utils otrx.c', url: 'https://github.com/openwrt/firmware-utils/blob/d21804ad/src/otrx.c' },
  ],
  limitations: [],
  magics: [{ offset: 0, bytes: toBytes('HDR0') }],

  wrap: wrapping(
    'partition 0',
    {
      partition1: fileKey('what the second partition holds, as a rule the root file system'),
      partition2: fileKey('what the third partition holds'),
      partition3: fileKey('what the fourth partition holds; version 2 only'),
      align: numberKey('each further partition begins at a multiple of this', { initial: '4' }),
      offsets: numbersKey('where the partitions begin, in place of that', 4),
      padTo: numberKey('the length is a multiple of this, filled with zeros', { initial: '1' }),
      imageLength: optionalNumberKey('bytes that length and checksum count; all of them if not given'),
      version: choiceKey('1 has room for three partitions, 2 for four', ['1', '2'], { initial: '1' }),
      flags: numberKey('flags', { bits: 16, initial: '0' }),
      magic: numberKey('magic number; some vendors have their own', { initial: '0x30524448' }),
    },
    layOutPartitions,
  ),

  detect(bytes): Confidence {
    if (bytes.length < 4) return 'no';
    const magic = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
    if (bytes.length < headers[1].length) return magic === standardMagic ? 'maybe' : 'no';
    const fits = plausible(bytes);
    if (magics.has(magic)) return fits ? 'yes' : 'maybe';
    // A damaged magic number: the rest of the header must be more than plausible.
    const { flags, offsets } = headers[1].read(bytes);
    return fits && flags === 0 && offsets[0] !== undefined && offsets[0] <= 64 ? 'maybe' : 'no';
  },

  parse(bytes): Reading<TrxInput> {
    const cut = (length: number): Reading<never> => {
      const what = finding('header-truncated', { offset: 0, length: bytes.length }, { what: 'a TRX header', length, available: bytes.length });
      return truncatedHeader('TRX', length, what, bytes.length);
    };
    if (bytes.length < headers[1].length) return cut(headers[1].length);
    const findings: LocalFinding[] = [];
    const stated = headers[1].read(bytes).version;
    const version: Version = stated === 2 ? 2 : 1;
    const header = headers[version];
    if (bytes.length < header.length) return cut(header.length);
    const values = header.read(bytes);
    const { magic, imageLength, offsets } = values;
    if (!magics.has(magic))
      findings.push(finding('magic-damaged', header.at.magic, { what: 'the TRX', expected: `${hex(standardMagic)} ("HDR0")`, actual: hex(magic) }));
    if (stated !== version) findings.push(finding('structure-invalid', header.at.version, { what: 'TRX version', expected: '1 or 2', actual: stated }));
    const tooShort = imageLength < header.length;
    if (tooShort)
      findings.push(finding('structure-invalid', header.at.imageLength, { what: 'TRX length', expected: `at least ${header.length}`, actual: imageLength }));
    const whole = imageLength <= bytes.length;
    if (!whole) findings.push(lengthBeyondEnd('the TRX image', header.at.imageLength, imageLength, bytes.length, bytes.length));
    const checked = tooShort ? header.length : Math.min(imageLength, bytes.length);
    const used = offsets.map((offset, index) => ({ offset, index })).filter(({ offset }) => offset > 0);
    // `trx -F` ends length and CRC behind the kernel, so that a root file system which changes does not break them.
    const continued = !tooShort && used.some(({ offset }) => offset > imageLength && offset < bytes.length);
    const length = continued ? bytes.length : checked;

    const regions: Region[] = [region('header', 'TRX header', 0, header.length)];
    const payloads: Payload[] = [];
    for (const { offset, index } of used) {
      const at = { offset: header.at.offsets.offset + index * 4, length: 4 };
      if (offset < header.length) {
        findings.push(finding('structure-invalid', at, { what: `offset of TRX partition ${index}`, expected: `at least ${header.length}`, actual: offset }));
        continue;
      }
      const reach = continued ? length : imageLength;
      if (offset > reach) {
        findings.push(lengthBeyondEnd(`TRX partition ${index}`, at, offset, reach, length));
        continue;
      }
      const next = Math.min(length, ...used.map((other) => other.offset).filter((other) => other > offset));
      if (next <= offset) continue;
      regions.push(region('payload', `partition ${index}`, offset, next - offset));
      payloads.push({ label: `partition ${index}`, ranges: [{ offset, length: next - offset }], footer: next === imageLength });
    }
    const skipped = ignoredAt(version, offsets, checked);
    const covers = [];
    let position = 12;
    for (const { offset, bytes: filler } of skipped) {
      covers.push({ offset: position, length: offset - position });
      position = offset + filler.length;
    }
    covers.push({ offset: position, length: checked - position });
    return {
      length,
      summary: `TRX version ${version} with ${payloads.length} partition${payloads.length === 1 ? '' : 's'}`,
      fields: header.fields(values, { magic: magics.get(magic) ?? 'not a TRX magic number' }),
      regions: tile(regions, 0, length, 'unknown', 'in no partition'),
      checks: [
        compare({
          code: 'data-checksum-mismatch',
          name: 'crc',
          algorithm: 'jamcrc',
          stored: whole && !tooShort ? values.checksum : null,
          computed: checksumOf(bytes.subarray(0, checked), version, offsets),
          at: header.at.checksum,
          covers,
        }),
      ],
      findings,
      identities: [],
      payloads,
      input: () => ({ magic, version, flags: values.flags, offsets, body: bytes.subarray(header.length, length), checkedLength: checked }),
    };
  },

  build,

  recipeSteps: {
    trx: {
      compose: (image, use) => {
        const magic = optionWord(use.words, '-M');
        const items = use.first ? [use.part('kernel'), { align: 4 }, use.part('rootfs')] : [image];
        return assembled(items, magic === undefined ? {} : { magic: Number(magic) });
      },
      decompose: async (image, use) => {
        const [first, second] = partitionsOf(image);
        if (!use.first) return first ?? image;
        await use.found('kernel', first as Uint8Array, true);
        await use.found('rootfs', second as Uint8Array, true);
        return image.subarray(0, 0);
      },
    },
    'trx-with-loader': kernelAndImage((image, use) => assembled([use.part('loader'), use.part('kernel'), ...rootfsBehind(image)]), 'loader'),
    'trx-without-loader': kernelAndImage((image, use) => assembled([use.part('kernel'), ...rootfsBehind(image)])),
    'trx-v2-with-loader': {
      compose: (image, use) => {
        const pattern = use.part('pattern');
        return assembled([use.part('loader'), use.part('kernel'), { align: 1024 }, image, pattern, ...fsMarkBehind], { version: 2 });
      },
      decompose: async (image, use) => {
        const [loader, kernel, rootfs, pattern] = partitionsOf(image) as [Uint8Array, Uint8Array, Uint8Array, Uint8Array];
        await use.found('loader', loader);
        await use.found('kernel', kernel, true);
        await use.found('pattern', pattern.subarray(0, patternLength));
        return rootfs;
      },
    },
    'trx-nand': kernelAndImage((image, use) =>
      assembled([use.part('kernel'), { align: nandBlock }, { upTo: 0x400000 }, image, { append: endMarks.end }, { align: nandBlock }]),
    ),
    'trx-serial': kernelAndImage((image, use) => assembled([use.part('kernel'), ...rootfsBehind(image)])),
    'buffalo-trx': {
      compose: (image, use) => {
        const [magic, rootfs, mark] = use.words;
        if (magic === undefined) return assembled([image]);
        const items: Item[] = [use.part('kernel')];
        // Where it is not what was made so far it is an empty file.
        if (rootfs !== undefined)
          items.push({ align: nandBlock }, { upTo: use.device.sizes.kernel ?? 0x400000 }, rootfs === '@OUT@' ? image : image.subarray(0, 0));
        if (mark !== undefined) items.push({ append: endMarks.end }, { align: nandBlock });
        return assembled(items, { magic: Number(magic) });
      },
      decompose: async (image, use) => {
        const [first, second] = partitionsOf(image) as [Uint8Array, Uint8Array | undefined];
        if (use.words.length === 0) return first;
        await use.found('kernel', first, true);
        return use.words[1] === '@OUT@' && second !== undefined ? second : image.subarray(0, 0);
      },
    },
  },
};
