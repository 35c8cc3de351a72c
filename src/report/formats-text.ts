/** The list of formats for a terminal. */
import type { AnyFormat } from '../core/format.ts';
import { wrap } from './text.ts';

export function renderFormats(formats: readonly AnyFormat[], columns: number): string {
  const width = Math.max(...formats.map(({ id }) => id.length)) + 2;
  const sorted = [...formats].sort((a, b) => a.id.localeCompare(b.id));
  const lines = sorted.map(({ id, title, summary, build, wrap: declared, limitations }) => {
    const notes = [
      build === undefined ? '' : declared === undefined ? 'Builds it too.' : `Builds it too: owimg wrap --as ${id}.`,
      ...limitations.map((text) => `Not: ${text}`),
    ].filter(Boolean);
    return wrap([`${title}.`, summary, ...notes].join(' '), columns, id.padEnd(width));
  });
  return `${lines.join('\n')}\n`;
}
