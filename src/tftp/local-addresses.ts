/** The addresses of this computer, also those of cards without a link: a card that leads straight to a device has none until that is switched on. */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';

export interface LocalAddress {
  readonly address: string;
  /** Bits of the network. */
  readonly prefix: number;
}

/** By the name of the card; a card without an address is left out. */
export type LocalAddresses = ReadonlyMap<string, readonly LocalAddress[]>;

/** Milliseconds; it takes three. */
const patience = 2000;

/** Where Linux has `ip`, which is not on every user's path. */
const folders = '/usr/sbin:/sbin:/usr/bin:/bin';

/**
 * What `ip -o address show` of iproute2 and of busybox says, one address a line. IPv6 addresses that are still searched for on the network, or found
 * there, are left out: nothing can be bound to them.
 */
export function addressesOf(output: string): LocalAddresses {
  const found = new Map<string, LocalAddress[]>();
  for (const line of output.split('\n')) {
    // `3: eth0    inet 10.0.0.1 peer 10.0.0.2/32 scope global`: the prefix stands behind the other end where there is one.
    const [, name, address = '', prefix] = /^\d+:\s+([^\s@]+)\S*\s+inet6?\s+([^\s/]+)(?:\s+peer\s+[^\s/]+)?(?:\/(\d+))?/.exec(line) ?? [];
    if (name === undefined || /\b(?:tentative|dadfailed)\b/.test(line)) continue;
    found.set(name, [...(found.get(name) ?? []), { address, prefix: Number(prefix ?? (address.includes(':') ? 128 : 32)) }]);
  }
  return found;
}

/** What Node tells: libuv leaves out every card without a link. */
function listed(): Map<string, readonly LocalAddress[]> {
  const all = Object.entries(networkInterfaces());
  return new Map(
    all.map(([name, entries = []]) => [name, entries.map(({ address, cidr }) => ({ address, prefix: Number((cidr ?? '').split('/')[1] ?? 32) }))]),
  );
}

/** The cards that Linux knows; nothing elsewhere. */
function cards(): readonly string[] {
  try {
    return readdirSync('/sys/class/net');
  } catch {
    return [];
  }
}

/**
 * All addresses. On Linux also those of cards without a link or switched off, where `ip` is there to tell; macOS and Windows hide them.
 *
 * @param hidden `false` leaves out what the system hides: quicker, for who asks again and again
 */
export function localInterfaces(hidden = true): LocalAddresses {
  const all = listed();
  if (!hidden || cards().every((name) => all.has(name))) return all;
  const { stdout, status } = spawnSync('ip', ['-o', 'address', 'show'], {
    encoding: 'utf8',
    timeout: patience,
    env: { ...process.env, PATH: `${process.env['PATH'] ?? ''}:${folders}` },
  });
  if (status !== 0) return all;
  for (const [name, addresses] of addressesOf(stdout)) if (!all.has(name)) all.set(name, addresses);
  return all;
}

/** Whether the card is there and switched off: then its addresses cannot be used. */
export function isOff(name: string): boolean {
  try {
    // IFF_UP of Linux' if.h
    return (Number(readFileSync(`/sys/class/net/${name}/flags`, 'utf8')) & 1) === 0;
  } catch {
    return false;
  }
}
