/** `owimg serve --bootp --dhcp`: an address for a loader that has none, and what to say of it. */
import { OwimgError } from '../core/errors.ts';
import { packetText } from '../dhcp/packets.ts';
import type { IgnoredBecause, ResponderEvent } from '../dhcp/responder.ts';
import { cableIn, checkDhcpOptions, type DhcpOptions, type DhcpSendProblem, type DhcpTrace, UdpResponder } from '../dhcp/udp.ts';
import { harmless } from '../report/words.ts';
import type { Console } from './console.ts';
import { eventLine } from './tftp-options.ts';

export interface DhcpFlags {
  readonly interface?: string | undefined;
  readonly bootp?: true | undefined;
  readonly dhcp?: true | undefined;
  readonly mac?: string | undefined;
  readonly clientAddress?: string | undefined;
  readonly trace?: true | undefined;
  readonly ndjson?: true | undefined;
}

/** Whether addresses are to be given, which are those of IPv4. */
export const asksForAddresses = ({ bootp, dhcp }: DhcpFlags): boolean => bootp === true || dhcp === true;

const optionsOf = ({ bootp, dhcp, mac, clientAddress }: DhcpFlags, interfaceName: string, file: string): DhcpOptions => ({
  bootp: bootp === true,
  dhcp: dhcp === true,
  interfaceName,
  mac,
  clientAddress,
  file,
});

/** @throws OwimgError `bad-usage` */
export function checkDhcpFlags(flags: DhcpFlags): void {
  const { interface: name, mac, clientAddress } = flags;
  if (asksForAddresses(flags) && name === undefined)
    throw new OwimgError('bad-usage', 'Cannot give addresses on all networks', 'Name the network card that leads to the device with --interface.');
  if (!asksForAddresses(flags) && (mac !== undefined || clientAddress !== undefined))
    throw new OwimgError('bad-usage', `Cannot use ${mac === undefined ? '--client-address' : '--mac'} alone`, 'It belongs to --bootp or --dhcp.');
}

const reasons: Readonly<Record<IgnoredBecause, string>> = {
  'another-device': 'only one device is answered. If it is this one: --mac',
  'asks-by-bootp': 'to answer that: --bootp',
  'asks-by-dhcp': 'to answer that: --dhcp',
  'came-by-a-relay': 'it comes by a relay from another network',
  'no-ethernet': 'it has no Ethernet address',
  'address-in-use': 'it says that somebody else has the address. Give another with --client-address',
};

/** One event in words; `undefined` for what is not worth a line. */
export function dhcpEventText(event: ResponderEvent | DhcpSendProblem): string | undefined {
  switch (event.event) {
    case 'dhcp-listening':
      return 'listening for other DHCP servers';
    case 'dhcp-ready':
      return `ready to give ${event.client} to ${event.mac ?? 'the first device that asks'}, with ${event.server} as the server`;
    case 'dhcp-reply': {
      const file = event.file === '' ? '' : `, file ${event.file}`;
      const what = event.vendorClass === undefined ? '' : ` (${event.vendorClass})`;
      return event.answered === 'DHCPNAK'
        ? `router ${event.mac} asked for another address: told to begin anew`
        : `router ${event.mac}${what} sent ${event.asked}: ${event.answered} with address ${event.address}${file}`;
    }
    case 'dhcp-ignored':
      return `${event.mac} sent ${event.asked}: not answered, ${reasons[event.why]}`;
    case 'dhcp-other-server':
      return `another DHCP server is there, ${event.address}: no more addresses are given`;
    case 'dhcp-send-problem':
      return `cannot send on that interface: ${event.code}. Is the cable in?`;
    default:
      return undefined;
  }
}

/**
 * Before anything is opened: whether it can be done, and whether the cable is in. Loaders ask only after they were switched on, and many
 * cables lead to nothing else.
 *
 * @throws OwimgError `bad-value`, `bad-usage`; `cannot-reach` when the time is over
 */
export async function awaitCable(flags: DhcpFlags, file: string, limit: number | undefined, signal: AbortSignal, say: (text: string) => void): Promise<void> {
  const { interface: interfaceName } = flags;
  if (interfaceName === undefined || !asksForAddresses(flags)) return;
  checkDhcpOptions(optionsOf(flags, interfaceName, file));
  const why = await cableIn(interfaceName, signal, () => say(`waiting for ${interfaceName}: the device is off, the cable is out, or it has no address`), limit);
  if (why === 'time') throw new OwimgError('cannot-reach', `Nothing came up on ${interfaceName}: no cable, or no address`);
}

/** Shows every datagram. */
export function dhcpTracer(io: Console): DhcpTrace {
  const begin = performance.now();
  return (direction, packet, peer, local) => {
    const seconds = ((performance.now() - begin) / 1000).toFixed(3).padStart(8);
    io.err(`${seconds} ${local} ${direction === 'sent' ? '>' : '<'} ${peer} ${harmless(packetText(packet))}\n`);
  };
}

/**
 * Starts it, if it was asked for, and listens for other servers first.
 *
 * @param file what the device is told to fetch
 * @returns what ends it
 * @throws OwimgError
 */
export async function giveAddresses(flags: DhcpFlags, file: string, signal: AbortSignal, io: Console, say: (text: string) => void): Promise<() => void> {
  const { interface: interfaceName } = flags;
  if (interfaceName === undefined || !asksForAddresses(flags)) return () => undefined;
  const said = new Set<string>();
  const event = (happened: ResponderEvent | DhcpSendProblem): void => {
    if (flags.ndjson === true) io.out(eventLine(happened));
    const text = dhcpEventText(happened);
    // Loaders ask again and again; once is news.
    if (text === undefined || said.has(text)) return;
    said.add(text);
    say(text);
  };
  const options = { ...optionsOf(flags, interfaceName, file), event, trace: flags.trace === true ? dhcpTracer(io) : undefined };
  const responder = await UdpResponder.start(options, signal);
  return () => responder.stop();
}
