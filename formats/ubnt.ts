/**
 * Ubiquiti's firmware image: a header of 268 bytes with a version, sections "PART" with a header of 56 bytes each, and an end; all
 * numbers big endian.
 *
 * Header and sections have a CRC-32 each, over themselves up to it; the end "END." one over all in front of it. The newer end "ENDS" has
 * an RSA signature in its place, which OpenWrt leaves zero. OpenWrt cuts an image for most devices after 1 MiB and writes the
 * pieces as kernel and root file system: sections that follow one another in flash are one stretch.
 *
 * Layout and writers: firmware-utils fw.h, mkfwimage.c, mkfwimage2.c.
 */
import { joined } from '../src/core/bytes.ts';
import { type CodedCheck, compare, crc32 } from '../src/core/checksums.ts';
import { OwimgError } from '../src/core/errors.ts';
import { finding, type LocalFinding, lengthBeyondEnd } from '../src/core/findings.ts';
import { type Format, type Payload, type Reading, region, truncatedHeader } from '../src/core/format.ts';
import { byteCount, hexBytes, latin1, printable, toBytes } from '../src/core/hex.ts';
import { type ComposeUse, type DecomposeUse, optionWord } from '../src/core/recipe-step.ts';
import { hex32, bytes as raw, rawText, struct, u32 } from '../src/core/struct.ts';
import type { Confidence, Field, Range, Region } from '../src/core/types.ts';

const header = struct('big', { magic: rawText(4), version: rawText(256), checksum: hex32, padding: raw(4) });
const section = struct('big', {
  magic: rawText(4),
  name: rawText(16),
  padding: raw(12),
  loadAddress: hex32, // memaddr
  index: u32,
  flashAddress: hex32, // baseaddr
  entryAddress: hex32, // entryaddr
  dataLength: u32, // data_size
  partLength: u32, // part_size
});
const closing = struct('big', { checksum: hex32, padding: raw(4) });
const end = struct('big', { magic: rawText(4), checksum: hex32, padding: raw(4) });
const signedEnd = struct('big', { magic: rawText(4), signature: raw(256), padding: raw(4) });

const magics = ['OPEN', 'UBNT', 'GEOS'];
const versionText = /^[!-~][ -~]*\.[ -~]*$/;
const [sectionMagic, endMagic, signedMagic] = ['PART', 'END.', 'ENDS'];

export interface UbntSection {
  readonly name: string | Uint8Array;
  readonly index: number;
  readonly loadAddress: number;
  readonly entryAddress: number;
  readonly flashAddress: number;
  /** Of the partition in flash. */
  readonly partLength: number;
  readonly data: Uint8Array;
}

export interface UbntInput {
  /** `OPEN` by OpenWrt, `UBNT` or `GEOS` by vendors. */
  readonly magic?: string;
  /** `XM.ar7240.v6.0.0-OpenWrt-r12345`. */
  readonly version: string | Uint8Array;
  readonly sections: readonly UbntSection[];
  /** 256 bytes in place of the last CRC. */
  readonly signature?: Uint8Array;
}

const textAt = (bytes: Uint8Array, offset: number): string => latin1(bytes.subarray(offset, offset + 4));
const headerSum = (bytes: Uint8Array): number => crc32(bytes.subarray(0, header.at.checksum.offset));

function fitting(name: string, value: string | Uint8Array, room: number): Uint8Array {
  const text = typeof value === 'string' ? toBytes(value) : value;
  if (text.length > room) throw new OwimgError('bad-value', `Cannot store a ${name} of ${text.length} characters: there is room for ${room}`);
  const filled = new Uint8Array(room);
  filled.set(text);
  return filled;
}

function build({ magic = 'OPEN', version, sections, signature }: UbntInput): Uint8Array {
  const four = new Uint8Array(4);
  const head = header.write({ magic: toBytes(magic), version: fitting('version', version, 256), checksum: 0, padding: four });
  new DataView(head.buffer).setUint32(header.at.checksum.offset, headerSum(head));
  const parts = [head];
  for (const { name, data, ...numbers } of sections) {
    const values = {
      ...numbers,
      magic: toBytes(sectionMagic as string),
      name: fitting('name', name, 16),
      padding: new Uint8Array(12),
      dataLength: data.length,
    };
    const made = joined([section.write(values), data]);
    parts.push(made, closing.write({ checksum: crc32(made), padding: four }));
  }
  const all = joined(parts);
  if (signature === undefined) return joined([all, end.write({ magic: toBytes(endMagic as string), checksum: crc32(all), padding: four })]);
  return joined([all, signedEnd.write({ magic: toBytes(signedMagic as string), signature: fitting('signature', signature, 256), padding: four })]);
}

