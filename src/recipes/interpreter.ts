/**
 * Runs the recipes of OpenWrt's images, forwards and backwards: `compose` makes an image of its parts, step by step; `decompose`
 * undoes the steps from the last one to the first, and hands out the parts.
 */
import { joined, lengthOf, standsAt } from '../core/bytes.ts';
import { OwimgError } from '../core/errors.ts';
import type { AnyFormat } from '../core/format.ts';
import { byteCount } from '../core/hex.ts';
import { paddingLength, trailingPadding } from '../core/padding.ts';
import type { BuildValue, ComposeUse, DecomposeUse, FlashPiece, PartName, RecipeStep, RecipeSteps, SafeloaderBoard, StepUse } from '../core/recipe-step.ts';
import type { Device, DeviceImage } from '../devices/facts.ts';
import { piecesOf } from '../inspect.ts';
import { assemblySteps, filledUp, fillerSteps, idleSteps, isFiller } from './assembly.ts';
import { stepWords } from './shape.ts';

/** What the interpreter must know beyond the recipe. */
export interface RecipeContext {
  readonly formats: readonly AnyFormat[];
  readonly boards: readonly SafeloaderBoard[];
}

/** An image of a device, by the recipe that OpenWrt builds it with. */
export interface Recipe {
  readonly device: Device;
  readonly image: DeviceImage;
  /** What its first steps make is a part of its own: {@link sharedSteps}. */
  readonly shared?: SharedSteps;
}

/** The first steps of two recipes, where they are the same: what they make goes from one image into the other as it is. */
export interface SharedSteps {
  readonly count: number;
  /** In the given image filler stands behind it. */
  readonly padded: boolean;
}

/** What the steps make that two recipes begin with. */
export const sharedPart = 'shared';

/** What an image was put together from. */
export interface Parts {
  readonly bytes: ReadonlyMap<PartName, Uint8Array>;
  /** What the image told of the build that made it. */
  readonly told: ReadonlyMap<BuildValue, string>;
  /** Parts whose end is not known from their bytes: filler that belongs to them may have been cut off. */
  readonly inexact: ReadonlySet<PartName>;
}

export interface Composed {
  readonly image: Uint8Array;
  /** The values of the build that it was made with. */
  readonly used: ReadonlySet<BuildValue>;
  /** The parts that the steps asked for. */
  readonly took: ReadonlySet<PartName>;
}

function stepsOf(formats: readonly AnyFormat[]): RecipeSteps {
  return Object.assign({}, assemblySteps, ...formats.map(({ recipeSteps }) => recipeSteps ?? {})) as RecipeSteps;
}

interface PlannedStep {
  readonly step: RecipeStep;
  readonly use: StepUse;
}

/** @throws OwimgError `step-unknown` */
function plan({ device, image, shared }: Recipe, { formats, boards }: RecipeContext): PlannedStep[] {
  const known = stepsOf(formats);
  const board = boards.find(({ id }) => id === device.variables['TPLINK_BOARD_ID']);
  const command: StepUse['command'] = (tool, nth = 0) => image.commands?.filter(([first]) => first === tool)[nth] ?? [];
  return image.steps.flatMap((text, index) => {
    const [name, ...words] = stepWords(text) as [string, ...string[]];
    if (index < (shared?.count ?? 0)) return [];
    const step = known[name];
    if (step === undefined) {
      throw new OwimgError(
        'step-unknown',
        `Cannot convert from or to ${image.name} of ${device.profile}: owimg cannot do the step "${text}" of its recipe yet`,
      );
    }
    return [{ step, use: { name, words, first: index === 0, device, board, tarDirectory: image.tarDirectory, command } }];
  });
}

/** The steps of an image's recipe that owimg cannot do. */
export function missingSteps(image: DeviceImage, formats: readonly AnyFormat[]): string[] {
  const known = stepsOf(formats);
  return image.steps.filter((text) => known[stepWords(text)[0] as string] === undefined);
}

const stepName = (text: string): string => stepWords(text)[0] as string;

/**
 * The steps that two recipes begin with, where owimg cannot do one of them and need not: it can do all that follow, and what stands
 * behind them in the given image can be told from what they made.
 *
 * @returns `undefined` where it can do all steps, or where it must do one that it cannot
 */
export function sharedSteps(from: DeviceImage, to: DeviceImage, formats: readonly AnyFormat[]): SharedSteps | undefined {
  const known = stepsOf(formats);
  const lastMissing = ({ steps }: DeviceImage): number => steps.findLastIndex((text) => known[stepName(text)] === undefined);
  const needed = Math.max(lastMissing(from), lastMissing(to)) + 1;
  if (needed === 0) return undefined;
  const different = from.steps.findIndex((text, index) => text !== to.steps[index]);
  const most = different < 0 ? from.steps.length : different;
  // Filler behind filler: nobody can tell where the one ends. So the parted steps begin where something was appended.
  const padded = (count: number): boolean => {
    const next = from.steps.slice(count).find((text) => !idleSteps.has(stepName(text)));
    return next !== undefined && fillerSteps.has(stepName(next));
  };
  const endsInFiller = (count: number): boolean => {
    const last = stepName(from.steps[count - 1] ?? '');
    return fillerSteps.has(last) || idleSteps.has(last);
  };
  let count = most;
  while (count >= needed && padded(count) && endsInFiller(count)) count -= 1;
  return count < needed ? undefined : { count, padded: padded(count) };
}

class Collector {
  readonly bytes = new Map<PartName, Uint8Array>();
  readonly told = new Map<BuildValue, string>();
  readonly inexact = new Set<PartName>();
  readonly #formats: readonly AnyFormat[];

