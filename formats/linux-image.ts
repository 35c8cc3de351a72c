/**
 * Image: an uncompressed Linux kernel for ARM64 or RISC-V, with a header of 64 bytes, little endian on both.
 *
 * There is no checksum. The length in the header counts memory that the kernel needs behind its last byte, too.
 * Kernels that an EFI loader can start hold the header of a PE program, which tells how long the file is; all
 * others reach up to whatever comes next.
 *
 * Layout: Linux Documentation/arch/arm64/booting.rst, Documentation/arch/riscv/boot-image-header.rst, PE/COFF.
 */

import { standsAt } from '../src/core/bytes.ts';
import { type LocalFinding, lengthBeyondEnd } from '../src/core/findings.ts';
import { type Format, type Reading, region } from '../src/core/format.ts';
import { fromHex, toBytes } from '../src/core/hex.ts';
import { hex32, rawText, struct, u16, u32, u64 } from '../src/core/struct.ts';
import type { Range } from '../src/core/types.ts';

const common = { code0: hex32, code1: hex32, textOffset: u64, imageLength: u64, flags: u64 };
const arm64 = struct('little', { ...common, reserved2: u64, reserved3: u64, reserved4: u64, magic: rawText(4), peOffset: u32 });
const riscv = struct('little', { ...common, headerVersion: u32, reserved1: u32, reserved2: u64, magic: rawText(8), magic2: rawText(4), peOffset: u32 });

const coff = struct('little', {
  signature: rawText(4),
  machine: u16,
  sectionCount: u16,
  time: u32,
  symbols: u32,
  symbolCount: u32,
  optionalLength: u16,
  flags: u16,
});
const section = struct('little', {
  name: rawText(8),
  memoryLength: u32,
  address: hex32,
  length: u32,
  offset: u32,
  relocations: u32,
  lines: u32,
  counts: u32,
  flags: u32,
});
const peSignature = toBytes('PE\0\0');
/** What Windows allows; kernels have two or three. */
const mostSections = 96;

const magics = { arm64: { offset: 0x38, bytes: toBytes('ARM\x64') }, riscv: { offset: 0x38, bytes: fromHex('52534305') } } as const;
const has = (bytes: Uint8Array, magic: { offset: number; bytes: Uint8Array }): boolean => standsAt(bytes, magic.offset, magic.bytes);

/** The end of the PE program's last section; `undefined` if there is none. */
function programEnd(bytes: Uint8Array, peOffset: number): { end: number; at: Range } | undefined {
  if (peOffset < arm64.length || peOffset + coff.length > bytes.length) return undefined;
  const { sectionCount, optionalLength } = coff.read(bytes, peOffset);
  if (!standsAt(bytes, peOffset, peSignature)) return undefined;
  const table = peOffset + coff.length + optionalLength;
  let last: { end: number; at: Range } | undefined;
  for (let index = 0; index < Math.min(sectionCount, mostSections); index += 1) {
    const base = table + index * section.length;
    if (base + section.length > bytes.length) break;
    const { offset, length } = section.read(bytes, base);
    if (offset + length > (last?.end ?? 0)) last = { end: offset + length, at: { offset: base + section.at.length.offset, length: 8 } };
  }
  return last;
}

export const linuxImage: Format = {
  id: 'linux-image',
  title: 'Linux Image (ARM64, RISC-V)',
  summary: 'An uncompressed kernel for ARM64 or RISC-V; what boot loaders start with booti.',
  role: 'kernel',
  kind: 'kernel',
  references: [
    { title: 'Linux Documentation/arch/arm64/booting.rst', url: 'https://github.com/torvalds/linux/blob/v6.12/Documentation/arch/arm64/booting.rst' },
    {
      title: 'Linux Documentation/arch/riscv/boot-image-header.rst',
      url: 'https://github.com/torvalds/linux/blob/v6.12/Documentation/arch/riscv/boot-image-header.rst',
    },
  ],
  limitations: ['It has no checksum. Without a PE header its end is not known.'],

  detect(bytes) {
    if (bytes.length < arm64.length) return 'no';
    if (has(bytes, magics.arm64)) {
      const { flags, reserved2, reserved3, reserved4 } = arm64.read(bytes);
      return flags < 16n && (reserved2 | reserved3 | reserved4) === 0n ? 'yes' : 'maybe';
    }
    if (!has(bytes, magics.riscv)) return 'no';
    const { flags, reserved1, reserved2 } = riscv.read(bytes);
    return flags < 2n && reserved1 === 0 && reserved2 === 0n ? 'yes' : 'maybe';
  },

  parse(bytes): Reading {
    const isArm = has(bytes, magics.arm64);
    const values = isArm ? arm64.read(bytes) : riscv.read(bytes);
    const bigEndian = (values.flags & 1n) === 1n;
    const meanings = { flags: `${bigEndian ? 'big' : 'little'} endian` };
    const findings: LocalFinding[] = [];
    const program = programEnd(bytes, values.peOffset);
    if (program !== undefined && program.end > bytes.length) {
      findings.push(lengthBeyondEnd('the Image', program.at, program.end, bytes.length, bytes.length));
    }
    const memory = values.imageLength > 0n ? Number(values.imageLength) : bytes.length;
    const length = Math.max(arm64.length, Math.min(program?.end ?? memory, bytes.length));
    return {
      length,
      open: program === undefined,
      summary: `Linux Image (${isArm ? 'ARM64' : 'RISC-V'}, ${meanings.flags})`,
      fields: isArm ? arm64.fields(arm64.read(bytes), meanings) : riscv.fields(riscv.read(bytes), meanings),
      regions: [region('header', 'Image header', 0, arm64.length), region('payload', 'kernel', arm64.length, length - arm64.length)],
      checks: [],
      findings,
      identities: [],
      payloads: [],
    };
  },
};
