/**
 * Senao, used by EnGenius, Sitecom, I-O DATA and D-Link for devices that Senao makes: a header of 96 bytes, big endian, and
 * behind it the image, each byte under exclusive or with one of eight that a number in the header gives.
 *
 * The sum counts every byte of the header with its own field zero, the MD5 the image as it was before. In the newer kind (type 0)
 * a second header with versions and a model follows the first; the sum counts it too. Nothing has a magic number.
 *
 * Layout and writer: firmware-utils mksenaofw.c.
 */
import { compare, digest } from '../src/core/checksums.ts';
import { OwimgError } from '../src/core/errors.ts';
import { finding, type LocalFinding, lengthBeyondEnd } from '../src/core/findings.ts';
import { type Format, type Reading, region, truncatedHeader } from '../src/core/format.ts';
import { hex, printable, toBytes } from '../src/core/hex.ts';
import { optionWord } from '../src/core/recipe-step.ts';
import { hex32, bytes as raw, rawText, struct, u32, u32s } from '../src/core/struct.ts';
import type { Confidence, Field } from '../src/core/types.ts';

const header = struct('big', {
  head: u32,
  vendorId: hex32,
  productId: hex32,
  version: rawText(16),
  type: u32, // firmware_type
  imageLength: u32, // filesize
  zero: u32,
  md5: raw(16),
  padding: raw(32),
  checksum: u32, // chksum
  key: hex32, // magic
});

/** Behind the header in images of type 0; the model follows it. */
const second = struct('big', { mod: hex32, sku: u32, firmwareVersion: u32s(3), dateCode: u32, capwapVersion: u32s(3), modelLength: u32 });
const longestModel = 64;

const usualKey = 0x12345678;
const types = [
  ...['combo', 'bootloader', 'kernel', 'kernelapp', 'apps', 'littleapps or factoryapps', 'sounds or littleapps', 'userconfig or appdata'],
  ...['userconfig', 'odmapps', 'factoryapps', 'odmapps', 'langpack'],
];

export interface SenaoInput {
  readonly vendorId: number;
  readonly productId: number;
  /** Up to fifteen characters; the tool writes "123" unless told. */
  readonly version?: string | Uint8Array;
  /** 2: a kernel, or kernel and root file system. */
  readonly type: number;
  readonly key?: number;
  /** The second header and the model, in images of type 0. */
  readonly secondHeader?: Uint8Array;
  /** The image as it is in flash. */
  readonly image: Uint8Array;
  /** Zeros behind it, hidden like the image. */
  readonly paddingLength?: number;
}

type Values = ReturnType<typeof header.read>;

/** Hides the bytes, or shows them: it is the same. */
function crossed(bytes: Uint8Array, key: number): Uint8Array {
  const keys = Array.from({ length: 8 }, (_, index) => (key >>> index) & 0xff);
  return bytes.map((byte, index) => byte ^ (keys[index % 8] as number));
}

function sumOf(headers: Uint8Array): number {
  const { offset, length } = header.at.checksum;
  let sum = 0;
  headers.forEach((byte, index) => {
    if (index < offset || index >= offset + length) sum += byte;
  });
  return sum;
}

/** Bytes in front of the image; those of the second header if it is whole. */
function headersLength(bytes: Uint8Array, { type }: Values): number {
  const end = header.length + second.length;
  if (type !== 0 || bytes.length < end) return header.length;
  const { modelLength } = second.read(bytes, header.length);
  return modelLength <= longestModel && end + modelLength <= bytes.length ? end + modelLength : header.length;
}

/** What the tool always leaves zero is, and the texts are texts. */
function plausible({ head, vendorId, version, type, imageLength, zero, padding }: Values): boolean {
  const text = printable(version);
  const filled = version.subarray(text.length).every((byte) => byte === 0) && padding.every((byte) => byte === 0);
  return head === 0 && zero === 0 && vendorId > 0 && vendorId <= 0xffff && types[type] !== undefined && imageLength > 0 && filled && /^[ -~]{1,16}$/.test(text);
}

function build({ image, version = '123', key = usualKey, secondHeader = new Uint8Array(), paddingLength = 0, ...given }: SenaoInput): Uint8Array {
  const text = typeof version === 'string' ? toBytes(version) : version;
  const room = header.at.version.length - 1;
  if (typeof version === 'string' && text.length > room)
    throw new OwimgError('bad-value', `Cannot store a version of ${text.length} characters: the header has room for ${room}`);
  if (types[given.type] === undefined) throw new OwimgError('bad-value', `Cannot build an image of type ${given.type}: expected 0 to ${types.length - 1}`);
  const filled = new Uint8Array(header.at.version.length);
  filled.set(text);
  const start = header.length + secondHeader.length;
  const built = new Uint8Array(start + image.length + paddingLength);
  const values = { ...given, head: 0, version: filled, imageLength: image.length, zero: 0, md5: digest('md5', [image]), padding: new Uint8Array(32), key };
  built.set(header.write({ ...values, checksum: 0 }));
  built.set(secondHeader, header.length);
  built.set(header.write({ ...values, checksum: sumOf(built.subarray(0, start)) }));
  built.set(image, start);
  built.set(crossed(built.subarray(start), key), start);
  return built;
}

