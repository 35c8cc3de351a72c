/**
 * What vendors put behind the legacy image header and into the bytes of its name.
 *
 * Writers: firmware-utils uimage_sgehdr, dns313-header, fix-u-media-header, jcgimage, mkrtn56uimg, asusuimage;
 * OpenWrt scripts/cameo-tag.py and iodata-mstc-header in target/linux/ramips/image/mt7621.mk.
 */
import { bytes, hex8, hex16, hex32, rawText, struct, u8, u16, u16le, u32 } from '../../src/core/struct.ts';

/** Between header and data, covered by the header CRC. */
export const sgeHeader = struct('big', { model: rawText(64), softwareVersion: rawText(16), hardwareVersion: rawText(16) });
export const dns313Header = struct('big', { model: rawText(16), version: rawText(16), mac: bytes(6), unused: bytes(2) });

/** In the last bytes of the name: what stands in front of it is text. */
export const umediaName = struct('big', { umediaMagic: hex32, boardId: hex32, umediaType: hex8, loadDefaults: u8, unused: bytes(2) });
export const mstcName = struct('big', { dataLengthCopy: u32, dataChecksumCopy: hex32 });
export const cameoName = struct('big', { cameoTag: rawText(12), cameoSum: hex32, compensation: hex32 });
export const jcgName = struct('big', { rootfsOffset: hex32 });

/** The whole name. */
const asusVersions = { kernelMajor: u8, kernelMinor: u8, rootfsMajor: u8, rootfsMinor: u8 };
export const rtn56uName = struct('big', { ...asusVersions, productId: rawText(23), subversion: u8, rootfsOffset: hex32 });
export const trx1Name = struct('big', { ...asusVersions, productId: rawText(23), unused: u8, prefixedOffset: hex32 });
export const trx2Name = struct('big', {
  ...asusVersions,
  productId: rawText(12),
  build: u16le, // sn
  extendedBuild: u16le, // en
  random: u8,
  key: hex8,
  randoms: bytes(6),
  prefixedOffset: hex32,
});
export const trx3Name = struct('big', { ...asusVersions, productId: rawText(23), unused: u8, mark: hex32 });

/** At the end of the data of trx3: build numbers, then how long that is and the sums over both. */
export const asusContent = struct('big', { extendedBuild: u32, build: u16, unusedContent: bytes(6) });
export const asusFooter = struct('big', { tailType: hex8, contentLength: bytes(3), footerSum: hex16, contentSum: hex16, tailMagic: hex32 });

/** Behind the data. */
export const cameoTrailer = struct('big', { cameoTrailer: rawText(12), cameoTrailerSum: hex32 });

export const umediaMagic = 0x55525f46; // "UR_F"
export const mstcMagics: ReadonlySet<number> = new Set([0x434f4d42, 0x434f4d43]);
/** A partition of the flash begins at a multiple of it. */
export const cameoBlockLength = 0x10000;
export const cameoTag = 'CAMEOTAG\0\0\0\x01';
/** Addresses that jcgimage writes into every header. */
export const jcgAddresses = { load: 0x80000000, entry: 0x80292000 };
export const asusProduct = /^[A-Z][A-Za-z0-9+_.-]{2,22}$/;
export const asusOffsetPrefix = 0xa9;
export const asusTailMagic = 0x2afed414;
