/** `owimg check FILE...`. What it needs is imported when it runs: no other command shall load the device facts for it. */
import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import { type Command, Option } from '@commander-js/extra-typings';
import { OwimgError } from '../core/errors.ts';
import { byteCount } from '../core/hex.ts';
import type { Device } from '../devices/facts.ts';
import { formats, inspect } from '../index.ts';
import { openWith } from '../inspect.ts';
import { readFile } from '../io/read-file.ts';
import { memberOf } from '../members.ts';
import type { CheckResult } from '../report/check-json.ts';
import { type CiFile, checkedFile } from '../report/ci.ts';
import { checkExitCode, exitCode, worstCode } from '../report/exit-code.ts';
import type { Context, Running } from '../routes/subject.ts';
import { type Route, routes } from '../routes/verdict.ts';
import { version } from '../version.ts';
import { type Console, sayError } from './console.ts';
import { collectValues } from './lists.ts';
import { Progress } from './progress.ts';
import { type OutputFormat, outputFormats, wantedReports, writeReports } from './reports.ts';

const tool = { name: 'owimg', version };

interface CheckFlags {
  readonly device?: string | undefined;
  readonly route?: Route | undefined;
  readonly compat?: string | undefined;
  readonly from?: string | undefined;
  readonly signedOnly?: true | undefined;
  readonly member?: string | undefined;
  readonly region?: string | undefined;
  readonly stock?: string | undefined;
  readonly format?: OutputFormat | undefined;
  readonly report?: string[] | undefined;
  readonly json?: true | undefined;
  readonly ndjson?: true | undefined;
}

interface Asked {
  readonly context: Context;
  readonly device: Device | undefined;
  readonly running: Running;
  /** Which file of an archive. */
  readonly member: string | undefined;
}

async function checkFile(path: string, { context, device, running, member }: Asked, progress: Progress): Promise<CheckResult> {
  try {
    const { bytes } = await readFile(path);
    progress.step(`checking ${path} (${byteCount(bytes.length)})`);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    // The device tree inside of the kernel is the one witness that metadata cannot talk over.
    const opened = await openWith(formats, bytes, path === '-' ? { deep: true } : { deep: true, name: path });
    // What is packed alone is judged as it is: that is how it would be flashed.
    const chosen = opened.inspection.kind === 'archive' || member !== undefined ? memberOf(opened, formats, member) : undefined;
    const image = member === undefined ? undefined : chosen;
    const inspection =
      image === undefined ? opened.inspection : await inspect(image.bytes, { deep: true, ...(image.name === undefined ? {} : { name: image.name }) });
    const name = image?.name === undefined ? (path === '-' ? undefined : basename(path)) : basename(image.name);
    const { checkWith } = await import('../check.ts');
    const checked = checkWith(inspection, (image?.bytes ?? bytes).length, context, { device, running, name });
    return { file: { path, size: bytes.length, sha256 }, ...(image?.name === undefined ? {} : { member: image.name }), inspection, checked };
  } catch (error) {
    if (!(error instanceof OwimgError)) throw error;
    const { code, message, hint } = error;
    return { file: { path }, error: { code, message, hint } };
  }
}

