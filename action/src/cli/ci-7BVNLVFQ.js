import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);
import{allFindings,auditedFile,checkedFile}from"./chunk-IYN4Y464.js";import"./chunk-UTVZB7ZV.js";import"./chunk-WCOO4TGF.js";import"./chunk-UHJXLB2E.js";import"./chunk-POBBX6WD.js";import"./chunk-K32HFIKJ.js";import"./chunk-C4SNI4ID.js";export{allFindings,auditedFile,checkedFile};
