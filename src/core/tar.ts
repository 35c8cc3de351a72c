/**
 * tar: blocks of 512 bytes. Each member is a header and its data, filled up with zeros to a whole block; two
 * blocks of zeros end the archive, which GNU tar fills up to a multiple of 10240 bytes. Numbers are octal text.
 *
 * The checksum of a header is the sum of its 512 bytes with its own field counted as blanks. Nothing covers
 * the data.
 *
 * Layout: POSIX.1-2017 pax ("ustar Interchange Format", "pax Extended Header"), GNU tar src/tar.h.
 */
import { type CodedCheck, compare } from './checksums.ts';
import { OwimgError } from './errors.ts';
import { finding, type LocalFinding, lengthBeyondEnd } from './findings.ts';
import { region } from './format.ts';
import { latin1, printable, toBytes } from './hex.ts';
import type { Budget } from './limits.ts';
import { runLength } from './padding.ts';
import { visible } from './path.ts';
import { rawText, struct } from './struct.ts';
import type { Field, Range, Region } from './types.ts';

const header = struct('big', {
  name: rawText(100),
  mode: rawText(8),
  uid: rawText(8),
  gid: rawText(8),
  length: rawText(12), // size
  time: rawText(12), // mtime
  checksum: rawText(8), // chksum
  type: rawText(1), // typeflag
  linkName: rawText(100),
  magic: rawText(8), // magic, version
  user: rawText(32), // uname
  group: rawText(32), // gname
  deviceMajor: rawText(8),
  deviceMinor: rawText(8),
  prefix: rawText(155),
  rest: rawText(12),
});

const blockLength = header.length;
/** What GNU tar writes at once (its blocking factor is 20); the last of these is filled up with zeros. */
const recordLength = 20 * blockLength;
const posixMagic = 'ustar\x0000';
const gnuMagic = 'ustar  \0';

const types: Readonly<Record<string, string>> = {
  '\0': 'file',
  '0': 'file',
  '1': 'hard link',
  '2': 'symbolic link',
  '3': 'character device',
  '4': 'block device',
  '5': 'directory',
  '6': 'pipe',
  '7': 'contiguous file',
  K: 'long link name (GNU)',
  L: 'long name (GNU)',
  S: 'sparse file (GNU)',
  V: 'volume label (GNU)',
  g: 'pax records for all members',
  x: 'pax records',
};
/** These carry names and numbers of the member behind them. */
const aboutTheNext = new Set(['K', 'L', 'g', 'x']);
const withoutData = new Set(['1', '2', '3', '4', '5', '6']);
/** Extended records are text of a few dozen bytes. */
const longestRecords = 64 * 1024;

export interface TarMember {
  /** With the directory in front, long names resolved. */
  readonly name: string;
  readonly kind: 'file' | 'directory' | 'link' | 'device';
  readonly linkName: string;
  readonly mode: number;
  readonly time: number;
  readonly headerOffset: number;
  /** The bytes of its data that are there. */
  readonly data: Range;
  /** All of its data is there. */
  readonly whole: boolean;
}

export interface TarReading {
  readonly length: number;
  readonly members: readonly TarMember[];
  readonly fields: readonly Field[];
  readonly regions: readonly Region[];
  readonly checks: readonly CodedCheck[];
  readonly findings: readonly LocalFinding[];
}

/** Where the name of a member stands. */
export const nameAt = ({ headerOffset }: TarMember): Range => ({ offset: headerOffset, length: header.at.name.length });

/** Where the name of what a member is a link to stands. */
export const linkNameAt = ({ headerOffset }: TarMember): Range => ({ offset: headerOffset + header.at.linkName.offset, length: header.at.linkName.length });

/** A number of a header: octal text, or (GNU) binary behind a byte of 80. `undefined` if it is neither. */
function numberOf(raw: Uint8Array): number | undefined {
  if (raw[0] === 0x80) return raw.subarray(1).reduce((value, byte) => value * 256 + byte, 0);
  const octal = /^ *([0-7]*)[ \0]*$/.exec(latin1(raw));
  return octal === null ? undefined : Number.parseInt(`0${octal[1]}`, 8);
}

