/** IPv4 addresses as numbers, and which network they are in. Pure. */

/** `undefined` for what is no IPv4 address. */
export function addressNumber(address: string): number | undefined {
  const parts = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(address)?.slice(1).map(Number);
  if (parts === undefined || parts.some((part) => part > 255)) return undefined;
  return parts.reduce((number, part) => number * 256 + part, 0);
}

/** @param prefix bits of the network */
export function sameNetwork(a: string, b: string, prefix: number): boolean {
  const [first, second] = [addressNumber(a), addressNumber(b)];
  if (first === undefined || second === undefined) return false;
  const size = 2 ** (32 - prefix);
  return Math.floor(first / size) === Math.floor(second / size);
}

/** An address beside that of the device, for a computer that may have any. */
export function addressBeside(device: string): string | undefined {
  const number = addressNumber(device);
  if (number === undefined) return undefined;
  const network = device.split('.').slice(0, 3).join('.');
  return number % 256 === 10 ? `${network}.11` : `${network}.10`;
}

/** Whom an address stands for that no single device may have (RFC 6890, RFC 4291); `undefined` for others. */
export function notOneDevice(address: string): string | undefined {
  if (address.includes(':')) {
    if (address === '::') return 'it stands for no device';
    return /^ff/i.test(address) ? 'it stands for a group of devices' : undefined;
  }
  const [first = 0] = address.split('.').map(Number);
  if (first === 0) return 'it stands for no device';
  if (address === '255.255.255.255') return 'it stands for everybody on the network';
  if (first >= 224) return first < 240 ? 'it stands for a group of devices' : 'no device has such an address';
  return undefined;
}
