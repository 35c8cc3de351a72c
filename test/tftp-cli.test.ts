/** `owimg serve` and `owimg tftp` as people call them; over loopback. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { parsePacket } from '../src/tftp/packets.ts';
import { bytesSource } from '../src/tftp/sending.ts';
import { serverLimits } from '../src/tftp/server.ts';
import { UdpServer } from '../src/tftp/udp.ts';
import { owimg } from './support/console.ts';
import { freePort } from './support/tftp-daemons.ts';
import { numberedBytes } from './support/tftp-peers.ts';

const root = fileURLToPath(new URL('../', import.meta.url));
const fixture = (path: string): string => join(root, 'fixtures', path);
const sound = fixture('fwtool/sound-metadata.bin');
const broken = fixture('uimage/data-checksum-mismatch--kernel.bin');
let folder = '';
let content: Uint8Array;
const closing: (() => void)[] = [];
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'owimg-tftp-cli-'));
  content = new Uint8Array(readFileSync(sound));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

async function server(bytes: Uint8Array, name = 'fw.bin'): Promise<string> {
  const started = await UdpServer.listen(
    { offers: [{ names: [name], source: bytesSource(bytes) }], anyName: false, limits: serverLimits },
    { addresses: ['127.0.0.1'], port: 0 },
  );
  closing.push(() => started.stop(''));
  return String(started.listeners[0]?.port);
}

/** A socket that answers each packet by a rule of the test's. */
async function peer(answer: (bytes: Uint8Array, say: (bytes: Uint8Array) => void) => void): Promise<{ port: string; heard: Uint8Array[] }> {
  const socket: Socket = createSocket('udp4');
  const heard: Uint8Array[] = [];
  let open = true;
  socket.on('message', (bytes, from) => {
    heard.push(bytes);
    // An answer that a test gives late may come when the socket is closed.
    answer(bytes, (reply) => {
      if (open) socket.send(reply, from.port, from.address);
    });
  });
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  closing.push(() => {
    open = false;
    socket.close();
  });
  return { port: String(socket.address().port), heard };
}

const at = (bytes: Uint8Array): number => ((bytes[2] as number) << 8) | (bytes[3] as number);
const ack = (block: number): Uint8Array => Uint8Array.from([0, 4, block >> 8, block & 0xff]);
const error = (code: number, text: string): Uint8Array => Uint8Array.from([0, 5, 0, code, ...new TextEncoder().encode(`${text}\0`)]);

