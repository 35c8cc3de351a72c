/** TFTP servers and clients of Debian as peers, on loopback only. Each daemon serves a folder of its own and is stopped by the test. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { chmodSync, mkdirSync, readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { installed } from './tools.ts';

const environment = { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/sbin:/usr/local/sbin`, LC_ALL: 'C' };
const isRoot = userInfo().uid === 0;

export interface Daemon {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  /** Where its files are. */
  readonly folder: string;
  stop(): void;
}

/** A UDP port of loopback that nobody has. */
export function freePort(address = '127.0.0.1'): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    socket.once('error', reject);
    socket.bind(0, address, () => {
      const { port } = socket.address();
      socket.close(() => resolve(port));
    });
  });
}

export type DaemonName = 'atftpd' | 'tftpd-hpa' | 'dnsmasq';

const programs: Readonly<Record<DaemonName, string>> = { atftpd: 'atftpd', 'tftpd-hpa': 'in.tftpd', dnsmasq: 'dnsmasq' };

/** dnsmasq knows port 69 only, tftpd-hpa wants to change its root: both need a user who may. */
export function missing(name: DaemonName): string | undefined {
  if (!installed(programs[name])) return `${programs[name]} is not installed`;
  if (name !== 'atftpd' && !isRoot) return `${name} needs root`;
  return undefined;
}

/** Whether a server answers a request for a file that is not there. */
function answers(address: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    const end = (answer: boolean): void => {
      clearTimeout(timer);
      socket.close();
      resolve(answer);
    };
    const timer = setTimeout(() => end(false), 200);
    socket.on('message', () => end(true));
    socket.on('error', () => end(false));
    socket.send(Buffer.from('\0\x01is-it-there\0octet\0'), port, address);
  });
}

/**
 * Starts one in the folder given, and waits until it answers.
 *
 * @param before words in front of the command line
 */
export async function startDaemon(name: DaemonName, folder: string, before: readonly string[] = []): Promise<Daemon> {
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, 0o777);
  // An address of loopback that nobody else listens on.
  const address = name === 'dnsmasq' ? '127.0.77.69' : '127.0.0.1';
  const port = name === 'dnsmasq' ? 69 : await freePort();
  const group = execFileSync('id', ['-gn'], { encoding: 'utf8' }).trim();
  const user = isRoot ? 'nobody.nogroup' : `${userInfo().username}.${group}`;
  const commands: Readonly<Record<DaemonName, readonly string[]>> = {
    atftpd: ['--daemon', '--no-fork', '--port', String(port), '--bind-address', address, '--user', user, '--maxthread', '200', folder],
    'tftpd-hpa': ['-L', '-a', `${address}:${port}`, '-c', '-p', '-u', 'root', '-s', folder],
    dnsmasq: [
      '-k',
      '--port=0',
      '--enable-tftp',
      `--tftp-root=${folder}`,
      `--listen-address=${address}`,
      '--bind-interfaces',
      '-C',
      '/dev/null',
      '--user=root',
      '--pid-file=',
    ],
  };
  const [program, ...args] = [...before, programs[name], ...commands[name]] as [string, ...string[]];
  const child: ChildProcess = spawn(program, args, { env: environment, stdio: 'ignore', detached: true });
  const stop = (): void => {
    // Servers of the hpa kind leave a child for each transfer: the group is ours alone.
    if (child.pid === undefined || child.exitCode !== null) return;
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
  };
  for (let tries = 0; tries < 50; tries += 1) {
    if (child.exitCode !== null) break;
    if (await answers(address, port)) return { name, address, port, folder, stop };
  }
  stop();
  throw new Error(`${name} does not answer on ${address}:${port}; it ended with ${child.exitCode}`);
}

export type ClientName = 'atftp' | 'tftp-hpa' | 'curl' | 'busybox';

const clientPrograms: Readonly<Record<ClientName, string>> = { atftp: 'atftp', 'tftp-hpa': 'tftp', curl: 'curl', busybox: 'busybox' };

export const clientMissing = (name: ClientName): string | undefined =>
  installed(clientPrograms[name]) ? undefined : `${clientPrograms[name]} is not installed`;

export interface GetOptions {
  readonly blockSize?: number | undefined;
  readonly windowSize?: number | undefined;
}

/** The command line by which a client reads a file, or `undefined` if it does not know the options. */
export function getCommand(
  client: ClientName,
  address: string,
  port: number,
  name: string,
  output: string,
  { blockSize, windowSize }: GetOptions,
): string[] | undefined {
  switch (client) {
    case 'atftp': {
      const options = [
        ...(blockSize === undefined ? [] : ['--option', `blksize ${blockSize}`]),
        ...(windowSize === undefined ? [] : ['--option', `windowsize ${windowSize}`]),
      ];
      return ['atftp', ...options, '--get', '-r', name, '-l', output, address, String(port)];
    }
    case 'tftp-hpa':
      return blockSize === undefined && windowSize === undefined ? ['tftp', '-m', 'binary', address, String(port), '-c', 'get', name, output] : undefined;
    case 'curl': {
      const options = blockSize === undefined ? ['--tftp-no-options'] : ['--tftp-blksize', String(blockSize)];
      return windowSize === undefined ? ['curl', '-s', ...options, '-o', output, `tftp://${address}:${port}/${name}`] : undefined;
    }
    default:
      return windowSize === undefined
        ? ['busybox', 'tftp', '-g', ...(blockSize === undefined ? [] : ['-b', String(blockSize)]), '-r', name, '-l', output, address, String(port)]
        : undefined;
  }
}

/** Runs a client to its end. @returns its exit status and what it said */
export function runTool(command: readonly string[], cwd: string): Promise<{ readonly status: number | null; readonly said: string }> {
  return new Promise((resolve, reject) => {
    const [program, ...args] = command as [string, ...string[]];
    const child = spawn(program, args, { cwd, env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    child.stdout.on('data', (data: Buffer) => {
      said += data.toString();
    });
    child.stderr.on('data', (data: Buffer) => {
      said += data.toString();
    });
    child.on('error', reject);
    child.on('close', (status) => resolve({ status, said }));
  });
}

export const bytesAt = (folder: string, name: string): Uint8Array => new Uint8Array(readFileSync(join(folder, name)));
