/** `owimg flash FILE --device D`: shows the plan, asks, sends or serves, and stays until the device is back. Everything it needs is imported when it runs. */
import { createHash } from 'node:crypto';
import { isIP, isIPv4 } from 'node:net';
import { basename } from 'node:path';
import { type Command, Option } from '@commander-js/extra-typings';
import { errorKinds, OwimgError } from '../core/errors.ts';
import { byteCount } from '../core/hex.ts';
import type { Inspection } from '../core/types.ts';
import type { Sighting, Verification } from '../flash/afterwards.ts';
import type { Host } from '../flash/host.ts';
import type { Plan, PlanOptions } from '../flash/plan.ts';
import type { Preflight } from '../flash/preflight.ts';
import type { Job, ReadBack, Sent } from '../flash/session.ts';
import type { Surroundings } from '../flash/surroundings.ts';
import { quietFor } from '../flash/times.ts';
import { formats } from '../index.ts';
import { openWith } from '../inspect.ts';
import { type Following, follow } from '../io/follow.ts';
import { readFile } from '../io/read-file.ts';
import { requireWritable, writeFile } from '../io/write-file.ts';
import { memberOf } from '../members.ts';
import { schemaVersion } from '../report/json.ts';
import { harmless, statusSentence, whatItIs } from '../report/words.ts';
import { type ClientEvent, peerText } from '../tftp/client.ts';
import { plainName, type ServerEvent } from '../tftp/server.ts';
import type { ListenEvent, SendProblem } from '../tftp/udp.ts';
import { version } from '../version.ts';
import { type Console, sayError } from './console.ts';
import { interruptible } from './interrupt.ts';
import { Progress } from './progress.ts';
import { eventLine, meaningOf, milliseconds, speedText, tracer, wholeNumber } from './tftp-options.ts';

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
  readonly name?: string | undefined;
  readonly port?: string | undefined;
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

/** Accepts that the way is a guess. */
const guessCode = 'habit-guessed';

function checkFlags(flags: FlashFlags): void {
  const { json, ndjson, dryRun, router, host, back, wait, port } = flags;
  if (json === true && dryRun !== true)
    throw new OwimgError('bad-usage', 'Cannot print --json while it goes on', 'With --dry-run it prints the plan; --ndjson prints events.');
  if (json === true && ndjson === true) throw new OwimgError('bad-usage', 'Cannot print --json and --ndjson at once', 'Choose one of them.');
  for (const [option, address] of Object.entries({ '--router': router, '--host': host, '--back': back })) {
    if (address !== undefined && isIP(address) === 0)
      throw new OwimgError('bad-value', `Cannot use "${address}" for ${option}: expected an address in numbers, as 192.168.1.1`, 'Boot loaders have no names.');
  }
  if (router !== undefined && host !== undefined && isIPv4(router) !== isIPv4(host))
    throw new OwimgError('bad-usage', 'Cannot use an IPv4 and an IPv6 address at once');
  if (wait !== undefined) milliseconds(wait, 'the time to wait');
  if (port !== undefined) wholeNumber(port, 'a port', 1, 65535);
}

interface Proved {
  readonly plan: Plan;
  readonly bytes: Uint8Array;
  readonly inspection: Inspection;
  readonly what: string;
  readonly expected: import('../flash/expected.ts').Expected;
}

