/** Material that lies beside the project and never in it. Tests that need it skip visibly where it is missing. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The path of a file or folder beside the project, `undefined` if it is not there. */
export function shared(path: string): string | undefined {
  const full = fileURLToPath(new URL(`../../../shared/${path}`, import.meta.url));
  return existsSync(full) ? full : undefined;
}
