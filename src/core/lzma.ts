/**
 * LZMA and LZMA2 decoding, strict and bounded, the same in Node and in browsers.
 *
 * Why not a library: to call a kernel sound one must know that its stream is whole and ends where it says.
 * No maintained package that decodes synchronously in both places is that strict (npm's `lzma1` takes half a
 * stream without a word). Written from the LZMA specification (https://www.7-zip.org/sdk.html,
 * lzma-specification.txt) and the description of LZMA2 in
 * https://github.com/tukaani-project/xz/blob/v5.6.3/src/liblzma/lzma/lzma2_decoder.c.
 */

/** `length`: the stream is well formed but ends earlier or later than it should. `limit`: more than was allowed came out. */
type LzmaFailure = 'truncated' | 'corrupt' | 'length' | 'limit';

export type LzmaResult =
  | { readonly ok: true; readonly bytes: Uint8Array /** Packed bytes that were read. */; readonly consumed: number }
  | {
      readonly ok: false;
      readonly failure: LzmaFailure;
      readonly reason: string;
      /** How many packed bytes had been read when it was noticed. */
      readonly offset: number;
      /** How many bytes came out up to then; with `length`, how many the whole stream gives. */
      readonly unpacked: number;
    };

/** The three numbers of the properties byte: bits of context, of position for literals, of position for the rest. */
interface LzmaProperties {
  readonly literalContext: number; // lc
  readonly literalPosition: number; // lp
  readonly position: number; // pb
}

/** `undefined` for a byte that no encoder writes. */
export function lzmaProperties(byte: number): LzmaProperties | undefined {
  if (byte >= 9 * 5 * 5) return undefined;
  return { literalContext: byte % 9, literalPosition: Math.floor(byte / 9) % 5, position: Math.floor(byte / 45) };
}

const stateCount = 12;
const longestMatch = 273;
const lengthModel = 2 + 16 * 8 + 16 * 8 + 256;

/** Where each probability lies in the one table of them. */
const isMatch = 0;
const isRep = isMatch + (stateCount << 4);
const isRepNotLast = isRep + stateCount; // IsRepG0
const isRepLong = isRepNotLast + stateCount; // IsRep0Long
const isRepNotSecond = isRepLong + (stateCount << 4); // IsRepG1
const isRepFourth = isRepNotSecond + stateCount; // IsRepG2
const slots = isRepFourth + stateCount; // PosSlot
const distanceBits = slots + (4 << 6); // SpecPos, addressed from the distance's high part less the slot
const alignBits = distanceBits + 128;
const matchLength = alignBits + 16;
const repLength = matchLength + lengthModel;
const literals = repLength + lengthModel;

/** What {@link Decoder.run} came to. */
type Outcome = 'filled' | 'marker' | LzmaFailure;

/** The state of the range decoder, in an array so that numbers of 32 bits stay unboxed. */
const [range, code, position] = [0, 1, 2] as const;

/** What `decode` goes on from, and the bytes that came out. For LZMA2 it lives over many chunks. */
class Decoder {
  readonly #packed: Uint8Array;
  readonly #limit: number;
  readonly #dictionaryLength: number;
  readonly #coder = new Int32Array(3);
  #end: number;
  #output: Uint8Array;
  #length = 0;
  /** Bytes before this one are out of reach: an LZMA2 chunk has emptied the dictionary. */
  #dictionaryStart = 0;
  #probabilities = new Uint16Array(0);
  #properties: LzmaProperties = { literalContext: 0, literalPosition: 0, position: 0 };
  #state = 0;
  readonly #distances = new Int32Array(4);
  reason = '';

  constructor(packed: Uint8Array, dictionaryLength: number, limit: number, expected = packed.length * 4) {
    this.#packed = packed;
    this.#end = packed.length;
    this.#limit = limit;
    this.#dictionaryLength = Math.max(4096, dictionaryLength);
    this.#output = new Uint8Array(Math.min(limit, expected, Math.max(4096, packed.length * 4)) + longestMatch);
  }

