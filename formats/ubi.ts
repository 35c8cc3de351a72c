/**
 * UBI, how OpenWrt keeps volumes on raw NAND (and some NOR) flash. All numbers are big endian.
 *
 * The image is a row of physical erase blocks (PEB). Each begins with an erase counter (EC) header of 64 bytes;
 * one in use has a volume identifier (VID) header of 64 bytes too, which says of which volume it is which logical
 * block (LEB). The volume table lies twice, in logical blocks 0 and 1 of a volume of its own.
 *
 * Checksums are CRC-32 without the final inversion: one over the first 60 bytes of each header, one over the
 * first 168 bytes of each record of the table, one over the data of each block of a static volume. The data of
 * dynamic volumes has none.
 *
 * Layout: Linux drivers/mtd/ubi/ubi-media.h. Writer: mtd-utils ubinize; OpenWrt's patch for it adds end markers,
 * erase blocks with "EOF" in the EC header behind which everything counts as erased.
 */
import { joined } from '../src/core/bytes.ts';
import { CheckGroups, compare, jamcrc } from '../src/core/checksums.ts';
import { OwimgError } from '../src/core/errors.ts';
import { fileSystemType } from '../src/core/file-system-type.ts';
import { finding, type LocalFinding, lengthBeyondEnd } from '../src/core/findings.ts';
import { type Format, nowhere, type Payload, type Reading, region, truncatedHeader } from '../src/core/format.ts';
import { byteCount, hex, hexBytes, hexOffset, latin1, printable, toBytes } from '../src/core/hex.ts';
import { defaultLimits, type Limits } from '../src/core/limits.ts';
import { runLength, trailingPadding } from '../src/core/padding.ts';
import type { ComposeUse, DecomposeUse, StepUse } from '../src/core/recipe-step.ts';
import type { Field, Kind, Range, Region } from '../src/core/types.ts';
import {
  buildUbi,
  dynamic,
  type EcValues,
  ecHeader,
  ecMagic,
  eofText,
  fixed,
  flagAutoresize,
  flagSkipCheck,
  headerLength,
  longestName,
  mostVolumes,
  possibleOffsets,
  type RecordValues,
  tableCopies,
  tableRecord,
  tableVolume,
  type UbiInput,
  type UbiVolume,
  ubinizeOffsets,
  type VidValues,
  vidHeader,
  vidMagic,
} from '../src/core/ubi-image.ts';
import { rootVolumesFor, ubinizeCommand } from '../src/core/ubinize-script.ts';

const coveredByHeader = headerLength - 4;
const coveredByRecord = tableRecord.length - 4;
/** Volume ids from here on are UBI's own: the table, and above it the fastmap. */
const firstInternalVolume = tableVolume;

const typeNames: Readonly<Record<number, string>> = { [dynamic]: 'dynamic', [fixed]: 'static' };

/** How many neighbouring erase blocks may be unreadable before that counts as the end of the image. */
const longestGap = 8;
/** Where further EC headers are looked for to learn the length of an erase block. */
const searched = 16 * 1024 * 1024;
const enoughHeaders = 16;
/** No raw flash is larger. */
const largestFlash = 64 * 1024 * 1024 * 1024;

/** Volumes by what they hold; OpenWrt boots none of these if it is empty. */
const kernelVolumes: ReadonlySet<string> = new Set(['kernel', 'boot']);
const rootVolumes: ReadonlySet<string> = new Set(['rootfs', 'ubi_rootfs']);
/** A FIT image that holds both. */
const bothVolumes: ReadonlySet<string> = new Set(['fit', 'firmware']);
const neededVolumes: ReadonlySet<string> = new Set([...kernelVolumes, ...rootVolumes, ...bothVolumes]);

interface Geometry {
  readonly pebLength: number;
  readonly vidHeaderOffset: number;
  readonly dataOffset: number;
}

/** One erase block. */
interface Block {
  readonly index: number;
  readonly offset: number;
  /** `pebLength`, or less where the file ends in it. */
  readonly length: number;
  readonly ec: EcValues | undefined;
  readonly ecOk: boolean;
  readonly vid: VidValues | undefined;
  readonly vidOk: boolean;
  /** All FF. */
  readonly erased: boolean;
}

interface TableEntry {
  readonly id: number;
  readonly name: string;
  /** Where its record lies, in the copy that is used. */
  readonly at: Range;
  readonly values: RecordValues;
}

interface Volume extends TableEntry {
  /** Newest copy of each logical block, by number. */
  readonly blocks: ReadonlyMap<number, Block>;
}

const within = (base: number, { offset, length }: Range): Range => ({ offset: base + offset, length });
const magicAt = (bytes: Uint8Array, offset: number): number => new DataView(bytes.buffer, bytes.byteOffset + offset, 4).getUint32(0);
const erasedLength = (bytes: Uint8Array): number => (bytes[0] === 0xff ? runLength(bytes) : 0);
const plural = (count: number, word: string): string => `${count} ${word}${count === 1 ? '' : 's'}`;

/** A header whose magic number must stand at `offset`; its checksum tells whether a wrong one is only damaged. */
function headerChecksumOk(bytes: Uint8Array, offset: number, magic: number): boolean {
  if (offset + headerLength > bytes.length) return false;
  const view = new DataView(bytes.buffer, bytes.byteOffset + offset, headerLength);
  const stored = view.getUint32(coveredByHeader);
  if (view.getUint32(0) === magic) return jamcrc(bytes.subarray(offset, offset + coveredByHeader)) === stored;
  const expected = new Uint8Array(4);
  new DataView(expected.buffer).setUint32(0, magic);
  return jamcrc(expected, bytes.subarray(offset + 4, offset + coveredByHeader)) === stored;
}

