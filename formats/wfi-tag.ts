/**
 * Whole flash image tag: the last 20 bytes of an image that Broadcom's CFE writes to all of a NAND flash. Five
 * numbers, big endian on bcm63xx and little endian on bcm4908; the first is a CRC-32 without the final inversion
 * over all in front of the tag.
 *
 * Layout and writers: OpenWrt scripts/cfe-wfi-tag.py, bcm4908img.
 */
import { compare, jamcrc } from '../src/core/checksums.ts';
import { OwimgError } from '../src/core/errors.ts';
import { type Format, type Reading, region } from '../src/core/format.ts';
import { hex32, struct, u32 } from '../src/core/struct.ts';
import { choiceKey, numberKey, wrapping } from '../src/core/wrap.ts';

const fields = { checksum: hex32, version: hex32, chipId: hex32, flashType: u32, flags: hex32 };
const tags = { big: struct('big', fields), little: struct('little', fields) };
const { length } = tags.big;

const versions: ReadonlyMap<number, string> = new Map([
  [0x5700, 'any'],
  [0x5731, 'W1, data partition of 1 MiB'],
  [0x5732, 'W2'],
]);
const flashTypes = ['none', 'NOR', ...['16 KiB', '128 KiB', '256 KiB', '512 KiB', '1 MiB', '2 MiB'].map((block) => `NAND with erase blocks of ${block}`)];
const largestFlags = 0xff;
/** The directory entry with which the JFFS2 begins that CFE reads its second stage from. */
const fileSystemStarts: readonly number[] = [0x1985, 0x8519];

type Endian = keyof typeof tags;

/** What `build` takes. */
export interface WfiTagInput {
  /** All bytes in front of the tag. */
  readonly image: Uint8Array;
  readonly endian: Endian;
  readonly version: number;
  /** 0x63268 for a BCM63268. */
  readonly chipId: number;
  readonly flashType: number;
  readonly flags: number;
}

/** The byte order in which the last bytes are a tag, if they are one. */
function endianOf(bytes: Uint8Array): Endian | undefined {
  const start = bytes.length - length;
  if (start < 2) return undefined;
  const fits = (endian: Endian): boolean => {
    const { version, chipId, flashType, flags } = tags[endian].read(bytes, start);
    return versions.has(version) && flashType > 0 && flashType < flashTypes.length && flags <= largestFlags && /^\d{4,5}$/.test(chipId.toString(16));
  };
  const endian = (['big', 'little'] as const).find(fits);
  if (endian === undefined) return undefined;
  // Behind a vendor's header the sum does not begin at the file's first byte, and all of this is the header's affair.
  const starts = fileSystemStarts.includes(new DataView(bytes.buffer, bytes.byteOffset).getUint16(0));
  return starts || tags[endian].read(bytes, start).checksum === jamcrc(bytes.subarray(0, start)) ? endian : undefined;
}

export const wfiTag: Format<WfiTagInput> = {
  id: 'wfi-tag',
  title: 'Broadcom whole flash image tag',
  summary:
    'The last 20 bytes of an image for all of a NAND flash, as CFE on bcm63xx and bcm4908 takes it: chip, kind of flash, and a checksum over all in front.',
  role: 'trailer',
  kind: 'factory',
  references: [{ title: 'OpenWrt scripts/cfe-wfi-tag.py', url: 'https://github.com/openwrt/openwrt/blob/3d1645ee/scripts/cfe-wfi-tag.py' }],
  limitations: ['The tag of an image that stands behind a vendor header, in front of which its checksum does not reach, is not read.'],

  wrap: wrapping(
    'image',
    {
      version: numberKey('version of the tag: 0x5731 with a data partition of 1 MiB, 0x5732 usually', { initial: '0x5732' }),
      chipId: numberKey('chip: 0x63268 for a BCM63268'),
      flashType: numberKey('kind of flash: 2 and more are NAND, 3 with erase blocks of 128 KiB', { bits: 8 }),
      flags: numberKey('flags', { bits: 8, initial: '0' }),
      endian: choiceKey('byte order: big on bcm63xx, little on bcm4908', ['big', 'little'], { initial: 'big' }),
    },
    (image, values): WfiTagInput => ({ ...values, image }),
  ),

  detect: () => 'no',

  locate: (bytes) => (endianOf(bytes) === undefined ? -1 : bytes.length - length),

  parse(bytes): Reading<WfiTagInput> {
    const endian = endianOf(bytes) as Endian;
    const start = bytes.length - length;
    const tag = tags[endian];
    const values = tag.read(bytes, start);
    const { version, chipId, flashType } = values;
    const chip = chipId.toString(16);
    return {
      start,
      length,
      summary: `whole flash image for chip ${chip}, ${flashTypes[flashType]}`,
      fields: tag.fields(values, { version: versions.get(version), chipId: `BCM${chip}`, flashType: flashTypes[flashType] }, start),
      regions: [region('metadata', 'whole flash image tag', start, length)],
      checks: [
        compare({
          code: 'image-checksum-mismatch',
          name: 'image-crc',
          algorithm: 'jamcrc',
          stored: values.checksum,
          computed: jamcrc(bytes.subarray(0, start)),
          at: { offset: start, length: 4 },
          covers: [{ offset: 0, length: start }],
        }),
      ],
      findings: [],
      identities: [{ source: 'wfi-tag.chipId', value: chip, offset: start + tag.at.chipId.offset }],
      payloads: [],
      input: () => ({ ...values, image: bytes.subarray(0, start), endian }),
    };
  },

  /** The tag alone; its checksum covers `image`. */
  build({ image, endian, version, chipId, flashType, flags }) {
    if (flashTypes[flashType] === undefined) throw new OwimgError('bad-value', `Cannot write flash type ${flashType}: expected 1 to ${flashTypes.length - 1}`);
    return tags[endian].write({ checksum: jamcrc(image), version, chipId, flashType, flags });
  },
};
