/**
 * Which device is meant. `findDevice` is for what must be right: one device, or none. `searchDevices` is for people who look around.
 *
 * A device can be called by its
 *
 * - profile: `tplink_archer-c7-v5`;
 * - target and profile, `x86/64:generic`, where a profile is in several targets (any other name may stand behind the colon too);
 * - board name: `tplink,archer-c7-v5`;
 * - older board name: `archer-c7-v5`, if only one device has it;
 * - title, also without the maker: `TP-Link Archer C7 v5`, `archer c7 v5`. Case, punctuation and blanks do not matter.
 *
 * These are asked in this order, and the first that any device has decides.
 */
import { OwimgError } from '../core/errors.ts';
import type { Device, DeviceFacts } from './facts.ts';
import { joined, titlesOf, words } from './names.ts';
import { byTitle, type Ranked, rank } from './search.ts';

export type Lookup =
  | { readonly outcome: 'found'; readonly device: Device }
  /** Several have this name, or it is the beginning of several titles (`archer c7`). */
  | { readonly outcome: 'ambiguous'; readonly candidates: readonly Device[] }
  | { readonly outcome: 'unknown'; readonly nearest: readonly Device[] };

type Names = Map<string, Device[]>;

/** Names as written, the most telling first. */
interface WrittenNames {
  readonly targets: ReadonlySet<string>;
  readonly profiles: Names;
  readonly firstBoards: Names;
  readonly boards: Names;
  readonly identities: Names;
}

/** Names as joined words. */
interface SpokenNames {
  /** The most telling first. */
  readonly exact: readonly Names[];
  readonly olderBoards: Names;
  /** Of titles. */
  readonly beginnings: Names;
}

function add(names: Names, name: string, device: Device): void {
  const holders = names.get(name);
  if (holders === undefined) names.set(name, [device]);
  else if (!holders.includes(device)) holders.push(device);
}

/** Makes something of the facts once. */
function oncePer<T>(make: (facts: DeviceFacts) => T): (facts: DeviceFacts) => T {
  const made = new WeakMap<DeviceFacts, T>();
  return (facts) => {
    const value = made.get(facts) ?? make(facts);
    made.set(facts, value);
    return value;
  };
}

const writtenNames = oncePer((facts): WrittenNames => {
  const targets = new Set(facts.devices.map(({ target }) => target));
  const names = { targets, profiles: new Map(), firstBoards: new Map(), boards: new Map(), identities: new Map() };
  for (const device of facts.devices) {
    add(names.profiles, device.profile, device);
    for (const board of device.boards.slice(0, 1)) add(names.firstBoards, board, device);
    for (const board of device.boards) add(names.boards, board, device);
    for (const name of [device.profile, ...device.boards]) add(names.identities, name, device);
  }
  return names;
});

const spokenNames = oncePer((facts): SpokenNames => {
  const [full, withoutVendor, eachOfSeveral, ids] = [new Map(), new Map(), new Map(), new Map()] as const satisfies readonly Names[];
  const [olderBoards, beginnings] = [new Map(), new Map()] as const satisfies readonly Names[];
  for (const device of facts.devices) {
    const titles = titlesOf(device);
    for (const level of ['full', 'withoutVendor', 'eachOfSeveral'] as const) {
      for (const parts of titles[level].map(words)) {
        add({ full, withoutVendor, eachOfSeveral }[level], joined(parts), device);
        for (let count = 1; count < parts.length; count += 1) add(beginnings, joined(parts.slice(0, count)), device);
      }
    }
    const [first, ...older] = device.boards;
    for (const name of [device.profile, first ?? device.profile]) add(ids, joined(words(name)), device);
    for (const name of older) add(olderBoards, joined(words(name)), device);
  }
  return { exact: [full, withoutVendor, eachOfSeveral, ids], olderBoards, beginnings };
});

interface Holders {
  /** The devices that have this very name. */
  readonly exact: readonly Device[];
  /** Those whose titles go on behind it; only looked for where there is no exact one. */
  readonly beginning: readonly Device[];
}

