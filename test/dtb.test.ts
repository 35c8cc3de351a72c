import { describe, expect, test } from 'vitest';
import { dtb } from '../formats/dtb.ts';
import type { FdtNodeInput } from '../src/core/fdt.ts';
import { fromHex, toBytes } from '../src/core/hex.ts';
import { Budget } from '../src/core/limits.ts';
import { OwimgError } from '../src/index.ts';
import { fixtures, readFixture } from './support/fixtures.ts';

const context = { unpack: true, deep: true, budget: new Budget() };
const fixture = (file: string): Uint8Array => readFixture(fixtures.find((entry) => entry.format === 'dtb' && entry.file === file) as { path: string });
const text = (...values: string[]): Uint8Array => toBytes(values.map((value) => `${value}\0`).join(''));
const cells = (...values: number[]): Uint8Array => fromHex(values.map((value) => value.toString(16).padStart(8, '0')).join(''));
const node = (name: string, properties: Record<string, Uint8Array> = {}, ...children: FdtNodeInput[]): FdtNodeInput => ({
  name,
  properties: Object.entries(properties).map(([key, value]) => ({ name: key, value })),
  children,
});

describe('dtb.build()', () => {
  test('lays out tree, reservations and shared names as dtc does', () => {
    const root = node(
      '',
      { model: text('Golden "quoted" board'), compatible: text('vendor,board', 'vendor,soc'), '#address-cells': cells(1), '#size-cells': cells(1) },
      node('chosen'),
      node('cpu@0', { device_type: text('cpu'), reg: cells(0, 0), phandle: cells(1) }),
      node('aliases', { cpu0: text('/cpu@0') }),
      node('label-with-phandle', { 'linux,phandle-of': cells(1), 'phandle-of': cells(1) }),
    );
    const reservations = [
      { address: 0x81000000n, length: 0x100000n },
      { address: 0x100000000n, length: 0x1000n },
    ];
    const built = dtb.build?.({ root, reservations, bootCpu: 1, tail: new Uint8Array(32) });
    expect(built).toEqual(fixture('sound-reservations-and-padding.dtb'));
  });

  test('refuses names that no reader takes', () => {
    expect(() => dtb.build?.({ root: node('root') })).toThrow(OwimgError);
    for (const child of [node(''), node('a b'), node('a', { 'x\0y': text('') })]) {
      expect(() => dtb.build?.({ root: node('', {}, child) })).toThrow(OwimgError);
    }
  });

  test('refuses nodes nested deeper than readers go', () => {
    let root = node('a');
    for (let depth = 0; depth < 64; depth += 1) root = node('a', {}, root);
    expect(() => dtb.build?.({ root })).toThrow(OwimgError);
  });
});

describe('dtb.parse()', () => {
  // What dtc -V 16 and -V 3 make of: / { model = "A"; };
  const version16 = fromHex(`d00dfeed0000005e0000003800000058000000280000001000000010000000000000000600000000
    00000000000000000000000000000000000000010000000000000003000000020000000041000000 00000002000000096d6f64656c00`);
  const version3 = fromHex(`d00dfeed000000730000003800000068000000280000000300000001000000000000000b00000000
    00000000000000000000000000000000000000012f00000000000003000000020000000041000000
    0000000300000001000000060000000000000002000000096d6f64656c006e616d6500`);

  test('reads version 16, which does not state the length of the structure', async () => {
    expect(dtb.detect(version16)).toBe('yes');
    const { identities, findings, fields } = await dtb.parse(version16, context);
    expect(findings).toEqual([]);
    expect(identities).toEqual([{ source: 'dtb.model', value: 'A', offset: 76 }]);
    expect(fields.map(({ name }) => name)).not.toContain('structureLength');
  });

  test('names the version of a tree that is too old', async () => {
    const { findings } = await dtb.parse(version3, context);
    expect(findings.map(({ code, offset }) => ({ code, offset }))).toEqual([{ code: 'structure-invalid', offset: 20 }]);
  });

  test('stops at nodes nested thousands deep without running out of stack', async () => {
    const depth = 20_000;
    const bytes = new Uint8Array(56 + depth * 8);
    const view = new DataView(bytes.buffer);
    const header = [0xd00dfeed, bytes.length, 56, bytes.length, 40, 17, 16, 0, 0, depth * 8];
    for (const [index, value] of header.entries()) view.setUint32(index * 4, value);
    for (let index = 0; index < depth; index += 1) {
      view.setUint32(56 + index * 8, 1);
      bytes[56 + index * 8 + 4] = index === 0 ? 0 : 0x61;
    }
    const { findings } = await dtb.parse(bytes, context);
    expect(findings.map(({ code, offset }) => ({ code, offset }))).toEqual([{ code: 'nesting-too-deep', offset: 56 + 64 * 8 }]);
  });
});
