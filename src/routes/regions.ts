/** The country or region that a vendor's image is for, as its header says it, against the one that the device was sold in. */
import type { Finding, Layer } from '../core/types.ts';
import type { Subject } from './subject.ts';

/** TP-Link writes two letters as their codes: 45550000 is EU. */
const tplinkCode = (region: string): string =>
  [...region]
    .map((letter) => letter.charCodeAt(0).toString(16))
    .join('')
    .padEnd(8, '0')
    .toUpperCase();

const tplinkLetters = (code: string): string => String.fromCharCode(Number.parseInt(code.slice(0, 2), 16), Number.parseInt(code.slice(2, 4), 16));

/** `US`; devices that are sold everywhere have a code of their own. */
const regionName = (code: string): string => (/^0+$/.test(code) ? 'anywhere' : tplinkLetters(code));

const texts = (layer: Layer, name: string): string[] => [layer.fields.find((field) => field.name === name)?.value ?? []].flat().map(String);

/** Of CHK: 1 the world, 2 North America. */
const chkRegions: Readonly<Record<string, readonly string[]>> = { '1': ['WW'], '2': ['NA', 'US', 'CA'] };

/** The regions that the header names, and where; `undefined` if it says nothing of regions. */
function regionsOf(layer: Layer): { readonly regions: readonly string[]; readonly field: string } | undefined {
  const codes = (text: string): string[] => [...text.matchAll(/\b[0-9a-f]{8}\b/gi)].map(([code]) => regionName(code));
  switch (layer.format) {
    case 'tplink-v1': {
      const regions = texts(layer, 'regionText1').flatMap(codes);
      return regions.length === 0 ? undefined : { regions, field: 'regionText1' };
    }
    case 'tplink-safeloader': {
      const lines = texts(layer, 'supportList');
      // Older lists have the letters in place of the code: CPE210(TP-LINK|EU|N300-2):1.1
      const regions = lines.flatMap((line) => (codes(line).length > 0 ? codes(line) : [/\|([A-Z]{2})\|/.exec(line)?.[1] ?? []].flat()));
      return regions.length === 0 ? undefined : { regions, field: 'supportList' };
    }
    case 'netgear-chk': {
      const regions = texts(layer, 'region').flatMap((value) => chkRegions[value] ?? []);
      return regions.length === 0 ? undefined : { regions, field: 'region' };
    }
    case 'netgear-dni': {
      const regions = texts(layer, 'region').filter((value) => value !== '');
      return regions.length === 0 ? undefined : { regions, field: 'region' };
    }
  }
  return undefined;
}

/** A finding if the image is for other regions than the device (`--region`). */
export function regionFindings(subject: Subject): Finding[] {
  const { region } = subject.running;
  const named = regionsOf(subject.root);
  if (region === undefined || named === undefined) return [];
  const wanted = region.toUpperCase();
  if (named.regions.includes(wanted)) return [];
  const field = subject.root.fields.find(({ name }) => name === named.field);
  const place = { offset: field?.offset ?? 0, length: field?.length ?? 0 };
  const code = subject.root.format.startsWith('tplink') ? `${wanted} (${tplinkCode(wanted)})` : wanted;
  return [subject.finding('region-mismatch', place, { wanted: code, regions: [...new Set(named.regions)].join(', ') })];
}

/** What is taken for granted of the region where it was not told and the header does name some. */
export function regionAssumptions(subject: Subject): string[] {
  const named = regionsOf(subject.root);
  if (named === undefined || subject.running.region !== undefined) return [];
  return [`the device was sold for one of these regions: ${[...new Set(named.regions)].join(', ')}; --region XX tells which`];
}
