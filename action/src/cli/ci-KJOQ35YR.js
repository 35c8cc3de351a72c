import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);
import{allFindings,auditedFile,checkedFile}from"./chunk-MXEZJD5S.js";import"./chunk-UTVZB7ZV.js";import"./chunk-WCOO4TGF.js";import"./chunk-UHJXLB2E.js";import"./chunk-RTZVDUBJ.js";import"./chunk-VX2TXMWU.js";import"./chunk-C4SNI4ID.js";export{allFindings,auditedFile,checkedFile};
