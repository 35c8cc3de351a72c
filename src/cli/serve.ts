/** `owimg serve FILE...`: a TFTP server for boot loaders. Reads the files once, proves them, gives nothing else and takes nothing. */
import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import { type Command, Option } from '@commander-js/extra-typings';
import { OwimgError } from '../core/errors.ts';
import { byteCount } from '../core/hex.ts';
import type { Inspection } from '../core/types.ts';
import { inspect } from '../index.ts';
import { readFile } from '../io/read-file.ts';
import { changeOf } from '../io/unchanged.ts';
import { harmless, statusSentence, whatItIs } from '../report/words.ts';
import { peerText } from '../tftp/client.ts';
import { windowLimit } from '../tftp/options.ts';
import { bytesSource } from '../tftp/sending.ts';
import { type Offer, plainName, type ServerEvent, serverLimits } from '../tftp/server.ts';
import { type ListenEvent, UdpServer } from '../tftp/udp.ts';
import type { Console } from './console.ts';
import { interruptible } from './interrupt.ts';
import { Progress } from './progress.ts';
import { asksForAddresses, awaitCable, checkDhcpFlags, type DhcpFlags, giveAddresses } from './serve-dhcp.ts';
import { type AddressFlags, addressesAsked, eventLine, familyAsked, meaningOf, milliseconds, speedText, tracer, wholeNumber } from './tftp-options.ts';

interface ServeFlags extends AddressFlags, DhcpFlags {
  readonly port: string;
  readonly as?: string | undefined;
  readonly anyName?: true | undefined;
  readonly accept?: string[] | undefined;
  readonly singlePort?: true | undefined;
  readonly rfc1350?: true | undefined;
  readonly maxBlksize?: string | undefined;
  readonly maxWindowsize?: string | undefined;
  readonly once?: true | undefined;
  readonly for?: string | undefined;
  readonly trace?: true | undefined;
  readonly ndjson?: true | undefined;
}

interface Proved {
  readonly offer: Offer;
  readonly path: string;
  readonly size: number;
  readonly sha256: string;
  readonly what: string;
}

/** A device that asks again within this time did not take the image. */
const askedAgainWithin = 60_000;

/** Nobody has asked for so long: time for advice. */
const quietFor = 30_000;

const unknownCode = 'unknown-format';

/** Whether an image may be served; what speaks against it otherwise. */
function refusal(path: string, inspection: Inspection, accepted: ReadonlySet<string>): OwimgError | undefined {
  const { status, findings, kind, root } = inspection;
  if (status === 'unknown' && !accepted.has(unknownCode)) {
    return new OwimgError(
      'unknown-format',
      `Cannot prove "${path}": owimg does not recognise it`,
      `If you know that it is right, as its maker's file may be: --accept ${unknownCode}.`,
    );
  }
  const against = findings.filter(({ severity, code }) => severity === 'error' && !accepted.has(code));
  if (against.length > 0) {
    const told = against.slice(0, 5).map(({ code, message }) => `${code}: ${message}`);
    const more = against.length > told.length ? `; and ${against.length - told.length} more` : '';
    const codes = [...new Set(against.map(({ code }) => code))].join(' ');
    return new OwimgError(
      'input-refused',
      `Not served: "${path}" is broken: ${told.join('; ')}${more}`,
      `Download it again and compare it with the sha256sums of the release. If you know better: --accept ${codes}.`,
    );
  }
  if (kind === 'archive') {
    const members = root.children.map(({ label, format }) => label ?? format).slice(0, 10);
    return new OwimgError(
      'member-needed',
      `Not served: "${path}" is an archive, which no loader unpacks${members.length === 0 ? '' : `; it holds ${members.join(', ')}`}`,
      'Unpack it, and serve the one for your device.',
    );
  }
  return undefined;
}

