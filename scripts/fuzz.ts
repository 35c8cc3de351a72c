/**
 * `npm run fuzz [-- --cases N --seed S --jobs J]`: changes fixtures at random and inspects what comes out. Whatever the bytes
 * are, `inspect` must answer, its regions must tile, its offsets must lie in the file.
 *
 * A case depends on the seed and its number alone: `--seed S --only N` runs one again.
 */

import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { allLayers } from '../src/core/layers.ts';
import { inspect } from '../src/index.ts';
import { fixtures, readFixture } from '../test/support/fixtures.ts';
import { strayChildren, tilingProblems } from '../test/support/layers.ts';
import { randomFrom } from '../test/support/random.ts';
import { startWorker } from './worker.ts';

interface Job {
  readonly seed: number;
  readonly first: number;
  readonly step: number;
  readonly end: number;
}

interface Failure {
  readonly case: number;
  readonly fixture: string;
  readonly problem: string;
}

type Message =
  | { readonly done: number; readonly slowest: { readonly case: number; readonly milliseconds: number } }
  | { readonly failure: Failure }
  | { readonly started: number };

/** A case that takes longer hangs, for all that a fuzzer can know. */
const hangsAfter = 120_000;

const numbers = [
  0, 1, 2, 3, 4, 7, 8, 16, 63, 64, 127, 128, 255, 256, 511, 512, 4095, 4096, 65_535, 65_536, 0x7fffffff, 0x80000000, 0xfffffff0, 0xfffffffe, 0xffffffff,
];

type Random = (below: number) => number;
type Mutation = (bytes: Uint8Array, random: Random, other: Uint8Array) => Uint8Array;

/** Nearer to the start or the end than to the middle: that is where headers and trailers are. */
function place(length: number, random: Random): number {
  const span = random(3) === 0 ? length : Math.min(length, 1 << (3 + random(8)));
  const offset = random(Math.max(1, span));
  return random(4) === 0 ? Math.max(0, length - 1 - offset) : offset;
}

const mutations: readonly Mutation[] = [
  (bytes, random) => {
    const offset = place(bytes.length, random);
    bytes[offset] = (bytes[offset] ?? 0) ^ (1 << random(8));
    return bytes;
  },
  (bytes, random) => {
    bytes[place(bytes.length, random)] = random(256);
    return bytes;
  },
  (bytes, random) => {
    const offset = place(bytes.length, random) & ~(random(2) * 3);
    if (offset + 4 > bytes.length) return bytes;
    new DataView(bytes.buffer).setUint32(offset, numbers[random(numbers.length)] as number, random(2) === 0);
    return bytes;
  },
  (bytes, random) => {
    const offset = place(bytes.length, random);
    const digits = '0123456789 \0,-/.\n';
    for (let index = 0; index < 1 + random(11) && offset + index < bytes.length; index += 1) bytes[offset + index] = digits.charCodeAt(random(digits.length));
    return bytes;
  },
  (bytes, random) => bytes.slice(0, place(bytes.length, random)),
  (bytes, random) => bytes.slice(place(bytes.length, random)),
  (bytes, random) => {
    const longer = new Uint8Array(bytes.length + 1 + random(200));
    longer.set(bytes);
    longer.fill([0, 0xff, random(256)][random(3)] as number, bytes.length);
    return longer;
  },
  (bytes, random) => {
    const from = place(bytes.length, random);
    const length = 1 + random(512);
    return new Uint8Array([...bytes.subarray(0, from), ...bytes.subarray(from + length)]);
  },
  (bytes, random) => {
    const from = place(bytes.length, random);
    bytes.copyWithin(place(bytes.length, random), from, from + 1 + random(2048));
    return bytes;
  },
  (bytes, random, other) => {
    const joined = new Uint8Array(bytes.length + other.length);
    const cut = random(2) === 0 ? bytes.length : place(bytes.length, random);
    joined.set(bytes.subarray(0, cut));
    joined.set(other, cut);
    return joined.slice(0, cut + other.length);
  },
  (bytes, random, other) => {
    const offset = place(bytes.length, random);
    bytes.set(other.subarray(0, Math.min(other.length, bytes.length - offset)), offset);
    return bytes;
  },
];

const inputs = fixtures.map((fixture) => ({ name: `${fixture.format}/${fixture.file}`, bytes: readFixture(fixture) }));

/** The bytes of one case, from the seed and its number. */
function makeCase(seed: number, number: number): { name: string; bytes: Uint8Array; deep: boolean } {
  const random = randomFrom(seed + Math.imul(number, 0x9e3779b1));
  const chosen = inputs[random(inputs.length)] as (typeof inputs)[number];
  let bytes: Uint8Array = chosen.bytes.slice();
  for (let round = 1 + random(4); round > 0 && bytes.length > 0; round -= 1) {
    const other = (inputs[random(inputs.length)] as (typeof inputs)[number]).bytes;
    bytes = (mutations[random(mutations.length)] as Mutation)(bytes, random, other);
  }
  return { name: chosen.name, bytes, deep: random(4) === 0 };
}

