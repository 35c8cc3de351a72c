/** Reads a path or standard input into memory, within the file limit. */
import { type FileHandle, open } from 'node:fs/promises';
import { OwimgError } from '../core/errors.ts';
import { byteCount } from '../core/hex.ts';
import { defaultLimits } from '../core/limits.ts';

export interface FileRead {
  /** As given; `-` is standard input. */
  readonly path: string;
  readonly bytes: Uint8Array;
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EISDIR: 'it is a directory',
  ENOTDIR: 'a part of the path is not a directory',
  ELOOP: 'too many symbolic links',
  EMFILE: 'too many open files',
};

function unreadable(path: string, error: unknown): OwimgError {
  if (error instanceof OwimgError) return error;
  const { code = '', message } = error as NodeJS.ErrnoException;
  return new OwimgError('cannot-read', `Cannot read "${path}": ${reasons[code] ?? message}`);
}

function tooLarge(path: string, length: number | null, limit: number): OwimgError {
  const is = length === null ? `more than ${byteCount(limit)}` : byteCount(length);
  return new OwimgError('file-too-large', `Cannot read "${path}": it has ${is}, the limit is ${byteCount(limit)}`);
}

async function readAll(chunks: AsyncIterable<Uint8Array>, path: string, limit: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    length += chunk.length;
    if (length > limit) throw tooLarge(path, null, limit);
    parts.push(chunk);
  }
  const bytes = new Uint8Array(length);
  let position = 0;
  for (const part of parts) {
    bytes.set(part, position);
    position += part.length;
  }
  return bytes;
}

/** Reads a regular file in one go: one allocation of the file's size. */
async function readWhole(handle: FileHandle, size: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(size);
  let position = 0;
  while (position < size) {
    const { bytesRead } = await handle.read(bytes, position, size - position, position);
    if (bytesRead === 0) break;
    position += bytesRead;
  }
  // Shorter than it said: somebody is writing or cutting it; what is there counts.
  return bytes.subarray(0, position);
}

/**
 * @param path a file, or `-` for standard input
 * @throws OwimgError `cannot-read`, `file-too-large`
 */
export async function readFile(path: string, limit: number = defaultLimits.fileLength): Promise<FileRead> {
  if (path === '-') {
    try {
      return { path, bytes: await readAll(process.stdin, 'standard input', limit) };
    } catch (error) {
      throw unreadable('standard input', error);
    }
  }
  let handle: FileHandle | undefined;
  try {
    handle = await open(path, 'r');
    const stat = await handle.stat();
    if (stat.isDirectory()) throw new OwimgError('cannot-read', `Cannot read "${path}": it is a directory`, 'Name the image files in it.');
    if (stat.size > limit) throw tooLarge(path, stat.size, limit);
    if (stat.isFile() && stat.size > 0) return { path, bytes: await readWhole(handle, stat.size) };
    // Pipes and devices do not know their size.
    return { path, bytes: await readAll(handle.createReadStream({ autoClose: false }), path, limit) };
  } catch (error) {
    throw unreadable(path, error);
  } finally {
    await handle?.close();
  }
}
