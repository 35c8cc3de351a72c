import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);
import{harmless}from"./chunk-B3CU5NE2.js";var plainWord=/^[\w./-]+$/;function shellWord(text,platform=process.platform){if(plainWord.test(text))return text;if(!(platform==="win32"||harmless(text)!==text))return`'${text.replaceAll("'","'\\''")}'`}export{shellWord};
