/** How OpenWrt's scripts tell root file systems apart: scripts/functions.sh (get_fs_type). */
import { standsAt } from './bytes.ts';

/** `squashfs-jffs2`: a SquashFS that is filled up, and the mark behind it at which OpenWrt begins its own file system. */
export type FileSystemType = 'ubifs' | 'squashfs' | 'squashfs-jffs2' | 'unknown';

const ubifsMagic = Uint8Array.of(0x31, 0x18);
const squashfsMagic = Uint8Array.of(0x68, 0x73, 0x71, 0x73);
const mark = Uint8Array.of(0xde, 0xad, 0xc0, 0xde);
/** The mark stands at a multiple of this, with nothing behind it. */
const markUnit = 4096;

export function fileSystemType(bytes: Uint8Array): FileSystemType {
  if (standsAt(bytes, 0, ubifsMagic)) return 'ubifs';
  if (!standsAt(bytes, 0, squashfsMagic)) return 'unknown';
  const markOffset = bytes.length - mark.length;
  return markOffset % markUnit === 0 && standsAt(bytes, markOffset, mark) ? 'squashfs-jffs2' : 'squashfs';
}
