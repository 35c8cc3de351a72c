/**
 * The tail of Arcadyan's MediaTek images: 1 KiB of zeros with "HDR0" in it, behind a TRX with a magic number of
 * its own. Their boot loader looks for these four letters in front of the root file system; nothing else is in it.
 *
 * Writer: OpenWrt target/linux/ramips/image/mt7621.mk (arcadyan-trx).
 */

import { standsAt } from '../src/core/bytes.ts';
import { type Format, region } from '../src/core/format.ts';
import { toBytes } from '../src/core/hex.ts';
import { runLength } from '../src/core/padding.ts';

const length = 1024;
const letters = toBytes('HDR0');
const lettersAt = 0x10c;

export const arcadyanTail: Format = {
  id: 'arcadyan-tail',
  title: 'Arcadyan tail',
  summary: 'A block of zeros with "HDR0" in it, which the boot loader of Arcadyan devices wants behind the kernel.',
  role: 'mark',
  kind: 'unknown',
  references: [
    { title: 'OpenWrt target/linux/ramips/image/mt7621.mk', url: 'https://github.com/openwrt/openwrt/blob/3d1645ee/target/linux/ramips/image/mt7621.mk' },
  ],
  limitations: [],

  detect(bytes) {
    if (bytes.length < length || !standsAt(bytes, lettersAt, letters)) return 'no';
    const behind = lettersAt + letters.length;
    const zeros = runLength(bytes.subarray(0, lettersAt)) === lettersAt && runLength(bytes.subarray(behind, length)) === length - behind;
    return zeros && bytes[0] === 0 && bytes[behind] === 0 ? 'yes' : 'no';
  },

  parse: () => ({
    length,
    summary: 'Arcadyan tail',
    fields: [{ name: 'magic', offset: lettersAt, length: letters.length, value: 'HDR0' }],
    regions: [
      region('padding', 'zeros', 0, lettersAt),
      region('header', 'HDR0', lettersAt, letters.length),
      region('padding', 'zeros', lettersAt + letters.length, length - lettersAt - letters.length),
    ],
    checks: [],
    findings: [],
    identities: [],
    payloads: [],
  }),
};
