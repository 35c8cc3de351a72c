/** Boot loaders that read only so many bytes of a kernel, whatever the partition holds. */

interface Limit {
  /** Bytes. */
  readonly limit: number;
  readonly source: string;
}

const hootoo: Limit = { limit: 1_572_864, source: 'https://github.com/openwrt/openwrt/issues/2645' };

/** By profile. */
export const kernelLimits: Readonly<Record<string, Limit>> = {
  'hootoo_ht-tm05': hootoo,
};
