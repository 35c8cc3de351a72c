/** The flash layouts that mktplinkfw and mktplinkfw2 know by name (`-F`): firmware-utils mktplinkfw.c and mktplinkfw2.c. */
import type { TplinkFlashLayout } from '../../src/core/tplink-layout.ts';

type Layouts = ReadonlyMap<string, TplinkFlashLayout>;

const layout = (length: number, load: number, entry = load, rootfsOffset = 0x140000): TplinkFlashLayout => ({ length, load, entry, rootfsOffset });

/** Of mktplinkfw. */
export const tplinkV1Layouts: Layouts = new Map([
  ['4M', layout(0x3c0000, 0x80060000)],
  ['4Mlzma', layout(0x3c0000, 0x80060000, 0x80060000, 0x100000)],
  ['8M', layout(0x7c0000, 0x80060000)],
  ['8Mlzma', layout(0x7c0000, 0x80060000, 0x80060000, 0x100000)],
  ['8Mmtk', layout(0x7c0000, 0x80000000, 0x8000c310, 0x100000)],
  ['16M', layout(0xf80000, 0x80060000)],
  ['16Mlzma', layout(0xf80000, 0x80060000, 0x80060000, 0x100000)],
  ['16Mppc', layout(0xf80000, 0x00000000, 0xc0000000, 0x2a0000)],
]);

/** Of mktplinkfw2. */
export const tplinkV2Layouts: Layouts = new Map([
  ['4Mmtk', layout(0x3c0000, 0x80000000)],
  ['4MLmtk', layout(0x3d0000, 0x80000000)],
  ['8Mltq', layout(0x7a0000, 0x80002000)],
  ['16Mltq', layout(0xf90000, 0x80002000, 0x800061b0)],
  ['8Mmtk', layout(0x7a0000, 0x80000000)],
  ['16MLmtk', layout(0xe90000, 0x80000000)],
  ['16Mmtk', layout(0xfa0000, 0x80000000)],
  ['8MSUmtk', layout(0x770000, 0x80000000)],
  ['8MLmtk', layout(0x7b0000, 0x80000000)],
  ['8Mqca', layout(0x7a0000, 0x80060000)],
  ['16Mqca', layout(0xf90000, 0x80060000)],
]);
