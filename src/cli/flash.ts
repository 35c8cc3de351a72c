/** `owimg flash FILE --device D`: shows the plan, asks, sends or serves, and stays until the device is back. Everything it needs is imported when it runs. */
import { basename } from 'node:path';
import { type Command, Option } from '@commander-js/extra-typings';
import { errorKinds, OwimgError } from '../core/errors.ts';
import { byteCount } from '../core/hex.ts';
import type { CarryOutOptions, FlashEvent, Flashed, Transferred } from '../flash/carry-out.ts';
import type { Host } from '../flash/host.ts';
import type { Plan } from '../flash/plan.ts';
import type { Prepared, PrepareOptions } from '../flash/prepare.ts';
import type { ReadBack } from '../flash/session.ts';
import type { Surroundings } from '../flash/surroundings.ts';
import { type Following, follow } from '../io/follow.ts';
import { readFile } from '../io/read-file.ts';
import { requireWritable, writeFile } from '../io/write-file.ts';
import { schemaVersion } from '../report/json.ts';
import { shellWord } from '../report/shell-word.ts';
import { counted, harmless, statusSentence, whatItIs } from '../report/words.ts';
import { peerText } from '../tftp/client.ts';
import { plainName } from '../tftp/server.ts';
import { version } from '../version.ts';
import { type Console, sayError } from './console.ts';
import { interruptible } from './interrupt.ts';
import { collectCodes } from './lists.ts';
import { Progress } from './progress.ts';
import { dhcpEventText, dhcpTracer } from './serve-dhcp.ts';
import { eventLine, milliseconds, problemText, speedText, tracer, wholeNumber } from './tftp-options.ts';

const tool = { name: 'owimg', version };

export interface FlashFlags {
  readonly device: string;
  readonly verify?: true | undefined;
  readonly dryRun?: true | undefined;
  readonly yes?: true | undefined;
  readonly accept?: string[] | undefined;
  readonly member?: string | undefined;
  readonly as?: 'client' | 'server' | undefined;
  readonly router?: string | undefined;
  readonly host?: string | undefined;
  readonly interface?: string | undefined;
  readonly bootp?: true | undefined;
  readonly dhcp?: true | undefined;
  readonly mac?: string | undefined;
  readonly clientAddress?: string | undefined;
  readonly name?: string | undefined;
  readonly port?: string | undefined;
  readonly blksize?: string | undefined;
  readonly singlePort?: true | undefined;
  readonly back?: string | undefined;
  readonly wait?: string | undefined;
  readonly readBack?: true | undefined;
  readonly serialLog?: string | undefined;
  readonly transcript?: string | undefined;
  readonly force?: true | undefined;
  readonly trace?: true | undefined;
  readonly json?: true | undefined;
  readonly ndjson?: true | undefined;
}

/** What it asks of the world; the real one unless a test has another. */
export interface World {
  readonly host: Host;
  readonly around: Surroundings;
  /** Milliseconds until there is advice for who waits in vain. */
  readonly quietFor?: number | undefined;
}

function checkFlags({ json, ndjson, dryRun, wait }: FlashFlags): void {
  if (json === true && dryRun !== true)
    throw new OwimgError('bad-usage', 'Cannot print --json while it goes on', 'With --dry-run it prints the plan; --ndjson prints events.');
  if (json === true && ndjson === true) throw new OwimgError('bad-usage', 'Cannot print --json and --ndjson at once', 'Choose one of them.');
  if (wait !== undefined) milliseconds(wait, 'the time to wait');
}

const optionsOf = (flags: FlashFlags): PrepareOptions => ({
  as: flags.as,
  router: flags.router,
  host: flags.host,
  name: flags.name,
  interface: flags.interface,
  back: flags.back,
  port: flags.port === undefined ? undefined : wholeNumber(flags.port, 'a port', 1, 65535),
  blockSize: flags.blksize === undefined ? undefined : wholeNumber(flags.blksize, 'the block size', 8, 65464),
  singlePort: flags.singlePort,
  bootp: flags.bootp,
  dhcp: flags.dhcp,
  mac: flags.mac,
  clientAddress: flags.clientAddress,
  member: flags.member,
  accept: flags.accept,
  verify: flags.verify,
  readBack: flags.readBack,
});

