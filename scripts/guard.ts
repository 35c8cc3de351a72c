/**
 * `npm run guard -- DIR [--pairs N --seed S --list]`: the verdicts over a corpus of images that OpenWrt's own recipes made (a folder with
 * `corpus.json` and `images/`). Each image must install on its own device by the way that it is made for; on another
 * device, chosen at random, no way may install it, not even when its metadata is rewritten to name that device.
 */
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { fwtool } from '../formats/fwtool.ts';
import { formats } from '../formats/index.ts';
import { checkContext, checkWith } from '../src/check.ts';
import { Budget, defaultLimits } from '../src/core/limits.ts';
import type { Device, DeviceFacts } from '../src/devices/facts.ts';
import { loadDeviceFacts } from '../src/devices/load.ts';
import { inspect } from '../src/index.ts';
import { imageShape } from '../src/recipes/shape.ts';
import type { Route } from '../src/routes/verdict.ts';
import { randomFrom } from '../test/support/random.ts';
import { startWorker } from './worker.ts';

interface CorpusImage {
  readonly file: string;
  readonly target: string;
  readonly profile: string;
  readonly name: string;
  readonly fs: string | null;
  readonly role: string;
  readonly packed: boolean;
}

/** The image on the device; `rewritten`: with metadata that names the device. */
interface Job {
  readonly image: number;
  readonly device: number;
  readonly rewritten: boolean;
  readonly own: boolean;
}

interface Answer {
  readonly job: number;
  readonly outcomes: readonly { readonly route: Route; readonly outcome: string; readonly reason: string }[];
}

interface Work {
  readonly folder: string;
  readonly files: readonly string[];
  readonly jobs: readonly Job[];
  readonly first: number;
  readonly step: number;
}

const routeOf: Readonly<Record<string, Route>> = { sysupgrade: 'sysupgrade', both: 'sysupgrade', factory: 'stock' };
const installed: ReadonlySet<string> = new Set(['installs', 'installs-without-settings', 'boots']);

/** The image with metadata that names this device and nothing else, as its own build would have appended it. */
async function rewrite(bytes: Uint8Array, device: Device): Promise<Uint8Array> {
  const start = fwtool.locate?.(bytes) ?? -1;
  if (start < 0) return bytes;
  const { input } = await fwtool.parse(bytes, { unpack: false, deep: false, budget: new Budget(defaultLimits) });
  const read = input?.();
  if (read === undefined) return bytes;
  const names = device.compatVersion === '1.0' ? { supported_devices: device.boards } : { supported_devices: ['old'], new_supported_devices: device.boards };
  const version = { dist: 'OpenWrt', version: 'SNAPSHOT', revision: 'r0', target: device.target, board: device.profile };
  const metadata = { metadata_version: '1.1', compat_version: device.compatVersion, ...names, version };
  const data = new Uint8Array([...new Uint8Array(8), ...new TextEncoder().encode(JSON.stringify(metadata))]);
  const appended = fwtool.build?.({ image: read.image, chunks: [{ type: 1, data }] }) as Uint8Array;
  const made = new Uint8Array(read.image.length + appended.length);
  made.set(read.image);
  made.set(appended, read.image.length);
  return made;
}

async function work({ folder, files, jobs, first, step }: Work): Promise<void> {
  const facts = await loadDeviceFacts();
  const context = checkContext(formats, facts);
  for (let number = first; number < jobs.length; number += step) {
    const { image, device: index, rewritten } = jobs[number] as Job;
    const device = facts.devices[index] as Device;
    const read = new Uint8Array(readFileSync(join(folder, files[image] as string)));
    const bytes = rewritten ? await rewrite(read, device) : read;
    const { verdicts } = checkWith(await inspect(bytes, { deep: true }), bytes.length, context, { device });
    parentPort?.postMessage({ job: number, outcomes: verdicts.map(({ route, outcome, reason }) => ({ route, outcome, reason })) } satisfies Answer);
  }
}

function runJobs(work: Omit<Work, 'first' | 'step'>): Promise<Answer[]> {
  const answers: Answer[] = [];
  const step = availableParallelism();
  const one = (first: number): Promise<void> =>
    new Promise((resolve, reject) => {
      const worker = startWorker(import.meta.url, { ...work, first, step });
      worker.on('message', (answer: Answer) => {
        answers[answer.job] = answer;
      });
      worker.on('error', reject);
      worker.on('exit', () => resolve());
    });
  return Promise.all(Array.from({ length: step }, (_, first) => one(first))).then(() => answers);
}

/** Why this pair says nothing: the two cannot be told apart by anything that OpenWrt puts into an image. */
function alike(image: CorpusImage, own: Device, other: Device, facts: DeviceFacts): 'same device' | 'shared board name' | 'same recipe and ids' | undefined {
  if (own.profile === other.profile) return 'same device';
  if (own.boards.some((board) => other.boards.includes(board))) return 'shared board name';
  const shapeOf = (device: Device, entry: Device['images'][number]): string => JSON.stringify(imageShape(device, entry, facts.safeloaderBoards));
  const recipe = own.images.find(({ name, fs }) => name === image.name && fs === image.fs);
  // A root file system alone has nothing of the kernel, whose recipe names the device tree.
  const kernel = recipe?.steps.some((step) => !/^(append-rootfs|append-metadata|pad-|check-size)/.test(step)) === true;
  if (recipe === undefined || (kernel && own.kernel.join() !== other.kernel.join())) return undefined;
  const shape = shapeOf(own, recipe);
  return other.images.some((entry) => shapeOf(other, entry) === shape) ? 'same recipe and ids' : undefined;
}

