/** The last byte of a file, which makes the sum of all its bytes FF. */
import { type CodedCheck, compare, sum8 } from './checksums.ts';
import { region } from './format.ts';
import type { Field, Region } from './types.ts';

export const closingSumLength = 1;

/** Reads the byte; there is at least one. */
export function readClosingSum(bytes: Uint8Array): { readonly field: Field; readonly region: Region; readonly check: CodedCheck } {
  const at = { offset: bytes.length - closingSumLength, length: closingSumLength };
  const stored = bytes[at.offset] as number;
  const check = compare({
    code: 'image-checksum-mismatch',
    name: 'sum',
    algorithm: 'sum8, complement',
    stored,
    computed: closingSum(bytes.subarray(0, at.offset)),
    at,
    covers: [{ offset: 0, length: at.offset }],
    digits: 2,
  });
  return { field: { name: 'sum', ...at, value: stored }, region: region('header', 'sum', at.offset, at.length), check };
}

/** The byte that belongs behind these. */
export const closingSum = (bytes: Uint8Array): number => 0xff - sum8(bytes);
