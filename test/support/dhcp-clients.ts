/** BOOTP and DHCP messages of loaders, for the responder in a test's hand. */
import { toBytes } from '../../src/core/hex.ts';
import { parseAddress } from '../../src/dhcp/addresses.ts';
import { type Message, messageTypes, optionCodes, optionsOf } from '../../src/dhcp/packets.ts';

/** `192.168.1.1` -> 32 bits. */
export const ip = (text: string): number => parseAddress(text) as number;

export const routerMac = '02:aa:bb:cc:dd:1a';

function hardware(mac: string): Uint8Array {
  const bytes = new Uint8Array(16);
  bytes.set(mac.split(':').map((pair) => Number.parseInt(pair, 16)));
  return bytes;
}

/** What a client without an address sends; options are those of RFC 2132 by code. `options: undefined` is an early BOOTP client. */
export function clientMessage(changes: Partial<Message> & { readonly mac?: string } = {}): Message {
  const { mac = routerMac, ...fields } = changes;
  return {
    kind: 'request',
    htype: 1,
    hlen: 6,
    hops: 0,
    xid: 0x3903f326,
    secs: 0,
    flags: 0x8000,
    ciaddr: 0,
    yiaddr: 0,
    siaddr: 0,
    giaddr: 0,
    chaddr: hardware(mac),
    sname: '',
    file: '',
    options: undefined,
    ...fields,
  };
}

type Entries = readonly (readonly [number, number | string | Uint8Array])[];

/** A DHCP message of a client. */
export const dhcpMessage = (type: keyof typeof messageTypes, entries: Entries = [], changes: Partial<Message> & { readonly mac?: string } = {}): Message =>
  clientMessage({ ...changes, options: optionsOf([[optionCodes.messageType, Uint8Array.of(messageTypes[type])], ...entries]) });

/** What a PXE ROM for BIOS asks (PXE 2.1, table 2-1). */
export const pxeDiscover = (): Message =>
  dhcpMessage('discover', [
    [optionCodes.parameterList, Uint8Array.of(1, 3, 43, 60, 66, 67, 128, 135)],
    [57, Uint8Array.of(0x05, 0xc0)],
    [optionCodes.machineId, Uint8Array.of(0, ...Array.from({ length: 16 }, (_, index) => index))],
    [93, Uint8Array.of(0, 0)],
    [94, Uint8Array.of(1, 2, 1)],
    [optionCodes.vendorClass, toBytes('PXEClient:Arch:00000:UNDI:002001')],
  ]);

/** A program for Node: sends what it is given, in hexadecimal, from the client's port to everybody, as a loader does without an address, and writes what comes back. */
export const clientProgram = `
import { createSocket } from 'node:dgram';
const socket = createSocket('udp4');
socket.on('message', (bytes) => { console.log(bytes.toString('hex')); process.exit(0); });
socket.bind(68, () => {
  socket.setBroadcast(true);
  const send = () => socket.send(Buffer.from(process.argv[1], 'hex'), 67, '255.255.255.255');
  send();
  setInterval(send, 1000);
  setTimeout(() => process.exit(1), Number(process.argv[2]));
});`;
