/**
 * fwtool chunks: what OpenWrt appends behind a finished image. Each is data and then a trailer of 16 bytes, big
 * endian, so they are read from the end of the file backwards; metadata first, a signature (if any) behind it.
 *
 * A chunk's checksum (CRC-32 without the final inversion) covers every byte of the file in front of its
 * trailer, the image included: one changed byte anywhere and OpenWrt says "Image metadata not present".
 *
 * Layout and writer: fwtool.c, fwimage.h. The JSON: OpenWrt include/image-commands.mk (append-metadata).
 */

import { joined, lastIndexOf } from '../src/core/bytes.ts';
import { compare, digest, jamcrc } from '../src/core/checksums.ts';
import { OwimgError } from '../src/core/errors.ts';
import { finding, type LocalFinding, lengthBeyondEnd } from '../src/core/findings.ts';
import { type Format, type Reading, region } from '../src/core/format.ts';
import { hex, hexBytes, latin1, toBytes } from '../src/core/hex.ts';
import type { BuildValue, DecomposeUse, RecipeDevice } from '../src/core/recipe-step.ts';
import { hex32, bytes as raw, struct, u8, u32 } from '../src/core/struct.ts';
import type { Field, Identity, Region } from '../src/core/types.ts';
import { fileKey, wrapping } from '../src/core/wrap.ts';

const trailer = struct('big', { magic: hex32, checksum: hex32, type: u8, padding: raw(3), size: u32 });
const magic = 0x46577830; // "FWx0"
const magicBytes = toBytes('FWx0');
/** In front of most metadata: its version and flags, and how the JSON begins. */
const chunkStart = toBytes('\0\0\0\0\0\0\0\0{');

const [typeSignature, typeMetadata] = [0, 1];
/** In front of the JSON: a version and flags, both 0. */
const metadataHeaderLength = 8;
/** The tool takes no larger chunk: METADATA_MAXLEN in fwtool.c. */
const largestChunk = 30 * 1024;
/** How far back a trailer is looked for that is not at the end. */
const searched = 128 * 1024;
/** How many of them are looked at: each may take a checksum over the whole file. */
const mostTrailers = 16;

export interface FwtoolInput {
  /** All bytes in front of the first chunk. */
  readonly image: Uint8Array;
  readonly chunks: readonly { readonly type: number; readonly data: Uint8Array }[];
}

interface Chunk {
  readonly start: number;
  readonly trailerOffset: number;
  readonly type: number;
  readonly magicOk: boolean;
}

/** The chunk that ends at `end`, if the bytes there look like one. */
function chunkAt(bytes: Uint8Array, end: number): Chunk | undefined {
  const trailerOffset = end - trailer.length;
  if (trailerOffset < 0) return undefined;
  const values = trailer.read(bytes, trailerOffset);
  const { type, size, padding, checksum } = values;
  const fits =
    type <= typeMetadata &&
    padding.every((byte) => byte === 0) &&
    size > trailer.length &&
    size <= end &&
    size <= largestChunk + trailer.length + metadataHeaderLength;
  const chunk = { start: end - size, trailerOffset, type, magicOk: values.magic === magic };
  if (values.magic === magic) return fits ? chunk : undefined;
  // With a damaged magic number only the checksum proves that this is a trailer.
  return fits && jamcrc(bytes.subarray(0, trailerOffset)) === checksum ? chunk : undefined;
}

/** All chunks that end at `end`, the first one in the file first. */
function chunksUpTo(bytes: Uint8Array, end: number): Chunk[] {
  const chunks: Chunk[] = [];
  for (let position = end; chunks.length < 16; ) {
    const chunk = chunkAt(bytes, position);
    if (chunk === undefined) break;
    chunks.unshift(chunk);
    position = chunk.start;
  }
  return chunks;
}

interface Located {
  readonly start: number;
  readonly chunks: readonly Chunk[];
  /** Where the chunks end: the end of the window, unless something follows them. */
  readonly end: number;
  /** Offset of a trailer which cannot be used. */
  readonly unusable?: number;
}

