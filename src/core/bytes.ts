/** Comparing, finding and joining bytes, without making a function or a string for each place that is looked at. */

/** Whether these very bytes stand at `offset`. */
export function standsAt(bytes: Uint8Array, offset: number, wanted: Uint8Array): boolean {
  for (let index = 0; index < wanted.length; index += 1) if (bytes[offset + index] !== wanted[index]) return false;
  return true;
}

/** The last place, at `from` or in front of it, where these very bytes stand; -1 if there is none. */
export function lastIndexOf(bytes: Uint8Array, wanted: Uint8Array, from = bytes.length - wanted.length): number {
  const [first = 0] = wanted;
  let offset = from < 0 ? -1 : bytes.lastIndexOf(first, from);
  while (offset > 0 && !standsAt(bytes, offset, wanted)) offset = bytes.lastIndexOf(first, offset - 1);
  return offset >= 0 && standsAt(bytes, offset, wanted) ? offset : -1;
}

/** How long the parts are together. */
export const lengthOf = (parts: readonly Uint8Array[]): number => parts.reduce((sum, part) => sum + part.length, 0);

/** The parts one behind the other; a single part as it is, not copied. */
export function joined(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0] as Uint8Array;
  const whole = new Uint8Array(lengthOf(parts));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}
