/** `owimg serve` with devices that stay, come twice, and ask for what they should not; over loopback. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { main } from '../src/cli/main.ts';
import { parsePacket } from '../src/tftp/packets.ts';
import { consoleOf, owimg } from './support/console.ts';
import { freePort } from './support/tftp-daemons.ts';
import { run } from './support/tools.ts';

const root = fileURLToPath(new URL('../', import.meta.url));
const sound = join(root, 'fixtures/fwtool/sound-metadata.bin');
const broken = join(root, 'fixtures/uimage/data-checksum-mismatch--kernel.bin');
const name = 'sound-metadata.bin';
const content = new Uint8Array(readFileSync(sound));
let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'owimg-serve-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

interface Serving {
  readonly port: number;
  readonly err: () => string;
  readonly status: Promise<number>;
}

/** The command in this process, as soon as it listens. */
async function serve(...args: string[]): Promise<Serving> {
  const port = await freePort();
  const { io, ran } = consoleOf();
  const status = main(['serve', '--bind', '127.0.0.1', '--port', String(port), ...args], io);
  await expect.poll(() => ran.err, { timeout: 10_000 }).toContain('listening on');
  return { port, err: () => ran.err, status };
}

/** A device that takes a block whenever the test says so. */
class Device {
  readonly #socket: Socket = createSocket('udp4');
  readonly #waiting: ((bytes: Uint8Array) => void)[] = [];
  readonly #heard: Uint8Array[] = [];
  readonly #port: number;
  #transfer = 0;
  readonly parts: Uint8Array[] = [];

  constructor(port: number) {
    this.#port = port;
    closing.push(() => this.#socket.close());
    this.#socket.on('message', (bytes, from) => {
      this.#transfer = from.port;
      const next = this.#waiting.shift();
      if (next === undefined) this.#heard.push(bytes);
      else next(bytes);
    });
  }

  /** @returns what it is answered */
  ask(wanted: string, mode = 'octet'): Promise<ReturnType<typeof parsePacket>> {
    this.#socket.send(Buffer.from(`\0\x01${wanted}\0${mode}\0`), this.#port, '127.0.0.1');
    return this.#next();
  }

  async #next(): Promise<ReturnType<typeof parsePacket>> {
    return parsePacket(this.#heard.shift() ?? (await new Promise<Uint8Array>((resolve) => this.#waiting.push(resolve))));
  }

  /** Acknowledges the block that it has, and all that follow. */
  async take(first: ReturnType<typeof parsePacket>): Promise<Uint8Array> {
    for (let packet = first; packet.kind === 'data'; packet = await this.#next()) {
      // What comes twice is kept once, and acknowledged once: a repeated acknowledgement would be one of an older block.
      if (packet.block !== this.parts.length + 1) continue;
      this.parts.push(packet.data);
      this.#socket.send(Uint8Array.from([0, 4, packet.block >> 8, packet.block & 0xff]), this.#transfer, '127.0.0.1');
      if (packet.data.length < 512) break;
    }
    return new Uint8Array(Buffer.concat(this.parts));
  }

  say(bytes: Uint8Array): void {
    this.#socket.send(bytes, this.#transfer, '127.0.0.1');
  }
}

describe('owimg serve --for', () => {
  test('does not break off the transfer that runs when the time is over', async () => {
    const { port, status, err } = await serve(sound, '--for', '0.6');
    const device = new Device(port);
    const first = await device.ask(name);
    await pause(1200);
    expect(err()).not.toContain('has all of it');
    expect(Buffer.compare(await device.take(first), content)).toBe(0);
    expect(await status).toBe(0);
    expect(err()).toContain('has all of it');
    expect(err()).not.toContain('No device');
  });

  test('stands still while a device takes a file: what was left is left for the next one', async () => {
    const { port, status } = await serve(sound, '--for', '1');
    const device = new Device(port);
    const first = await device.ask(name);
    await pause(1200);
    await device.take(first);
    await pause(300);
    const second = new Device(port);
    expect(Buffer.compare(await second.take(await second.ask(name)), content)).toBe(0);
    expect(await status).toBe(0);
  });

  test('a device that broke off is told as that, exit 5, and not as one that never asked', async () => {
    const { port, status, err } = await serve(sound, '--for', '0.6');
    const device = new Device(port);
    await device.ask(name);
    device.say(Buffer.from('\0\x05\0\0no room\0'));
    expect(await status).toBe(5);
    expect(err()).toContain('No device has got the whole file; the last one, router 127.0.0.1 got 0 bytes of 24.3 KiB: "no room" (error 0)');
    expect(err()).not.toContain('cable in the right port');
  });

  test('a device that was refused everything: exit 4, and where to look', async () => {
    const { port, status, err } = await serve(sound, '--for', '0.6');
    await new Device(port).ask('other.bin');
    expect(await status).toBe(4);
    expect(err()).toContain('all that was asked for was refused');
  });
});

