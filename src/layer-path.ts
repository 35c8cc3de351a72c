/** Names for the layers of an image: what `owimg extract` takes, and file names that are safe whatever the image calls its parts. */
import { OwimgError } from './core/errors.ts';
import type { AnyFormat } from './core/format.ts';
import { hexOffset } from './core/hex.ts';
import type { Layer, Region } from './core/types.ts';
import type { Opened } from './inspect.ts';

/** A layer, or a part that nobody knows the content of. */
export interface Part {
  /** From the root on: `netgear-chk/trx/kernel`. No two parts of an image have the same. */
  readonly path: string;
  /** The names of each step from the root on; any of them may be said. */
  readonly names: readonly (readonly string[])[];
  readonly format: string | null;
  readonly what: string;
  /** In the file, or in what it was unpacked or gathered from. */
  readonly offset: number;
  readonly length: number;
  readonly how: 'unpacked' | 'gathered' | undefined;
  readonly bytes: () => Uint8Array;
}

interface Named {
  readonly label: string | undefined;
  readonly format: string | null;
  readonly offset: number;
}

const holders: ReadonlySet<AnyFormat['role']> = new Set(['wrapper', 'kernel', 'archive', 'disk']);

/** A short name without blanks that none of the siblings has, else one with the offset. */
function shortName({ label, format, offset }: Named, siblings: readonly Named[]): string {
  const alone = (test: (other: Named) => boolean): boolean => siblings.filter(test).length === 1;
  if (label !== undefined && /^\S+$/.test(label) && alone((other) => other.label === label || other.format === label)) return label;
  if (format !== null && alone((other) => other.format === format || other.label === format)) return format;
  if (label !== undefined && alone((other) => other.label === label)) return label;
  return `${format ?? label ?? 'part'}@${hexOffset(offset)}`;
}

/** All parts in the order of the tree, the whole file first. */
export function partsOf({ inspection, bytesOf }: Opened, formats: readonly AnyFormat[]): Part[] {
  const roles = new Map(formats.map(({ id, role }) => [id, role]));
  const parts: Part[] = [];
  const add = (layer: Layer, path: string, names: readonly (readonly string[])[]): void => {
    const { format, summary = format, offset, length, source } = layer;
    parts.push({ path, names, format, what: summary, offset, length, how: source?.how, bytes: () => bytesOf(layer) });
    const role = roles.get(format);
    const inPlace = layer.children.filter((child) => child.source === undefined);
    // What a zip or a UBI image carries lies somewhere else than its region says.
    const plain = role === undefined || !holders.has(role) || inPlace.length < layer.children.length ? [] : layer.regions.filter(isUnread(inPlace));
    const regions = plain.map((region): Named & { region: Region } => ({ label: region.label, format: null, offset: region.offset, region }));
    const siblings: readonly Named[] = [...layer.children.map(({ label, format: id, offset: at }) => ({ label, format: id, offset: at })), ...regions];
    const below = (named: Named): { path: string; names: readonly (readonly string[])[] } => {
      const name = shortName(named, siblings);
      const spoken = [name, named.format, named.label, `${named.format ?? named.label}@${hexOffset(named.offset)}`].filter((text) => typeof text === 'string');
      return { path: `${path}/${name}`, names: [...names, [...new Set(spoken)]] };
    };
    for (const child of layer.children) {
      const { path: childPath, names: childNames } = below({ label: child.label, format: child.format, offset: child.offset });
      add(child, childPath, childNames);
    }
    for (const named of regions) {
      const start = named.offset - offset;
      const bytes = (): Uint8Array => bytesOf(layer).subarray(start, start + named.region.length);
      parts.push({ ...below(named), format: null, what: named.region.label, offset: named.offset, length: named.region.length, how: undefined, bytes });
    }
  };
  const { root } = inspection;
  add(root, root.format, [[root.format]]);
  return parts;
}

/** A payload in which no layer was found. */
const isUnread =
  (children: readonly Layer[]) =>
  ({ kind, offset }: Region): boolean =>
    kind === 'payload' && !children.some((child) => child.offset === offset);

/** Whether the words are one name for each step, with slashes between them; a name may have slashes itself. */
function spells(words: string, names: readonly (readonly string[])[]): boolean {
  const [first, ...rest] = names;
  if (first === undefined) return false;
  return first.some((name) => (rest.length === 0 ? words === name : words.startsWith(`${name}/`) && spells(words.slice(name.length + 1), rest)));
}

/** A list of parts for an error: what may be said. */
function listOf(parts: readonly Part[]): string {
  const shown = parts.slice(0, 24).map(({ path }) => path);
  return `${shown.join(', ')}${parts.length > shown.length ? `, and ${parts.length - shown.length} more (owimg inspect --json)` : ''}`;
}

/**
 * The part that a person means: by its path from the root, or by the end of it if that is enough.
 *
 * @throws OwimgError `bad-usage` with the list of parts
 */
export function findPart(parts: readonly Part[], words: string): Part {
  const whole = parts.filter(({ names }) => spells(words, names));
  const found = whole.length > 0 ? whole : parts.filter(({ names }) => names.some((_, index) => spells(words, names.slice(index))));
  const [first] = found;
  const hint = 'Say it with the path from the first layer on.';
  if (first === undefined) throw new OwimgError('bad-usage', `Cannot find a layer "${words}": there are ${listOf(parts)}`, hint);
  // A kernel in a volume that is called so too: the outer one is meant.
  const others = found.slice(1).filter(({ path }) => !path.startsWith(`${first.path}/`));
  if (others.length > 0) throw new OwimgError('bad-usage', `Cannot choose a layer: "${words}" is ${listOf([first, ...others])}`, hint);
  return first;
}

/** Names that Windows keeps for devices. */
const reserved = /^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i;
const longestName = 100;

/** A part of a path as a name that no file system reads as anything else. */
export function safeName(text: string): string {
  const safe = text
    .normalize('NFKD')
    .replaceAll(/[^A-Za-z0-9._+@-]+/g, '_')
    .replace(/^[.\-_]+/, '')
    .replace(/[._]+$/, '')
    .slice(0, longestName);
  return safe === '' || reserved.test(safe) ? `part${safe === '' ? '' : `_${safe}`}` : safe;
}

/** A file name for each part; equal ones are numbered, also where only case tells them apart. */
export function fileNames(parts: readonly Part[]): Map<Part, string> {
  const taken = new Set<string>();
  const names = new Map<Part, string>();
  for (const part of parts) {
    const stem = safeName(part.path.split('/').map(safeName).join('.').slice(-longestName));
    let name = `${stem}.bin`;
    for (let count = 2; taken.has(name.toLowerCase()); count += 1) name = `${stem}-${count}.bin`;
    taken.add(name.toLowerCase());
    names.set(part, name);
  }
  return names;
}
