import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fromHex, toBytes } from '../src/core/hex.ts';
import { addressText } from '../src/dhcp/addresses.ts';
import {
  addressOption,
  type Message,
  messageBytes,
  messageTypes,
  optionCodes,
  optionsOf,
  parsePacket,
  typeName,
  typeOf,
  vendorClassOf,
} from '../src/dhcp/packets.ts';
import { type IgnoredBecause, listenFor, Responder, type ResponderEvent, type Rules } from '../src/dhcp/responder.ts';
import { clientMessage, dhcpMessage, ip, pxeDiscover, routerMac } from './support/dhcp-clients.ts';

const [server, client] = [ip('192.168.88.2'), ip('192.168.88.3')];
const nobody = '0.0.0.0';

const rules: Rules = {
  bootp: true,
  dhcp: true,
  server,
  netmask: ip('255.255.255.0'),
  client,
  file: 'vmlinux.elf',
  ownMac: fromHex('525400000001'),
  xid: 0xabad1dea,
};

function read(bytes: Uint8Array): Message {
  const message = parsePacket(bytes);
  if (message.kind === 'malformed') throw new Error(message.reason);
  return message;
}

class Bench {
  readonly replies: { readonly message: Message; readonly to: number | 'everybody'; readonly length: number }[] = [];
  readonly questions: Message[] = [];
  readonly events: ResponderEvent[] = [];
  readonly responder: Responder;
  now = 1000;

  constructor(changes: Partial<Rules> = {}) {
    this.responder = new Responder(
      { ...rules, ...changes },
      {
        reply: (packet, to) => void this.replies.push({ message: read(packet), to, length: packet.length }),
        ask: (packet) => void this.questions.push(read(packet)),
        event: (event) => void this.events.push(event),
      },
    );
  }

  /** Lets time pass; the responder is called when it wants to be. */
  pass(milliseconds: number): this {
    const end = this.now + milliseconds;
    while (this.responder.deadline <= end) {
      this.now = Math.max(this.now, this.responder.deadline);
      this.responder.tick(this.now);
    }
    this.now = end;
    return this;
  }

  start(): this {
    this.responder.start(this.now);
    return this;
  }

  /** Up to where it answers. */
  ready(): this {
    return this.start().pass(listenFor);
  }

  /** @returns the answer, `undefined` if there is none */
  ask(message: Message | Uint8Array, from = nobody): { readonly message: Message; readonly to: number | 'everybody'; readonly length: number } | undefined {
    const before = this.replies.length;
    this.responder.receive(message instanceof Uint8Array ? message : messageBytes(message), from);
    expect(this.replies.length - before).toBeLessThan(2);
    return this.replies[before];
  }

  ignored(): IgnoredBecause[] {
    return this.events.flatMap((event) => (event.event === 'dhcp-ignored' ? [event.why] : []));
  }
}

const offerOf = (address: string, xid: number, chaddr: Uint8Array = new Uint8Array(16)): Message => ({
  ...clientMessage({ xid, chaddr }),
  kind: 'reply',
  yiaddr: ip('192.168.88.77'),
  options: optionsOf([
    [optionCodes.messageType, Uint8Array.of(messageTypes.offer)],
    [optionCodes.serverId, ip(address)],
  ]),
});

