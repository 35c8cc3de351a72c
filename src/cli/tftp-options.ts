/** What `owimg tftp` and `owimg serve` have in common: numbers, addresses, the trace, events as JSON. */
import { OwimgError } from '../core/errors.ts';
import { byteCount } from '../core/hex.ts';
import { schemaVersion } from '../report/json.ts';
import { harmless } from '../report/words.ts';
import { peerText } from '../tftp/client.ts';
import { packetText } from '../tftp/packets.ts';
import { canonicalAddress, localAddresses, type Trace } from '../tftp/udp.ts';
import type { Console } from './console.ts';

/** @throws OwimgError `bad-value` */
export function wholeNumber(text: string, what: string, least: number, most: number): number {
  const value = /^\d{1,12}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= least && value <= most)) throw new OwimgError('bad-value', `Cannot use "${text}" as ${what}: expected a number from ${least} to ${most}`);
  return value;
}

/** Seconds, in tenths if need be. @throws OwimgError `bad-value` */
export function milliseconds(text: string, what: string): number {
  const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= 0.05 && value <= 86_400)) throw new OwimgError('bad-value', `Cannot use "${text}" as ${what}: expected seconds, from 0.05 to 86400`);
  return value * 1000;
}

export interface AddressFlags {
  readonly bind?: string | undefined;
  readonly interface?: string | undefined;
  readonly ipv4?: true | undefined;
  readonly ipv6?: true | undefined;
}

export function familyAsked({ ipv4, ipv6 }: AddressFlags): 0 | 4 | 6 {
  if (ipv4 === true && ipv6 === true) throw new OwimgError('bad-usage', 'Cannot use --ipv4 and --ipv6 at once', 'Choose one of them.');
  return ipv4 === true ? 4 : ipv6 === true ? 6 : 0;
}

const isOf = (address: string, family: 0 | 4 | 6): boolean => family === 0 || address.includes(':') === (family === 6);

function bindAsked(text: string, family: 0 | 4 | 6): string {
  const address = canonicalAddress(text);
  if (address === undefined) {
    throw new OwimgError(
      'bad-value',
      `Cannot use "${text}" for --bind: expected an address of this machine in numbers, as 192.168.1.2`,
      'A network card is named with --interface.',
    );
  }
  if (!isOf(address, family))
    throw new OwimgError('bad-usage', `Cannot bind to ${address}: IPv${family} is asked for`, 'Give an address of that kind, or none.');
  return address;
}

/**
 * The local addresses that were asked for; `undefined` for all of them.
 *
 * @throws OwimgError `bad-usage`, `bad-value`, `cannot-listen`
 */
export function addressesAsked(flags: AddressFlags, family: 0 | 4 | 6): string[] | undefined {
  if (flags.bind !== undefined && flags.interface !== undefined)
    throw new OwimgError('bad-usage', 'Cannot use --bind and --interface at once', 'Choose one of them.');
  if (flags.bind !== undefined) return [bindAsked(flags.bind, family)];
  if (flags.interface === undefined) return family === 0 ? undefined : localAddresses().filter((address) => isOf(address, family));
  const addresses = localAddresses(flags.interface).filter((address) => isOf(address, family));
  if (addresses.length === 0)
    throw new OwimgError('cannot-listen', `Cannot use "${flags.interface}": it has no IPv${family} address`, 'Give it one first, or name another interface.');
  return addresses;
}

/** Shows every packet. */
export function tracer(io: Console): Trace {
  const begin = performance.now();
  return (direction, packet, peer, local) => {
    const seconds = ((performance.now() - begin) / 1000).toFixed(3).padStart(8);
    const arrow = direction === 'sent' ? '>' : '<';
    io.err(`${seconds} ${peerText(local)} ${arrow} ${peerText(peer)} ${harmless(packetText(packet))}\n`);
  };
}

/** One event on one line. */
export function eventLine(event: object): string {
  const plain = (_: string, value: unknown): unknown => (value instanceof Map ? Object.fromEntries(value) : value);
  return `${JSON.stringify({ schemaVersion, time: new Date().toISOString(), ...event }, plain)}\n`;
}

/** `3.0 MiB in 0.8 s (3.8 MiB/s)` */
export function speedText(bytes: number, ms: number): string {
  const seconds = Math.max(ms, 1) / 1000;
  const shown = seconds < 10 ? seconds.toFixed(1) : seconds.toFixed(0);
  return `${byteCount(bytes)} in ${shown} s (${byteCount(Math.round(bytes / seconds))}/s)`;
}

/** What is known of what a device said: meaning, and what to do next. */
export async function meaningOf(text: string): Promise<string | undefined> {
  const explained = await import('../explain/explain.ts');
  return explained.meaningOf(text);
}

const problems: Readonly<Record<string, string>> = {
  ENETUNREACH: 'no way to that network yet: does the network card have an address in it? Trying on',
  ENETDOWN: 'the network card is down; trying on',
  EHOSTUNREACH: 'nobody answers at that address yet; trying on',
  EADDRNOTAVAIL: 'the local address is gone; trying on',
  EPERM: 'a firewall of this machine forbids it; trying on',
  EACCES: 'this machine forbids to send there; trying on',
};

/** What it means that the system refuses to send, by its code. */
export const problemText = (code: string): string => problems[code] ?? `the system cannot send (${code}); trying on`;
