/** Digests and unpacking in Node. The only importer of yauzl. */
import { createHash } from 'node:crypto';
import { inflateRawSync, crc32 as zlibCrc32 } from 'node:zlib';
import type { DigestAlgorithm, Inflated, NotUnpacked, UnpackMember } from './types.ts';

export const crc32 = (bytes: Uint8Array, previous = 0): number => zlibCrc32(bytes, previous);

export function digest(algorithm: DigestAlgorithm, parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash(algorithm);
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
}

/** One byte per character, all 256 values. */
export const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');

const tooMuch = (maximumLength: number): NotUnpacked => ({ ok: false, failure: 'limit', reason: `more than ${maximumLength} bytes came out` });
const endsTooEarly: NotUnpacked = { ok: false, failure: 'truncated', reason: 'it ends too early' };

/** What an error of zlib means. */
function failureOf(error: unknown): NotUnpacked {
  const { code, message } = error as { code?: string; message: string };
  return code === 'Z_BUF_ERROR' ? endsTooEarly : { ok: false, failure: 'corrupt', reason: message };
}

/** A Buffer as what it holds, without the rest of a much larger chunk that it may be a part of. */
function plain(buffer: Uint8Array): Uint8Array {
  return buffer.length * 2 < buffer.buffer.byteLength ? new Uint8Array(buffer) : new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
}

/** Unpacks one raw deflate stream; bytes behind its end are left alone. */
export function inflateRaw(bytes: Uint8Array, maximumLength: number): Inflated | NotUnpacked {
  try {
    const { buffer, engine } = inflateRawSync(bytes, {
      info: true,
      maxOutputLength: Math.max(1, maximumLength),
      chunkSize: Math.max(64 * 1024, Math.min(1024 * 1024, bytes.length * 4)),
    }) as unknown as { buffer: Uint8Array; engine: { bytesWritten: number } };
    return buffer.length > maximumLength ? tooMuch(maximumLength) : { ok: true, bytes: plain(buffer), consumed: engine.bytesWritten };
  } catch (error) {
    return (error as { code?: string }).code === 'ERR_BUFFER_TOO_LARGE' ? tooMuch(maximumLength) : failureOf(error);
  }
}

/** Opens a zip archive, from its first byte to the end of its last record. yauzl is loaded only here: most files are no archives. */
export async function openZip(archive: Uint8Array): Promise<UnpackMember> {
  const { fromBufferPromise } = await import('yauzl');
  const zip = await fromBufferPromise(Buffer.from(archive.buffer, archive.byteOffset, archive.length), { validateEntrySizes: false }).catch(failureOf);
  return async (offset, length, maximumLength) => {
    if ('failure' in zip) return zip;
    // An empty stream passes zlib's transform without an error.
    if (length === 0) return endsTooEarly;
    const stream = await new Promise<AsyncIterable<Uint8Array>>((resolve, reject) => {
      zip.openReadStreamLowLevel(offset, length, 0, length, true, null, (error, opened) => (error === null ? resolve(opened) : reject(error)));
    });
    const chunks: Uint8Array[] = [];
    let unpackedLength = 0;
    try {
      for await (const chunk of stream) {
        unpackedLength += chunk.length;
        if (unpackedLength > maximumLength) return tooMuch(maximumLength);
        chunks.push(chunk);
      }
    } catch (error) {
      return failureOf(error);
    }
    return { ok: true, bytes: plain(Buffer.concat(chunks, unpackedLength)) };
  };
}
