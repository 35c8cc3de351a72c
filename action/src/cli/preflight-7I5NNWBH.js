import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);
import{preflight,problemOf,remedyOf}from"./chunk-7HFGPQMZ.js";import"./chunk-FR6J7CRI.js";import"./chunk-7IJFOLXZ.js";import"./chunk-WCOO4TGF.js";import"./chunk-UHJXLB2E.js";import"./chunk-C4SNI4ID.js";export{preflight,problemOf,remedyOf};
