/** Carries a plan out: the transfer, then the wait until the device is back. Says what happens by events; whoever calls it has asked the person. */
import { OwimgError } from '../core/errors.ts';
import type { DhcpTrace } from '../dhcp/udp.ts';
import { meaningOf } from '../explain/explain.ts';
import { shellWord } from '../report/shell-word.ts';
import type { Trace } from '../tftp/udp.ts';
import { fromConsole, type Sighting, type Verification, watchConsole, watchReturn } from './afterwards.ts';
import { readConsole } from './console-log.ts';
import { type Plan, writtenByEcoNet } from './plan.ts';
import type { Prepared } from './prepare.ts';
import { type Failed, type Job, type ReadBack, type Refusal, readBack, type Sent, type Serving, sendFile, serveFile, type TransferEvent } from './session.ts';
import type { Surroundings } from './surroundings.ts';
import { quietFor } from './times.ts';

/** A transfer that came to its end. */
export type Transferred = Extract<Sent, { sent: 'sent' }>;

export type FlashEvent =
  | TransferEvent
  /** Nobody has answered for a while: what can be seen from here, and what to do. */
  | { readonly event: 'advice'; readonly says: string }
  /** The device has all of it. */
  | (Transferred & { readonly event: 'sent'; readonly sha256: string })
  | { readonly event: 'read-back'; readonly result: ReadBack }
  | { readonly event: 'seen'; readonly seen: Sighting }
  /** The console log says that the system has started. */
  | { readonly event: 'console'; readonly line: string };

export interface CarryOutOptions {
  /** How long to wait for the device, in milliseconds; as long as it takes without it. */
  readonly wait?: number | undefined;
  /** All that the console has said since the beginning. */
  readonly console?: (() => Promise<string>) | undefined;
  readonly event: (event: FlashEvent) => void;
  readonly trace?: Trace | undefined;
  readonly dhcpTrace?: DhcpTrace | undefined;
  /** Called now and then: bytes that the device has. */
  readonly progress?: ((bytes: number) => void) | undefined;
  /** Milliseconds until there is advice for who waits in vain. */
  readonly quietFor?: number | undefined;
}

/**
 * `sent`: the device has all of it, and nobody looked any further. `interrupted`: with a `verification` the watch was ended, without one the transfer. The
 * others as in {@link Verification}.
 */
export interface Flashed {
  readonly result: 'sent' | Verification['result'];
  readonly verification: Verification | undefined;
}

const quietServer = (host: string | undefined): string =>
  `Nobody has asked so far. Is the cable in the right port, is this computer ${host ?? 'at the address that the loader asks'}, does a firewall let UDP port 69 in? owimg doctor looks. Many loaders ask only while a button is held at power-on.`;

const quietGiver =
  'Nobody has asked for an address so far. Is the cable in the right port (often only the first one asks), does a firewall let UDP ports 67 and 69 in? Many loaders ask only while a button is held at power-on.';

const quietAddressed =
  'The device was given an address, and has not asked for the file. Does a firewall let UDP port 69 in? Some loaders begin anew: leave it alone for a minute, then switch it off and on.';

/** `start again with --name recovery.bin`; without the name where no shell takes it as it is. */
function otherName(asked: string): string {
  const word = shellWord(asked);
  return word === undefined || asked === '' ? 'start again with that name (--name)' : `start again with --name ${word}`;
}

const ofOtherModels = 'The name of another model may mean that the image is for that one, too.';

/** What to say of a device that asked and was given nothing. */
function refusedAdvice({ why, name, text, from }: Refusal, serves: string | undefined): string {
  if (why === 'unknown-name' && serves !== undefined)
    return `The device asked for "${name}", and owimg serves "${serves}": if it is yours, ${otherName(name)}. ${ofOtherModels}`;
  return `${from.address} asked for "${name}", and was refused: ${text}.`;
}

interface Course {
  /** The device was given an address. */
  readonly addressed: boolean;
  readonly refused: Refusal | undefined;
}

