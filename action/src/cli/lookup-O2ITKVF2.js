import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);
import{devicesByIdentity,findDevice,lookupError,nameOf,searchDevices}from"./chunk-NP4Y2SQN.js";import"./chunk-OMBGEWEQ.js";import"./chunk-C4SNI4ID.js";export{devicesByIdentity,findDevice,lookupError,nameOf,searchDevices};
