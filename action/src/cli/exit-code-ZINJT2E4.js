import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);
import{auditExitCode,checkExitCode,convertExitCode,exitCode,mainRoute,verdictCode,worstCode}from"./chunk-POBBX6WD.js";import"./chunk-K32HFIKJ.js";import"./chunk-C4SNI4ID.js";export{auditExitCode,checkExitCode,convertExitCode,exitCode,mainRoute,verdictCode,worstCode};
