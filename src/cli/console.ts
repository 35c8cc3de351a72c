/** The terminal as the commands see it, so that tests can hand them another one. */
import { createInterface } from 'node:readline';
import { harmless } from '../report/words.ts';

export interface Console {
  /** Results. */
  out(text: string): void;
  /** A result that is no text. */
  outBytes(bytes: Uint8Array): void;
  /** Progress, errors, prompts. */
  err(text: string): void;
  /** Columns of the terminal that `out` writes to; 80 where it is none. */
  readonly columns: number;
  readonly colour: boolean;
  /** `err` goes to a person who watches. */
  readonly interactive: boolean;
  /** Asks the person at the terminal for a line; `undefined` where there is none. Ends with an empty line when the terminal goes away, or by the signal. */
  readonly ask?: ((question: string, signal?: AbortSignal) => Promise<string>) | undefined;
}

/** What went wrong, and what to do about it. */
export function sayError(io: Console, { message, hint }: { readonly message: string; readonly hint: string }): void {
  io.err(`owimg: ${harmless(message)}\n       ${harmless(hint)}\n`);
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Colour only on a terminal, and never with NO_COLOR (https://no-color.org). */
export function wantsColour(isTerminal: boolean, environment: Environment): boolean {
  if ((environment['NO_COLOR'] ?? '') !== '') return false;
  return isTerminal && environment['TERM'] !== 'dumb';
}

async function askPerson(question: string, signal?: AbortSignal): Promise<string> {
  const reader = createInterface({ input: process.stdin, output: process.stderr });
  const close = (): void => reader.close();
  signal?.addEventListener('abort', close, { once: true });
  try {
    return await new Promise<string>((resolve) => {
      reader.once('close', () => resolve(''));
      // In this mode Ctrl-C comes as a key: it is handed on as the signal that it is.
      reader.once('SIGINT', () => process.kill(process.pid, 'SIGINT'));
      reader.question(question, resolve);
    });
  } finally {
    signal?.removeEventListener('abort', close);
    reader.close();
  }
}

export function systemConsole(): Console {
  const { stdout, stderr, env } = process;
  // A reader that has seen enough (`owimg … | head`) is no error.
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
  return {
    out: (text) => void stdout.write(text),
    outBytes: (bytes) => void stdout.write(bytes),
    err: (text) => void stderr.write(text),
    columns: stdout.isTTY ? Math.max(60, stdout.columns ?? 80) : 80,
    colour: wantsColour(stdout.isTTY === true, env),
    interactive: stderr.isTTY === true,
    ask: process.stdin.isTTY && stderr.isTTY ? askPerson : undefined,
  };
}
