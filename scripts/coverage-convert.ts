/**
 * `npm run coverage:convert -- DIR [--only TEXT] [--list OUTCOME] [--markdown]`: converts the images of a corpus that OpenWrt's own recipes made (a folder with
 * `corpus.json` and `images/`), sysupgrade to factory and back, and compares each result with the very bytes of the recipe. Prints per
 * class and in all how many are identical, sound but different (with the first offset that differs and its field), not yet possible
 * (with the step that is missing), impossible.
 *
 * What no image tells comes from where a user would take it: version and revision from the build's own record, the time from SOURCE_DATE_EPOCH.
 */
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { checkContext } from '../src/check.ts';
import { convertWith, firstDifference, placeOf } from '../src/convert.ts';
import { loadDeviceFacts } from '../src/devices/load.ts';
import { formats, inspect, OwimgError } from '../src/index.ts';
import { startWorker } from './worker.ts';

interface CorpusImage {
  readonly file: string;
  readonly target: string;
  readonly profile: string;
  readonly name: string;
  readonly kind: string;
  readonly steps: readonly string[];
  readonly fs: string | null;
  readonly packed: boolean;
  readonly reproducible: boolean | null;
  readonly conversion: readonly { readonly class: string; readonly sysupgrade: string | null }[] | null;
}

interface Pair {
  readonly class: string;
  readonly from: CorpusImage;
  readonly to: CorpusImage;
  readonly direction: 'factory' | 'sysupgrade';
  /** Given too. */
  readonly initramfs?: CorpusImage;
}

type Outcome = 'identical' | 'different' | 'not yet' | 'impossible' | 'failed';

interface Answer {
  readonly index: number;
  readonly outcome: Outcome;
  readonly why: string;
}

/** What the corpus was built with (its README): a user has it from the release's page, or from version.buildinfo. */
const build = { version: 'SNAPSHOT', revision: 'r99999-0123456789' };
const epoch = '1700000000';

function readPairs(folder: string): Pair[] {
  const { images } = JSON.parse(readFileSync(join(folder, 'corpus.json'), 'utf8')) as { images: CorpusImage[] };
  const present = images.filter(({ packed, file }) => packed && existsSync(join(folder, file)));
  const ofDevice = ({ target, profile }: CorpusImage): readonly CorpusImage[] =>
    present.filter((image) => image.target === target && image.profile === profile);
  return present.flatMap((factory) =>
    (factory.conversion ?? []).flatMap(({ class: name, sysupgrade }) => {
      const siblings = ofDevice(factory);
      // What does not depend on the root file system is built once; it stands beside the sysupgrade image of each.
      const others = siblings.filter((image) => image.name === sysupgrade && image !== factory && (factory.fs === null || image.fs === factory.fs));
      // A factory image that holds the initramfs kernel can be made by who has that too.
      const stage = factory.steps.map((step) => /^append-image-stage (initramfs-\S+)$/.exec(step)?.[1]).find((found) => found !== undefined);
      const initramfs = siblings.find((image) => image.kind === 'initramfs' && image.name === stage);
      return others.flatMap((other) => [
        { class: name, from: other, to: factory, direction: 'factory' as const },
        { class: name, from: factory, to: other, direction: 'sysupgrade' as const },
        ...(initramfs === undefined ? [] : [{ class: `${name}, with --initramfs`, from: other, to: factory, direction: 'factory' as const, initramfs }]),
      ]);
    }),
  );
}

const reasons: Readonly<Record<string, Outcome>> = {
  'step-unknown': 'not yet',
  'unknown-format': 'not yet',
  'part-missing': 'impossible',
  'conversion-impossible': 'impossible',
};

