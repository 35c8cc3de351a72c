/** Follows what is written to a file, a terminal or a pipe from now on. */
import { createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { OwimgError } from '../core/errors.ts';

export interface Following {
  /** All that has come since the beginning; of very much the end. */
  read(): Promise<string>;
  stop(): void;
}

/** Nobody reads more than this of a log. */
const mostKept = 1024 * 1024;

const cut = (text: string): string => (text.length > mostKept ? text.slice(-mostKept) : text);

/** @throws OwimgError `cannot-read` */
export async function follow(path: string): Promise<Following> {
  const entry = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw new OwimgError(
      'cannot-read',
      `Cannot read "${path}": ${error.code === 'ENOENT' ? 'no such file' : error.message}`,
      'Start the terminal program with its log first.',
    );
  });
  if (entry.isDirectory()) throw new OwimgError('cannot-read', `Cannot read "${path}": it is a directory`);
  let text = '';
  if (!entry.isFile()) {
    const stream = createReadStream(path);
    stream.on('data', (data) => {
      text = cut(text + data.toString('latin1'));
    });
    // A terminal that is pulled out says nothing more.
    stream.on('error', () => undefined);
    return { read: async () => text, stop: () => stream.destroy() };
  }
  let offset = entry.size;
  return {
    read: async () => {
      const handle = await open(path, 'r').catch(() => undefined);
      if (handle === undefined) return text;
      try {
        const { size } = await handle.stat();
        // Begun anew: all of it is new.
        if (size < offset) offset = 0;
        const bytes = new Uint8Array(Math.min(size - offset, mostKept));
        const { bytesRead } = await handle.read(bytes, 0, bytes.length, size - bytes.length);
        offset = size;
        text = cut(text + Buffer.from(bytes.subarray(0, bytesRead)).toString('latin1'));
      } finally {
        await handle.close();
      }
      return text;
    },
    stop: () => undefined,
  };
}
