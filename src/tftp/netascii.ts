/** Text as it travels in mode netascii (RFC 764): lines end with CR LF, and a CR by itself is CR NUL. Never for images. */

const lineFeed = 0x0a;
const carriageReturn = 0x0d;

/** Text with LF at the ends of its lines -> as it travels. */
export function toNetascii(bytes: Uint8Array): Uint8Array {
  let extra = 0;
  for (const byte of bytes) if (byte === lineFeed || byte === carriageReturn) extra += 1;
  const encoded = new Uint8Array(bytes.length + extra);
  let offset = 0;
  for (const byte of bytes) {
    if (byte === lineFeed) encoded[offset++] = carriageReturn;
    encoded[offset++] = byte;
    if (byte === carriageReturn) encoded[offset++] = 0;
  }
  return encoded;
}

/** The reverse, block by block: a pair may be cut in two. */
export class FromNetascii {
  #held = false;

  /** @returns what is certain so far */
  add(bytes: Uint8Array): Uint8Array {
    const decoded = new Uint8Array(bytes.length + 1);
    let offset = 0;
    for (const byte of bytes) {
      if (this.#held) {
        this.#held = false;
        if (byte === lineFeed || byte === 0) {
          decoded[offset++] = byte === lineFeed ? lineFeed : carriageReturn;
          continue;
        }
        decoded[offset++] = carriageReturn;
      }
      if (byte === carriageReturn) this.#held = true;
      else decoded[offset++] = byte;
    }
    return decoded.subarray(0, offset);
  }

  /** A CR at the very end. */
  end(): Uint8Array {
    return this.#held ? Uint8Array.of(carriageReturn) : new Uint8Array(0);
  }
}
