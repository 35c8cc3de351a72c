/** JUnit XML, which GitLab and Jenkins show: a suite a file, a case a question. What cannot be told is an error, never a skipped case. */
import { create } from 'xmlbuilder2';
import type { CiCase, CiFile } from './ci.ts';

/** XML 1.0 has no way to write most control characters. */
const printable = (text: string): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is replaced
  text.toWellFormed().replaceAll(/[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/g, '?');

const textOf = ({ message, next }: CiCase): string => printable(next === undefined ? message : `${message}\n${next}`);

/** The report on all files. */
export function renderJunit(files: readonly CiFile[]): string {
  const count = (answer: CiCase['answer'], of: readonly CiFile[]): number => of.flatMap(({ cases }) => cases).filter((entry) => entry.answer === answer).length;
  const total = (of: readonly CiFile[]): number => of.reduce((sum, { cases }) => sum + cases.length, 0);
  const root = create({ version: '1.0', encoding: 'UTF-8' }).ele('testsuites', {
    name: 'owimg',
    tests: total(files),
    failures: count('failed', files),
    errors: count('open', files),
  });
  for (const file of files) {
    const name = printable(file.path);
    const suite = root.ele('testsuite', { name, tests: file.cases.length, failures: count('failed', [file]), errors: count('open', [file]), skipped: 0 });
    for (const entry of file.cases) {
      const made = suite.ele('testcase', { name: printable(entry.name), classname: name });
      if (entry.answer === 'failed') made.ele('failure', { message: printable(entry.message), type: 'failed' }).txt(textOf(entry));
      if (entry.answer === 'open') made.ele('error', { message: printable(entry.message), type: 'cannot tell' }).txt(textOf(entry));
    }
  }
  return `${root.end({ prettyPrint: true })}\n`;
}
