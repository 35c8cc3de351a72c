/**
 * `npm run check-package`: installs the packed package into an empty folder and runs it there as users do: the command, the
 * library, and the build for browsers, which must say of every fixture what the one for Node says.
 */
import { deepStrictEqual, match } from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inspect } from '../src/index.ts';
import { fixtures, readFixture } from '../test/support/fixtures.ts';

const root = fileURLToPath(new URL('../', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'owimg-package-'));
const run = (command: string, args: readonly string[], cwd = folder): string =>
  execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
const say = (text: string): void => void process.stdout.write(`${text}\n`);

try {
  const tarball = run('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', folder], root).trim().split('\n').at(-1) as string;
  writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }');
  run('npm', ['install', '--silent', '--no-audit', '--no-fund', join(folder, tarball)]);

  const fixture = join(root, 'fixtures/fwtool/sound-metadata.bin');
  match(run('npx', ['--no-install', 'owimg', 'inspect', '--json', fixture]), /"status": "sound"/);
  const owimg = (...args: string[]): string => {
    const { stdout, status } = spawnSync(join(folder, 'node_modules', '.bin', 'owimg'), args, { cwd: folder, encoding: 'utf8', maxBuffer: 1 << 30 });
    if (stdout === '') throw new Error(`owimg ${args.join(' ')} prints nothing and ends with ${status}`);
    return stdout;
  };
  const factory = join(root, 'fixtures/tplink-safeloader/sound-archer-c7-v5.bin');
  match(owimg('check', factory), /INSTALLS/);
  match(owimg('check', factory, '--format', 'junit'), /<testsuites/);
  match(owimg('check', factory, '--format', 'sarif', '--route', 'mtd'), /boot-magic-mismatch/);
  match(owimg('audit', join(root, 'fixtures/gpt')), /images:/);
  match(owimg('devices', 'archer', 'c7'), /tplink_archer-c7-v5/);
  match(owimg('explain', 'Bad Magic Number'), /In owimg +boot-magic-mismatch/);
  match(owimg('formats'), /uimage/);
  say('all commands run from the installed package');

  // The packages are inside of the command: each of its ways must be the one that the sources go.
  const lines = owimg('inspect', '--deep', '--ndjson', ...fixtures.map(({ path }) => path))
    .trimEnd()
    .split('\n');
  for (const [index, entry] of fixtures.entries()) {
    const { schemaVersion: _, tool: __, file: ___, ...inspected } = JSON.parse(lines[index] as string);
    const expected = JSON.parse(JSON.stringify(await inspect(readFixture(entry), { deep: true, name: entry.path })));
    deepStrictEqual(inspected, expected, `${entry.format}/${entry.file} differs in the installed command`);
  }
  say(`the installed command says the same of all ${fixtures.length} fixtures`);

  writeFileSync(
    join(folder, 'library.js'),
    `import { readFileSync } from 'node:fs';
import { inspect } from 'owimg';
const { kind, status } = await inspect(readFileSync(process.argv[2]));
console.log(kind, status);`,
  );
  match(run('node', ['library.js', fixture]), /^sysupgrade sound$/m);
  writeFileSync(
    join(folder, 'tftp.js'),
    `import { getTftp, serveTftp } from 'owimg/node';
const server = await serveTftp([{ names: ['fw.bin'], bytes: new Uint8Array(1000) }], { addresses: ['127.0.0.1'], port: 0 });
const { address, port } = server.listeners[0];
console.log((await getTftp({ address, port }, 'fw.bin')).length);
server.stop('done');`,
  );
  match(run('node', ['tftp.js']), /^1000$/m);
  say('the library runs from the installed package');

  // What a browser does not have must not be missed: no Buffer, no process, no require.
  writeFileSync(
    join(folder, 'browser.js'),
    `const { readFileSync } = await import('node:fs');
const files = JSON.parse(readFileSync(0, 'utf8'));
const { exit, stdout } = process;
const images = files.map((file) => new Uint8Array(readFileSync(file)));
for (const name of ['Buffer', 'process', 'global']) delete globalThis[name];
const { inspect } = await import('./node_modules/owimg/dist/browser/index.js');
const results = [];
for (const image of images) results.push(await inspect(image, { deep: true }));
stdout.write(JSON.stringify(results), () => exit(0));`,
  );
  const paths = fixtures.map((entry) => entry.path);
  const answer = execFileSync('node', ['browser.js'], { cwd: folder, input: JSON.stringify(paths), encoding: 'utf8', maxBuffer: 1 << 30 });
  const results = JSON.parse(answer) as unknown[];
  for (const [index, entry] of fixtures.entries()) {
    const expected = JSON.parse(JSON.stringify(await inspect(readFixture(entry), { deep: true })));
    deepStrictEqual(results[index], expected, `${entry.format}/${entry.file} differs in the build for browsers`);
  }
  say(`the build for browsers says the same of all ${fixtures.length} fixtures`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
