/** Making the device facts again: reading what OpenWrt's makefiles print, and the board table of tplink-safeloader. All inputs are made up. */
import { describe, expect, test } from 'vitest';
import { bytesOf, defaultNumbers, deviceLineOf, readEvaluations, roleOf, toolsOf } from '../scripts/openwrt-devices.ts';
import { readBoards } from '../scripts/safeloader-table.ts';

const output = `@folder $KDIR=/build/kernel
@folder $STAGING_DIR_HOST=/build/host
@folder =/tree/
@device acme_r1
ARCH=mips
BOARD_NAME=r1
DEVICE_TITLE=Acme  R1 v2
DEVICE_ALT0_TITLE=
DEVICE_ALT1_TITLE=Emca R1
DEVICE_COMPAT_VERSION=1.1
DEVICE_DTS=qca1_acme_r1
IMAGE_SIZE=15360k
KERNEL=kernel-bin | lzma |  fit lzma /build/kernel/image-qca1_acme_r1.dtb
KERNEL_IN_UBI=1
ACME_HWID=0x12=34
SUPPORTED_DEVICES=acme,r1 old-r1
_TARGET=install-disabled
@initramfs=kernel-bin | lzma
@image sysupgrade.bin openwrt-x-acme_r1-squashfs-sysupgrade.bin squashfs=sysupgrade-tar kernel=@OUT@ | append-metadata
@image rootfs.img openwrt-x-acme_r1-ext4-rootfs.img ext4=append-rootfs
@image empty.bin openwrt-x-acme_r1-squashfs-empty.bin squashfs=
@artifact preloader.bin openwrt-x-acme_r1-preloader.bin=bl2 /tree/bin/x
@device acme_r2
DEVICE_TITLE=Acme R2
@commands acme_r1 sysupgrade.bin squashfs= @NL@	sh /tree/scripts/sysupgrade-tar.sh --board r1 @OUT@@NL@	mv @OUT@.new @OUT@
@commands acme_r1 preloader.bin =	/build/host/bin/mkacme -n "R1; v2" @OUT@ && rm -f @OUT@.tmp
`;

describe('readEvaluations()', () => {
  const [first, second] = readEvaluations(output);

  test('readEvaluations() puts the folders of the build back to their names', () => {
    expect(first?.variables.get('KERNEL')).toBe('kernel-bin | lzma | fit lzma $KDIR/image-qca1_acme_r1.dtb');
    expect(first?.images.at(-1)).toEqual({ name: 'preloader.bin', file: 'openwrt-x-acme_r1-preloader.bin', fs: null, recipe: 'bl2 bin/x' });
  });

  test('readEvaluations() keeps an image without a recipe, and a value with an equals sign', () => {
    expect(first?.images.map(({ name }) => name)).toEqual(['sysupgrade.bin', 'rootfs.img', 'empty.bin', 'preloader.bin']);
    expect(first?.variables.get('ACME_HWID')).toBe('0x12=34');
  });

  test('readEvaluations() gives commands to the device that they name, not to the last one', () => {
    expect([...(first?.commands.keys() ?? [])]).toEqual(['sysupgrade.bin squashfs', 'preloader.bin']);
    expect(second).toMatchObject({ profile: 'acme_r2', initramfs: null, images: [] });
    expect(second?.commands.size).toBe(0);
  });
});

test('deviceLineOf() takes the variables of the device alone and the recipes of the evaluation in order', () => {
  const [inOrder] = readEvaluations(output);
  const [alone] = readEvaluations(output.replace('ACME_HWID=0x12=34', 'ACME_HWID=0x56').replace('append-metadata', 'not-this'));
  if (alone === undefined || inOrder === undefined) throw new Error('the made output has a device');
  expect(deviceLineOf('acme', 'generic', alone, inOrder)).toEqual({
    target: 'acme',
    subtarget: 'generic',
    profile: 'acme_r1',
    arch: 'mips',
    title: 'Acme R1 v2',
    alt_titles: ['Emca R1'],
    supported_devices: ['acme,r1', 'old-r1'],
    board_name: 'r1',
    compat_version: '1.1',
    compat_message: null,
    soc: null,
    dts: 'qca1_acme_r1',
    sizes: { IMAGE_SIZE: { bytes: 15728640 } },
    flags: { KERNEL_IN_UBI: '1' },
    vars: { ACME_HWID: '0x56' },
    kernel: { steps: ['kernel-bin', 'lzma', 'fit lzma $KDIR/image-qca1_acme_r1.dtb'] },
    initramfs: { steps: ['kernel-bin', 'lzma'] },
    images: [
      {
        name: 'sysupgrade.bin',
        role: 'sysupgrade',
        fs: 'squashfs',
        file: 'openwrt-x-acme_r1-squashfs-sysupgrade.bin',
        steps: ['sysupgrade-tar kernel=@OUT@', 'append-metadata'],
        tools: [['sysupgrade-tar.sh', '--board', 'r1', '@OUT@']],
        tar_dir: 'sysupgrade-r1',
      },
      { name: 'rootfs.img', role: 'part', fs: 'ext4', file: 'openwrt-x-acme_r1-ext4-rootfs.img.gz', steps: ['append-rootfs'], tools: [] },
      { name: 'empty.bin', role: 'other', fs: 'squashfs', file: 'openwrt-x-acme_r1-squashfs-empty.bin', steps: [], tools: [] },
      {
        name: 'preloader.bin',
        role: 'bootloader/other',
        fs: null,
        file: 'openwrt-x-acme_r1-preloader.bin',
        steps: ['bl2 bin/x'],
        tools: [['mkacme', '-n', 'R1; v2', '@OUT@']],
      },
    ],
  });
});

