/**
 * What owimg is going to do with an image and a device, before anything is done: who asks whom, under which addresses and names, what a person has
 * to do, and how sure each of these is. Pure.
 */
import type { Finding, Inspection, Kind } from '../core/types.ts';
import type { Device, DeviceFacts, Recovery } from '../devices/facts.ts';
import { addressText, maskOf, neighbourOf, ownAddressFor, parseAddress } from '../dhcp/addresses.ts';
import { shellWord } from '../report/shell-word.ts';
import type { Verdict } from '../routes/verdict.ts';
import { addressBeside } from './addresses.ts';
import { byHabit, type Habit, habitOf, isNmrp, peculiarityOf, vendorHabitOf, vendorOf } from './habits.ts';
import type { HostInterface } from './host.ts';

/**
 * What owimg does. `client`: it sends the file to the loader's TFTP server. `server`: the loader fetches it. `bootp`: the loader asks for an address
 * first, by BOOTP or DHCP; owimg gives it one, and then the file as a server. `none`: nobody knows.
 */
export type Part = 'client' | 'server' | 'bootp' | 'none';

/**
 * Where a value is from. `record`: of this device, in OpenWrt's history. `habit`: of its vendor or target, so a guess. `option`: given by the person.
 * `usual`: anything would do, and this is what is mostly taken. `image`: of the file itself.
 */
export type Origin = 'record' | 'habit' | 'option' | 'usual' | 'image';

export interface Value<T> {
  readonly value: T;
  readonly from: Origin;
}

export interface PlanOptions {
  readonly as?: 'client' | 'server' | undefined;
  readonly router?: string | undefined;
  readonly host?: string | undefined;
  readonly name?: string | undefined;
  readonly port?: number | undefined;
  readonly interface?: string | undefined;
  /** Where the device is looked for afterwards. */
  readonly back?: string | undefined;
  /** The loader asks for an address by BOOTP, or by DHCP: answer that, and nothing else. Where that is its recorded way or its habit, it need not be said. */
  readonly bootp?: boolean | undefined;
  readonly dhcp?: boolean | undefined;
  /** The hardware address of the only device that is given an address. */
  readonly mac?: string | undefined;
  /** The address that it is given; the one next to ours without it. */
  readonly clientAddress?: string | undefined;
  /** Bytes of a block that a loader which waits for the file is asked for, 8 to 65464 (RFC 2348). Without it no option is sent: many loaders know none. */
  readonly blockSize?: number | undefined;
  /** Who fetches the file is answered from the port that it asked. */
  readonly singlePort?: boolean | undefined;
  /** The network cards of this computer, where they are known: who gives addresses has to know by which card, and has one itself. */
  readonly cards?: readonly HostInterface[] | undefined;
}

/** What is answered to a loader that asks for an address, and to whom. */
export interface Giving {
  readonly bootp: boolean;
  readonly dhcp: boolean;
  /** Hardware address of the only device that is answered; without it the first that asks. */
  readonly mac: string | undefined;
}

export interface PlannedFile {
  /** As it was given; `-` is standard input. */
  readonly path: string;
  /** Of an archive. */
  readonly member?: string | undefined;
  /** Without folders; `undefined` where it has none. */
  readonly name: string | undefined;
  readonly size: number;
  readonly sha256: string;
}

export type MissingOption = '--host' | '--interface' | '--mac';

export interface Plan {
  readonly device: { readonly profile: string; readonly title: string; readonly target: string };
  readonly file: PlannedFile;
  readonly kind: Kind;
  readonly verdict: Verdict;
  readonly part: Part;
  /** Where the part is from. */
  readonly partFrom: Origin;
  /** In words: the commit, or whose habit it is. */
  readonly source: string;
  /** Of the device; with the part `bootp` the one that it is given. */
  readonly router: Value<string> | undefined;
  /** Of this computer. */
  readonly host: Value<string> | undefined;
  /**
   * What the file is called on the wire; `undefined`: under whatever name it is asked for. With the part `bootp` the name that the device is told; whatever
   * it asks for then, it gets the file, unless the name is a person's.
   */
  readonly name: Value<string> | undefined;
  /** With the part `bootp`. */
  readonly gives: Giving | undefined;
  readonly port: Value<number>;
  readonly interface: string | undefined;
  /** As in {@link PlanOptions}. */
  readonly blockSize: number | undefined;
  readonly singlePort: boolean;
  readonly trigger: Value<string> | undefined;
  /** What was guessed and has to be confirmed, each a sentence. */
  readonly guesses: readonly string[];
  /** Options without which it cannot begin. */
  readonly missing: readonly MissingOption[];
  readonly notes: readonly string[];
  /** It runs from memory; nothing is written. */
  readonly ramOnly: boolean;
  readonly blocks: { readonly of512: number; readonly rollsOver: boolean };
  readonly seconds: { readonly transfer: number; readonly write: number; readonly most: number };
  /** Where what was installed is looked for afterwards. */
  readonly back: Value<string>;
}

