/** Finds what a code or a message means. Pure. */
import { type ErrorCode, errorKinds } from '../core/errors.ts';
import { type FindingCode, findingKinds } from '../core/findings.ts';
import type { Severity } from '../core/types.ts';
import { type Message, messages } from './messages.ts';

export interface ExplainedCode {
  readonly what: 'finding';
  readonly code: FindingCode;
  readonly severity: Severity;
  readonly title: string;
  readonly hint: string | undefined;
}

export interface ExplainedError {
  readonly what: 'error';
  readonly code: ErrorCode;
  readonly exit: number;
  readonly hint: string;
}

export interface ExplainedMessage {
  readonly what: 'message';
  /** The line that it was found in. */
  readonly line: string;
  readonly message: Message;
}

export type Explanation = ExplainedCode | ExplainedError | ExplainedMessage;

const isFinding = (text: string): text is FindingCode => Object.hasOwn(findingKinds, text);
const isError = (text: string): text is ErrorCode => Object.hasOwn(errorKinds, text);

const patterns = messages.map((message) => ({ message, pattern: new RegExp(message.pattern.source, 'i') }));

/** As much of a log as is looked at, and of one line. */
const [mostLines, longestLine] = [20_000, 2000];

function explainCode(code: string): Explanation | undefined {
  if (isFinding(code)) {
    const { severity, title, hint } = findingKinds[code] as { severity: Severity; title: string; hint?: string };
    return { what: 'finding', code, severity, title, hint };
  }
  return isError(code) ? { what: 'error', code, ...errorKinds[code] } : undefined;
}

/**
 * What a code of owimg, a message or a whole log means; empty if nothing in it is known.
 *
 * @param text a code, a line, or lines as a console prints them; each message is explained once, in the order of the lines
 */
export function explain(text: string): Explanation[] {
  const code = explainCode(text.trim().toLowerCase());
  if (code !== undefined) return [code];
  const found = new Map<string, ExplainedMessage>();
  for (const raw of text.split(/[\r\n]+/, mostLines)) {
    const line = raw.slice(0, longestLine).trim();
    const known = patterns.find(({ pattern }) => pattern.test(line));
    if (known !== undefined && !found.has(known.message.id)) found.set(known.message.id, { what: 'message', line, message: known.message });
  }
  return [...found.values()];
}

const wordsOf = (text: string): Set<string> => new Set(text.toLowerCase().match(/[a-z0-9]{3,}/g) ?? []);

/** The messages that share the most words with a text that nothing explains. */
export function nearest(text: string, count = 3): readonly Message[] {
  const wanted = wordsOf(text.slice(0, longestLine));
  const scored = messages.map((message) => {
    const shared = message.examples.map((example) => [...wordsOf(example)].filter((word) => wanted.has(word)).length);
    return { message, score: Math.max(...shared) };
  });
  return scored
    .filter(({ score }) => score > 0)
    .sort((a, b) => b.score - a.score)
    .slice(0, count)
    .map(({ message }) => message);
}
