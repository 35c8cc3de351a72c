import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);
import{formats}from"./chunk-4YN4PUDK.js";import"./chunk-K6S7XHMB.js";import"./chunk-I6LVJFUN.js";import"./chunk-UTVZB7ZV.js";import"./chunk-WCOO4TGF.js";import"./chunk-UHJXLB2E.js";import"./chunk-VX2TXMWU.js";import"./chunk-C4SNI4ID.js";export{formats};
