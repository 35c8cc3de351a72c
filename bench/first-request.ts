/**
 * `npm run bench:first-request`: how soon after a router has come up on its network the first request reaches its port, `owimg tftp put --push` beside
 * tftp-hpa with `rexmt 1`. A boot loader listens for some seconds only; what is lost of them is what counts.
 *
 * The router is a namespace that this program makes, with a cable to another one in which the clients run; it comes up at a moment that neither
 * knows. Needs root. Prints the table of docs/benchmarks.md. Exit status 1 if owimg is not the quicker.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Namespace, namespacesMissing } from '../test/support/namespaces.ts';
import { installed } from '../test/support/tools.ts';

const owimg = fileURLToPath(new URL('../dist/bin/owimg.js', import.meta.url));
const say = (text: string): void => void process.stdout.write(`${text}\n`);
const rounds = Number(process.env['ROUNDS'] ?? 9);
const [computer, router] = ['192.0.2.10', '192.0.2.1'];

/** Says when the first datagram comes to port 69: the clock is that of the machine, the same in all namespaces. */
const listener = `
import { createSocket } from 'node:dgram';
const socket = createSocket('udp4');
socket.once('message', () => { console.log('request ' + process.hrtime.bigint()); process.exit(0); });
socket.bind(69, '0.0.0.0', () => console.log('listening'));`;

const reason = namespacesMissing() ?? (installed('tftp') ? undefined : 'tftp-hpa is not installed');
if (reason !== undefined) {
  say(`Nothing to measure with: ${reason}`);
  process.exit(2);
}

const folder = mkdtempSync(join(tmpdir(), 'owimg-bench-'));
const image = join(folder, 'fw.bin');
writeFileSync(image, new Uint8Array(100_000));
const script = join(folder, 'commands');
writeFileSync(script, `mode binary\nrexmt 1\ntimeout 60\nput ${image} fw.bin\n`);

type Client = readonly [program: string, ...args: string[]];

/** Milliseconds from the router's address to the first request at its port. */
async function once(client: Client, wait: number): Promise<number> {
  const [ours, its] = [new Namespace(), new Namespace()];
  try {
    ours.cable('eth0', its, 'eth0');
    ours.ip('address', 'add', `${computer}/24`, 'dev', 'eth0');
    const port = its.start(process.execPath, '--input-type=module', '-e', listener);
    await port.until('listening');
    ours.start(...client);
    await new Promise((resolve) => setTimeout(resolve, wait));
    const up = process.hrtime.bigint();
    its.ip('address', 'add', `${router}/24`, 'dev', 'eth0');
    await port.until('request');
    return Number(BigInt(/request (\d+)/.exec(port.out())?.[1] ?? 0) - up) / 1e6;
  } finally {
    await ours.remove();
    await its.remove();
  }
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] as number;

try {
  const clients: Readonly<Record<string, Client>> = {
    'owimg tftp put --push': [process.execPath, owimg, 'tftp', 'put', image, router, 'fw.bin', '--push'],
    'tftp-hpa, rexmt 1': ['sh', '-c', `exec tftp ${router} < ${script}`],
  };
  const times = new Map<string, number[]>(Object.keys(clients).map((name) => [name, []]));
  // The router comes up at another phase of everybody's clock each time.
  for (let round = 0; round < rounds; round += 1) {
    for (const [name, client] of Object.entries(clients)) times.get(name)?.push(await once(client, 2500 + round * 137));
  }
  say('| first request behind the router, ms | median | slowest |');
  say('|---|---|---|');
  for (const [name, all] of times) say(`| ${name} | ${median(all).toFixed(0)} | ${Math.max(...all).toFixed(0)} |`);
  const [own, other] = [...times.values()].map(median) as [number, number];
  say(`\nowimg takes ${(own / other).toFixed(2)} of the time of tftp-hpa.`);
  process.exitCode = own <= other ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
