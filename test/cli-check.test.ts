/** `owimg check` as people and scripts call it. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, test } from 'vitest';
import schema from '../docs/schema/check.schema.json' with { type: 'json' };
import { owimg } from './support/console.ts';
import { loadImage } from './support/images.ts';
import { installed } from './support/tools.ts';

const factory = 'fixtures/tplink-safeloader/sound-archer-c7-v5.bin';
const unnamed = 'fixtures/uimage/sound-lzma.bin';

describe('owimg check', () => {
  test('the Archer C7 v5 factory image written with mtd bricks, with "Bad Magic Number" foretold', async () => {
    const { status, out } = await owimg(['check', factory, '--device', 'tplink_archer-c7-v5', '--route', 'mtd']);
    expect(status).toBe(1);
    expect(out).toContain('BRICKS');
    expect(out).toContain('Bad Magic Number');
    expect(Math.max(...out.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
  });

  test('the same file installs by the vendor web page, and exits by that route if none is named', async () => {
    const { status, out } = await owimg(['check', factory, '--json']);
    expect(status).toBe(0);
    const { kind, device, verdicts, root, openwrt_validate } = JSON.parse(out);
    expect(kind).toBe('factory');
    expect(root).toBeUndefined();
    expect(device).toEqual({
      profile: 'tplink_archer-c7-v5',
      boards: ['tplink,archer-c7-v5', 'archer-c7-v5'],
      title: 'TP-Link Archer C7 v5',
      target: 'ath79/generic',
    });
    const outcomes = Object.fromEntries(verdicts.map(({ route, outcome }: { route: string; outcome: string }) => [route, outcome]));
    // The boot loader asks for ArcherC7v5_tp_recovery.bin and would not find a file with this name.
    expect(outcomes).toEqual({ stock: 'installs', sysupgrade: 'refused', mtd: 'bricks', tftp: 'refused', ram: 'not-applicable', disk: 'not-applicable' });
    expect(openwrt_validate).toEqual({ tests: { fwtool_signature: true, fwtool_device_match: false }, valid: false, forceable: true, allow_backup: true });
  });

  test('the JSON is what the schema says: with a device, without one, of several files, of one that is not there', async () => {
    const validate = new Ajv2020({ strict: true, allowUnionTypes: true }).compile(schema);
    const calls = [
      [factory, '--json'],
      [unnamed, '--json'],
      [factory, unnamed, 'missing.bin', '--json'],
      ['fixtures/fwtool/sound-compat-2.0.bin', '-d', 'netgear_r6220', '--ndjson'],
    ];
    for (const args of calls) {
      validate(JSON.parse((await owimg(['check', ...args])).out));
      expect(validate.errors).toBeNull();
    }
  });

  test('on another device the vendor web page refuses it', async () => {
    const { status, out } = await owimg(['check', factory, '--device', 'TP-Link Archer A7 v5', '--route', 'stock']);
    expect(status).toBe(1);
    expect(out).toContain('REFUSED (harmless)');
    expect(out).toContain('supportList');
  });

  test('a damaged file is exit status 1 whatever the route', async () => {
    expect((await owimg(['check', 'fixtures/uimage/data-checksum-mismatch--kernel.bin', '--device', 'tplink_archer-c7-v5'])).status).toBe(1);
  });

  test.each([
    ['xiaomi_mi-router-4a-gigabit', 'xiaomi_mi-router-4a-gigabit-initramfs-kernel.bin', 'ram', 20_000, 'It says "Bad Data CRC".'],
    ['xiaomi_mi-router-4a-gigabit', 'xiaomi_mi-router-4a-gigabit-initramfs-kernel.bin', 'ram', 40, 'It says "Bad Header Checksum".'],
    ['linksys_e1700', 'linksys_e1700-factory.bin', 'mtd', 20_000, 'It says "Bad Data CRC".'],
    ['abt_asr3000', 'abt_asr3000-initramfs-recovery.itb', 'ram', 20_000, 'It says "Bad Data Hash".'],
  ])('on %s, %s by %s with the bit at %i flipped: what the loader says is foretold', async (device, name, route, offset, words) => {
    const folder = mkdtempSync(join(tmpdir(), 'owimg-check-'));
    try {
      const path = join(folder, name);
      writeFileSync(
        path,
        loadImage(name).map((byte, index) => (index === offset ? byte ^ 1 : byte)),
      );
      const { status, out } = await owimg(['check', path, '--device', device, '--route', route, '--json']);
      expect(status).toBe(1);
      expect(JSON.parse(out).verdicts.find((verdict: { route: string }) => verdict.route === route).reason).toContain(words);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('a file that names no device is exit status 3, and asks for one', async () => {
    const { status, out } = await owimg(['check', unnamed]);
    expect(status).toBe(3);
    expect(out).toContain('--device NAME');
  });

  test('an archive of several firmware files is exit status 2 with the list', async () => {
    const { status, err } = await owimg(['check', 'fixtures/zip/sound-two-firmware.zip', '--device', 'tplink_archer-c7-v5']);
    expect(status).toBe(2);
    expect(err).toContain('EU/a.bin, US/b.bin');
  });

  test('a name that fits several devices is exit status 2 with the list', async () => {
    const { status, err } = await owimg(['check', factory, '--device', 'archer c7']);
    expect(status).toBe(2);
    expect(err).toContain('tplink_archer-c7-v5');
    expect(err).toContain('tplink_archer-c7-v2');
  });

  test('an unknown device is exit status 3 with the nearest names', async () => {
    const { status, err } = await owimg(['check', factory, '--device', 'tplink_archer-c7-v55']);
    expect(status).toBe(3);
    expect(err).toContain('tplink_archer-c7-v5');
  });

  test.each([
    [['--compat', '1'], 'expected two numbers'],
    [['--json', '--ndjson'], 'Choose one'],
    [['--route', 'usb'], 'Allowed choices'],
  ])('%j is wrong use', async (flags, words) => {
    const { status, err } = await owimg(['check', factory, ...flags]);
    expect(status).toBe(2);
    expect(err).toContain(words);
  });

  test('of several files the worst counts, and one that is not there does not keep the others from being checked', async () => {
    const { status, out } = await owimg(['check', '--ndjson', factory, 'no-such-file.bin', unnamed]);
    expect(status).toBe(4);
    expect(
      out
        .trimEnd()
        .split('\n')
        .map((line) => 'error' in JSON.parse(line)),
    ).toEqual([false, true, false]);
  });

  test.skipIf(!installed('zip'))('of an archive with several images one is chosen, and judged by itself', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'owimg-check-'));
    try {
      writeFileSync(join(folder, 'fw-factory.chk'), loadImage('netgear_ex6120-factory.chk'));
      writeFileSync(join(folder, 'fw-sysupgrade.bin'), loadImage('netgear_ex6120-sysupgrade.bin'));
      execFileSync('zip', ['-q', 'both.zip', 'fw-factory.chk', 'fw-sysupgrade.bin'], { cwd: folder });
      const both = join(folder, 'both.zip');
      const asked = await owimg(['check', both]);
      expect([asked.status, asked.err]).toEqual([2, expect.stringContaining('holds 2 firmware files: fw-factory.chk, fw-sysupgrade.bin')]);
      const { status, out } = await owimg(['check', both, '--member', 'fw-sysupgrade.bin', '--json']);
      const { member, kind, device } = JSON.parse(out);
      expect([status, member, kind, device.profile]).toEqual([0, 'fw-sysupgrade.bin', 'sysupgrade', 'netgear_ex6120']);
      expect((await owimg(['check', both, '--member', 'third.bin'])).status).toBe(2);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
