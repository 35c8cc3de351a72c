/** What the reports for CI have in common: files, what was asked of each, and what was found. Makes it from a check or an audit. */
import type { AuditRecord } from '../audit/image.ts';
import { finding } from '../core/findings.ts';
import type { Finding } from '../core/types.ts';
import type { Route, Verdict } from '../routes/verdict.ts';
import type { CheckResult } from './check-json.ts';
import { mainRoute, verdictCode } from './exit-code.ts';

/** One question about a file, and its answer. `open`: owimg cannot tell; never read it as passed. */
export interface CiCase {
  /** `structure and checksums`, `sysupgrade on tplink_archer-c7-v5`. */
  readonly name: string;
  readonly answer: 'passed' | 'failed' | 'open';
  readonly message: string;
  /** What to do. */
  readonly next?: string;
}

export interface CiFile {
  readonly path: string;
  readonly cases: readonly CiCase[];
  /** Errors and warnings, of the file and of the verdict that counts. */
  readonly findings: readonly Finding[];
}

const counts = ({ severity }: Finding): boolean => severity !== 'note';

function integrity(status: string, findings: readonly Finding[]): CiCase {
  const name = 'structure and checksums';
  const error = findings.find(({ severity }) => severity === 'error');
  if (status === 'broken')
    return { name, answer: 'failed', message: error?.message ?? 'The file is damaged', ...(error?.hint === undefined ? {} : { next: error.hint }) };
  if (status === 'unknown') return { name, answer: 'open', message: 'owimg does not recognise the file' };
  return { name, answer: 'passed', message: 'Well-formed' };
}

const answers = { 0: 'passed', 1: 'failed', 3: 'open' } as const;
const answerOf = (verdict: Pick<Verdict, 'outcome' | 'route'>): CiCase['answer'] => answers[verdictCode(verdict)];

const unread = (path: string, message: string, next?: string): CiFile => ({
  path,
  cases: [{ name: 'can be read', answer: 'failed', message, ...(next === undefined ? {} : { next }) }],
  findings: [],
});

/** @param asked the route to judge by; the one that the image is made for if not given */
export function checkedFile(result: CheckResult, asked?: Route): CiFile {
  const { path } = result.file;
  if ('error' in result) return unread(path, result.error.message, result.error.hint);
  const { inspection, checked } = result;
  const route = asked ?? mainRoute(inspection.kind);
  const decisive = checked.verdicts.filter((verdict) => verdict.route === route);
  const verdicts = decisive.map((verdict): CiCase => {
    const { device, outcome, reason, next } = verdict;
    return { name: `${route} on ${device}`, answer: answerOf(verdict), message: `${outcome}: ${reason}`, next };
  });
  const none: CiCase = {
    name: 'verdict',
    answer: 'open',
    message: 'Nothing says which device the file is for, or no way of flashing is made for it',
    next: 'Name the device with --device.',
  };
  return {
    path,
    cases: [integrity(inspection.status, inspection.findings), ...(verdicts.length === 0 ? [none] : verdicts)],
    findings: [...inspection.findings, ...decisive.flatMap(({ findings }) => findings)].filter(counts),
  };
}

/** One record of an audit. */
export function auditedFile(record: AuditRecord): CiFile {
  const { path, error, status, findings, verdict, profile } = record;
  if (error !== null) return unread(path, error);
  const cases: CiCase[] = status === null ? [] : [integrity(status, findings)];
  if (verdict !== null) {
    const answer = answerOf(verdict);
    cases.push({ name: `${verdict.route} on ${profile ?? 'its device'}`, answer, message: `${verdict.outcome}: ${verdict.reason}` });
  }
  const listed = findings.filter(({ layer, severity }) => layer === '' && severity === 'error');
  for (const { code, message, hint } of listed) cases.push({ name: code, answer: 'failed', message, ...(hint === undefined ? {} : { next: hint }) });
  return { path, cases, findings: findings.filter(counts) };
}

/** The findings, and one for each answer that no finding explains, so that a report made of findings alone says it too. */
export function allFindings({ cases, findings }: CiFile): readonly Finding[] {
  const place = { offset: 0, length: 0 };
  const unexplained = cases.filter(({ answer }) => answer === 'open' || (answer === 'failed' && findings.every(({ severity }) => severity !== 'error')));
  const made = unexplained.map(({ name, answer, message }): Finding => {
    const entry = answer === 'open' ? finding('verdict-open', place, { name, message }) : finding('verdict-negative', place, { name, message });
    return { ...entry, layer: '' };
  });
  return [...findings, ...made];
}
