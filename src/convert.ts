/**
 * One image of a device made from another one: taken apart by the recipe that it was built with, put together by the recipe
 * of the one that is wanted, and proved: read again, without errors, and with the layout that OpenWrt gives that image.
 */
import { checkWith } from './check.ts';
import { OwimgError } from './core/errors.ts';
import type { AnyFormat } from './core/format.ts';
import { byteCount, hexOffset } from './core/hex.ts';
import { allLayers } from './core/layers.ts';
import type { BuildValue, PartName } from './core/recipe-step.ts';
import type { Finding, Inspection, Layer, Range } from './core/types.ts';
import type { Device, DeviceImage, ImageRole } from './devices/facts.ts';
import { inspectWith, openWith } from './inspect.ts';
import { memberOf } from './members.ts';
import { type Composed, compose, decompose, missingSteps, type Parts, type Recipe, type RecipeContext, sharedSteps } from './recipes/interpreter.ts';
import { stockVerdict } from './routes/stock.ts';
import { byFit, type Context, type Fit, Subject } from './routes/subject.ts';
import { sysupgradeVerdict } from './routes/sysupgrade.ts';
import { tftpVerdict } from './routes/tftp.ts';
import type { Verdict } from './routes/verdict.ts';

export type Direction = 'factory' | 'sysupgrade';

export interface ConvertRequest {
  /** The device that the image is for; the only one that it names if not given. */
  readonly device?: Device | undefined;
  readonly to: Direction;
  /** Which of the device's images is wanted, by its name in the recipe: `factory.bin`. */
  readonly image?: string | undefined;
  /** The file's name, without folders. */
  readonly name?: string | undefined;
  /** Which file of an archive that holds several. */
  readonly member?: string | undefined;
  /** Parts that the image lacks, or that are to stand in place of its own. */
  readonly parts?: ReadonlyMap<PartName, Uint8Array> | undefined;
  /** What differs from build to build, where it is not to be taken from the image. */
  readonly build?: Partial<Readonly<Record<BuildValue, string>>> | undefined;
  /** SOURCE_DATE_EPOCH of the environment; used where the image does not tell. */
  readonly epoch?: string | undefined;
  /** Codes of errors in the image that the user knows of. */
  readonly accept?: ReadonlySet<string> | undefined;
}

interface ConvertOptions extends ConvertRequest {
  readonly device: Device;
}

/** Where a value of the build comes from. */
export type ValueSource = 'option' | 'image' | 'name' | 'environment' | 'assumed';

export interface UsedValue {
  readonly name: BuildValue;
  readonly text: string;
  readonly source: ValueSource;
  /** The bytes of the result that would be others with another value, checksums among them. Empty for what the image told. */
  readonly bytes: readonly Range[];
}

export interface Conversion {
  /** Its name in the archive that was given. */
  readonly member?: string;
  /** Of the image that was given. */
  readonly inspection: Inspection;
  readonly device: Device;
  readonly from: DeviceImage;
  readonly to: DeviceImage;
  readonly image: Uint8Array;
  /** What both images are made of. */
  readonly parts: readonly { readonly name: PartName; readonly length: number; readonly exact: boolean }[];
  readonly values: readonly UsedValue[];
  /** Where the image differs from what its own recipe makes of the parts today. Empty: nowhere, so nothing was overlooked. */
  readonly differs: readonly (Range & { readonly what: string })[];
  /** What the given image has and the result has not. */
  readonly lost: readonly string[];
}

/** What was found when the result was read again. */
export interface Proof {
  readonly inspection: Inspection;
  /** By the way of flashing that such an image is made for; never `refused` or `bricks`, but for errors that were accepted. */
  readonly verdict: Verdict;
}

/** The roles of the images of a kind; those for the vendor's page are meant before those for a boot loader's recovery. */
const preferred: Readonly<Record<Direction, readonly (readonly ImageRole[])[]>> = {
  factory: [['factory', 'both'], ['recovery'], ['factory-initramfs']],
  sysupgrade: [['sysupgrade', 'both']],
};
const installable: Readonly<Record<Direction, readonly ImageRole[]>> = { factory: preferred.factory.flat(), sysupgrade: preferred.sysupgrade.flat() };

