import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);
import{compare,expectedOf,questionFor,readBlock,reportedOf}from"./chunk-3XGN5LNV.js";import"./chunk-2VIRNXAP.js";import"./chunk-C4SNI4ID.js";export{compare,expectedOf,questionFor,readBlock,reportedOf};
