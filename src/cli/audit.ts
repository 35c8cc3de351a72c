/** `owimg audit DIR...` and `owimg report merge FILE...` */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { type Command, Option } from '@commander-js/extra-typings';
import type { AuditRecord } from '../audit/image.ts';
import { OwimgError } from '../core/errors.ts';
import { finding } from '../core/findings.ts';
import type { BuildFolder } from '../io/build-folder.ts';
import { auditExitCode } from '../report/exit-code.ts';
import { schemaVersion } from '../report/json.ts';
import { version } from '../version.ts';
import type { AuditJob } from './audit-worker.ts';
import type { Console } from './console.ts';
import { collectValues } from './lists.ts';
import { Progress } from './progress.ts';
import { type OutputFormat, outputFormats, wantedReports, writeReports } from './reports.ts';

const tool = { name: 'owimg', version };

interface AuditFlags {
  readonly baseline?: string | undefined;
  readonly shard?: string | undefined;
  readonly cache?: string | undefined;
  readonly jobs?: string | undefined;
  readonly deep?: true | undefined;
  readonly format?: OutputFormat | undefined;
  readonly report?: string[] | undefined;
  readonly json?: true | undefined;
  readonly ndjson?: true | undefined;
}

type ReportFlags = Pick<AuditFlags, 'format' | 'report' | 'json' | 'ndjson'>;

interface Shard {
  readonly index: number;
  readonly count: number;
}

/** `2/5` is the second of five. */
function shardOf(text: string | undefined): Shard {
  if (text === undefined) return { index: 1, count: 1 };
  const match = /^(\d+)\/(\d+)$/.exec(text);
  const [index, count] = [Number(match?.[1]), Number(match?.[2])];
  if (match === null || index < 1 || index > count)
    throw new OwimgError('bad-usage', `Cannot use "${text}" as a shard: expected i/n, as 2/5, with i from 1 to n`);
  return { index, count };
}

/** Stable by path, so that the same files come together whatever else is there. */
function isInShard(path: string, { index, count }: Shard): boolean {
  return count === 1 || createHash('sha256').update(path).digest().readUInt32BE(0) % count === index - 1;
}

/** What the lists say that no file can answer for. */
async function listRecords(folder: BuildFolder, shard: Shard): Promise<AuditRecord[]> {
  const { listRecord } = await import('../audit/image.ts');
  const at = (name: string): string => (folder.path === '' ? name : `${folder.path}/${name}`);
  const place = { offset: 0, length: 0 };
  const byList = new Map<string, AuditRecord['findings'][number][]>();
  const add = (list: string, entry: ReturnType<typeof finding>): void => {
    byList.set(list, [...(byList.get(list) ?? []), { ...entry, layer: '' }]);
  };
  for (const { list, reason } of folder.release.problems) add(list, finding('list-invalid', place, { list, reason }));
  for (const { name, list, profile } of folder.release.images.values()) {
    // sha256sums also names what lies in folders below and what is no image.
    if (profile !== undefined && !folder.images.includes(name)) add(list, finding('image-missing', place, { list, name }));
  }
  return [...byList].filter(([list]) => isInShard(at(list), shard)).map(([list, findings]) => listRecord(at(list), findings));
}

interface Audited {
  readonly records: AuditRecord[];
}

async function auditFolder(root: string, flags: AuditFlags, shard: Shard, progress: Progress): Promise<Audited> {
  progress.step(`reading ${root}`);
  const { readBuild } = await import('../io/build-folder.ts');
  const folders = await readBuild(root);
  const files = folders.flatMap(({ path, release, hasList, images }) =>
    images.map((name) => ({ path: path === '' ? name : `${path}/${name}`, listed: release.images.get(name), hasList, target: release.target })),
  );
  const { deep = false, cache } = flags;
  const jobs = files
    .filter(({ path }) => isInShard(path, shard))
    .map((file, number): AuditJob => ({ ...file, number, file: join(root, file.path), deep, cache }));
  const workers = flags.jobs === undefined ? availableParallelism() : Number(flags.jobs);
  if (!Number.isInteger(workers) || workers < 1) throw new OwimgError('bad-usage', `Cannot use ${flags.jobs} workers: expected a number from 1 on`);
  const { runJobs } = await import('./audit-pool.ts');
  const images = await runJobs(jobs, workers, (_, done) => progress.step(`${bar(done, jobs.length)} ${done} of ${jobs.length} images`));
  const lists = await Promise.all(folders.map((folder) => listRecords(folder, shard)));
  return { records: [...lists.flat(), ...images] };
}

function bar(done: number, total: number): string {
  const width = 24;
  const filled = Math.floor((width * done) / Math.max(1, total));
  return `[${'#'.repeat(filled)}${'-'.repeat(width - filled)}]`;
}

