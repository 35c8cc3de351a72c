/** Unpacking within the limits of one inspection. */
import { inflateRaw as inflate, openZip } from '#platform';
import type { Inflated, NotUnpacked } from '../platform/types.ts';
import type { Budget } from './limits.ts';

export type { NotUnpacked } from '../platform/types.ts';
export { openZip };

/** Records what an attempt to unpack has used up: a stream that was stopped has cost all that it was allowed to. */
export function charge(budget: Budget, result: { readonly ok: true; readonly bytes: Uint8Array } | NotUnpacked, limit: number): void {
  if (result.ok) budget.tookUnpacked(result.bytes.length);
  else if (result.failure === 'limit') budget.tookUnpacked(limit);
}

/** Unpacks the raw deflate stream that the bytes begin with; what lies behind it is left alone. */
export function inflateRaw(bytes: Uint8Array, budget: Budget): Inflated | NotUnpacked {
  const limit = budget.unpackLimit(bytes.length);
  const result = inflate(bytes, limit);
  charge(budget, result, limit);
  return result;
}
