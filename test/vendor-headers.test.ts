/** What is special in the headers of Linksys, Asus, Netgear, Buffalo and D-Link; all else the laws test. */
import { describe, expect, test } from 'vitest';
import { asusTrx } from '../formats/asus-trx.ts';
import { chdr } from '../formats/chdr.ts';
import { cybertan } from '../formats/cybertan.ts';
import { motorola } from '../formats/motorola.ts';
import { netgearChk } from '../formats/netgear-chk.ts';
import { netgearDni } from '../formats/netgear-dni.ts';
import { seama } from '../formats/seama.ts';
import { trx } from '../formats/trx.ts';
import { netgearSum } from '../src/core/checksums.ts';
import type { AnyFormat } from '../src/core/format.ts';
import { hexBytes, toBytes } from '../src/core/hex.ts';
import { allLayers } from '../src/core/layers.ts';
import { Budget } from '../src/core/limits.ts';
import { type Inspection, inspect } from '../src/index.ts';
import { fixtures, readFixture } from './support/fixtures.ts';

function fixture(path: string): Uint8Array {
  const found = fixtures.find(({ format, file }) => `${format}/${file}` === path);
  if (found === undefined) throw new Error(`no fixture ${path}`);
  return readFixture(found);
}

const fieldsOf = (result: Inspection): Record<string, unknown> => Object.fromEntries(result.root.fields.map(({ name, value }) => [name, value]) ?? []);
const layersOf = (result: Inspection): string[] => allLayers(result.root).map(({ format, offset }) => `${format}@${offset}`);
const kernel = fixture('netgear-chk/sound-kernel-and-rootfs.chk').subarray(58, 58 + 13359);
const context = { unpack: false, deep: false, budget: new Budget() };
const build = (format: AnyFormat, input: unknown): Uint8Array => (format.build as (input: unknown) => Uint8Array)(input);

describe('cybertan', () => {
  const none = new Uint8Array(2);
  /** What addpattern makes of a TRX with `-p W54G -4`, at the time that the fixtures were made. */
  const w54g = {
    pattern: 'W54G',
    date: [23, 11, 14],
    version: [4, 20, 6],
    hardwareVersion: 0,
    serial: 0,
    flags: Uint8Array.of(0x1f, 0),
    stable: none,
    try1: none,
    try2: none,
    try3: none,
    reserved: none,
  };

  test('parse() reads what addpattern -5 puts in', async () => {
    const result = await inspect(fixture('cybertan/sound-pattern-5.bin'));
    expect(fieldsOf(result)).toMatchObject({
      pattern: 'EA65',
      date: '23-11-14',
      version: '1.1.40',
      id: 'U2ND',
      serial: 60,
      stable: '7300',
      try1: '7400',
      try2: 'ffff',
    });
    expect(result.identities).toContainEqual({ source: 'cybertan.pattern', value: 'EA65', offset: 0 });
    expect(layersOf(result)).toContain('trx@32');
  });

  test('build() gives the bytes of addpattern for the same values', () => {
    const made = fixture('cybertan/sound-w54g.bin');
    expect(build(cybertan, { ...w54g, image: made.subarray(32) })).toEqual(made);
  });

  test('build() fills the file up as addpattern -g does', () => {
    const made = build(cybertan, { ...w54g, image: kernel, padded: true });
    expect(made.length).toBe(14 * 1024);
    expect(new Set(made.subarray(32 + kernel.length))).toEqual(new Set([0xff]));
  });

  test('build() takes a pattern of eight characters and no longer one', () => {
    expect(hexBytes(build(cybertan, { ...w54g, pattern: 'WDHNSTFH', image: none })).slice(0, 16)).toBe(hexBytes(toBytes('WDHNSTFH')));
    expect(() => build(cybertan, { ...w54g, pattern: 'WDHNSTFHX', image: none })).toThrow('9 characters');
  });

  test('is found as the last partition of a TRX of version 2', async () => {
    expect(layersOf(await inspect(fixture('trx/sound-version-2.trx')))).toContain('cybertan@20100');
  });
});

