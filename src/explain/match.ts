/** Finds printed texts in a log: patterns of words, whatever stands between them. Pure. */

export interface Match<T> {
  readonly value: T;
  readonly offset: number;
  readonly length: number;
}

export interface Pattern<T> {
  readonly value: T;
  readonly expression: RegExp;
  /** Letters that are not wildcards: the more, the more it tells. */
  readonly letters: number;
}

/**
 * Letters and digits of a text without capitals. Ranges and no flag for capitals: hundreds of expressions with \p{L}, or with the
 * flag, take seconds to be made.
 */
const letter = '0-9a-z\\u00c0-\\u1fff\\u3040-\\u9fff\\uac00-\\ud7ff';

/** What may stand between two words: quotes, punctuation, a line that was broken and indented. */
const between = `[^${letter}_]{1,24}`;
const wildcards: Readonly<Record<string, string>> = { '%s': '\\S{1,80}?', '%d': '-?(?:0x)?[0-9a-f]{1,16}', '…': '(?:[^\\n]|\\n {2}){0,200}?' };

/** Other than `toLowerCase` this never changes the length. */
const lowerCase = (text: string): string => text.replaceAll(/[A-Z]+/g, (capitals) => capitals.toLowerCase());

const partsOfPattern = new RegExp(`%[sd]|…|[${letter}_]+`, 'g');

/**
 * A pattern of words. `%s` is a word, `%d` a number, `…` anything up to the end of the line, or of a line that was broken and indented.
 *
 * @example
 * findAll('device "a,b" not supported by this image', [compile('Device %s not supported', 1)]).length //=> 1
 */
export function compile<T>(text: string, value: T): Pattern<T> {
  const parts = lowerCase(text).match(partsOfPattern) ?? [];
  let source = '';
  let letters = 0;
  let previous = '';
  for (const part of parts) {
    const wildcard = wildcards[part];
    // "…" may be nothing at all, and then the words on both sides of it share what stands between them.
    if (previous !== '') source += part === '…' ? '' : previous === '…' ? `(?:${between})?` : between;
    source += wildcard ?? part;
    if (wildcard === undefined) letters += part.length;
    previous = part;
  }
  return { value, letters, expression: new RegExp(`(?<![${letter}_])${source}(?![${letter}_])`, 'g') };
}

/**
 * Every place where a pattern stands, in order. Where several stand on the same letters, the one with the most words of its own counts.
 *
 * @param patterns as `compile` made them, the most telling first
 */
export function findAll<T>(text: string, patterns: readonly Pattern<T>[]): Match<T>[] {
  const searched = lowerCase(text);
  const taken = new Uint8Array(text.length);
  const found: Match<T>[] = [];
  for (const { value, expression } of patterns) {
    for (const { index, 0: matched } of searched.matchAll(expression)) {
      const end = index + matched.length;
      if (taken.subarray(index, end).includes(1)) continue;
      taken.fill(1, index, end);
      found.push({ value, offset: index, length: matched.length });
    }
  }
  return found.sort((a, b) => a.offset - b.offset);
}

/** The triples of letters in a text, by which two texts are alike however they are typed. */
function triples(text: string): Set<string> {
  const plain = ` ${text
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}]+/gu, ' ')
    .trim()} `;
  return new Set(Array.from({ length: Math.max(0, plain.length - 2) }, (_, index) => plain.slice(index, index + 3)));
}

/** What is most like a text, the likest first. */
export function likest<T>(text: string, candidates: readonly { readonly value: T; readonly texts: readonly string[] }[], count: number): T[] {
  const asked = triples(text);
  const alike = (other: string): number => {
    const its = triples(other);
    const shared = [...its].filter((triple) => asked.has(triple)).length;
    return shared / Math.sqrt(Math.max(1, its.size * asked.size));
  };
  return candidates
    .map(({ value, texts }) => ({ value, score: Math.max(0, ...texts.map(alike)) }))
    .filter(({ score }) => score >= leastAlike)
    .sort((a, b) => b.score - a.score)
    .slice(0, count)
    .map(({ value }) => value);
}

/** Texts that share less than this are not worth to be offered. */
const leastAlike = 0.3;
