import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);
function allLayers(layer){return[layer,...layer.children.flatMap(allLayers)]}export{allLayers};
