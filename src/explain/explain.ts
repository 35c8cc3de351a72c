/** Finds what a code or a message means. Pure, and runs in browsers. */
import { type ErrorCode, errorKinds } from '../core/errors.ts';
import { type FindingCode, findingKinds } from '../core/findings.ts';
import type { Severity } from '../core/types.ts';
import { compile, findAll, likest } from './match.ts';
import { classes, type Forcing, forcings, type IncidentClass, type Message, messages, type Speaker, type Stage, speakers, stages } from './messages.ts';

export interface ExplainedFinding {
  readonly what: 'finding';
  readonly code: FindingCode;
  readonly severity: Severity;
  readonly title: string;
  /** The message, with ‹name› for what an image fills in. */
  readonly message: string;
  readonly why: string | undefined;
  readonly hint: string | undefined;
}

export interface ExplainedError {
  readonly what: 'error';
  readonly code: ErrorCode;
  readonly exit: number;
  readonly why: string;
  readonly hint: string;
}

/** A message, and where it stands in what was asked. */
export interface ExplainedMessage {
  readonly what: 'message';
  readonly id: string;
  /** The line that it was found in first. */
  readonly text: string;
  /** Number of that line, the first is 1. */
  readonly line: number;
  /** How often it occurs. */
  readonly times: number;
  readonly saidBy: { readonly id: Speaker; readonly name: string };
  readonly means: string;
  readonly stage: { readonly id: Stage; readonly harm: string; readonly says: string };
  readonly forcing: { readonly id: Forcing; readonly harm: string; readonly says: string } | undefined;
  readonly next: string;
  readonly codes: readonly FindingCode[];
  readonly classes: readonly { readonly id: IncidentClass; readonly title: string }[];
  readonly source: string;
}

export type Explanation = ExplainedFinding | ExplainedError | ExplainedMessage;

/** The message of a finding with ‹name› in the place of each argument. */
export function messageTemplate(code: FindingCode): string {
  const placeholders = new Proxy({}, { get: (_, name) => `‹${String(name)}›` });
  // A message that calculates with its arguments has no number here.
  return (findingKinds[code].message as (args: never) => string)(placeholders as never).replaceAll('NaN', '‹number›');
}

const findingCodes = Object.keys(findingKinds) as FindingCode[];
const errorCodes = Object.keys(errorKinds) as ErrorCode[];

function explainFinding(code: FindingCode): ExplainedFinding {
  const { severity, title, hint, why } = findingKinds[code] as { severity: Severity; title: string; hint?: string; why?: string };
  return { what: 'finding', code, severity, title, message: messageTemplate(code), why, hint };
}

function explainMessage(message: Message, place: { text: string; line: number; times: number }): ExplainedMessage {
  const { id, saidBy, means, stage, forcing, next, codes, source } = message;
  return {
    what: 'message',
    id,
    ...place,
    saidBy: { id: saidBy, name: speakers[saidBy] },
    means,
    stage: { id: stage, ...stages[stage] },
    forcing: forcing === undefined ? undefined : { id: forcing, ...forcings[forcing] },
    next,
    codes,
    classes: message.classes.map((name) => ({ id: name, title: classes[name] })),
    source,
  };
}

type Known = Message | FindingCode;

/** Fewer letters of a finding's own words could stand in any log. */
const fewestLetters = 16;

/** Made when first needed: most runs ask for a code. */
let patterns: ReturnType<typeof compile<Known>>[] | undefined;

function allPatterns(): ReturnType<typeof compile<Known>>[] {
  patterns ??= [
    ...messages.flatMap((message) => message.patterns.map((text) => compile<Known>(text, message))),
    // What owimg itself says. Wildcards at the ends would only make it slow.
    ...findingCodes
      .map((code) =>
        compile<Known>(
          messageTemplate(code)
            .replaceAll(/‹[^›]*›/g, '…')
            .replaceAll(/^[^\p{L}…]*…|…[^\p{L}…]*$/gu, ''),
          code,
        ),
      )
      .filter(({ letters }) => letters >= fewestLetters),
  ].sort((a, b) => b.letters - a.letters);
  return patterns;
}

