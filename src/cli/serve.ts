/** `owimg serve FILE...`: a TFTP server for boot loaders. Reads the files once, proves them, gives nothing else and takes nothing. */
import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import type { Command } from '@commander-js/extra-typings';
import { OwimgError } from '../core/errors.ts';
import { byteCount } from '../core/hex.ts';
import type { Inspection } from '../core/types.ts';
import { formats } from '../index.ts';
import { type Opened, openWith } from '../inspect.ts';
import { readFile } from '../io/read-file.ts';
import { changeOf } from '../io/unchanged.ts';
import { type Member, memberOf } from '../members.ts';
import { shellWord } from '../report/shell-word.ts';
import { counted, harmless, statusSentence, whatItIs } from '../report/words.ts';
import { peerText } from '../tftp/client.ts';
import { windowLimit } from '../tftp/options.ts';
import { bytesSource } from '../tftp/sending.ts';
import { type Offer, plainName, type ServerEvent, serverLimits } from '../tftp/server.ts';
import { type ListenEvent, UdpServer } from '../tftp/udp.ts';
import type { Console } from './console.ts';
import { interruptible } from './interrupt.ts';
import { collectCodes } from './lists.ts';
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
  /** What the file is as it lies there, where what is served was packed in it. */
  readonly packed?: Offer | undefined;
  readonly path: string;
  readonly size: number;
  readonly sha256: string;
  readonly what: string;
}

const offersOf = ({ offer, packed }: Proved): Offer[] => (packed === undefined ? [offer] : [offer, packed]);

/** A device that asks again within this time did not take the image. */
const askedAgainWithin = 60_000;

/** Nobody has asked for so long: time for advice. */
const quietFor = 30_000;

const unknownCode = 'unknown-format';

/** So many refusals are remembered, so that none is told twice. */
const refusalsKept = 256;

/** What the requests of one device for one name have come to when they are told again. */
const toldAgainAt: ReadonlySet<number> = new Set([10, 100, 1000, 10_000]);

/** Whether an image may be served; what speaks against it otherwise. */
function refusal(path: string, inspection: Inspection, accepted: ReadonlySet<string>): OwimgError | undefined {
  const { status, findings, kind } = inspection;
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
    const codes = [...new Set(against.map(({ code }) => code))].join(',');
    return new OwimgError(
      'input-refused',
      `Not served: "${path}" is broken: ${told.join('; ')}${more}`,
      `Download it again and compare it with the sha256sums of the release. If you know better: --accept ${codes}.`,
    );
  }
  return kind === 'archive' ? archiveRefused(path, inspection) : undefined;
}

function archiveRefused(path: string, { root }: Inspection): OwimgError {
  const members = root.children.map(({ label, format }) => label ?? format).slice(0, 10);
  return new OwimgError(
    'member-needed',
    `Not served: "${path}" is an archive, which no loader unpacks${members.length === 0 ? '' : `; it holds ${members.join(', ')}`}`,
    'Unpack it, and serve the one for your device.',
  );
}

/** What is packed in the file, if it is one thing: loaders take it as it is written to the flash, and unpack nothing. */
function unpacked(path: string, outer: Opened): Member | undefined {
  try {
    return memberOf(outer, formats, undefined);
  } catch (error) {
    throw error instanceof OwimgError && error.code === 'member-needed' ? archiveRefused(path, outer.inspection) : error;
  }
}

const isEmpty = (path: string): OwimgError =>
  new OwimgError('input-refused', `Not served: "${path}" is empty, so there is nothing to serve`, 'Download it again, or look at what should have written it.');

async function prove(path: string, flags: ServeFlags, accepted: ReadonlySet<string>, waiting: () => void): Promise<Proved> {
  const changed = changeOf(path);
  const { bytes: read } = await readFile(path, undefined, waiting);
  if (read.length === 0) throw isEmpty(path);
  const outer = await openWith(formats, read, path === '-' ? { deep: true } : { deep: true, name: path });
  const member = unpacked(path, outer);
  const problem = refusal(path, outer.inspection, accepted);
  // Of an archive with a single image in it only that one counts.
  if (problem !== undefined && (member === undefined || problem.code !== 'member-needed')) throw problem;
  const bytes = member?.bytes ?? read;
  if (bytes.length === 0) throw isEmpty(path);
  const plain = path === '-' ? undefined : path.replace(/\.(gz|xz|zip)$/i, member === undefined ? '$&' : '');
  const name = member?.name ?? plain;
  const { inspection } = member === undefined ? outer : await openWith(formats, bytes, name === undefined ? { deep: true } : { deep: true, name });
  const ownProblem = member === undefined ? undefined : refusal(path, inspection, accepted);
  if (ownProblem !== undefined) throw ownProblem;
  const names = [...(flags.as === undefined ? [] : [flags.as]), ...(name === undefined ? [] : [basename(name)])];
  if (names.length === 0 && flags.anyName !== true)
    throw new OwimgError('bad-usage', 'Cannot tell a name for standard input', 'Give one with --as NAME, or --any-name.');
  const { countChecks } = await import('../report/text.ts');
  const what = `${whatItIs(inspection)}${statusSentence(inspection, countChecks(inspection.root))}`;
  const packedName = path === '-' ? undefined : basename(path);
  // Some consoles unpack by themselves (gzwrite of U-Boot): who asks for the packed file by its name gets that.
  const asIs = member !== undefined && packedName !== undefined && !names.some((other) => plainName(other) === plainName(packedName));
  return {
    offer: { names, source: bytesSource(bytes, changed) },
    ...(asIs ? { packed: { names: [packedName], source: bytesSource(read, changed) } } : {}),
    path,
    size: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    what: member === undefined ? what : `packed (${outer.inspection.root.format}), which loaders do not unpack. Unpacked here: ${what}`,
  };
}

