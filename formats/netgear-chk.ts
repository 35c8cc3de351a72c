/**
 * Netgear CHK: a header of 40 bytes and the board id as text behind it, all numbers big endian; then a kernel
 * (OpenWrt: a whole image) and, in old files, a root file system.
 *
 * Four of Netgear's sums: over the kernel, over the root file system, over both together, and over the header with
 * that sum's own field zero.
 *
 * Layout and writer: firmware-utils mkchkimg.c.
 */
import { compare, netgearSum, withReplaced, zeros } from '../src/core/checksums.ts';
import { OwimgError } from '../src/core/errors.ts';
import { finding, type LocalFinding, lengthBeyondEnd } from '../src/core/findings.ts';
import { type Format, type Payload, type Reading, region, truncatedHeader } from '../src/core/format.ts';
import { hex, printable, toBytes } from '../src/core/hex.ts';
import { optionWord } from '../src/core/recipe-step.ts';
import { hex32, bytes as raw, struct, u8, u32 } from '../src/core/struct.ts';
import type { Confidence, Field, Region } from '../src/core/types.ts';
import { bytesKey, fileKey, numberKey, textKey, wrapping } from '../src/core/wrap.ts';

const header = struct('big', {
  magic: hex32,
  headerLength: u32,
  region: u8, // reserved[0]
  version: raw(7), // reserved[1..7]
  kernelChecksum: hex32,
  rootfsChecksum: hex32,
  kernelLength: u32,
  rootfsLength: u32,
  imageChecksum: hex32,
  headerChecksum: hex32,
});

const magic = 0x2a23245e; // "*#$^"
/** What the reference tool takes: MAX_BOARD_ID_LEN. */
const longestBoardId = 64;
const regions: readonly (string | undefined)[] = [undefined, 'WW, world wide', 'NA, North America'];

export interface NetgearChkInput {
  readonly boardId: string;
  /** 1 world wide, 2 North America. */
  readonly region: number;
  /** Seven numbers; the reference tool writes 99 into each. */
  readonly version?: readonly number[] | Uint8Array;
  readonly kernel: Uint8Array;
  readonly rootfs?: Uint8Array;
}

type Values = ReturnType<typeof header.read>;

const headerSum = (bytes: Uint8Array): number => netgearSum(...withReplaced(bytes, [{ offset: header.at.headerChecksum.offset, bytes: zeros(4) }]));

function plausibleHeader({ headerLength }: Values, available: number): boolean {
  return headerLength > header.length && headerLength <= header.length + longestBoardId && headerLength <= available;
}

function build({ boardId, region: regionNumber, version = new Uint8Array(7).fill(99), kernel, rootfs = new Uint8Array(0) }: NetgearChkInput): Uint8Array {
  if (boardId.length > longestBoardId)
    throw new OwimgError('bad-value', `Cannot store a board id of ${boardId.length} characters: the header has room for ${longestBoardId}`);
  if (!Number.isInteger(regionNumber) || regionNumber < 0 || regionNumber > 255)
    throw new OwimgError('bad-value', `Cannot store region ${regionNumber}: expected 0 to 255`);
  const headerLength = header.length + boardId.length;
  const kernelChecksum = netgearSum(kernel);
  const built = new Uint8Array(headerLength + kernel.length + rootfs.length);
  built.set(
    header.write({
      magic,
      headerLength,
      region: regionNumber,
      version: Uint8Array.from(version),
      kernelChecksum,
      rootfsChecksum: netgearSum(rootfs),
      kernelLength: kernel.length,
      rootfsLength: rootfs.length,
      imageChecksum: rootfs.length === 0 ? kernelChecksum : netgearSum(kernel, rootfs),
      headerChecksum: 0,
    }),
  );
  built.set(toBytes(boardId), header.length);
  built.set(kernel, headerLength);
  built.set(rootfs, headerLength + kernel.length);
  new DataView(built.buffer).setUint32(header.at.headerChecksum.offset, headerSum(built.subarray(0, headerLength)));
  return built;
}