describe('owimg serve --once', () => {
  test('waits for the second device, which is in the middle of its transfer', async () => {
    const { port, status, err } = await serve(sound, '--once');
    const [one, two] = [new Device(port), new Device(port)];
    const firstOfTwo = await two.ask(name);
    await one.take(await one.ask(name));
    await expect.poll(err, { timeout: 30_000 }).toContain('has all of it');
    await pause(300);
    expect(Buffer.compare(await two.take(firstOfTwo), content)).toBe(0);
    expect(await status).toBe(0);
    expect(err().match(/has all of it/g)).toHaveLength(2);
    expect(err()).not.toContain('was told that this is over');
  });

  test('goes on where the first device broke off', async () => {
    const { port, status } = await serve(sound, '--once');
    const [one, two] = [new Device(port), new Device(port)];
    await one.ask(name);
    one.say(Buffer.from('\0\x05\0\0no room\0'));
    await two.take(await two.ask(name));
    expect(await status).toBe(0);
  });
});

describe('what a device asks for', () => {
  test.each([
    ['$(touch PWNED)x.bin', `To give it that: --as '$(touch PWNED)x.bin', or --any-name`],
    ["it's; reboot", `To give it that: --as 'it'\\''s; reboot', or --any-name`],
    ['recovery.bin', 'To give it that: --as recovery.bin, or --any-name'],
    ['a\nreboot\n', 'To give it that: --any-name'],
    ['\x1b[2Jx', 'To give it that: --any-name'],
    ['/', 'To give it that: --any-name'],
  ])('the name %j is no command in the advice', async (asked, advice) => {
    const { port, status, err } = await serve(sound, '--for', '1');
    expect(await new Device(port).ask(asked)).toMatchObject({ kind: 'error', code: 1 });
    await status;
    const line = err()
      .split('\n')
      .find((text) => text.includes('refused, file not found'));
    expect(line?.endsWith(advice)).toBe(true);
    expect(err()).not.toContain('\x1b');
  });

  test('the same again and again is one line, and then how often it was', async () => {
    const { port, status, err } = await serve(sound, '--for', '1');
    const device = new Device(port);
    for (let times = 0; times < 20; times += 1) await device.ask('other.bin');
    await device.ask('third.bin');
    await status;
    expect(err().match(/asked for "other\.bin": refused/g)).toHaveLength(1);
    expect(err().match(/asked for "other\.bin" 10 times so far: refused/g)).toHaveLength(1);
    expect(err().match(/"other\.bin"/g)).toHaveLength(2);
    expect(err().match(/asked for "third\.bin": refused/g)).toHaveLength(1);
  });

  test('only so many refusals are remembered: behind 300 others the first is news again', async () => {
    const { port, status, err } = await serve(sound, '--for', '3');
    const device = new Device(port);
    for (const asked of ['first.bin', ...Array.from({ length: 300 }, (_, index) => `${index}.bin`), 'first.bin']) await device.ask(asked);
    await status;
    expect(err().match(/asked for "first\.bin": refused/g)).toHaveLength(2);
  });

  test('a request without a mode is told as that', async () => {
    const { port, status, err } = await serve(sound, '--for', '1');
    expect(await new Device(port).ask(name, '')).toMatchObject({ kind: 'error', text: 'the request names no mode' });
    await status;
    expect(err()).toContain('refused, the request names no mode');
  });
});

describe('what is given', () => {
  test('a packed image is unpacked, and said to be; the packed file is there by its own name', async () => {
    const path = join(folder, 'image.bin.gz');
    const packed = new Uint8Array(gzipSync(content));
    writeFileSync(path, packed);
    const { port, status, err } = await serve(path, '--as', 'recovery.bin', '--for', '2');
    for (const [asked, expected] of [
      ['recovery.bin', content],
      ['image.bin', content],
      ['image.bin.gz', packed],
    ] as const) {
      const device = new Device(port);
      expect(Buffer.compare(await device.take(await device.ask(asked)), expected)).toBe(0);
    }
    expect(await status).toBe(0);
    expect(err()).toContain(`${path}: packed (gzip), which loaders do not unpack. Unpacked here: sysupgrade image, well-formed: all 3 checks passed; 24.3 KiB`);
    expect(err()).toContain('given as recovery.bin and as image.bin; still packed as image.bin.gz\n');
  });

  test('a packed image and the same unpacked cannot be told apart by their names: exit 2', async () => {
    const path = join(folder, `${name}.gz`);
    writeFileSync(path, gzipSync(content));
    expect(await owimg(['serve', path, sound])).toMatchObject({ status: 2, err: expect.stringContaining(`Cannot serve two files as "${name}"`) });
  });

  test('an empty file is not served, and there is nothing to accept', async () => {
    const path = join(folder, 'empty.bin');
    writeFileSync(path, '');
    for (const accepted of [[], ['--accept', 'file-empty,unknown-format']]) {
      const { status, err } = await owimg(['serve', ...accepted, path]);
      expect(status).toBe(1);
      expect(err).toContain('is empty, so there is nothing to serve');
      expect(err).not.toContain('--accept');
    }
  });

  test('--accept CODE FILE takes one code, and the file is the file', async () => {
    const { status, err } = await owimg(['serve', '--accept', 'data-checksum-mismatch', broken]);
    expect(status).toBe(1);
    expect(err).toContain('If you know better: --accept data-checksum-mismatch,stream-corrupt.');
    for (const codes of [
      ['--accept', 'data-checksum-mismatch,stream-corrupt', broken],
      ['--accept', 'data-checksum-mismatch', '--accept', 'stream-corrupt', broken],
      [broken, '--accept', 'data-checksum-mismatch', 'stream-corrupt'],
      ['--accept', 'data-checksum-mismatch', 'stream-corrupt', broken],
    ]) {
      const serving = await serve(...codes, '--for', '0.05');
      expect(await serving.status).toBe(4);
    }
  });
});

