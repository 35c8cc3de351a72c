import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);
import{devicesByIdentity,findDevice,lookupError,nameOf,requireDevice,searchDevices}from"./chunk-XIQ3WTND.js";import"./chunk-K32HFIKJ.js";import"./chunk-C4SNI4ID.js";export{devicesByIdentity,findDevice,lookupError,nameOf,requireDevice,searchDevices};