const other: Readonly<Record<Direction, Direction>> = { factory: 'sysupgrade', sysupgrade: 'factory' };

const words: Readonly<Record<Direction, string>> = { factory: 'factory image', sysupgrade: 'sysupgrade image' };

/** Where two byte strings first differ; `null` if nowhere. */
export function firstDifference(a: Uint8Array, b: Uint8Array): number | null {
  const length = Math.min(a.length, b.length);
  let offset = 0;
  // Four bytes at a time where the buffers' alignment allows it.
  if (a.byteOffset % 4 === 0 && b.byteOffset % 4 === 0) {
    const left = new Int32Array(a.buffer, a.byteOffset, Math.floor(length / 4));
    const right = new Int32Array(b.buffer, b.byteOffset, left.length);
    while (offset < left.length && left[offset] === right[offset]) offset += 1;
    offset *= 4;
  }
  for (; offset < length; offset += 1) if (a[offset] !== b[offset]) return offset;
  return a.length === b.length ? null : length;
}

/** So many stretches are told apart; what differs behind them is one more. */
const mostStretches = 1000;

/** The stretches in which two images differ; a few equal bytes between them count as one stretch. */
function differences(a: Uint8Array, b: Uint8Array): Range[] {
  const found: { offset: number; length: number }[] = [];
  const length = Math.max(a.length, b.length);
  for (let offset = 0; offset < length; offset += 1) {
    if (a[offset] === b[offset]) continue;
    const last = found.at(-1);
    if (last !== undefined && (found.length > mostStretches || offset - (last.offset + last.length) < 4)) last.length = offset + 1 - last.offset;
    else found.push({ offset, length: 1 });
  }
  return found;
}

/** The field, or else the region, of the innermost layer in which the byte lies. */
export function placeOf(root: Layer, offset: number): string {
  const inside = (range: Range): boolean => offset >= range.offset && offset < range.offset + range.length;
  const layer = allLayers(root).findLast((entry) => entry.source === undefined && inside(entry)) ?? root;
  return `${layer.format}, ${layer.fields.findLast(inside)?.name ?? layer.regions.find(inside)?.label ?? 'behind its end'}`;
}

/** Refuses what is broken, and what is not recognised: unless metadata, under a checksum over the whole file, names the device. */
function requireSound({ status, findings, root }: Inspection, device: Device, formats: readonly AnyFormat[], accept: ReadonlySet<string>): void {
  const named = root.children.some(({ format }) => format === 'fwtool');
  if (status === 'unknown' && !named) {
    const later = device.images.find((image) => missingSteps(image, formats).length > 0);
    if (later === undefined) throw new OwimgError('unknown-format', 'Cannot convert the file: owimg does not recognise it');
    const [step] = missingSteps(later, formats);
    const what = `If it is ${later.name} of ${device.profile}: owimg cannot do the step "${step}" of its recipe yet`;
    throw new OwimgError('step-unknown', `Cannot convert the file: owimg does not recognise it. ${what}`);
  }
  const error = findings.find(({ severity, code }) => severity === 'error' && !accept.has(code));
  if (error === undefined) return;
  const again = `${error.hint ?? 'Download it again.'} If you know why it is so: --accept ${error.code}.`;
  throw new OwimgError('input-refused', `Cannot convert a broken image: ${error.message} (${error.code} at ${hexOffset(error.offset)})`, again);
}

const refused = (subject: Subject, { message, offset, code }: Finding): OwimgError =>
  new OwimgError(
    'input-refused',
    `Cannot convert it: this is no image for ${subject.device.title}. ${message} (${code} at ${hexOffset(offset)})`,
    'Name the device that it is for, or take the image of this device. Images of older releases may be laid out otherwise; they are not converted.',
  );

