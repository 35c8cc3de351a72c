/** The JSON of `owimg strip`, `extract`, `wrap` and `metadata`, docs/schema/made.schema.json. Rendering only. */
import type { Inspection, Range } from '../core/types.ts';
import { type InspectedFile, schemaVersion, type Tool } from './json.ts';

/** A stretch that was taken off (of the file given) or put on (of the result). */
export interface Stretch extends Range {
  /** Id of the format that it belongs to, `null` if nobody knows it. */
  readonly format: string | null;
  readonly what: string;
}

export interface MadeOutput {
  readonly file: InspectedFile;
  /** What was found when it was read again. */
  readonly inspection: Inspection;
  /** Of a layer that was taken out: which one, and where it lay. */
  readonly layer?: { readonly path: string; readonly offset: number; readonly length: number; readonly how: 'unpacked' | 'gathered' | null };
}

/** What one of the commands did. */
export interface Made {
  readonly command: 'strip' | 'extract' | 'wrap' | 'metadata';
  readonly file: InspectedFile;
  readonly inspection: Inspection;
  readonly removed: readonly Stretch[];
  readonly added: readonly Stretch[];
  readonly outputs: readonly MadeOutput[];
  readonly warnings: readonly string[];
  /** What to do now. */
  readonly next: readonly string[];
}

const stretch = ({ format, what, offset, length }: Stretch): Stretch => ({ format, what, offset, length });

function outputJson({ file, inspection, layer }: MadeOutput): object {
  const { format, kind, status, findings } = inspection;
  return { ...file, ...(layer === undefined ? {} : { layer }), result: { format, kind, status, findings } };
}

/** The object for one file. `output` is the only result; `extract` has `outputs`. */
export function madeJson({ command, file, inspection, removed, added, outputs, warnings, next }: Made, tool: Tool): object {
  const { format, kind, status } = inspection;
  const [only] = outputs;
  const results = command === 'extract' || only === undefined ? { outputs: outputs.map(outputJson) } : { output: outputJson(only) };
  const input = { ...file, format, kind, status };
  return { schemaVersion, tool, command, file: input, ...results, removed: removed.map(stretch), added: added.map(stretch), warnings, next };
}
