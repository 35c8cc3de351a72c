/** What can be seen of the device from here after the transfer. An interface, so that tests can play the device; `system-surroundings.ts` looks. Types only. */

export interface Answer {
  readonly ok: boolean;
  /** Standard output, or what was complained about. */
  readonly text: string;
}

export interface Surroundings {
  /** Milliseconds of any clock. */
  now(): number;
  /** Ends early when `signal` is aborted. */
  sleep(milliseconds: number, signal: AbortSignal): Promise<void>;
  /** The time to live of its answer, where the system shows it; `undefined` without an answer. */
  ping(address: string): Promise<{ readonly ttl: number | undefined } | undefined>;
  /** The network card by which the system would send to an address; `undefined` where nobody can tell, or nothing leads there. Sends nothing. */
  cardTo(address: string): Promise<string | undefined>;
  /** MAC, from the system's table of neighbours. @param card only what was seen by this card; by any without it */
  hardwareAddress(address: string, card: string | undefined): Promise<string | undefined>;
  /** Whether the network card has a link; `undefined` where nobody can tell. */
  hasLink(name: string): Promise<boolean | undefined>;
  /** The first line that a TCP port says by itself. */
  banner(address: string, port: number): Promise<string | undefined>;
  /** The beginning of its web page. */
  webPage(address: string): Promise<string | undefined>;
  /** Runs a command on the device as root, without a password. */
  ssh(address: string, command: string): Promise<Answer>;
}
