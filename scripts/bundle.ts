/** The program and the library for Node: one file and a few chunks; the packages stay imports. */
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

/** Packages in CommonJS that were bundled ask for Node's own modules. */
const requireForPackages = "import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);";

/**
 * @param outdir from the project's folder; somewhere in it, so that the packages are found
 * @param what `action`: the GitHub action, with the packages inside
 */
export async function bundleForNode(outdir: string, what: 'package' | 'action' = 'package'): Promise<void> {
  const isAction = what === 'action';
  await build({
    absWorkingDir: fileURLToPath(new URL('../', import.meta.url)),
    entryPoints: [...(isAction ? ['bin/action.ts'] : ['bin/owimg.ts', 'src/index.ts']), 'src/cli/audit-worker.ts'],
    outdir,
    outbase: '.',
    // src/cli/audit-pool.ts looks for its worker beside itself.
    chunkNames: 'src/cli/[name]-[hash]',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    ...(isAction ? { banner: { js: requireForPackages }, minifyWhitespace: true, minifySyntax: true } : { packages: 'external' as const }),
    // "#platform" is ours, not a package: it goes into the bundle.
    alias: { '#platform': './src/platform/node.ts' },
    sourcemap: !isAction,
    logLevel: 'warning',
  });
}
