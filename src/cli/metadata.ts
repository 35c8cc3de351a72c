/** `owimg metadata show|add|remove FILE` */
import type { Command } from '@commander-js/extra-typings';
import { type FwtoolInput, fwtool, metadataChunk, metadataText } from '../../formats/fwtool.ts';
import { joined } from '../core/bytes.ts';
import { OwimgError } from '../core/errors.ts';
import { toBytes } from '../core/hex.ts';
import { allLayers } from '../core/layers.ts';
import type { BuildValue } from '../core/recipe-step.ts';
import type { Inspection, Layer } from '../core/types.ts';
import { formats } from '../index.ts';
import { readFile } from '../io/read-file.ts';
import type { Stretch } from '../report/made-json.ts';
import { harmless } from '../report/words.ts';
import { writingAdvice } from '../writing-advice.ts';
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

interface ShowFlags {
  readonly json?: true | undefined;
  readonly raw?: true | undefined;
}

interface AddFlags extends MadeFlags {
  readonly metadata?: string | undefined;
  readonly device?: string | undefined;
  readonly revision?: string | undefined;
  readonly release?: string | undefined;
  readonly dist?: string | undefined;
}

const isFwtool = ({ format }: Layer): boolean => format === fwtool.id;

/** The JSON texts, the one that OpenWrt reads last. */
function textsOf(root: Layer): string[] {
  return allLayers(root)
    .filter(isFwtool)
    .flatMap(({ fields }) => fields.filter(({ name }) => name === 'metadata').map(({ value }) => String(value)));
}

const none = (path: string): OwimgError => {
  const hint = 'OpenWrt appends it to images for sysupgrade; others have none. owimg metadata add FILE --device NAME appends it.';
  return new OwimgError('conversion-impossible', `"${path}" has no metadata that could be read`, hint);
};

/** What the values of a file may hold must not steer the terminal; the line ends that we make stay. */
const lines = (text: string): string => text.split('\n').map(harmless).join('\n');

async function show(path: string, flags: ShowFlags, io: Console): Promise<number> {
  const { file, opened } = await readGiven(path, false, io);
  const { root, findings, status } = opened.inspection;
  const text = textsOf(root).at(-1);
  if (text === undefined) throw none(path);
  const metadata: unknown = JSON.parse(text);
  const signed = allLayers(root)
    .filter(isFwtool)
    .some((layer) => layer.regions.some(({ label }) => label === 'signature'));
  if (flags.json === true) io.out(`${JSON.stringify({ schemaVersion: 1, tool, file, status, signed, metadata }, null, 2)}\n`);
  else io.out(`${flags.raw === true ? harmless(text) : lines(JSON.stringify(metadata, null, 2))}\n`);
  // The worst first: standard output has the JSON alone.
  for (const worth of ['error', 'warning']) {
    for (const { message, hint } of findings.filter(({ severity }) => severity === worth)) {
      io.err(`${worth}: ${harmless(message)}\n${hint === undefined ? '' : `  -> ${hint}\n`}`);
    }
  }
  return status === 'broken' ? 1 : 0;
}

/** The trailers at the end of the file. */
function appended({ root }: Inspection): { readonly start: number; readonly removed: Stretch[]; readonly signed: boolean } {
  const layers = root.children.filter((layer) => layer.source === undefined && isFwtool(layer));
  const regions = layers.flatMap((layer) => layer.regions);
  const removed = regions.map(({ label, offset, length }) => ({ format: fwtool.id, what: label, offset, length }));
  return { start: layers[0]?.offset ?? root.offset + root.length, removed, signed: regions.some(({ label }) => label === 'signature') };
}

const signatureLost = 'The signature is gone with it: systems that take signed images only will refuse the result.';

async function remove(path: string, flags: MadeFlags, io: Console): Promise<number> {
  await requireOutput(flags.output, flags.force === true);
  const output = flags.output ?? besideName(path, 'without-metadata');
  const { file, bytes, opened } = await readGiven(path, false, io);
  const { inspection } = opened;
  requireGood('take the metadata off', path, inspection, flags.accept);
  const { start, removed, signed } = appended(inspection);
  if (removed.length === 0) throw none(path);
  const written = await writeResult(output, bytes.subarray(0, start), flags, io, true);
  const advice = writingAdvice(written.inspection, output, formats);
  const warnings = [
    ...(signed ? [signatureLost] : []),
    'Without metadata a running OpenWrt cannot tell which device it is for: most refuse it.',
    ...advice.warnings,
  ];
  const outputs = [{ file: written.output, inspection: written.inspection }];
  await tellMade({ command: 'metadata', file, inspection, removed, added: [], outputs, warnings, next: advice.next }, flags.json === true, io);
  return 0;
}