function locate(bytes: Uint8Array): Located | undefined {
  const direct = chunksUpTo(bytes, bytes.length);
  if (direct[0] !== undefined) return { start: direct[0].start, chunks: direct, end: bytes.length };
  const from = Math.max(0, bytes.length - searched);
  const tail = bytes.subarray(from);
  let found = lastIndexOf(tail, magicBytes);
  for (let count = 0; found >= 0 && count < mostTrailers; count += 1, found = lastIndexOf(tail, magicBytes, found - 1)) {
    const trailerOffset = from + found;
    const end = trailerOffset + trailer.length;
    const chunks = end <= bytes.length ? chunksUpTo(bytes, end) : [];
    if (chunks[0] !== undefined) {
      // A wrong checksum so far from the end: the metadata of another image, inside of this one.
      if (jamcrc(bytes.subarray(0, trailerOffset)) !== trailer.read(bytes, trailerOffset).checksum) continue;
      return { start: chunks[0].start, chunks, end };
    }
    // A trailer that is cut off or has an impossible size: the JSON in front of it tells where the chunk begins.
    const json = lastIndexOf(tail.subarray(Math.max(0, found - largestChunk), found), chunkStart);
    if (json >= 0) return { start: from + Math.max(0, found - largestChunk) + json, chunks: [], end: bytes.length, unusable: trailerOffset };
  }
  return undefined;
}

interface Metadata {
  readonly fields: Field[];
  readonly identities: Identity[];
  readonly findings: LocalFinding[];
}

const isTextList = (value: unknown): value is string[] => Array.isArray(value) && value.every((entry) => typeof entry === 'string');

/** What the JSON says, at which offsets, and what is wrong with it. */
function readMetadata(bytes: Uint8Array, start: number, end: number): Metadata {
  const where = { offset: start, length: end - start };
  const invalid = (reason: string): Metadata => ({ fields: [], identities: [], findings: [finding('metadata-invalid', where, { reason })] });
  if (end - start < metadataHeaderLength) return invalid(`it has ${end - start} bytes, less than its header of ${metadataHeaderLength}`);
  const jsonOffset = start + metadataHeaderLength;
  const text = new TextDecoder().decode(bytes.subarray(jsonOffset, end));
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    return invalid(`its JSON does not parse (${(error as Error).message})`);
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return invalid('it is not a JSON object');
  const values = json as Record<string, unknown>;
  const findings: LocalFinding[] = [];
  const problem = (reason: string): void => {
    findings.push(finding('metadata-invalid', where, { reason }));
  };
  const ascii = latin1(bytes.subarray(jsonOffset, end));
  /** Where a JSON text stands, to the byte. */
  const place = (value: string, from = 0): { offset: number; length: number } => {
    const encoded = latin1(new TextEncoder().encode(JSON.stringify(value)));
    const found = ascii.indexOf(encoded, from);
    return found < 0 ? { offset: jsonOffset, length: end - jsonOffset } : { offset: jsonOffset + found, length: encoded.length };
  };
  const fields: Field[] = [{ name: 'metadata', offset: jsonOffset, length: end - jsonOffset, value: text.trimEnd() }];
  const field = (name: string, key: string, value: string | readonly string[]): void => {
    fields.push({ name, ...place(key), value });
  };
  const compat = values['compat_version'] ?? '1.0';
  if (typeof compat !== 'string' || !/^\d+\.\d+$/.test(compat))
    problem(`compat_version is ${typeof compat === 'string' ? `"${compat}"` : 'no text'}, expected "major.minor"`);
  else field('compatVersion', 'compat_version', compat);
  if (typeof values['compat_message'] === 'string') field('compatMessage', 'compat_message', values['compat_message']);
  const identities: Identity[] = [];
  for (const key of ['supported_devices', 'new_supported_devices'] as const) {
    const list = values[key];
    if (list === undefined) continue;
    if (!isTextList(list)) {
      problem(`${key} is not a list of names`);
      continue;
    }
    field(key === 'supported_devices' ? 'supportedDevices' : 'newSupportedDevices', key, list);
    const from = ascii.indexOf(`"${key}"`);
    for (const value of list) {
      // With a compat version other than 1.0 the old list holds one sentence for systems that know no better.
      if (value.includes(' - Image version mismatch')) findings.push(finding('metadata-version-message', place(value, from), { message: value }));
      else identities.push({ source: `fwtool.${key}`, value, offset: place(value, from).offset });
    }
  }
  if (values['supported_devices'] === undefined && values['new_supported_devices'] === undefined) problem('it names no supported_devices');
  if (typeof compat === 'string' && compat !== '1.0' && values['new_supported_devices'] === undefined) {
    problem(`compat_version is ${compat} but new_supported_devices is missing, so no device accepts it`);
  }
  const version = values['version'];
  if (typeof version === 'object' && version !== null) {
    for (const [key, value] of Object.entries(version)) {
      if (typeof value !== 'string') continue;
      field(`version.${key}`, key, value);
      if (key === 'board') identities.push({ source: 'fwtool.board', value, offset: place(value, ascii.indexOf('"version"')).offset });
    }
  } else if (typeof version === 'string') field('version', 'version', version);
  return { fields, identities, findings };
}

