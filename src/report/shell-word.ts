/** A name that came from outside, in a command that a person may copy. */
import { harmless } from './words.ts';

/** Means itself in every shell that owimg is started from. */
const plainWord = /^[\w./-]+$/;

/**
 * @param text what the word has to be
 * @param platform as `process.platform`
 * @returns it as one word for a POSIX shell. `undefined` where no command can be offered: for characters that cannot be seen, and on Windows,
 * whose shells agree on no quotes, for everything but letters, digits, `.`, `_`, `/` and `-`
 */
export function shellWord(text: string, platform: string = process.platform): string | undefined {
  if (plainWord.test(text)) return text;
  if (platform === 'win32' || harmless(text) !== text) return undefined;
  return `'${text.replaceAll("'", "'\\''")}'`;
}
