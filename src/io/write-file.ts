/** Writes results: to a temporary name beside the target, then renamed, so that a file is whole or not there. */
import { createHash, randomUUID } from 'node:crypto';
import { closeSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { link, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { OwimgError } from '../core/errors.ts';

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'its folder does not exist',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EISDIR: 'it is a directory',
  ENOTDIR: 'a part of the path is not a directory',
  ENOSPC: 'no space left',
  EROFS: 'the file system is read-only',
  EDQUOT: 'the quota is used up',
  ENAMETOOLONG: 'the name is too long',
};

function unwritable(path: string, error: unknown): OwimgError {
  if (error instanceof OwimgError) return error;
  const { code = '', message } = error as NodeJS.ErrnoException;
  return new OwimgError('cannot-write', `Cannot write "${path}": ${reasons[code] ?? message}`);
}

const exists = (path: string): OwimgError =>
  new OwimgError('cannot-write', `Cannot write "${path}": it exists, and is kept`, 'Give another name with -o, or --force to replace it.');

/** Temporary files that are being written. */
const unfinished = new Set<string>();

/** For a program that is interrupted: takes away what it was writing. */
export function removeUnfinished(): void {
  for (const path of unfinished) rmSync(path, { force: true, recursive: true });
}

/**
 * Refuses a path that a later {@link writeFile} could not write, so that nobody waits for a result that then cannot be kept.
 *
 * @throws OwimgError `cannot-write`
 */
export async function requireWritable(path: string, force: boolean): Promise<void> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw unwritable(path, error);
  });
  if (found?.isDirectory()) throw unwritable(path, Object.assign(new Error(), { code: 'EISDIR' }));
  // The result would take the place of a device, which other programs need.
  if (found !== undefined && !found.isFile()) throw new OwimgError('cannot-write', `Cannot write "${path}": it is no regular file`);
  if (found !== undefined && !force) throw exists(path);
  const folder = dirname(path);
  const isFolder = await stat(folder).then(
    (entry) => entry.isDirectory(),
    () => false,
  );
  if (!isFolder)
    throw new OwimgError('cannot-write', `Cannot write "${path}": the folder "${folder}" does not exist`, 'Make it first, or give another name with -o.');
}

const temporaryName = (path: string): string => join(dirname(path), `.${basename(path).slice(0, 100)}.${randomUUID()}.tmp`);

/** Gives what was written its name. */
async function publish(temporary: string, path: string, force: boolean): Promise<void> {
  if (force) {
    await rename(temporary, path);
    return;
  }
  // A link fails where the name is taken, also by somebody who was quicker.
  await link(temporary, path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'EEXIST') throw exists(path);
    // File systems without links: FAT on a stick.
    if (error.code === 'EPERM' || error.code === 'ENOTSUP' || error.code === 'EOPNOTSUPP')
      return requireWritable(path, false).then(() => rename(temporary, path));
    throw error;
  });
  await rm(temporary, { force: true });
}

/**
 * Writes a new file, or replaces one with `force`; several pieces one behind the other. Interrupted at any moment there is no file, or the whole one.
 *
 * @param verify is given what was read back, and throws where that is not good enough to be kept
 * @throws OwimgError `cannot-write`, and what `verify` throws; the target is as it was
 */
export async function writeFile(
  path: string,
  bytes: Uint8Array | string | Iterable<Uint8Array>,
  force = false,
  verify?: (written: Uint8Array) => Promise<void>,
): Promise<void> {
  const temporary = temporaryName(path);
  try {
    unfinished.add(temporary);
    const handle = await open(temporary, 'wx', 0o666);
    try {
      // A handle goes on writing where it is.
      for (const part of typeof bytes === 'string' || bytes instanceof Uint8Array ? [bytes] : bytes) await handle.writeFile(part);
      // The disk takes its time; what was written is looked at meanwhile.
      const synced = handle.sync();
      const checked = verify === undefined ? undefined : readFile(temporary).then((written) => verify(new Uint8Array(written)));
      await Promise.all([synced, checked]);
    } finally {
      await handle.close();
    }
    await publish(temporary, path, force);
  } catch (error) {
    await rm(temporary, { force: true });
    throw unwritable(path, error);
  } finally {
    unfinished.delete(temporary);
  }
}