/** The chunk for a JSON text. */
export const metadataChunk = (json: Uint8Array): FwtoolInput['chunks'][number] => ({
  type: typeMetadata,
  data: joined([new Uint8Array(metadataHeaderLength), json]),
});

/** The chunks alone; their checksums cover `image`. */
function build({ image, chunks }: FwtoolInput): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const { type, data } of chunks) {
    if (data.length > largestChunk + metadataHeaderLength)
      throw new OwimgError('bad-value', `Cannot append a chunk of ${data.length} bytes: fwtool takes at most ${largestChunk}`);
    const checksum = jamcrc(image, ...parts, data);
    parts.push(data, trailer.write({ magic, checksum, type, padding: new Uint8Array(3), size: data.length + trailer.length }));
  }
  return joined(parts);
}

export const fwtool: Format<FwtoolInput> = {
  id: 'fwtool',
  title: 'fwtool metadata and signature',
  summary: 'What OpenWrt appends to an image: JSON that names the devices it is for, and a signature, each under a checksum over the whole file.',
  role: 'trailer',
  kind: 'sysupgrade',
  references: [
    { title: 'fwtool.c', url: 'https://github.com/openwrt/fwtool/blob/8f7fe925/fwtool.c' },
    { title: 'OpenWrt include/image-commands.mk (append-metadata)', url: 'https://github.com/openwrt/openwrt/blob/3d1645ee/include/image-commands.mk' },
  ],
  limitations: ['A signature (ucert) is found and measured, not verified: that takes the key of whoever signed it.'],

  wrap: wrapping(
    'image',
    { metadata: fileKey('JSON that names the devices'), signature: fileKey('what ucert or usign made') },
    (image, { metadata, signature }): FwtoolInput => {
      if (metadata.length + signature.length === 0)
        throw new OwimgError('bad-value', 'Cannot append nothing: expected metadata=FILE, or signature=FILE, or both');
      const json = metadata.length === 0 ? [] : [metadataChunk(metadata)];
      return { image, chunks: [...json, ...(signature.length === 0 ? [] : [{ type: typeSignature, data: signature }])] };
    },
  ),

  detect: () => 'no',

  locate: (bytes) => locate(bytes)?.start ?? -1,

  parse(bytes): Reading<FwtoolInput> {
    const located = locate(bytes) as Located;
    const { start, chunks, end } = located;
    const fields: Field[] = [];
    const regions: Region[] = [];
    const checks = [];
    const findings: LocalFinding[] = [];
    const identities: Identity[] = [];
    const metadataCount = chunks.filter((chunk) => chunk.type === typeMetadata).length;
    for (const { start: dataOffset, trailerOffset, type, magicOk } of chunks) {
      const values = trailer.read(bytes, trailerOffset);
      const name = type === typeMetadata ? 'metadata' : 'signature';
      regions.push(region('metadata', name, dataOffset, trailerOffset - dataOffset), region('metadata', `${name} trailer`, trailerOffset, trailer.length));
      fields.push(...trailer.fields(values, { type: name }, trailerOffset));
      if (!magicOk) {
        const place = { offset: trailerOffset, length: 4 };
        findings.push(finding('magic-damaged', place, { what: 'the metadata trailer', expected: `${hex(magic)} ("FWx0")`, actual: hex(values.magic) }));
      }
      checks.push(
        compare({
          code: 'metadata-checksum-mismatch',
          name: `${name}-crc`,
          algorithm: 'jamcrc',
          stored: values.checksum,
          computed: jamcrc(bytes.subarray(0, trailerOffset)),
          at: { offset: trailerOffset + trailer.at.checksum.offset, length: 4 },
          covers: [{ offset: 0, length: trailerOffset }],
        }),
      );
      if (type === typeSignature) {
        findings.push(finding('signature-unverified', { offset: dataOffset, length: trailerOffset - dataOffset }, { length: trailerOffset - dataOffset }));
        continue;
      }
      const metadata = readMetadata(bytes, dataOffset, trailerOffset);
      fields.push(...metadata.fields);
      identities.push(...metadata.identities);
      findings.push(...metadata.findings);
    }
    const second = chunks.filter((chunk) => chunk.type === typeMetadata)[1];
    if (second !== undefined) {
      findings.push(finding('metadata-duplicate', { offset: second.start, length: second.trailerOffset - second.start }, { count: metadataCount }));
    }
    if (located.unusable !== undefined) findings.push(...unusableTrailer(bytes, located.unusable));
    else if (end < bytes.length) {
      findings.push(finding('metadata-displaced', { offset: end, length: bytes.length - end }, { length: bytes.length - end }));
    }
    const described = regions.reduce((last, entry) => Math.max(last, entry.offset + entry.length), start);
    if (described < bytes.length)
      regions.push(region('unknown', located.unusable === undefined ? 'behind the metadata' : 'unusable metadata', described, bytes.length - described));
    return {
      start,
      length: bytes.length - start,
      kind: metadataCount > 0 ? 'sysupgrade' : 'unknown',
      summary: `OpenWrt ${[metadataCount > 0 ? 'metadata' : '', chunks.some((chunk) => chunk.type === typeSignature) ? 'signature' : ''].filter(Boolean).join(' and ') || 'metadata, unusable'}`,
      fields,
      regions,
      checks,
      findings,
      identities,
      payloads: [],
      input: () => ({
        image: bytes.subarray(0, start),
        chunks: chunks.map((chunk) => ({ type: chunk.type, data: bytes.subarray(chunk.start, chunk.trailerOffset) })),
      }),
    };
  },

  build,

  recipeSteps: {
    'append-metadata': {
      compose: (image, use) => {
        // OpenWrt appends none to images of devices without a name to compare.
        if (use.device.boards.length === 0) return image;
        return withMetadata(image, use.hasPart('metadata') ? use.part('metadata') : toBytes(metadataText(use.device, (value) => use.build(value))));
      },
      decompose: (image, use) => takeMetadata(image, use, 'metadata', 'version'),
    },
    'append-gl-metadata': {
      compose: (image, use) => (use.device.boards.length === 0 ? image : withMetadata(image, toBytes(glMetadataText(use.device, (value) => use.build(value))))),
      decompose: (image, use) => takeMetadata(image, use, 'gl-metadata', 'version'),
    },
    'append-teltonika-metadata': {
      compose: (image, use) => withMetadata(image, toBytes(teltonikaMetadataText(use.device, (value) => use.build(value)))),
      decompose: (image, use) => takeMetadata(image, use, 'teltonika-metadata', 'version_wrt'),
    },
    'append-netis-n6-metadata': {
      compose: (image, use) => withMetadata(image, toBytes(netisMetadataText(use.device, (value) => use.build(value)))),
      decompose: (image, use) => takeMetadata(image, use, 'netis-metadata', 'version'),
    },
    'append-dlink-covr-metadata': {
      compose: (image, use) => {
        const sum = hexBytes(digest('md5', [image]));
        return withMetadata(image, toBytes(`{"supported_devices": "${use.words.join(' ')}", "firmware": "${sum}"}\n`));
      },
      decompose: (image, use) => takeMetadata(image, use, 'dlink-metadata', 'version'),
    },
  },
};