/** The most frequent distance of neighbouring EC headers that can be the length of an erase block; the smallest of these. */
function commonDistance(offsets: readonly number[], dataOffset: number): number | undefined {
  const counts = new Map<number, number>();
  for (let index = 1; index < offsets.length; index += 1) {
    const distance = (offsets[index] as number) - (offsets[index - 1] as number);
    if (distance > dataOffset) counts.set(distance, (counts.get(distance) ?? 0) + 1);
  }
  const [most] = [...counts].sort(([a, countA], [b, countB]) => countB - countA || a - b);
  return most?.[0];
}

/** Learns the geometry from the first EC headers that are right. */
function findGeometry(bytes: Uint8Array): Geometry | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const offsets = [0];
  let first: EcValues | undefined = headerChecksumOk(bytes, 0, ecMagic) ? ecHeader.read(bytes) : undefined;
  if (first !== undefined && !possibleOffsets(first)) first = undefined;
  const end = Math.min(searched, bytes.length - headerLength);
  for (let offset = headerLength; offset <= end && offsets.length < enoughHeaders; offset += headerLength) {
    if (view.getUint32(offset) !== ecMagic || !headerChecksumOk(bytes, offset, ecMagic)) continue;
    const values = ecHeader.read(bytes, offset);
    if (!possibleOffsets(values)) continue;
    first ??= values;
    if (values.vidHeaderOffset === first.vidHeaderOffset && values.dataOffset === first.dataOffset) offsets.push(offset);
  }
  first ??= ecHeader.read(bytes);
  const { vidHeaderOffset, dataOffset } = first;
  if (!possibleOffsets(first)) return undefined;
  const distance = commonDistance(offsets, dataOffset);
  if (distance !== undefined) return { pebLength: distance, vidHeaderOffset, dataOffset };
  // A single erase block: as long as the file, if that can be, or as the next length that can.
  let pebLength = 1024;
  while (pebLength <= dataOffset || (pebLength < bytes.length && pebLength < searched)) pebLength *= 2;
  return { pebLength, vidHeaderOffset, dataOffset };
}

function readBlock(bytes: Uint8Array, index: number, { pebLength, vidHeaderOffset }: Geometry): Block | undefined {
  const offset = index * pebLength;
  const length = Math.min(pebLength, bytes.length - offset);
  const base = { index, offset, length, ec: undefined, ecOk: false, vid: undefined, vidOk: false, erased: false };
  if (length < headerLength) return length >= 4 && magicAt(bytes, offset) === ecMagic ? base : undefined;
  const ecOk = headerChecksumOk(bytes, offset, ecMagic);
  const vidAt = offset + vidHeaderOffset;
  const vidThere = vidHeaderOffset + headerLength <= length;
  const vidOk = vidThere && headerChecksumOk(bytes, vidAt, vidMagic);
  const magic = magicAt(bytes, offset);
  if (magic === ecMagic || ecOk || vidOk) {
    const ec = ecHeader.read(bytes, offset);
    const unused = !vidThere || erasedLength(bytes.subarray(vidAt, vidAt + headerLength)) === headerLength;
    return { ...base, ec, ecOk, vid: unused ? undefined : vidHeader.read(bytes, vidAt), vidOk };
  }
  const erased = length === pebLength && magic === 0xffffffff && erasedLength(bytes.subarray(offset, offset + length)) === length;
  return erased ? { ...base, erased } : undefined;
}

const isEof = (block: Block): boolean => block.ecOk && block.ec !== undefined && latin1(block.ec.padding1) === eofText;

interface Scan {
  readonly blocks: readonly Block[];
  /** Erase blocks between others that have no readable header. */
  readonly unreadable: readonly Range[];
  readonly tooMany: boolean;
}

/** All erase blocks up to the last one that has a header. */
function scan(bytes: Uint8Array, geometry: Geometry, limit: number): Scan {
  const { pebLength } = geometry;
  const blocks: Block[] = [];
  const unreadable: Range[] = [];
  let pending: (Block | Range)[] = [];
  let gap = 0;
  let ended = false;
  let index = 0;
  for (; index * pebLength < bytes.length && index < limit && gap <= longestGap; index += 1) {
    const block = readBlock(bytes, index, geometry);
    if (ended && (block === undefined || !isEof(block))) break;
    if (block === undefined || block.erased) {
      gap = block === undefined ? gap + 1 : 0;
      pending.push(block ?? { offset: index * pebLength, length: Math.min(pebLength, bytes.length - index * pebLength) });
      continue;
    }
    for (const entry of pending) {
      if ('erased' in entry) blocks.push(entry);
      else unreadable.push(entry);
    }
    pending = [];
    gap = 0;
    blocks.push(block);
    ended = isEof(block);
  }
  return { blocks, unreadable, tooMany: index === limit && index * pebLength < bytes.length };
}

/** The value that most of them have. */
function commonest(values: Iterable<number>): number | undefined {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  let best: number | undefined;
  for (const [value, count] of counts) if (best === undefined || count > (counts.get(best) ?? 0)) best = value;
  return best;
}

/** Reads one image; collects what is to be said of it. */
class Reader {
  readonly fields: Field[] = [];
  readonly regions: Region[] = [];
  readonly checks: CheckGroups;
  readonly findings: LocalFinding[] = [];
  readonly payloads: Payload[] = [];
  readonly volumes: Volume[] = [];
  readonly blocks: readonly Block[];
  /** Just past the last erase block. */
  readonly end: number;
  /** Every block has sequence number 0: ubinize wrote this, and no system has attached it yet. */
  readonly pristine: boolean;
  readonly #bytes: Uint8Array;
  readonly #geometry: Geometry;
  readonly #scan: Scan;
  readonly #shown: number;
  #hidden = false;
  /** Holes in volumes that may still be filled: they cost memory that the file did not bring. */
  #holes: number;
  readonly #outdated = new Set<Block>();