function checksumOf(block: Uint8Array): number {
  const { offset, length } = header.at.checksum;
  let sum = length * 0x20;
  for (let index = 0; index < blockLength; index += 1) if (index < offset || index >= offset + length) sum += block[index] as number;
  return sum;
}

const storedChecksum = (block: Uint8Array): number | undefined => {
  const { offset, length } = header.at.checksum;
  return numberOf(block.subarray(offset, offset + length));
};

const proven = (block: Uint8Array): boolean => block.length === blockLength && block[0] !== 0 && storedChecksum(block) === checksumOf(block);
const hasMagic = (block: Uint8Array): boolean => latin1(block.subarray(257, 262)) === 'ustar';

/** Whether a tar begins here: proven by its first header's checksum, or plausible by its magic number. */
export function detectTar(bytes: Uint8Array): 'no' | 'maybe' | 'yes' {
  const block = bytes.subarray(0, blockLength);
  if (proven(block)) return 'yes';
  return hasMagic(block) ? 'maybe' : 'no';
}

/** The name as POSIX splits it in two; GNU uses the second part for something else. */
function nameOf({ name, magic, prefix }: { name: Uint8Array; magic: Uint8Array; prefix: Uint8Array }): string {
  const directory = latin1(magic) === posixMagic ? printable(prefix) : '';
  return directory === '' ? printable(name) : `${directory}/${printable(name)}`;
}

const upgradeDirectory = /^sysupgrade-([^/]+)\//;

/** The board in a member's name `sysupgrade-BOARD/...`; `undefined` in any other. */
export const boardOf = (name: string): string | undefined => upgradeDirectory.exec(name)?.[1];

/** Whether one of the first few members lies in a directory `sysupgrade-BOARD`: what tells OpenWrt's archive from all others. */
export function holdsUpgrade(bytes: Uint8Array): boolean {
  let offset = 0;
  for (let count = 0; count < 8 && offset + blockLength <= bytes.length; count += 1) {
    const block = bytes.subarray(offset, offset + blockLength);
    if (!proven(block) && !hasMagic(block)) return false;
    const values = header.read(block);
    if (boardOf(nameOf(values)) !== undefined) return true;
    const length = withoutData.has(latin1(values.type)) ? 0 : (numberOf(values.length) ?? 0);
    offset += blockLength + Math.ceil(length / blockLength) * blockLength;
  }
  return false;
}

/** pax records: `LENGTH KEY=VALUE\n`, one after the other. */
function paxRecords(bytes: Uint8Array): Map<string, string> {
  const records = new Map<string, string>();
  const decoder = new TextDecoder();
  let offset = 0;
  while (offset < bytes.length) {
    const [text, digits] = /^([0-9]{1,6}) /.exec(latin1(bytes.subarray(offset, offset + 7))) ?? [];
    const length = Number(digits ?? 0);
    if (text === undefined || length <= text.length || offset + length > bytes.length) break;
    const record = decoder.decode(bytes.subarray(offset + text.length, offset + length - 1));
    const equals = record.indexOf('=');
    if (equals > 0) records.set(record.slice(0, equals), record.slice(equals + 1));
    offset += length;
  }
  return records;
}

const numbers = ['mode', 'uid', 'gid', 'length', 'time', 'checksum', 'deviceMajor', 'deviceMinor'] as const;

/** The header's fields, numbers as such. */
function fieldsOf(values: ReturnType<typeof header.read>, index: number, offset: number): Field[] {
  const time = numberOf(values.time);
  const meanings = {
    type: types[latin1(values.type)] ?? 'not defined',
    magic: { [posixMagic]: 'POSIX', [gnuMagic]: 'GNU' }[latin1(values.magic)] ?? 'not defined',
    time: time === undefined || time > 0xffffffff ? undefined : new Date(time * 1000).toISOString().replace('.000', ''),
  };
  return header.fields(values, meanings, offset).map((field) => {
    const name = `members[${index}].${field.name}`;
    const number = (numbers as readonly string[]).includes(field.name) ? numberOf(values[field.name as (typeof numbers)[number]]) : undefined;
    if (number === undefined) return { ...field, name };
    return { ...field, name, value: field.name === 'mode' ? `0${number.toString(8)}` : number };
  });
}

