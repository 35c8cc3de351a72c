/** What owimg flash asks of this very computer; only on its loopback. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { systemHost } from '../src/flash/system-host.ts';
import { systemSurroundings } from '../src/flash/system-surroundings.ts';
import { follow } from '../src/io/follow.ts';

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
});

describe('systemSurroundings()', () => {
  const around = systemSurroundings();

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
