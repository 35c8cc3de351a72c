/** What a code or a message means, for a person. */
import type { Explanation } from '../explain/explain.ts';
import type { Forcing, Message, Stage } from '../explain/messages.ts';
import { painter, type TextOptions, wrap } from './text.ts';
import { harmless } from './words.ts';

const stages: Readonly<Record<Stage, string>> = {
  'nothing-written': 'Nothing was written to the flash yet.',
  written: 'It comes after something was written: the device does not start from it.',
  'not-about-flash': 'It says nothing about what is in the flash.',
};

const forcings: Readonly<Record<Forcing, string>> = {
  harmless: 'Forcing it is harmless as far as this message goes.',
  'settings-lost': 'Forcing it, or upgrading without keeping the settings, loses the settings and nothing else.',
  bricks: 'Forcing it bricks the device if the message is right.',
  cannot: 'It cannot be forced.',
};

function messageText(message: Message, options: TextOptions): string[] {
  const { columns } = options;
  return [
    wrap(message.means, columns, '  '),
    wrap(`Said by ${message.saidBy}. ${stages[message.stage]}${message.forcing === undefined ? '' : ` ${forcings[message.forcing]}`}`, columns, '  '),
    wrap(message.next, columns, '  Next: '),
    ...(message.codes === undefined ? [] : [wrap(`owimg calls it ${message.codes.join(', ')}.`, columns, '  ')]),
  ];
}

/** The report. */
export function renderExplanations(explanations: readonly Explanation[], options: TextOptions): string {
  const paint = painter(options.colour);
  const { columns } = options;
  const sections = explanations.map((entry) => {
    if (entry.what === 'message') return [paint('bold', wrap(`"${harmless(entry.line)}"`, columns)), ...messageText(entry.message, options)];
    if (entry.what === 'error') return [paint('bold', `${entry.code} (exit status ${entry.exit})`), wrap(entry.hint, columns, '  Next: ')];
    const hint = entry.hint === undefined ? [] : [wrap(entry.hint, columns, '  Next: ')];
    return [paint('bold', `${entry.code} (${entry.severity})`), wrap(`${entry.title}.`, columns, '  '), ...hint];
  });
  return `${sections.map((lines) => lines.join('\n')).join('\n\n')}\n`;
}

/** Examples of messages that a text comes near to. */
export function renderNearest(messages: readonly Message[], options: TextOptions): string {
  return messages.map(({ examples }) => wrap(`"${examples[0].trim()}"`, options.columns, '  ')).join('\n');
}
