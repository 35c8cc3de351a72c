/** `owimg wrap FILE --as FORMAT KEY=VALUE...` */
import type { Command } from '@commander-js/extra-typings';
import { OwimgError } from '../core/errors.ts';
import type { AnyFormat } from '../core/format.ts';
import { allLayers } from '../core/layers.ts';
import type { Inspection } from '../core/types.ts';
import { formats } from '../index.ts';
import { readFile } from '../io/read-file.ts';
import type { Stretch } from '../report/made-json.ts';
import { wrapWith } from '../wrap.ts';
import type { Console } from './console.ts';
import {
  besideName,
  exitStatuses,
  type MadeFlags,
  optionTexts,
  readGiven,
  requireGood,
  requireOutput,
  tellMade,
  tool,
  withJsonErrors,
  writeResult,
} from './made.ts';

interface WrapFlags extends MadeFlags {
  readonly as: string;
}

function wrappable(id: string): AnyFormat {
  const format = formats.find((entry) => entry.id === id.toLowerCase());
  if (format?.wrap !== undefined) return format;
  const ids = formats.filter(({ wrap }) => wrap !== undefined).map((entry) => entry.id);
  const why = format === undefined ? 'there is no such format' : 'it is not a header that can be put on by hand';
  throw new OwimgError('bad-usage', `Cannot wrap as "${id}": ${why}. There are ${ids.sort().join(', ')}`, 'owimg wrap --as FORMAT lists what one takes.');
}

/** `KEY=VALUE` words; the files that some keys name are read. */
async function readKeys(words: readonly string[], { id, wrap }: AnyFormat): Promise<Map<string, (string | Uint8Array)[]>> {
  const given = new Map<string, (string | Uint8Array)[]>();
  for (const word of words) {
    const at = word.indexOf('=');
    if (at < 1) throw new OwimgError('bad-usage', `Cannot use "${word}": expected KEY=VALUE`, `owimg wrap --as ${id} lists the keys.`);
    const [key, text] = [word.slice(0, at), word.slice(at + 1)];
    const value = wrap?.keys[key]?.file === true ? (await readFile(text)).bytes : text;
    given.set(key, [...(given.get(key) ?? []), value]);
  }
  return given;
}

/** What the format put on: its header and all else that is not payload; what it wrote into the file where it holds none. */
function addedBy({ id }: AnyFormat, { root }: Inspection): Stretch[] {
  const layer = allLayers(root).find(({ format }) => format === id);
  if (layer === undefined) return [];
  const own = layer.regions.filter(
    ({ kind, offset }) => (kind === 'header' || kind === 'metadata') && !layer.children.some((child) => child.offset === offset),
  );
  return own.map(({ label, offset, length }) => ({ format: id, what: label, offset, length }));
}

async function listKeys(format: AnyFormat, json: boolean, io: Console): Promise<number> {
  const { renderWrapKeys, wrapKeysJson } = await import('../report/wrap-keys.ts');
  io.out(json ? `${JSON.stringify(wrapKeysJson(format, tool), null, 2)}\n` : renderWrapKeys(format, { columns: io.columns, colour: io.colour }));
  return 0;
}

async function run(path: string, words: readonly string[], format: AnyFormat, flags: WrapFlags, io: Console): Promise<number> {
  await requireOutput(flags.output, flags.force === true);
  const output = flags.output ?? besideName(path, format.id);
  const keys = await readKeys(words, format);
  const { file, bytes, opened } = await readGiven(path, false, io);
  const { inspection } = opened;
  // A kernel without any mark is wrapped like any other: only what is known to be broken is not.
  requireGood('wrap', path, inspection, [...(flags.accept ?? []), 'format-unknown', ...(inspection.status === 'unknown' ? unknownCodes(inspection) : [])]);
  let made: Uint8Array;
  try {
    made = wrapWith(format, bytes, keys);
  } catch (error) {
    // The list of keys says more than any message.
    if (error instanceof OwimgError && flags.json !== true) {
      const { renderWrapKeys } = await import('../report/wrap-keys.ts');
      io.err(`${renderWrapKeys(format, { columns: io.columns, colour: false })}\n`);
    }
    throw error;
  }
  const written = await writeResult(output, made, flags, io, true);
  const added = addedBy(format, written.inspection);
  const outputs = [{ file: written.output, inspection: written.inspection }];
  const next = [`owimg check ${output === '-' ? 'FILE' : output} --device NAME (says what each way of flashing would do on your device; ask it first)`];
  await tellMade({ command: 'wrap', file, inspection, removed: [], added, outputs, warnings: [], next }, flags.json === true, io);
  return 0;
}

/** What nobody knows cannot be broken. */
const unknownCodes = ({ findings }: Inspection): string[] => findings.filter(({ code }) => code === 'not-firmware').map(({ code }) => code);

/** Adds the command; `done` gets the exit status. */
export function addWrap(program: Command, io: Console, done: (status: number) => void): void {
  program
    .command('wrap')
    .description('put a header or trailer on a file')
    .argument('[file]', 'what goes into it; "-" is standard input; without it the keys are listed')
    .argument('[key=value...]', 'what the header says, in the words of inspect; numbers as 4096 or 0x1000')
    .requiredOption('--as <format>', 'the format: uimage, trx, netgear-chk ...')
    .option(...optionTexts.output)
    .option(...optionTexts.accept)
    .option(...optionTexts.force)
    .option(...optionTexts.json)
    .addHelpText(
      'after',
      `\nowimg wrap --as FORMAT lists what it takes; owimg formats tells which formats can\nbe wrapped.\n${exitStatuses}\n\nExample: owimg wrap kernel.lzma --as uimage architecture=mips compression=lzma\n         load=0x80060000 name="MIPS OpenWrt" -o kernel.bin`,
    )
    .action(async (path, words, flags) => {
      done(
        await withJsonErrors(path ?? '-', flags, io, async () => {
          const format = wrappable(flags.as);
          return path === undefined ? listKeys(format, flags.json === true, io) : run(path, words, format, flags, io);
        }),
      );
    });
}
