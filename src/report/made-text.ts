/** What `strip`, `extract`, `wrap` and `metadata` did, for a person at a terminal of 80 columns. */
import { byteCount, hexOffset } from '../core/hex.ts';
import type { Range } from '../core/types.ts';
import type { Made, MadeOutput, Stretch } from './made-json.ts';
import { countChecks, painter, type TextOptions, wrap } from './text.ts';
import { counted, harmless, statusSentence, whatItIs } from './words.ts';

/** Rows of a list that are shown; all of them are in the JSON. */
const mostRows = 24;

/** `  what            0x40  13.0 KiB`, the numbers in columns. */
function rows(list: readonly (Range & { readonly what: string })[], columns: number): string {
  const width = columns - 2 - 11 - 11;
  const shown = list.slice(0, mostRows).map(({ what, offset, length }) => {
    const lines = wrap(harmless(what), width, '  ').split('\n');
    const last = (lines.pop() ?? '').padEnd(width + 1);
    return [...lines, `${last}${hexOffset(offset).padStart(10)}${byteCount(length).padStart(12)}`].join('\n');
  });
  return [...shown, ...(list.length > mostRows ? [`  … and ${list.length - mostRows} more: --json shows all`] : [])].join('\n');
}

const titled = ({ format, what, offset, length }: Stretch): Range & { what: string } => ({
  what: format === null || what.toLowerCase().includes(format) ? what : `${format}: ${what}`,
  offset,
  length,
});

function resultSentence({ inspection }: MadeOutput): string {
  const { root, format } = inspection;
  if (format === 'unknown') return 'Read back: owimg does not know these bytes by themselves.';
  const what = whatItIs(inspection) || `${root.summary ?? format}, `;
  const [first] = ['error', 'warning'].flatMap((severity) => inspection.findings.filter((entry) => entry.severity === severity));
  const finding = first === undefined ? '' : ` ${first.message} (${first.code}).`;
  return `Read back: ${root.summary === undefined || what.startsWith(root.summary) ? '' : `${root.summary}; `}${what}${statusSentence(inspection, countChecks(root))}.${finding}`;
}

const nameOf = (path: string): string => harmless(path === '-' ? 'standard output' : path);

function several(outputs: readonly MadeOutput[], columns: number): string {
  const width = columns - 2 - 12;
  const lines = outputs.slice(0, mostRows * 2).map(({ file, layer }) => {
    const text = wrap(harmless(layer?.path ?? file.path), width, '  ').split('\n');
    const last = (text.pop() ?? '').padEnd(width + 2);
    return [...text, `${last}${byteCount(file.size).padStart(12)}`, wrap(`-> ${harmless(file.path)}`, columns, '    ')].join('\n');
  });
  return [...lines, ...(outputs.length > lines.length ? [`  … and ${outputs.length - lines.length} more: --json shows all`] : [])].join('\n');
}

/** The report on one file. */
export function renderMade({ file, inspection, removed, added, outputs, warnings, next }: Made, options: TextOptions): string {
  const { columns } = options;
  const paint = painter(options.colour);
  const { root, format } = inspection;
  const given = harmless(file.path === '-' ? 'standard input' : file.path);
  const what = format === 'unknown' ? 'not recognised' : `${whatItIs(inspection)}${root.summary ?? format}`;
  const sections = [wrap(`${given}: ${harmless(what)}`, columns)];
  const section = (title: string, body: string): void => {
    if (body !== '') sections.push(`${paint('bold', title)}\n${body}`);
  };
  section('Taken off (offset and length in the file given)', rows(removed.map(titled), columns));
  section('Put on (offset and length in the result)', rows(added.map(titled), columns));
  const [only] = outputs;
  if (outputs.length === 1 && only !== undefined) {
    const { layer } = only;
    if (layer !== undefined) section(`Taken out${layer.how === null ? '' : ` (${layer.how})`}`, rows([{ ...layer, what: layer.path }], columns));
    const { path, size, sha256 } = only.file;
    sections.push(
      `${wrap(`Written: ${nameOf(path)}, ${byteCount(size)} (${size}), SHA-256`, columns)}\n${sha256}\n${wrap(harmless(resultSentence(only)), columns)}`,
    );
  } else if (outputs.length > 1) section(`Written: ${counted(outputs.length, 'file')}`, several(outputs, columns));
  section(paint('yellow', 'Careful'), warnings.map((text) => wrap(harmless(text), columns, '  ')).join('\n'));
  if (next.length > 0) sections.push(next.map((text, index) => wrap(harmless(text), columns, index === 0 ? 'Next: ' : '      ')).join('\n'));
  return `${sections.join('\n\n')}\n`;
}
