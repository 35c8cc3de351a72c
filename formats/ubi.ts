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
import { CheckGroups, compare, jamcrc } from '../src/core/checksums.ts';
import { OwimgError } from '../src/core/errors.ts';
import { finding, type LocalFinding, lengthBeyondEnd } from '../src/core/findings.ts';
import { type Format, nowhere, type Payload, type Reading, region, truncatedHeader } from '../src/core/format.ts';
import { hex, hexBytes, latin1, printable, toBytes } from '../src/core/hex.ts';
import { runLength, trailingPadding } from '../src/core/padding.ts';
import { hex32, bytes as raw, rawText, struct, u8, u16, u32, u64 } from '../src/core/struct.ts';
import type { Field, Kind, Range, Region } from '../src/core/types.ts';

const ecHeader = struct('big', {
  magic: hex32,
  version: u8,
  padding1: raw(3), // "EOF" in an end marker of OpenWrt
  eraseCounter: u64, // ec
  vidHeaderOffset: u32, // vid_hdr_offset
  dataOffset: u32, // data_offset
  imageSequence: u32, // image_seq
  padding2: raw(32),
  checksum: hex32, // hdr_crc
});

const vidHeader = struct('big', {
  magic: hex32,
  version: u8,
  volumeType: u8, // vol_type
  copyFlag: u8,
  compatibility: u8, // compat
  volumeId: hex32, // vol_id
  block: u32, // lnum
  padding1: raw(4),
  dataLength: u32, // data_size
  usedBlocks: u32, // used_ebs
  dataPadding: u32, // data_pad
  dataChecksum: hex32, // data_crc
  padding2: raw(4),
  sequence: u64, // sqnum
  padding3: raw(12),
  checksum: hex32, // hdr_crc
});

const tableRecord = struct('big', {
  reservedPebs: u32,
  alignment: u32,
  dataPadding: u32, // data_pad
  volumeType: u8, // vol_type
  updateMarker: u8, // upd_marker
  nameLength: u16, // name_len
  name: rawText(128),
  flags: u8,
  padding: raw(23),
  checksum: hex32, // crc
});

type EcValues = ReturnType<typeof ecHeader.read>;
type VidValues = ReturnType<typeof vidHeader.read>;
type RecordValues = ReturnType<typeof tableRecord.read>;

const ecMagic = 0x55424923; // "UBI#"
const vidMagic = 0x55424921; // "UBI!"
const headerLength = ecHeader.length;
const coveredByHeader = headerLength - 4;
const coveredByRecord = tableRecord.length - 4;
const eofText = 'EOF';

/** Volume ids from here on are UBI's own: the table, and above it the fastmap. */
const firstInternalVolume = 0x7fffefff;
const tableVolume = firstInternalVolume;
const tableCopies = 2;
const mostVolumes = 128;
const longestName = 127;
/** The volume table's VID header says that a system which does not know it must not go on. */
const compatibilityReject = 5;

const [dynamic, fixed] = [1, 2];
const typeNames: Readonly<Record<number, string>> = { [dynamic]: 'dynamic', [fixed]: 'static' };
const [flagAutoresize, flagSkipCheck] = [1, 2];

/** How many neighbouring erase blocks may be unreadable before that counts as the end of the image. */
const longestGap = 8;
/** Where further EC headers are looked for to learn the length of an erase block. */
const searched = 16 * 1024 * 1024;
const enoughHeaders = 16;
const largestDataOffset = 1024 * 1024;
/** No raw flash is larger. */
const largestFlash = 64 * 1024 * 1024 * 1024;

/** Volumes by what they hold; OpenWrt boots none of these if it is empty. */
const kernelVolumes: ReadonlySet<string> = new Set(['kernel', 'boot']);
const rootVolumes: ReadonlySet<string> = new Set(['rootfs', 'ubi_rootfs']);
/** A FIT image that holds both. */
const bothVolumes: ReadonlySet<string> = new Set(['fit', 'firmware']);
const neededVolumes: ReadonlySet<string> = new Set([...kernelVolumes, ...rootVolumes, ...bothVolumes]);

export interface UbiVolume {
  readonly id: number;
  readonly name: string;
  readonly type: 'dynamic' | 'static';
  readonly alignment: number;
  readonly reservedPebs: number;
  readonly autoresize?: boolean;
  readonly skipCheck?: boolean;
  readonly data: Uint8Array;
}

/** What `build` takes: an image as ubinize writes it. Volumes in the order in which they are written. */
export interface UbiInput {
  readonly pebLength: number;
  readonly vidHeaderOffset: number;
  readonly dataOffset: number;
  readonly imageSequence: number;
  readonly eraseCounter: number;
  readonly volumes: readonly UbiVolume[];
  /** End markers of OpenWrt behind the volumes. */
  readonly eofMarkers?: number;
}

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

