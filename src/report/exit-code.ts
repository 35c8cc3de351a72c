/** Exit statuses: what a script may rely on. Pure. */
import type { AuditRecord } from '../audit/image.ts';
import { type ErrorCode, errorKinds } from '../core/errors.ts';
import type { Kind, Status } from '../core/types.ts';
import type { Route, Verdict } from '../routes/verdict.ts';

/** What came of one file: a status, or the error that kept it from being read. */
export type Outcome = { readonly status: Status } | { readonly error: { readonly code: ErrorCode } };

/** Of several, the first that occurs: could not read, broken, cannot tell, good. */
const order = [4, 2, 1, 3, 0];

/** One exit status for several files. */
export function worstCode(codes: readonly number[]): number {
  return order.find((code) => codes.includes(code)) ?? 0;
}

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
  return worstCode(outcomes.map(statusCode));
}

const routeOfKind: Readonly<Partial<Record<Kind, Route>>> = {
  factory: 'stock',
  sysupgrade: 'sysupgrade',
  recovery: 'tftp',
  initramfs: 'ram',
  kernel: 'ram',
  disk: 'disk',
};

/** The way of flashing that images of this kind are made for; `undefined` where there is none. */
export const mainRoute = (kind: Kind): Route | undefined => routeOfKind[kind];

/** What came of checking one file. */
export interface CheckOutcome {
  readonly status: Status;
  readonly kind: Kind;
  readonly verdicts: readonly Verdict[];
}

/**
 * By the route asked for, or the one that the image's kind is made for. 0: it installs (or boots, by `ram`) on every device that verdicts were
 * given for; 1: the image is broken, or the route would refuse it, brick the device or not apply; 3: cannot tell.
 */
export function checkExitCode({ status, kind, verdicts }: CheckOutcome, route: Route | undefined = mainRoute(kind)): number {
  if (status === 'broken') return 1;
  const codes = verdicts.filter((verdict) => verdict.route === route).map(verdictCode);
  return codes.length === 0 ? 3 : worstCode(codes);
}

/** What came of a conversion: 0 if it is known to be right: bit-identical with the published image, or judged by the way it is made for. */
export function convertExitCode({
  published,
  proof,
}: {
  readonly published?: { readonly identical: boolean } | undefined;
  readonly proof: { readonly verdict: Verdict };
}): number {
  return published?.identical === true ? 0 : verdictCode(proof.verdict);
}

/** 0: what the way of flashing is for happens; 1: it does not; 3: cannot tell. */
export function verdictCode({ outcome, route }: Pick<Verdict, 'outcome' | 'route'>): 0 | 1 | 3 {
  if (outcome === 'installs' || outcome === 'installs-without-settings' || (outcome === 'boots' && (route === 'ram' || route === 'tftp'))) return 0;
  return outcome === 'unknown' ? 3 : 1;
}

/** 4: something could not be read; 1: an error was found; 3: an image that is made to be flashed could not be judged; 0: none of these. */
export function auditExitCode(records: readonly AuditRecord[]): number {
  return worstCode(
    records.map(({ error, findings, verdict }) => {
      if (error !== null) return 4;
      if (findings.some(({ severity }) => severity === 'error')) return 1;
      return verdict?.outcome === 'unknown' ? 3 : 0;
    }),
  );
}