interface Sections {
  readonly found: readonly { readonly offset: number; readonly values: ReturnType<typeof section.read>; readonly data: Range }[];
  /** Where the first bytes stand that are no section. */
  readonly position: number;
}

/** The sections whose header is there, `most` of them; the last one's data may be cut off. */
function readSections(bytes: Uint8Array, most: number): Sections {
  const found: { offset: number; values: ReturnType<typeof section.read>; data: Range }[] = [];
  let position = header.length;
  while (found.length < most && textAt(bytes, position) === sectionMagic && position + section.length <= bytes.length) {
    const values = section.read(bytes, position);
    const data = { offset: position + section.length, length: values.dataLength };
    found.push({ offset: position, values, data });
    position = data.offset + data.length + closing.length;
    if (position > bytes.length) break;
  }
  return { found, position: Math.min(position, bytes.length) };
}

const taken = (bytes: Uint8Array, { offset, length }: Range): Uint8Array => bytes.subarray(offset, offset + length);

/** The stretches of flash: sections that follow one another there belong together. */
function stretches({ found }: Sections, bytes: Uint8Array): Payload[] {
  const payloads: (Payload & { readonly ranges: Range[]; flashEnd: number; label: string })[] = [];
  for (const { values, data } of found) {
    const range = { offset: data.offset, length: Math.min(data.length, bytes.length - data.offset) };
    const name = printable(values.name);
    const last = payloads.at(-1);
    if (range.length <= 0) continue;
    if (last !== undefined && last.flashEnd === values.flashAddress && values.flashAddress > 0) {
      last.ranges.push(range);
      last.label += `, ${name}`;
      last.flashEnd += data.length;
    } else payloads.push({ label: name, ranges: [range], content: 'slice', flashEnd: values.flashAddress + data.length });
  }
  return payloads.map(({ label, ranges }) => {
    const gathered = ranges.length > 1 ? { gathered: { bytes: joined(ranges.map((range) => taken(bytes, range))), by: 'ubnt' } } : {};
    return { label, ranges, content: 'slice' as const, ...gathered };
  });
}

/** Flash layouts, by the tool's names of boards: where firmware begins, where a kernel is loaded to, how much fits, whether the end is signed. */
const layouts: Readonly<Record<string, readonly [start: number, entry: number, most: number, signed?: true]>> = {
  XS2: [0xbfc30000, 0x80041000, 0x390000],
  XS5: [0xbe030000, 0x80041000, 0x390000],
  RS: [0xbf030000, 0x80060000, 0xb00000],
  RSPRO: [0xbf030000, 0x80060000, 0xf00000],
  'LS-SR71': [0xbf030000, 0x80060000, 0x640000],
  'XS2-8': [0xa8030000, 0x80041000, 0x6c0000],
  XM: [0x9f050000, 0x80002000, 0x760000],
  SW: [0x9f050000, 0x80002000, 0x760000],
  UBDEV01: [0x9f050000, 0x80002000, 0x6a0000],
  WA: [0x9f050000, 0x80002000, 0xf60000, true],
  XC: [0x9f050000, 0x80002000, 0xf60000, true],
  ACB: [0x9f050000, 0x80002000, 0xf60000, true],
};

/** @throws OwimgError `step-unknown` for a board that is not in the table, `conversion-impossible` where it does not fit */
function recipeImage(use: ComposeUse, kernel: Uint8Array, rootfs: Uint8Array): Uint8Array {
  const command = use.command('mkfwimage');
  const board = optionWord(command, '-B') ?? '';
  const layout = layouts[board];
  if (layout === undefined) throw new OwimgError('step-unknown', `Cannot run the step "${use.name}": owimg does not know the board "${board}" of mkfwimage`);
  const [start, entry, most, signed] = layout;
  if (kernel.length + rootfs.length > most) {
    const length = byteCount(kernel.length + rootfs.length);
    throw new OwimgError('conversion-impossible', `The image would be too big for the device: ${length}, and the limit is ${byteCount(most)}`);
  }
  return build({
    version: use.filled(optionWord(command, '-v') ?? ''),
    sections: [
      { name: 'kernel', index: 1, loadAddress: entry, entryAddress: entry, flashAddress: start, partLength: kernel.length, data: kernel },
      {
        name: 'rootfs',
        index: 2,
        loadAddress: 0,
        entryAddress: 0,
        flashAddress: start + kernel.length,
        partLength: most - kernel.length,
        data: rootfs,
      },
    ],
    ...(signed === true ? { signature: new Uint8Array(256) } : {}),
  });
}

