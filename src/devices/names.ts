/** What a person may call a device: titles taken apart, so that case, punctuation and blanks do not matter. */
import type { Device } from './facts.ts';

/**
 * The words of a name. `rev. B1` and `B1` are the same, so are `ver 2` and `v2`; a plus is a word, because it is another device.
 *
 * @example
 * words('D-Link DIR-825 rev. B1') //=> ['d', 'link', 'dir', '825', 'b1']
 */
export function words(text: string): string[] {
  const plain = text
    .normalize('NFKD')
    .toLowerCase()
    .replaceAll(/(?<=[a-z0-9])\+/g, ' plus ')
    .replaceAll(/\b(?:version|ver|v)[ .]*(?=\d)/g, 'v')
    .replaceAll(/\brev(?:ision)?\b[ .]*(?=[a-z]?\d|[a-z]\b)/g, ' ');
  return plain.match(/[a-z0-9]+/g) ?? [];
}

/**
 * Words written as one: where a blank stands does not matter, but two numbers are never made one.
 *
 * @example
 * joined(['archer', 'c7', 'v5']) //=> 'archerc7v5'
 * joined(['pi', '4', '400']) //=> 'pi4 400'
 */
export function joined(parts: readonly string[]): string {
  return parts.join(' ').replaceAll(/ (?!(?<=\d )\d)/g, '');
}

/** `EX3700/EX3800` stands for two names: the second alone, or the second in place of the end of the first (`N/ND`, `v1/v2`, `E5/E7`). */
function inPlaceOfEnd(first: string, other: string): string {
  const shape = (text: string): string => text.replaceAll(/[a-z]/gi, 'a').replaceAll(/\d/g, '0');
  if (first.length > other.length && shape(first).endsWith(shape(other))) return first.slice(0, first.length - other.length) + other;
  return /^[a-z]{1,2}$/i.test(other) && /[a-z]$/i.test(first) ? first.replace(/[a-z]+$/i, other) : other;
}

/** The names that a title with slashes stands for: `TL-WR841N/ND v9` is `TL-WR841N v9` and `TL-WR841ND v9`. */
function withoutSlashes(title: string): string[] {
  let made: string[][] = [[]];
  for (const word of title.split(' ')) {
    const [first = '', ...others] = word.split('/').filter((part) => part !== '');
    const choices = others.length === 0 ? [word] : [first, ...others.map((other) => inPlaceOfEnd(first, other))];
    made = made.flatMap((start) => choices.map((choice) => [...start, choice]));
  }
  return made.map((parts) => parts.join(' '));
}

/** A title without its maker's name, which may be of several words: as many as the profile's first part has, or one. */
function withoutVendor(title: string, profile: string): string {
  const parts = title.split(' ');
  const vendor = joined(words(profile.split('_')[0] ?? ''));
  const count = parts.findIndex((_, index) => joined(words(parts.slice(0, index + 1).join(' '))) === vendor) + 1;
  return parts.slice(Math.max(1, count)).join(' ');
}

/** What the device may be called in full, the most exact spelling first. */
export interface Titles {
  readonly full: readonly string[];
  readonly withoutVendor: readonly string[];
  /** Both again, where a title with slashes stands for several names. */
  readonly eachOfSeveral: readonly string[];
}

export function titlesOf({ title, otherTitles, profile }: Device): Titles {
  const full = [title, ...otherTitles];
  const short = (titles: readonly string[]): string[] => titles.map((text) => withoutVendor(text, profile)).filter((text) => text !== '');
  const several = full.filter((text) => text.includes('/')).flatMap(withoutSlashes);
  return { full, withoutVendor: short(full), eachOfSeveral: [...several, ...short(several)] };
}
