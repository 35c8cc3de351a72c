/**
 * gzip: a header, a deflate stream, its CRC-32 and its length, all little endian; then perhaps more members of the
 * same kind, whose data belongs behind that of the first. What disk images and some vendors' images come in, and
 * one of the ways in which kernels are packed.
 *
 * CRC and length are those of the unpacked data: they prove what is inside, not the bytes of the file. The header
 * may have a CRC of its own, of which 16 bits are stored.
 *
 * Layout: RFC 1952. Writers: gzip, pigz, zopfli.
 */
import { joined } from '../src/core/bytes.ts';
import { type CodedCheck, compare, crc32 } from '../src/core/checksums.ts';
import { finding, type LocalFinding } from '../src/core/findings.ts';
import { type Format, type Reading, region, truncatedHeader } from '../src/core/format.ts';
import { hexBytes, latin1 } from '../src/core/hex.ts';
import type { Budget } from '../src/core/limits.ts';
import { visible } from '../src/core/path.ts';
import { hex8, hex16, hex32, struct, u8, u32 } from '../src/core/struct.ts';
import type { Field, Range, Region } from '../src/core/types.ts';
import { inflateRaw } from '../src/core/unpack.ts';

const header = struct('little', {
  magic: hex16, // ID1, ID2
  method: u8, // CM
  flags: hex8, // FLG
  time: u32, // MTIME
  effort: u8, // XFL
  system: u8, // OS
});
const trailer = struct('little', {
  checksum: hex32, // CRC32
  length: u32, // ISIZE
});

const deflate = 8;
const flag = { text: 0x01, headerChecksum: 0x02, extra: 0x04, name: 0x08, comment: 0x10, reserved: 0xe0 } as const;
const efforts: ReadonlyMap<number, string> = new Map([
  [0, 'usual'],
  [2, 'best compression'],
  [4, 'fastest'],
]);
// biome-ignore format: by number
const systems: readonly string[] = ['FAT', 'Amiga', 'VMS', 'Unix', 'VM/CMS', 'Atari TOS', 'HPFS', 'Macintosh', 'Z-System', 'CP/M', 'TOPS-20', 'NTFS', 'QDOS', 'Acorn RISCOS'];
const systemUnknown = 255;

interface Header {
  readonly fields: Field[];
  readonly findings: LocalFinding[];
  readonly checks: CodedCheck[];
  readonly name: string | undefined;
  /** Where the deflate stream begins. */
  readonly end: number;
}

function begins(bytes: Uint8Array, offset: number): boolean {
  return bytes[offset] === 0x1f && bytes[offset + 1] === 0x8b && bytes[offset + 2] === deflate;
}

/** A header that no other bytes have by chance. */
function plausible(bytes: Uint8Array, offset: number): boolean {
  if (!begins(bytes, offset) || offset + header.length > bytes.length) return false;
  const { flags, effort, system } = header.read(bytes, offset);
  return (flags & flag.reserved) === 0 && efforts.has(effort) && (system === systemUnknown || system < systems.length);
}

