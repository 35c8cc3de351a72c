/**
 * What `owimg wrap` may set in a format, declared beside its `build`: keys in the words that inspect shows, what each takes, and what
 * stands there if nothing is said. Reading what a person typed is done here, once for all formats.
 */
import { OwimgError } from './errors.ts';
import { hexOffset } from './hex.ts';

/** One thing that can be set. `T` is what the format gets. */
export interface WrapKey<T = unknown> {
  /** What it is, for the list of keys. */
  readonly about: string;
  /** What may be typed: `number`, `text, up to 32 characters`, `mips, arm, …`. */
  readonly takes: string;
  /** What is taken if nothing is said, as it would be typed; absent where it has to be given. */
  readonly initial?: string | undefined;
  /** Nothing need be said, and then there is none. */
  readonly optional: boolean;
  /** The value is the name of a file, and its bytes are taken. */
  readonly file: boolean;
  /** May be given several times. */
  readonly repeated: boolean;
  /** What was typed, each time the key was; or the bytes of the file. Throws a {@link WrongValue}. */
  read(given: readonly (string | Uint8Array)[]): T;
}

type Keys = Readonly<Record<string, WrapKey>>;

type ValuesOf<K extends Keys> = { readonly [N in keyof K]: K[N] extends WrapKey<infer T> ? T : never };

/** What a format declares. */
export interface Wrap<Input = unknown> {
  /** What the given file becomes: `image`, `kernel`. */
  readonly payload: string;
  readonly keys: Keys;
  /**
   * What the format's `build` takes.
   *
   * @param values by key, as the keys' `read` gives them
   * @throws OwimgError `bad-value`
   */
  input(payload: Uint8Array, values: Readonly<Record<string, unknown>>): Input;
  /** For what is written into the given file: the whole new file. Headers hold their payload, and trailers are put behind it. */
  place?(payload: Uint8Array, built: Uint8Array): Uint8Array;
}

/** Declares what can be wrapped; `input` gets the values with their types. */
export function wrapping<K extends Keys, Input>(
  payload: string,
  keys: K,
  input: (payload: Uint8Array, values: ValuesOf<K>) => Input,
  place?: Wrap['place'],
): Wrap<Input> {
  return { payload, keys, input: (bytes, values) => input(bytes, values as ValuesOf<K>), ...(place === undefined ? {} : { place }) };
}

class WrongValue extends Error {}

const one = <T>(read: (text: string) => T) => {
  return ([given = '']: readonly (string | Uint8Array)[]): T => read(given as string);
};

/** `12`, `0x1f`; NaN for anything else. */
const numberOf = (text: string): number => (/^(0x[0-9a-f]+|\d+)$/i.test(text) ? Number(text) : Number.NaN);

interface Options {
  /** As it would be typed; without it the key has to be given. */
  readonly initial?: string;
}

interface NumberOptions extends Options {
  readonly bits?: 8 | 16 | 32;
  /** Words that stand for numbers. */
  readonly names?: ReadonlyMap<number, string>;
}

const base = { optional: false, file: false, repeated: false };

function readNumber(text: string, bits: number, names?: ReadonlyMap<number, string>): number {
  const named = [...(names ?? [])].find(([, name]) => name.toLowerCase() === text.toLowerCase())?.[0];
  const value = named ?? numberOf(text);
  if (Number.isNaN(value)) throw new WrongValue(names === undefined ? 'expected a number, as 4096 or 0x1000' : 'expected one of its words, or a number');
  if (value >= 2 ** bits) throw new WrongValue(`expected at most ${hexOffset(2 ** bits - 1)}`);
  return value;
}

/** Words of which some numbers have one; of long lists only the first are told. */
function listed(names: ReadonlyMap<number, string>): string {
  const words = [...names.values()];
  return words.length <= 8 ? words.join(', ') : `${words.slice(0, 8).join(', ')} …`;
}

export function numberKey(about: string, { bits = 32, names, initial }: NumberOptions = {}): WrapKey<number> {
  const takes = names === undefined ? 'number' : `${listed(names)}, or a number`;
  return { ...base, about, takes, initial, read: one((text) => readNumber(text, bits, names)) };
}

/** A number that need not be there. */
export function optionalNumberKey(about: string): WrapKey<number | undefined> {
  return { ...base, about, takes: 'number', optional: true, read: ([given]) => (given === undefined ? undefined : readNumber(given as string, 32)) };
}

export function textKey(about: string, room: number, { initial }: Options = {}): WrapKey<string> {
  const read = (text: string): string => {
    if (text.length > room) throw new WrongValue(`it has ${text.length} characters, and there is room for ${room}`);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: what a header can hold is bytes
    if (!/^[\x00-\xff]*$/.test(text)) throw new WrongValue('expected characters of one byte each');
    return text;
  };
  return { ...base, about, takes: `text, up to ${room} characters`, initial, read: one(read) };
}

