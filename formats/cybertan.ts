/**
 * CyberTAN code pattern: 32 bytes in front of the image in Linksys's code.bin files, also of the WD My Net range
 * extender; everything behind it is the image. CFE and the vendor's upgrade compare the pattern and the id "U2ND".
 *
 * Nothing in it is a number of more than one byte, and there is no checksum. In a TRX of version 2 the same
 * header is the last partition, with nothing behind it; there the boot loader counts its tries in the last bytes.
 *
 * Layout and writer: firmware-utils addpattern.c.
 */
import { OwimgError } from '../src/core/errors.ts';
import { finding, type LocalFinding } from '../src/core/findings.ts';
import { type Format, type Reading, region, truncatedHeader } from '../src/core/format.ts';
import { hexBytes, printable, toBytes } from '../src/core/hex.ts';
import { optionWord, type RecipeStep } from '../src/core/recipe-step.ts';
import { bytes as raw, rawText, struct, u8 } from '../src/core/struct.ts';
import type { Confidence } from '../src/core/types.ts';
import { bytesKey, flagKey, hexKey, numberKey, textKey, wrapping } from '../src/core/wrap.ts';

const header = struct('big', {
  pattern: rawText(8), // magic
  date: raw(3), // fwdate: year without century, month, day
  version: raw(3), // fwvern
  id: rawText(4),
  hardwareVersion: u8, // hw_ver
  serial: u8, // sn
  flags: raw(2),
  stable: raw(2),
  try1: raw(2),
  try2: raw(2),
  try3: raw(2),
  reserved: raw(2), // res3
});

const id = toBytes('U2ND');
const idEnd = header.at.id.offset + header.at.id.length;

/** Bits of the first byte of `flags`: the hardware that the firmware is for. */
const flagNames = ['4712 chip', 'Intel flash', '5325E switch', '4704 chip', '5352E chip', '4703 chip'];

export interface CybertanInput {
  /** Up to eight characters. With `-b` the last four are "PBOT". */
  readonly pattern: string | Uint8Array;
  /** Year without century, month, day. */
  readonly date: readonly number[] | Uint8Array;
  readonly version: readonly number[] | Uint8Array;
  readonly hardwareVersion: number;
  readonly serial: number;
  readonly flags: Uint8Array;
  readonly stable: Uint8Array;
  readonly try1: Uint8Array;
  readonly try2: Uint8Array;
  readonly try3: Uint8Array;
  readonly reserved: Uint8Array;
  readonly image: Uint8Array;
  /** `addpattern -g`: fill up to a multiple of 1024 with FF. */
  readonly padded?: boolean;
}

type Values = ReturnType<typeof header.read>;

/** A pattern of visible characters, filled up with zeros, and a date of the calendar. */
function plausible({ pattern, date }: Values): boolean {
  const text = printable(pattern);
  const [year = 0, month = 0, day = 0] = date;
  return (
    /^[!-~]{2,8}$/.test(text) && pattern.subarray(text.length).every((byte) => byte === 0) && year < 100 && month >= 1 && month <= 12 && day >= 1 && day <= 31
  );
}

const matchingIdBytes = (bytes: Uint8Array): number => id.filter((byte, index) => bytes[header.at.id.offset + index] === byte).length;

function flagsMeaning([first = 0]: Uint8Array): string | undefined {
  const names = flagNames.filter((_, bit) => first & (1 << bit));
  return names.length > 0 ? names.join(', ') : undefined;
}

function build(input: CybertanInput): Uint8Array {
  const pattern = typeof input.pattern === 'string' ? toBytes(input.pattern) : input.pattern;
  if (pattern.length > header.at.pattern.length) {
    throw new OwimgError('bad-value', `Cannot store a pattern of ${pattern.length} characters: the field has room for ${header.at.pattern.length}`);
  }
  const [date, version] = [Uint8Array.from(input.date), Uint8Array.from(input.version)];
  if (date.length !== 3 || version.length !== 3) throw new OwimgError('bad-value', 'Cannot build a CyberTAN header: date and version have three numbers each');
  const length = header.length + input.image.length;
  const built = new Uint8Array(input.padded === true ? Math.ceil(length / 1024) * 1024 : length).fill(0xff, length);
  built.set(header.write({ ...input, pattern: withZeros(pattern), date, version, id }));
  built.set(input.image, header.length);
  return built;
}

/** What `addpattern -B` knows. */
const boards: Readonly<Record<string, { readonly pattern: string; readonly serial: number }>> = {
  e2100l: { pattern: 'NL1X', serial: 0x0f },
  wrt160nl: { pattern: 'NL16', serial: 0x0f },
  'mynet-rext': { pattern: 'WDHNSTFH', serial: 0 },
};

/** @throws OwimgError `step-unknown` for options that no recipe of OpenWrt uses */
function recipeInput(command: readonly string[], image: Uint8Array, epoch: string): CybertanInput {
  const unknown = command.find((word) => /^-./.test(word) && !['-4', '-5', '-B', '-p', '-s', '-v', '-i', '-o'].includes(word));
  if (unknown !== undefined) throw new OwimgError('step-unknown', `Cannot run addpattern: owimg does not know its option ${unknown}`);
  const board = boards[optionWord(command, '-B')?.toLowerCase() ?? ''];
  const built = new Date(Number(epoch) * 1000);
  const [none, second] = [new Uint8Array(2), command.includes('-5')];
  return {
    pattern: board?.pattern ?? optionWord(command, '-p') ?? '',
    date: [built.getUTCFullYear() % 100, built.getUTCMonth() + 1, built.getUTCDate()],
    version: (optionWord(command, '-v') ?? '').replace(/^v/, '').split('.').slice(0, 3).map(Number),
    hardwareVersion: 0,
    serial: board?.serial ?? Number(optionWord(command, '-s') ?? 0),
    flags: Uint8Array.of(board === undefined ? (command.includes('-4') ? 0x1f : 0) : 0x3f, 0),
    // Behind a TRX of version 2: the image counts as stable, and as tried once.
    stable: second ? Uint8Array.of(0x73, 0) : none,
    try1: second ? Uint8Array.of(0x74, 0) : none,
    try2: second ? Uint8Array.of(0xff, 0xff) : none,
    try3: second ? Uint8Array.of(0xff, 0xff) : none,
    reserved: none,
    image,
  };
}

