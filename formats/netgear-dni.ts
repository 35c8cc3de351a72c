/**
 * Netgear DNI: 128 bytes of text (`device:`, `version:`, `region:` and for some devices `hd_id:`, a line each,
 * filled up with zeros), the image, and one last byte that makes the sum of all bytes FF.
 *
 * The header has no length: whatever is appended becomes the image, and the last byte of the file the sum.
 *
 * Layout and writer: firmware-utils mkdniimg.c.
 */
import { closingSum, closingSumLength, readClosingSum } from '../src/core/closing-sum.ts';
import { OwimgError } from '../src/core/errors.ts';
import { finding, type LocalFinding } from '../src/core/findings.ts';
import { type Format, type Reading, region, truncatedHeader } from '../src/core/format.ts';
import { toBytes } from '../src/core/hex.ts';
import { optionWord } from '../src/core/recipe-step.ts';
import { type TextLine, textLines } from '../src/core/text-lines.ts';
import type { Confidence, Field, Identity } from '../src/core/types.ts';
import { textKey, wrapping } from '../src/core/wrap.ts';

const headerLength = 128;

const required = ['device', 'version', 'region'];
/** What boot loader and web page compare with the device. */
const identifying = new Set(['device', 'region', 'hd_id']);
const meanings: Readonly<Record<string, string>> = { hd_id: 'hardware ids that the boot loader compares' };

export interface NetgearDniInput {
  /** Key and value of each line: device, version (with a V in front), region, hd_id. */
  readonly lines: readonly (readonly [key: string, value: string])[];
  readonly image: Uint8Array;
}

const headerLines = (bytes: Uint8Array): TextLine[] => textLines(bytes.subarray(0, headerLength));

function build({ lines, image }: NetgearDniInput): Uint8Array {
  const text = lines.map(([key, value]) => `${key}:${value}\n`).join('');
  // The reference tool cuts the text to leave one NUL; it may lose its last line end, nothing more.
  if (text.length > headerLength)
    throw new OwimgError('bad-value', `Cannot store ${text.length} characters of text: the header has room for ${headerLength - 1}`);
  const built = new Uint8Array(headerLength + image.length + closingSumLength);
  built.set(toBytes(text.slice(0, headerLength - 1)));
  built.set(image, headerLength);
  built[built.length - closingSumLength] = closingSum(built.subarray(0, -closingSumLength));
  return built;
}

export const netgearDni: Format<NetgearDniInput> = {
  id: 'netgear-dni',
  title: 'Netgear DNI',
  summary: 'A header of text lines that name device, version, region and hardware id, in front of the image, with a one-byte sum at the end.',
  role: 'wrapper',
  kind: 'factory',
  references: [{ title: 'firmware-utils mkdniimg.c', url: 'https://github.com/openwrt/firmware-utils/blob/d21804ad/src/mkdniimg.c' }],
  limitations: ['The one-byte sum misses one in 256 damages, and zeros at the end.'],

  wrap: wrapping(
    'image',
    {
      device: textKey('name that boot loader and web page compare: WNDR4300', headerLength),
      version: textKey('version of the firmware, as V1.0.0.1', headerLength),
      region: textKey('region, as WW; empty for any', headerLength, { initial: '' }),
      hd_id: textKey('hardware ids that some boot loaders compare: 29763948+0+128+128+2x2+3x3', headerLength, { initial: '' }),
    },
    (image, { device, version, region: where, hd_id: hardwareId }): NetgearDniInput => {
      const ids = hardwareId === '' ? [] : [['hd_id', hardwareId] as const];
      return { lines: [['device', device], ['version', version], ['region', where], ...ids], image };
    },
  ),

  detect(bytes): Confidence {
    // The text never fills the header: a plain text file has no NUL.
    if (!bytes.subarray(0, headerLength).includes(0)) return 'no';
    const keys = headerLines(bytes).map((line) => line.key);
    if (keys.includes('InfoHeadSize')) return 'no'; // Buffalo's
    const known = required.filter((key) => keys.includes(key)).length;
    if (known === required.length && keys[0] === 'device' && bytes.length > headerLength) return 'yes';
    return known >= 2 ? 'maybe' : 'no';
  },

  parse(bytes): Reading<NetgearDniInput> {
    const lines = headerLines(bytes);
    if (bytes.length < headerLength + closingSumLength) {
      const args = { what: 'a DNI header and its sum', length: headerLength + closingSumLength, available: bytes.length };
      return truncatedHeader('Netgear DNI', headerLength, finding('header-truncated', { offset: 0, length: bytes.length }, args), bytes.length);
    }
    const findings: LocalFinding[] = [];
    const value = (key: string): string | undefined => lines.find((line) => line.key === key)?.value;
    for (const key of required) {
      if (value(key) !== undefined) continue;
      const actual = lines.map((line) => line.key).join(', ');
      findings.push(finding('structure-invalid', { offset: 0, length: headerLength }, { what: 'DNI header', expected: `a line "${key}:"`, actual }));
    }
    const fields = lines.map((line): Field => {
      const meaning = meanings[line.key];
      const field = { name: line.key, ...line.place, value: line.value };
      return meaning === undefined ? field : { ...field, meaning };
    });
    const identities = lines
      .filter((line) => identifying.has(line.key) && line.value !== '')
      .map((line): Identity => ({ source: `netgear-dni.${line.key}`, value: line.value, offset: line.valueOffset }));
    const sum = readClosingSum(bytes);
    const image = { offset: headerLength, length: sum.region.offset - headerLength };
    return {
      length: bytes.length,
      summary: `Netgear DNI for "${value('device') ?? ''}", version ${value('version') ?? ''}, region "${value('region') ?? ''}"`,
      fields: [...fields, sum.field],
      regions: [region('header', 'DNI header', 0, headerLength), region('payload', 'image', image.offset, image.length), sum.region],
      checks: [sum.check],
      findings,
      identities,
      payloads: image.length > 0 ? [{ label: 'image', ranges: [image], content: 'slice' }] : [],
      input: () => ({ lines: lines.map((line) => [line.key, line.value] as const), image: bytes.subarray(headerLength, sum.region.offset) }),
    };
  },

  build,

  recipeSteps: {
    'netgear-dni': {
      compose: (image, use) => {
        const command = use.command('mkdniimg');
        const hardwareId = optionWord(command, '-H');
        const value = (name: string): string => use.filled(optionWord(command, name) ?? '');
        return build({
          lines: [
            ['device', value('-B')],
            ['version', `V${value('-v')}`],
            ['region', value('-r')],
            ...(hardwareId === undefined ? [] : [['hd_id', hardwareId] as const]),
          ],
          image,
        });
      },
      decompose: (image) => image.subarray(headerLength, -closingSumLength),
    },
  },
};