describe('trx', () => {
  test('reads a root file system that lies behind length and CRC', async () => {
    const result = await inspect(fixture('cybertan/sound-wrt160nl.bin'));
    expect(layersOf(result)).toEqual(expect.arrayContaining(['trx@32', 'uimage@60', 'squashfs@16384', 'eof-mark@24576']));
    // Nothing protects the root file system: the CRC ends where the kernel does.
    expect(result.coverage.ranges.at(-1)).toMatchObject({ offset: 13419, length: 1 });
  });

  test('build() throws for a length behind the end', () => {
    expect(() => build(trx, { magic: 0x30524448, version: 1, flags: 0, offsets: [28], body: kernel, checkedLength: 20_000 })).toThrow('a length of 20000');
  });
});

describe('asus-trx', () => {
  test('is found inside of the TRX, with its product id', async () => {
    const result = await inspect(fixture('asus-trx/sound-rt-ac68u.trx'));
    expect(layersOf(result)).toContain('asus-trx@20416');
    expect(result.identities).toEqual([{ source: 'asus-trx.productId', value: 'RT-AC68U', offset: 20420 }]);
    expect(result.root.children.at(-1)?.fields[0]?.value).toBe('3.0.0.4');
  });

  test('is no trailer: a TRX keeps its own length and coverage', async () => {
    const { root, coverage } = await inspect(fixture('asus-trx/sound-rt-ac68u.trx'));
    expect(root.length).toBe(20480);
    expect(coverage.checked).toBeGreaterThan(0.99);
  });

  test('is not seen at the end of a file that is no TRX', async () => {
    const footer = build(asusTrx, { version: '1.0.0.0', productId: 'RT-N16' });
    const result = await inspect(Uint8Array.of(...fixture('uimage/sound-lzma.bin'), ...footer));
    expect(layersOf(result).join()).not.toContain('asus-trx');
  });

  test('an id that is filled up with blanks is named without them, and built again with them', async () => {
    const footer = build(asusTrx, { version: '0.0.0.0', productId: 'RT-N12      ' });
    expect(asusTrx.locate?.(footer)).toBe(0);
    const reading = await asusTrx.parse(footer, context);
    expect(reading.identities[0]?.value).toBe('RT-N12');
    expect(build(asusTrx, reading.input?.())).toEqual(footer);
  });

  test.each([
    ['zeros', new Uint8Array(64)],
    ['text that goes on', toBytes('\x03\x00\x00\x04RT-AC68U and more'.padEnd(64, '\0'))],
    ['something behind the id', toBytes('\x03\x00\x00\x04RT-AC68U'.padEnd(63, '\0').concat('\x01'))],
  ])('locate() does not take %s for one', (_, bytes) => expect(asusTrx.locate?.(bytes)).toBe(-1));

  test.each(['3.0.0', '3.0.0.256', 'a.b.c.d'])('build() throws for version %s', (version) => {
    expect(() => build(asusTrx, { version, productId: 'RT-N16' })).toThrow(`"${version}"`);
  });
});

