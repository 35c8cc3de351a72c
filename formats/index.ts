/**
 * All formats, one line each, in the order in which they are asked: the most selective first, so that a weak
 * magic number never takes what a stronger one proves.
 */
import type { AnyFormat } from '../src/core/format.ts';
import { elf } from './elf.ts';
import { eofMark } from './eof-mark.ts';
import { flashSlice } from './flash-slice.ts';
import { fwtool } from './fwtool.ts';
import { linuxImage } from './linux-image.ts';
import { lzma } from './lzma.ts';
import { squashfs } from './squashfs.ts';
import { trx } from './trx.ts';
import { uimage } from './uimage.ts';
import { xz } from './xz.ts';
import { zimage } from './zimage.ts';

// biome-ignore format: one line a format
export const formats: readonly AnyFormat[] = [
  fwtool,
  uimage,
  trx,
  squashfs,
  xz,
  elf,
  zimage,
  linuxImage,
  eofMark,
  lzma,
  flashSlice,
];