/** The program as a process of its own: for signals. */
function start(...args: string[]): { child: ChildProcess; said: () => string; printed: () => string; ended: Promise<number | null> } {
  const child = spawn(process.execPath, ['--import', 'tsx', join(root, 'bin/owimg.ts'), ...args], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  let err = '';
  let out = '';
  child.stderr.on('data', (data: Buffer) => {
    err += data.toString();
  });
  child.stdout.on('data', (data: Buffer) => {
    out += data.toString();
  });
  const ended = new Promise<number | null>((resolve) => child.on('close', (status) => resolve(status)));
  closing.push(() => child.kill('SIGKILL'));
  return { child, said: () => err, printed: () => out, ended };
}

describe('owimg tftp get', () => {
  test('writes the file and says how it went', async () => {
    const port = await server(content);
    const path = join(folder, 'got.bin');
    const { status, out, err } = await owimg(['tftp', 'get', '127.0.0.1', 'fw.bin', '-p', port, '-o', path]);
    expect({ status, err }).toEqual({ status: 0, err: '' });
    expect(out).toMatch(/got\.bin: 24\.3 KiB in .* s \(.*\/s\), sha256 754d6e2df5d9/);
    expect(Buffer.compare(readFileSync(path), content)).toBe(0);
  });

  test.each([
    [['--rfc1350'], 'RRQ "fw.bin" octet\n'],
    [[], 'RRQ "fw.bin" octet tsize=0 blksize=1428\n'],
    [['--blksize', '600', '--windowsize', '8', '--timeout', '3'], 'RRQ "fw.bin" octet timeout=3 tsize=0 blksize=600 windowsize=8\n'],
    [['--bind', '127.0.0.1', '--receive-buffer', '65536'], 'ACK'],
    [['-4'], 'DATA 1'],
  ])('with %j it asks so', async (options, expected) => {
    const port = await server(content);
    const { status, err } = await owimg(['tftp', 'get', '127.0.0.1', 'fw.bin', '-p', port, '-o', join(folder, 'traced'), '--force', '--trace', ...options]);
    expect(status).toBe(0);
    expect(err).toContain(expected);
  });

  test('--netascii turns the ends of lines into those of this machine', async () => {
    const { port } = await peer((bytes, say) => {
      const packet = parsePacket(bytes);
      if (packet.kind === 'read') say(Uint8Array.from([0, 3, 0, 1, ...new TextEncoder().encode('a\r\nb\r\0c')]));
    });
    const path = join(folder, 'text');
    const { status, err } = await owimg(['tftp', 'get', '127.0.0.1', 'x', '-p', port, '-o', path, '--netascii', '--trace']);
    expect(status).toBe(0);
    expect(err).toContain('RRQ "x" netascii');
    expect(readFileSync(path, 'latin1')).toBe('a\nb\rc');
  });

  test('an existing file is kept, without --force', async () => {
    const path = join(folder, 'kept');
    writeFileSync(path, 'mine');
    const { status, err } = await owimg(['tftp', 'get', '127.0.0.1', 'fw.bin', '-p', '9', '-o', path]);
    expect(status).toBe(4);
    expect(err).toContain('it exists, and is kept');
    expect(readFileSync(path, 'utf8')).toBe('mine');
  });

  test('a file that is not there: exit 4, the words of the server, what they mean', async () => {
    const port = await server(content);
    const { status, err } = await owimg(['tftp', 'get', '127.0.0.1', 'none.bin', '-p', port, '-o', join(folder, 'none.bin')]);
    expect(status).toBe(4);
    expect(err).toContain('refuses to send "none.bin": "file not found" (error 1: file not found)');
    expect(err).toMatch(/The name must be exactly/);
    expect(existsSync(join(folder, 'none.bin'))).toBe(false);
  });

  test('nobody there: exit 4 after --wait, with what to look at', async () => {
    const port = String(await freePort());
    const { status, err } = await owimg(['tftp', 'get', '127.0.0.1', 'x', '-p', port, '--wait', '0.4', '--retry', '0.1', '-o', join(folder, 'x')]);
    expect(status).toBe(4);
    expect(err).toContain(`No answer from 127.0.0.1:${port}`);
    expect(err).toContain('firewall');
  });

  test('a transfer that breaks off: exit 5, and nothing is left behind', async () => {
    const { port } = await peer((bytes, say) => {
      if (bytes[1] === 1) say(Uint8Array.from([0, 3, 0, 1, ...new Uint8Array(512)]));
      else if (bytes[1] === 4) say(error(0, 'disk on fire'));
    });
    const before = readdirSync(folder).length;
    const { status, err } = await owimg(['tftp', 'get', '127.0.0.1', 'x', '-p', port, '-o', join(folder, 'half')]);
    expect(status).toBe(5);
    expect(err).toContain('ended the transfer: "disk on fire" (error 0)');
    expect(readdirSync(folder)).toHaveLength(before);
  });

  test('--json gives the result, --ndjson events and the result', async () => {
    const port = await server(content);
    const path = join(folder, 'json');
    const { out } = await owimg(['tftp', 'get', '127.0.0.1', 'fw.bin', '-p', port, '-o', path, '--json']);
    expect(JSON.parse(out)).toMatchObject({ schemaVersion: 1, outcome: 'complete', bytes: content.length, file: { path, size: content.length } });
    const lines = (await owimg(['tftp', 'get', '127.0.0.1', 'none', '-p', port, '-o', `${path}2`, '--ndjson'])).out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines.map(({ event }) => event)).toEqual(['asking', 'result']);
    expect(lines.at(-1)).toMatchObject({ outcome: 'failed', failure: 'refused', said: { code: 1 }, error: { code: 'cannot-reach' } });
  });

  test('Ctrl-C: the server is told, nothing is left behind, exit 130', async () => {
    const heard: string[] = [];
    const { port } = await peer((bytes, say) => {
      const packet = parsePacket(bytes);
      heard.push(packet.kind);
      // For ever one block more.
      if (packet.kind === 'read') say(Uint8Array.from([0, 3, 0, 1, ...new Uint8Array(512)]));
      else if (packet.kind === 'ack')
        setTimeout(() => say(Uint8Array.from([0, 3, ((packet.block + 1) >> 8) & 0xff, (packet.block + 1) & 0xff, ...new Uint8Array(512)])), 20);
    });
    const path = join(folder, 'interrupted');
    const { child, ended, said } = start('tftp', 'get', '127.0.0.1', 'x', '-p', port, '-o', path);
    await expect.poll(() => heard.filter((kind) => kind === 'ack').length, { timeout: 30_000 }).toBeGreaterThan(3);
    child.kill('SIGINT');
    expect(await ended).toBe(130);
    expect(heard.at(-1)).toBe('error');
    expect(said()).toContain('Interrupted');
    expect(readdirSync(folder).filter((name) => name.includes('interrupted'))).toEqual([]);
  });
});

