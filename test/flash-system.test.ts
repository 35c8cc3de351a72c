/** What owimg flash asks of this very computer; only on its loopback. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { systemHost } from '../src/flash/system-host.ts';
import { macIn, systemSurroundings } from '../src/flash/system-surroundings.ts';
import { follow } from '../src/io/follow.ts';
import { addressesOf } from '../src/tftp/local-addresses.ts';

const folder = mkdtempSync(join(tmpdir(), 'owimg-flash-system-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe('systemHost()', () => {
  const host = systemHost();

  test('mayBind() says why not, and leaves nothing open', async () => {
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    const { port } = socket.address();
    expect(await host.mayBind(port, '127.0.0.1')).toBe('EADDRINUSE');
    if (host.platform === 'linux') expect(await host.isTaken(port)).toBe(true);
    socket.close();
    await once(socket, 'close');
    expect(await host.mayBind(port, '127.0.0.1')).toBe('yes');
    expect(await host.mayBind(port, '127.0.0.1')).toBe('yes');
    if (host.platform === 'linux') expect(await host.isTaken(port)).toBe(false);
    // TEST-NET-1 of RFC 5737 with a last byte that nobody has.
    expect(await host.mayBind(port, '192.0.2.253')).toBe('EADDRNOTAVAIL');
  });

  test('interfaces() knows the loopback', async () => {
    const loopback = (await host.interfaces()).find(({ addresses }) => addresses.some(({ address }) => address === '127.0.0.1'));
    expect(loopback).toMatchObject({ loopback: true, wireless: false, managedBy: undefined, gateway: undefined });
    expect(loopback?.addresses).toContainEqual({ address: '127.0.0.1', prefix: 8 });
  });

  test('hasAddress() knows what is there, and what nobody has', async () => {
    expect(await host.hasAddress('127.0.0.1')).toBe(true);
    if (host.platform === 'linux') expect(await host.hasAddress('127.0.0.2')).toBe(true);
    expect(await host.hasAddress('192.0.2.253')).toBe(false);
  });
});

test('addressesOf() reads what iproute2 and busybox say of addresses', () => {
  const found = addressesOf(
    [
      '1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever',
      '1: lo    inet6 ::1/128 scope host \\       valid_lft forever preferred_lft forever',
      '3: eth0    inet 192.168.1.10/24 brd 192.168.1.255 scope global eth0\\       valid_lft forever preferred_lft forever',
      '3: eth0    inet 192.168.0.66/24 scope global eth0:1\\       valid_lft forever preferred_lft forever',
      '3: eth0    inet6 fe80::fc:ff:fe00:1/64 scope link tentative \\       valid_lft forever preferred_lft forever',
      '3: eth0    inet6 fd00::2/64 scope global flags 02 \\       valid_lft forever preferred_lft forever',
      '4: veth1@if5    inet 10.0.0.1 peer 10.0.0.2/32 scope global veth1\\       valid_lft forever preferred_lft forever',
      '',
    ].join('\n'),
  );
  expect(Object.fromEntries(found)).toEqual({
    lo: [
      { address: '127.0.0.1', prefix: 8 },
      { address: '::1', prefix: 128 },
    ],
    eth0: [
      { address: '192.168.1.10', prefix: 24 },
      { address: '192.168.0.66', prefix: 24 },
      { address: 'fd00::2', prefix: 64 },
    ],
    veth1: [{ address: '10.0.0.1', prefix: 32 }],
  });
});

test("macIn() reads Linux' table: by the card, and only who has answered", () => {
  const table = [
    'IP address       HW type     Flags       HW address            Mask     Device',
    '192.168.1.1      0x1         0x0         00:00:00:00:00:00     *        eth0',
    '192.168.1.1      0x1         0x2         40:ed:00:12:34:56     *        wlan0',
    '192.168.0.86     0x1         0x6         00:11:22:33:44:55     *        eth0',
  ].join('\n');
  expect(macIn(table, '192.168.1.1', 'eth0')).toBeUndefined();
  expect(macIn(table, '192.168.1.1', 'wlan0')).toBe('40:ed:00:12:34:56');
  expect(macIn(table, '192.168.1.1', undefined)).toBe('40:ed:00:12:34:56');
  expect(macIn(table, '192.168.0.86', 'eth0')).toBe('00:11:22:33:44:55');
  expect(macIn(table, '192.168.0.8', 'eth0')).toBeUndefined();
});

describe('systemSurroundings()', () => {
  const around = systemSurroundings();

  test('cardTo() names the card by which the system would send', async () => {
    const loopback = (await systemHost().interfaces()).find(({ addresses }) => addresses.some(({ address }) => address === '127.0.0.1'));
    expect(await around.cardTo('127.0.0.1')).toBe(loopback?.name);
  });

  test('banner() reads the first line of a port, and nothing of one that is closed', async () => {
    const server = createServer((socket) => socket.end('SSH-2.0-dropbear\r\nmore'));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    expect(await around.banner('127.0.0.1', port)).toBe('SSH-2.0-dropbear');
    server.close();
    await once(server, 'close');
    expect(await around.banner('127.0.0.1', port)).toBeUndefined();
  });

  describe.skipIf(process.platform === 'win32')('with programs of the system that are made up', () => {
    const programs = mkdtempSync(join(tmpdir(), 'owimg-flash-programs-'));
    const path = process.env['PATH'];
    const program = (name: string, script: string): void => writeFileSync(join(programs, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    beforeEach(() => {
      process.env['PATH'] = `${programs}:${path}`;
    });
    afterEach(() => {
      process.env['PATH'] = path;
    });
    afterAll(() => rmSync(programs, { recursive: true }));

    test('ssh() asks as root, never for a password, and takes the command as it is', async () => {
      program('ssh', 'for word; do echo "[$word]"; done');
      const { ok, text } = await around.ssh('192.168.1.1', 'ubus call system board; echo "$x"');
      expect(ok).toBe(true);
      const words = text.trim().split('\n');
      expect(words).toContain('[BatchMode=yes]');
      expect(words.slice(-2)).toEqual(['[root@192.168.1.1]', '[ubus call system board; echo "$x"]']);
    });

    test('ssh() hands on what was complained about', async () => {
      program('ssh', 'echo "Permission denied (publickey)." >&2; exit 255');
      expect(await around.ssh('192.168.1.1', 'true')).toEqual({ ok: false, text: 'Permission denied (publickey).' });
    });

    describe.runIf(process.platform === 'linux')('the firewall of this system', () => {
      const firewall = () => systemHost().firewall();
      const nobodys = 'table ip nat {\\n\\tchain POSTROUTING {\\n\\t\\ttype nat hook postrouting priority srcnat; policy accept;\\n\\t}\\n}\\n';

      test('has no rule that drops anything, as nft tells', async () => {
        program('nft', `[ "$*" = 'list ruleset' ] && printf '${nobodys}'`);
        expect(await firewall()).toEqual({ kind: 'none' });
      });

      test('has rules, as nft tells', async () => {
        program('nft', "printf 'table inet filter {\\n\\tchain input {\\n\\t\\ttype filter hook input priority filter; policy drop;\\n\\t}\\n}\\n'");
        expect(await firewall()).toEqual({ kind: 'rules', by: 'nft', chain: 'inet filter input' });
      });

      test('is shown to the administrator only: unknown, with the command', async () => {
        program('nft', 'echo "Operation not permitted (you must be root)" >&2; exit 1');
        expect(await firewall()).toEqual({ kind: 'unknown', see: 'sudo nft list ruleset' });
      });
    });

    test('ping() reads the TTL in the words of Linux, and that nobody answers', async () => {
      program('ping', 'echo "64 bytes from 192.168.1.1: icmp_seq=1 ttl=100 time=0.3 ms"');
      expect(await around.ping('192.168.1.1')).toEqual({ ttl: 100 });
      program('ping', 'echo "1 packets transmitted, 0 received"; exit 1');
      expect(await around.ping('192.168.1.1')).toBeUndefined();
    });
  });

  test('sleep() ends when it is told to', async () => {
    const end = new AbortController();
    const sleeping = around.sleep(1e6, end.signal);
    end.abort();
    await sleeping;
  });
});

describe('follow()', () => {
  test('reads what is written from now on, also when the file is begun anew', async () => {
    const path = join(folder, 'console.log');
    writeFileSync(path, 'before\n');
    const following = await follow(path);
    expect(await following.read()).toBe('');
    appendFileSync(path, 'one\n');
    expect(await following.read()).toBe('one\n');
    appendFileSync(path, 'two\n');
    expect(await following.read()).toBe('one\ntwo\n');
    writeFileSync(path, 'new\n');
    expect(await following.read()).toBe('one\ntwo\nnew\n');
    rmSync(path);
    expect(await following.read()).toBe('one\ntwo\nnew\n');
    following.stop();
  });

  test('says that a file is not there, and that a folder is none', async () => {
    await expect(follow(join(folder, 'none.log'))).rejects.toMatchObject({ code: 'cannot-read' });
    await expect(follow(folder)).rejects.toMatchObject({ code: 'cannot-read' });
  });
});
