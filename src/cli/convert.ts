/** `owimg to-factory FILE` and `owimg to-sysupgrade FILE` */
import { basename, dirname, join } from 'node:path';
import type { Command } from '@commander-js/extra-typings';
import type { Conversion, Direction, Proof } from '../convert.ts';
import { OwimgError } from '../core/errors.ts';
import { byteCount } from '../core/hex.ts';
import { readFile } from '../io/read-file.ts';
import { writeFile } from '../io/write-file.ts';
import type { ConvertedFile, Published } from '../report/convert-json.ts';
import type { Console } from './console.ts';
import { collectValues } from './lists.ts';
import { optionTexts, requireOutput, sha256Of, tool, withJsonErrors } from './made.ts';
import { Progress } from './progress.ts';

interface ConvertFlags {
  readonly device?: string | undefined;
  readonly output?: string | undefined;
  readonly image?: string | undefined;
  readonly member?: string | undefined;
  readonly revision?: string | undefined;
  readonly release?: string | undefined;
  readonly metadata?: string | undefined;
  readonly initramfs?: string | undefined;
  readonly part?: string[] | undefined;
  readonly accept?: string[] | undefined;
  readonly published?: string | undefined;
  readonly dryRun?: true | undefined;
  readonly force?: true | undefined;
  readonly json?: true | undefined;
}

/** `NAME=FILE` of `--part`, and the options that stand for one. */
async function readParts({ part = [], initramfs, metadata }: ConvertFlags): Promise<Map<string, Uint8Array>> {
  const named = part.map((text) => {
    const at = text.indexOf('=');
    if (at < 1 || at === text.length - 1) throw new OwimgError('bad-usage', `Cannot use "${text}" as a part: expected NAME=FILE`);
    return [text.slice(0, at), text.slice(at + 1)] as const;
  });
  if (initramfs !== undefined) named.push(['initramfs', initramfs]);
  if (metadata !== undefined) named.push(['metadata', metadata]);
  const parts = new Map<string, Uint8Array>();
  for (const [name, path] of named) parts.set(name, (await readFile(path)).bytes);
  return parts;
}

/** SOURCE_DATE_EPOCH of the environment (https://reproducible-builds.org/specs/source-date-epoch/). */
function environmentEpoch(): string | undefined {
  const epoch = process.env['SOURCE_DATE_EPOCH'];
  if (epoch === undefined || epoch === '') return undefined;
  if (!/^\d{1,10}$/.test(epoch)) throw new OwimgError('bad-usage', `Cannot use SOURCE_DATE_EPOCH "${epoch}": expected seconds since 1970`);
  return epoch;
}

/** Where the result goes without `-o`: beside the file, under the name that OpenWrt gives it. */
function outputPath(path: string, { from, to, device, member }: Conversion): string {
  if (path === '-') throw new OwimgError('bad-usage', 'Cannot choose a name for what is made from standard input', 'Name the output with -o FILE.');
  const name = basename(member ?? path).replace(/\.(gz|xz)$/, '');
  if (name.endsWith(from.name)) return join(dirname(path), `${name.slice(0, -from.name.length)}${to.name}`);
  return join(dirname(path), `${device.profile}-${to.name}`);
}

/** What the release's own lists say of the image that was made. */
async function publishedOf({ device, to }: Conversion, sha256: string, path: string, given: string | undefined): Promise<Published | undefined> {
  const { readLists, readList } = await import('../io/build-folder.ts');
  const { images } = given === undefined ? await readLists(dirname(path)) : await readList(given);
  const ending = to.fs === null ? `-${device.profile}-${to.name}` : `-${device.profile}-${to.fs}-${to.name}`;
  const listed = [...images.values()].find(({ name, profile }) => name.endsWith(ending) && (profile === undefined || profile === device.profile));
  if (listed === undefined || listed.sha256 === undefined) return undefined;
  const identical = listed.sha256 === sha256 || listed.sha256Unsigned === sha256;
  return { name: listed.name, list: listed.list, sha256: listed.sha256, identical, unsigned: identical && listed.sha256 !== sha256 };
}

