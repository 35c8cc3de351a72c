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
  /** The way to the address leads by another card than the device's: who answers there is another machine, and is not asked. */
  | { readonly event: 'elsewhere'; readonly address: string; readonly interface: string }
  /** A server that has been there all the time since the transfer. */
  | { readonly event: 'not-the-device'; readonly address: string; readonly service: 'ssh' | 'web' }
  | { readonly event: 'ssh'; readonly banner: string }
  | { readonly event: 'web'; readonly openwrt: boolean };

const pause = 2000;

/** A system that shows a web page has its SSH server up within this time, if it has one. */
const sshWithin = 60_000;

/** Boot loaders answer with 100, 128 or 255; Linux with 64. */
function whoAnswers(ttl: number | undefined): 'boot loader' | 'system' | 'somebody' {
  if (ttl === undefined) return 'somebody';
  return ttl > 64 ? 'boot loader' : 'system';
}

/** LuCI sends every browser to its own path. Boot loaders' own pages name OpenWrt too, as what they take. */
const isOpenWrt = (page: string): boolean => /\bluci\b/i.test(page);

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

/** MAC addresses as near as this are of one device: the loader and the system, or two of its ports, have neighbouring ones. */
const nearMacs = 8;

function areNear(a: string | undefined, b: string | undefined): boolean {
  const [first, second] = [a, b].map((mac) => (mac === undefined ? Number.NaN : Number.parseInt(mac.replaceAll(/[:-]/g, ''), 16)));
  return Math.abs((first ?? Number.NaN) - (second ?? Number.NaN)) <= nearMacs;
}

/** A server was away when it was missed so often in a row: one lost answer is none. */
const missedLooks = 2;

/** Whether a server came up since the transfer. */
class Appearing {
  #missed = 0;
  #away = false;