describe('Responder: is another server there?', () => {
  test('it asks three times as a DHCP client, and answers nobody before it has listened for 4.5 s', () => {
    const bench = new Bench().start();
    expect(bench.questions.map(typeName)).toEqual(['DHCPDISCOVER']);
    expect(bench.questions[0]).toMatchObject({ xid: rules.xid, flags: 0x8000 });
    expect(bench.ask(dhcpMessage('discover'))).toBeUndefined();
    bench.pass(listenFor - 1);
    expect(bench.questions.length).toBe(3);
    expect(bench.responder.state).toBe('listening');
    bench.pass(1);
    expect(bench.responder.state).toBe('answering');
    expect(bench.events.find(({ event }) => event === 'dhcp-ready')).toEqual({
      event: 'dhcp-ready',
      server: '192.168.88.2',
      client: '192.168.88.3',
      mac: undefined,
    });
    expect(bench.ask(clientMessage())).toBeDefined();
    expect(bench.responder.deadline).toBe(Number.POSITIVE_INFINITY);
  });

  test('the last that was asked meanwhile is answered as soon as it may be: some loaders ask only once', () => {
    const bench = new Bench().start().pass(500);
    expect(bench.ask(clientMessage({ xid: 1 }))).toBeUndefined();
    expect(bench.ask(clientMessage({ xid: 2 }))).toBeUndefined();
    bench.pass(listenFor);
    expect(bench.replies.map(({ message: { xid } }) => xid)).toEqual([2]);
  });

  test('nothing of that is answered where another server is heard', () => {
    const bench = new Bench().start().pass(500);
    bench.ask(clientMessage());
    bench.responder.receive(messageBytes(offerOf('192.168.88.1', rules.xid)), '192.168.88.1');
    bench.pass(listenFor);
    expect(bench.replies).toEqual([]);
  });

  test.each([0, 3100, listenFor - 1])('an offer to its own question after %i ms makes it silent for good', (after) => {
    const bench = new Bench().start().pass(after);
    bench.responder.receive(messageBytes(offerOf('192.168.88.1', rules.xid)), '192.168.88.1');
    expect(bench.responder.state).toBe('silent');
    expect(bench.responder.otherServer).toBe('192.168.88.1');
    expect(bench.events.at(-1)).toEqual({ event: 'dhcp-other-server', address: '192.168.88.1' });
    const asked = bench.questions.length;
    bench.pass(60_000);
    expect(bench.ask(dhcpMessage('discover'))).toBeUndefined();
    expect(bench.ask(clientMessage())).toBeUndefined();
    expect(bench.questions.length).toBe(asked);
  });

  test('an offer of another server on this very machine counts too', () => {
    const bench = new Bench().start();
    bench.responder.receive(messageBytes(offerOf('192.168.88.2', rules.xid)), '192.168.88.2');
    expect(bench.responder.state).toBe('silent');
  });

  test('offers to others do not matter: a broadcast of another network is heard as well', () => {
    const bench = new Bench().start();
    bench.responder.receive(messageBytes(offerOf('10.0.0.1', 0x11111111)), '10.0.0.1');
    bench.pass(listenFor);
    bench.responder.receive(messageBytes(offerOf('10.0.0.1', 0x11111111)), '10.0.0.1');
    expect(bench.responder.state).toBe('answering');
  });

  test('it asks once more when the device has its answer, and falls silent when a server answers then', () => {
    const bench = new Bench().ready();
    expect(bench.questions.length).toBe(3);
    expect(bench.ask(dhcpMessage('discover'))).toBeDefined();
    expect(bench.questions.length).toBe(4);
    bench.ask(dhcpMessage('discover'));
    expect(bench.questions.length).toBe(4);
    bench.responder.receive(messageBytes(offerOf('192.168.88.1', rules.xid)), '192.168.88.1');
    expect(bench.ask(dhcpMessage('discover'))).toBeUndefined();
  });

  test('an offer of another server to its own device makes it silent', () => {
    const bench = new Bench().ready();
    const discover = dhcpMessage('discover');
    bench.ask(discover);
    bench.responder.receive(messageBytes(offerOf('192.168.88.1', discover.xid, discover.chaddr)), '192.168.88.1');
    expect(bench.responder.otherServer).toBe('192.168.88.1');
  });

  test('what it sent to everybody itself comes back, and is no other server and no client', () => {
    const bench = new Bench({ mac: routerMac }).ready();
    const answer = bench.ask(dhcpMessage('discover'));
    bench.responder.receive(messageBytes(answer?.message as Message), '192.168.88.2');
    bench.responder.receive(messageBytes(bench.questions[0] as Message), '192.168.88.2');
    expect(bench.responder.state).toBe('answering');
    expect(bench.replies.length).toBe(1);
    expect(bench.ignored()).toEqual([]);
  });

  test('a device that chooses another server makes it silent', () => {
    const bench = new Bench().ready();
    bench.ask(dhcpMessage('discover'));
    expect(bench.ask(dhcpMessage('request', [[optionCodes.serverId, ip('192.168.88.1')]]))).toBeUndefined();
    expect(bench.responder.otherServer).toBe('192.168.88.1');
  });
});

