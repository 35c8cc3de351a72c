import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);
import{askedAgainWithin,fromConsole,watchConsole,watchReturn}from"./chunk-QT3TOAEC.js";import"./chunk-3XGN5LNV.js";import"./chunk-2VIRNXAP.js";import"./chunk-C4SNI4ID.js";export{askedAgainWithin,fromConsole,watchConsole,watchReturn};
