/** The verdicts for a person at a terminal of 80 columns. */
import type { Checked } from '../check.ts';
import type { Inspection, Severity } from '../core/types.ts';
import type { Device } from '../devices/facts.ts';
import type { Outcome, Route, Verdict } from '../routes/verdict.ts';
import type { CheckedImage } from './check-json.ts';
import { mainRoute } from './exit-code.ts';
import { countChecks, type Paint, painter, type TextOptions, wrap } from './text.ts';
import { counted, harmless, statusSentence, whatItIs } from './words.ts';

const routeNames: Readonly<Record<Route, string>> = {
  stock: "the vendor's web page",
  sysupgrade: 'sysupgrade or LuCI on a running OpenWrt',
  mtd: 'a raw write (mtd write, cp.b)',
  tftp: "the boot loader's recovery (TFTP)",
  ram: 'booted from RAM, not installed',
  disk: 'written to a card, stick or disk',
};

export const outcomeWords: Readonly<Record<Outcome, string>> = {
  installs: 'INSTALLS',
  'installs-without-settings': 'INSTALLS, THE SETTINGS ARE LOST',
  boots: 'BOOTS, NOTHING IS STORED',
  refused: 'REFUSED (harmless)',
  bricks: 'BRICKS: it would be written and not boot',
  'not-applicable': 'does not apply',
  unknown: 'CANNOT TELL',
};

export const outcomeStyles: Readonly<Record<Outcome, Parameters<Paint>[0]>> = {
  installs: 'green',
  'installs-without-settings': 'yellow',
  boots: 'green',
  refused: 'yellow',
  bricks: 'red',
  'not-applicable': 'dim',
  unknown: 'red',
};

const severityWords: Readonly<Record<Severity, string>> = { error: 'error', warning: 'warning', note: 'note' };

function verdictText(verdict: Verdict, options: TextOptions, paint: Paint): string {
  const { columns } = options;
  const lines = [`${paint('bold', verdict.route)} (${routeNames[verdict.route]}): ${paint(outcomeStyles[verdict.outcome], outcomeWords[verdict.outcome])}`];
  lines.push(wrap(harmless(verdict.reason), columns, '  '));
  for (const { code, severity, hint } of verdict.findings) {
    lines.push(wrap(`${severityWords[severity]} ${code}${hint === undefined ? '' : `: ${harmless(hint)}`}`, columns, '  ! '));
  }
  lines.push(wrap(harmless(verdict.next), columns, '  Next: '));
  for (const [index, assumed] of verdict.assumes.entries())
    lines.push(wrap(harmless(assumed), columns, index === 0 ? '  Taken for granted: ' : `${' '.repeat(21)}`));
  return lines.join('\n');
}

const deviceLine = ({ title, profile, target }: Device): string => `${title} (${profile}, ${target})`;

/** The route that the image is made for first, then what is dangerous, then the rest. */
function sorted(verdicts: readonly Verdict[], first: Route | undefined): Verdict[] {
  const weight = ({ route, outcome }: Verdict): number => (route === first ? 0 : outcome === 'bricks' ? 1 : outcome === 'unknown' ? 3 : 2);
  return [...verdicts].sort((a, b) => weight(a) - weight(b));
}

function candidatesText({ candidates }: Checked, { identities }: Inspection, options: TextOptions): string {
  const [first] = identities;
  if (candidates.length === 0 && first !== undefined) {
    const names = `It names ${harmless(first.value)} (${first.source}), which is no device that owimg has facts of.`;
    return wrap(`${names} Say which one you have: --device NAME (owimg devices finds the name).`, options.columns);
  }
  if (candidates.length === 0) {
    return wrap('Nothing in it says which device it is for. Say which one you have: --device NAME (owimg devices finds the name).', options.columns);
  }
  const names = candidates.map((device) => wrap(deviceLine(device), options.columns, '  '));
  const shown = names.slice(0, 12);
  const more = names.length > shown.length ? [`  and ${names.length - shown.length} more`] : [];
  return [wrap('It names several devices. Say which one you have with --device NAME:', options.columns), ...shown, ...more].join('\n');
}

/** The report on one file. */
export function renderCheckText({ file, member, inspection, checked }: CheckedImage, options: TextOptions, route?: Route): string {
  const paint = painter(options.colour);
  const checks = countChecks(inspection.root);
  const name = harmless(`${file.path === '-' ? 'standard input' : file.path}${member === undefined ? '' : ` (${member})`}`);
  const sections = [wrap(`${name}: ${whatItIs(inspection)}${statusSentence(inspection, checks)}`, options.columns)];
  const first = route ?? mainRoute(inspection.kind);
  if (checked.verdicts.length === 0) sections.push(candidatesText(checked, inspection, options));
  for (const device of checked.verdicts.length === 0 ? [] : checked.candidates) {
    const own = checked.verdicts.filter((verdict) => verdict.device === device.profile && (route === undefined || verdict.route === route));
    const applicable = own.filter(({ outcome, route: way }) => outcome !== 'not-applicable' || way === first);
    const others = own.filter((verdict) => !applicable.includes(verdict)).map((verdict) => verdict.route);
    sections.push(paint('bold', wrap(`On ${deviceLine(device)}`, options.columns)));
    sections.push(...sorted(applicable, first).map((verdict) => verdictText(verdict, options, paint)));
    if (others.length > 0) sections.push(wrap(`Ways that do not apply: ${others.join(', ')}`, options.columns));
  }
  const errors = inspection.findings.filter(({ severity }) => severity === 'error').length;
  if (errors > 0) sections.push(wrap(`${counted(errors, 'error')} in the file itself: owimg inspect shows them.`, options.columns));
  sections.push(
    wrap('A verdict holds for what owimg checked: it cannot see the state of your flash, nor whether this release works on your device.', options.columns),
  );
  return `${sections.join('\n\n')}\n`;
}
