/** `owimg explain CODE|MESSAGE` */
import type { Command } from '@commander-js/extra-typings';
import { OwimgError } from '../core/errors.ts';
import { readFile } from '../io/read-file.ts';
import { schemaVersion } from '../report/json.ts';
import { version } from '../version.ts';
import type { Console } from './console.ts';

async function run(words: readonly string[], flags: { readonly json?: true | undefined }, io: Console): Promise<number> {
  const text = words.length === 1 && words[0] === '-' ? new TextDecoder('utf-8').decode((await readFile('-')).bytes) : words.join(' ');
  if (text.trim() === '')
    throw new OwimgError('bad-usage', 'Cannot explain nothing', 'Give a code, or the message in quotes; - reads a log from standard input.');
  const { explain, nearest } = await import('../explain/explain.ts');
  const { renderExplanations, renderNearest } = await import('../report/explain-text.ts');
  const explanations = explain(text);
  const options = { columns: io.columns, colour: io.colour };
  if (flags.json === true) {
    const shown = explanations.map((entry) => {
      if (entry.what !== 'message') return entry;
      const { pattern: _, examples: __, ...message } = entry.message;
      return { ...entry, message };
    });
    io.out(`${JSON.stringify({ schemaVersion, tool: { name: 'owimg', version }, explanations: shown }, null, 2)}\n`);
  } else if (explanations.length > 0) io.out(renderExplanations(explanations, options));
  if (explanations.length > 0) return 0;
  const near = nearest(text);
  io.err(`owimg: Nothing in this is a message that owimg knows\n${near.length === 0 ? '' : `       The nearest are:\n${renderNearest(near, options)}\n`}`);
  return 3;
}

/** Adds the command; `done` gets its exit status. */
export function addExplain(program: Command, io: Console, done: (status: number) => void): void {
  program
    .command('explain')
    .description('say what a code of owimg, or a message of a router, means and what to do next')
    .argument('<text...>', 'a code, or a message in quotes; "-" reads a log from standard input')
    .option('--json', 'one JSON object')
    .addHelpText('after', '\nExit status: 0 explained, 3 not known\n\nExample: owimg explain "Bad Magic Number"')
    .action(async (words, flags) => done(await run(words, flags, io)));
}
