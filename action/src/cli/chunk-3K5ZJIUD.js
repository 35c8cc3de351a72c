import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);
var routes=["stock","sysupgrade","mtd","tftp","ram","disk"];export{routes};
