import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);
import{imageRoutes}from"./chunk-PWOCML5Z.js";import"./chunk-C4SNI4ID.js";export{imageRoutes};
