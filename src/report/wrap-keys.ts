/** What `owimg wrap` takes for a format. */
import type { AnyFormat } from '../core/format.ts';
import type { WrapKey } from '../core/wrap.ts';
import { schemaVersion, type Tool } from './json.ts';
import { painter, type TextOptions, wrap } from './text.ts';

function need({ initial, optional }: WrapKey): string {
  if (initial === undefined) return optional ? 'may be left out' : 'needed';
  return initial === '' ? 'empty if left out' : `${initial} if left out`;
}

/** What has to be given stands first. */
function sorted(keys: Readonly<Record<string, WrapKey>>): [string, WrapKey][] {
  const isNeeded = ([, { initial, optional }]: [string, WrapKey]): boolean => initial === undefined && !optional;
  const all = Object.entries(keys);
  return [...all.filter(isNeeded), ...all.filter((entry) => !isNeeded(entry))];
}

export function renderWrapKeys({ id, title, wrap: declared }: AnyFormat, { columns, colour }: TextOptions): string {
  const paint = painter(colour);
  const keys = sorted(declared?.keys ?? {});
  const width = Math.max(0, ...keys.map(([name]) => name.length)) + 4;
  const lines = keys.flatMap(([name, key]) => {
    const first = wrap(`${key.about}.`, columns, `  ${name}`.padEnd(width));
    return [first, wrap(`${key.takes}; ${need(key)}`, columns, ' '.repeat(width))];
  });
  const head = wrap(`${title}: owimg wrap FILE --as ${id}${keys.length === 0 ? '' : ' KEY=VALUE...'} -o OUT`, columns);
  const file = wrap(`FILE is the ${declared?.payload ?? ''}.`, columns);
  return `${paint('bold', head)}\n${file}\n${lines.length === 0 ? 'It has no keys.\n' : `\n${lines.join('\n')}\n`}`;
}

export function wrapKeysJson({ id, title, wrap: declared }: AnyFormat, tool: Tool): object {
  const keys = sorted(declared?.keys ?? {}).map(([key, { about, takes, initial, optional, file, repeated }]) => ({
    key,
    about,
    takes,
    needed: initial === undefined && !optional,
    default: initial ?? null,
    file,
    repeated,
  }));
  return { schemaVersion, tool, format: id, title, payload: declared?.payload, keys };
}
