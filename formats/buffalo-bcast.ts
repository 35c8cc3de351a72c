/**
 * Buffalo's form of a DNI image: 128 bytes of text (device, version, region, two sizes and the header's own length,
 * a line each) that end in 12 32, the image, and one last byte that makes the sum of all bytes FF.
 *
 * The sizes are those of the device's flash areas, not of what the image holds.
 *
 * Layout and writer: firmware-utils mkbuffaloimg.c.
 */
import { closingSum, closingSumLength, readClosingSum } from '../src/core/closing-sum.ts';
import { OwimgError } from '../src/core/errors.ts';
import { finding, type LocalFinding } from '../src/core/findings.ts';
import { type Format, type Reading, region, truncatedHeader } from '../src/core/format.ts';
import { hexBytes, toBytes } from '../src/core/hex.ts';
import { type TextLine, textLines } from '../src/core/text-lines.ts';
import type { Confidence, Identity } from '../src/core/types.ts';
import { textKey, wrapping } from '../src/core/wrap.ts';

const headerLength = 128;
const mark = Uint8Array.of(0x12, 0x32);
const markAt = { offset: headerLength - mark.length, length: mark.length };

const keys = ['device', 'version', 'region', 'RootfsSize', 'KernelSize', 'InfoHeadSize'];
const identifying = new Set(['device', 'region']);

export interface BuffaloBcastInput {
  readonly device: string;
  readonly version: string;
  readonly region: string;
  /** As it shall stand there, for instance `0x80000`. */
  readonly rootfsSize: string;
  readonly kernelSize: string;
  readonly image: Uint8Array;
}

const headerLines = (bytes: Uint8Array): TextLine[] => textLines(bytes.subarray(0, markAt.offset));

export const buffaloBcast: Format<BuffaloBcastInput> = {
  id: 'buffalo-bcast',
  title: 'Buffalo image with a text header',
  summary:
    'A header of text lines with device, version, region and flash sizes, in front of the image that Buffalo boot loaders take, with a one-byte sum at the end.',
  role: 'wrapper',
  kind: 'factory',
  references: [{ title: 'firmware-utils mkbuffaloimg.c', url: 'https://github.com/openwrt/firmware-utils/blob/d21804ad/src/mkbuffaloimg.c' }],
  limitations: ['The one-byte sum misses one in 256 damages, and zeros at the end.'],

  wrap: wrapping(
    'image',
    {
      device: textKey('name of the device: WZR-900DHP', markAt.offset),
      version: textKey('version of the firmware, as 1.99', markAt.offset),
      region: textKey('region, as JP', markAt.offset),
      RootfsSize: textKey("size of the device's flash area for the root file system, as 0x80000", 16),
      KernelSize: textKey("size of the device's flash area for the kernel, as 0x200000", 16),
    },
    (image, { RootfsSize: rootfsSize, KernelSize: kernelSize, ...values }): BuffaloBcastInput => ({ ...values, rootfsSize, kernelSize, image }),
  ),

  detect(bytes): Confidence {
    const found = headerLines(bytes).map((line) => line.key);
    // The last line tells it from Netgear's.
    if (found[0] !== 'device' || !found.includes('InfoHeadSize')) return 'no';
    return bytes.length > headerLength && keys.every((key, index) => found[index] === key) ? 'yes' : 'maybe';
  },

  parse(bytes): Reading<BuffaloBcastInput> {
    const lines = headerLines(bytes);
    if (bytes.length < headerLength + closingSumLength) {
      const args = { what: 'a Buffalo header and its sum', length: headerLength + closingSumLength, available: bytes.length };
      return truncatedHeader('Buffalo', headerLength, finding('header-truncated', { offset: 0, length: bytes.length }, args), bytes.length);
    }
    const findings: LocalFinding[] = [];
    const value = (key: string): string => lines.find((line) => line.key === key)?.value ?? '';
    const missing = keys.filter((key) => !lines.some((line) => line.key === key));
    if (missing.length > 0) {
      const args = { what: 'Buffalo header', expected: `the lines ${keys.join(', ')}`, actual: lines.map((line) => line.key).join(', ') };
      findings.push(finding('structure-invalid', { offset: 0, length: markAt.offset }, args));
    }
    const foundMark = bytes.subarray(markAt.offset, headerLength);
    if (hexBytes(foundMark) !== hexBytes(mark))
      findings.push(finding('magic-damaged', markAt, { what: 'the Buffalo header', expected: hexBytes(mark), actual: hexBytes(foundMark) }));
    const sum = readClosingSum(bytes);
    const image = { offset: headerLength, length: sum.region.offset - headerLength };
    return {
      length: bytes.length,
      summary: `Buffalo image for "${value('device')}", version ${value('version')}, region "${value('region')}"`,
      fields: [
        ...lines.map((line) => ({ name: line.key, ...line.place, value: line.value })),
        { name: 'mark', ...markAt, value: hexBytes(foundMark) },
        sum.field,
      ],
      regions: [region('header', 'Buffalo header', 0, headerLength), region('payload', 'image', image.offset, image.length), sum.region],
      checks: [sum.check],
      findings,
      identities: lines
        .filter((line) => identifying.has(line.key) && line.value !== '')
        .map((line): Identity => ({ source: `buffalo-bcast.${line.key}`, value: line.value, offset: line.valueOffset })),
      payloads: image.length > 0 ? [{ label: 'image', ranges: [image], content: 'slice' }] : [],
      input: () => ({
        device: value('device'),
        version: value('version'),
        region: value('region'),
        rootfsSize: value('RootfsSize'),
        kernelSize: value('KernelSize'),
        image: bytes.subarray(headerLength, sum.region.offset),
      }),
    };
  },

  build({ device, version, region: regionName, rootfsSize, kernelSize, image }) {
    const values = [device, version, regionName, rootfsSize, kernelSize, String(headerLength)];
    const text = keys.map((key, index) => `${key}:${values[index]}\n`).join('');
    if (text.length > markAt.offset)
      throw new OwimgError('bad-value', `Cannot store ${text.length} characters of text: the header has room for ${markAt.offset}`);
    const built = new Uint8Array(headerLength + image.length + closingSumLength);
    built.set(toBytes(text));
    built.set(mark, markAt.offset);
    built.set(image, headerLength);
    built[built.length - closingSumLength] = closingSum(built.subarray(0, -closingSumLength));
    return built;
  },
};
