/**
 * TP-Link's second header: 512 bytes, the first word little endian (version 2 or 3), all other numbers big
 * endian, what is not used FF; on MediaTek and Lantiq routers, and some late Atheros ones. Version 3 has the
 * same layout, and RSA signatures in TP-Link's own images.
 *
 * The MD5 covers the whole file as written, with a salt in its own place (another one if a boot loader is
 * inside), also in front of a bare kernel. In a recovery file, which has filler for the boot loader in front of
 * the header, it covers what begins with the header.
 *
 * Layout and writer: firmware-utils mktplinkfw2.c, mktplinkfw-lib.c; signatures: mktplinkfw3.
 */
import { joined } from '../src/core/bytes.ts';
import { finding, type LocalFinding } from '../src/core/findings.ts';
import { type Format, type Reading, truncatedHeader } from '../src/core/format.ts';
import { fromHex, hex, printable, toBytes } from '../src/core/hex.ts';
import { paddingLength } from '../src/core/padding.ts';
import type { ComposeUse } from '../src/core/recipe-step.ts';
import { hex8, hex16, hex32, bytes as raw, rawText, struct, u8, u32, u32le, type ValuesOf } from '../src/core/struct.ts';
import {
  addressMeaning,
  cNumber,
  headerText,
  placeByCommand,
  placeTplink,
  readTplinkLayout,
  requireFitting,
  sealTplink,
  type TplinkHeaderFormat,
  tplinkOptions,
  tplinkParts,
} from '../src/core/tplink-layout.ts';
import type { Confidence, Range } from '../src/core/types.ts';
import { choiceKey, fileKey, flagKey, numberKey, optionalNumberKey, textKey, wrapping } from '../src/core/wrap.ts';
import { tplinkV2Layouts } from './data/tplink-layouts.ts';

const table = {
  version: u32le,
  firmwareVersion: rawText(48), // fw_version
  hardwareId: hex32, // hw_id
  hardwareRevision: u32, // hw_rev
  hardwareVersionAdded: hex32, // hw_ver_add
  md5: raw(16), // md5sum1
  reserved1: raw(4), // unk2
  reservedMd5: raw(16), // md5sum2
  reserved2: raw(4), // unk3
  load: hex32, // kernel_la
  entry: hex32, // kernel_ep
  flashLength: u32, // fw_length
  kernelOffset: u32, // kernel_ofs
  kernelLength: u32, // kernel_len
  rootfsOffset: u32, // rootfs_ofs
  rootfsLength: u32, // rootfs_len
  bootOffset: u32, // boot_ofs
  bootLength: u32, // boot_len
  mark1: hex16, // unk4
  secondVersionHigh: u8, // sver_hi
  secondVersionLow: u8, // sver_lo
  mark2: hex8, // unk5
  versionHigh: u8, // ver_hi
  versionMiddle: u8, // ver_mid
  versionLow: u8, // ver_lo
  reserved3: raw(60), // from here on pad; the signatures are in mktplinkfw3
  reservedSignature1: raw(128), // sig1
  reservedSignature2: raw(128), // sig2
  reserved4: raw(48),
};
type Values = ValuesOf<typeof table>;
const header = struct('big', table);

/** In the numbers of a root file system that is not there. */
const absent = 0xffffffff;

const [mark1, mark2] = [0x55aa, 0xa5];
const unused = (length: number): Uint8Array => new Uint8Array(length).fill(0xff);

/** What the tool writes where nothing else is asked for. */
const defaults = {
  hardwareVersionAdded: 0,
  reserved1: new Uint8Array(4),
  reservedMd5: unused(16),
  reserved2: unused(4),
  bootOffset: 0,
  bootLength: 0,
  mark1,
  secondVersionHigh: 1,
  secondVersionLow: 0,
  mark2,
  versionHigh: 0,
  versionMiddle: 0,
  versionLow: 0,
  reserved3: unused(60),
  reservedSignature1: unused(128),
  reservedSignature2: unused(128),
  reserved4: unused(48),
};

/** The header's values but for the MD5, and all that follows the header: `layOutTplink` makes that. Numbers without a root file system are FFFFFFFF. */
export type TplinkV2Input = Omit<Values, 'md5' | keyof typeof defaults> & Partial<Values> & { readonly body: Uint8Array };

function confidence(bytes: Uint8Array): Confidence {
  if (bytes.length < 12) return 'no';
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const version = view.getUint32(0, true);
  const versionFits = version === 2 || version === 3;
  const at = ({ offset, length }: Range): Uint8Array => bytes.subarray(offset, offset + length);
  const text = headerText(at(header.at.firmwareVersion)) ?? '';
  if (bytes.length < header.length) return versionFits && text.startsWith('ver') ? 'maybe' : 'no';
  const marks = [view.getUint16(header.at.mark1.offset) === mark1, view.getUint8(header.at.mark2.offset) === mark2];
  const known = [versionFits, ...marks, text.length > 0 && text.length < header.at.firmwareVersion.length].filter(Boolean).length;
  if (known === 4) return 'yes';
  return known === 3 ? 'maybe' : 'no';
}

