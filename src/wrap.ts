/** Puts a header around a file, or a trailer behind it, as the format declares. */
import { joined } from './core/bytes.ts';
import { OwimgError } from './core/errors.ts';
import type { AnyFormat } from './core/format.ts';
import { wrapValues } from './core/wrap.ts';

/**
 * The file with the header or trailer.
 *
 * @param given what was typed for each key; the bytes of the file for keys that take one
 * @throws OwimgError `bad-usage` for a format that cannot be wrapped and for keys that are missing or unknown, `bad-value`
 */
export function wrapWith(format: AnyFormat, payload: Uint8Array, given: ReadonlyMap<string, readonly (string | Uint8Array)[]>): Uint8Array {
  const { id, wrap, build, role } = format;
  if (wrap === undefined || build === undefined) throw new OwimgError('bad-usage', `Cannot wrap as ${id}: owimg formats tells which can be`);
  const built = build(wrap.input(payload, wrapValues(id, wrap, given)));
  if (wrap.place !== undefined) return wrap.place(payload, built);
  return role === 'trailer' ? joined([payload, built]) : built;
}
