/**
 * U-Boot legacy image: a header of 64 bytes, all numbers big endian, in front of a kernel (or a root file
 * system, a script, several files).
 *
 * The header CRC covers the header with its own field zero; the data CRC covers the data as stored. Vendors
 * changed the magic number, and some put more bytes between header and data which the header CRC then covers.
 *
 * Layout: U-Boot include/image.h. Writers: U-Boot tools/mkimage (patched by OpenWrt for `-M magic`),
 * firmware-utils uimage_padhdr, uimage_sgehdr, dns313-header.
 */
import { compare, crc32, crc32Of, withReplaced, zeros } from '../src/core/checksums.ts';
import { OwimgError } from '../src/core/errors.ts';
import { finding, type LocalFinding, lengthBeyondEnd } from '../src/core/findings.ts';
import { type Format, type Payload, type Reading, region, truncatedHeader } from '../src/core/format.ts';
import { fromHex, hex, hexBytes, printable, toBytes } from '../src/core/hex.ts';
import { hex32, rawText, struct, u8, u32 } from '../src/core/struct.ts';
import type { Field, Kind, Region } from '../src/core/types.ts';
import { architectures, compressions, imageTypes, magics, operatingSystems } from './data/uimage.ts';

const header = struct('big', {
  magic: hex32,
  headerChecksum: hex32, // ih_hcrc
  time: u32,
  dataLength: u32, // ih_size
  load: hex32,
  entry: hex32, // ih_ep
  dataChecksum: hex32, // ih_dcrc
  os: u8,
  architecture: u8, // ih_arch
  type: u8,
  compression: u8, // ih_comp
  name: rawText(32),
});

const standardMagic = 0x27051956;
const reversedMagic = 0x56190527;
/** The COVR magic is the squashfs one: only a good header CRC tells them apart. */
const squashfsMagic = 0x68737173;

/** What stands between the 64 bytes and the data, and what the header CRC covers then. */
interface Variant {
  readonly name: string;
  /** Where the data begins. */
  readonly dataOffset: number;
  /** Bytes that the header CRC covers, counted from 0. */
  readonly covered: number;
  /** The time field counts as zero too. */
  readonly timeZero?: boolean;
  /** The writer says gzip whatever the data is, and the boot loader does not look. */
  readonly compressionUnsaid?: boolean;
}

const variants: readonly Variant[] = [
  { name: 'standard', dataOffset: 64, covered: 64 },
  { name: 'padded by 32 bytes', dataOffset: 96, covered: 96 },
  { name: 'SGE, 96 bytes of model and versions', dataOffset: 160, covered: 160 },
  { name: 'DNS-313, 40 bytes of model, version and MAC', dataOffset: 104, covered: 104, compressionUnsaid: true },
  { name: 'padded by 160 bytes', dataOffset: 224, covered: 224 },
  { name: 'Dongwon, checksum over four bytes of data too', dataOffset: 64, covered: 68, timeZero: true },
];

const standard = variants[0] as Variant;
const kernelTypes = new Set([2, 14]); // kernel, kernel_noload
const osLinux = 5;
const [typeMulti, typeScript, typeFilesystem, typeFirmware] = [4, 6, 7, 5];

/** What `build` takes; `extra` are the bytes that a variant puts between header and data. */
export interface UimageInput {
  readonly magic: number;
  readonly time: number;
  readonly load: number;
  readonly entry: number;
  readonly os: number;
  readonly architecture: number;
  readonly type: number;
  readonly compression: number;
  readonly name: Uint8Array | string;
  readonly data: Uint8Array;
  readonly extra?: Uint8Array;
  /** The header CRC covers the first four bytes of data and takes the time as zero. */
  readonly dongwon?: boolean;
}

function headerCrc(bytes: Uint8Array, variant: Variant): number {
  const replaced = [{ offset: 4, bytes: zeros(variant.timeZero === true ? 8 : 4) }];
  return crc32Of(withReplaced(bytes.subarray(0, variant.covered), replaced));
}

