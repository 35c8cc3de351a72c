/**
 * End-of-filesystem marks at erase-block boundaries behind a root file system. OpenWrt finds the first
 * DE AD C0 DE and begins its writable file system there. Boot loaders that read a JFFS2 file system at the start
 * of their flash get a JFFS2 padding node instead, of 64 MiB in either byte order, so that they skip all the rest.
 * What lies between two marks is filler.
 *
 * Writer: OpenWrt tools/padjffs2 (`-J`, `-j` for the padding nodes).
 */

import { standsAt } from '../src/core/bytes.ts';
import { type Format, region } from '../src/core/format.ts';
import { fromHex } from '../src/core/hex.ts';
import { paddingLength } from '../src/core/padding.ts';
import type { Field, Region } from '../src/core/types.ts';

const marks: readonly { readonly name: string; readonly bytes: Uint8Array }[] = [
  { name: 'deadc0de', bytes: fromHex('deadc0de') },
  { name: 'JFFS2 padding node, big endian', bytes: fromHex('19852004 04000000 c494dbf4') },
  { name: 'JFFS2 padding node, little endian', bytes: fromHex('85190420 00000004 a8fba0b4') },
];

/** Marks in one layer: padjffs2 writes one for each of a few erase-block sizes. */
const mostMarks = 64;

const markAt = (bytes: Uint8Array, offset: number) => marks.find((mark) => standsAt(bytes, offset, mark.bytes));

export const eofMark: Format = {
  id: 'eof-mark',
  title: 'End-of-filesystem mark',
  summary: 'DE AD C0 DE behind a root file system: here OpenWrt begins its writable JFFS2 overlay.',
  role: 'mark',
  kind: 'unknown',
  references: [{ title: 'OpenWrt tools/padjffs2', url: 'https://github.com/openwrt/openwrt/blob/3d1645ee/tools/padjffs2/src/padjffs2.c' }],
  limitations: [],
  // The smallest erase block of NOR flash; padjffs2 writes marks at multiples of the sizes it is told.
  alignment: 4096,

  detect: (bytes) => (markAt(bytes, 0) === undefined ? 'no' : 'yes'),

  parse(bytes) {
    const fields: Field[] = [];
    const regions: Region[] = [];
    let end = 0;
    // One layer for all marks of a series.
    for (let position = 0, mark = markAt(bytes, 0); mark !== undefined && fields.length < mostMarks; mark = markAt(bytes, position)) {
      const { length } = mark.bytes;
      if (position > end) regions.push(region('padding', 'between two marks', end, position - end));
      fields.push({ name: `mark${fields.length}`, offset: position, length, value: mark.name });
      regions.push(region('header', 'mark', position, length));
      end = position + length;
      position = end + paddingLength(bytes.subarray(end));
    }
    return {
      length: end,
      summary: `end-of-filesystem mark${fields.length > 1 ? `, ${fields.length} times` : ''}`,
      fields,
      regions,
      checks: [],
      findings: [],
      identities: [],
      payloads: [],
    };
  },
};