  constructor(bytes: Uint8Array, geometry: Geometry, found: Scan, shown: number) {
    this.#bytes = bytes;
    this.#geometry = geometry;
    this.#scan = found;
    this.#shown = shown;
    this.checks = new CheckGroups('jamcrc', shown);
    this.blocks = found.blocks;
    this.#holes = this.blocks.length;
    const last = this.blocks.at(-1);
    this.end = last === undefined ? 0 : last.offset + last.length;
    this.pristine = this.blocks.every((block) => !block.vidOk || block.vid?.sequence === 0n);
  }

  read(): void {
    for (const place of this.#scan.unreadable) {
      const actual = hexBytes(this.#bytes.subarray(place.offset, place.offset + 4));
      this.#say(finding('structure-invalid', place, { what: 'start of this erase block', expected: '"UBI#" or nothing but FF', actual }));
    }
    if (this.#scan.tooMany) {
      this.#say(finding('entries-too-many', { offset: this.end, length: this.#bytes.length - this.end }, { what: 'erase blocks', limit: this.blocks.length }));
    }
    this.#readEcHeaders();
    this.#readVidHeaders();
    const table = this.#readTable();
    this.#describe(table);
    this.#readVolumes(table);
    this.#tile();
  }

  #say(entry: LocalFinding): void {
    if (this.findings.length < this.#shown) this.findings.push(entry);
    else if (!this.#hidden) {
      this.#hidden = true;
      this.findings.push(finding('entries-too-many', entry, { what: 'problems in this UBI image', limit: this.#shown }));
    }
  }

  #headerMagic(values: { magic: number }, at: Range, expected: number, what: string): void {
    if (values.magic !== expected) this.#say(finding('magic-damaged', at, { what, expected: hex(expected), actual: hex(values.magic) }));
  }

  #readEcHeaders(): void {
    const { pebLength, vidHeaderOffset, dataOffset } = this.#geometry;
    const sequences = this.blocks.flatMap(({ ec, ecOk }) => (ec !== undefined && ecOk && ec.imageSequence !== 0 ? [ec.imageSequence] : []));
    const sequence = commonest(sequences);
    for (const { index, offset, length, ec, ecOk, erased } of this.blocks) {
      if (erased) continue;
      const at = (name: keyof EcValues): Range => within(offset, ecHeader.at[name]);
      if (length < pebLength) {
        this.#say(lengthBeyondEnd(`erase block ${index}`, { offset, length: Math.min(length, headerLength) }, pebLength, length, this.#bytes.length));
      }
      if (ec === undefined) continue;
      if (!ecOk || ec.magic === ecMagic) {
        this.checks.add('ec-crc', () => `erase block ${index}`, {
          code: 'header-checksum-mismatch',
          stored: ec.checksum,
          computed: jamcrc(this.#bytes.subarray(offset, offset + coveredByHeader)),
          at: at('checksum'),
          covers: [{ offset, length: coveredByHeader }],
        });
      }
      if (!ecOk) continue;
      this.#headerMagic(ec, at('magic'), ecMagic, `the EC header of erase block ${index}`);
      if (ec.version !== 1) this.#say(finding('structure-invalid', at('version'), { what: 'UBI version', expected: '1', actual: ec.version }));
      const compareOffset = (name: 'vidHeaderOffset' | 'dataOffset', what: string, expected: number): void => {
        if (ec[name] !== expected) this.#say(finding('geometry-differs', at(name), { what, expected, actual: ec[name] }));
      };
      compareOffset('vidHeaderOffset', 'VID header offset', vidHeaderOffset);
      compareOffset('dataOffset', 'data offset', dataOffset);
      if (sequence !== undefined && ec.imageSequence !== sequence && ec.imageSequence !== 0) {
        this.#say(finding('sequence-differs', at('imageSequence'), { expected: hex(sequence), actual: hex(ec.imageSequence) }));
      }
    }
  }

  #readVidHeaders(): void {
    for (const block of this.blocks) {
      const { index, vid, vidOk } = block;
      if (vid === undefined) continue;
      const offset = block.offset + this.#geometry.vidHeaderOffset;
      const at = (name: keyof VidValues): Range => within(offset, vidHeader.at[name]);
      if (!vidOk || vid.magic === vidMagic) {
        this.checks.add('vid-crc', () => `erase block ${index}`, {
          code: 'header-checksum-mismatch',
          stored: vid.checksum,
          computed: jamcrc(this.#bytes.subarray(offset, offset + coveredByHeader)),
          at: at('checksum'),
          covers: [{ offset, length: coveredByHeader }],
        });
      }
      if (!vidOk) continue;
      this.#headerMagic(vid, at('magic'), vidMagic, `the VID header of erase block ${index}`);
      if (vid.version !== 1) this.#say(finding('structure-invalid', at('version'), { what: 'UBI version', expected: '1', actual: vid.version }));
    }
  }

  /** The newest of two copies of a logical block. The other one stays what an interrupted update left behind. */
  #newer(one: Block, other: Block): Block {
    const sequence = (block: Block): bigint => (block.vid as VidValues).sequence;
    if (sequence(one) === sequence(other)) {
      const at = within(other.offset + this.#geometry.vidHeaderOffset, vidHeader.at.sequence);
      const what = `sequence number of erase block ${other.index}`;
      const expected = `another one than that of erase block ${one.index}, which is the same logical block`;
      this.#say(finding('structure-invalid', at, { what, expected, actual: Number(sequence(other)) }));
    }
    let [newer, older] = sequence(other) > sequence(one) ? [other, one] : [one, other];
    // A copy that wear levelling had not finished counts for nothing.
    if ((newer.vid as VidValues).copyFlag === 1 && !this.#dataOk(newer)) [newer, older] = [older, newer];
    this.#outdated.add(older);
    return newer;
  }

  #dataOk(block: Block): boolean {
    const { dataLength, dataChecksum } = block.vid as VidValues;
    const data = this.#dataOf(block, dataLength);
    return data.length === dataLength && jamcrc(this.#bytes.subarray(data.offset, data.offset + data.length)) === dataChecksum;
  }

  /** The first `length` bytes of a block's data, as far as they are there. */
  #dataOf(block: Block, length: number): Range {
    const { dataOffset } = this.#geometry;
    return { offset: block.offset + dataOffset, length: Math.max(0, Math.min(length, block.length - dataOffset)) };
  }

  #blocksOf(volumeId: number): Map<number, Block> {
    const found = new Map<number, Block>();
    for (const block of this.blocks) {
      if (!block.vidOk || block.vid?.volumeId !== volumeId) continue;
      const same = found.get(block.vid.block);
      found.set(block.vid.block, same === undefined ? block : this.#newer(same, block));
    }
    return found;
  }

  get #tableLength(): number {
    const { pebLength, dataOffset } = this.#geometry;
    return Math.min(mostVolumes, Math.floor((pebLength - dataOffset) / tableRecord.length)) * tableRecord.length;
  }

  /** Both copies of the volume table are checked; the first good one counts. */
  #readTable(): TableEntry[] | undefined {
    const blocks = this.#blocksOf(tableVolume);
    if (blocks.size === 0) {
      this.#say(finding('member-missing', { offset: 0, length: this.end }, { member: 'volume table', container: 'UBI image' }));
      return undefined;
    }
    const copies = [...Array(tableCopies).keys()].flatMap((number) => {
      const block = blocks.get(number);
      if (block === undefined) {
        this.#say(
          finding('block-missing', { offset: Math.min(number * this.#geometry.pebLength, this.end), length: 0 }, { volume: 'volume table', block: number }),
        );
        return [];
      }
      return [this.#readTableCopy(number, block)];
    });
    const [first, second] = copies;
    if (first === undefined) return undefined;
    if (second !== undefined && first.good && second.good && hexBytes(this.#slice(first.place)) !== hexBytes(this.#slice(second.place))) {
      this.#say(finding('structure-invalid', second.place, { what: 'second volume table', expected: 'the same as the first one', actual: 'another one' }));
    }
    const used = first.good || second === undefined || !second.good ? first : second;
    return used.entries;
  }

  #slice({ offset, length }: Range): Uint8Array {
    return this.#bytes.subarray(offset, offset + length);
  }

  #readTableCopy(number: number, block: Block): { place: Range; good: boolean; entries: TableEntry[] } {
    const place = this.#dataOf(block, this.#tableLength);
    const entries: TableEntry[] = [];
    let good = place.length === this.#tableLength;
    for (let id = 0; (id + 1) * tableRecord.length <= place.length; id += 1) {
      const at = { offset: place.offset + id * tableRecord.length, length: tableRecord.length };
      const values = tableRecord.read(this.#bytes, at.offset);
      const computed = jamcrc(this.#bytes.subarray(at.offset, at.offset + coveredByRecord));
      this.checks.add('volume-table-crc', () => `record ${id} in copy ${number}`, {
        code: 'header-checksum-mismatch',
        stored: values.checksum,
        computed,
        at: within(at.offset, tableRecord.at.checksum),
        covers: [{ offset: at.offset, length: coveredByRecord }],
      });
      good &&= computed === values.checksum;
      const sensible = values.nameLength <= longestName && typeNames[values.volumeType] !== undefined;
      if (values.reservedPebs === 0 || (computed !== values.checksum && !sensible)) continue;
      entries.push({ id, name: printable(values.name.subarray(0, values.nameLength)), at, values });
    }
    return { place, good, entries };
  }

  #describe(table: readonly TableEntry[] | undefined): void {
    const { pebLength } = this.#geometry;
    const [first] = this.blocks;
    if (first?.ec !== undefined) this.fields.push(...ecHeader.fields(first.ec).filter(({ name }) => !name.startsWith('padding')));
    this.fields.push({ name: 'pebLength', offset: 0, length: Math.min(pebLength, this.end), value: pebLength });
    this.fields.push({ name: 'pebCount', offset: 0, length: this.end, value: Math.ceil(this.end / pebLength) });
    const markers = this.blocks.filter(isEof);
    if (markers[0] !== undefined) this.fields.push({ name: 'eofMarkers', offset: markers[0].offset, length: headerLength, value: markers.length });
    for (const { id, at, values } of table ?? []) {
      const flags = [
        ...((values.flags & flagAutoresize) !== 0 ? ['grows to all that is free when first attached'] : []),
        ...((values.flags & flagSkipCheck) !== 0 ? ['not checked when opened'] : []),
      ];
      const meanings = { volumeType: typeNames[values.volumeType] ?? 'not defined', ...(flags.length > 0 ? { flags: flags.join(', ') } : {}) };
      const fields = tableRecord.fields(values, meanings, at.offset).filter(({ name }) => name !== 'padding');
      this.fields.push(...fields.map((field) => ({ ...field, name: `volume${id}.${field.name}` })));
    }
    this.fields.length = Math.min(this.fields.length, this.#shown);
  }

  #checkRecord({ id, at, values }: TableEntry): void {
    const { pebLength, dataOffset } = this.#geometry;
    const lebLength = pebLength - dataOffset;
    const { reservedPebs, alignment, dataPadding, volumeType, updateMarker, nameLength, name } = values;
    const invalid = (field: keyof RecordValues, what: string, expected: string, actual: number | string): void =>
      this.#say(finding('structure-invalid', within(at.offset, tableRecord.at[field]), { what: `${what} of UBI volume ${id}`, expected, actual }));
    const most = Math.floor(largestFlash / pebLength);
    if (reservedPebs > most) invalid('reservedPebs', 'number of erase blocks', `at most ${most} (64 GiB of flash)`, reservedPebs);
    if (alignment === 0 || alignment > lebLength) invalid('alignment', 'alignment', `1 to ${lebLength}`, alignment);
    else if (dataPadding !== lebLength % alignment) invalid('dataPadding', 'padding', `${lebLength % alignment}`, dataPadding);
    if (typeNames[volumeType] === undefined) invalid('volumeType', 'type', '1 (dynamic) or 2 (static)', volumeType);
    if (updateMarker !== 0) invalid('updateMarker', 'update marker', '0, as 1 means that an update was interrupted', updateMarker);
    const end = name.indexOf(0);
    if (nameLength === 0 || nameLength > longestName) invalid('nameLength', 'length of the name', `1 to ${longestName}`, nameLength);
    else if (end !== nameLength) invalid('name', 'name', `${nameLength} bytes and a NUL`, printable(name));
  }

  #readVolumes(table: readonly TableEntry[] | undefined): void {
    if (table === undefined) return;
    const names = new Set<string>();
    for (const entry of table) {
      this.#checkRecord(entry);
      if (names.has(entry.name)) {
        const place = within(entry.at.offset, tableRecord.at.name);
        this.#say(finding('structure-invalid', place, { what: `name of UBI volume ${entry.id}`, expected: 'a name that no other has', actual: entry.name }));
      }
      names.add(entry.name);
    }
    const known = new Set(table.map(({ id }) => id));
    for (const block of this.blocks) {
      const { vid, vidOk, index } = block;
      // A system that removes a volume leaves its blocks to be erased later: only in a new image they are wrong.
      if (!vidOk || vid === undefined || vid.volumeId >= firstInternalVolume || known.has(vid.volumeId) || !this.pristine) continue;
      const place = within(block.offset + this.#geometry.vidHeaderOffset, vidHeader.at.volumeId);
      this.#say(finding('structure-invalid', place, { what: `volume of erase block ${index}`, expected: 'one of the volume table', actual: vid.volumeId }));
    }
    for (const entry of table) this.#readVolume({ ...entry, blocks: this.#blocksOf(entry.id) });
  }

  #readVolume(volume: Volume): void {
    this.volumes.push(volume);
    for (const block of volume.blocks.values()) this.#checkVolumeBlock(volume, block);
    const { values, blocks, name } = volume;
    const numbers = [...blocks.keys()].sort((a, b) => a - b);
    const highest = numbers.at(-1) ?? -1;
    const isFixed = values.volumeType === fixed;
    const stated = isFixed ? (commonest([...blocks.values()].map(({ vid }) => (vid as VidValues).usedBlocks)) ?? 0) : 0;
    const count = Math.max(stated, highest + 1, neededVolumes.has(name) ? 1 : 0);
    // In flash, a dynamic volume may have blocks that were never written; they read as FF.
    if (isFixed || this.pristine) this.#sayMissing(volume, numbers, count);
    this.#gather(volume, isFixed || this.pristine ? count : Math.max(count, values.reservedPebs), !isFixed && !this.pristine);
  }

  #usable({ values }: Volume): number {
    const { pebLength, dataOffset } = this.#geometry;
    return Math.max(0, pebLength - dataOffset - values.dataPadding);
  }

  #checkVolumeBlock(volume: Volume, block: Block): void {
    const vid = block.vid as VidValues;
    const { values, name } = volume;
    const offset = block.offset + this.#geometry.vidHeaderOffset;
    const at = (field: keyof VidValues): Range => within(offset, vidHeader.at[field]);
    const compareWithTable = (field: 'volumeType' | 'dataPadding', what: string): void => {
      if (vid[field] === values[field]) return;
      const args = { what: `${what} in erase block ${block.index}`, expected: `${values[field]} as in the volume table`, actual: vid[field] };
      this.#say(finding('structure-invalid', at(field), args));
    };
    compareWithTable('volumeType', 'volume type');
    compareWithTable('dataPadding', 'padding');
    if (vid.block >= values.reservedPebs) {
      const args = {
        what: `logical block number in erase block ${block.index}`,
        expected: `less than the ${values.reservedPebs} of "${name}"`,
        actual: vid.block,
      };
      this.#say(finding('structure-invalid', at('block'), args));
    }
    if (values.volumeType === fixed) this.#checkFixedLength(volume, vid, at);
    else if (vid.copyFlag !== 1) return;
    const data = this.#dataOf(block, vid.dataLength);
    this.checks.add('volume-data-crc', () => `"${name}", logical block ${vid.block}`, {
      code: 'data-checksum-mismatch',
      stored: data.length === vid.dataLength ? vid.dataChecksum : null,
      computed: jamcrc(this.#slice(data)),
      at: at('dataChecksum'),
      covers: [data],
    });
  }

  #checkFixedLength(volume: Volume, { block, usedBlocks, dataLength }: VidValues, at: (field: keyof VidValues) => Range): void {
    const usable = this.#usable(volume);
    const last = block === usedBlocks - 1;
    const what = `logical block ${block} of the static volume "${volume.name}"`;
    if (block >= usedBlocks)
      this.#say(finding('structure-invalid', at('usedBlocks'), { what: `number of blocks with ${what}`, expected: `more than ${block}`, actual: usedBlocks }));
    else if (dataLength > usable || (!last && dataLength !== usable) || dataLength === 0) {
      const expected = last ? `1 to ${usable}` : `${usable}`;
      this.#say(finding('structure-invalid', at('dataLength'), { what: `length of ${what}`, expected, actual: dataLength }));
    }
  }

  /** One finding for each logical block below `count` that is not there, where it would stand. */
  #sayMissing({ id, name, blocks }: Volume, numbers: readonly number[], count: number): void {
    let number = 0;
    for (const present of [...numbers, count]) {
      for (; number < present && !this.#hidden; number += 1) {
        const next =
          blocks.get(present) ?? this.blocks.find(({ vid, vidOk }) => vidOk && vid !== undefined && vid.volumeId > id && vid.volumeId < firstInternalVolume);
        this.#say(finding('block-missing', { offset: next?.offset ?? this.end, length: 0 }, { volume: name, block: number }));
      }
      number = present + 1;
    }
  }

