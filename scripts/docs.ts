/**
 * `npm run docs`: the pages that are made from the code's own tables, docs/formats.md and docs/findings.md.
 * `npm run docs -- --check` fails where a page is not what the tables say.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { errorKinds } from '../src/core/errors.ts';
import { type Forcing, messages, type Stage } from '../src/explain/messages.ts';
import { findingKinds, formats } from '../src/index.ts';

const root = fileURLToPath(new URL('../', import.meta.url));
const made = '<!-- Made by npm run docs. Change the tables in the code, not this page. -->';

function formatsPage(): string {
  const sorted = [...formats].sort((a, b) => a.id.localeCompare(b.id));
  const rows = sorted.map(
    ({ id, title, role, build, limitations }) =>
      `| [\`${id}\`](#${id}) | ${title} | ${role} | ${build === undefined ? '' : 'yes'} | ${limitations.length === 0 ? 'all of it' : 'see below'} |`,
  );
  const sections = sorted.map(({ id, title, summary, kind, references, limitations }) =>
    [
      `## ${id}`,
      `**${title}.** ${summary}`,
      ...(kind === 'unknown' ? [] : [`A file with this as its outermost layer is of kind \`${kind}\`, unless what lies in it or behind it says more.`]),
      ...(limitations.length === 0 ? [] : [`Not read:\n\n${limitations.map((text) => `- ${text}`).join('\n')}`]),
      `Sources: ${references.map((reference) => `[${reference.title}](${reference.url})`).join(', ')}.`,
    ].join('\n\n'),
  );
  return `${made}

# Formats

${formats.length} formats. The role says what the engine does with one: a *wrapper* or *kernel* stands in front, a *rootfs* behind it, a *trailer*
is found from the end of the file. owimg looks by structure and checksums, never by the file's name.

| id | what | role | builds | reads |
|---|---|---|---|---|
${rows.join('\n')}

${sections.join('\n\n')}
`;
}

/** The message with its arguments as placeholders. */
function sample(message: (args: never) => string): string {
  const placeholders = new Proxy({}, { get: (_, name) => `‹${String(name)}›` });
  return message(placeholders as never);
}

const stageWords: Readonly<Record<Stage, string>> = { 'nothing-written': 'nothing written', written: 'after writing', 'not-about-flash': '' };
const forcingWords: Readonly<Record<Forcing, string>> = {
  harmless: 'harmless',
  'settings-lost': 'loses the settings',
  bricks: 'bricks',
  cannot: 'not possible',
};

function messagesPage(): string {
  const cell = (text: string): string => text.trim().replaceAll('|', '\\|');
  const rows = messages.map(
    ({ examples, saidBy, means, stage, forcing, next }) =>
      `| ${examples.map((example) => `\`${cell(example)}\``).join('<br>')} | ${cell(saidBy)} | ${cell(means)} | ${stageWords[stage]} | ${forcing === undefined ? '' : forcingWords[forcing]} | ${cell(next)} |`,
  );
  return `${made}

# Messages

What routers and their boot loaders say, and what it means. \`owimg explain "MESSAGE"\` finds the entry, also in a pasted log (\`owimg explain -\`).
*Stage* says whether anything was written when the message appears; *forcing* what \`sysupgrade -F\` or the Force box would do if the message is right.

| message | said by | means | stage | forcing | next |
|---|---|---|---|---|---|
${rows.join('\n')}
`;
}

function findingsPage(): string {
  const sections = Object.entries(findingKinds).map(([code, { severity, title, message, hint }]) =>
    [
      `## ${code}`,
      `**${title}** (${severity})`,
      `> ${sample(message as (args: never) => string)}`,
      ...(hint === undefined ? [] : [`What to do: ${hint}`]),
    ].join('\n\n'),
  );
  const errors = Object.entries(errorKinds).map(([code, { exit, hint }]) => `| \`${code}\` | ${exit} | ${hint} |`);
  return `${made}

# Findings

What owimg can find in an image. An **error** makes the image \`broken\` (exit status 1), a **warning** \`doubtful\` (0), a **note** changes
nothing. A code never changes once it is released; the words may. ‹…› stands for what was found.

Where nobody understands what a file begins with, the errors of layers found further in are warnings: a vendor's format may have changed what it wraps.
Such a file is \`unknown\` (3).

${sections.join('\n\n')}

# Errors

Not about the image, but about reaching it. They go to standard error.

| code | exit status | what to do |
|---|---|---|
${errors.join('\n')}
`;
}

const pages: Readonly<Record<string, string>> = { 'docs/formats.md': formatsPage(), 'docs/findings.md': findingsPage(), 'docs/messages.md': messagesPage() };
const check = process.argv.includes('--check');
for (const [path, text] of Object.entries(pages)) {
  const file = root + path;
  if (!check) writeFileSync(file, text);
  else if (!existsSync(file) || readFileSync(file, 'utf8') !== text) {
    process.stderr.write(`${path} is not what the tables say: run npm run docs and commit it\n`);
    process.exitCode = 1;
  }
}