describe('netgear-chk', () => {
  test('netgearSum() carries from one part to the next and folds to 16 bits', () => {
    expect(netgearSum(Uint8Array.of(1, 2), Uint8Array.of(3))).toBe(0x000a_0006);
    expect(netgearSum(new Uint8Array(1000).fill(0xff))).toBe(0x7887_e41b);
  });

  test('parse() reads a kernel and a root file system, each with its sum', async () => {
    const result = await inspect(fixture('netgear-chk/sound-kernel-and-rootfs.chk'));
    expect(fieldsOf(result)).toMatchObject({ headerLength: 58, region: 2, version: '99.99.99.99.99.99.99', kernelLength: 13359, rootfsLength: 8196 });
    expect(result.root.checks.map(({ name, expected, ok }) => [name, expected, ok])).toEqual([
      ['kernel-checksum', '0x2954e404', true],
      ['rootfs-checksum', '0x393129cb', true],
      ['image-checksum', '0x8f160dd0', true],
      ['header-checksum', '0x7e6f0d3a', true],
    ]);
    expect(result.identities).toEqual([{ source: 'netgear-chk.boardId', value: 'U12H122T00_NETGEAR', offset: 40 }]);
    expect(layersOf(result)).toEqual(expect.arrayContaining(['uimage@58', 'squashfs@13417']));
  });

  test('build() gives the bytes of mkchkimg for the same values', () => {
    const made = fixture('netgear-chk/sound-kernel-and-rootfs.chk');
    expect(build(netgearChk, { boardId: 'U12H122T00_NETGEAR', region: 2, kernel, rootfs: made.subarray(13417) })).toEqual(made);
  });

  test('build() throws for a board id that mkchkimg would not take', () => {
    expect(() => build(netgearChk, { boardId: 'X'.repeat(65), region: 1, kernel })).toThrow('65 characters');
    expect(() => build(netgearChk, { boardId: 'X', region: 256, kernel })).toThrow('region 256');
  });
});

describe('netgear-dni', () => {
  test('parse() reads the lines and finds the values to the byte', async () => {
    const result = await inspect(fixture('netgear-dni/sound-hd-id.img'));
    expect(fieldsOf(result)).toEqual({ device: 'WNDR4300', version: 'VOpenWrt.r99999', region: '', hd_id: '29763948+0+128+128+2x2+3x3', sum: 208 });
    expect(result.identities).toEqual([
      { source: 'netgear-dni.device', value: 'WNDR4300', offset: 7 },
      { source: 'netgear-dni.hd_id', value: '29763948+0+128+128+2x2+3x3', offset: 54 },
    ]);
  });

  const lines = (id: string) => [
    ['device', 'R7800'],
    ['version', 'V1'],
    ['region', ''],
    ['hd_id', id],
  ];
  const longest = 128 - 'device:R7800\nversion:V1\nregion:\nhd_id:\n'.length;

  test('a text that fills the header loses its last line end, as mkdniimg makes it, and is built again', async () => {
    const image = build(netgearDni, { lines: lines('1'.repeat(longest)), image: kernel });
    expect([image[126], image[127]]).toEqual([0x31, 0]);
    const reading = await netgearDni.parse(image, context);
    expect(build(netgearDni, reading.input?.())).toEqual(image);
  });

  test('build() throws for a text that would lose more', () => {
    expect(() => build(netgearDni, { lines: lines('1'.repeat(longest + 1)), image: kernel })).toThrow('129 characters');
  });

  test('detect() does not take a text file for one', () => {
    expect(netgearDni.detect(toBytes(`device:x\nversion:1\nregion:\n${'notes: none\n'.repeat(20)}`))).toBe('no');
  });

  test('detect() leaves the Buffalo form alone', () => {
    expect(netgearDni.detect(fixture('buffalo-bcast/sound-kernel.bin'))).toBe('no');
  });
});

