import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);
import{allFindings,auditedFile,checkedFile}from"./chunk-KQG7DJW7.js";import"./chunk-UTVZB7ZV.js";import"./chunk-WCOO4TGF.js";import"./chunk-UHJXLB2E.js";import"./chunk-VL5PGXPF.js";import"./chunk-S4LGWN6B.js";import"./chunk-C4SNI4ID.js";export{allFindings,auditedFile,checkedFile};
