/** The report for a person at a terminal of 80 columns. The only importer of cli-table3. */
import { styleText } from 'node:util';
import Table from 'cli-table3';
import { byteCount, hexOffset } from '../core/hex.ts';
import { allLayers } from '../core/layers.ts';
import type { Field, Finding, Identity, Inspection, Layer, Range, Region, RegionKind, Severity } from '../core/types.ts';
import { countCovered, endOf, type Leaf, leavesOf, notUnpacked, type Proof, proofOf, regionsWithChildren } from './coverage.ts';
import type { InspectedImage } from './json.ts';
import { counted, harmless, nextStep, statusSentence, whatItIs } from './words.ts';

type Style = Parameters<typeof styleText>[0];

export interface TextOptions {
  readonly columns: number;
  readonly colour: boolean;
  /** Formats whose layers hold something that was not unpacked, and would be with `--deep`. */
  readonly packed?: ReadonlySet<string>;
}

export type Paint = (style: Style, text: string) => string;

export const painter =
  (colour: boolean): Paint =>
  (style, text) =>
    // Whether to colour is decided by the caller, not by what stdout is.
    colour ? styleText(style, text, { validateStream: false }) : text;

/** Rows of the tree and values of a field that are shown; all of them are in the JSON. */
const [mostRows, mostValueLength] = [48, 56];

/** Regions of one layer that are all shown in the tree, and how many of more. */
const [mostPlain, fewPlain] = [16, 4];

/** Rows of the table of checks. */
const mostChecks = 24;

/** Findings with the same code, and findings at all. */
const [mostAlike, mostFindings] = [3, 24];

/** Columns that the lines of the tree may take. */
const deepestLines = 20;

const looks: Readonly<Record<RegionKind, { readonly character: string; readonly style: Style; readonly name: string }>> = {
  header: { character: '▓', style: 'cyan', name: 'header' },
  payload: { character: '█', style: 'green', name: 'payload' },
  padding: { character: '·', style: 'dim', name: 'padding' },
  metadata: { character: 'm', style: 'magenta', name: 'metadata' },
  unknown: { character: '?', style: 'red', name: 'unknown' },
};

/** Lines of at most `width` characters; the first begins with `first`, the others with as many blanks. */
export function wrap(text: string, width: number, first = ''): string {
  const indent = ' '.repeat(first.length);
  const lines: string[] = [];
  let line = first;
  let empty = true;
  // A word that no line has room for is broken.
  const room = Math.max(1, width - first.length);
  for (const word of text.split(' ').flatMap((whole) => whole.match(new RegExp(`.{1,${room}}`, 'gu')) ?? [''])) {
    if (!empty && line.length + 1 + word.length > width) {
      lines.push(line);
      line = indent;
      empty = true;
    }
    line += empty ? word : ` ${word}`;
    empty = false;
  }
  lines.push(line);
  return lines.join('\n');
}

