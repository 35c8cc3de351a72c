/** `owimg formats` */
import type { Command } from '@commander-js/extra-typings';
import { formats } from '../index.ts';
import { version } from '../version.ts';
import type { Console } from './console.ts';

const listed = () =>
  formats.map(({ id, title, summary, role, kind, references, limitations, build, wrap }) => ({
    id,
    title,
    summary,
    role,
    kind,
    builds: build !== undefined,
    wraps: wrap !== undefined,
    references,
    limitations,
  }));

export function addFormats(program: Command, io: Console, done: (status: number) => void): void {
  program
    .command('formats')
    .description('list the formats that owimg reads')
    .option('--json', 'as JSON')
    .action(async (flags) => {
      if (flags.json === true) io.out(`${JSON.stringify({ schemaVersion: 1, tool: { name: 'owimg', version }, formats: listed() }, null, 2)}\n`);
      else {
        const { renderFormats } = await import('../report/formats-text.ts');
        io.out(renderFormats(formats, io.columns));
      }
      done(0);
    });
}