const possibleOffsets = ({ vidHeaderOffset, dataOffset }: Pick<EcValues, 'vidHeaderOffset' | 'dataOffset'>): boolean =>
  vidHeaderOffset >= headerLength && dataOffset >= vidHeaderOffset + headerLength && dataOffset <= largestDataOffset;

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

  parse(bytes, { budget }): Reading<UbiInput> {
    if (bytes.length < headerLength) {
      const place = { offset: 0, length: bytes.length };
      const cut = finding('header-truncated', place, { what: 'a UBI erase counter header', length: headerLength, available: bytes.length });
      return truncatedHeader('UBI', headerLength, cut, bytes.length);
    }
    const geometry = findGeometry(bytes);
    if (geometry === undefined) return headerOnly(bytes);
    const reader = new Reader(bytes, geometry, scan(bytes, geometry, budget.limits.entries), budget.limits.shown);
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
  },

  build(input) {
    const { pebLength, vidHeaderOffset, dataOffset, imageSequence, eraseCounter, volumes, eofMarkers = 0 } = input;
    const lebLength = pebLength - dataOffset;
    const slots = Math.min(mostVolumes, Math.floor(lebLength / tableRecord.length));
    if (!possibleOffsets(input) || slots < 1) {
      throw new OwimgError(
        'bad-value',
        `Cannot build a UBI image: erase blocks of ${pebLength} bytes have no room for data at ${dataOffset} behind a VID header at ${vidHeaderOffset}`,
      );
    }
    const usableOf = ({ alignment }: UbiVolume): number => lebLength - (lebLength % alignment);
    const blocksOf = (volume: UbiVolume): number => Math.ceil(volume.data.length / usableOf(volume));
    checkVolumes(volumes, slots, lebLength, blocksOf);
    const count = tableCopies + volumes.reduce((sum, volume) => sum + blocksOf(volume), 0) + eofMarkers;
    const image = new Uint8Array(count * pebLength).fill(0xff);
    let position = 0;
    const addBlock = (padding1: string, vid?: Omit<VidValues, 'magic' | 'version' | 'checksum' | `padding${1 | 2 | 3}`>, data?: Uint8Array): void => {
      const padding = { padding1: toBytes(padding1), padding2: new Uint8Array(32) };
      const ec = { magic: ecMagic, version: 1, eraseCounter: BigInt(eraseCounter), vidHeaderOffset, dataOffset, imageSequence, checksum: 0, ...padding };
      image.set(sealed(ecHeader.write(ec)), position);
      if (vid !== undefined) {
        const none = { padding1: new Uint8Array(4), padding2: new Uint8Array(4), padding3: new Uint8Array(12) };
        image.set(sealed(vidHeader.write({ magic: vidMagic, version: 1, checksum: 0, ...none, ...vid })), position + vidHeaderOffset);
      }
      if (data !== undefined) image.set(data, position + dataOffset);
      position += pebLength;
    };
    const vidOf = { copyFlag: 0, compatibility: 0, dataLength: 0, usedBlocks: 0, dataPadding: 0, dataChecksum: 0, sequence: 0n };
    const table = buildTable(volumes, slots, lebLength);
    for (let block = 0; block < tableCopies; block += 1) {
      addBlock('', { ...vidOf, volumeType: dynamic, compatibility: compatibilityReject, volumeId: tableVolume, block }, table);
    }
    for (const volume of volumes) {
      const usable = usableOf(volume);
      const usedBlocks = blocksOf(volume);
      for (let block = 0; block < usedBlocks; block += 1) {
        const data = volume.data.subarray(block * usable, (block + 1) * usable);
        const ofType =
          volume.type === 'static' ? { volumeType: fixed, usedBlocks, dataLength: data.length, dataChecksum: jamcrc(data) } : { volumeType: dynamic };
        addBlock('', { ...vidOf, volumeId: volume.id, block, dataPadding: lebLength - usable, ...ofType }, data);
      }
    }
    for (let marker = 0; marker < eofMarkers; marker += 1) addBlock(eofText);
    return image;
  },
};

/** The bytes with the checksum over all others in their last four. */
function sealed(bytes: Uint8Array): Uint8Array {
  const view = new DataView(bytes.buffer);
  view.setUint32(bytes.length - 4, jamcrc(bytes.subarray(0, bytes.length - 4)));
  return bytes;
}

function checkVolumes(volumes: readonly UbiVolume[], slots: number, lebLength: number, blocksOf: (volume: UbiVolume) => number): void {
  const refuse = (reason: string): never => {
    throw new OwimgError('bad-value', `Cannot build a UBI image: ${reason}`);
  };
  const ids = new Set<number>();
  const names = new Set<string>();
  for (const volume of volumes) {
    const { id, name, alignment, reservedPebs } = volume;
    if (!Number.isInteger(id) || id < 0 || id >= slots) refuse(`the volume id ${id} is not one of 0 to ${slots - 1}`);
    if (ids.has(id)) refuse(`two volumes have the id ${id}`);
    if (name.length < 1 || name.length > longestName) refuse(`the volume name "${name}" has ${name.length} characters, expected 1 to ${longestName}`);
    if (names.has(name)) refuse(`two volumes have the name "${name}"`);
    if (!Number.isInteger(alignment) || alignment < 1 || alignment > lebLength) refuse(`the alignment ${alignment} is not one of 1 to ${lebLength}`);
    if (blocksOf(volume) > reservedPebs) refuse(`the volume "${name}" needs ${blocksOf(volume)} erase blocks, it has ${reservedPebs}`);
    ids.add(id);
    names.add(name);
  }
}

function buildTable(volumes: readonly UbiVolume[], slots: number, lebLength: number): Uint8Array {
  const table = new Uint8Array(slots * tableRecord.length);
  for (let id = 0; id < slots; id += 1) {
    const volume = volumes.find((entry) => entry.id === id);
    const name = toBytes(volume?.name ?? '');
    const record = tableRecord.write({
      reservedPebs: volume?.reservedPebs ?? 0,
      alignment: volume?.alignment ?? 0,
      dataPadding: volume === undefined ? 0 : lebLength % volume.alignment,
      volumeType: volume === undefined ? 0 : volume.type === 'static' ? fixed : dynamic,
      updateMarker: 0,
      nameLength: name.length,
      name,
      flags: (volume?.autoresize === true ? flagAutoresize : 0) | (volume?.skipCheck === true ? flagSkipCheck : 0),
      padding: new Uint8Array(23),
      checksum: 0,
    });
    table.set(sealed(record), id * tableRecord.length);
  }
  return table;
}