const blockLength = 512;
const largestBlock = 65_535;

/** Loaders that are served acknowledge about so many bytes in a second. */
const transferSpeed = 512 * 1024;

/** By the tool of those who wrote the loaders of many access points (ap51-flash): so long before, and so many bytes in a second. */
const [writeStart, writeSpeed] = [30, 65_536];

/** Longer than this nobody has waited in vain; Netgear's loaders have been seen to take half an hour. */
const [longest, longestOfSlow] = [15 * 60, 30 * 60];

/** OpenWrt's own address on first boot. */
const firstBootAddress = '192.168.1.1';

const kindWanted: Readonly<Partial<Record<Kind, Recovery['imageKind']>>> = {
  factory: 'factory',
  recovery: 'recovery',
  sysupgrade: 'sysupgrade',
  initramfs: 'initramfs',
  kernel: 'initramfs',
};

const partOf: Readonly<Record<Habit['mode'], Exclude<Part, 'none'>>> = { 'router-is-client': 'server', 'router-is-server': 'client', bootp: 'bootp' };

type Networked = Recovery & { readonly mode: Habit['mode'] };

const isNetworked = (record: Recovery): record is Networked => record.mode !== 'uboot-console' && !isNmrp(record);

/** What a plan takes from a record or a habit. */
type Told = Partial<Omit<Habit, 'mode' | 'whose'>> & { readonly fileNameRequired?: boolean | undefined };

/** The part that a person wants. */
const wantedPart = ({ as, bootp, dhcp }: PlanOptions): Exclude<Part, 'none'> | undefined => (bootp === true || dhcp === true ? 'bootp' : as);

/** The record that fits the image best, with what it lacks from others that say the same. */
function recordFor(device: Device, kind: Kind, wanted: Part | undefined): { readonly record: Networked; readonly values: Told } | undefined {
  const all = device.recovery.filter(isNetworked);
  const fitting = all.filter(({ mode }) => wanted === undefined || partOf[mode] === wanted);
  // Who is given an address fetches the file: what is recorded of those that have one holds for it too.
  const records = fitting.length === 0 && wanted === 'bootp' ? all.filter(({ mode }) => partOf[mode] === 'server') : fitting;
  const score = ({ imageKind, openwrtLoader, hostAddress, fileName }: Networked): number =>
    (imageKind === kindWanted[kind] ? 8 : imageKind === undefined ? 4 : 0) +
    (openwrtLoader === true ? 0 : 2) +
    (hostAddress === undefined ? 0 : 1) +
    (fileName === undefined ? 0 : 1);
  const [record] = [...records].sort((a, b) => score(b) - score(a));
  if (record === undefined) return undefined;
  const agree = (a: string | undefined, b: string | undefined): boolean => a === undefined || b === undefined || a === b;
  const alike = records.filter(
    ({ mode, hostAddress, imageKind }) => mode === record.mode && agree(hostAddress, record.hostAddress) && agree(imageKind, record.imageKind),
  );
  const first = (key: 'routerAddress' | 'hostAddress' | 'fileName' | 'trigger'): Networked | undefined =>
    record[key] !== undefined ? record : alike.find((other) => other[key] !== undefined);
  const named = first('fileName');
  const told = record.mode === 'router-is-server' && named === undefined ? peculiarityOf(device)?.fileName : undefined;
  return {
    record,
    values: {
      routerAddress: first('routerAddress')?.routerAddress,
      hostAddress: first('hostAddress')?.hostAddress,
      fileName: told ?? named?.fileName,
      fileNameRequired: told !== undefined || named?.fileNameRequired,
      trigger: first('trigger')?.trigger,
    },
  };
}

