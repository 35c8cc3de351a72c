/**
 * All formats, one line each, in the order in which they are asked: the most selective first, so that a weak
 * magic number never takes what a stronger one proves.
 */
import type { AnyFormat } from '../src/core/format.ts';
import { egon } from './egon.ts';
import { eofMark } from './eof-mark.ts';
import { ext4 } from './ext4.ts';
import { fat } from './fat.ts';
import { flashSlice } from './flash-slice.ts';
import { fwtool } from './fwtool.ts';
import { gpt } from './gpt.ts';
import { mbr } from './mbr.ts';
import { squashfs } from './squashfs.ts';
import { trx } from './trx.ts';
import { uimage } from './uimage.ts';

// biome-ignore format: one line a format
export const formats: readonly AnyFormat[] = [
  fwtool,
  uimage,
  trx,
  egon,
  squashfs,
  gpt,
  ext4,
  fat,
  mbr,
  eofMark,
  flashSlice,
];
