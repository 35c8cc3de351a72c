/**
 * TFTP packets: bytes to values and back. Pure; bad bytes are a value too, never an exception.
 *
 * All numbers are big-endian. RFC 1350 (requests, data, acknowledgements, errors), 2347 (options), 2348 (blksize), 2349 (timeout, tsize),
 * 7440 (windowsize).
 */

/** In the order in which they were written; names are lower case, as RFC 2347 compares them. */
export type Options = ReadonlyMap<string, string>;

export type Packet =
  | Request
  | { readonly kind: 'data'; readonly block: number; readonly data: Uint8Array }
  | { readonly kind: 'ack'; readonly block: number }
  | { readonly kind: 'error'; readonly code: number; readonly text: string }
  | { readonly kind: 'options'; readonly options: Options }
  /** Not TFTP: some loaders send plain text when they refuse an image (Netgear EX2700). */
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'malformed'; readonly reason: string };

export interface Request {
  readonly kind: 'read' | 'write';
  readonly name: string;
  /** Lower case: `octet`, `netascii`, `mail` or what else was asked for. */
  readonly mode: string;
  readonly options: Options;
}

/** RFC 2347: what a request may have at most. */
const requestLimit = 512;

/** RFC 1350; RFC 2347 for 8. */
export const errorCodes = {
  undefined: 0,
  notFound: 1,
  accessViolation: 2,
  diskFull: 3,
  illegalOperation: 4,
  unknownTransfer: 5,
  fileExists: 6,
  noSuchUser: 7,
  optionsRefused: 8,
} as const;

const errorNames = [
  'an error without a code',
  'file not found',
  'access violation',
  'disk full',
  'illegal TFTP operation',
  'unknown transfer',
  'the file exists already',
  'no such user',
  'the options are refused',
];

/** What an error code means, in words. */
export const errorName = (code: number): string => errorNames[code] ?? `error ${code}`;

const utf8 = new TextDecoder();
const toUtf8 = new TextEncoder();
const malformed = (reason: string): Packet => ({ kind: 'malformed', reason });
const isPlainText = (byte: number): boolean => (byte >= 0x20 && byte < 0x7f) || byte === 0x09 || byte === 0x0a || byte === 0x0d;

/** The stretches that end with a NUL, and whether something is behind the last of them. */
function strings(bytes: Uint8Array, from: number): { readonly parts: Uint8Array[]; readonly rest: boolean } {
  const parts: Uint8Array[] = [];
  let begin = from;
  for (;;) {
    const end = bytes.indexOf(0, begin);
    if (end < 0) return { parts, rest: begin < bytes.length };
    parts.push(bytes.subarray(begin, end));
    begin = end + 1;
  }
}

/** Names and values in turn; of a name that comes twice the first counts. A name without a value is left out. */
function optionsOf(parts: readonly Uint8Array[]): Map<string, string> {
  const options = new Map<string, string>();
  for (let index = 0; index + 1 < parts.length; index += 2) {
    const name = utf8.decode(parts[index]).toLowerCase();
    if (!options.has(name)) options.set(name, utf8.decode(parts[index + 1]));
  }
  return options;
}

function parseRequest(kind: 'read' | 'write', bytes: Uint8Array): Packet {
  if (bytes.length > requestLimit) return malformed(`a request of ${bytes.length} bytes: at most ${requestLimit} are allowed`);
  const [name, mode, ...rest] = strings(bytes, 2).parts;
  if (name === undefined || mode === undefined) return malformed('a request whose name or mode has no end');
  // The clients of Linksys append a bare password, which is neither name nor value: it is left out with every other odd end.
  return { kind, name: utf8.decode(name), mode: utf8.decode(mode).toLowerCase(), options: optionsOf(rest) };
}

function parseOptions(bytes: Uint8Array): Packet {
  const { parts, rest } = strings(bytes, 2);
  if (rest || parts.length % 2 !== 0) return malformed('options without an end');
  return { kind: 'options', options: optionsOf(parts) };
}

function parseText(bytes: Uint8Array): Packet {
  const end = bytes.indexOf(0);
  const text = end < 0 ? bytes : bytes.subarray(0, end);
  if (text.length === 0 || !text.every(isPlainText)) return malformed('neither TFTP nor text');
  return { kind: 'text', text: utf8.decode(text).trim() };
}

/**
 * @param bytes one datagram; `data` of the result is a view of it
 */
