/** Blocks that begin with a magic number and close a file, as vendors append them for their upgrades. */

import { lastIndexOf } from './bytes.ts';
import { type CodedCheck, cksum, compare } from './checksums.ts';
import { finding, type LocalFinding } from './findings.ts';
import { type Reading, region, truncatedHeader } from './format.ts';
import { fromHexText, hexBytes, printable } from './hex.ts';
import { paddingLength } from './padding.ts';
import type { Range, Region } from './types.ts';

/** How far back a block is looked for that is not at the end. */
const searched = 64 * 1024;

/**
 * Where the last block with this magic number begins, if it closes the bytes: nothing or nothing but filler
 * follows it, or its own end is missing. -1 otherwise; what somebody else appended has to be taken off first.
 */
export function findTrailer(bytes: Uint8Array, magic: Uint8Array, lengthAt: (start: number) => number): number {
  const from = Math.max(0, bytes.length - searched);
  const found = lastIndexOf(bytes.subarray(from), magic);
  if (found < 0) return -1;
  const start = from + found;
  const behind = bytes.subarray(start + lengthAt(start));
  return paddingLength(behind) === behind.length ? start : -1;
}

/** The reading of a block whose end is missing. `what` without an article: `Linksys footer`. */
export function truncatedTrailer(what: string, bytes: Uint8Array, start: number, length: number): Reading<never> {
  const available = bytes.length - start;
  const problem = finding('header-truncated', { offset: start, length: available }, { what: `a ${what}`, length, available });
  return { ...truncatedHeader(what, length, problem, available), start, regions: [region('metadata', `${what}, cut off`, start, available)] };
}

/** A checksum that stands as text in a block: POSIX `cksum` of all in front of it, as eight hexadecimal digits. */
export function textChecksum(
  what: string,
  bytes: Uint8Array,
  start: number,
  at: Range,
): { readonly check: CodedCheck; readonly findings: readonly LocalFinding[] } {
  const text = printable(bytes.subarray(at.offset, at.offset + at.length));
  const stored = fromHexText(text);
  const check = compare({
    code: 'image-checksum-mismatch',
    name: 'cksum',
    algorithm: 'posix cksum',
    stored,
    computed: cksum(bytes.subarray(0, start)),
    at,
    covers: [{ offset: 0, length: start }],
  });
  const args = { what: `checksum of the ${what}`, expected: 'eight upper-case hexadecimal digits', actual: `"${text}"` };
  return { check, findings: stored === null ? [finding('structure-invalid', at, args)] : [] };
}

/** What lies behind a block that ends at `end` and should close the bytes. */
export function fillerBehind(
  what: string,
  bytes: Uint8Array,
  end: number,
): { readonly regions: readonly Region[]; readonly findings: readonly LocalFinding[] } {
  const length = bytes.length - end;
  if (length === 0) return { regions: [], findings: [] };
  return {
    regions: [region('padding', `filled with ${hexBytes(bytes.subarray(end, end + 1))}`, end, length)],
    findings: [finding('trailer-displaced', { offset: end, length }, { what: `A ${what}`, length })],
  };
}
