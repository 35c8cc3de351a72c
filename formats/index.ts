/**
 * All formats, one line each, in the order in which they are asked: the most selective first, so that a weak
 * magic number never takes what a stronger one proves.
 */
import type { AnyFormat } from '../src/core/format.ts';
import { eofMark } from './eof-mark.ts';
import { flashSlice } from './flash-slice.ts';
import { fwtool } from './fwtool.ts';
import { jffs2 } from './jffs2.ts';
import { squashfs } from './squashfs.ts';
import { trx } from './trx.ts';
import { ubi } from './ubi.ts';
import { ubifs } from './ubifs.ts';
import { uimage } from './uimage.ts';

// biome-ignore format: one line a format
export const formats: readonly AnyFormat[] = [
  fwtool,
  uimage,
  trx,
  ubi,
  ubifs,
  squashfs,
  jffs2,
  eofMark,
  flashSlice,
];
