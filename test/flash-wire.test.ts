/** Whether another DHCP or TFTP server is on the cable: asked for real, on the loopback and in networks that the test makes for itself. */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { tftpServers } from '../src/flash/system-wire.ts';
import { dataPacket, errorPacket, type Packet, parsePacket } from '../src/tftp/packets.ts';
import { Namespace, namespacesMissing, type Running } from './support/namespaces.ts';
import { installed } from './support/tools.ts';

describe('tftpServers()', () => {
  const sockets: Socket[] = [];
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.close();
  });

  /** One on the loopback that answers each request in its way, from another port. @returns its port, and what it was told there */
  async function answering(answer: Uint8Array | undefined): Promise<{ readonly port: number; readonly heard: Packet[] }> {
    const heard: Packet[] = [];
    const [listening, transfer] = [createSocket('udp4'), createSocket('udp4')];
    sockets.push(listening, transfer);
    listening.on('message', (bytes, from) => {
      heard.push(parsePacket(bytes));
      if (answer !== undefined) transfer.send(answer, from.port, from.address);
    });
    transfer.on('message', (bytes) => void heard.push(parsePacket(bytes)));
    listening.bind(0, '127.0.0.1');
    transfer.bind(0, '127.0.0.1');
    await Promise.all([once(listening, 'listening'), once(transfer, 'listening')]);
    return { port: listening.address().port, heard };
  }

  test('one that refuses is one, and is asked once, as every server understands', async () => {
    const { port, heard } = await answering(errorPacket(1, 'File not found'));
    expect(await tftpServers(['127.0.0.1'], port)).toEqual(['127.0.0.1']);
    expect(heard).toEqual([{ kind: 'read', name: 'owimg-asks-who-serves-files', mode: 'octet', options: new Map() }]);
  });

  test('one that begins to send a file is one, and is told to stop', async () => {
    const { port, heard } = await answering(dataPacket(1, new Uint8Array(512)));
    expect(await tftpServers(['127.0.0.1'], port)).toEqual(['127.0.0.1']);
    await expect.poll(() => heard.map(({ kind }) => kind)).toEqual(['read', 'error']);
  });

  test.each([
    ['silence', undefined],
    ['text', new TextEncoder().encode('who are you?')],
    ['an acknowledgement', Uint8Array.of(0, 4, 0, 0)],
  ])('who answers with %s is none', async (_, answer) => {
    const { port, heard } = await answering(answer);
    expect(await tftpServers(['127.0.0.1'], port)).toEqual([]);
    expect(heard).toHaveLength(1);
  });

  test('nobody is asked where nobody is known', async () => expect(await tftpServers([])).toEqual([]));
});

const missing = namespacesMissing() ?? (installed('dnsmasq', 'setpriv') ? undefined : 'dnsmasq or setpriv is not installed');

