/**
 * Gives one device an address, and says which file to fetch from where. A state machine without sockets: datagrams and the time go in,
 * datagrams go out, `deadline` says when to call `tick`.
 *
 * Two servers on one network give wrong addresses to everybody, so it asks for one itself before it answers anybody, and falls silent
 * for good as soon as another server is heard.
 */
import { addressText } from './addresses.ts';
import { discoverBytes, isOfferFor, serverOf } from './discover.ts';
import {
  addressOption,
  hardwareAddress,
  type Message,
  messageBytes,
  messageTypes,
  optionCodes,
  optionsOf,
  parsePacket,
  typeName,
  typeOf,
  vendorClassOf,
} from './packets.ts';

export interface Rules {
  /** Answer plain BOOTP requests. */
  readonly bootp: boolean;
  /** Answer DHCP. */
  readonly dhcp: boolean;
  /** Our address on the interface, where the TFTP server is; 32 bits, like all of them. */
  readonly server: number;
  readonly netmask: number;
  /** The address that the device gets. */
  readonly client: number;
  /** The hardware address of the only device that is answered; whoever asks first without it. */
  readonly mac?: string | undefined;
  /** What it shall fetch. */
  readonly file: string;
  /** Our own hardware address, and a random number: for the question whether another server is there. */
  readonly ownMac: Uint8Array;
  readonly xid: number;
}

/** Why somebody is not answered. */
export type IgnoredBecause = 'another-device' | 'asks-by-bootp' | 'asks-by-dhcp' | 'came-by-a-relay' | 'no-ethernet' | 'address-in-use';

export type ResponderEvent =
  | { readonly event: 'dhcp-listening' }
  | { readonly event: 'dhcp-ready'; readonly server: string; readonly client: string; readonly mac?: string | undefined }
  | {
      readonly event: 'dhcp-reply';
      readonly mac: string;
      /** `DHCPDISCOVER`, `BOOTP request` ... */
      readonly asked: string;
      readonly answered: string;
      readonly address: string;
      readonly file: string;
      readonly vendorClass?: string | undefined;
    }
  /** Once for each device and reason. */
  | {
      readonly event: 'dhcp-ignored';
      readonly mac: string;
      readonly asked: string;
      readonly why: IgnoredBecause;
      readonly vendorClass?: string | undefined;
    }
  | { readonly event: 'dhcp-dropped'; readonly from: string; readonly reason: string }
  | { readonly event: 'dhcp-other-server'; readonly address: string };

export interface ResponderWire {
  /** From the server's port to the client's: to one address, or to everybody on the interface. */
  reply(packet: Uint8Array, to: number | 'everybody'): void;
  /** From the client's port to the server's, to everybody: our own question. */
  ask(packet: Uint8Array): void;
  event?(event: ResponderEvent): void;
}

/** dnsmasq looks for 3 s whether an address is free before it offers it. */
export const listenFor = 4500;

/** When the question is asked, counted from the beginning: one of them may be lost. */
const askAt = [0, 1000, 2500];

/** Seconds. Loaders forget it; what boots afterwards has time to be looked at. */
const leaseTime = 3600;

/** What is remembered of strangers. */
const mostIgnored = 1000;

/** RFC 2131, 2: a client need not take more than 576 bytes with IP and UDP around; what is echoed stays far below. */
const mostEchoed = 64;

/** PXE 2.1, 2.2.1: 8 in sub-option 6 says to fetch the file that is named, without a search for boot servers. iPXE takes the first such offer, and waits for others else. */
const pxeFetchThis = Uint8Array.from([6, 1, 8, 255]);

export class Responder {
  readonly #rules: Rules;
  readonly #wire: ResponderWire;
  #state: 'new' | 'listening' | 'answering' | 'silent' = 'new';
  #began = 0;
  #asked = 0;
  /** The only device that is answered. */
  #device: string | undefined;
  /** The device says that somebody else has the address. */
  #inUse = false;
  /** The last request that came before anybody may be answered. */
  #waiting: Message | undefined;
  #answered = false;
  #askedAgain = false;
  readonly #ignored = new Set<string>();
  /** The address of the other server that was heard. */
  otherServer: string | undefined;

  constructor(rules: Rules, wire: ResponderWire) {
    this.#rules = rules;
    this.#wire = wire;
    this.#device = rules.mac;
  }