export const senao: Format<SenaoInput> = {
  id: 'senao',
  title: 'Senao',
  summary: 'A header with vendor, product, sum and MD5 in front of an image that is hidden by an exclusive or: what the web pages of EnGenius and others take.',
  role: 'wrapper',
  kind: 'factory',
  references: [{ title: 'firmware-utils mksenaofw.c', url: 'https://github.com/openwrt/firmware-utils/blob/d21804ad/src/mksenaofw.c' }],
  limitations: ['It has no magic number: with a damaged sum it is recognised by what is always zero in it.'],

  detect(bytes): Confidence {
    if (bytes.length <= header.length) return 'no';
    const values = header.read(bytes);
    if (!plausible(values)) return 'no';
    if (sumOf(bytes.subarray(0, headersLength(bytes, values))) === values.checksum) return 'yes';
    return values.imageLength <= bytes.length - header.length ? 'maybe' : 'no';
  },

  parse(bytes, { budget }): Reading<SenaoInput> {
    if (bytes.length < header.length) {
      const args = { what: 'a Senao header', length: header.length, available: bytes.length };
      return truncatedHeader('Senao', header.length, finding('header-truncated', { offset: 0, length: bytes.length }, args), bytes.length);
    }
    const values = header.read(bytes);
    const { vendorId, productId, type, imageLength, key } = values;
    const start = headersLength(bytes, values);
    const available = bytes.length - start;
    const whole = imageLength <= available;
    const findings: LocalFinding[] = [];
    if (!whole) findings.push(lengthBeyondEnd('the image', header.at.imageLength, imageLength, available, bytes.length));
    const shown = crossed(bytes.subarray(start), key);
    budget.tookUnpacked(shown.length);
    const image = shown.subarray(0, imageLength);
    const behind = shown.subarray(image.length);
    const paddingLength = behind.every((byte) => byte === 0) ? behind.length : 0;
    const secondHeader = bytes.subarray(header.length, start);
    const place = { offset: start, length: image.length };
    const end = start + image.length;
    return {
      length: end + paddingLength,
      summary: `Senao ${types[type] ?? `type ${type}`} for vendor ${hex(vendorId, 4)}, product ${hex(productId, 4)}`,
      fields: [...header.fields(values, { type: types[type], key: 'for the exclusive or' }), ...secondFields(bytes, start)],
      regions: [
        region('header', 'Senao header', 0, start),
        ...(image.length > 0 ? [region('payload', 'image, hidden', start, image.length)] : []),
        ...(paddingLength > 0 ? [region('padding', 'zeros, hidden', end, paddingLength)] : []),
      ],
      checks: [
        compare({
          code: 'header-checksum-mismatch',
          name: 'header-sum',
          algorithm: 'sum32',
          stored: values.checksum,
          computed: sumOf(bytes.subarray(0, start)),
          at: header.at.checksum,
          covers: [{ offset: 0, length: start }],
        }),
        compare({
          code: 'data-checksum-mismatch',
          name: 'md5',
          algorithm: 'md5',
          stored: whole ? values.md5 : null,
          computed: digest('md5', [image]),
          at: header.at.md5,
          covers: [place],
        }),
      ],
      findings,
      identities: [{ source: 'senao.productId', value: hex(productId), offset: header.at.productId.offset }],
      payloads: image.length > 0 ? [{ label: 'image', ranges: [place], unpacked: { bytes: image, by: 'exclusive or' }, content: 'slice' }] : [],
      input: () => ({ vendorId, productId, version: values.version, type, key, secondHeader, image, paddingLength }),
    };
  },

  build,

  recipeSteps: {
    'senao-header': {
      compose: (image, use) => {
        const command = use.command('mksenaofw');
        const unknown = command.find((word) => /^-/.test(word) && !['-r', '-p', '-t', '-v', '-e', '-o'].includes(word));
        if (unknown !== undefined)
          throw new OwimgError('step-unknown', `Cannot run the step "${use.name}": owimg does not know the option ${unknown} of mksenaofw`);
        const number = (option: string): number => Number(optionWord(command, option));
        const version = optionWord(command, '-v');
        return build({
          vendorId: number('-r'),
          productId: number('-p'),
          type: number('-t'),
          image,
          ...(version === undefined ? {} : { version: use.filled(version) }),
        });
      },
      decompose: (image) => {
        const values = header.read(image);
        return crossed(image.subarray(headersLength(image, values)), values.key).subarray(0, values.imageLength);
      },
    },
  },
};

/** Of the second header, which ends at `end`. */
function secondFields(bytes: Uint8Array, end: number): Field[] {
  const model = header.length + second.length;
  if (end < model) return [];
  const { firmwareVersion, capwapVersion, ...values } = second.read(bytes, header.length);
  const fields = second
    .fields({ ...values, firmwareVersion, capwapVersion }, {}, header.length)
    .map((field) => (Array.isArray(field.value) ? { ...field, value: field.value.join('.') } : field));
  return [...fields, ...(end > model ? [{ name: 'model', offset: model, length: end - model, value: printable(bytes.subarray(model, end)) }] : [])];
}
