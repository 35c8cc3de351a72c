/** Plans of `owimg flash` for real devices: who asks whom, under which names, and what is a guess. */
import { describe, expect, test } from 'vitest';
import type { Inspection, Kind } from '../src/core/types.ts';
import { loadDeviceFacts } from '../src/devices/load.ts';
import { requireDevice } from '../src/devices/lookup.ts';
import { addressBeside, sameNetwork } from '../src/flash/addresses.ts';
import { gateOf, makePlan, type Plan, type PlanOptions, timeText, verdictByPlan } from '../src/flash/plan.ts';
import type { Outcome, Verdict } from '../src/routes/verdict.ts';
import { wired } from './support/flash-host.ts';

const facts = await loadDeviceFacts();

const verdict = (outcome: Outcome, findings: Verdict['findings'] = []): Verdict => ({
  device: '',
  route: 'tftp',
  outcome,
  reason: 'It is so.',
  assumes: [],
  findings,
  next: 'Look.',
});

function plan(name: string, kind: Kind = 'factory', options: PlanOptions = {}, size = 8 * 1024 * 1024): Plan {
  const file = { path: 'openwrt.bin', name: 'openwrt.bin', size, sha256: '00' };
  const outcome = kind === 'initramfs' ? 'boots' : 'installs';
  return makePlan(facts, requireDevice(facts, name), file, { kind } as Inspection, verdict(outcome), options);
}

const values = ({ part, partFrom, router, host, name, trigger }: Plan): object => ({
  part,
  partFrom,
  router: router?.value,
  host: host?.value,
  name: name?.value,
  trigger: trigger?.value,
});

test('HPE MSM460: the one name that its loader takes, from the message that added the device, and that it ends without a word', () => {
  const made = plan('hpe_msm460');
  expect(values(made)).toMatchObject({ part: 'client', partFrom: 'record', router: '192.168.1.1', name: 'nflashd.cccc9999' });
  expect(made.name?.from).toBe('record');
  expect(made.notes.join()).toContain('Transfer timed out');
  expect(plan('hpe_msm460', 'factory', { name: 'other.bin' }).name).toEqual({ value: 'other.bin', from: 'option' });
  expect(plan('hpe_msm460', 'factory', { as: 'server', host: '192.168.1.66' }).name).toBeUndefined();
});

describe('makePlan() for devices that fetch the file', () => {
  test('TP-Link Archer C7 v5: 192.168.0.66 and exactly one name', () => {
    const made = plan('tplink_archer-c7-v5');
    expect(values(made)).toEqual({
      part: 'server',
      partFrom: 'record',
      router: undefined,
      host: '192.168.0.66',
      name: 'ArcherC7v5_tp_recovery.bin',
      trigger: 'hold reset button while powering on for 15 s',
    });
    expect(made.guesses).toEqual([]);
    expect(made.source).toBe('https://github.com/openwrt/openwrt/commit/8471944325db');
  });

  test('TP-Link CPE510 v3: 192.168.0.100 and recovery.bin', () => {
    expect(values(plan('tplink_cpe510-v3'))).toMatchObject({ part: 'server', host: '192.168.0.100', router: '192.168.0.254', name: 'recovery.bin' });
  });

  test("ABT ASR3000: the environment of OpenWrt's own U-Boot, which is named as the source", () => {
    const made = plan('abt_asr3000', 'initramfs');
    expect(values(made)).toMatchObject({
      part: 'server',
      partFrom: 'record',
      router: '192.168.1.1',
      host: '192.168.1.254',
      name: 'openwrt-mediatek-filogic-abt_asr3000-initramfs-recovery.itb',
    });
    expect(made.source).toContain('the U-Boot that OpenWrt builds');
    expect(made.ramOnly).toBe(true);
  });

  test('netis NX31: the record of the commit, with the name from the environment', () => {
    expect(values(plan('netis_nx31', 'initramfs'))).toMatchObject({
      host: '192.168.1.254',
      name: 'openwrt-mediatek-filogic-netis_nx31-initramfs-recovery.itb',
      trigger: 'automatic at boot',
    });
  });

  test('Xiaomi Redmi AX6S: which of its two loaders is meant follows from the image', () => {
    expect(values(plan('xiaomi_redmi-router-ax6s', 'initramfs'))).toMatchObject({ host: '192.168.1.254' });
    expect(JSON.stringify(values(plan('xiaomi_redmi-router-ax6s', 'initramfs')))).not.toContain('C0A81F64');
  });

  test('HooToo HT-TM05: no name is recorded, so the file is given under any', () => {
    expect(values(plan('hootoo_ht-tm05'))).toMatchObject({ part: 'server', router: '10.10.10.128', host: '10.10.10.254', name: undefined });
  });
});