describe('Responder: BOOTP', () => {
  test('a BOOTP request gets a BOOTP reply at once: 300 bytes, no option 53, address, server, file', () => {
    const bench = new Bench().ready();
    const request = clientMessage({ xid: 0xd4ca6d01, secs: 3 });
    const answer = bench.ask(request);
    expect(answer?.length).toBe(300);
    expect(answer?.to).toBe('everybody');
    expect(answer?.message).toMatchObject({ kind: 'reply', xid: 0xd4ca6d01, yiaddr: client, siaddr: server, file: 'vmlinux.elf', flags: 0x8000, hops: 0 });
    expect(answer?.message.chaddr).toEqual(request.chaddr);
    expect([...(answer?.message.options ?? [])]).toEqual([
      [optionCodes.subnetMask, Uint8Array.of(255, 255, 255, 0)],
      [optionCodes.router, Uint8Array.of(192, 168, 88, 2)],
    ]);
    expect(bench.events.at(-1)).toMatchObject({
      event: 'dhcp-reply',
      mac: routerMac,
      asked: 'BOOTP request',
      answered: 'BOOTP reply',
      address: '192.168.88.3',
    });
  });

  test('a client that has an address keeps it', () => {
    const answer = new Bench().ready().ask(clientMessage({ ciaddr: ip('192.168.88.50') }), '192.168.88.50');
    expect(answer?.message).toMatchObject({ ciaddr: ip('192.168.88.50'), yiaddr: ip('192.168.88.50') });
  });

  test('asked again, it answers again the same', () => {
    const bench = new Bench().ready();
    const [first, second] = [bench.ask(clientMessage()), bench.ask(clientMessage())];
    expect(second).toEqual(first);
  });

  test('without --bootp nobody is answered, and it says once why', () => {
    const bench = new Bench({ bootp: false }).ready();
    for (let times = 0; times < 3; times += 1) expect(bench.ask(clientMessage())).toBeUndefined();
    expect(bench.ignored()).toEqual(['asks-by-bootp']);
  });
});

