/**
 * The records in which TP-Link's SafeLoader keeps what an image is and for which devices: `soft-version`,
 * `support-list` and `extra-para`. A factory image carries them as partitions; the sysupgrade images of some
 * devices carry them as they will lie in flash.
 *
 * A length and a zero (32 bits each, big endian), and the data. In a factory image most devices want one more
 * byte behind it, 00 or FF. No checksum of their own.
 */
import { finding, type LocalFinding, lengthBeyondEnd } from './findings.ts';
import { fromHex, hexBytes, latin1 } from './hex.ts';
import { struct, u8, u32 } from './struct.ts';
import type { Field, Identity, Range } from './types.ts';

export const recordHeader = struct('big', { length: u32, zero: u32 });

const versionTable = {
  pad: u8, // FF, which no text has
  major: u8,
  minor: u8,
  patch: u8,
  yearHigh: u8, // this and the next three are binary coded decimal
  yearLow: u8,
  month: u8,
  day: u8,
  revision: u32,
};
const softVersion = struct('big', versionTable);
const softVersionWithLevel = struct('big', { ...versionTable, compatLevel: u32 });

const supportListStart = 'SupportList:';
const softVersionStart = 'soft_ver:';
/** The flash keeps at most 64 KiB for a record. */
const largestRecord = 1024 * 1024;

export type RecordName = 'soft-version' | 'support-list' | 'extra-para';

/** What the data of a record says. */
export interface RecordFacts {
  readonly fields: readonly Field[];
  readonly identities: readonly Identity[];
  readonly findings: readonly LocalFinding[];
}

const contentOf = (bytes: Uint8Array, { offset, length }: Range): Uint8Array => bytes.subarray(offset, offset + length);

/** Whether the data is a numeric version with a date that exists. */
function isNumericVersion(data: Uint8Array): boolean {
  if (data.length < softVersion.length || data[0] !== 0xff) return false;
  return /^20\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])$/.test(hexBytes(data.subarray(softVersion.at.yearHigh.offset, softVersion.at.revision.offset)));
}

/** Which record begins at the first byte, if that is beyond doubt. */
export function recogniseRecord(bytes: Uint8Array): RecordName | undefined {
  if (bytes.length < recordHeader.length) return undefined;
  const { length, zero } = recordHeader.read(bytes);
  if (zero !== 0 || length > largestRecord) return undefined;
  const data = bytes.subarray(recordHeader.length, recordHeader.length + Math.min(length, 32));
  const text = latin1(data);
  if (text.startsWith(supportListStart)) return 'support-list';
  const numericLength = length === softVersion.length || length === softVersionWithLevel.length;
  return text.startsWith(softVersionStart) || (numericLength && isNumericVersion(data)) ? 'soft-version' : undefined;
}

function readSoftVersion(bytes: Uint8Array, data: Range): Field[] {
  const content = contentOf(bytes, data);
  if (content.every((byte) => byte < 0x80)) return [{ name: 'softVersion', ...data, value: latin1(content).replaceAll('\0', '').trimEnd() }];
  if (content.length < softVersion.length) return [{ name: 'softVersion', ...data, value: hexBytes(content) }];
  const { at } = softVersionWithLevel;
  const { major, minor, patch, revision } = softVersion.read(content);
  const place = (field: Range, length = field.length): Range => ({ offset: data.offset + field.offset, length });
  const [year, month, day] = [content.subarray(4, 6), content.subarray(6, 7), content.subarray(7, 8)].map(hexBytes);
  const fields: Field[] = [
    { name: 'softVersion', ...place(at.major, 3), value: `${major}.${minor}.${patch}` },
    { name: 'softVersionDate', ...place(at.yearHigh, 4), value: `${year}-${month}-${day}` },
    { name: 'softVersionRevision', ...place(at.revision), value: revision },
  ];
  if (content.length >= softVersionWithLevel.length) {
    fields.push({ name: 'softVersionCompatLevel', ...place(at.compatLevel), value: softVersionWithLevel.read(content).compatLevel });
  }
  return fields;
}

