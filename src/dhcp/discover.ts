/** The question whether a DHCP server is there, and who answered it. Pure. */
import { addressText } from './addresses.ts';
import { addressOption, broadcastFlag, type Message, messageBytes, messageTypes, optionCodes, optionsOf, typeOf } from './packets.ts';

/**
 * A DHCPDISCOVER, which gets an offer and binds nobody to anything: only a DHCPREQUEST would.
 *
 * @param ownMac six bytes
 * @param xid a random number, by which the answer is known
 */
export function discoverBytes(ownMac: Uint8Array, xid: number): Uint8Array {
  const chaddr = new Uint8Array(16);
  chaddr.set(ownMac.subarray(0, 6));
  const question: Message = {
    kind: 'request',
    htype: 1,
    hlen: 6,
    hops: 0,
    xid,
    secs: 0,
    flags: broadcastFlag,
    ciaddr: 0,
    yiaddr: 0,
    siaddr: 0,
    giaddr: 0,
    chaddr,
    sname: '',
    file: '',
    options: optionsOf([
      [optionCodes.messageType, Uint8Array.of(messageTypes.discover)],
      [optionCodes.parameterList, Uint8Array.of(optionCodes.subnetMask, optionCodes.router)],
    ]),
  };
  return messageBytes(question);
}

/** Whether it is an answer to {@link discoverBytes}. */
export const isOfferFor = (message: Message, xid: number): boolean => message.kind === 'reply' && message.xid === xid && typeOf(message) === messageTypes.offer;

/** The address of the server that sent it: as it says itself, else the one that it came `from`. */
export function serverOf(message: Message, from: string): string {
  const server = addressOption(message, optionCodes.serverId);
  return server === undefined ? from : addressText(server);
}
