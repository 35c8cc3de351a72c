/** Whether a file is still the one that was read. */
import { statSync } from 'node:fs';

interface State {
  readonly size: bigint;
  readonly time: bigint;
  readonly inode: bigint;
}

function stateOf(path: string): State | undefined {
  const entry = statSync(path, { bigint: true, throwIfNoEntry: false });
  return entry === undefined || !entry.isFile() ? undefined : { size: entry.size, time: entry.mtimeNs, inode: entry.ino };
}

/**
 * To be called before the file is read, so that no change goes unnoticed.
 *
 * @param path a file; for standard input, pipes and devices there is nothing to compare
 * @returns says in what way the file has changed; `undefined` while it has not
 */
export function changeOf(path: string): () => string | undefined {
  const before = path === '-' ? undefined : stateOf(path);
  if (before === undefined) return () => undefined;
  return () => {
    const after = stateOf(path);
    if (after === undefined) return `"${path}" is no longer there`;
    if (after.size !== before.size) return `"${path}" had ${before.size} bytes and has ${after.size} now`;
    return after.time === before.time && after.inode === before.inode ? undefined : `"${path}" was written anew`;
  };
}
