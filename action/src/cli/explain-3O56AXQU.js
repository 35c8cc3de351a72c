import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);
import{explain,messageTemplate,nearest}from"./chunk-ISM4PDZH.js";import"./chunk-UTVZB7ZV.js";import"./chunk-WCOO4TGF.js";import"./chunk-UHJXLB2E.js";import"./chunk-VX2TXMWU.js";import"./chunk-C4SNI4ID.js";export{explain,messageTemplate,nearest};
