import type { Layer } from './types.ts';

/** The layer and all below it, in the order of the tree. */
export function allLayers(layer: Layer): Layer[] {
  return [layer, ...layer.children.flatMap(allLayers)];
}
