/** Wall-clock time and peak memory of whole processes, measured side by side. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

export interface Measured {
  /** Median over all rounds. */
  readonly milliseconds: number;
  /** Highest resident set of all rounds, where GNU time is installed. */
  readonly peakKib: number | null;
}

const gnuTime = '/usr/bin/time';

function once(command: readonly string[]): Measured {
  const withMemory = existsSync(gnuTime);
  const [program, ...args] = withMemory ? [gnuTime, '-f', '%M', ...command] : command;
  const before = process.hrtime.bigint();
  const { status, stderr, error } = spawnSync(program as string, args, { stdio: ['ignore', 'ignore', 'pipe'], encoding: 'utf8', maxBuffer: 1 << 28 });
  const milliseconds = Number(process.hrtime.bigint() - before) / 1e6;
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${command.join(' ')} ended with ${status}: ${stderr.slice(-500)}`);
  const peak = Number(stderr.trim().split('\n').at(-1));
  return { milliseconds, peakKib: withMemory && Number.isFinite(peak) ? peak : null };
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] as number;

/** Runs all commands in turn, `rounds` times, so that whatever else the machine does strikes all of them alike. */
export function measure<K extends string>(commands: Readonly<Record<K, readonly string[]>>, rounds: number): Record<K, Measured> {
  const names = Object.keys(commands) as K[];
  const runs = new Map<K, Measured[]>(names.map((name) => [name, []]));
  for (const name of names) once(commands[name]); // warms the disk cache
  for (let round = 0; round < rounds; round += 1) for (const name of names) runs.get(name)?.push(once(commands[name]));
  const result = {} as Record<K, Measured>;
  for (const name of names) {
    const all = runs.get(name) as Measured[];
    const peaks = all.flatMap(({ peakKib }) => (peakKib === null ? [] : [peakKib]));
    result[name] = { milliseconds: median(all.map(({ milliseconds }) => milliseconds)), peakKib: peaks.length === 0 ? null : Math.max(...peaks) };
  }
  return result;
}

/** Whether a program is installed. */
export function installed(program: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore' }).status === 0;
}
