import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);
import{countChecks,harmless,painter,renderSummary,renderText,wrap}from"./chunk-UB5EMJMG.js";import"./chunk-2VIRNXAP.js";import"./chunk-OUCKI5DN.js";import"./chunk-C4SNI4ID.js";export{countChecks,harmless,painter,renderSummary,renderText,wrap};