describe('makePlan() for devices that wait for the file', () => {
  test('Ubiquiti Bullet M: 192.168.1.20, under the name of the file', () => {
    const made = plan('ubnt_bullet-m-ar7240');
    expect(values(made)).toMatchObject({ part: 'client', router: '192.168.1.20', host: '192.168.1.21', name: 'openwrt.bin' });
    expect(made.name?.from).toBe('image');
  });

  test('WD My Net range extender: 192.168.1.230 wants code.bin', () => {
    const made = plan('wd_mynet-wifi-rangeextender', 'sysupgrade');
    expect(values(made)).toMatchObject({ part: 'client', router: '192.168.1.230', host: '192.168.1.10', name: 'code.bin' });
    expect(made.host?.from).toBe('usual');
  });

  test('Buffalo WZR-HP-G300NH: only from 192.168.11.2', () => {
    expect(values(plan('buffalo_wzr-hp-g300nh-rb'))).toMatchObject({ part: 'client', router: '192.168.11.1', host: '192.168.11.2' });
  });

  test('JioFiber JCOW407: says which names its loader writes', () => {
    expect(plan('jiofiber_jcow407', 'initramfs').notes.join(' ')).toContain('tclinux.bin');
  });
});

describe('makePlan() for devices that ask for an address', () => {
  const cards = [wired({ name: 'lo', loopback: true, addresses: [{ address: '127.0.0.1', prefix: 8 }] }), wired({ name: 'eth1' })];

  test('MikroTik: BOOTP only, whose loader goes round in circles with DHCP; the way is recorded, and any address will do', () => {
    const made = plan('mikrotik_rb5009upr', 'initramfs', { interface: 'eth1', cards });
    expect(values(made)).toEqual({
      part: 'bootp',
      partFrom: 'record',
      router: '192.168.88.3',
      host: '192.168.88.2',
      name: 'openwrt.bin',
      trigger: 'hold reset button while powering on',
    });
    expect(made.gives).toEqual({ bootp: true, dhcp: false, mac: undefined });
    expect([made.host?.from, made.router?.from]).toEqual(['usual', 'usual']);
    expect([made.guesses, made.missing]).toEqual([[], []]);
  });

  test('MikroTik whose button is not recorded: what RouterBOOT does, as a guess', () => {
    const { trigger } = plan('mikrotik_hap-ac3', 'initramfs');
    expect(trigger).toEqual({ value: expect.stringContaining('until the LED goes out'), from: 'habit' });
  });

  test('MikroTik of which nothing is recorded: a guess, to be confirmed', () => {
    const made = plan('mikrotik_routerboard-m33g', 'initramfs', { interface: 'eth1', cards });
    expect(made).toMatchObject({ part: 'bootp', partFrom: 'habit', gives: { bootp: true, dhcp: false } });
    expect(made.guesses).toEqual([expect.stringContaining('is not recorded. A guess: ')]);
  });

  test('others are answered by DHCP too', () => {
    const made = plan('xiaomi_mi-router-4a-gigabit-v2');
    expect(made).toMatchObject({ part: 'bootp', gives: { bootp: true, dhcp: true }, host: { value: '192.168.31.2' }, router: { value: '192.168.31.3' } });
  });

  test('without a card, and without a hardware address where there are several cards, it cannot begin', () => {
    const missing = (options: PlanOptions): readonly string[] => plan('mikrotik_hap-ac3', 'initramfs', options).missing;
    const two = [...cards, wired({ name: 'wlan0', wireless: true })];
    expect(missing({ cards: two })).toEqual(['--interface']);
    expect(missing({ cards: two, interface: 'eth1' })).toEqual(['--mac']);
    expect(missing({ cards: two, interface: 'eth1', mac: '02:00:00:00:00:01' })).toEqual([]);
  });

  test('the addresses are those of the card, or beside the one that is asked for', () => {
    const own = [wired({ addresses: ['10.9.8.254', '192.168.1.7'].map((address) => ({ address, prefix: 24 })) })];
    const addresses = (options: PlanOptions): unknown[] => {
      const { host, router } = plan('mikrotik_hap-ac3', 'initramfs', { interface: 'eth0', ...options });
      return [host?.value, router?.value];
    };
    expect(addresses({ cards: own })).toEqual(['10.9.8.254', '10.9.8.253']);
    expect(addresses({ cards: own, clientAddress: '192.168.1.20' })).toEqual(['192.168.1.7', '192.168.1.20']);
    expect(addresses({ cards: own, host: '192.168.1.7' })).toEqual(['192.168.1.7', '192.168.1.8']);
    expect(addresses({ cards: [wired()], clientAddress: '10.0.0.1' })).toEqual(['10.0.0.2', '10.0.0.1']);
  });

  test('--bootp and --dhcp: a person says so of any device, and what is recorded of one with an address of its own holds', () => {
    const made = plan('tplink_archer-c7-v5', 'factory', { dhcp: true, as: 'server', interface: 'eth1', cards });
    expect(values(made)).toMatchObject({ part: 'bootp', name: 'ArcherC7v5_tp_recovery.bin', host: '192.168.0.66', router: '192.168.0.67' });
    expect(made.gives).toEqual({ bootp: false, dhcp: true, mac: undefined });
    expect(plan('mikrotik_hap-ac3', 'initramfs', { bootp: true, dhcp: true }).gives).toMatchObject({ bootp: true, dhcp: true });
    expect(plan('joyit_jt-or750i', 'sysupgrade').part).toBe('server');
    expect(values(plan('joyit_jt-or750i', 'sysupgrade', { bootp: true }))).toMatchObject({ part: 'bootp', name: 'jt-or750i_firmware.bin' });
    expect(plan('dlink_dir-842-c1', 'factory', { bootp: true })).toMatchObject({ part: 'bootp', partFrom: 'option', guesses: [] });
  });

  test('--as server alone gives no addresses', () => {
    const made = plan('mikrotik_hap-ac3', 'initramfs', { as: 'server', host: '192.168.88.2' });
    expect(made).toMatchObject({ part: 'server', gives: undefined });
  });
});