/** The image, and behind it this JSON. */
function withMetadata(image: Uint8Array, json: Uint8Array): Uint8Array {
  const data = joined([new Uint8Array(metadataHeaderLength), json]);
  return joined([image, build({ image, chunks: [{ type: typeMetadata, data }] })]);
}

/** The image in front of its chunks. What the metadata tells of the build stands below `versionKey`. */
async function takeMetadata(image: Uint8Array, use: DecomposeUse, name: string, versionKey: string): Promise<Uint8Array> {
  const found = locate(image);
  const metadata = found?.chunks.findLast(({ type }) => type === typeMetadata);
  if (metadata !== undefined) {
    const json = image.subarray(metadata.start + metadataHeaderLength, metadata.trailerOffset);
    await use.found(name, json);
    for (const [value, text] of Object.entries(toldBy(json, versionKey))) use.tells(value as BuildValue, text);
  }
  return found === undefined ? image : image.subarray(0, found.start);
}

/** What the metadata says of the build. Who converts an image whose metadata is damaged has accepted that: it says nothing then. */
function toldBy(json: Uint8Array, versionKey: string): Partial<Record<BuildValue, string>> {
  let version: unknown;
  try {
    version = (JSON.parse(new TextDecoder().decode(json)) as Record<string, unknown> | null)?.[versionKey];
  } catch {
    return {};
  }
  if (typeof version !== 'object' || version === null) return {};
  const names: readonly string[] = ['dist', 'version', 'revision'];
  return Object.fromEntries(Object.entries(version).filter(([name, text]) => names.includes(name) && typeof text === 'string'));
}

type BuildValues = (value: BuildValue) => string;

const quoted = (text: string): string => `"${text.replaceAll('"', '\\"')}"`;
const list = (names: readonly string[]): string => names.map(quoted).join(',');

