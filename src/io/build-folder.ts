/** Finds the images of a build: every folder below the one given, with the lists that lie beside them. */
import { opendir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { digestsName, profilesName, type Release, readRelease } from '../audit/release.ts';
import { OwimgError } from '../core/errors.ts';

export interface BuildFolder {
  /** From the folder given, with slashes; empty for itself. */
  readonly path: string;
  readonly release: Release;
  readonly hasList: boolean;
  /** Names of the files that are images, or may be. */
  readonly images: readonly string[];
}

/** What lies beside images and is none. */
const notImages =
  /\.(json|ndjson|sarif|xml|txt|manifest|buildinfo|asc|sig|sha256|md5|log|html?|bom|cdx|ipk|apk|adb|pem|pub|config|dtb|elf|debug|vmlinux)$|^(sha256sums|packages|index|config|feeds|version)/i;
const archives = /(sdk|imagebuilder|toolchain|llvm-bpf|kernel-debug)[-.].*\.(tar|zst|xz|gz)/i;

async function optional(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** The lists that lie in a folder; an empty release where there are none. */
export async function readLists(folder: string): Promise<Release> {
  const [profiles, digests] = await Promise.all([optional(join(folder, profilesName)), optional(join(folder, digestsName))]);
  return readRelease(profiles, digests);
}

/**
 * One of the lists by its path, whatever its name is: JSON is taken for profiles.json.
 *
 * @throws OwimgError `cannot-read`
 */
export async function readList(path: string): Promise<Release> {
  const text = await readFile(path, 'utf8').catch((error: Error) => {
    throw new OwimgError('cannot-read', `Cannot read "${path}": ${error.message}`);
  });
  const release = text.trimStart().startsWith('{') ? readRelease(text, undefined) : readRelease(undefined, text);
  const [problem] = release.problems;
  if (problem !== undefined) throw new OwimgError('cannot-read', `Cannot use "${path}" as ${problem.list}: ${problem.reason}`);
  return release;
}

async function readFolder(root: string, path: string, found: BuildFolder[]): Promise<void> {
  const folder = join(root, path);
  const names: string[] = [];
  const below: string[] = [];
  for await (const entry of await opendir(folder)) {
    if (entry.isDirectory()) below.push(entry.name);
    else if (entry.isFile()) names.push(entry.name);
  }
  const release = await readLists(folder);
  const images = names.filter((name) => release.images.get(name)?.profile !== undefined || (!notImages.test(name) && !archives.test(name)));
  const hasList = names.includes(profilesName) || names.includes(digestsName);
  if (images.length > 0 || hasList) found.push({ path, release, hasList, images: images.sort() });
  for (const name of below.sort()) await readFolder(root, path === '' ? name : `${path}/${name}`, found);
}

/** Reads a build's folder and all below it, in the order of their names. Links are not followed. */
export async function readBuild(root: string): Promise<BuildFolder[]> {
  const found: BuildFolder[] = [];
  try {
    await readFolder(root, '', found);
  } catch (error) {
    const { code, path = root, message } = error as NodeJS.ErrnoException;
    const reason = code === 'ENOENT' ? 'there is no such folder' : code === 'ENOTDIR' ? 'it is not a folder' : message;
    throw new OwimgError('cannot-read', `Cannot read "${path}": ${reason}`, 'Name the folder that holds the images, as bin/targets.');
  }
  return found;
}
