import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, test, vi } from 'vitest';
import schema from '../docs/schema/devices.schema.json' with { type: 'json' };
import { owimg } from './support/console.ts';
import { fixtures } from './support/fixtures.ts';

const loaded = vi.hoisted(() => ({ count: 0 }));
vi.mock('../src/devices/data/facts.ts', async (original) => {
  loaded.count += 1;
  return await original();
});

const validate = new Ajv2020({ strict: true, allowUnionTypes: true }).compile(schema);
const flat = (text: string): string => text.replaceAll(/\s+/g, ' ');

describe('the facts', () => {
  // The first test of the file: a module is loaded once.
  test('are loaded by owimg devices and by no other command', async () => {
    for (const { path } of fixtures.slice(0, 20)) await owimg(['inspect', '--deep', path]);
    await owimg(['inspect', '--json', ...fixtures.slice(0, 20).map(({ path }) => path)]);
    await owimg(['formats']);
    await owimg(['--help']);
    expect(loaded.count).toBe(0);
    await owimg(['devices', 'archer c7 v5']);
    expect(loaded.count).toBe(1);
  });
});

describe('owimg devices', () => {
  test('shows all that is known of one', async () => {
    const { status, out, err } = await owimg(['devices', 'archer', 'c7', 'v5']);
    expect(out).toMatch(/^TP-Link Archer C7 v5\n/);
    expect(out).toMatch(/^ {2}profile +tplink_archer-c7-v5$/m);
    expect(out).toMatch(/^ {2}older +archer-c7-v5$/m);
    expect(out).toContain('firmware partition 15 MiB, erase block 64 KiB');
    expect(flat(out)).toContain("squashfs-factory.bin for vendor's upgrade (its web page; some devices need another way), or the boot loader's recovery");
    expect(flat(out)).toContain('how the boot loader fetches the file: your computer is the TFTP server computer 192.168.0.66');
    expect(out).toContain('ArcherC7v5_tp_recovery.bin (exactly this name)');
    expect(out).toContain('https://github.com/openwrt/openwrt/commit/8471944325db');
    expect([status, err]).toEqual([0, '']);
  });

  test.each([
    ['1.0', 'tplink_archer-c7-v5', 'compat 1.0 Images'],
    ['1.1', 'avm_fritzbox-7530', '1.1: a running OpenWrt that says 1.0 takes the image only without the settings (sysupgrade -n) Config cannot be migrated'],
    ['2.0', 'linksys_ea8300', '2.0: a running OpenWrt that says 1.x refuses the sysupgrade image Kernel partition size must be increased'],
    [
      '3.0',
      'linksys_ea4500',
      '3.0: a running OpenWrt that says 1.x to 2.x refuses the sysupgrade image !The partitioning of the router has changed! Partition',
    ],
  ])('says what compat version %s of %s means', async (_, name, expected) => {
    expect(flat((await owimg(['devices', name])).out)).toContain(expected);
  });

  test('lists several, best first, by names that can be typed', async () => {
    const { status, out } = await owimg(['devices', 'standard']);
    expect(out).toContain('bcm47xx/legacy:standard');
    expect((await owimg(['devices', 'archer c7'])).out).toMatch(/^title .*\nTP-Link Archer C7 v1 +tplink_archer-c7-v1 +ath79\/generic\nTP-Link Archer C7 v2 /);
    expect(status).toBe(0);
  });

  test('says how many more there are', async () => {
    expect((await owimg(['devices', 'tp-link'])).out).toMatch(/… and 2\d\d more: give another word, or --json for all\n$/);
  });

  test('shows the one that is surely meant, though something is left out', async () => {
    expect((await owimg(['devices', 'fritz', '4040'])).out).toMatch(/^AVM FRITZ!Box 4040\n/);
  });

  test('says that what it lists is only near', async () => {
    const { status, out, err } = await owimg(['devices', 'flint', '2']);
    expect(err).toBe('owimg: No device is called "flint 2". These come near:\n');
    expect(out).toMatch(/^title/);
    expect(status).toBe(0);
  });

  test('names others of a like name, unless the name was exact', async () => {
    expect((await owimg(['devices', 'edgerouter x'])).out).toContain('Others with a like name: ubnt_edgerouter-x-sfp');
    expect((await owimg(['devices', 'ubnt_edgerouter-x'])).out).not.toContain('Others');
  });

  test('exits 3 with the nearest names if there is none', async () => {
    const { status, out, err } = await owimg(['devices', 'foobar', 'c7']);
    expect(err).toContain('No device is called "foobar c7"');
    expect(err).toContain('The nearest: tplink_archer-c7-v1 (TP-Link Archer C7 v1), tplink_archer-c7-v2');
    expect([status, out]).toEqual([3, '']);
  });

  test('without a query counts them', async () => {
    const { status, out } = await owimg(['devices']);
    const [, total, targets] = /^(\d+) device profiles in (\d+) targets of OpenWrt [0-9a-f]{12}$/m.exec(out) ?? [];
    const counts = [...out.matchAll(/[a-z0-9_]+\s+(\d+)(?=,|\n)/g)].map(([, count]) => Number(count));
    expect(Number(total)).toBeGreaterThan(2000);
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(Number(total));
    expect(counts).toHaveLength(Number(targets));
    expect(out).toContain('owimg devices archer c7');
    expect(status).toBe(0);
  });

  test('prints all devices as the schema says', async () => {
    const { out } = await owimg(['devices', '--json']);
    const result = JSON.parse(out);
    expect(validate(result), JSON.stringify(validate.errors?.slice(0, 2))).toBe(true);
    expect(result.outcome).toBe('all');
    expect(result.devices.length).toBeGreaterThan(2000);
  });

  test.each([
    ['found', 'tplink_archer-c7-v5', 0, 1],
    ['ambiguous', 'archer-c7', 0, 3],
    ['unknown', 'wr1043 v2', 0, 1],
    ['unknown', 'qwertzuiop', 3, 0],
  ])('prints what is %s as the schema says: %s', async (outcome, query, expected, least) => {
    const { status, out } = await owimg(['devices', '--json', query]);
    const result = JSON.parse(out);
    expect(validate(result), JSON.stringify(validate.errors?.slice(0, 2))).toBe(true);
    expect(result.outcome).toBe(outcome);
    expect(result.devices.length).toBeGreaterThanOrEqual(least);
    expect(status).toBe(expected);
  });

  test('the JSON has the recipes in full and the ways of flashing', async () => {
    const { out } = await owimg(['devices', '--json', 'tplink_archer-c7-v5']);
    expect(JSON.parse(out).devices[0].images[0]).toMatchObject({
      name: 'sysupgrade.bin',
      steps: ['append-rootfs', 'tplink-safeloader sysupgrade', 'check-size', 'append-metadata'],
      routes: ['sysupgrade'],
    });
  });

  test('keeps to 80 columns for every device and every list', async () => {
    const { loadDeviceFacts } = await import('../src/devices/load.ts');
    const { renderDevice, renderDeviceList } = await import('../src/report/devices-text.ts');
    const options = { columns: 80, colour: false };
    const { devices } = await loadDeviceFacts();
    const listed = devices.map((device) => ({ device, name: `${device.target}:${device.profile}` }));
    const tooLong = (text: string): string[] => text.split('\n').filter((line) => [...line].length > 80 && line.includes(' '));
    for (const one of listed) expect(tooLong(renderDevice(one, [], options)), one.name).toEqual([]);
    for (let start = 0; start < listed.length; start += 20) {
      const rows = listed.slice(start, start + 20).map(({ device }) => ({ device, name: device.profile }));
      expect(tooLong(renderDeviceList(rows, options)), String(start)).toEqual([]);
    }
    expect(tooLong((await owimg(['devices'])).out)).toEqual([]);
  });

  test('colours only when asked', async () => {
    expect((await owimg(['devices', 'archer c7 v5'])).out).not.toContain('\x1b[');
    expect((await owimg(['devices', 'archer c7 v5'], { colour: true })).out).toContain('\x1b[1m');
  });
});
