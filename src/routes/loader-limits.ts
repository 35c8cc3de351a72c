/**
 * What boot loaders and vendor web pages take at most, whatever the partition holds: found out by people whose devices stopped booting.
 * Limits that OpenWrt's recipes know (KERNEL_SIZE, IMAGE_SIZE, the dictionary of LZMA) are taken from there.
 */

export interface Limit {
  /** Bytes. */
  readonly limit: number;
  readonly source: string;
}

const issue = (number: number): string => `https://github.com/openwrt/openwrt/issues/${number}`;

const hootooKernel: Limit = { limit: 1_572_864, source: issue(2645) };
// Behind these 6144 KiB and 1536 KiB the loader would write over its parameters, and then over itself.
const hootooRecovery: Limit = { limit: 7_864_320, source: issue(4410) };
const jboot: Limit = { limit: 2_097_152, source: issue(4249) };

/**
 * By profile. Holds where the loader itself reads the kernel: an OKLI image is read by a second loader, which has no such limit and has
 * been put in front of the kernel on these devices for just this reason.
 */
export const kernelLimits: Readonly<Record<string, Limit>> = {
  'dlink_dwr-116-a1': jboot,
  'dlink_dwr-118-a1': jboot,
  'dlink_dwr-118-a2': jboot,
  'dlink_dwr-921-c1': jboot,
  'dlink_dwr-921-c3': jboot,
  'dlink_dwr-922-e2': jboot,
  'hootoo_ht-tm05': hootooKernel,
  'lava_lr-25g001': jboot,
  'ravpower_rp-wd03': hootooKernel,
};

/** By profile: an image that is started from RAM. MR16: one byte less than what was seen to fail; Archer C7 v2: the largest that was seen to start. */
export const ramLimits: Readonly<Record<string, Limit>> = {
  meraki_mr16: { limit: 5_610_217, source: issue(11109) },
  'tplink_archer-c7-v2': { limit: 5_557_717, source: issue(19795) },
};

/** By profile: a file that the boot loader fetches and writes. */
export const recoveryLimits: Readonly<Record<string, Limit>> = {
  'hootoo_ht-tm05': hootooRecovery,
  'ravpower_rp-wd03': hootooRecovery,
};

const megabytes50: Limit = { limit: 52_428_800, source: 'https://github.com/Ysurac/openmptcprouter/issues/824' };

/** By profile: a file that the vendor's web page lets in. */
export const uploadLimits: Readonly<Record<string, Limit>> = {
  linksys_wrt3200acm: megabytes50,
  linksys_wrt32x: megabytes50,
};
