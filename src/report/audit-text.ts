/** The audit of a build for a person: what is wrong first, then the count. */
import type { AuditRecord } from '../audit/image.ts';
import type { Severity } from '../core/types.ts';
import { type Paint, painter, type TextOptions, wrap } from './text.ts';
import { counted, harmless } from './words.ts';

const styles: Readonly<Record<Severity, Parameters<Paint>[0]>> = { error: 'red', warning: 'yellow', note: 'dim' };

const worth: Readonly<Record<Severity, number>> = { error: 0, warning: 1, note: 2 };

function recordText(record: AuditRecord, options: TextOptions, paint: Paint): string {
  const lines = [paint('bold', harmless(record.path))];
  if (record.error !== null) lines.push(wrap(harmless(record.error), options.columns, '  not read: '));
  const { verdict } = record;
  if (verdict !== null && verdict.outcome !== 'installs')
    lines.push(wrap(harmless(verdict.reason), options.columns, `  ${verdict.route}: ${verdict.outcome}: `));
  for (const { code, severity, message, hint } of [...record.findings].sort((a, b) => worth[a.severity] - worth[b.severity])) {
    if (severity === 'note') continue;
    lines.push(`  ${paint(styles[severity], severity)} ${code}`);
    lines.push(wrap(harmless(message), options.columns, '    '));
    if (hint !== undefined) lines.push(wrap(harmless(hint), options.columns, '    > '));
  }
  return lines.join('\n');
}

const isError = ({ findings }: AuditRecord): boolean => findings.some(({ severity }) => severity === 'error');
const isWarning = ({ findings }: AuditRecord): boolean => findings.some(({ severity }) => severity === 'warning');
const isOpen = ({ verdict, kind }: AuditRecord): boolean => verdict?.outcome === 'unknown' && kind !== null;

/** The report on a build. */
export function renderAuditText(records: readonly AuditRecord[], options: TextOptions): string {
  const paint = painter(options.colour);
  const shown = records.filter((record) => record.error !== null || isError(record) || isWarning(record));
  const open = records.filter((record) => !shown.includes(record) && isOpen(record));
  const sections = shown.map((record) => recordText(record, options, paint));
  if (open.length > 0) {
    const lines = open.slice(0, 20).map((record) => wrap(`${harmless(record.path)}: ${harmless(record.verdict?.reason ?? '')}`, options.columns, '  '));
    if (open.length > lines.length) lines.push(`  and ${open.length - lines.length} more`);
    sections.push([paint('bold', `Cannot tell (${open.length})`), ...lines].join('\n'));
  }
  const images = records.filter(({ size }) => size !== null).length;
  const installs = records.filter(({ verdict }) => verdict?.outcome === 'installs' || verdict?.outcome === 'installs-without-settings').length;
  const counts = [
    `${counted(records.filter(isError).length, 'has errors', 'have errors')}`,
    `${counted(records.filter(isWarning).length, 'has warnings', 'have warnings')}`,
    `${counted(open.length, 'cannot be judged', 'cannot be judged')}`,
    `${installs} of those that are made to be flashed install on their device`,
  ];
  sections.push(wrap(`${counted(images, 'image')}: ${counts.join(', ')}.`, options.columns));
  return `${sections.join('\n\n')}\n`;
}