describe('owimg tftp put', () => {
  /** Takes everything, as a loader does. */
  const taking = async (last: (say: (bytes: Uint8Array) => void, block: number) => void = (say, block) => say(ack(block))) => {
    const parts: Uint8Array[] = [];
    const names: string[] = [];
    const { port } = await peer((bytes, say) => {
      const packet = parsePacket(bytes);
      if (packet.kind === 'write') {
        names.push(packet.name);
        say(ack(0));
      } else if (packet.kind === 'data') {
        if (at(bytes) === parts.length + 1) parts.push(packet.data);
        if (packet.data.length < 512) last(say, packet.block);
        else say(ack(packet.block));
      }
    });
    return { port, names, bytes: () => new Uint8Array(Buffer.concat(parts)) };
  };

  test('sends a file under its own name, without options', async () => {
    const { port, names, bytes } = await taking();
    const { status, out, err } = await owimg(['tftp', 'put', sound, '127.0.0.1', '-p', port, '--trace']);
    expect(status).toBe(0);
    expect(names).toEqual(['sound-metadata.bin']);
    expect(Buffer.compare(bytes(), content)).toBe(0);
    expect(err).toContain('WRQ "sound-metadata.bin" octet\n');
    expect(out).toContain('sound-metadata.bin: sent 24.3 KiB');
  });

  test('sends it under the name that the device wants', async () => {
    const { port, names } = await taking();
    await owimg(['tftp', 'put', sound, '127.0.0.1', 'code.bin', '-p', port]);
    expect(names).toEqual(['code.bin']);
  });

  test('a missing last acknowledgement is probably complete: exit 0', async () => {
    const { port } = await taking(() => undefined);
    const { status, out } = await owimg(['tftp', 'put', sound, '127.0.0.1', '-p', port, '--patience', '0.5']);
    expect(status).toBe(0);
    expect(out).toMatch(/probably complete: only the last acknowledgement is missing/);
  });

  test('"Code pattern is incorrect" behind the last block: exit 5, and what it means', async () => {
    const { port } = await taking((say) => say(error(0, 'Code pattern is incorrect')));
    const { status, err } = await owimg(['tftp', 'put', sound, '127.0.0.1', '-p', port]);
    expect(status).toBe(5);
    expect(err).toContain('Code pattern is incorrect');
    expect(err.toLowerCase()).toContain('model');
  });

  test('--push asks on through "Invalid Password" and silence', async () => {
    let asked = 0;
    const parts: number[] = [];
    const { port } = await peer((bytes, say) => {
      const packet = parsePacket(bytes);
      if (packet.kind === 'write') {
        asked += 1;
        if (asked <= 2) say(error(0, 'Invalid Password'));
        else if (asked > 4) say(ack(0));
      } else if (packet.kind === 'data') {
        parts.push(packet.data.length);
        say(ack(packet.block));
      }
    });
    const path = join(folder, 'small');
    writeFileSync(path, numberedBytes(600));
    const { status, err } = await owimg(['tftp', 'put', path, '127.0.0.1', '-p', port, '--push', '--retry', '0.05']);
    expect(status).toBe(0);
    expect(parts).toEqual([512, 88]);
    expect(err.match(/says "Invalid Password"/g)).toHaveLength(1);
  });

  test('a file that changes meanwhile is not sent on: exit 5', async () => {
    const path = join(folder, 'changing');
    writeFileSync(path, numberedBytes(5000));
    const heard: string[] = [];
    const { port } = await peer((bytes, say) => {
      const packet = parsePacket(bytes);
      heard.push(packet.kind);
      if (packet.kind === 'write') say(ack(0));
      else if (packet.kind === 'data') {
        if (packet.block === 3) writeFileSync(path, 'short now');
        say(ack(packet.block));
      }
    });
    const { status, err } = await owimg(['tftp', 'put', path, '127.0.0.1', '-p', port]);
    expect(status).toBe(5);
    expect(err).toContain('had 5000 bytes and has 9 now');
    await expect.poll(() => heard.at(-1)).toBe('error');
  });

  test.each([
    [['--blksize', '7'], 'the block size'],
    [['--windowsize', '0'], 'the window size'],
    [['--timeout', '256'], 'the timeout'],
    [['--port', '70000'], 'a port'],
    [['--wait', 'soon'], 'the time to wait'],
    [['--rfc1350', '--blksize', '1024'], 'Cannot use --rfc1350'],
    [['--json', '--ndjson'], 'Cannot print'],
    [['--bind', '127.0.0.1', '--interface', 'lo'], 'Cannot use --bind and --interface'],
    [['-4', '-6'], 'Cannot use --ipv4 and --ipv6'],
  ])('%j is wrong use: exit 2', async (options, expected) => {
    const { status, err } = await owimg(['tftp', 'put', sound, '127.0.0.1', '-p', '9', ...options]);
    expect(status).toBe(2);
    expect(err).toContain(expected);
  });
});

