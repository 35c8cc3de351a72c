/**
 * A header is declared once, as a table; from it come reading, writing, the offset of each field and the
 * fields that a person sees. The only importer of binary-parser.
 *
 * binary-parser gives back short strings and buffers past the end without an error, so the length is
 * checked before it reads. It compiles the table at the first reading, not when the module is loaded.
 */
import { Parser } from 'binary-parser/dist/binary_parser.js';
import { hex, hexBytes, printable } from './hex.ts';
import type { Field, FieldValue, Range } from './types.ts';

type Endian = 'big' | 'little';

export interface FieldType<T> {
  readonly length: number;
  readonly declare: (parser: Parser, name: string, endian: Endian) => Parser;
  readonly write: (view: DataView, offset: number, value: T, endian: Endian) => void;
  readonly show: (value: T) => FieldValue;
}

type Table = Readonly<Record<string, FieldType<never>>>;

type ValueOf<F> = F extends FieldType<infer T> ? T : never;

export type ValuesOf<S extends Table> = { -readonly [K in keyof S]: ValueOf<S[K]> };

function integer(bits: 8 | 16 | 32, fixed: Endian | null, show: (value: number) => FieldValue): FieldType<number> {
  return {
    length: bits / 8,
    declare: (parser, name, endian) => {
      if (bits === 8) return parser.uint8(name);
      const order = fixed ?? endian;
      if (bits === 16) return order === 'big' ? parser.uint16be(name) : parser.uint16le(name);
      return order === 'big' ? parser.uint32be(name) : parser.uint32le(name);
    },
    write: (view, offset, value, endian) => {
      const little = (fixed ?? endian) === 'little';
      if (bits === 8) view.setUint8(offset, value);
      else if (bits === 16) view.setUint16(offset, value, little);
      else view.setUint32(offset, value, little);
    },
    show,
  };
}

const plain = (value: number): FieldValue => value;
const asHex32 = (value: number): FieldValue => hex(value);

export const u8 = integer(8, null, plain);
export const u16 = integer(16, null, plain);
export const u32 = integer(32, null, plain);
export const u16le = integer(16, 'little', plain);
export const u32le = integer(32, 'little', plain);
/** 32 bits that people read in hexadecimal: magic numbers, addresses, checksums, hardware ids. */
export const hex32 = integer(32, null, asHex32);
export const hex32be = integer(32, 'big', asHex32);
export const hex32le = integer(32, 'little', asHex32);
export const hex16 = integer(16, null, (value) => hex(value, 4));
export const hex8 = integer(8, null, (value) => hex(value, 2));

/** 64 bits. Shown as a number where a number holds it exactly, else in hexadecimal. */
export const u64: FieldType<bigint> = {
  length: 8,
  declare: (parser, name, endian) => (endian === 'big' ? parser.uint64be(name) : parser.uint64le(name)),
  write: (view, offset, value, endian) => view.setBigUint64(offset, value, endian === 'little'),
  show: (value) => (value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : hex(value, 16)),
};

/** Raw bytes, shown in hexadecimal. */
export function bytes(length: number): FieldType<Uint8Array> {
  return {
    length,
    declare: (parser, name) => parser.buffer(name, { length }),
    write: (view, offset, value) => {
      new Uint8Array(view.buffer, view.byteOffset + offset, length).set(value.subarray(0, length));
    },
    show: (value) => hexBytes(value),
  };
}

/** Text filled up with NUL. A text as long as its field has no NUL. */
export function text(length: number): FieldType<string> {
  return {
    length,
    declare: (parser, name) => parser.buffer(name, { length, formatter: (raw: unknown) => printable(raw as Uint8Array) }),
    write: (view, offset, value) => {
      for (let index = 0; index < Math.min(length, value.length); index += 1) view.setUint8(offset + index, value.charCodeAt(index));
    },
    show: (value) => value,
  };
}

/** Text that may carry more behind its NUL: kept as bytes, shown as text. */
export function rawText(length: number): FieldType<Uint8Array> {
  return { ...bytes(length), show: printable };
}

/** `count` numbers of 32 bits one after the other. */
export function u32s(count: number): FieldType<number[]> {
  return {
    length: count * 4,
    declare: (parser, name, endian) => parser.array(name, { type: endian === 'big' ? 'uint32be' : 'uint32le', length: count }),
    write: (view, offset, value, endian) => {
      for (let index = 0; index < count; index += 1) view.setUint32(offset + index * 4, value[index] ?? 0, endian === 'little');
    },
    show: (value) => value,
  };
}

export interface Struct<S extends Table> {
  /** Bytes from the first field to the end of the last. */
  readonly length: number;
  /** Where each field lies, from the header's first byte. */
  readonly at: { readonly [K in keyof S]: Range };
  /** Reads the table at `offset`. The caller has checked that `length` bytes are there; RangeError if not. */
  read(bytes: Uint8Array, offset?: number): ValuesOf<S>;
  /** Writes the values into `length` new bytes. */
  write(values: ValuesOf<S>): Uint8Array;
  /** The fields as shown, with what their values mean; `base` is where the header lies in the window. */
  fields(values: ValuesOf<S>, meanings?: { readonly [K in keyof S]?: string | undefined }, base?: number): Field[];
}

/**
 * Declares a header.
 *
 * @example
 * const header = struct('big', { magic: hex32, length: u32, name: text(32) });
 * header.read(bytes).name; header.at.length //=> { offset: 4, length: 4 }
 */
export function struct<S extends Table>(endian: Endian, table: S): Struct<S> {
  const names = Object.keys(table) as (keyof S & string)[];
  const at = {} as Record<keyof S, Range>;
  let length = 0;
  for (const name of names) {
    const { length: fieldLength } = table[name] as FieldType<never>;
    at[name] = { offset: length, length: fieldLength };
    length += fieldLength;
  }
  let parser: Parser | undefined;
  const compile = (): Parser => {
    let compiled = new Parser();
    for (const name of names) compiled = (table[name] as FieldType<never>).declare(compiled, name, endian);
    return compiled;
  };
  return {
    length,
    at,
    read(source, offset = 0) {
      if (offset < 0 || offset + length > source.length) {
        throw new RangeError(`Cannot read a header of ${length} bytes at ${offset}: only ${source.length - offset} are left`);
      }
      parser ??= compile();
      return parser.parse(source.subarray(offset, offset + length)) as ValuesOf<S>;
    },
    write(values) {
      const written = new Uint8Array(length);
      const view = new DataView(written.buffer);
      for (const name of names) (table[name] as FieldType<unknown>).write(view, at[name].offset, values[name], endian);
      return written;
    },
    fields(values, meanings = {}, base = 0) {
      return names.map((name) => {
        const { offset, length: fieldLength } = at[name];
        const value = (table[name] as FieldType<unknown>).show(values[name]);
        const meaning = meanings[name];
        const field = { name, offset: base + offset, length: fieldLength, value };
        return meaning === undefined ? field : { ...field, meaning };
      });
    },
  };
}
