/**
 * Pipes with a name, and terminals, opened so that nobody is stuck in it: the open() of a pipe waits for a writer, that of a serial line for its
 * carrier, and a thread that waits in the system can be ended by nothing but SIGKILL. So it is opened without waiting, and looked at again.
 */
import { close, constants, fstat, open, read, type Stats } from 'node:fs';
import { promisify } from 'node:util';

const openFile = promisify(open);
const statOf = promisify(fstat);
const readInto = promisify(read);
export const closeFile = promisify(close);

/** Windows knows neither of the two. */
const withoutWaiting = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0) | (constants.O_NOCTTY ?? 0);

const chunkLength = 64 * 1024;

/** @throws as `fs.open` */
export async function openWithoutWaiting(path: string): Promise<{ readonly file: number; readonly stat: Stats }> {
  const file = await openFile(path, withoutWaiting);
  try {
    return { file, stat: await statOf(file) };
  } catch (error) {
    await closeFile(file);
    throw error;
  }
}

/** What is there now. @returns `nothing-yet`: somebody may still write; `end`: nobody writes, any longer or so far */
export async function readNow(file: number): Promise<Uint8Array | 'nothing-yet' | 'end'> {
  const bytes = new Uint8Array(chunkLength);
  try {
    const { bytesRead } = await readInto(file, bytes, 0, chunkLength, null);
    return bytesRead === 0 ? 'end' : bytes.subarray(0, bytesRead);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return 'nothing-yet';
    throw error;
  }
}