  /** `silent`: another server was heard. */
  get state(): 'new' | 'listening' | 'answering' | 'silent' {
    return this.#state;
  }

  get deadline(): number {
    return this.#state === 'listening' ? this.#began + (askAt[this.#asked] ?? listenFor) : Number.POSITIVE_INFINITY;
  }

  start(now: number): void {
    this.#state = 'listening';
    this.#began = now;
    this.#event({ event: 'dhcp-listening' });
    this.tick(now);
  }

  tick(now: number): void {
    while (this.#state === 'listening' && now >= this.deadline) {
      if (this.#asked < askAt.length) {
        this.#asked += 1;
        this.#ask();
      } else {
        this.#state = 'answering';
        const { server, client, mac } = this.#rules;
        this.#event({ event: 'dhcp-ready', server: addressText(server), client: addressText(client), mac });
        if (this.#waiting !== undefined) this.#request(this.#waiting);
      }
    }
  }

  /**
   * One datagram that came to the server's or to the client's port.
   *
   * @param from the address that it came from
   */
  receive(bytes: Uint8Array, from: string): void {
    if (this.#state === 'new' || this.#state === 'silent') return;
    const message = parsePacket(bytes);
    // What is sent to everybody comes back to who sent it.
    const own = from === addressText(this.#rules.server);
    if (message.kind === 'malformed') this.#event({ event: 'dhcp-dropped', from, reason: message.reason });
    else if (message.kind === 'reply') this.#hear(message, from, own);
    else if (own) return;
    // Nobody is answered before it is certain that we are alone. Some loaders ask only once.
    else if (this.#state === 'listening') this.#waiting = message;
    else this.#request(message);
  }

  /** A reply of somebody else: to our own question, also if it comes from this machine, or to our device. */
  #hear(message: Message, from: string, own: boolean): void {
    const forUs = isOfferFor(message, this.#rules.xid);
    const forDevice = !own && this.#device !== undefined && hardwareAddress(message) === this.#device;
    if (!forUs && !forDevice) return;
    this.#fallSilent(serverOf(message, from));
  }

  #fallSilent(address: string): void {
    this.#state = 'silent';
    this.otherServer = address;
    this.#event({ event: 'dhcp-other-server', address });
  }

  #request(message: Message): void {
    this.#answer(message);
    this.#askAgain();
  }

  #answer(message: Message): void {
    const type = typeOf(message);
    const mac = hardwareAddress(message);
    const why = this.#whyNot(message, type, mac);
    if (why !== undefined) {
      this.#ignore(message, mac, why);
      return;
    }
    if (type === undefined) {
      this.#device = mac;
      this.#reply(
        message,
        'BOOTP reply',
        { yiaddr: message.ciaddr === 0 ? this.#rules.client : message.ciaddr, options: optionsOf(this.#network()) },
        'everybody',
      );
      return;
    }
    switch (type) {
      case messageTypes.discover:
        this.#device = mac;
        this.#give(message, messageTypes.offer, 'DHCPOFFER');
        break;
      case messageTypes.request:
        this.#requested(message, mac);
        break;
      case messageTypes.decline:
        if (mac !== this.#device) break;
        this.#inUse = true;
        this.#ignore(message, mac, 'address-in-use');
        break;
      case messageTypes.inform:
        if (message.ciaddr === 0) break;
        this.#device = mac;
        this.#give(message, messageTypes.ack, 'DHCPACK');
        break;
      default:
      // A release needs no answer.
    }
  }

  #whyNot(message: Message, type: number | undefined, mac: string): IgnoredBecause | undefined {
    const { bootp, dhcp } = this.#rules;
    if (message.htype !== 1 || message.hlen !== 6) return 'no-ethernet';
    if (this.#device !== undefined && mac !== this.#device) return 'another-device';
    // A relay speaks for devices of other networks.
    if (message.giaddr !== 0) return 'came-by-a-relay';
    if (type === undefined && !bootp) return 'asks-by-bootp';
    if (type !== undefined && !dhcp) return 'asks-by-dhcp';
    return this.#inUse ? 'address-in-use' : undefined;
  }

  /** RFC 2131, 4.3.2: the client's state is told by what it fills in. */
  #requested(message: Message, mac: string): void {
    const { server, client } = this.#rules;
    const chosen = addressOption(message, optionCodes.serverId);
    if (chosen !== undefined && chosen !== server) {
      this.#fallSilent(addressText(chosen));
      return;
    }
    this.#device = mac;
    const wanted = addressOption(message, optionCodes.requestedAddress) ?? message.ciaddr;
    if (wanted === client) {
      this.#give(message, messageTypes.ack, 'DHCPACK');
      return;
    }
    // It remembers an address from elsewhere: told so, it asks anew at once.
    const options = optionsOf([
      [optionCodes.messageType, Uint8Array.of(messageTypes.nak)],
      [optionCodes.serverId, server],
      [optionCodes.text, 'another address is given here'],
    ]);
    this.#reply({ ...message, ciaddr: 0 }, 'DHCPNAK', { yiaddr: 0, siaddr: 0, file: '', options }, 'everybody');
  }

  /** An offer or an acknowledgement. */
  #give(message: Message, type: number, name: string): void {
    const inform = typeOf(message) === messageTypes.inform;
    const asked = message.options?.get(optionCodes.parameterList);
    const pxe = vendorClassOf(message)?.startsWith('PXEClient') === true;
    const wants = (code: number): boolean => pxe || asked === undefined || asked.includes(code);
    const echo = (code: number): readonly [number, Uint8Array] | undefined => {
      const value = message.options?.get(code);
      return value === undefined || value.length > mostEchoed ? undefined : [code, value];
    };
    const { server, client, file } = this.#rules;
    const options = optionsOf([
      [optionCodes.messageType, Uint8Array.of(type)],
      [optionCodes.serverId, server],
      inform ? undefined : [optionCodes.leaseTime, leaseTime],
      ...this.#network(),
      wants(optionCodes.serverName) ? [optionCodes.serverName, addressText(server)] : undefined,
      wants(optionCodes.bootFile) && file !== '' ? [optionCodes.bootFile, file] : undefined,
      pxe ? [optionCodes.vendorClass, 'PXEClient'] : undefined,
      pxe ? [optionCodes.vendorSpecific, pxeFetchThis] : undefined,
      // RFC 6842, and the PXE specification for 97: it gets back by which it knows itself.
      echo(optionCodes.clientId),
      pxe ? echo(optionCodes.machineId) : undefined,
    ]);
    const known = type === messageTypes.ack && message.ciaddr !== 0;
    this.#reply(message, name, { yiaddr: inform ? 0 : client, options }, known ? message.ciaddr : 'everybody');
  }

