/** IPv4 and hardware addresses as people write them. Pure. */
import { hexBytes } from '../core/hex.ts';

/** `192.168.1.1` -> 32 bits; `undefined` for any other spelling. */
export function parseAddress(text: string): number | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  let value = 0;
  for (const part of parts) {
    // Leading zeros are octal to some programs and decimal to others.
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined;
    value = value * 256 + Number(part);
  }
  return value;
}

/** The reverse of {@link parseAddress}. */
export const addressText = (address: number): string => [24, 16, 8, 0].map((shift) => (address >>> shift) & 0xff).join('.');

/** `01:02:03:0a:0b:0c`. Taken with colons or dashes, as `0102.030a.0b0c`, and with nothing between the digits; `undefined` if it is no address of six bytes. */
export function macText(text: string): string | undefined {
  const digits = text.toLowerCase();
  if (!/^([0-9a-f]{2}[:-]){5}[0-9a-f]{2}$/.test(digits) && !/^[0-9a-f]{12}$/.test(digits) && !/^[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4}$/.test(digits))
    return undefined;
  return macOf(Uint8Array.from(digits.replaceAll(/[^0-9a-f]/g, '').match(/../g) ?? [], (pair) => Number.parseInt(pair, 16)));
}

/** Bytes as `01:02:03:0a:0b:0c`. */
export const macOf = (bytes: Uint8Array): string => hexBytes(bytes).replaceAll(/(..)(?!$)/g, '$1:');

/** The first and the last address of the network, which no device may have. */
export function networkEnds(address: number, mask: number): { readonly network: number; readonly broadcast: number } {
  return { network: (address & mask) >>> 0, broadcast: (address | ~mask) >>> 0 };
}

/** Whether a device may have the address in the network of another one. */
export function isHostBeside(address: number, neighbour: number, mask: number): boolean {
  const { network, broadcast } = networkEnds(neighbour, mask);
  return address !== neighbour && address > network && address < broadcast;
}

/** An address for the device: the next one behind ours, or the one in front of it where ours is the last. `undefined` in a network without room. */
export function neighbourOf(address: number, mask: number): number | undefined {
  return [address + 1, address - 1].find((candidate) => isHostBeside(candidate, address, mask));
}

/** Bits of the network -> its mask, in 32 bits. */
export const maskOf = (prefix: number): number => (prefix === 0 ? 0 : (0xffffffff << (32 - prefix)) >>> 0);

/** An address of ours, and its network; 32 bits each. */
export interface OwnAddress {
  readonly address: number;
  readonly netmask: number;
}

/**
 * By which of our addresses on an interface the device is served: the one that is wanted, the one beside the device's, or the first.
 *
 * @returns `undefined` where there is none, or the wanted one is not there
 */
export function ownAddressFor<T extends OwnAddress>(all: readonly T[], wanted: number | undefined, client: number | undefined): T | undefined {
  if (wanted !== undefined) return all.find(({ address }) => address === wanted);
  return all.find(({ address, netmask }) => client !== undefined && isHostBeside(client, address, netmask)) ?? all[0];
}
