/**
 * Motorola prefix: 8 bytes in front of the TRX of three Motorola routers, big endian. There is no magic number and
 * no length: a number that stands for the device, and a checksum (CRC-32 without the final inversion) over that
 * number and all behind it, up to the end of the file.
 *
 * Layout and writer: firmware-utils motorola-bin.c.
 */
import { compare, jamcrc } from '../src/core/checksums.ts';
import { OwimgError } from '../src/core/errors.ts';
import { type Format, type Reading, region } from '../src/core/format.ts';
import { hex } from '../src/core/hex.ts';
import { hex32, struct } from '../src/core/struct.ts';
import type { Confidence } from '../src/core/types.ts';
import { numberKey, wrapping } from '../src/core/wrap.ts';

const header = struct('big', {
  checksum: hex32, // crc
  flags: hex32,
});

/** The three devices, by the number that stands for them, in the order of the tool's options `-1` to `-3`. */
const devices: ReadonlyMap<number, string> = new Map([
  [0x10577050, 'WR850G'],
  [0x10577040, 'WA840G'],
  [0x10577000, 'WE800G'],
]);

export interface MotorolaInput {
  /** `WR850G`, `WA840G` or `WE800G`. */
  readonly device: string;
  readonly image: Uint8Array;
}

function build({ device, image }: MotorolaInput): Uint8Array {
  const flags = [...devices].find(([, name]) => name === device)?.[0];
  if (flags === undefined) throw new OwimgError('bad-value', `Cannot build a prefix for "${device}": expected one of ${[...devices.values()].join(', ')}`);
  const built = new Uint8Array(header.length + image.length);
  built.set(header.write({ checksum: 0, flags }));
  built.set(image, header.length);
  built.set(header.write({ checksum: jamcrc(built.subarray(header.at.flags.offset)), flags }));
  return built;
}

export const motorola: Format<MotorolaInput> = {
  id: 'motorola',
  title: 'Motorola prefix',
  summary: 'Eight bytes with a checksum and a number for the device, in front of the TRX that Motorola WR850G, WA840G and WE800G take.',
  role: 'wrapper',
  kind: 'factory',
  references: [{ title: 'firmware-utils motorola-bin.c', url: 'https://github.com/openwrt/firmware-utils/blob/d21804ad/src/motorola-bin.c' }],
  limitations: [
    'Without a magic number a prefix is only recognised by its device number: with that damaged, only what lies behind it is.',
    'The prefix has no length, so the checksum alone tells that bytes are missing at the end or were appended.',
  ],

  // Never 'yes': the checksum would tell, but is over the whole file. So it is only found where nothing else fits.
  wrap: wrapping(
    'TRX',
    { flags: numberKey('device', { names: devices }) },
    (image, { flags }): MotorolaInput => ({ device: devices.get(flags) ?? hex(flags), image }),
  ),

  detect: (bytes): Confidence => (bytes.length >= header.length && devices.has(header.read(bytes).flags) ? 'maybe' : 'no'),

  parse(bytes): Reading<MotorolaInput> {
    const values = header.read(bytes);
    const device = devices.get(values.flags) as string;
    const image = { offset: header.length, length: bytes.length - header.length };
    const checked = bytes.subarray(header.at.flags.offset);
    return {
      length: bytes.length,
      summary: `Motorola prefix for ${device}`,
      fields: header.fields(values, { flags: device }),
      regions: [region('header', 'Motorola prefix', 0, header.length), region('payload', 'image', image.offset, image.length)],
      checks: [
        compare({
          code: 'image-checksum-mismatch',
          name: 'crc',
          algorithm: 'jamcrc',
          stored: values.checksum,
          computed: jamcrc(checked),
          at: header.at.checksum,
          covers: [{ offset: header.at.flags.offset, length: checked.length }],
        }),
      ],
      findings: [],
      identities: [{ source: 'motorola.flags', value: device, offset: header.at.flags.offset }],
      payloads: image.length > 0 ? [{ label: 'image', ranges: [image], content: 'slice' }] : [],
      input: () => ({ device, image: bytes.subarray(header.length) }),
    };
  },

  build,

  recipeSteps: {
    'motorola-bin': {
      compose: (image, use) => {
        const digit = use.command('motorola-bin')[1]?.replace(/^-/, '');
        return build({ device: [...devices.values()][Number(digit) - 1] ?? String(digit), image });
      },
      decompose: (image) => image.subarray(header.length),
    },
  },
};
