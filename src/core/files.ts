/**
 * What the file systems of disks have in common: a tree of files, each in one stretch of the window or scattered
 * over many, of which only the first ones are looked into. A boot partition has some; a root file system has thousands.
 */
import { finding, type LocalFinding } from './findings.ts';
import { nowhere, type Payload, region } from './format.ts';
import { byteCount } from './hex.ts';
import type { Limits } from './limits.ts';
import type { Field, Range, Region } from './types.ts';

/** The stretches cut to `length` bytes, and where the bytes end in front of the first that is missing. */
export function cutRanges(ranges: readonly Range[], length: number, available: number): Range[] {
  const kept: Range[] = [];
  let left = length;
  for (const { offset, length: whole } of ranges) {
    const wanted = Math.min(left, whole);
    const taken = offset === nowhere ? wanted : Math.min(wanted, Math.max(0, available - offset));
    if (taken > 0) kept.push({ offset, length: taken });
    left -= taken;
    // What follows a gap would stand in the wrong place.
    if (taken < wanted || left === 0) break;
  }
  return kept;
}

/** The bytes of the stretches, one behind the other; those from {@link nowhere} are zeros. */
export function gather(bytes: Uint8Array, ranges: readonly Range[]): Uint8Array {
  const gathered = new Uint8Array(ranges.reduce((sum, range) => sum + range.length, 0));
  let position = 0;
  for (const { offset, length } of ranges) {
    if (offset !== nowhere) gathered.set(bytes.subarray(offset, offset + length), position);
    position += length;
  }
  return gathered;
}

/** Collects what a file system says of its files and directories. */
export class FileList {
  readonly fields: Field[] = [];
  readonly regions: Region[] = [];
  readonly payloads: Payload[] = [];
  readonly findings: LocalFinding[] = [];
  /** Not all was looked at. */
  omitted = false;
  readonly #bytes: Uint8Array;
  readonly #by: string;
  readonly #limits: Limits;
  #entries = 0;
  #files = 0;
  #pieces = 0;

  /** @param by the id of the format that gathers scattered files */
  constructor(bytes: Uint8Array, by: string, limits: Limits) {
    this.#bytes = bytes;
    this.#by = by;
    this.#limits = limits;
  }

  /** `3 files`, for a title. */
  get summary(): string {
    return `${this.omitted ? 'more than ' : ''}${this.#files} file${this.#files === 1 ? '' : 's'}`;
  }

  found(entry: LocalFinding): void {
    if (this.findings.length < this.#limits.shown) this.findings.push(entry);
  }

  /** What stands at `place` and whatever comes behind it is not looked at; that is told once. */
  omit(place: Range): void {
    if (!this.omitted) this.findings.push(finding('files-omitted', place, { limit: this.#limits.files }));
    this.omitted = true;
  }

  /** Whether one more entry of a directory may be looked at; `place` is where it stands. */
  takeEntry(place: Range): boolean {
    this.#entries += 1;
    if (this.#entries <= this.#limits.files) return true;
    this.omit(place);
    return false;
  }

  /** A directory in so many pieces is not one that anything boots from; `false` if it is not to be read. */
  addDirectory(path: string, place: Range, ranges: readonly Range[]): boolean {
    if (!this.#takePieces(ranges.length, place)) return false;
    const label = path === '' ? 'root directory' : `directory ${path}`;
    for (const { offset, length } of ranges) this.regions.push(region('metadata', label, offset, length));
    return true;
  }

  /** A file, whether or not there is anything in it to look into. */
  addName(path: string, place: Range, length: number): void {
    this.#files += 1;
    this.fields.push({ name: 'file', ...place, value: path, meaning: byteCount(length) });
  }

  /** What a file holds, from where it lies. */
  addContent(path: string, place: Range, ranges: readonly Range[]): void {
    if (ranges.length === 0 || !this.#takePieces(ranges.length, place)) return;
    for (const { offset, length } of ranges) if (offset !== nowhere) this.regions.push(region('payload', path, offset, length));
    const together = ranges.length === 1 && ranges[0]?.offset !== nowhere;
    const gathered = together ? {} : { gathered: { bytes: gather(this.#bytes, ranges), by: this.#by } };
    // A file system in a file of a file system is nothing wrong.
    this.payloads.push({ label: path, ranges, ...gathered, content: 'one', mayRepeat: true });
  }

  #takePieces(count: number, place: Range): boolean {
    if (this.#pieces + count > this.#limits.pieces) {
      this.omit(place);
      return false;
    }
    this.#pieces += count;
    return true;
  }
}