/** The JSON text to append: the file's, or the one that OpenWrt makes for the device. */
async function newText({ metadata, device: name, revision, release, dist }: AddFlags): Promise<Uint8Array> {
  if ((metadata === undefined) === (name === undefined)) {
    throw new OwimgError('bad-usage', 'Cannot tell what to append: expected --metadata FILE or --device NAME', 'owimg devices WORDS finds the name.');
  }
  if (metadata !== undefined) {
    if (revision !== undefined || release !== undefined || dist !== undefined)
      throw new OwimgError('bad-usage', 'Cannot change what --metadata FILE says', 'Leave out --revision, --release and --dist, or give --device.');
    const { bytes } = await readFile(metadata);
    try {
      JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    } catch (error) {
      throw new OwimgError('bad-value', `Cannot use "${metadata}" as metadata: it is no JSON (${(error as Error).message})`);
    }
    return bytes;
  }
  const [{ loadDeviceFacts }, { requireDevice }] = await Promise.all([import('../devices/load.ts'), import('../devices/lookup.ts')]);
  const device = requireDevice(await loadDeviceFacts(), name as string);
  if (device.boards.length === 0)
    throw new OwimgError('conversion-impossible', `${device.title} has no name that a running system could compare: OpenWrt appends nothing`);
  const values: Partial<Record<BuildValue, string | undefined>> = { dist: dist ?? 'OpenWrt', version: release, revision };
  return toBytes(metadataText(device, (value) => (values[value] ?? 'unknown').replaceAll('\\', '\\\\')));
}

async function add(path: string, flags: AddFlags, io: Console): Promise<number> {
  await requireOutput(flags.output, flags.force === true);
  const output = flags.output ?? besideName(path, 'metadata');
  const json = await newText(flags);
  const { file, bytes, opened } = await readGiven(path, false, io);
  const { inspection } = opened;
  requireGood('append metadata to', path, inspection, flags.accept);
  const { start, removed, signed } = appended(inspection);
  if (removed.length > 0 && flags.force !== true) {
    throw new OwimgError('bad-usage', `Cannot append metadata to "${path}": it has some, and OpenWrt would read only the last`, 'Give --force to replace it.');
  }
  const image = bytes.subarray(0, start);
  const input: FwtoolInput = { image, chunks: [metadataChunk(json)] };
  const chunk = (fwtool.build as (input: FwtoolInput) => Uint8Array)(input);
  const written = await writeResult(output, joined([image, chunk]), flags, io, true);
  const advice = writingAdvice(written.inspection, output, formats);
  const warnings = [
    'Metadata only says which device it is for: whether the image is made for that one, owimg check tells.',
    ...(signed ? [signatureLost] : []),
    ...advice.warnings,
  ];
  const outputs = [{ file: written.output, inspection: written.inspection }];
  const added = appended(written.inspection).removed;
  await tellMade({ command: 'metadata', file, inspection, removed, added, outputs, warnings, next: advice.next }, flags.json === true, io);
  return 0;
}

/** Adds the command; `done` gets the exit status. */
export function addMetadata(program: Command, io: Console, done: (status: number) => void): void {
  const metadata = program.command('metadata').description('show, append or take off what tells sysupgrade which device an image is for');
  metadata
    .command('show')
    .description('print the JSON that OpenWrt reads')
    .argument('<file>', 'the image; "-" is standard input')
    .option('--raw', 'the text as it stands in the file')
    .option('--json', 'one JSON object with the file, and the metadata in it')
    .action(async (path, flags) => done(await withJsonErrors(path, flags, io, () => show(path, flags, io))));
  metadata
    .command('add')
    .description('append metadata')
    .argument('<file>', 'the image; "-" is standard input')
    .option('--metadata <file>', 'the JSON text')
    .option('-d, --device <name>', 'or what OpenWrt writes for this device: profile, board name or title')
    .option('--revision <text>', 'revision of the build: r12345-abcdef')
    .option('--release <text>', 'version of the build: 24.10.0')
    .option('--dist <text>', 'distribution, OpenWrt if not given')
    .option(...optionTexts.output)
    .option(...optionTexts.accept)
    .option('-f, --force', 'replace the metadata that is there, and the output if it exists')
    .option(...optionTexts.json)
    .addHelpText('after', `${exitStatuses}\n\nExample: owimg metadata add fw.bin --device netgear_r6220 --release 24.10.0`)
    .action(async (path, flags) => done(await withJsonErrors(path, flags, io, () => add(path, flags, io))));
  metadata
    .command('remove')
    .description('take metadata and signature off')
    .argument('<file>', 'the image; "-" is standard input')
    .option(...optionTexts.output)
    .option(...optionTexts.accept)
    .option(...optionTexts.force)
    .option(...optionTexts.json)
    .addHelpText('after', exitStatuses)
    .action(async (path, flags) => done(await withJsonErrors(path, flags, io, () => remove(path, flags, io))));
}