async function problemOf(bytes: Uint8Array, deep: boolean): Promise<string | undefined> {
  try {
    const { root, findings, coverage, status } = await inspect(bytes, { deep, name: 'fuzz.bin' });
    const layers = allLayers(root);
    const problems = [...layers.flatMap(tilingProblems), ...layers.flatMap(strayChildren)];
    if (root.offset !== 0 || root.length !== bytes.length) problems.push(`the root spans ${root.offset}+${root.length} of ${bytes.length} bytes`);
    for (const { offset, length } of coverage.ranges)
      if (offset < 0 || length <= 0 || offset + length > bytes.length) problems.push(`coverage of ${offset}+${length}`);
    for (const { code, offset, length } of findings)
      if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 0) problems.push(`${code} at ${offset}+${length}`);
    if (status === 'sound' && findings.some((entry) => entry.severity !== 'note')) problems.push('sound with findings');
    return problems[0];
  } catch (error) {
    return (error as Error).stack ?? String(error);
  }
}

async function work({ seed, first, step, end }: Job, post: (message: Message) => void): Promise<void> {
  let slowest = { case: first, milliseconds: 0 };
  let done = 0;
  for (let number = first; number < end; number += step) {
    if (done % 16 === 0) post({ started: number });
    const { name, bytes, deep } = makeCase(seed, number);
    const before = performance.now();
    const problem = await problemOf(bytes, deep);
    const milliseconds = performance.now() - before;
    if (milliseconds > slowest.milliseconds) slowest = { case: number, milliseconds };
    if (problem !== undefined) post({ failure: { case: number, fixture: name, problem } });
    done += 1;
  }
  post({ done, slowest });
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { cases: { type: 'string', default: '1000000' }, seed: { type: 'string' }, jobs: { type: 'string' }, only: { type: 'string' } },
  });
  const say = (text: string): void => void process.stdout.write(`${text}\n`);
  const seed = values.seed === undefined ? Math.floor(Math.random() * 0xffffffff) : Number(values.seed);
  if (values.only !== undefined) {
    const { name, bytes, deep } = makeCase(seed, Number(values.only));
    const problem = await problemOf(bytes, deep);
    say(`case ${values.only} of ${name}, ${bytes.length} bytes${deep ? ', deep' : ''}: ${problem ?? 'nothing found'}`);
    process.exitCode = problem === undefined ? 0 : 1;
    return;
  }
  const cases = Number(values.cases);
  const jobs = Math.max(1, Number(values.jobs ?? availableParallelism()));
  say(`fuzz: ${cases} cases from ${inputs.length} fixtures, seed ${seed}, ${jobs} workers`);
  const failures: Failure[] = [];
  let done = 0;
  let slowest = { case: 0, milliseconds: 0 };
  await Promise.all(
    Array.from(
      { length: jobs },
      (_, first) =>
        new Promise<void>((resolve, reject) => {
          const worker = startWorker(import.meta.url, { seed, first, step: jobs, end: cases } satisfies Job);
          let current = first;
          let timer: NodeJS.Timeout | undefined;
          const watch = (): void => {
            clearTimeout(timer);
            timer = setTimeout(() => {
              failures.push({ case: current, fixture: '?', problem: `a case from this one on takes longer than ${hangsAfter / 1000} s` });
              void worker.terminate();
            }, hangsAfter);
          };
          watch();
          worker.on('message', (message: Message) => {
            watch();
            if ('started' in message) current = message.started;
            else if ('failure' in message) failures.push(message.failure);
            else {
              done += message.done;
              if (message.slowest.milliseconds > slowest.milliseconds) slowest = message.slowest;
            }
          });
          worker.on('error', reject);
          worker.on('exit', () => {
            clearTimeout(timer);
            resolve();
          });
        }),
    ),
  );
  for (const failure of failures.slice(0, 10))
    say(`\ncase ${failure.case} (${failure.fixture})\n${failure.problem}\nagain: npm run fuzz -- --seed ${seed} --only ${failure.case}`);
  say(
    `${done} cases, ${failures.length} with problems; the slowest, ${slowest.case}, took ${slowest.milliseconds.toFixed(0)} ms; peak memory ${Math.round(process.resourceUsage().maxRSS / 1024)} MiB`,
  );
  process.exitCode = failures.length > 0 || done < cases ? 1 : 0;
}

if (isMainThread) await main();
else await work(workerData as Job, (message) => parentPort?.postMessage(message));
