/** The device facts that come with owimg, unpacked when they are first asked for. */
import { inflateRaw } from '#platform';
import type { DeviceFacts } from './facts.ts';

let loading: Promise<DeviceFacts> | undefined;

/** The facts of all devices. Kept: a second call costs nothing. */
export function loadDeviceFacts(): Promise<DeviceFacts> {
  loading ??= unpack();
  return loading;
}

async function unpack(): Promise<DeviceFacts> {
  const { packed, unpackedLength } = await import('./data/facts.ts');
  const text = atob(packed);
  const bytes = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
  const unpacked = inflateRaw(bytes, unpackedLength);
  if (!unpacked.ok) throw new Error(`The device facts in this package are damaged: ${unpacked.reason}. Install owimg again.`);
  return JSON.parse(new TextDecoder().decode(unpacked.bytes)) as DeviceFacts;
}
