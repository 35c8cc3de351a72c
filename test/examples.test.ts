/** The examples of the documentation are right: they type-check, run, and print what stands in their comments behind `// →`. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { format, promisify } from 'node:util';
import { runInNewContext } from 'node:vm';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readFixtureFile } from './support/fixtures.ts';

const root = fileURLToPath(new URL('../', import.meta.url));
const library = join(root, 'src/index.ts');
const nodeLibrary = join(root, 'src/node.ts');
const folder = mkdtempSync(join(tmpdir(), 'owimg-examples-'));
afterAll(() => rmSync(folder, { recursive: true }));

interface Example {
  readonly name: string;
  readonly code: string;
  /** Runs in a browser only. */
  readonly browser: boolean;
  readonly path: string;
}

const fenced = (text: string): string[] => [...text.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code as string);

/** The `@example` blocks of doc comments, without the stars; each ends where the next tag begins. */
function exampleTags(text: string): string[] {
  const comments = [...text.matchAll(/\/\*\*(.*?)\*\//gs)].map(([, comment]) => (comment as string).replaceAll(/^ *\* ?/gm, ''));
  return comments.flatMap((comment) => comment.split(/^(?=@)/m).filter((block) => block.startsWith('@example')));
}

const tags = [library, nodeLibrary].flatMap((path) => exampleTags(readFileSync(path, 'utf8')));
const readme = readFileSync(`${root}README.md`, 'utf8');

const examples: readonly Example[] = [
  ...fenced(readme).map((code) => ({ file: 'README.md', code })),
  ...tags.flatMap(fenced).map((code) => ({ file: 'src/index.ts', code })),
].map(({ file, code }, index) => ({
  name: `${file}: ${/^(?!import).+$/m.exec(code)?.[0]}`,
  code,
  browser: /\bdocument\b/.test(code),
  path: join(folder, `example${index}.mts`),
}));

const printed = (code: string): string[] => [...code.matchAll(/\/\/ → (.*)$/gm)].map(([, line]) => line as string);

/** The project's own settings, with its name leading to its source. */
const configuration = (name: string, of: readonly Example[], more: object): string => {
  const path = join(folder, name);
  const compilerOptions = { paths: { owimg: [library], 'owimg/node': [nodeLibrary] }, typeRoots: [join(root, 'node_modules/@types')], ...more };
  writeFileSync(path, JSON.stringify({ extends: join(root, 'tsconfig.json'), compilerOptions, include: [], files: of.map((example) => example.path) }));
  return path;
};

const node = examples.filter(({ browser }) => !browser);
const web = examples.filter(({ browser }) => browser);
let [forNode, forBrowsers] = ['', ''];
beforeAll(() => {
  for (const { path, code } of examples) writeFileSync(path, code);
  forNode = configuration('node.json', node, {});
  forBrowsers = configuration('browser.json', web, { lib: ['ES2023', 'DOM', 'DOM.Iterable'], types: [], customConditions: ['browser'] });
});

const started = promisify(execFile);
async function typeErrors(path: string): Promise<string> {
  const compiler = join(root, 'node_modules/@typescript/native/bin/tsc');
  return started(process.execPath, [compiler, '-p', path]).then(
    ({ stdout }) => stdout,
    (error) => error.stdout || String(error),
  );
}

describe('examples', () => {
  test('stand in the README and at inspect(), for Node and for browsers, and each says what it prints', () => {
    expect(node.filter(({ name }) => name.startsWith('README.md')).length).toBeGreaterThanOrEqual(2);
    expect(node.filter(({ name }) => name.startsWith('src/index.ts')).length).toBeGreaterThanOrEqual(5);
    expect(web.length).toBeGreaterThanOrEqual(1);
    expect(examples.filter(({ code }) => printed(code).length === 0)).toEqual([]);
  });

  test('are all run: none is written so that it is not found', () => {
    expect(tags.filter((block) => fenced(block).length !== 1)).toEqual([]);
    expect(readme).not.toMatch(/^```(js|javascript|typescript)/m);
  });

  test('type-check in Node', async () => expect(await typeErrors(forNode)).toBe(''));
  test('type-check in a browser', async () => expect(await typeErrors(forBrowsers)).toBe(''));

  test.each(node.map((example) => [example.name, example] as const))('print in Node what they say: %s', async (_, { path, code }) => {
    const environment = { ...process.env, TSX_TSCONFIG_PATH: forNode, NO_COLOR: '1' };
    const { stdout } = await started(process.execPath, ['--import', 'tsx', path], { cwd: root, env: environment });
    expect(stdout.trimEnd().split('\n')).toEqual(printed(code));
  });

  // In a context that has nothing of Node, with a page of one input in it.
  test.each(web.map((example) => [example.name, example] as const))('print in a browser what they say: %s', async (_, { path, code }) => {
    const { outputFiles } = await build({
      entryPoints: [path],
      bundle: true,
      write: false,
      format: 'iife',
      platform: 'browser',
      conditions: ['browser'],
      alias: { owimg: library },
      absWorkingDir: root,
    });
    const lines: string[] = [];
    let changed: (() => Promise<void>) | undefined;
    const input = {
      files: [new File([readFixtureFile('trx/sound-two-partitions.trx')], 'factory.trx')],
      addEventListener: (_event: string, listener: () => Promise<void>) => {
        changed = listener;
      },
    };
    const page = {
      document: { querySelector: () => input },
      console: { log: (...values: unknown[]) => lines.push(format(...values)) },
      TextDecoder,
      TextEncoder,
    };
    runInNewContext(outputFiles[0]?.text as string, page);
    await changed?.();
    expect(lines).toEqual(printed(code));
  });
});