describe.skipIf(missing !== undefined)(`owimg doctor in a network of its own${missing === undefined ? '' : `: ${missing}`}`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'owimg-wire-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const made: Namespace[] = [];
  afterEach(async () => {
    for (const one of made.splice(0)) await one.remove();
  });

  /** A computer whose card `eth0` has 192.168.88.2, or another address, and another machine at the other end of its cable. */
  function pair(own = '192.168.88.2', other = '192.168.88.1'): readonly [host: Namespace, other: Namespace] {
    const [host, far] = [new Namespace(), new Namespace()];
    made.push(host, far);
    host.cable('eth0', far, 'port1');
    host.ip('address', 'add', `${own}/24`, 'dev', 'eth0');
    far.ip('address', 'add', `${other}/24`, 'dev', 'port1');
    return [host, far];
  }

  const always = ['-k', '--port=0', '-C', '/dev/null', '--user=root', '--pid-file=', '--log-facility=-'];
  const leasesOf = ({ name }: Namespace): string => join(folder, `leases-${name}`);
  const givesFiles = ['--enable-tftp', `--tftp-root=${folder}`];

  async function dnsmasq(where: Namespace, ...flags: string[]): Promise<Running> {
    const running = where.start('dnsmasq', ...always, `--dhcp-leasefile=${leasesOf(where)}`, ...flags);
    await running.until(flags.includes('--enable-tftp') ? 'TFTP root' : 'DHCP, IP range');
    return running;
  }

  // A firewall without rules: not every machine that runs the tests has the program that tells, and nobody's rules are in a new network.
  writeFileSync(join(folder, 'nft'), '#!/bin/sh\n', { mode: 0o755 });
  const command = ['env', `PATH=${folder}:${process.env['PATH']}:/usr/sbin:/sbin`, process.execPath, '--import', 'tsx', 'bin/owimg.ts', 'doctor'] as const;

  interface Answer {
    readonly status: number | null;
    readonly says: Readonly<Record<string, { readonly state: string; readonly says: string; readonly commands: readonly { readonly type: string }[] }>>;
  }

  async function doctor(host: Namespace, ...parts: string[]): Promise<Answer> {
    const [program = '', ...more] = parts[0] === 'setpriv' ? parts : [...command, ...parts];
    const running = host.start(program, ...more, '--json');
    const status = await running.ended;
    const { host: found } = JSON.parse(running.out());
    return { status, says: Object.fromEntries(found.checks.map((check: { readonly code: string }) => [check.code, check])) };
  }

  test('names dnsmasq, which gives addresses and files, and takes no address from it; as docs/flash.md shows', async () => {
    const [host, far] = pair();
    const server = await dnsmasq(far, '--dhcp-range=192.168.88.10,192.168.88.20', ...givesFiles);
    const { status, said } = await host.run(...command, '--interface', 'eth0');
    expect(status).toBe(0);
    await server.until('not found for 192.168.88.2');
    expect(server.err() + server.out()).toContain('DHCPOFFER(port1)');
    expect(server.err() + server.out()).not.toMatch(/DHCPREQUEST|DHCPACK/);
    expect(readFileSync(leasesOf(far), 'utf8')).toBe('');
    const page = readFileSync(new URL('../docs/flash.md', import.meta.url), 'utf8');
    const [, shown] = /^\$ sudo owimg doctor --interface eth0\n([\s\S]*?)\n```$/m.exec(page) ?? [];
    expect(said.trimEnd()).toBe(shown);
  });

  test.skipIf(!installed('nft'))('tells of a rule of nftables that drops what comes in, and does not call a server absent that it may keep out', async () => {
    const [host] = pair();
    await host.run('nft', 'add table inet filter; add chain inet filter input { type filter hook input priority 0; policy drop; }');
    const own = [process.execPath, '--import', 'tsx', 'bin/owimg.ts', 'doctor', '--interface', 'eth0', '--json'] as const;
    const { said } = await host.run(...own);
    const checks: { readonly code: string; readonly state: string; readonly says: string }[] = JSON.parse(said).host.checks;
    expect(checks.find(({ code }) => code === 'host-firewall')).toMatchObject({ state: 'note', says: expect.stringContaining('(inet filter input)') });
    expect(checks.find(({ code }) => code === 'host-server')).toMatchObject({
      state: 'note',
      says: expect.stringContaining('a firewall rule may have thrown'),
    });
  });

  test('says that nobody answered, how long it listened, and whom it could not ask', async () => {
    const [host] = pair();
    const { says } = await doctor(host, '--interface', 'eth0');
    expect(says['host-server']).toMatchObject({ state: 'good', says: 'No DHCP server was heard on eth0 within 3.5 s.' });
    expect(says['host-tftp']).toMatchObject({ state: 'note', says: expect.stringContaining('knows no other machine there') });
  });

  test('finds a TFTP server among the machines that the system knows, and says how many it asked where there is none', async () => {
    const [host, far] = pair();
    // Whoever sends something has to look for the other one first.
    await host.run(
      process.execPath,
      '-e',
      "const s = require('node:dgram').createSocket('udp4'); s.send('x', 9, '192.168.88.1', () => setTimeout(() => s.close(), 300))",
    );
    expect((await doctor(host, '--interface', 'eth0')).says['host-tftp']).toMatchObject({
      state: 'good',
      says: 'Asked the one machine that this computer knows on eth0 (192.168.88.1): no TFTP server answered.',
    });
    await dnsmasq(far, ...givesFiles);
    expect((await doctor(host, '--interface', 'eth0')).says['host-tftp']).toMatchObject({
      state: 'note',
      says: expect.stringContaining('Another TFTP server answers on eth0: 192.168.88.1.'),
    });
  });

  test('without the right to ports below 1024 says that it did not ask for DHCP servers, and with which command it would', async () => {
    const [host, far] = pair();
    await dnsmasq(far, '--dhcp-range=192.168.88.10,192.168.88.20');
    const { status, says } = await doctor(
      host,
      'setpriv',
      '--bounding-set=-net_bind_service',
      '--inh-caps=-net_bind_service',
      ...command,
      '--interface',
      'eth0',
    );
    expect(status).toBe(0);
    expect(says['host-server']).toMatchObject({ state: 'note', says: expect.stringContaining('was not asked: that needs UDP port 68') });
    expect(says['host-server']?.commands.map(({ type }) => type)).toEqual(['sudo owimg doctor --interface eth0']);
  });

  test('beside a DHCP client asks nothing, also if that one would share its port, and says so', async () => {
    const [host, far] = pair();
    const server = await dnsmasq(far, '--dhcp-range=192.168.88.10,192.168.88.20');
    const client = "require('node:dgram').createSocket({ type: 'udp4', reuseAddr: true }).bind(68, () => console.log('bound'))";
    await host.start(process.execPath, '-e', client).until('bound');
    const { says } = await doctor(host, '--interface', 'eth0');
    expect(says['host-server']).toMatchObject({ state: 'note', says: expect.stringContaining('a DHCP client of this computer has UDP port 68') });
    expect(server.err() + server.out()).not.toContain('DHCPDISCOVER');
  });

  test('does not call a DHCP server of another network absent where the system throws its answers away', async () => {
    const [host, far] = pair('192.168.88.2', '10.7.7.1');
    await dnsmasq(far, '--dhcp-range=10.7.7.10,10.7.7.20', '--no-ping');
    const filter = (value: number) =>
      host.run('sh', '-c', `echo ${value} > /proc/sys/net/ipv4/conf/all/rp_filter; echo 0 > /proc/sys/net/ipv4/conf/eth0/rp_filter`);
    await filter(1);
    expect((await doctor(host, '--interface', 'eth0')).says['host-server']).toMatchObject({ state: 'note', says: expect.stringContaining('rp_filter') });
    await filter(0);
    expect((await doctor(host, '--interface', 'eth0')).says['host-server']?.says).toContain('Another DHCP server answers on eth0: 10.7.7.1.');
  });

  test('names a DHCP server of this very computer beside another one, and stops who has to give addresses', async () => {
    const [host, far] = pair();
    await dnsmasq(host, '--dhcp-range=192.168.88.10,192.168.88.20', '--no-ping');
    await dnsmasq(far, '--dhcp-range=192.168.88.30,192.168.88.40', '--no-ping');
    const { status, said } = await host.run(...command, '--interface', 'eth0', '--device', 'mikrotik_rb5009upr', '--json');
    const checks: { readonly code: string; readonly state: string; readonly says: string }[] = JSON.parse(said).host.checks;
    expect(checks.filter(({ code }) => code === 'host-server')).toEqual([
      expect.objectContaining({ state: 'problem', says: expect.stringContaining('Another DHCP server answers on eth0: 192.168.88.1.') }),
      expect.objectContaining({ state: 'problem', says: expect.stringContaining('A DHCP server of this computer answers on eth0 (192.168.88.2).') }),
    ]);
    expect(status).toBe(1);
  });

  test('finds another machine with the address that the loader asks, and does not offer to take it', async () => {
    const [host] = pair('192.168.0.2', '192.168.0.66');
    const { status, says } = await doctor(host, '--interface', 'eth0', '--device', 'tplink_archer-c7-v5');
    expect(status).toBe(1);
    expect(says['host-address']).toMatchObject({ state: 'problem', says: expect.stringContaining('Another machine has it'), commands: [] });
  });
});
