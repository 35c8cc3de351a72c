/**
 * The block that Asus keeps in the last 64 bytes of a TRX, inside of the container's length and CRC: four version
 * numbers and the product id by which the vendor's upgrade knows the device. It has no checksum of its own.
 *
 * Layout and writer: firmware-utils asustrx.c, which overwrites zeros with it and makes the container's CRC anew.
 */
import { standsAt } from '../src/core/bytes.ts';
import { jamcrc } from '../src/core/checksums.ts';
import { OwimgError } from '../src/core/errors.ts';
import { type Format, type Reading, region } from '../src/core/format.ts';
import { toBytes } from '../src/core/hex.ts';
import { optionWord } from '../src/core/recipe-step.ts';
import { bytes as raw, struct, text } from '../src/core/struct.ts';
import type { Field } from '../src/core/types.ts';
import { textKey, wrapping } from '../src/core/wrap.ts';

const footer = struct('big', { version: raw(4), productId: text(12), unused: raw(48) });

/** Some ids are filled up with blanks instead of NUL. */
const productPattern = /^[A-Z][A-Za-z0-9+_.-]{2,11} *$/;

export interface AsusTrxInput {
  /** `3.0.0.4` */
  readonly version: string;
  readonly productId: string;
}

function build({ version, productId }: AsusTrxInput): Uint8Array {
  const numbers = version.split('.').map(Number);
  if (numbers.length !== 4 || !numbers.every((number) => Number.isInteger(number) && number >= 0 && number <= 255)) {
    throw new OwimgError('bad-value', `Cannot store the version "${version}": expected four numbers up to 255, as 3.0.0.4`);
  }
  if (productId.length > footer.at.productId.length) {
    throw new OwimgError('bad-value', `Cannot store the product id "${productId}": it has ${productId.length} characters, the field has room for 12`);
  }
  return footer.write({ version: Uint8Array.from(numbers), productId, unused: new Uint8Array(48) });
}

/** Where a TRX keeps its length and its checksum, and from where on that counts: asustrx.c knows these of its container. */
const container = { magic: toBytes('HDR0'), length: 4, checksum: 8, covered: 12 };

/** The block in the place of the zeros at the end of a TRX, whose checksum is made anew. */
function writeInto(trx: Uint8Array, block: Uint8Array): Uint8Array {
  const image = trx.slice();
  const view = new DataView(image.buffer);
  const length = image.length < container.covered + block.length || !standsAt(image, 0, container.magic) ? -1 : view.getUint32(container.length, true);
  if (length !== image.length) throw new OwimgError('bad-value', 'Cannot write a product id: the file is no TRX that ends with its last byte');
  const start = image.length - block.length;
  if (image.subarray(start).some((byte) => byte !== 0))
    throw new OwimgError('bad-value', 'Cannot write a product id: the last 64 bytes of the TRX are in use; wrap it with padTo=0x1000');
  image.set(block, start);
  view.setUint32(container.checksum, jamcrc(image.subarray(container.covered)), true);
  return image;
}

export const asusTrx: Format<AsusTrxInput> = {
  id: 'asus-trx',
  title: 'Asus product id',
  summary: 'The last 64 bytes inside of a TRX for Asus routers: firmware version and product id, which the vendor upgrade compares.',
  role: 'footer',
  kind: 'unknown',
  references: [{ title: 'firmware-utils asustrx.c', url: 'https://github.com/openwrt/firmware-utils/blob/d21804ad/src/asustrx.c' }],
  limitations: ['Stock firmware may put lists of hardware versions or build numbers into the bytes that OpenWrt leaves zero; such a block is not recognised.'],

  wrap: wrapping(
    'TRX that ends in 64 zeros',
    {
      productId: textKey('product id, which the web page compares: RT-AC68U', footer.at.productId.length),
      version: textKey('version of the firmware', 15, { initial: '3.0.0.4' }),
    },
    (_, values): AsusTrxInput => values,
    writeInto,
  ),

  detect: () => 'no',

  locate(bytes) {
    const start = bytes.length - footer.length;
    if (start < 0) return -1;
    const end = bytes.subarray(start);
    const idEnd = footer.at.productId.offset + footer.at.productId.length;
    // Only a text that is filled up to its end and nothing behind it: there is no magic number.
    if (!end.subarray(idEnd).every((byte) => byte === 0)) return -1;
    const { productId } = footer.read(end);
    const filled = end.subarray(footer.at.productId.offset + productId.length, idEnd).every((byte) => byte === 0);
    return filled && productPattern.test(productId) ? start : -1;
  },

  parse(bytes): Reading<AsusTrxInput> {
    const start = bytes.length - footer.length;
    const values = footer.read(bytes, start);
    const version = values.version.join('.');
    const [versionField, ...others] = footer.fields(values, { unused: 'zero' }, start) as [Field, ...Field[]];
    const place = start + footer.at.productId.offset;
    return {
      start,
      length: footer.length,
      summary: `Asus product id "${values.productId.trimEnd()}", version ${version}`,
      fields: [{ ...versionField, value: version }, ...others],
      regions: [region('metadata', 'Asus version and product id', start, footer.length)],
      checks: [],
      findings: [],
      identities: [{ source: 'asus-trx.productId', value: values.productId.trimEnd(), offset: place }],
      payloads: [],
      input: () => ({ version, productId: values.productId }),
    };
  },

  build,

  recipeSteps: {
    'asus-trx': {
      compose: (image, use) => {
        const command = use.command('asustrx');
        if (command.length === 0)
          throw new OwimgError('step-unknown', `Cannot make the image: owimg cannot do the step "${use.name} ${use.words.join(' ')}" yet`);
        if (!image.subarray(-footer.length).every((byte) => byte === 0)) {
          throw new OwimgError('conversion-impossible', `Cannot store the product id: the last ${footer.length} bytes of the TRX are not free`);
        }
        return closed(image, build({ version: optionWord(command, '-v') ?? '0.0.0.0', productId: blanksFilled(optionWord(command, '-p') ?? '') }));
      },
      decompose: (image) => closed(image, new Uint8Array(footer.length)),
    },
  },
};

/** The ids that end with a blank are filled up with blanks to the field's end; the facts have a single one. */
const blanksFilled = (id: string): string => (id.endsWith(' ') ? id.padEnd(footer.at.productId.length) : id);

/** In a TRX: where its CRC stands, and from where on that counts. */
const [crcOffset, crcStart] = [8, 12];

/** The TRX with these last bytes, and its CRC made anew. */
function closed(image: Uint8Array, end: Uint8Array): Uint8Array {
  const changed = image.slice();
  changed.set(end, changed.length - end.length);
  new DataView(changed.buffer).setUint32(crcOffset, jamcrc(changed.subarray(crcStart)), true);
  return changed;
}
