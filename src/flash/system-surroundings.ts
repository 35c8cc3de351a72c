/** Looks at the device with what every system has: ping, ssh, TCP, and the tables of Linux. */
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { localInterfaces } from '../tftp/local-addresses.ts';
import type { Answer, Surroundings } from './surroundings.ts';

const patience = 5000;

/** As much of an answer is kept. */
const mostKept = 64 * 1024;

/** Runs a program with its arguments as they are: no shell reads them. */
function run(program: string, args: readonly string[], milliseconds: number): Promise<Answer> {
  return new Promise((resolve) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: milliseconds });
    let [out, complaint] = ['', ''];
    child.stdout.on('data', (data: Buffer) => {
      if (out.length < mostKept) out += data.toString();
    });
    child.stderr.on('data', (data: Buffer) => {
      if (complaint.length < mostKept) complaint += data.toString();
    });
    child.on('error', ({ message }) => resolve({ ok: false, text: message }));
    child.on('close', (status) => resolve(status === 0 ? { ok: true, text: out } : { ok: false, text: complaint.trim() || out.trim() }));
  });
}

/** What a TCP port says: by itself, or to `question`. */
function ask(address: string, port: number, question: string | undefined): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port });
    let heard = '';
    const end = (): void => {
      socket.destroy();
      resolve(heard === '' ? undefined : heard);
    };
    socket.setTimeout(patience / 2, end);
    socket.on('connect', () => question !== undefined && socket.write(question));
    socket.on('data', (data) => {
      heard += data.toString('latin1');
      if (question === undefined || heard.length > 8192) end();
    });
    socket.on('end', end);
    socket.on('error', end);
  });
}

const pingArguments: Readonly<Partial<Record<NodeJS.Platform, readonly string[]>>> = {
  win32: ['-n', '1', '-w', '1000'],
  darwin: ['-n', '-c', '1', '-t', '1'],
};

async function ping(address: string): Promise<{ readonly ttl: number | undefined } | undefined> {
  const { ok, text } = await run('ping', [...(pingArguments[process.platform] ?? ['-n', '-c', '1', '-W', '1']), address], patience);
  const ttl = /ttl[=:] ?(\d+)/i.exec(text)?.[1];
  // Windows ends well even where a router on the way answers that nobody is there.
  if (!ok || (process.platform === 'win32' && ttl === undefined)) return undefined;
  return { ttl: ttl === undefined ? undefined : Number(ttl) };
}

/** A device that was flashed has new keys, and nobody knows them yet. Nothing secret is sent. */
const sshOptions = [
  'BatchMode=yes',
  'ConnectTimeout=5',
  'StrictHostKeyChecking=no',
  `UserKnownHostsFile=${process.platform === 'win32' ? 'NUL' : '/dev/null'}`,
  'LogLevel=ERROR',
];

const sshPatience = 60_000;

async function linuxFile(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch(() => undefined);
}

/** A socket that is connected has the address of the card by which it would send. With UDP that asks the routes of the system, and nobody else. */
async function cardTo(address: string): Promise<string | undefined> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  const own = await new Promise<string | undefined>((resolve) => {
    socket.once('error', () => resolve(undefined));
    // Port 9 is that of discard, RFC 863.
    socket.connect(9, address, (error?: Error) => resolve(error == null ? socket.address().address.replace(/%.*$/, '') : undefined));
  });
  socket.close();
  return [...localInterfaces()].find(([, addresses]) => addresses.some((one) => one.address === own))?.[0];
}

/**
 * The MAC of an address in /proc/net/arp: address, type, flags, MAC, mask, card. One address may stand there once for each card; without ATF_COM (0x2, of
 * Linux' if_arp.h) in the flags nobody has answered.
 */
export function macIn(table: string, address: string, card: string | undefined): string | undefined {
  const entries = table.split('\n').map((line) => line.trim().split(/\s+/));
  const found = entries.find(([who, , flags, , , by]) => who === address && (Number(flags) & 2) !== 0 && (card === undefined || by === card));
  return found?.[3];
}

export function systemSurroundings(): Surroundings {
  return {
    now: () => performance.now(),
    sleep: (milliseconds, signal) => pause(milliseconds, undefined, { signal }).catch(() => undefined),
    ping,
    cardTo,
    hardwareAddress: async (address, card) => macIn((await linuxFile('/proc/net/arp')) ?? '', address, card),
    hasLink: async (name) => {
      const carrier = (await linuxFile(`/sys/class/net/${name}/carrier`))?.trim();
      return carrier === undefined ? undefined : carrier === '1';
    },
    banner: async (address, port) => (await ask(address, port, undefined))?.split(/[\r\n]/)[0],
    webPage: (address) => ask(address, 80, `GET / HTTP/1.0\r\nHost: ${address}\r\n\r\n`),
    ssh: (address, command) => run('ssh', [...sshOptions.flatMap((option) => ['-o', option]), `root@${address}`, command], sshPatience),
  };
}
