/** Compares the layers that were found with the shape that a recipe gives. */
import { hexOffset } from '../core/hex.ts';
import type { FieldValue, Layer, Range } from '../core/types.ts';
import type { GapShape, LayerShape, Shape, TrailerShape } from './shape.ts';

/** What OpenWrt appends to whatever the recipe makes. */
const metadataFormat = 'fwtool';

/** One thing that is not as the recipe makes it. */
export interface Misfit extends Range {
  readonly what: 'layer' | 'offset' | 'field';
  /** What was looked at: `kernel of uimage`, `hardwareId`. */
  readonly subject: string;
  readonly expected: string;
  readonly actual: string;
}

export interface Match {
  /** Empty: everything that was looked for is there. */
  readonly misfits: readonly Misfit[];
  /** Steps that owimg does not know: what they did was not looked for. */
  readonly unknownSteps: readonly string[];
  /** How many layers and values were found as expected. */
  readonly agreements: number;
}

/** What the matcher must know of formats, which the recipes do not. */
export interface FormatRoles {
  /** Formats found from the end; they stand outside of the order of the others. */
  readonly trailers: ReadonlySet<string>;
  /** Formats whose length is not known from their bytes, so that what follows may begin anywhere. */
  readonly open: ReadonlySet<string>;
  /** Formats of role `disk`. */
  readonly disks: ReadonlySet<string>;
  /** Marks and records between the things that matter. */
  readonly marks: ReadonlySet<string>;
}

class Matcher {
  readonly misfits: Misfit[] = [];
  readonly unknownSteps: string[] = [];
  agreements = 0;
  readonly #roles: FormatRoles;

  readonly #sliceId: string;

  constructor(roles: FormatRoles, sliceId: string) {
    this.#roles = roles;
    this.#sliceId = sliceId;
  }

