/** `npm run new-format NAME`: makes formats/NAME.ts, fixtures/NAME/ and the line in the registry. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../', import.meta.url));
const id = process.argv[2] ?? '';
const say = (text: string): void => void process.stdout.write(`${text}\n`);

if (!/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(id)) {
  say('Usage: npm run new-format NAME   (lower case, words joined by "-": the name people know it by)');
  process.exit(2);
}
const file = `${root}formats/${id}.ts`;
if (existsSync(file)) {
  say(`Cannot make formats/${id}.ts: it exists`);
  process.exit(2);
}

const name = id.replaceAll(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
const input = `${name[0]?.toUpperCase()}${name.slice(1)}Input`;
const template = readFileSync(`${root}scripts/format-template.txt`, 'utf8');
writeFileSync(file, template.replaceAll('NAME', name).replaceAll('INPUT', input).replaceAll("'ID'", `'${id}'`));

mkdirSync(`${root}fixtures/${id}`, { recursive: true });
writeFileSync(`${root}fixtures/${id}/README.md`, `# Fixtures of ${id}\n\n| file | made by | SHA-256 |\n|---|---|---|\n`);

const registry = `${root}formats/index.ts`;
const text = readFileSync(registry, 'utf8');
const imported = `import { ${name} } from './${id}.ts';\n`;
writeFileSync(registry, text.replace('\n\n// biome-ignore', `\n${imported}\n// biome-ignore`).replace('\n];', `\n  ${name},\n];`));

say(`Made formats/${id}.ts and fixtures/${id}/README.md, and registered ${name} in formats/index.ts.

Next:
  1. Fill in the TODOs of formats/${id}.ts.
  2. Put into fixtures/${id}/ a sound-WHAT.EXT made by the reference tool and a CODE--WHAT.EXT that is broken;
     add a row for each to fixtures/${id}/README.md.
  3. Move the line in formats/index.ts to where its magic number is strong enough, then: npm run check`);
