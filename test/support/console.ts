/** A console that keeps what was written, and a way to call the program in this process. */
import type { Console } from '../../src/cli/console.ts';
import { main } from '../../src/cli/main.ts';

export interface Ran {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

/** A console of 80 columns without colour, and what was written to it so far. */
export function consoleOf(options: Partial<Console> = {}): { readonly io: Console; readonly ran: { out: string; err: string } } {
  const ran = { out: '', err: '' };
  const io: Console = {
    out: (text) => {
      ran.out += text;
    },
    outBytes: (bytes) => {
      ran.out += new TextDecoder('latin1').decode(bytes);
    },
    err: (text) => {
      ran.err += text;
    },
    columns: 80,
    colour: false,
    interactive: false,
    ...options,
  };
  return { io, ran };
}

/** Runs `owimg ARGS` on such a console. */
export async function owimg(args: readonly string[], options: Partial<Console> = {}): Promise<Ran> {
  const { io, ran } = consoleOf(options);
  const status = await main(args, io);
  return { status, ...ran };
}