describe('makePlan() without a record', () => {
  test("TL-WDR4300: what most of its relatives do, named as a guess; not a name that may be another model's", () => {
    const made = plan('tplink_tl-wdr4300-v1');
    expect(values(made)).toMatchObject({ part: 'server', partFrom: 'habit', host: '192.168.0.66', name: undefined });
    expect(made.guesses).toEqual([expect.stringMatching(/not recorded\. A guess: \d+ of \d+ recorded devices of TP-Link in the target ath79 do so\./)]);
  });

  test("Linksys WRT54G: the vendor's habit", () => {
    const made = plan('linksys_wrt54g');
    expect(values(made)).toMatchObject({ part: 'client', partFrom: 'habit', router: '192.168.1.1', name: 'code.bin' });
    expect(made.guesses[0]).toContain("Linksys's CFE");
  });

  test('Netgear R6120: NMRP is recorded, which is said; TFTP is a guess', () => {
    const made = plan('netgear_r6120');
    expect(values(made)).toMatchObject({ part: 'client', partFrom: 'habit', router: '192.168.1.1' });
    expect(made.notes.join(' ')).toContain('nmrpflash');
    expect(made.guesses).toHaveLength(1);
  });

  test('D-Link DIR-842: nobody knows', () => {
    const made = plan('dlink_dir-842-c1');
    expect(made.part).toBe('none');
    expect(made.guesses).toEqual([]);
  });

  test('what the person says is no guess', () => {
    const made = plan('dlink_dir-842-c1', 'factory', { as: 'client', router: '10.0.0.1', name: 'fw', port: 6969 });
    expect(values(made)).toMatchObject({ part: 'client', partFrom: 'option', router: '10.0.0.1', host: '10.0.0.10', name: 'fw' });
    expect(made.port).toEqual({ value: 6969, from: 'option' });
    expect(made.guesses).toEqual([]);
  });

  test('a part without the address that it needs: the missing option, or a guess', () => {
    expect(plan('dlink_dir-842-c1', 'factory', { as: 'server' }).missing).toEqual(['--host']);
    expect(plan('dlink_dir-842-c1', 'factory', { as: 'server', interface: 'eth1' }).missing).toEqual([]);
    expect(plan('dlink_dir-842-c1', 'factory', { as: 'client' }).guesses).toEqual([
      'The address of its loader is not recorded. A guess: 192.168.1.1, as of most.',
    ]);
  });
});

