/**
 * Behind the transfer: waits until the device is back, with words, and finds out whether what runs is what was sent. Looks through
 * {@link Surroundings} only.
 */
import type { ConsoleReading } from './console-log.ts';
import { type Comparison, compare, type Expected, questionFor, reportedOf } from './expected.ts';
import type { Surroundings } from './surroundings.ts';

export interface Watched {
  /** Where the system is looked for. */
  readonly address: string;
  /** Where the boot loader was, if that is known. */
  readonly loader: string | undefined;
  readonly interface: string | undefined;
  readonly expected: Expected;
  /** Until it is given up, in milliseconds. */
  readonly patience: number;
  /** Whether the device has asked for the file once more since it had all of it. */
  readonly askedAgain?: (() => boolean) | undefined;
  /** What the console log says so far. */
  readonly console?: (() => Promise<ConsoleReading>) | undefined;
}

/**
 * `verified`: what runs is what was sent. `different`: something else runs, or nothing of it was taken. `unverified`: nobody could find out.
 */
export interface Verification {
  readonly result: 'verified' | 'different' | 'unverified' | 'interrupted';
  /** A sentence. */
  readonly says: string;
  readonly compared: readonly string[];
  readonly next: string | undefined;
}

export type Sighting =
  | { readonly event: 'link'; readonly up: boolean }
  | {
      readonly event: 'answers';
      readonly address: string;
      readonly ttl: number | undefined;
      readonly who: 'boot loader' | 'system' | 'somebody';
      readonly mac?: string | undefined;
    }
  | { readonly event: 'silent'; readonly address: string }
  | { readonly event: 'ssh'; readonly banner: string }
  | { readonly event: 'web'; readonly openwrt: boolean };

const pause = 2000;

/** A system that shows a web page has its SSH server up within this time, if it has one. */
const sshWithin = 60_000;

/** A device that asks again within this time did not take the image. */
export const askedAgainWithin = 60_000;

/** Boot loaders answer with 100, 128 or 255; Linux with 64. */
function whoAnswers(ttl: number | undefined): 'boot loader' | 'system' | 'somebody' {
  if (ttl === undefined) return 'somebody';
  return ttl > 64 ? 'boot loader' : 'system';
}

const isOpenWrt = (page: string): boolean => /cgi-bin\/luci|luci|openwrt/i.test(page);

const notTaken =
  'The loader asks again because it did not find in the file what it wants, or because what it started did not come up. owimg check FILE --device D says what it wants; a console log tells most (--serial-log).';

export function fromConsole({ outcome, line, message }: ConsoleReading): Verification | undefined {
  if (outcome !== 'failed') return undefined;
  const meaning = message === undefined ? '' : ` ${message.means}`;
  return { result: 'different', says: `The console says "${line}".${meaning}`, compared: [], next: message?.next };
}

const tooOld: RegExp = /permission denied|authentication/i;

/** Asks the running system what it is. */
async function inquire({ address, expected }: Watched, around: Surroundings): Promise<Verification> {
  const { ok, text } = await around.ssh(address, questionFor(expected));
  const reported = reportedOf(text);
  if (reported === undefined) {
    const why = ok ? 'it did not answer as OpenWrt does' : text.split('\n')[0] || 'it did not let owimg in';
    const next = tooOld.test(text)
      ? 'It wants a password or a key: log in yourself and compare: ubus call system board.'
      : `Log in yourself and compare: ssh root@${address} ubus call system board.`;
    return { result: 'unverified', says: `A system answers at ${address}, but could not be asked: ${why}.`, compared: [], next };
  }
  const { result, compared }: Comparison = compare(expected, reported);
  if (result === 'same') return { result: 'verified', says: 'What runs is what was sent.', compared, next: undefined };
  if (result === 'other') {
    const next = 'The old system may still be the one that starts (two slots, or the write failed), or another device has this address: switch all others off.';
    return { result: 'different', says: 'Something else runs there.', compared, next };
  }
  return {
    result: 'unverified',
    says: 'OpenWrt runs there, but the image does not tell its release, and the flash could not be read back.',
    compared,
    next: `Compare yourself: ssh root@${address} cat /etc/openwrt_release.`,
  };
}

