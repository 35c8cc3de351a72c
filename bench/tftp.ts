/**
 * `npm run bench:tftp`: throughput over loopback, beside atftp, tftp-hpa and curl in the same run.
 *
 * - get and put: every client with the same server, atftpd. Times are those of the transfer: of whole processes for the others, which start in a few
 *   milliseconds, and as `owimg tftp --json` tells it for owimg. All of them write what they get into a file in memory (/dev/shm).
 * - serve: every server with the same client, atftp.
 *
 * The best of several rounds counts, all in turn; less than three in a hundred are no difference. Files are large where there is a window: in the
 * first 50 milliseconds Node still compiles what is run most.
 * Prints the tables of docs/benchmarks.md. Exit status 1 if a goal is missed.
 */
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { randomFrom } from '../test/support/random.ts';
import { type ClientName, clientMissing, type Daemon, freePort, getCommand, missing, startDaemon } from '../test/support/tftp-daemons.ts';

const mebi = 1024 * 1024;
const rounds = Number(process.env['ROUNDS'] ?? 5);
const owimg = fileURLToPath(new URL('../dist/bin/owimg.js', import.meta.url));
const blockSizes = (process.env['BLOCK_SIZES'] ?? '512,1428,8192').split(',').map(Number);
const windows = [1, 16, 64];
const say = (text: string): void => void process.stdout.write(`${text}\n`);
const missed: string[] = [];

const needed = [missing('atftpd'), missing('tftpd-hpa'), clientMissing('atftp'), clientMissing('curl'), clientMissing('tftp-hpa')].filter(
  (reason) => reason !== undefined,
);
if (needed.length > 0) {
  say(`Nothing to compare with: ${needed.join(', ')}`);
  process.exit(2);
}

function goal(what: string, value: number, least: number): string {
  if (value < least) missed.push(`${what}: ${value.toFixed(2)}, to reach ${least}`);
  return `${value.toFixed(2)}${value < least ? ' (missed)' : ''}`;
}

// Servers on one core, clients on the other, as if they were two machines. Left to the system they share a core in one run and not in the next,
// which makes a factor of three at window 1.
const pinned = cpus().length > 1 && spawnSync('taskset', ['-V']).status === 0;
const onCore = (core: number, command: readonly string[]): string[] => (pinned ? ['taskset', '-c', String(core), ...command] : [...command]);

/** Speed in MiB/s of one run; `undefined` where it failed. */
type Run = () => number | undefined;

/** A tool that hangs is no competitor. */
const timeout = 30_000;

/** So often it may fail before it is left out of the further rounds. */
const mostFailures = 2;

function timed(command: readonly string[], length: number, after: () => void = () => undefined): Run {
  return () => {
    const [program, ...args] = onCore(1, command) as [string, ...string[]];
    const begin = process.hrtime.bigint();
    const { status } = spawnSync(program, args, { stdio: 'ignore', timeout });
    const seconds = Number(process.hrtime.bigint() - begin) / 1e9;
    after();
    return status === 0 ? length / mebi / seconds : undefined;
  };
}

/** owimg tells itself how long the transfer took. */
function told(args: readonly string[], length: number, after: () => void = () => undefined): Run {
  return () => {
    const [program, ...rest] = onCore(1, [process.execPath, owimg, 'tftp', ...args, '--json']) as [string, ...string[]];
    const { status, stdout } = spawnSync(program, rest, { encoding: 'utf8', timeout });
    after();
    if (status !== 0) return undefined;
    const { milliseconds } = JSON.parse(stdout) as { milliseconds: number };
    return length / mebi / (milliseconds / 1000);
  };
}

function best(runs: Readonly<Record<string, Run>>): Record<string, number | undefined> {
  const result: Record<string, number | undefined> = {};
  const failures: Record<string, number> = {};
  for (let round = 0; round < rounds; round += 1) {
    for (const [name, run] of Object.entries(runs)) {
      const failed = failures[name] ?? 0;
      if (failed >= mostFailures) continue;
      const speed = run();
      if (speed === undefined) failures[name] = failed + 1;
      else result[name] = Math.max(speed, result[name] ?? 0);
    }
  }
  return result;
}

