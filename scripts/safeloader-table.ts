/** Reads the table `boards` in the C source of tplink-safeloader: ids, support lists and partitions. Pure: reads no file. */

/** The partitions of an image that a board may call by names of its own, as the C source calls them. */
const partitionFields = ['partition_table', 'soft_ver', 'os_image', 'support_list', 'file_system', 'extra_para'] as const;
type PartitionField = (typeof partitionFields)[number];

/** A board in safeloader-boards.json, as far as it is used. */
export interface BoardRecord {
  readonly id: string;
  /** `null`: nothing is written into the vendor area. */
  readonly vendor: string | null;
  readonly support_list: string;
  /** The byte behind each record. */
  readonly part_trail: number | 'none';
  readonly soft_ver: { readonly kind: 'numeric'; readonly num: readonly number[] } | { readonly kind: 'text'; readonly text: string };
  readonly soft_ver_compat_level: number;
  readonly partitions: readonly { readonly name: string; readonly base: number; readonly size: number }[];
  readonly first_sysupgrade_partition: string;
  readonly last_sysupgrade_partition: string;
  readonly partition_names: Readonly<Partial<Record<PartitionField, string>>>;
  /** The program compares ids to find out: it is not in its table. */
  readonly extra_para: readonly number[] | null;
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

/** The names that a board gives to partitions, and its entry without them: some of their fields are called like fields of the board. */
function takeNames(entry: string, id: string): { readonly names: BoardRecord['partition_names']; readonly rest: string } {
  const names: Partial<Record<PartitionField, string>> = {};
  const name = (field: string, literals: string): void => {
    const known = partitionFields.find((candidate) => candidate === field);
    if (known === undefined) throw new Error(`Board ${id}: .partition_names.${field} is not known; add it to scripts/safeloader-table.ts`);
    names[known] = textOf(literals);
  };
  const assignment = `\\.(\\w+)\\s*=\\s*(${string.source})\\s*,?`;
  const rest = entry
    .replaceAll(new RegExp(`\\.partition_names\\s*${assignment}`, 'g'), (_, field: string, literal: string) => {
      name(field, literal);
      return '';
    })
    .replaceAll(/\.partition_names\s*=\s*\{([^{}]*)\}\s*,?/g, (_, inside: string) => {
      for (const [, field = '', literal = ''] of inside.matchAll(new RegExp(assignment, 'g'))) name(field, literal);
      return '';
    });
  return { names, rest };
}

const trails: Readonly<Record<string, number | 'none'>> = { PART_TRAIL_00: 0, PART_TRAIL_FF: 0xff, PART_TRAIL_NONE: 'none' };

function boardOf(whole: string, extraParas: ReadonlyMap<string, readonly number[]>): BoardRecord {
  const id = textOf(literalsOf(whole, 'id'));
  const { names, rest: entry } = takeNames(whole, id);
  const literals = (field: string): string => literalsOf(entry, field);
  const support_list = textOf(literals('support_list'));
  const [first, last] = [textOf(literals('first_sysupgrade_partition')), textOf(literals('last_sysupgrade_partition'))];
  const [, table = ''] = /\.partitions\s*=\s*\{((?:\s*\{[^{}]*\}\s*,?)*)\s*\}/.exec(entry) ?? [];
  const rows = [...table.matchAll(/\{(?!\s*(?:NULL|\}))([^}]*)\}/g)].map(([row, inside = '']) => {
    const [, name = '', base = '', size = ''] = /^\s*"([^"]+)"\s*,\s*(0x[0-9a-f]+|\d+)\s*,\s*(0x[0-9a-f]+|\d+)\s*$/i.exec(inside) ?? [];
    if (name === '') throw new Error(`Board ${id}: expected {"name", base, size} in its partitions, found ${row}`);
    return { name, base: Number(base), size: Number(size) };
  });
  if (id === '' || support_list === '' || rows.length === 0) throw new Error(`A board without id, support list or partitions: ${whole.trim().slice(0, 200)}`);
  if (first === '' || last === '') throw new Error(`Board ${id}: expected its first and its last partition of a sysupgrade image`);
  /** What stands behind a field that holds no text; what is not given is zero. */
  const word = (field: string): string => new RegExp(`\\.${field}\\s*=\\s*([^,\\n]*)`).exec(entry)?.[1]?.trim() ?? '0';
  const number = (field: string): number => {
    const value = Number(word(field));
    if (Number.isNaN(value)) throw new Error(`Board ${id}: expected a number as .${field}, found ${word(field)}`);
    return value;
  };
  return {
    id,
    vendor: /\.vendor\s*=\s*"/.test(entry) ? textOf(literals('vendor')) : null,
    support_list,
    part_trail: trails[word('part_trail')] ?? number('part_trail'),
    soft_ver: softVersionOf(entry, id),
    soft_ver_compat_level: number('soft_ver_compat_level'),
    partitions: rows,
    first_sysupgrade_partition: first,
    last_sysupgrade_partition: last,
    partition_names: names,
    extra_para: extraParas.get(id.toUpperCase()) ?? null,
  };
}