async function run(paths: readonly string[], flags: CheckFlags, io: Console): Promise<number> {
  if (flags.json === true && flags.ndjson === true) throw new OwimgError('bad-usage', 'Cannot print --json and --ndjson at once', 'Choose one of them.');
  const wanted = wantedReports(flags.format, flags.json === true, flags.report ?? []);
  const forCi = wanted.files.length > 0 || (wanted.format !== 'text' && wanted.format !== 'json');
  if (flags.compat !== undefined && !/^\d+\.\d+$/.test(flags.compat)) {
    throw new OwimgError('bad-usage', `Cannot use "${flags.compat}" as a compat version: expected two numbers, as 1.1`);
  }
  if (flags.region !== undefined && !/^[a-z]{2}$/i.test(flags.region)) {
    throw new OwimgError('bad-usage', `Cannot use "${flags.region}" as a region: expected two letters, as EU`);
  }
  if (flags.stock !== undefined && !/^v?\d+(\.\d+)*/i.test(flags.stock)) {
    throw new OwimgError('bad-usage', `Cannot use "${flags.stock}" as a version of vendor firmware: expected numbers, as 1.1.01`);
  }
  const [{ checkContext }, { loadDeviceFacts }, { checkJson }] = await Promise.all([
    import('../check.ts'),
    import('../devices/load.ts'),
    import('../report/check-json.ts'),
  ]);
  const facts = await loadDeviceFacts();
  const device = flags.device === undefined ? undefined : (await import('../devices/lookup.ts')).requireDevice(facts, flags.device);
  const running = { board: flags.from, compatVersion: flags.compat, signedOnly: flags.signedOnly, region: flags.region, stockVersion: flags.stock };
  const context = checkContext(formats, facts);
  const progress = new Progress(io);
  const results: CheckResult[] = [];
  const files: CiFile[] = [];
  const codes: number[] = [];
  for (const [index, path] of paths.entries()) {
    progress.step(paths.length > 1 ? `reading ${path} (${index + 1} of ${paths.length})` : `reading ${path}`);
    const result = await checkFile(path, { context, device, running, member: flags.member }, progress);
    progress.clear();
    if (wanted.format === 'json') results.push(result);
    if (forCi) files.push(checkedFile(result, flags.route));
    if ('error' in result) codes.push(exitCode([result]));
    else codes.push(checkExitCode({ ...result.inspection, verdicts: result.checked.verdicts }, flags.route));
    if (flags.ndjson === true) io.out(`${JSON.stringify(checkJson(result, tool))}\n`);
    else if ('error' in result) sayError(io, result.error);
    else if (wanted.format === 'text') {
      const { renderCheckText } = await import('../report/check-text.ts');
      io.out(`${index > 0 ? '\n' : ''}${renderCheckText(result, { columns: io.columns, colour: io.colour }, flags.route)}`);
    }
  }
  await writeReports(wanted, files, tool, io);
  if (wanted.format === 'json') {
    const objects = results.map((result) => checkJson(result, tool));
    io.out(`${JSON.stringify(objects.length === 1 ? objects[0] : objects, null, 2)}\n`);
  }
  return worstCode(codes);
}

/** Adds the command; `done` gets its exit status. */
export function addCheck(program: Command, io: Console, done: (status: number) => void): void {
  program
    .command('check')
    .description('say what each way of flashing would do with an image on a device')
    .argument('<file...>', 'images; "-" is standard input')
    .option('-d, --device <name>', 'the device on the table: profile, board name or title')
    .addOption(new Option('-r, --route <route>', 'only this way of flashing, and exit by it').choices(routes))
    .option('--compat <x.y>', 'compat version of the running system')
    .option('--from <board>', 'what the running system calls itself')
    .option('--member <name>', 'which file of an archive that holds several')
    .option('--signed-only', 'the running system takes signed images only')
    .option('--region <xx>', 'the region that the device was sold for: EU, US')
    .option('--stock <version>', 'version of the vendor firmware on the device')
    .addOption(new Option('-f, --format <format>', 'what to print').choices(outputFormats))
    .option('--report <format=file>', 'also write a report: junit=FILE, sarif=FILE, summary=FILE; may be given again', collectValues)
    .option('--json', 'one JSON object, an array for several files (docs/schema/check.schema.json)')
    .option('--ndjson', 'one JSON object a line')
    .addHelpText(
      'after',
      '\nExit status: 0 it installs, 1 it would be refused or brick, 2 wrong use, 3 cannot tell, 4 not readable\n\nExample: owimg check openwrt-factory.bin --device tplink_archer-c7-v5',
    )
    .action(async (paths, flags) => done(await run(paths, flags, io)));
}
