/**
 * The filters that xz puts in front of LZMA2, undone. All but `delta` turn the targets of branches from absolute
 * into relative ones again, so that they are what the processor reads.
 *
 * Layout: The .xz File Format, section 5.3; the instruction sets' branch encodings.
 */

/** Undoes a filter in place; `start` is the address that the first byte counts as. */
type Undo = (bytes: Uint8Array, start: number) => void;

/** Calls `undo` with each aligned instruction of 32 bits; `undefined` leaves it as it is. */
function words(littleEndian: boolean, undo: (word: number, address: number) => number | undefined): Undo {
  return (bytes, start) => {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let offset = 0; offset + 4 <= bytes.length; offset += 4) {
      const undone = undo(view.getUint32(offset, littleEndian), (start + offset) | 0);
      if (undone !== undefined) view.setUint32(offset, undone, littleEndian);
    }
  };
}

const powerpc = words(false, (word, address) => {
  if (word >>> 26 !== 0x12 || (word & 3) !== 1) return undefined; // bl
  return 0x48000001 | (((word & 0x03fffffc) - address) & 0x03fffffc);
});

const arm = words(true, (word, address) => {
  if (word >>> 24 !== 0xeb) return undefined; // bl
  return 0xeb000000 | (((word & 0xffffff) - ((address + 8) >> 2)) & 0xffffff);
});

const sparc = words(false, (word, address) => {
  const top = word >>> 22;
  if (top !== 0x100 && top !== 0x1ff) return undefined; // call
  const target = ((word << 2) - address) >>> 2;
  const sign = (target & 0x400000) === 0 ? 0 : 0x3fc00000;
  return 0x40000000 | sign | (target & 0x3fffff);
});

const arm64 = words(true, (word, address) => {
  if (word >>> 26 === 0x25) return 0x94000000 | ((word - (address >>> 2)) & 0x03ffffff); // bl
  if ((word & 0x9f000000) >>> 0 !== 0x90000000) return undefined; // adrp
  const page = ((word >>> 29) & 3) | ((word >>> 3) & 0x1ffffc);
  // Only pages within 512 MiB are filtered.
  if (((page + 0x20000) & 0x1c0000) !== 0) return undefined;
  const target = page - (address >>> 12);
  return (word & 0x9000001f) | ((target & 3) << 29) | ((target & 0x3fffc) << 3) | (-(target & 0x20000) & 0xe00000);
});

const armThumb: Undo = (bytes, start) => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let offset = 0; offset + 4 <= bytes.length; offset += 2) {
    const high = view.getUint16(offset, true);
    const low = view.getUint16(offset + 2, true);
    if (high >>> 11 !== 0x1e || low >>> 11 !== 0x1f) continue; // the two halves of bl
    const target = (((high & 0x7ff) << 11) | (low & 0x7ff)) - ((start + offset + 4) >> 1);
    view.setUint16(offset, 0xf000 | ((target >> 11) & 0x7ff), true);
    view.setUint16(offset + 2, 0xf800 | (target & 0x7ff), true);
    offset += 2;
  }
};

const branches: ReadonlyMap<number, Undo> = new Map([
  [0x05, powerpc],
  [0x07, arm],
  [0x08, armThumb],
  [0x09, sparc],
  [0x0a, arm64],
]);

/** Undoes a filter of xz in place, by its id and properties; false where owimg does not know how. */
export function undoFilter(id: number, properties: Uint8Array, bytes: Uint8Array): boolean {
  if (id === 0x03) {
    const distance = (properties[0] ?? 0) + 1;
    for (let offset = distance; offset < bytes.length; offset += 1) bytes[offset] = (bytes[offset] as number) + (bytes[offset - distance] as number);
    return true;
  }
  const undo = branches.get(id);
  const start = properties.length === 4 ? new DataView(properties.buffer, properties.byteOffset).getUint32(0, true) : 0;
  undo?.(bytes, start);
  return undo !== undefined;
}
