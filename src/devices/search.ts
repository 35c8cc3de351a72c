/**
 * Which devices a person may mean. A word of the query counts as much as it tells: the fewer devices have it, the more. For each
 * device each word takes its best likeness; a device's score is their sum.
 */
import { distance } from 'fastest-levenshtein';
import type { Device, DeviceFacts } from './facts.ts';
import { titlesOf, words } from './names.ts';

/** How much a word tells by where it stands. */
const weights = { title: 1, otherTitle: 0.97, twoWords: 0.95, partOfWord: 0.85, name: 0.8, hardware: 0.5 } as const;

/** `AC1750` on the box is the class of speed: few titles have it, many devices are of it. */
const speedClass = /^(?:n|ac|ad|ax|be)\d{3,5}$/;
const speedClassWeight = 0.5;

export interface Ranked {
  readonly device: Device;
  /** Share of what the query tells that this device has; 1 is all of it. */
  readonly score: number;
}

interface Index {
  readonly devices: readonly Device[];
  /** Word -> which devices have it (by number), and its weight there. */
  readonly vocabulary: ReadonlyMap<string, ReadonlyMap<number, number>>;
}

const indexes = new WeakMap<DeviceFacts, Index>();

function indexOf(facts: DeviceFacts): Index {
  const known = indexes.get(facts);
  if (known !== undefined) return known;
  const vocabulary = new Map<string, Map<number, number>>();
  facts.devices.forEach((device, number) => {
    const add = (word: string, weight: number): void => {
      const places = vocabulary.get(word) ?? new Map<number, number>();
      places.set(number, Math.max(weight, places.get(number) ?? 0));
      vocabulary.set(word, places);
    };
    const { full, eachOfSeveral } = titlesOf(device);
    for (const title of [...full, ...eachOfSeveral]) {
      const parts = words(title);
      const weight = device.otherTitles.includes(title) ? weights.otherTitle : weights.title;
      for (const word of parts) add(word, weight);
      for (const [index, word] of parts.entries()) if (index > 0) add(`${parts[index - 1]}${word}`, weights.twoWords);
      // WR1043ND is WR, 1043 and ND; EdgeRouter is Edge and Router.
      for (const [part] of title.matchAll(/[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+/g)) add(part.toLowerCase(), weights.partOfWord);
    }
    for (const name of [device.profile, ...device.boards]) for (const word of words(name)) add(word, weights.name);
    for (const name of [device.target, device.soc ?? '']) for (const word of words(name)) add(word, weights.hardware);
  });
  const index = { devices: facts.devices, vocabulary };
  indexes.set(facts, index);
  return index;
}

/** From 0, nothing alike, to 1, the same. A number with a typing error is most likely another model. */
function likeness(asked: string, word: string): number {
  if (asked === word) return 1;
  const longest = Math.max(asked.length, word.length);
  const share = asked.length / longest;
  if (asked.length >= 2 && word.startsWith(asked)) return 0.75 + 0.2 * share;
  if (asked.length >= 3 && word.includes(asked)) return 0.55 + 0.2 * share;
  if (longest < 4 || Math.abs(asked.length - word.length) > 2) return 0;
  // Of a mistyped word the first or the last letter is mostly right; this spares nine of ten comparisons.
  if (asked[0] !== word[0] && asked.at(-1) !== word.at(-1)) return 0;
  const edits = distance(asked, word);
  if (/\d/.test(asked + word)) {
    if (longest < 5 || edits > 2) return 0;
    const sameNumber = asked.replaceAll(/\D/g, '') === word.replaceAll(/\D/g, '');
    return (sameNumber ? 0.65 : 0.45) - 0.15 * (edits - 1);
  }
  // Two letters in the wrong order are one mistake, though two edits.
  const swapped = edits === 2 && [...asked].sort().join() === [...word].sort().join();
  return swapped || edits === 1 ? 0.75 : edits === 2 && longest >= 6 ? 0.6 : 0;
}

const collator = new Intl.Collator('en', { numeric: true });

/** v2 before v10. */
export function byTitle(a: Device, b: Device): number {
  return collator.compare(a.title, b.title) || collator.compare(a.target, b.target) || collator.compare(a.profile, b.profile);
}

/** All devices that have something of the query, best first. */
export function rank(facts: DeviceFacts, query: string): Ranked[] {
  const { devices, vocabulary } = indexOf(facts);
  const scores = new Map<number, number>();
  let possible = 0;
  for (const asked of new Set(words(query))) {
    const best = new Map<number, number>();
    for (const [word, places] of vocabulary) {
      const alike = likeness(asked, word);
      if (alike === 0) continue;
      for (const [number, weight] of places) best.set(number, Math.max(alike * weight, best.get(number) ?? 0));
    }
    let highest = 0;
    for (const value of best.values()) highest = Math.max(highest, value);
    let holders = 0;
    for (const value of best.values()) if (value >= 0.8 * highest) holders += 1;
    const tells = Math.log(1 + devices.length / Math.max(1, holders)) * (speedClass.test(asked) ? speedClassWeight : 1);
    possible += tells;
    for (const [number, value] of best) scores.set(number, (scores.get(number) ?? 0) + tells * value);
  }
  return [...scores]
    .map(([number, sum]) => ({ device: devices[number] as Device, score: sum / possible }))
    .sort((a, b) => (Math.abs(a.score - b.score) > 1e-9 ? b.score - a.score : a.device.title.length - b.device.title.length || byTitle(a.device, b.device)));
}