async function main(): Promise<void> {
  const options = { pairs: { type: 'string', default: '2000' }, seed: { type: 'string', default: '1' }, list: { type: 'boolean', default: false } } as const;
  const { values, positionals } = parseArgs({ allowPositionals: true, options });
  const say = (text: string): void => void process.stdout.write(`${text}\n`);
  const [folder] = positionals;
  if (folder === undefined || !existsSync(join(folder, 'corpus.json'))) {
    say('Usage: npm run guard -- DIR [--pairs N] [--seed S] [--list]   (DIR holds corpus.json and images/)');
    process.exitCode = 2;
    return;
  }
  const corpus = JSON.parse(readFileSync(join(folder, 'corpus.json'), 'utf8')) as { images: CorpusImage[] };
  const images = corpus.images.filter(({ packed, file, role }) => packed && routeOf[role] !== undefined && existsSync(join(folder, file)));
  const facts = await loadDeviceFacts();
  const indexOf = new Map(facts.devices.map(({ target, profile }, index) => [`${target} ${profile}`, index]));
  const ownIndex = ({ target, profile }: CorpusImage): number => indexOf.get(`${target} ${profile}`) as number;
  const byTarget = new Map<string, number[]>();
  facts.devices.forEach(({ target }, index) => {
    byTarget.set(target, [...(byTarget.get(target) ?? []), index]);
  });

  const jobs: Job[] = images.map((image, number) => ({ image: number, device: ownIndex(image), rewritten: false, own: true }));
  const random = randomFrom(Number(values.seed));
  const wanted = Number(values.pairs);
  const left = new Map<string, number>();
  for (let made = 0; made < wanted; ) {
    const number = random(images.length);
    const image = images[number] as CorpusImage;
    const pool = byTarget.get(image.target) as number[];
    // Every other pair within a target, where devices are most alike.
    const device = made % 2 === 0 ? random(facts.devices.length) : (pool[random(pool.length)] as number);
    const why = alike(image, facts.devices[ownIndex(image)] as Device, facts.devices[device] as Device, facts);
    if (why !== undefined) {
      left.set(why, (left.get(why) ?? 0) + 1);
      if (why !== 'same device' || pool.length > 1) continue;
      made += 1;
      continue;
    }
    made += 1;
    jobs.push({ image: number, device, rewritten: false, own: false }, { image: number, device, rewritten: true, own: false });
  }
  const answers = await runJobs({ folder, files: images.map(({ file }) => file), jobs });

  const counts = new Map<string, number>();
  const lines: string[] = [];
  jobs.forEach((job, number) => {
    const { outcomes } = answers[number] as Answer;
    const image = images[job.image] as CorpusImage;
    const device = facts.devices[job.device] as Device;
    if (job.own) {
      const route = routeOf[image.role] as Route;
      const found = outcomes.find((entry) => entry.route === route);
      const key = `own ${route} ${installed.has(found?.outcome ?? '') ? 'installs' : found?.outcome === 'unknown' ? 'cannot tell' : 'false alarm'}`;
      counts.set(key, (counts.get(key) ?? 0) + 1);
      if (key.endsWith('false alarm')) lines.push(`false alarm: ${image.profile} ${image.name} by ${route}: ${found?.outcome}: ${found?.reason}`);
      return;
    }
    const missed = outcomes.filter(({ outcome }) => installed.has(outcome));
    const key = `other ${job.rewritten ? 'rewritten' : 'as it is'} ${missed.length > 0 ? 'missed' : 'stopped'}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
    for (const { route, outcome } of missed)
      lines.push(`miss: ${image.profile} ${image.name} on ${device.profile} by ${route}: ${outcome}${job.rewritten ? ' (metadata rewritten)' : ''}`);
  });
  const of = (key: string): number => counts.get(key) ?? 0;
  const percent = (part: number, whole: number): string => `${((100 * part) / Math.max(1, whole)).toFixed(2)} %`;
  for (const route of ['sysupgrade', 'stock'] as const) {
    const [good, open, alarms] = ['installs', 'cannot tell', 'false alarm'].map((word) => of(`own ${route} ${word}`)) as [number, number, number];
    const all = good + open + alarms;
    say(
      `own images by ${route}: ${all}: ${good} install, ${open} cannot be told, ${alarms} false alarms (${percent(alarms, all)} of all, ${percent(alarms, good + alarms)} of those judged)`,
    );
  }
  for (const word of ['as it is', 'rewritten'] as const) {
    const [stopped, missed] = [of(`other ${word} stopped`), of(`other ${word} missed`)];
    say(
      `on another device, ${word === 'as it is' ? 'as they are' : 'metadata rewritten to name it'}: ${stopped + missed} pairs: ${missed} misses (${percent(missed, stopped + missed)})`,
    );
  }
  say(`seed ${values.seed}; drawn and left out: ${[...left].map(([why, count]) => `${count} ${why}`).join(', ')}`);
  if (values.list) for (const line of lines.sort()) say(line);
}

if (isMainThread) await main();
else await work(workerData as Work);