  /** Puts the volume's data together, up to the first block that is missing unless holes read as FF. */
  #gather(volume: Volume, count: number, holes: boolean): void {
    const usable = this.#usable(volume);
    const { blocks, values, name } = volume;
    if (blocks.size === 0 || usable === 0) return;
    const ranges: Range[] = [];
    for (let number = 0; number < count; number += 1) {
      const block = blocks.get(number);
      if (block === undefined) {
        if (!holes || this.#holes === 0) break;
        this.#holes -= 1;
        ranges.push({ offset: nowhere, length: usable });
        continue;
      }
      const length = values.volumeType === fixed ? Math.min(usable, (block.vid as VidValues).dataLength) : usable;
      const range = this.#dataOf(block, length);
      if (range.length > 0) ranges.push(range);
      if (range.length < length) break;
    }
    if (ranges.length === 0) return;
    const bytes = new Uint8Array(ranges.reduce((sum, { length }) => sum + length, 0));
    let position = 0;
    for (const range of ranges) {
      if (range.offset === nowhere) bytes.fill(0xff, position, position + range.length);
      else bytes.set(this.#slice(range), position);
      position += range.length;
    }
    this.payloads.push({ label: name, ranges, gathered: { bytes, by: 'ubi' }, content: 'slice', boots: neededVolumes.has(name) });
  }

  #region(kind: Region['kind'], label: string, offset: number, end: number): void {
    if (end > offset) this.regions.push(region(kind, label, offset, end - offset));
  }