const sourceOf = ({ commit, openwrtLoader }: Recovery): string =>
  openwrtLoader === true
    ? 'the U-Boot that OpenWrt builds for it; the loader that the vendor put there may want something else'
    : `https://github.com/openwrt/openwrt/commit/${commit}`;

interface Asked {
  readonly part: Part;
  readonly from: Origin;
  readonly source: string;
  readonly values: Told;
}

/** Which part owimg plays, and by whose word. */
function ask(facts: DeviceFacts, device: Device, kind: Kind, options: PlanOptions): Asked {
  const { host, router } = options;
  const wanted = wantedPart(options);
  const found = recordFor(device, kind, wanted);
  if (found !== undefined) {
    const part = wanted ?? partOf[found.record.mode];
    return { part, from: 'record', source: sourceOf(found.record), values: found.values };
  }
  const habit = habitOf(facts, device);
  const fits = habit !== undefined && (wanted === undefined || partOf[habit.mode] === wanted);
  const values: Told = fits ? { ...habit, fileNameRequired: habit.fileName !== undefined } : {};
  if (wanted !== undefined) {
    // Who names the part and the address that matters guesses nothing; who is asked for an address learns the rest by that.
    const given = wanted === 'bootp' || (wanted === 'client' ? router !== undefined : host !== undefined);
    return { part: wanted, from: 'option', source: 'as you say', values: given ? { trigger: values.trigger } : values };
  }
  if (habit === undefined) return { part: 'none', from: 'usual', source: 'nothing is recorded', values: {} };
  return { part: partOf[habit.mode], from: 'habit', source: habit.whose, values };
}

function given(option: string | undefined, told: string | undefined, from: Origin): Value<string> | undefined {
  if (option !== undefined) return { value: option, from: 'option' };
  return told === undefined ? undefined : { value: told, from: from === 'record' ? 'record' : 'habit' };
}

/** What the file is called on the wire. */
function nameOf(part: Part, { fileName, fileNameRequired }: Told, from: Origin, option: string | undefined, file: PlannedFile): Value<string> | undefined {
  if (option !== undefined) return { value: option, from: 'option' };
  // A guessed name would turn down the loader that asks for the right one.
  if (part === 'server') return fileName !== undefined && fileNameRequired === true && from === 'record' ? { value: fileName, from: 'record' } : undefined;
  if (part === 'none') return undefined;
  if (fileName !== undefined && fileNameRequired === true) return { value: fileName, from: from === 'record' ? 'record' : 'habit' };
  return file.name === undefined ? { value: 'firmware.bin', from: 'usual' } : { value: file.name, from: 'image' };
}

/** Names under which loaders of EcoNet write what they are sent: the system, and the boot loader itself. */
const econetNames: readonly string[] = ['tclinux.bin', 'tcboot.bin'];

/** Whether a loader of EcoNet writes what it is sent under this name; anything else it keeps in memory. `undefined` for other loaders. */
export const writtenByEcoNet = (target: string, name: string): boolean | undefined =>
  target.startsWith('econet/') ? econetNames.includes(name.toLowerCase()) : undefined;

function econetNote(name: string): string {
  if (name.toLowerCase() === 'tcboot.bin') return 'Under the name tcboot.bin the loader of EcoNet replaces itself: if that goes wrong the device is dead.';
  const rule = 'Loaders of EcoNet write what is called tclinux.bin, and keep other names in memory, with an error behind the last block';
  return name.toLowerCase() === 'tclinux.bin' ? `${rule}.` : `${rule}: ${name} is not written.`;
}

function notesOf(device: Device, part: Part, record: Asked, file: PlannedFile, name: string | undefined): string[] {
  const notes: string[] = [];
  if (device.recovery.some(isNmrp)) {
    notes.push("What is recorded for this device is NMRP, a protocol of Netgear's own, which owimg does not speak: the program nmrpflash does.");
  }
  const console = device.recovery.find(({ mode }) => mode === 'uboot-console');
  if (part === 'none' || (record.from === 'habit' && console !== undefined)) {
    const { hostAddress, fileName } = console ?? {};
    if (console !== undefined) {
      const from = hostAddress === undefined ? '' : ` from ${hostAddress}`;
      const what = fileName === undefined ? '' : ` as ${fileName}`;
      notes.push(
        `Recorded is a way by the serial console: U-Boot's tftpboot${from}${what}. For that, owimg serve ${shellWord(file.path) ?? 'FILE'} is the other side.`,
      );
    }
  }
  if (name !== undefined && part === 'client' && writtenByEcoNet(device.target, name) !== undefined) notes.push(econetNote(name));
  const peculiarity = part === 'client' ? peculiarityOf(device) : undefined;
  if (peculiarity !== undefined) notes.push(peculiarity.note);
  return notes;
}

