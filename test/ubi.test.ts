import { expect, test } from 'vitest';
import { ubi } from '../formats/ubi.ts';
import { crc32 } from '../src/core/checksums.ts';
import { Budget } from '../src/core/limits.ts';
import type { UbiInput } from '../src/core/ubi-image.ts';
import { inspect } from '../src/index.ts';
import { fixtures, readFixture } from './support/fixtures.ts';

const fixture = (file: string): Uint8Array => readFixture(fixtures.find((entry) => entry.format === 'ubi' && entry.file === file) as { path: string });
const parse = (bytes: Uint8Array) => ubi.parse(bytes, { unpack: false, deep: false, budget: new Budget() });

const geometry = { pebLength: 4096, vidHeaderOffset: 64, dataOffset: 128, imageSequence: 7, eraseCounter: 0 };
const volume = { id: 0, name: 'data', type: 'dynamic', alignment: 1, reservedPebs: 4 } as const;
const blockLength = geometry.pebLength - geometry.dataOffset;

/** The image with a change to one VID header, its checksum made right again. */
function changeVid(image: Uint8Array, block: number, change: (view: DataView) => void): Uint8Array {
  const offset = block * geometry.pebLength + geometry.vidHeaderOffset;
  const view = new DataView(image.buffer, offset, 64);
  change(view);
  view.setUint32(60, ~crc32(image.subarray(offset, offset + 60)) >>> 0);
  return image;
}

const sequenceAt = 40;
const volumeImage = (blocks: number): Uint8Array => {
  const data = new Uint8Array(blocks * blockLength);
  for (let block = 0; block < blocks; block += 1) data.fill(block + 1, block * blockLength, (block + 1) * blockLength);
  return ubi.build?.({ ...geometry, volumes: [{ ...volume, data }] }) as Uint8Array;
};

test('ubi.parse() reads what ubinize was given', async () => {
  const input = (await parse(fixture('sound-16k-blocks.ubi'))).input?.() as UbiInput;
  expect({ ...input, volumes: input.volumes.map(({ data, ...rest }) => ({ ...rest, length: data.length })) }).toEqual({
    pebLength: 16384,
    vidHeaderOffset: 512,
    dataOffset: 1024,
    imageSequence: 1700000000,
    eraseCounter: 0,
    eofMarkers: 0,
    volumes: [
      { id: 0, name: 'kernel', type: 'dynamic', alignment: 1, reservedPebs: 1, length: 15360 },
      { id: 1, name: 'rootfs', type: 'dynamic', alignment: 1, reservedPebs: 1, length: 15360 },
      { id: 2, name: 'rootfs_data', type: 'dynamic', alignment: 1, reservedPebs: 5, autoresize: true, length: 0 },
    ],
  });
});

test('ubi.parse() finds the headers of NOR flash, where they stand side by side', async () => {
  const { fields } = await parse(fixture('sound-nor.ubi'));
  const values = Object.fromEntries(fields.map(({ name, value }) => [name, value]));
  expect(values).toMatchObject({ vidHeaderOffset: 64, dataOffset: 128, pebLength: 32768, pebCount: 3, imageSequence: 5, 'volume0.name': 'rootfs' });
});

test('ubi.parse() says where a gathered volume lies in the file, and checks inside of it cover those bytes', async () => {
  const { root, coverage } = await inspect(fixture('sound-static-volume.ubi'));
  const kernel = root.children.find((layer) => layer.label === 'kernel');
  expect(kernel).toMatchObject({ format: 'uimage', offset: 0, length: 5064 });
  expect(kernel?.source).toEqual({
    how: 'gathered',
    by: 'ubi',
    from: [
      { offset: 9216, length: 3072 },
      { offset: 13312, length: 1992 },
    ],
  });
  const dataCrc = coverage.ranges.filter(({ checks }) => checks.includes('data-crc')).map(({ offset, length }) => [offset, offset + length]);
  expect(dataCrc[0]?.[0]).toBe(9216 + 24);
  expect(dataCrc.at(-1)?.[1]).toBe(13312 + 1992);
});

