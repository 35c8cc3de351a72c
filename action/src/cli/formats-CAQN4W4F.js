import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);
import{formats}from"./chunk-4RHSGB7Q.js";import"./chunk-N6MUMT62.js";import"./chunk-2NOBKRN5.js";import"./chunk-WCOO4TGF.js";import"./chunk-XJ3G327Q.js";import"./chunk-D4IBVFS7.js";import"./chunk-C4SNI4ID.js";export{formats};
