/** The JSON that scripts rely on, `docs/schema/inspect.schema.json`. Rendering only: nothing is decided here. */
import type { ErrorCode } from '../core/errors.ts';
import type { Inspection } from '../core/types.ts';

export const schemaVersion = 1;

export interface Tool {
  readonly name: string;
  readonly version: string;
}

export interface InspectedFile {
  readonly path: string;
  readonly size: number;
  readonly sha256: string;
}

/** One file that was read. */
export interface InspectedImage {
  readonly file: InspectedFile;
  readonly inspection: Inspection;
}

/** One file that could not be read. */
export interface UnreadFile {
  readonly file: { readonly path: string };
  readonly error: { readonly code: ErrorCode; readonly message: string; readonly hint: string };
}

export type InspectResult = InspectedImage | UnreadFile;

/** The object for one file. */
export function inspectJson(result: InspectResult, tool: Tool): object {
  const head = { schemaVersion, tool, file: result.file };
  return 'error' in result ? { ...head, error: result.error } : { ...head, ...result.inspection };
}

/** One object for one file, an array for several. */
export function renderJson(results: readonly InspectResult[], tool: Tool): string {
  const objects = results.map((result) => inspectJson(result, tool));
  return `${JSON.stringify(objects.length === 1 ? objects[0] : objects, null, 2)}\n`;
}

/** One object a line. */
export function renderNdjson(result: InspectResult, tool: Tool): string {
  return `${JSON.stringify(inspectJson(result, tool))}\n`;
}
