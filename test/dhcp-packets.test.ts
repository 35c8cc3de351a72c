import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fromHex, toBytes } from '../src/core/hex.ts';
import { addressText, isHostBeside, macText, neighbourOf, parseAddress } from '../src/dhcp/addresses.ts';
import {
  addressOption,
  fileNameLimit,
  hardwareAddress,
  type Message,
  messageBytes,
  optionCodes,
  packetText,
  parsePacket,
  typeName,
  typeOf,
  vendorClassOf,
} from '../src/dhcp/packets.ts';
import { clientMessage, ip } from './support/dhcp-clients.ts';

/** Fields of a fixed place, and zeros between them. */
function packet(
  head: string,
  { sname = '', file = '', options = '', length = 300 }: { sname?: string; file?: string; options?: string; length?: number } = {},
) {
  const bytes = new Uint8Array(length);
  bytes.set(fromHex(head));
  bytes.set(toBytes(sname), 44);
  bytes.set(toBytes(file), 108);
  bytes.set(fromHex(options), 236);
  return bytes;
}

const cookie = '63825363';

// As these programs of Debian 12 sent them.
const udhcpcDiscover = packet('01010600f7a55737000080000000000000000000000000000000000002aabbccdd1a', {
  options: `${cookie}3501013902024037070103060c0f1c2a3c0c756468637020312e33352e303d070102aabbccdd1aff`,
});
const udhcpcRequest = packet('01010600f7a55737000180000000000000000000000000000000000002aabbccdd1a', {
  options: `${cookie}3501033204c0a8580a3604c0a858023902024037070103060c0f1c2a3c0c756468637020312e33352e303d070102aabbccdd1aff`,
});
const dnsmasqOffer = packet('02010600f7a557370000800000000000c0a8580ac0a858020000000002aabbccdd1a', {
  sname: 'router',
  file: 'vmlinux',
  options: `${cookie}3501023604c0a85802330400000e103a04000007083b0400000c4e0104ffffff001c04c0a858ff0304c0a85802ff`,
});
/** To a request without a cookie: none comes back, and what stands behind it is no option. */
const dnsmasqBootpReply = packet('02010600123456780000800000000000c0a8580ac0a858020000000002aabbccdd1a', {
  sname: 'router',
  file: 'vmlinux',
  options: '000000000104ffffff001c04c0a858ff0304c0a85802ff',
});
/** A BOOTP request has no option 53; by RFC 1542 and 1497. */
const bootpRequest = packet('01010600123456780003000000000000000000000000000000000000d4ca6d010203', { options: `${cookie}ff` });

const read = (bytes: Uint8Array): Message => {
  const message = parsePacket(bytes);
  if (message.kind === 'malformed') throw new Error(message.reason);
  return message;
};

