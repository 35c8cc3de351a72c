/**
 * Boot loaders and the TFTP servers of vendor firmware as they were seen to behave, on a {@link SimulatedNetwork} or behind a real socket: machines
 * like our own, written from what is known of the loaders and sharing no code with what they test.
 */
import type { Peer } from '../../src/tftp/client.ts';

type Send = (bytes: Uint8Array, fromPort: number, to: Peer) => void;

const packet = (opcode: number, number: number, rest: Uint8Array = new Uint8Array(0)): Uint8Array =>
  Uint8Array.from([0, opcode, number >> 8, number & 0xff, ...rest]);
const text = (words: string): Uint8Array => new TextEncoder().encode(words);
const errorOf = (code: number, words: string): Uint8Array => packet(5, code, text(`${words}\0`));

/** What differs from loader to loader that waits to be given a file. */
export interface LoaderHabits {
  /** Port that answers come from; the port asked where it is not given (single-port loaders). */
  readonly answerPort?: number | undefined;
  /** Answers once an error instead, as firmware does that has booted already. */
  readonly refuse?: { readonly code: number; readonly text: string } | undefined;
  /** Takes only such names. */
  readonly nameMust?: RegExp | undefined;
  /** Refuses requests with options by this code, or is silent where it is `silent`. */
  readonly options?: number | 'silent' | undefined;
  /** Looks at the bytes when all are there: `undefined` is fine. */
  readonly judge?: ((bytes: Uint8Array) => { readonly code: number; readonly text: string } | { readonly raw: string } | undefined) | undefined;
  /** Starts to write at once, and never acknowledges the last block. */
  readonly noLastAck?: boolean | undefined;
  /** Sends an error behind the last block although all is well (EcoNet). */
  readonly errorAfterLast?: { readonly code: number; readonly text: string } | undefined;
  /** Cannot count beyond 65535. */
  readonly noRollover?: boolean | undefined;
  /** Is busy with its flash after so many blocks, for so many milliseconds. */
  readonly pause?: { readonly afterBlock: number; readonly milliseconds: number } | undefined;
  /** Opens a transfer for every request, also for repeated ones. */
  readonly manyTransfers?: boolean | undefined;
  /** Listens only from and to these times, in milliseconds since it was switched on; what is not finished then is thrown away. */
  readonly attempts?: readonly (readonly [from: number, to: number])[] | undefined;
  /** Hangs until it is switched off and on when it gets options, an error packet, or a request by another port than the first. */
  readonly fragile?: boolean | undefined;
  /** Does not answer a repeated block: acknowledges again by its own clock only, after so many milliseconds. */
  readonly repeatAfter: number;
}

/** U-Boot 2023.01 `tftpsrv`, as measured: only ACK 0, 512 bytes, a new port, its own 5 s clock, ends by a short block, ignores name, mode, options. */
export const ubootTftpsrv: LoaderHabits = { answerPort: 2345, repeatAfter: 5000 };

/** HPE MSM460: begins to write at once, so that every sender reports "Transfer timed out"; takes the file by one name only. */
export const hpeMsm460: LoaderHabits = { ...ubootTftpsrv, nameMust: /^nflashd\.cccc9999$/, noLastAck: true };

/** The server in the boot loader of the TUF-AX4200, which goes on strike with other clients than that of ASUS. */
export const asusTufAx4200: LoaderHabits = { ...ubootTftpsrv, fragile: true };

/** EA6900: several short attempts in one boot. */
export const linksysEa6900: LoaderHabits = {
  ...ubootTftpsrv,
  attempts: [
    [2000, 3000],
    [12_000, 13_000],
    [22_000, 23_000],
  ],
};

interface Running {
  readonly peer: Peer;
  readonly port: number;
  expected: number;
  readonly parts: Uint8Array[];
  done: boolean;
}

