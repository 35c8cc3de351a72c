/**
 * One image of a device made from another one: taken apart by the recipe that it was built with, put together by the recipe
 * of the one that is wanted, and proved: read again, without errors, and with the layout that OpenWrt gives that image.
 */
import { OwimgError } from './core/errors.ts';
import type { AnyFormat } from './core/format.ts';
import { byteCount, hexOffset } from './core/hex.ts';
import { allLayers } from './core/layers.ts';
import type { BuildValue, PartName } from './core/recipe-step.ts';
import type { Finding, Inspection, Layer, Range } from './core/types.ts';
import type { Device, DeviceImage, ImageRole } from './devices/facts.ts';
import { inspectWith } from './inspect.ts';
import { type Composed, compose, decompose, missingSteps, type Parts, type Recipe, type RecipeContext, sharedSteps } from './recipes/interpreter.ts';
import { type Context, type Fit, Subject } from './routes/subject.ts';

export type Direction = 'factory' | 'sysupgrade';

export interface ConvertOptions {
  readonly device: Device;
  readonly to: Direction;
  /** Which of the device's images is wanted, by its name in the recipe: `factory.bin`. */
  readonly image?: string | undefined;
  /** The file's name, without folders. */
  readonly name?: string | undefined;
  /** Parts that the image lacks, or that are to stand in place of its own. */
  readonly parts?: ReadonlyMap<PartName, Uint8Array> | undefined;
  /** What differs from build to build, where it is not to be taken from the image. */
  readonly build?: Partial<Readonly<Record<BuildValue, string>>> | undefined;
  /** SOURCE_DATE_EPOCH of the environment; used where the image does not tell. */
  readonly epoch?: string | undefined;
  /** Codes of errors in the image that the user knows of. */
  readonly accept?: ReadonlySet<string> | undefined;
}

/** Where a value of the build comes from. */
export type ValueSource = 'option' | 'image' | 'environment' | 'assumed';

export interface UsedValue {
  readonly name: BuildValue;
  readonly text: string;
  readonly source: ValueSource;
  /** The bytes of the result that would be others with another value, checksums among them. Empty for what the image told. */
  readonly bytes: readonly Range[];
}

export interface Conversion {
  readonly from: DeviceImage;
  readonly to: DeviceImage;
  readonly image: Uint8Array;
  readonly inspection: Inspection;
  /** What both images are made of. */
  readonly parts: readonly { readonly name: PartName; readonly length: number; readonly exact: boolean }[];
  readonly values: readonly UsedValue[];
  /** Where the image differs from what its own recipe makes of the parts today; `null`: nowhere, so nothing was overlooked. */
  readonly differsAt: number | null;
  /** What the given image has and the result has not. */
  readonly lost: readonly string[];
}

const installable: Readonly<Record<Direction, readonly ImageRole[]>> = {
  factory: ['factory', 'both', 'recovery', 'factory-initramfs'],
  sysupgrade: ['sysupgrade', 'both'],
};

const words: Readonly<Record<Direction, string>> = { factory: 'factory image', sysupgrade: 'sysupgrade image' };

/** Where two byte strings first differ; `null` if nowhere. */
export function firstDifference(a: Uint8Array, b: Uint8Array): number | null {
  const length = Math.min(a.length, b.length);
  for (let offset = 0; offset < length; offset += 1) if (a[offset] !== b[offset]) return offset;
  return a.length === b.length ? null : length;
}

/** The stretches in which two images of the same length differ; a few equal bytes between them count as one stretch. */
function differences(a: Uint8Array, b: Uint8Array): Range[] {
  const found: { offset: number; length: number }[] = [];
  const length = Math.max(a.length, b.length);
  for (let offset = 0; offset < length; offset += 1) {
    if (a[offset] === b[offset]) continue;
    const last = found.at(-1);
    if (last !== undefined && offset - (last.offset + last.length) < 4) last.length = offset + 1 - last.offset;
    else found.push({ offset, length: 1 });
  }
  return found;
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
    'Name the device that it is for, or take the image of this device.',
  );

/** The images of the device that the file may be, the best first. */
function sourcesOf(subject: Subject, to: Direction): readonly Fit[] {
  const [foreign] = subject.foreignFindings();
  if (foreign !== undefined) throw refused(subject, foreign);
  const rank = { yes: 2, unknown: 1, no: 0 };
  const metadata = subject.root.children.some(({ format }) => format === 'fwtool');
  const appends = ({ image }: Fit): number => (image.steps.some((step) => step.startsWith('append-metadata')) === metadata ? 1 : 0);
  const sources = [...subject.fits]
    .filter(({ image }) => !['disk', 'part', 'bootloader/other'].includes(image.role) && image.steps.length > 0)
    .sort((a, b) => rank[b.answer] - rank[a.answer] || appends(b) - appends(a) || b.match.agreements - a.match.agreements);
  const [best] = sources;
  if (best === undefined) throw new OwimgError('conversion-impossible', `OpenWrt builds no image for ${subject.device.title} that could be converted`);
  const [misfit] = best.match.misfits;
  if (misfit !== undefined) throw refused(subject, subject.misfitFinding(misfit));
  const direction = installable[to];
  return sources.filter(({ answer, image }) => answer !== 'no' && (!direction.includes(image.role) || image.role === 'both'));
}

