/** What a way of flashing would do with an image on a device. Types only. */
import type { Finding } from '../core/types.ts';

/**
 * - `stock`: the vendor's own web page.
 * - `sysupgrade`: LuCI or `sysupgrade` on a running OpenWrt.
 * - `mtd`: a raw write to the firmware partition: `mtd write`, U-Boot's `cp.b`.
 * - `tftp`: the boot loader's recovery, by TFTP or its own web page.
 * - `ram`: booted without being installed: U-Boot's `tftpboot` and `bootm`.
 * - `disk`: written to an SD card, a USB stick or a disk.
 */
export const routes = ['stock', 'sysupgrade', 'mtd', 'tftp', 'ram', 'disk'] as const;
export type Route = (typeof routes)[number];

/**
 * - `installs`: everything that this way looks at is as it wants it, and what is written is what boots there.
 * - `installs-without-settings`: the same, but the settings are lost or must be given up.
 * - `boots`: from RAM; nothing is stored.
 * - `refused`: the device says no before it writes anything.
 * - `bricks`: it would be written and not boot.
 * - `not-applicable`: this device or this image does not have that way.
 * - `unknown`: the facts do not suffice.
 */
export type Outcome = 'installs' | 'installs-without-settings' | 'boots' | 'refused' | 'bricks' | 'not-applicable' | 'unknown';

export interface Verdict {
  /** Profile of the device that it holds for. */
  readonly device: string;
  readonly route: Route;
  readonly outcome: Outcome;
  /** One sentence for people. */
  readonly reason: string;
  /** What was taken for granted, and what would change the outcome. */
  readonly assumes: readonly string[];
  readonly findings: readonly Finding[];
  /** What to type or do next. */
  readonly next: string;
}