async function convertFile(to: Direction, path: string, flags: ConvertFlags, io: Console): Promise<number> {
  await requireOutput(flags.output, flags.force === true);
  const progress = new Progress(io);
  const [{ bytes }, parts, { formats }, { checkContext }, { convertWith, proveConversion }, { loadDeviceFacts }] = await Promise.all([
    readFile(path),
    readParts(flags),
    import('../../formats/index.ts'),
    import('../check.ts'),
    import('../convert.ts'),
    import('../devices/load.ts'),
  ]);
  progress.step(`reading ${path} (${byteCount(bytes.length)})`);
  const facts = await loadDeviceFacts();
  const context = checkContext(formats, facts);
  const name = path === '-' ? undefined : basename(path);
  const device = flags.device === undefined ? undefined : (await import('../devices/lookup.ts')).requireDevice(facts, flags.device);
  progress.step('converting');
  const { revision, release, image, member } = flags;
  const build = { ...(revision === undefined ? {} : { revision }), ...(release === undefined ? {} : { version: release }) };
  const accept = new Set(flags.accept);
  const options = { device, to, image, member, name, parts, build, epoch: environmentEpoch(), accept };
  const conversion = await convertWith(bytes, formats, context, options);
  const output = flags.output ?? outputPath(path, conversion);
  const sha256 = sha256Of(conversion.image);
  const published = await publishedOf(conversion, sha256, path === '-' ? '.' : path, flags.published);
  progress.step('checking what was made');
  let proof: Proof | undefined;
  const prove = async (written: Uint8Array): Promise<void> => {
    proof = await proveConversion(written, conversion, formats, context, accept);
  };
  if (flags.dryRun === true || output === '-') await prove(conversion.image);
  else await writeFile(output, conversion.image, flags.force === true, prove);
  progress.clear();
  const result: ConvertedFile = {
    file: { path, size: bytes.length, sha256: sha256Of(bytes) },
    output: { path: output, size: conversion.image.length, sha256, written: flags.dryRun !== true },
    conversion,
    proof: proof as Proof,
    published,
  };
  if (output === '-' && flags.dryRun !== true) io.outBytes(conversion.image);
  if (flags.json === true) {
    const { convertJson } = await import('../report/convert-json.ts');
    (output === '-' ? io.err : io.out)(`${JSON.stringify(convertJson(result, tool), null, 2)}\n`);
  } else {
    const { renderConvertText } = await import('../report/convert-text.ts');
    const text = renderConvertText(result, { columns: io.columns, colour: io.colour }, formats);
    (output === '-' ? io.err : io.out)(text);
  }
  const { convertExitCode } = await import('../report/exit-code.ts');
  return convertExitCode(result);
}

const about: Readonly<Record<Direction, { readonly name: string; readonly text: string; readonly example: string }>> = {
  factory: {
    name: 'to-factory',
    text: "make the image for the vendor's web page or boot loader of one for sysupgrade",
    example: 'owimg to-factory openwrt-ath79-generic-tplink_archer-c7-v5-squashfs-sysupgrade.bin',
  },
  sysupgrade: {
    name: 'to-sysupgrade',
    text: "make the image for sysupgrade of one for the vendor's web page or boot loader",
    example: 'owimg to-sysupgrade openwrt-ath79-generic-tplink_archer-c7-v5-squashfs-factory.bin --revision r12345',
  },
};

/** Adds the commands; `done` gets the exit status. */
export function addConvert(program: Command, io: Console, done: (status: number) => void): void {
  for (const to of ['factory', 'sysupgrade'] as const) {
    const { name, text, example } = about[to];
    program
      .command(name)
      .description(text)
      .argument('<file>', 'the image; "-" is standard input')
      .option('-d, --device <name>', 'the device that it is for: profile, board name or title')
      .option(...optionTexts.output)
      .option('--image <name>', 'which of the images that OpenWrt builds: factory-eu.bin')
      .option('--member <name>', 'which file of an archive that holds several')
      .option('--revision <text>', 'revision of the build, where the image does not tell: r12345-abcdef')
      .option('--release <text>', 'version of the build, where the image does not tell: 24.10.0')
      .option('--metadata <file>', 'the JSON to append, in place of what the facts give')
      .option('--initramfs <file>', 'the initramfs image, for results that hold one')
      .option('--part <name=file>', 'a part that the image lacks: loader=FILE; may be given again', collectValues)
      .option('--published <file>', 'sha256sums or profiles.json of the release, to compare with')
      .option(...optionTexts.accept)
      .option('--dry-run', 'do all but write')
      .option(...optionTexts.force)
      .option('--json', 'one JSON object (docs/schema/convert.schema.json)')
      .addHelpText(
        'after',
        `\nExit status: 0 made and proved, 1 the image is broken, for another device or\ncannot be converted, 2 wrong use or a choice is missing, 3 cannot tell, or a step\nis missing, 4 not readable or not writable\n\nExample: ${example}`,
      )
      .action(async (path, flags) => done(await withJsonErrors(path, flags, io, () => convertFile(to, path, flags, io))));
  }
}
