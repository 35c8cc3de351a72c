import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);
var schemaVersion=1;function inspectJson(result,tool){let head={schemaVersion:1,tool,file:result.file};return"error"in result?{...head,error:result.error}:{...head,...result.inspection}}function renderJson(results,tool){let objects=results.map(result=>inspectJson(result,tool));return`${JSON.stringify(objects.length===1?objects[0]:objects,null,2)}
`}function renderNdjson(result,tool){return`${JSON.stringify(inspectJson(result,tool))}
`}export{schemaVersion,inspectJson,renderJson,renderNdjson};