const shown = (speed: number | undefined): string => (speed === undefined ? '-' : speed.toFixed(1));

const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'owimg-bench-tftp-'));
chmodSync(folder, 0o777);
const daemons: Daemon[] = [];
const children: ReturnType<typeof spawn>[] = [];
const stopAll = (): void => {
  for (const daemon of daemons) daemon.stop();
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
};
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    stopAll();
    process.exit(130);
  });
}
try {
  const length = 256 * mebi;
  const shortLength = 16 * mebi;
  const lengthOf = (windowSize: number): number => (windowSize === 1 ? shortLength : length);
  const nameOf = (windowSize: number): string => (windowSize === 1 ? 'short' : 'image');
  const random = randomFrom(1);
  const bytes = Buffer.alloc(length);
  for (let offset = 0; offset < length; offset += 4) bytes.writeUInt32LE(random(2 ** 32) >>> 0, offset);
  const source = join(folder, 'image');
  writeFileSync(source, bytes);
  const shortSource = join(folder, 'short');
  writeFileSync(shortSource, bytes.subarray(0, shortLength));
  const sourceOf = (windowSize: number): string => (windowSize === 1 ? shortSource : source);
  const atftpd = await startDaemon('atftpd', join(folder, 'atftpd'), onCore(0, []));
  const hpa = await startDaemon('tftpd-hpa', join(folder, 'hpa'), onCore(0, []));
  daemons.push(atftpd, hpa);
  for (const daemon of daemons) {
    for (const [name, path] of Object.entries({ image: source, short: shortSource })) {
      copyFileSync(path, join(daemon.folder, name));
      chmodSync(join(daemon.folder, name), 0o644);
    }
  }
  const port = await freePort();
  const serving = ['serve', source, shortSource, '--accept', 'unknown-format', '--bind', '127.0.0.1', '--port', String(port), '--max-blksize', '65464'];
  const [program, ...words] = onCore(0, [process.execPath, owimg, ...serving]) as [string, ...string[]];
  const own = spawn(program, words, { stdio: ['ignore', 'ignore', 'pipe'] });
  children.push(own);
  await new Promise<void>((resolve, reject) => {
    own.stderr?.on('data', (data: Buffer) => {
      if (data.toString().includes('listening')) resolve();
    });
    own.on('close', (status) => reject(new Error(`owimg serve ended with ${status}`)));
  });

  say(
    `Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown CPU'}; 256 MiB over loopback (16 MiB at window 1), MiB/s, best of ${rounds} rounds in turn\n`,
  );
  const only = process.argv.slice(2);
  const compare = (title: string, ours: string, runs: (blockSize: number, windowSize: number) => Record<string, Run>, names: readonly string[]): void => {
    if (only.length > 0 && !only.includes(title)) return;
    say(`| ${title}, block size | window | ${names.join(' | ')} | ${ours} / fastest other | ${ours} / own window 1 |`);
    say(`|---|---|${names.map(() => '---|').join('')}---|---|`);
    for (const blockSize of blockSizes) {
      let atWindow1: number | undefined;
      for (const windowSize of windows) {
        const result = best(runs(blockSize, windowSize));
        const mine = result[ours];
        const others = names.filter((name) => name !== ours).flatMap((name) => result[name] ?? []);
        if (windowSize === 1) atWindow1 = mine;
        const what = `${title}, block size ${blockSize}, window ${windowSize}`;
        if (mine === undefined) missed.push(`${what}: failed`);
        const ratio =
          mine === undefined || others.length === 0
            ? '-'
            : goal(`${what}, against the fastest other`, mine / Math.max(...others), windowSize === 1 ? 0.6 : 0.97);
        const gain =
          mine === undefined || atWindow1 === undefined || windowSize === 1
            ? '-'
            : goal(`${what}, against window 1`, mine / atWindow1, windowSize === 16 ? 3 : 0);
        say(`| ${blockSize} | ${windowSize} | ${names.map((name) => shown(result[name])).join(' | ')} | ${ratio} | ${gain} |`);
      }
    }
    say('');
  };

  const optioned = (blockSize: number, windowSize: number): string[] => [
    '--blksize',
    String(blockSize),
    ...(windowSize === 1 ? [] : ['--windowsize', String(windowSize)]),
  ];
  const got = join(folder, 'got');
  const afterGet = (): void => rmSync(got, { force: true });
  const clientRun = (client: ClientName, to: number, blockSize: number, windowSize: number): Record<string, Run> => {
    const asked = { blockSize: client === 'tftp-hpa' && blockSize === 512 ? undefined : blockSize, windowSize: windowSize === 1 ? undefined : windowSize };
    const command = getCommand(client, '127.0.0.1', to, nameOf(windowSize), got, asked);
    return command === undefined ? {} : { [client]: timed(command, lengthOf(windowSize), afterGet) };
  };
  compare(
    'get',
    'owimg',
    (blockSize, windowSize) => ({
      owimg: told(
        ['get', '127.0.0.1', nameOf(windowSize), '-p', String(atftpd.port), '-o', got, '--force', ...optioned(blockSize, windowSize)],
        lengthOf(windowSize),
        afterGet,
      ),
      ...clientRun('atftp', atftpd.port, blockSize, windowSize),
      ...clientRun('tftp-hpa', atftpd.port, blockSize, windowSize),
      ...clientRun('curl', atftpd.port, blockSize, windowSize),
    }),
    ['owimg', 'atftp', 'tftp-hpa', 'curl'],
  );
  compare(
    'put',
    'owimg',
    (blockSize, windowSize) => {
      const options = ['--option', `blksize ${blockSize}`, ...(windowSize === 1 ? [] : ['--option', `windowsize ${windowSize}`])];
      const to = String(atftpd.port);
      return {
        owimg: told(['put', sourceOf(windowSize), '127.0.0.1', 'up-owimg', '-p', to, ...optioned(blockSize, windowSize)], lengthOf(windowSize)),
        atftp: timed(['atftp', ...options, '--put', '-l', sourceOf(windowSize), '-r', 'up-atftp', '127.0.0.1', to], lengthOf(windowSize)),
        ...(blockSize === 512 && windowSize === 1
          ? { 'tftp-hpa': timed(['tftp', '-m', 'binary', '127.0.0.1', to, '-c', 'put', shortSource, 'up-hpa'], shortLength) }
          : {}),
        ...(windowSize === 1
          ? { curl: timed(['curl', '-s', '--tftp-blksize', String(blockSize), '-T', shortSource, `tftp://127.0.0.1:${to}/up-curl`], shortLength) }
          : {}),
      };
    },
    ['owimg', 'atftp', 'tftp-hpa', 'curl'],
  );
  compare(
    'serve',
    'owimg',
    (blockSize, windowSize) => {
      const from = (to: number): Run =>
        timed(
          getCommand('atftp', '127.0.0.1', to, nameOf(windowSize), got, {
            blockSize,
            windowSize: windowSize === 1 ? undefined : windowSize,
          }) as string[],
          lengthOf(windowSize),
          afterGet,
        );
      return { owimg: from(port), atftpd: from(atftpd.port), ...(windowSize === 1 ? { 'tftpd-hpa': from(hpa.port) } : {}) };
    },
    ['owimg', 'atftpd', 'tftpd-hpa'],
  );
  say(missed.length === 0 ? 'All goals are met.' : `Missed:\n- ${missed.join('\n- ')}`);
  process.exitCode = missed.length === 0 ? 0 : 1;
} finally {
  stopAll();
}
