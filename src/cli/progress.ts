/** One line on a person's terminal that says what takes so long; nothing in a pipe, nothing for quick work. */
import type { Console } from './console.ts';

const moment = 400;

export class Progress {
  readonly #io: Console;
  readonly #started = performance.now();
  #shown = false;

  constructor(io: Console) {
    this.#io = io;
  }

  step(text: string): void {
    if (!this.#io.interactive || performance.now() - this.#started < moment) return;
    const line = text.length > this.#io.columns - 4 ? `${text.slice(0, this.#io.columns - 5)}…` : text;
    this.#io.err(`\r\x1b[K${line} …`);
    this.#shown = true;
  }

  clear(): void {
    if (this.#shown) this.#io.err('\r\x1b[K');
    this.#shown = false;
  }
}
