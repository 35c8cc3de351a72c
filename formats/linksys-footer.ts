/**
 * Linksys footer: the last 256 bytes of images for the upgrade page of Linksys' NAND routers. Text without
 * terminators, filled up with blanks, and then zeros. OpenWrt's first script for it put a line feed behind it.
 *
 * The checksum, POSIX `cksum` as eight upper-case hexadecimal digits, covers every byte of the file in front of
 * the footer. The upgrade compares it and the magic number; nothing protects the other bytes of the footer.
 *
 * Layout and writer: linksys-image.sh, today OpenWrt's include/image-commands.mk (linksys-image).
 */
import { joined } from '../src/core/bytes.ts';
import { cksum } from '../src/core/checksums.ts';
import { OwimgError } from '../src/core/errors.ts';
import { damagedMagic } from '../src/core/findings.ts';
import { type Format, type Reading, region } from '../src/core/format.ts';
import { fromHexText, hexText, toBytes } from '../src/core/hex.ts';
import { rawText, struct, text } from '../src/core/struct.ts';
import { fillerBehind, findTrailer, textChecksum, truncatedTrailer } from '../src/core/trailer.ts';
import { flagKey, textKey, wrapping } from '../src/core/wrap.ts';

const footer = struct('big', {
  magic: rawText(9),
  version: rawText(8),
  type: rawText(15),
  checksum: text(8),
  tail: rawText(24), // "0" in eight characters, and sixteen of a signer
});

const what = 'Linksys footer';
const magic = toBytes('.LINKSYS.');
const length = 256;
const reservedLength = length - footer.length;
const lineFeed = 0x0a;
/** What OpenWrt writes behind the checksum. */
const usualTail = `${'0'.padEnd(8)}K0000000F0246434`;

export interface LinksysFooterInput {
  /** All bytes in front of the footer. */
  readonly image: Uint8Array;
  /** The device, up to fifteen characters: `EA4500V3`. */
  readonly type: string | Uint8Array;
  /** Eight characters that nobody checks; `01000409` with OpenWrt. */
  readonly version?: string | Uint8Array;
  /** Twenty-four characters that nobody checks. */
  readonly tail?: string | Uint8Array;
  /** 192 bytes, zero with OpenWrt. */
  readonly reserved?: Uint8Array;
  /** The line feed behind the footer that OpenWrt's first script wrote. */
  readonly lineFeed?: boolean;
}

const lengthAt = (bytes: Uint8Array, start: number): number => (bytes[start + length] === lineFeed ? length + 1 : length);

/** Whether the checksum alone proves that a footer begins here. */
function proven(bytes: Uint8Array, start: number): boolean {
  if (start < 0) return false;
  const stored = fromHexText(footer.read(bytes, start).checksum);
  return stored !== null && stored === cksum(bytes.subarray(0, start));
}

function locate(bytes: Uint8Array): number {
  const found = findTrailer(bytes, magic, (start) => lengthAt(bytes, start));
  if (found >= 0) return found;
  const ends = bytes.at(-1) === lineFeed ? [bytes.length - 1, bytes.length] : [bytes.length];
  return ends.map((end) => end - length).find((start) => proven(bytes, start)) ?? -1;
}

/** A text filled up with blanks; bytes as they are. */
function filled(value: string | Uint8Array, name: 'version' | 'type' | 'tail'): Uint8Array {
  const room = footer.at[name].length;
  if (value.length > room) throw new OwimgError('bad-value', `Cannot store a ${name} of ${value.length} characters: the footer has room for ${room}`);
  return typeof value === 'string' ? toBytes(value.padEnd(room)) : value;
}

/** The footer alone; its checksum covers `image`. */
function build({
  image,
  type,
  version = '01000409',
  tail = `${'0'.padEnd(8)}K0000000F0246434`,
  reserved = new Uint8Array(reservedLength),
  lineFeed: ended = false,
}: LinksysFooterInput): Uint8Array {
  if (reserved.length !== reservedLength) {
    throw new OwimgError('bad-value', `Cannot store ${reserved.length} reserved bytes: the footer has exactly ${reservedLength}`);
  }
  const built = new Uint8Array(length + (ended ? 1 : 0)).fill(lineFeed, length);
  const checksum = hexText(cksum(image));
  built.set(footer.write({ magic, version: filled(version, 'version'), type: filled(type, 'type'), checksum, tail: filled(tail, 'tail') }));
  built.set(reserved, footer.length);
  return built;
}

