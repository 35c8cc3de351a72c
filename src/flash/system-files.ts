/** The files in which Linux tells of itself. */
import { readFileSync } from 'node:fs';

/** @returns the text without blanks at its ends; `undefined` where it is not there, or not for us: then it is not known */
export function readSystemFile(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
}
