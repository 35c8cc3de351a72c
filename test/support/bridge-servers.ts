/** Our servers at the host's end of a {@link FrameBridge}. */
import { fromHex } from '../../src/core/hex.ts';
import { addressText, parseAddress } from '../../src/dhcp/addresses.ts';
import { listenFor, Responder, type ResponderEvent } from '../../src/dhcp/responder.ts';
import { owimg, type Ran } from './console.ts';
import type { FrameBridge } from './frame-bridge.ts';
import { freePort } from './tftp-daemons.ts';

export interface Serving {
  readonly ended: Promise<Ran>;
  readonly said: () => string;
}

/** `owimg serve` on loopback, where the bridge leads to; it ends when the loader has the file, or after a time that no test needs. */
export async function serveBehind(bridge: FrameBridge, path: string, ...flags: string[]): Promise<Serving> {
  const port = await freePort();
  bridge.forward(69, port);
  let said = '';
  let listening: () => void = () => undefined;
  const ready = new Promise<void>((resolve) => {
    listening = resolve;
  });
  const err = (text: string): void => {
    said += text;
    if (text.startsWith('listening on')) listening();
  };
  const ended = owimg(['serve', path, '--bind', '127.0.0.1', '--port', String(port), '--once', '--for', '100', ...flags], { err });
  await Promise.race([ready, ended]);
  return { ended, said: () => said };
}

/** Our responder for BOOTP and DHCP, past its listening for others. @returns what happens, as it happens */
export function giveAddresses(bridge: FrameBridge, client: string, file: string): ResponderEvent[] {
  const events: ResponderEvent[] = [];
  const host = bridge.address;
  const everybody = '255.255.255.255';
  const [server, given] = [parseAddress(host) as number, parseAddress(client) as number];
  const responder = new Responder(
    { bootp: true, dhcp: true, server, netmask: 0xffffff00, client: given, file, ownMac: fromHex('020000000001'), xid: 1 },
    {
      reply: (data, to) =>
        bridge.send({ from: { address: host, port: 67 }, to: { address: to === 'everybody' ? everybody : addressText(to), port: 68 }, data }),
      ask: (data) => bridge.send({ from: { address: host, port: 68 }, to: { address: everybody, port: 67 }, data }),
      event: (event) => void events.push(event),
    },
  );
  responder.start(0);
  responder.tick(listenFor);
  bridge.onBroadcast = ({ from, to, data }) => {
    if (to.port === 67) responder.receive(data, from.address);
  };
  return events;
}
