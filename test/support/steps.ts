/** Runs a single step of a recipe, as the interpreter would. */
import { joined } from '../../src/core/bytes.ts';
import type { ComposeUse, DecomposeUse, PartName, RecipeDevice, RecipeStep } from '../../src/core/recipe-step.ts';
import { formats } from '../../src/index.ts';
import { piecesOf } from '../../src/inspect.ts';
import { assemblySteps } from '../../src/recipes/assembly.ts';

const device: RecipeDevice = {
  profile: 'test_device',
  target: 'ath79/generic',
  architecture: 'mips',
  boards: ['test,device'],
  compatVersion: '1.0',
  sizes: {},
  flags: {},
  variables: {},
};

/** What the corpus and the fixtures were built with. */
const build = { dist: 'OpenWrt', version: 'SNAPSHOT', revision: 'r99999-0123456789', epoch: '1700000000', linux: '6.6.99' };

export interface StepCase {
  /** With its words, as in a recipe; quotes are not cut. */
  readonly step: string;
  readonly commands?: readonly (readonly string[])[];
  readonly device?: Partial<RecipeDevice>;
  readonly first?: boolean;
}

export interface StepRun {
  compose(image: Uint8Array, parts?: Readonly<Record<PartName, Uint8Array>>): Promise<Uint8Array>;
  decompose(image: Uint8Array): Promise<{ readonly image: Uint8Array; readonly parts: Record<PartName, Uint8Array>; readonly told: Record<string, string> }>;
}

export function stepOf({ step: text, commands = [], device: changed = {}, first = false }: StepCase): StepRun {
  const [name = '', ...words] = text.split(' ');
  const known = Object.assign({}, assemblySteps, ...formats.map(({ recipeSteps }) => recipeSteps ?? {})) as Record<string, RecipeStep>;
  const step = known[name] as RecipeStep;
  const parts = new Map<PartName, Uint8Array>();
  const told: Record<string, string> = {};
  const use: ComposeUse & DecomposeUse = {
    name,
    words,
    first,
    device: { ...device, ...changed },
    board: undefined,
    tarDirectory: undefined,
    command: (tool, nth = 0) => commands.filter(([word]) => word === tool)[nth] ?? [],
    hasPart: (part) => parts.has(part),
    part: (part) => {
      const found = parts.get(part);
      if (found === undefined) throw new Error(`no part ${part}`);
      return found;
    },
    build: (value) => build[value],
    filled: (word) => word.replaceAll('@REVISION_NUMBER@', 'r99999').replaceAll('@REVISION@', build.revision),
    found: async (part, bytes) => void parts.set(part, bytes),
    tells: (value, value2) => {
      told[value] = value2;
    },
    pieces: (bytes) => piecesOf(formats, bytes),
  };
  return {
    compose: async (image, given = {}) => {
      for (const [part, bytes] of Object.entries(given)) parts.set(part, bytes);
      return 'append' in step ? joined([image, ...step.append(image.length, use)]) : await step.compose(image, use);
    },
    decompose: async (image) => {
      parts.clear();
      const rest = await step.decompose(image, use);
      return { image: rest, parts: Object.fromEntries(parts), told };
    },
  };
}