const headerFormat: TplinkHeaderFormat = {
  title: 'TP-Link v2',
  at: header.at,
  salts: { plain: fromHex('dcd73aa5c39598fbdcf9e7f40eae4737'), boot: fromHex('8cef335fd5c5cefaac9c28dab2e90f42') },
  // Images of TP-Link's own with a signature leave it empty.
  mayLackMd5: () => true,
  proven: (bytes) => (bytes.length >= header.length && confidence(bytes) === 'yes' ? header.read(bytes) : undefined),
};

function build({ body, ...given }: TplinkV2Input): Uint8Array {
  const values = { ...defaults, ...given, md5: new Uint8Array(16) };
  requireFitting(values, header.at);
  return sealTplink(header.write(values), body, header.at.md5, values.bootLength > 0 ? headerFormat.salts.boot : headerFormat.salts.plain);
}

/** What mktplinkfw2 makes of its command line, without a boot loader (`-b`). */
function makeImage(use: ComposeUse, command: readonly string[], kernel: Uint8Array, rootfs: () => Uint8Array): Uint8Array {
  const options = tplinkOptions(command, use, 'aEFHkLNorRTvVwWy', 'cejs');
  const { rootfs: placed, ...numbers } = placeByCommand(use, options, tplinkV2Layouts, kernel, rootfs);
  const [versionHigh = 0, versionMiddle = 0, versionLow = 0] = (options.get('v') ?? '').split('.').map(Number);
  const [secondVersionHigh = 1, secondVersionLow = 0] = (options.get('y') ?? '1.0').split('.').map(Number);
  const { length } = table.firmwareVersion;
  const text = use.filled(options.get('V') ?? 'ver. 1.0').slice(0, length - 1);
  return build({
    ...numbers,
    version: cNumber(options.get('T') ?? '2'),
    firmwareVersion: toBytes(`${text}\0`.padEnd(length, '\xff')),
    hardwareId: cNumber(options.get('H') ?? ''),
    hardwareRevision: options.has('W') ? cNumber(options.get('W') ?? '') : 1,
    hardwareVersionAdded: cNumber(options.get('w') ?? ''),
    versionHigh,
    versionMiddle,
    versionLow,
    secondVersionHigh,
    secondVersionLow,
    rootfsOffset: placed?.offset ?? absent,
    rootfsLength: placed?.length ?? absent,
  });
}

/** A kernel's recipe has no image whose tools were listed: OpenWrt include/image-commands.mk (tplink-v2-header). */
function headerCommand({ command, device, words }: ComposeUse): readonly string[] {
  const listed = command('mktplinkfw2');
  if (listed.length > 0) return listed;
  const variable = (name: string): string => device.variables[name] ?? '';
  const load = variable('KERNEL_LOADADDR');
  const fixed = ['mktplinkfw2', '-c', '-H', variable('TPLINK_HWID'), '-W', variable('TPLINK_HWREV'), '-L', load, '-E', variable('KERNEL_ENTRY') || load];
  const named = ['-w', variable('TPLINK_HWREVADD'), '-F', variable('TPLINK_FLASHLAYOUT'), '-T', variable('TPLINK_HVERSION'), '-V', 'ver. 2.0'];
  return [...fixed, ...named, ...words];
}