test('makePlan() lets every recorded value be given otherwise', () => {
  const made = plan('tplink_archer-c7-v5', 'factory', { host: '10.1.1.1', name: 'x.bin', port: 70, back: '10.1.1.2' });
  expect([made.host, made.name, made.port, made.back].map((value) => [value?.value, value?.from])).toEqual([
    ['10.1.1.1', 'option'],
    ['x.bin', 'option'],
    [70, 'option'],
    ['10.1.1.2', 'option'],
  ]);
});

test('makePlan() has a plan for every device, and only networks of IPv4 in it', () => {
  const counts = { client: 0, server: 0, bootp: 0, none: 0 };
  for (const device of facts.devices) {
    const file = { path: 'a', name: 'a', size: 1, sha256: '' };
    const made = makePlan(facts, device, file, { kind: 'factory' } as Inspection, verdict('installs'), {});
    counts[made.part] += 1;
    if (made.partFrom === 'record' && made.part === 'client') expect(made.router).toBeDefined();
    if (made.partFrom === 'habit') expect(made.guesses.length).toBeGreaterThan(0);
    for (const address of [made.router?.value, made.host?.value]) if (address !== undefined) expect(sameNetwork(address, address, 24)).toBe(true);
  }
  // 300 profiles have a recorded way without a console.
  expect(counts.client + counts.server + counts.bootp).toBeGreaterThan(300);
  expect(counts.none).toBeGreaterThan(0);
});

describe('the size of the file', () => {
  test('33,553,919 bytes are 65,535 blocks, one more rolls over', () => {
    expect(plan('tplink_archer-c7-v5', 'factory', {}, 33_553_919).blocks).toEqual({ of512: 65_535, rollsOver: false });
    expect(plan('tplink_archer-c7-v5', 'factory', {}, 33_553_920).blocks).toEqual({ of512: 65_536, rollsOver: true });
  });

  test('16 MiB are some minutes of writing, never more than are told as the most', () => {
    const { seconds } = plan('tplink_archer-c7-v5', 'factory', {}, 16 * 1024 * 1024);
    expect(seconds.write).toBe(30 + 256);
    expect(seconds.most).toBe(900);
    expect(plan('netgear_wndr3700-v2').seconds.most).toBe(1800);
  });

  test('timeText() speaks of seconds and minutes', () => {
    expect([1, 45, 89, 90, 286, 900].map(timeText)).toEqual(['a second', '45 seconds', '89 seconds', '2 minutes', '5 minutes', '15 minutes']);
  });
});