function readSupportList(bytes: Uint8Array, data: Range, entryLimit: number): RecordFacts {
  const identities: Identity[] = [];
  const findings: LocalFinding[] = [];
  for (const match of latin1(contentOf(bytes, data)).matchAll(/[\x20-\x7e]+/g)) {
    if (match[0].startsWith(supportListStart)) continue;
    if (identities.length === entryLimit) {
      findings.push(finding('entries-too-many', data, { what: 'lines in the support list', limit: entryLimit }));
      break;
    }
    identities.push({ source: 'tplink-safeloader.supportList', value: match[0], offset: data.offset + match.index });
  }
  return { fields: [{ name: 'supportList', ...data, value: identities.map(({ value }) => value) }], identities, findings };
}

/** Reads the record at `place`, which may be longer than it. */
export function readRecord(bytes: Uint8Array, place: Range, name: RecordName, entryLimit: number): RecordFacts {
  const failed = (problem: LocalFinding): RecordFacts => ({ fields: [], identities: [], findings: [problem] });
  const what = `the record "${name}"`;
  if (place.length < recordHeader.length) {
    return failed(finding('header-truncated', place, { what, length: recordHeader.length, available: place.length }));
  }
  const { length } = recordHeader.read(bytes, place.offset);
  const lengthField = { offset: place.offset, length: 4 };
  const available = place.length - recordHeader.length;
  const data = { offset: place.offset + recordHeader.length, length: Math.min(length, available) };
  if (data.length > largestRecord) {
    return failed(finding('structure-invalid', lengthField, { what: `length of ${what}`, expected: `at most ${largestRecord}`, actual: length }));
  }
  const cut = length > available ? [lengthBeyondEnd(what, lengthField, length, available, place.offset + place.length)] : [];
  if (name === 'support-list') {
    const facts = readSupportList(bytes, data, entryLimit);
    return { ...facts, findings: [...cut, ...facts.findings] };
  }
  const fields = name === 'soft-version' ? readSoftVersion(bytes, data) : [{ name: 'extraPara', ...data, value: hexBytes(contentOf(bytes, data)) }];
  return { fields, identities: [], findings: cut };
}

/** The numeric `soft-version` at `place`; `undefined` where the version is a text or none. `time`: the beginning of its day, in seconds. */
export function numericVersion(bytes: Uint8Array, place: Range): { readonly time: number; readonly revision: number } | undefined {
  if (recogniseRecord(contentOf(bytes, place)) !== 'soft-version') return undefined;
  const { fields } = readRecord(bytes, place, 'soft-version', 0);
  const value = (name: string) => fields.find((field) => field.name === name)?.value;
  const [date, revision] = [value('softVersionDate'), value('softVersionRevision')];
  return typeof date === 'string' && typeof revision === 'number' ? { time: Date.parse(date) / 1000, revision } : undefined;
}

/** A record; `trail` is the byte behind it in a factory image, which depends on the device. */
export function safeloaderRecord(data: Uint8Array, trail?: number): Uint8Array {
  return new Uint8Array([...recordHeader.write({ length: data.length, zero: 0 }), ...data, ...(trail === undefined ? [] : [trail])]);
}

/** The data of a numeric `soft-version`; `time` in seconds, as in SOURCE_DATE_EPOCH. */
export function safeloaderVersion(version: readonly [number, number, number], time: number, revision: number, compatLevel = 0): Uint8Array {
  const date = fromHex(new Date(time * 1000).toISOString().slice(0, 10).replaceAll('-', ''));
  const [yearHigh = 0, yearLow = 0, month = 0, day = 0] = date;
  const [major, minor, patch] = version;
  const values = { pad: 0xff, major, minor, patch, yearHigh, yearLow, month, day, revision };
  return compatLevel === 0 ? softVersion.write(values) : softVersionWithLevel.write({ ...values, compatLevel });
}
