/** What a code or a message means, for a person: 80 columns, nothing that a pipe would mind. */
import type { Explanation, Nearest } from '../explain/explain.ts';
import { painter, type TextOptions, wrap } from './text.ts';
import { counted, harmless } from './words.ts';

/** Labels stand in a column of their own. */
const labelWidth = 10;

function labelled(label: string, text: string, columns: number): string {
  return wrap(text, columns, `  ${label.padEnd(labelWidth)}`);
}

/** What each explanation says: a heading, and texts with their labels. */
function contents(entry: Explanation, ofSeveral: boolean): { readonly heading: string; readonly texts: readonly (readonly [string, string])[] } {
  if (entry.what === 'error')
    return {
      heading: `${entry.code} (exit status ${entry.exit})`,
      texts: [
        ['Why', entry.why],
        ['Next', entry.hint],
      ],
    };
  if (entry.what === 'finding')
    return {
      heading: `${entry.code} (${entry.severity})`,
      texts: [
        ['What', `${entry.title}. owimg says: "${entry.message}"`],
        ['Why', entry.why ?? ''],
        ['Next', entry.hint ?? 'Nothing: it is for your information.'],
      ],
    };
  const { stage, forcing, codes, times } = entry;
  const place = ofSeveral ? ` Line ${entry.line}${times === 1 ? '' : `, ${counted(times, 'time')}`}.` : '';
  return {
    heading: `"${harmless(entry.text)}"`,
    texts: [
      ['Said by', `${entry.saidBy.name}.${place}`],
      ['Means', entry.means],
      ['Flash', `${stage.harm}. ${stage.says}`],
      ['Forcing', forcing === undefined ? '' : `${forcing.harm}. ${forcing.says}`],
      ['Next', entry.next],
      ['In owimg', codes.join(', ')],
    ],
  };
}

/** The report. */
export function renderExplanations(explanations: readonly Explanation[], options: TextOptions): string {
  const paint = painter(options.colour);
  // One message that occurs once needs no place.
  const ofSeveral = explanations.length > 1 || explanations.some((entry) => entry.what === 'message' && entry.times > 1);
  const sections = explanations.map((entry) => {
    const { heading, texts } = contents(entry, ofSeveral);
    const told = texts.filter(([, text]) => text !== '').map(([label, text]) => labelled(label, text, options.columns));
    return [paint('bold', wrap(heading, options.columns)), ...told].join('\n');
  });
  return `${sections.join('\n\n')}\n`;
}

/** What a text comes near to. */
export function renderNearest(nearest: readonly Nearest[], options: TextOptions): string {
  return nearest.map(({ what, text }) => wrap(what === 'message' ? `"${text}"` : text, options.columns, '         ')).join('\n');
}