function holdersOf(facts: DeviceFacts, query: string): Holders {
  const { targets, profiles, firstBoards, boards } = writtenNames(facts);
  const colon = query.indexOf(':');
  const target = query.slice(0, Math.max(0, colon)).trim();
  const qualified = targets.has(target);
  const name = (qualified ? query.slice(colon + 1) : query).trim();
  const inTarget = (devices: readonly Device[] = []): readonly Device[] => (qualified ? devices.filter((device) => device.target === target) : devices);
  const firstOf = (levels: readonly Names[], key: string): readonly Device[] =>
    levels.map((names) => inTarget(names.get(key))).find((devices) => devices.length > 0) ?? [];
  const written = firstOf([profiles, firstBoards, boards], name);
  if (written.length > 0) return { exact: written, beginning: [] };
  const spoken = spokenNames(facts);
  const key = joined(words(name));
  const exact = firstOf(spoken.exact, key);
  if (exact.length > 0) return { exact, beginning: [] };
  const beginning = inTarget(spoken.beginnings.get(key));
  const older = inTarget(spoken.olderBoards.get(key));
  // "TL-WR1043ND" was the name of v1 once; of a person who types it nobody knows whether v1 is meant.
  return beginning.every((device) => older.includes(device))
    ? { exact: older, beginning: [] }
    : { exact: [], beginning: [...new Set([...older, ...beginning])] };
}

const sorted = (devices: readonly Device[]): Device[] => [...devices].sort(byTitle);

/** Names that an error message lists. */
const mostNearest = 5;

/** Below this share of what was asked a device is no answer, only a near name. */
const leastScore = 0.5;

/** What is much worse than the best answer is none. */
const leastShareOfBest = 0.85;

/** The one device that a name stands for, without guessing. */
export function findDevice(facts: DeviceFacts, query: string): Lookup {
  const { exact, beginning } = holdersOf(facts, query);
  const [device] = exact;
  if (device !== undefined && exact.length === 1) return { outcome: 'found', device };
  if (exact.length > 1) return { outcome: 'ambiguous', candidates: sorted(exact) };
  // A title that begins so is no proof that nothing else does: with a single one, the version on the label may be another.
  if (beginning.length > 1) return { outcome: 'ambiguous', candidates: sorted(beginning) };
  const ranked = rank(facts, query);
  const near = ranked.filter(({ score }) => score >= leastShareOfBest * (ranked[0]?.score ?? 0)).map((entry) => entry.device);
  return { outcome: 'unknown', nearest: [...new Set([...beginning, ...near])].slice(0, mostNearest) };
}

/**
 * The devices that a person may mean, best first: typing errors, left out words and pieces of words allowed. Empty if none is near.
 * Those which have the very name score 1.
 */
export function searchDevices(facts: DeviceFacts, query: string): Ranked[] {
  const { exact, beginning } = holdersOf(facts, query);
  const named = [...sorted(exact), ...sorted(beginning)];
  const ranked = rank(facts, query);
  const least = Math.max(leastScore, leastShareOfBest * (ranked[0]?.score ?? 0));
  const near = ranked.filter(({ device, score }) => score >= least && !named.includes(device));
  return [...named.map((device) => ({ device, score: 1 })), ...near];
}

/** The devices that call themselves so: by profile or by any of their board names, the older ones too. */
export function devicesByIdentity(facts: DeviceFacts, value: string): readonly Device[] {
  return writtenNames(facts).identities.get(value) ?? [];
}

/** The shortest name by which `findDevice` finds it: the profile, behind its target where others have the same. */
export function nameOf(facts: DeviceFacts, { profile, target }: Device): string {
  return (writtenNames(facts).profiles.get(profile)?.length ?? 0) > 1 ? `${target}:${profile}` : profile;
}

/** Candidates that an error message lists. */
const mostCandidates = 12;

/** What to tell a person whose device was not found: exit status 2 if there are several, 3 if there is none. */
export function lookupError(facts: DeviceFacts, query: string, lookup: Exclude<Lookup, { outcome: 'found' }>): OwimgError {
  const list = (devices: readonly Device[]): string => devices.map((device) => `${nameOf(facts, device)} (${device.title})`).join(', ');
  if (lookup.outcome === 'ambiguous') {
    const { candidates } = lookup;
    const more = candidates.length > mostCandidates ? ` and ${candidates.length - mostCandidates} more` : '';
    const message = `"${query}" may be any of ${candidates.length} devices: ${list(candidates.slice(0, mostCandidates))}${more}`;
    return new OwimgError('device-ambiguous', message, 'Name one of them. The label on the case has the version.');
  }
  const { nearest } = lookup;
  const hint =
    nearest.length === 0
      ? 'Try other words: owimg devices WORDS searches titles, profiles and board names.'
      : `The nearest: ${list(nearest)}. owimg devices WORDS searches for more.`;
  return new OwimgError('device-unknown', `No device is called "${query}"`, hint);
}

/**
 * The one device that the name stands for.
 *
 * @throws OwimgError `device-unknown`, `device-ambiguous`
 */
export function requireDevice(facts: DeviceFacts, query: string): Device {
  const lookup = findDevice(facts, query);
  if (lookup.outcome !== 'found') throw lookupError(facts, query, lookup);
  return lookup.device;
}