  #network(): (readonly [number, number])[] {
    const { server, netmask } = this.#rules;
    return [
      [optionCodes.subnetMask, netmask],
      [optionCodes.router, server],
    ];
  }

  /** Who has no address yet cannot be reached but by what everybody gets, whatever its flag says. */
  #reply(message: Message, answered: string, changes: Pick<Message, 'yiaddr' | 'options'> & Partial<Message>, to: number | 'everybody'): void {
    const { server, file } = this.#rules;
    const reply: Message = { ...message, kind: 'reply', hops: 0, secs: 0, siaddr: server, sname: '', file, ...changes };
    this.#answered = true;
    this.#wire.reply(messageBytes(reply), to);
    const address = addressText(reply.yiaddr === 0 ? message.ciaddr : reply.yiaddr);
    const asked = typeName(message);
    this.#event({ event: 'dhcp-reply', mac: hardwareAddress(message), asked, answered, address, file: reply.file, vendorClass: vendorClassOf(message) });
  }

  #ignore(message: Message, mac: string, why: IgnoredBecause): void {
    const key = `${mac} ${why}`;
    if (this.#ignored.has(key) || this.#ignored.size >= mostIgnored) return;
    this.#ignored.add(key);
    this.#event({ event: 'dhcp-ignored', mac, asked: typeName(message), why, vendorClass: vendorClassOf(message) });
  }

  /** Its cable may have brought another server along, after all was asked: once more, when the device has its answer. */
  #askAgain(): void {
    if (this.#askedAgain || !this.#answered || this.#state !== 'answering') return;
    this.#askedAgain = true;
    this.#ask();
  }

  /** Our own DHCPDISCOVER. */
  #ask(): void {
    this.#wire.ask(discoverBytes(this.#rules.ownMac, this.#rules.xid));
  }

  #event(event: ResponderEvent): void {
    this.#wire.event?.(event);
  }
}
