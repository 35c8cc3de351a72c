import { expect, test } from 'vitest';
import { wfiTag } from '../formats/wfi-tag.ts';
import { hexBytes, toBytes } from '../src/core/hex.ts';
import { Budget } from '../src/core/limits.ts';

/** The text whose checksums every catalogue has: its CRC-32/JAMCRC is 340bc6d9. */
const image = toBytes('123456789');
const w2 = { image, version: 0x5732, flags: 0 };

test('wfiTag.build() writes big endian for bcm63xx and little endian for bcm4908', () => {
  const big = wfiTag.build?.({ ...w2, endian: 'big', chipId: 0x63268, flashType: 3 }) as Uint8Array;
  expect(hexBytes(big)).toBe('340bc6d900005732000632680000000300000000');
  const little = wfiTag.build?.({ ...w2, endian: 'little', chipId: 0x4908, flashType: 3, flags: 2 }) as Uint8Array;
  expect(hexBytes(little)).toBe('d9c60b3432570000084900000300000002000000');
});

test('wfiTag.parse() tells the byte orders apart', async () => {
  for (const [endian, chipId, chip] of [
    ['big', 0x63268, '63268'],
    ['little', 0x4908, '4908'],
  ] as const) {
    const tag = wfiTag.build?.({ ...w2, endian, chipId, flashType: 3 }) as Uint8Array;
    const bytes = new Uint8Array([...image, ...tag]);
    expect(wfiTag.locate?.(bytes)).toBe(image.length);
    const { checks, identities } = await wfiTag.parse(bytes, { unpack: false, deep: false, budget: new Budget() });
    expect(checks.map(({ ok }) => ok)).toEqual([true]);
    expect(identities.map(({ value }) => value)).toEqual([chip]);
  }
});

test('wfiTag.locate() leaves a tag alone whose checksum covers other bytes, behind something that is no JFFS2', () => {
  const tag = wfiTag.build?.({ ...w2, endian: 'big', chipId: 0x63268, flashType: 3 }) as Uint8Array;
  expect(wfiTag.locate?.(new Uint8Array([0x2a, ...image, ...tag]))).toBe(-1);
});
