/** JUnit XML, which GitLab and Jenkins show: a suite a file, a case a question. What cannot be told is an error, never a skipped case. */
import XMLBuilder from 'fast-xml-builder';
import type { CiCase, CiFile } from './ci.ts';

/** XML 1.0 has no way to write most control characters. */
const printable = (text: string): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is replaced
  text.toWellFormed().replaceAll(/[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/g, '?');

const textOf = ({ message, next }: CiCase): string => printable(next === undefined ? message : `${message}\n${next}`);

const xml = new XMLBuilder({ ignoreAttributes: false, attributeNamePrefix: '@', format: true, suppressEmptyNode: true });

/** A node with what is wrong, for an answer that is not good. */
function complaint(entry: CiCase): object {
  const node = (type: string): object => ({ '@message': printable(entry.message), '@type': type, '#text': textOf(entry) });
  if (entry.answer === 'passed') return {};
  return entry.answer === 'failed' ? { failure: node('failed') } : { error: node('cannot tell') };
}

/** The report on all files. */
export function renderJunit(files: readonly CiFile[]): string {
  const count = (answer: CiCase['answer'], of: readonly CiFile[]): number => of.flatMap(({ cases }) => cases).filter((entry) => entry.answer === answer).length;
  const total = (of: readonly CiFile[]): number => of.reduce((sum, { cases }) => sum + cases.length, 0);
  const counts = (of: readonly CiFile[]): object => ({ '@tests': total(of), '@failures': count('failed', of), '@errors': count('open', of) });
  const suites = files.map((file) => {
    const name = printable(file.path);
    const cases = file.cases.map((entry) => ({ '@name': printable(entry.name), '@classname': name, ...complaint(entry) }));
    return { '@name': name, ...counts([file]), '@skipped': 0, testcase: cases };
  });
  const root = { '?xml': { '@version': '1.0', '@encoding': 'UTF-8' }, testsuites: { '@name': 'owimg', ...counts(files), testsuite: suites } };
  return xml.build(root);
}