/** Kernel and root file system; a revision of OpenWrt in the version is told. */
function recipeSections(image: Uint8Array, use: DecomposeUse): [kernel: Uint8Array, rootfs: Uint8Array] {
  const revision = /-(r\d+-[0-9a-f]+)$/.exec(printable(header.read(image).version))?.[1];
  if (revision !== undefined) use.tells('revision', revision);
  const [kernel, rootfs] = readSections(image, 2).found.map(({ data }) => taken(image, data));
  if (kernel === undefined || rootfs === undefined)
    throw new OwimgError('conversion-impossible', `Cannot take the image apart at the step "${use.name}": it has not got two sections`);
  return [kernel, rootfs];
}

/** Ubiquiti's boot loader flashes a kernel of this size; where it really ends does not matter to it. */
const kernelLength = 1024 * 1024;

export const ubnt: Format<UbntInput> = {
  id: 'ubnt',
  title: 'Ubiquiti firmware image',
  summary: "A header with a version, sections with addresses and checksums, and an end: what the web page and the boot loader's TFTP of airOS devices take.",
  role: 'wrapper',
  kind: 'factory',
  references: [
    { title: 'firmware-utils fw.h', url: 'https://github.com/openwrt/firmware-utils/blob/d21804ad/src/fw.h' },
    { title: 'firmware-utils mkfwimage.c', url: 'https://github.com/openwrt/firmware-utils/blob/d21804ad/src/mkfwimage.c' },
    { title: 'firmware-utils mkfwimage2.c', url: 'https://github.com/openwrt/firmware-utils/blob/d21804ad/src/mkfwimage2.c' },
  ],
  limitations: ["An RSA signature at the end is found and shown, not verified: that takes Ubiquiti's key. OpenWrt writes zeros in its place."],
  magics: ['OPEN', 'UBNT'].map((text) => ({ offset: 0, bytes: toBytes(text) })),

  detect(bytes): Confidence {
    const known = magics.includes(textAt(bytes, 0));
    if (bytes.length < header.length) return known && versionText.test(printable(bytes.subarray(4, 260))) ? 'maybe' : 'no';
    const { version, checksum } = header.read(bytes);
    if (!versionText.test(printable(version))) return 'no';
    if (known && headerSum(bytes) === checksum) return 'yes';
    return textAt(bytes, header.length) === sectionMagic ? 'maybe' : 'no';
  },

  parse(bytes, { budget }): Reading<UbntInput> {
    if (bytes.length < header.length) {
      const args = { what: 'a Ubiquiti header', length: header.length, available: bytes.length };
      return truncatedHeader('Ubiquiti', header.length, finding('header-truncated', { offset: 0, length: bytes.length }, args), bytes.length);
    }
    const values = header.read(bytes);
    const version = printable(values.version);
    const findings: LocalFinding[] = [];
    if (!magics.includes(textAt(bytes, 0))) {
      const args = { what: 'the Ubiquiti header', expected: magics.join(' or '), actual: hexBytes(values.magic) };
      findings.push(finding('magic-damaged', header.at.magic, args));
    }
    const checks: CodedCheck[] = [];
    const check = (name: string, stored: number | null, at: Range, covered: Range): void => {
      const code = name === 'header-crc' ? 'header-checksum-mismatch' : name === 'end-crc' ? 'image-checksum-mismatch' : 'data-checksum-mismatch';
      checks.push(compare({ code, name, algorithm: 'crc32', stored, computed: crc32(taken(bytes, covered)), at, covers: [covered] }));
    };
    check('header-crc', values.checksum, header.at.checksum, { offset: 0, length: header.at.checksum.offset });

    const sections = readSections(bytes, budget.limits.members);
    const fields: Field[] = header.fields(values);
    const board = /^(.+?)\.v/.exec(version)?.[1];
    if (board !== undefined) fields.push({ name: 'board', offset: header.at.version.offset, length: board.length, value: board });
    const regions: Region[] = [region('header', 'Ubiquiti header', 0, header.length)];
    for (const { offset, values: part, data } of sections.found) {
      const name = printable(part.name);
      fields.push(...section.fields(part, {}, offset).map((field) => ({ ...field, name: `${name}.${field.name}` })));
      regions.push(region('header', `section ${name}`, offset, section.length));
      const available = bytes.length - data.offset;
      const after = data.offset + data.length;
      const whole = after + closing.length <= bytes.length;
      if (data.length > available) {
        const at = { offset: offset + section.at.dataLength.offset, length: 4 };
        findings.push(lengthBeyondEnd(`the section ${name}`, at, data.length, available, bytes.length));
      } else if (!whole) {
        const place = { offset: after, length: bytes.length - after };
        findings.push(finding('header-truncated', place, { what: `the checksum of the section ${name}`, length: closing.length, available: place.length }));
      }
      const held = Math.min(data.length, available);
      if (held > 0) regions.push(region('payload', name, data.offset, held));
      if (bytes.length > after) regions.push(region('header', `checksum of ${name}`, after, Math.min(closing.length, bytes.length - after)));
      const covered = { offset, length: section.length + held };
      check(`crc of ${name}`, whole ? closing.read(bytes, after).checksum : null, { offset: after, length: 4 }, covered);
    }

    const { position } = sections;
    const kind = textAt(bytes, position);
    const layout = kind === signedMagic ? signedEnd : end;
    const begun = kind === endMagic || kind === signedMagic;
    const closed = begun && position + layout.length <= bytes.length;
    if (begun) fields.push({ name: 'endMagic', offset: position, length: 4, value: kind });
    let signature: Uint8Array | undefined;
    if (closed) {
      regions.push(region('header', 'end', position, layout.length));
      if (kind === endMagic) {
        const at = { offset: position + end.at.checksum.offset, length: 4 };
        check('end-crc', end.read(bytes, position).checksum, at, { offset: 0, length: position });
      } else {
        ({ signature } = signedEnd.read(bytes, position));
        fields.push({ name: 'signature', offset: position + 4, length: 256, value: signature.every((byte) => byte === 0) ? 'zero' : hexBytes(signature) });
      }
    } else if (begun) {
      const place = { offset: position, length: bytes.length - position };
      findings.push(finding('header-truncated', place, { what: 'the end of the Ubiquiti image', length: layout.length, available: place.length }));
    } else if (findings.length === 0) {
      const place = { offset: position, length: Math.min(4, bytes.length - position) };
      const actual = place.length === 0 ? 'nothing' : hexBytes(taken(bytes, place));
      findings.push(finding('structure-invalid', place, { what: 'end of the Ubiquiti image', expected: '"PART", "END." or "ENDS"', actual }));
    }
    const length = closed ? position + layout.length : bytes.length;
    if (!closed && position < bytes.length) regions.push(region('unknown', 'behind the last section', position, bytes.length - position));
    return {
      length,
      summary: `Ubiquiti firmware "${version}"${signature === undefined ? '' : ', signed or with room for a signature'}`,
      fields,
      regions,
      checks,
      findings,
      identities: board === undefined ? [] : [{ source: 'ubnt.board', value: board, offset: header.at.version.offset }],
      payloads: stretches(sections, bytes),
      input: () => ({
        magic: textAt(bytes, 0),
        version: values.version,
        sections: sections.found.map(({ values: part, data }) => ({ ...part, data: taken(bytes, data) })),
        ...(signature === undefined ? {} : { signature }),
      }),
    };
  },

  build,

  recipeSteps: {
    'mkubntimage-split': {
      compose: (image, use) => {
        if (image.length <= kernelLength)
          throw new OwimgError(
            'conversion-impossible',
            `Cannot cut the image after ${byteCount(kernelLength)}, as the recipe does: it has ${byteCount(image.length)}`,
          );
        return recipeImage(use, image.subarray(0, kernelLength), image.subarray(kernelLength));
      },
      decompose: (image, use) => joined(recipeSections(image, use)),
    },
    mkubntimage: {
      compose: (image, use) => recipeImage(use, use.part(kernelPart(use)), image),
      decompose: async (image, use) => {
        const [kernel, rootfs] = recipeSections(image, use);
        await use.found(kernelPart(use), kernel);
        return rootfs;
      },
    },
  },
};

/** Some devices have OpenWrt's loader in the kernel's place. */
const kernelPart = ({ words }: ComposeUse | DecomposeUse): string => (words[0]?.includes('loader') === true ? 'loader' : 'kernel');