/** Filled up with FF so that the footer ends with a page of the flash. */
function pageFilled(image: Uint8Array, page: number | undefined): Uint8Array {
  if (page === undefined) return image;
  const padding = (page - ((image.length + length) % page)) % page;
  return joined([image, new Uint8Array(padding).fill(0xff)]);
}

export const linksysFooter: Format<LinksysFooterInput> = {
  id: 'linksys-footer',
  title: 'Linksys footer (.LINKSYS.)',
  summary: "The last 256 bytes of an image for the upgrade page of Linksys' NAND routers: the device's name and a checksum over all in front of it.",
  role: 'trailer',
  kind: 'factory',
  references: [
    { title: 'scripts/linksys-image.sh (with the meaning of each field)', url: 'https://github.com/coolsnowwolf/lede/blob/1fd0abdb/scripts/linksys-image.sh' },
    { title: 'OpenWrt include/image-commands.mk (linksys-image)', url: 'https://github.com/openwrt/openwrt/blob/3d1645ee/include/image-commands.mk' },
  ],
  limitations: ['The checksum does not cover the footer itself, so a damaged device name is not noticed.'],

  wrap: wrapping(
    'image',
    {
      type: textKey('device, which the web page compares: EA4500V3', footer.at.type.length),
      version: textKey('eight characters that nobody checks', footer.at.version.length, { initial: '01000409' }),
      tail: textKey('what stands behind the checksum', footer.at.tail.length, { initial: usualTail }),
      lineFeed: flagKey("a line feed behind the footer, as OpenWrt's first script wrote it"),
    },
    (image, values): LinksysFooterInput => ({ ...values, image }),
  ),

  detect: () => 'no',

  locate,

  parse(bytes): Reading<LinksysFooterInput> {
    const start = locate(bytes);
    if (bytes.length < start + length) return truncatedTrailer(what, bytes, start, length);
    const values = footer.read(bytes, start);
    const at = { offset: start + footer.at.checksum.offset, length: footer.at.checksum.length };
    const { check, findings } = textChecksum(what, bytes, start, at);
    const end = start + lengthAt(bytes, start);
    const withLineFeed = end > start + length;
    const behind = fillerBehind(what, bytes, end);
    const fields = footer.fields(values, {}, start).map((field) => (field.name === 'type' ? { ...field, value: String(field.value).trimEnd() } : field));
    const type = String(fields.find(({ name }) => name === 'type')?.value);
    const reserved = region('metadata', 'reserved', start + footer.length, reservedLength);
    return {
      start,
      length: bytes.length - start,
      summary: `Linksys footer for "${type}"`,
      fields,
      regions: [
        region('metadata', what, start, footer.length),
        reserved,
        ...(withLineFeed ? [region('metadata', 'line feed', start + length, 1)] : []),
        ...behind.regions,
      ],
      checks: [check],
      findings: [...damagedMagic(what, bytes, start, magic), ...findings, ...behind.findings],
      identities: [{ source: 'linksys-footer.type', value: type, offset: start + footer.at.type.offset }],
      payloads: [],
      input: () => ({
        image: bytes.subarray(0, start),
        type: values.type,
        version: values.version,
        tail: values.tail,
        reserved: bytes.subarray(reserved.offset, reserved.offset + reserved.length),
        lineFeed: withLineFeed,
      }),
    };
  },

  build,

  recipeSteps: {
    'linksys-image': {
      compose: (image, use) => {
        // The realtek target has a step of the same name that writes another footer.
        if (use.command('linksys-image.sh').length > 0) {
          throw new OwimgError('step-unknown', `Cannot make the image: owimg cannot do the step "${use.name}" of ${use.device.target} yet`);
        }
        const padded = pageFilled(image, use.device.sizes.page);
        const type = use.words.find((word) => word.startsWith('type='))?.slice('type='.length) ?? use.device.profile;
        return joined([padded, build({ image: padded, type })]);
      },
      decompose: (image) => image.subarray(0, locate(image)),
    },
  },
};
