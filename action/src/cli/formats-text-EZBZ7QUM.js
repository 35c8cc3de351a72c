import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);
import{wrap}from"./chunk-7X4HN3EO.js";import"./chunk-B3CU5NE2.js";import"./chunk-2VIRNXAP.js";import"./chunk-WCOO4TGF.js";import"./chunk-UHJXLB2E.js";import"./chunk-C4SNI4ID.js";function renderFormats(formats,columns){let width=Math.max(...formats.map(({id})=>id.length))+2;return`${[...formats].sort((a,b)=>a.id.localeCompare(b.id)).map(({id,title,summary,build,wrap:declared,limitations})=>{let notes=[build===void 0?"":declared===void 0?"Builds it too.":`Builds it too: owimg wrap --as ${id}.`,...limitations.map(text=>`Not: ${text}`)].filter(Boolean);return wrap([`${title}.`,summary,...notes].join(" "),columns,id.padEnd(width))}).join(`
`)}
`}export{renderFormats};
