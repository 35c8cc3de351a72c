/** The repository agrees with itself. */
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import manifest from '../package.json' with { type: 'json' };
import { errorKinds } from '../src/core/errors.ts';
import { findingKinds, formats } from '../src/index.ts';
import { version } from '../src/version.ts';
import { owimg } from './support/console.ts';
import { shared } from './support/shared.ts';

const root = fileURLToPath(new URL('../', import.meta.url));
const read = (path: string): string => readFileSync(root + path, 'utf8');

test('the version is that of package.json', () => expect(version).toBe(manifest.version));

test('every file in formats/ is registered, under its own name', () => {
  const files = readdirSync(`${root}formats`).filter((file) => file.endsWith('.ts') && file !== 'index.ts');
  expect(formats.map(({ id }) => `${id}.ts`).sort()).toEqual(files.sort());
});

test('no two formats have the same title', () => {
  const titles = formats.map(({ title }) => title);
  expect([...new Set(titles)]).toEqual(titles);
});

test('references are pinned: a link into a repository names a commit or a tag, not a branch', () => {
  const links = formats.flatMap(({ references }) => references.map(({ url }) => url)).filter((url) => /\/(blob|tree)\//.test(url));
  expect(links.filter((url) => /\/(blob|tree)\/(master|main|HEAD)\//.test(url))).toEqual([]);
});

test('codes are kebab-case and hints end as sentences do', () => {
  for (const code of [...Object.keys(findingKinds), ...Object.keys(errorKinds)]) expect(code).toMatch(/^[a-z0-9]+(-[a-z0-9]+)+$/);
  for (const kind of Object.values(findingKinds)) {
    if (kind.hint !== undefined) expect(kind.hint).toMatch(/[.!]$/);
    if (kind.severity === 'error') expect(kind.hint).toBeDefined();
  }
});

test('the package names the Node version that CI runs at least', () => expect(manifest.engines.node).toBe('>=20.19'));

test('the README shows what the command prints', async () => {
  const readme = read('README.md');
  const examples = [...readme.matchAll(/^\$ npx owimg inspect (fixtures\S+)\n([\s\S]*?)\n(?:…\n)?```$/gm)];
  expect(examples.length).toBeGreaterThan(1);
  for (const [, path, shown] of examples) expect((await owimg(['inspect', path as string])).out).toContain(shown);
  const conversions = [...readme.matchAll(/^\$ npx owimg (to-factory \S+ --dry-run)\n([\s\S]*?)\n```$/gm)];
  expect(conversions.length).toBe(1);
  for (const [, command, shown] of conversions) expect((await owimg((command as string).split(' '))).out).toContain(shown);
  expect(readme).toContain(`${formats.length} formats,`);
});

test('the pages that are made from tables are fresh', () => {
  execFileSync(process.execPath, ['--import', 'tsx', 'scripts/docs.ts', '--check'], { cwd: root, stdio: 'pipe' });
});

test('the packed device facts stay under 300 KiB', () => {
  expect(statSync(`${root}src/devices/data/facts.ts`).size).toBeLessThanOrEqual(300 * 1024);
});

test.skipIf(shared('facts') === undefined)('the packed device facts are what npm run facts makes', () => {
  execFileSync(process.execPath, ['--import', 'tsx', 'scripts/facts.ts', '--check', shared('facts') as string], { cwd: root, stdio: 'pipe' });
});

describe('lint enforces the arrows', () => {
  // In a folder of its own with our rules: no other test sees these files.
  const folder = mkdtempSync(join(tmpdir(), 'owimg-arrows-'));
  const lint = (path: string, text: string): string => {
    mkdirSync(join(folder, dirname(path)), { recursive: true });
    writeFileSync(join(folder, path), text);
    const { stdout, stderr } = spawnSync(`${root}node_modules/.bin/biome`, ['lint', path], { cwd: folder, encoding: 'utf8' });
    return stdout + stderr;
  };
  beforeAll(() => copyFileSync(`${root}biome.json`, join(folder, 'biome.json')));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test('a file that follows them passes', () => {
    expect(lint('formats/zz-arrow.ts', "import { hex } from '../src/core/hex.ts';\n\nexport const x = hex(1);\n")).toMatch(/Checked 1 file.*No fixes applied/);
  });

  test.each([
    ['a format may not import another one', 'formats/zz-arrow.ts', "import { trx } from './trx.ts';\n\nexport const x = trx;\n", 'never names another format'],
    [
      'a format may not import the engine',
      'formats/zz-arrow.ts',
      "import { inspectWith } from '../src/inspect.ts';\n\nexport const x = inspectWith;\n",
      'imports only src/core',
    ],
    [
      'core may not import the engine',
      'src/core/zz-arrow.ts',
      "import { inspectWith } from '../inspect.ts';\n\nexport const x = inspectWith;\n",
      'imports nothing of ours',
    ],
    [
      'a format may not use Node modules',
      'formats/zz-arrow.ts',
      "import { readFileSync } from 'node:fs';\n\nexport const x = readFileSync;\n",
      'noNodejsModules',
    ],
    ['core may not use Buffer', 'src/core/zz-arrow.ts', 'export const x = Buffer.alloc(1);\n', 'Use Uint8Array'],
    [
      'a recipe may not import a verdict',
      'src/recipes/zz-arrow.ts',
      "import { checkWith } from '../check.ts';\n\nexport const x = checkWith;\n",
      'imports only the engine, src/devices and src/core',
    ],
    [
      'a way of flashing may not import the engine',
      'src/routes/zz-arrow.ts',
      "import { sliceId } from '../inspect.ts';\n\nexport const x = sliceId;\n",
      'imports only src/recipes',
    ],
    [
      'a flash session may not import the command line',
      'src/flash/zz-arrow.ts',
      "import { main } from '../cli/main.ts';\n\nexport const x = main;\n",
      'src/flash imports only src/tftp',
    ],
    ['a plan may not know Node', 'src/flash/zz-arrow.ts', 'export const x = process.platform;\n', 'know Node'],
    [
      'TFTP may not import the engine',
      'src/tftp/zz-arrow.ts',
      "import { inspectWith } from '../inspect.ts';\n\nexport const x = inspectWith;\n",
      'src/tftp is a leaf',
    ],
    [
      'only the skin of TFTP may use Node modules',
      'src/tftp/zz-arrow.ts',
      "import { createSocket } from 'node:dgram';\n\nexport const x = createSocket;\n",
      'noNodejsModules',
    ],
    ['only the skin of TFTP may know the time', 'src/tftp/zz-arrow.ts', 'export const x = performance.now();\n', 'The clock is handed in'],
    [
      'DHCP may not import TFTP',
      'src/dhcp/zz-arrow.ts',
      "import { ackPacket } from '../tftp/packets.ts';\n\nexport const x = ackPacket;\n",
      'src/dhcp is a leaf',
    ],
    [
      'only the skin of DHCP may use Node modules',
      'src/dhcp/zz-arrow.ts',
      "import { createSocket } from 'node:dgram';\n\nexport const x = createSocket;\n",
      'noNodejsModules',
    ],
    ['only the commands may import commander', 'src/io/zz-arrow.ts', "import { Command } from 'commander';\n\nexport const x = Command;\n", 'only in src/cli'],
    [
      'only the text report may import cli-table3',
      'src/cli/zz-arrow.ts',
      "import Table from 'cli-table3';\n\nexport const x = Table;\n",
      'only in src/report/text.ts',
    ],
    [
      'only struct.ts may import binary-parser',
      'formats/zz-arrow.ts',
      "import { Parser } from 'binary-parser';\n\nexport const x = Parser;\n",
      'only in src/core/struct.ts',
    ],
    ['only the platform may import yauzl', 'src/io/zz-arrow.ts', "import yauzl from 'yauzl';\n\nexport const x = yauzl;\n", 'only in src/platform/node.ts'],
  ])('%s', (_, path, text, expected) => {
    expect(lint(path, text)).toContain(expected);
  });
});

test('every folder that ARCHITECTURE.md names exists', () => {
  for (const [, path] of read('ARCHITECTURE.md').matchAll(/^((?:src|formats|fixtures|bin|test)\/[a-z/.-]*) /gm)) {
    expect(() => readdirSync(root + path?.replace(/[^/]*$/, '')), path).not.toThrow();
  }
});
