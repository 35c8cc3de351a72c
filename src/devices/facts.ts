/**
 * What OpenWrt knows of the devices it builds images for: names, sizes, the recipe of every image, how a device is
 * recovered. Types only; `load.ts` has the data, `scripts/facts.ts` makes it.
 */
import type { RecipeDevice, SafeloaderBoard } from '../core/recipe-step.ts';

export type { DeviceSizes, SafeloaderBoard } from '../core/recipe-step.ts';

/** What an image in a recipe is for. `both`: the vendor's upgrade takes it and so does sysupgrade. `part`: of no use alone. */
export type ImageRole = 'sysupgrade' | 'factory' | 'both' | 'recovery' | 'factory-initramfs' | 'disk' | 'part' | 'bootloader/other' | 'other';

/** One image that OpenWrt builds for a device. */
export interface DeviceImage {
  /** As in the file's name, behind the file system: `sysupgrade.bin`. */
  readonly name: string;
  readonly role: ImageRole;
  /** Root file system, `null` for images that do not depend on one. */
  readonly fs: string | null;
  /** The evaluated steps of its recipe: `append-kernel`, `pad-to 64k`. */
  readonly steps: readonly string[];
  /**
   * The command lines of the image tools that a full build runs for it. Files are `@OUT@` (what was made so far), `@KERNEL@` and
   * `@ROOTFS@`, what differs from build to build `@REVISION@` (`r12345-abcdef`) and `@REVISION_NUMBER@` (`r12345`). Where they differ from
   * what the steps and variables say, a variable of another device has leaked into the recipe, and the published images are made like this.
   */
  readonly commands?: readonly (readonly string[])[];
  /** The directory in a sysupgrade tar. */
  readonly tarDirectory?: string;
}

/** How a boot loader gets an image over the network, as told in a commit message of OpenWrt, or by the environment of a U-Boot that it builds. */
export interface Recovery {
  /** `uboot-console`: typed by a person at the serial console. */
  readonly mode: 'uboot-console' | 'router-is-client' | 'router-is-server' | 'bootp';
  readonly routerAddress?: string;
  readonly hostAddress?: string;
  readonly fileName?: string;
  /** Whether the loader asks for exactly this name, or it was only an example. */
  readonly fileNameRequired?: boolean;
  /** What makes the loader do it: `hold reset while powering on`. */
  readonly trigger?: string;
  readonly imageKind?: 'initramfs' | 'factory' | 'sysupgrade' | 'stock' | 'recovery' | 'kernel';
  readonly purpose: 'install' | 'recovery' | 'return-to-stock';
  /** The commit in OpenWrt's history. */
  readonly commit: string;
  /** It holds for the U-Boot that OpenWrt builds, not for the vendor's. */
  readonly openwrtLoader?: true;
}

/** One device profile of OpenWrt. */
export interface Device extends RecipeDevice {
  readonly title: string;
  /** Other names under which the same hardware is sold. */
  readonly otherTitles: readonly string[];
  readonly soc?: string;
  /** The device tree source; profiles may share one. */
  readonly dts?: string;
  /** The steps that make the kernel of its images; empty if there is none. */
  readonly kernel: readonly string[];
  /** The steps that make its initramfs image; empty if there is none. */
  readonly initramfs: readonly string[];
  readonly images: readonly DeviceImage[];
  readonly recovery: readonly Recovery[];
}

export interface DeviceFacts {
  /** The commit of OpenWrt that the devices are from. */
  readonly source: string;
  readonly devices: readonly Device[];
  readonly safeloaderBoards: readonly SafeloaderBoard[];
}
