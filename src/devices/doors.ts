/** Through which door a device takes which file, as far as the facts tell. */
import type { Route } from '../routes/verdict.ts';
import type { Device, DeviceImage, ImageRole } from './facts.ts';

const routesOfRole: Readonly<Record<ImageRole, readonly Route[]>> = {
  sysupgrade: ['sysupgrade'],
  factory: ['stock'],
  both: ['stock', 'sysupgrade'],
  recovery: ['tftp'],
  'factory-initramfs': ['stock'],
  disk: ['disk'],
  part: [],
  'bootloader/other': [],
  other: [],
};

function madeFor({ role, name, steps }: DeviceImage): readonly Route[] {
  // No vendor's upgrade takes the bare blocks of UBI.
  if (role === 'factory' && name.endsWith('.ubi')) return ['mtd'];
  // Only sysupgrade reads the metadata; where it is behind the image of a whole disk, both ways are meant.
  if (role === 'disk' && steps.some((step) => step.startsWith('append-metadata'))) return ['disk', 'sysupgrade'];
  if (role === 'sysupgrade' && name.endsWith('.img.gz')) return ['sysupgrade', 'disk'];
  return routesOfRole[role];
}

/** The ways of flashing that an image is made for; empty if it is of no use alone, or nothing is known. */
export function imageRoutes(device: Device, image: DeviceImage): Route[] {
  // A commit that tells how the loader itself fetches or takes this kind of file.
  const kind = image.role === 'both' ? 'factory' : image.role;
  const told = device.recovery.some(({ mode, imageKind }) => mode !== 'uboot-console' && imageKind === kind);
  return [...new Set<Route>([...madeFor(image), ...(told ? (['tftp'] as const) : [])])];
}
