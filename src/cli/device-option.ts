/** `--device NAME`: one device or an error that says what to type. */
import { OwimgError } from '../core/errors.ts';
import type { Device, DeviceFacts } from '../devices/facts.ts';

export function findDeviceOrFail(facts: DeviceFacts, query: string): Device {
  const found = facts.devices.filter(({ profile, boards }) => profile === query || boards[0] === query);
  const [only] = found;
  if (only === undefined) throw new OwimgError('device-unknown', `Cannot find the device "${query}"`, 'owimg devices NAME searches for it.');
  return only;
}
