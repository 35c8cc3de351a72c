/**
 * Seama, used by D-Link, LG, WD and other devices of Alpha Networks: a header of 12 bytes, big endian; for an entity
 * the MD5 of its image; then texts `key=value`, each ended by NUL; then the image. An entity is what lies in flash.
 *
 * The image length 0 makes it a seal: no MD5, and entities behind it, which the vendor's upgrade unpacks if the
 * seal's `signature` is the device's. The MD5 covers the image alone, neither header nor texts.
 *
 * Layout and writers: firmware-utils seama.c and seama.h (fills up all texts to a multiple of four), oseama.c
 * (fills up each of them).
 */
import { compare, digest } from '../src/core/checksums.ts';
import { OwimgError } from '../src/core/errors.ts';
import { finding, type LocalFinding, lengthBeyondEnd } from '../src/core/findings.ts';
import { type Format, type Reading, region, truncatedHeader } from '../src/core/format.ts';
import { hex, hexBytes, printable, toBytes } from '../src/core/hex.ts';
import { type ComposeUse, optionWords } from '../src/core/recipe-step.ts';
import { hex32, bytes as raw, struct, u16, u32 } from '../src/core/struct.ts';
import type { Confidence, Field, Range } from '../src/core/types.ts';
import { flagKey, textsKey, wrapping } from '../src/core/wrap.ts';

const sealHeader = struct('big', {
  magic: hex32,
  reserved: u16,
  metaLength: u16, // metasize
  imageLength: u32, // imagesize
});
const entityHeader = struct('big', { magic: hex32, reserved: u16, metaLength: u16, imageLength: u32, md5: raw(16) });

const magic = 0x5ea3a417;
const identifying = new Set(['signature', 'dev']);

export interface SeamaInput {
  /** The texts, or the block of them as it stands in the file. */
  readonly meta: readonly string[] | Uint8Array;
  /** Fill up each text to a multiple of four (oseama), not all of them together (seama). */
  readonly padEach?: boolean;
  /** A seal: `image` is one entity or several. */
  readonly seal?: boolean;
  readonly image: Uint8Array;
}

interface Meta {
  readonly text: string;
  readonly key: string;
  readonly value: string;
  readonly offset: number;
}

/** The texts in a block; `undefined` where it holds something else. */
function readMeta(bytes: Uint8Array, { offset, length }: Range): Meta[] | undefined {
  const texts: Meta[] = [];
  const end = offset + length;
  for (let position = offset; position < end; ) {
    const text = printable(bytes.subarray(position, end));
    if (text !== '') {
      const [, key, value] = /^([^=\\]+)=([^\\]*)$/.exec(text) ?? [];
      if (key === undefined || value === undefined) return undefined;
      texts.push({ text, key, value, offset: position });
    }
    position += text.length + 1;
  }
  return texts;
}

/** Header and texts of whatever begins at the first byte; at least `sealHeader.length` bytes are there. */
function layout(bytes: Uint8Array): { isSeal: boolean; headerLength: number; meta: Range; imageLength: number } {
  const { metaLength, imageLength } = sealHeader.read(bytes);
  const isSeal = imageLength === 0;
  const headerLength = isSeal ? sealHeader.length : entityHeader.length;
  const available = Math.max(0, bytes.length - headerLength);
  return { isSeal, headerLength, meta: { offset: headerLength, length: Math.min(metaLength, available) }, imageLength };
}

const startsWithMagic = (bytes: Uint8Array): boolean => bytes.length >= 4 && new DataView(bytes.buffer, bytes.byteOffset).getUint32(0) === magic;

/** How many bytes the entities take that lie one after the other from the first byte on, `most` of them; 0 if none begins there. */
function entitiesLength(bytes: Uint8Array, most: number): number {
  let position = 0;
  for (let count = 0; startsWithMagic(bytes.subarray(position)); count += 1) {
    // More than anybody looks into: they are all taken to be entities.
    if (count === most) return bytes.length;
    const rest = bytes.subarray(position);
    if (rest.length < sealHeader.length) return bytes.length;
    const { headerLength, meta, imageLength } = layout(rest);
    position = Math.min(bytes.length, position + headerLength + meta.length + imageLength);
  }
  return position;
}

function metaBlock(texts: readonly string[], padEach: boolean): Uint8Array {
  const filled = (text: string): string => text.padEnd(Math.ceil(text.length / 4) * 4, '\0');
  const ended = texts.map((text) => `${text}\0`);
  return toBytes(padEach ? ended.map(filled).join('') : filled(ended.join('')));
}

