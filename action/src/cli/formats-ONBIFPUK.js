import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);
import{formats}from"./chunk-6RS3EYUV.js";import"./chunk-3WEMJEEB.js";import"./chunk-OUPU4SBN.js";import"./chunk-WCOO4TGF.js";import"./chunk-XJ3G327Q.js";import"./chunk-D4IBVFS7.js";import"./chunk-C4SNI4ID.js";export{formats};