function storedHeaderCrc(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(4);
}

/** The variant that the header CRC proves, if any. */
function provenVariant(bytes: Uint8Array): Variant | undefined {
  const stored = storedHeaderCrc(bytes);
  return variants.find((variant) => bytes.length >= variant.covered && headerCrc(bytes, variant) === stored);
}

/** The magic number, written wrongly, with which the header CRC is right. */
function intendedMagic(bytes: Uint8Array): number | undefined {
  const replaced = bytes.slice(0, header.length);
  const view = new DataView(replaced.buffer);
  const { os, architecture, type, compression } = header.read(replaced);
  if ([operatingSystems[os], architectures[architecture], imageTypes[type], compressions[compression]].includes(undefined)) return undefined;
  return [...magics.keys()].find((magic) => {
    view.setUint32(0, magic);
    return headerCrc(replaced, standard) === view.getUint32(4);
  });
}

/** With a damaged header the data CRC may still tell where the data begins. */
function likelyVariant(bytes: Uint8Array, dataLength: number, dataChecksum: number): Variant {
  const fits = (variant: Variant): boolean =>
    variant.dataOffset + dataLength <= bytes.length && crc32(bytes.subarray(variant.dataOffset, variant.dataOffset + dataLength)) === dataChecksum;
  return (dataLength > 0 ? variants.find(fits) : undefined) ?? standard;
}

interface Members {
  readonly payloads: Payload[];
  readonly fields: Field[];
  readonly regions: Region[];
  readonly findings: LocalFinding[];
}

/** The table of a multi-file image or a script: lengths, then 0; all members but the last are padded to 4 bytes. */
function readMembers(bytes: Uint8Array, start: number, end: number, entryLimit: number): Members {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const members: Members = { payloads: [], fields: [], regions: [], findings: [] };
  const lengths: number[] = [];
  let position = start;
  let ended = false;
  while (position + 4 <= end && lengths.length < entryLimit) {
    const length = view.getUint32(position);
    position += 4;
    if (length === 0) {
      ended = true;
      break;
    }
    members.fields.push({ name: `memberLength${lengths.length}`, offset: position - 4, length: 4, value: length });
    lengths.push(length);
  }
  if (!ended) {
    const args = { what: 'member table', expected: 'a length of 0 at its end', actual: 'no end' };
    members.findings.push(finding('structure-invalid', { offset: start, length: end - start }, args));
    members.fields.length = 0;
    members.regions.push(region('unknown', 'member table without an end', start, end - start));
    return members;
  }
  members.regions.push(region('header', 'member table', start, position - start));
  lengths.forEach((length, index) => {
    const available = Math.max(0, end - position);
    if (length > available) members.findings.push(lengthBeyondEnd(`member ${index}`, { offset: start + index * 4, length: 4 }, length, available, end));
    const taken = Math.min(length, available);
    if (taken === 0) return;
    members.regions.push(region('payload', `member ${index}`, position, taken));
    members.payloads.push({ label: `member ${index}`, ranges: [{ offset: position, length: taken }] });
    position += taken;
    const padding = index === lengths.length - 1 ? 0 : Math.min((4 - (length % 4)) % 4, end - position);
    if (padding > 0) members.regions.push(region('padding', 'to a multiple of 4', position, padding));
    position += padding;
  });
  if (position < end) members.regions.push(region('unknown', 'behind the last member', position, end - position));
  return members;
}

function kindOf(type: number, os: number): Kind {
  if (type === typeFilesystem) return 'rootfs';
  const isKernel = kernelTypes.has(type) || type === typeMulti || (type === typeFirmware && os === osLinux);
  if (isKernel) return 'kernel';
  return type === typeFirmware ? 'bootloader' : 'unknown';
}

