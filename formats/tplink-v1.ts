/**
 * TP-Link's first header: 512 bytes, big endian, in front of kernel and root file system on most of its routers
 * until 2016. The first word holds version 1 or 2; this version 2 has the layout of version 1, and is not the
 * one of `tplink-v2`, which is little endian there.
 *
 * The MD5 covers the whole file as written, with a salt in its own place (another one if a boot loader is
 * inside); a header in front of a bare kernel has none. What is appended later (metadata) is not covered.
 *
 * Layout and writer: firmware-utils mktplinkfw.c, mktplinkfw-lib.c.
 */
import { joined } from '../src/core/bytes.ts';
import { OwimgError } from '../src/core/errors.ts';
import { finding, type LocalFinding } from '../src/core/findings.ts';
import { type Format, type Reading, truncatedHeader } from '../src/core/format.ts';
import { byteCount, fromHex, hex, printable, toBytes } from '../src/core/hex.ts';
import { paddingLength } from '../src/core/padding.ts';
import type { ComposeUse, DecomposeUse, RecipeStep } from '../src/core/recipe-step.ts';
import { hex32, bytes as raw, rawText, struct, u16, u32, type ValuesOf } from '../src/core/struct.ts';
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
  tplinkHeaderLength,
  tplinkOptions,
  tplinkParts,
} from '../src/core/tplink-layout.ts';
import type { Confidence, Range } from '../src/core/types.ts';
import { choiceKey, fileKey, flagKey, numberKey, optionalNumberKey, textKey, wrapping } from '../src/core/wrap.ts';
import { tplinkV1Layouts } from './data/tplink-layouts.ts';

const table = {
  version: hex32,
  vendor: rawText(24), // vendor_name
  firmwareVersion: rawText(36), // fw_version
  hardwareId: hex32, // hw_id
  hardwareRevision: u32, // hw_rev
  regionCode: u32,
  md5: raw(16), // md5sum1
  reserved1: raw(4), // unk2
  kernelMd5: raw(16), // md5sum2
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
  versionHigh: u16, // ver_hi
  versionMiddle: u16, // ver_mid
  versionLow: u16, // ver_lo
  reserved3: raw(130), // pad
  regionText1: rawText(32), // region_str1
  regionText2: rawText(32), // region_str2
  reserved4: raw(160), // pad2
};
type Values = ValuesOf<typeof table>;
const header = struct('big', table);

const versions: ReadonlyMap<number, string> = new Map([
  [0x01000000, 'version 1'],
  [0x02000000, 'version 2, laid out as version 1'],
]);
const regionCodes: ReadonlyMap<string, number> = new Map([
  ['US', 1],
  ['EU', 0],
  ['BR', 0],
]);

/** What the tool writes where no vendor is given (`-N`). */
const toolVendor = 'TP-LINK Technologies';

/** What the tool leaves zero, mostly. */
const zeroes = {
  regionCode: 0,
  reserved1: new Uint8Array(4),
  kernelMd5: new Uint8Array(16),
  reserved2: new Uint8Array(4),
  bootOffset: 0,
  bootLength: 0,
  versionHigh: 0,
  versionMiddle: 0,
  versionLow: 0,
  reserved3: new Uint8Array(130),
  regionText1: new Uint8Array(32),
  regionText2: new Uint8Array(32),
  reserved4: new Uint8Array(160),
};

/** The header's values but for the MD5, and all that follows the header: `layOutTplink` makes that. */
export type TplinkV1Input = Omit<Values, 'md5' | keyof typeof zeroes> & Partial<Values> & { readonly body: Uint8Array };

/** The header values that the tool writes for a country (`-C`). */
export function tplinkRegion(country: 'US' | 'EU' | 'BR'): Pick<Values, 'regionCode' | 'regionText1' | 'regionText2'> {
  const digits = `${hex((country.charCodeAt(0) << 8) | country.charCodeAt(1), 4).slice(2)}0000`;
  return { regionCode: regionCodes.get(country) ?? 0, regionText1: toBytes(`00000000;${digits};`), regionText2: toBytes(digits) };
}

