/** Deflate streams, unpacked within the limits of one inspection. */
import { inflateRaw as inflate } from '#platform';
import type { Unpacked } from '../platform/types.ts';
import type { Budget } from './limits.ts';

/** Unpacks the raw deflate stream that the bytes begin with; what lies behind it is left alone. */
export function inflateRaw(bytes: Uint8Array, budget: Budget): Unpacked {
  const limit = budget.unpackLimit(bytes.length);
  const unpacked = inflate(bytes, limit);
  // A stream that was stopped has cost as much as one which gave all of it.
  if (unpacked.ok) budget.tookUnpacked(unpacked.bytes.length);
  else if (unpacked.failure === 'limit') budget.tookUnpacked(limit);
  return unpacked;
}
