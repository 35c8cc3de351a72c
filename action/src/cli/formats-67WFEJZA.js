import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);
import{formats}from"./chunk-TXVRT4OZ.js";import"./chunk-2KT7DSLP.js";import"./chunk-GXMFXGQI.js";import"./chunk-YDWW7OGS.js";import"./chunk-OUCKI5DN.js";import"./chunk-D4IBVFS7.js";import"./chunk-C4SNI4ID.js";export{formats};
