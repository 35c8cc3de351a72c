/**
 * `npm run openwrt-facts -- --openwrt TREE [--commit COMMIT] [--firmware-utils TREE] OUT_DIR`: evaluates all device profiles of a
 * checked-out OpenWrt with its own makefiles, and reads the board table of tplink-safeloader. Writes what `npm run facts` packs;
 * docs/facts.md tells the way.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type DeviceLine, defaultNumbers, deviceLineOf, type Evaluation, readEvaluations } from './openwrt-devices.ts';
import { readBoards } from './safeloader-table.ts';

const makefile = fileURLToPath(new URL('openwrt-facts.mk', import.meta.url));

function run(program: string, args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 2 ** 30 });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${status}:\n${stderr.trim().split('\n').slice(-5).join('\n')}`);
  return stdout;
}

/** `ath79`, `generic` ...: every folder target/linux/BOARD/SUBTARGET with a target.mk. */
function subtargetsOf(tree: string): [string, string][] {
  const root = join(tree, 'target/linux');
  const boards = readdirSync(root).filter((board) => existsSync(join(root, board, 'image/Makefile')));
  return boards.flatMap((board) =>
    readdirSync(join(root, board))
      .filter((subtarget) => existsSync(join(root, board, subtarget, 'target.mk')))
      .map((subtarget): [string, string] => [board, subtarget]),
  );
}

/** Arguments with which make answers for a subtarget. */
function argumentsFor(tree: string, board: string, subtarget: string, temporary: string): string[] {
  const kconfig = ['config/Config-images.in', `target/linux/${board}/image/Config.in`].map((name) => join(tree, name)).filter((path) => existsSync(path));
  const symbols = [board, `${board}_${subtarget}`].map((name) => `TARGET_${name.replaceAll(/[-.]/g, '_')}`);
  return [
    ...['-rRs', '--no-print-directory', '-C', join(tree, 'target/linux', board, 'image'), '-f', makefile],
    ...[`TOPDIR=${tree}`, `TMP_DIR=${temporary}`, `FACTS_BOARD=${board}`, `FACTS_SUBTARGET=${subtarget}`],
    // Constants in place of what a build would find out: the host, the time, the revision; and no program of OpenWrt is there to hash with.
    ...['HOST_OS=Linux', 'HOST_ARCH=x86_64', 'SOURCE_DATE_EPOCH=1', 'REVISION=r99999-0123456789', 'MKHASH=true'],
    ...defaultNumbers(kconfig.map((path) => readFileSync(path, 'utf8')).join('\n'), new Set(symbols)),
  ];
}

function evaluateDevices(tree: string): DeviceLine[] {
  const temporary = mkdtempSync(join(tmpdir(), 'owimg-facts-'));
  try {
    return subtargetsOf(tree).flatMap(([board, subtarget]) => {
      const args = argumentsFor(tree, board, subtarget, temporary);
      const all = readEvaluations(run('make', [...args, 'facts-commands']));
      process.stderr.write(`${board}/${subtarget}: ${all.length} devices\n`);
      return all.map((inOrder): DeviceLine => {
        const [alone] = readEvaluations(run('make', [...args, 'facts', `TARGET_DEVICES=${inOrder.profile}`])) as [Evaluation];
        return deviceLineOf(board, subtarget, alone, inOrder);
      });
    });
  } finally {
    rmSync(temporary, { recursive: true });
  }
}

const { values, positionals } = parseArgs({
  options: { openwrt: { type: 'string' }, commit: { type: 'string' }, 'firmware-utils': { type: 'string' } },
  allowPositionals: true,
});
const [folder] = positionals;
if (folder === undefined || values.openwrt === undefined) {
  throw new Error('Usage: npm run openwrt-facts -- --openwrt TREE [--commit COMMIT] [--firmware-utils TREE] OUT_DIR');
}
const tree = resolve(values.openwrt);
const write = (name: string, text: string): void => writeFileSync(join(folder, name), text);
mkdirSync(folder, { recursive: true });
write('source.json', `${JSON.stringify({ openwrt: values.commit ?? run('git', ['-C', tree, 'rev-parse', 'HEAD']).trim() })}\n`);
if (values['firmware-utils'] !== undefined) {
  const boards = readBoards(readFileSync(join(values['firmware-utils'], 'src/tplink-safeloader.c'), 'utf8'));
  write('safeloader-boards.json', `${JSON.stringify({ boards }, null, 1)}\n`);
  process.stderr.write(`tplink-safeloader: ${boards.length} boards\n`);
}
const devices = evaluateDevices(tree);
write('devices.ndjson', devices.map((line) => `${JSON.stringify(line)}\n`).join(''));
process.stderr.write(`${devices.length} devices\n`);
