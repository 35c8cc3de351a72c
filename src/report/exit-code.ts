/** Exit statuses: what a script may rely on. Pure. */
import { type ErrorCode, errorKinds } from '../core/errors.ts';
import type { Status } from '../core/types.ts';

/** What came of one file: a status, or the error that kept it from being read. */
export type Outcome = { readonly status: Status } | { readonly error: { readonly code: ErrorCode } };

/** Of several, the first that occurs: could not read, broken, cannot tell, good. */
const order = [4, 2, 1, 3, 0];

function statusCode(outcome: Outcome): number {
  if ('error' in outcome) return errorKinds[outcome.error.code].exit;
  return { sound: 0, doubtful: 0, broken: 1, unknown: 3 }[outcome.status];
}

/**
 * 0: all good (or doubtful: warnings only); 1: a broken image; 3: cannot tell; 4: could not read.
 *
 * @example
 * exitCode([{ status: 'sound' }, { status: 'unknown' }]) //=> 3
 */
export function exitCode(outcomes: readonly Outcome[]): number {
  const codes = new Set(outcomes.map(statusCode));
  return order.find((code) => codes.has(code)) ?? 0;
}