/** The images of the device that the file may be, the best first. */
function sourcesOf(subject: Subject, to: Direction): readonly Fit[] {
  const [foreign] = subject.foreignFindings();
  if (foreign !== undefined) throw refused(subject, foreign);
  const metadata = subject.root.children.some(({ format }) => format === 'fwtool');
  const appends = ({ image }: Fit): number => (image.steps.some((step) => step.startsWith('append-metadata')) === metadata ? 1 : 0);
  const sources = subject.fits
    .filter(({ image }) => !['disk', 'part', 'bootloader/other'].includes(image.role) && image.steps.length > 0)
    // Of images that differ in the metadata alone the one that agrees with the file.
    .sort((a, b) => byFit(a, b) || appends(b) - appends(a));
  const [best] = sources;
  if (best === undefined) throw new OwimgError('conversion-impossible', `OpenWrt builds no image for ${subject.device.title} that could be converted`);
  const [misfit] = best.match.misfits;
  if (misfit !== undefined) throw refused(subject, subject.misfitFinding(misfit));
  const direction = installable[to];
  return sources.filter(({ answer, image }) => answer !== 'no' && (!direction.includes(image.role) || image.role === 'both'));
}

/** The image that is wanted. */
function targetOf(device: Device, { to, image }: ConvertOptions, fs: string | null): DeviceImage {
  const fits = (entry: DeviceImage): boolean => entry.fs === fs || entry.fs === null || fs === null;
  const named = (roles: readonly ImageRole[]): string[] => [
    ...new Set(device.images.filter((entry) => roles.includes(entry.role) && fits(entry)).map(({ name }) => name)),
  ];
  const byName = (name: string): DeviceImage | undefined =>
    device.images.find((entry) => entry.name === name && entry.fs === fs) ?? device.images.find((entry) => entry.name === name);
  const all = named(installable[to]);
  if (image !== undefined) {
    const chosen = byName(image);
    if (chosen !== undefined) return chosen;
    throw new OwimgError('bad-value', `OpenWrt builds no ${image} for ${device.title}`, `It builds ${all.join(', ') || `no ${words[to]}`}.`);
  }
  const [only, second] = preferred[to].map(named).find((names) => names.length > 0) ?? [];
  if (only === undefined) {
    const hint = `Its page in the OpenWrt wiki tells how it is installed. owimg devices ${device.profile} lists what there is.`;
    throw new OwimgError('conversion-impossible', `OpenWrt builds no ${words[to]} for ${device.title}`, hint);
  }
  if (second !== undefined)
    throw new OwimgError(
      'image-ambiguous',
      `OpenWrt builds several images of that kind for ${device.title}: ${all.join(', ')}`,
      'Choose one with --image NAME.',
    );
  return byName(only) as DeviceImage;
}

/** When the image was built, as the newest of its own dates tells: OpenWrt gives all of them SOURCE_DATE_EPOCH. */
function dateInside(root: Layer): string | undefined {
  const dated = allLayers(root).filter(({ format }) => format === 'uimage' || format === 'squashfs');
  const dates = dated.flatMap(({ fields }) => {
    const seconds = Number(fields.find(({ name }) => name === 'time')?.value ?? 0);
    return seconds > 0 ? [seconds] : [];
  });
  return dates.length === 0 ? undefined : String(Math.max(...dates));
}

/** Files of a release are called openwrt-24.10.0-TARGET-...; those of a snapshot have no number. */
const versionInName = (name: string | undefined): string | undefined => /^openwrt-(\d+\.\d+(?:\.\d+)?(?:-rc\d+)?)-/.exec(name ?? '')?.[1];

class Values {
  readonly sources = new Map<BuildValue, ValueSource>();
  readonly record: Readonly<Record<BuildValue, string>>;

  constructor({ build = {}, epoch, name: file }: ConvertOptions, told: Parts['told'], root: Layer) {
    const inside = told.get('epoch') ?? dateInside(root);
    const value = (name: BuildValue, image: string | undefined, elsewhere: readonly [ValueSource, string | undefined] | undefined, assumed: string): string => {
      const candidates: readonly (readonly [ValueSource, string | undefined])[] = [
        ['option', build[name]],
        ['image', image],
        ...(elsewhere === undefined ? [] : [elsewhere]),
      ];
      const [source, text] = candidates.find(([, candidate]) => candidate !== undefined) ?? ['assumed' as const, assumed];
      this.sources.set(name, source);
      return text as string;
    };
    this.record = {
      dist: value('dist', told.get('dist'), undefined, 'OpenWrt'),
      version: value('version', told.get('version'), ['name', versionInName(file)], 'unknown'),
      revision: value('revision', told.get('revision'), undefined, 'unknown'),
      epoch: value('epoch', inside, ['environment', epoch], '0'),
      linux: value('linux', told.get('linux'), undefined, 'unknown'),
    };
  }