export function parsePacket(bytes: Uint8Array): Packet {
  if (bytes.length === 0) return malformed('empty');
  if (bytes[0] !== 0) return parseText(bytes);
  const opcode = bytes[1];
  if (opcode === undefined) return malformed('1 byte: too short for an opcode');
  if (opcode === 1 || opcode === 2) return parseRequest(opcode === 1 ? 'read' : 'write', bytes);
  if (opcode === 6) return parseOptions(bytes);
  if (opcode < 3 || opcode > 6) return malformed(`unknown opcode ${opcode}`);
  if (bytes.length < 4) return malformed(`opcode ${opcode} with ${bytes.length} bytes: at least 4 are expected`);
  const number = ((bytes[2] as number) << 8) | (bytes[3] as number);
  if (opcode === 3) return { kind: 'data', block: number, data: bytes.subarray(4) };
  if (opcode === 4) return { kind: 'ack', block: number };
  const end = bytes.indexOf(0, 4);
  return { kind: 'error', code: number, text: utf8.decode(bytes.subarray(4, end < 0 ? bytes.length : end)).trim() };
}

// Packets are cut from slabs: an ArrayBuffer for each would cost more than the rest of the work on it. None is used twice,
// because a datagram may still wait in the system's queue when the next is made.
const slabLength = 256 * 1024;
let slab = new Uint8Array(0);
let used = 0;

function packet(opcode: number, length: number): Uint8Array {
  if (length > slabLength / 16) {
    const bytes = new Uint8Array(length);
    bytes[1] = opcode;
    return bytes;
  }
  if (used + length > slab.length) {
    slab = new Uint8Array(slabLength);
    used = 0;
  }
  const bytes = slab.subarray(used, used + length);
  used += length;
  bytes[1] = opcode;
  return bytes;
}

function numbered(opcode: number, number: number, length: number): Uint8Array {
  const bytes = packet(opcode, length);
  bytes[2] = number >> 8;
  bytes[3] = number & 0xff;
  return bytes;
}

/** @param block 0 to 65535 */
export function dataPacket(block: number, data: Uint8Array): Uint8Array {
  const bytes = numbered(3, block, 4 + data.length);
  bytes.set(data, 4);
  return bytes;
}

/** @param block 0 to 65535 */
export const ackPacket = (block: number): Uint8Array => numbered(4, block, 4);

/** @param text without a NUL; shown on the console of the device, so it should be short */
export function errorPacket(code: number, text: string): Uint8Array {
  const words = toUtf8.encode(text.replaceAll('\0', ''));
  const bytes = numbered(5, code, 4 + words.length + 1);
  bytes.set(words, 4);
  return bytes;
}

function withStrings(opcode: number, texts: readonly string[]): Uint8Array {
  const body = toUtf8.encode(texts.map((text) => `${text.replaceAll('\0', '')}\0`).join(''));
  const bytes = packet(opcode, 2 + body.length);
  bytes.set(body, 2);
  return bytes;
}

export const optionsPacket = (options: Options): Uint8Array => withStrings(6, [...options].flat());

/** RFC 1350, with options RFC 2347. Longer than 512 bytes it would be refused: {@link requestFits}. */
export function requestPacket({ kind, name, mode, options }: Request): Uint8Array {
  return withStrings(kind === 'read' ? 1 : 2, [name, mode, ...[...options].flat()]);
}

export const requestFits = (request: Request): boolean => requestPacket(request).length <= requestLimit && !request.name.includes('\0');

/** For `--trace`: `DATA 17, 512 bytes`. */
export function packetText(bytes: Uint8Array): string {
  const parsed = parsePacket(bytes);
  const listed = (options: Options): string => [...options].map(([name, value]) => ` ${name}=${value}`).join('');
  switch (parsed.kind) {
    case 'read':
    case 'write':
      return `${parsed.kind === 'read' ? 'RRQ' : 'WRQ'} "${parsed.name}" ${parsed.mode}${listed(parsed.options)}`;
    case 'data':
      return `DATA ${parsed.block}, ${parsed.data.length} bytes`;
    case 'ack':
      return `ACK ${parsed.block}`;
    case 'error':
      return `ERROR ${parsed.code} "${parsed.text}"`;
    case 'options':
      return `OACK${listed(parsed.options)}`;
    case 'text':
      return `text "${parsed.text}"`;
    default:
      return `${bytes.length} bytes, not TFTP: ${parsed.reason}`;
  }
}
