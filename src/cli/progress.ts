/** One line on a person's terminal that says what takes so long; nothing in a pipe, nothing for quick work. */
import { harmless } from '../report/words.ts';
import type { Console } from './console.ts';

const moment = 400;

export class Progress {
  readonly #io: Console;
  readonly #started = performance.now();
  #shown = false;

  constructor(io: Console) {
    this.#io = io;
  }

  /** `slow`: what comes now will take long, and nothing can be said meanwhile. */
  step(text: string, slow = false): void {
    if (!this.#io.interactive || (!slow && performance.now() - this.#started < moment)) return;
    const plain = harmless(text);
    const room = this.#io.columns - 3;
    this.#io.err(`\r\x1b[K${plain.length > room ? plain.slice(0, room) : plain} …`);
    this.#shown = true;
  }

  clear(): void {
    if (this.#shown) this.#io.err('\r\x1b[K');
    this.#shown = false;
  }
}
