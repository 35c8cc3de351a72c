/** Follows what is written to a file, a terminal or a pipe from now on. */
import { open, stat } from 'node:fs/promises';
import { OwimgError } from '../core/errors.ts';
import { closeFile, openWithoutWaiting, readNow } from './waiting-file.ts';

export interface Following {
  /** All that has come since the beginning; of very much the end. */
  read(): Promise<string>;
  stop(): void;
}

/** Nobody reads more than this of a log. */
const mostKept = 1024 * 1024;

const cut = (text: string): string => (text.length > mostKept ? text.slice(-mostKept) : text);

/** Pipes and terminals are looked at so often, in milliseconds: what nobody takes out stops who writes into them. */
const lookEvery = 50;

const cannotRead = (path: string, error: NodeJS.ErrnoException): OwimgError =>
  new OwimgError(
    'cannot-read',
    `Cannot read "${path}": ${error.code === 'ENOENT' ? 'no such file' : error.message}`,
    'Start the terminal program with its log first.',
  );

/** A pipe, also one that nobody writes to so far or that another one writes to later; a terminal, also one without carrier. */
async function followStream(path: string): Promise<Following> {
  const { file } = await openWithoutWaiting(path).catch((error: NodeJS.ErrnoException) => {
    throw cannotRead(path, error);
  });
  let [text, stopped]: [string, boolean] = ['', false];
  const take = async (): Promise<void> => {
    for (let got = await readNow(file); typeof got !== 'string' && !stopped; got = await readNow(file)) text = cut(text + Buffer.from(got).toString('latin1'));
  };
  let timer: NodeJS.Timeout | undefined;
  let taking: Promise<void> = Promise.resolve();
  const look = (): void => {
    taking = take().then(
      () => {
        if (!stopped) timer = setTimeout(look, lookEvery);
      },
      // A terminal that is pulled out says nothing more.
      () => undefined,
    );
  };
  look();
  return {
    read: async () => {
      await taking;
      return text;
    },
    stop: () => {
      if (stopped) return;
      stopped = true;
      clearTimeout(timer);
      void taking.then(() => closeFile(file)).catch(() => undefined);
    },
  };
}

/** @throws OwimgError `cannot-read` */
export async function follow(path: string): Promise<Following> {
  const entry = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw cannotRead(path, error);
  });
  if (entry.isDirectory()) throw new OwimgError('cannot-read', `Cannot read "${path}": it is a directory`);
  if (!entry.isFile()) return followStream(path);
  let text = '';
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
