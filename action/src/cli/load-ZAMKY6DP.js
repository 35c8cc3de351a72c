import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);
import{loadDeviceFacts}from"./chunk-HWHU7MQO.js";import"./chunk-UHJXLB2E.js";import"./chunk-C4SNI4ID.js";export{loadDeviceFacts};
