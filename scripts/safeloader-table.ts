/** Reads the table `boards` in the C source of tplink-safeloader: ids, support lists and partitions. Pure: reads no file. */

/** A board in safeloader-boards.json, as far as it is used. */
export interface BoardRecord {
  readonly id: string;
  readonly support_list: string;
  readonly partitions: readonly { readonly name: string; readonly base: number; readonly size: number }[];
}

const string = /"((?:\\.|[^"\\])*)"/g;
const escapes: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', '"': '"', '\\': '\\' };

/** `"a\r\n" "b"` -> one text. */
function textOf(literals: string): string {
  return [...literals.matchAll(string)]
    .map(([, text = '']) =>
      text.replaceAll(/\\(.)/g, (whole, letter: string) => {
        const character = escapes[letter];
        if (character === undefined) throw new Error(`The escape ${whole} in ${literals} is not known; add it to scripts/safeloader-table.ts`);
        return character;
      }),
    )
    .join('');
}

function boardOf(entry: string): BoardRecord {
  const literals = (field: string): string => new RegExp(`\\.${field}\\s*=\\s*((?:${string.source}\\s*)+),`).exec(entry)?.[1] ?? '';
  const id = textOf(literals('id'));
  const support_list = textOf(literals('support_list'));
  const [, table = ''] = /\.partitions\s*=\s*\{((?:\s*\{[^{}]*\}\s*,?)*)\s*\}/.exec(entry) ?? [];
  const rows = [...table.matchAll(/\{(?!\s*(?:NULL|\}))([^}]*)\}/g)].map(([row, inside = '']) => {
    const [, name = '', base = '', size = ''] = /^\s*"([^"]+)"\s*,\s*(0x[0-9a-f]+|\d+)\s*,\s*(0x[0-9a-f]+|\d+)\s*$/i.exec(inside) ?? [];
    if (name === '') throw new Error(`Board ${id}: expected {"name", base, size} in its partitions, found ${row}`);
    return { name, base: Number(base), size: Number(size) };
  });
  if (id === '' || support_list === '' || rows.length === 0) throw new Error(`A board without id, support list or partitions: ${entry.trim().slice(0, 200)}`);
  return { id, support_list, partitions: rows };
}

/** All boards of tplink-safeloader.c, in its order. */
export function readBoards(source: string): BoardRecord[] {
  const withoutComments = source.replaceAll(/"(?:\\.|[^"\\])*"|\/\*[\s\S]*?\*\/|\/\/.*/g, (token) => (token.startsWith('"') ? token : ' '));
  const [, table] = /\bdevice_info\s+boards\[\]\s*=\s*\{([\s\S]*?)^\};/m.exec(withoutComments) ?? [];
  if (table === undefined)
    throw new Error('tplink-safeloader.c has no table "struct device_info boards[]": it was written anew, and scripts/safeloader-table.ts must follow');
  return table
    .split(/(?=\.id\s*=)/)
    .slice(1)
    .map(boardOf);
}
