/**
 * `npm run build`: dist/ from the sources.
 *
 * - dist/bin/owimg.js: the command, with the packages in it. One file and a few chunks instead of sixty modules and
 *   thirty files of packages, because finding and loading them one by one takes longer than checking an image does.
 *   Not minified: that gains nothing more, and stack traces stay readable.
 * - dist/src/index.js: the library for Node; the packages stay imports.
 * - dist/browser/index.js: the library for browsers, no packages left to find; the device facts in a file of their own.
 * - dist/types: declarations.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { bundleForNode } from './bundle.ts';

const root = fileURLToPath(new URL('../', import.meta.url));
process.chdir(root);
rmSync('dist', { recursive: true, force: true });

await bundleForNode('dist', 'command');
await bundleForNode('dist', 'library');

await build({
  entryPoints: ['src/index.ts'],
  outdir: 'dist/browser',
  bundle: true,
  // The device facts are fetched only by whoever asks for them.
  splitting: true,
  format: 'esm',
  platform: 'browser',
  conditions: ['browser'],
  target: 'es2022',
  sourcemap: true,
});

execFileSync(process.execPath, ['node_modules/@typescript/native/bin/tsc', '-p', 'tsconfig.build.json'], { stdio: 'inherit' });

// The compiler leaves the imports of declarations as they stand in the sources; resolvers want the names of the output.
for (const entry of readdirSync('dist/types', { recursive: true, withFileTypes: true })) {
  if (!entry.isFile()) continue;
  const file = join(entry.parentPath, entry.name);
  const platform = relative(entry.parentPath, 'dist/types/src/platform/node.js');
  const text = readFileSync(file, 'utf8')
    .replaceAll(/(from '|import\(["'])(\.[^'"]*)\.ts(['"])/g, '$1$2.js$3')
    .replaceAll("'#platform'", `'${platform}'`);
  writeFileSync(file, text);
}