describe('messages', () => {
  test('parsePacket() reads the DHCPDISCOVER of udhcpc', () => {
    const message = read(udhcpcDiscover);
    expect(message).toMatchObject({ kind: 'request', htype: 1, hlen: 6, xid: 0xf7a55737, flags: 0x8000, ciaddr: 0, file: '' });
    expect(hardwareAddress(message)).toBe('02:aa:bb:cc:dd:1a');
    expect(typeName(message)).toBe('DHCPDISCOVER');
    expect(vendorClassOf(message)).toBe('udhcp 1.35.0');
    expect([...(message.options?.get(optionCodes.parameterList) ?? [])]).toEqual([1, 3, 6, 12, 15, 28, 42]);
  });

  test('parsePacket() reads the DHCPREQUEST of udhcpc: the address that it wants, the server that it chose', () => {
    const message = read(udhcpcRequest);
    expect(typeName(message)).toBe('DHCPREQUEST');
    expect(message.secs).toBe(1);
    expect(addressText(addressOption(message, optionCodes.requestedAddress) ?? 0)).toBe('192.168.88.10');
    expect(addressText(addressOption(message, optionCodes.serverId) ?? 0)).toBe('192.168.88.2');
  });

  test('parsePacket() reads the answers of dnsmasq', () => {
    const offer = read(dnsmasqOffer);
    expect(offer).toMatchObject({ kind: 'reply', yiaddr: ip('192.168.88.10'), siaddr: ip('192.168.88.2'), sname: 'router', file: 'vmlinux' });
    expect(typeName(offer)).toBe('DHCPOFFER');
    expect(addressOption(offer, optionCodes.subnetMask)).toBe(0xffffff00);
    const reply = read(dnsmasqBootpReply);
    expect(reply).toMatchObject({ kind: 'reply', xid: 0x12345678, yiaddr: ip('192.168.88.10'), file: 'vmlinux', options: undefined });
    expect(typeName(reply)).toBe('BOOTP reply');
  });

  test('parsePacket() tells plain BOOTP from DHCP', () => {
    const message = read(bootpRequest);
    expect(typeOf(message)).toBeUndefined();
    expect(message.options?.size).toBe(0);
    expect(packetText(bootpRequest)).toBe('BOOTP request d4:ca:6d:01:02:03 xid 0x12345678');
  });

  test.each([
    ['the DHCPDISCOVER of udhcpc', udhcpcDiscover],
    ['the DHCPREQUEST of udhcpc', udhcpcRequest],
    ['the DHCPOFFER of dnsmasq', dnsmasqOffer],
    ['a BOOTP request', bootpRequest],
  ])('messageBytes() writes %s byte by byte', (_, bytes) => expect(messageBytes(read(bytes))).toEqual(bytes));

  test('messageBytes() writes at least 300 bytes: RFC 1542 wants it', () => {
    expect(messageBytes(clientMessage()).length).toBe(300);
    expect(messageBytes(clientMessage({ options: new Map([[43, new Uint8Array(200)]]) })).length).toBeGreaterThan(300);
  });

  test.each([
    ['nothing', new Uint8Array(0), '0 bytes: at least 236'],
    ['235 bytes', new Uint8Array(235).fill(1), '235 bytes: at least 236'],
    ['TFTP', packet('0001'), 'operation 0'],
    ['operation 3', packet('030106'), 'operation 3'],
    ['a hardware address of 17 bytes', packet('010111'), '17 bytes: at most 16'],
    ['an option without a length', packet('010106', { options: `${cookie}35`, length: 241 }), 'option 53 has no length'],
    ['an option that goes on behind the end', packet('010106', { options: `${cookie}3c200102`, length: 244 }), 'option 60 of 32 bytes: only 2 are left'],
    ['such an option in the space of the file name', packet('010106', { options: `${cookie}340101ff`, file: '\x3c\xff' }), 'option 60 of 255 bytes'],
  ])('parsePacket() calls %s malformed', (_, bytes, reason) => {
    expect(parsePacket(bytes)).toMatchObject({ kind: 'malformed', reason: expect.stringContaining(reason) });
    expect(packetText(bytes)).toContain('not BOOTP');
  });

  test('parsePacket() takes what loaders leave out: the end mark, the whole vendor field', () => {
    expect(typeOf(read(packet('010106', { options: `${cookie}350101`, length: 243 })))).toBe(1);
    expect(read(packet('010106', { length: 236 })).options).toBeUndefined();
    expect(read(packet('010106', { options: '01020304', length: 300 })).options).toBeUndefined();
  });

  test('parsePacket() finds options in the space of the names (RFC 2132, 9.3), and joins the pieces of one (RFC 3396)', () => {
    const bytes = packet('020106', { options: `${cookie}340103350102420131ff`, file: 'C\x02fw\xff', sname: 'B\x0232\xff' });
    const message = read(bytes);
    expect(message).toMatchObject({ sname: '', file: '' });
    const text = (code: number) => new TextDecoder().decode(message.options?.get(code));
    expect(text(optionCodes.bootFile)).toBe('fw');
    expect(text(optionCodes.serverName)).toBe('132');
  });

  test('parsePacket() reads back whatever was written', () => {
    const address = fc.integer({ min: 0, max: 0xffffffff });
    const name = (limit: number) => fc.string({ unit: fc.constantFrom(...'abcXYZ0189 ._-/\\'), maxLength: limit });
    const options = fc
      .uniqueArray(
        fc.tuple(
          fc.integer({ min: 1, max: 254 }).filter((code) => code !== optionCodes.overload),
          fc.uint8Array({ maxLength: 600 }),
        ),
        { selector: ([code]) => code, maxLength: 6 },
      )
      .map((entries) => new Map(entries));
    const message = fc.record({
      kind: fc.constantFrom('request' as const, 'reply' as const),
      htype: fc.integer({ min: 0, max: 255 }),
      hlen: fc.integer({ min: 0, max: 16 }),
      hops: fc.integer({ min: 0, max: 255 }),
      xid: address,
      secs: fc.integer({ min: 0, max: 65535 }),
      flags: fc.integer({ min: 0, max: 65535 }),
      ciaddr: address,
      yiaddr: address,
      siaddr: address,
      giaddr: address,
      chaddr: fc.uint8Array({ minLength: 16, maxLength: 16 }),
      sname: name(63),
      file: name(fileNameLimit),
      options: fc.option(options, { nil: undefined }),
    });
    fc.assert(fc.property(message, (written) => void expect(read(messageBytes(written))).toEqual(written)));
  });

  test('parsePacket() has a value for any bytes', () => {
    const noise = fc.uint8Array({ maxLength: 700 });
    const likely = fc.tuple(noise, noise).map(([head, tail]) => {
      const bytes = new Uint8Array(240 + tail.length);
      bytes.set(head.subarray(0, 236));
      bytes.set([1 + ((head[0] ?? 0) & 1), 1, 6]);
      bytes.set(fromHex(cookie), 236);
      bytes.set(tail, 240);
      return bytes;
    });
    fc.assert(
      fc.property(fc.oneof(noise, likely), (bytes) => {
        const parsed = parsePacket(bytes);
        expect(['request', 'reply', 'malformed']).toContain(parsed.kind);
        expect(packetText(bytes)).not.toBe('');
      }),
      { numRuns: 500 },
    );
  });
});