/** Reads, inspects and judges the file; the bytes that come out are the bytes that were judged. */
async function prove(path: string, flags: FlashFlags, io: Console): Promise<Proved> {
  const [{ checkContext, checkWith }, { loadDeviceFacts }, { requireDevice }, { makePlan, verdictByPlan }, { expectedOf }, { countChecks }] = await Promise.all(
    [
      import('../check.ts'),
      import('../devices/load.ts'),
      import('../devices/lookup.ts'),
      import('../flash/plan.ts'),
      import('../flash/expected.ts'),
      import('../report/text.ts'),
    ],
  );
  const progress = new Progress(io);
  const facts = await loadDeviceFacts();
  const device = requireDevice(facts, flags.device);
  const { bytes: read } = await readFile(path);
  progress.step(`checking ${path} (${byteCount(read.length)})`);
  const given = path === '-' ? { deep: true } : { deep: true, name: path };
  const outer = await openWith(formats, read, given);
  const member = outer.inspection.kind === 'archive' || flags.member !== undefined ? memberOf(outer, formats, flags.member) : undefined;
  // What was only packed is unpacked here: loaders take it as it is written to the flash.
  const bytes = member?.bytes ?? read;
  const opened = member === undefined ? outer : await openWith(formats, bytes, { deep: true, ...(member.name === undefined ? {} : { name: member.name }) });
  const { inspection } = opened;
  if (inspection.kind === 'archive') {
    throw new OwimgError(
      'member-needed',
      `Cannot flash "${path}": it is an archive, which no loader unpacks`,
      'Unpack it, and choose the file for your device.',
    );
  }
  const sha256 = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');
  const fileName = member?.name ?? (path === '-' ? undefined : path.replace(/\.(gz|xz)$/i, member === undefined ? '$&' : ''));
  const file = {
    path,
    ...(member?.name === undefined ? {} : { member: member.name }),
    name: fileName === undefined ? undefined : basename(fileName),
    size: bytes.length,
    sha256: sha256(bytes),
  };
  const options: PlanOptions = {
    as: flags.as,
    router: flags.router,
    host: flags.host,
    name: flags.name,
    interface: flags.interface,
    back: flags.back,
    port: flags.port === undefined ? undefined : wholeNumber(flags.port, 'a port', 1, 65535),
  };
  const context = checkContext(formats, facts);
  const verdict = verdictByPlan(facts, device, options, (judged) => {
    // What the file is called on this computer does not matter: it is sent under the name that the loader wants.
    const found = checkWith(inspection, bytes.length, context, { device: judged, name: flags.name }).verdicts.find(({ route }) => route === 'tftp');
    if (found === undefined) throw new Error('check gives a verdict for every route of a device');
    return found;
  });
  const plan = makePlan(facts, device, file, inspection, verdict, options);
  progress.clear();
  return {
    plan,
    bytes,
    inspection,
    what: `${whatItIs(inspection)}${statusSentence(inspection, countChecks(inspection.root))}`,
    expected: expectedOf(device, inspection, plan.ramOnly, opened.bytesOf, sha256),
  };
}

/** What keeps the plan from being carried out; the image first. */
async function obstacle({ plan }: Proved, ready: Preflight, accepted: ReadonlySet<string>): Promise<OwimgError | undefined> {
  const [{ gateOf }, { problemOf, remedyOf }] = await Promise.all([import('../flash/plan.ts'), import('../flash/preflight.ts')]);
  const { verdict, part, missing, device } = plan;
  const gate = gateOf(plan, accepted);
  if (!gate.open) {
    const codes = `If you know better: --accept ${gate.codes.join(' ')}.`;
    if (gate.exit === 3) {
      return new OwimgError(
        'verdict-unknown',
        `Not sent: whether the boot loader of ${device.title} takes this cannot be told. ${verdict.reason}`,
        `${verdict.next} ${codes}`,
      );
    }
    return new OwimgError('input-refused', `Not sent: ${verdict.reason}`, `${verdict.next} ${codes}`);
  }
  if (part === 'none') {
    return new OwimgError(
      'recovery-unknown',
      `How the boot loader of ${device.title} takes an image is not recorded`,
      [errorKinds['recovery-unknown'].hint, ...plan.notes].join(' '),
    );
  }
  if (part === 'bootp') {
    const { bootpCommand } = await import('../report/flash-text.ts');
    return new OwimgError(
      'bad-usage',
      `The boot loader of ${device.title} asks for an address first, by BOOTP or DHCP`,
      `The image fits. Type: ${bootpCommand(plan)}`,
    );
  }
  if (missing.length > 0) {
    return new OwimgError(
      'bad-usage',
      `Not recorded is the address that its loader asks: give it with ${missing.join(' and ')}`,
      'A sniffer shows it while the device starts: tcpdump -ni CARD arp.',
    );
  }
  const problem = problemOf(ready, accepted);
  if (problem !== undefined) return new OwimgError('host-not-ready', problem.says, remedyOf(problem));
  return undefined;
}

