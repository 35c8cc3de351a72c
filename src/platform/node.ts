/** Digests and unpacking in Node. The only importer of yauzl. */
import { createHash } from 'node:crypto';
import { inflateRawSync, crc32 as zlibCrc32 } from 'node:zlib';
import type { DigestAlgorithm, Unpacked } from './types.ts';

export const crc32 = (bytes: Uint8Array, previous = 0): number => zlibCrc32(bytes, previous);

export function digest(algorithm: DigestAlgorithm, parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash(algorithm);
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
}

/** A Buffer as what it holds, without the rest of a much larger chunk that it may be a part of. */
function plain(buffer: Uint8Array): Uint8Array {
  return buffer.length * 2 < buffer.buffer.byteLength ? new Uint8Array(buffer) : new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
}

/** Unpacks one raw deflate stream; bytes behind its end are left alone. */
export function inflateRaw(bytes: Uint8Array, maximumLength: number): Unpacked {
  try {
    const result = inflateRawSync(bytes, {
      info: true,
      maxOutputLength: Math.max(1, maximumLength),
      chunkSize: Math.max(64 * 1024, Math.min(1024 * 1024, bytes.length * 4)),
    }) as unknown as { buffer: Uint8Array; engine: { bytesWritten: number } };
    return { ok: true, bytes: plain(result.buffer), consumed: result.engine.bytesWritten };
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    if (code === 'ERR_BUFFER_TOO_LARGE') return { ok: false, failure: 'limit', reason: `more than ${maximumLength} bytes came out` };
    if (code === 'Z_BUF_ERROR') return { ok: false, failure: 'truncated', reason: 'it ends too early' };
    return { ok: false, failure: 'corrupt', reason: message };
  }
}
