import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);
import{inspectJson,renderJson,renderNdjson,schemaVersion}from"./chunk-KLGZMAPM.js";import"./chunk-C4SNI4ID.js";export{inspectJson,renderJson,renderNdjson,schemaVersion};