  #tile(): void {
    const { vidHeaderOffset, dataOffset } = this.#geometry;
    const volumes = new Map(this.volumes.map((volume) => [volume.id, volume]));
    let position = 0;
    for (const block of this.blocks) {
      const { offset, length, ec, vid, erased } = block;
      this.#region('unknown', 'erase block without a header', position, offset);
      const end = offset + length;
      position = end;
      if (erased) {
        this.#region('padding', 'erased block', offset, end);
        continue;
      }
      const headerEnd = Math.min(end, offset + headerLength);
      this.#region('header', isEof(block) ? 'end marker' : 'EC header', offset, headerEnd);
      if (ec === undefined) continue;
      if (vid === undefined) {
        const free = erasedLength(this.#bytes.subarray(headerEnd, end)) === end - headerEnd;
        this.#region(free ? 'padding' : 'unknown', free ? 'free' : 'erase block without a VID header', headerEnd, end);
        continue;
      }
      const vidEnd = offset + vidHeaderOffset + headerLength;
      const data = Math.min(end, offset + dataOffset);
      this.#region('padding', 'to the VID header', headerEnd, offset + vidHeaderOffset);
      this.#region('header', 'VID header', offset + vidHeaderOffset, vidEnd);
      this.#region('padding', 'to the data', vidEnd, data);
      this.#tileData(block, vid, volumes.get(vid.volumeId), data, end);
    }
  }