/** Any address would do: these are those that the vendors' own papers name. */
const usualHosts: Readonly<Record<string, string>> = { mikrotik: '192.168.88.2', xiaomi: '192.168.31.2' };

/** The network of an address of which nothing else is known. */
const usualPrefix = 24;

/** Both addresses where the device is given its own: ours is what the card has, or should have. */
function givenAddresses(device: Device, asked: Told, options: PlanOptions): { readonly host: Value<string>; readonly router: Value<string> | undefined } {
  const { cards, interface: card, host, clientAddress = options.router } = options;
  const own = (cards?.find(({ name }) => name === card)?.addresses ?? []).flatMap(({ address, prefix }) => {
    const number = parseAddress(address);
    return number === undefined ? [] : [{ address: number, netmask: maskOf(prefix) }];
  });
  const client = clientAddress === undefined ? undefined : parseAddress(clientAddress);
  const found = ownAddressFor(own, host === undefined ? undefined : parseAddress(host), client);
  const beside = client === undefined ? undefined : neighbourOf(client, maskOf(usualPrefix));
  const usual = beside === undefined ? (asked.hostAddress ?? usualHosts[vendorOf(device)] ?? addressBeside(firstBootAddress) ?? '') : addressText(beside);
  const ours = host ?? (found === undefined ? usual : addressText(found.address));
  const next = neighbourOf(parseAddress(ours) ?? 0, found?.netmask ?? maskOf(usualPrefix));
  return {
    host: { value: ours, from: host === undefined ? 'usual' : 'option' },
    router:
      clientAddress !== undefined ? { value: clientAddress, from: 'option' } : next === undefined ? undefined : { value: addressText(next), from: 'usual' },
  };
}

function givingOf(device: Device, { bootp, dhcp, mac }: PlanOptions): Giving {
  if (bootp === true || dhcp === true) return { bootp: bootp === true, dhcp: dhcp === true, mac };
  // RouterBOOT comes first by BOOTP, and its newer versions go round in circles where DHCP is answered too.
  return { bootp: true, dhcp: vendorOf(device) !== 'mikrotik', mac };
}

/** What somebody has to name before addresses may be given to anybody. */
function missingForGiving({ cards, interface: card, mac }: PlanOptions): MissingOption[] {
  if (card === undefined) return ['--interface'];
  // A card that is not there is another trouble.
  if (cards?.some(({ name }) => name === card) !== true) return [];
  // Node cannot tell by which card a broadcast came in.
  const others = cards.some(({ name, loopback }) => !loopback && name !== card);
  return others && mac === undefined ? ['--mac'] : [];
}

