/**
 * Runs the recipes of OpenWrt's images, forwards and backwards: `compose` makes an image of its parts, step by step; `decompose`
 * undoes the steps from the last one to the first, and hands out the parts.
 */
import { OwimgError } from '../core/errors.ts';
import type { AnyFormat } from '../core/format.ts';
import { byteCount } from '../core/hex.ts';
import { trailingPadding } from '../core/padding.ts';
import type { BuildValue, ComposeUse, DecomposeUse, PartName, RecipeStep, RecipeSteps, SafeloaderBoard, StepUse } from '../core/recipe-step.ts';
import type { Device, DeviceImage } from '../devices/facts.ts';
import { piecesOf } from '../inspect.ts';
import { assemblySteps, isFiller } from './assembly.ts';
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
}

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
}

function stepsOf(formats: readonly AnyFormat[]): RecipeSteps {
  return Object.assign({}, assemblySteps, ...formats.map(({ recipeSteps }) => recipeSteps ?? {})) as RecipeSteps;
}

interface PlannedStep {
  readonly step: RecipeStep;
  readonly use: StepUse;
}

/** @throws OwimgError `step-unknown` */
function plan({ device, image }: Recipe, { formats, boards }: RecipeContext): PlannedStep[] {
  const known = stepsOf(formats);
  const board = boards.find(({ id }) => id === device.variables['TPLINK_BOARD_ID']);
  const command: StepUse['command'] = (tool, nth = 0) => image.commands?.filter(([first]) => first === tool)[nth] ?? [];
  return image.steps.map((text, index) => {
    const [name, ...words] = stepWords(text) as [string, ...string[]];
    const step = known[name];
    if (step === undefined) {
      throw new OwimgError(
        'step-unknown',
        `Cannot convert from or to ${image.name} of ${device.profile}: owimg cannot do the step "${text}" of its recipe yet`,
      );
    }
    return { step, use: { name, words, first: index === 0, device, board, tarDirectory: image.tarDirectory, command } };
  });
}

/** The steps of an image's recipe that owimg cannot do. */
export function missingSteps(image: DeviceImage, formats: readonly AnyFormat[]): string[] {
  const known = stepsOf(formats);
  return image.steps.filter((text) => known[stepWords(text)[0] as string] === undefined);
}

class Collector {
  readonly bytes = new Map<PartName, Uint8Array>();
  readonly told = new Map<BuildValue, string>();
  readonly inexact = new Set<PartName>();
  readonly #formats: readonly AnyFormat[];

  constructor(formats: readonly AnyFormat[]) {
    this.#formats = formats;
  }

  use(use: StepUse): DecomposeUse {
    return {
      ...use,
      found: (name, bytes, padded = false) => this.#found(name, bytes, padded),
      // What stands further outside is asked first, and tells the most: of a revision some headers keep only the number.
      tells: (value, text) => void (this.told.has(value) || this.told.set(value, text)),
      pieces: (bytes) => piecesOf(this.#formats, bytes),
    };
  }

  async #found(name: PartName, bytes: Uint8Array, padded: boolean): Promise<void> {
    const part = padded ? await this.#unpadded(name, bytes) : bytes;
    const before = this.bytes.get(name);
    if (before !== undefined && (before.length !== part.length || before.some((byte, index) => byte !== part[index]))) {
      const lengths = `${byteCount(before.length)} and ${byteCount(part.length)}`;
      throw new OwimgError('conversion-impossible', `Cannot take the image apart: it holds two different parts that should both be its ${name} (${lengths})`);
    }
    this.bytes.set(name, part);
  }

  /** Without the filler behind its last layer. */
  async #unpadded(name: PartName, bytes: Uint8Array): Promise<Uint8Array> {
    for (const deep of [false, true]) {
      const last = (await piecesOf(this.#formats, bytes, deep)).findLast((piece) => !isFiller(piece));
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
  const collector = new Collector(context.formats);
  let rest = image;
  for (const { step, use } of plan(recipe, context).reverse()) rest = await step.decompose(rest, collector.use(use));
  if (rest.length > 0) {
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
  const value = (name: BuildValue): string => {
    used.add(name);
    return build[name];
  };
  let image: Uint8Array = new Uint8Array();
  for (const { step, use } of plan(recipe, context)) {
    const composeUse: ComposeUse = {
      ...use,
      hasPart: (name) => parts.has(name),
      part: (name) => {
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
    image = await step.compose(image, composeUse);
  }
  return { image, used };
}
