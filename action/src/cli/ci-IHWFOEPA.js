import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);
import{allFindings,auditedFile,checkedFile}from"./chunk-QAN2JOUU.js";import"./chunk-QPMSR6Q4.js";import"./chunk-UTVZB7ZV.js";import"./chunk-WCOO4TGF.js";import"./chunk-UHJXLB2E.js";import"./chunk-OMBGEWEQ.js";import"./chunk-C4SNI4ID.js";export{allFindings,auditedFile,checkedFile};
