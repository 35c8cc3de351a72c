/** `--device` of the commands. */
import type { Device, DeviceFacts } from '../devices/facts.ts';

/** @throws OwimgError `device-unknown`, `device-ambiguous` */
export async function namedDevice(facts: DeviceFacts, name: string): Promise<Device> {
  const { findDevice, lookupError } = await import('../devices/lookup.ts');
  const lookup = findDevice(facts, name);
  if (lookup.outcome !== 'found') throw lookupError(facts, name, lookup);
  return lookup.device;
}