function confidence(bytes: Uint8Array): Confidence {
  if (bytes.length < 12) return 'no';
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const versionFits = versions.has(view.getUint32(0));
  const { vendor, firmwareVersion, kernelOffset } = header.at;
  const at = ({ offset, length }: Range): Uint8Array => bytes.subarray(offset, offset + length);
  // The vendor is what tells this header from anything else that begins with a 1.
  if ((headerText(at(vendor), 0) ?? '').length < 3) return 'no';
  if (bytes.length < header.length) return versionFits ? 'maybe' : 'no';
  const named = headerText(at(firmwareVersion)) !== null;
  const placed = view.getUint32(kernelOffset.offset) === header.length;
  const known = [versionFits, named, placed].filter(Boolean).length;
  if (known === 3) return 'yes';
  return known === 2 ? 'maybe' : 'no';
}

const headerFormat: TplinkHeaderFormat = {
  title: 'TP-Link v1',
  at: header.at,
  salts: { plain: fromHex('dcd73aa5c39598fbddf9e7f40eae4738'), boot: fromHex('8cef335bd5c5cefaa79c28dab2e90f42') },
  mayLackMd5: ({ flashLength }) => flashLength === 0,
  proven: (bytes) => (bytes.length >= header.length && confidence(bytes) === 'yes' ? header.read(bytes) : undefined),
};

function build({ body, ...given }: TplinkV1Input): Uint8Array {
  const values = { ...zeroes, ...given, md5: new Uint8Array(16) };
  requireFitting(values, header.at);
  const salt = values.bootLength > 0 ? headerFormat.salts.boot : headerFormat.salts.plain;
  return sealTplink(header.write(values), body, header.at.md5, values.flashLength === 0 ? null : salt);
}

/** What mktplinkfw makes of its command line. */
function makeImage(use: ComposeUse, command: readonly string[], kernel: Uint8Array, rootfs: () => Uint8Array): Uint8Array {
  const options = tplinkOptions(command, use, 'aCEFHkLmNorRvVWX', 'ceOjs');
  const { rootfs: placed, ...numbers } = placeByCommand(use, options, tplinkV1Layouts, kernel, rootfs);
  const [versionHigh = 0, versionMiddle = 0, versionLow = 0] = (options.get('v') ?? '').split('.').map(Number);
  const country = options.get('C')?.toUpperCase();
  // A kernel alone is laid out for no flash partition.
  const alone = { flashLength: 0, rootfsOffset: options.has('O') ? tplinkHeaderLength + kernel.length : 0, rootfsLength: 0 };
  return build({
    ...numbers,
    version: options.get('m') === '2' ? 0x02000000 : 0x01000000,
    // The tool cuts what is too long, and ends it with a NUL only where there is room.
    vendor: toBytes(options.has('N') ? use.build('dist') : toolVendor).subarray(0, table.vendor.length),
    firmwareVersion: toBytes(use.filled(options.get('V') ?? 'ver. 1.0')).subarray(0, table.firmwareVersion.length),
    hardwareId: cNumber(options.get('H') ?? ''),
    hardwareRevision: options.has('W') ? cNumber(options.get('W') ?? '') : 1,
    versionHigh,
    versionMiddle,
    versionLow,
    ...(isRegion(country) ? tplinkRegion(country) : {}),
    ...(placed === undefined ? alone : { rootfsOffset: placed.offset, rootfsLength: placed.length }),
  });
}

const isRegion = (country: string | undefined): country is 'US' | 'EU' | 'BR' => regionCodes.has(country ?? '');

const takeApart = (image: Uint8Array): { readonly kernel: Uint8Array; readonly rootfs: Uint8Array } => tplinkParts(image, header.read(image));

/** OpenWrt writes its own name where the vendor's should be, and its revision as the version. */
function tellBuild(image: Uint8Array, use: DecomposeUse): void {
  const { vendor, firmwareVersion } = header.read(image);
  const [dist, revision] = [headerText(vendor), headerText(firmwareVersion)];
  // A text as long as its field may have been cut.
  const whole = (text: string | null, length: number): text is string => text !== null && text !== '' && text.length < length;
  if (!whole(dist, table.vendor.length) || dist === toolVendor) return;
  use.tells('dist', dist);
  if (whole(revision, table.firmwareVersion.length)) use.tells('revision', revision);
}

