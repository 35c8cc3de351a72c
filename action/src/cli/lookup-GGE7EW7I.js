import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);
import{devicesByIdentity,findDevice,lookupError,nameOf,requireDevice,searchDevices}from"./chunk-55RYFHEQ.js";import"./chunk-S4LGWN6B.js";import"./chunk-C4SNI4ID.js";export{devicesByIdentity,findDevice,lookupError,nameOf,requireDevice,searchDevices};
