/**
 * UBI images as ubinize writes them: the headers, and what is made of volumes. All numbers are big endian.
 *
 * Layout: Linux drivers/mtd/ubi/ubi-media.h. What ubinize makes of its options: mtd-utils lib/libubigen.c, ubi-utils/ubinize.c;
 * the end markers: OpenWrt's patches for it.
 */
import { jamcrc } from './checksums.ts';
import { OwimgError } from './errors.ts';
import { toBytes } from './hex.ts';
import { hex32, bytes as raw, rawText, struct, u8, u16, u32, u64 } from './struct.ts';

export const ecHeader = struct('big', {
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

export const vidHeader = struct('big', {
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

export const tableRecord = struct('big', {
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

export type EcValues = ReturnType<typeof ecHeader.read>;
export type VidValues = ReturnType<typeof vidHeader.read>;
export type RecordValues = ReturnType<typeof tableRecord.read>;

export const ecMagic = 0x55424923; // "UBI#"
export const vidMagic = 0x55424921; // "UBI!"
export const headerLength = ecHeader.length;
export const eofText = 'EOF';

/** The volume whose content is the volume table. */
export const tableVolume = 0x7fffefff;
export const tableCopies = 2;
export const mostVolumes = 128;
export const longestName = 127;
/** The volume table's VID header says that a system which does not know it must not go on. */
const compatibilityReject = 5;

export const [dynamic, fixed] = [1, 2];
export const [flagAutoresize, flagSkipCheck] = [1, 2];

const largestDataOffset = 1024 * 1024;

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
  /** Of UBI; 1 without it, and there is no other. */
  readonly version?: number;
  readonly volumes: readonly UbiVolume[];
  /** End markers of OpenWrt behind the volumes. */
  readonly eofMarkers?: number;
}

/** Whether headers and data can stand at these places of an erase block. */
export const possibleOffsets = ({ vidHeaderOffset, dataOffset }: Pick<EcValues, 'vidHeaderOffset' | 'dataOffset'>): boolean =>
  vidHeaderOffset >= headerLength && dataOffset >= vidHeaderOffset + headerLength && dataOffset <= largestDataOffset;

/** Flash as ubinize is told of it; bytes. */
export interface UbinizeFlash {
  /** `-p` */
  readonly pebLength: number;
  /** `-m`: the smallest unit that can be written, a page of NAND. */
  readonly minimumIo: number;
  /** `-s`: what headers are written in, a page without it. */
  readonly subpage?: number | undefined;
  /** `-O`: the first sub-page behind the EC header without it. */
  readonly vidHeaderOffset?: number | undefined;
}

/** Where ubinize puts the VID header and the data of an erase block. */
export function ubinizeOffsets({ minimumIo, subpage = minimumIo, vidHeaderOffset }: UbinizeFlash): { vidHeaderOffset: number; dataOffset: number } {
  const roundUp = (length: number, unit: number): number => Math.ceil(length / unit) * unit;
  const header = vidHeaderOffset ?? roundUp(ecHeader.length, subpage);
  return { vidHeaderOffset: header, dataOffset: roundUp(header + vidHeader.length, minimumIo) };
}

/**
 * The bytes that ubinize writes.
 *
 * @throws OwimgError `bad-value`
 */
export function buildUbi(input: UbiInput): Uint8Array {
  const { pebLength, vidHeaderOffset, dataOffset, imageSequence, eraseCounter, volumes, eofMarkers = 0, version = 1 } = input;
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
    const ec = { magic: ecMagic, version, eraseCounter: BigInt(eraseCounter), vidHeaderOffset, dataOffset, imageSequence, checksum: 0, ...padding };
    image.set(sealed(ecHeader.write(ec)), position);
    if (vid !== undefined) {
      const none = { padding1: new Uint8Array(4), padding2: new Uint8Array(4), padding3: new Uint8Array(12) };
      image.set(sealed(vidHeader.write({ magic: vidMagic, version, checksum: 0, ...none, ...vid })), position + vidHeaderOffset);
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
}

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
