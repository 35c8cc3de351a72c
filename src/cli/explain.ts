/** `owimg explain CODE|MESSAGE` */
import type { Command } from '@commander-js/extra-typings';
import { OwimgError } from '../core/errors.ts';
import { byteCount } from '../core/hex.ts';
import { readFile } from '../io/read-file.ts';
import { schemaVersion } from '../report/json.ts';
import { version } from '../version.ts';
import type { Console } from './console.ts';

/** Nobody reads more than this of a log, and looking for every message takes its time. */
const mostBytes = 4 * 1024 * 1024;

/** Standard input as text. What a PowerShell writes with `>` is UTF-16. */
async function readLog(): Promise<string> {
  const { bytes } = await readFile('-');
  if (bytes.length > mostBytes)
    throw new OwimgError(
      'file-too-large',
      `Cannot explain ${byteCount(bytes.length)}: the limit is ${byteCount(mostBytes)}`,
      'Give the lines around the message.',
    );
  const label = bytes[0] === 0xff && bytes[1] === 0xfe ? 'utf-16le' : bytes[0] === 0xfe && bytes[1] === 0xff ? 'utf-16be' : 'utf-8';
  return new TextDecoder(label).decode(bytes);
}

async function run(words: readonly string[], flags: { readonly json?: true | undefined }, io: Console): Promise<number> {
  const text = words.length === 1 && words[0] === '-' ? await readLog() : words.join(' ');
  if (text.trim() === '')
    throw new OwimgError('bad-usage', 'Cannot explain nothing', 'Give a code, or the message in quotes; - reads a log from standard input.');
  const { explain, nearest } = await import('../explain/explain.ts');
  const explanations = explain(text);
  const near = explanations.length === 0 ? nearest(text) : [];
  const status = explanations.length === 0 ? 3 : 0;
  if (flags.json === true) {
    io.out(`${JSON.stringify({ schemaVersion, tool: { name: 'owimg', version }, explanations, nearest: near }, null, 2)}\n`);
    return status;
  }
  const { renderExplanations, renderNearest } = await import('../report/explain-text.ts');
  const options = { columns: io.columns, colour: io.colour };
  if (status === 0) io.out(renderExplanations(explanations, options));
  else {
    const offered = near.length === 0 ? '' : `       The nearest are:\n${renderNearest(near, options)}\n`;
    io.err(`owimg: Nothing in this is a code or a message that owimg knows\n${offered}       To explain a log: owimg explain - < LOG\n`);
  }
  return status;
}

/** Adds the command; `done` gets its exit status. */
export function addExplain(program: Command, io: Console, done: (status: number) => void): void {
  program
    .command('explain')
    .description('say what a code of owimg, or a message of a router, means and what to do next')
    .argument('<text...>', 'a code, or a message in quotes; "-" reads a log from standard input')
    .option('--json', 'one JSON object (docs/schema/explain.schema.json)')
    .addHelpText('after', '\nExit status: 0 explained, 2 wrong use, 3 not known, 4 not readable\n\nExample: owimg explain "Bad Magic Number"')
    .action(async (words, flags) => done(await run(words, flags, io)));
}
