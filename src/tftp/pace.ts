/** When to repeat, and when to give up. All times are in milliseconds of a clock that is handed in. */

export interface Pace {
  /** Before the first repetition. */
  readonly first: number;
  /** The wait doubles with every repetition up to this. */
  readonly most: number;
  /** Without any progress for so long a transfer is over. */
  readonly patience: number;
}

const patience = 20_000;

/** So many times the patience a peer gets that repeats itself and comes no further. */
const alivePatience = 3;

/**
 * To a loader whose time is short. U-Boot never answers a repeated block: when its acknowledgement was lost, only its own clock makes it give
 * another, every 5 s. On a bad network several of these are lost too; others erase flash meanwhile.
 */
export const pushPace: Pace = { first: 250, most: 1000, patience: 30_000 };

/** To programs and loaders that ask us: they repeat too, and a boot ROM may stumble over what comes twice (raspberrypi/firmware#1631). */
export const servePace: Pace = { first: 1000, most: 4000, patience };

export const getPace: Pace = { first: 1000, most: 2000, patience };

/** What two sides agreed on by the timeout option replaces our own habit. */
export function pacedBy(pace: Pace, timeout: number | undefined): Pace {
  if (timeout === undefined) return pace;
  const wait = timeout * 1000;
  return { first: wait, most: wait, patience: Math.max(pace.patience, wait * 4) };
}

/** Counts repetitions. `due` is when the next one has to be made, `end` when nobody waits any longer. */
export class Waiting {
  readonly #pace: Pace;
  #wait: number;
  /** Before the first repetition. */
  first: number;
  /** On a slow path an answer takes longer than the first wait: what is on its way is not sent again. */
  least = 0;
  due: number;
  end: number;
  #progressed: number;

  constructor(pace: Pace, now: number) {
    this.#pace = pace;
    this.#progressed = now;
    this.first = pace.first;
    this.#wait = pace.first;
    this.due = now + pace.first;
    this.end = now + pace.patience;
  }

  /** Something went on: everything begins anew. */
  progress(now: number): void {
    this.#wait = Math.max(this.first, this.least);
    this.due = now + this.#wait;
    this.end = now + this.#pace.patience;
    this.#progressed = now;
  }

  /** The other side repeats itself: it is busy, or what we said was lost. That is waited out for longer, but not for ever. */
  alive(now: number): void {
    const { patience } = this.#pace;
    this.end = Math.max(this.end, Math.min(now + patience, this.#progressed + alivePatience * patience));
  }

  /** It was repeated. */
  repeated(now: number): void {
    this.#wait = Math.min(this.#wait * 2, Math.max(this.#pace.most, this.least));
    this.due = now + this.#wait;
  }
}
