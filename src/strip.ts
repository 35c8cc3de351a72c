/** What can be taken off an image, by its layers and never by a fixed number of bytes: a header, a trailer, all up to the firmware. */
import { OwimgError } from './core/errors.ts';
import type { AnyFormat } from './core/format.ts';
import { defaultLimits } from './core/limits.ts';
import type { Layer, Range, Region } from './core/types.ts';
import { inspectWith, type Opened, sliceId } from './inspect.ts';

/** A stretch of the file that is not in the result. */
export interface Removed extends Range {
  /** Id of the format that it belongs to, `null` if nobody knows it. */
  readonly format: string | null;
  readonly what: string;
}

export interface Stripped {
  readonly removed: readonly Removed[];
  /** Where the rest lay; in an archive from the first byte of the unpacked member. */
  readonly kept: Range;
  readonly bytes: Uint8Array;
  /** The file was an archive or compressed, and this is what it held. */
  readonly unpacked: boolean;
  /** The parts that were put where they lie in the flash: in the result, and in the flash. */
  readonly placed?: readonly { readonly label: string; readonly offset: number; readonly base: number }[];
}

const endOf = ({ offset, length }: Range): number => offset + length;

/** How the partitions of vendors call their boot loaders. */
const loaderLabel = /boot ?loader|u-?boot|^boot$|^spl$|redboot|^cfe/i;

/** Where a part begins: the header of a kernel that the boot loader reads in flash belongs to it, and not to what is taken off. */
function startOfPart({ regions }: Layer, part: Region): number {
  const index = regions.indexOf(part);
  const before = regions[index - 1];
  return before !== undefined && isPartHeader(before, part) ? before.offset : part.offset;
}

const isPartHeader = (region: Region, part: Region | undefined): boolean => region.kind === 'header' && region.label === `${part?.label} header`;

class Stripper {
  readonly #opened: Opened;
  readonly #formats: readonly AnyFormat[];
  readonly #roles: ReadonlyMap<string, AnyFormat['role']>;

  constructor(opened: Opened, formats: readonly AnyFormat[]) {
    this.#opened = opened;
    this.#formats = formats;
    this.#roles = new Map(formats.map(({ id, role }) => [id, role]));
  }

  async strip(): Promise<Stripped> {
    const { root } = this.#opened.inspection;
    const trailer = root.children.findLast((layer) => layer.source === undefined && this.#roles.get(layer.format) === 'trailer');
    const skipped = await this.#upToFirmware(root);
    if (skipped !== undefined) {
      const end = this.#endFrom(root, skipped, trailer === undefined ? endOf(root) : this.#firstTrailer(root));
      return this.#placed(root, skipped, end) ?? this.#cut(root, skipped, end);
    }
    if (trailer !== undefined) return this.#cut(root, root.offset, trailer.offset);
    const role = this.#roles.get(root.format);
    if (role === 'archive' || (role === 'compressed' && root.children.some((layer) => layer.source?.how === 'unpacked'))) return this.#unpack(root);
    return this.#withoutHeader(root, role);
  }

  /** Behind the last part: a header's own tables may stand there, but in a slice anything belongs to the firmware. */
  #endFrom(root: Layer, start: number, end: number): number {
    if (root.format === sliceId) return end;
    const own = (region: Region, index: number): boolean => region.kind === 'header' && !isPartHeader(region, root.regions[index + 1]);
    return root.regions.find((region, index) => region.offset >= start && (own(region, index) || region.kind === 'metadata'))?.offset ?? end;
  }

  /** Where the trailers begin. */
  #firstTrailer(root: Layer): number {
    return root.children.find((layer) => layer.source === undefined && this.#roles.get(layer.format) === 'trailer')?.offset ?? endOf(root);
  }

