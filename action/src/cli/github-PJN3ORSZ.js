import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);
import{allFindings}from"./chunk-IYN4Y464.js";import"./chunk-UTVZB7ZV.js";import"./chunk-WCOO4TGF.js";import"./chunk-UHJXLB2E.js";import"./chunk-POBBX6WD.js";import"./chunk-K32HFIKJ.js";import"./chunk-C4SNI4ID.js";var commands={error:"error",warning:"warning",note:"notice"},data=text=>text.replaceAll("%","%25").replaceAll("\r","%0D").replaceAll(`
`,"%0A"),property=text=>data(text).replaceAll(":","%3A").replaceAll(",","%2C");function renderGithub(files){let found=files.flatMap(file=>allFindings(file).map(entry=>({path:file.path,...entry}))),weight={error:0,warning:1,note:2};return found.sort((a,b)=>weight[a.severity]-weight[b.severity]).map(({path,code,severity,message,hint})=>{let text=hint===void 0?message:`${message}
${hint}`;return`::${commands[severity]} file=${property(path)},title=${property(`owimg: ${code}`)}::${data(text)}
`}).join("")}var marks={passed:"\u2705",failed:"\u274C",open:"\u2753 cannot tell"},cell=text=>text.replaceAll("\\","\\\\").replaceAll("|","\\|").replaceAll("<","&lt;").replaceAll(/[\r\n]+/g," "),mostRows=200;function renderGithubSummary(files){let rows=files.flatMap(({path,cases})=>cases.map(entry=>({path,...entry}))),bad=rows.filter(({answer})=>answer!=="passed"),shown=(rows.length<=mostRows?rows:bad).slice(0,mostRows),count=answer=>rows.filter(row=>row.answer===answer).length,table=shown.map(({path,name,answer,message})=>`| \`${cell(path)}\` | ${cell(name)} | ${marks[answer]} | ${cell(message)} |`),head=`## owimg

${files.length} files: ${count("passed")} answers are good, ${count("failed")} bad, ${count("open")} open.
`;if(table.length===0)return head;let more=(rows.length<=mostRows?rows:bad).length>shown.length?`
Only the first ${mostRows} are shown.
`:"";return`${head}
| file | question | answer | |
|---|---|---|---|
${table.join(`
`)}
${more}`}export{renderGithub,renderGithubSummary};
