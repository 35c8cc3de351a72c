/** Filler: runs of 00 or FF, as image tools and erased flash leave them. */

/** How many bytes from `offset` on have the same value as the first one. */
export function runLength(bytes: Uint8Array, offset = 0): number {
  const value = bytes[offset];
  if (value === undefined) return 0;
  let end = offset + 1;
  // Four bytes at a time where the buffer's alignment allows it: padding is most of many an image.
  while (end < bytes.length && bytes[end] === value && (bytes.byteOffset + end) % 4 !== 0) end += 1;
  if ((bytes.byteOffset + end) % 4 === 0) {
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset + end, Math.floor((bytes.length - end) / 4));
    const word = (value * 0x01010101) >>> 0;
    let index = 0;
    while (index < words.length && words[index] === word) index += 1;
    end += index * 4;
  }
  while (end < bytes.length && bytes[end] === value) end += 1;
  return end - offset;
}

/** The length of the run of 00 or of FF that the bytes begin with; 0 if they begin with something else. */
export function paddingLength(bytes: Uint8Array): number {
  return bytes[0] === 0x00 || bytes[0] === 0xff ? runLength(bytes) : 0;
}

/** The length of the run of 00 or of FF, 16 bytes at least, that the bytes end with; never all of them. */
export function trailingPadding(bytes: Uint8Array): number {
  const value = bytes[bytes.length - 1];
  if (value !== 0x00 && value !== 0xff) return 0;
  let start = bytes.length - 1;
  while (start > 1 && bytes[start - 1] === value) start -= 1;
  return bytes.length - start >= 16 ? bytes.length - start : 0;
}
