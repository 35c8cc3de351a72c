/** The computer that owimg runs on, and in system-wire.ts the cable. Changes nothing: Linux tells most of it in files, elsewhere the addresses have to do. */
import { createSocket } from 'node:dgram';
import { existsSync, readdirSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import { networkInterfaces } from 'node:os';
import { localInterfaces } from '../tftp/local-addresses.ts';
import { sameNetwork } from './addresses.ts';
import type { BindAnswer, Firewall, Host, HostInterface, Platform } from './host.ts';
import { readSystemFile as read } from './system-files.ts';
import { firewall } from './system-firewall.ts';
import { dhcpServers, neighbours, tftpServers } from './system-wire.ts';

const platforms: Readonly<Partial<Record<NodeJS.Platform, Platform>>> = { linux: 'linux', darwin: 'macos', win32: 'windows' };

/** Behind 1 there is a living end, behind 0 none; a card that is switched off cannot tell. */
function linkOf(name: string): HostInterface['link'] {
  const carrier = read(`/sys/class/net/${name}/carrier`);
  if (carrier === '1') return 'up';
  if (carrier === '0') return 'no-cable';
  return read(`/sys/class/net/${name}/operstate`) === 'down' ? 'off' : undefined;
}

/** Default routes of /proc/net/route: interface to gateway, whose bytes stand in the order of the machine. */
function gateways(): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const line of (read('/proc/net/route') ?? '').split('\n').slice(1)) {
    const [name = '', destination, gateway = ''] = line.split('\t');
    const bytes = gateway.match(/../g)?.map((byte) => Number.parseInt(byte, 16)) ?? [];
    if (destination === '00000000' && gateway !== '00000000') found.set(name, bytes.reverse().join('.'));
  }
  return found;
}

function managerOf(name: string): HostInterface['managedBy'] {
  const index = read(`/sys/class/net/${name}/ifindex`);
  const state = index === undefined ? undefined : read(`/run/NetworkManager/devices/${index}`);
  return state !== undefined && !/^managed=false/m.test(state) ? 'NetworkManager' : undefined;
}

function linuxInterfaces(addresses: ReadonlyMap<string, HostInterface['addresses']>): HostInterface[] {
  const routes = gateways();
  return readdirSync('/sys/class/net').map((name) => ({
    name,
    addresses: addresses.get(name) ?? [],
    link: linkOf(name),
    wireless: existsSync(`/sys/class/net/${name}/wireless`),
    // ARPHRD_LOOPBACK of Linux' if_arp.h
    loopback: read(`/sys/class/net/${name}/type`) === '772',
    // What is on a bus has a device; a bridge, a tunnel or the end of a container has none.
    virtual: !existsSync(`/sys/class/net/${name}/device`),
    managedBy: managerOf(name),
    gateway: routes.get(name),
  }));
}

function interfaces(platform: Platform): HostInterface[] {
  const addresses = new Map([...localInterfaces()].map(([name, own]) => [name, own.filter(({ address }) => isIPv4(address))]));
  if (platform === 'linux' && existsSync('/sys/class/net')) return linuxInterfaces(addresses);
  return Object.entries(networkInterfaces()).map(([name, entries = []]) => ({
    name,
    addresses: addresses.get(name) ?? [],
    link: undefined,
    wireless: /wi-?fi|wlan|wireless/i.test(name),
    loopback: entries.some(({ internal }) => internal),
    virtual: false,
    managedBy: undefined,
    gateway: undefined,
  }));
}

/**
 * Linux lists all of its addresses, and every other one of the loopback's network is there too. Elsewhere the list has only cards with a link; whether
 * an address can be bound to tells the rest. That would be no proof on Linux, which can be told to bind to any address (ip_nonlocal_bind).
 */
async function hasAddress(platform: Platform, address: string): Promise<boolean> {
  const own = interfaces(platform).flatMap(({ addresses, loopback }) => addresses.map((one) => ({ ...one, loopback })));
  if (own.some((one) => one.address === address || (one.loopback && sameNetwork(one.address, address, one.prefix)))) return true;
  return platform !== 'linux' && (await mayBind(0, address)) === 'yes';
}

const answers: ReadonlySet<string> = new Set(['EACCES', 'EADDRINUSE', 'EADDRNOTAVAIL']);

/** Opens the port and closes it again; nothing is sent. */
function mayBind(port: number, address: string | undefined): Promise<BindAnswer> {
  return new Promise((resolve) => {
    const socket = createSocket(address === undefined || isIPv4(address) ? 'udp4' : 'udp6');
    socket.once('error', ({ code = '' }: NodeJS.ErrnoException) => {
      socket.close();
      resolve(answers.has(code) ? (code as BindAnswer) : 'other');
    });
    socket.bind({ port, ...(address === undefined ? {} : { address }) }, () => socket.close(() => resolve('yes')));
  });
}

/** The local ports in /proc/net/udp and udp6, behind the address in hexadecimal. */
function isTaken(port: number): boolean | undefined {
  const tables = [read('/proc/net/udp'), read('/proc/net/udp6')].filter((table) => table !== undefined);
  if (tables.length === 0) return undefined;
  const mark = `:${port.toString(16).toUpperCase().padStart(4, '0')} `;
  return tables.some((table) => table.split('\n').some((line) => line.trim().split(/\s+/)[1]?.concat(' ').endsWith(mark) === true));
}

export function systemHost(): Host {
  const platform = platforms[process.platform] ?? 'other';
  let rules: Firewall | undefined;
  return {
    platform,
    interfaces: async () => interfaces(platform),
    hasAddress: (address) => hasAddress(platform, address),
    mayBind,
    isTaken: async (port) => isTaken(port),
    firewall: async () => {
      // Several checks ask, and long lists take long.
      rules ??= platform === 'linux' ? firewall() : { kind: 'unknown', see: undefined };
      return rules;
    },
    dhcpServers,
    neighbours: async (card) => neighbours(card),
    tftpServers: (addresses) => tftpServers(addresses),
  };
}
