/**
 * End-of-filesystem marks: DE AD C0 DE at erase-block boundaries behind a root file system. OpenWrt finds the
 * first one and begins its writable file system there; what lies between two marks is filler.
 *
 * Writer: OpenWrt tools/padjffs2.
 */
import { type Format, region } from '../src/core/format.ts';
import { paddingLength } from '../src/core/padding.ts';
import type { Field, Region } from '../src/core/types.ts';

const mark = [0xde, 0xad, 0xc0, 0xde];
const begins = (bytes: Uint8Array, offset: number): boolean => mark.every((byte, index) => bytes[offset + index] === byte);

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

  detect: (bytes) => (begins(bytes, 0) ? 'yes' : 'no'),

  parse(bytes) {
    const fields: Field[] = [];
    const regions: Region[] = [];
    let end = 0;
    // One layer for all marks of a series: padjffs2 writes one for every erase-block size it is asked for.
    for (let position = 0; begins(bytes, position); ) {
      if (position > end) regions.push(region('padding', 'between two marks', end, position - end));
      fields.push({ name: `mark${fields.length}`, offset: position, length: 4, value: 'deadc0de' });
      regions.push(region('header', 'mark', position, 4));
      end = position + 4;
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
