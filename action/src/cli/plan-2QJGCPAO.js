import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);
import{gateOf,makePlan,timeText,verdictByPlan}from"./chunk-JJV6CT66.js";import"./chunk-ULCHVG2V.js";import"./chunk-PBIDKDX6.js";import"./chunk-C4SNI4ID.js";export{gateOf,makePlan,timeText,verdictByPlan};
