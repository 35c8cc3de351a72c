/**
 * eGON: what the boot ROM of Allwinner chips loads from sector 16 of a card, the SPL of U-Boot or the vendor's
 * boot0. A jump, a magic number, checksum and length; all numbers are little endian.
 *
 * The checksum is the sum of all 32-bit words up to the length, the checksum's own word counted as 5F0A6C39.
 * U-Boot puts the name of its device tree behind the part which the boot ROM reads.
 *
 * Layout: U-Boot include/sunxi_image.h. Writer: mkimage -T sunxi_egon.
 */
import { compare } from '../src/core/checksums.ts';
import { OwimgError } from '../src/core/errors.ts';
import { finding, type LocalFinding, lengthBeyondEnd } from '../src/core/findings.ts';
import { type Format, type Reading, region, truncatedHeader } from '../src/core/format.ts';
import { latin1, printable, toBytes } from '../src/core/hex.ts';
import { hex32, bytes as raw, struct, text, u32 } from '../src/core/struct.ts';
import type { Confidence, Field } from '../src/core/types.ts';

const header = struct('little', {
  branch: hex32, // b_instruction
  magic: text(8),
  checksum: hex32,
  imageLength: u32,
});
/** What U-Boot adds; fel and the boot ROM write into some of it in memory. */
const splHeader = struct('little', {
  signature: text(3),
  version: raw(1),
  felScriptAddress: hex32,
  felEnvironmentLength: u32,
  deviceTreeOffset: u32, // dt_name_offset
  dramSize: u32,
  bootMedia: hex32,
  strings: raw(52),
});

const magic = 'eGON.BT0';
const magicOffset = header.at.magic.offset;
const stamp = 0x5f0a6c39;
/** More than any chip's SRAM. */
const longest = 1024 * 1024;

/** What `build` takes. */
export interface EgonInput {
  /** The jump over the header. */
  readonly branch: number;
  /** All that follows the first 20 bytes, padding included. */
  readonly body: Uint8Array;
}

function checksumOf(image: Uint8Array): number {
  const view = new DataView(image.buffer, image.byteOffset, image.length);
  let sum = stamp - view.getUint32(header.at.checksum.offset, true);
  for (let offset = 0; offset + 4 <= image.length; offset += 4) sum = (sum + view.getUint32(offset, true)) | 0;
  return sum >>> 0;
}

export const egon: Format<EgonInput> = {
  id: 'egon',
  title: 'Allwinner eGON boot image',
  summary: 'The first stage boot loader which the boot ROM of Allwinner chips (sunxi) loads and whose sum it checks.',
  role: 'wrapper',
  kind: 'bootloader',
  references: [
    { title: 'U-Boot include/sunxi_image.h', url: 'https://github.com/u-boot/u-boot/blob/6073c36b/include/sunxi_image.h' },
    { title: 'U-Boot tools/sunxi_egon.c', url: 'https://github.com/u-boot/u-boot/blob/6073c36b/tools/sunxi_egon.c' },
  ],
  limitations: ['Signed images for secure boot (TOC0) are another format and not read.'],
  magics: [{ offset: magicOffset, bytes: toBytes(magic) }],

  detect(bytes): Confidence {
    if (latin1(bytes.subarray(magicOffset, magicOffset + magic.length)) !== magic) return 'no';
    if (bytes.length < header.length) return 'maybe';
    const { imageLength } = header.read(bytes);
    return imageLength % 4 === 0 && imageLength > header.length && imageLength <= longest ? 'yes' : 'maybe';
  },

  parse(bytes): Reading<EgonInput> {
    if (bytes.length < header.length) {
      const cut = finding('header-truncated', { offset: 0, length: bytes.length }, { what: 'an eGON header', length: header.length, available: bytes.length });
      return truncatedHeader('eGON', header.length, cut, bytes.length);
    }
    const { branch, checksum, imageLength } = header.read(bytes);
    const findings: LocalFinding[] = [];
    const possible = imageLength % 4 === 0 && imageLength > header.length && imageLength <= longest;
    if (!possible) {
      const expected = `a multiple of 4 from ${header.length + 4} to ${longest}`;
      findings.push(finding('structure-invalid', header.at.imageLength, { what: 'eGON length', expected, actual: imageLength }));
    }
    const whole = imageLength <= bytes.length;
    if (possible && !whole) findings.push(lengthBeyondEnd('the eGON image', header.at.imageLength, imageLength, bytes.length, bytes.length));
    const length = possible ? Math.min(imageLength, bytes.length) : header.length;
    const image = bytes.subarray(0, length);
    const fields: Field[] = header.fields(header.read(bytes));
    let headerLength = header.length;
    let deviceTree = '';
    if (latin1(image.subarray(header.length, header.length + 3)) === 'SPL' && length >= header.length + splHeader.length) {
      headerLength += splHeader.length;
      const spl = splHeader.read(image, header.length);
      const start = spl.deviceTreeOffset;
      if (start > 0 && start < headerLength) deviceTree = printable(image.subarray(start, headerLength));
      const version = spl.version[0] as number;
      const meanings = { version: `${version >> 5}.${version & 0x1f}` };
      fields.push(...splHeader.fields(spl, meanings, header.length).filter((field) => field.name !== 'strings'));
      if (deviceTree !== '') fields.push({ name: 'deviceTree', offset: start, length: deviceTree.length, value: deviceTree });
    }
    return {
      length,
      summary: `eGON boot image${deviceTree === '' ? '' : ` for ${deviceTree}`}`,
      fields,
      regions: [region('header', 'eGON header', 0, headerLength), region('payload', 'boot loader', headerLength, length - headerLength)],
      checks: [
        compare({
          code: 'data-checksum-mismatch',
          name: 'sum',
          algorithm: 'sum32',
          stored: possible && whole ? checksum : null,
          computed: checksumOf(image),
          at: header.at.checksum,
          covers: [{ offset: 0, length }],
        }),
      ],
      findings,
      identities: [],
      payloads: [],
      input: () => ({ branch, body: image.subarray(header.length) }),
    };
  },

  build({ branch, body }) {
    const imageLength = header.length + body.length;
    if (imageLength % 4 !== 0 || imageLength > longest) {
      throw new OwimgError('bad-value', `Cannot build an eGON image of ${imageLength} bytes: it needs a multiple of 4, up to ${longest}`);
    }
    const image = new Uint8Array(imageLength);
    image.set(header.write({ branch, magic, checksum: 0, imageLength }));
    image.set(body, header.length);
    new DataView(image.buffer).setUint32(header.at.checksum.offset, checksumOf(image), true);
    return image;
  },
};