  readonly #device: Device;

  constructor(formats: readonly AnyFormat[], device: Device) {
    this.#formats = formats;
    this.#device = device;
  }

  use(use: StepUse): DecomposeUse {
    return {
      ...use,
      found: (name, bytes, padded = false) => this.found(name, bytes, padded),
      // What stands further outside is asked first, and tells the most: of a revision some headers keep only the number.
      tells: (value, text) => void (this.told.has(value) || this.told.set(value, text)),
      pieces: (bytes) => piecesOf(this.#formats, bytes),
    };
  }

  async found(name: PartName, bytes: Uint8Array, padded: boolean): Promise<void> {
    const before = this.bytes.get(name);
    // Where another step knew its end, that is where it ends.
    if (padded && before !== undefined && standsAt(bytes, 0, before) && paddingLength(bytes.subarray(before.length)) === bytes.length - before.length) return;
    const part = padded ? this.#withOwnFiller(name, await this.#unpadded(name, bytes), bytes) : bytes;
    if (before !== undefined && (before.length !== part.length || before.some((byte, index) => byte !== part[index]))) {
      const lengths = `${byteCount(before.length)} and ${byteCount(part.length)}`;
      throw new OwimgError('conversion-impossible', `Cannot take the image apart: it holds two different parts that should both be its ${name} (${lengths})`);
    }
    this.bytes.set(name, part);
  }

  /** With the filler that the kernel's own recipe puts at its end, if it stands there. */
  #withOwnFiller(name: PartName, part: Uint8Array, bytes: Uint8Array): Uint8Array {
    if (name !== 'kernel') return part;
    const length = filledUp(part.length, this.#device.kernel);
    return length <= bytes.length && bytes.subarray(part.length, length).every((byte) => byte === 0) ? bytes.subarray(0, length) : part;
  }

  /** Without the filler behind its last layer. */
  async #unpadded(name: PartName, bytes: Uint8Array): Promise<Uint8Array> {
    // A mark tells where a root file system ends; behind a kernel it is something that a boot loader looks for.
    const behind = name === 'kernel' ? ({ role }: FlashPiece) => role === 'padding' : isFiller;
    for (const deep of [false, true]) {
      const last = (await piecesOf(this.#formats, bytes, deep)).findLast((piece) => !behind(piece));
      if (last === undefined) break;
      const end = last.offset + last.length;
      if (!last.open && last.role !== 'unknown') return bytes.subarray(0, end);
      if (!deep) continue;
      const cut = bytes.subarray(0, end - trailingPadding(bytes.subarray(last.offset, end)));
      if (cut.length < bytes.length) this.inexact.add(name);
      return cut;
    }
    throw new OwimgError('conversion-impossible', `Cannot take the image apart: where its ${name} should be, ${byteCount(bytes.length)} of filler stand`);
  }
}

/**
 * The parts of an image that this recipe made.
 *
 * @param image read before and without errors
 * @throws OwimgError `step-unknown`, `conversion-impossible`
 */
export async function decompose(recipe: Recipe, image: Uint8Array, context: RecipeContext): Promise<Parts> {
  const collector = new Collector(context.formats, recipe.device);
  let rest = image;
  for (const { step, use } of plan(recipe, context).reverse()) rest = await step.decompose(rest, collector.use(use));
  if (recipe.shared !== undefined) {
    await collector.found(sharedPart, rest, recipe.shared.padded);
    if (collector.inexact.has(sharedPart)) {
      throw new OwimgError('conversion-impossible', 'Cannot take the image apart: where its first part ends and the filler behind it begins cannot be told');
    }
  } else if (rest.length > 0) {
    throw new OwimgError('conversion-impossible', `Cannot take the image apart: ${byteCount(rest.length)} at its beginning are of no step of its recipe`);
  }
  const { bytes, told, inexact } = collector;
  return { bytes, told, inexact };
}

/**
 * The image that this recipe makes of these parts.
 *
 * @param build the values of the build, all of them
 * @throws OwimgError `step-unknown`, `part-missing`, `conversion-impossible`
 */
export async function compose(
  recipe: Recipe,
  parts: ReadonlyMap<PartName, Uint8Array>,
  build: Readonly<Record<BuildValue, string>>,
  context: RecipeContext,
): Promise<Composed> {
  const used = new Set<BuildValue>();
  const took = new Set<PartName>();
  const value = (name: BuildValue): string => {
    used.add(name);
    return build[name];
  };
  const begin = recipe.shared === undefined ? undefined : parts.get(sharedPart);
  let made: Uint8Array[] = begin === undefined ? [] : [begin];
  for (const { step, use } of plan(recipe, context)) {
    const composeUse: ComposeUse = {
      ...use,
      hasPart: (name) => {
        took.add(name);
        return parts.has(name);
      },
      part: (name) => {
        took.add(name);
        const part = parts.get(name);
        if (part !== undefined) return part;
        const [what, profile] = [recipe.image.name, recipe.device.profile];
        throw new OwimgError(
          'part-missing',
          `Cannot make ${what} of ${profile}: its recipe takes "${name}", which is not in the image that was given`,
          `If you have it: --part ${name}=FILE.`,
        );
      },
      build: value,
      filled: (word) => word.replaceAll('@REVISION@', () => value('revision')).replaceAll('@REVISION_NUMBER@', () => value('revision').split('-')[0] as string),
    };
    if ('append' in step) made.push(...step.append(lengthOf(made), composeUse));
    else made = [await step.compose(joined(made), composeUse)];
  }
  return { image: joined(made), used, took };
}
