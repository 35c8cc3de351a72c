/** `owimg flash` of devices that ask for an address, on real networks, which the test makes for itself: a loader that asks by BOOTP, and U-Boot. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import schema from '../docs/schema/flash.schema.json' with { type: 'json' };
import { fromHex, hexBytes } from '../src/core/hex.ts';
import { addressText } from '../src/dhcp/addresses.ts';
import { messageBytes, parsePacket } from '../src/dhcp/packets.ts';
import { clientMessage, clientProgram, dhcpMessage, routerMac } from './support/dhcp-clients.ts';
import { loadImage } from './support/images.ts';
import { Namespace, namespacesMissing, type Running } from './support/namespaces.ts';
import { tapIn, tapMissing, Uboot, ubootMissing } from './support/qemu.ts';
import { installed } from './support/tools.ts';

const image = 'fixtures/elf/sound-mips-32-big.elf';
const routerboard = ['--device', 'mikrotik_routerboard-750-r2', '--interface', 'lan', '--yes'];
const missing = namespacesMissing() ?? (installed('busybox') ? undefined : 'busybox is not installed');
const folder = mkdtempSync(join(tmpdir(), 'owimg-flash-network-'));
afterAll(() => rmSync(folder, { recursive: true }));

const flash = (host: Namespace, path: string, ...flags: string[]): Running =>
  host.start(process.execPath, '--import', 'tsx', 'bin/owimg.ts', 'flash', path, ...flags);

const eventsOf = (out: string): { event: string; [name: string]: unknown }[] =>
  out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

const made: Namespace[] = [];
const namespace = (): Namespace => {
  const one = new Namespace();
  made.push(one);
  return one;
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

/** What RouterBOOT does: asks by BOOTP until it is answered, and fetches the file that the reply names from the server that it names. */
async function netboot(router: Namespace): Promise<{ readonly address: string; readonly server: string; readonly file: string; readonly bytes: Buffer }> {
  const request = messageBytes(clientMessage({ xid: 0x12345678 }));
  const { status, said } = await router.run(process.execPath, '--input-type=module', '-e', clientProgram, hexBytes(request), '30000');
  expect(status, said).toBe(0);
  const reply = parsePacket(fromHex(said));
  if (reply.kind === 'malformed') throw new Error(reply.reason);
  // A BOOTP reply has no option 53: RouterBOOT ignores what has one.
  expect(reply.options?.has(53)).toBe(false);
  const [address, server] = [addressText(reply.yiaddr), addressText(reply.siaddr)];
  router.ip('address', 'replace', `${address}/24`, 'dev', 'port1');
  const got = join(folder, 'got.bin');
  const fetched = await router.run('busybox', 'tftp', '-g', '-r', reply.file, '-l', got, server);
  expect(fetched.status, fetched.said).toBe(0);
  return { address, server, file: reply.file, bytes: readFileSync(got) };
}

