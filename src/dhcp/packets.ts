/**
 * BOOTP and DHCP messages: bytes to values and back. Pure; bad bytes are a value too, never an exception.
 *
 * RFC 951 and 1542 (BOOTP; the names of the fields are theirs), 2131 (DHCP), 2132 (options), 3396 (long options). All numbers are big-endian.
 */
import { hex, hexBytes, printable } from '../core/hex.ts';
import { addressText, macOf } from './addresses.ts';

export interface Message {
  readonly kind: 'request' | 'reply';
  /** Hardware type; 1 is Ethernet. */
  readonly htype: number;
  /** Length of the hardware address, up to 16. */
  readonly hlen: number;
  readonly hops: number;
  /** The transaction: an answer has that of its question. */
  readonly xid: number;
  /** Seconds since the client began. */
  readonly secs: number;
  /** {@link broadcastFlag} is the only one. */
  readonly flags: number;
  /** The address that the client has already; addresses are 32 bits, 0 is none. */
  readonly ciaddr: number;
  /** The address that the client is given. */
  readonly yiaddr: number;
  /** The server for the next step: here TFTP. */
  readonly siaddr: number;
  /** The relay by which it came. */
  readonly giaddr: number;
  /** Hardware address, 16 bytes of which `hlen` count. */
  readonly chaddr: Uint8Array;
  readonly sname: string;
  readonly file: string;
  /** Absent where the cookie is missing: an early BOOTP client. */
  readonly options: ReadonlyMap<number, Uint8Array> | undefined;
}

export type Packet = Message | { readonly kind: 'malformed'; readonly reason: string };

/** RFC 1542, 3.1.1: the answer has to be broadcast. */
export const broadcastFlag = 0x8000;

/** RFC 2132; 93, 94 and 97: RFC 4578. */
export const optionCodes = {
  subnetMask: 1,
  router: 3,
  vendorSpecific: 43,
  requestedAddress: 50,
  leaseTime: 51,
  overload: 52,
  messageType: 53,
  serverId: 54,
  parameterList: 55,
  text: 56,
  vendorClass: 60,
  clientId: 61,
  serverName: 66,
  bootFile: 67,
  machineId: 97,
} as const;

/** RFC 2132, 9.6. */
export const messageTypes = { discover: 1, offer: 2, request: 3, decline: 4, ack: 5, nak: 6, release: 7, inform: 8 } as const;

const typeNames = ['', 'DHCPDISCOVER', 'DHCPOFFER', 'DHCPREQUEST', 'DHCPDECLINE', 'DHCPACK', 'DHCPNAK', 'DHCPRELEASE', 'DHCPINFORM'];

const [padCode, endCode] = [0, 255];
const headerLength = 236;
const [snameOffset, snameLength, fileOffset, fileLength] = [44, 64, 108, 128];
/** RFC 1542, 2.1: shorter ones are dropped by some relays and loaders. */
const leastLength = 300;
/** RFC 1497: `99.130.83.99`. */
const cookie = 0x63825363;

/** So long a file name may be: a NUL has to follow. */
export const fileNameLimit = fileLength - 1;

const utf8 = new TextDecoder();
const toUtf8 = new TextEncoder();

function textOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return utf8.decode(end < 0 ? bytes : bytes.subarray(0, end));
}

/** Adds what stands there; an option that comes several times is one long option (RFC 3396). @returns why it cannot be read */
function collectOptions(area: Uint8Array, options: Map<number, Uint8Array>): string | undefined {
  let offset = 0;
  while (offset < area.length) {
    const code = area[offset] as number;
    offset += 1;
    if (code === padCode) continue;
    if (code === endCode) return undefined;
    const length = area[offset];
    if (length === undefined) return `option ${code} has no length`;
    const value = area.subarray(offset + 1, offset + 1 + length);
    if (value.length < length) return `option ${code} of ${length} bytes: only ${value.length} are left`;
    const before = options.get(code) ?? new Uint8Array(0);
    const joined = new Uint8Array(before.length + length);
    joined.set(before);
    joined.set(value, before.length);
    options.set(code, joined);
    offset += 1 + length;
  }
  // Without an end mark: so be it, some loaders forget it.
  return undefined;
}

