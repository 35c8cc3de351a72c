/**
 * ZNBG trailer: the last 60 bytes of images for Keenetic, Netcraze and ZyXEL Keenetic routers, little endian.
 *
 * The checksum (CRC-32 without the final inversion) covers every byte of the file in front of the trailer. The
 * vendor's own tool writes the device id in big endian: its 0x10448000 are the same four bytes as 0x804410 here.
 *
 * Layout and writer: firmware-utils zyimage.c.
 */
import { joined } from '../src/core/bytes.ts';
import { compare, jamcrc } from '../src/core/checksums.ts';
import { OwimgError } from '../src/core/errors.ts';
import { damagedMagic } from '../src/core/findings.ts';
import { type Format, type Reading, region } from '../src/core/format.ts';
import { hex, printable, toBytes } from '../src/core/hex.ts';
import { optionWord } from '../src/core/recipe-step.ts';
import { hex32, rawText, struct } from '../src/core/struct.ts';
import { fillerBehind, findTrailer, truncatedTrailer } from '../src/core/trailer.ts';
import { numberKey, textKey, wrapping } from '../src/core/wrap.ts';

const trailer = struct('little', {
  magic: rawText(4),
  deviceId: hex32, // device_id
  version: rawText(48), // firmware_version
  checksum: hex32, // crc32
});

const what = 'ZNBG trailer';
const magic = toBytes('ZNBG');
const versionRoom = trailer.at.version.length - 1;

export interface ZnbgTrailerInput {
  /** All bytes in front of the trailer. */
  readonly image: Uint8Array;
  readonly deviceId: number;
  /** Up to 47 characters; OpenWrt puts the name of the device there. */
  readonly version: string | Uint8Array;
}

/** Whether the version's shape and the checksum prove that a trailer begins here. */
function proven(bytes: Uint8Array, start: number): boolean {
  if (start < 0) return false;
  const { version, checksum } = trailer.read(bytes, start);
  const shown = printable(version);
  const shaped = /^[ -~]{1,47}$/.test(shown) && version.subarray(shown.length).every((byte) => byte === 0);
  return shaped && jamcrc(bytes.subarray(0, start)) === checksum;
}

function locate(bytes: Uint8Array): number {
  const found = findTrailer(bytes, magic, () => trailer.length);
  if (found >= 0) return found;
  const start = bytes.length - trailer.length;
  return proven(bytes, start) ? start : -1;
}

/** The trailer alone; its checksum covers `image`. */
function build({ image, deviceId, version }: ZnbgTrailerInput): Uint8Array {
  if (!Number.isInteger(deviceId) || deviceId < 0 || deviceId > 0xffffffff) {
    throw new OwimgError('bad-value', `Cannot store the device id ${deviceId}: expected a number of 32 bits`);
  }
  if (typeof version === 'string' && version.length > versionRoom) {
    throw new OwimgError('bad-value', `Cannot store a version of ${version.length} characters: the trailer has room for ${versionRoom}`);
  }
  return trailer.write({ magic, deviceId, version: typeof version === 'string' ? toBytes(version) : version, checksum: jamcrc(image) });
}

export const znbgTrailer: Format<ZnbgTrailerInput> = {
  id: 'znbg-trailer',
  title: 'ZNBG trailer (Keenetic)',
  summary: 'The last 60 bytes of an image for Keenetic routers: device id, version and a checksum over all in front of it.',
  role: 'trailer',
  kind: 'factory',
  references: [{ title: 'firmware-utils zyimage.c', url: 'https://github.com/openwrt/firmware-utils/blob/d21804ad/src/zyimage.c' }],
  limitations: ['The checksum does not cover the trailer itself, so a damaged device id is not noticed.'],

  wrap: wrapping(
    'image',
    {
      deviceId: numberKey('device id, which the web page compares: 0x810630'),
      version: textKey('version of the firmware; OpenWrt writes the name of the device', versionRoom),
    },
    (image, values): ZnbgTrailerInput => ({ ...values, image }),
  ),

  detect: () => 'no',

  locate,

  parse(bytes): Reading<ZnbgTrailerInput> {
    const start = locate(bytes);
    if (bytes.length < start + trailer.length) return truncatedTrailer(what, bytes, start, trailer.length);
    const values = trailer.read(bytes, start);
    const { deviceId, version, checksum } = values;
    const behind = fillerBehind(what, bytes, start + trailer.length);
    return {
      start,
      length: bytes.length - start,
      summary: `ZNBG trailer for device ${hex(deviceId)}, version "${printable(version)}"`,
      fields: trailer.fields(values, {}, start),
      regions: [region('metadata', what, start, trailer.length), ...behind.regions],
      checks: [
        compare({
          code: 'image-checksum-mismatch',
          name: 'crc',
          algorithm: 'jamcrc',
          stored: checksum,
          computed: jamcrc(bytes.subarray(0, start)),
          at: { offset: start + trailer.at.checksum.offset, length: trailer.at.checksum.length },
          covers: [{ offset: 0, length: start }],
        }),
      ],
      findings: [...damagedMagic(what, bytes, start, magic), ...behind.findings],
      identities: [{ source: 'znbg-trailer.deviceId', value: hex(deviceId), offset: start + trailer.at.deviceId.offset }],
      payloads: [],
      input: () => ({ image: bytes.subarray(0, start), deviceId, version }),
    };
  },

  build,

  recipeSteps: {
    zyimage: {
      compose: (image, use) => {
        const command = use.command('zyimage');
        return joined([image, build({ image, deviceId: Number(optionWord(command, '-d')), version: use.filled(optionWord(command, '-v') ?? '') })]);
      },
      decompose: (image) => image.subarray(0, locate(image)),
    },
  },
};