/** Of several calls the last one is this step's; the first one then made the pattern inside of the TRX. */
const step: RecipeStep = {
  compose: (image, use) => {
    const second = use.command('addpattern', 1);
    return build(recipeInput(second.length > 0 ? second : use.command('addpattern'), image, use.build('epoch')));
  },
  decompose: (image) => image.subarray(header.length),
};

export const cybertan: Format<CybertanInput> = {
  id: 'cybertan',
  title: 'CyberTAN code pattern (Linksys code.bin)',
  summary: 'A 32-byte header with the pattern of the device, in front of the image that Linksys boot loaders and web pages take.',
  role: 'wrapper',
  kind: 'factory',
  references: [{ title: 'firmware-utils addpattern.c', url: 'https://github.com/openwrt/firmware-utils/blob/d21804ad/src/addpattern.c' }],
  limitations: ['The header has no length and no checksum: that bytes are missing at the end shows only in what it carries.'],
  magics: [{ offset: header.at.id.offset, bytes: id }],

  wrap: wrapping(
    'image',
    {
      pattern: textKey('what boot loader and web page compare with the device', header.at.pattern.length),
      version: bytesKey('version of the firmware', 3, '4.20.6'),
      date: bytesKey('year without century, month, day', 3, '23-11-14'),
      hardwareVersion: numberKey('version of the hardware', { bits: 8, initial: '0' }),
      serial: numberKey('serial number', { bits: 8, initial: '0' }),
      flags: hexKey('bits for the hardware; 1f00 for most', 2, { initial: '0000' }),
      stable: hexKey('7300 in the last partition of a TRX of version 2', 2, { initial: '0000' }),
      try1: hexKey('7400 there', 2, { initial: '0000' }),
      try2: hexKey('ffff there', 2, { initial: '0000' }),
      try3: hexKey('ffff there', 2, { initial: '0000' }),
      reserved: hexKey('not used', 2, { initial: '0000' }),
      padded: flagKey('fill up to a multiple of 1024 with FF'),
    },
    (image, values): CybertanInput => ({ ...values, image }),
  ),

  detect(bytes): Confidence {
    const matching = matchingIdBytes(bytes);
    if (bytes.length < header.length) return bytes.length >= idEnd && matching === id.length ? 'maybe' : 'no';
    const fits = plausible(header.read(bytes));
    if (matching === id.length) return fits ? 'yes' : 'maybe';
    return fits && matching >= 2 ? 'maybe' : 'no';
  },

  parse(bytes): Reading<CybertanInput> {
    if (bytes.length < header.length) {
      const args = { what: 'a CyberTAN header', length: header.length, available: bytes.length };
      return truncatedHeader('CyberTAN', header.length, finding('header-truncated', { offset: 0, length: bytes.length }, args), bytes.length);
    }
    const values = header.read(bytes);
    const { pattern, date, version, flags } = values;
    const findings: LocalFinding[] = [];
    if (matchingIdBytes(bytes) < id.length) {
      const actual = `${hexBytes(values.id)} ("${printable(values.id)}")`;
      findings.push(finding('magic-damaged', header.at.id, { what: 'the CyberTAN header', expected: `${hexBytes(id)} ("U2ND")`, actual }));
    }
    if (!plausible(values)) {
      const place = { offset: 0, length: header.at.version.offset };
      const actual = `"${printable(pattern)}" and ${date.join('-')}`;
      findings.push(finding('structure-invalid', place, { what: 'CyberTAN pattern or date', expected: 'two to eight visible characters and a date', actual }));
    }
    const shown = { date: [...date].map((number) => String(number).padStart(2, '0')).join('-'), version: version.join('.') };
    const meanings = { date: 'year, month, day', flags: flagsMeaning(flags) };
    const fields = header.fields(values, meanings).map((field) => ({ ...field, value: shown[field.name as keyof typeof shown] ?? field.value }));
    const image = { offset: header.length, length: bytes.length - header.length };
    return {
      length: bytes.length,
      summary: `CyberTAN code pattern "${printable(pattern)}", version ${shown.version}`,
      fields,
      regions: [region('header', 'CyberTAN header', 0, header.length), region('payload', 'image', image.offset, image.length)],
      checks: [],
      findings,
      identities: [{ source: 'cybertan.pattern', value: printable(pattern), offset: 0 }],
      payloads: image.length > 0 ? [{ label: 'image', ranges: [image], content: 'slice' }] : [],
      input: () => ({ ...values, image: bytes.subarray(header.length) }),
    };
  },

  build,

  recipeSteps: {
    'linksys-bin': step,
    addpattern: step,
    // In a file of its own, which the TRX takes.
    'linksys-pattern-partition': { compose: (image) => image, decompose: (image) => image },
  },
};

function withZeros(pattern: Uint8Array): Uint8Array {
  const filled = new Uint8Array(header.at.pattern.length);
  filled.set(pattern);
  return filled;
}
