/** Computers that are made up, for `owimg flash` and `owimg doctor`. */
import { sameNetwork } from '../../src/flash/addresses.ts';
import type { Host, HostInterface } from '../../src/flash/host.ts';

/** A card with a cable in it, and no address. */
export const wired = (more: Partial<HostInterface> = {}): HostInterface => ({
  name: 'eth0',
  addresses: [],
  link: 'up',
  wireless: false,
  loopback: false,
  virtual: false,
  managedBy: undefined,
  gateway: undefined,
  ...more,
});

/** A computer with Linux on which everything may be done, and on whose cable nobody serves anything, unless something else is said. */
export function fakeHost({ cards = [wired()], ...host }: Partial<Host> & { readonly cards?: readonly HostInterface[] }): Host {
  return {
    platform: 'linux',
    interfaces: async () => cards,
    hasAddress: async (wanted) =>
      cards.some(({ addresses, loopback }) =>
        addresses.some(({ address, prefix }) => address === wanted || (loopback && sameNetwork(address, wanted, prefix))),
      ),
    mayBind: async () => 'yes',
    isTaken: async () => false,
    firewall: async () => (host.platform === undefined || host.platform === 'linux' ? { kind: 'none' } : { kind: 'unknown', see: undefined }),
    dhcpServers: async () => ({ servers: [], waited: 3500, thrownAway: false }),
    neighbours: async () => [],
    tftpServers: async () => [],
    ...host,
  };
}

/** One whose loopback is all that it has: for transfers within it. */
export const loopbackHost = (host: Partial<Host> = {}): Host =>
  fakeHost({ cards: [wired({ name: 'lo', loopback: true, addresses: [{ address: '127.0.0.1', prefix: 8 }] })], ...host });