/** Guesses are confirmed one by one, the beginning once. */
async function confirm({ plan }: Proved, flags: FlashFlags, accepted: ReadonlySet<string>, io: Console): Promise<void> {
  const { ask } = io;
  if (plan.guesses.length > 0 && !accepted.has(guessCode)) {
    if (flags.yes === true || ask === undefined) {
      const hint = `Give --as and the address if you know them, or take the guess: --accept ${guessCode}.`;
      throw new OwimgError('not-confirmed', `A guess has to be confirmed. ${plan.guesses.join(' ')}`, hint);
    }
    for (const guess of plan.guesses) {
      if (!isYes(await ask(`${harmless(guess)}\nIs your device like that? Type yes, or anything else to stop: `))) throw declined();
    }
  }
  if (flags.yes === true) return;
  if (ask === undefined) throw new OwimgError('not-confirmed', 'Nobody is at the terminal to confirm the plan');
  if (!isYes(await ask('Begin? Nothing has been sent so far. Type yes, or anything else to stop: '))) throw declined();
}

const isYes = (answer: string): boolean => /^y(es)?$/i.test(answer.trim());

const declined = (): OwimgError => new OwimgError('not-confirmed', 'Stopped, as you say', 'Nothing was sent, and nothing was changed.');

const withoutOwner = (text: string): string => text.replaceAll(/\b((?:[0-9a-f]{2}[:-]){3})(?:[0-9a-f]{2}[:-]){2}[0-9a-f]{2}\b/gi, '$1xx:xx:xx');

/** Tells the person, the script and the transcript what happens. */
class Talk {
  readonly #io: Console;
  readonly #flags: FlashFlags;
  readonly #plan: Plan;
  readonly #progress: Progress;
  readonly #begin = performance.now();
  readonly #told = new Set<string>();
  readonly transcript: string[] = [];
  /** Somebody has answered or asked. */
  heard = false;

  constructor(io: Console, flags: FlashFlags, plan: Plan) {
    this.#io = io;
    this.#flags = flags;
    this.#plan = plan;
    this.#progress = new Progress(io);
  }

