import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);
import{formats}from"./chunk-3U37624B.js";import"./chunk-K6S7XHMB.js";import"./chunk-6SOILQYT.js";import"./chunk-UTVZB7ZV.js";import"./chunk-WCOO4TGF.js";import"./chunk-UHJXLB2E.js";import"./chunk-K32HFIKJ.js";import"./chunk-C4SNI4ID.js";export{formats};
