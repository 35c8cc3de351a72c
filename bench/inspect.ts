/**
 * `npm run bench`: what `owimg inspect` costs as a whole process, beside other tools in the same run.
 *
 * Prints the tables of docs/benchmarks.md. Exit status 1 if a goal is missed.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ImageKind, writeImage } from './images.ts';
import { installed, type Measured, measure } from './measure.ts';

const mebi = 1024 * 1024;
const owimg = fileURLToPath(new URL('../dist/bin/owimg.js', import.meta.url));
const say = (text: string): void => void process.stdout.write(`${text}\n`);
const ms = ({ milliseconds }: Measured): string => milliseconds.toFixed(0);
const mib = ({ peakKib }: Measured): string => (peakKib === null ? '?' : (peakKib / 1024).toFixed(0));
const missed: string[] = [];

function goal(what: string, value: number, limit: number, atLeast = false): string {
  const met = atLeast ? value >= limit : value <= limit;
  if (!met) missed.push(`${what}: ${value.toFixed(2)}, to reach ${limit}`);
  return `${value.toFixed(2)}${met ? '' : ' (missed)'}`;
}

const commands = (path: string) => ({
  owimg: [process.execPath, owimg, 'inspect', path],
  node: [process.execPath, '-e', '0'],
  sha256sum: ['sha256sum', path],
});

const folder = mkdtempSync(join(tmpdir(), 'owimg-bench-'));
try {
  say(`Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown CPU'}; median of whole processes, ms\n`);
  say('| 16 MiB image | owimg inspect | node -e 0 | sha256sum | owimg / (node + sha256sum) | dumpimage -l | binwalk | binwalk / owimg | owimg peak MiB |');
  say('|---|---|---|---|---|---|---|---|---|');
  for (const kind of ['uimage', 'trx', 'tplink-safeloader', 'fit'] satisfies ImageKind[]) {
    const path = await writeImage(kind, 16 * mebi, folder);
    const result = measure(commands(path), 11);
    const dumpimage = installed('dumpimage') && (kind === 'uimage' || kind === 'fit') ? measure({ it: ['dumpimage', '-l', path] }, 5).it : undefined;
    const binwalk = installed('binwalk') ? measure({ it: ['binwalk', path] }, 3).it : undefined;
    const ratio = result.owimg.milliseconds / (result.node.milliseconds + result.sha256sum.milliseconds);
    const faster = binwalk === undefined ? undefined : binwalk.milliseconds / result.owimg.milliseconds;
    if (result.owimg.peakKib !== null) goal(`${kind}: peak memory in MiB`, result.owimg.peakKib / 1024, 60 + 2 * 16);
    say(
      `| ${kind} | ${ms(result.owimg)} | ${ms(result.node)} | ${ms(result.sha256sum)} | ${goal(`${kind}: time against node + sha256sum`, ratio, 2)} | ${dumpimage === undefined ? '-' : ms(dumpimage)} | ${binwalk === undefined ? '-' : ms(binwalk)} | ${faster === undefined ? '-' : goal(`${kind}: times faster than binwalk`, faster, 5, true)} | ${mib(result.owimg)} |`,
    );
  }

  say('\n| uImage of | owimg inspect | sha256sum | owimg - node, ms per MiB | owimg peak MiB |');
  say('|---|---|---|---|---|');
  const perMebibyte: number[] = [];
  for (const size of [16, 64, 256]) {
    const path = await writeImage('uimage', size * mebi, folder, false);
    const result = measure(commands(path), 5);
    const cost = (result.owimg.milliseconds - result.node.milliseconds) / size;
    perMebibyte.push(cost);
    if (result.owimg.peakKib !== null) goal(`${size} MiB: peak memory in MiB`, result.owimg.peakKib / 1024, 60 + 2 * size);
    say(`| ${size} MiB | ${ms(result.owimg)} | ${ms(result.sha256sum)} | ${cost.toFixed(2)} | ${mib(result.owimg)} |`);
    rmSync(path);
  }
  goal('cost per MiB at 256 MiB against 16 MiB', (perMebibyte[2] as number) / (perMebibyte[0] as number), 1.2);
  say(missed.length === 0 ? '\nAll goals are met.' : `\nMissed:\n- ${missed.join('\n- ')}`);
  process.exitCode = missed.length === 0 ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