/** What to say while nobody gets the file: what was asked, or what a ping tells. */
async function silenceAdvice({ part, router, host, name }: Plan, { addressed, refused }: Course, around: Surroundings): Promise<string> {
  if (refused !== undefined) return refusedAdvice(refused, name?.value);
  if (part === 'bootp') return addressed ? quietAddressed : quietGiver;
  if (part === 'server') return quietServer(host?.value);
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

interface Done extends Serving {
  readonly back: ReadBack | undefined;
  /** The device was given an address. */
  readonly addressed: boolean;
}

async function transfer({ plan, bytes, readBack: readsBack }: Prepared, options: CarryOutOptions, around: Surroundings, signal: AbortSignal): Promise<Done> {
  const { event, trace, dhcpTrace, progress, wait = Number.POSITIVE_INFINITY } = options;
  let [heard, addressed] = [false, false];
  let refused: Refusal | undefined;
  const told = (happened: TransferEvent): void => {
    if (happened.event === 'refused') refused = happened;
    if (happened.event === 'answered' || happened.event === 'request') heard = true;
    if (happened.event === 'dhcp-reply') addressed = true;
    event(happened);
  };
  const job: Job = { plan, bytes, signal, askFor: wait, event: told, trace, dhcpTrace, progress };
  const quiet = setInterval(() => {
    if (heard) return;
    void silenceAdvice(plan, { addressed, refused }, around).then((says) => {
      if (!heard && !signal.aborted) event({ event: 'advice', says });
    });
  }, options.quietFor ?? quietFor);
  try {
    if (plan.part !== 'client') return { ...(await serveFile(job)), back: undefined, addressed };
    const sent = await sendFile(job);
    const back = sent.sent === 'sent' && readsBack ? await readBack(job) : undefined;
    return { sent, back, addressed, askedAgain: () => false, stop: () => undefined };
  } finally {
    clearInterval(quiet);
  }
}

/** What to do after a transfer that failed, where the loader's own words mean nothing to owimg. */
function failedHint({ allSent, reason }: Failed): string {
  if (reason === 'rollover') return 'Not every loader can count further. Larger blocks are fewer: --blksize 1428, where it knows that option.';
  if (allSent === true)
    return 'It said so behind the last block, so what it did with the file only the device can tell. Leave it alone for some minutes, and see whether it comes back before you send anything again.';
  return 'What the device has so far it mostly throws away. Leave it for a minute, then begin anew.';
}

async function transferError(sent: Failed, plan: Plan, addressed: boolean, around: Surroundings): Promise<OwimgError> {
  const meaning = sent.said === undefined ? undefined : meaningOf(sent.said);
  if (sent.began) return new OwimgError('transfer-failed', sent.message, meaning ?? failedHint(sent));
  const { refused } = sent;
  if (refused?.why === 'unknown-name') {
    return new OwimgError('cannot-reach', sent.message, `If it is yours, ${otherName(refused.name)}. ${ofOtherModels}`);
  }
  return new OwimgError('cannot-reach', sent.message, meaning ?? (await silenceAdvice(plan, { addressed, refused }, around)));
}

/** Loaders of EcoNet write two names only. @returns `undefined` where the loader writes what it was sent, or nothing has to be written */
function notWritten({ part, name, device, ramOnly }: Plan): string | undefined {
  if (ramOnly || part !== 'client' || name === undefined || writtenByEcoNet(device.target, name.value) !== false) return undefined;
  return `its loader writes only what is called tclinux.bin, and keeps ${name.value} in memory`;
}

const asItWas =
  'Switched off and on, the device is as it was. An image that its loader shall write, in the form that the loader wants, is sent with --name tclinux.bin.';

/** The loader took all of it, and did not say whether it writes it. */
const perhapsNotWritten = (why: string): Verification => ({
  result: 'unverified',
  says: `The device has all of it, and probably nothing is written: ${why}.`,
  compared: [],
  next: asItWas,
});

const notTheSame: Verification = {
  result: 'different',
  says: 'What the loader gave back is not what it was sent.',
  compared: [],
  next: 'Leave it alone until it answers again or restarts, then send the image once more.',
};

/** What comes behind the transfer. @returns `undefined`: sent, and nobody asked for more. */
async function afterwards(
  { plan, verify, expected, ready }: Prepared,
  { console: log, event }: CarryOutOptions,
  done: { readonly loader: string; readonly askedAgain: () => boolean },
  around: Surroundings,
  signal: AbortSignal,
): Promise<Verification | undefined> {
  const patience = plan.seconds.most * 1000;
  const reading = log === undefined ? undefined : async () => readConsole(await log());
  if (verify) {
    const see = (seen: Sighting): void => event({ event: 'seen', seen });
    return watchReturn({ address: plan.back.value, interface: ready.interface, expected, patience, console: reading, ...done }, around, see, signal);
  }
  if (reading === undefined) return undefined;
  const told = await watchConsole(reading, patience, around, signal);
  if (told?.outcome === 'booted') event({ event: 'console', line: told.line ?? '' });
  return told === undefined ? undefined : fromConsole(told);
}

/**
 * Sends the image or serves it, and stays as long as the options say. The plan is carried out as it is: what speaks against it (`obstacle`, guesses) is for
 * the caller to respect.
 *
 * @param signal ends it in good order: the device is told, sockets are closed
 * @throws OwimgError `cannot-reach`, `transfer-failed`, `cannot-listen`, `another-server`
 */
export async function carryOut(prepared: Prepared, options: CarryOutOptions, around: Surroundings, signal: AbortSignal): Promise<Flashed> {
  const { plan } = prepared;
  const done = await transfer(prepared, options, around, signal);
  try {
    const { sent, back, askedAgain } = done;
    if (sent.sent === 'interrupted') return { result: 'interrupted', verification: undefined };
    if (sent.sent === 'failed') throw await transferError(sent, plan, done.addressed, around);
    const kept = notWritten(plan);
    if (kept !== undefined && sent.remark !== undefined)
      throw new OwimgError('transfer-failed', `The device has all of it in memory, and nothing is written: ${kept}. It said "${sent.remark}"`, asItWas);
    options.event({ event: 'sent', ...sent, sha256: plan.file.sha256 });
    if (back !== undefined) options.event({ event: 'read-back', result: back });
    const verification =
      back === 'different'
        ? notTheSame
        : ((await afterwards(prepared, options, { loader: sent.to.address, askedAgain }, around, signal)) ??
          (kept === undefined ? undefined : perhapsNotWritten(kept)));
    return { result: verification?.result ?? 'sent', verification };
  } finally {
    done.stop();
  }
}