  /** Another text of the same length, so that only what hangs on the value changes. */
  without(name: BuildValue): Readonly<Record<BuildValue, string>> {
    const text = this.record[name];
    return { ...this.record, [name]: text.replaceAll(/[0-9a-z]/gi, (letter) => (letter === '1' ? '2' : '1')) };
  }
}

/** The device asked for, or the only one that the file names. */
function deviceOf(inspection: Inspection, length: number, context: Context, { device, name }: ConvertRequest): Device {
  if (device !== undefined) return device;
  const { candidates } = checkWith(inspection, length, context, { name });
  const [only, second] = candidates;
  if (only === undefined && inspection.status === 'unknown') throw new OwimgError('unknown-format', 'Cannot convert the file: owimg does not recognise it');
  if (only === undefined)
    throw new OwimgError('bad-usage', 'Cannot tell from the file which device it is for', 'Say it with --device NAME; owimg devices WORDS finds the name.');
  if (second === undefined) return only;
  const names = candidates.slice(0, 8).map(({ profile }) => profile);
  const more = candidates.length > names.length ? ` and ${candidates.length - names.length} more` : '';
  throw new OwimgError('device-ambiguous', `The file names several devices: ${names.join(', ')}${more}`, 'Say which one it is for with --device NAME.');
}

/** Some devices' images are packed as a whole, or are archives: those are no archives with an image in them. */
function isOwnImage(inspection: Inspection, length: number, context: Context, request: ConvertRequest): boolean {
  const devices = request.device === undefined ? checkWith(inspection, length, context, {}).candidates : [request.device];
  return devices.some((device) =>
    new Subject(inspection, length, undefined, device, {}, context).fits.some(({ answer, match }) => answer !== 'no' && match.agreements > 0),
  );
}

/**
 * Makes the image that is wanted; {@link proveConversion} is owed before anybody gets it.
 *
 * @param bytes the whole file
 * @throws OwimgError `input-refused`, `image-ambiguous`, `device-ambiguous`, `bad-usage` (no device), `bad-value` (a part that the recipe does
 *   not take), `part-missing`, `step-unknown`, `conversion-impossible`
 */
export async function convertWith(bytes: Uint8Array, formats: readonly AnyFormat[], context: Context, request: ConvertRequest): Promise<Conversion> {
  const name = request.name === undefined ? {} : { name: request.name };
  const opened = await openWith(formats, bytes, name);
  let { inspection } = opened;
  const packed = memberOf(opened, formats, request.member);
  if (packed !== undefined && (request.member !== undefined || !isOwnImage(inspection, bytes.length, context, request))) {
    const { member: _, ...rest } = request;
    const inside = packed.name?.split('/').at(-1) ?? request.name?.replace(/\.(gz|xz)$/, '');
    const conversion = await convertWith(packed.bytes, formats, context, { ...rest, name: inside });
    return packed.name === undefined ? conversion : { ...conversion, member: packed.name };
  }
  // Without metadata the device tree inside of the kernel is the one witness of what it is for.
  if (!inspection.root.children.some(({ format }) => format === 'fwtool')) inspection = await inspectWith(formats, bytes, { ...name, deep: true });
  const device = deviceOf(inspection, bytes.length, context, request);
  return convertInspected(bytes, inspection, formats, context, { ...request, device });
}