/** How all of OpenWrt's metadata begins; `named` are the devices that it names. */
function metadataHead({ boards, compatVersion, compatMessage }: RecipeDevice, named: readonly string[]): { readonly head: string; readonly devices: string } {
  const message = compatMessage === undefined ? '' : `"compat_message": ${quoted(compatMessage)},`;
  const reason = compatMessage === undefined ? 'Please check documentation ...' : `Reason: ${compatMessage}`;
  const refusal = `Image version mismatch: image ${compatVersion}, device 1.0. Please wipe config during upgrade (force required) or reinstall.`;
  const legacy =
    compatVersion === '1.0' ? '' : `"new_supported_devices": [${list(named)}], "supported_devices": [${quoted(`${boards.join(' ')} - ${refusal} ${reason}`)}],`;
  const plain = compatVersion === '1.0' ? `"supported_devices":[${list(named)}],` : '';
  return { head: `"metadata_version": "1.1", "compat_version": ${quoted(compatVersion)},`, devices: `${message} ${legacy} ${plain}` };
}

function versionText({ target, boardName, profile }: RecipeDevice, build: BuildValues): string {
  return [
    `"dist": ${quoted(build('dist'))}, "version": ${quoted(build('version'))}, "revision": ${quoted(build('revision'))},`,
    `"target": ${quoted(target)}, "board": ${quoted(boardName ?? profile)}`,
  ].join(' ');
}

/**
 * The JSON that OpenWrt appends to the images of a device, with the blanks that make leaves in it and the line end of `echo`.
 * Written down in include/image-commands.mk (metadata_json).
 */
export function metadataText(device: RecipeDevice, build: BuildValues): string {
  const { head, devices } = metadataHead(device, device.boards);
  return `{  ${head} ${devices} "version": { ${versionText(device, build)} } }\n`;
}

/** For GL.iNet's own upgrade: the time of the build too, as it is in China (metadata_gl_json). */
function glMetadataText(device: RecipeDevice, build: BuildValues): string {
  const { head, devices } = metadataHead(device, device.boards);
  const local = new Date((Number(build('epoch')) + 8 * 3600) * 1000);
  const date = local.toISOString().slice(0, 19).replaceAll(/[-T:]/g, '');
  return `{  ${head} ${devices} "version": { "release": ${quoted(build('version'))}, "date": "${date}", ${versionText(device, build)} } }\n`;
}

/** For Teltonika's own upgrade, which knows its devices by other names (append-teltonika-metadata). */
function teltonikaMetadataText(device: RecipeDevice, build: BuildValues): string {
  const words = (name: string): string[] => (device.variables[name] ?? '').split(/\s+/).filter((word) => word !== '');
  const { head, devices } = metadataHead(device, words('SUPPORTED_TELTONIKA_DEVICES'));
  const any = ['device_code', 'hwver', 'batch', 'serial'].map((key) => `"${key}": [".*"],`).join(' ');
  const modifications = words('SUPPORTED_TELTONIKA_HW_MODS').map((name, index) => `"mod${index + 1}": "${name}"`);
  const release = quoted(`${build('dist')}-${build('version')}-${build('revision')}`);
  const ends = `"version_wrt": { ${versionText(device, build)} }, "hw_support": {}, "hw_mods": {${modifications.join(',')}} }\n`;
  return `{ ${head} "version":${release}, ${any} ${devices} ${ends}`;
}

/** For the upgrade page of the netis N6 (target/linux/ramips/image/mt7621.mk). */
function netisMetadataText({ target }: RecipeDevice, build: BuildValues): string {
  const version = ['dist', 'version', 'revision'].map((name) => `"${name}": ${quoted(build(name as BuildValue))},`).join(' ');
  return `{ "up_model": "Netis-N6R", "supported_devices": ["mt7621-rfb-ax-nand"], "version": { ${version} "board": ${quoted(target.replace(/\/.*/, ''))} } }`;
}

/** Why a trailer whose magic number stands there cannot be used. */
function unusableTrailer(bytes: Uint8Array, offset: number): LocalFinding[] {
  const available = bytes.length - offset;
  if (available < trailer.length) {
    const place = { offset, length: available };
    return [finding('header-truncated', place, { what: 'the metadata trailer', length: trailer.length, available })];
  }
  const { size } = trailer.read(bytes, offset);
  const at = { offset: offset + trailer.at.size.offset, length: 4 };
  if (size > offset + trailer.length) return [lengthBeyondEnd('the metadata chunk', at, size, offset + trailer.length, bytes.length)];
  const expected = `${trailer.length + 1} to ${largestChunk + trailer.length + metadataHeaderLength}`;
  return [finding('structure-invalid', at, { what: 'size of the metadata chunk', expected, actual: size })];
}