async function convertPair(folder: string, { from, to, direction, initramfs }: Pair): Promise<Omit<Answer, 'index'>> {
  const facts = await loadDeviceFacts();
  const device = facts.devices.find(({ profile, target }) => profile === from.profile && target === from.target);
  if (device === undefined) return { outcome: 'failed', why: 'no such device' };
  const bytes = new Uint8Array(readFileSync(join(folder, from.file)));
  const expected = new Uint8Array(readFileSync(join(folder, to.file)));
  const parts = initramfs === undefined ? undefined : new Map([['initramfs', new Uint8Array(readFileSync(join(folder, initramfs.file)))]]);
  try {
    const { image, values } = await convertWith(bytes, formats, checkContext(formats, facts), {
      device,
      to: direction,
      image: to.name,
      parts,
      build,
      epoch,
    });
    const at = firstDifference(image, expected);
    if (at === null) return { outcome: 'identical', why: '' };
    const named = values.some((value) => value.bytes.some(({ offset, length }) => at >= offset && at < offset + length));
    const { root } = await inspect(expected);
    const found = `${image[at]?.toString(16)} instead of ${expected[at]?.toString(16)}, ${image.length} bytes instead of ${expected.length}`;
    return { outcome: 'different', why: `at ${at} (${placeOf(root, at)}): ${found}${named ? ', as the report said' : ''}` };
  } catch (error) {
    if (!(error instanceof OwimgError)) throw error;
    const step = /the step "([^" ]+)/.exec(error.message)?.[1];
    const why = error.code === 'step-unknown' && step !== undefined ? `the step ${step}` : error.message;
    return { outcome: reasons[error.code] ?? 'failed', why: `${error.code}: ${why}` };
  }
}

const { values: flags, positionals } = parseArgs({
  options: { only: { type: 'string' }, list: { type: 'string' }, markdown: { type: 'boolean' } },
  allowPositionals: true,
});

async function work({ folder, pairs, worker, workers }: { folder: string; pairs: readonly Pair[]; worker: number; workers: number }): Promise<void> {
  for (let index = worker; index < pairs.length; index += workers) {
    const answer = await convertPair(folder, pairs[index] as Pair).catch((error: Error) => ({ outcome: 'failed' as const, why: error.stack ?? error.message }));
    parentPort?.postMessage({ index, ...answer } satisfies Answer);
  }
}

function print(pairs: readonly Pair[], answers: readonly Answer[]): void {
  const outcomes: readonly Outcome[] = ['identical', 'different', 'not yet', 'impossible', 'failed'];
  const rows = new Map<string, Map<Outcome, number>>();
  for (const { index, outcome } of answers) {
    const { class: name, direction } = pairs[index] as Pair;
    for (const key of [`${name}, to ${direction}`, 'all']) {
      const row = rows.get(key) ?? new Map<Outcome, number>();
      rows.set(key, row.set(outcome, (row.get(outcome) ?? 0) + 1));
    }
  }
  const line = (cells: readonly string[]): string =>
    flags.markdown ? `| ${cells.join(' | ')} |` : cells.map((cell, index) => (index === 0 ? cell.padEnd(36) : cell.padStart(11))).join('');
  const lines = [line(['class', ...outcomes])];
  if (flags.markdown) lines.push(`|---|${outcomes.map(() => '--:|').join('')}`);
  for (const name of [...rows.keys()]
    .filter((key) => key !== 'all')
    .sort()
    .concat('all')) {
    lines.push(line([name, ...outcomes.map((outcome) => String(rows.get(name)?.get(outcome) ?? 0))]));
  }
  process.stdout.write(`${lines.join('\n')}\n`);
  const listed = answers.filter(({ outcome }) => (flags.list === undefined ? outcome === 'different' || outcome === 'failed' : outcome === flags.list));
  const reasonsOf = new Map<string, string[]>();
  for (const { index, outcome, why } of listed) {
    const { from, to, direction } = pairs[index] as Pair;
    const key = `${outcome}, to ${direction}: ${why}`;
    reasonsOf.set(key, [...(reasonsOf.get(key) ?? []), `${from.profile} ${from.name} -> ${to.name}`]);
  }
  for (const [why, names] of reasonsOf)
    process.stdout.write(`\n${why}\n  ${names.slice(0, 8).join('\n  ')}${names.length > 8 ? `\n  and ${names.length - 8} more` : ''}\n`);
}

if (isMainThread) {
  const [folder] = positionals;
  if (folder === undefined || !existsSync(join(folder, 'corpus.json')))
    throw new Error('Usage: npm run coverage:convert -- DIR, a folder with corpus.json and images/');
  const { only } = flags;
  const pairs = readPairs(folder).filter(({ class: name, from, to }) => only === undefined || `${name} ${from.file} ${to.file}`.includes(only));
  const workers = availableParallelism();
  const answers = await Promise.all(
    Array.from({ length: workers }, (_, worker) => {
      const found: Answer[] = [];
      return new Promise<Answer[]>((resolve, reject) => {
        const thread = startWorker(import.meta.url, { folder, pairs, worker, workers });
        thread.on('message', (answer: Answer) => found.push(answer));
        thread.on('error', reject);
        thread.on('exit', () => resolve(found));
      });
    }),
  );
  print(pairs, answers.flat());
} else await work(workerData as Parameters<typeof work>[0]);