async function convertInspected(
  bytes: Uint8Array,
  inspection: Inspection,
  formats: readonly AnyFormat[],
  context: Context,
  options: ConvertOptions,
): Promise<Conversion> {
  const { device } = options;
  requireSound(inspection, device, formats, options.accept ?? new Set());
  const subject = new Subject(inspection, bytes.length, options.name, device, {}, context);
  const sources = sourcesOf(subject, options.to);
  const recipes: RecipeContext = { formats, boards: context.facts.safeloaderBoards };
  const choices = sources.map(({ image }) => {
    const wanted = targetOf(device, options, image.fs);
    const shared = replacesShared(options) ? undefined : sharedSteps(image, wanted, formats);
    return { from: image, to: wanted, ...(shared === undefined ? {} : { shared }) };
  });
  const choice = choices.find(({ from, shared }) => shared !== undefined || missingSteps(from, formats).length === 0) ?? choices[0];
  if (choice === undefined) {
    const best = subject.best([...installable.factory, ...installable.sysupgrade]);
    if (best?.answer === 'yes') {
      const hint = 'Nothing has to be converted. owimg check FILE says what each way of flashing would do with it.';
      throw new OwimgError('conversion-impossible', `It already is a ${words[options.to]} of ${device.title} (${best.image.name})`, hint);
    }
    const [misfit] = subject.best(installable[other[options.to]])?.match.misfits ?? [];
    const why = misfit === undefined ? '' : `: ${subject.misfitFinding(misfit).message}`;
    const message = `Cannot convert it: it is not laid out as a ${words[other[options.to]]} of ${device.title}${why}`;
    throw new OwimgError('input-refused', message, 'Images of older releases may be laid out otherwise; they are not converted. Is it for this device?');
  }
  const { from, to, ...shared } = choice;
  const source: Recipe = { device, image: from, ...shared };
  const target: Recipe = { device, image: to, ...shared };
  // The step that is missing is to be named before anything is done.
  const parts = await decompose(source, bytes, recipes);
  const given = new Map([...parts.bytes, ...(options.parts ?? [])]);
  const values = new Values(options, parts.told, inspection.root);
  const made = await compose(target, given, values.record, recipes);
  for (const name of options.parts?.keys() ?? []) {
    if (made.took.has(name)) continue;
    throw new OwimgError(
      'bad-value',
      `The recipe of ${to.name} of ${device.profile} takes no "${name}"`,
      `It takes ${[...made.took].join(', ')}: leave "${name}" out.`,
    );
  }
  const again = await compose(source, parts.bytes, values.record, recipes);
  const reproduced = firstDifference(bytes, again.image) === null;
  if (!reproduced && options.accept?.has('layout-mismatch') !== true) requireSamePlaces(bytes, again.image, source);
  return {
    inspection,
    device,
    from,
    to,
    image: made.image,
    parts: [...given].map(([name, part]) => ({ name, length: part.length, exact: !parts.inexact.has(name) })),
    values: await usedValues(made, values, (build) => compose(target, given, build, recipes)),
    differs: reproduced ? [] : ownDifferences(bytes, again.image, parts, inspection.root),
    lost: lostParts(inspection, to),
  };
}

/** Of the bytes that the recipe of today makes otherwise: with more the parts lie elsewhere; headers and marks take less. */
const mostDiffering = 0.02;

/**
 * Older releases laid out their images otherwise, and their kernels look for the root file system where it was then.
 *
 * @throws OwimgError `input-refused` where the parts lie elsewhere than the recipe of today puts them
 */
function requireSamePlaces(bytes: Uint8Array, again: Uint8Array, { device, image }: Recipe): void {
  const common = Math.min(bytes.length, again.length);
  let differing = 0;
  for (let offset = 0; offset < common; offset += 1) if (bytes[offset] !== again[offset]) differing += 1;
  if (differing <= mostDiffering * common) return;
  throw new OwimgError(
    'input-refused',
    `Cannot convert it: its parts lie elsewhere than OpenWrt's recipe of today for ${image.name} of ${device.title} puts them, from ${hexOffset(firstDifference(bytes, again) ?? 0)} on`,
    'It is of an older release, whose kernel may not find its root file system anywhere else. If you know that it does: --accept layout-mismatch.',
  );
}

