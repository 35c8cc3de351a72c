/**
 * `npm run build:action`: the GitHub action in action/, with all packages in it, for a runner installs none. `--check` fails where the
 * folder is not what the sources give.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleForNode } from './bundle.ts';

const root = fileURLToPath(new URL('../', import.meta.url));
process.chdir(root);
const check = process.argv.includes('--check');
const outdir = check ? mkdtempSync(join('node_modules', '.owimg-action-')) : 'action';
const filesIn = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
try {
  if (!check) rmSync(outdir, { recursive: true, force: true });
  await bundleForNode(outdir, 'action');
  const [made, kept] = [filesIn(outdir), filesIn('action')];
  const same = made.join() === kept.join() && made.every((file) => readFileSync(join(outdir, file)).equals(readFileSync(join('action', file))));
  if (!same) {
    process.stderr.write('action/ is not what the sources give: run npm run build:action and commit it\n');
    process.exitCode = 1;
  }
} finally {
  if (check) rmSync(outdir, { recursive: true, force: true });
}
