/** Digests and unpacking in a browser: the same functions as in node.ts, with the same results. */
import { md5, sha1 } from '@noble/hashes/legacy.js';
import { sha256, sha384, sha512 } from '@noble/hashes/sha2.js';
// Its named exports are missing where a bundler takes it for CommonJS.
import sheetjsCrc32 from 'crc-32';
import { Z_BUF_ERROR, Z_NO_FLUSH, Z_OK, Z_STREAM_END, ZStream, zlibInflate, zlibInflateEnd, zlibInflateInit2 } from 'pako';
import type { DigestAlgorithm, Inflated, NotUnpacked, UnpackMember } from './types.ts';

export const crc32 = (bytes: Uint8Array, previous = 0): number => sheetjsCrc32.buf(bytes, previous) >>> 0;

const hashes = { md5, sha1, sha256, sha384, sha512 } as const satisfies Record<DigestAlgorithm, unknown>;

export function digest(algorithm: DigestAlgorithm, parts: readonly Uint8Array[]): Uint8Array {
  const hash = hashes[algorithm].create();
  for (const part of parts) hash.update(part);
  return hash.digest();
}

const rawWindow = -15;
const smallestChunk = 64 * 1024;
const largestChunk = 1024 * 1024;

/** Unpacks one raw deflate stream; bytes behind its end are left alone. */
export function inflateRaw(bytes: Uint8Array, maximumLength: number): Inflated | NotUnpacked {
  const stream = new ZStream();
  zlibInflateInit2(stream, rawWindow);
  stream.input = bytes;
  stream.next_in = 0;
  stream.avail_in = bytes.length;
  const chunkLength = Math.max(smallestChunk, Math.min(largestChunk, bytes.length * 4));
  const chunks: Uint8Array[] = [];
  let status: number = Z_OK;
  while (status === Z_OK && stream.total_out <= maximumLength) {
    stream.output = new Uint8Array(chunkLength);
    stream.next_out = 0;
    stream.avail_out = chunkLength;
    status = zlibInflate(stream, Z_NO_FLUSH);
    chunks.push(stream.output.subarray(0, stream.next_out));
    // No room was left over: there may be more.
    if (status === Z_OK && stream.avail_out > 0) status = Z_BUF_ERROR;
  }
  const { total_out: unpackedLength, next_in: consumed, msg } = stream;
  zlibInflateEnd(stream);
  if (status !== Z_OK && status !== Z_STREAM_END && status !== Z_BUF_ERROR) return { ok: false, failure: 'corrupt', reason: msg };
  if (unpackedLength > maximumLength) return { ok: false, failure: 'limit', reason: `more than ${maximumLength} bytes came out` };
  if (status !== Z_STREAM_END) return { ok: false, failure: 'truncated', reason: 'it ends too early' };
  const unpacked = new Uint8Array(unpackedLength);
  let offset = 0;
  for (const chunk of chunks) {
    unpacked.set(chunk, offset);
    offset += chunk.length;
  }
  return { ok: true, bytes: unpacked, consumed };
}

/** Opens a zip archive, from its first byte to the end of its last record. */
export async function openZip(archive: Uint8Array): Promise<UnpackMember> {
  return async (offset, length, maximumLength) => {
    const result = inflateRaw(archive.subarray(offset, offset + length), maximumLength);
    return result.ok ? { ok: true, bytes: result.bytes } : result;
  };
}

/** One byte per character, all 256 values: "latin1" of TextDecoder is windows-1252. */
export function latin1(bytes: Uint8Array): string {
  let text = '';
  for (let start = 0; start < bytes.length; start += 8192) text += String.fromCharCode(...bytes.subarray(start, start + 8192));
  return text;
}
