import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);
import{formats}from"./chunk-YT7JCJK3.js";import"./chunk-K6S7XHMB.js";import"./chunk-BKIAGDTV.js";import"./chunk-UTVZB7ZV.js";import"./chunk-WCOO4TGF.js";import"./chunk-UHJXLB2E.js";import"./chunk-S4LGWN6B.js";import"./chunk-C4SNI4ID.js";export{formats};
