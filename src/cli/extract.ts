/** `owimg extract FILE [LAYER]` */
import { basename, dirname, join } from 'node:path';
import type { Command } from '@commander-js/extra-typings';
import { OwimgError } from '../core/errors.ts';
import { byteCount } from '../core/hex.ts';
import { defaultLimits } from '../core/limits.ts';
import { formats, inspect } from '../index.ts';
import { writeFolder } from '../io/write-file.ts';
import { fileNames, findPart, type Part, partsOf, safeName } from '../layer-path.ts';
import type { MadeOutput } from '../report/made-json.ts';
import { writingAdvice } from '../writing-advice.ts';
import type { Console } from './console.ts';
import {
  besideName,
  exitStatuses,
  type Given,
  type MadeFlags,
  optionTexts,
  readGiven,
  requireGood,
  requireOutput,
  sha256Of,
  tellMade,
  withJsonErrors,
  writeResult,
} from './made.ts';

interface ExtractFlags extends MadeFlags {
  readonly all?: true | undefined;
  readonly deep?: true | undefined;
}

const placeOf = ({ path, offset, length, how }: Part): NonNullable<MadeOutput['layer']> => ({ path, offset, length, how: how ?? null });

async function extractOne(part: Part, { file, opened }: Given, flags: ExtractFlags, io: Console): Promise<number> {
  const word = safeName(part.path.split('/').at(-1) as string);
  const output = flags.output ?? besideName(file.path, word);
  // A part need not be whole by itself: what was found in it is told, and nothing is refused.
  const written = await writeResult(output, part.bytes(), flags, io, false);
  const { next, warnings } = writingAdvice(written.inspection, output, formats);
  const outputs = [{ file: written.output, inspection: written.inspection, layer: placeOf(part) }];
  const { inspection } = opened;
  await tellMade({ command: 'extract', file, inspection, removed: [], added: [], outputs, warnings, next }, flags.json === true, io);
  return 0;
}

async function extractAll(parts: readonly Part[], { file, opened }: Given, flags: ExtractFlags, io: Console): Promise<number> {
  if (flags.output === '-') throw new OwimgError('bad-usage', 'Cannot write several layers to standard output', 'Name a folder with -o.');
  if (parts.length === 0)
    throw new OwimgError('conversion-impossible', 'Cannot take anything out: there is one layer, and it is the whole file', 'owimg inspect FILE shows it.');
  const total = parts.reduce((sum, { length }) => sum + length, 0);
  const most = 2 * defaultLimits.fileLength;
  // Layers in layers are written several times.
  if (total > most) {
    const message = `Cannot write all ${parts.length} layers: they have ${byteCount(total)}, the limit is ${byteCount(most)}`;
    throw new OwimgError('file-too-large', message, 'Take out the ones that you want by name.');
  }
  const folder = flags.output ?? join(dirname(file.path), `${basename(file.path)}.layers`);
  const names = fileNames(parts);
  await writeFolder(folder, new Map(parts.map((part) => [names.get(part) as string, part.bytes()])), flags.force === true);
  const outputs: MadeOutput[] = [];
  for (const part of parts) {
    const bytes = part.bytes();
    const path = join(folder, names.get(part) as string);
    outputs.push({ file: { path, size: bytes.length, sha256: sha256Of(bytes) }, inspection: await inspect(bytes), layer: placeOf(part) });
  }
  const { inspection } = opened;
  const made = { command: 'extract' as const, file, inspection, removed: [], added: [], outputs, warnings: [], next: [`owimg inspect ${folder}/*`] };
  await tellMade(made, flags.json === true, io);
  return 0;
}

async function run(path: string, layer: string | undefined, flags: ExtractFlags, io: Console): Promise<number> {
  if (layer !== undefined && flags.all === true)
    throw new OwimgError('bad-usage', 'Cannot take out one layer and all of them at once', 'Leave out LAYER or --all.');
  if (flags.output === undefined) besideName(path, 'layer');
  // With --force a folder that is there is filled, too.
  if (flags.all !== true) await requireOutput(flags.output, flags.force === true);
  const given = await readGiven(path, flags.deep === true, io);
  requireGood('take layers out of', path, given.opened.inspection, flags.accept);
  const parts = partsOf(given.opened, formats);
  if (flags.all === true) return extractAll(parts.slice(1), given, flags, io);
  if (layer === undefined) {
    const shown = parts.slice(1, 33).map((part) => part.path);
    const list = shown.length === 0 ? 'it has none but itself' : shown.join(', ');
    const more = parts.length > 33 ? `, and ${parts.length - 33} more (--json of owimg inspect shows all)` : '';
    throw new OwimgError('bad-usage', `Cannot choose a layer: ${list}${more}`, 'Name one of them behind the file, or take --all.');
  }
  return extractOne(findPart(parts, layer), given, flags, io);
}

/** Adds the command; `done` gets the exit status. */
export function addExtract(program: Command, io: Console, done: (status: number) => void): void {
  program
    .command('extract')
    .description('take a layer out of an image, or all of them')
    .argument('<file>', 'the image; "-" is standard input')
    .argument('[layer]', 'which one, as inspect calls it: netgear-chk/trx/kernel')
    .option('-a, --all', 'all layers, into the folder that -o names')
    .option('--deep', 'unpack kernels too, and find device trees in them')
    .option(...optionTexts.output)
    .option(...optionTexts.accept)
    .option(...optionTexts.force)
    .option(...optionTexts.json)
    .addHelpText(
      'after',
      `\nA layer is named by its path of formats or labels; the end of it is enough where\nonly one has it. Two of one name are told apart by offset: squashfs@0x35f0.\n${exitStatuses}\n\nExample: owimg extract factory.chk netgear-chk/trx -o firmware.trx`,
    )
    .action(async (path, layer, flags) => done(await withJsonErrors(path, flags, io, () => run(path, layer, flags, io))));
}