/** `[    3.14] `, `[07:55:14.123] `, `Sat Nov 21 07:55:14 2026 user.notice upgrade: `: a message over several lines stands in between. */
const timeStamps = /^(?:\[[\d :.+TZ-]+\][ \t]*|(?:\w{3} )?\w{3} +\d+ \d\d:\d\d:\d\d (?:\d{4} )?\S+ \S+: )/gm;

/** Curled quotes, colours of a terminal, time stamps and the marks of a quoted mail do not belong to the message. Line breaks stay where they are. */
function cleaned(text: string): string {
  return (
    text
      .replaceAll(/\r\n?/g, '\n')
      // biome-ignore lint/suspicious/noControlCharactersInRegex: an escape sequence begins with one
      .replaceAll(/\u001b\[[0-9;?]*[A-Za-z]/g, '')
      .replaceAll(/^[ \t]*(?:>[ \t]*)+/gm, '')
      .replaceAll(timeStamps, '')
      .replaceAll(/[‘’]/g, "'")
      .replaceAll(/[“”„]/g, '"')
  );
}

const asCode = (text: string): string =>
  text
    .trim()
    .replaceAll(/^["'`]+|["'`.:]+$/g, '')
    .toLowerCase()
    .replaceAll(/[\s_]+/g, '-');

/**
 * What a code of owimg, a message or a whole log means; empty if nothing in it is known.
 *
 * @param text a code, a message, or lines as a console prints them; each message is explained once, in the order in which they begin
 */
export function explain(text: string): Explanation[] {
  const code = asCode(text);
  const finding = findingCodes.find((known) => known === code);
  if (finding !== undefined) return [explainFinding(finding)];
  const error = errorCodes.find((known) => known === code);
  if (error !== undefined) return [{ what: 'error', code: error, ...errorKinds[error] }];
  const log = cleaned(text);
  const alias = messages.find(({ aliases }) => aliases?.some((short) => asCode(short) === code));
  if (alias !== undefined) return [explainMessage(alias, { text: log.trim(), line: 1, times: 1 })];

  const found = new Map<Known, { text: string; line: number; times: number }>();
  let line = 1;
  let offset = 0;
  for (const match of findAll(log, allPatterns())) {
    for (; offset < match.offset; offset++) if (log[offset] === '\n') line++;
    const known = found.get(match.value);
    if (known !== undefined) known.times++;
    else {
      const begin = log.lastIndexOf('\n', match.offset) + 1;
      const end = log.indexOf('\n', match.offset + match.length);
      const whole = log.slice(begin, end === -1 ? undefined : end).trim();
      // A line of some pages (a JSON, a web page) is not shown as a whole.
      const shown = whole.length <= longestShown ? whole : log.slice(match.offset, match.offset + match.length);
      found.set(match.value, { text: shown.replaceAll(/\s+/g, ' '), line, times: 1 });
    }
  }
  return [...found].map(([known, place]) => (typeof known === 'string' ? explainFinding(known) : explainMessage(known, place)));
}

const longestShown = 300;

/** What is known of what a device said, in sentences: meaning, and what to do next. */
export function meaningOf(text: string): string | undefined {
  const found = explain(text).find(({ what }) => what === 'message');
  return found?.what === 'message' ? `${found.means} ${found.next}` : undefined;
}

export type Nearest = { readonly what: 'finding' | 'error' | 'message'; readonly text: string };

/** As much of a text as is compared. */
const mostCompared = 2000;

/** The codes and messages that are most like a text that nothing explains. */
export function nearest(text: string, count = 3): Nearest[] {
  return likest<Nearest>(
    text.slice(0, mostCompared),
    [
      ...messages.map(({ examples, patterns: printed }) => ({
        value: { what: 'message', text: examples[0].trim() } as const,
        texts: [...examples, ...printed],
      })),
      ...findingCodes.map((code) => ({ value: { what: 'finding', text: code } as const, texts: [code, findingKinds[code].title] })),
      ...errorCodes.map((code) => ({ value: { what: 'error', text: code } as const, texts: [code] })),
    ],
    count,
  );
}