describe('addresses', () => {
  test('parseAddress() takes four decimal numbers, and addressText() writes them', () => {
    fc.assert(fc.property(fc.integer({ min: 0, max: 0xffffffff }), (address) => void expect(parseAddress(addressText(address))).toBe(address)));
    for (const text of ['', '1.2.3', '1.2.3.4.5', '256.1.1.1', '1.2.3.04', '0x1.2.3.4', ' 1.2.3.4', '1..2.3', 'fe80::1']) {
      expect(parseAddress(text), text).toBeUndefined();
    }
  });

  test.each(['00:1F:c6:12:34:56', '00-1f-c6-12-34-56', '001fc6123456', '001f.c612.3456'])('macText() takes %s', (text) =>
    expect(macText(text)).toBe('00:1f:c6:12:34:56'),
  );

  test.each(['', '00:1f:c6:12:34', '00:1f:c6:12:34:5', '00:1f:c6:12:34:56:78', '00:1f:c6:12:34:gg', '00:1f:c6:12:34:56:', '192.168.1.1'])(
    'macText() does not take "%s"',
    (text) => expect(macText(text)).toBeUndefined(),
  );

  test('neighbourOf() gives the next address, or the one before where there is none', () => {
    const of = (address: string, mask: string) => neighbourOf(ip(address), ip(mask));
    expect(of('192.168.1.2', '255.255.255.0')).toBe(ip('192.168.1.3'));
    expect(of('192.168.1.254', '255.255.255.0')).toBe(ip('192.168.1.253'));
    expect(of('10.0.0.1', '255.255.255.252')).toBe(ip('10.0.0.2'));
    expect(of('10.0.0.1', '255.255.255.255')).toBeUndefined();
  });

  test('isHostBeside() leaves out the ends of the network, its neighbour and other networks', () => {
    const fits = (address: string) => isHostBeside(ip(address), ip('192.168.1.2'), ip('255.255.255.0'));
    expect(fits('192.168.1.1')).toBe(true);
    for (const address of ['192.168.1.0', '192.168.1.255', '192.168.1.2', '192.168.2.1', '10.0.0.1']) expect(fits(address), address).toBe(false);
  });
});
