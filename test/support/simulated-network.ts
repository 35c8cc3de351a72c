/** A network and a clock that a test has in its hand: packets get lost, come twice, late and in another order, and hours pass in no time. */
import type { Peer } from '../../src/tftp/client.ts';

export interface Conditions {
  /** Of 100 packets so many are lost. */
  readonly loss: number;
  /** Of 100 packets so many come twice. */
  readonly duplicates: number;
  /** Milliseconds, from and to; packets overtake each other where these differ. */
  readonly delay: readonly [number, number];
}

export const perfect: Conditions = { loss: 0, duplicates: 0, delay: [0, 0] };

/** Something with a clock. */
export interface Machine {
  readonly deadline: number;
  tick(now: number): void;
}

type Handler = (bytes: Uint8Array, from: Peer) => void;

export interface Sent {
  readonly at: number;
  readonly from: Peer;
  readonly to: Peer;
  readonly bytes: Uint8Array;
}

const key = ({ address, port }: Peer): string => `${address}|${port}`;

export class SimulatedNetwork {
  now = 0;
  conditions: Conditions;
  readonly #random: (below: number) => number;
  readonly #events: { readonly at: number; readonly run: () => void }[] = [];
  readonly #handlers = new Map<string, Handler>();
  readonly #machines = new Set<Machine>();
  /** All that was handed to the network, also what it lost. */
  readonly sent: Sent[] = [];
  /** Says of a packet that it is lost; beside the conditions. */
  lose: (packet: Sent) => boolean = () => false;

  constructor(random: (below: number) => number, conditions: Conditions = perfect) {
    this.#random = random;
    this.conditions = conditions;
  }

  listen(at: Peer, handler: Handler): void {
    this.#handlers.set(key(at), handler);
  }

  close(at: Peer): void {
    this.#handlers.delete(key(at));
  }

  add(machine: Machine): void {
    this.#machines.add(machine);
  }

  remove(machine: Machine): void {
    this.#machines.delete(machine);
  }

  at(time: number, run: () => void): void {
    let index = this.#events.length;
    while (index > 0 && (this.#events[index - 1] as { at: number }).at > time) index -= 1;
    this.#events.splice(index, 0, { at: time, run });
  }

  send(bytes: Uint8Array, from: Peer, to: Peer): void {
    const packet = { at: this.now, from, to, bytes: bytes.slice() };
    this.sent.push(packet);
    const { loss, duplicates, delay } = this.conditions;
    const copies = this.lose(packet) || this.#random(100) < loss ? 0 : this.#random(100) < duplicates ? 2 : 1;
    for (let copy = 0; copy < copies; copy += 1) {
      const late = delay[0] + (delay[1] > delay[0] ? this.#random(delay[1] - delay[0] + 1) : 0);
      this.at(this.now + late, () => this.#handlers.get(key(to))?.(packet.bytes.slice(), from));
    }
  }

  /** Lets time pass until `done`, or `limit` milliseconds are over. @returns whether it was done */
  run(done: () => boolean, limit = 10 * 60_000): boolean {
    const end = this.now + limit;
    for (let steps = 0; !done(); steps += 1) {
      if (steps > 2_000_000) throw new Error('the machines send without an end');
      let next = this.#events[0]?.at ?? Number.POSITIVE_INFINITY;
      for (const machine of this.#machines) next = Math.min(next, machine.deadline);
      if (next > end) {
        this.now = Math.max(this.now, end);
        return done();
      }
      this.now = Math.max(this.now, next);
      const event = this.#events[0];
      if (event !== undefined && event.at <= this.now) {
        this.#events.shift();
        event.run();
      }
      for (const machine of [...this.#machines]) if (machine.deadline <= this.now) machine.tick(this.now);
    }
    return true;
  }
}
