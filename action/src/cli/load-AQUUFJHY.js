import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);
import{loadDeviceFacts}from"./chunk-26MWSE3R.js";import"./chunk-XJ3G327Q.js";import"./chunk-C4SNI4ID.js";export{loadDeviceFacts};
