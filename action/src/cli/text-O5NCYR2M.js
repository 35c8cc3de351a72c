import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);
import{countChecks,painter,renderSummary,renderText,wrap}from"./chunk-7X4HN3EO.js";import"./chunk-B3CU5NE2.js";import"./chunk-2VIRNXAP.js";import"./chunk-WCOO4TGF.js";import"./chunk-UHJXLB2E.js";import"./chunk-C4SNI4ID.js";export{countChecks,painter,renderSummary,renderText,wrap};