test('ubi.parse() takes the newest of several copies of a logical block', async () => {
  const image = volumeImage(2);
  // Both data blocks become logical block 0; the second one is newer.
  changeVid(image, 2, (view) => view.setBigUint64(sequenceAt, 4n));
  changeVid(image, 3, (view) => {
    view.setUint32(12, 0);
    view.setBigUint64(sequenceAt, 5n);
  });
  const { payloads, findings, regions } = await parse(image);
  expect(findings).toEqual([]);
  expect(payloads[0]?.gathered?.bytes[0]).toBe(2);
  expect(regions.map(({ label }) => label)).toContain('older copy of "data"');
});

test('ubi.parse() falls back to the older copy where the newer one was not finished', async () => {
  const image = volumeImage(2);
  changeVid(image, 2, (view) => view.setBigUint64(sequenceAt, 4n));
  changeVid(image, 3, (view) => {
    view.setUint8(6, 1); // made by wear levelling,
    view.setUint32(12, 0);
    view.setUint32(20, 100); // of 100 bytes
    view.setUint32(32, 0x12345678); // whose checksum is another one
    view.setBigUint64(sequenceAt, 5n);
  });
  const { payloads, checks, findings } = await parse(image);
  expect(findings).toEqual([]);
  expect(checks.filter((check) => check.ok !== true)).toEqual([]);
  expect(payloads[0]?.gathered?.bytes[0]).toBe(1);
});

test('ubi.parse() reads blocks as FF that were never written, but only in an image that was in use', async () => {
  const hole = (sequence: bigint): Uint8Array =>
    changeVid(
      changeVid(volumeImage(2), 3, (view) => view.setUint32(12, 2)),
      3,
      (view) => view.setBigUint64(sequenceAt, sequence),
    );
  const used = await parse(hole(9n));
  const bytes = used.payloads[0]?.gathered?.bytes as Uint8Array;
  expect(used.findings).toEqual([]);
  expect([bytes.length, bytes[0], bytes[blockLength], bytes[2 * blockLength], bytes[3 * blockLength]]).toEqual([4 * blockLength, 1, 0xff, 2, 0xff]);
  expect((await parse(hole(0n))).findings.map(({ code, message }) => [code, message])).toEqual([['block-missing', 'Volume "data" lacks its logical block 1']]);
});

test('ubi.parse() does not take memory for blocks that a hostile number promises', async () => {
  const image = changeVid(volumeImage(2), 3, (view) => view.setBigUint64(sequenceAt, 9n));
  changeVid(image, 3, (view) => view.setUint32(12, 0xfffffff0));
  const { payloads, findings } = await parse(image);
  expect(payloads[0]?.gathered?.bytes.length).toBeLessThanOrEqual(3 * image.length);
  expect(findings.map(({ code }) => code)).toEqual(['structure-invalid']);
});

test('ubi.detect() knows an image whose first magic number is damaged', () => {
  expect(ubi.detect(fixture('magic-damaged--first-block.ubi'))).toBe('maybe');
  expect(ubi.detect(fixture('sound-nor.ubi'))).toBe('yes');
});

test.each<[string, Partial<UbiInput>, string]>([
  ['no room for data', { pebLength: 200 }, 'erase blocks of 200 bytes have no room'],
  ['an id outside of the table', { volumes: [{ ...volume, id: 23, data: new Uint8Array(0) }] }, 'the volume id 23 is not one of 0 to 22'],
  [
    'two volumes of one name',
    {
      volumes: [
        { ...volume, data: new Uint8Array(0) },
        { ...volume, id: 1, data: new Uint8Array(0) },
      ],
    },
    'two volumes have the name "data"',
  ],
  [
    'two volumes of one id',
    {
      volumes: [
        { ...volume, data: new Uint8Array(0) },
        { ...volume, name: 'b', data: new Uint8Array(0) },
      ],
    },
    'two volumes have the id 0',
  ],
  [
    'a volume larger than what is reserved',
    { volumes: [{ ...volume, data: new Uint8Array(5 * blockLength) }] },
    'the volume "data" needs 5 erase blocks, it has 4',
  ],
  ['a name without a letter', { volumes: [{ ...volume, name: '', data: new Uint8Array(0) }] }, 'has 0 characters'],
  ['an alignment of 0', { volumes: [{ ...volume, alignment: 0, data: new Uint8Array(0) }] }, 'the alignment 0 is not one of 1 to 3968'],
])('ubi.build() refuses %s', (_, change, message) => {
  expect(() => ubi.build?.({ ...geometry, volumes: [], ...change })).toThrow(message);
});