const literalsOf = (entry: string, field: string): string => new RegExp(`\\.${field}\\s*=\\s*((?:${string.source}\\s*)+)`).exec(entry)?.[1] ?? '';

function softVersionOf(entry: string, id: string): BoardRecord['soft_ver'] {
  if (!/\.soft_ver\s*=/.test(entry) || /\.soft_ver\s*=\s*SOFT_VER_DEFAULT\b/.test(entry)) return { kind: 'numeric', num: [0, 0, 0] };
  const [, numbers] = /\.soft_ver\s*=\s*SOFT_VER_NUMERIC\(\s*(\d+\s*,\s*\d+\s*,\s*\d+)\s*\)/.exec(entry) ?? [];
  if (numbers !== undefined) return { kind: 'numeric', num: numbers.split(',').map(Number) };
  const [, literals] = new RegExp(`\\.soft_ver\\s*=\\s*SOFT_VER_TEXT\\(\\s*((?:${string.source}\\s*)+)\\)`).exec(entry) ?? [];
  if (literals !== undefined) return { kind: 'text', text: textOf(literals) };
  throw new Error(`Board ${id}: its .soft_ver is none of SOFT_VER_DEFAULT, SOFT_VER_NUMERIC and SOFT_VER_TEXT`);
}

/** The data of `extra-para`, by ids in capitals: each stands behind a chain of comparisons. */
function readExtraParas(source: string): Map<string, readonly number[]> {
  const found = new Map<string, readonly number[]>();
  const chains = source.split(/\bextra_para\[\d*\]\s*=\s*\{/);
  if (chains.length !== source.split(/=\s*make_extra_para\s*\(/).length) {
    throw new Error('tplink-safeloader.c fills extra-para in a new way; scripts/safeloader-table.ts must follow');
  }
  for (const [index, data] of chains.slice(1).entries()) {
    const bytes = data.slice(0, data.indexOf('}')).split(',').map(Number);
    const ids = [...(chains[index] as string).matchAll(/\bstrcasecmp\(info->id,\s*"([^"]+)"\)\s*==\s*0/g)].map(([, id = '']) => id.toUpperCase());
    if (ids.length === 0 || bytes.some(Number.isNaN))
      throw new Error(`Expected bytes of extra-para and the boards that have them, found {${data.slice(0, 60)}`);
    for (const id of ids) found.set(id, bytes);
  }
  return found;
}

/** All boards of tplink-safeloader.c, in its order. */
export function readBoards(source: string): BoardRecord[] {
  const withoutComments = source.replaceAll(/"(?:\\.|[^"\\])*"|\/\*[\s\S]*?\*\/|\/\/.*/g, (token) => (token.startsWith('"') ? token : ' '));
  const [, table] = /\bdevice_info\s+boards\[\]\s*=\s*\{([\s\S]*?)^\};/m.exec(withoutComments) ?? [];
  if (table === undefined)
    throw new Error('tplink-safeloader.c has no table "struct device_info boards[]": it was written anew, and scripts/safeloader-table.ts must follow');
  const extraParas = readExtraParas(withoutComments);
  return table
    .split(/(?=\.id\s*=)/)
    .slice(1)
    .map((entry) => boardOf(entry, extraParas));
}
