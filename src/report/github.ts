/** Annotations and a step summary for GitHub Actions (workflow commands). */
import type { Severity } from '../core/types.ts';
import { allFindings, type CiCase, type CiFile } from './ci.ts';

const commands: Readonly<Record<Severity, string>> = { error: 'error', warning: 'warning', note: 'notice' };

/** https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts: what must not stand in a message or a property. */
const data = (text: string): string => text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
const property = (text: string): string => data(text).replaceAll(':', '%3A').replaceAll(',', '%2C');

/** GitHub shows the first ten of a step and drops the rest. */
export function renderGithub(files: readonly CiFile[]): string {
  const found = files.flatMap((file) => allFindings(file).map((entry) => ({ path: file.path, ...entry })));
  const weight: Readonly<Record<Severity, number>> = { error: 0, warning: 1, note: 2 };
  const lines = found
    .sort((a, b) => weight[a.severity] - weight[b.severity])
    .map(({ path, code, severity, message, hint }) => {
      const text = hint === undefined ? message : `${message}\n${hint}`;
      return `::${commands[severity]} file=${property(path)},title=${property(`owimg: ${code}`)}::${data(text)}\n`;
    });
  return lines.join('');
}

const marks: Readonly<Record<CiCase['answer'], string>> = { passed: '✅', failed: '❌', open: '❓ cannot tell' };
const cell = (text: string): string =>
  text
    .replaceAll('\\', '\\\\')
    .replaceAll('|', '\\|')
    .replaceAll('<', '&lt;')
    .replaceAll(/[\r\n]+/g, ' ');

/** Rows that a summary shows; those that passed are counted, not listed, where there are more. */
const mostRows = 200;

/** Markdown for $GITHUB_STEP_SUMMARY. */
export function renderGithubSummary(files: readonly CiFile[]): string {
  const rows = files.flatMap(({ path, cases }) => cases.map((entry) => ({ path, ...entry })));
  const bad = rows.filter(({ answer }) => answer !== 'passed');
  const shown = (rows.length <= mostRows ? rows : bad).slice(0, mostRows);
  const count = (answer: CiCase['answer']): number => rows.filter((row) => row.answer === answer).length;
  const table = shown.map(({ path, name, answer, message }) => `| \`${cell(path)}\` | ${cell(name)} | ${marks[answer]} | ${cell(message)} |`);
  const head = `## owimg\n\n${files.length} files: ${count('passed')} answers are good, ${count('failed')} bad, ${count('open')} open.\n`;
  if (table.length === 0) return head;
  const more = (rows.length <= mostRows ? rows : bad).length > shown.length ? `\nOnly the first ${mostRows} are shown.\n` : '';
  return `${head}\n| file | question | answer | |\n|---|---|---|---|\n${table.join('\n')}\n${more}`;
}
