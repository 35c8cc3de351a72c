/** `owimg tftp get HOST NAME` and `owimg tftp put FILE HOST [NAME]`: the TFTP client by itself. Images are not looked at: that is what `owimg flash` does. */
import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import { type Command, Option } from '@commander-js/extra-typings';
import { errorKinds, OwimgError } from '../core/errors.ts';
import { byteCount } from '../core/hex.ts';
import { defaultLimits } from '../core/limits.ts';
import { readFile } from '../io/read-file.ts';
import { changeOf } from '../io/unchanged.ts';
import { GrowingFile, requireWritable } from '../io/write-file.ts';
import { schemaVersion } from '../report/json.ts';
import { harmless } from '../report/words.ts';
import { bootedAlready, type ClientEvent, type ClientJob, type ClientTransfer, failureCodes, type Outcome, peerText } from '../tftp/client.ts';
import { FromNetascii, toNetascii } from '../tftp/netascii.ts';
import { type Wishes, windowLimit } from '../tftp/options.ts';
import { getPace, type Pace, pushPace } from '../tftp/pace.ts';
import { requestFits } from '../tftp/packets.ts';
import { bytesSource } from '../tftp/sending.ts';
import { resolveHost, runClient, type SendProblem } from '../tftp/udp.ts';
import { version } from '../version.ts';
import { type Console, sayError } from './console.ts';
import { interruptible } from './interrupt.ts';
import { Progress } from './progress.ts';
import {
  type AddressFlags,
  addressesAsked,
  eventLine,
  familyAsked,
  meaningOf,
  milliseconds,
  problemText,
  speedText,
  tracer,
  wholeNumber,
} from './tftp-options.ts';

interface TftpFlags extends AddressFlags {
  readonly port: string;
  readonly sourcePort?: string | undefined;
  readonly blksize?: string | undefined;
  readonly windowsize?: string | undefined;
  readonly timeout?: string | undefined;
  readonly rfc1350?: true | undefined;
  readonly netascii?: true | undefined;
  readonly rollover?: '0' | '1' | undefined;
  readonly retry?: string | undefined;
  readonly wait?: string | undefined;
  readonly patience?: string | undefined;
  readonly receiveBuffer?: string | undefined;
  readonly trace?: true | undefined;
  readonly json?: true | undefined;
  readonly ndjson?: true | undefined;
  readonly output?: string | undefined;
  readonly force?: true | undefined;
  readonly push?: true | undefined;
}

/** A name that RFC 2348 servers without the option of their own take in one packet of 1500 bytes, also behind a tunnel. */
const getBlockSize = 1428;

/** Puts what arrives into a file, up to the longest that owimg reads. */
function keeper(file: GrowingFile, netascii: boolean): { readonly add: (data: Uint8Array) => void; readonly end: () => void } {
  const text = netascii ? new FromNetascii() : undefined;
  const add = (data: Uint8Array): void => {
    file.add(data);
    if (file.length > defaultLimits.fileLength) throw new OwimgError('file-too-large', `Cannot keep more than ${byteCount(defaultLimits.fileLength)}`);
  };
  return text === undefined ? { add, end: () => undefined } : { add: (data) => add(text.add(data)), end: () => add(text.end()) };
}

/** What was said of a transfer while it ran, for people. */
class Lines {
  readonly #io: Console;
  readonly #flags: TftpFlags;
  readonly #what: string;
  readonly #progress: Progress;
  readonly #problems = new Set<string>();

  constructor(io: Console, flags: TftpFlags, what: string) {
    this.#io = io;
    this.#flags = flags;
    this.#what = what;
    this.#progress = new Progress(io);
  }

