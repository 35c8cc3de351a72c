import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);
import{devicesByIdentity,findDevice,lookupError,nameOf,searchDevices}from"./chunk-IK4JBSCZ.js";import"./chunk-D4IBVFS7.js";import"./chunk-C4SNI4ID.js";export{devicesByIdentity,findDevice,lookupError,nameOf,searchDevices};