  /** A vendor's trailer that the recipe does not append: the image is another device's. */
  unexpected(shapes: readonly Shape[], root: Layer): void {
    const expected = new Set(shapes.map((shape) => (shape.what === 'trailer' ? shape.format : '')));
    const extra = root.children.find(({ format }) => format !== metadataFormat && this.#roles.trailers.has(format) && !expected.has(format));
    if (extra !== undefined) this.misfits.push({ what: 'layer', subject: 'trailer', expected: 'none', actual: extra.format, ...range(extra) });
  }

  /** @param begin where the first shape must begin; `null` where that is open */
  match(shapes: readonly Shape[], siblings: readonly Layer[], within: Layer, begin: number | null, parts = false): void {
    const layers = siblings.filter(({ format }) => !this.#roles.trailers.has(format) && !this.#roles.marks.has(format));
    let [index, start, position] = [0, begin, begin];
    /** Bytes that nobody looks for may hide layers of their own: the next one is searched, not expected at once. */
    let open = parts;
    for (const shape of shapes) {
      if (shape.what === 'trailer') this.#trailer(shape, siblings, within);
      else if (shape.what === 'gap') position = position === null ? null : position + gapLength(shape, position - (start ?? 0));
      else if (shape.what === 'data') [open, position] = [true, null];
      else if (shape.what === 'unknown') {
        this.unknownSteps.push(shape.step);
        [open, position] = [true, null];
      } else {
        const format = shape.what === 'layer' ? shape.format : shape.what === 'rootfs' ? shape.fs : 'disk';
        const wanted = (layer: Layer | undefined): boolean => layer?.format === format || (shape.what === 'disk' && this.#roles.disks.has(layer?.format ?? ''));
        // Where anything may stand in front, the one that has the values is meant.
        const fields = shape.what === 'layer' ? shape.fields : {};
        const fitting = layers.findIndex((layer, place) => place >= index && wanted(layer) && hasFields(layer, fields));
        const at = !open ? index : fitting >= 0 ? fitting : layers.findIndex((layer, place) => place >= index && wanted(layer));
        const layer = layers[at];
        if (layer === undefined || !wanted(layer)) {
          const found = layers[index];
          const place = found ?? { offset: within.offset + within.length, length: 0 };
          const actual = found === undefined ? 'nothing' : found.format;
          this.misfits.push({ what: 'layer', subject: shape.what === 'rootfs' ? 'root file system' : 'layer', expected: format, actual, ...range(place) });
          return;
        }
        this.agreements += 1;
        if (position !== null && layer.offset !== position) {
          const [expected, actual] = [hexOffset(position), hexOffset(layer.offset)];
          this.misfits.push({ what: 'offset', subject: `offset of ${format}`, expected, actual, ...range(layer) });
        }
        if (shape.what === 'layer') this.#layer(shape, layer);
        if (shape === shapes[0]) start ??= layer.offset;
        index = at + 1;
        open = parts;
        position = parts || shape.what !== 'layer' || this.#roles.open.has(format) ? null : layer.offset + layer.length;
      }
    }
  }

  #layer(shape: LayerShape, layer: Layer): void {
    this.#fields(shape.fields, layer);
    // What a layer holds begins at its own place, which its format has checked.
    if (shape.inside.length === 0) return;
    const [only] = layer.children;
    if (only?.format === this.#sliceId) this.match(shape.inside, only.children, only, only.offset, shape.parts);
    else this.match(shape.inside, layer.children, layer, null, shape.parts);
  }

  #trailer(shape: TrailerShape, siblings: readonly Layer[], within: Layer): void {
    const layer = findTrailer(siblings, shape.format);
    if (layer === undefined) {
      const end = { offset: within.offset + within.length, length: 0 };
      this.misfits.push({ what: 'layer', subject: 'trailer', expected: shape.format, actual: 'nothing', ...end });
      return;
    }
    this.agreements += 1;
    this.#fields(shape.fields, layer);
  }

  #fields(expected: Readonly<Record<string, FieldValue>>, layer: Layer): void {
    for (const [name, value] of Object.entries(expected)) {
      const field = layer.fields.find((entry) => entry.name === name);
      if (field !== undefined && sameValue(field.value, value)) this.agreements += 1;
      else {
        const place = field === undefined ? range(layer) : range(field);
        this.misfits.push({ what: 'field', subject: name, expected: String(value), actual: field === undefined ? 'nothing' : String(field.value), ...place });
      }
    }
  }
}

const range = ({ offset, length }: Range): Range => ({ offset, length });

/** A vendor's trailer may stand behind the image or at the end of what it wraps. */
function findTrailer(layers: readonly Layer[], format: string): Layer | undefined {
  for (const layer of layers) {
    const found = layer.format === format ? layer : findTrailer(layer.children, format);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** @param position counted from where the image begins */
function gapLength(gap: GapShape, position: number): number {
  if ('extra' in gap) return gap.extra;
  if ('at' in gap) return gap.at - position;
  const end = position + gap.before;
  return Math.ceil(end / gap.unit) * gap.unit - end;
}

/** Numbers are compared as numbers, however they are written. */
function sameValue(actual: FieldValue, expected: FieldValue): boolean {
  const [a, b] = [String(actual).trimEnd(), String(expected)];
  if (a === b) return true;
  return a !== '' && b !== '' && Number(a) === Number(b);
}

function hasFields(layer: Layer, expected: Readonly<Record<string, FieldValue>>): boolean {
  return Object.entries(expected).every(([name, value]) => layer.fields.some((field) => field.name === name && sameValue(field.value, value)));
}

/** Compares a file's layers with the shape of an image. */
export function matchShape(shapes: readonly Shape[], root: Layer, sliceId: string, roles: FormatRoles): Match {
  const matcher = new Matcher(roles, sliceId);
  const siblings = root.format === sliceId ? root.children : [root];
  const trailers = root.format === sliceId ? [] : root.children.filter(({ format }) => roles.trailers.has(format));
  matcher.match(shapes, [...siblings, ...trailers], root, root.offset);
  if (matcher.unknownSteps.length === 0) matcher.unexpected(shapes, root);
  return { misfits: matcher.misfits, unknownSteps: matcher.unknownSteps, agreements: matcher.agreements };
}
