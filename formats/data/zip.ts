/** Names of the numbers in zip headers: APPNOTE.TXT 4.4.2 (systems) and 4.4.5 (methods). */

export const methods: ReadonlyMap<number, string> = new Map([
  [0, 'stored'],
  [1, 'shrunk'],
  [6, 'imploded'],
  [8, 'deflate'],
  [9, 'deflate64'],
  [12, 'bzip2'],
  [14, 'lzma'],
  [20, 'zstd, old number'],
  [93, 'zstd'],
  [94, 'MP3'],
  [95, 'xz'],
  [96, 'JPEG'],
  [97, 'WavPack'],
  [98, 'PPMd'],
  [99, 'AES encryption'],
]);

export const systems: readonly string[] = [
  'FAT', 'Amiga', 'OpenVMS', 'Unix', 'VM/CMS', 'Atari ST', 'HPFS', 'Macintosh', 'Z-System', 'CP/M', 'NTFS', 'MVS', 'VSE', 'Acorn RISC', 'VFAT',
  'alternate MVS', 'BeOS', 'Tandem', 'OS/400', 'macOS',
];

/**
 * Passwords that stand in OpenWrt's own recipes: they keep nothing secret, the vendor's upgrade just wants them.
 * Humax E10: target/linux/ramips/image/mt7621.mk (`zip upg -P`).
 */
export const knownPasswords: readonly string[] = ['f013c26cf0a320fb71d03356dcb6bb63'];
