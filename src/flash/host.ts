/** What is asked of the computer that sends. An interface, so that tests can give the answers; `system-host.ts` asks the real one. Types only. */

export type Platform = 'linux' | 'macos' | 'windows' | 'other';

export interface HostInterface {
  readonly name: string;
  /** IPv4 only: boot loaders know no other. On Linux also those of a card without a link, or switched off; elsewhere systems hide them. */
  readonly addresses: readonly { readonly address: string; readonly prefix: number }[];
  /** A cable with a living end; `undefined` where nobody can tell. */
  readonly link: 'up' | 'no-cable' | 'off' | undefined;
  readonly wireless: boolean;
  readonly loopback: boolean;
  /** No cable goes into it: a bridge, a tunnel, the end of a container. */
  readonly virtual: boolean;
  /** A program that takes addresses away when the cable is dead, as it is while a router restarts. */
  readonly managedBy: 'NetworkManager' | undefined;
  /** The way into the internet leads by this interface, over this address. */
  readonly gateway: string | undefined;
}

/** Why a port cannot be opened: the system's own word. */
export type BindAnswer = 'yes' | 'EACCES' | 'EADDRINUSE' | 'EADDRNOTAVAIL' | 'other';

/** A DHCP server that answered. */
export interface DhcpServer {
  readonly address: string;
  /** Where it sends devices for their file; `undefined` where it names nobody. */
  readonly nextServer: string | undefined;
}

export interface DhcpAnswers {
  readonly servers: readonly DhcpServer[];
  /** Milliseconds that were waited where none answered. */
  readonly waited: number;
  /** While it was asked the system threw a packet away because it came from an address of another network: it may have been an answer. */
  readonly thrownAway: boolean;
}

/** A machine on the same cable, in the tables of the system. */
export interface Neighbour {
  readonly address: string;
  /** `01:02:03:0a:0b:0c` */
  readonly mac: string;
}

/**
 * What keeps packets out. `ufw`, `firewalld`: these are on. `rules`: there are rules that drop or refuse something that comes in. `none`: the rules were
 * read, and there are none. `unknown`: they could not be read; `see` is the command that shows them, where there is one. On systems without such rules
 * `unknown` too.
 */
export type Firewall =
  | { readonly kind: 'ufw' }
  | { readonly kind: 'firewalld' }
  | { readonly kind: 'none' }
  | ({ readonly kind: 'rules' } & FilterRules)
  | { readonly kind: 'unknown'; readonly see: string | undefined };

/** The first chain that drops or refuses what comes in. */
export interface FilterRules {
  /** `iptables` also where nftables carries its rules out. */
  readonly by: 'nft' | 'iptables';
  /** As nft names it: family, table and chain, `inet filter input`. */
  readonly chain: string;
}

export interface Host {
  readonly platform: Platform;
  interfaces(): Promise<readonly HostInterface[]>;
  /** Whether this computer has the address, also where the system does not list it because its card has no link. */
  hasAddress(address: string): Promise<boolean>;
  /** @param address any local one without it */
  mayBind(port: number, address: string | undefined): Promise<BindAnswer>;
  /** Whether somebody on this computer listens on this UDP port; `undefined` where nobody can tell. */
  isTaken(port: number): Promise<boolean | undefined>;
  firewall(): Promise<Firewall>;
  /** Asks on the cable who gives addresses. No address is taken. @returns why it cannot ask otherwise */
  dhcpServers(card: string): Promise<DhcpAnswers | Exclude<BindAnswer, 'yes'>>;
  /** Whom the system has talked to by this card, now or not long ago; `undefined` where it does not tell. */
  neighbours(card: string): Promise<readonly Neighbour[] | undefined>;
  /** Asks each of these machines for a file that nobody has. @returns those that answered as a TFTP server does */
  tftpServers(addresses: readonly string[]): Promise<readonly string[]>;
}