/** A kernel's recipe has no image whose tools were listed: OpenWrt include/image-commands.mk (tplink-v1-header). */
function headerCommand({ command, device, words }: ComposeUse): readonly string[] {
  const listed = command('mktplinkfw');
  if (listed.length > 0) return listed;
  const variable = (name: string): string => device.variables[name] ?? '';
  const load = variable('KERNEL_LOADADDR');
  const fixed = ['mktplinkfw', '-c', '-H', variable('TPLINK_HWID'), '-W', variable('TPLINK_HWREV'), '-L', load, '-E', variable('KERNEL_ENTRY') || load];
  return [...fixed, '-m', variable('TPLINK_HEADER_VERSION'), '-N', '@DIST@', '-V', '@REVISION@', ...words];
}

const imageStep: RecipeStep = {
  compose: (_, use) => makeImage(use, use.command('mktplinkfw'), use.part('kernel'), () => use.part('rootfs')),
  decompose: async (image, use) => {
    const { kernel, rootfs } = takeApart(image);
    tellBuild(image, use);
    await use.found('kernel', kernel);
    await use.found('rootfs', rootfs);
    return image.subarray(0, 0);
  },
};

/** A loader where the kernel should be; kernel and root file system together stand where the root file system should. */
const okliImageStep: RecipeStep = {
  compose: (_, use) => makeImage(use, use.command('mktplinkfw'), use.part('loader'), () => joined([use.part('kernel'), use.part('rootfs')])),
  decompose: async (image, use) => {
    const { kernel: loader, rootfs: both } = takeApart(image);
    const start = (await use.pieces(both)).findLast(({ role }) => role === 'rootfs')?.offset;
    if (start === undefined) {
      const sentence = `no root file system was found in the ${byteCount(both.length)} behind its loader`;
      throw new OwimgError('conversion-impossible', `Cannot take the image apart at the step "${use.name}": ${sentence}`);
    }
    tellBuild(image, use);
    await use.found('loader', loader);
    await use.found('kernel', both.subarray(0, start));
    await use.found('rootfs', both.subarray(start));
    return image.subarray(0, 0);
  },
};