describe('Responder: DHCP', () => {
  test('DISCOVER, OFFER, REQUEST, ACK, as a client without an address goes through it', () => {
    const bench = new Bench().ready();
    const offer = bench.ask(dhcpMessage('discover'));
    expect(offer?.to).toBe('everybody');
    expect(offer?.message).toMatchObject({ yiaddr: client, siaddr: server, file: 'vmlinux.elf', ciaddr: 0 });
    const option = (code: number) => addressOption(offer?.message as Message, code);
    expect(typeOf(offer?.message as Message)).toBe(messageTypes.offer);
    expect(option(optionCodes.serverId)).toBe(server);
    expect(option(optionCodes.subnetMask)).toBe(rules.netmask);
    expect(option(optionCodes.leaseTime)).toBe(3600);
    const ack = bench.ask(
      dhcpMessage('request', [
        [optionCodes.requestedAddress, client],
        [optionCodes.serverId, server],
      ]),
    );
    expect(typeOf(ack?.message as Message)).toBe(messageTypes.ack);
    expect(ack?.message).toMatchObject({ yiaddr: client, siaddr: server, file: 'vmlinux.elf' });
    expect(ack?.to).toBe('everybody');
  });

  test('the answer is broadcast even to a client that did not ask for it: it has no address yet', () => {
    expect(new Bench().ready().ask(dhcpMessage('discover', [], { flags: 0 }))).toMatchObject({ to: 'everybody', message: { flags: 0 } });
  });

  test('options 66 and 67 go to who asks for them, to who has no list, and to PXE', () => {
    const names = (entries: Parameters<typeof dhcpMessage>[1]) => {
      const options = new Bench().ready().ask(dhcpMessage('discover', entries))?.message.options;
      return [optionCodes.serverName, optionCodes.bootFile].map((code) => new TextDecoder().decode(options?.get(code)));
    };
    const both = ['192.168.88.2', 'vmlinux.elf'];
    expect(names([])).toEqual(both);
    expect(names([[optionCodes.parameterList, Uint8Array.of(1, 66, 67)]])).toEqual(both);
    expect(names([[optionCodes.parameterList, Uint8Array.of(1, 3)]])).toEqual(['', '']);
    expect(
      names([
        [optionCodes.parameterList, Uint8Array.of(1, 3)],
        [optionCodes.vendorClass, 'PXEClient:Arch:00000:UNDI:002001'],
      ]),
    ).toEqual(both);
  });

  test('PXE gets its class and its machine id back, and is told to fetch the file without searching for boot servers', () => {
    const { message, length } = new Bench().ready().ask(pxeDiscover()) ?? {};
    expect(vendorClassOf(message as Message)).toBe('PXEClient');
    expect(message?.options?.get(optionCodes.vendorSpecific)).toEqual(Uint8Array.of(6, 1, 8, 255));
    expect(message?.options?.get(optionCodes.machineId)).toEqual(pxeDiscover().options?.get(optionCodes.machineId));
    expect(length).toBeLessThanOrEqual(548);
  });

  test('other clients get no PXE options; the client id comes back (RFC 6842), but not a huge one', () => {
    const given = (id: Uint8Array) =>
      new Bench().ready().ask(
        dhcpMessage('discover', [
          [optionCodes.clientId, id],
          [optionCodes.machineId, id],
        ]),
      )?.message;
    const id = toBytes('\x01router');
    expect(given(id)?.options?.get(optionCodes.clientId)).toEqual(id);
    expect(given(id)?.options?.has(optionCodes.machineId)).toBe(false);
    expect(given(id)?.options?.has(optionCodes.vendorClass)).toBe(false);
    expect(given(new Uint8Array(255))?.options?.has(optionCodes.clientId)).toBe(false);
  });

  test.each([
    ['another address of this network', '192.168.88.99'],
    ['an address of another network', '10.0.0.7'],
  ])('who remembers %s is told to begin anew', (_, address) => {
    const nak = new Bench().ready().ask(dhcpMessage('request', [[optionCodes.requestedAddress, ip(address)]]));
    expect(typeOf(nak?.message as Message)).toBe(messageTypes.nak);
    expect(nak?.message).toMatchObject({ yiaddr: 0, ciaddr: 0, siaddr: 0, file: '' });
    expect(nak?.message.options?.has(optionCodes.leaseTime)).toBe(false);
    expect(nak?.to).toBe('everybody');
  });

  test('who renews gets the answer at its address', () => {
    const ack = new Bench().ready().ask(dhcpMessage('request', [], { ciaddr: client, flags: 0 }), addressText(client));
    expect(typeOf(ack?.message as Message)).toBe(messageTypes.ack);
    expect(ack).toMatchObject({ to: client, message: { ciaddr: client, yiaddr: client } });
  });

  test('who renews another address is told so, by broadcast', () => {
    const nak = new Bench().ready().ask(dhcpMessage('request', [], { ciaddr: ip('192.168.88.99') }), '192.168.88.99');
    expect(typeOf(nak?.message as Message)).toBe(messageTypes.nak);
    expect(nak?.to).toBe('everybody');
  });

  test('DHCPINFORM gets the names and no address', () => {
    const ack = new Bench().ready().ask(dhcpMessage('inform', [], { ciaddr: ip('192.168.88.50') }), '192.168.88.50');
    expect(ack).toMatchObject({ to: ip('192.168.88.50'), message: { yiaddr: 0, siaddr: server, file: 'vmlinux.elf' } });
    expect(ack?.message.options?.has(optionCodes.leaseTime)).toBe(false);
  });

  test('an address that the device finds taken is not given again', () => {
    const bench = new Bench().ready();
    bench.ask(dhcpMessage('discover'));
    expect(bench.ask(dhcpMessage('decline', [[optionCodes.requestedAddress, client]]))).toBeUndefined();
    expect(bench.ask(dhcpMessage('discover'))).toBeUndefined();
    expect(bench.ignored()).toEqual(['address-in-use']);
  });

  test('a release needs no answer', () => expect(new Bench().ready().ask(dhcpMessage('release', [], { ciaddr: client }))).toBeUndefined());

  test('without --dhcp nobody is answered, and it says once why, with the vendor class', () => {
    const bench = new Bench({ dhcp: false }).ready();
    const discover = dhcpMessage('discover', [[optionCodes.vendorClass, 'Mips_boot']]);
    for (let times = 0; times < 3; times += 1) expect(bench.ask(discover)).toBeUndefined();
    expect(bench.ignored()).toEqual(['asks-by-dhcp']);
    expect(bench.events.at(-1)).toMatchObject({ event: 'dhcp-ignored', mac: routerMac, asked: 'DHCPDISCOVER', vendorClass: 'Mips_boot' });
    expect(bench.ask(clientMessage())).toBeDefined();
  });
});

