/**
 * A stretch of flash as it is: a kernel container at 0, a root file system at some alignment behind it, end
 * marks, and no header around them. The commonest sysupgrade image of all.
 *
 * There is nothing to detect: the engine calls a file this when several formats lie in it one after the
 * other. This entry holds what there is to say about it.
 */
import { type Format, region } from '../src/core/format.ts';

export const flashSlice: Format = {
  id: 'flash-slice',
  title: 'Flash slice',
  summary: 'A kernel, then a root file system, as they will lie in flash, without any header around them: what sysupgrade writes on most NOR devices.',
  role: 'wrapper',
  kind: 'sysupgrade',
  references: [
    {
      title: 'OpenWrt include/image-commands.mk (append-kernel, append-rootfs, pad-rootfs)',
      url: 'https://github.com/openwrt/openwrt/blob/3d1645ee/include/image-commands.mk',
    },
  ],
  limitations: ['Nothing in it says for which device or flash layout it is; only appended metadata does.'],

  detect: () => 'no',

  parse: (bytes) => ({
    length: bytes.length,
    fields: [],
    regions: [region('unknown', 'not walked', 0, bytes.length)],
    checks: [],
    findings: [],
    identities: [],
    payloads: [],
  }),
};