const named = (table: readonly string[], value: number): string => table[value] ?? 'not defined';

export const uimage: Format<UimageInput> = {
  id: 'uimage',
  title: 'U-Boot legacy image (uImage)',
  summary:
    'A 64-byte header with two CRCs in front of a kernel; what U-Boot boots with bootm and what most NOR devices have at the start of their firmware partition.',
  role: 'kernel',
  kind: 'kernel',
  references: [
    { title: 'U-Boot include/image.h', url: 'https://github.com/u-boot/u-boot/blob/6073c36b/include/image.h' },
    {
      title: 'OpenWrt patch for other magic numbers',
      url: 'https://github.com/openwrt/openwrt/blob/3d1645ee/tools/mkimage/patches/030-allow-to-use-different-magic.patch',
    },
  ],
  limitations: [],
  magics: [
    { offset: 0, bytes: fromHex('27051956') },
    { offset: 0, bytes: toBytes('OKLI') },
  ],

  detect(bytes) {
    if (bytes.length < 4) return 'no';
    const magic = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
    if (bytes.length < header.length) return magic === standardMagic ? 'maybe' : 'no';
    if (provenVariant(bytes) !== undefined) return 'yes';
    if (magic === standardMagic) return 'maybe';
    if (magic === squashfsMagic) return 'no';
    if (magic !== reversedMagic && !magics.has(magic)) return intendedMagic(bytes) === undefined ? 'no' : 'maybe';
    const { os, architecture, type, compression } = header.read(bytes);
    const plausible = [os, architecture, type].every((value) => value > 0) && imageTypes[type] !== undefined && operatingSystems[os] !== undefined;
    return plausible && architectures[architecture] !== undefined && compressions[compression] !== undefined ? 'maybe' : 'no';
  },

  parse(bytes, { budget }): Reading<UimageInput> {
    if (bytes.length < header.length) {
      const cut = finding('header-truncated', { offset: 0, length: bytes.length }, { what: 'a uImage header', length: header.length, available: bytes.length });
      return truncatedHeader('uImage', header.length, cut, bytes.length);
    }
    const values = header.read(bytes);
    const { magic, dataLength, dataChecksum, os, architecture, type, compression } = values;
    const proven = provenVariant(bytes);
    const variant = proven ?? likelyVariant(bytes, dataLength, dataChecksum);
    const available = Math.max(0, bytes.length - variant.dataOffset);
    const taken = Math.min(dataLength, available);
    const end = Math.min(bytes.length, variant.dataOffset + taken);
    const data = bytes.subarray(variant.dataOffset, end);
    const whole = dataLength <= available;
    const findings: LocalFinding[] = [];
    if (magic === reversedMagic) {
      findings.push(
        finding('magic-damaged', header.at.magic, { what: 'the uImage', expected: hex(standardMagic), actual: `${hex(magic)}, the same in reverse` }),
      );
    } else if (!magics.has(magic) && proven === undefined) {
      findings.push(
        finding('magic-damaged', header.at.magic, { what: 'the uImage', expected: hex(intendedMagic(bytes) ?? standardMagic), actual: hex(magic) }),
      );
    } else if (!magics.has(magic)) findings.push(finding('magic-unusual', header.at.magic, { what: 'the uImage', actual: hex(magic) }));
    if (!whole) findings.push(lengthBeyondEnd('the data', header.at.dataLength, dataLength, available, bytes.length));
    const invalid = (what: 'os' | 'architecture' | 'type' | 'compression', table: readonly string[]): void => {
      if (table[values[what]] !== undefined) return;
      findings.push(finding('structure-invalid', header.at[what], { what: `uImage ${what}`, expected: `0 to ${table.length - 1}`, actual: values[what] }));
    };
    invalid('os', operatingSystems);
    invalid('architecture', architectures);
    invalid('type', imageTypes);
    invalid('compression', compressions);

    const holdsMembers = type === typeMulti || type === typeScript;
    const members = holdsMembers ? readMembers(bytes, variant.dataOffset, end, budget.limits.entries) : undefined;
    const payloads: Payload[] = members?.payloads ?? [];
    const label = type === typeFilesystem ? 'file system' : named(imageTypes, type);
    if (members === undefined && data.length > 0) {
      // TP-Link's EC330 has a uImage in a uImage: right where the outer one promises no compression.
      const mayRepeat = compression === 0;
      const promised = variant.compressionUnsaid === true ? {} : { compression: compressions[compression] ?? 'none', compressionAt: header.at.compression };
      payloads.push({ label, mayRepeat, ranges: [{ offset: variant.dataOffset, length: data.length }], ...promised });
    }
    const extra = bytes.subarray(64, Math.min(variant.dataOffset, bytes.length));
    const extraFields: Field[] = extra.length > 0 ? [{ name: 'extra', offset: 64, length: extra.length, value: hexBytes(extra), meaning: variant.name }] : [];
    const meanings = {
      magic: magics.get(magic) ?? 'not used by OpenWrt',
      time: new Date(values.time * 1000).toISOString().replace('.000', ''),
      os: named(operatingSystems, os),
      architecture: named(architectures, architecture),
      type: named(imageTypes, type),
      compression: named(compressions, compression),
    };
    const check = {
      header: compare({
        code: 'header-checksum-mismatch',
        name: 'header-crc',
        algorithm: 'crc32',
        stored: values.headerChecksum,
        computed: headerCrc(bytes, variant),
        at: header.at.headerChecksum,
        covers:
          variant.timeZero === true
            ? [
                { offset: 0, length: 8 },
                { offset: 12, length: variant.covered - 12 },
              ]
            : [{ offset: 0, length: variant.covered }],
      }),
      data: compare({
        code: 'data-checksum-mismatch',
        name: 'data-crc',
        algorithm: 'crc32',
        stored: whole ? dataChecksum : null,
        computed: crc32(data),
        at: header.at.dataChecksum,
        covers: [{ offset: variant.dataOffset, length: data.length }],
      }),
    };
    return {
      length: end,
      summary: `uImage "${printable(values.name)}" (${meanings.os} ${meanings.architecture} ${meanings.type}, ${meanings.compression})`,
      kind: kindOf(type, os),
      fields: [...header.fields(values, meanings), ...extraFields, ...(members?.fields ?? [])],
      regions: [
        region('header', 'uImage header', 0, Math.min(variant.dataOffset, end)),
        ...(members?.regions ?? (data.length > 0 ? [region('payload', label, variant.dataOffset, data.length)] : [])),
      ],
      checks: [check.header, check.data],
      findings: [...findings, ...(members?.findings ?? [])],
      identities: [],
      payloads,
      input: () => ({
        ...values,
        data,
        ...(extra.length > 0 ? { extra } : {}),
        ...(variant.timeZero === true ? { dongwon: true } : {}),
      }),
    };
  },

  build(input) {
    const { data, extra = new Uint8Array(0) } = input;
    if (data.length > 0xffffffff) throw new OwimgError('bad-value', `Cannot build a uImage of ${data.length} bytes: the length field has 32 bits`);
    const name = typeof input.name === 'string' ? toBytes(input.name) : input.name;
    const image = new Uint8Array(header.length + extra.length + data.length);
    image.set(header.write({ ...input, name, dataLength: data.length, headerChecksum: 0, dataChecksum: crc32(data) }));
    image.set(extra, header.length);
    image.set(data, header.length + extra.length);
    const dataOffset = header.length + extra.length;
    const variant: Variant =
      input.dongwon === true ? { name: '', dataOffset, covered: dataOffset + 4, timeZero: true } : { name: '', dataOffset, covered: dataOffset };
    new DataView(image.buffer).setUint32(4, headerCrc(image, variant));
    return image;
  },
};
