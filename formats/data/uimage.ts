/** Numbers of the legacy image header and their names, as U-Boot spells them. */

/** https://github.com/u-boot/u-boot/blob/6073c36b/include/image.h (IH_OS_*) */
export const operatingSystems: readonly string[] = [
  'invalid', 'openbsd', 'netbsd', 'freebsd', '4_4bsd', 'linux', 'svr4', 'esix', 'solaris', 'irix', 'sco', 'dell', 'ncr', 'lynxos', 'vxworks',
  'psos', 'qnx', 'u-boot', 'rtems', 'artos', 'unity', 'integrity', 'ose', 'plan9', 'openrtos', 'arm-trusted-firmware', 'tee', 'opensbi', 'efi', 'elf',
];

/** IH_ARCH_* */
export const architectures: readonly string[] = [
  'invalid', 'alpha', 'arm', 'x86', 'ia64', 'mips', 'mips64', 'powerpc', 's390', 'sh', 'sparc', 'sparc64', 'm68k', 'nios', 'microblaze', 'nios2',
  'blackfin', 'avr32', 'st200', 'sandbox', 'nds32', 'or1k', 'arm64', 'arc', 'x86_64', 'xtensa', 'riscv',
];

/** OpenWrt's names of architectures -> what mkimage is given for them: LINUX_KARCH, rules.mk and include/target.mk; without the equal ones. */
export const kernelArchitectures: Readonly<Record<string, string>> = {
  aarch64: 'arm64', aarch64_be: 'arm64', armeb: 'arm', i386: 'x86', i486: 'x86', i586: 'x86', i686: 'x86', x86_64: 'x86',
  mipsel: 'mips', mips64: 'mips', mips64el: 'mips', riscv64: 'riscv',
};

/** IH_TYPE_* */
export const imageTypes: readonly string[] = [
  'invalid', 'standalone', 'kernel', 'ramdisk', 'multi', 'firmware', 'script', 'filesystem', 'flat_dt', 'kwbimage', 'imximage', 'ublimage',
  'omapimage', 'aisimage', 'kernel_noload', 'pblimage', 'mxsimage', 'gpimage', 'atmelimage', 'socfpgaimage', 'x86_setup', 'lpc32xximage',
  'loadable', 'rkimage', 'rksd', 'rkspi', 'zynqimage', 'zynqmpimage', 'zynqmpbif', 'fpga', 'vybridimage', 'tee', 'firmware_ivt', 'pmmc',
  'stm32image', 'socfpgaimage_v1', 'mtk_image', 'imx8mimage', 'imx8image', 'copro', 'sunxi_egon', 'sunxi_toc0', 'fdt_legacy', 'renesas_spkg',
  'starfive_spl', 'tfa_bl31', 'stm32image_v2', 'amlimage',
];

/** IH_COMP_* */
export const compressions: readonly string[] = ['none', 'gzip', 'bzip2', 'lzma', 'lzo', 'lz4', 'zstd'];

/**
 * Magic numbers that OpenWrt writes instead of 0x27051956 for boot loaders which a vendor changed
 * (UIMAGE_MAGIC in target/linux/<target>/image/, `openwrt,ih-magic` in the device trees).
 */
export const magics: ReadonlyMap<number, string> = new Map([
  [0x27051956, 'U-Boot'],
  [0x4f4b4c49, 'OKLI, second-stage kernel behind an LZMA loader'],
  [0x73714f4b, 'Senao, EnGenius, WatchGuard, Fortinet'],
  [0x68737173, 'D-Link COVR; the same bytes as a squashfs'],
  [0x33373030, 'Netgear WNDR3700 v1'],
  [0x33373031, 'Netgear WNDR3700 v2, WNDR3800, WNDRMAC'],
  [0x33373033, 'Netgear WNDR3700 v4, WNDR4300'],
  [0x32323030, 'Netgear WNR2200'],
  [0x36303030, 'Netgear R6100'],
  [0x32303631, 'Netgear WNR612 v2, N150R'],
  [0x31303031, 'Netgear WNR1000 v2'],
  [0x32303033, 'Netgear WNR2000 v3'],
  [0x12291000, 'Youku YK-L1, YK-L2'],
  [0x26112015, 'Bolt BL100'],
  [0x434f4d42, 'I-O DATA WN'],
  [0x434f4d43, 'I-O DATA WN'],
  [0x83800000, 'Realtek switches: Zyxel GS1900, INABA AML2'],
  [0x83800013, 'I-O DATA BSH-G24MB'],
  [0x00000006, 'ALLNET ALL-SG8208M'],
  [0x12345000, 'D-Link DGS-1210, APRESIA'],
  [0x00703400, 'Datto L8'],
  [0x03802910, 'EnGenius EWS2910P v1'],
  [0x03010500, 'EnGenius EWS2910P v3'],
  [0x4e474520, 'Netgear GS108T v3, GS110TPP'],
  [0x4e474720, 'Netgear GS110TUP'],
  [0x4e474335, 'Netgear GS308T, GS310TP'],
  [0x174e4741, 'Netgear GS750E'],
  [0x93001010, 'Zyxel XGS1010-12'],
  [0x93001210, 'Zyxel XGS1210-12'],
  [0x93001250, 'Zyxel XGS1250-12'],
  [0x93000000, 'RTL930x switches'],
  [0x93030000, 'RTL930x switches'],
  [0x93100000, 'RTL931x switches'],
]);
