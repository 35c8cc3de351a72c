/**
 * Gemtek trailer: the last 16 bytes of images for the upgrade page of Linksys routers that Gemtek made (E5600).
 * Text: the magic number and a checksum, POSIX `cksum` as eight upper-case hexadecimal digits, over every byte of
 * the file in front of the trailer. It names no device.
 *
 * Layout and writer: OpenWrt target/linux/ramips/image/mt7621.mk (gemtek-trailer).
 */
import { joined } from '../src/core/bytes.ts';
import { cksum } from '../src/core/checksums.ts';
import { damagedMagic } from '../src/core/findings.ts';
import { type Format, type Reading, region } from '../src/core/format.ts';
import { fromHexText, hexText, toBytes } from '../src/core/hex.ts';
import { rawText, struct, text } from '../src/core/struct.ts';
import { fillerBehind, findTrailer, textChecksum, truncatedTrailer } from '../src/core/trailer.ts';
import { wrapping } from '../src/core/wrap.ts';

const trailer = struct('big', { magic: rawText(8), checksum: text(8) });

const what = 'Gemtek trailer';
const magic = toBytes('.GEMTEK.');

export interface GemtekTrailerInput {
  /** All bytes in front of the trailer. */
  readonly image: Uint8Array;
}

/** Whether the checksum alone proves that a trailer begins here. */
function proven(bytes: Uint8Array, start: number): boolean {
  if (start < 0) return false;
  const stored = fromHexText(trailer.read(bytes, start).checksum);
  return stored !== null && stored === cksum(bytes.subarray(0, start));
}

function locate(bytes: Uint8Array): number {
  const found = findTrailer(bytes, magic, () => trailer.length);
  if (found >= 0) return found;
  const start = bytes.length - trailer.length;
  return proven(bytes, start) ? start : -1;
}

/** The trailer alone; its checksum covers `image`. */
const build = ({ image }: GemtekTrailerInput): Uint8Array => trailer.write({ magic, checksum: hexText(cksum(image)) });

export const gemtekTrailer: Format<GemtekTrailerInput> = {
  id: 'gemtek-trailer',
  title: 'Gemtek trailer (.GEMTEK.)',
  summary: 'The last 16 bytes of an image for the upgrade page of Linksys routers made by Gemtek: a checksum over all in front of it.',
  role: 'trailer',
  kind: 'factory',
  references: [
    {
      title: 'OpenWrt target/linux/ramips/image/mt7621.mk (gemtek-trailer)',
      url: 'https://github.com/openwrt/openwrt/blob/3d1645ee/target/linux/ramips/image/mt7621.mk',
    },
  ],
  limitations: [],

  wrap: wrapping('image', {}, (image): GemtekTrailerInput => ({ image })),

  detect: () => 'no',

  locate,

  parse(bytes): Reading<GemtekTrailerInput> {
    const start = locate(bytes);
    if (bytes.length < start + trailer.length) return truncatedTrailer(what, bytes, start, trailer.length);
    const values = trailer.read(bytes, start);
    const at = { offset: start + trailer.at.checksum.offset, length: trailer.at.checksum.length };
    const { check, findings } = textChecksum(what, bytes, start, at);
    const behind = fillerBehind(what, bytes, start + trailer.length);
    return {
      start,
      length: bytes.length - start,
      summary: what,
      fields: trailer.fields(values, {}, start),
      regions: [region('metadata', what, start, trailer.length), ...behind.regions],
      checks: [check],
      findings: [...damagedMagic(what, bytes, start, magic), ...findings, ...behind.findings],
      identities: [],
      payloads: [],
      input: () => ({ image: bytes.subarray(0, start) }),
    };
  },

  build,

  recipeSteps: {
    'gemtek-trailer': {
      compose: (image) => joined([image, build({ image })]),
      decompose: (image) => image.subarray(0, locate(image)),
    },
  },
};