  say(text: string): void {
    this.#progress.clear();
    this.#io.err(`${harmless(text)}\n`);
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

  readonly event = (event: ClientEvent | SendProblem | ServerEvent | ListenEvent): void => {
    this.tell(event);
    const text = this.#words(event);
    if (text === undefined || this.#told.has(text)) return;
    // What is said four times a second is said once.
    if (event.event === 'send-problem' || event.event === 'put-off' || event.event === 'refused') this.#told.add(text);
    this.say(text);
  };

  end(): void {
    this.#progress.clear();
  }

  #words(event: ClientEvent | SendProblem | ServerEvent | ListenEvent): string | undefined {
    switch (event.event) {
      case 'answered':
        this.heard = true;
        return `The boot loader has answered (${peerText(event.from)}). Let the button go; leave the power on.`;
      case 'put-off':
        return `${event.from.address} says ${event.text}: the firmware has booted, and this is its own TFTP server. Switch the device off and on;`;
      case 'send-problem':
        return `The system cannot send yet (${event.code}); trying on.`;
      case 'listening':
        return `Waiting for the device on ${peerText(event.local)}.`;
      case 'not-listening':
        return event.reason;
      case 'request': {
        this.heard = true;
        const { name } = this.#plan;
        const other = name !== undefined && plainName(name.value) !== plainName(event.name) ? ` (${name.value})` : '';
        return `router ${event.from.address} asked for ${event.name === '' ? 'a file without a name' : event.name}: serving it${other}. Leave the power on.`;
      }
      case 'refused': {
        const { name } = this.#plan;
        const advice =
          event.why === 'unknown-name' && name !== undefined
            ? ` owimg serves ${name.value}; if this is your device: --name ${JSON.stringify(event.name)}.`
            : '';
        return `router ${event.from.address} asked ${event.why === 'write' ? 'to write' : 'for'} "${event.name}": refused, ${event.text}.${advice}`;
      }
      case 'ended':
        return event.outcome === 'complete' || event.outcome === 'unconfirmed' || event.outcome === 'interrupted'
          ? undefined
          : `router ${event.from.address} broke off (${byteCount(event.bytes)} of ${byteCount(event.size)})${event.text === '' ? '' : `: ${event.text}`}. owimg goes on to listen.`;
      default:
        return undefined;
    }
  }
}

/** What to say while nobody answers: what a ping tells. */
async function silenceAdvice({ part, router, host }: Plan, around: Surroundings): Promise<string> {
  if (part === 'server') {
    return `Nobody has asked so far. Is the cable in the right port, is this computer ${host?.value ?? 'at the address that the loader asks'}, does a firewall let UDP port 69 in? owimg doctor looks. Many loaders ask only while a button is held at power-on.`;
  }
  const answer = router === undefined ? undefined : await around.ping(router.value);
  const address = router?.value ?? 'the device';
  if (answer === undefined) {
    return `Nobody has answered so far, not even a ping to ${address}. Is the cable in a LAN port, is the address right, is the device in its boot loader? Some loaders answer no ping at all.`;
  }
  if (answer.ttl !== undefined && answer.ttl <= 64) {
    return `${address} answers a ping with TTL ${answer.ttl}: that is a running system, not the boot loader. Its moment is over; switch the device off and on.`;
  }
  return `${address} answers a ping${answer.ttl === undefined ? '' : ` with TTL ${answer.ttl}, as boot loaders do`}, but takes no file. It may want another name (--name), or a button held for longer; a firewall may throw its answers away.`;
}

async function carryOut(
  proved: Proved,
  flags: FlashFlags,
  talk: Talk,
  world: World,
  signal: AbortSignal,
  io: Console,
): Promise<{ sent: Sent; back?: ReadBack | undefined; askedAgain?: () => boolean; stop: () => void }> {
  const { readBack, sendFile, serveFile } = await import('../flash/session.ts');
  const { plan, bytes } = proved;
  const job: Job = {
    plan,
    bytes,
    signal,
    askFor: flags.wait === undefined ? Number.POSITIVE_INFINITY : milliseconds(flags.wait, 'the time to wait'),
    event: talk.event,
    trace: flags.trace === true ? tracer(io) : undefined,
    progress: io.interactive ? talk.progress : undefined,
  };
  const quiet = setInterval(() => {
    if (!talk.heard) void silenceAdvice(plan, world.around).then((text) => (talk.heard || signal.aborted ? undefined : talk.say(`${text} owimg goes on.`)));
  }, world.quietFor ?? quietFor);
  try {
    if (plan.part === 'server') return await serveFile(job);
    talk.say(`Asking ${plan.router?.value ?? ''} to take ${plan.name?.value ?? ''}. Now do what the plan says; Ctrl-C ends it.`);
    const sent = await sendFile(job);
    const back = sent.sent === 'sent' && flags.readBack === true ? await readBack({ ...job, event: (event) => talk.tell(event) }) : undefined;
    return { sent, back, stop: () => undefined };
  } finally {
    clearInterval(quiet);
    talk.end();
  }
}

async function transferError(sent: Extract<Sent, { sent: 'failed' }>, plan: Plan, around: Surroundings): Promise<OwimgError> {
  const meaning = sent.said === undefined ? undefined : await meaningOf(sent.said);
  if (sent.began)
    return new OwimgError(
      'transfer-failed',
      sent.message,
      meaning ?? 'What the device has so far it mostly throws away. Leave it for a minute, then begin anew.',
    );
  return new OwimgError('cannot-reach', sent.message, meaning ?? (await silenceAdvice(plan, around)));
}

/** What comes behind the transfer. @returns `undefined`: sent, and nobody asked for more. */
async function afterwards(
  { plan, expected }: Proved,
  flags: FlashFlags,
  talk: Talk,
  world: World,
  ready: Preflight,
  log: Following | undefined,
  done: { readonly loader: string; readonly askedAgain: (() => boolean) | undefined },
  signal: AbortSignal,
): Promise<Verification | undefined> {
  const { fromConsole, watchConsole, watchReturn } = await import('../flash/afterwards.ts');
  const { readConsole } = await import('../flash/console-log.ts');
  const { sightingText } = await import('../report/flash-text.ts');
  const patience = plan.seconds.most * 1000;
  const reading = log === undefined ? undefined : async () => readConsole(await log.read());
  if (flags.verify === true) {
    const see = (sighting: Sighting): void => {
      talk.tell({ event: 'seen', seen: sighting });
      talk.say(sightingText(sighting));
    };
    const watched = { address: plan.back.value, interface: ready.interface, expected, patience, console: reading, ...done };
    return watchReturn(watched, world.around, see, signal);
  }
  if (reading === undefined) return undefined;
  talk.say('Waiting for what the console says.');
  const told = await watchConsole(reading, patience, world.around, signal);
  if (told?.outcome === 'booted') talk.say(`The console says "${told.line}": the system has started.`);
  return told === undefined ? undefined : fromConsole(told);
}

const readBackWords: Readonly<Record<ReadBack, string>> = {
  same: 'The loader gave the file back: every byte is the same.',
  different: 'The loader gave back something else.',
  refused: 'The loader does not give the file back; few do.',
  interrupted: 'Reading back was ended.',
};

const notTheSame: Verification = {
  result: 'different',
  says: 'What the loader gave back is not what it was sent.',
  compared: [],
  next: 'Leave it alone until it answers again or restarts, then send the image once more.',
};

const verificationCodes = { verified: 0, different: errorKinds['other-system'].exit, unverified: errorKinds['not-verified'].exit, interrupted: 130 } as const;

async function transferAndWatch(proved: Proved, flags: FlashFlags, world: World, ready: Preflight, io: Console, talk: Talk): Promise<number> {
  const { patienceText, renderVerification } = await import('../report/flash-text.ts');
  const log = flags.serialLog === undefined ? undefined : await follow(flags.serialLog);
  return interruptible(async (signal) => {
    let stop = (): void => undefined;
    try {
      const done = await carryOut(proved, flags, talk, world, signal, io);
      stop = done.stop;
      const { sent } = done;
      if (sent.sent === 'interrupted') {
        talk.tell({ event: 'result', result: 'interrupted', exit: 130 });
        talk.say(
          talk.heard
            ? 'Stopped. The device was told; what it has so far it mostly throws away.'
            : 'Stopped. Nobody had answered, so nothing has come to the device.',
        );
        return 130;
      }
      if (sent.sent === 'failed') throw await transferError(sent, proved.plan, world.around);
      talk.tell({ event: 'sent', ...sent, sha256: proved.plan.file.sha256 });
      talk.say(sentText(sent));
      talk.say(patienceText(proved.plan));
      if (done.back !== undefined) {
        talk.tell({ event: 'read-back', result: done.back });
        talk.say(readBackWords[done.back]);
      }
      const verification =
        done.back === 'different'
          ? notTheSame
          : await afterwards(proved, flags, talk, world, ready, log, { loader: sent.to.address, askedAgain: done.askedAgain }, signal);
      if (verification === undefined) {
        const exit = signal.aborted ? 130 : 0;
        talk.tell({ event: 'result', result: 'sent', exit });
        const after = proved.plan.ramOnly
          ? ''
          : ' When it is back, ssh root@192.168.1.1 cat /etc/openwrt_release says what runs; --verify would have compared it.';
        talk.note('SENT');
        if (flags.ndjson !== true) io.out(`SENT${after === '' ? '' : `.${after}`}\n`);
        return exit;
      }
      const exit = verificationCodes[verification.result];
      talk.tell({ event: 'result', ...verification, exit });
      const text = renderVerification(verification, { columns: io.columns, colour: flags.ndjson === true ? false : io.colour });
      talk.note(renderVerification(verification, { columns: 1000, colour: false }).trimEnd());
      if (flags.ndjson !== true) io.out(text);
      return exit;
    } finally {
      stop();
      log?.stop();
    }
  });
}

function sentText(sent: Extract<Sent, { sent: 'sent' }>): string {
  const again = sent.retransmissions > 0 ? `, ${sent.retransmissions} packets sent again` : '';
  const all = sent.unconfirmed
    ? 'All of it is sent, and it is probably complete: only the last acknowledgement is missing, as with loaders that begin to write at once'
    : 'The device has all of it';
  const remark = sent.remark === undefined ? '' : ` It said "${sent.remark}" behind the last block, as these loaders do although they took it.`;
  return `${all} (${speedText(sent.bytes, sent.milliseconds)}${again}).${remark}`;
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

async function run(path: string, flags: FlashFlags, io: Console, world: World): Promise<number> {
  if (flags.transcript !== undefined) await requireWritable(flags.transcript, flags.force === true);
  const accepted = new Set(flags.accept ?? []);
  const proved = await prove(path, flags, io);
  const { plan, what } = proved;
  const [{ preflight }, { renderPlan }, { planJson }] = await Promise.all([
    import('../flash/preflight.ts'),
    import('../report/flash-text.ts'),
    import('../report/flash-json.ts'),
  ]);
  const need = {
    part: plan.part === 'client' || plan.part === 'server' ? plan.part : undefined,
    router: plan.router?.value,
    // Who sends may do so from any address in the network, unless one was named.
    host: plan.part === 'server' || plan.host?.from === 'option' ? plan.host?.value : undefined,
    back: flags.verify === true ? plan.back.value : undefined,
    proposed: plan.host?.value,
    interface: plan.interface,
    port: plan.port.value,
    rollsOver: plan.blocks.rollsOver,
  };
  const ready = await preflight(need, world.host);
  if (flags.readBack === true && plan.part !== 'client')
    throw new OwimgError('bad-usage', 'Cannot read back from a loader that fetches the file itself', 'Leave --read-back out; --verify compares what runs.');
  const refused = await obstacle(proved, ready, accepted);
  const exit = refused === undefined ? 0 : errorKinds[refused.code].exit;
  const talk = new Talk(io, flags, plan);
  const shown = (columns: number, colour: boolean, hidden = false): string =>
    renderPlan(hidden ? { ...plan, file: { ...plan.file, path: basename(plan.file.path) } } : plan, ready, what, { columns, colour });
  if (flags.json === true) io.out(`${JSON.stringify(planJson(plan, ready, exit, tool), null, 2)}\n`);
  else if (flags.ndjson === true) talk.tell({ event: 'plan', ...planJson(plan, ready, exit, tool), dryRun: flags.dryRun === true });
  else io.out(shown(io.columns, io.colour));
  talk.transcript.push(`owimg ${version}, ${world.host.platform}`, '', withoutOwner(shown(80, false, true)));
  if (flags.dryRun === true) {
    if (refused !== undefined && flags.json !== true) sayError(io, refused);
    else if (refused === undefined && flags.json !== true && flags.ndjson !== true) io.out('\nDry run: nothing was sent.\n');
    return exit;
  }
  let status: number;
  try {
    if (refused !== undefined) throw refused;
    await confirm(proved, flags, accepted, io);
    status = await transferAndWatch(proved, flags, world, ready, io, talk);
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
    .option('--dry-run', 'show the plan and look at this computer; send nothing')
    .option('-y, --yes', 'begin without asking')
    .option('--accept <code...>', 'go on although this speaks against it')
    .option('--member <name>', 'which file of an archive that holds several')
    .addOption(new Option('--as <part>', "owimg's part: client sends the file, server waits until the device fetches it").choices(['client', 'server']))
    .option('--router <address>', 'address of the boot loader')
    .option('--host <address>', 'address of this computer, as the loader wants it')
    .option('--interface <name>', 'the network card that leads to the device')
    .option('--name <name>', 'what the file is called on the wire')
    .option('-p, --port <port>', 'UDP port (69)')
    .option('--back <address>', 'where the device is looked for afterwards (192.168.1.1)')
    .option('--wait <seconds>', 'give up when nobody answers for so long; without it until Ctrl-C')
    .option('--read-back', 'ask the loader for the file again and compare: few give it, and some are disturbed by it')
    .option('--serial-log <file>', 'listen to a console log, terminal or pipe for what the loader says')
    .option('--transcript <file>', 'write down what happened, for a forum')
    .option('--force', 'replace an existing transcript')
    .option('--trace', 'show every packet')
    .option('--json', 'with --dry-run: the plan as one JSON object (docs/schema/flash.schema.json)')
    .option('--ndjson', 'events, one JSON object a line (docs/schema/flash.schema.json)')
    .addHelpText(
      'after',
      '\nExit status: 0 sent (with --verify: and verified), 1 the loader would refuse it or brick, 2 wrong use or not\nconfirmed, 3 cannot tell, 4 nobody answered, 5 the transfer failed, 6 something else runs there, 7 sent, but could\nnot be verified, 130 interrupted\n\nExample: sudo owimg flash openwrt-factory.bin --device tplink_archer-c7-v5 --verify',
    )
    .action(async (path, flags) => done(await runFlash(path, flags as FlashFlags, io, await systemWorld())));
}