  readonly event = (event: ClientEvent | SendProblem): void => {
    if (this.#flags.ndjson === true) this.#io.out(eventLine(event));
    if (event.event === 'fallback') this.#say(`without options now: ${event.reason}`);
    else if (event.event === 'put-off') this.#once(`${peerText(event.from)} says ${event.text}; asking on`);
    else if (event.event === 'send-problem') this.#once(problemText(event.code));
    else if (event.event === 'answered') {
      const { blockSize, windowSize, transferSize } = event.terms;
      const size = transferSize === undefined ? '' : `, ${byteCount(transferSize)}`;
      this.#say(`${peerText(event.from)} answers: blocks of ${blockSize} bytes${windowSize > 1 ? `, ${windowSize} at once` : ''}${size}`);
    }
  };

  readonly watch = (transfer: ClientTransfer): void => {
    const { peer, terms, bytes, allSent } = transfer;
    if (peer === undefined) this.#progress.step(`${this.#what}: waiting for an answer`);
    else if (allSent) this.#progress.step(`${this.#what}: all is sent; waiting for the last acknowledgement`);
    else this.#progress.step(`${this.#what}: ${byteCount(bytes)}${terms.transferSize === undefined ? '' : ` of ${byteCount(terms.transferSize)}`}`);
  };

  end(): void {
    this.#progress.clear();
  }

  #say(text: string): void {
    this.#progress.clear();
    if (this.#io.interactive || this.#flags.trace === true) this.#io.err(`${harmless(text)}\n`);
  }

  /** What a person must know, but not four times a second. */
  #once(text: string): void {
    if (this.#problems.has(text)) return;
    this.#problems.add(text);
    this.#progress.clear();
    this.#io.err(`${harmless(text)}\n`);
  }
}

function paceAsked(flags: TftpFlags, direction: 'get' | 'put'): Pace {
  const usual = direction === 'get' ? getPace : pushPace;
  const retry = flags.retry === undefined ? undefined : Math.max(50, milliseconds(flags.retry, 'the time between requests'));
  const patience = flags.patience === undefined ? usual.patience : milliseconds(flags.patience, 'the patience');
  // A boot loader listens for seconds: with --push every request counts.
  const most = retry ?? (flags.push === true ? usual.first : usual.most);
  return { first: retry ?? usual.first, most, patience };
}

/** What a put asks for: nothing, unless it was said, because many loaders know no options. */
function wishesAsked(flags: TftpFlags, direction: 'get' | 'put', size: number, fits: (blockSize: number) => number): Wishes | undefined {
  const { blksize, windowsize, timeout, rollover } = flags;
  if (flags.rfc1350 === true) {
    if (blksize !== undefined || windowsize !== undefined || timeout !== undefined) {
      throw new OwimgError('bad-usage', 'Cannot use --rfc1350 with an option of later RFCs', 'Leave out --blksize, --windowsize and --timeout.');
    }
    return undefined;
  }
  const asked = blksize !== undefined || windowsize !== undefined || timeout !== undefined;
  if (direction === 'put' && !asked) return undefined;
  const blockSize = blksize === undefined ? (direction === 'get' ? getBlockSize : undefined) : wholeNumber(blksize, 'the block size', 8, 65464);
  const windowSize = windowsize === undefined ? undefined : wholeNumber(windowsize, 'the window size', 1, windowLimit);
  return {
    blockSize,
    // More than the receive buffer holds would be lost, window after window.
    windowSize: windowSize === undefined || direction === 'put' ? windowSize : Math.min(windowSize, fits(blockSize ?? 512)),
    timeout: timeout === undefined ? undefined : wholeNumber(timeout, 'the timeout', 1, 255),
    // The size of text differs on either side.
    transferSize: flags.netascii === true ? undefined : size,
    rollover: rollover === '1' ? 1 : undefined,
  };
}

function transferError(outcome: Extract<Outcome, { outcome: 'failed' }>, hint: string | undefined): OwimgError {
  const code = failureCodes[outcome.failure];
  const fewer = outcome.reason === 'rollover' ? 'A larger block size needs fewer blocks: --blksize 1428.' : undefined;
  return new OwimgError(code, outcome.message, hint ?? fewer ?? hints[outcome.failure] ?? errorKinds[code].hint);
}

const hints: Readonly<Partial<Record<string, string>>> = {
  'no-answer':
    'Is the cable in, is your address in its network, does a firewall let answers from other ports through? Boot loaders listen for seconds only: put --push asks on until one answers.',
  silent: 'It may have lost power or the link. A loader starts anew with the next attempt.',
  changed: 'Send it again when nobody writes to it any longer.',
};

async function finish(outcome: Outcome, flags: TftpFlags, io: Console, facts: Record<string, unknown>, done: string): Promise<number> {
  const failed = outcome.outcome === 'failed';
  const afterLast = failed && outcome.allSent && outcome.failure === 'peer-error';
  const meaning = failed && outcome.said !== undefined ? await meaningOf(outcome.said.text) : undefined;
  const last = 'It said so behind the last block. Loaders of EcoNet do that although they took it: look at the device before you try again.';
  const hint = meaning ?? (afterLast ? last : undefined);
  const error = failed ? transferError(outcome, hint) : undefined;
  const status = error === undefined ? 0 : errorKinds[error.code].exit;
  const report = {
    schemaVersion,
    tool: { name: 'owimg', version },
    ...facts,
    ...outcome,
    ...(error === undefined ? {} : { error: { code: error.code, message: error.message, hint: error.hint } }),
  };
  if (flags.json === true) io.out(`${JSON.stringify(report, null, 2)}\n`);
  else if (flags.ndjson === true) io.out(eventLine({ event: 'result', ...report }));
  if (error !== undefined) sayError(io, error);
  else if (flags.json !== true && flags.ndjson !== true) io.out(`${harmless(done)}\n`);
  return status;
}

function checkOutput({ json, ndjson }: TftpFlags): void {
  if (json === true && ndjson === true) throw new OwimgError('bad-usage', 'Cannot print --json and --ndjson at once', 'Choose one of them.');
}

interface Prepared {
  readonly address: string;
  readonly port: number;
  readonly bind: string | undefined;
  readonly sourcePort: number | undefined;
  readonly receiveBuffer: number | undefined;
  readonly pace: Pace;
  readonly askFor: number;
  readonly mode: 'octet' | 'netascii';
  readonly rollover: 0 | 1 | undefined;
}

/** Everything that can be wrong with the options is found before anything is read or sent. */
async function prepare(host: string, name: string, direction: 'get' | 'put', flags: TftpFlags): Promise<Prepared> {
  checkOutput(flags);
  const asked = familyAsked(flags);
  const address = await resolveHost(host, asked, flags.interface);
  const family = address.includes(':') ? 6 : 4;
  const [bind] = addressesAsked(flags, family) ?? [];
  const mode = flags.netascii === true ? 'netascii' : 'octet';
  if (!requestFits({ kind: 'read', name, mode, options: new Map([['', 'x'.repeat(80)]]) })) {
    throw new OwimgError('bad-value', `Cannot ask for a name of ${name.length} characters: a request has room for about 400`);
  }
  wishesAsked(flags, direction, 0, () => 1);
  return {
    address,
    port: wholeNumber(flags.port, 'a port', 1, 65535),
    bind: flags.bind === undefined && flags.interface === undefined ? undefined : bind,
    sourcePort: flags.sourcePort === undefined ? undefined : wholeNumber(flags.sourcePort, 'a port', 1, 65535),
    receiveBuffer: flags.receiveBuffer === undefined ? undefined : wholeNumber(flags.receiveBuffer, 'a receive buffer', 4096, 1 << 30),
    pace: paceAsked(flags, direction),
    askFor: flags.wait === undefined ? (flags.push === true ? Number.POSITIVE_INFINITY : 20_000) : milliseconds(flags.wait, 'the time to wait'),
    mode,
    rollover: flags.rollover === undefined ? undefined : flags.rollover === '1' ? 1 : 0,
  };
}

async function transfer(
  prepared: Prepared,
  makeJob: (fits: (blockSize: number) => number) => ClientJob,
  flags: TftpFlags,
  lines: Lines,
  io: Console,
): Promise<Outcome> {
  const { address, port, bind, sourcePort, receiveBuffer } = prepared;
  return interruptible((signal) =>
    runClient({ address, port }, makeJob, {
      bind,
      port: sourcePort,
      receiveBuffer,
      signal,
      event: lines.event,
      watch: io.interactive ? lines.watch : undefined,
      trace: flags.trace === true ? tracer(io) : undefined,
    }),
  ).finally(() => lines.end());
}

async function runGet(host: string, name: string, flags: TftpFlags, io: Console): Promise<number> {
  const prepared = await prepare(host, name, 'get', flags);
  const output = flags.output ?? basename(name.replaceAll('\\', '/'));
  if (output === '' || output === '.' || output === '..') throw new OwimgError('bad-usage', `Cannot make a file name of "${name}"`, 'Give one with -o.');
  await requireWritable(output, flags.force === true);
  const file = new GrowingFile(output);
  try {
    return await getInto(file, output, prepared, name, flags, io);
  } finally {
    file.discard();
  }
}

async function getInto(file: GrowingFile, output: string, prepared: Prepared, name: string, flags: TftpFlags, io: Console): Promise<number> {
  const { add, end } = keeper(file, flags.netascii === true);
  const { address, port, pace, askFor, mode, rollover } = prepared;
  const begin = performance.now();
  const job = (fits: (blockSize: number) => number): ClientJob => ({
    direction: 'get',
    server: { address, port },
    name,
    mode,
    wishes: wishesAsked(flags, 'get', 0, fits),
    pace,
    askFor,
    rollover,
    deliver: add,
  });
  const outcome = await transfer(prepared, job, flags, new Lines(io, flags, name), io);
  const took = performance.now() - begin;
  if (outcome.outcome === 'failed') return finish(outcome, flags, io, { name, milliseconds: Math.round(took) }, '');
  end();
  const { length } = file;
  const sha256 = await file.keep(flags.force === true);
  const facts = { name, milliseconds: Math.round(took), file: { path: output, size: length, sha256 } };
  return finish(outcome, flags, io, facts, `${output}: ${speedText(length, took)}, sha256 ${sha256}`);
}

async function runPut(file: string, host: string, given: string | undefined, flags: TftpFlags, io: Console): Promise<number> {
  const name = given ?? basename(file);
  if (file === '-' && given === undefined) throw new OwimgError('bad-usage', 'Cannot tell a name for standard input', 'Give one behind the address.');
  const prepared = await prepare(host, name, 'put', flags);
  const changed = changeOf(file);
  const { bytes } = await readFile(file);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const sent = flags.netascii === true ? toNetascii(bytes) : bytes;
  const { address, port, pace, askFor, mode, rollover } = prepared;
  const begin = performance.now();
  const job = (fits: (blockSize: number) => number): ClientJob => ({
    direction: 'put',
    server: { address, port },
    name,
    mode,
    wishes: wishesAsked(flags, 'put', sent.length, fits),
    pace,
    askFor,
    rollover,
    source: bytesSource(sent, changed),
    // What is started by a burst of requests must not be stopped by our answers to it.
    quiet: flags.push === true,
    endsBy: (_, text) => flags.push !== true || !bootedAlready(text),
  });
  if (flags.push === true && io.interactive) io.err(`Asking ${peerText({ address, port })} to take ${name}: switch the device on now. Ctrl-C ends it.\n`);
  const outcome = await transfer(prepared, job, flags, new Lines(io, flags, name), io);
  const took = performance.now() - begin;
  const facts = { name, milliseconds: Math.round(took), file: { path: file, size: bytes.length, sha256 } };
  const speed = speedText(sent.length, took);
  const done =
    outcome.outcome === 'unconfirmed'
      ? `${name}: all ${byteCount(sent.length)} sent, probably complete: only the last acknowledgement is missing, as with loaders that write or restart at once`
      : `${name}: sent ${speed}, all of it acknowledged`;
  return finish(outcome, flags, io, facts, done);
}

/** Adds the commands; `done` gets their exit status. */
export function addTftp(program: Command, io: Console, done: (status: number) => void): void {
  const tftp = program.command('tftp').description('the TFTP client by itself: get or put a file; images are not looked at');
  const get = tftp
    .command('get')
    .description('read a file from a TFTP server')
    .argument('<host>', 'address of the server')
    .argument('<name>', 'the file, as the server calls it')
    .option('-o, --output <file>', 'write here; the last part of the name without it')
    .option('--force', 'replace an existing file');
  const put = tftp
    .command('put')
    .description('send a file to a TFTP server, or to a boot loader that waits for one')
    .argument('<file>', 'what to send; "-" is standard input')
    .argument('<host>', 'address of the server')
    .argument('[name]', 'what the server shall call it; the name of the file without it')
    .option('--push', 'ask every 0.25 s until somebody answers, as long as it takes');
  for (const command of [get, put] as unknown as Command[]) {
    command
      .option('-p, --port <port>', 'port of the server', '69')
      .option('--blksize <bytes>', 'ask for blocks of this size, 8 to 65464')
      .option('--windowsize <blocks>', 'ask for so many blocks at once')
      .option('--timeout <seconds>', 'ask for this time between repetitions, 1 to 255')
      .option('--rfc1350', 'plain TFTP: no options')
      .option('--netascii', 'text, not bytes: ends of lines are changed. Never for images')
      .addOption(new Option('--rollover <number>', 'the block behind 65535').choices(['0', '1']))
      .option('--retry <seconds>', 'time between requests')
      .option('--wait <seconds>', 'how long to wait for an answer (20)')
      .option('--patience <seconds>', 'how long to wait for every block (get 20, put 30)')
      .option('--bind <address>', 'send from this local address')
      .option('--interface <name>', 'send from the address of this network interface')
      .option('--source-port <port>', 'send from this local port')
      .option('-4, --ipv4', 'IPv4 only')
      .option('-6, --ipv6', 'IPv6 only')
      .option('--receive-buffer <bytes>', 'receive buffer of the socket')
      .option('--trace', 'show every packet')
      .option('--json', 'the result as one JSON object')
      .option('--ndjson', 'events and result, one JSON object a line');
    command.addHelpText('after', '\nExit status: 0 transferred, 2 wrong use, 4 nobody answered or it was refused, 5 begun and failed,\n130 interrupted');
  }
  get.action(async (host, name, flags) => done(await runGet(host, name, flags as unknown as TftpFlags, io)));
  put.action(async (file, host, name, flags) => done(await runPut(file, host, name, flags as unknown as TftpFlags, io)));
  for (const command of tftp.commands) command.copyInheritedSettings(program as unknown as typeof command);
}
