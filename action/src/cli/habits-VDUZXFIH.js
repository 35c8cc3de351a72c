import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);
import{byHabit,habitOf,isNmrp,vendorOf}from"./chunk-PBIDKDX6.js";import"./chunk-C4SNI4ID.js";export{byHabit,habitOf,isNmrp,vendorOf};