export const tplinkV1: Format<TplinkV1Input> = {
  id: 'tplink-v1',
  title: 'TP-Link v1 header',
  summary: 'A 512-byte header with hardware id and MD5 in front of kernel and root file system; what the older TP-Link boot loaders and web pages take.',
  role: 'wrapper',
  kind: 'factory',
  references: [
    { title: 'firmware-utils mktplinkfw.c', url: 'https://github.com/openwrt/firmware-utils/blob/d21804ad/src/mktplinkfw.c' },
    { title: 'firmware-utils mktplinkfw-lib.c', url: 'https://github.com/openwrt/firmware-utils/blob/d21804ad/src/mktplinkfw-lib.c' },
    {
      title: 'OpenWrt mtdsplit_tplink.c',
      url: 'https://github.com/openwrt/openwrt/blob/3d1645ee/target/linux/generic/files/drivers/mtd/mtdsplit/mtdsplit_tplink.c',
    },
  ],
  limitations: ["The second MD5, which only TP-Link's own images carry, is shown and not verified: nobody has published what it covers."],
  magics: [
    { offset: 4, bytes: toBytes('OpenWrt\0') },
    { offset: 4, bytes: toBytes('LEDE\0') },
    { offset: 4, bytes: toBytes(toolVendor) },
  ],

  wrap: wrapping(
    'kernel',
    {
      hardwareId: numberKey('hardware id, which boot loader and web page compare: 0x08410009'),
      hardwareRevision: numberKey('revision of the hardware', { initial: '1' }),
      load: numberKey('address to which the boot loader unpacks the kernel'),
      entry: optionalNumberKey('address at which it is started; the load address if not given'),
      flashLength: numberKey('length of the flash partition, which is that of a factory image; 0 for a kernel alone'),
      rootfs: fileKey('root file system'),
      rootfsOffset: optionalNumberKey('where that begins, from the header on'),
      align: numberKey('else: at a multiple of this behind the kernel', { initial: '4' }),
      stripped: flagKey('end behind the last mark (sysupgrade), not with the flash partition (factory)'),
      endMarks: flagKey('mark the end of the file system', 'yes'),
      vendor: textKey('vendor', header.at.vendor.length, { initial: 'OpenWrt' }),
      firmwareVersion: textKey('version of the firmware', header.at.firmwareVersion.length, { initial: '' }),
      country: choiceKey('region that the web page compares', ['any', 'US', 'EU', 'BR'], { initial: 'any' }),
      version: choiceKey('version of the header', ['1', '2'], { initial: '1' }),
      versionHigh: numberKey('first number of the version', { bits: 16, initial: '0' }),
      versionMiddle: numberKey('second number of the version', { bits: 16, initial: '0' }),
      versionLow: numberKey('third number of the version', { bits: 16, initial: '0' }),
    },
    (kernel, values): TplinkV1Input => {
      const { rootfs, rootfsOffset, align, stripped, endMarks, country, version, vendor, firmwareVersion, entry, ...numbers } = values;
      const { placed, body } = placeTplink({ kernel, rootfs, rootfsOffset, align, stripped, endMarks, flashLength: numbers.flashLength });
      return {
        ...numbers,
        entry: entry ?? numbers.load,
        version: version === '2' ? 0x02000000 : 0x01000000,
        vendor: toBytes(vendor),
        firmwareVersion: toBytes(firmwareVersion),
        ...(country === 'any' ? {} : tplinkRegion(country)),
        kernelOffset: header.length,
        kernelLength: kernel.length,
        rootfsOffset: placed ?? 0,
        rootfsLength: rootfs.length,
        body,
      };
    },
  ),

  detect: confidence,

  parse(bytes): Reading<TplinkV1Input> {
    if (bytes.length < header.length) {
      const args = { what: 'a TP-Link v1 header', length: header.length, available: bytes.length };
      return truncatedHeader('TP-Link v1', header.length, finding('header-truncated', { offset: 0, length: bytes.length }, args), bytes.length);
    }
    const values = header.read(bytes);
    const { md5: _, ...given } = values;
    const layout = readTplinkLayout(bytes, values, headerFormat);
    const findings: LocalFinding[] = [];
    if (!versions.has(values.version)) {
      const args = { what: 'the TP-Link header', expected: [...versions.keys()].map((version) => hex(version)).join(' or '), actual: hex(values.version) };
      findings.push(finding('magic-damaged', header.at.version, args));
    }
    const hardwareId = hex(values.hardwareId);
    const meanings = {
      version: versions.get(values.version),
      regionCode: values.regionCode === 0 ? 'any' : [...regionCodes].find(([, code]) => code === values.regionCode)?.[0],
      load: addressMeaning(values.load),
      entry: addressMeaning(values.entry),
      flashLength: values.flashLength === 0 ? 'kernel only' : undefined,
      rootfsOffset: layout.rootfsOffset === undefined || layout.rootfsOffset === values.rootfsOffset ? undefined : `not used: it is at ${layout.rootfsOffset}`,
    };
    return {
      length: layout.length,
      kind: layout.kind,
      summary: `TP-Link v1 ${layout.kind === 'kernel' ? 'kernel' : 'image'} "${printable(values.vendor)} ${printable(values.firmwareVersion)}" for hardware ${hardwareId} revision ${values.hardwareRevision}`,
      fields: header
        .fields(values, meanings)
        .filter(({ name, offset, length }) => !name.startsWith('reserved') || paddingLength(bytes.subarray(offset, offset + length)) < length),
      regions: layout.regions,
      checks: [layout.check],
      findings: [...findings, ...layout.findings],
      identities: [{ source: 'tplink-v1.hwid', value: hardwareId, offset: header.at.hardwareId.offset }],
      payloads: layout.payloads,
      input: () => ({ ...given, body: bytes.subarray(header.length, layout.length) }),
    };
  },

  build,

  recipeSteps: {
    'tplink-v1-image': imageStep,
    'tplink-v1-okli-image': okliImageStep,
    'tplink-v1-header': {
      compose: (image, use) => makeImage(use, headerCommand(use), image, () => new Uint8Array()),
      decompose: (image, use) => {
        tellBuild(image, use);
        return takeApart(image).kernel;
      },
    },
  },
};