/** The stretches of the image that its own recipe would make otherwise, by the fields and regions that they lie in. */
function ownDifferences(bytes: Uint8Array, again: Uint8Array, parts: Parts, root: Layer): Conversion['differs'] {
  // An image from before OpenWrt appended metadata, or without it for another reason, lacks only that.
  const length = parts.bytes.has('metadata') ? undefined : bytes.length;
  return differences(bytes, again.subarray(0, length)).map((range) => ({ ...range, what: placeOf(root, range.offset) }));
}

/** Parts that are to stand in place of those that two recipes put together in the same way. */
const replacesShared = ({ parts }: ConvertOptions): boolean => parts?.has('kernel') === true || parts?.has('rootfs') === true;

const routeOf: Readonly<Partial<Record<ImageRole, (subject: Subject) => Verdict>>> = { sysupgrade: sysupgradeVerdict, recovery: tftpVerdict };

/**
 * What was made must be what OpenWrt would have made: read again it has no error, the layout of its recipe, and a verdict
 * that is not a refusal.
 *
 * @param bytes the result, as it was read back
 * @param accept codes of errors that the image may have, because the given one had them
 * @throws OwimgError `result-wrong`, `conversion-impossible` where it would not fit on the device
 */
export async function proveConversion(
  bytes: Uint8Array,
  { device, to, image }: Conversion,
  formats: readonly AnyFormat[],
  context: Context,
  accept: ReadonlySet<string> = new Set(),
): Promise<Proof> {
  const at = firstDifference(bytes, image);
  if (at !== null)
    throw new OwimgError(
      'result-wrong',
      `What was read back is not what was written: it differs at ${hexOffset(at)}`,
      'Is the disk full or failing? Write it somewhere else.',
    );
  const inspection = await inspectWith(formats, bytes);
  const wrong = (what: string): OwimgError => new OwimgError('result-wrong', `What was made as ${to.name} ${what}`);
  const error = inspection.findings.find(({ severity, code }) => severity === 'error' && !accept.has(code));
  if (error !== undefined) throw wrong(`is broken: ${error.message} at ${hexOffset(error.offset)}`);
  const subject = new Subject(inspection, bytes.length, undefined, device, {}, context);
  const fit = subject.fits.find((entry) => entry.image === to);
  const [misfit] = fit?.match.misfits ?? [];
  if (misfit !== undefined) throw wrong(`is not laid out as it: ${subject.misfitFinding(misfit).message}`);
  const [size] = fit === undefined ? [] : subject.sizeFindings(fit);
  if (size !== undefined) throw new OwimgError('conversion-impossible', `The ${to.name} of ${device.title} would not fit: ${size.message}`, size.hint);
  const verdict = (routeOf[to.role] ?? stockVerdict)(subject);
  // What the user accepted is no better for it: the verdict says so, and the exit status.
  const excused = inspection.status === 'broken';
  if (!excused && (verdict.outcome === 'bricks' || verdict.outcome === 'refused')) throw wrong(`would be no good by ${verdict.route}: ${verdict.reason}`);
  return { inspection, verdict };
}

async function usedValues(made: Composed, values: Values, remake: (build: Readonly<Record<BuildValue, string>>) => Promise<Composed>): Promise<UsedValue[]> {
  const used: UsedValue[] = [];
  for (const name of made.used) {
    const source = values.sources.get(name) as ValueSource;
    const bytes = source === 'image' ? [] : differences(made.image, (await remake(values.without(name))).image);
    used.push({ name, text: values.record[name], source, bytes });
  }
  return used;
}

/** A signature covers the image that it was made for. */
function lostParts({ root }: Inspection, to: DeviceImage): string[] {
  const trailer = root.children.find(({ format }) => format === 'fwtool');
  const signed = trailer?.checks.some(({ name }) => name === 'signature-crc') === true;
  const metadata = trailer !== undefined && !to.steps.some((step) => step.startsWith('append-metadata'));
  return [
    ...(signed ? ['the signature: it was for the other image'] : []),
    ...(metadata ? [`the metadata (${byteCount(trailer.length)}): ${to.name} carries none`] : []),
  ];
}
