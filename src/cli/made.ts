/** What `strip`, `extract`, `wrap` and `metadata` have in common: reading, refusing, writing, and looking at what was written. */
import { createHash } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import { type ErrorCode, errorKinds, OwimgError } from '../core/errors.ts';
import type { Finding, Inspection } from '../core/types.ts';
import { formats, inspect } from '../index.ts';
import { type Opened, openWith } from '../inspect.ts';
import { readFile } from '../io/read-file.ts';
import { requireWritable, writeFile } from '../io/write-file.ts';
import type { InspectedFile } from '../report/json.ts';
import type { Made } from '../report/made-json.ts';
import { version } from '../version.ts';
import type { Console } from './console.ts';
import { collectCodes } from './lists.ts';
import { Progress } from './progress.ts';

export const tool = { name: 'owimg', version };

/** The flags that all of them have. */
export interface MadeFlags {
  readonly output?: string | undefined;
  readonly accept?: string[] | undefined;
  readonly force?: true | undefined;
  readonly json?: true | undefined;
}

export const sha256Of = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

export interface Given {
  readonly file: InspectedFile;
  readonly bytes: Uint8Array;
  readonly opened: Opened;
}

/** Reads and inspects the file. */
export async function readGiven(path: string, deep: boolean, io: Console): Promise<Given> {
  const progress = new Progress(io);
  progress.step(`reading ${path}`);
  const { bytes } = await readFile(path);
  const opened = await openWith(formats, bytes, path === '-' ? { deep } : { deep, name: path });
  progress.clear();
  return { file: { path, size: bytes.length, sha256: sha256Of(bytes) }, bytes, opened };
}

/** Where the word of an error stands in a sentence: the file's name, or standard input. */
const named = (path: string): string => (path === '-' ? 'standard input' : `"${path}"`);

/** The first error that the user did not accept. */
function unaccepted(findings: readonly Finding[], accept: readonly string[]): Finding | undefined {
  return findings.find(({ severity, code }) => severity === 'error' && !accept.includes(code));
}

/**
 * Refuses a file that is broken, and one that owimg does not recognise.
 *
 * @throws OwimgError `input-refused`, `unknown-format`
 */
export function requireGood(verb: string, path: string, inspection: Inspection, accept: readonly string[] = []): void {
  const error = unaccepted(inspection.findings, accept);
  if (error !== undefined) {
    const again = `${error.hint ?? 'Download it again.'} If you know why it is so: --accept ${error.code}.`;
    throw new OwimgError('input-refused', `Cannot ${verb} ${named(path)}: it is broken. ${error.message} (${error.code})`, again);
  }
  if (inspection.status === 'unknown' && !accept.includes('format-unknown')) {
    const hint = 'owimg inspect FILE tells what little is known of it. If you know what it begins with: --accept format-unknown.';
    throw new OwimgError('unknown-format', `Cannot ${verb} ${named(path)}: owimg does not recognise what it begins with`, hint);
  }
}

const packedEnding = /\.(gz|xz|zip)$/i;

/** A name beside the file: `fw.bin` becomes `fw.stripped.bin`. */
export function besideName(path: string, word: string, unpacked = false): string {
  if (path === '-') throw new OwimgError('bad-usage', 'Cannot choose a name for what is made from standard input', 'Name the output with -o FILE.');
  const name = unpacked ? basename(path).replace(packedEnding, '') : basename(path);
  const dot = name.lastIndexOf('.');
  const made = dot > 0 ? `${name.slice(0, dot)}.${word}${name.slice(dot)}` : `${name}.${word}`;
  return join(dirname(path), made);
}

/** Whether the file can be written later, so that nobody waits in vain. */
export async function requireOutput(output: string | undefined, force: boolean): Promise<void> {
  if (output !== undefined && output !== '-') await requireWritable(output, force);
}

export interface Written {
  readonly output: InspectedFile;
  readonly inspection: Inspection;
}

/**
 * Writes the result, reads it back and inspects it. `-` is standard output.
 *
 * @param refuse errors in it that were not accepted: nothing is written
 * @throws OwimgError `cannot-write`, `result-wrong`
 */
export async function writeResult(output: string, bytes: Uint8Array, flags: MadeFlags, io: Console, refuse: boolean): Promise<Written> {
  const progress = new Progress(io);
  progress.step(`writing ${output}`);
  let inspection: Inspection | undefined;
  const look = async (written: Uint8Array): Promise<void> => {
    inspection = await inspect(written);
    const error = refuse ? unaccepted(inspection.findings, flags.accept ?? []) : undefined;
    if (error === undefined) return;
    const hint = `Nothing was written. ${error.hint ?? 'Look at the values that you gave.'} If it is meant to be so: --accept ${error.code}.`;
    throw new OwimgError('result-wrong', `Cannot keep what was made: ${error.message} (${error.code})`, hint);
  };
  if (output === '-') {
    await look(bytes);
    io.outBytes(bytes);
  } else await writeFile(output, bytes, flags.force === true, look);
  progress.clear();
  return { output: { path: output, size: bytes.length, sha256: sha256Of(bytes) }, inspection: inspection as Inspection };
}

/** Says what was done: on standard error where the result itself goes to standard output. */
export async function tellMade(made: Made, json: boolean, io: Console): Promise<void> {
  const print = (text: string): void => (made.outputs.some(({ file }) => file.path === '-') ? io.err(text) : io.out(text));
  if (json) {
    const { madeJson } = await import('../report/made-json.ts');
    print(`${JSON.stringify(madeJson(made, tool), null, 2)}\n`);
    return;
  }
  const { renderMade } = await import('../report/made-text.ts');
  print(renderMade(made, { columns: io.columns, colour: io.colour }));
}

/** Runs a command; with `--json` what went wrong is a result too. */
export async function withJsonErrors(path: string, flags: MadeFlags, io: Console, run: () => Promise<number>): Promise<number> {
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof OwimgError) || flags.json !== true) throw error;
    const { code, message, hint }: { code: ErrorCode; message: string; hint: string } = error;
    const { inspectJson } = await import('../report/json.ts');
    const print = flags.output === '-' ? io.err : io.out;
    print(`${JSON.stringify(inspectJson({ file: { path }, error: { code, message, hint } }, tool), null, 2)}\n`);
    return errorKinds[code].exit;
  }
}

/** What the options are called and do, the same in all of them. */
export const optionTexts = {
  output: ['-o, --output <file>', 'where the result goes; "-" is standard output'],
  accept: ['--accept <code>', 'go on although this error was found; again, or with commas, for several', collectCodes],
  force: ['-f, --force', 'replace the output if it exists'],
  json: ['--json', 'one JSON object (docs/schema/made.schema.json)'],
} as const;

export const exitStatuses =
  '\nExit status: 0 written, 1 the image is broken or there is nothing to do,\n2 wrong use, 3 not recognised, 4 not readable or not writable';