async function prove(path: string, flags: ServeFlags, accepted: ReadonlySet<string>): Promise<Proved> {
  const changed = changeOf(path);
  const { bytes } = await readFile(path);
  const inspection = await inspect(bytes, path === '-' ? { deep: true } : { deep: true, name: path });
  const problem = refusal(path, inspection, accepted);
  if (problem !== undefined) throw problem;
  const name = path === '-' ? undefined : basename(path);
  const names = [...(flags.as === undefined ? [] : [flags.as]), ...(name === undefined ? [] : [name])];
  if (names.length === 0 && flags.anyName !== true)
    throw new OwimgError('bad-usage', 'Cannot tell a name for standard input', 'Give one with --as NAME, or --any-name.');
  const checks = countChecks(inspection);
  return {
    offer: { names, source: bytesSource(bytes, changed) },
    path,
    size: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    what: `${whatItIs(inspection)}${statusSentence(inspection, checks)}`,
  };
}

function countChecks({ root }: Inspection): number {
  let count = 0;
  const layers = [root];
  for (let layer = layers.pop(); layer !== undefined; layer = layers.pop()) {
    count += layer.checks.length;
    layers.push(...layer.children);
  }
  return count;
}

/** Says what devices do, as it happens. */
class Watcher {
  readonly #io: Console;
  readonly #flags: ServeFlags;
  readonly #offers: readonly Proved[];
  readonly #progress: Progress;
  /** When a device had all of a file. */
  readonly #had = new Map<string, number>();
  #requests = 0;
  complete = 0;
  onComplete: () => void = () => undefined;

  constructor(io: Console, flags: ServeFlags, offers: readonly Proved[]) {
    this.#io = io;
    this.#flags = flags;
    this.#offers = offers;
    this.#progress = new Progress(io);
  }

  get asked(): boolean {
    return this.#requests > 0;
  }

  readonly event = (event: ServerEvent | ListenEvent): void => {
    if (this.#flags.ndjson === true) this.#io.out(eventLine(event));
    switch (event.event) {
      case 'listening':
        this.say(`listening on ${peerText(event.local)}`);
        break;
      case 'not-listening':
        this.say(`not listening on ${peerText(event.local)}: ${event.reason}`);
        break;
      case 'request':
        this.#requests += 1;
        this.#request(event);
        break;
      case 'refused':
        this.#requests += 1;
        this.say(
          `router ${event.from.address} asked ${event.why === 'write' ? 'to write' : 'for'} "${event.name}": refused, ${event.text}${this.#advice(event)}`,
        );
        break;
      case 'ended':
        void this.#ended(event);
        break;
      default:
    }
  };

  say(text: string): void {
    this.#progress.clear();
    this.#io.err(`${harmless(text)}\n`);
  }

  progress(server: UdpServer): void {
    const running = server.transfers;
    const [first] = running;
    if (first === undefined) return;
    const told = `${first.peer.address}: ${byteCount(first.bytes)} of ${byteCount(first.size)}`;
    this.#progress.step(running.length > 1 ? `${running.length} devices; ${told}` : told);
  }

  end(): void {
    this.#progress.clear();
  }

  #request({ from, name, offer }: Extract<ServerEvent, { event: 'request' }>): void {
    const known = this.#offers.some((proved) => proved.offer.names.some((own) => plainName(own) === plainName(name)));
    const other = known ? '' : ` (${offer})`;
    const had = this.#had.get(`${from.address} ${plainName(name)}`);
    const again =
      had !== undefined && performance.now() - had < askedAgainWithin ? '; it had it already: the loader did not take the image, or was restarted' : '';
    this.say(`router ${from.address} asked for ${name === '' ? 'a file without a name' : name}: serving it${other}${again}`);
  }

