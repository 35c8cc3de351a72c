/**
 * All formats, one line each, in the order in which they are asked: the most selective first, so that a weak
 * magic number never takes what a stronger one proves.
 */
import type { AnyFormat } from '../src/core/format.ts';
import { arcadyanTail } from './arcadyan-tail.ts';
import { asusTrx } from './asus-trx.ts';
import { buffaloBcast } from './buffalo-bcast.ts';
import { chdr } from './chdr.ts';
import { cybertan } from './cybertan.ts';
import { dtb } from './dtb.ts';
import { egon } from './egon.ts';
import { elf } from './elf.ts';
import { eofMark } from './eof-mark.ts';
import { ext4 } from './ext4.ts';
import { fat } from './fat.ts';
import { fit } from './fit.ts';
import { flashSlice } from './flash-slice.ts';
import { fwtool } from './fwtool.ts';
import { gemtekTrailer } from './gemtek-trailer.ts';
import { gpt } from './gpt.ts';
import { gzip } from './gzip.ts';
import { imagetag } from './imagetag.ts';
import { jffs2 } from './jffs2.ts';
import { linksysFooter } from './linksys-footer.ts';
import { linuxImage } from './linux-image.ts';
import { lzma } from './lzma.ts';
import { mbr } from './mbr.ts';
import { motorola } from './motorola.ts';
import { netgearChk } from './netgear-chk.ts';
import { netgearDni } from './netgear-dni.ts';
import { safeloaderRecord } from './safeloader-record.ts';
import { seama } from './seama.ts';
import { senao } from './senao.ts';
import { squashfs } from './squashfs.ts';
import { sysupgradeTar } from './sysupgrade-tar.ts';
import { tar } from './tar.ts';
import { tplinkSafeloader } from './tplink-safeloader.ts';
import { tplinkV1 } from './tplink-v1.ts';
import { tplinkV2 } from './tplink-v2.ts';
import { trx } from './trx.ts';
import { ubi } from './ubi.ts';
import { ubifs } from './ubifs.ts';
import { ubnt } from './ubnt.ts';
import { uimage } from './uimage.ts';
import { wfiTag } from './wfi-tag.ts';
import { wrgg } from './wrgg.ts';
import { xz } from './xz.ts';
import { zimage } from './zimage.ts';
import { zip } from './zip.ts';
import { znbgTrailer } from './znbg-trailer.ts';

// biome-ignore format: one line a format
export const formats: readonly AnyFormat[] = [
  linksysFooter,
  gemtekTrailer,
  znbgTrailer,
  fwtool,
  asusTrx,
  zip,
  gzip,
  xz,
  fit,
  dtb,
  uimage,
  trx,
  tplinkSafeloader,
  cybertan,
  chdr,
  netgearChk,
  netgearDni,
  buffaloBcast,
  seama,
  wrgg,
  ubnt,
  imagetag,
  motorola,
  ubi,
  squashfs,
  ubifs,
  sysupgradeTar,
  tar,
  elf,
  zimage,
  linuxImage,
  gpt,
  egon,
  ext4,
  fat,
  mbr,
  senao,
  tplinkV1,
  tplinkV2,
  jffs2,
  arcadyanTail,
  safeloaderRecord,
  eofMark,
  lzma,
  flashSlice,
  wfiTag,
];
