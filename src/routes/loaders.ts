/** What boot loaders look for at the start of the firmware partition, and what they say when it is not there, or damaged. */
import type { Layer } from '../core/types.ts';

/** By the format that OpenWrt's own image begins with on that device. */
export const loaderWords: Readonly<Record<string, string>> = {
  fit: '"Wrong Image Format for bootm command" ("Bad FIT kernel image format!")',
  imagetag: '"Invalid image" (CFE)',
  lzma: '"LZMA ERROR 1"',
  seama: 'nothing and falls back to its recovery page',
  'tplink-v1': '"Bad Magic Number"',
  'tplink-v2': '"Bad Magic Number"',
  trx: '"Invalid boot block on disk" (CFE)',
  uimage: '"Bad Magic Number" (newer ones: "Wrong Image Format for bootm command")',
};

const titles: Readonly<Record<string, string>> = {
  fit: 'a FIT (d0 0d fe ed)',
  imagetag: "the image tag of Broadcom's CFE",
  'netgear-chk': "Netgear's CHK header",
  'netgear-dni': "Netgear's DNI header",
  seama: 'a Seama header (5e a3 a4 17)',
  squashfs: 'a SquashFS file system',
  'sysupgrade-tar': 'a sysupgrade tar',
  'tplink-safeloader': "the header of TP-Link's web upgrade (SafeLoader)",
  'tplink-v1': "TP-Link's header",
  'tplink-v2': "TP-Link's header of version 2",
  trx: 'a TRX header ("HDR0")',
  ubi: 'UBI ("UBI#")',
  uimage: 'a uImage header (27 05 19 56 or its own magic number)',
};

/** The first bytes of a format, in words for people. */
export const layerTitles = (format: string): string => titles[format] ?? `a ${format}`;

/** What U-Boot says to a checksum that is wrong in what it boots; `undefined` where it does not look at it. */
export function loaderOnDamage({ format, checks }: Layer): string | undefined {
  const wrong = new Set(checks.filter(({ ok }) => ok === false).map(({ name }) => name));
  if (format === 'uimage') return wrong.has('header-crc') ? '"Bad Header Checksum"' : wrong.has('data-crc') ? '"Bad Data CRC"' : undefined;
  return format === 'fit' && wrong.size > 0 ? '"Bad Data Hash"' : undefined;
}