/** Makes the plan. Never throws: what is missing is said in it. */
export function makePlan(facts: DeviceFacts, device: Device, file: PlannedFile, inspection: Inspection, verdict: Verdict, options: PlanOptions): Plan {
  const { kind } = inspection;
  const asked = ask(facts, device, kind, options);
  const { part, values, from } = asked;
  const ramOnly = verdict.outcome === 'boots' || kind === 'initramfs';
  let { router, host }: Partial<Pick<Plan, 'router' | 'host'>> =
    part === 'bootp'
      ? givenAddresses(device, values, options)
      : { router: given(options.router, values.routerAddress, from), host: given(options.host, values.hostAddress, from) };
  const missing: MissingOption[] = part === 'bootp' ? missingForGiving(options) : [];
  const guesses: string[] = [];
  if (from === 'habit') guesses.push(`How ${device.title} takes an image is not recorded. A guess: ${asked.source}.`);
  if (part === 'client' && router === undefined) {
    router = { value: firstBootAddress, from: 'habit' };
    guesses.push(`The address of its loader is not recorded. A guess: ${firstBootAddress}, as of most.`);
  } else if (part === 'client' && router?.from === 'habit' && from !== 'habit') guesses.push(`The address of its loader is a guess: ${router.value}.`);
  if (part === 'server' && host?.from === 'habit' && from !== 'habit') guesses.push(`The address that its loader asks is a guess: ${host.value}.`);
  if (part === 'server' && host === undefined && options.interface === undefined) missing.push('--host');
  if (part === 'client' && host === undefined && router !== undefined) {
    const beside = addressBeside(router.value);
    host = beside === undefined ? undefined : { value: beside, from: 'usual' };
  }
  const name = nameOf(part, values, from, options.name, file);
  const of512 = Math.floor(file.size / blockLength) + 1;
  const ownTrigger = given(undefined, values.trigger, from);
  const trigger = ownTrigger ?? (part === 'bootp' ? given(undefined, vendorHabitOf(device)?.trigger, 'habit') : undefined);
  const slow = /^netgear/.test(device.profile);
  return {
    device: { profile: device.profile, title: device.title, target: device.target },
    file,
    kind,
    verdict,
    part,
    partFrom: from,
    source: asked.source,
    router,
    host,
    name,
    port: options.port === undefined ? { value: 69, from: 'usual' } : { value: options.port, from: 'option' },
    interface: options.interface,
    blockSize: options.blockSize,
    singlePort: options.singlePort === true,
    gives: part === 'bootp' ? givingOf(device, options) : undefined,
    trigger,
    guesses: part === 'none' ? [] : guesses,
    missing,
    notes: notesOf(device, part, asked, file, name?.value),
    ramOnly,
    blocks: { of512, rollsOver: of512 > largestBlock },
    seconds: {
      transfer: Math.max(1, Math.round(file.size / transferSpeed)),
      write: ramOnly ? 60 : Math.round(writeStart + file.size / writeSpeed),
      most: slow ? longestOfSlow : longest,
    },
    back: options.back === undefined ? { value: firstBootAddress, from: 'usual' } : { value: options.back, from: 'option' },
  };
}

/**
 * The verdict for an image. Where nothing is recorded of the device, the image is judged by the habit that the plan would follow; the plan then
 * names the guess, and asks for it to be confirmed.
 *
 * @param judge the verdict of the route tftp for the image on a device
 */
export function verdictByPlan(facts: DeviceFacts, device: Device, options: PlanOptions, judge: (device: Device) => Verdict): Verdict {
  const verdict = judge(device);
  if (verdict.outcome !== 'unknown' || wantedPart(options) !== undefined || device.recovery.some(isNetworked)) return verdict;
  const habit = habitOf(facts, device);
  if (habit === undefined) return verdict;
  const guessed = judge(byHabit(device, habit));
  if (guessed.outcome === 'unknown') return verdict;
  return {
    ...guessed,
    reason: guessed.reason.replace('which this loader is recorded to take', 'which such loaders take'),
    assumes: [`the loader does as its relatives, which is not recorded of it: ${habit.whose}`],
  };
}

/** Whether the image may be sent, and what would have to be accepted. */
export type Gate = { readonly open: true } | { readonly open: false; readonly exit: 1 | 3; readonly codes: readonly string[] };

const errorsOf = (findings: readonly Finding[]): string[] => [...new Set(findings.filter(({ severity }) => severity === 'error').map(({ code }) => code))];

/** The image is sent only where the route's verdict says that it does what it is for, or the person knows better and names what is wrong with it. */
export function gateOf({ verdict }: Pick<Plan, 'verdict'>, accepted: ReadonlySet<string>): Gate {
  const { outcome, findings } = verdict;
  if (outcome === 'installs' || outcome === 'installs-without-settings' || outcome === 'boots') return { open: true };
  const told = outcome === 'unknown' ? [] : errorsOf(findings);
  const needed = told.length === 0 ? [`verdict-${outcome}`] : told;
  const codes = needed.filter((code) => !accepted.has(code));
  return codes.length === 0 ? { open: true } : { open: false, exit: outcome === 'unknown' ? 3 : 1, codes };
}

/** Seconds as people say them. */
export function timeText(seconds: number): string {
  if (seconds < 1.5) return 'a second';
  if (seconds < 90) return `${Math.round(seconds)} seconds`;
  const minutes = Math.ceil(seconds / 60);
  return `${minutes} minutes`;
}
