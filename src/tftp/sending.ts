/** The side that sends data: blocks and windows, numbers that roll over, repetitions. Knows no sockets, no clock, no request. */
import type { Terms } from './options.ts';
import { type Pace, Waiting } from './pace.ts';
import { dataPacket } from './packets.ts';

/** What is sent. */
export interface Source {
  readonly length: number;
  /** A view of the bytes; within `length`. */
  read(offset: number, length: number): Uint8Array;
  /** Why what is sent is no longer what was meant (the file has changed); `undefined` while it is. */
  changed?(): string | undefined;
}

export const bytesSource = (bytes: Uint8Array, changed?: () => string | undefined): Source => ({
  length: bytes.length,
  read: (offset, length) => bytes.subarray(offset, offset + length),
  ...(changed === undefined ? {} : { changed }),
});

/** `unconfirmed`: all was sent, and only the last acknowledgement is missing: a loader that starts to write at once never sends it. */
export type SendingState = 'running' | 'complete' | 'unconfirmed' | 'silent' | 'changed';

/** So often what is sent is compared with what was meant, in bytes. */
const compareEvery = 4 * 1024 * 1024;

/** A window is not begun anew for the sake of a repeated acknowledgement sooner than this: it may have been on its way for some time. */
const restartAfter = 20;

/** An answer is not waited for longer than this before the block is repeated, however slow the path seems. */
const longestAnswer = 2000;

/** From the beginning of a burst to the next one, in milliseconds: what a small receive buffer needs to be emptied. Doubles with every loss, for slow receivers. */
const burstPause = 0.25;
const longestPause = 2;
/** What is left of a long pause after each window that arrives whole. */
const shorterPause = 0.97;

/** Shorter bursts gain nothing: then it is the network that loses. */
const leastBurst = 4;

/** So many windows arrive whole before a longer burst than the one that was lost is tried; twice as many each time that it is lost again. */
const probeAfter = 64;
const longestProbe = 4096;

/** Receivers of windows answer at the end of one: where the end was lost, nobody says anything until we repeat it. Before and after a first answer tells how long one takes. */
const windowFirst = 100;
const windowAnswered = 25;

/** The number of a block as it stands in a packet; blocks count from 1, 0 is what acknowledges a request. */
export function wireNumber(block: number, rollover: 0 | 1): number {
  return rollover === 0 ? block & 0xffff : block === 0 ? 0 : ((block - 1) % 0xffff) + 1;
}

export class Sending {
  readonly #source: Source;
  readonly #terms: Terms;
  readonly #emit: (packet: Uint8Array) => void;
  readonly #waiting: Waiting;
  /** Number of blocks; the last is shorter than the others, maybe empty. */
  readonly blocks: number;
  /** First block that is not acknowledged. */
  #base = 1;
  /** Block that is sent next. */
  #next = 1;
  /** First block that was never sent. */
  #fresh = 1;
  /** When the window was last begun from #base. */
  #begun: number;
  /** When it was begun for the first time. */
  #firstBegun: number;
  /** The shortest time that an answer took. What comes sooner after the beginning of a window cannot be an answer to it. */
  #roundTrip = Number.POSITIVE_INFINITY;
  #compared = 0;
  /** Blocks sent without a pause: as many as a window has, until the other side proves to hold fewer. */
  #burst: number;
  /** The longest burst that is tried. */
  #longest: number;
  #pause = burstPause;
  /** The last window did not arrive whole. */
  #lost = false;
  /** Windows that have to arrive whole before a longer one is tried, and those that have. */
  #probe = probeAfter;
  #whole = 0;
  /** Blocks sent since the last pause. */
  #inBurst = 0;
  /** When the next burst of the same window is due. */
  #nextBurst = Number.POSITIVE_INFINITY;
  retransmissions = 0;
  state: SendingState = 'running';
  /** What `changed()` of the source said. */
  change = '';

  constructor(source: Source, terms: Terms, pace: Pace, emit: (packet: Uint8Array) => void, now: number) {
    this.#source = source;
    this.#terms = terms;
    this.#emit = emit;
    const first = terms.windowSize > 1 && terms.timeout === undefined ? Math.min(windowFirst, pace.first) : pace.first;
    this.#waiting = new Waiting({ ...pace, first }, now);
    this.#burst = terms.windowSize;
    this.#longest = terms.windowSize;
    this.#begun = now;
    this.#firstBegun = now;
    this.blocks = Math.floor(source.length / terms.blockSize) + 1;
  }