export const tplinkV2: Format<TplinkV2Input> = {
  id: 'tplink-v2',
  title: 'TP-Link v2 and v3 header',
  summary:
    'A 512-byte header with hardware id and MD5 in front of kernel and root file system, with or without the boot loader; on MediaTek and Lantiq routers of TP-Link.',
  role: 'wrapper',
  kind: 'factory',
  references: [
    { title: 'firmware-utils mktplinkfw2.c', url: 'https://github.com/openwrt/firmware-utils/blob/d21804ad/src/mktplinkfw2.c' },
    { title: 'firmware-utils mktplinkfw-lib.c', url: 'https://github.com/openwrt/firmware-utils/blob/d21804ad/src/mktplinkfw-lib.c' },
    {
      title: 'OpenWrt mtdsplit_tplink.c',
      url: 'https://github.com/openwrt/openwrt/blob/3d1645ee/target/linux/generic/files/drivers/mtd/mtdsplit/mtdsplit_tplink.c',
    },
  ],
  limitations: ["The RSA signatures of TP-Link's own version 3 images are shown, not verified."],
  magics: [{ offset: 4, bytes: toBytes('ver. ') }],

  wrap: wrapping(
    'kernel',
    {
      hardwareId: numberKey('hardware id, which boot loader and web page compare: 0x0c200004'),
      hardwareRevision: numberKey('revision of the hardware', { initial: '1' }),
      hardwareVersionAdded: numberKey('addition to it', { initial: '0' }),
      load: numberKey('address to which the boot loader unpacks the kernel'),
      entry: optionalNumberKey('address at which it is started; the load address if not given'),
      flashLength: numberKey('length of the flash partition, which is that of a factory image'),
      rootfs: fileKey('root file system'),
      rootfsOffset: optionalNumberKey('where that begins, from the header on'),
      align: numberKey('else: at a multiple of this behind the kernel', { initial: '4' }),
      stripped: flagKey('end behind the last mark (sysupgrade), not with the flash partition (factory)'),
      endMarks: flagKey('mark the end of the file system', 'yes'),
      firmwareVersion: textKey('version of the firmware', header.at.firmwareVersion.length - 1, { initial: 'ver. 2.0' }),
      version: choiceKey('version of the header', ['2', '3'], { initial: '2' }),
      secondVersionHigh: numberKey('first number of the second version', { bits: 8, initial: '1' }),
      secondVersionLow: numberKey('second number of the second version', { bits: 8, initial: '0' }),
      versionHigh: numberKey('first number of the version', { bits: 8, initial: '0' }),
      versionMiddle: numberKey('second number of the version', { bits: 8, initial: '0' }),
      versionLow: numberKey('third number of the version', { bits: 8, initial: '0' }),
    },
    (kernel, values): TplinkV2Input => {
      const { rootfs, rootfsOffset, align, stripped, endMarks, version, firmwareVersion, entry, ...numbers } = values;
      const { placed, body } = placeTplink({ kernel, rootfs, rootfsOffset, align, stripped, endMarks, flashLength: numbers.flashLength });
      const none = 0xffffffff;
      return {
        ...numbers,
        entry: entry ?? numbers.load,
        version: Number(version),
        // Text and NUL over a header of FF.
        firmwareVersion: toBytes(`${firmwareVersion}\0`.padEnd(header.at.firmwareVersion.length, '\xff')),
        kernelOffset: header.length,
        kernelLength: kernel.length,
        rootfsOffset: placed ?? none,
        rootfsLength: rootfs.length === 0 ? none : rootfs.length,
        body,
      };
    },
  ),

  detect: confidence,

  parse(bytes): Reading<TplinkV2Input> {
    if (bytes.length < header.length) {
      const args = { what: 'a TP-Link v2 header', length: header.length, available: bytes.length };
      return truncatedHeader('TP-Link v2', header.length, finding('header-truncated', { offset: 0, length: bytes.length }, args), bytes.length);
    }
    const values = header.read(bytes);
    const { md5: _, ...given } = values;
    const layout = readTplinkLayout(bytes, values, headerFormat);
    const findings: LocalFinding[] = [];
    if (values.version !== 2 && values.version !== 3) {
      findings.push(finding('magic-damaged', header.at.version, { what: 'the TP-Link header', expected: '2 or 3', actual: `${values.version}` }));
    }
    const marks = { mark1, mark2 };
    for (const name of ['mark1', 'mark2'] as const) {
      if (values[name] === marks[name]) continue;
      findings.push(
        finding('structure-invalid', header.at[name], { what: `mark in the TP-Link header`, expected: hex(marks[name], 2), actual: hex(values[name], 2) }),
      );
    }
    const hardwareId = hex(values.hardwareId);
    const rootless = values.rootfsLength === absent ? 'none' : undefined;
    const meanings = {
      load: addressMeaning(values.load),
      entry: addressMeaning(values.entry),
      rootfsOffset: rootless,
      rootfsLength: rootless,
    };
    return {
      length: layout.length,
      kind: layout.kind,
      summary: `TP-Link v${values.version} ${layout.kind === 'kernel' ? 'kernel' : 'image'} "${printable(values.firmwareVersion)}" for hardware ${hardwareId} revision ${values.hardwareRevision}`,
      fields: header
        .fields(values, meanings)
        .filter(({ name, offset, length }) => !name.startsWith('reserved') || paddingLength(bytes.subarray(offset, offset + length)) < length),
      regions: layout.regions,
      checks: [layout.check],
      findings: [...findings, ...layout.findings],
      identities: [{ source: 'tplink-v2.hwid', value: hardwareId, offset: header.at.hardwareId.offset }],
      payloads: layout.payloads,
      input: () => ({ ...given, body: bytes.subarray(header.length, layout.length) }),
    };
  },

  build,

  recipeSteps: {
    'tplink-v2-image': {
      // What was made before stays in front, outside of the MD5: filler where a recovery file has the boot loader.
      compose: (image, use) => joined([image, makeImage(use, use.command('mktplinkfw2'), use.part('kernel'), () => use.part('rootfs'))]),
      decompose: async (image, use) => {
        const start = paddingLength(image);
        const own = image.subarray(start);
        const { kernel, rootfs } = tplinkParts(own, header.read(own));
        await use.found('kernel', kernel);
        await use.found('rootfs', rootfs);
        return image.subarray(0, start);
      },
    },
    'tplink-v2-header': {
      compose: (image, use) => makeImage(use, headerCommand(use), image, () => new Uint8Array()),
      decompose: (image) => tplinkParts(image, header.read(image)).kernel,
    },
  },
};