/** A header's checksum. Leading zeros and what ends the number may be written in several ways, so they are not covered. */
function checkOf(block: Uint8Array, name: string, offset: number): CodedCheck {
  const { checksum } = header.at;
  const text = latin1(block.subarray(checksum.offset, checksum.offset + checksum.length));
  const [, leading = '', digits = ''] = /^([ 0]*)([0-7]*)/.exec(text) ?? [];
  const at = { offset: offset + checksum.offset + leading.length, length: digits.length };
  const end = checksum.offset + checksum.length;
  return compare({
    code: 'header-checksum-mismatch',
    name: `header of ${name}`,
    algorithm: 'tar-sum',
    stored: storedChecksum(block) ?? toBytes(text),
    computed: checksumOf(block),
    at,
    covers: [
      { offset, length: checksum.offset },
      { offset: offset + end, length: blockLength - end },
    ],
    digits: 4,
  });
}

/** Reads an archive to its end; `detectTar` has found its first header. */
export function readTar(bytes: Uint8Array, budget: Budget): TarReading {
  const members: TarMember[] = [];
  const fields: Field[] = [];
  const regions: Region[] = [];
  const checks: CodedCheck[] = [];
  const findings: LocalFinding[] = [];
  const truncated = (what: string, length: number, offset: number): void => {
    const available = bytes.length - offset;
    findings.push(finding('header-truncated', { offset, length: available }, { what, length, available }));
  };
  let next: { name?: string; linkName?: string; length?: number } = {};
  let offset = 0;
  let count = 0;
  for (; ; count += 1) {
    const block = bytes.subarray(offset, offset + blockLength);
    if (block.length < blockLength) {
      if (block.length === 0 || runLength(block) === block.length) truncated('the blocks of zeros that end a tar', 2 * blockLength, offset);
      else truncated('a tar header', blockLength, offset);
      if (block.length > 0) regions.push(region('header', `header, ${block.length} of ${blockLength} bytes`, offset, block.length));
      offset += block.length;
      break;
    }
    if (block[0] === 0 && runLength(block) === blockLength) {
      const recordEnd = Math.ceil((offset + 2 * blockLength) / recordLength) * recordLength;
      const zeros = runLength(bytes.subarray(offset, recordEnd));
      if (zeros < 2 * blockLength && offset + zeros === bytes.length) truncated('the blocks of zeros that end a tar', 2 * blockLength, offset);
      const length = offset + zeros === bytes.length ? zeros : zeros - (zeros % blockLength);
      regions.push(region('padding', 'end of the archive', offset, length));
      offset += length;
      break;
    }
    if (!proven(block) && !hasMagic(block)) {
      const args = { what: 'block behind a tar member', expected: 'a header or zeros', actual: `"${printable(block.subarray(0, 16))}"` };
      findings.push(finding('structure-invalid', { offset, length: blockLength }, args));
      break;
    }
    if (count >= budget.limits.members) {
      findings.push(finding('entries-too-many', { offset, length: bytes.length - offset }, { what: 'tar members', limit: budget.limits.members }));
      regions.push(region('unknown', 'not read', offset, bytes.length - offset));
      offset = bytes.length;
      break;
    }
    const values = header.read(block);
    const type = latin1(values.type);
    const name = visible(next.name ?? nameOf(values));
    fields.push(...fieldsOf(values, count, offset));
    checks.push(checkOf(block, name, offset));
    for (const key of numbers) {
      if (key === 'checksum' || numberOf(values[key]) !== undefined) continue;
      const at = header.at[key];
      const args = { what: `${key} of the tar member "${name}"`, expected: 'an octal number', actual: `"${printable(values[key])}"` };
      findings.push(finding('structure-invalid', { offset: offset + at.offset, length: at.length }, args));
    }
    const dataOffset = offset + blockLength;
    const claimed = withoutData.has(type) ? 0 : (next.length ?? numberOf(values.length) ?? 0);
    const available = bytes.length - dataOffset;
    const length = Math.min(claimed, available);
    if (claimed > available) {
      const at = { offset: offset + header.at.length.offset, length: header.at.length.length };
      findings.push(lengthBeyondEnd(`the tar member "${name}"`, at, claimed, available, bytes.length));
    }
    const data = bytes.subarray(dataOffset, dataOffset + length);
    regions.push(region('header', `header of ${name}`, offset, blockLength));
    if (length > 0) regions.push(region(aboutTheNext.has(type) ? 'header' : 'payload', name, dataOffset, length));
    const padding = Math.min((blockLength - (length % blockLength)) % blockLength, available - length);
    if (padding > 0) regions.push(region('padding', 'to a multiple of 512', dataOffset + length, padding));
    if (aboutTheNext.has(type)) {
      const text = latin1(data.subarray(0, longestRecords)).split('\0', 1)[0] ?? '';
      if (type === 'L') next = { ...next, name: text };
      else if (type === 'K') next = { ...next, linkName: text };
      else if (type === 'x') {
        const records = paxRecords(data.subarray(0, longestRecords));
        const [path, linkPath, size] = [records.get('path'), records.get('linkpath'), records.get('size')];
        if (path !== undefined) next = { ...next, name: path };
        if (linkPath !== undefined) next = { ...next, linkName: linkPath };
        if (size !== undefined && /^\d{1,15}$/.test(size)) next = { ...next, length: Number(size) };
      }
    } else {
      members.push({
        name,
        kind: type === '5' ? 'directory' : type === '1' || type === '2' ? 'link' : withoutData.has(type) ? 'device' : 'file',
        linkName: visible(next.linkName ?? printable(values.linkName)),
        mode: numberOf(values.mode) ?? 0,
        time: numberOf(values.time) ?? 0,
        headerOffset: offset,
        data: { offset: dataOffset, length },
        whole: claimed <= available,
      });
      next = {};
    }
    offset = dataOffset + length + padding;
    if (claimed > available) break;
  }
  return { length: offset, members, fields, regions, checks, findings };
}