/** Waits until the device is back, or nobody waits any longer. */
export async function watchReturn(watched: Watched, around: Surroundings, see: (sighting: Sighting) => void, signal: AbortSignal): Promise<Verification> {
  const { address, loader, patience } = watched;
  const begin = around.now();
  let link: boolean | undefined;
  let answering: string | undefined;
  let webSince: number | undefined;
  let openwrt = false;
  let booted = false;
  while (!signal.aborted && around.now() - begin < patience) {
    if (watched.askedAgain?.() === true) {
      return { result: 'different', says: 'The device asked for the file again: it did not take the image.', compared: [], next: notTaken };
    }
    const reading = await watched.console?.();
    const failed = reading === undefined ? undefined : fromConsole(reading);
    if (failed !== undefined) return failed;
    booted ||= reading?.outcome === 'booted';
    if (watched.interface !== undefined) {
      const up = await around.hasLink(watched.interface);
      if (up !== undefined && up !== link) see({ event: 'link', up });
      link = up;
    }
    const at = await whoIsThere([address, ...(loader === undefined || loader === address ? [] : [loader])], around);
    const seen = at === undefined ? undefined : `${at.address} ${at.who}`;
    if (seen !== answering) {
      if (at !== undefined) see({ event: 'answers', ...at, mac: await around.hardwareAddress(at.address) });
      else if (answering !== undefined) see({ event: 'silent', address });
      answering = seen;
    }
    const banner = await around.banner(address, 22);
    if (banner?.startsWith('SSH-') === true) {
      see({ event: 'ssh', banner });
      return inquire(watched, around);
    }
    const page = await around.webPage(address);
    if (page !== undefined && webSince === undefined) {
      webSince = around.now();
      openwrt = isOpenWrt(page);
      see({ event: 'web', openwrt });
    }
    if (page !== undefined && webSince !== undefined && around.now() - webSince > sshWithin) return webOnly(address, openwrt);
    await around.sleep(pause, signal);
  }
  if (signal.aborted) return { result: 'interrupted', says: 'You ended the watch; what was sent was sent.', compared: [], next: undefined };
  return neverBack(watched, booted, answering);
}

/** Without --verify, only the console is listened to. `undefined`: it told nothing that decides. */
export async function watchConsole(
  read: () => Promise<ConsoleReading>,
  patience: number,
  around: Pick<Surroundings, 'now' | 'sleep'>,
  signal: AbortSignal,
): Promise<ConsoleReading | undefined> {
  const begin = around.now();
  while (!signal.aborted && around.now() - begin < patience) {
    const reading = await read();
    if (reading.outcome === 'booted' || reading.outcome === 'failed') return reading;
    await around.sleep(pause, signal);
  }
  return undefined;
}

async function whoIsThere(
  addresses: readonly string[],
  around: Surroundings,
): Promise<{ readonly address: string; readonly ttl: number | undefined; readonly who: 'boot loader' | 'system' | 'somebody' } | undefined> {
  for (const address of addresses) {
    const answer = await around.ping(address);
    if (answer !== undefined) return { address, ttl: answer.ttl, who: whoAnswers(answer.ttl) };
  }
  return undefined;
}

const webOnly = (address: string, openwrt: boolean): Verification => ({
  result: 'unverified',
  says: openwrt
    ? `OpenWrt shows its web page at ${address}, but no SSH server answers, so that the release could not be compared.`
    : `A web page answers at ${address} that is not OpenWrt's: it may be the vendor's firmware, or the boot loader's own page.`,
  compared: [],
  next: `Open http://${address}/ and read the version.`,
});

function neverBack({ address, patience }: Watched, booted: boolean, answering: string | undefined): Verification {
  const minutes = Math.round(patience / 60_000);
  if (booted) {
    const says = `The console says that the system has started, but nobody answers at ${address}.`;
    return {
      result: 'unverified',
      says,
      compared: [],
      next: `Has this computer an address in the network of ${address}? Compare the release on the console: cat /etc/openwrt_release.`,
    };
  }
  if (answering?.endsWith('boot loader') === true) {
    const says = `After ${minutes} minutes the boot loader still answers, and no system.`;
    return { result: 'unverified', says, compared: [], next: 'Some loaders wait for a hand: switch the device off and on once, without holding a button.' };
  }
  const says = `Within ${minutes} minutes nobody answered at ${address} who could be asked.`;
  const next = `Has this computer an address in that network? Some devices wait to be switched off and on by hand after the write: do that only now. Then: ping ${address}.`;
  return { result: 'unverified', says, compared: [], next };
}
