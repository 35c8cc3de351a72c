/** The side that takes data: blocks in order, each once, whatever the network does to them. Knows no sockets, no clock, no request. */
import type { Terms } from './options.ts';
import { type Pace, Waiting } from './pace.ts';
import { ackPacket } from './packets.ts';
import { wireNumber } from './sending.ts';

export type ReceivingState = 'running' | 'complete' | 'silent' | 'too-long' | 'other-size';

/** A gap in a window may be a packet that was overtaken: so long its place is kept before it is asked for again. */
const gapWait = 10;

export class Receiving {
  readonly #terms: Terms;
  readonly #deliver: (data: Uint8Array) => void;
  readonly #emit: (packet: Uint8Array) => void;
  readonly #waiting: Waiting;
  /** Blocks of this window that came in order; kept as soon as it is over. */
  readonly #taken: Uint8Array[] = [];
  /** Blocks of this window that came before their turn. */
  readonly #early = new Map<number, Uint8Array>();
  #rollover: 0 | 1;
  /** Block that has to come next. */
  #expected = 1;
  /** The block that was acknowledged last. */
  #acknowledged = 0;
  /** When a repeated acknowledgement is due because of a gap or of repeated data. */
  #askAgain = Number.POSITIVE_INFINITY;
  /** Nothing is asked for twice before this. */
  #askedAgain = Number.NEGATIVE_INFINITY;
  bytes = 0;
  /** Acknowledgements that had to be repeated. */
  retransmissions = 0;
  state: ReceivingState = 'running';

  constructor(terms: Terms, pace: Pace, deliver: (data: Uint8Array) => void, emit: (packet: Uint8Array) => void, now: number) {
    this.#terms = terms;
    this.#rollover = terms.rollover;
    this.#deliver = deliver;
    this.#emit = emit;
    this.#waiting = new Waiting(pace, now);
  }

  get blocks(): number {
    return this.#expected - 1;
  }

  get deadline(): number {
    return this.state === 'running' ? Math.min(this.#waiting.due, this.#waiting.end, this.#askAgain) : Number.POSITIVE_INFINITY;
  }

  /** Block 65536, which not every server can number. */
  get atRollover(): boolean {
    return this.#expected === 65536;
  }

  /** Acknowledges the server's options. */
  start(now: number): void {
    this.#waiting.progress(now);
    this.#acknowledge();
  }

  /** @param number as it stands in the packet */
  data(number: number, data: Uint8Array, now: number): 'progress' | 'ignored' {
    if (this.state === 'complete') {
      // The last acknowledgement was lost.
      if (number === wireNumber(this.#expected - 1, this.#rollover)) this.#repeat();
      return 'ignored';
    }
    if (this.state !== 'running') return 'ignored';
    if (data.length > this.#terms.blockSize) {
      this.state = 'too-long';
      return 'ignored';
    }
    let wanted = wireNumber(this.#expected, this.#rollover);
    // A server that goes on with 1 behind 65535. In a window it could as well be the block behind one that was lost.
    if (number === 1 && wanted === 0 && this.#expected === 65536 && this.#terms.windowSize === 1) {
      this.#rollover = 1;
      wanted = 1;
    }
    if (number === wanted) {
      this.#take(data, now);
      return 'progress';
    }
    const ring = this.#rollover === 0 ? 0x10000 : 0xffff;
    const ahead = (number - wanted + ring) % ring;
    const windowEnd = this.#acknowledged + this.#terms.windowSize;
    if (this.#expected + ahead <= windowEnd) {
      this.#early.set(this.#expected + ahead, data);
      // The window is over: the other side waits for us now.
      this.#askFor(this.#expected + ahead === windowEnd || data.length < this.#terms.blockSize ? now : now + gapWait, now);
    } else if (number === wireNumber(this.#expected - 1, this.#rollover) && this.#expected > 1) {
      // What we have already: our acknowledgement was lost. Of a window more may follow, so that one answer is enough.
      if (this.#terms.windowSize === 1) this.#repeat();
      else this.#askFor(now + gapWait, now);
    }
    return 'ignored';
  }

  /** To be called when `deadline` has come. */
  tick(now: number): void {
    if (this.state !== 'running') return;
    if (now >= this.#waiting.end) {
      this.state = 'silent';
      return;
    }
    if (now >= this.#askAgain) {
      this.#ask(now);
    }
    if (now >= this.#waiting.due) {
      this.#waiting.repeated(now);
      this.#ask(now);
    }
  }

  #take(data: Uint8Array, now: number): void {
    this.#waiting.progress(now);
    this.#askAgain = Number.POSITIVE_INFINITY;
    for (let next: Uint8Array | undefined = data; next !== undefined; ) {
      this.#taken.push(next);
      this.bytes += next.length;
      this.#expected += 1;
      if (next.length < this.#terms.blockSize) {
        this.#finish();
        return;
      }
      if (this.#early.size === 0) break;
      next = this.#early.get(this.#expected);
      this.#early.delete(this.#expected);
    }
    if (this.#expected - 1 - this.#acknowledged >= this.#terms.windowSize) {
      // The other side goes on while these blocks are kept; only of the last one it has to be sure.
      this.#acknowledge();
      this.#keep();
    } else if (this.#early.size > 0) this.#askFor(now + gapWait, now);
  }

  #finish(): void {
    this.#early.clear();
    this.#keep();
    this.#acknowledge();
    const { transferSize } = this.#terms;
    this.state = transferSize !== undefined && transferSize !== this.bytes ? 'other-size' : 'complete';
  }

  #keep(): void {
    for (const block of this.#taken) this.#deliver(block);
    this.#taken.length = 0;
  }

  #acknowledge(): void {
    this.#acknowledged = this.#expected - 1;
    this.#emit(ackPacket(wireNumber(this.#acknowledged, this.#rollover)));
  }

  #repeat(): void {
    this.retransmissions += 1;
    this.#acknowledge();
  }

  #askFor(when: number, now: number): void {
    // One question at a time: every one makes the other side send the whole window again.
    const earliest = Math.max(when, this.#askedAgain + 2 * gapWait);
    if (earliest <= now) this.#ask(now);
    else if (earliest < this.#askAgain) this.#askAgain = earliest;
  }

  #ask(now: number): void {
    this.#askAgain = Number.POSITIVE_INFINITY;
    this.#askedAgain = now;
    // The window begins anew behind what is acknowledged; what came early is kept within it.
    this.#repeat();
  }
}
