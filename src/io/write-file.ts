/** Writes results: to a temporary name beside the target, then renamed, so that a file is whole or not there. */
import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
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
  if (found !== undefined && !force) throw exists(path);
  const folder = dirname(path);
  const isFolder = await stat(folder).then(
    (entry) => entry.isDirectory(),
    () => false,
  );
  if (!isFolder)
    throw new OwimgError('cannot-write', `Cannot write "${path}": the folder "${folder}" does not exist`, 'Make it first, or give another name with -o.');
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
  const temporary = join(dirname(path), `.${basename(path).slice(0, 100)}.${randomUUID()}.tmp`);
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
    if (force) await rename(temporary, path);
    // A link fails where the name is taken, also by somebody who was quicker.
    else {
      await link(temporary, path).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'EEXIST') throw exists(path);
        // File systems without links: FAT on a stick.
        if (error.code === 'EPERM' || error.code === 'ENOTSUP' || error.code === 'EOPNOTSUPP')
          return requireWritable(path, false).then(() => rename(temporary, path));
        throw error;
      });
      await rm(temporary, { force: true });
    }
  } catch (error) {
    await rm(temporary, { force: true });
    throw unwritable(path, error);
  } finally {
    unfinished.delete(temporary);
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
  const temporary = join(dirname(path), `.${basename(path).slice(0, 100)}.${randomUUID()}.tmp`);
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
