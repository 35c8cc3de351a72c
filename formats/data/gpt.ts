/** Partition types of the GPT, by GUID in lower case: those that OpenWrt, U-Boot and boot ROMs use, and the common ones of Linux. */

/** UEFI specification 5.3.3, util-linux include/pt-gpt-partnames.h, firmware-utils ptgen.c */
export const partitionTypes: ReadonlyMap<string, string> = new Map([
  ['c12a7328-f81f-11d2-ba4b-00a0c93ec93b', 'EFI system'],
  ['21686148-6449-6e6f-744e-656564454649', 'BIOS boot'],
  ['024dee41-33e7-11d3-9d69-0008c781f39f', 'MBR partition scheme'],
  ['ebd0a0a2-b9e5-4433-87c0-68b6b72699c7', 'basic data'],
  ['e3c9e316-0b5c-4db8-817d-f92df00215ae', 'Microsoft reserved'],
  ['0fc63daf-8483-4772-8e79-3d69d8477de4', 'Linux file system'],
  ['0657fd6d-a4ab-43c4-84e5-0933c84b4f4f', 'Linux swap'],
  ['933ac7e1-2eb4-4f13-b844-0e14e2aef915', 'Linux home'],
  ['8da63339-0007-60c0-c436-083ac8230908', 'Linux reserved'],
  ['bc13c2ff-59e6-4262-a352-b275fd6f7172', 'Linux extended boot'],
  ['44479540-f297-41b2-9af7-d131d5f0458a', 'Linux root (x86)'],
  ['4f68bce3-e8cd-4db1-96e7-fbcaf984b709', 'Linux root (x86-64)'],
  ['69dad710-2ce4-4e3c-b16c-21a1d49abed3', 'Linux root (ARM)'],
  ['b921b045-1df0-41c3-af44-4c6f280d3fae', 'Linux root (ARM64)'],
  ['72ec70a6-cf74-40e6-bd49-4bda08e8f224', 'Linux root (RISC-V 64)'],
  ['a19d880f-05fc-4d3b-a006-743f0f84911e', 'Linux RAID'],
  ['e6d6d379-f507-44c2-a23c-238f2a3df928', 'Linux LVM'],
  ['cae9be83-b15f-49cc-863f-081b744a2d93', 'Linux FIT image'],
  ['3de21764-95bd-54bd-a5c3-4abe786f38a8', 'U-Boot environment'],
  ['19d5df83-11b0-457b-be2c-7559c13142a5', 'firmware image package (FIP)'],
  ['8a7a84a0-8387-40f6-ab41-a8b9a5a60d23', 'firmware update metadata'],
  ['5b193300-fc78-40cd-8002-e86c45580b47', 'SiFive first stage boot loader'],
  ['2e54b353-1271-4842-806f-e436d6af6985', 'SiFive second stage boot loader'],
  ['fe3a2a5d-4f32-41a7-b725-accc3285a309', 'ChromeOS kernel'],
  ['3cb8e202-3b7e-47dd-8a3c-7ff2a13cfcec', 'ChromeOS root file system'],
  ['2e0a753d-9e48-43b0-8337-b15192cb1b5e', 'ChromeOS reserved'],
]);

/** Meaning of the attribute bits; 48 to 63 belong to the type. */
export const attributes: ReadonlyMap<number, string> = new Map([
  [0, 'required by the platform'],
  [1, 'ignored by EFI'],
  [2, 'booted by legacy BIOS'],
]);