/** A member as `tar --format=gnu --owner=0 --group=0 --numeric-owner` writes it. */
export interface TarInput {
  /** A directory's ends with `/`. */
  readonly name: string;
  readonly mode: number;
  /** Seconds since 1970. */
  readonly time: number;
  readonly data: Uint8Array;
}

function octal(what: string, value: number, digits: number): Uint8Array {
  if (!Number.isInteger(value) || value < 0 || value >= 8 ** digits) {
    throw new OwimgError('bad-value', `Cannot write a tar header: ${what} is ${value}, expected 0 to ${8 ** digits - 1}`);
  }
  return toBytes(`${value.toString(8).padStart(digits, '0')}\0`);
}

/** The bytes that GNU tar gives for these members. */
export function writeTar(members: readonly TarInput[]): Uint8Array {
  const padded = (length: number): number => Math.ceil(length / blockLength) * blockLength;
  const used = members.reduce((sum, { data }) => sum + blockLength + padded(data.length), 2 * blockLength);
  const archive = new Uint8Array(Math.ceil(used / recordLength) * recordLength);
  const none = new Uint8Array(0);
  let offset = 0;
  for (const { name, mode, time, data } of members) {
    if (name.length >= header.at.name.length) {
      throw new OwimgError('bad-value', `Cannot write a tar member with the name "${name}": a header holds up to ${header.at.name.length - 1} characters`);
    }
    const block = header.write({
      name: toBytes(name),
      mode: octal('the mode', mode, 7),
      uid: octal('the owner', 0, 7),
      gid: octal('the group', 0, 7),
      length: octal('the length', data.length, 11),
      time: octal('the time', time, 11),
      checksum: none,
      type: toBytes(name.endsWith('/') ? '5' : '0'),
      linkName: none,
      magic: toBytes(gnuMagic),
      user: none,
      group: none,
      deviceMajor: none,
      deviceMinor: none,
      prefix: none,
      rest: none,
    });
    block.set(toBytes(`${checksumOf(block).toString(8).padStart(6, '0')}\0 `), header.at.checksum.offset);
    archive.set(block, offset);
    archive.set(data, offset + blockLength);
    offset += blockLength + padded(data.length);
  }
  return archive;
}