describe.skipIf(missing !== undefined)(`owimg flash gives an address${missing === undefined ? '' : `: ${missing}`}`, () => {
  afterEach(async () => {
    for (const one of made.splice(0)) await one.remove();
  });

  test('a RouterBOARD starts an initramfs: sent, exit 0; the transcript does not tell its MAC', async () => {
    const [host, router] = pair();
    const transcript = join(folder, 'transcript.txt');
    const flashing = flash(host, image, ...routerboard, '--transcript', transcript);
    await flashing.until('Ready to give 192.168.88.3 to the first device that asks');
    const { address, server, file, bytes } = await netboot(router);
    expect([address, server, file]).toEqual(['192.168.88.3', '192.168.88.2', 'sound-mips-32-big.elf']);
    expect(bytes.equals(readFileSync(image))).toBe(true);
    expect(await flashing.ended, flashing.err()).toBe(0);
    expect(flashing.out()).toContain('SENT\n');
    for (const words of [
      'Listening for other DHCP servers.',
      `router ${routerMac} sent BOOTP request: BOOTP reply with address 192.168.88.3, file sound-mips-32-big.elf.`,
      'router 192.168.88.3 asked for sound-mips-32-big.elf: serving it.',
      'The device starts it from memory now; nothing is written.',
    ])
      expect(flashing.err()).toContain(words);
    const told = readFileSync(transcript, 'utf8');
    expect(told).toContain('router 02:aa:bb:xx:xx:xx sent BOOTP request');
    expect(told).not.toContain(routerMac);
    expect(told).toContain('exit status 0');
  });

  test('it waits for the cable of a device that is still off; with --verify one that asks for the file again did not take it: exit 6', async () => {
    const [host, router] = pair();
    router.ip('link', 'set', 'port1', 'down');
    await host.cableOut('lan');
    const flashing = flash(host, image, ...routerboard, '--verify', '--ndjson');
    await flashing.until('Waiting for lan: the device is off, the cable is out, or the card has no address.');
    router.ip('link', 'set', 'port1', 'up');
    router.ip('route', 'replace', '255.255.255.255', 'dev', 'port1');
    await netboot(router);
    await flashing.until('"event":"sent"');
    router.ip('address', 'flush', 'dev', 'port1');
    router.ip('route', 'replace', '255.255.255.255', 'dev', 'port1');
    await netboot(router);
    expect(await flashing.ended, flashing.err()).toBe(6);
    const validate = new Ajv2020({ strict: true, allowUnionTypes: true }).compile(schema);
    const events = eventsOf(flashing.out());
    for (const event of events) {
      validate(event);
      expect(validate.errors, JSON.stringify(event)).toBeNull();
    }
    expect(events[0]).toMatchObject({ event: 'plan', plan: { part: 'bootp', gives: { bootp: true, dhcp: false, mac: null } } });
    const kinds = events.map(({ event }) => event);
    expect(kinds).toEqual(expect.arrayContaining(['waiting-for-cable', 'dhcp-listening', 'dhcp-ready', 'dhcp-reply', 'request', 'sent']));
    expect(events.filter(({ event }) => event === 'dhcp-reply')).toMatchObject([
      { mac: routerMac, asked: 'BOOTP request', answered: 'BOOTP reply', address: '192.168.88.3', file: 'sound-mips-32-big.elf' },
      { mac: routerMac },
    ]);
    expect(events.at(-1)).toMatchObject({ event: 'result', result: 'different', says: expect.stringContaining('asked for the file again'), exit: 6 });
  });

  test.skipIf(!installed('dnsmasq'))('where another DHCP server answers nobody is given an address: exit 4', async () => {
    const [host, router] = pair();
    router.ip('address', 'add', '192.168.88.1/24', 'dev', 'port1');
    const leases = `--dhcp-leasefile=${join(folder, 'leases')}`;
    const flags = ['--port=0', '-C', '/dev/null', '--user=root', '--pid-file=', '--log-facility=-', leases, '--dhcp-range=192.168.88.10,192.168.88.20'];
    await router.start('dnsmasq', '-k', ...flags).until('DHCP, IP range');
    const flashing = flash(host, image, ...routerboard, '--ndjson', '--accept', 'host-server');
    expect(await flashing.ended).toBe(4);
    expect(flashing.err()).toContain('Another DHCP server answers on lan: 192.168.88.1');
    expect(flashing.err()).not.toContain('--accept');
    const events = eventsOf(flashing.out());
    expect(events.map(({ event }) => event)).toEqual(['plan', 'result']);
    expect(events.at(-1)).toMatchObject({ event: 'result', result: 'failed', error: { code: 'host-not-ready' }, exit: 4 });
  });

  test('another server that is heard later, before the device has its address: it ends, exit 4', async () => {
    const [host, router] = pair();
    const flashing = flash(host, image, ...routerboard, '--mac', routerMac);
    await flashing.until('Ready to give');
    const offer = { ...dhcpMessage('offer', [[54, Uint8Array.of(192, 168, 88, 9)]]), kind: 'reply' as const };
    const send = `
      const socket = require('node:dgram').createSocket('udp4');
      socket.bind(67, () => {
        socket.setBroadcast(true);
        socket.send(Buffer.from(process.argv[1], 'hex'), 68, '255.255.255.255', () => socket.close());
      });`;
    router.ip('address', 'add', '192.168.88.9/24', 'dev', 'port1');
    await router.run(process.execPath, '-e', send, hexBytes(messageBytes(offer)));
    expect(await flashing.ended).toBe(4);
    expect(flashing.err()).toContain('another DHCP server is there, 192.168.88.9');
  });

  test('with another network card the device has to be named; then only that one is answered', async () => {
    const [host, router] = pair();
    host.cable('office', namespace(), 'port1');
    const vague = flash(host, image, ...routerboard);
    expect(await vague.ended).toBe(2);
    expect(vague.err()).toContain('This computer also has office, and cannot tell by which card a request comes in');
    const flashing = flash(host, image, ...routerboard, '--mac', routerMac.toUpperCase(), '--client-address', '192.168.88.77');
    await flashing.until(`Ready to give 192.168.88.77 to ${routerMac}`);
    const stranger = messageBytes(clientMessage({ mac: '02:00:00:00:00:99' }));
    expect((await router.run(process.execPath, '--input-type=module', '-e', clientProgram, hexBytes(stranger), '2500')).status).toBe(1);
    await flashing.until('02:00:00:00:00:99 sent BOOTP request: not answered, only one device is answered.');
    expect((await netboot(router)).address).toBe('192.168.88.77');
    expect(await flashing.ended, flashing.err()).toBe(0);
  });

  test('a card without an address: exit 4, with the command', async () => {
    const [host] = pair();
    host.ip('address', 'flush', 'dev', 'lan');
    const { status, said } = await host.run(process.execPath, '--import', 'tsx', 'bin/owimg.ts', 'flash', image, ...routerboard);
    expect(status).toBe(4);
    expect(said).toContain('sudo ip address add 192.168.88.2/24 dev lan');
  });

  test('interrupted while it waits for the cable, for other servers, or for the device: exit 130', async () => {
    const [host, router] = pair();
    for (const words of ['Listening for other DHCP servers', 'Ready to give', 'Waiting for lan']) {
      if (words === 'Waiting for lan') {
        router.ip('link', 'set', 'port1', 'down');
        await host.cableOut('lan');
      }
      const flashing = flash(host, image, ...routerboard);
      await flashing.until(words);
      flashing.child.kill('SIGINT');
      expect(await flashing.ended, flashing.err()).toBe(130);
      expect(flashing.err()).toContain('Stopped. Nobody had answered, so nothing has come to the device.');
    }
  });

  test('interrupted when the device has its address and no file: exit 130, and it says so', async () => {
    const [host, router] = pair();
    const flashing = flash(host, image, ...routerboard);
    await flashing.until('Ready to give');
    await router.run(process.execPath, '--input-type=module', '-e', clientProgram, hexBytes(messageBytes(clientMessage())), '30000');
    await flashing.until('sent BOOTP request: BOOTP reply');
    flashing.child.kill('SIGINT');
    expect(await flashing.ended).toBe(130);
    expect(flashing.err()).toContain('Stopped. The device has been given an address, and nothing else.');
  });

  test('nobody asks within --wait: exit 4', async () => {
    const [host] = pair();
    const flashing = flash(host, image, ...routerboard, '--wait', '6');
    expect(await flashing.ended).toBe(4);
    expect(flashing.err()).toContain('No device has asked for the file');
  });

  test('serveDhcp() and serveTftp() of owimg/node do it by themselves', async () => {
    const [host, router] = pair();
    const program = `
      import { serveDhcp, serveTftp } from './src/node.ts';
      const event = (told) => console.log(JSON.stringify(told));
      const bytes = new Uint8Array(70_000).fill(7);
      const server = await serveTftp([{ names: ['vmlinux'], bytes }], { addresses: ['192.168.88.2'], event });
      const responder = await serveDhcp({ interface: 'lan', bootp: true, mac: '${routerMac}', file: 'vmlinux', event });
      process.once('SIGTERM', () => {
        responder.stop();
        server.stop('over');
      });`;
    const serving = host.start(process.execPath, '--import', 'tsx', '--input-type=module', '-e', program);
    await serving.until('"event":"dhcp-ready"');
    const { address, file, bytes } = await netboot(router);
    expect([address, file, bytes.length]).toEqual(['192.168.88.3', 'vmlinux', 70_000]);
    await serving.until('"outcome":"complete"');
    // Nothing is left open that would keep the process alive.
    serving.child.kill('SIGTERM');
    expect(await serving.ended, serving.err()).toBe(0);
  });

  const noLoader = ubootMissing() ?? tapMissing();
  test.skipIf(noLoader !== undefined)(
    `U-Boot that asks by DHCP: address, name and file come from owimg flash${noLoader === undefined ? '' : `: ${noLoader}`}`,
    async () => {
      const host = namespace();
      const path = join(folder, 'recovery.itb');
      const bytes = loadImage('abt_asr3000-initramfs-recovery.itb');
      writeFileSync(path, bytes);
      const wire = tapIn(host, 'lan', '192.168.1.254');
      const flashing = flash(host, path, '--device', 'abt_asr3000', '--dhcp', '--interface', 'lan', '--yes');
      await flashing.until('Waiting for lan');
      // Its cable comes to life with it.
      const uboot = await Uboot.start(wire, '0.0.0.0');
      try {
        for (const name of ['ipaddr', 'serverip', 'bootfile', 'autoload']) await uboot.command(`setenv ${name}`);
        await flashing.until('Ready to give');
        const said = await uboot.command('dhcp 0x48000000');
        expect(said).toContain("Filename 'openwrt-mediatek-filogic-abt_asr3000-initramfs-recovery.itb'.");
        expect(said).toContain(`Bytes transferred = ${bytes.length}`);
        expect(await uboot.command('iminfo 0x48000000')).toMatch(/crc32\+ sha1\+/);
      } finally {
        await uboot.stop();
      }
      expect(await flashing.ended, flashing.err()).toBe(0);
      expect(flashing.err()).toContain('(U-Boot.armv7) sent DHCPDISCOVER: DHCPOFFER with address 192.168.1.253');
    },
  );
});
