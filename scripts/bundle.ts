/** The three things that run in Node, each bundled: one file and a few chunks. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BuildOptions, build } from 'esbuild';

/** Packages in CommonJS that were bundled ask for Node's own modules. */
const requireForPackages = "import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);";

const worker = 'src/cli/audit-worker.ts';
const withPackages = { banner: { js: requireForPackages } } as const satisfies BuildOptions;

const bundles = {
  /** `owimg`, with the packages in it. */
  command: { entryPoints: ['bin/owimg.ts', worker], sourcemap: true, ...withPackages },
  /** `import … from 'owimg'`; the packages stay imports. */
  library: { entryPoints: ['src/index.ts', 'src/node.ts'], sourcemap: true, packages: 'external' },
  /** The GitHub action. It is kept in the repository, so it has to be small. */
  action: { entryPoints: ['bin/action.ts', worker], minifyWhitespace: true, minifySyntax: true, ...withPackages },
} as const satisfies Record<string, BuildOptions>;

const root = fileURLToPath(new URL('../', import.meta.url));

/** The licences of the packages that these files are from: whoever passes their code on passes these on too. */
function licences(inputs: readonly string[]): string {
  const folders = new Set(inputs.flatMap((path) => /^node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? []));
  const texts = [...folders].sort().map((folder) => {
    const file = readdirSync(join(root, folder)).find((name) => /^licen[cs]e/i.test(name));
    if (file === undefined) throw new Error(`${folder} has no licence file to pass on`);
    return `${folder.slice('node_modules/'.length)}\n\n${readFileSync(join(root, folder, file), 'utf8').trim()}\n`;
  });
  return texts.join(`\n${'-'.repeat(80)}\n\n`);
}

/** @param outdir from the project's folder; somewhere in it, so that the packages are found */
export async function bundleForNode(outdir: string, what: keyof typeof bundles): Promise<void> {
  const { metafile } = await build({
    absWorkingDir: root,
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
    metafile: true,
    ...bundles[what],
  });
  if (what !== 'library') writeFileSync(resolve(root, outdir, 'LICENSES.txt'), licences(Object.keys(metafile.inputs)));
}
