/** Names of kinds and states for people. */
import type { Inspection, Kind } from '../core/types.ts';

export const kindNames: Readonly<Record<Kind, string>> = {
  factory: 'factory image',
  sysupgrade: 'sysupgrade image',
  recovery: 'recovery image',
  initramfs: 'initramfs image (runs from RAM, stores nothing)',
  kernel: 'kernel without a root file system',
  rootfs: 'root file system without a kernel',
  bootloader: 'boot loader',
  disk: 'disk image',
  archive: 'archive of several files',
  unknown: 'file',
};

export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** What the status means, in a sentence that promises no more than was checked. */
export function statusSentence({ status, findings }: Inspection, checks: number): string {
  const errors = findings.filter((entry) => entry.severity === 'error').length;
  const warnings = findings.filter((entry) => entry.severity === 'warning').length;
  switch (status) {
    case 'broken':
      return `BROKEN: ${counted(errors, 'error')}`;
    case 'unknown':
      return 'NOT RECOGNISED: owimg cannot tell what this is';
    case 'doubtful':
      return `doubtful: ${counted(warnings, 'warning')}`;
    default:
      if (checks === 0) return 'well-formed; it has no checksum that could prove more';
      return checks === 1 ? 'well-formed: its only check passed' : `well-formed: all ${checks} checks passed`;
  }
}