/** Written at once: takes a few microseconds, so that nobody who waits for an answer meanwhile has to wait for long. */
const pieceLength = 32 * 1024;

/** A file whose bytes come one after the other: it has its name only when it is {@link keep kept}. Needs the same little memory for any length. */
export class GrowingFile {
  readonly #path: string;
  readonly #temporary: string;
  readonly #piece = new Uint8Array(pieceLength);
  #used = 0;
  #file: number | undefined;
  /** Bytes. */
  length = 0;

  /** @throws OwimgError `cannot-write` */
  constructor(path: string) {
    this.#path = path;
    this.#temporary = temporaryName(path);
    try {
      this.#file = openSync(this.#temporary, 'wx+', 0o666);
    } catch (error) {
      throw unwritable(path, error);
    }
    unfinished.add(this.#temporary);
  }

  /** @throws OwimgError `cannot-write` */
  add(bytes: Uint8Array): void {
    this.length += bytes.length;
    if (this.#used + bytes.length > pieceLength) this.#flush();
    if (bytes.length > pieceLength) this.#write(bytes);
    else {
      this.#piece.set(bytes, this.#used);
      this.#used += bytes.length;
    }
  }

  /**
   * Gives it its name, or that of a file which is there with `force`.
   *
   * @returns SHA-256 of what is in the file, in hexadecimal digits
   * @throws OwimgError `cannot-write`
   */
  async keep(force: boolean): Promise<string> {
    try {
      this.#flush();
      const sha256 = this.#hash();
      const handle = await open(this.#temporary, 'r+');
      await handle.sync().finally(() => handle.close());
      await publish(this.#temporary, this.#path, force);
      return sha256;
    } catch (error) {
      throw unwritable(this.#path, error);
    } finally {
      this.discard();
    }
  }

  /** Takes away what was not kept. */
  discard(): void {
    if (this.#file === undefined) return;
    closeSync(this.#file);
    this.#file = undefined;
    rmSync(this.#temporary, { force: true });
    unfinished.delete(this.#temporary);
  }

  #flush(): void {
    this.#write(this.#piece.subarray(0, this.#used));
    this.#used = 0;
  }

  #write(bytes: Uint8Array): void {
    if (this.#file === undefined) throw new Error('A file that is kept or discarded was written to');
    try {
      for (let done = 0; done < bytes.length; ) done += writeSync(this.#file, bytes, done);
    } catch (error) {
      throw unwritable(this.#path, error);
    }
  }

  #hash(): string {
    const hash = createHash('sha256');
    if (this.#file === undefined) throw new Error('A file that is kept or discarded was read');
    for (let offset = 0; ; ) {
      const length = readSync(this.#file, this.#piece, 0, pieceLength, offset);
      if (length === 0) return hash.digest('hex');
      hash.update(this.#piece.subarray(0, length));
      offset += length;
    }
  }
}

/**
 * Writes a new folder with files in it: whole or not at all. Into one that is there files are put one by one, with `force`.
 *
 * @param files by name; the names are plain ones without folders
 * @throws OwimgError `cannot-write`
 */
export async function writeFolder(path: string, files: ReadonlyMap<string, Uint8Array>, force = false): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found !== undefined) {
    if (!force || !found.isDirectory()) throw exists(path);
    for (const [name, bytes] of files) await writeFile(join(path, name), bytes, true);
    return;
  }
  const temporary = temporaryName(path);
  try {
    unfinished.add(temporary);
    await mkdir(temporary);
    for (const [name, bytes] of files) await writeFile(join(temporary, name), bytes);
    // Renaming over an empty folder that somebody made meanwhile does no harm; over anything else it fails.
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true, recursive: true });
    throw unwritable(path, error);
  } finally {
    unfinished.delete(temporary);
  }
}

/**
 * Makes a folder for several results, if it is not there.
 *
 * @throws OwimgError `cannot-write`
 */
export async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (error) {
    throw unwritable(path, error);
  }
}
