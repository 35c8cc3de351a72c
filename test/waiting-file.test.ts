/** Pipes with a name and terminals: read and followed without a thread that waits in the system. */
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';
import { type Following, follow } from '../src/io/follow.ts';
import { readFile } from '../src/io/read-file.ts';
import { folderPerTest } from './support/folder.ts';
import { numberedBytes } from './support/tftp-peers.ts';
import { installed, run } from './support/tools.ts';

const root = fileURLToPath(new URL('../', import.meta.url));
const folder = folderPerTest();
const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

function pipe(name: string): string {
  const path = folder.path(name);
  run('mkfifo', path);
  return path;
}

/** Writes into it as a program of its own, which ends then. */
const write = (path: string, script: string): Promise<unknown> =>
  new Promise((resolve) => spawn('sh', ['-c', `{ ${script}; } > "$0"`, path], { stdio: 'ignore' }).on('close', resolve));

const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

describe('readFile() of a pipe', () => {
  test('takes all that a writer writes, also with pauses, and as much as many pipes full', async () => {
    const path = pipe('in');
    const bytes = numberedBytes(3_000_000);
    const given = folder.write('given', bytes);
    const reading = readFile(path);
    await write(path, `head -c 1000 "${given}"; sleep 0.2; tail -c +1001 "${given}"`);
    expect(Buffer.compare((await reading).bytes, bytes)).toBe(0);
  });

  test('says once that it waits where nobody writes, and takes what comes then', async () => {
    const path = pipe('in');
    let told = 0;
    const reading = readFile(path, undefined, () => {
      told += 1;
    });
    await pause(1300);
    expect(told).toBe(1);
    await write(path, 'printf late');
    expect(Buffer.from((await reading).bytes).toString()).toBe('late');
  });

  test('takes nothing beyond the limit', async () => {
    const path = pipe('in');
    const reading = readFile(path, 1000);
    const refused = expect(reading).rejects.toMatchObject({ code: 'file-too-large' });
    await write(path, 'head -c 5000 /dev/zero');
    await refused;
  });

  test('a folder is a folder', async () => {
    mkdirSync(folder.path('sub'));
    await expect(readFile(folder.path('sub'))).rejects.toMatchObject({ code: 'cannot-read', message: expect.stringContaining('it is a directory') });
  });
});

describe('follow() of a pipe', () => {
  async function following(path: string): Promise<Following> {
    const one = await follow(path);
    closing.push(() => one.stop());
    return one;
  }

  test('takes what one writer says, and what the next one says', async () => {
    const path = pipe('log');
    const log = await following(path);
    expect(await log.read()).toBe('');
    await write(path, 'echo first');
    await expect.poll(() => log.read(), { timeout: 30_000 }).toBe('first\n');
    await write(path, 'echo second');
    await expect.poll(() => log.read(), { timeout: 30_000 }).toBe('first\nsecond\n');
  });

  test('does not stop a writer that writes much while nobody reads the log, and keeps the end', async () => {
    const path = pipe('log');
    const log = await following(path);
    await write(path, 'head -c 2000000 /dev/zero; echo the end');
    await expect.poll(async () => (await log.read()).endsWith('the end\n'), { timeout: 30_000 }).toBe(true);
    expect((await log.read()).length).toBe(1024 * 1024);
  });

  test('a program that followed one to which nobody ever wrote ends by itself', async () => {
    const script = `
import { follow } from './src/io/follow.ts';
const log = await follow(${JSON.stringify(pipe('log'))});
console.log('read "' + (await log.read()) + '"');
log.stop();`;
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], { cwd: root });
    closing.push(() => child.kill('SIGKILL'));
    let out = '';
    child.stdout.on('data', (data: Buffer) => {
      out += data.toString();
    });
    expect(await new Promise((resolve) => child.on('close', (status, signal) => resolve(status ?? signal)))).toBe(0);
    expect(out).toBe('read ""\n');
  });

  test.skipIf(!installed('python3'))('of a terminal, until it is pulled out', async () => {
    const script =
      'import os,sys,time\nm,s=os.openpty()\nprint(os.ttyname(s),flush=True)\nsys.stdin.readline()\nos.write(m,b"U-Boot 1.1.4\\n")\nsys.stdin.readline()';
    const terminal = spawn('python3', ['-c', script]);
    closing.push(() => terminal.kill('SIGKILL'));
    const path = await new Promise<string>((resolve) => terminal.stdout.once('data', (data: Buffer) => resolve(data.toString().trim())));
    const log = await following(path);
    terminal.stdin.write('\n');
    await expect.poll(() => log.read(), { timeout: 30_000 }).toContain('U-Boot 1.1.4');
    terminal.stdin.write('\n');
    await new Promise((resolve) => terminal.on('close', resolve));
    await pause(200);
    expect(await log.read()).toContain('U-Boot 1.1.4');
  });
});
