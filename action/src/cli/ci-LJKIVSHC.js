import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);
import{allFindings,auditedFile,checkedFile}from"./chunk-LRRJA6C2.js";import"./chunk-TT3MG3C2.js";import"./chunk-2NOBKRN5.js";import"./chunk-WCOO4TGF.js";import"./chunk-XJ3G327Q.js";import"./chunk-D4IBVFS7.js";import"./chunk-C4SNI4ID.js";export{allFindings,auditedFile,checkedFile};