function build({ meta, padEach = false, seal = false, image }: SeamaInput): Uint8Array {
  const block = meta instanceof Uint8Array ? meta : metaBlock(meta, padEach);
  if (block.length > 0xffff) throw new OwimgError('bad-value', `Cannot store ${block.length} bytes of texts: the length field has 16 bits`);
  if (!seal && (image.length === 0 || image.length > 0xffffffff))
    throw new OwimgError('bad-value', `Cannot build a Seama entity around ${image.length} bytes: expected 1 to ${0xffffffff}`);
  const common = { magic, reserved: 0, metaLength: block.length };
  const head = seal
    ? sealHeader.write({ ...common, imageLength: 0 })
    : entityHeader.write({ ...common, imageLength: image.length, md5: digest('md5', [image]) });
  const built = new Uint8Array(head.length + block.length + image.length);
  built.set(head);
  built.set(block, head.length);
  built.set(image, head.length + block.length);
  return built;
}

/** The texts on seama's command line. A recipe may call it twice: for the entity, and with `-s` for the seal around it. */
function recipeMeta(use: ComposeUse, seal: boolean): string[] {
  const commands = [use.command('seama', 0), use.command('seama', 1)];
  return optionWords(commands.find((command) => command.includes('-s') === seal) ?? [], '-m').map((text) => use.filled(text));
}

/** What an entity or a seal carries, without what may stand behind it. */
function carriedImage(bytes: Uint8Array): Uint8Array {
  const { isSeal, meta, imageLength } = layout(bytes);
  const start = meta.offset + meta.length;
  return isSeal ? bytes.subarray(start) : bytes.subarray(start, start + imageLength);
}

