/** The GitHub action: its inputs (https://docs.github.com/actions/reference/workflows-and-actions/metadata-syntax) become a command line. */
import { appendFileSync, statSync } from 'node:fs';
import { globSync } from 'tinyglobby';
import { systemConsole } from '../src/cli/console.ts';
import { main } from '../src/cli/main.ts';

const input = (name: string): string => (process.env[`INPUT_${name.toUpperCase()}`] ?? '').trim();
const lines = (text: string): string[] => text.split('\n').flatMap((line) => line.trim() || []);

/** Files and folders; a pattern stands for what it matches. */
const paths = lines(input('path')).flatMap((pattern) =>
  /[*?[]/.test(pattern) ? globSync(pattern, { expandDirectories: false, onlyFiles: false }).sort() : [pattern],
);
const isFolder = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
const [folders, files] = [paths.filter(isFolder), paths.filter((path) => !isFolder(path))];

const reports = ['junit', 'sarif'].flatMap((format) => (input(format) === '' ? [] : ['--report', `${format}=${input(format)}`]));
const option = (name: string): string[] => (input(name) === '' ? [] : [`--${name}`, input(name)]);

const io = systemConsole();
let status: number;
if (paths.length === 0) {
  io.out('::error title=owimg::The input "path" names no file and no folder that is there\n');
  status = 4;
} else if (folders.length > 0 && files.length > 0) {
  io.out('::error title=owimg::The input "path" names files and folders; use a step for each\n');
  status = 2;
} else if (folders.length > 0) {
  status = await main(['audit', ...folders, '--format', 'github', ...option('baseline'), ...option('shard'), ...option('cache'), ...reports], io);
} else {
  status = await main(['check', ...files, '--format', 'github', ...option('device'), ...option('route'), ...option('compat'), ...reports], io);
}

const output = process.env['GITHUB_OUTPUT'];
if (output !== undefined && output !== '') appendFileSync(output, `exit-status=${status}\n`);
// What cannot be told is never good, unless who wrote the workflow says that they look themselves.
process.exitCode = status === 3 && input('allow-unknown') === 'true' ? 0 : status;