test.each([
  ['64k', 65536],
  ['128KiB', 131072],
  ['0x20000', 131072],
  ['512m', 536870912],
  ['2048', 2048],
])('bytesOf(%j) is %i', (text, bytes) => expect(bytesOf(text)).toBe(bytes));

test('bytesOf() refuses what is no size', () => expect(() => bytesOf('$(SIZE)k')).toThrow('"$(SIZE)k" is no size'));

test.each([
  ['factory-sysupgrade.bin', 'ath79', false, 'sysupgrade'],
  ['trx', 'bcm53xx', false, 'both'],
  ['trx', 'ath79', false, 'other'],
  ['factory.img.gz', 'imx', false, 'disk'],
  ['factory-kernel.bin', 'airoha', false, 'part'],
  ['initramfs-factory.ubi', 'mediatek', true, 'factory-initramfs'],
  ['initramfs-kernel.bin', 'ramips', false, 'other'],
  ['tftp-recovery.bin', 'ath79', false, 'recovery'],
  ['gpt.bin', 'mediatek', true, 'bootloader/other'],
  ['never-seen.bin', 'ath79', false, 'other'],
] as const)('roleOf(%j, %j, artifact %j) is %s', (name, target, isArtifact, role) => expect(roleOf(name, target, isArtifact)).toBe(role));

test('toolsOf() finds programs of OpenWrt behind assignments, shells and keywords, and leaves plain ones out', () => {
  const shell = [
    'dd if=/dev/zero bs=4 count=1 >> @OUT@ # no tool here',
    '\t-PATH="/x:$PATH" ./gen_image.sh @OUT@ 16 \\\n\t\t104',
    '\tif [ $size -lt $((16 * (4 + 1))) ]; then $STAGING_DIR_HOST/bin/mkras -s "$(stat -c%s @OUT@ | cut -f1)"; fi',
    "\t( echo a; $STAGING_DIR_HOST/bin/xz -c 'a b' | $STAGING_DIR_HOST/bin/mkdni -v '.r1 | x' ) || true",
  ].join('\n');
  expect(toolsOf(shell)).toEqual([
    ['gen_image.sh', '@OUT@', '16', '104'],
    ['mkras', '-s', '$(stat -c%s @OUT@ | cut -f1)'],
    ['mkdni', '-v', '.r1 | x'],
  ]);
});

test('defaultNumbers() takes the first default whose condition holds', () => {
  const kconfig = `
	config TARGET_ROOTFS_PARTSIZE
		int "Root partition size"
		depends on SOMETHING
		default 232 if TARGET_acme || TARGET_emca_x1
		default 104
		help
		  default 7

	config OTHER
		bool "not a number"
		default y

	config ACME_SIZE
		int
		default 8 if TARGET_nobody
`;
  expect(defaultNumbers(kconfig, new Set(['TARGET_emca', 'TARGET_emca_x1']))).toEqual(['CONFIG_TARGET_ROOTFS_PARTSIZE=232']);
  expect(defaultNumbers(kconfig, new Set(['TARGET_x']))).toEqual(['CONFIG_TARGET_ROOTFS_PARTSIZE=104']);
});

