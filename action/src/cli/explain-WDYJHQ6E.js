import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);
import{explain,meaningOf,messageTemplate,nearest}from"./chunk-D6SD32PR.js";import"./chunk-UTVZB7ZV.js";import"./chunk-WCOO4TGF.js";import"./chunk-UHJXLB2E.js";import"./chunk-K32HFIKJ.js";import"./chunk-C4SNI4ID.js";export{explain,meaningOf,messageTemplate,nearest};
