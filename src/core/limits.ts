/**
 * Named limits against hostile input, and the one guard that is used everywhere.
 *
 * An image comes from anywhere. Whatever a length, a count or a compressed stream in it claims, the work
 * stays linear in the file's size and the memory below these numbers.
 */

export interface Limits {
  /** Bytes of one file that is read at all. */
  readonly fileLength: number;
  /** Layers inside layers. */
  readonly depth: number;
  /** Layers in one file. */
  readonly layers: number;
  /** Magic numbers found in one file which nothing begins with: random bytes have one in some hundred MiB. */
  readonly falseMagics: number;
  /** Members of an archive: each is looked into as a file of its own. */
  readonly members: number;
  /** Partitions, nodes of a tree: entries of one table. */
  readonly entries: number;
  /** Files and directories of one file system on a disk that are looked at: boot partitions have fewer, root file systems thousands. */
  readonly files: number;
  /** Stretches in which these files lie. */
  readonly pieces: number;
  /** Bytes that all unpacking of one file may give. */
  readonly unpackedBytes: number;
  /**
   * Unpacked bytes per packed byte. Deflate reaches 1,032 on a stream of one repeated byte and less on
   * anything else, so a stream above this holds nothing.
   */
  readonly unpackRatio: number;
  /** Fields and findings that one layer may show; what is more is counted in a note. */
  readonly shown: number;
}

export const defaultLimits: Limits = {
  fileLength: 1024 * 1024 * 1024,
  depth: 16,
  layers: 2048,
  falseMagics: 65_536,
  members: 8192,
  entries: 65_536,
  files: 512,
  pieces: 2048,
  unpackedBytes: 512 * 1024 * 1024,
  unpackRatio: 1024,
  shown: 512,
};

/** Counts what one inspection has used up. */
export class Budget {
  readonly limits: Limits;
  #layers = 0;
  #falseMagics = 0;
  #unpacked = 0;

  constructor(limits: Limits = defaultLimits) {
    this.limits = limits;
  }

  /** Whether one more layer may be read. */
  takeLayer(): boolean {
    this.#layers += 1;
    return this.#layers <= this.limits.layers;
  }

  /** Records a magic number that nothing begins with. */
  tookFalseMagic(): void {
    this.#falseMagics += 1;
  }

  /** Whether magic numbers may still be looked for: each costs a look at what stands behind it. */
  get maySearch(): boolean {
    return this.#falseMagics < this.limits.falseMagics;
  }

  /** The most bytes that a stream of `packedLength` bytes may unpack to now. */
  unpackLimit(packedLength: number): number {
    return Math.max(0, Math.min(this.limits.unpackedBytes - this.#unpacked, packedLength * this.limits.unpackRatio));
  }

  /** Records bytes that were unpacked. */
  tookUnpacked(length: number): void {
    this.#unpacked += length;
  }

  /** The most nodes of a file system in `length` bytes: on average they are larger than 128 bytes. */
  nodes(length: number): number {
    return Math.max(this.limits.entries, Math.floor(length / 128));
  }
}