describe('readBoards()', () => {
  const board = `{
		.id     = "R1", // the "first"
		.vendor = "",
		.soft_ver = SOFT_VER_TEXT("soft_ver:1.0.0 (a, b)\\n"),
		.soft_ver_compat_level = 2,
		.part_trail = PART_TRAIL_NONE,
		.support_list =
			"SupportList:\\r\\n" /* "not this" */
			"R1(Acme|UN):1.0, {x}\\r\\n",
		.partitions = {
			/* .id = "R0" */
			{"fs-uboot", 0x00000, 0x20000},
			{"firmware", 131072, 0xf00000},
			{NULL, 0, 0}
		},
		.partition_names = { .os_image = "kernel", .support_list = "list" },
		.partition_names.soft_ver = "version@1",
		.first_sysupgrade_partition = "kernel",
		.last_sysupgrade_partition = "file-system"
	},`;
  const plain = '{ .id = "R2", .support_list = "a", .partitions = { {"p", 1, 2} }, .first_sysupgrade_partition = "p", .last_sysupgrade_partition = "p" },';
  const extra = `if (strcasecmp(info->id, "r2") == 0 ||
		strcasecmp(info->id, "R9") == 0) {
		const uint8_t extra_para[2] = {0x01, 0x00};
		parts[5] = make_extra_para(info, extra_para, sizeof(extra_para));
	}`;
  const table = (inside: string): string => `int x;\nstatic struct device_info boards[] = {\n\t${inside}\n\t{}\n};\nint y;\n${extra}\n`;

  test('readBoards() reads all fields of a board, and no comments; what is not given is as C leaves it', () => {
    expect(readBoards(table(`${board}\n${plain}`))).toEqual([
      {
        id: 'R1',
        vendor: '',
        support_list: 'SupportList:\r\nR1(Acme|UN):1.0, {x}\r\n',
        part_trail: 'none',
        soft_ver: { kind: 'text', text: 'soft_ver:1.0.0 (a, b)\n' },
        soft_ver_compat_level: 2,
        first_sysupgrade_partition: 'kernel',
        last_sysupgrade_partition: 'file-system',
        partition_names: { os_image: 'kernel', support_list: 'list', soft_ver: 'version@1' },
        extra_para: null,
        partitions: [
          { name: 'fs-uboot', base: 0, size: 0x20000 },
          { name: 'firmware', base: 0x20000, size: 0xf00000 },
        ],
      },
      {
        id: 'R2',
        vendor: null,
        support_list: 'a',
        part_trail: 0,
        soft_ver: { kind: 'numeric', num: [0, 0, 0] },
        soft_ver_compat_level: 0,
        partitions: [{ name: 'p', base: 1, size: 2 }],
        first_sysupgrade_partition: 'p',
        last_sysupgrade_partition: 'p',
        partition_names: {},
        extra_para: [1, 0],
      },
    ]);
  });

  test.each([
    ['.soft_ver = SOFT_VER_DEFAULT,', { soft_ver: { kind: 'numeric', num: [0, 0, 0] } }],
    ['.soft_ver = SOFT_VER_NUMERIC(3, 0, 12),', { soft_ver: { kind: 'numeric', num: [3, 0, 12] } }],
    ['.part_trail = 0xff,', { part_trail: 255 }],
    ['.part_trail = PART_TRAIL_FF,', { part_trail: 255 }],
    ['.vendor = "a\\r\\n"\n"b",', { vendor: 'a\r\nb' }],
  ])('readBoards() reads %s', (field, expected) => {
    expect(readBoards(table(plain.replace('.support_list', `${field} .support_list`)))[0]).toMatchObject(expected);
  });

  test('readBoards() refuses what it does not understand', () => {
    expect(() => readBoards('int main(void) {}')).toThrow('no table');
    expect(() => readBoards(table(board.replace('0x20000', 'SIZE_OF_BOOT')))).toThrow('Board R1: expected {"name", base, size}');
    expect(() => readBoards(table(board.replace('.support_list', '.list')))).toThrow('A board without id, support list or partitions');
    expect(() => readBoards(table(board.replace('1.0,', '1.0\\\\x41,')))).not.toThrow();
    expect(() => readBoards(table(board.replace('1.0,', '1.0\\x41,')))).toThrow('The escape \\x in');
    expect(() => readBoards(table(board.replace('SOFT_VER_TEXT', 'SOFT_VER_DATE')))).toThrow('Board R1: its .soft_ver is none of');
    expect(() => readBoards(table(board.replace('PART_TRAIL_NONE', 'PART_TRAIL_AA')))).toThrow(
      'Board R1: expected a number as .part_trail, found PART_TRAIL_AA',
    );
    expect(() => readBoards(table(board.replace('.os_image', '.kernel')))).toThrow('Board R1: .partition_names.kernel is not known');
    expect(() => readBoards(table(board.replace('.last_sysupgrade', '.final_sysupgrade')))).toThrow('Board R1: expected its first and its last partition');
    expect(() => readBoards(table(board).replace('const uint8_t extra_para[2] = {0x01, 0x00};', ''))).toThrow('fills extra-para in a new way');
    expect(() => readBoards(table(board).replaceAll('strcasecmp', 'is_board'))).toThrow('Expected bytes of extra-para and the boards');
  });
});
