import type { Layer } from '../../src/index.ts';

/** What is wrong with a layer's regions; empty if they tile it. */
export function tilingProblems(layer: Layer): string[] {
  const problems: string[] = [];
  let position = layer.offset;
  for (const { kind, label, offset, length } of layer.regions) {
    if (length <= 0) problems.push(`${layer.format}: region "${label}" at ${offset} has length ${length}`);
    if (offset !== position) problems.push(`${layer.format}: ${kind} region "${label}" begins at ${offset}, expected ${position}`);
    position = offset + length;
  }
  if (position !== layer.offset + layer.length) problems.push(`${layer.format}: the regions end at ${position}, the layer at ${layer.offset + layer.length}`);
  return problems;
}

/** Children that do not lie within one payload or metadata region of their parent; those with a source lie elsewhere. */
export function strayChildren(layer: Layer): string[] {
  return layer.children
    .filter((child) => child.source === undefined)
    .filter(
      (child) =>
        !layer.regions.some(
          ({ kind, offset, length }) => (kind === 'payload' || kind === 'metadata') && offset <= child.offset && child.offset + child.length <= offset + length,
        ),
    )
    .map((child) => `${child.format} at ${child.offset} lies in no payload of ${layer.format}`);
}

/** Unknown regions of some length of which no finding speaks, in a layer where no error explains them. */
export function silentUnknowns({ format, regions, findings }: Layer): string[] {
  if (findings.some(({ severity }) => severity === 'error')) return [];
  return regions
    .filter(({ kind, length }) => kind === 'unknown' && length >= 16)
    .filter(({ offset, length }) => !findings.some((entry) => entry.offset < offset + length && entry.offset + entry.length > offset))
    .map(({ offset, length }) => `${format}: ${length} unknown bytes at ${offset} without a finding`);
}
