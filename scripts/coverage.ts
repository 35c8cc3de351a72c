/**
 * `npm run coverage -- DIR [--markdown]`: inspects a corpus of images that OpenWrt's own recipes made (a folder with `corpus.json` and
 * `images/`), and prints per outermost format and in all how many are sound with no byte `unknown`. Then it lists
 * what is not understood and why: every image in it is genuine, so an error or a warning is a false alarm.
 */
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { inspect, type Layer } from '../src/index.ts';
import { startWorker } from './worker.ts';

interface CorpusImage {
  readonly file: string;
  readonly profile: string;
  readonly format: string;
  readonly packed: boolean;
  readonly stubs?: readonly string[];
}

interface Answer {
  readonly index: number;
  readonly status: string;
  readonly unknownBytes: number;
  readonly why: string;
}

/**
 * The corpus' words for an outermost format -> whether owimg has that format. The first word counts: `uImage>lzma` is a uImage,
 * `raw: X kernel + Y` a flash slice that begins with X.
 */
const known: readonly RegExp[] = [
  /^uImage(>|$|-multi)/,
  /^uimage-sgehdr/,
  /^raw: (uImage|FIT|uImage-multi|uimage-sgehdr|tplink-v1|okli-loader|arcadyan-trx|uImage-tplink-c9) kernel/,
  /^raw kernel: (uImage|FIT|bare lzma)/,
  /^raw rootfs/,
  /^sysupgrade-tar/,
  /^disk-image/,
  /^FIT|^qsdk-ipq FIT/,
  /^ubi$/,
  /^tplink-v[12]/,
  /^tplink-safeloader/,
  /^netgear-(chk|dni)/,
  /^asus-trx|^trx|^cybertan/,
  /^bcm63xx imagetag/,
  /^seama|^wrgg|^senao|^ubnt/,
  /^gzip$|^gzip\(raw\)|^zip$|^raw: dtb/,
  /^lzma$|^lzma-loader|^okli-loader|^ELF|^gzip\(sysupgrade-tar\)|^senao-tar-gz/,
  /^linksys-footer|^zyimage|^gemtek-trailer|^motorola-bin/,
];

const isKnown = (format: string): boolean => known.some((pattern) => pattern.test(format));

function unknownBytes(layer: Layer): number {
  const own = layer.regions.reduce((sum, region) => sum + (region.kind === 'unknown' ? region.length : 0), 0);
  return own + layer.children.reduce((sum, child) => sum + unknownBytes(child), 0);
}

function firstUnknown(layer: Layer): string | undefined {
  const region = layer.regions.find(({ kind }) => kind === 'unknown');
  if (region !== undefined) return `${region.length} bytes unknown at ${region.offset} of ${layer.format}`;
  return layer.children.map(firstUnknown).find((text) => text !== undefined);
}

async function work({ folder, files, first, step }: { folder: string; files: readonly string[]; first: number; step: number }): Promise<void> {
  for (let index = first; index < files.length; index += step) {
    const file = files[index] as string;
    const { status, findings, root } = await inspect(new Uint8Array(readFileSync(join(folder, file))), { name: file });
    const worst = findings.find(({ severity }) => severity === 'error') ?? findings.find(({ severity }) => severity === 'warning');
    const why = worst === undefined ? (firstUnknown(root) ?? '') : `${worst.code} at ${worst.offset} of ${worst.layer}`;
    parentPort?.postMessage({ index, status, unknownBytes: unknownBytes(root), why } satisfies Answer);
  }
}

interface Row {
  images: number;
  sound: number;
  complete: number;
  alarms: number;
  unrecognised: number;
}

const newRow = (): Row => ({ images: 0, sound: 0, complete: 0, alarms: 0, unrecognised: 0 });

function count(row: Row, { status, unknownBytes: unknown }: Answer): void {
  row.images += 1;
  if (status === 'sound') row.sound += 1;
  if (status === 'sound' && unknown === 0) row.complete += 1;
  if (status === 'broken' || status === 'doubtful') row.alarms += 1;
  if (status === 'unknown') row.unrecognised += 1;
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { markdown: { type: 'boolean', default: false } } });
  const folder = positionals[0];
  const say = (text: string): void => void process.stdout.write(`${text}\n`);
  if (folder === undefined || !existsSync(join(folder, 'corpus.json'))) {
    say('Usage: npm run coverage -- DIR [--markdown]   (DIR holds corpus.json and images/)');
    process.exitCode = 2;
    return;
  }
  const corpus = JSON.parse(readFileSync(join(folder, 'corpus.json'), 'utf8')) as { images: CorpusImage[] };
  const images = corpus.images.filter(({ packed, file }) => packed && existsSync(join(folder, file)));
  const files = images.map(({ file }) => file);
  const answers: Answer[] = [];
  const jobs = availableParallelism();
  await Promise.all(
    Array.from(
      { length: jobs },
      (_, first) =>
        new Promise<void>((resolve, reject) => {
          const worker = startWorker(import.meta.url, { folder, files, first, step: jobs });
          worker.on('message', (answer: Answer) => {
            answers[answer.index] = answer;
          });
          worker.on('error', reject);
          worker.on('exit', () => resolve());
        }),
    ),
  );

  const rows = new Map<string, Row>();
  const [all, inScope] = [newRow(), newRow()];
  images.forEach(({ format }, index) => {
    const answer = answers[index] as Answer;
    const row = rows.get(format) ?? newRow();
    rows.set(format, row);
    for (const each of [row, all, ...(isKnown(format) ? [inScope] : [])]) count(each, answer);
  });
  const line = (name: string, { images: n, sound, complete, alarms, unrecognised }: Row): string =>
    values.markdown
      ? `| ${name} | ${n} | ${sound} | ${complete} | ${alarms} | ${unrecognised} |`
      : `${name.padEnd(52)}${[n, sound, complete, alarms, unrecognised].map((value) => String(value).padStart(8)).join('')}`;
  if (values.markdown) say('| outermost format | images | sound | sound, no byte unknown | false alarms | not recognised |\n|---|---|---|---|---|---|');
  else say(`${'outermost format'.padEnd(52)}  images   sound   whole  alarms unknown`);
  const sorted = [...rows].sort((a, b) => Number(isKnown(b[0])) - Number(isKnown(a[0])) || b[1].images - a[1].images);
  for (const [format, row] of sorted) if (isKnown(format) || !values.markdown) say(line(isKnown(format) ? format : `(not in) ${format}`, row));
  say(line('formats that are in', inScope));
  say(line('all', all));

  say('\nNot understood, of the formats that are in:');
  images.forEach(({ file, format, stubs = [] }, index) => {
    const { status, unknownBytes: unknown, why } = answers[index] as Answer;
    if (!isKnown(format) || (status === 'sound' && unknown === 0)) return;
    say(`- ${status}: ${file.split('/').slice(-2).join('/')} (${format}): ${why}${stubs.length > 0 ? ` [stubs: ${stubs.join('; ')}]` : ''}`);
  });
}

if (isMainThread) await main();
else await work(workerData as Parameters<typeof work>[0]);