export const netgearChk: Format<NetgearChkInput> = {
  id: 'netgear-chk',
  title: 'Netgear CHK',
  summary: 'A header with a board id, a region and four sums, in front of the image that Netgear web pages and recovery modes take.',
  role: 'wrapper',
  kind: 'factory',
  references: [{ title: 'firmware-utils mkchkimg.c', url: 'https://github.com/openwrt/firmware-utils/blob/d21804ad/src/mkchkimg.c' }],
  limitations: [],
  magics: [{ offset: 0, bytes: toBytes('*#$^') }],

  wrap: wrapping(
    'kernel (as a rule a whole image)',
    {
      boardId: textKey('board id, which the web page compares: U12H339T00_NETGEAR', longestBoardId),
      region: numberKey('1 world wide, 2 North America', { bits: 8, initial: '1' }),
      version: bytesKey('version of the firmware', 7, '1.0.9.42.10.2.44', { initial: '99.99.99.99.99.99.99' }),
      rootfs: fileKey('root file system, in old files'),
    },
    (kernel, values): NetgearChkInput => ({ ...values, kernel }),
  ),

  detect(bytes): Confidence {
    if (bytes.length < 4) return 'no';
    const found = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
    if (bytes.length < header.length) return found === magic ? 'maybe' : 'no';
    const values = header.read(bytes);
    const plausible = plausibleHeader(values, bytes.length);
    if (found === magic) return plausible ? 'yes' : 'maybe';
    // With a damaged magic number the three lengths must give the file's, to the byte.
    const { headerLength, kernelLength, rootfsLength } = values;
    return plausible && headerLength + kernelLength + rootfsLength === bytes.length ? 'maybe' : 'no';
  },

  parse(bytes): Reading<NetgearChkInput> {
    if (bytes.length < header.length) {
      const args = { what: 'a CHK header', length: header.length, available: bytes.length };
      return truncatedHeader('Netgear CHK', header.length, finding('header-truncated', { offset: 0, length: bytes.length }, args), bytes.length);
    }
    const values = header.read(bytes);
    const { headerLength, rootfsLength } = values;
    const findings: LocalFinding[] = [];
    if (values.magic !== magic)
      findings.push(finding('magic-damaged', header.at.magic, { what: 'the CHK header', expected: `${hex(magic)} ("*#$^")`, actual: hex(values.magic) }));
    const wholeHeader = headerLength >= header.length && headerLength <= bytes.length;
    if (headerLength > bytes.length) findings.push(lengthBeyondEnd('the CHK header', header.at.headerLength, headerLength, bytes.length, bytes.length));
    else if (!plausibleHeader(values, bytes.length)) {
      const expected = `${header.length + 1} to ${header.length + longestBoardId}`;
      findings.push(finding('structure-invalid', header.at.headerLength, { what: 'CHK header length', expected, actual: headerLength }));
    }
    // Without the header's length nobody can tell where the board id ends and the image begins.
    const end = wholeHeader ? headerLength : header.length;
    const boardId = printable(bytes.subarray(header.length, end));

    const laid: Region[] = [region('header', 'CHK header', 0, end)];
    const payloads: Payload[] = [];
    let position = end;
    const part = (label: string, field: 'kernelLength' | 'rootfsLength'): { range: { offset: number; length: number }; whole: boolean } => {
      const available = bytes.length - position;
      const length = Math.min(values[field], available);
      const whole = wholeHeader && values[field] <= available;
      if (wholeHeader && !whole) findings.push(lengthBeyondEnd(`the ${label}`, header.at[field], values[field], available, bytes.length));
      const range = { offset: position, length };
      if (length > 0) {
        laid.push(region('payload', label, position, length));
        payloads.push({ label, ranges: [range], content: 'slice' });
      }
      position += length;
      return { range, whole };
    };
    const kernel = part(rootfsLength > 0 ? 'kernel' : 'image', 'kernelLength');
    const rootfs = part('root file system', 'rootfsLength');

    const { offset: dataOffset } = kernel.range;
    const kernelBytes = bytes.subarray(dataOffset, dataOffset + kernel.range.length);
    const rootfsBytes = bytes.subarray(rootfs.range.offset, position);
    const kernelSum = netgearSum(kernelBytes);
    const imageSum = rootfsLength === 0 ? kernelSum : netgearSum(kernelBytes, rootfsBytes);
    const sum = (name: string, code: 'kernel' | 'rootfs' | 'image', whole: boolean, computed: number, ...parts: Uint8Array[]) =>
      compare({
        code: `${code}-checksum-mismatch`,
        name,
        algorithm: 'netgear-sum',
        stored: whole ? values[`${code}Checksum`] : null,
        computed,
        at: header.at[`${code}Checksum`],
        covers: parts.map((bytesOf) => ({ offset: bytesOf.byteOffset - bytes.byteOffset, length: bytesOf.length })),
      });
    const checks = [
      sum('kernel-checksum', 'kernel', kernel.whole, kernelSum, kernelBytes),
      ...(rootfsLength > 0 ? [sum('rootfs-checksum', 'rootfs', rootfs.whole, netgearSum(rootfsBytes), rootfsBytes)] : []),
      sum('image-checksum', 'image', kernel.whole && rootfs.whole, imageSum, kernelBytes, rootfsBytes),
      compare({
        code: 'header-checksum-mismatch',
        name: 'header-checksum',
        algorithm: 'netgear-sum',
        stored: wholeHeader ? values.headerChecksum : null,
        computed: headerSum(bytes.subarray(0, end)),
        at: header.at.headerChecksum,
        covers: [{ offset: 0, length: end }],
      }),
    ];
    const boardField: Field[] = end > header.length ? [{ name: 'boardId', offset: header.length, length: end - header.length, value: boardId }] : [];
    const fields = header
      .fields(values, { region: regions[values.region] })
      .map((field) => (field.name === 'version' ? { ...field, value: values.version.join('.') } : field));
    return {
      length: position,
      summary: `Netgear CHK for board "${boardId}", region ${values.region}`,
      fields: [...fields, ...boardField],
      regions: laid,
      checks,
      findings,
      identities: boardId === '' ? [] : [{ source: 'netgear-chk.boardId', value: boardId, offset: header.length }],
      payloads,
      input: () => ({ boardId, region: values.region, version: values.version, kernel: kernelBytes, rootfs: rootfsBytes }),
    };
  },

  build,

  recipeSteps: {
    'netgear-chk': {
      compose: (image, use) => {
        const command = use.command('mkchkimg');
        return build({ boardId: optionWord(command, '-b') ?? '', region: Number(optionWord(command, '-r') ?? 1), kernel: image });
      },
      decompose: (image) => image.subarray(header.read(image).headerLength),
    },
  },
};
