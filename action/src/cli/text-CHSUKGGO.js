import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);
import{countChecks,painter,renderSummary,renderText,wrap}from"./chunk-VEPM63BZ.js";import"./chunk-LEZW6SDW.js";import"./chunk-2VIRNXAP.js";import"./chunk-WCOO4TGF.js";import"./chunk-XJ3G327Q.js";import"./chunk-C4SNI4ID.js";export{countChecks,painter,renderSummary,renderText,wrap};