  #advice({ why, name }: Extract<ServerEvent, { event: 'refused' }>): string {
    if (why !== 'unknown-name') return '';
    const offered = this.#offers.flatMap(({ offer }) => offer.names).join(', ');
    return `. Offered: ${offered}. To give it that: --as ${JSON.stringify(name)}, or --any-name`;
  }

  async #ended(event: Extract<ServerEvent, { event: 'ended' }>): Promise<void> {
    const { from, name, outcome, text, bytes, size, milliseconds: took, retransmissions } = event;
    const repeated = retransmissions > 0 ? `, ${retransmissions} packets sent again` : '';
    const router = `router ${from.address}`;
    if (outcome === 'complete' || outcome === 'unconfirmed') {
      this.#had.set(`${from.address} ${plainName(name)}`, performance.now());
      const all = outcome === 'complete' ? 'has all of it' : `probably has all of it (${text})`;
      this.say(`${router} ${all}: ${speedText(size, took)}${repeated}. What it does with it takes minutes: leave the power on`);
      this.complete += 1;
      this.onComplete();
      return;
    }
    const meaning = outcome === 'stopped-by-peer' ? await meaningOf(text) : undefined;
    const how = {
      'stopped-by-peer': `ended the transfer: ${text}`,
      silent: text,
      changed: `was stopped: ${text}. Start owimg serve anew when the file is finished`,
      interrupted: 'was told that this is over',
      replaced: 'began anew',
    }[outcome];
    this.say(`${router} ${how} (${byteCount(bytes)} of ${byteCount(size)}${repeated})${meaning === undefined ? '' : `. ${meaning}`}`);
  }
}

function checkFlags(paths: readonly string[], flags: ServeFlags): void {
  if (flags.as !== undefined && paths.length > 1) throw new OwimgError('bad-usage', 'Cannot give several files the same name', 'With --as give one file.');
  if (paths.indexOf('-') !== paths.lastIndexOf('-')) throw new OwimgError('bad-usage', 'Cannot read standard input twice', 'Give "-" once.');
  const names = paths.map((path) => plainName(basename(path)));
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined)
    throw new OwimgError('bad-usage', `Cannot serve two files as "${twice}"`, 'Routers do not care for folders and capitals: rename one of them.');
}

async function run(paths: readonly string[], flags: ServeFlags, io: Console): Promise<number> {
  checkFlags(paths, flags);
  checkDhcpFlags(flags);
  const family = familyAsked(asksForAddresses(flags) ? { ...flags, ipv4: true } : flags);
  const port = wholeNumber(flags.port, 'a port', 1, 65535);
  const limits = {
    plain: flags.rfc1350 === true,
    blockSize: flags.maxBlksize === undefined ? serverLimits.blockSize : wholeNumber(flags.maxBlksize, 'the largest block size', 8, 65464),
    windowSize: flags.maxWindowsize === undefined ? serverLimits.windowSize : wholeNumber(flags.maxWindowsize, 'the largest window', 1, windowLimit),
  };
  const time = flags.for === undefined ? undefined : milliseconds(flags.for, 'the time to serve');
  const accepted = new Set(flags.accept ?? []);
  const progress = new Progress(io);
  const proved: Proved[] = [];
  for (const path of paths) {
    progress.step(`checking ${path}`);
    proved.push(await prove(path, flags, accepted));
    progress.clear();
  }
  const watcher = new Watcher(io, flags, proved);
  for (const { path, what, size, sha256, offer } of proved) {
    watcher.say(`${path}: ${what}; ${byteCount(size)}, sha256 ${sha256}`);
    watcher.say(`given as ${offer.names.join(' and as ')}${flags.anyName === true && offer === proved[0]?.offer ? ', and under any other name' : ''}`);
  }
  return interruptible(async (signal) => {
    const announced = proved[0]?.offer.names[0] ?? '';
    const say = (text: string): void => watcher.say(text);
    await awaitCable(flags, announced, time, signal, say);
    if (signal.aborted) return 130;
    const addresses = addressesAsked(flags, family);
    const rules = { offers: proved.map(({ offer }) => offer), anyName: flags.anyName === true, limits };
    const trace = flags.trace === true ? tracer(io) : undefined;
    const server = await UdpServer.listen(rules, { addresses, port, singlePort: flags.singlePort, trace, event: watcher.event });
    const stopGiving = await giveAddresses(flags, announced, signal, io, say).catch((error: unknown) => {
      server.stop('owimg was stopped');
      throw error;
    });
    const why = await untilOver(server, watcher, signal, flags.once === true, time, io);
    stopGiving();
    server.stop('owimg was stopped');
    watcher.end();
    if (why === 'interrupted') return 130;
    if (why === 'time' && watcher.complete === 0) {
      throw new OwimgError('cannot-reach', watcher.asked ? 'No device has got a file' : 'No device has asked for a file', quietAdvice);
    }
    return 0;
  });
}