export const seama: Format<SeamaInput> = {
  id: 'seama',
  title: 'Seama',
  summary:
    'The container of Alpha Networks (D-Link, WD, LG, NEC): an entity holds what a boot loader starts, a seal around it is what the vendor upgrade takes.',
  role: 'wrapper',
  kind: 'factory',
  references: [
    { title: 'firmware-utils seama.h', url: 'https://github.com/openwrt/firmware-utils/blob/d21804ad/src/seama.h' },
    { title: 'firmware-utils oseama.c', url: 'https://github.com/openwrt/firmware-utils/blob/d21804ad/src/oseama.c' },
  ],
  limitations: [],
  magics: [{ offset: 0, bytes: Uint8Array.of(0x5e, 0xa3, 0xa4, 0x17) }],

  wrap: wrapping(
    'image, or the entities of a seal',
    {
      meta: textsKey('text of the header, key=value: dev=/dev/mtdblock/1, signature=...'),
      seal: flagKey("a seal around entities: what the vendor's web page takes"),
      padEach: flagKey('fill up each text to a multiple of four, as oseama does'),
    },
    (image, values): SeamaInput => {
      const wrong = values.meta.find((text) => !/^[^=\0]+=[^\0]*$/.test(text));
      if (wrong !== undefined) throw new OwimgError('bad-value', `Cannot store the text "${wrong}": expected key=value, as dev=/dev/mtdblock/1`);
      return { ...values, image };
    },
  ),

  detect(bytes): Confidence {
    const magicFits = startsWithMagic(bytes);
    if (bytes.length < sealHeader.length) return magicFits ? 'maybe' : 'no';
    const { reserved, metaLength, imageLength } = sealHeader.read(bytes);
    const { isSeal, headerLength, meta } = layout(bytes);
    const whole = meta.length === metaLength && bytes.length >= headerLength;
    const fits = reserved === 0 && metaLength % 4 === 0 && whole && readMeta(bytes, meta) !== undefined;
    if (magicFits) return fits ? 'yes' : 'maybe';
    // With a damaged magic number it takes texts, and behind them what they promise.
    const imageOffset = headerLength + metaLength;
    const follows = isSeal ? startsWithMagic(bytes.subarray(imageOffset)) : imageOffset + imageLength <= bytes.length;
    return fits && metaLength > 0 && follows ? 'maybe' : 'no';
  },

  parse(bytes, { budget }): Reading<SeamaInput> {
    const cut = (length: number): Reading<never> => {
      const args = { what: 'a Seama header', length, available: bytes.length };
      return truncatedHeader('Seama', length, finding('header-truncated', { offset: 0, length: bytes.length }, args), bytes.length);
    };
    if (bytes.length < sealHeader.length) return cut(sealHeader.length);
    const { isSeal, headerLength, meta } = layout(bytes);
    if (bytes.length < headerLength) return cut(headerLength);
    const values = sealHeader.read(bytes);
    const { at } = sealHeader;
    const findings: LocalFinding[] = [];
    if (values.magic !== magic)
      findings.push(finding('magic-damaged', at.magic, { what: 'the Seama header', expected: hex(magic), actual: hex(values.magic) }));
    if (values.reserved !== 0)
      findings.push(finding('structure-invalid', at.reserved, { what: 'reserved field of the Seama header', expected: '0', actual: values.reserved }));
    if (meta.length < values.metaLength) findings.push(lengthBeyondEnd('the Seama texts', at.metaLength, values.metaLength, meta.length, bytes.length));
    const texts = readMeta(bytes, meta);
    if (texts === undefined && meta.length === values.metaLength)
      findings.push(
        finding('structure-invalid', meta, {
          what: 'Seama texts',
          expected: '"key=value" and NUL',
          actual: hexBytes(bytes.subarray(meta.offset, meta.offset + Math.min(meta.length, 16))),
        }),
      );

    const imageOffset = meta.offset + meta.length;
    const available = bytes.length - imageOffset;
    const rest = bytes.subarray(imageOffset);
    let imageLength = Math.min(values.imageLength, available);
    if (isSeal) {
      imageLength = entitiesLength(rest, budget.limits.layers) || available;
      if (available === 0) {
        const args = { what: 'the first Seama entity', length: entityHeader.length, available };
        findings.push(finding('header-truncated', { offset: imageOffset, length: 0 }, args));
      } else if (!startsWithMagic(rest)) {
        const args = { what: 'start of the first Seama entity', expected: hex(magic), actual: hexBytes(rest.subarray(0, 4)) };
        findings.push(finding('structure-invalid', { offset: imageOffset, length: Math.min(4, available) }, args));
      }
    } else if (values.imageLength > available && meta.length === values.metaLength)
      findings.push(lengthBeyondEnd('the image', at.imageLength, values.imageLength, available, bytes.length));

    const range = { offset: imageOffset, length: imageLength };
    const image = rest.subarray(0, imageLength);
    const label = isSeal ? 'entities' : 'image';
    const fields = isSeal ? sealHeader.fields(values, { imageLength: 'a seal' }) : entityHeader.fields(entityHeader.read(bytes));
    const metaField: Field[] = meta.length > 0 && texts !== undefined ? [{ name: 'meta', ...meta, value: texts.map(({ text }) => text) }] : [];
    return {
      length: imageOffset + imageLength,
      kind: isSeal ? 'factory' : 'kernel',
      summary: `Seama ${isSeal ? 'seal' : 'entity'}${texts === undefined || texts.length === 0 ? '' : ` (${texts.map(({ text }) => text).join(', ')})`}`,
      fields: [...fields, ...metaField],
      regions: [
        region('header', `Seama ${isSeal ? 'seal' : 'entity'}`, 0, imageOffset),
        ...(imageLength > 0 ? [region('payload', label, range.offset, range.length)] : []),
      ],
      checks: isSeal
        ? []
        : [
            compare({
              code: 'data-checksum-mismatch',
              name: 'md5',
              algorithm: 'md5',
              stored: values.imageLength > available ? null : bytes.subarray(entityHeader.at.md5.offset, entityHeader.length),
              computed: digest('md5', [image]),
              at: entityHeader.at.md5,
              covers: [range],
            }),
          ],
      findings,
      identities: (texts ?? [])
        .filter(({ key }) => identifying.has(key))
        .map(({ key, value, offset }) => ({ source: `seama.${key}`, value, offset: offset + key.length + 1 })),
      payloads: imageLength > 0 ? [{ label, ranges: [range], content: 'slice', mayRepeat: isSeal }] : [],
      input: () => ({ meta: bytes.subarray(meta.offset, imageOffset), seal: isSeal, image }),
    };
  },

  build,

  recipeSteps: {
    seama: { compose: (image, use) => build({ meta: recipeMeta(use, false), image }), decompose: carriedImage },
    'seama-seal': { compose: (image, use) => build({ meta: recipeMeta(use, true), seal: true, image }), decompose: carriedImage },
  },
};
