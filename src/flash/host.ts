/** What is asked of the computer that sends. An interface, so that tests can give the answers; `system-host.ts` asks the real one. Types only. */

export type Platform = 'linux' | 'macos' | 'windows' | 'other';

export interface HostInterface {
  readonly name: string;
  /** IPv4 only: boot loaders know no other. */
  readonly addresses: readonly { readonly address: string; readonly prefix: number }[];
  /** A cable with a living end; `undefined` where nobody can tell. */
  readonly link: 'up' | 'no-cable' | 'off' | undefined;
  readonly wireless: boolean;
  readonly loopback: boolean;
  /** A program that takes addresses away when the cable is dead, as it is while a router restarts. */
  readonly managedBy: 'NetworkManager' | undefined;
  /** The way into the internet leads by this interface, over this address. */
  readonly gateway: string | undefined;
}

/** Why a port cannot be opened: the system's own word. */
export type BindAnswer = 'yes' | 'EACCES' | 'EADDRINUSE' | 'EADDRNOTAVAIL' | 'other';

export interface Host {
  readonly platform: Platform;
  interfaces(): Promise<readonly HostInterface[]>;
  /** @param address any local one without it */
  mayBind(port: number, address: string | undefined): Promise<BindAnswer>;
  /** Whether somebody on this computer listens on this UDP port; `undefined` where nobody can tell. */
  isTaken(port: number): Promise<boolean | undefined>;
  /** The firewall that is switched on; `undefined` where none is seen, which does not prove that there is none. */
  firewall(): Promise<'ufw' | 'firewalld' | undefined>;
}
