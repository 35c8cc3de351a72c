/**
 * owimg as a library: reads router firmware images, in Node and in browsers.
 *
 * @example
 * import { inspect } from 'owimg';
 *
 * const { format, kind, status, findings } = await inspect(bytes);
 */
import { formats } from '../formats/index.ts';
import type { Inspection } from './core/types.ts';
import { type InspectOptions, inspectWith } from './inspect.ts';

/**
 * Reads an image: its layers, every checksum, the devices it is for, and which bytes are protected by what.
 *
 * Never throws for damaged or hostile bytes: what is wrong with them is in `findings`.
 *
 * @param bytes the whole file
 */
export function inspect(bytes: Uint8Array, options: InspectOptions = {}): Promise<Inspection> {
  return inspectWith(formats, bytes, options);
}

export { formats } from '../formats/index.ts';
export { type ErrorCode, OwimgError } from './core/errors.ts';
export { type FindingCode, findingKinds } from './core/findings.ts';
export type { AnyFormat, Format, Reading, Reference } from './core/format.ts';
export { defaultLimits, type Limits } from './core/limits.ts';
export type { Check, Coverage, Field, Finding, Identity, Inspection, Kind, Layer, Range, Region, Severity, Source, Status } from './core/types.ts';
export { type InspectOptions, inspectWith } from './inspect.ts';