describe('gateOf()', () => {
  const none = new Set<string>();
  const damage = { code: 'data-checksum-mismatch', severity: 'error', message: '', offset: 0, length: 0, layer: '' } as unknown as Verdict['findings'][number];
  const warning = { ...damage, code: 'block-rollover', severity: 'warning' } as unknown as Verdict['findings'][number];

  test.each(['installs', 'installs-without-settings', 'boots'] as const)('%s goes through', (outcome) => {
    expect(gateOf({ verdict: verdict(outcome) }, none)).toEqual({ open: true });
  });

  test('bricks and refused stop it by exit 1, and name what has to be accepted', () => {
    expect(gateOf({ verdict: verdict('bricks', [damage, warning, damage]) }, none)).toEqual({ open: false, exit: 1, codes: ['data-checksum-mismatch'] });
    expect(gateOf({ verdict: verdict('refused', [warning]) }, none)).toEqual({ open: false, exit: 1, codes: ['verdict-refused'] });
    expect(gateOf({ verdict: verdict('not-applicable') }, none)).toMatchObject({ exit: 1 });
  });

  test('unknown stops it by exit 3', () => {
    expect(gateOf({ verdict: verdict('unknown') }, none)).toEqual({ open: false, exit: 3, codes: ['verdict-unknown'] });
  });

  test('only the very codes open it', () => {
    const { exit } = gateOf({ verdict: verdict('bricks', [damage]) }, new Set(['verdict-bricks'])) as { exit: number };
    expect(exit).toBe(1);
    expect(gateOf({ verdict: verdict('bricks', [damage]) }, new Set(['data-checksum-mismatch']))).toEqual({ open: true });
    expect(gateOf({ verdict: verdict('unknown') }, new Set(['verdict-unknown']))).toEqual({ open: true });
  });
});

describe('verdictByPlan()', () => {
  test('where nothing is recorded the image is judged by the habit, and the verdict says so', () => {
    const device = requireDevice(facts, 'netgear_wndr3700-v2');
    const judged: string[] = [];
    const made = verdictByPlan(facts, device, {}, ({ recovery }) => {
      judged.push(recovery.map(({ imageKind }) => imageKind).join());
      return recovery.length === 0 ? verdict('unknown') : verdict('installs');
    });
    expect(judged).toEqual(['', 'factory']);
    expect(made.outcome).toBe('installs');
    expect(made.assumes[0]).toContain('not recorded');
  });

  test('a record is never talked over, and neither is a verdict', () => {
    expect(verdictByPlan(facts, requireDevice(facts, 'tplink_archer-c7-v5'), {}, () => verdict('unknown')).outcome).toBe('unknown');
    const device = requireDevice(facts, 'netgear_wndr3700-v2');
    expect(verdictByPlan(facts, device, {}, ({ recovery }) => verdict(recovery.length === 0 ? 'bricks' : 'installs')).outcome).toBe('bricks');
    expect(verdictByPlan(facts, device, { as: 'client' }, ({ recovery }) => verdict(recovery.length === 0 ? 'unknown' : 'installs')).outcome).toBe('unknown');
  });
});

describe('addresses', () => {
  test('sameNetwork() compares as many bits as the prefix has', () => {
    expect(sameNetwork('192.168.1.1', '192.168.1.254', 24)).toBe(true);
    expect(sameNetwork('192.168.1.1', '192.168.0.254', 24)).toBe(false);
    expect(sameNetwork('192.168.1.1', '192.168.0.254', 16)).toBe(true);
    expect(sameNetwork('127.0.0.1', '127.255.0.9', 8)).toBe(true);
    expect(sameNetwork('192.168.1.1', 'fe80::1', 0)).toBe(false);
    expect(sameNetwork('192.168.1.256', '192.168.1.256', 24)).toBe(false);
  });

  test('addressBeside() is never the address of the device', () => {
    expect(addressBeside('192.168.1.1')).toBe('192.168.1.10');
    expect(addressBeside('192.168.1.10')).toBe('192.168.1.11');
    expect(addressBeside('fe80::1')).toBeUndefined();
  });
});
