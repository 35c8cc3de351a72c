/** `--format` and `--report` of the commands that CI calls: which report, and where to. */
import { appendFile } from 'node:fs/promises';
import { OwimgError } from '../core/errors.ts';
import { writeFile } from '../io/write-file.ts';
import type { CiFile } from '../report/ci.ts';
import type { Tool } from '../report/json.ts';
import type { Console } from './console.ts';

export const outputFormats = ['text', 'json', 'junit', 'sarif', 'github'] as const;
export type OutputFormat = (typeof outputFormats)[number];

/** Reports that can be written to a file beside what is printed. */
const fileFormats = ['junit', 'sarif', 'summary'] as const;
type FileFormat = (typeof fileFormats)[number];

export interface Wanted {
  readonly format: OutputFormat;
  readonly files: readonly { readonly format: FileFormat; readonly path: string }[];
}

/** `sarif=owimg.sarif`, several of them. */
export function wantedReports(format: OutputFormat | undefined, json: boolean, reports: readonly string[]): Wanted {
  if (json && format !== undefined && format !== 'json')
    throw new OwimgError('bad-usage', `Cannot print --json and --format ${format} at once`, 'Choose one of them.');
  const files = reports.map((text) => {
    const at = text.indexOf('=');
    const kind = fileFormats.find((name) => name === text.slice(0, at));
    if (kind === undefined || at === text.length - 1) {
      throw new OwimgError('bad-usage', `Cannot use "${text}" as a report: expected FORMAT=FILE, with ${fileFormats.join(', ')} as FORMAT`);
    }
    return { format: kind, path: text.slice(at + 1) };
  });
  return { format: json ? 'json' : (format ?? 'text'), files };
}

async function rendered(format: Exclude<OutputFormat, 'text' | 'json'> | FileFormat, files: readonly CiFile[], tool: Tool): Promise<string> {
  if (format === 'junit') return (await import('../report/junit.ts')).renderJunit(files);
  if (format === 'sarif') return (await import('../report/sarif.ts')).renderSarif(files, tool);
  const { renderGithub, renderGithubSummary } = await import('../report/github.ts');
  return format === 'summary' ? renderGithubSummary(files) : renderGithub(files);
}

/** Prints the report for CI, if one is wanted, and writes those that go to files. */
export async function writeReports(wanted: Wanted, files: readonly CiFile[], tool: Tool, io: Console): Promise<void> {
  const { format } = wanted;
  if (format !== 'text' && format !== 'json') io.out(await rendered(format, files, tool));
  for (const { format: kind, path } of wanted.files) await writeFile(path, await rendered(kind, files, tool), true);
  // GitHub shows what is appended to this file under the step.
  const summary = process.env['GITHUB_STEP_SUMMARY'];
  if (format === 'github' && summary !== undefined && summary !== '') await appendFile(summary, await rendered('summary', files, tool));
}