  async #isLoader(layer: Layer): Promise<boolean> {
    return (await inspectWith(this.#formats, this.#opened.bytesOf(layer))).kind === 'bootloader';
  }

  /** Where the firmware begins, if a boot loader, filler or something unknown stands in front of it. */
  async #upToFirmware(root: Layer): Promise<number | undefined> {
    const inside = root.findings.find(({ code }) => code === 'bootloader-inside');
    if (inside !== undefined) {
      const firmware = root.regions.find(({ kind, offset }) => kind === 'payload' && offset >= endOf(inside));
      return firmware === undefined ? undefined : startOfPart(root, firmware);
    }
    const role = this.#roles.get(root.format);
    if (role !== 'wrapper') return undefined;
    const isSlice = root.format === sliceId;
    let loaders = 0;
    for (const region of root.regions) {
      if (region.kind === 'header') {
        if (isSlice) return undefined;
        continue;
      }
      if (region.kind === 'padding' || (region.kind === 'metadata' && !isSlice)) {
        loaders += isSlice ? 1 : 0;
        continue;
      }
      const layer = root.children.find(({ offset, source }) => offset === region.offset && source === undefined);
      // A prefix that nobody knows is taken off where the user said that he knows it: the file was refused otherwise.
      const loader = (isSlice && region.kind === 'unknown') || loaderLabel.test(region.label) || (layer !== undefined && (await this.#isLoader(layer)));
      if (!loader) return loaders > 0 ? startOfPart(root, region) : undefined;
      loaders += 1;
    }
    return undefined;
  }

  #unpack(root: Layer): Stripped {
    const candidates = root.children.filter(({ format, source }) => format !== 'unknown' && (source !== undefined || this.#roles.get(format) !== 'trailer'));
    const [only] = candidates;
    if (only === undefined) throw nothingToTake(root, 'what it holds is no firmware that owimg knows');
    if (candidates.length > 1) {
      const names = candidates.map(({ label, format }) => label ?? format).join(', ');
      throw new OwimgError(
        'member-needed',
        `Cannot choose one of the ${candidates.length} firmware files in it: ${names}`,
        'Take one out with owimg extract FILE NAME -o OUT.',
      );
    }
    const bytes = this.#opened.bytesOf(only);
    return { removed: [{ format: root.format, what: root.summary ?? root.format, ...rangeOf(root) }], kept: rangeOf(only), bytes, unpacked: true };
  }

  /** A header in front of one run of payload, and what stands behind that. */
  #withoutHeader(root: Layer, role: AnyFormat['role'] | undefined): Stripped {
    const first = root.regions.findIndex(({ kind }) => kind === 'payload');
    const part = root.regions[first];
    const start = part === undefined ? 0 : startOfPart(root, part);
    const contains = role === 'wrapper' || role === 'kernel';
    if (root.format === sliceId || !contains || first < 0 || start === root.offset) throw nothingToTake(root, 'it begins with what a device would read');
    const behind = root.regions.slice(first);
    const foreign = (region: Region, index: number): boolean =>
      region.kind === 'metadata' || region.kind === 'unknown' || (region.kind === 'header' && !isPartHeader(region, behind[index + 1]));
    const end = behind.find(foreign)?.offset ?? endOf(root);
    if (behind.some(({ kind, offset }) => kind === 'payload' && offset >= end)) {
      const labels = root.regions.filter(({ kind }) => kind === 'payload').map(({ label }) => label);
      throw nothingToTake(root, `it holds several parts with headers between them: ${[...new Set(labels)].join(', ')}`);
    }
    return this.#placed(root, start, end) ?? this.#cut(root, start, end);
  }

  /**
   * Where the header says at which places of the flash its parts belong, they are put there, as far from one another, with FF between
   * them: one behind the other they would be written to the wrong places.
   */
  #placed(root: Layer, start: number, end: number): Stripped | undefined {
    const parts = new Map<string, number>();
    for (const { kind, label, offset } of root.regions) if (kind === 'payload' && offset >= start && !parts.has(label)) parts.set(label, offset);
    const offsets = [...parts.values(), end];
    const placed = [...parts].map(([label, offset], index) => {
      const value = root.fields.find(({ name }) => name === `flash.${label}`)?.value;
      const [, base, size] = /^base (0x[0-9a-f]+) size (0x[0-9a-f]+)$/.exec(String(value)) ?? [];
      return { label, offset, end: offsets[index + 1] as number, base: Number(base), size: Number(size) };
    });
    if (placed.every(({ base }) => Number.isNaN(base))) return undefined;
    const first = placed[0] as (typeof placed)[number];
    let position = first.base;
    for (const part of placed) {
      const fits = part.base >= position && part.end - part.offset <= part.size && part.base + part.size - first.base <= defaultLimits.fileLength;
      // Also where only some have a place.
      if (!fits) throw nothingToTake(root, `"${part.label}" does not lie in the flash behind what stands in front of it, or does not fit there`);
      position = part.base + (part.end - part.offset);
    }
    const bytes = new Uint8Array(position - first.base).fill(0xff);
    const source = this.#opened.bytesOf(root);
    for (const part of placed) bytes.set(source.subarray(part.offset - root.offset, part.end - root.offset), part.base - first.base);
    return { ...this.#cut(root, start, end), bytes, placed: placed.map(({ label, base }) => ({ label, offset: base - first.base, base })) };
  }

  #cut(root: Layer, start: number, end: number): Stripped {
    const bytes = this.#opened.bytesOf(root).subarray(start - root.offset, end - root.offset);
    const removed = root.regions.filter((region) => region.offset < start || region.offset >= end).map((region) => this.#removed(root, region));
    return { removed, kept: { offset: start, length: end - start }, bytes, unpacked: false };
  }

  #removed(root: Layer, region: Region): Removed {
    const layer = root.children.find((child) => child.source === undefined && child.offset === region.offset);
    const what = layer?.summary ?? region.label;
    const format = layer?.format ?? (region.kind === 'unknown' || root.format === sliceId ? null : root.format);
    return { format, what, offset: region.offset, length: region.length };
  }
}

const rangeOf = ({ offset, length }: Range): Range => ({ offset, length });

function nothingToTake(root: Layer, why: string): OwimgError {
  const hint = 'owimg inspect FILE shows its layers, and owimg extract FILE LAYER -o OUT takes one of them out.';
  return new OwimgError('conversion-impossible', `Cannot take anything off this ${root.summary ?? root.format}: ${why}`, hint);
}

/**
 * Takes off what stands outermost: up to the firmware, where a boot loader or filler stands in front of it; else the last trailer; else
 * what packs the file; else the header.
 *
 * @throws OwimgError `conversion-impossible` if there is nothing to take off, `member-needed` for an archive of several files
 */
export function strip(opened: Opened, formats: readonly AnyFormat[]): Promise<Stripped> {
  return new Stripper(opened, formats).strip();
}
