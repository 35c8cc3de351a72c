/** Which bytes of a file are proved by what, put together for people. Counting only; the words are made in text.ts. */
import type { Inspection, Layer, Range, Region } from '../core/types.ts';

export const endOf = (range: Range): number => range.offset + range.length;

/** A region of the file that nothing further lies in, and the layer that has it. */
export interface Leaf {
  readonly region: Region;
  readonly layer: Layer;
}

/** The layer's regions, each with the children that begin in it. Children with a source lie elsewhere. */
export function regionsWithChildren({ regions, children }: Layer): { readonly region: Region; readonly inside: readonly Layer[] }[] {
  const inPlace = children.filter((child) => child.source === undefined).sort((a, b) => a.offset - b.offset);
  let index = 0;
  return regions.map((region) => {
    const first = index;
    while (index < inPlace.length && (inPlace[index] as Layer).offset < endOf(region)) index += 1;
    return { region, inside: inPlace.slice(first, index) };
  });
}

/** The leaves of the tree in the order of their bytes; they tile the file. */
export function leavesOf(layer: Layer): Leaf[] {
  return regionsWithChildren(layer).flatMap(({ region, inside }) => (inside.length === 0 ? [{ region, layer }] : inside.flatMap(leavesOf)));
}

/** How many bytes of a stretch the ranges cover, which are sorted and do not overlap. */
export function countCovered(ranges: readonly Range[]): (from: number, to: number) => number {
  const before: number[] = [];
  let sum = 0;
  for (const { length } of ranges) {
    before.push(sum);
    sum += length;
  }
  const upTo = (position: number): number => {
    let [low, high] = [0, ranges.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((ranges[middle] as Range).offset < position) low = middle + 1;
      else high = middle;
    }
    const last = ranges[low - 1];
    return last === undefined ? 0 : (before[low - 1] as number) + Math.min(last.length, position - last.offset);
  };
  return (from, to) => upTo(to) - upTo(from);
}

/** Whether what the layer's payloads unpack to is under checks, all of which passed. */
function provesUnpacked({ checks, findings }: Layer): boolean {
  const allRight = checks.every(({ ok }) => ok === true) && findings.every(({ severity }) => severity === 'note');
  return allRight && checks.some(({ covers }) => covers.length === 0);
}

export interface Proof {
  /** Packed bytes whose contents are under a check that passed, while they themselves are under none. */
  readonly packed: readonly Region[];
  /** What is under no check at all, padding left out, and how many bytes of it; the most first. */
  readonly open: readonly { readonly region: Region; readonly length: number }[];
}

export function proofOf(leaves: readonly Leaf[], coverage: Inspection['coverage']): Proof {
  const covered = countCovered(coverage.ranges);
  const proves = new Map<Layer, boolean>();
  const packed: Region[] = [];
  const open: { region: Region; length: number }[] = [];
  for (const { region, layer } of leaves) {
    const length = region.length - covered(region.offset, endOf(region));
    if (region.kind === 'padding' || length === 0) continue;
    if (!proves.has(layer)) proves.set(layer, provesUnpacked(layer));
    if (region.kind === 'payload' && proves.get(layer) === true) packed.push(region);
    else open.push({ region, length });
  }
  return { packed, open: open.sort((a, b) => b.length - a.length) };
}

/** The compressed layers whose contents nobody looked at: those of the given formats that have no unpacked child. */
export function notUnpacked(layers: readonly Layer[], compressed: ReadonlySet<string>): Layer[] {
  return layers.filter(({ format, children }) => compressed.has(format) && children.every(({ source }) => source?.how !== 'unpacked'));
}
