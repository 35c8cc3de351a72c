/** `owimg serve --bootp --dhcp` on real networks, which the test makes for itself: with udhcpc, dhcping, dnsmasq, and a BOOTP client. */
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { fromHex, hexBytes } from '../src/core/hex.ts';
import { addressText } from '../src/dhcp/addresses.ts';
import { messageBytes, parsePacket } from '../src/dhcp/packets.ts';
import { type DhcpOptions, dhcpPlan } from '../src/dhcp/udp.ts';
import { owimg } from './support/console.ts';
import { clientMessage, clientProgram, routerMac } from './support/dhcp-clients.ts';
import { Namespace, namespacesMissing, type Running } from './support/namespaces.ts';
import { installed } from './support/tools.ts';

const image = 'fixtures/uimage/sound-lzma.bin';
const missing = namespacesMissing() ?? (installed('busybox') ? undefined : 'busybox is not installed');
const folder = mkdtempSync(join(tmpdir(), 'owimg-dhcp-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Called by udhcpc with what it was given in the environment. */
const script = join(folder, 'lease.sh');
writeFileSync(script, '#!/bin/sh\nfor name in ip subnet siaddr boot_file serverid lease; do eval "echo $1 $name=\\$$name"; done\n');
chmodSync(script, 0o755);

const serve = (host: Namespace, ...flags: string[]): Running => host.start(process.execPath, '--import', 'tsx', 'bin/owimg.ts', 'serve', image, ...flags);
/** One question a second; it ends with the first answer. */
const udhcpc = (router: Namespace, device: string, questions = 20) =>
  router.run('busybox', 'udhcpc', '-i', device, '-n', '-q', '-f', '-t', String(questions), '-T', '1', '-s', script);

describe.skipIf(missing !== undefined)(`owimg serve with --bootp and --dhcp in a network of its own${missing === undefined ? '' : `: ${missing}`}`, () => {
  const made: Namespace[] = [];
  const namespace = (): Namespace => {
    const one = new Namespace();
    made.push(one);
    return one;
  };
  const removeAll = async (): Promise<void> => {
    for (const one of made.splice(0)) await one.remove();
  };

  /** A host with 192.168.88.2 and a router without an address. */
  function pair(): readonly [host: Namespace, router: Namespace] {
    const [host, router] = [namespace(), namespace()];
    host.cable('lan', router, 'port1');
    host.ip('address', 'add', '192.168.88.2/24', 'dev', 'lan');
    router.ip('link', 'set', 'port1', 'address', routerMac);
    // A loader needs no routing table to send to everybody; Linux does.
    router.ip('route', 'add', '255.255.255.255', 'dev', 'port1');
    return [host, router];
  }

  describe('with one device', () => {
    let [host, router, server]: [Namespace, Namespace, Running] = [] as never;
    beforeAll(async () => {
      [host, router] = pair();
      server = serve(host, '--bootp', '--dhcp', '--interface', 'lan');
      await server.until('ready to give');
    });
    afterAll(removeAll);

    test('it says what it will do', () => {
      expect(server.err()).toContain('ready to give 192.168.88.3 to the first device that asks, with 192.168.88.2 as the server');
    });

    test('a BOOTP client without an address gets a BOOTP reply', async () => {
      const request = messageBytes(clientMessage({ xid: 0x12345678 }));
      const { status, said } = await router.run(process.execPath, '--input-type=module', '-e', clientProgram, hexBytes(request), '20000');
      expect(status).toBe(0);
      const reply = parsePacket(fromHex(said));
      if (reply.kind === 'malformed') throw new Error(reply.reason);
      expect(reply).toMatchObject({ kind: 'reply', xid: 0x12345678, file: 'sound-lzma.bin' });
      expect([reply.yiaddr, reply.siaddr].map(addressText)).toEqual(['192.168.88.3', '192.168.88.2']);
      expect([...(reply.options?.keys() ?? [])]).toEqual([1, 3]);
      expect(server.err()).toContain(`router ${routerMac} sent BOOTP request: BOOTP reply with address 192.168.88.3, file sound-lzma.bin`);
    });

    test('udhcpc gets a lease, and with it the server and the name by which it fetches the image', async () => {
      const { status, said } = await udhcpc(router, 'port1');
      expect(status, said).toBe(0);
      for (const line of [
        'ip=192.168.88.3',
        'siaddr=192.168.88.2',
        'boot_file=sound-lzma.bin',
        'serverid=192.168.88.2',
        'lease=3600',
        'subnet=255.255.255.0',
      ]) {
        expect(said).toContain(`bound ${line}\n`);
      }
      router.ip('address', 'add', '192.168.88.3/24', 'dev', 'port1');
      const got = join(folder, 'got.bin');
      const fetched = await router.run('busybox', 'tftp', '-g', '-r', 'sound-lzma.bin', '-l', got, '192.168.88.2');
      expect(fetched.status, fetched.said).toBe(0);
      expect(readFileSync(got).equals(readFileSync(image))).toBe(true);
    });

    test.skipIf(!installed('dhcping'))('dhcping, which asks again for an address that it has, gets its answer', async () => {
      const { status, said } = await router.run('dhcping', '-c', '192.168.88.3', '-s', '192.168.88.2', '-h', routerMac, '-t', '5');
      expect(said).toContain('Got answer from: 192.168.88.2');
      expect(status).toBe(0);
    });

    test('a second device is not answered', async () => {
      router.ip('address', 'flush', 'dev', 'port1');
      router.ip('link', 'set', 'port1', 'down');
      router.ip('link', 'set', 'port1', 'address', '02:00:00:00:00:99');
      router.ip('link', 'set', 'port1', 'up');
      const { said } = await udhcpc(router, 'port1', 3);
      expect(said).toContain('no lease, failing');
      await server.until('02:00:00:00:00:99 sent DHCPDISCOVER: not answered, only one device is answered. If it is this one: --mac');
    });

    test('interrupted, it closes its sockets and exits 130', async () => {
      server.child.kill('SIGINT');
      expect(await server.ended).toBe(130);
    });
  });

  describe('beside others', () => {
    afterEach(removeAll);

    test('it waits for the cable of a device that is still off, and is there when that asks', async () => {
      const [host, router] = pair();
      router.ip('link', 'set', 'port1', 'down');
      await host.cableOut('lan');
      const server = serve(host, '--dhcp', '--interface', 'lan');
      await server.until('waiting for lan: the device is off, the cable is out, or it has no address');
      router.ip('link', 'set', 'port1', 'up');
      const { status, said } = await udhcpc(router, 'port1');
      expect(status, said).toBe(0);
      expect(said).toContain('bound ip=192.168.88.3\n');
      expect(server.err()).toContain('ready to give 192.168.88.3');
    });

    test('waiting for the cable ends with the time, and when it is interrupted', async () => {
      const [host, router] = pair();
      router.ip('link', 'set', 'port1', 'down');
      await host.cableOut('lan');
      const patient = serve(host, '--dhcp', '--interface', 'lan');
      const hasty = serve(host, '--dhcp', '--interface', 'lan', '--for', '1');
      expect(await hasty.ended).toBe(4);
      expect(hasty.err()).toContain('Nothing came up on lan: no cable, or no address');
      await patient.until('waiting for lan');
      patient.child.kill('SIGINT');
      expect(await patient.ended).toBe(130);
    });

    test('the router is switched off and on: its cable goes and comes, and it is answered again', async () => {
      const [host, router] = pair();
      const server = serve(host, '--dhcp', '--interface', 'lan');
      await server.until('ready to give');
      expect((await udhcpc(router, 'port1')).said).toContain('bound ip=192.168.88.3\n');
      router.ip('link', 'set', 'port1', 'down');
      await host.cableOut('lan');
      router.ip('link', 'set', 'port1', 'up');
      expect((await udhcpc(router, 'port1')).said).toContain('bound ip=192.168.88.3\n');
    });

    test.skipIf(!installed('dnsmasq'))('it refuses to start where dnsmasq answers, though that waits for 3 s', async () => {
      const [host, router] = pair();
      router.ip('address', 'add', '192.168.88.1/24', 'dev', 'port1');
      const leases = `--dhcp-leasefile=${join(folder, 'leases')}`;
      const flags = ['--port=0', '-C', '/dev/null', '--user=root', '--pid-file=', '--log-facility=-', leases, '--dhcp-range=192.168.88.10,192.168.88.20'];
      await router.start('dnsmasq', '-k', ...flags).until('DHCP, IP range');
      const server = serve(host, '--dhcp', '--interface', 'lan');
      expect(await server.ended).toBe(4);
      expect(server.err()).toContain('owimg: Not giving addresses on lan: another DHCP server is there, 192.168.88.1');
    });

    test('it refuses to start where another one of this machine has the port for itself', async () => {
      const [host] = pair();
      const holder = "require('node:dgram').createSocket('udp4').bind(67, () => console.log('bound'))";
      await host.start(process.execPath, '-e', holder).until('bound');
      const server = serve(host, '--dhcp', '--interface', 'lan');
      expect(await server.ended).toBe(4);
      expect(server.err()).toContain('Cannot open UDP 192.168.88.2:67: another DHCP server runs on this machine');
    });

    test('with two interfaces it wants the hardware address; then only that device is answered, and only by that interface', async () => {
      const [host, router] = pair();
      const office = namespace();
      host.cable('office', office, 'port1');
      host.ip('address', 'add', '10.9.8.1/24', 'dev', 'office');
      const vague = serve(host, '--dhcp', '--interface', 'lan');
      expect(await vague.ended).toBe(2);
      expect(vague.err()).toContain('Cannot tell whether a request comes in by lan: this machine also has office');
      const server = serve(host, '--dhcp', '--interface', 'lan', '--mac', routerMac.toUpperCase(), '--client-address', '192.168.88.77');
      await server.until('ready to give 192.168.88.77');
      const listen =
        "require('node:dgram').createSocket('udp4').on('message', (_, { address }) => console.log('heard', address)).bind(68, () => console.log('bound'))";
      const listener = office.start(process.execPath, '-e', listen);
      await listener.until('bound');
      const stranger = await udhcpc(office, 'port1', 3);
      expect(stranger.said).toContain('no lease, failing');
      const { status, said } = await udhcpc(router, 'port1');
      expect(status, said).toBe(0);
      expect(said).toContain('bound ip=192.168.88.77\n');
      expect(listener.out()).toBe('bound\n');
    });

    test.skipIf(!installed('dnsmasq'))('a DHCP server on another network of this machine is no other server', async () => {
      const [host, router] = pair();
      const office = namespace();
      host.cable('office', office, 'port1');
      host.ip('address', 'add', '10.9.8.1/24', 'dev', 'office');
      // It has the port, but on its interface only: as those of virtual machines do.
      const flags = ['--port=0', '-C', '/dev/null', '--user=root', '--pid-file=', '--log-facility=-', `--dhcp-leasefile=${join(folder, 'office')}`];
      const where = ['--interface=office', '--except-interface=lo', '--bind-interfaces', '--dhcp-range=10.9.8.10,10.9.8.20', '--no-ping'];
      await host.start('dnsmasq', '-k', ...flags, ...where).until('DHCP, IP range');
      const server = serve(host, '--dhcp', '--interface', 'lan', '--mac', routerMac);
      await server.until('ready to give 192.168.88.3');
      expect((await udhcpc(router, 'port1')).said).toContain('bound ip=192.168.88.3\n');
      expect((await udhcpc(office, 'port1')).said).toMatch(/bound ip=10\.9\.8\.\d+\n/);
    });
  });
});

describe('dhcpPlan()', () => {
  const [loopback = '', entries = []] =
    Object.entries(networkInterfaces()).find(([, all = []]) => all.some(({ internal, family }) => internal && family === 'IPv4')) ?? [];
  const mask = entries.find(({ family }) => family === 'IPv4')?.netmask;
  const options: DhcpOptions = { bootp: true, dhcp: true, interfaceName: loopback, file: 'fw.bin' };

  test.skipIf(mask !== '255.0.0.0')('gives the address next to ours, or the one that is asked for', () => {
    expect(addressText(dhcpPlan(options, []).client)).toBe('127.0.0.2');
    expect(addressText(dhcpPlan({ ...options, clientAddress: '127.1.2.3' }, []).client)).toBe('127.1.2.3');
  });

  test('writes the hardware address in one way', () => expect(dhcpPlan({ ...options, mac: 'D4-CA-6D-01-02-03' }, ['eth1']).mac).toBe('d4:ca:6d:01:02:03'));

  test.each<[string, Partial<DhcpOptions>, string[], string, string]>([
    ['an interface that is not there', { interfaceName: 'no-such0' }, [], 'cannot-listen', 'does not exist, or has no address'],
    ['several interfaces and no hardware address', {}, ['eth1', 'wlan0'], 'bad-usage', 'this machine also has eth1, wlan0'],
    ['a hardware address that is none', { mac: '00:11:22' }, [], 'bad-value', 'Cannot use "00:11:22" as a hardware address'],
    ['an address that is none', { clientAddress: '192.168.1' }, [], 'bad-value', 'Cannot use "192.168.1"'],
    ['an address of another network', { clientAddress: '192.168.1.1' }, [], 'bad-value', 'it is not one of 127.0.0.1/8'],
    ['our own address', { clientAddress: '127.0.0.1' }, [], 'bad-value', `it is that of ${loopback} itself`],
    ['a name without room', { file: 'x'.repeat(128) }, [], 'bad-value', 'room for a name of 127 bytes'],
  ])('refuses %s', (_, changes, others, code, message) => {
    expect(() => dhcpPlan({ ...options, ...changes }, others)).toThrow(expect.objectContaining({ code, message: expect.stringContaining(message) }));
  });
});

describe('owimg serve', () => {
  test.each([
    ['--dhcp without --interface', ['--dhcp'], 'Cannot give addresses on all networks'],
    ['--bootp without --interface', ['--bootp'], 'Cannot give addresses on all networks'],
    ['--mac alone', ['--mac', '00:11:22:33:44:55'], 'Cannot use --mac alone'],
    ['--client-address alone', ['--client-address', '192.168.1.1'], 'Cannot use --client-address alone'],
  ])('refuses %s', async (_, flags, message) => {
    const { status, err } = await owimg(['serve', image, ...flags]);
    expect(status).toBe(2);
    expect(err).toContain(message);
  });
});
