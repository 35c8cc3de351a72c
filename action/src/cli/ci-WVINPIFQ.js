import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);
import{allFindings,auditedFile,checkedFile}from"./chunk-6EK2QID2.js";import"./chunk-TT3MG3C2.js";import"./chunk-YDWW7OGS.js";import"./chunk-OUCKI5DN.js";import"./chunk-D4IBVFS7.js";import"./chunk-C4SNI4ID.js";export{allFindings,auditedFile,checkedFile};
