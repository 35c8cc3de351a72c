/** Fills in what all verdicts of one route have in common. */
import type { Finding } from '../core/types.ts';
import { loaderOnDamage } from './loaders.ts';
import type { Subject } from './subject.ts';
import type { Outcome, Route, Verdict } from './verdict.ts';

export interface Said {
  readonly findings?: readonly Finding[];
  readonly assumes?: readonly string[];
  readonly next: string;
}

export type Say = (outcome: Outcome, reason: string, said: Said) => Verdict;

export function verdictMaker(subject: Subject, route: Route): Say {
  return (outcome, reason, { findings = [], assumes = [], next }) => ({ device: subject.device.profile, route, outcome, reason, assumes, findings, next });
}

/** The first error in the file itself. */
export const damageFindings = (subject: Subject): Finding[] => subject.inspection.findings.filter(({ severity }) => severity === 'error').slice(0, 1);

/** The same in words. */
export const damageOf = (subject: Subject): string => damageFindings(subject)[0]?.message ?? 'it is damaged';

/** The same as a sentence with what the boot loader will say to it. */
export function damageForLoader(subject: Subject): string {
  const [first] = subject.pieces;
  const words = first === undefined ? undefined : loaderOnDamage(first);
  return `${damageOf(subject)}.${words === undefined ? '' : ` It says ${words}.`}`;
}

/** How the file is called in a command. */
export const fileWord = (subject: Subject): string => subject.name ?? 'FILE';

/** What to do with a file that is packed where the way takes it as it is; `undefined` if it is not. */
export function unwrapAdvice(subject: Subject): string | undefined {
  const { root, context } = subject;
  const unpack: Readonly<Record<string, string>> = { gzip: 'gunzip', xz: 'unxz', zip: 'unzip', tar: 'tar xf' };
  const command = unpack[root.format];
  if (command === undefined || (!context.archives.has(root.format) && root.children.length === 0)) return undefined;
  const file = fileWord(subject);
  return `Unpack it first, ${command} ${file}, and check what comes out.`;
}

export const seeDevice = (subject: Subject): string => `See owimg devices ${subject.device.profile} for the files that OpenWrt builds for it.`;