  get position(): number {
    return Math.min(this.#coder[position] as number, this.#end);
  }

  get length(): number {
    return this.#length;
  }

  get bytes(): Uint8Array {
    return this.#output.subarray(0, this.#length);
  }

  /** Whether the range decoder stands as an encoder leaves it behind the last symbol. */
  get finished(): boolean {
    return this.#coder[code] === 0 && (this.#coder[position] as number) <= this.#end;
  }

  resetDictionary(): void {
    this.#dictionaryStart = this.#length;
  }

  resetState(properties: LzmaProperties = this.#properties): void {
    this.#properties = properties;
    const count = literals + (0x300 << (properties.literalContext + properties.literalPosition));
    if (this.#probabilities.length !== count) this.#probabilities = new Uint16Array(count);
    this.#probabilities.fill(1024);
    this.#state = 0;
    this.#distances.fill(0);
  }

  /** Starts the range decoder on the packed bytes from `start` to `end`: a zero, then 32 bits. */
  start(start: number, end: number): Outcome | undefined {
    this.#coder[position] = start;
    this.#end = end;
    if (end - start < 5) return this.#fail('truncated', 'it ends too early', end);
    const packed = this.#packed;
    if (packed[start] !== 0) return this.#fail('corrupt', `its first byte is ${packed[start]} instead of 0`, start);
    this.#coder[range] = -1;
    this.#coder[code] = new DataView(packed.buffer, packed.byteOffset + start + 1, 4).getInt32(0);
    this.#coder[position] = start + 5;
    return undefined;
  }

  #fail(failure: LzmaFailure, reason: string, at?: number): LzmaFailure {
    if (at !== undefined) this.#coder[position] = at;
    this.reason = reason;
    return failure;
  }

  /** Copies an uncompressed chunk. */
  copy(start: number, length: number): Outcome {
    if (this.#length + length > this.#limit) return this.#fail('limit', `more than ${this.#limit} bytes came out`);
    this.#grow(length);
    this.#output.set(this.#packed.subarray(start, start + length), this.#length);
    this.#length += length;
    this.#coder[position] = start + length;
    return 'filled';
  }

  /** Makes room for `more` bytes. */
  #grow(more: number): void {
    const needed = this.#length + more;
    if (needed <= this.#output.length) return;
    const larger = new Uint8Array(Math.max(needed, Math.min(this.#limit + longestMatch, this.#output.length * 2)));
    larger.set(this.bytes);
    this.#output = larger;
  }

  /** One bit with an adaptive probability. */
  #bit(index: number): number {
    const coder = this.#coder;
    const probabilities = this.#probabilities;
    const probability = probabilities[index] as number;
    const bound = Math.imul((coder[range] as number) >>> 11, probability);
    let bit = 0;
    let width = bound;
    let value = coder[code] as number;
    if (value >>> 0 < bound >>> 0) {
      probabilities[index] = probability + ((2048 - probability) >>> 5);
    } else {
      width = ((coder[range] as number) - bound) | 0;
      value = (value - bound) | 0;
      probabilities[index] = probability - (probability >>> 5);
      bit = 1;
    }
    if (width >>> 24 === 0) {
      width <<= 8;
      value = (value << 8) | (this.#packed[coder[position] as number] as number);
      (coder[position] as number)++;
    }
    coder[range] = width;
    coder[code] = value;
    return bit;
  }

  /** A number of `bits` bits from a tree of probabilities, the highest bit first, with a one in front of it. */
  #tree(base: number, bits: number): number {
    const coder = this.#coder;
    const probabilities = this.#probabilities;
    const packed = this.#packed;
    let width = coder[range] as number;
    let value = coder[code] as number;
    let next = coder[position] as number;
    const end = 1 << bits;
    let symbol = 1;
    while (symbol < end) {
      const index = base + symbol;
      const probability = probabilities[index] as number;
      const bound = Math.imul(width >>> 11, probability);
      if (value >>> 0 < bound >>> 0) {
        width = bound;
        probabilities[index] = probability + ((2048 - probability) >>> 5);
        symbol <<= 1;
      } else {
        width = (width - bound) | 0;
        value = (value - bound) | 0;
        probabilities[index] = probability - (probability >>> 5);
        symbol = (symbol << 1) | 1;
      }
      if (width >>> 24 === 0) {
        width <<= 8;
        value = (value << 8) | (packed[next] as number);
        next += 1;
      }
    }
    coder[range] = width;
    coder[code] = value;
    coder[position] = next;
    return symbol;
  }

  /** The same tree with the lowest bit first, and without the one. */
  #reverseTree(base: number, bits: number): number {
    let symbol = this.#tree(base, bits);
    let reversed = 0;
    for (let bit = 0; bit < bits; bit += 1) {
      reversed = (reversed << 1) | (symbol & 1);
      symbol >>>= 1;
    }
    return reversed;
  }

  /** A literal behind a match: as long as its bits are those of the byte at the last distance, each has other probabilities. */
  #matchedLiteral(base: number, byte: number): number {
    let symbol = 1;
    let match = byte;
    let offset = 0x100;
    while (symbol < 0x100) {
      match <<= 1;
      const matchBit = match & offset;
      const bit = this.#bit(base + offset + matchBit + symbol);
      symbol = (symbol << 1) | bit;
      offset &= bit === 0 ? ~matchBit : matchBit;
    }
    return symbol;
  }

  /** Bits that are not modelled, the highest first. */
  #directBits(bits: number): number {
    const coder = this.#coder;
    let width = coder[range] as number;
    let value = coder[code] as number;
    let next = coder[position] as number;
    let result = 0;
    for (let bit = 0; bit < bits; bit += 1) {
      width >>>= 1;
      value = (value - width) | 0;
      const borrow = value >> 31;
      value = (value + (width & borrow)) | 0;
      result = (result << 1) + borrow + 1;
      if (width >>> 24 === 0) {
        width <<= 8;
        value = (value << 8) | (this.#packed[next] as number);
        next += 1;
      }
    }
    coder[range] = width;
    coder[code] = value;
    coder[position] = next;
    return result;
  }

  #matchLength(base: number, positionState: number): number {
    if (this.#bit(base) === 0) return 2 + this.#tree(base + 2 + (positionState << 3), 3) - 8;
    if (this.#bit(base + 1) === 0) return 10 + this.#tree(base + 2 + 128 + (positionState << 3), 3) - 8;
    return 18 + this.#tree(base + 2 + 256, 8) - 256;
  }

  /** A distance less one; -1 is the end marker. */
  #distance(length: number): number {
    const slot = this.#tree(slots + (Math.min(length - 2, 3) << 6), 6) - 64;
    if (slot < 4) return slot;
    const lowBits = (slot >> 1) - 1;
    const high = (2 | (slot & 1)) << lowBits;
    if (slot < 14) return high + this.#reverseTree(distanceBits + high - slot, lowBits);
    return (high + (this.#directBits(lowBits - 4) << 4) + this.#reverseTree(alignBits, 4)) | 0;
  }

  /** Moves the first `count` of the last distances back by one. */
  #remember(count: number): void {
    const distances = this.#distances;
    for (let index = count; index > 0; index -= 1) distances[index] = distances[index - 1] as number;
  }

  /** Decodes whole symbols until there are `target` bytes at least, or until the end marker. */
  run(target: number): Outcome {
    const { literalContext, literalPosition, position: positionBits } = this.#properties;
    const literalMask = (1 << literalPosition) - 1;
    const positionMask = (1 << positionBits) - 1;
    const distances = this.#distances;
    const coder = this.#coder;
    const start = this.#dictionaryStart;
    let output = this.#output;
    let length = this.#length;
    let state = this.#state;
    let outcome: Outcome = 'filled';
    while (length < target) {
      if ((coder[position] as number) > this.#end) {
        outcome = this.#fail('truncated', 'it ends too early');
        break;
      }
      if (length + longestMatch > output.length) {
        this.#length = length;
        this.#grow(longestMatch);
        output = this.#output;
      }
      const written = length - start;
      const positionState = written & positionMask;
      if (this.#bit(isMatch + (state << 4) + positionState) === 0) {
        const before = written > 0 ? (output[length - 1] as number) : 0;
        const base = literals + 0x300 * (((written & literalMask) << literalContext) + (before >> (8 - literalContext)));
        output[length] = state < 7 ? this.#tree(base, 8) : this.#matchedLiteral(base, output[length - (distances[0] as number) - 1] as number);
        length += 1;
        state = state < 4 ? 0 : state < 10 ? state - 3 : state - 6;
        continue;
      }
      let count = 1;
      if (this.#bit(isRep + state) === 0) {
        this.#remember(3);
        count = this.#matchLength(matchLength, positionState);
        distances[0] = this.#distance(count);
        state = state < 7 ? 7 : 10;
        if (distances[0] === -1) {
          outcome = 'marker';
          break;
        }
      } else {
        let which = 0;
        let long = true;
        if (this.#bit(isRepNotLast + state) === 0) long = this.#bit(isRepLong + (state << 4) + positionState) === 1;
        else which = this.#bit(isRepNotSecond + state) === 0 ? 1 : 2 + this.#bit(isRepFourth + state);
        const distance = distances[which] as number;
        this.#remember(which);
        distances[0] = distance;
        if (long) count = this.#matchLength(repLength, positionState);
        state = state < 7 ? (long ? 8 : 9) : 11;
      }
      const distance = (distances[0] as number) >>> 0;
      if (distance >= written || distance >= this.#dictionaryLength) {
        outcome = this.#fail('corrupt', `a match points ${distance + 1} bytes back, only ${Math.min(written, this.#dictionaryLength)} are there`);
        break;
      }
      for (const end = length + count; length < end; length += 1) output[length] = output[length - distance - 1] as number;
    }
    // A damaged stream that ran out of bytes shows it in any way; that it ran out is what there is to say.
    if (outcome !== 'truncated' && (coder[position] as number) > this.#end) outcome = this.#fail('truncated', 'it ends too early');
    this.#length = length;
    this.#state = state;
    return outcome;
  }
}

function failure(decoder: Decoder, kind: LzmaFailure, reason = decoder.reason, unpacked = decoder.length): LzmaResult {
  return { ok: false, failure: kind, reason, offset: decoder.position, unpacked };
}

const success = (decoder: Decoder): LzmaResult => ({ ok: true, bytes: decoder.bytes, consumed: decoder.position });

interface LzmaParameters {
  /** The properties byte. */
  readonly properties: number;
  readonly dictionaryLength: number;
  /** How many bytes must come out; `null` if an end marker tells. */
  readonly length: number | null;
  /** How many bytes may come out. */
  readonly limit: number;
}

/** Fewer packed bytes than these prove nothing. */
const enough = 128;

/**
 * Whether bytes may be the beginning of an LZMA stream that gives `length` bytes (`null`: not known), or all of it:
 * unpacks that much. Nothing but a real stream goes on for long without a match that points before its first byte,
 * or without running out into zeros.
 */
export function beginsLikeLzma(packed: Uint8Array, properties: number, length: number | null): boolean {
  const known = lzmaProperties(properties);
  if (known === undefined) return false;
  const limit = packed.length * 256;
  const decoder = new Decoder(packed, 0xffffffff, limit);
  decoder.resetState(known);
  if (decoder.start(0, packed.length) !== undefined || decoder.finished) return false;
  let outcome = decoder.run(Math.min(limit, length ?? limit));
  if (outcome === 'filled' && decoder.length === length && decoder.finished) return true;
  if (outcome === 'filled') outcome = decoder.run(limit);
  if (outcome === 'marker') return decoder.finished;
  return packed.length >= enough && (outcome === 'truncated' || (outcome === 'filled' && !decoder.finished));
}

/** Unpacks the LZMA stream that begins at the first of the bytes; what lies behind its end is left alone. */
export function unpackLzma(packed: Uint8Array, { properties, dictionaryLength, length, limit }: LzmaParameters): LzmaResult {
  const decoder = new Decoder(packed, dictionaryLength, limit, length ?? undefined);
  const known = lzmaProperties(properties);
  if (known === undefined) return failure(decoder, 'corrupt', `its properties byte is ${properties}, more than 224`);
  if (length !== null && length > limit) return failure(decoder, 'limit', `it should give ${length} bytes, more than the ${limit} that are allowed`);
  decoder.resetState(known);
  const stopped = decoder.start(0, packed.length);
  if (stopped !== undefined) return failure(decoder, stopped as LzmaFailure);
  const outcome = decoder.run(length ?? limit + 1);
  if (outcome === 'marker') {
    if (!decoder.finished) return failure(decoder, 'corrupt', 'there is something wrong with its end marker');
    if (length !== null && decoder.length !== length) return failure(decoder, 'length', `it ends after ${decoder.length} bytes`);
    return success(decoder);
  }
  if (outcome !== 'filled') return failure(decoder, outcome);
  if (length === null) return failure(decoder, 'limit', `more than ${limit} bytes came out`);
  if (decoder.length === length) {
    if (decoder.finished) return success(decoder);
    // The end marker is allowed where the length is known, too.
    if (decoder.run(length + 1) === 'marker' && decoder.finished) return success(decoder);
  }
  return overlong(decoder, length, limit);
}

/** A stream that does not end where it should: where does it? */
function overlong(decoder: Decoder, length: number, limit: number): LzmaResult {
  let outcome: Outcome = 'filled';
  while (outcome === 'filled' && !decoder.finished && decoder.length <= limit) outcome = decoder.run(decoder.length + 1);
  if (decoder.finished) return failure(decoder, 'length', `it goes on to ${decoder.length} bytes`);
  return failure(decoder, 'corrupt', `it does not end after ${length} bytes`);
}

/** Unpacks LZMA2: chunks of LZMA or of bytes as they are, up to a zero byte. */
export function unpackLzma2(packed: Uint8Array, dictionaryLength: number, limit: number): LzmaResult {
  const decoder = new Decoder(packed, dictionaryLength, limit);
  let needsDictionary = true;
  let needsProperties = true;
  let next = 0;
  const fail = (kind: LzmaFailure, reason: string): LzmaResult => ({
    ok: false,
    failure: kind,
    reason,
    offset: kind === 'truncated' ? packed.length : next,
    unpacked: decoder.length,
  });
  for (;;) {
    const control = packed[next];
    if (control === undefined) return fail('truncated', 'it ends too early');
    if (control === 0) return { ok: true, bytes: decoder.bytes, consumed: next + 1 };
    if (control > 2 && control < 0x80) return fail('corrupt', `there is no chunk of kind ${control}`);
    const compressed = control >= 0x80;
    const header = compressed ? (control >= 0xc0 ? 6 : 5) : 3;
    if (next + header > packed.length) return fail('truncated', 'it ends too early');
    const number = (at: number): number => ((packed[next + at] as number) << 8) + (packed[next + at + 1] as number) + 1;
    if (control === 1 || control >= 0xe0) {
      decoder.resetDictionary();
      needsDictionary = false;
      needsProperties = true;
    }
    if (needsDictionary) return fail('corrupt', 'its first chunk needs bytes in front of it');
    const start = next + header;
    if (!compressed) {
      const length = number(1);
      if (start + length > packed.length) return fail('truncated', 'it ends too early');
      if (decoder.copy(start, length) !== 'filled') return failure(decoder, 'limit');
      next = start + length;
      continue;
    }
    const target = decoder.length + ((control & 0x1f) << 16) + number(1);
    const end = start + number(3);
    if (target > limit) return fail('limit', `more than ${limit} bytes came out`);
    if (control >= 0xc0) {
      const properties = lzmaProperties(packed[next + 5] as number);
      if (properties === undefined || properties.literalContext + properties.literalPosition > 4) return fail('corrupt', 'a chunk has impossible properties');
      decoder.resetState(properties);
      needsProperties = false;
    } else if (needsProperties) return fail('corrupt', 'a chunk lacks its properties');
    else if (control >= 0xa0) decoder.resetState();
    if (end > packed.length) return fail('truncated', 'it ends too early');
    const outcome = decoder.start(start, end) ?? decoder.run(target);
    if (outcome !== 'filled' || decoder.length !== target || !decoder.finished || decoder.position !== end) {
      return failure(decoder, 'corrupt', outcome === 'corrupt' ? decoder.reason : 'a chunk does not end where it should');
    }
    next = end;
  }
}