test.each([
  [['--bind', 'nonsense'], 'Cannot use "nonsense" for --bind: expected an address of this machine in numbers'],
  [['--bind', 'localhost'], 'Cannot use "localhost" for --bind'],
  [['--bind', '127.0.0.1', '-6'], 'Cannot bind to 127.0.0.1: IPv6 is asked for'],
  [['--bind', '::1', '-4'], 'Cannot bind to ::1: IPv4 is asked for'],
  [['--as', ''], 'Cannot use "" for --as'],
  [['--as', '/'], 'Cannot use "/" for --as'],
  [['--for', '0.001'], 'expected seconds, from 0.05'],
])('owimg serve %j is wrong use: exit 2', async (options, expected) => {
  const { status, err } = await owimg(['serve', sound, '-p', '9', ...options]);
  expect(status).toBe(2);
  expect(err).toContain(expected);
});

test('owimg serve --interface with a name that no card has: exit 4', async () => {
  expect(await owimg(['serve', sound, '-p', '9', '--interface', 'nope0'])).toMatchObject({ status: 4, err: expect.stringContaining('"nope0"') });
});

describe('a pipe in place of a file', () => {
  function start(...args: string[]): { child: ChildProcess; said: () => string; ended: Promise<number | null> } {
    const child = spawn(process.execPath, ['--import', 'tsx', join(root, 'bin/owimg.ts'), ...args], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (data: Buffer) => {
        said += data.toString();
      });
    closing.push(() => child.kill('SIGKILL'));
    return { child, said: () => said, ended: new Promise((resolve) => child.on('close', resolve)) };
  }
  const pipe = (label: string): string => {
    const path = join(folder, label);
    run('mkfifo', path);
    return path;
  };

  test.each(['SIGINT', 'SIGTERM'] as const)('that nobody writes to: owimg serve says so, and ends at the first %s', async (signal) => {
    const path = pipe(`silent-${signal}`);
    const { child, said, ended } = start('serve', path, '--bind', '127.0.0.1', '--port', String(await freePort()));
    await expect.poll(said, { timeout: 30_000 }).toContain(`Waiting until something is written to "${path}".`);
    child.kill(signal);
    expect(await ended).toBe(130);
  });

  test('that somebody writes to later: it is served under the name of the pipe', async () => {
    const path = pipe('late.bin');
    const port = await freePort();
    const { child, said, ended } = start('serve', path, '--bind', '127.0.0.1', '--port', String(port));
    await expect.poll(said, { timeout: 30_000 }).toContain('Waiting until');
    writeFileSync(path, content);
    await expect.poll(said, { timeout: 30_000 }).toContain('listening on');
    const device = new Device(port);
    expect(Buffer.compare(await device.take(await device.ask('late.bin')), content)).toBe(0);
    child.kill('SIGINT');
    expect(await ended).toBe(130);
  });

  test('that the shell has made: owimg inspect <(zcat image.gz) reads it to its end, also an empty one', async () => {
    const path = join(folder, 'for-shell.gz');
    writeFileSync(path, gzipSync(content));
    const inspect = (command: string): string =>
      execFileSync('bash', ['-c', `"$0" --import tsx bin/owimg.ts inspect <(${command}) || true`, process.execPath], { cwd: root, encoding: 'utf8' });
    expect(inspect(`zcat ${path}`)).toContain('754d6e2df5d9ba32508e8d2a4ca9fa74a07242bfdf553c4864b6f6d47cd74b6c');
    expect(inspect(`zcat ${path} | { sleep 0.2; cat; }`)).toContain('754d6e2df5d9ba32508e8d2a4ca9fa74a07242bfdf553c4864b6f6d47cd74b6c');
    expect(inspect('true')).toContain('0 bytes');
  });
});