/** Reads a header with all its optional parts; the finding if it is cut off. */
function readHeader(bytes: Uint8Array, offset: number, prefix: string): Header | LocalFinding {
  const cut = (length: number): LocalFinding =>
    finding('header-truncated', { offset, length: bytes.length - offset }, { what: 'a gzip header', length, available: bytes.length - offset });
  if (offset + header.length > bytes.length) return cut(header.length);
  const values = header.read(bytes, offset);
  const { flags } = values;
  const set = Object.entries(flag).flatMap(([name, bit]) => ((flags & bit) === 0 ? [] : [name]));
  const meanings = {
    flags: set.length === 0 ? undefined : set.join(', '),
    time: values.time === 0 ? 'none' : new Date(values.time * 1000).toISOString().replace('.000', ''),
    effort: efforts.get(values.effort) ?? 'not defined',
    system: values.system === systemUnknown ? 'unknown' : (systems[values.system] ?? 'not defined'),
  };
  const fields = header.fields(values, meanings, offset);
  const findings: LocalFinding[] = [];
  const checks: CodedCheck[] = [];
  if ((flags & flag.reserved) !== 0) {
    const at = { offset: offset + header.at.flags.offset, length: 1 };
    findings.push(finding('structure-invalid', at, { what: 'gzip flags', expected: 'no bit of e0', actual: `0x${flags.toString(16)}` }));
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let position = offset + header.length;
  if ((flags & flag.extra) !== 0) {
    if (position + 2 > bytes.length) return cut(position + 2 - offset);
    const length = view.getUint16(position, true);
    const end = position + 2 + length;
    if (end > bytes.length) return cut(end - offset);
    fields.push({ name: 'extraLength', offset: position, length: 2, value: length });
    fields.push({ name: 'extra', offset: position + 2, length, value: hexBytes(bytes.subarray(position + 2, end)) });
    position = end;
  }
  const texts: { name?: string; comment?: string } = {};
  for (const key of ['name', 'comment'] as const) {
    if ((flags & flag[key]) === 0) continue;
    const end = bytes.indexOf(0, position);
    if (end < 0) return cut(bytes.length - offset + 1);
    const value = visible(latin1(bytes.subarray(position, end)));
    fields.push({ name: key, offset: position, length: end + 1 - position, value });
    texts[key] = value;
    position = end + 1;
  }
  if ((flags & flag.headerChecksum) !== 0) {
    if (position + 2 > bytes.length) return cut(position + 2 - offset);
    const stored = view.getUint16(position, true);
    const at = { offset: position, length: 2 };
    fields.push({ name: 'headerChecksum', ...at, value: stored });
    const { flags: flagsAt } = header.at;
    checks.push(
      compare({
        code: 'header-checksum-mismatch',
        name: `${prefix}header-crc`,
        algorithm: 'crc32, lower half',
        stored,
        computed: crc32(bytes.subarray(offset, position)) & 0xffff,
        at,
        // Without its bit in the flags there would be no checksum to notice anything.
        covers: [
          { offset, length: flagsAt.offset },
          { offset: offset + flagsAt.offset + flagsAt.length, length: position - offset - flagsAt.offset - flagsAt.length },
        ],
        digits: 4,
      }),
    );
    position += 2;
  }
  return { fields: fields.map((field) => ({ ...field, name: `${prefix}${field.name}` })), findings, checks, name: texts.name, end: position };
}

interface Members {
  readonly fields: Field[];
  readonly regions: Region[];
  readonly checks: CodedCheck[];
  readonly findings: LocalFinding[];
  readonly streams: Range[];
  readonly unpacked: Uint8Array[];
  readonly name: string | undefined;
  readonly end: number;
  /** The streams were not unpacked, so nobody knows where they end. */
  readonly open: boolean;
}

/** One member after the other, up to the first bytes which are none or cannot be unpacked. */
function readMembers(bytes: Uint8Array, unpack: boolean, budget: Budget): Members {
  const fields: Field[] = [];
  const regions: Region[] = [];
  const checks: CodedCheck[] = [];
  const findings: LocalFinding[] = [];
  const streams: Range[] = [];
  const unpacked: Uint8Array[] = [];
  let name: string | undefined;
  let end = 0;
  const result = (open = false): Members => ({ fields, regions, checks, findings, streams, unpacked, name, end, open });
  for (let count = 0; count === 0 || plausible(bytes, end); count += 1) {
    if (count >= budget.limits.members) {
      findings.push(finding('entries-too-many', { offset: end, length: bytes.length - end }, { what: 'gzip members', limit: budget.limits.members }));
      regions.push(region('unknown', 'not read', end, bytes.length - end));
      end = bytes.length;
      return result();
    }
    const prefix = count === 0 ? '' : `members[${count}].`;
    const read = readHeader(bytes, end, prefix);
    if ('code' in read) {
      findings.push(read);
      regions.push(region('header', 'gzip header, cut off', end, bytes.length - end));
      end = bytes.length;
      return result();
    }
    fields.push(...read.fields);
    checks.push(...read.checks);
    findings.push(...read.findings);
    name ??= read.name;
    regions.push(region('header', 'gzip header', end, read.end - end));
    const rest = { offset: read.end, length: bytes.length - read.end };
    if (!unpack) {
      regions.push(region('payload', 'compressed data', rest.offset, rest.length));
      end = bytes.length;
      return result(true);
    }
    const stream = inflateRaw(bytes.subarray(rest.offset), budget);
    if (!stream.ok) {
      regions.push(region('payload', 'compressed data', rest.offset, rest.length));
      end = bytes.length;
      if (stream.failure === 'limit') findings.push(finding('unpacking-stopped', rest, { reason: `out of the gzip stream ${stream.reason}` }));
      else findings.push(finding('stream-corrupt', rest, { what: 'gzip', reason: stream.reason }));
      return result();
    }
    const data = { offset: rest.offset, length: stream.consumed };
    const trailerOffset = data.offset + data.length;
    const available = bytes.length - trailerOffset;
    streams.push(data);
    unpacked.push(stream.bytes);
    regions.push(region('payload', 'compressed data', data.offset, data.length));
    if (available < trailer.length) {
      const cut = { what: 'the checksum and length behind a gzip stream', length: trailer.length, available };
      findings.push(finding('header-truncated', { offset: trailerOffset, length: available }, cut));
      regions.push(region('header', `checksum and length, ${available} of ${trailer.length} bytes`, trailerOffset, available));
      end = bytes.length;
      return result();
    }
    const { checksum, length } = trailer.read(bytes, trailerOffset);
    fields.push(...trailer.fields({ checksum, length }, {}, trailerOffset).map((field) => ({ ...field, name: `${prefix}unpacked.${field.name}` })));
    regions.push(region('header', 'checksum and length', trailerOffset, trailer.length));
    checks.push(
      compare({
        code: 'data-checksum-mismatch',
        name: `${prefix}crc of the unpacked data`,
        algorithm: 'crc32',
        stored: checksum,
        computed: crc32(stream.bytes),
        at: { offset: trailerOffset + trailer.at.checksum.offset, length: trailer.at.checksum.length },
        covers: [],
      }),
    );
    if (length !== stream.bytes.length % 2 ** 32) {
      const at = { offset: trailerOffset + trailer.at.length.offset, length: trailer.at.length.length };
      findings.push(finding('stream-length-mismatch', at, { what: 'gzip', expected: length, actual: stream.bytes.length }));
    }
    end = trailerOffset + trailer.length;
  }
  return result();
}

export const gzip: Format = {
  id: 'gzip',
  title: 'gzip',
  summary: 'A compressed stream with a checksum of what is in it; what disk images come in, and how some kernels are packed.',
  role: 'compressed',
  kind: 'archive',
  references: [{ title: 'RFC 1952, GZIP file format', url: 'https://www.rfc-editor.org/rfc/rfc1952' }],
  limitations: [],

  detect(bytes) {
    if (plausible(bytes, 0)) return 'yes';
    return begins(bytes, 0) ? 'maybe' : 'no';
  },

  parse(bytes, { unpack, budget }): Reading {
    const { streams, unpacked, name, end, open, ...members } = readMembers(bytes, unpack, budget);
    const [cut] = members.findings;
    if (bytes.length < header.length && cut !== undefined) return truncatedHeader('gzip', header.length, cut, bytes.length);
    const label = name ?? 'unpacked data';
    return {
      ...members,
      length: end,
      open,
      summary: `gzip${name === undefined ? '' : ` of "${name}"`}`,
      identities: [],
      payloads: streams.length === 0 ? [] : [{ label, ranges: streams, unpacked: { bytes: joined(unpacked), by: 'gzip' } }],
    };
  },
};
