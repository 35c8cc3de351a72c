/** Finding short runs of bytes, without making a function or a string for each place that is looked at. */

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