describe('seama', () => {
  test('parse() reads a seal around an entity, with the texts of both', async () => {
    const result = await inspect(fixture('seama/sound-sealed.bin'));
    expect(result.kind).toBe('factory');
    expect(layersOf(result)).toEqual(expect.arrayContaining(['seama@0', 'seama@52', 'uimage@116', 'squashfs@16500', 'eof-mark@24692']));
    expect(result.identities).toEqual(
      expect.arrayContaining([
        { source: 'seama.signature', value: 'wrgac27_dlink.2013gui_dir850l', offset: 22 },
        { source: 'seama.dev', value: '/dev/mtdblock/1', offset: 84 },
      ]),
    );
    expect(result.root.children[0]?.checks[0]).toMatchObject({ name: 'md5', expected: '7220f4770cb5381c5adf30f40a251492', ok: true });
  });

  test('an entity by itself is what lies in flash, not what the vendor takes', async () => {
    expect((await inspect(fixture('seama/sound-entity.bin'))).kind).toBe('sysupgrade');
  });

  test('build() gives the bytes of seama for the same values', () => {
    const made = fixture('seama/sound-sealed.bin');
    const entity = build(seama, { meta: ['dev=/dev/mtdblock/1', 'type=firmware'], image: made.subarray(116) });
    expect(build(seama, { meta: ['signature=wrgac27_dlink.2013gui_dir850l'], seal: true, image: entity })).toEqual(made);
  });

  test('build() fills up texts together (seama) or each (oseama)', () => {
    const meta = ['a=1', 'bc=2', 'd=3'];
    const lengthOf = (image: Uint8Array): number => new DataView(image.buffer).getUint16(6);
    expect(lengthOf(build(seama, { meta, image: kernel }))).toBe(16);
    const each = build(seama, { meta, padEach: true, image: kernel });
    expect(lengthOf(each)).toBe(16);
    expect(hexBytes(each.subarray(28, 44))).toBe(hexBytes(toBytes('a=1\0bc=2\0\0\0\0d=3\0')));
  });

  test('a seal holds several entities, and what follows them is not its own', async () => {
    const entity = fixture('seama/sound-entity.bin');
    const sealed = build(seama, { meta: ['signature=x'], seal: true, image: Uint8Array.of(...entity, ...entity) });
    const result = await inspect(Uint8Array.of(...sealed, 1));
    expect(layersOf(result).filter((layer) => layer.startsWith('seama'))).toEqual(['seama@0', 'seama@24', 'seama@24668']);
    expect(result.findings.map(({ code, offset }) => [code, offset])).toEqual([['data-trailing', sealed.length]]);
  });

  test('a seal around nothing is broken', async () => {
    const result = await inspect(build(seama, { meta: ['signature=x'], seal: true, image: new Uint8Array(0) }));
    expect(result.findings.map(({ code }) => code)).toEqual(['header-truncated']);
  });

  test('build() throws for an entity around nothing, which would be a seal', () => {
    expect(() => build(seama, { meta: [], image: new Uint8Array(0) })).toThrow('around 0 bytes');
  });
});

describe('chdr', () => {
  test('parse() reads the length and what the checksum covers', async () => {
    const result = await inspect(fixture('chdr/sound-kernel-and-rootfs.bin'));
    expect(fieldsOf(result)).toEqual({ magic: 'CHDR', length: 24596, checksum: '0x64e0e416', reserved: 1 });
    expect(result.root.checks[0]?.covers).toEqual([{ offset: 8, length: 24588 }]);
    expect(layersOf(result)).toContain('uimage@16');
  });

  test('is read behind a CyberTAN header', async () => {
    const image = build(chdr, { image: kernel });
    const zero = new Uint8Array(2);
    const values = { date: [23, 11, 14], version: [1, 0, 3], hardwareVersion: 0, serial: 0 };
    const rest = { flags: zero, stable: zero, try1: zero, try2: zero, try3: zero, reserved: zero };
    const result = await inspect(build(cybertan, { pattern: 'BB2G', ...values, ...rest, image }));
    expect(result.status).toBe('sound');
    expect(layersOf(result)).toEqual(['cybertan@0', 'chdr@32', 'uimage@48', 'lzma@112']);
  });
});

describe('motorola', () => {
  test.each([
    ['wr850g', 'WR850G', '0x10577050', '0xf9ab9cc9'],
    ['wa840g', 'WA840G', '0x10577040', '0xd11edc83'],
    ['we800g', 'WE800G', '0x10577000', '0x73cbddab'],
  ])('parse() names the device of sound-%s.bin', async (file, device, flags, checksum) => {
    const result = await inspect(fixture(`motorola/sound-${file}.bin`));
    expect(fieldsOf(result)).toEqual({ checksum, flags });
    expect(result.identities).toEqual([{ source: 'motorola.flags', value: device, offset: 4 }]);
    expect(layersOf(result)).toContain('trx@8');
  });

  test('build() refuses a device that Motorola has no number for', () => {
    expect(() => build(motorola, { device: 'WR851G', image: kernel })).toThrow('expected one of WR850G, WA840G, WE800G');
  });
});
