/**
 * zImage: a compressed ARM kernel (32 bits) with the program in front that unpacks it. It begins with code; the
 * numbers at 0x24 are in the byte order of the kernel's data.
 *
 * There is no checksum. Kernels from 4.15 on carry a table that leads to the last word of the compressed kernel,
 * so that its end is known; its beginning shows by the magic number of the compression.
 *
 * Layout: Linux arch/arm/boot/compressed/head.S, vmlinux.lds.S. Writer: the kernel's build.
 */

import { standsAt } from '../src/core/bytes.ts';
import { finding, type LocalFinding, lengthBeyondEnd } from '../src/core/findings.ts';
import { type Format, type Payload, type Reading, region, tile } from '../src/core/format.ts';
import { fromHex, hex } from '../src/core/hex.ts';
import { hex32, struct, u32 } from '../src/core/struct.ts';
import type { Range } from '../src/core/types.ts';

const start = 0x24;
const table = { magic: hex32, start: hex32, end: hex32, byteOrder: hex32, tableMagic: hex32, tableOffset: u32 };
const headers = { little: struct('little', table), big: struct('big', table) } as const;
type Endian = keyof typeof headers;

const magics = { little: fromHex('18286f01'), big: fromHex('016f2818') } as const;
/** Bytes up to the last field that every kernel has. */
const headerLength = start + 12;
const tableMagic = 0x45454545;
const byteOrderMark = 0x04030201;
/** The tag in the table that leads to the size of the kernel. */
const sizeTag = 0x5a534c4b;

/** How a compressed kernel begins, and whether the word with its unpacked length is the last one of the stream itself. */
const compressions: readonly { readonly magic: Uint8Array; readonly inside: boolean }[] = [
  { magic: fromHex('1f8b0800'), inside: true },
  { magic: fromHex('fd377a585a00'), inside: false },
  { magic: fromHex('5d0000'), inside: false },
  { magic: fromHex('894c5a4f000d0a1a0a'), inside: false },
  { magic: fromHex('02214c18'), inside: false },
  { magic: fromHex('28b52ffd'), inside: false },
];

function endianOf(bytes: Uint8Array): Endian | undefined {
  if (standsAt(bytes, start, magics.little)) return 'little';
  return standsAt(bytes, start, magics.big) ? 'big' : undefined;
}

/** The fields, with zeros for those behind the end of the bytes. */
function read(bytes: Uint8Array, endian: Endian) {
  const padded = new Uint8Array(headers[endian].length);
  padded.set(bytes.subarray(start, start + padded.length));
  return headers[endian].read(padded);
}

/** Where the compressed kernel lies; `undefined` where the table does not tell. */
function findKernel(bytes: Uint8Array, endian: Endian, length: number, tableOffset: number): Range | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, length);
  const word = (offset: number): number => view.getUint32(offset, endian === 'little');
  if (tableOffset + 12 > length || word(tableOffset + 4) !== sizeTag) return undefined;
  const sizeAt = word(tableOffset + 8);
  if (sizeAt + 4 > length) return undefined;
  for (let offset = headerLength; offset < sizeAt; offset += 1) {
    for (const { magic, inside } of compressions) {
      if (standsAt(bytes, offset, magic)) return { offset, length: sizeAt - offset + (inside ? 4 : 0) };
    }
  }
  return undefined;
}

export const zimage: Format = {
  id: 'zimage',
  title: 'ARM zImage',
  summary: 'A compressed kernel for 32-bit ARM with the program that unpacks it; what boot loaders start with bootz.',
  role: 'kernel',
  kind: 'kernel',
  references: [
    { title: 'Linux arch/arm/boot/compressed/head.S', url: 'https://github.com/torvalds/linux/blob/v6.12/arch/arm/boot/compressed/head.S' },
    { title: 'Linux arch/arm/boot/compressed/vmlinux.lds.S', url: 'https://github.com/torvalds/linux/blob/v6.12/arch/arm/boot/compressed/vmlinux.lds.S' },
  ],
  limitations: ['It has no checksum.', 'In kernels before 4.15 the compressed kernel is not looked for.'],

  detect(bytes) {
    const endian = bytes.length < headerLength ? undefined : endianOf(bytes);
    if (endian === undefined) return 'no';
    const values = read(bytes, endian);
    return values.end - values.start >= headerLength && values.byteOrder === byteOrderMark ? 'yes' : 'maybe';
  },

  parse(bytes): Reading {
    const endian = endianOf(bytes) ?? 'little';
    const header = headers[endian];
    const values = read(bytes, endian);
    const at = (name: keyof typeof table): Range => ({ offset: header.at[name].offset + start, length: header.at[name].length });
    const findings: LocalFinding[] = [];
    const claimed = values.end - values.start;
    const possible = claimed >= headerLength;
    if (!possible) {
      const expected = `at least ${headerLength} behind the start, ${hex(values.start)}`;
      findings.push(finding('structure-invalid', at('end'), { what: 'end of the zImage', expected, actual: hex(values.end) }));
    } else if (claimed > bytes.length) findings.push(lengthBeyondEnd('the zImage', at('end'), claimed, bytes.length, bytes.length));
    const length = possible ? Math.min(claimed, bytes.length) : bytes.length;
    // What older kernels do not have is code there.
    const marked = values.byteOrder === byteOrderMark;
    const tabled = marked && values.tableMagic === tableMagic;
    const shown = tabled ? 6 : marked ? 4 : 3;
    const kernel = tabled ? findKernel(bytes, endian, length, values.tableOffset) : undefined;
    const payloads: Payload[] = kernel === undefined ? [] : [{ label: 'compressed kernel', ranges: [kernel] }];
    const headerEnd = Math.min(length, start + shown * 4);
    return {
      length,
      summary: `ARM zImage (${endian} endian)`,
      fields: header.fields(values, { byteOrder: `${endian} endian` }, start).slice(0, shown),
      regions: tile(
        [
          region('header', 'zImage header', 0, headerEnd),
          ...(kernel === undefined ? [] : [region('payload', 'compressed kernel', kernel.offset, kernel.length)]),
        ],
        0,
        length,
        'payload',
        'decompressor',
      ),
      checks: [],
      findings,
      identities: [],
      payloads,
    };
  },
};