  look(there: boolean): void {
    this.#missed = there ? 0 : this.#missed + 1;
    if (this.#missed >= missedLooks) this.#away = true;
  }

  /** The device's card lost its link: it restarted, and whatever is not there at that moment was away. */
  restarted(): void {
    if (this.#missed > 0) this.#away = true;
  }

  get wasAway(): boolean {
    return this.#away;
  }
}

/**
 * Waits until the device is back, or nobody waits any longer.
 *
 * Whose SSH server is it? 192.168.1.1 is the address of OpenWrt and of many a home router, and a router that is asked by mistake may answer as an OpenWrt of
 * another release. These signs are there, and this is what they are taken for:
 *
 * - The card by which the system sends to the address (every system tells). If that is not the device's, nobody is asked there, not even a ping.
 * - The MAC at the address on the device's card (Linux only). If it is that of the loader in the transfer, or beside it, it is the device. Another MAC proves
 *   nothing: many loaders have one of their own.
 * - Time. A device that was sent an image restarts, so its servers are missed for many seconds; a server that answered at every look since the transfer
 *   has been running all along. So what is not known by its MAC has to be missed twice in a row, or once with the link down, and to come up then. While the
 *   device's card has no link, who answers is not behind it.
 * - Ping tells the loader from the system by its TTL, but not one machine from another: it is shown, and decides nothing.
 *
 * No least time is waited for: it would not make a machine the device that has been there all the time. Such a one is named, and left alone.
 */
export async function watchReturn(watched: Watched, around: Surroundings, see: (sighting: Sighting) => void, signal: AbortSignal): Promise<Verification> {
  const { address, loader, patience, interface: card } = watched;
  const begin = around.now();
  const loaderMac = loader === undefined ? undefined : await around.hardwareAddress(loader, card);
  const [ssh, web] = [new Appearing(), new Appearing()];
  const told = new Set<string>();
  /** What would be said at every look is said once. */
  const once = (sighting: Sighting): void => {
    const text = JSON.stringify(sighting);
    if (!told.has(text)) see(sighting);
    told.add(text);
  };
  let link: boolean | undefined;
  let answering: string | undefined;
  let page: Page = { shown: 'none', since: begin };
  let stranger: 'elsewhere' | 'all along' | undefined;
  let booted = false;
  while (!signal.aborted && around.now() - begin < patience) {
    if (watched.askedAgain?.() === true) {
      return { result: 'different', says: 'The device asked for the file again: it did not take the image.', compared: [], next: notTaken };
    }
    const reading = await watched.console?.();
    const failed = reading === undefined ? undefined : fromConsole(reading);
    if (failed !== undefined) return failed;
    booted ||= reading?.outcome === 'booted';
    if (card !== undefined) {
      const up = await around.hasLink(card);
      if (up !== undefined && up !== link) see({ event: 'link', up });
      link = up;
    }
    const leads = async (to: string): Promise<boolean> => {
      const by = card === undefined ? undefined : await around.cardTo(to);
      if (by === undefined || by === card) return true;
      if (to === address) once({ event: 'elsewhere', address, interface: by });
      return false;
    };
    const reached = await leads(address);
    const others = loader === undefined || loader === address || !(await leads(loader)) ? [] : [loader];
    const at = await whoIsThere([...(reached ? [address] : []), ...others], around);
    const seen = at === undefined ? undefined : `${at.address} ${at.who}`;
    if (seen !== answering) {
      if (at !== undefined) see({ event: 'answers', ...at, mac: await around.hardwareAddress(at.address, card) });
      else if (answering !== undefined) see({ event: 'silent', address });
      answering = seen;
    }
    const answered = reached ? await around.banner(address, 22) : undefined;
    const banner = answered?.startsWith('SSH-') === true ? answered : undefined;
    const content = reached ? await around.webPage(address) : undefined;
    // By the MAC of a moment ago: whoever answered has one.
    const isKnown = link !== false && (banner !== undefined || content !== undefined) && areNear(loaderMac, await around.hardwareAddress(address, card));
    for (const [server, there] of [[ssh, banner !== undefined] as const, [web, content !== undefined] as const]) {
      server.look(there);
      if (link === false) server.restarted();
    }
    const isDevices = (server: Appearing): boolean => link !== false && (isKnown || server.wasAway);
    if (banner !== undefined && isDevices(ssh)) {
      see({ event: 'ssh', banner });
      return inquire(watched, around);
    }
    stranger = reached ? undefined : 'elsewhere';
    if (banner !== undefined && link !== false) {
      once({ event: 'not-the-device', address, service: 'ssh' });
      stranger = 'all along';
    }
    if (content !== undefined && !isDevices(web)) once({ event: 'not-the-device', address, service: 'web' });
    const shown = content === undefined || !isDevices(web) ? 'none' : isOpenWrt(content) ? 'openwrt' : 'other';
    if (shown !== page.shown) page = { shown, since: around.now() };
    if (shown !== 'none') once({ event: 'web', openwrt: shown === 'openwrt' });
    // The boot loader's own page, or the vendor's: that is no end.
    if (shown === 'openwrt' && around.now() - page.since > sshWithin) return webOnly(address, true);
    await around.sleep(pause, signal);
  }
  if (signal.aborted) return { result: 'interrupted', says: 'You ended the watch; what was sent was sent.', compared: [], next: undefined };
  if (stranger !== undefined && !booted) return notTheDevice(watched, stranger);
  return page.shown !== 'none' && !booted ? webOnly(address, page.shown === 'openwrt') : neverBack(watched, booted, answering);
}

/** The device's web page, and when it was seen first. */
interface Page {
  readonly shown: 'none' | 'openwrt' | 'other';
  readonly since: number;
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

/** Somebody is there who is not the device, or of whom nobody can tell. */
function notTheDevice({ address, interface: card }: Watched, why: 'elsewhere' | 'all along'): Verification {
  const result = 'unverified';
  if (why === 'elsewhere') {
    const says = `${address} was not asked: this computer reaches it by another network card than ${card}, so it is another machine.`;
    const next = `Switch that card off for a moment, give ${card} an address in the network of ${address}, and compare yourself: ssh root@${address} cat /etc/openwrt_release.`;
    return { result, says, compared: [], next };
  }
  const says = `The SSH server at ${address} has answered all the time since the transfer: it is another machine, or the device has not restarted. It was not asked.`;
  const next = `Connect this computer to the device alone. Then compare: ssh root@${address} cat /etc/openwrt_release.`;
  return { result, says, compared: [], next };
}

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