const quietAdvice =
  'Is the cable in the right port, does this machine have the address that the loader asks, does a firewall let UDP port 69 in? Many loaders ask only while a button is held at power-on.';

/** Waits for Ctrl-C, the first device that has it all, or the end of the time. */
function untilOver(
  server: UdpServer,
  watcher: Watcher,
  signal: AbortSignal,
  once: boolean,
  time: number | undefined,
  io: Console,
): Promise<'interrupted' | 'complete' | 'time'> {
  return new Promise((resolve) => {
    const watching = io.interactive ? setInterval(() => watcher.progress(server), 200) : undefined;
    const quiet = setTimeout(() => {
      if (!watcher.asked) watcher.say(`Nobody has asked yet. ${quietAdvice}`);
    }, quietFor);
    const over = (why: 'interrupted' | 'complete' | 'time'): void => {
      clearInterval(watching);
      clearTimeout(quiet);
      clearTimeout(timer);
      resolve(why);
    };
    const timer = time === undefined ? undefined : setTimeout(() => over('time'), time);
    if (once && watcher.complete > 0) over('complete');
    else if (once) watcher.onComplete = () => over('complete');
    // Without a timer of its own nothing would keep the process alive where every socket is idle: sockets do.
    if (signal.aborted) over('interrupted');
    else signal.addEventListener('abort', () => over('interrupted'), { once: true });
  });
}

/** Adds the command; `done` gets its exit status. */
export function addServe(program: Command, io: Console, done: (status: number) => void): void {
  program
    .command('serve')
    .description('serve images by TFTP to boot loaders that ask for them')
    .argument('<file...>', 'images; nothing else can be read, nothing can be written')
    .option('--as <name>', 'give the file under this name too')
    .option('--any-name', 'give the first file for whatever name is asked for')
    .addOption(new Option('--accept <code...>', 'serve although this was found'))
    .option('-p, --port <port>', 'listen on this port', '69')
    .option('--bind <address>', 'listen on this local address only')
    .option('--interface <name>', 'listen on the addresses of this network interface only')
    .option('-4, --ipv4', 'IPv4 only')
    .option('-6, --ipv6', 'IPv6 only')
    .option('--single-port', 'answer from the port that was asked (firewalls, some loaders)')
    .option('--rfc1350', 'plain TFTP: answer no options')
    .option('--max-blksize <bytes>', 'grant blocks up to this size (1468: more needs fragments)')
    .option('--max-windowsize <blocks>', 'grant windows up to this size (64)')
    .option('--bootp', 'answer BOOTP too, for loaders without an address (MikroTik, RedBoot); needs --interface')
    .option('--dhcp', 'answer DHCP too (U-Boot, PXE); needs --interface')
    .option('--mac <address>', 'answer BOOTP and DHCP for the device with this hardware address only')
    .option('--client-address <address>', 'the address that the device gets (the one next to ours)')
    .option('--once', 'end when a device has got a file')
    .option('--for <seconds>', 'end after this time')
    .option('--trace', 'show every packet')
    .option('--ndjson', 'events, one JSON object a line')
    .addHelpText(
      'after',
      '\nExit status: 0 served, 1 a file is broken, 2 wrong use, 3 a file is not recognised, 4 not readable, the port\ncannot be opened, or nobody asked within --for, 130 interrupted\n\nExample: sudo owimg serve --as wr841nv8_tp_recovery.bin openwrt-factory.bin',
    )
    .action(async (paths, flags) => done(await run(paths, flags as unknown as ServeFlags, io)));
}
