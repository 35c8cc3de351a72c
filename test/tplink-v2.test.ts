/** Facts of mktplinkfw2: literal values from its images, and images too large to be fixtures. */
import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { type TplinkV2Input, tplinkV2 } from '../formats/tplink-v2.ts';
import { toBytes } from '../src/core/hex.ts';
import { layOutTplink } from '../src/core/tplink-layout.ts';
import { inspect } from '../src/index.ts';
import { fixtures, readFixture } from './support/fixtures.ts';

const fixture = (file: string): Uint8Array => readFixture(fixtures.find((entry) => entry.format === 'tplink-v2' && entry.file === file) ?? { path: '' });
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

const sysupgrade = fixture('sound-sysupgrade.bin');
const kernel = sysupgrade.subarray(512, 512 + 13295);
const rootfs = sysupgrade.subarray(13808, 13808 + 5762);

const build = (value: TplinkV2Input): Uint8Array => (tplinkV2.build as (value: TplinkV2Input) => Uint8Array)(value);

/** `mktplinkfw2 -V "ver. 2.0" -a 0x4 -j`. */
function input(
  flashLength: number,
  stripped: boolean,
  others: Pick<TplinkV2Input, 'version' | 'hardwareId' | 'load' | 'entry'> & Partial<TplinkV2Input>,
): TplinkV2Input {
  const { rootfsOffset, body } = layOutTplink({ kernel, rootfs, rootfsAt: { align: 4 }, flashLength, endMarks: true, stripped });
  const lengths = { kernelOffset: 512, kernelLength: kernel.length, rootfsOffset, rootfsLength: rootfs.length };
  return { firmwareVersion: versionText, hardwareRevision: 1, flashLength, ...lengths, body, ...others };
}

/** The tool fills the header with FF and writes text and NUL over it. */
const versionText = toBytes('ver. 2.0\0'.padEnd(48, '\xff'));
/** `-F 4Mmtk -T 2 -H 0x89700001 -e` */
const version2 = { version: 2, hardwareId: 0x89700001, load: 0x00000080, entry: 0x00000080 };
/** `-F 4MLmtk -T 3 -H 0x0c200004 -w 0x4` */
const version3 = { version: 3, hardwareId: 0x0c200004, hardwareVersionAdded: 4, load: 0x80000000, entry: 0x80000000 };

test('tplink-v2.parse() reads the header in front of a bare kernel, which has an MD5', async () => {
  const { root, kind, identities } = await inspect(fixture('sound-version-3-kernel-only.bin'));
  expect(kind).toBe('kernel');
  expect(identities).toEqual([{ source: 'tplink-v2.hwid', value: '0x0c200004', offset: 52 }]);
  expect(root.checks[0]).toMatchObject({ ok: true, expected: 'df58928205232ac49c7a80d77a8953b4', covers: [{ offset: 0, length: 13807 }] });
});

describe('tplink-v2.build() makes the bytes of mktplinkfw2', () => {
  test('sysupgrade', () => {
    expect(build(input(0x3c0000, true, version2))).toEqual(sysupgrade);
  });

  test('factory, versions 2 and 3', async () => {
    const factory = build(input(0x3c0000, false, version2));
    expect(sha256(factory)).toBe('2e49f2e85fd2340bb01cbffa95c8defda9dd31a1e83e33e4a0ba17d1532ded4c');
    expect(await inspect(factory)).toMatchObject({ kind: 'factory', status: 'sound', coverage: { checked: 1 } });
    expect(sha256(build(input(0x3d0000, false, version3)))).toBe('2102ca899935e1802aab8a6d14e2d32de08d6500cf8b4f43fbba896f9b971b5b');
  });
});

test('tplink-v2.parse() takes an MD5 of zeros as absent', async () => {
  const unsealed = fixture('sound-version-3-kernel-only.bin').slice();
  unsealed.fill(0, 64, 80);
  const { root, status } = await inspect(unsealed);
  expect([status, root.checks[0]?.ok]).toEqual(['sound', null]);
});

test('tplink-v2.parse() covers only what begins with the header in a recovery file', async () => {
  const factory = build(input(0x3d0000, false, version3));
  const recovery = new Uint8Array(0x20000 + factory.length);
  recovery.set(factory, 0x20000);
  const { root, kind, status, identities } = await inspect(recovery);
  expect([kind, status]).toEqual(['recovery', 'sound']);
  expect(root.regions[0]).toMatchObject({ kind: 'padding', offset: 0, length: 0x20000 });
  expect(root.children[0]).toMatchObject({ format: 'tplink-v2', checks: [{ ok: true, covers: [{ offset: 0x20000, length: 0x3d0000 }] }] });
  expect(identities[0]?.offset).toBe(0x20000 + 52);
});

describe('an image with a boot loader', () => {
  // As `-b` writes it: the boot loader is filled up to 64 KiB, and all but the root file system's offset moves.
  const inner = build(input(0x3d0000, true, version3));
  const body = new Uint8Array(0x10000 + inner.length).fill(0xff);
  body.fill(0x42, 0, 4096);
  body.set(inner, 0x10000);
  const outer = build({ ...input(0x3d0000, true, version3), flashLength: 0x3e0200, kernelOffset: 66560, bootLength: 4096, body });

  test('tplink-v2.parse() finds the firmware behind it', async () => {
    const { root, status, findings, kind, identities } = await inspect(outer);
    expect([status, kind]).toEqual(['sound', 'factory']);
    expect(findings.map(({ code, offset, length }) => [code, offset, length])).toEqual([['bootloader-inside', 512, 4096]]);
    expect(findings[0]?.message).toContain('begins 66048 (0x10200) bytes behind');
    expect(root.children[0]).toMatchObject({ format: 'tplink-v2', label: 'firmware', offset: 66048, checks: [{ ok: true }] });
    expect(identities.map(({ offset }) => offset).sort((a, b) => a - b)).toEqual([52, 66100]);
  });

  test('tplink-v2.build() makes it again from what was read', async () => {
    const reading = await tplinkV2.parse(outer, { unpack: false, deep: false, budget: undefined as never });
    expect(build((reading.input as () => TplinkV2Input)())).toEqual(outer);
  });

  test('a damaged kernel fails both MD5s, a damaged boot loader only the outer one', async () => {
    const md5s = async (offset: number) => {
      const damaged = outer.slice();
      damaged[offset] = (damaged[offset] as number) ^ 1;
      const { root } = await inspect(damaged);
      return [root.checks[0]?.ok, root.children[0]?.checks[0]?.ok];
    };
    expect(await md5s(1000)).toEqual([false, true]);
    expect(await md5s(70000)).toEqual([false, false]);
  });
});