/**
 * Guesses are confirmed one by one, the beginning once.
 *
 * @returns `stopped` by Ctrl-C or a signal
 * @throws OwimgError `not-confirmed`
 */
async function confirm({ plan, accepted }: Prepared, flags: FlashFlags, io: Console): Promise<'yes' | 'stopped'> {
  const [{ unconfirmedGuess }, { wrap }] = await Promise.all([import('../flash/obstacle.ts'), import('../report/text.ts')]);
  const guessed = unconfirmedGuess(plan, accepted);
  if (flags.yes === true) {
    if (guessed !== undefined) throw guessed;
    return 'yes';
  }
  const { ask } = io;
  if (ask === undefined) throw guessed ?? new OwimgError('not-confirmed', 'Nobody is at the terminal to confirm the plan');
  const questions = guessed === undefined ? [] : plan.guesses.map((guess) => `${wrap(harmless(guess), io.columns)}\nIs your device like that?`);
  return interruptible(async (signal) => {
    const ended = new Promise<''>((resolve) => signal.addEventListener('abort', () => resolve(''), { once: true }));
    for (const question of [...questions, 'Begin? The device has been sent nothing.']) {
      const answer = await Promise.race([ask(`${question} Type yes, or anything else to stop: `, signal), ended]);
      if (signal.aborted) return 'stopped';
      if (!isYes(answer)) throw declined();
    }
    return 'yes';
  });
}

const isYes = (answer: string): boolean => /^y(es)?$/i.test(answer.trim());

const declined = (): OwimgError => new OwimgError('not-confirmed', 'Stopped, as you say', 'Nothing was sent, and nothing was changed.');

const withoutOwner = (text: string): string => text.replaceAll(/\b((?:[0-9a-f]{2}[:-]){3})(?:[0-9a-f]{2}[:-]){2}[0-9a-f]{2}\b/gi, '$1xx:xx:xx');

/** So many different lines of a kind are shown: who sends ever new names must not fill the terminal. */
const mostOfAKind = 20;

/** What comes with every attempt is said so often. */
const mostAttempts = 100;

/** What is said four times a second, or every half minute, is said once; loaders ask for an address again and again, too. */
const saidOnce = (kind: string): boolean =>
  kind === 'send-problem' || kind === 'put-off' || kind === 'refused' || kind === 'advice' || kind.startsWith('dhcp-');

const saidOfAttempts: ReadonlySet<string> = new Set(['request', 'ended', 'not-listening']);

/** Tells the person, the script and the transcript what happens. */
class Talk {
  readonly #io: Console;
  readonly #flags: FlashFlags;
  readonly #plan: Plan;
  readonly #wrap: (text: string, width: number) => string;
  readonly #progress: Progress;
  readonly #begin = performance.now();
  /** By the kind of event: what was said. */
  readonly #told = new Map<string, Set<string>>();
  readonly transcript: string[] = [];
  /** Somebody has answered or asked for the file. */
  heard = false;
  /** The device has an address from us. */
  addressed = false;
  /** Somebody asked, and was given nothing. */
  refused = false;
  #sent = false;

  constructor(io: Console, flags: FlashFlags, plan: Plan, wrap: (text: string, width: number) => string) {
    this.#io = io;
    this.#flags = flags;
    this.#plan = plan;
    this.#wrap = wrap;
    this.#progress = new Progress(io);
  }

  say(text: string): void {
    this.#progress.clear();
    const shown = harmless(text);
    this.#io.err(`${this.#io.interactive ? this.#wrap(shown, this.#io.columns) : shown}\n`);
    this.note(text);
  }

  /** Only for the transcript. */
  note(text: string): void {
    this.transcript.push(`${((performance.now() - this.#begin) / 1000).toFixed(1).padStart(7)} s  ${withoutOwner(harmless(text))}`);
  }