/** Says what devices do, as it happens. */
class Watcher {
  readonly #io: Console;
  readonly #flags: ServeFlags;
  readonly #offers: readonly Proved[];
  readonly #progress: Progress;
  /** When a device had all of a file. */
  readonly #had = new Map<string, number>();
  /** How often a device was refused the same. */
  readonly #refusals = new Map<string, number>();
  /** Lines that wait for what they say. */
  readonly #pending = new Set<Promise<void>>();
  #requests = 0;
  complete = 0;
  /** What is to be said of the transfer that ended last without being complete. */
  brokenOff: string | undefined;
  /** A transfer began, or is over. */
  onChange: () => void = () => undefined;

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
        this.onChange();
        break;
      case 'refused':
        this.#requests += 1;
        this.#refused(event);
        break;
      case 'ended': {
        const told = this.#ended(event).finally(() => this.#pending.delete(told));
        this.#pending.add(told);
        this.onChange();
        break;
      }
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

  /** All that happened is said. */
  async end(): Promise<void> {
    await Promise.all(this.#pending);
    this.#progress.clear();
  }

  #request({ from, name, offer }: Extract<ServerEvent, { event: 'request' }>): void {
    const known = this.#offers.flatMap(offersOf).some(({ names }) => names.some((own) => plainName(own) === plainName(name)));
    const other = known ? '' : ` (${offer})`;
    const had = this.#had.get(`${from.address} ${plainName(name)}`);
    const again =
      had !== undefined && performance.now() - had < askedAgainWithin ? '; it had it already: the loader did not take the image, or was restarted' : '';
    this.say(`router ${from.address} asked for ${name === '' ? 'a file without a name' : name}: serving it${other}${again}`);
  }

  #advice({ why, name }: Extract<ServerEvent, { event: 'refused' }>): string {
    if (why !== 'unknown-name') return '';
    const offered = this.#offers.flatMap(offersOf).flatMap(({ names }) => names);
    const told = offered.length === 0 ? '' : `. Offered: ${offered.join(', ')}`;
    // The name is from outside: what cannot be quoted is not offered as a command.
    const word = plainName(name) === '' ? undefined : shellWord(name);
    return `${told}. To give it that: ${word === undefined ? '' : `--as ${word}, or `}--any-name`;
  }

  /** Devices ask again and again: the first refusal is news, and then how many there were. */
  #refused(event: Extract<ServerEvent, { event: 'refused' }>): void {
    const { from, why, name, text } = event;
    const key = `${from.address} ${why} ${name}`;
    const times = (this.#refusals.get(key) ?? 0) + 1;
    this.#refusals.delete(key);
    this.#refusals.set(key, times);
    for (const oldest of this.#refusals.keys()) {
      if (this.#refusals.size <= refusalsKept) break;
      this.#refusals.delete(oldest);
    }
    const asked = `router ${from.address} asked ${why === 'write' ? 'to write' : 'for'} "${name}"`;
    if (times === 1) this.say(`${asked}: refused, ${text}${this.#advice(event)}`);
    else if (toldAgainAt.has(times)) this.say(`${asked} ${times} times so far: refused, ${text}`);
  }

  async #ended(event: Extract<ServerEvent, { event: 'ended' }>): Promise<void> {
    const { from, name, outcome, text, bytes, size, milliseconds: took, retransmissions } = event;
    const repeated = retransmissions > 0 ? `, ${counted(retransmissions, 'packet')} sent again` : '';
    const router = `router ${from.address}`;
    if (outcome === 'complete' || outcome === 'unconfirmed') {
      this.#had.set(`${from.address} ${plainName(name)}`, performance.now());
      const all = outcome === 'complete' ? 'has all of it' : `probably has all of it (${text})`;
      this.say(`${router} ${all}: ${speedText(size, took)}${repeated}. What it does with it takes minutes: leave the power on`);
      this.complete += 1;
      return;
    }
    this.brokenOff = `${router} got ${byteCount(bytes)} of ${byteCount(size)}${text === '' ? '' : `: ${text}`}`;
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
  if (flags.as !== undefined && plainName(flags.as) === '')
    throw new OwimgError('bad-value', `Cannot use "${flags.as}" for --as: expected the name that the device asks for`, 'For whatever it asks for: --any-name.');
  checkNames(paths.map((path) => basename(path)));
}