/** The image that is wanted. */
function targetOf(device: Device, { to, image }: ConvertOptions, fs: string | null): DeviceImage {
  const candidates = device.images.filter((entry) => installable[to].includes(entry.role) && (entry.fs === fs || entry.fs === null || fs === null));
  const names = [...new Set(candidates.map(({ name }) => name))];
  if (image !== undefined) {
    const chosen =
      device.images.find((entry) => entry.name === image && (entry.fs === fs || entry.fs === null)) ?? device.images.find(({ name }) => name === image);
    if (chosen !== undefined) return chosen;
    throw new OwimgError('bad-value', `OpenWrt builds no ${image} for ${device.title}`, `It builds ${names.join(', ') || `no ${words[to]}`}.`);
  }
  const [only, second] = names;
  if (only === undefined)
    throw new OwimgError(
      'conversion-impossible',
      `OpenWrt builds no ${words[to]} for ${device.title}`,
      `Its page in the OpenWrt wiki tells how it is installed. owimg devices ${device.profile} lists what there is.`,
    );
  if (second !== undefined)
    throw new OwimgError(
      'image-ambiguous',
      `OpenWrt builds several images of that kind for ${device.title}: ${names.join(', ')}`,
      'Choose one with --image NAME.',
    );
  return candidates.find((entry) => entry.name === only && entry.fs === fs) ?? (candidates[0] as DeviceImage);
}

/** When the image was built, as the newest of its own dates tells: OpenWrt gives all of them SOURCE_DATE_EPOCH. */
function dateInside(root: Layer): string | undefined {
  const dates = allLayers(root).flatMap(({ format, fields }) => {
    const name = { uimage: 'time', squashfs: 'modificationTime' }[format];
    const value = fields.find((field) => field.name === name)?.value;
    return typeof value === 'number' && value > 0 ? [value] : [];
  });
  return dates.length === 0 ? undefined : String(Math.max(...dates));
}

class Values {
  readonly sources = new Map<BuildValue, ValueSource>();
  readonly record: Readonly<Record<BuildValue, string>>;

  constructor({ build = {}, epoch }: ConvertOptions, told: Parts['told'], root: Layer) {
    const inside = told.get('epoch') ?? dateInside(root);
    const value = (name: BuildValue, image: string | undefined, environment: string | undefined, assumed: string): string => {
      const candidates = [
        ['option', build[name]],
        ['image', image],
        ['environment', environment],
      ] as const;
      const [source, text] = candidates.find(([, candidate]) => candidate !== undefined) ?? ['assumed' as const, assumed];
      this.sources.set(name, source);
      return text as string;
    };
    this.record = {
      dist: value('dist', told.get('dist'), undefined, 'OpenWrt'),
      version: value('version', told.get('version'), undefined, 'unknown'),
      revision: value('revision', told.get('revision'), undefined, 'unknown'),
      epoch: value('epoch', inside, epoch, '0'),
      linux: value('linux', told.get('linux'), undefined, 'unknown'),
    };
  }

  /** Another text of the same length, so that only what hangs on the value changes. */
  without(name: BuildValue): Readonly<Record<BuildValue, string>> {
    const text = this.record[name];
    return { ...this.record, [name]: text.replaceAll(/[0-9a-z]/gi, (letter) => (letter === '1' ? '2' : '1')) };
  }
}

/**
 * Makes the image that is wanted.
 *
 * @param bytes the whole file
 * @param inspection what `inspect` says of it
 * @throws OwimgError with nothing done: `input-refused`, `image-ambiguous`, `part-missing`, `step-unknown`, `conversion-impossible`,
 *   `result-wrong`
 */
export async function convertWith(
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
    throw new OwimgError(
      'conversion-impossible',
      `It already is a ${words[options.to]} of ${device.title} (${best?.image.name})`,
      'Nothing has to be converted. owimg check FILE says what each way of flashing would do with it.',
    );
  }
  const { from, to, ...shared } = choice;
  const source: Recipe = { device, image: from, ...shared };
  const target: Recipe = { device, image: to, ...shared };
  // The step that is missing is to be named before anything is done.
  const parts = await decompose(source, bytes, recipes);
  const given = new Map([...parts.bytes, ...(options.parts ?? [])]);
  const values = new Values(options, parts.told, inspection.root);
  const made = await compose(target, given, values.record, recipes);
  const again = await compose(source, parts.bytes, values.record, recipes);
  const result = await inspectWith(formats, made.image);
  requireResult(result, made.image.length, to, subject);
  return {
    from,
    to,
    image: made.image,
    inspection: result,
    parts: [...given].map(([name, part]) => ({ name, length: part.length, exact: !parts.inexact.has(name) })),
    values: await usedValues(made, values, (build) => compose(target, given, build, recipes)),
    differsAt: firstDifference(bytes, again.image),
    lost: lostParts(inspection, to),
  };
}

/** Parts that are to stand in place of those that two recipes put together in the same way. */
const replacesShared = ({ parts }: ConvertOptions): boolean => parts?.has('kernel') === true || parts?.has('rootfs') === true;

/** What was made must be what OpenWrt would have made: read again, without errors, with the layout of its recipe. */
function requireResult(result: Inspection, length: number, to: DeviceImage, { device, context }: Subject): void {
  const error = result.findings.find(({ severity }) => severity === 'error');
  if (error !== undefined) throw new OwimgError('result-wrong', `What was made as ${to.name} is broken: ${error.message} at ${hexOffset(error.offset)}`);
  const subject = new Subject(result, length, undefined, device, {}, context);
  const fit = subject.fits.find(({ image }) => image === to);
  const [misfit] = fit?.match.misfits ?? [];
  if (misfit !== undefined) throw new OwimgError('result-wrong', `What was made as ${to.name} is not laid out as it: ${subject.misfitFinding(misfit).message}`);
  if (fit === undefined || fit.answer !== 'yes') return;
  const [size] = subject.sizeFindings(fit);
  if (size !== undefined) throw new OwimgError('conversion-impossible', `The ${to.name} of ${device.title} would not fit: ${size.message}`, size.hint);
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
