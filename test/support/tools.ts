/** Tools of Debian that tests compare owimg with. A test skips, visibly, where its tool is not installed: `test.skipIf(!installed('mkimage'))`. */
import { execFileSync, spawnSync } from 'node:child_process';

const environment = { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/sbin`, LC_ALL: 'C', TZ: 'UTC' };

/** What the tool writes to standard output; throws if it fails. */
export const run = (tool: string, ...parts: string[]): string => execFileSync(tool, parts, { encoding: 'utf8', env: environment, stdio: 'pipe' });

/** For tools that are expected to fail, or to write to standard error. */
export function attempt(tool: string, ...parts: string[]): { readonly ok: boolean; readonly out: string; readonly err: string } {
  const { status, stdout, stderr } = spawnSync(tool, parts, { encoding: 'utf8', env: environment });
  // Both are null where there is no such tool.
  return { ok: status === 0, out: stdout ?? '', err: stderr ?? '' };
}

export const installed = (...tools: string[]): boolean => tools.every((tool) => attempt('sh', '-c', `command -v ${tool}`).ok);
