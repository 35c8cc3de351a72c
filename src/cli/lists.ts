/**
 * Options that may be given several times. A variadic option of commander takes every word up to the next option, so that of `--accept CODE FILE`
 * the file would be a code too: these take one value each, and what was written in a row is taken apart before.
 */
import { existsSync } from 'node:fs';

/** `--accept a --accept b`, `--accept a,b`: for `.option('--accept <code>', '…', collectCodes)`. */
export const collectCodes = (value: string, before: string[] = []): string[] => [...before, ...value.split(/[,\s]+/).filter((code) => code !== '')];

/** The values as they are: for options that take NAME=FILE. */
export const collectValues = (value: string, before: string[] = []): string[] => [...before, value];

const isCode = (word: string): boolean => /^[a-z0-9]+(-[a-z0-9]+)+$/.test(word) && !existsSync(word);
const isNamed = (word: string): boolean => /^[\w.-]+=./.test(word) && !existsSync(word);

/** What may follow behind the first value, by option. */
const lists: Readonly<Record<string, ((word: string) => boolean) | undefined>> = { '--accept': isCode, '--report': isNamed, '--part': isNamed };

/**
 * `--accept a b FILE` becomes `--accept a --accept b FILE`: a word belongs to the option as long as it can be nothing else.
 *
 * @param args what follows the program's name
 */
export function spreadLists(args: readonly string[]): string[] {
  const spread: string[] = [];
  let [option, taken]: [string, number] = ['', 0];
  for (const [index, word] of args.entries()) {
    if (word === '--') return [...spread, ...args.slice(index)];
    if (Object.hasOwn(lists, word)) [option, taken] = [word, 0];
    else if (option !== '') {
      if (taken > 0 && lists[option]?.(word) === true) spread.push(option);
      else if (taken > 0) option = '';
      taken += 1;
    }
    spread.push(word);
  }
  return spread;
}
