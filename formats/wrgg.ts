/**
 * WRGG03, of D-Link's access points and routers by Alpha Networks: a header of 160 bytes with texts (signature, version,
 * model, build number, the partition's name), length and MD5, and the image behind it: a kernel in flash, kernel and root file
 * system in what the vendor's upgrade takes.
 *
 * The two magic numbers are little endian always; length and offset in the byte order of the device, which the
 * header does not tell. The MD5 covers the offset, the partition's name and the image, not the other texts.
 *
 * Layout and writer: firmware-utils mkwrggimg.c. Reader: Linux, OpenWrt's mtdsplit_wrgg.c.
 */
import { compare, digest } from '../src/core/checksums.ts';
import { OwimgError } from '../src/core/errors.ts';
import { finding, type LocalFinding, lengthBeyondEnd } from '../src/core/findings.ts';
import { type Format, type Reading, region, truncatedHeader } from '../src/core/format.ts';
import { hex, hexBytes, printable, toBytes } from '../src/core/hex.ts';
import { optionWord, type RecipeStep } from '../src/core/recipe-step.ts';
import { hex32, hex32le, bytes as raw, rawText, struct, u32 } from '../src/core/struct.ts';
import type { Confidence } from '../src/core/types.ts';

const table = {
  signature: rawText(32),
  magic: hex32le, // magic1
  magicCopy: hex32le, // magic2
  version: rawText(16),
  model: rawText(16),
  flags: raw(8), // flag
  reserved: raw(8), // reserve
  buildNumber: rawText(16), // buildno
  imageLength: u32, // size
  offset: hex32,
  deviceName: rawText(32), // devname
  md5: raw(16), // digest
};
const headers = { big: struct('big', table), little: struct('little', table) };
type Endian = keyof typeof headers;
type Values = ReturnType<typeof headers.big.read>;

const { at, length: headerLength } = headers.big;
const magic = 0x20080321;
const magicBytes = Uint8Array.of(0x21, 0x03, 0x08, 0x20);

const texts = ['signature', 'version', 'model', 'buildNumber', 'deviceName'] as const;
type Text = (typeof texts)[number];

export interface WrggInput extends Readonly<Record<Text, string | Uint8Array>> {
  readonly endian: Endian;
  readonly flags?: Uint8Array;
  readonly reserved?: Uint8Array;
  readonly offset?: number;
  readonly image: Uint8Array;
}

function md5Of(bytes: Uint8Array, image: Uint8Array): Uint8Array {
  return digest('md5', [bytes.subarray(at.offset.offset, at.md5.offset), image]);
}

/** In which byte order the length fits; where it does in both, the MD5 decides, and where in none, the smaller length. */
function endianOf(bytes: Uint8Array): Endian {
  const length = { big: headers.big.read(bytes).imageLength, little: headers.little.read(bytes).imageLength };
  const smaller: Endian = length.big <= length.little ? 'big' : 'little';
  const larger: Endian = smaller === 'big' ? 'little' : 'big';
  if (headerLength + length[larger] > bytes.length) return smaller;
  const fits = hexBytes(md5Of(bytes, bytes.subarray(headerLength, headerLength + length[larger]))) === hexBytes(headers[larger].read(bytes).md5);
  return fits ? larger : smaller;
}

/** A signature of visible characters, all texts filled up with NUL. */
function plausible(values: Values): boolean {
  const filled = texts.every((name) => values[name].subarray(printable(values[name]).length).every((byte) => byte === 0));
  return filled && /^[!-~]{4,32}$/.test(printable(values.signature));
}

/** How many of the eight bytes of both magic numbers stand there. */
function matchingBytes(bytes: Uint8Array): number {
  const { offset, length } = at.magic;
  let count = 0;
  for (let index = 0; index < 2 * length; index += 1) if (bytes[offset + index] === magicBytes[index % length]) count += 1;
  return count;
}

function build({ endian, image, flags = new Uint8Array(8), reserved = new Uint8Array(8), offset = 0, ...given }: WrggInput): Uint8Array {
  if (image.length > 0xffffffff) throw new OwimgError('bad-value', `Cannot build a WRGG image of ${image.length} bytes: the length field has 32 bits`);
  const text = (name: Text): Uint8Array => {
    const { length: room } = at[name];
    const value = typeof given[name] === 'string' ? toBytes(given[name]) : given[name];
    if (value.length > room) throw new OwimgError('bad-value', `Cannot store a ${name} of ${value.length} characters: the header has room for ${room}`);
    const filled = new Uint8Array(room);
    filled.set(value);
    return filled;
  };
  const values = {
    signature: text('signature'),
    magic,
    magicCopy: magic,
    version: text('version'),
    model: text('model'),
    flags,
    reserved,
    buildNumber: text('buildNumber'),
    imageLength: image.length,
    offset,
    deviceName: text('deviceName'),
    md5: new Uint8Array(16),
  };
  const built = new Uint8Array(headerLength + image.length);
  built.set(headers[endian].write(values));
  built.set(image, headerLength);
  built.set(md5Of(built, image), at.md5.offset);
  return built;
}

