/** What stands behind a root file system in flash: the filler and the marks of OpenWrt's tools/padjffs2. */
/** `padjffs2`: FF up to each of these boundaries, and there the mark at which OpenWrt begins its own file system. */
export const endMarks = {
  end: Uint8Array.of(0xde, 0xad, 0xc0, 0xde),
  '-J': Uint8Array.of(0x19, 0x85, 0x20, 0x04, 0x04, 0x00, 0x00, 0x00, 0xc4, 0x94, 0xdb, 0xf4),
  '-j': Uint8Array.of(0x85, 0x19, 0x04, 0x20, 0x00, 0x00, 0x00, 0x04, 0xa8, 0xfb, 0xa0, 0xb4),
};

/**
 * What is put behind an image.
 *
 * @param length of the image
 * @param sizes the boundaries, powers of two; bytes
 * @param offset how far the image's first byte lies behind a boundary
 */
export function jffs2Padding(length: number, sizes: readonly number[], offset = 0, mark: Uint8Array = endMarks.end): Uint8Array[] {
  const parts: Uint8Array[] = [];
  let position = length + offset;
  let open = [...new Set(sizes)].sort((a, b) => a - b);
  while (open[0] !== undefined) {
    const boundary = Math.ceil(position / open[0]) * open[0];
    parts.push(new Uint8Array(boundary - position).fill(0xff), mark);
    position = boundary + mark.length;
    open = open.filter((size) => boundary % size !== 0);
  }
  return parts;
}

/** Where no erase block is known. */
export const usualBoundaries: readonly number[] = [4, 8, 16, 64, 128, 256].map((size) => size * 1024);
