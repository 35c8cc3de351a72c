/** Reads a path or standard input into memory, within the file limit. */
import { read } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { OwimgError } from '../core/errors.ts';
import { byteCount } from '../core/hex.ts';
import { defaultLimits } from '../core/limits.ts';
import { closeFile, openWithoutWaiting, readNow } from './waiting-file.ts';

const readInto = promisify(read);

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
async function readWhole(file: number, size: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(size);
  let position = 0;
  while (position < size) {
    const { bytesRead } = await readInto(file, bytes, position, size - position, position);
    if (bytesRead === 0) break;
    position += bytesRead;
  }
  // Shorter than it said: somebody is writing or cutting it; what is there counts.
  return bytes.subarray(0, position);
}

/** Between two looks at a pipe that is empty, in milliseconds. */
const pauses = { least: 1, most: 50 } as const;

/** So long nobody has written before that is told. */
const tellAfter = 1000;

/** A pipe without a name (`<(zcat x.gz)`): who was to write has opened it already, so an end is an end. */
const isOfShell = (path: string): boolean => /^\/(dev|proc\/[^/]+)\/(fd\/|std)/.test(path);

/** What comes out of a pipe or a device. */
async function* chunksOf(file: number, awaitsWriter: boolean, waiting: () => void): AsyncGenerator<Uint8Array> {
  const since = performance.now();
  let [pause, begun, told]: [number, boolean, boolean] = [pauses.least, !awaitsWriter, false];
  for (;;) {
    const got = await readNow(file);
    if (got === 'end' && begun) return;
    if (typeof got === 'string') {
      begun ||= got === 'nothing-yet';
      if (!begun && !told && performance.now() - since >= tellAfter) {
        told = true;
        waiting();
      }
      await sleep(pause);
      pause = Math.min(2 * pause, pauses.most);
    } else {
      [pause, begun] = [pauses.least, true];
      yield got;
    }
  }
}

/**
 * @param path a file, a pipe with a name, or `-` for standard input
 * @param waiting called once where nobody has opened the pipe for writing for a second
 * @throws OwimgError `cannot-read`, `file-too-large`
 */
export async function readFile(path: string, limit: number = defaultLimits.fileLength, waiting: () => void = () => undefined): Promise<FileRead> {
  if (path === '-') {
    try {
      return { path, bytes: await readAll(process.stdin, 'standard input', limit) };
    } catch (error) {
      throw unreadable('standard input', error);
    }
  }
  let opened: number | undefined;
  try {
    const { file, stat } = await openWithoutWaiting(path);
    opened = file;
    if (stat.isDirectory()) throw new OwimgError('cannot-read', `Cannot read "${path}": it is a directory`, 'Name the image files in it.');
    if (stat.size > limit) throw tooLarge(path, stat.size, limit);
    if (stat.isFile() && stat.size > 0) return { path, bytes: await readWhole(file, stat.size) };
    // Pipes and devices do not know their size.
    return { path, bytes: await readAll(chunksOf(file, stat.isFIFO() && !isOfShell(path), waiting), path, limit) };
  } catch (error) {
    throw unreadable(path, error);
  } finally {
    if (opened !== undefined) await closeFile(opened);
  }
}