/** A table without lines around it. */
function table(widths: readonly number[], rightAligned: readonly number[], rows: readonly (readonly string[])[]): string {
  const blank = {
    top: '',
    'top-mid': '',
    'top-left': '',
    'top-right': '',
    bottom: '',
    'bottom-mid': '',
    'bottom-left': '',
    'bottom-right': '',
    left: '',
    'left-mid': '',
    mid: '',
    'mid-mid': '',
    right: '',
    'right-mid': '',
    middle: ' ',
  };
  const made = new Table({
    chars: blank,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
    colWidths: [...widths],
    colAligns: widths.map((_, index) => (rightAligned.includes(index) ? 'right' : 'left')),
    wordWrap: true,
  });
  made.push(...rows.map((row) => [...row]));
  return made
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

/** How many checks were made in the layer and all below it. */
export function countChecks(root: Layer): number {
  return allLayers(root).reduce((sum, layer) => sum + layer.checks.filter((check) => check.ok !== null).length, 0);
}

interface Row {
  readonly indent: string;
  readonly what: string;
  readonly range: Range | undefined;
  readonly checks: string;
  readonly kind: RegionKind;
}

function checksOf({ checks }: Layer, paint: Paint): string {
  if (checks.length === 0) return '';
  const wrong = checks.filter((check) => check.ok === false).length;
  const open = checks.filter((check) => check.ok === null).length;
  if (wrong > 0) return paint('red', `${wrong} of ${checks.length} WRONG`);
  return open > 0 ? `${checks.length - open} of ${checks.length} made` : paint('green', `${checks.length} ok`);
}

/** The tree, with the padding and the unexplained bytes between the layers. */
function treeRows(layer: Layer, paint: Paint, first: string, rest: string): Row[] {
  const title = layer.label === undefined ? '' : `${layer.label}: `;
  const how = layer.source === undefined ? '' : ` (${layer.source.how} by ${layer.source.by})`;
  const rows: Row[] = [
    { indent: first, what: `${title}${layer.summary ?? layer.format}${how}`, range: layer, checks: checksOf(layer, paint), kind: 'payload' },
  ];
  type Part = { readonly layer: Layer } | { readonly region: Region } | { readonly omitted: number };
  const regions = regionsWithChildren(layer).filter(({ region, inside }) => inside.length > 0 || region.kind !== 'header');
  const plain = regions.filter(({ inside }) => inside.length === 0).map(({ region }) => region);
  // The one payload of a header says nothing that the layer's own row does not.
  const worthwhile =
    (layer.children.length > 0 || layer.regions.some((entry) => entry.kind !== 'metadata')) &&
    (plain.length > 1 || plain.some((entry) => entry.kind === 'unknown' || entry.kind === 'padding'));
  // Of very many regions the unknown ones and the first say enough; what has layers in it is shown before the rest.
  const shown = new Set(plain.length <= mostPlain ? plain : [...plain.filter(({ kind }) => kind === 'unknown'), ...plain].slice(0, fewPlain));
  const parts = regions.flatMap(({ region, inside }): Part[] => {
    if (inside.length > 0) return inside.map((child) => ({ layer: child }));
    return worthwhile && shown.has(region) ? [{ region }] : [];
  });
  const omitted = worthwhile ? plain.length - shown.size : 0;
  const elsewhere = layer.children.filter((child) => child.source !== undefined);
  const all: Part[] = [...parts, ...(omitted === 0 ? [] : [{ omitted }]), ...elsewhere.map((child): Part => ({ layer: child }))];
  all.forEach((part, index) => {
    const last = index === all.length - 1;
    const branch = `${rest}${last ? '└ ' : '├ '}`;
    const below = `${rest}${last ? '  ' : '│ '}`;
    if ('layer' in part) for (const row of treeRows(part.layer, paint, branch, below)) rows.push(row);
    else if ('region' in part) {
      const { kind, label } = part.region;
      rows.push({ indent: branch, what: paint(looks[kind].style, `${kind}: ${harmless(label)}`), range: part.region, checks: '', kind });
    } else rows.push({ indent: branch, what: `… and ${counted(part.omitted, 'more part')}: --json shows all`, range: undefined, checks: '', kind: 'payload' });
  });
  return rows;
}

function renderTree(root: Layer, options: TextOptions, paint: Paint): string {
  const rows = treeRows(root, paint, '', '');
  const shown = rows.slice(0, mostRows);
  const whatWidth = options.columns - 2 - 11 - 10 - 13 - 3;
  const cells = shown.map((given) => {
    // Layers inside layers inside layers: from some depth on the number says more than the lines.
    const row = given.indent.length <= deepestLines ? given : { ...given, indent: `(${given.indent.length / 2} deep) ` };
    // cli-table3 wraps words but knows nothing of tree lines: the indent of later lines is made here.
    const lines = wrap(row.kind === 'payload' ? harmless(row.what) : row.what, whatWidth, row.indent).split('\n');
    const follow = row.indent.startsWith('(') ? ' '.repeat(row.indent.length) : row.indent.replaceAll('├', '│').replaceAll('└', ' ');
    const what = lines.map((line, index) => (index === 0 ? line : `${follow}${line.slice(row.indent.length)}`)).join('\n');
    return [what, row.range === undefined ? '' : hexOffset(row.range.offset), row.range === undefined ? '' : byteCount(row.range.length), row.checks];
  });
  const head = ['', 'offset', 'length', 'checks'];
  const text = table([whatWidth, 11, 10, 13], [1, 2], [head, ...cells]);
  const more = rows.length > shown.length ? `\n… and ${rows.length - shown.length} more: --json shows all` : '';
  return indentBy(`${text}${more}`, 2);
}

const indentBy = (text: string, count: number): string =>
  text
    .split('\n')
    .map((line) => (line === '' ? line : `${' '.repeat(count)}${line}`))
    .join('\n');

/** For each cell of the bar what most of its bytes are. */
function barCells(regions: readonly Region[], length: number, width: number): RegionKind[] {
  const cells: RegionKind[] = [];
  let index = 0;
  for (let cell = 0; cell < width; cell += 1) {
    const [from, to] = [Math.floor((cell * length) / width), Math.max(Math.floor((cell * length) / width) + 1, Math.floor(((cell + 1) * length) / width))];
    const share = new Map<RegionKind, number>();
    while (index > 0 && (regions[index]?.offset ?? 0) > from) index -= 1;
    while (index < regions.length && endOf(regions[index] as Region) <= from) index += 1;
    for (let at = index; at < regions.length && (regions[at] as Region).offset < to; at += 1) {
      const entry = regions[at] as Region;
      share.set(entry.kind, (share.get(entry.kind) ?? 0) + Math.min(endOf(entry), to) - Math.max(entry.offset, from));
    }
    cells.push([...share].sort((a, b) => b[1] - a[1])[0]?.[0] ?? 'unknown');
  }
  return cells;
}

/** How much of each cell a passed check covers: all, some, none; or what it unpacks to. */
function coverageCells(ranges: readonly Range[], packed: readonly Range[], length: number, width: number): string[] {
  const [covered, proved] = [countCovered(ranges), countCovered(packed)];
  return Array.from({ length: width }, (_, cell) => {
    const [from, to] = [(cell * length) / width, ((cell + 1) * length) / width];
    const share = covered(from, to) / (to - from);
    if (share > 0.99) return '▀';
    return proved(from, to) / (to - from) > 0.5 ? '▄' : share > 0.01 ? '-' : ' ';
  });
}

const coverageLegend = [
  ['▀', 'under a check that passed'],
  ['-', 'a part of it'],
  ['▄', 'packed: under a check over what it unpacks to'],
] as const;

function renderBar({ root, coverage }: Inspection, leaves: readonly Leaf[], { packed }: Proof, options: TextOptions, paint: Paint): string {
  const length = root.length;
  const width = options.columns - 13;
  const kinds = barCells(
    leaves.map(({ region }) => region),
    length,
    width,
  );
  const bar = kinds.map((kind) => paint(looks[kind].style, looks[kind].character)).join('');
  const checked = coverageCells(coverage.ranges, packed, length, width).join('');
  const legend = [...new Set(kinds)].map((kind) => `${paint(looks[kind].style, looks[kind].character)} ${looks[kind].name}`);
  const marks = coverageLegend.filter(([character]) => checked.includes(character)).map(([character, meaning]) => `${character} ${meaning}`);
  const lines = [legend.join('   '), ...(marks.length === 0 ? ['under no check'] : [wrap(marks.join('   '), width)])];
  return `  layout   ${bar}\n  checked  ${checked.trimEnd()}\n${indentBy(lines.join('\n'), 11)}`;
}

/** The first few, and how many more there are. */
const shortList = (texts: readonly string[], most: number, count = texts.length): string =>
  `${texts.slice(0, most).join(', ')}${count > most ? `, and ${count - most} more` : ''}`;

/** How much of the file is proved, what is not, and what was not looked into. */
function renderProof({ root, coverage }: Inspection, { packed, open }: Proof, options: TextOptions): string {
  const percent =
    coverage.checked === 1
      ? '100'
      : Math.min(99.9, coverage.checked * 100)
          .toFixed(1)
          .replace('.0', '');
  const unpacked = packed.reduce((sum, entry) => sum + entry.length, 0);
  const list = open.slice(0, 3).map(({ region, length }) => `${byteCount(length)} of "${harmless(region.label)}" at ${hexOffset(region.offset)}`);
  const sentences = [
    `${percent} % of the bytes are under a check that passed.`,
    ...(unpacked === 0 ? [] : [`${byteCount(unpacked)} are packed, and what they unpack to is under a check that passed.`]),
    open.length === 0 ? 'What is not is padding.' : `Under none: ${shortList(list, 3, open.length)}. Whether those are right, nothing in the file can prove.`,
  ];
  const closed = notUnpacked(allLayers(root), options.packed ?? new Set());
  const names = [...new Set(closed.map(({ label, format }) => harmless(label === undefined ? format : `${label} (${format})`)))];
  const looked = `Not unpacked: ${shortList(names, 4)}. Whether it unpacks, and to the length that it names, only --deep can tell.`;
  return [wrap(sentences.join(' '), options.columns, '  '), ...(names.length === 0 ? [] : [wrap(looked, options.columns, '  ')])].join('\n');
}

function renderLayout(inspection: Inspection, options: TextOptions, paint: Paint): string {
  const { root, coverage } = inspection;
  if (root.length === 0) return '';
  const leaves = leavesOf(root);
  const proof = proofOf(leaves, coverage);
  return `${renderBar(inspection, leaves, proof, options, paint)}\n${renderProof(inspection, proof, options)}`;
}

function fieldText({ name, value, meaning }: Field): string {
  const plain = harmless(Array.isArray(value) ? value.join(', ') : String(value));
  const shown = plain.length > mostValueLength ? `${plain.slice(0, mostValueLength)}…` : plain;
  return `${name} ${shown === '' ? '-' : shown}${meaning === undefined || meaning === plain ? '' : ` (${harmless(meaning)})`}`;
}

function renderFields(root: Layer, options: TextOptions, paint: Paint): string {
  return allLayers(root)
    .filter((layer) => layer.fields.length > 0)
    .slice(0, 12)
    .map((layer) => {
      const label = layer.label === undefined ? layer.format : `${layer.label}: ${layer.format}`;
      const shown = layer.fields.slice(0, 24).map(fieldText);
      const more = layer.fields.length > shown.length ? [`${layer.fields.length - shown.length} more in --json`] : [];
      return `${paint('bold', wrap(harmless(label), options.columns, '  '))}\n${wrap([...shown, ...more].join('; '), options.columns, '    ')}`;
    })
    .join('\n');
}

function renderChecks(root: Layer, options: TextOptions, paint: Paint): string {
  const rows = allLayers(root).flatMap((layer) =>
    layer.checks.map((check) => {
      const mark = check.ok === true ? paint('green', 'ok') : check.ok === false ? paint('red', 'WRONG') : 'not made';
      const [expected, actual] = [check.expected ?? 'nothing stored to compare with', check.actual ?? ''].map(harmless);
      const value = check.ok === false ? `${actual}\ninstead of ${expected}` : (expected as string);
      return { rank: check.ok === false ? 0 : check.ok === null ? 1 : 2, cells: [mark, layer.format, harmless(check.name), check.algorithm, value] };
    }),
  );
  if (rows.length === 0) return wrap('No checksum was found that owimg could check.', options.columns, '  ');
  const widths = [9, 18, 18, 10, options.columns - 2 - 55 - 4];
  // All that fit, as they stand in the file; of too many the wrong ones before the others.
  const shown = rows.length <= mostChecks ? rows : rows.toSorted((a, b) => a.rank - b.rank).slice(0, mostChecks);
  const more = rows.length > shown.length ? `\n… and ${rows.length - shown.length} more: --json shows all` : '';
  const cells = shown.map((row) => row.cells);
  return indentBy(table(widths, [], cells) + more, 2);
}

function renderIdentities(identities: readonly Identity[], options: TextOptions): string {
  const bySource = new Map<string, string[]>();
  for (const { source, value } of identities) bySource.set(source, [...(bySource.get(source) ?? []), harmless(value)]);
  return [...bySource].map(([source, values]) => wrap(`${[...new Set(values)].join(', ')} (${source})`, options.columns, '  ')).join('\n');
}

function renderFinding({ severity, message, hint, offset, length, layer }: Finding, options: TextOptions, paint: Paint): string {
  const style: Style = { error: 'red' as const, warning: 'yellow' as const, note: 'cyan' as const }[severity];
  const path = layer.split('/');
  const where = path.length > 4 ? `…/${path.slice(-2).join('/')}` : layer;
  const place = length === 0 ? '' : ` [${where}, offset ${hexOffset(offset)}${length > 1 ? ` to ${hexOffset(offset + length - 1)}` : ''}]`;
  const lead = `  ${severity.padEnd(8)}`;
  const text = wrap(`${harmless(message)}${place}`, options.columns, lead);
  const painted = `${paint(style, lead)}${text.slice(lead.length)}`;
  return hint === undefined ? painted : `${painted}\n${wrap(hint, options.columns, '          -> ')}`;
}

const severities: readonly Severity[] = ['error', 'warning', 'note'];

/** The worst first; of many alike the first few stand for all. */
function renderFindings(findings: readonly Finding[], options: TextOptions, paint: Paint): string {
  const sorted = severities.flatMap((severity) => findings.filter((entry) => entry.severity === severity));
  const seen = new Map<string, number>();
  const shown = sorted.filter(({ code }) => {
    seen.set(code, (seen.get(code) ?? 0) + 1);
    return (seen.get(code) as number) <= mostAlike;
  });
  const lines = shown.slice(0, mostFindings).map((entry) => renderFinding(entry, options, paint));
  const hidden = findings.length - lines.length;
  return [...lines, ...(hidden > 0 ? [`  … and ${hidden} more: --json shows all`] : [])].join('\n');
}

/** The whole report for one file, ending with a line feed. */
export function renderText({ file, inspection }: InspectedImage, options: TextOptions): string {
  const paint = painter(options.colour);
  const { root, findings, identities, status, kind, format } = inspection;
  const checks = countChecks(root);
  const style: Style = { sound: 'green' as const, doubtful: 'yellow' as const, broken: 'red' as const, unknown: 'red' as const }[status];
  const name = harmless(file.path === '-' ? 'standard input' : file.path);
  const title = wrap(`${name}: ${whatItIs(inspection)}${paint(style, statusSentence(inspection, checks))}`, options.columns);
  const sections: string[] = [`${title}\n${format}, ${byteCount(file.size)} (${file.size}), SHA-256\n${file.sha256}`];
  const section = (heading: string, body: string): void => {
    if (body !== '') sections.push(`${paint('bold', heading)}\n${body}`);
  };
  section('Findings', renderFindings(findings, options, paint));
  section(kind === 'archive' ? 'Its images are for' : 'It is for', renderIdentities(identities, options));
  if (root.length > 0 && format !== 'unknown') {
    section('Layers', renderTree(root, options, paint));
    section('Checks', renderChecks(root, options, paint));
    section('Layout', renderLayout(inspection, options, paint));
    section('Header fields', renderFields(root, options, paint));
  }
  sections.push(wrap(nextStep(inspection), options.columns));
  return `${sections.join('\n\n')}\n`;
}

/** One line a file, at the end of a report on several. */
export function renderSummary(counts: ReadonlyMap<string, number>): string {
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  return `${counted(total, 'file')}: ${[...counts].map(([word, count]) => `${count} ${word}`).join(', ')}\n`;
}
