/** What is asked of others on the cable, before a transfer. Nothing is changed there. */
import { createSocket } from 'node:dgram';
import { askFor, otherDhcpServers } from '../dhcp/udp.ts';
import { errorCodes, errorPacket, parsePacket, requestPacket } from '../tftp/packets.ts';
import type { BindAnswer, DhcpAnswers, Neighbour } from './host.ts';
import { readSystemFile as read } from './system-files.ts';

/** How many packets Linux has thrown away because the way back would lead elsewhere (`rp_filter`): IPReversePathFilter of /proc/net/netstat, a line of names above a line of numbers. */
function thrownAway(): number {
  const lines = (read('/proc/net/netstat') ?? '').split('\n').filter((line) => line.startsWith('TcpExt:'));
  const [names = [], numbers = []] = lines.map((line) => line.split(' '));
  return Number(numbers[names.indexOf('IPReversePathFilter')] ?? 0);
}

const reasons: ReadonlySet<string> = new Set(['EACCES', 'EADDRINUSE', 'EADDRNOTAVAIL']);

export async function dhcpServers(card: string): Promise<DhcpAnswers | Exclude<BindAnswer, 'yes'>> {
  const before = thrownAway();
  try {
    const servers = await otherDhcpServers(card);
    return { servers, waited: askFor, thrownAway: thrownAway() > before };
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    return reasons.has(code) ? (code as Exclude<BindAnswer, 'yes'>) : 'other';
  }
}

/** ARP entries of Linux: Ethernet (0x1) whose hardware address is known (ATF_COM, 0x2, of Linux' if_arp.h). Old ones stay for minutes. */
export function neighbours(card: string): readonly Neighbour[] | undefined {
  const lines = read('/proc/net/arp')?.split('\n').slice(1);
  return lines?.flatMap((line) => {
    const [address = '', type, flags, mac = '', , device] = line.split(/\s+/);
    return device === card && type === '0x1' && (Number(flags) & 2) !== 0 ? [{ address, mac }] : [];
  });
}

/** Nobody has it. */
const question = 'owimg-asks-who-serves-files';

/** Milliseconds: servers answer at once, and one that has to read a disk first need not, for a file that is not there. */
const patience = 750;

/**
 * One read request each, from one port. RFC 1123, 4.2.3.5: servers do not answer what is sent to everybody.
 *
 * @param port where they listen
 */
export function tftpServers(addresses: readonly string[], port = 69): Promise<readonly string[]> {
  if (addresses.length === 0) return Promise.resolve([]);
  const found = new Set<string>();
  const socket = createSocket('udp4');
  return new Promise((resolve) => {
    // One that cannot be reached is none.
    const ignored = (): void => undefined;
    const timer = setTimeout(() => socket.close(), patience);
    socket.on('close', () => {
      clearTimeout(timer);
      resolve([...found]);
    });
    socket.on('error', ignored);
    socket.on('message', (bytes, from) => {
      const { kind } = parsePacket(bytes);
      if (!addresses.includes(from.address) || found.has(from.address) || (kind !== 'data' && kind !== 'error' && kind !== 'options')) return;
      found.add(from.address);
      const all = found.size === addresses.length;
      if (all) clearTimeout(timer);
      const done = (): void => {
        if (all) socket.close();
      };
      // One that sends a file would send it again and again.
      if (kind === 'error') done();
      else socket.send(errorPacket(errorCodes.undefined, 'only asked'), from.port, from.address, done);
    });
    const packet = requestPacket({ kind: 'read', name: question, mode: 'octet', options: new Map() });
    socket.bind(() => {
      for (const address of addresses) socket.send(packet, port, address, ignored);
    });
  });
}