  tell(event: object): void {
    if (this.#flags.ndjson === true) this.#io.out(eventLine(event));
  }

  step(text: string): void {
    this.#progress.step(text, true);
  }

  readonly progress = (bytes: number): void => this.step(`${byteCount(bytes)} of ${byteCount(this.#plan.file.size)}`);

  readonly event = (event: FlashEvent): void => {
    this.tell(event);
    const text = this.#words(event);
    if (text !== undefined && this.#isNew(event.event, text)) this.say(text);
  };

  #isNew(kind: string, text: string): boolean {
    const once = saidOnce(kind);
    if (!once && !saidOfAttempts.has(kind)) return true;
    const told = this.#told.get(kind) ?? new Set<string>();
    this.#told.set(kind, told);
    if (once && told.has(text)) return false;
    const most = once ? mostOfAKind : mostAttempts;
    if (told.size > most) return false;
    told.add(once ? text : `${told.size}`);
    if (told.size > most) this.say('More lines like the last ones are not shown.');
    return told.size <= most;
  }

  end(): void {
    this.#progress.clear();
  }

  /** Where larger blocks were asked for: what became of it. */
  #blocks(size: number): string {
    return this.#plan.blockSize === undefined || this.#sent ? '' : `, and takes blocks of ${size} bytes`;
  }