describe('Responder: one device', () => {
  test('with a hardware address given, nobody else is answered', () => {
    const bench = new Bench({ mac: routerMac }).ready();
    expect(bench.ask(dhcpMessage('discover', [], { mac: '00:00:00:00:00:01' }))).toBeUndefined();
    expect(bench.ask(clientMessage({ mac: '00:00:00:00:00:02' }))).toBeUndefined();
    expect(bench.ask(dhcpMessage('discover'))).toBeDefined();
    expect(bench.ignored()).toEqual(['another-device', 'another-device']);
  });

  test('without one, the first that asks is the one', () => {
    const bench = new Bench().ready();
    expect(bench.ask(clientMessage())).toBeDefined();
    expect(bench.ask(clientMessage({ mac: '00:00:00:00:00:02' }))).toBeUndefined();
    expect(bench.ask(clientMessage())).toBeDefined();
  });

  test('who was not answered is not the one', () => {
    const bench = new Bench({ bootp: false }).ready();
    bench.ask(clientMessage({ mac: '00:00:00:00:00:02' }));
    expect(bench.ask(dhcpMessage('discover'))).toBeDefined();
  });

  test('what came by a relay, or from something else than Ethernet, is not answered', () => {
    const bench = new Bench().ready();
    expect(bench.ask(clientMessage({ giaddr: ip('10.0.0.1') }))).toBeUndefined();
    expect(bench.ask(clientMessage({ htype: 6 }))).toBeUndefined();
    expect(bench.ask(clientMessage({ hlen: 8 }))).toBeUndefined();
    expect(bench.ignored()).toEqual(['came-by-a-relay', 'no-ethernet', 'no-ethernet']);
  });

  test('a flood of strangers is remembered only in part', () => {
    const bench = new Bench({ mac: routerMac }).ready();
    for (let number = 0; number < 3000; number += 1)
      bench.ask(clientMessage({ mac: `00:00:00:00:${(number >> 8).toString(16)}:${(number & 255).toString(16)}` }));
    expect(bench.ignored().length).toBe(1000);
    expect(bench.ask(dhcpMessage('discover'))).toBeDefined();
  });

  test('malformed packets are dropped and said, and the next one is answered', () => {
    const bench = new Bench().ready();
    expect(bench.ask(new Uint8Array(100))).toBeUndefined();
    expect(bench.events.at(-1)).toEqual({ event: 'dhcp-dropped', from: nobody, reason: '100 bytes: at least 236 are expected' });
    expect(bench.ask(dhcpMessage('discover'))).toBeDefined();
  });

  test('whatever comes in: at most one answer, of 300 to 548 bytes, to the one device, never beside another server', () => {
    const macs = [routerMac, '00:00:00:00:00:02'];
    const address = fc.constantFrom(0, server, client, ip('192.168.88.9'), ip('10.0.0.1'));
    const entry = fc.oneof(
      fc.tuple(fc.constantFrom(optionCodes.serverId, optionCodes.requestedAddress), address),
      fc.tuple(fc.integer({ min: 1, max: 254 }), fc.uint8Array({ maxLength: 255 })),
    );
    const message = fc
      .record({
        type: fc.option(fc.constantFrom(...(Object.keys(messageTypes) as (keyof typeof messageTypes)[])), { nil: undefined }),
        entries: fc.array(entry, { maxLength: 6 }),
        mac: fc.constantFrom(...macs),
        ciaddr: address,
        giaddr: fc.constantFrom(0, 0, 0, ip('10.0.0.1')),
        kind: fc.constantFrom('request' as const, 'request' as const, 'request' as const, 'reply' as const),
        xid: fc.constantFrom(1, 2, rules.xid),
      })
      .map(({ type, entries, ...fields }) =>
        type === undefined ? clientMessage({ ...fields, options: optionsOf(entries) }) : dhcpMessage(type, entries, fields),
      );
    fc.assert(
      fc.property(fc.array(fc.oneof(message, fc.uint8Array({ maxLength: 400 })), { maxLength: 20 }), (messages) => {
        const bench = new Bench().ready();
        let silent = false;
        for (const one of messages) {
          const answer = bench.ask(one);
          if (silent) expect(answer).toBeUndefined();
          silent = bench.responder.state === 'silent';
        }
        const devices = new Set(bench.replies.map(({ message: { chaddr } }) => chaddr.join()));
        expect(devices.size).toBeLessThan(2);
        for (const { length } of bench.replies) {
          expect(length).toBeGreaterThanOrEqual(300);
          expect(length).toBeLessThanOrEqual(548);
        }
      }),
      { numRuns: 500 },
    );
  });
});
