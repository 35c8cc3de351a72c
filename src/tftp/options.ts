/** Options: what a client asks for, what a server answers, and what then holds. RFC 2347, 2348, 2349, 7440. Pure. */
import type { Options } from './packets.ts';

/** What both sides keep to. */
export interface Terms {
  /** Bytes of data in a packet, 8 to 65464. */
  readonly blockSize: number;
  /** Blocks that are sent before an acknowledgement is waited for, 1 to 65535. */
  readonly windowSize: number;
  /** Seconds between retransmissions, if they were agreed on. */
  readonly timeout?: number | undefined;
  /** Bytes of the whole transfer, if they were told. */
  readonly transferSize?: number | undefined;
  /** The number of the block behind 65535. */
  readonly rollover: 0 | 1;
}

/** RFC 1350: what holds where nothing else was agreed on. */
export const plainTerms: Terms = { blockSize: 512, windowSize: 1, rollover: 0 };

export const blockSizes = { least: 8, most: 65464 } as const;

/** A window's worth of packets has to fit into somebody's memory, and an old acknowledgement must not look like a new one. */
export const windowLimit = 16384;

/** What a client asks for; empty for a plain request. */
export interface Wishes {
  readonly blockSize?: number | undefined;
  readonly windowSize?: number | undefined;
  /** Seconds, 1 to 255. */
  readonly timeout?: number | undefined;
  /** What is sent; 0 asks for the size of what is read. */
  readonly transferSize?: number | undefined;
  /** The option of tftpd-hpa. */
  readonly rollover?: 0 | 1 | undefined;
}

/** In the order of U-Boot. */
export function wishedOptions(wishes: Wishes): Options {
  const options = new Map<string, string>();
  if (wishes.timeout !== undefined) options.set('timeout', String(wishes.timeout));
  if (wishes.transferSize !== undefined) options.set('tsize', String(wishes.transferSize));
  if (wishes.blockSize !== undefined) options.set('blksize', String(wishes.blockSize));
  if (wishes.windowSize !== undefined) options.set('windowsize', String(wishes.windowSize));
  if (wishes.rollover !== undefined) options.set('rollover', String(wishes.rollover));
  return options;
}

/** Digits only: `0x10`, `-1`, `1e3` and the empty text are no numbers here. */
function number(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,15}$/.test(text)) return undefined;
  return Number(text);
}

/**
 * What holds after a server's answer, or why its answer cannot be accepted (to be told to it with error 8).
 *
 * An option that was not asked for is harmless where it says what holds anyway, or only informs (a TFTP server for PXE sends tsize so).
 */
export function acceptedTerms(answer: Options, wishes: Wishes): Terms | string {
  let { blockSize, windowSize, rollover } = plainTerms;
  let timeout: number | undefined;
  let transferSize: number | undefined;
  for (const [name, text] of answer) {
    const value = number(text);
    if (name === 'blksize') {
      if (value === undefined || value < blockSizes.least || value > (wishes.blockSize ?? plainTerms.blockSize))
        return `blksize ${text}: ${limit(wishes.blockSize)}`;
      // Lower than what holds without the option, and not asked for: the other side would cut its blocks shorter than we believe.
      if (wishes.blockSize === undefined && value !== plainTerms.blockSize) return `blksize ${text}: ${limit(undefined)}`;
      blockSize = value;
    } else if (name === 'windowsize') {
      if (value === undefined || value < 1 || value > (wishes.windowSize ?? plainTerms.windowSize)) return `windowsize ${text}: ${limit(wishes.windowSize)}`;
      windowSize = value;
    } else if (name === 'timeout') {
      if (wishes.timeout !== undefined && value !== wishes.timeout) return `timeout ${text}: ${wishes.timeout} was asked for`;
      timeout = wishes.timeout;
    } else if (name === 'rollover') {
      if (value !== 0 && value !== 1) return `rollover ${text}: 0 or 1 is expected`;
      if (value !== (wishes.rollover ?? 0)) return `rollover ${text}: ${wishes.rollover ?? 0} was asked for`;
      rollover = value;
    } else if (name === 'tsize') {
      // Some servers do not know it and answer with what was asked: 0.
      transferSize = value === 0 && wishes.transferSize === 0 ? undefined : value;
    }
  }
  return { blockSize, windowSize, rollover, timeout, transferSize };
}

const limit = (asked: number | undefined): string => (asked === undefined ? 'it was not asked for' : `at most ${asked} was asked for`);

/** What a server grants at most. */
export interface ServerLimits {
  /** RFC 1350 only: no option is answered. */
  readonly plain: boolean;
  readonly blockSize: number;
  readonly windowSize: number;
}

/** What a server answers (empty: nothing, so the first block goes out at once), and what then holds. */
export function serverTerms(asked: Options, size: number, limits: ServerLimits): { readonly answer: Options; readonly terms: Terms } {
  const answer = new Map<string, string>();
  let { blockSize, windowSize, rollover } = plainTerms;
  let timeout: number | undefined;
  if (limits.plain) return { answer, terms: plainTerms };
  for (const [name, text] of asked) {
    const value = number(text);
    if (value === undefined) continue;
    if (name === 'blksize' && value >= blockSizes.least) {
      blockSize = Math.min(value, limits.blockSize, blockSizes.most);
      answer.set(name, String(blockSize));
    } else if (name === 'windowsize' && value >= 1 && value <= 65535) {
      windowSize = Math.min(value, limits.windowSize, windowLimit);
      answer.set(name, String(windowSize));
    } else if (name === 'timeout' && value >= 1 && value <= 255) {
      timeout = value;
      // U-Boot compares the number, others the text.
      answer.set(name, text);
    } else if (name === 'tsize') {
      // curl takes a size of 0 for an error.
      if (size > 0) answer.set(name, String(size));
    } else if (name === 'rollover' && (value === 0 || value === 1)) {
      rollover = value;
      answer.set(name, text);
    }
  }
  return { answer, terms: { blockSize, windowSize, rollover, timeout, transferSize: size } };
}