  #tileData(block: Block, vid: VidValues, volume: Volume | undefined, offset: number, end: number): void {
    const rest = (kind: Region['kind'], label: string, length: number): void => {
      this.#region(kind, label, offset, Math.min(end, offset + length));
      this.#region('padding', 'to the end of the erase block', Math.min(end, offset + length), end);
    };
    const data = this.#bytes.subarray(offset, end);
    const written = data.at(-1) !== 0xff ? data.length : data.length - (erasedLength(data) === data.length ? data.length : trailingPadding(data));
    if (!block.vidOk) rest('unknown', 'data with a damaged VID header', written);
    else if (vid.volumeId === tableVolume) rest('header', 'volume table', this.#tableLength);
    else if (vid.volumeId >= firstInternalVolume) rest('metadata', 'fastmap', written);
    else if (volume === undefined) rest('unknown', 'data of no volume', written);
    else if (this.#outdated.has(block)) rest('metadata', `older copy of "${volume.name}"`, written);
    else rest('payload', volume.name, volume.values.volumeType === fixed ? vid.dataLength : Math.min(written, this.#usable(volume)));
  }

  /** What ubinize was given, where the image is one that ubinize writes. */
  input(): UbiInput | undefined {
    const [first, second] = this.blocks;
    const written = this.blocks.every(
      (block) => block.ec !== undefined && block.ec.eraseCounter === first?.ec?.eraseCounter && (block.vid !== undefined || isEof(block)),
    );
    const tableFirst = first?.vid?.volumeId === tableVolume && second?.vid?.volumeId === tableVolume;
    if (!this.pristine || !written || !tableFirst || this.findings.length > 0 || first.ec === undefined) return undefined;
    const position = ({ blocks }: Volume): number => blocks.get(0)?.index ?? this.blocks.length;
    const volumes = this.volumes
      .toSorted((a, b) => position(a) - position(b))
      .map(({ id, name, values }): UbiVolume => {
        const { volumeType, alignment, reservedPebs, flags } = values;
        const data = this.payloads.find(({ label }) => label === name)?.gathered?.bytes ?? new Uint8Array(0);
        return {
          id,
          name,
          type: volumeType === fixed ? 'static' : 'dynamic',
          alignment,
          reservedPebs,
          data,
          ...((flags & flagAutoresize) !== 0 ? { autoresize: true } : {}),
          ...((flags & flagSkipCheck) !== 0 ? { skipCheck: true } : {}),
        };
      });
    const { imageSequence, eraseCounter } = first.ec;
    return { ...this.#geometry, imageSequence, eraseCounter: Number(eraseCounter), volumes, eofMarkers: this.blocks.filter(isEof).length };
  }

  kind(): Kind {
    const has = (names: ReadonlySet<string>): boolean => this.volumes.some(({ name }) => names.has(name));
    if (has(bothVolumes) || (has(kernelVolumes) && has(rootVolumes))) return 'factory';
    // A kernel with nothing to mount carries its root file system inside.
    return has(kernelVolumes) ? 'initramfs' : 'rootfs';
  }
}

/** All that can be said where no EC header makes sense. */
function headerOnly(bytes: Uint8Array): Reading<UbiInput> {
  const values = ecHeader.read(bytes);
  const { vidHeaderOffset, dataOffset } = values;
  const stored = { stored: values.checksum, at: ecHeader.at.checksum, covers: [{ offset: 0, length: coveredByHeader }] };
  const place = { offset: ecHeader.at.vidHeaderOffset.offset, length: 8 };
  const expected = `the VID header behind ${headerLength}, the data ${headerLength} behind that`;
  return {
    length: headerLength,
    summary: 'UBI image, no usable header',
    fields: ecHeader.fields(values),
    regions: [region('header', 'EC header', 0, headerLength)],
    checks: [
      compare({ ...stored, code: 'header-checksum-mismatch', name: 'ec-crc', algorithm: 'jamcrc', computed: jamcrc(bytes.subarray(0, coveredByHeader)) }),
    ],
    findings: [finding('structure-invalid', place, { what: 'UBI geometry', expected, actual: `${vidHeaderOffset} and ${dataOffset}` })],
    identities: [],
    payloads: [],
  };
}

/** Reads the image to its last erase block. */
function readUbi(bytes: Uint8Array, limits: Limits): Reading<UbiInput> {
  if (bytes.length < headerLength) {
    const place = { offset: 0, length: bytes.length };
    const cut = finding('header-truncated', place, { what: 'a UBI erase counter header', length: headerLength, available: bytes.length });
    return truncatedHeader('UBI', headerLength, cut, bytes.length);
  }
  const geometry = findGeometry(bytes);
  if (geometry === undefined) return headerOnly(bytes);
  const reader = new Reader(bytes, geometry, scan(bytes, geometry, limits.entries), limits.shown);
  reader.read();
  const names = reader.volumes.map(({ name }) => `"${name}"`).join(', ');
  const input = reader.input();
  return {
    length: reader.end,
    summary: `UBI image (${plural(reader.blocks.length, 'erase block')} of ${geometry.pebLength}${names === '' ? '' : `, volumes ${names}`})`,
    kind: reader.kind(),
    fields: reader.fields,
    regions: reader.regions,
    checks: reader.checks.all(),
    findings: reader.findings,
    identities: [],
    payloads: reader.payloads,
    ...(input === undefined ? {} : { input: () => input }),
  };
}

const impossible = ({ name, words }: StepUse, reason: string): OwimgError =>
  new OwimgError('conversion-impossible', `Cannot take the image apart at the step "${[name, ...words].join(' ')}": ${reason}`);

/** The UBI image that scripts/ubinize-image.sh makes. */
function composeUbi(made: Uint8Array, use: ComposeUse): Uint8Array {
  const command = ubinizeCommand(use);
  const { flash, eraseCounter, version, eofMarkers } = command;
  const planned = [...command.volumes, ...(command.rootfs ? rootVolumesFor(use.part('rootfs')) : [])];
  const offsets = ubinizeOffsets(flash);
  const imageSequence = Number(use.build('epoch'));
  if (!Number.isInteger(imageSequence) || imageSequence < 0 || imageSequence > 0xffffffff) {
    throw new OwimgError('bad-value', `Cannot number a UBI image by the time ${use.build('epoch')}: expected seconds since 1970, 0 to ${0xffffffff}`);
  }
  const volumes = planned.map(({ name, type, source, length, unit = 1, autoresize = false }, id): UbiVolume => {
    const data = source === 'nothing' ? new Uint8Array() : source === 'made' ? made : use.part(source.part);
    if (source !== 'nothing' && data.length === 0)
      throw new OwimgError('conversion-impossible', `Cannot make a UBI image: nothing is to lie in its volume "${name}"`);
    const reserved = length ?? Math.ceil(data.length / unit) * unit;
    return {
      id,
      name,
      type,
      alignment: 1,
      reservedPebs: Math.ceil(reserved / (flash.pebLength - offsets.dataOffset)),
      data,
      ...(autoresize ? { autoresize } : {}),
    };
  });
  return buildUbi({ pebLength: flash.pebLength, ...offsets, imageSequence, eraseCounter, version, volumes, eofMarkers });
}

/** What the volumes hold of what the recipe made so far; the parts are handed out. */
async function decomposeUbi(image: Uint8Array, use: DecomposeUse): Promise<Uint8Array> {
  const command = ubinizeCommand(use);
  const reading = readUbi(image, defaultLimits);
  const input = await reading.input?.();
  if (input === undefined) {
    const why = reading.findings[0]?.message ?? 'Perhaps it is a copy of flash memory that was in use.';
    throw impossible(use, `its UBI image is not one that ubinize writes. ${why}`);
  }
  const found = new Map(input.volumes.map((volume) => [volume.name, volume]));
  const root = found.get('rootfs');
  if (command.rootfs && root === undefined) throw impossible(use, `its UBI image lacks the volume "rootfs"`);
  const planned = [...command.volumes, ...(root === undefined || !command.rootfs ? [] : rootVolumesFor(root.data))];
  const other = input.volumes.find(({ name }) => !planned.some((volume) => volume.name === name));
  if (other !== undefined) throw impossible(use, `its volume "${other.name}" is none of ${planned.map(({ name }) => `"${name}"`).join(', ')}`);
  let made: Uint8Array = new Uint8Array();
  for (const { name, source } of planned) {
    const volume = found.get(name);
    if (volume === undefined) throw impossible(use, `its UBI image lacks the volume "${name}"`);
    if (source === 'nothing') continue;
    if (volume.data.length === 0) throw impossible(use, `its volume "${name}" is empty`);
    if (source === 'made') made = volume.data;
    // Only a static volume knows where its content ends. A UBIFS takes whole blocks.
    else await use.found(source.part, volume.data, volume.type === 'dynamic' && fileSystemType(volume.data) !== 'ubifs');
  }
  if (input.imageSequence > 0) use.tells('epoch', String(input.imageSequence));
  return made;
}

const appended = (image: Uint8Array, use: ComposeUse): Uint8Array => joined([image, composeUbi(image, use)]);

/** What stands in front of the UBI image, with its filler. */
async function decomposeAppended(image: Uint8Array, use: DecomposeUse): Promise<Uint8Array> {
  const pieces = await use.pieces(image);
  const [piece, second] = pieces.filter(({ format }) => format === 'ubi');
  if (piece === undefined) throw impossible(use, `no UBI image was found in its ${byteCount(image.length)}`);
  if (second !== undefined)
    throw impossible(use, `it holds a UBI image at ${hexOffset(piece.offset)} and one at ${hexOffset(second.offset)}, and one was expected`);
  const end = piece.offset + piece.length;
  const behind = pieces.find(({ role, offset }) => offset >= end && role !== 'padding' && role !== 'mark');
  if (behind !== undefined)
    throw impossible(use, `behind the UBI image stand ${byteCount(behind.length)} at ${hexOffset(behind.offset)}, which no recipe puts there`);
  await decomposeUbi(image.subarray(piece.offset, end), use);
  return image.subarray(0, piece.offset);
}

/**
 * Some erase blocks of flash are bad from the start, and UBI keeps others for those to come: what the image must leave free.
 * Written down in OpenWrt's include/image-commands.mk (UBI_NAND_SIZE_LIMIT).
 */
function withSpare(image: Uint8Array, { device }: StepUse): Uint8Array {
  const { image: most, nand, block = 0 } = device.sizes;
  if (most === undefined || nand === undefined) return image;
  const limit = most - (Math.floor((nand * 20) / 1024) + 4 * block);
  if (image.length <= limit) return image;
  throw new OwimgError(
    'conversion-impossible',
    `The image would be too big for the device: ${byteCount(image.length)}, and the limit is ${byteCount(limit)}`,
    `It is ${byteCount(image.length - limit)} too big. Build or download one with fewer packages.`,
  );
}

export const ubi: Format<UbiInput> = {
  id: 'ubi',
  title: 'UBI image',
  summary: 'Volumes on raw NAND flash, erase block by erase block, as ubinize makes them: what most NAND devices have as factory image, or behind the kernel.',
  role: 'rootfs',
  kind: 'rootfs',
  references: [
    { title: 'Linux drivers/mtd/ubi/ubi-media.h', url: 'https://github.com/torvalds/linux/blob/v6.12/drivers/mtd/ubi/ubi-media.h' },
    { title: 'mtd-utils lib/libubigen.c', url: 'https://github.com/sigma-star/mtd-utils/blob/v2.1.5/lib/libubigen.c' },
    {
      title: 'OpenWrt patch for end markers',
      url: 'https://github.com/openwrt/openwrt/blob/3d1645ee/tools/mtd-utils/patches/201-ubinize-add-terminator-support.patch',
    },
  ],
  limitations: ['A fastmap, which only a system in use writes, is shown but not read.'],
  magics: [{ offset: 0, bytes: toBytes('UBI#') }],

  detect(bytes) {
    if (bytes.length < 4) return 'no';
    const magic = magicAt(bytes, 0);
    if (bytes.length < headerLength) return magic === ecMagic ? 'maybe' : 'no';
    if (magic !== ecMagic && magic >>> 24 !== ecMagic >>> 24 && bytes[4] !== 1) return 'no';
    const right = headerChecksumOk(bytes, 0, ecMagic);
    if (magic !== ecMagic) return right ? 'maybe' : 'no';
    return right && possibleOffsets(ecHeader.read(bytes)) ? 'yes' : 'maybe';
  },

  parse: (bytes, { budget }) => readUbi(bytes, budget.limits),

  build: buildUbi,

  recipeSteps: {
    'append-ubi': { compose: (image, use) => withSpare(appended(image, use), use), decompose: decomposeAppended },
    'ubinize-image': { compose: appended, decompose: decomposeAppended },
    'ubinize-kernel': { compose: composeUbi, decompose: decomposeUbi },
  },
};