/** A loader that waits to be given a file. */
export class WaitingLoader {
  readonly #habits: LoaderHabits;
  readonly #send: Send;
  #running: Running | undefined;
  #ports: number;
  #last: Uint8Array | undefined;
  #ready = 0;
  deadline = Number.POSITIVE_INFINITY;
  #firstPort: number | undefined;
  #attempt = -1;
  /** It hangs, and has to be switched off and on. */
  hangs = false;
  /** Requests that it has seen. */
  requests = 0;
  /** What was taken whole. */
  readonly taken: Uint8Array[] = [];
  /** Error packets that it got. */
  readonly errors: string[] = [];

  constructor(habits: LoaderHabits, send: Send) {
    this.#habits = habits;
    this.#send = send;
    this.#ports = habits.answerPort ?? 69;
  }

  /** Blocks of the transfer that runs. */
  get received(): number {
    return (this.#running?.expected ?? 1) - 1;
  }

  /** @param port the one of its ports that it came to */
  receive(bytes: Uint8Array, port: number, from: Peer, now: number): void {
    const opcode = bytes[1];
    if (bytes[0] !== 0 || opcode === undefined || this.#deaf(now) || this.#harmed(bytes, from)) return;
    const running = this.#running;
    if (opcode === 2 && port === 69) this.#request(bytes, from, now);
    else if (running !== undefined && port === running.port && from.address === running.peer.address && from.port === running.peer.port) {
      if (opcode === 5) this.errors.push(new TextDecoder().decode(bytes.subarray(4)));
      else if (opcode === 3) this.#data(running, ((bytes[2] as number) << 8) | (bytes[3] as number), bytes.subarray(4), now);
    } else if (opcode === 5) this.errors.push(new TextDecoder().decode(bytes.subarray(4)));
  }

  /** Between two attempts it hears nothing, and each begins anew. */
  #deaf(now: number): boolean {
    const { attempts } = this.#habits;
    if (attempts === undefined) return false;
    const attempt = attempts.findIndex(([begin, end]) => now >= begin && now < end);
    if (attempt >= 0 && attempt !== this.#attempt) {
      this.#attempt = attempt;
      if (this.#running?.done === false) this.#running = undefined;
    }
    return attempt < 0;
  }

  #harmed(bytes: Uint8Array, from: Peer): boolean {
    if (this.#habits.fragile !== true) return false;
    const request = bytes[1] === 2;
    // Name, mode, and an empty text behind the last NUL.
    const options = request && new TextDecoder().decode(bytes.subarray(2)).split('\0').length > 3;
    if (request) this.#firstPort ??= from.port;
    this.hangs ||= options || bytes[1] === 5 || (request && from.port !== this.#firstPort);
    return this.hangs;
  }

  tick(now: number): void {
    if (now < this.deadline) return;
    const running = this.#running;
    this.deadline = Number.POSITIVE_INFINITY;
    if (this.hangs || this.#deaf(now)) return;
    if (running === undefined || running.done || this.#last === undefined) return;
    this.#send(this.#last, running.port, running.peer);
    this.deadline = now + this.#habits.repeatAfter;
  }

  #request(bytes: Uint8Array, from: Peer, now: number): void {
    this.requests += 1;
    const [name = '', , ...options] = new TextDecoder().decode(bytes.subarray(2)).split('\0');
    const { refuse, nameMust, options: onOptions, manyTransfers } = this.#habits;
    if (refuse !== undefined) {
      this.#send(errorOf(refuse.code, refuse.text), 69, from);
      return;
    }
    if (nameMust !== undefined && !nameMust.test(name)) {
      this.#send(errorOf(1, 'file not found'), 69, from);
      return;
    }
    if (onOptions !== undefined && options.filter((option) => option !== '').length > 0) {
      if (onOptions !== 'silent') this.#send(errorOf(onOptions, 'options not supported'), 69, from);
      return;
    }
    // With a port of its own the loader no longer listens on 69 (U-Boot); others begin anew with every request.
    if (this.#running !== undefined && !this.#running.done && this.#habits.answerPort !== undefined && manyTransfers !== true) return;
    if (this.#running !== undefined && this.#running.expected > 1 && manyTransfers !== true) return;
    const port = this.#ports;
    if (manyTransfers === true) this.#ports += 1;
    // Every request is answered from a port of its own, but only the first of them is listened to.
    if (this.#running === undefined || manyTransfers !== true) this.#running = { peer: from, port, expected: 1, parts: [], done: false };
    this.#answer(packet(4, 0), port, from, now);
  }

  #answer(bytes: Uint8Array, port: number, to: Peer, now: number): void {
    this.#last = bytes;
    this.#send(bytes, port, to);
    this.deadline = now + this.#habits.repeatAfter;
  }

  #data(running: Running, number: number, data: Uint8Array, now: number): void {
    const { pause, noRollover, noLastAck, judge, errorAfterLast } = this.#habits;
    if (running.done || now < this.#ready) return;
    if (number !== (running.expected & 0xffff) || (noRollover === true && running.expected > 0xffff)) return;
    running.parts.push(data.slice());
    running.expected += 1;
    if (pause !== undefined && running.expected - 1 === pause.afterBlock) this.#ready = now + pause.milliseconds;
    if (data.length === 512) {
      this.#answer(packet(4, number), running.port, running.peer, now);
      return;
    }
    running.done = true;
    const whole = new Uint8Array(Buffer.concat(running.parts));
    const verdict = judge?.(whole);
    if (verdict === undefined) {
      this.taken.push(whole);
      if (errorAfterLast !== undefined) this.#send(errorOf(errorAfterLast.code, errorAfterLast.text), running.port, running.peer);
      else if (noLastAck !== true) this.#send(packet(4, number), running.port, running.peer);
    } else if ('raw' in verdict) this.#send(text(verdict.raw), running.port, running.peer);
    else this.#send(errorOf(verdict.code, verdict.text), running.port, running.peer);
    this.deadline = Number.POSITIVE_INFINITY;
  }
}

/** What differs from loader to loader that asks for a file. */
export interface AskingHabits {
  readonly name: string;
  /** In the order in which they are sent; none for RFC 1350 loaders. */
  readonly options: Readonly<Record<string, string>>;
  /** Milliseconds until it repeats, and how often. */
  readonly repeatAfter: number;
  readonly tries: number;
  /** Asks for the size first and breaks off (PXE). */
  readonly probe?: boolean | undefined;
  /** Its network chip loses one of so many packets. */
  readonly losesEvery?: number | undefined;
}

/** `tftpboot` of U-Boot since 2020.10. */
export const ubootTftpboot: AskingHabits = { name: 'firmware.bin', options: { timeout: '5', tsize: '0', blksize: '1468' }, repeatAfter: 5000, tries: 10 };

/** Senao and Fortinet of the ath79 kind: packets get lost in the device itself, so that fewer and larger ones are sooner there. */
export const senao: AskingHabits = { name: 'firmware.bin', options: {}, repeatAfter: 5000, tries: 10, losesEvery: 7 };

/** A loader that asks for a file. Strict as U-Boot is: an option that it did not ask for, or another value, is refused with error 8. */
export class AskingLoader {
  readonly #habits: AskingHabits;
  readonly #send: (bytes: Uint8Array, to: Peer) => void;
  readonly #server: Peer;
  #port: number | undefined;
  #blockSize = 512;
  #window = 1;
  #expected = 1;
  #sinceAck = 0;
  #tries = 0;
  #received = 0;
  #last: Uint8Array = new Uint8Array(0);
  #probing: boolean;
  readonly #parts: Uint8Array[] = [];
  deadline = Number.POSITIVE_INFINITY;
  state: 'asking' | 'loading' | 'done' | 'failed' = 'asking';
  /** As on its console. */
  said = '';

  constructor(habits: AskingHabits, server: Peer, send: (bytes: Uint8Array, to: Peer) => void) {
    this.#habits = habits;
    this.#server = server;
    this.#send = send;
    this.#probing = habits.probe === true;
  }

  get bytes(): Uint8Array {
    return new Uint8Array(Buffer.concat(this.#parts));
  }

  start(now: number): void {
    const options = Object.entries(this.#habits.options).flat();
    this.#port = undefined;
    this.#out(Uint8Array.from([0, 1, ...text([this.#habits.name, 'octet', ...options].map((part) => `${part}\0`).join(''))]), now);
  }

  tick(now: number): void {
    if (now < this.deadline || this.state === 'done' || this.state === 'failed') return;
    this.#tries += 1;
    if (this.#tries > this.#habits.tries) {
      this.state = 'failed';
      this.said = 'Retry count exceeded; starting again';
      this.deadline = Number.POSITIVE_INFINITY;
      return;
    }
    const tries = this.#tries;
    this.#out(this.#last, now);
    this.#tries = tries;
  }

  receive(bytes: Uint8Array, from: Peer, now: number): void {
    if (from.address !== this.#server.address || (this.#port !== undefined && from.port !== this.#port)) return;
    if (this.state === 'done' || this.state === 'failed') return;
    this.#received += 1;
    if (this.#habits.losesEvery !== undefined && this.#received % this.#habits.losesEvery === 0) return;
    const number = ((bytes[2] as number) << 8) | (bytes[3] as number);
    switch (bytes[1]) {
      case 6:
        this.#oack(bytes, from, now);
        break;
      case 3: {
        if (this.#port === undefined && number !== 1) return;
        this.#port = from.port;
        this.state = 'loading';
        const wanted = this.#expected & 0xffff;
        // An old block is ignored; for one that is ahead it says once more what it has.
        if (number !== wanted) {
          if (((number - wanted) & 0xffff) < 0x8000) this.#out(packet(4, (this.#expected - 1) & 0xffff), now);
          return;
        }
        this.#parts.push(bytes.slice(4));
        this.#expected += 1;
        this.#sinceAck += 1;
        this.#tries = 0;
        const last = bytes.length - 4 < this.#blockSize;
        if (last || this.#sinceAck >= this.#window) this.#out(packet(4, number), now);
        if (last) {
          this.state = 'done';
          this.deadline = Number.POSITIVE_INFINITY;
        }
        break;
      }
      case 5: {
        this.said = `TFTP error: '${new TextDecoder().decode(bytes.subarray(4)).replace(/\0.*$/, '')}' (${number})`;
        this.state = 'failed';
        this.deadline = Number.POSITIVE_INFINITY;
        break;
      }
      default:
    }
  }

  #oack(bytes: Uint8Array, from: Peer, now: number): void {
    const parts = new TextDecoder().decode(bytes.subarray(2)).split('\0');
    const asked = this.#habits.options;
    for (let index = 0; index + 1 < parts.length; index += 2) {
      const name = parts[index] as string;
      const value = parts[index + 1] as string;
      const wrong = asked[name] === undefined || (name === 'timeout' && value !== asked[name]) || (name === 'blksize' && Number(value) > Number(asked[name]));
      if (wrong) {
        this.#send(errorOf(8, 'invalid option'), from);
        this.state = 'failed';
        this.said = `refuses ${name}=${value}`;
        return;
      }
      if (name === 'blksize') this.#blockSize = Number(value);
      if (name === 'windowsize') this.#window = Number(value);
    }
    if (this.#probing) {
      this.#probing = false;
      this.#send(errorOf(8, 'User aborted the transfer'), from);
      this.start(now);
      return;
    }
    this.#port = from.port;
    this.state = 'loading';
    this.#out(packet(4, 0), now);
  }

  #out(bytes: Uint8Array, now: number): void {
    this.#last = bytes;
    this.#sinceAck = 0;
    this.#send(bytes, { address: this.#server.address, port: this.#port ?? this.#server.port });
    this.deadline = now + this.#habits.repeatAfter;
  }
}
