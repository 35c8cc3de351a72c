/**
 * CHDR: 16 bytes in front of the image of the Linksys E8350, little endian; a CyberTAN header stands in front of it
 * again.
 *
 * The length counts the header. The checksum (CRC-32 without the final inversion) covers all behind it, from the
 * header's last field up to that length.
 *
 * Layout and writer: firmware-utils linksys-addfwhdr.c.
 */
import { compare, jamcrc } from '../src/core/checksums.ts';
import { OwimgError } from '../src/core/errors.ts';
import { damagedMagic, finding, type LocalFinding, lengthBeyondEnd } from '../src/core/findings.ts';
import { type Format, type Reading, region, truncatedHeader } from '../src/core/format.ts';
import { latin1, toBytes } from '../src/core/hex.ts';
import { hex32, rawText, struct, u32 } from '../src/core/struct.ts';
import type { Confidence } from '../src/core/types.ts';
import { numberKey, wrapping } from '../src/core/wrap.ts';

const header = struct('little', {
  magic: rawText(4),
  length: u32, // len
  checksum: hex32, // crc32
  reserved: u32, // res
});

const magic = toBytes('CHDR');
/** The only value that the tool writes into the last field. */
const usualReserved = 1;
const checkedFrom = header.at.reserved.offset;

export interface ChdrInput {
  readonly image: Uint8Array;
  readonly reserved?: number;
}

export const chdr: Format<ChdrInput> = {
  id: 'chdr',
  title: 'Linksys CHDR header',
  summary: 'A 16-byte header with length and checksum, in front of the image of the Linksys E8350; a CyberTAN header stands in front of it.',
  role: 'wrapper',
  kind: 'factory',
  references: [{ title: 'firmware-utils linksys-addfwhdr.c', url: 'https://github.com/openwrt/firmware-utils/blob/d21804ad/src/linksys-addfwhdr.c' }],
  limitations: [],
  magics: [{ offset: 0, bytes: magic }],

  wrap: wrapping(
    'image',
    { reserved: numberKey('the last field', { initial: String(usualReserved) }) },
    (image, { reserved }): ChdrInput => ({ image, reserved }),
  ),

  detect(bytes): Confidence {
    const found = latin1(bytes.subarray(0, magic.length)) === latin1(magic);
    if (bytes.length < header.length) return found ? 'maybe' : 'no';
    const { length, reserved } = header.read(bytes);
    if (!found) return length === bytes.length && reserved === usualReserved ? 'maybe' : 'no';
    return length >= header.length && length <= bytes.length && reserved === usualReserved ? 'yes' : 'maybe';
  },

  parse(bytes): Reading<ChdrInput> {
    if (bytes.length < header.length) {
      const args = { what: 'a CHDR header', length: header.length, available: bytes.length };
      return truncatedHeader('CHDR', header.length, finding('header-truncated', { offset: 0, length: bytes.length }, args), bytes.length);
    }
    const values = header.read(bytes);
    const findings: LocalFinding[] = damagedMagic('CHDR header', bytes, 0, magic);
    if (values.length > bytes.length) findings.push(lengthBeyondEnd('the image', header.at.length, values.length, bytes.length, bytes.length));
    const possible = values.length >= header.length;
    if (!possible) {
      const args = { what: 'length in the CHDR header', expected: `${header.length} at least, as it counts the header`, actual: values.length };
      findings.push(finding('structure-invalid', header.at.length, args));
    }
    const length = possible ? Math.min(values.length, bytes.length) : bytes.length;
    const image = { offset: header.length, length: length - header.length };
    return {
      length,
      summary: 'Linksys CHDR header',
      fields: header.fields(values),
      regions: [region('header', 'CHDR header', 0, header.length), region('payload', 'image', image.offset, image.length)],
      checks: [
        compare({
          code: 'image-checksum-mismatch',
          name: 'crc',
          algorithm: 'jamcrc',
          stored: length === values.length ? values.checksum : null,
          computed: jamcrc(bytes.subarray(checkedFrom, length)),
          at: header.at.checksum,
          covers: [{ offset: checkedFrom, length: length - checkedFrom }],
        }),
      ],
      findings,
      identities: [],
      payloads: image.length > 0 ? [{ label: 'image', ranges: [image], content: 'slice' }] : [],
      input: () => ({ image: bytes.subarray(header.length, length), reserved: values.reserved }),
    };
  },

  build({ image, reserved = usualReserved }) {
    const length = header.length + image.length;
    if (length > 0xffffffff) throw new OwimgError('bad-value', `Cannot store a length of ${length} bytes: the field has 32 bits`);
    const built = new Uint8Array(length);
    built.set(header.write({ magic, length, checksum: 0, reserved }));
    built.set(image, header.length);
    built.set(header.write({ magic, length, checksum: jamcrc(built.subarray(checkedFrom)), reserved }));
    return built;
  },
};