export function choiceKey<const C extends string>(about: string, choices: readonly C[], { initial }: { readonly initial?: NoInfer<C> } = {}): WrapKey<C> {
  const read = (text: string): C => {
    const choice = choices.find((word) => word.toLowerCase() === text.toLowerCase());
    if (choice === undefined) throw new WrongValue(`expected ${choices.join(' or ')}`);
    return choice;
  };
  return { ...base, about, takes: choices.join(', '), initial, read: one(read) };
}

export function flagKey(about: string, initial: 'yes' | 'no' = 'no'): WrapKey<boolean> {
  const { read, ...key } = choiceKey(about, ['yes', 'no'], { initial });
  return { ...key, read: (given) => read(given) === 'yes' };
}

/** Numbers of one byte each, as a version: `4.20.6`. */
export function bytesKey(about: string, count: number, example: string, { initial }: Options = {}): WrapKey<Uint8Array> {
  const read = (text: string): Uint8Array => {
    const numbers = text.split(/[.-]/).map((word) => (/^\d{1,3}$/.test(word) ? Number(word) : Number.NaN));
    if (numbers.length !== count || !numbers.every((number) => number <= 255)) throw new WrongValue(`expected ${count} numbers up to 255, as ${example}`);
    return Uint8Array.from(numbers);
  };
  return { ...base, about, takes: `${count} numbers, as ${example}`, initial, read: one(read) };
}

/** Raw bytes as hexadecimal digits. `count`: exactly so many. */
export function hexKey(about: string, count: number | undefined, { initial }: Options = {}): WrapKey<Uint8Array> {
  const takes = count === undefined ? 'bytes in hexadecimal' : `${count} bytes in hexadecimal`;
  const read = (text: string): Uint8Array => {
    const digits = text.replace(/^0x/i, '');
    if (!/^([0-9a-f]{2})*$/i.test(digits) || (count !== undefined && digits.length !== count * 2)) throw new WrongValue(`expected ${takes}`);
    return Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
  };
  return { ...base, about, takes, initial, read: one(read) };
}

/** Numbers with commas between them; none if nothing is said. */
export function numbersKey(about: string, most: number): WrapKey<readonly number[]> {
  const read = (text: string): readonly number[] => {
    const numbers = text === '' ? [] : text.split(',').map((word) => readNumber(word.trim(), 32));
    if (numbers.length > most) throw new WrongValue(`expected at most ${most} numbers`);
    return numbers;
  };
  return { ...base, about, takes: 'numbers with commas', optional: true, read: one(read) };
}

/** Texts, one for each time that the key is given. */
export function textsKey(about: string): WrapKey<readonly string[]> {
  return { ...base, about, takes: 'text; may be given several times', optional: true, repeated: true, read: (given) => given as readonly string[] };
}

/** The bytes of another file; empty if none is named. */
export function fileKey(about: string): WrapKey<Uint8Array> {
  return { ...base, about, takes: 'name of a file', optional: true, file: true, read: ([given]) => (given as Uint8Array | undefined) ?? new Uint8Array(0) };
}

/** The words of a list by their numbers. */
export const wordsOf = (list: readonly string[]): ReadonlyMap<number, string> => new Map(list.map((word, index) => [index, word]));

/**
 * The values for {@link Wrap.input}.
 *
 * @param given what was typed for each key; the bytes of the file for keys that take one
 * @throws OwimgError `bad-usage` for a key that is missing or unknown, `bad-value` for what a key does not take
 */
export function wrapValues(id: string, { keys }: Wrap, given: ReadonlyMap<string, readonly (string | Uint8Array)[]>): Record<string, unknown> {
  const names = Object.keys(keys);
  const hint = `owimg wrap --as ${id} lists what it takes.`;
  const unknown = [...given.keys()].find((name) => !names.includes(name));
  if (unknown !== undefined) throw new OwimgError('bad-usage', `Cannot set "${unknown}": ${id} has ${names.length === 0 ? 'no keys' : names.join(', ')}`, hint);
  const missing = names.filter((name) => {
    const { optional, initial } = keys[name] as WrapKey;
    return !optional && initial === undefined && !given.has(name);
  });
  if (missing.length > 0) throw new OwimgError('bad-usage', `Cannot make a ${id} without ${missing.map((name) => `${name}=…`).join(' ')}`, hint);
  return Object.fromEntries(
    names.map((name) => {
      const key = keys[name] as WrapKey;
      const typed = given.get(name) ?? (key.initial === undefined ? [] : [key.initial]);
      if (!key.repeated && typed.length > 1) throw new OwimgError('bad-usage', `Cannot set ${name} more than once`, hint);
      try {
        return [name, key.read(typed)];
      } catch (error) {
        if (!(error instanceof WrongValue)) throw error;
        throw new OwimgError('bad-value', `Cannot set ${name} to "${String(typed[0])}": ${error.message}`, hint);
      }
    }),
  );
}
