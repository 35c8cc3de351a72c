/** `owimg inspect FILE...` */
import { createHash } from 'node:crypto';
import type { Command } from '@commander-js/extra-typings';
import { OwimgError } from '../core/errors.ts';
import { byteCount } from '../core/hex.ts';
import { formats, inspect } from '../index.ts';
import { readFile } from '../io/read-file.ts';
import { exitCode, type Outcome } from '../report/exit-code.ts';
import { type InspectResult, renderJson, renderNdjson } from '../report/json.ts';
import { version } from '../version.ts';
import { type Console, sayError } from './console.ts';
import { Progress } from './progress.ts';

const tool = { name: 'owimg', version };

/** A file of so many bytes takes longer than a moment on some machines, or what it unpacks to does. */
const slowFrom = 8 * 1024 * 1024;

const compressed: ReadonlySet<string> = new Set(formats.filter(({ role }) => role === 'compressed').map(({ id }) => id));

interface InspectFlags {
  readonly json?: true | undefined;
  readonly ndjson?: true | undefined;
  readonly deep?: true | undefined;
}

/** Reads and inspects one file. What cannot be read is a result too: the other files are still looked at. */
async function inspectFile(path: string, deep: boolean, progress: Progress): Promise<InspectResult> {
  try {
    const { bytes } = await readFile(path, undefined, () => progress.step(`waiting until something is written to ${path}`, true));
    progress.step(`inspecting ${path} (${byteCount(bytes.length)})`, bytes.length >= slowFrom);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    const inspection = await inspect(bytes, path === '-' ? { deep } : { deep, name: path });
    return { file: { path, size: bytes.length, sha256 }, inspection };
  } catch (error) {
    if (!(error instanceof OwimgError)) throw error;
    const { code, message, hint } = error;
    return { file: { path }, error: { code, message, hint } };
  }
}

async function run(paths: readonly string[], flags: InspectFlags, io: Console): Promise<number> {
  if (flags.json === true && flags.ndjson === true) throw new OwimgError('bad-usage', 'Cannot print --json and --ndjson at once', 'Choose one of them.');
  if (paths.indexOf('-') !== paths.lastIndexOf('-')) throw new OwimgError('bad-usage', 'Cannot read standard input twice', 'Give "-" once.');
  const progress = new Progress(io);
  // A tree of several hundred files would fill the memory: only --json has to keep them all.
  const results: InspectResult[] = [];
  const outcomes: Outcome[] = [];
  let printed = false;
  for (const [index, path] of paths.entries()) {
    progress.step(paths.length > 1 ? `reading ${path} (${index + 1} of ${paths.length})` : `reading ${path}`);
    const result = await inspectFile(path, flags.deep === true, progress);
    if (flags.json === true) results.push(result);
    outcomes.push('error' in result ? result : { status: result.inspection.status });
    progress.clear();
    if (flags.ndjson === true) io.out(renderNdjson(result, tool));
    else if ('error' in result) sayError(io, result.error);
    else if (flags.json !== true) {
      const { renderText } = await import('../report/text.ts');
      const packed = flags.deep === true ? new Set<string>() : compressed;
      io.out(`${printed ? '\n' : ''}${renderText(result, { columns: io.columns, colour: io.colour, packed })}`);
      printed = true;
    }
  }
  if (flags.json === true) io.out(renderJson(results, tool));
  else if (flags.ndjson !== true && paths.length > 1) {
    const { renderSummary } = await import('../report/text.ts');
    const counts = new Map<string, number>();
    for (const outcome of outcomes) {
      const word = 'error' in outcome ? 'not read' : outcome.status;
      counts.set(word, (counts.get(word) ?? 0) + 1);
    }
    io.out(`\n${renderSummary(counts)}`);
  }
  return exitCode(outcomes);
}

/** Adds the command; `done` gets its exit status. */
export function addInspect(program: Command, io: Console, done: (status: number) => void): void {
  program
    .command('inspect')
    .description('say what an image is: layers, checksums, devices, layout')
    .argument('<file...>', 'images; "-" is standard input')
    .option('--deep', 'unpack kernels too, check their lengths, find device trees in them')
    .option('--json', 'one JSON object, an array for several files (docs/schema/inspect.schema.json)')
    .option('--ndjson', 'one JSON object a line')
    .addHelpText(
      'after',
      '\nExit status: 0 well-formed, 1 broken, 2 wrong use, 3 not recognised,\n4 not readable\n\nExample: owimg inspect openwrt-squashfs-sysupgrade.bin',
    )
    .action(async (paths, flags) => done(await run(paths, flags, io)));
}
