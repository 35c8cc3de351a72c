/** Partition types of the MBR, as util-linux names them, and marks in boot code. */

/** https://github.com/util-linux/util-linux/blob/v2.40/include/pt-mbr-partnames.h */
export const partitionTypes: ReadonlyMap<number, string> = new Map([
  [0x01, 'FAT12'],
  [0x04, 'FAT16 below 32 MiB'],
  [0x05, 'extended'],
  [0x06, 'FAT16'],
  [0x07, 'NTFS or exFAT'],
  [0x0b, 'FAT32'],
  [0x0c, 'FAT32, LBA'],
  [0x0e, 'FAT16, LBA'],
  [0x0f, 'extended, LBA'],
  [0x11, 'hidden FAT12'],
  [0x12, 'diagnostics'],
  [0x14, 'hidden FAT16 below 32 MiB'],
  [0x16, 'hidden FAT16'],
  [0x17, 'hidden NTFS or exFAT'],
  [0x1b, 'hidden FAT32'],
  [0x1c, 'hidden FAT32, LBA'],
  [0x1e, 'hidden FAT16, LBA'],
  [0x27, 'hidden NTFS, Windows RE'],
  [0x2e, 'MediaTek root file system'],
  [0x41, 'PPC PReP boot'],
  [0x42, 'SFS'],
  [0x53, 'OnTrack DM6 Aux3, i.MX23 and i.MX28 boot stream'],
  [0x82, 'Linux swap'],
  [0x83, 'Linux'],
  [0x85, 'Linux extended'],
  [0x88, 'Linux plaintext'],
  [0x8e, 'Linux LVM'],
  [0xa0, 'hibernation'],
  [0xa2, 'Altera SoC FPGA boot loader'],
  [0xa5, 'FreeBSD'],
  [0xa6, 'OpenBSD'],
  [0xa8, 'Darwin UFS'],
  [0xa9, 'NetBSD'],
  [0xaf, 'HFS or HFS+'],
  [0xda, 'data without file system'],
  [0xea, 'Linux extended boot'],
  [0xee, 'GPT'],
  [0xef, 'EFI system'],
  [0xfd, 'Linux RAID'],
]);

/** Types whose entry holds a chain of logical partitions. */
export const extendedTypes: ReadonlySet<number> = new Set([0x05, 0x0f, 0x85]);

/** The type that says: the table is a GPT. */
export const protectiveType = 0xee;

/** Text in the first 440 bytes -> who put it there. */
export const bootCodes: readonly (readonly [mark: string, meaning: string])[] = [
  ['EMMC_BOOT', 'MediaTek boot ROM header for eMMC'],
  ['SDMMC_BOOT', 'MediaTek boot ROM header for SD cards'],
  ['GRUB ', 'GRUB'],
  ['SYSLINUX', 'SYSLINUX'],
  ['isolinux', 'ISOLINUX'],
  ['Invalid partition table', 'MS-DOS boot code'],
];