  #words(event: FlashEvent): string | undefined {
    switch (event.event) {
      case 'answered':
        this.heard = true;
        // It is only asked to give the file back.
        if (this.#sent) return undefined;
        return `The boot loader has answered (${peerText(event.from)})${this.#blocks(event.terms.blockSize)}. ${letGo}`;
      case 'put-off':
        return `${event.from.address} says ${event.text}: the firmware has booted, and this is its own TFTP server. Switch the device off and on; owimg goes on asking.`;
      case 'send-problem':
        return sentence(problemText(event.code));
      case 'fallback':
        return `The loader takes no options (${event.reason}): blocks of 512 bytes, then.`;
      case 'listening':
        return `Waiting for the device on ${peerText(event.local)}.`;
      case 'not-listening':
        return event.reason;
      case 'request': {
        this.heard = true;
        const { name } = this.#plan;
        const other = name !== undefined && plainName(name.value) !== plainName(event.name) ? ` (${name.value})` : '';
        return `router ${event.from.address} asked for ${event.name === '' ? 'a file without a name' : event.name}: serving it${other}. ${letGo}`;
      }
      case 'refused':
        this.refused = true;
        return refusedText(event, this.#plan.name?.value);
      case 'ended':
        return event.outcome === 'complete' || event.outcome === 'unconfirmed' || event.outcome === 'interrupted'
          ? undefined
          : `router ${event.from.address} broke off (${byteCount(event.bytes)} of ${byteCount(event.size)})${event.text === '' ? '' : `: ${event.text}`}. owimg goes on to listen.`;
      case 'waiting-for-cable':
        return `Waiting for ${event.interface}: the device is off, the cable is out, or the card has no address.`;
      case 'advice':
        return `${event.says} owimg goes on.`;
      case 'sent':
        this.#sent = true;
        return sentText(event);
      case 'read-back':
        return readBackWords[event.result];
      case 'console':
        return `The console says "${event.line}": the system has started.`;
      case 'dhcp-reply':
        this.addressed = true;
        return sentence(dhcpEventText(event));
      case 'dhcp-listening':
      case 'dhcp-ready':
      case 'dhcp-ignored':
      case 'dhcp-other-server':
      case 'dhcp-send-problem':
        return sentence(dhcpEventText(event));
      default:
        return undefined;
    }
  }
}

/** What the hands do as soon as the device is heard. */
const letGo = 'If you hold a button, let it go; leave the power on.';

/** @param serves the name that is served, where it is only one */
function refusedText({ from, name, why, text }: Extract<FlashEvent, { event: 'refused' }>, serves: string | undefined): string {
  const asked = `router ${from.address} asked ${why === 'write' ? 'to write' : 'for'} "${name}"`;
  if (why !== 'unknown-name' || serves === undefined) return `${asked}: refused, ${text}.`;
  const word = name === '' ? undefined : shellWord(name);
  return `${asked}, and owimg serves "${serves}": refused. If it is your device, start again with ${word === undefined ? 'that name (--name)' : `--name ${word}`}.`;
}

/** With a capital letter, unless it begins with who it was, and a full stop. */
function sentence(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const whole = /[.?]$/.test(text) ? text : `${text}.`;
  return whole.startsWith('router ') ? whole : `${whole.charAt(0).toUpperCase()}${whole.slice(1)}`;
}

const readBackWords: Readonly<Record<ReadBack, string>> = {
  same: 'The loader gave the file back: every byte is the same.',
  different: 'The loader gave back something else.',
  refused: 'The loader does not give the file back; few do.',
  interrupted: 'Reading back was ended.',
};

const verificationCodes = { verified: 0, different: errorKinds['other-system'].exit, unverified: errorKinds['not-verified'].exit, interrupted: 130 } as const;

async function transferAndWatch(prepared: Prepared, flags: FlashFlags, world: World, io: Console, talk: Talk): Promise<number> {
  const [{ carryOut }, { patienceText, renderVerification, sightingText }] = await Promise.all([
    import('../flash/carry-out.ts'),
    import('../report/flash-text.ts'),
  ]);
  const { plan } = prepared;
  const log: Following | undefined = flags.serialLog === undefined ? undefined : await follow(flags.serialLog);
  const options: CarryOutOptions = {
    wait: flags.wait === undefined ? undefined : milliseconds(flags.wait, 'the time to wait'),
    console: log === undefined ? undefined : () => log.read(),
    trace: flags.trace === true ? tracer(io) : undefined,
    dhcpTrace: flags.trace === true ? dhcpTracer(io) : undefined,
    progress: io.interactive ? talk.progress : undefined,
    quietFor: world.quietFor,
    event: (event) => {
      talk.event(event);
      if (event.event === 'seen') talk.say(sightingText(event.seen));
      if (event.event === 'sent') {
        talk.say(
          event.remark === undefined ? patienceText(plan) : 'It lies in the memory now, and nothing is written. jump 80020000 at the serial console starts it.',
        );
        if (log !== undefined && flags.verify !== true) talk.say('Waiting for what the console says.');
      }
    },
  };
  return interruptible(async (signal) => {
    try {
      if (plan.part === 'client') talk.say(`Asking ${plan.router?.value ?? ''} to take ${plan.name?.value ?? ''}. Now do what the plan says; Ctrl-C ends it.`);
      const flashed = await carryOut(prepared, options, world.around, signal);
      talk.end();
      return outcome(flashed, plan, flags, signal.aborted, io, talk, renderVerification);
    } finally {
      talk.end();
      log?.stop();
    }
  });
}

/** Says what came of it. @returns the exit status */
function outcome(
  { result, verification }: Flashed,
  plan: Plan,
  flags: FlashFlags,
  ended: boolean,
  io: Console,
  talk: Talk,
  render: typeof import('../report/flash-text.ts').renderVerification,
): number {
  if (verification !== undefined) {
    const exit = verificationCodes[verification.result];
    talk.tell({ event: 'result', ...verification, exit });
    talk.note(render(verification, { columns: 1000, colour: false }).trimEnd());
    if (flags.ndjson !== true) io.out(render(verification, { columns: io.columns, colour: io.colour }));
    return exit;
  }
  if (result === 'interrupted') {
    talk.tell({ event: 'result', result: 'interrupted', exit: 130 });
    talk.say(
      talk.heard
        ? 'Stopped. The device was told; what it has so far it mostly throws away.'
        : talk.refused
          ? 'Stopped. Somebody asked, and was given nothing.'
          : talk.addressed
            ? 'Stopped. The device has been given an address, and nothing else.'
            : 'Stopped. Nobody had answered, so nothing has come to the device.',
    );
    return 130;
  }
  const exit = ended ? 130 : 0;
  talk.tell({ event: 'result', result: 'sent', exit });
  const after = plan.ramOnly
    ? ''
    : `. When it is back, this says what runs there (--verify compares it):\n  ssh root@${plan.back.value} cat /etc/openwrt_release`;
  talk.note('SENT');
  if (flags.ndjson !== true) io.out(`SENT${after}\n`);
  return exit;
}

function sentText(sent: Transferred): string {
  const again = sent.retransmissions > 0 ? `, ${counted(sent.retransmissions, 'packet')} sent again` : '';
  const all =
    sent.unconfirmed && sent.remark === undefined
      ? 'All of it is sent, and it is probably complete: only the last acknowledgement is missing, as with loaders that begin to write at once'
      : 'The device has all of it';
  const remark =
    sent.remark === undefined ? '' : ` It said "${sent.remark}" behind the last block, as its loader does with everything that it only keeps in memory.`;
  return `${all}: ${speedText(sent.bytes, sent.milliseconds)}${again}.${remark}`;
}

/** The command, in a world of one's choice. With `--json` and `--ndjson` what went wrong is a result too. */
export async function runFlash(path: string, flags: FlashFlags, io: Console, world: World): Promise<number> {
  checkFlags(flags);
  try {
    return await run(path, flags, io, world);
  } catch (error) {
    if (!(error instanceof OwimgError) || (flags.json !== true && flags.ndjson !== true)) throw error;
    const { code, message, hint } = error;
    const { exit } = errorKinds[code];
    if (flags.json === true) io.out(`${JSON.stringify({ schemaVersion, tool, dryRun: true, exit, error: { code, message, hint } }, null, 2)}\n`);
    else io.out(eventLine({ event: 'result', result: 'failed', error: { code, message, hint }, exit }));
    return exit;
  }
}

/** @throws OwimgError `cannot-write` */
async function checkTranscript({ transcript, force }: FlashFlags): Promise<void> {
  if (transcript === undefined) return;
  await requireWritable(transcript, force === true).catch((error: unknown) => {
    if (!(error instanceof OwimgError)) throw error;
    throw new OwimgError(error.code, error.message, error.hint.replace('with -o', 'with --transcript'));
  });
}

async function run(path: string, flags: FlashFlags, io: Console, world: World): Promise<number> {
  await checkTranscript(flags);
  const [{ prepare, checkPlanOptions }, { renderPlan }, { planJson }, { countChecks, wrap }] = await Promise.all([
    import('../flash/prepare.ts'),
    import('../report/flash-text.ts'),
    import('../report/flash-json.ts'),
    import('../report/text.ts'),
  ]);
  const options = optionsOf(flags);
  checkPlanOptions(options);
  const { bytes } = await readFile(path);
  const progress = new Progress(io);
  progress.step(`checking ${path} (${byteCount(bytes.length)})`);
  const prepared = await prepare({ path, bytes }, flags.device, options, world.host);
  progress.clear();
  const { plan, ready, obstacle: refused, inspection } = prepared;
  const what = `${whatItIs(inspection)}${statusSentence(inspection, countChecks(inspection.root))}`;
  const exit = refused === undefined ? 0 : errorKinds[refused.code].exit;
  const talk = new Talk(io, flags, plan, wrap);
  const course = {
    asks: flags.dryRun !== true && flags.yes !== true && refused === undefined,
    wait: flags.wait === undefined ? undefined : milliseconds(flags.wait, 'the time to wait'),
    // What stops it is said as an error.
    problems: ready.checks.filter(({ state, says }) => state === 'problem' && says !== refused?.message),
  };
  const shown = (columns: number, colour: boolean, hidden = false): string =>
    renderPlan(hidden ? { ...plan, file: { ...plan.file, path: basename(plan.file.path) } } : plan, ready, what, course, { columns, colour });
  if (flags.json === true) io.out(`${JSON.stringify(planJson(plan, ready, exit, tool), null, 2)}\n`);
  else if (flags.ndjson === true) talk.tell({ event: 'plan', ...planJson(plan, ready, exit, tool), dryRun: flags.dryRun === true });
  else io.out(shown(io.columns, io.colour));
  talk.transcript.push(`owimg ${version}, ${world.host.platform}`, '', withoutOwner(shown(80, false, true)));
  let status: number;
  try {
    status = flags.dryRun === true ? dryRunEnds(refused, flags, io, talk) : await begin(prepared, flags, world, io, talk);
  } catch (error) {
    if (!(error instanceof OwimgError)) throw error;
    const { code, message, hint } = error;
    status = errorKinds[code].exit;
    talk.tell({ event: 'result', result: 'failed', error: { code, message, hint }, exit: status });
    talk.note(`${message}. ${hint}`);
    sayError(io, error);
  }
  if (flags.transcript !== undefined) {
    await writeFile(flags.transcript, `${talk.transcript.join('\n')}\nexit status ${status}\n`, flags.force === true);
    io.err(`The transcript is in ${harmless(flags.transcript)}.\n`);
  }
  return status;
}

const dryRunWords = 'Dry run: the image was not sent.';

/** @returns the exit status */
function dryRunEnds(refused: OwimgError | undefined, flags: FlashFlags, io: Console, talk: Talk): number {
  if (refused === undefined) {
    talk.note(dryRunWords);
    if (flags.json !== true && flags.ndjson !== true) io.out(`\n${dryRunWords}\n`);
    return 0;
  }
  talk.note(`${refused.message}. ${refused.hint}`);
  if (flags.json !== true) sayError(io, refused);
  return errorKinds[refused.code].exit;
}

/** Asks, and does it. @returns the exit status */
async function begin(prepared: Prepared, flags: FlashFlags, world: World, io: Console, talk: Talk): Promise<number> {
  if (prepared.obstacle !== undefined) throw prepared.obstacle;
  if ((await confirm(prepared, flags, io)) === 'yes') return transferAndWatch(prepared, flags, world, io, talk);
  talk.tell({ event: 'result', result: 'interrupted', exit: errorKinds['transfer-interrupted'].exit });
  // The cursor stands behind the question.
  io.err('\n');
  talk.say('Stopped. Nothing was sent, and nothing was changed.');
  return errorKinds['transfer-interrupted'].exit;
}

async function systemWorld(): Promise<World> {
  const [{ systemHost }, { systemSurroundings }] = await Promise.all([import('../flash/system-host.ts'), import('../flash/system-surroundings.ts')]);
  return { host: systemHost(), around: systemSurroundings() };
}

/** Adds the command; `done` gets its exit status. */
export function addFlash(program: Command, io: Console, done: (status: number) => void): void {
  program
    .command('flash')
    .description('send an image to a boot loader by TFTP, or serve it to one: shows the plan, and asks before anything is sent')
    .argument('<file>', 'the image; "-" is standard input')
    .requiredOption('-d, --device <name>', 'the device on the table: profile, board name or title')
    .option('--verify', 'stay until the device is back, and compare what runs with the image')
    .option('--dry-run', 'show the plan and look at this computer; do not send the image')
    .option('-y, --yes', 'begin without asking; what is a guess still has to be accepted')
    .option('--accept <code>', 'go on although this speaks against it; again, or with commas, for several', collectCodes)
    .option('--member <name>', 'which file of an archive that holds several')
    .addOption(new Option('--as <part>', "owimg's part: client sends the file, server waits until the device fetches it").choices(['client', 'server']))
    .option('--router <address>', 'address of the boot loader')
    .option('--host <address>', 'address of this computer, as the loader wants it')
    .option('--interface <name>', 'the network card that leads to the device')
    .option('--bootp', 'give the device an address by BOOTP first (the plan does so where that is recorded); needs --interface')
    .option('--dhcp', 'give the device an address by DHCP first; needs --interface')
    .option('--mac <address>', 'give an address to the device with this hardware address only')
    .option('--client-address <address>', 'the address that the device is given (the one next to ours)')
    .option('--name <name>', 'what the file is called on the wire')
    .option('-p, --port <port>', 'UDP port (69)')
    .option('--blksize <bytes>', 'ask a loader that waits for the file for blocks of this size, 8 to 65464 (no options are sent without it)')
    .option('--single-port', 'answer a device that fetches the file from the port that it asked (firewalls, some loaders)')
    .option('--back <address>', 'where the device is looked for afterwards (192.168.1.1)')
    .option('--wait <seconds>', 'give up when nobody answers or asks for so long; without it until Ctrl-C')
    .option('--read-back', 'ask the loader for the file again and compare: few give it, and some are disturbed by it')
    .option('--serial-log <file>', 'listen to a console log, terminal or pipe for what the loader says')
    .option('--transcript <file>', 'write down what happened, for a forum')
    .option('--force', 'replace an existing transcript')
    .option('--trace', 'show every packet')
    .option('--json', 'with --dry-run: the plan as one JSON object (docs/schema/flash.schema.json)')
    .option('--ndjson', 'events, one JSON object a line (docs/schema/flash.schema.json)')
    .addHelpText(
      'after',
      '\nExit status: 0 sent (with --verify: and verified), 1 the loader would refuse it\nor brick, 2 wrong use or not confirmed, 3 cannot tell, 4 this computer is not\nready or nobody answered, 5 the transfer failed, 6 something else runs there,\n7 sent, but could not be verified, 130 interrupted\n\nExamples:\n  sudo owimg flash openwrt-factory.bin --device tplink_archer-c7-v5 --verify\n  sudo owimg flash initramfs-kernel.bin --device mikrotik_hap-ac3 --interface eth0',
    )
    .action(async (path, flags) => done(await runFlash(path, flags as FlashFlags, io, await systemWorld())));
}
