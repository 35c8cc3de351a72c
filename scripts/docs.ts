/**
 * `npm run docs`: the pages that are made from the code's own tables, docs/formats.md, docs/findings.md and docs/messages.md.
 * `npm run docs -- --check` fails where a page is not what the tables say.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { errorKinds } from '../src/core/errors.ts';
import type { FindingCode } from '../src/core/findings.ts';
import { messageTemplate } from '../src/explain/explain.ts';
import { classes, forcings, type IncidentClass, type Message, messages, type Speaker, speakers, stages } from '../src/explain/messages.ts';
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

/** A message's first example is its heading; GitHub makes the anchors. */
function messagesPage(): string {
  const code = (text: string): string => `\`${text.trim().replaceAll(/\s+/g, ' ').replaceAll('`', "'")}\``;
  const incidents: readonly string[] = ['K1', 'K2', 'K3', 'K4', 'K5', 'K6', 'K7', 'K8', 'K9', 'K10', 'K11', 'K12', 'K14'];
  const classLink = (id: IncidentClass): string => (incidents.includes(id) ? `[${id}](incidents.md#${id.toLowerCase()})` : id);
  const section = ({ examples, aliases = [], means, stage, forcing, next, codes, classes: ids, source }: Message): string =>
    [
      `### ${code(examples[0])}`,
      ...(examples.length + aliases.length === 1 ? [] : [`Also: ${[...examples.slice(1), ...aliases].map(code).join(', ')}`]),
      means,
      `- Flash: **${stages[stage].harm}**. ${stages[stage].says}`,
      ...(forcing === undefined ? [] : [`- Forcing: **${forcings[forcing].harm}**. ${forcings[forcing].says}`]),
      `- Next: ${next}`,
      ...(codes.length === 0 ? [] : [`- Findings: ${codes.map((name) => `[${name}](findings.md#${name})`).join(', ')}`]),
      ...(ids.length === 0 ? [] : [`- Class: ${ids.map((id) => `${classLink(id)} (${classes[id]})`).join(', ')}`]),
      `- Source: ${source}`,
    ]
      .join('\n\n')
      .replaceAll('\n\n- ', '\n- ')
      .replace('\n- ', '\n\n- ');
  const bySpeaker = (Object.keys(speakers) as Speaker[]).map((speaker) => {
    const own = messages.filter(({ saidBy }) => saidBy === speaker);
    return [`## ${speakers[speaker].replace(/^./, (first) => first.toUpperCase())}`, ...own.map(section)].join('\n\n');
  });
  return `${made}

# Messages

What routers, their web pages and the programs around them say, and what it means: ${messages.length} entries. \`owimg explain "MESSAGE"\` finds the entry, however it is typed, and
all of them in a pasted log: \`owimg explain -\`.

*Flash* says what stands in the flash when the message appears, *Forcing* what \`sysupgrade -F\` or the Force box of LuCI would do about it:
**harmless** (nothing is lost), **lossy** (settings or other data are), **deadly** (the device does not start), or **depends**.

${bySpeaker.join('\n\n')}
`;
}

function findingsPage(): string {
  const sections = Object.entries(findingKinds).map(
    ([code, { severity, title, hint, why }]: [string, { severity: string; title: string; hint?: string; why?: string }]) =>
      [
        `## ${code}`,
        `**${title}** (${severity})`,
        `> ${messageTemplate(code as FindingCode)}`,
        ...(why === undefined ? [] : [`Why it matters: ${why}`]),
        ...(hint === undefined ? [] : [`What to do: ${hint}`]),
      ].join('\n\n'),
  );
  const errors = Object.entries(errorKinds).map(([code, { exit, hint, why }]) => `| \`${code}\` | ${exit} | ${why} | ${hint} |`);
  return `${made}

# Findings

What owimg can find in an image. An **error** makes the image \`broken\` (exit status 1), a **warning** \`doubtful\` (0), a **note** changes
nothing. A code never changes once it is released; the words may. ‹…› stands for what was found.

Where nobody understands what a file begins with, the errors of layers found further in are warnings: a vendor's format may have changed what it wraps.
Such a file is \`unknown\` (3).

${sections.join('\n\n')}

# Errors

Not about the image, but about reaching it. They go to standard error.

| code | exit status | why | what to do |
|---|---|---|---|
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
