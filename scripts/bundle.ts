/** The three things that run in Node, each bundled: one file and a few chunks. */
import { fileURLToPath } from 'node:url';
import { type BuildOptions, build } from 'esbuild';

/** Packages in CommonJS that were bundled ask for Node's own modules. */
const requireForPackages = "import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);";

const worker = 'src/cli/audit-worker.ts';
const withPackages = { banner: { js: requireForPackages }, legalComments: 'linked' } as const satisfies BuildOptions;

const bundles = {
  /** `owimg`, with the packages in it. */
  command: { entryPoints: ['bin/owimg.ts', worker], sourcemap: true, ...withPackages },
  /** `import … from 'owimg'`; the packages stay imports. */
  library: { entryPoints: ['src/index.ts'], sourcemap: true, packages: 'external' },
  /** The GitHub action. It is kept in the repository, so it has to be small. */
  action: { entryPoints: ['bin/action.ts', worker], minifyWhitespace: true, minifySyntax: true, ...withPackages },
} as const satisfies Record<string, BuildOptions>;

/** @param outdir from the project's folder; somewhere in it, so that the packages are found */
export async function bundleForNode(outdir: string, what: keyof typeof bundles): Promise<void> {
  await build({
    absWorkingDir: fileURLToPath(new URL('../', import.meta.url)),
    outdir,
    outbase: '.',
    // src/cli/audit-pool.ts looks for its worker beside itself.
    chunkNames: 'src/cli/[name]-[hash]',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    // "#platform" is ours, not a package: it goes into the bundle.
    alias: { '#platform': './src/platform/node.ts' },
    logLevel: 'warning',
    ...bundles[what],
  });
}