describe('owimg serve', () => {
  const serveFor = async (args: readonly string[], meanwhile: (port: string) => Promise<unknown>) => {
    const port = String(await freePort());
    const running = owimg(['serve', ...args, '--bind', '127.0.0.1', '--port', port]);
    await new Promise((resolve) => setTimeout(resolve, 700));
    await meanwhile(port);
    return { port, ...(await running) };
  };
  const get = (port: string, name: string, ...more: string[]) =>
    owimg(['tftp', 'get', '127.0.0.1', name, '-p', port, '-o', join(folder, 'served'), '--force', ...more]);

  test('says what it serves, who asks, and how it ends; --once ends it', async () => {
    const { status, err, port } = await serveFor([sound, '--as', 'wr841nv8_tp_recovery.bin', '--once'], async (to) => {
      await get(to, 'other.bin');
      expect((await get(to, '/WR841nv8_tp_recovery.bin')).status).toBe(0);
    });
    expect(status).toBe(0);
    expect(err).toContain('sound-metadata.bin: sysupgrade image, well-formed: all 3 checks passed; 24.3 KiB, sha256 754d6e2d');
    expect(err).toContain(`listening on 127.0.0.1:${port}\n`);
    expect(err).toContain('router 127.0.0.1 asked for "other.bin": refused, file not found. Offered: wr841nv8_tp_recovery.bin, sound-metadata.bin');
    expect(err).toContain('router 127.0.0.1 asked for /WR841nv8_tp_recovery.bin: serving it\n');
    expect(err).toMatch(/router 127\.0\.0\.1 has all of it: 24\.3 KiB .* leave the power on/);
    expect(Buffer.compare(readFileSync(join(folder, 'served')), content)).toBe(0);
  });

  test('a device that asks again within a minute did not take it', async () => {
    const { err } = await serveFor([sound, '--for', '3'], async (port) => {
      for (let times = 0; times < 2; times += 1) await get(port, 'sound-metadata.bin');
    });
    expect(err).toContain('it had it already: the loader did not take the image, or was restarted');
  });

  test('--any-name, --single-port, --rfc1350, --ndjson', async () => {
    const { status, out } = await serveFor([sound, '--any-name', '--single-port', '--rfc1350', '--ndjson', '--once'], async (port) => {
      const { err } = await get(port, 'C0A80101.img', '--trace');
      expect(err).not.toContain('OACK');
      expect(new Set([...err.matchAll(/127\.0\.0\.1:(\d+) DATA/g)].map(([, from]) => from))).toEqual(new Set([port]));
    });
    expect(status).toBe(0);
    const events = out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(events.map(({ event }) => event)).toEqual(['listening', 'request', 'ended']);
    expect(events[1]).toMatchObject({ schemaVersion: 1, name: 'C0A80101.img', offer: 'sound-metadata.bin', options: { blksize: '1428' } });
  });

  test('never raises a block size, nor grants one that needs fragments', async () => {
    const { out } = await serveFor([sound, '--ndjson', '--for', '3', '--max-windowsize', '4'], async (port) => {
      const { err } = await get(port, 'sound-metadata.bin', '--trace', '--blksize', '8192', '--windowsize', '16');
      expect(err).toContain('OACK tsize=24857 blksize=1468 windowsize=4');
    });
    expect(out).toContain('"outcome":"complete"');
  });

  test('a broken image is not served: exit 1; accepted by its codes it is', async () => {
    const refused = await owimg(['serve', broken, '--bind', '127.0.0.1', '--port', '9']);
    expect(refused.status).toBe(1);
    expect(refused.err).toMatch(/Not served: .* is broken: data-checksum-mismatch/);
    const codes = /--accept (.*)\.\n/.exec(refused.err)?.[1]?.split(' ') as string[];
    const { err } = await serveFor([broken, '--for', '1.5', '--accept', ...codes], async (port) =>
      expect((await get(port, 'data-checksum-mismatch--kernel.bin')).status).toBe(0),
    );
    expect(err).toContain('has all of it');
  });

  test('what is not recognised is not served: exit 3', async () => {
    const path = join(folder, 'noise.bin');
    writeFileSync(path, numberedBytes(5000));
    expect(await owimg(['serve', path, '--bind', '127.0.0.1', '--port', '9'])).toMatchObject({
      status: 3,
      err: expect.stringContaining('--accept unknown-format'),
    });
  });

  test('nobody asks within --for: exit 4, with what to look at', async () => {
    const { status, err } = await serveFor([sound, '--for', '0.5'], async () => undefined);
    expect(status).toBe(4);
    expect(err).toContain('No device has asked for a file');
  });

  test('a port that somebody has: exit 4, with what to do', async () => {
    const port = await server(content);
    const { status, err } = await owimg(['serve', sound, '--bind', '127.0.0.1', '--port', port]);
    expect(status).toBe(4);
    expect(err).toContain(`Cannot open UDP 127.0.0.1:${port}: another program has it`);
  });

  test('two files that routers could not tell apart: exit 2', async () => {
    const twin = join(folder, 'SOUND-metadata.bin');
    writeFileSync(twin, content);
    expect(await owimg(['serve', sound, twin])).toMatchObject({ status: 2, err: expect.stringContaining('Cannot serve two files as "sound-metadata.bin"') });
    expect(await owimg(['serve', sound, broken, '--as', 'x'])).toMatchObject({ status: 2 });
  });

  test('a file that is cut while it is served: the device gets an error, never other bytes', async () => {
    const path = join(folder, 'being-built.bin');
    writeFileSync(path, content);
    const { err } = await serveFor([path, '--for', '2.5'], async (port) => {
      writeFileSync(path, content.subarray(0, 1000));
      const got = await get(port, 'being-built.bin');
      expect(got.status).toBe(4);
      expect(got.err).toContain('the file has changed');
    });
    expect(err).toContain('had 24857 bytes and has 1000 now');
  });

  test('Ctrl-C: devices are told, exit 130', async () => {
    const port = String(await freePort());
    const { child, said, ended } = start('serve', sound, '--bind', '127.0.0.1', '--port', port);
    await expect.poll(said, { timeout: 30_000 }).toContain('listening on');
    const heard: string[] = [];
    const device = createSocket('udp4');
    closing.push(() => device.close());
    device.on('message', (bytes) => void heard.push(parsePacket(bytes).kind));
    device.send(Buffer.from('\0\x01sound-metadata.bin\0octet\0'), Number(port), '127.0.0.1');
    await expect.poll(() => heard).toEqual(['data']);
    child.kill('SIGINT');
    expect(await ended).toBe(130);
    expect(heard.at(-1)).toBe('error');
    expect(said()).toContain('was told that this is over');
  });

  test.skipIf(userInfo().uid !== 0)('a port below 1024 without the right to it: exit 4, with the command that gives it', async () => {
    // In a network namespace, where nothing has opened such ports for everybody; what is needed is loaded before the rights are given away.
    const text = `const { UdpServer } = await import(${JSON.stringify(join(root, 'src/tftp/udp.ts'))});
process.setgid(65534); process.setuid(65534);
await UdpServer.listen({ offers: [], anyName: false, limits: {} }, { addresses: ['127.0.0.1'], port: 69 }).catch(({ message, hint }) => console.log(message, hint));`;
    const child = spawn(
      'unshare',
      ['-n', 'sh', '-c', 'ip link set lo up && exec "$@"', 'sh', process.execPath, '--import', 'tsx', '--input-type=module', '-e', text],
      { cwd: root },
    );
    let out = '';
    child.stdout.on('data', (data: Buffer) => {
      out += data.toString();
    });
    await new Promise((resolve) => child.on('close', resolve));
    expect(out).toContain('Cannot open UDP 127.0.0.1:69: this user may not open ports below 1024');
    expect(out).toContain('sudo sysctl net.ipv4.ip_unprivileged_port_start=69');
  });
});
