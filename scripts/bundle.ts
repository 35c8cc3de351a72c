/** The program and the library for Node: one file and a few chunks; the packages stay imports. */
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

/** @param outdir from the project's folder; somewhere in it, so that the packages are found */
export async function bundleForNode(outdir: string): Promise<void> {
  await build({
    absWorkingDir: fileURLToPath(new URL('../', import.meta.url)),
    entryPoints: ['bin/owimg.ts', 'src/index.ts', 'src/cli/audit-worker.ts'],
    outdir,
    outbase: '.',
    // src/cli/audit-pool.ts looks for its worker beside itself.
    chunkNames: 'src/cli/[name]-[hash]',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    packages: 'external',
    // "#platform" is ours, not a package: it goes into the bundle.
    alias: { '#platform': './src/platform/node.ts' },
    sourcemap: true,
    logLevel: 'warning',
  });
}
