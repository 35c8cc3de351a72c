import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);
import{formats}from"./chunk-LTOMFEDH.js";import"./chunk-GPEQQUPJ.js";import"./chunk-UTVZB7ZV.js";import"./chunk-WCOO4TGF.js";import"./chunk-UHJXLB2E.js";import"./chunk-OMBGEWEQ.js";import"./chunk-C4SNI4ID.js";export{formats};