/** @param bytes one datagram */
export function parsePacket(bytes: Uint8Array): Packet {
  const malformed = (reason: string): Packet => ({ kind: 'malformed', reason });
  if (bytes.length < headerLength) return malformed(`${bytes.length} bytes: at least ${headerLength} are expected`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [op, htype, hlen, hops] = [view.getUint8(0), view.getUint8(1), view.getUint8(2), view.getUint8(3)];
  if (op !== 1 && op !== 2) return malformed(`operation ${op}: neither a request (1) nor a reply (2)`);
  if (hlen > 16) return malformed(`a hardware address of ${hlen} bytes: at most 16 are possible`);
  const snameArea = bytes.subarray(snameOffset, snameOffset + snameLength);
  const fileArea = bytes.subarray(fileOffset, fileOffset + fileLength);
  let options: Map<number, Uint8Array> | undefined;
  let overload = 0;
  if (bytes.length >= headerLength + 4 && view.getUint32(headerLength) === cookie) {
    options = new Map();
    const problem = collectOptions(bytes.subarray(headerLength + 4), options);
    if (problem !== undefined) return malformed(problem);
    // RFC 2132, 9.3: the space of the names may hold options.
    overload = options.get(optionCodes.overload)?.[0] ?? 0;
    const more =
      ((overload & 1) === 1 ? collectOptions(fileArea, options) : undefined) ?? ((overload & 2) === 2 ? collectOptions(snameArea, options) : undefined);
    if (more !== undefined) return malformed(more);
    options.delete(optionCodes.overload);
  }
  return {
    kind: op === 1 ? 'request' : 'reply',
    htype,
    hlen,
    hops,
    xid: view.getUint32(4),
    secs: view.getUint16(8),
    flags: view.getUint16(10),
    ciaddr: view.getUint32(12),
    yiaddr: view.getUint32(16),
    siaddr: view.getUint32(20),
    giaddr: view.getUint32(24),
    chaddr: bytes.slice(28, 44),
    sname: (overload & 2) === 2 ? '' : textOf(snameArea),
    file: (overload & 1) === 1 ? '' : textOf(fileArea),
    options,
  };
}

/** Options of more than 255 bytes are cut in several (RFC 3396). */
function optionBytes(options: ReadonlyMap<number, Uint8Array>): number[] {
  const bytes: number[] = [];
  for (const [code, value] of options) {
    let offset = 0;
    do {
      const part = value.subarray(offset, offset + 255);
      bytes.push(code, part.length, ...part);
      offset += 255;
    } while (offset < value.length);
  }
  return bytes;
}

/** The reverse of {@link parsePacket}. Names that are too long are cut; {@link fileNameLimit}. */
export function messageBytes(message: Message): Uint8Array {
  const options = message.options === undefined ? [] : [...[24, 16, 8, 0].map((shift) => (cookie >>> shift) & 0xff), ...optionBytes(message.options), endCode];
  const bytes = new Uint8Array(Math.max(leastLength, headerLength + options.length));
  const view = new DataView(bytes.buffer);
  bytes.set([message.kind === 'request' ? 1 : 2, message.htype, message.hlen, message.hops]);
  view.setUint32(4, message.xid);
  view.setUint16(8, message.secs);
  view.setUint16(10, message.flags);
  [message.ciaddr, message.yiaddr, message.siaddr, message.giaddr].forEach((address, index) => {
    view.setUint32(12 + index * 4, address);
  });
  bytes.set(message.chaddr.subarray(0, 16), 28);
  bytes.set(toUtf8.encode(message.sname).subarray(0, snameLength - 1), snameOffset);
  bytes.set(toUtf8.encode(message.file).subarray(0, fileNameLimit), fileOffset);
  bytes.set(options, headerLength);
  return bytes;
}

/** The options as they go into a message: numbers are addresses or seconds, 32 bits each. */
export function optionsOf(entries: readonly (readonly [code: number, value: number | string | Uint8Array] | undefined)[]): Map<number, Uint8Array> {
  const options = new Map<number, Uint8Array>();
  for (const entry of entries) {
    if (entry === undefined) continue;
    const [code, value] = entry;
    options.set(code, typeof value === 'number' ? numberBytes(value) : typeof value === 'string' ? toUtf8.encode(value) : value);
  }
  return options;
}

function numberBytes(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}

/** `undefined` where it is missing or not of four bytes. */
export function addressOption({ options }: Message, code: number): number | undefined {
  const value = options?.get(code);
  return value?.length === 4 ? new DataView(value.buffer, value.byteOffset, 4).getUint32(0) : undefined;
}

/** The kind of DHCP message; `undefined` for plain BOOTP. */
export function typeOf({ options }: Message): number | undefined {
  const value = options?.get(optionCodes.messageType);
  return value?.length === 1 ? value[0] : undefined;
}

/** What the client says that it is: `PXEClient:Arch:00000:UNDI:002001`, `Mips_boot` (RouterBOOT). */
export function vendorClassOf({ options }: Message): string | undefined {
  const value = options?.get(optionCodes.vendorClass);
  return value === undefined ? undefined : printable(value);
}

/** The hardware address in words. */
export const hardwareAddress = ({ chaddr, hlen }: Message): string => macOf(chaddr.subarray(0, hlen));

/** `DHCPDISCOVER`, `BOOTP request` ... */
export function typeName(message: Message): string {
  const type = typeOf(message);
  if (type === undefined) return `BOOTP ${message.kind}`;
  return typeNames[type] ?? `DHCP message ${type}`;
}

/** For `--trace`: `DHCPOFFER 52:54:00:12:34:56 xid 0x3903f326 your 192.168.1.1 ...`. */
export function packetText(bytes: Uint8Array): string {
  const message = parsePacket(bytes);
  if (message.kind === 'malformed') return `${bytes.length} bytes, not BOOTP: ${message.reason}`;
  const parts = [typeName(message), hardwareAddress(message), `xid ${hex(message.xid)}`];
  for (const name of ['ciaddr', 'yiaddr', 'siaddr', 'giaddr'] as const) if (message[name] !== 0) parts.push(`${name} ${addressText(message[name])}`);
  if (message.file !== '') parts.push(`file "${message.file}"`);
  for (const [code, value] of message.options ?? []) if (code !== optionCodes.messageType) parts.push(`${code}=${hexBytes(value)}`);
  return parts.join(' ');
}
