/** `owimg strip FILE` */
import type { Command } from '@commander-js/extra-typings';
import { hexOffset } from '../core/hex.ts';
import { formats } from '../index.ts';
import { strip } from '../strip.ts';
import { writingAdvice } from '../writing-advice.ts';
import type { Console } from './console.ts';
import { besideName, exitStatuses, type MadeFlags, optionTexts, readGiven, requireGood, requireOutput, tellMade, withJsonErrors, writeResult } from './made.ts';

const placedWarning = (places: string, base: number): string =>
  `The parts stand as far from one another as in the flash, with FF between them: ${places}. It is right only where the partition begins at ${hexOffset(base)}.`;

async function run(path: string, flags: MadeFlags, io: Console): Promise<number> {
  await requireOutput(flags.output, flags.force === true);
  if (flags.output === undefined) besideName(path, 'stripped');
  const { file, opened } = await readGiven(path, false, io);
  const { inspection } = opened;
  requireGood('strip', path, inspection, flags.accept);
  const { removed, bytes, unpacked, placed = [] } = await strip(opened, formats);
  const output = flags.output ?? besideName(path, 'stripped', unpacked);
  const written = await writeResult(output, bytes, flags, io, true);
  const { next, warnings } = writingAdvice(written.inspection, output, formats);
  const [first] = placed;
  const places = placed.map(({ label, offset, base }) => `"${label}" at ${hexOffset(offset)} (${hexOffset(base)} in the flash)`).join(', ');
  const advised = first === undefined ? warnings : [placedWarning(places, first.base), ...warnings];
  const outputs = [{ file: written.output, inspection: written.inspection }];
  await tellMade({ command: 'strip', file, inspection, removed, added: [], outputs, warnings: advised, next }, flags.json === true, io);
  return 0;
}

/** Adds the command; `done` gets the exit status. */
export function addStrip(program: Command, io: Console, done: (status: number) => void): void {
  program
    .command('strip')
    .description('take the outermost header or trailer off, or all up to the firmware')
    .argument('<file>', 'the image; "-" is standard input')
    .option(...optionTexts.output)
    .option(...optionTexts.accept)
    .option(...optionTexts.force)
    .option(...optionTexts.json)
    .addHelpText(
      'after',
      `\nA stock image with a boot loader inside becomes the firmware alone, found by its\nlayers. Otherwise the last trailer goes (metadata, a footer), else the outermost\nheader.\n${exitStatuses}\n\nExample: owimg strip ArcherC7v2_boot.bin -o firmware.bin`,
    )
    .action(async (path, flags) => done(await withJsonErrors(path, flags, io, () => run(path, flags, io))));
}
