/** Facts of mktplinkfw: literal values from its images, and images too large to be fixtures. */
import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { type TplinkV1Input, tplinkRegion, tplinkV1 } from '../formats/tplink-v1.ts';
import { toBytes } from '../src/core/hex.ts';
import { layOutTplink } from '../src/core/tplink-layout.ts';
import { inspect } from '../src/index.ts';
import { fixtures, readFixture } from './support/fixtures.ts';

const fixture = (file: string): Uint8Array => readFixture(fixtures.find((entry) => entry.format === 'tplink-v1' && entry.file === file) ?? { path: '' });
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

const sysupgrade = fixture('sound-sysupgrade.bin');
const kernel = sysupgrade.subarray(512, 512 + 13295);
const rootfs = sysupgrade.subarray(13808, 13808 + 5762);
const flashLength = 0x3c0000;

/** `mktplinkfw -F 4Mlzma -N OpenWrt -V r99999 -m 1 -j -a 0x4`. */
function input(options: { stripped: boolean } & Partial<TplinkV1Input>): TplinkV1Input {
  const { stripped, ...others } = options;
  const { rootfsOffset, body } = layOutTplink({ kernel, rootfs, rootfsAt: { align: 4 }, flashLength, endMarks: true, stripped });
  return {
    version: 0x01000000,
    vendor: toBytes('OpenWrt'),
    firmwareVersion: toBytes('r99999'),
    hardwareId: 0x08410009,
    hardwareRevision: 1,
    load: 0x80060000,
    entry: 0x80060000,
    flashLength,
    kernelOffset: 512,
    kernelLength: kernel.length,
    rootfsOffset,
    rootfsLength: rootfs.length,
    body,
    ...others,
  };
}

const build = (value: TplinkV1Input): Uint8Array => (tplinkV1.build as (value: TplinkV1Input) => Uint8Array)(value);

test('tplink-v1.parse() reads kernel, root file system, marks and hardware id', async () => {
  const { root, identities, kind } = await inspect(sysupgrade);
  expect(kind).toBe('sysupgrade');
  expect(identities).toEqual([{ source: 'tplink-v1.hwid', value: '0x08410009', offset: 64 }]);
  expect(root.checks[0]).toMatchObject({ ok: true, expected: '0aedfe48f4650b9b92d3955c71b958a8', covers: [{ offset: 0, length: 65540 }] });
  expect(root.children.map(({ format, offset }) => [format, offset])).toEqual([
    ['lzma', 512],
    ['squashfs', 13808],
    ['eof-mark', 20480],
  ]);
});

test('tplink-v1.parse() takes the MD5 of a kernel-only header as absent', async () => {
  const { root, status, kind } = await inspect(fixture('sound-kernel-only.bin'));
  expect([kind, status, root.checks[0]?.ok]).toEqual(['kernel', 'sound', null]);
});

test('tplink-v1.parse() finds the length of an image that others follow', async () => {
  const { root, findings, status } = await inspect(new Uint8Array([...sysupgrade, ...toBytes('appended by somebody')]));
  expect(root.checks[0]).toMatchObject({ ok: true, covers: [{ offset: 0, length: 65540 }] });
  expect(findings.map(({ code, offset }) => [code, offset])).toEqual([['data-trailing', 65540]]);
  expect(status).toBe('doubtful');
});

test('tplink-v1.parse() finds the root file system behind the kernel where an old tool left another offset', async () => {
  const old = build({ ...input({ stripped: true }), rootfsOffset: 0x1000 });
  const { root, status } = await inspect(old);
  expect(status).toBe('sound');
  expect(root.children[1]).toMatchObject({ format: 'squashfs', offset: 13808 });
});

describe('tplink-v1.build() makes the bytes of mktplinkfw', () => {
  test('sysupgrade', () => {
    expect(build(input({ stripped: true }))).toEqual(sysupgrade);
  });

  test('factory', async () => {
    const factory = build(input({ stripped: false }));
    expect(sha256(factory)).toBe('33f8318f556de78fe01103078d26f45bee9fdc867958a5c936121a799bf71a7a');
    expect(await inspect(factory)).toMatchObject({ kind: 'factory', status: 'sound', coverage: { checked: 1 } });
  });

  test('factory for one region', () => {
    const factory = build(input({ stripped: false, hardwareId: 0xc7000002, ...tplinkRegion('US') }));
    expect(sha256(factory)).toBe('aa4dbe6264a4f08cfbd011a4a5d33a24fb9691e3e098b8a5e25d3cd9d2c6a9b2');
  });

  test('and refuses what does not fit', () => {
    expect(() => build(input({ stripped: true, vendor: toBytes('x'.repeat(25)) }))).toThrow('Cannot write a vendor of 25 bytes: the field has 24 bytes');
    expect(() => build(input({ stripped: true, hardwareId: 2 ** 32 }))).toThrow('Cannot write a hardwareId 4294967296: the field has 4 bytes');
    const content = { kernel, rootfs, flashLength, endMarks: true, stripped: false };
    expect(() => layOutTplink({ ...content, rootfsAt: { offset: 0x1000 } })).toThrow('the kernel reaches up to 0x35ef');
    expect(() => layOutTplink({ ...content, rootfsAt: { align: 4 }, flashLength: 65536 })).toThrow('Cannot place 65540 bytes in a flash partition of 65536');
  });
});

describe('an image with a boot loader', () => {
  // TP-Link's own: 128 KiB for the boot loader, and its kernel offset stays 512.
  const inner = build(input({ stripped: true }));
  const body = new Uint8Array(0x20000 + inner.length).fill(0xff);
  body.fill(0x42, 0, 4096);
  body.set(inner, 0x20000);
  const outer = build({ ...input({ stripped: true }), flashLength: flashLength + 0x20200, bootLength: 4096, body });

  test('tplink-v1.parse() finds the firmware behind it', async () => {
    const { root, status, findings, kind } = await inspect(outer);
    expect([status, kind]).toEqual(['sound', 'factory']);
    expect(findings.map(({ code, offset, length }) => [code, offset, length])).toEqual([['bootloader-inside', 512, 4096]]);
    expect(root.children[0]).toMatchObject({ format: 'tplink-v1', label: 'firmware', offset: 0x20200, checks: [{ ok: true }] });
  });

  test('a damaged boot loader fails only the outer MD5', async () => {
    const damaged = outer.slice();
    damaged[1000] = 0;
    const { root, status } = await inspect(damaged);
    expect([status, root.checks[0]?.ok, root.children[0]?.checks[0]?.ok]).toEqual(['broken', false, true]);
  });
});

test('tplink-v1.detect() wants more than a leading 1', () => {
  const yaffs = new Uint8Array(1024);
  yaffs.set([1, 0, 0, 0, 1, 0, 0, 0, 0xff, 0xff, ...toBytes('yutilsenv.h')]);
  expect(tplinkV1.detect(yaffs)).toBe('no');
  expect(tplinkV1.detect(toBytes('A text without any line end. '.repeat(40)))).toBe('no');
});