  /** Bytes that the other side has acknowledged. */
  get acknowledged(): number {
    return Math.min((this.#base - 1) * this.#terms.blockSize, this.#source.length);
  }

  get deadline(): number {
    return this.state === 'running' ? Math.min(this.#waiting.due, this.#waiting.end, this.#nextBurst) : Number.POSITIVE_INFINITY;
  }

  /** Every block was sent at least once. */
  get allSent(): boolean {
    return this.#fresh > this.blocks;
  }

  /** Block 65536, which not every loader can number. */
  get atRollover(): boolean {
    return this.#base === 65536;
  }

  start(now: number): void {
    this.#waiting.progress(now);
    this.#fill(now);
  }

  /** @param number as it stands in the packet */
  acknowledge(number: number, now: number): 'progress' | 'ignored' {
    if (this.state !== 'running') return 'ignored';
    const { rollover, windowSize } = this.#terms;
    const before = wireNumber(this.#base - 1, rollover);
    // Where numbers roll over to 1, 0 stands for the request alone.
    const ring = rollover === 0 || (this.#base === 1 && before === 0) ? 0x10000 : 0xffff;
    if (ring === 0xffff && number === 0) return 'ignored';
    const ahead = (number - before + ring) % ring;
    const block = this.#base - 1 + ahead;
    // Behind what was sent: an old acknowledgement, or one of a block that does not exist yet.
    if (block >= this.#next && block >= this.#fresh) return 'ignored';
    const since = now - this.#begun;
    if (ahead === 0) {
      this.#waiting.alive(now);
      // Never data for a repeated acknowledgement (the Sorcerer's Apprentice): but in a window it says that the first block of it was lost.
      if (windowSize > 1 && since >= Math.max(restartAfter, this.#answerTime)) this.#restart(now);
      return 'ignored';
    }
    this.#base = block + 1;
    if (this.#base === this.#next) this.#measure(now);
    this.#waiting.progress(now);
    if (this.#base > this.blocks) this.state = 'complete';
    // In the middle of a window: the block behind was lost, so the window begins there (RFC 7440); once, not for every such answer to it.
    else if (this.#base < this.#next && since >= this.#answerTime) {
      this.#slower(ahead);
      this.#restart(now);
    } else {
      this.#faster();
      this.#inBurst = 0;
      this.#fill(now);
    }
    return 'progress';
  }

  /** How long an answer takes, by a window that was acknowledged as a whole. */
  #measure(now: number): void {
    const took = now - this.#firstBegun;
    if (this.#begun === this.#firstBegun) {
      this.#roundTrip = Math.min(this.#roundTrip, took);
      this.#waiting.least = 2 * took;
      if (this.#terms.windowSize > 1 && this.#terms.timeout === undefined) this.#waiting.first = Math.min(windowAnswered, this.#waiting.first);
    } else {
      // Repeated, so that nobody knows which of the two was answered: at worst it took from the first on.
      this.#waiting.least = Math.max(this.#waiting.least, Math.min(took, longestAnswer));
    }
  }

  get #answerTime(): number {
    return this.#roundTrip === Number.POSITIVE_INFINITY ? 0 : this.#roundTrip * 0.9;
  }

  /** To be called when `deadline` has come. */
  tick(now: number): void {
    if (this.state !== 'running') return;
    if (now >= this.#waiting.end) {
      this.state = this.allSent ? 'unconfirmed' : 'silent';
    } else if (now >= this.#waiting.due) {
      this.#waiting.repeated(now);
      this.#slower(1);
      this.#restart(now);
    } else if (now >= this.#nextBurst) {
      this.#inBurst = 0;
      this.#fill(now);
    }
  }

  /** A window arrived whole. */
  #faster(): void {
    this.#lost = false;
    this.#pause = Math.max(burstPause, this.#pause * shorterPause);
    if (this.#burst < this.#longest) this.#burst += 1;
    else if (this.#longest < this.#terms.windowSize) {
      this.#whole += 1;
      if (this.#whole < this.#probe) return;
      this.#whole = 0;
      this.#longest += 1;
    }
  }

  /**
   * So many blocks of a window arrived, and some did not: fewer at once, and one more again with every window that arrives whole. What is lost at the
   * longest, or twice running, is more than the receiver holds; what is lost now and then, the network loses.
   */
  #slower(arrived: number): void {
    const again = this.#lost;
    this.#lost = true;
    // Of the burst that was cut so many arrived.
    const burst = Math.max(leastBurst, Math.ceil(this.#burst / 2), arrived % this.#burst);
    if (this.#burst >= this.#longest || again) {
      if (this.#longest < this.#terms.windowSize) this.#probe = Math.min(2 * this.#probe, longestProbe);
      this.#longest = Math.max(burst, Math.min(again ? this.#burst : this.#longest, Math.ceil((this.#longest * 3) / 4)));
      this.#whole = 0;
    } else this.#pause = Math.min(this.#pause * 2, longestPause);
    this.#burst = burst;
  }

  #restart(now: number): void {
    this.retransmissions += this.#next - this.#base;
    this.#next = this.#base;
    this.#inBurst = 0;
    this.#fill(now);
  }

  #fill(now: number): void {
    const { blockSize, windowSize, rollover } = this.#terms;
    const end = Math.min(this.#base + windowSize, this.blocks + 1);
    if (this.#next === this.#base) {
      this.#begun = now;
      if (this.#next >= this.#fresh) this.#firstBegun = now;
    }
    this.#nextBurst = Number.POSITIVE_INFINITY;
    for (; this.#next < end; this.#next += 1) {
      if (this.#inBurst >= this.#burst && windowSize > 1) {
        this.#nextBurst = now + this.#pause;
        return;
      }
      this.#inBurst += 1;
      const offset = (this.#next - 1) * blockSize;
      if (!this.#compare(offset)) return;
      const data = this.#source.read(offset, Math.min(blockSize, this.#source.length - offset));
      this.#emit(dataPacket(wireNumber(this.#next, rollover), data));
      if (this.#next >= this.#fresh) this.#fresh = this.#next + 1;
    }
  }

  /** Whether what is sent is still what was meant: before the first block, before the last one, and now and then. */
  #compare(offset: number): boolean {
    if (this.#source.changed === undefined) return true;
    if (offset !== 0 && offset < this.#compared + compareEvery && this.#next !== this.blocks) return true;
    this.#compared = offset;
    const change = this.#source.changed();
    if (change === undefined) return true;
    this.change = change;
    this.state = 'changed';
    return false;
  }
}