/** The tool cuts texts that are too long, as a revision may be for a build number. */
const step: RecipeStep = {
  compose: (image, use) => {
    const command = use.command('mkwrggimg');
    const text = (option: string, name: Text): string => use.filled(optionWord(command, option) ?? '').slice(0, at[name].length);
    return build({
      endian: command.includes('-b') ? 'big' : 'little',
      signature: text('-s', 'signature'),
      version: text('-v', 'version'),
      model: text('-m', 'model'),
      buildNumber: text('-B', 'buildNumber'),
      deviceName: text('-d', 'deviceName'),
      image,
    });
  },
  decompose: (image) => image.subarray(headerLength, headerLength + headers[endianOf(image)].read(image).imageLength),
};

export const wrgg: Format<WrggInput> = {
  id: 'wrgg',
  title: 'WRGG03 (D-Link)',
  summary: 'A header with signature, model, partition and MD5, in front of the kernel or the image that D-Link access points take.',
  role: 'wrapper',
  kind: 'factory',
  references: [
    { title: 'firmware-utils mkwrggimg.c', url: 'https://github.com/openwrt/firmware-utils/blob/d21804ad/src/mkwrggimg.c' },
    {
      title: 'OpenWrt mtdsplit_wrgg.c',
      url: 'https://github.com/openwrt/openwrt/blob/3d1645ee/target/linux/generic/files/drivers/mtd/mtdsplit/mtdsplit_wrgg.c',
    },
  ],
  limitations: ['The MD5 does not cover signature, version, model and build number, so damage in these is not noticed.'],
  magics: [{ offset: at.magic.offset, bytes: Uint8Array.of(...magicBytes, ...magicBytes) }],

  detect(bytes): Confidence {
    const matching = matchingBytes(bytes);
    if (bytes.length < headerLength) return matching === 2 * magicBytes.length ? 'maybe' : 'no';
    const fits = plausible(headers.big.read(bytes));
    if (matching === 2 * magicBytes.length) return fits ? 'yes' : 'maybe';
    return fits && matching >= magicBytes.length ? 'maybe' : 'no';
  },

  parse(bytes): Reading<WrggInput> {
    if (bytes.length < headerLength) {
      const args = { what: 'a WRGG header', length: headerLength, available: bytes.length };
      return truncatedHeader('WRGG', headerLength, finding('header-truncated', { offset: 0, length: bytes.length }, args), bytes.length);
    }
    const endian = endianOf(bytes);
    const values = headers[endian].read(bytes);
    const findings: LocalFinding[] = [];
    for (const name of ['magic', 'magicCopy'] as const) {
      if (values[name] === magic) continue;
      findings.push(finding('magic-damaged', at[name], { what: 'the WRGG header', expected: hex(magic), actual: hex(values[name]) }));
    }
    const available = bytes.length - headerLength;
    const whole = values.imageLength <= available;
    if (!whole) findings.push(lengthBeyondEnd('the image', at.imageLength, values.imageLength, available, bytes.length));
    const image = { offset: headerLength, length: Math.min(values.imageLength, available) };
    const imageBytes = bytes.subarray(image.offset, image.offset + image.length);
    const [signature, model] = [printable(values.signature), printable(values.model)];
    return {
      length: headerLength + image.length,
      summary: `WRGG03 "${signature}"${model === '' ? '' : ` for ${model}`}, ${endian} endian`,
      fields: headers[endian].fields(values),
      regions: [region('header', 'WRGG header', 0, headerLength), ...(image.length > 0 ? [region('payload', 'image', image.offset, image.length)] : [])],
      checks: [
        compare({
          code: 'data-checksum-mismatch',
          name: 'md5',
          algorithm: 'md5',
          stored: whole ? values.md5 : null,
          computed: md5Of(bytes, imageBytes),
          at: at.md5,
          covers: [{ offset: at.offset.offset, length: at.md5.offset - at.offset.offset }, image],
        }),
      ],
      findings,
      identities: [
        { source: 'wrgg.signature', value: signature, offset: at.signature.offset },
        ...(model === '' ? [] : [{ source: 'wrgg.model', value: model, offset: at.model.offset }]),
      ],
      payloads: image.length > 0 ? [{ label: 'image', ranges: [image], content: 'slice' }] : [],
      input: () => ({ ...values, endian, image: imageBytes }),
    };
  },

  build,

  recipeSteps: { mkwrggimg: step, 'wrgg-image': step, 'dir685-image': step },
};