function checkNames(given: readonly string[]): void {
  const names = given.map(plainName);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined)
    throw new OwimgError('bad-usage', `Cannot serve two files as "${twice}"`, 'Routers do not care for folders and capitals: rename one of them.');
}

async function run(paths: readonly string[], flags: ServeFlags, io: Console): Promise<number> {
  checkFlags(paths, flags);
  checkDhcpFlags(flags);
  const family = familyAsked(asksForAddresses(flags) ? { ...flags, ipv4: true } : flags);
  if (flags.bind !== undefined) addressesAsked(flags, family);
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
    proved.push(await prove(path, flags, accepted, () => io.err(`${harmless(`Waiting until something is written to "${path}".`)}\n`)));
    progress.clear();
  }
  // One name may be given twice for one file: --as beside its own.
  checkNames(proved.flatMap((each) => offersOf(each).flatMap(({ names }) => [...new Set(names.map(plainName))])));
  const watcher = new Watcher(io, flags, proved);
  for (const { path, what, size, sha256, offer, packed } of proved) {
    watcher.say(`${path}: ${what}; ${byteCount(size)}, sha256 ${sha256}`);
    const any = flags.anyName === true && offer === proved[0]?.offer;
    const named = [...offer.names.map((name) => `as ${name}`), ...(any ? ['under any other name'] : [])].join(' and ');
    watcher.say(`given ${named}${packed === undefined ? '' : `; still packed as ${packed.names.join(' and as ')}`}`);
  }
  return interruptible(async (signal) => {
    const announced = proved[0]?.offer.names[0] ?? '';
    const say = (text: string): void => watcher.say(text);
    await awaitCable(flags, announced, time, signal, say);
    if (signal.aborted) return 130;
    const addresses = addressesAsked(flags, family);
    const rules = { offers: proved.flatMap(offersOf), anyName: flags.anyName === true, limits };
    const trace = flags.trace === true ? tracer(io) : undefined;
    const server = await UdpServer.listen(rules, { addresses, port, singlePort: flags.singlePort, trace, event: watcher.event });
    const stopGiving = await giveAddresses(flags, announced, signal, io, say).catch((error: unknown) => {
      server.stop('owimg was stopped');
      throw error;
    });
    const why = await untilOver(server, watcher, signal, flags.once === true, time, io);
    stopGiving();
    server.stop('owimg was stopped');
    await watcher.end();
    if (why === 'interrupted') return 130;
    return why === 'time' && watcher.complete === 0 ? nobodyServed(watcher) : 0;
  });
}

const quietAdvice =
  'Is the cable in the right port, does this machine have the address that the loader asks, does a firewall let UDP port 69 in? Many loaders ask only while a button is held at power-on.';

/** @throws OwimgError `transfer-failed` where a transfer began, `cannot-reach` where none did */
function nobodyServed({ brokenOff, asked }: Watcher): never {
  if (brokenOff !== undefined) {
    const hint = 'Is the cable firmly in, did the device keep its power? Switch it off and on, and let it ask again.';
    throw new OwimgError('transfer-failed', `No device has got the whole file; the last one, ${brokenOff}`, hint);
  }
  if (asked) throw new OwimgError('cannot-reach', 'No device has got a file: all that was asked for was refused', 'Look above for the name that it asked for.');
  throw new OwimgError('cannot-reach', 'No device has asked for a file', quietAdvice);
}

/** Waits for Ctrl-C, the first device that has it all, or the end of the time, which stands still while a transfer runs. A running transfer is waited for. */
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
    let timer: NodeJS.Timeout | undefined;
    let left = time;
    let since: number | undefined;
    const over = (why: 'interrupted' | 'complete' | 'time'): void => {
      watcher.onChange = () => undefined;
      clearInterval(watching);
      clearTimeout(quiet);
      clearTimeout(timer);
      resolve(why);
    };
    const look = (): void => {
      if (server.count === 0 && once && watcher.complete > 0) {
        over('complete');
      } else if (server.count > 0 && since !== undefined && left !== undefined) {
        clearTimeout(timer);
        left = Math.max(0, left - (performance.now() - since));
        since = undefined;
      } else if (server.count === 0 && since === undefined && left !== undefined) {
        since = performance.now();
        timer = setTimeout(() => over('time'), left);
      }
    };
    watcher.onChange = look;
    look();
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
    .option('--accept <code>', 'serve although this was found; again, or with commas, for several', collectCodes)
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
    .option('--once', 'end when a device has got a file, and no other is getting it')
    .option('--for <seconds>', 'end after this time, which stands still while a device gets a file')
    .option('--trace', 'show every packet')
    .option('--ndjson', 'events, one JSON object a line')
    .addHelpText(
      'after',
      '\nExit status: 0 served, 1 a file is broken, 2 wrong use, 3 a file is not recognised, 4 not readable, the port\ncannot be opened, or nobody asked within --for, 5 a transfer failed and no other came within --for, 130 interrupted\n\nExample: sudo owimg serve --as wr841nv8_tp_recovery.bin openwrt-factory.bin',
    )
    .action(async (paths, flags) => done(await run(paths, flags as unknown as ServeFlags, io)));
}
