import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);
import{devicesByIdentity,findDevice,lookupError,nameOf,requireDevice,searchDevices}from"./chunk-3TWGNLZ2.js";import"./chunk-VX2TXMWU.js";import"./chunk-C4SNI4ID.js";export{devicesByIdentity,findDevice,lookupError,nameOf,requireDevice,searchDevices};
