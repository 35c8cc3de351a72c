/** A console that keeps what was written, and a way to call the program in this process. */
import type { Console } from '../../src/cli/console.ts';
import { main } from '../../src/cli/main.ts';

export interface Ran {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

/** Runs `owimg ARGS` on a console of 80 columns without colour. */
export async function owimg(args: readonly string[], options: Partial<Console> = {}): Promise<Ran> {
  let out = '';
  let err = '';
  const console: Console = {
    out: (text) => {
      out += text;
    },
    outBytes: (bytes) => {
      out += new TextDecoder('latin1').decode(bytes);
    },
    err: (text) => {
      err += text;
    },
    columns: 80,
    colour: false,
    interactive: false,
    ...options,
  };
  const status = await main(args, console);
  return { status, out, err };
}
