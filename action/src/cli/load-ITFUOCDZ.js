import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);
import{loadDeviceFacts}from"./chunk-5B3RXX3A.js";import"./chunk-GXMFXGQI.js";import"./chunk-C4SNI4ID.js";export{loadDeviceFacts};