async function report(records: readonly AuditRecord[], flags: ReportFlags, io: Console): Promise<number> {
  const wanted = wantedReports(flags.format, flags.json === true, flags.report ?? []);
  const { auditedFile } = await import('../report/ci.ts');
  await writeReports(wanted, records.map(auditedFile), tool, io);
  if (flags.ndjson === true) for (const record of records) io.out(`${JSON.stringify({ schemaVersion, tool, ...record })}\n`);
  else if (wanted.format === 'json') io.out(`${JSON.stringify({ schemaVersion, tool, images: records }, null, 2)}\n`);
  else if (wanted.format === 'text') {
    const { renderAuditText } = await import('../report/audit-text.ts');
    io.out(renderAuditText(records, { columns: io.columns, colour: io.colour }));
  }
  return auditExitCode(records);
}

async function runAudit(roots: readonly string[], flags: AuditFlags, io: Console): Promise<number> {
  if (flags.json === true && flags.ndjson === true) throw new OwimgError('bad-usage', 'Cannot print --json and --ndjson at once', 'Choose one of them.');
  const shard = shardOf(flags.shard);
  const { baselineOf, withClaims, withRegressions } = await import('../audit/build.ts');
  const progress = new Progress(io);
  const records: AuditRecord[] = [];
  for (const root of roots) records.push(...(await auditFolder(root, flags, shard, progress)).records);
  if (records.length === 0 && shard.count === 1) {
    throw new OwimgError('cannot-read', `Cannot find an image in ${roots.join(', ')}`, 'Name the folder that holds the images, as bin/targets.');
  }
  let all = records;
  if (flags.baseline !== undefined) {
    const before = await auditFolder(flags.baseline, { jobs: flags.jobs, cache: flags.cache }, { index: 1, count: 1 }, progress);
    all = withRegressions(all, baselineOf(before.records));
  }
  progress.clear();
  return report(shard.count === 1 ? withClaims(all) : all, flags, io);
}

/** The records in what `owimg audit --ndjson` has written. */
async function readRecords(path: string): Promise<AuditRecord[]> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw new OwimgError('cannot-read', `Cannot read "${path}": ${(error as Error).message}`);
  }
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line, index) => {
      try {
        const { schemaVersion: given, tool: _, ...record } = JSON.parse(line) as AuditRecord & { schemaVersion: number; tool: object };
        if (given !== schemaVersion || typeof record.path !== 'string' || !Array.isArray(record.findings)) throw new Error('it is not a record of owimg audit');
        return record;
      } catch (error) {
        const message = `Cannot read line ${index + 1} of "${path}": ${(error as Error).message}`;
        throw new OwimgError('cannot-read', message, 'Give it what owimg audit --ndjson has written.');
      }
    });
}

async function runMerge(paths: readonly string[], flags: ReportFlags, io: Console): Promise<number> {
  const records: AuditRecord[] = [];
  for (const path of paths) records.push(...(await readRecords(path)));
  const { withClaims } = await import('../audit/build.ts');
  records.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
  return report(withClaims(records), flags, io);
}

/** Adds the commands; `done` gets the exit status. */
export function addAudit(program: Command, io: Console, done: (status: number) => void): void {
  program
    .command('audit')
    .description('check all images of a build or a mirror, each for its own device')
    .argument('<dir...>', 'folders with images, as bin/targets; profiles.json and sha256sums beside them are read')
    .option('--baseline <dir>', 'an older build: what its profiles had and these have lost')
    .option('--shard <i/n>', 'only the i-th of n parts, stable by path')
    .option('--cache <dir>', 'keep what was found, by content; unchanged images are not looked into again')
    .option('--jobs <n>', 'how many files at once (as many as there are cores)')
    .option('--deep', 'unpack kernels too and find their device trees')
    .addOption(new Option('-f, --format <format>', 'what to print').choices(outputFormats))
    .option('--report <format=file>', 'also write a report: junit=FILE, sarif=FILE, summary=FILE; may be given again', collectValues)
    .option('--json', 'one JSON object (docs/schema/audit.schema.json)')
    .option('--ndjson', 'one JSON object a line, for owimg report merge')
    .addHelpText('after', '\nExit status: 0 nothing found, 1 a problem, 2 wrong use, 3 cannot tell, 4 not readable\n\nExample: owimg audit bin/targets')
    .action(async (roots, flags) => done(await runAudit(roots, flags, io)));
  program
    .command('report')
    .description('work with what owimg audit --ndjson has written')
    .command('merge')
    .description('one report from the pieces of several shards')
    .argument('<file...>', 'files that owimg audit --ndjson has written')
    .addOption(new Option('-f, --format <format>', 'what to print').choices(outputFormats))
    .option('--report <format=file>', 'also write a report: junit=FILE, sarif=FILE, summary=FILE; may be given again', collectValues)
    .option('--json', 'one JSON object')
    .option('--ndjson', 'one JSON object a line')
    .action(async (paths, flags) => done(await runMerge(paths, flags, io)));
}
