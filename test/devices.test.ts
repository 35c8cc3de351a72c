import { describe, expect, test } from 'vitest';
import { imageRoutes } from '../src/devices/doors.ts';
import type { Device, DeviceFacts } from '../src/devices/facts.ts';
import { loadDeviceFacts } from '../src/devices/load.ts';
import { devicesByIdentity, findDevice, lookupError, nameOf, searchDevices } from '../src/devices/lookup.ts';
import { joined, titlesOf, words } from '../src/devices/names.ts';
import { rank } from '../src/devices/search.ts';

const facts = await loadDeviceFacts();

/** What findDevice says, short: a name, `a | b`, or `? a, b` for the nearest. */
function answer(query: string, from: DeviceFacts = facts): string {
  const lookup = findDevice(from, query);
  if (lookup.outcome === 'found') return nameOf(from, lookup.device);
  const list = (devices: readonly Device[]): string[] => devices.map((device) => nameOf(from, device));
  return lookup.outcome === 'ambiguous' ? list(lookup.candidates).join(' | ') : `? ${list(lookup.nearest).join(', ')}`;
}

describe('names', () => {
  test.each([
    ['TP-Link Archer C7 v5', 'tplinkarcherc7v5'],
    ['D-Link DIR-825 rev. B1', 'dlinkdir825b1'],
    ['FRITZ!Box 3370 Rev. 2', 'fritzbox3370 2'],
    ['Onion Omega2+', 'onionomega2plus'],
    ['WNDR3700 Version 2', 'wndr3700v2'],
    ['revolution v.3', 'revolutionv3'],
    ['Pi 4 400', 'pi4 400'],
  ])('joined(words()) of %s is %s', (text, expected) => {
    expect(joined(words(text))).toBe(expected);
  });

  test.each([
    ['tplink_tl-wr841-v9', ['TP-Link TL-WR841N v9', 'TP-Link TL-WR841ND v9']],
    ['netgear_ex3700', ['NETGEAR EX3700', 'NETGEAR EX3800']],
    ['comfast_cf-e5', ['COMFAST CF-E5', 'COMFAST CF-E7']],
    ['iodata_wn-ac1600dgr2', ['I-O DATA WN-AC1600DGR2', 'I-O DATA WN-AC1600DGR3']],
    ['dlink_dwr-116-a1', ['D-Link DWR-116 A1', 'D-Link DWR-116 A2']],
  ])('titlesOf() gives both names of %s', (profile, expected) => {
    const [device] = devicesByIdentity(facts, profile) as [Device];
    expect(titlesOf(device).eachOfSeveral).toEqual(expect.arrayContaining(expected));
  });
});

describe('findDevice()', () => {
  test.each([
    ['a profile', 'tplink_archer-c7-v5', 'tplink_archer-c7-v5'],
    ['a board name', 'tplink,archer-c7-v5', 'tplink_archer-c7-v5'],
    ['an old board name of one device', 'archer-c7-v5', 'tplink_archer-c7-v5'],
    ['a title', 'TP-Link Archer C7 v5', 'tplink_archer-c7-v5'],
    ['a title without vendor', 'archer c7 v5', 'tplink_archer-c7-v5'],
    ['a title in one word', 'ArcherC7v5', 'tplink_archer-c7-v5'],
    ['another title', 'Belkin RT3200', 'linksys_e8450'],
    ['one of the names in a title with a slash', 'TL-WR841ND v9', 'tplink_tl-wr841-v9'],
    ['a title with a vendor of two words', 'WN-AC1600DGR3', 'iodata_wn-ac1600dgr2'],
    ['a title with its revision spelled out', 'dir-825 rev. b1', 'dlink_dir-825-b1'],
    ['a profile with blanks', 'tplink archer c7 v5', 'tplink_archer-c7-v5'],
    ['a profile in its target', 'x86/64:generic', 'x86/64:generic'],
    ['a title in its target', 'malta/be:MIPS Malta CoreLV board (QEMU)', 'malta/be:generic'],
    ['a plus', 'omega2+', 'onion_omega2p'],
    ['no plus', 'omega2', 'onion_omega2'],
  ])('knows %s: %s', (_, query, expected) => {
    expect(answer(query)).toBe(expected);
  });

  test.each([
    ['an old name that several have', 'archer-c7', 'tplink_archer-c7-v1 | tplink_archer-c7-v2 | tplink_tl-wdr7500-v3'],
    [
      'the beginning of several titles',
      'Archer C7',
      /^tplink_archer-c7-v1 \| tplink_archer-c7-v2 \| tplink_archer-c7-v4 \| tplink_archer-c7-v5 \| tplink_tl-wdr7500-v3$/,
    ],
    ['an old name that is the beginning of other titles', 'TL-WR1043ND', /tplink_tl-wr1043nd-v1 .*tplink_tl-wr1043nd-v4/],
    ['a profile in several targets', 'standard', 'bcm47xx/generic:standard | bcm47xx/legacy:standard | bcm47xx/mips74k:standard'],
    ['another title of two devices', 'Zyxel T-56', 'zyxel_ex5601-t0-ubootmod | zyxel_ex5601-t0-stock'],
  ])('lists the candidates of %s: %s', (_, query, expected) => {
    expect(answer(query)).toMatch(expected);
  });

  test.each([
    ['a typing error', 'archr c7 v5', /^\? tplink_archer-c7-v5/],
    ['a version that does not exist', 'tplink_archer-c7-v6', /^\? tplink_archer-c7-v1/],
    ['a title without its version, though only one begins so', 'wrt1900acs', /^\? linksys_wrt1900acs(?:-v1)?/],
    ['a profile in a target that does not have it', 'x86/64:tplink_archer-c7-v5', /^\? tplink_archer-c7-v5/],
    ['noise', 'qwertzuiop', /^\? $/],
    ['nothing', ' ', /^\? $/],
  ])('does not guess from %s: %s', (_, query, expected) => {
    expect(answer(query)).toMatch(expected);
  });

  test('takes a profile before the old name of another device', () => {
    const [device] = devicesByIdentity(facts, 'tplink_archer-c7-v5') as [Device];
    const own: Device = { ...device, profile: 'alpha', title: 'Alpha', boards: ['beta'] };
    const older: Device = { ...device, profile: 'gamma', title: 'Gamma', boards: ['delta', 'alpha', 'beta'] };
    const two: DeviceFacts = { ...facts, devices: [older, own] };
    expect(answer('alpha', two)).toBe('alpha');
    expect(answer('beta', two)).toBe('alpha');
    expect(answer('delta', two)).toBe('gamma');
  });

  test('finds every device by nameOf(), profile, first board and title, unless another has the same', () => {
    for (const device of facts.devices) {
      expect(findDevice(facts, nameOf(facts, device)), nameOf(facts, device)).toEqual({ outcome: 'found', device });
      for (const value of [device.profile, device.title, ...device.boards.slice(0, 1)]) {
        const sharers = facts.devices.filter((other) => [other.profile, other.boards[0], other.title, ...other.otherTitles].includes(value));
        const lookup = findDevice(facts, value);
        const found = lookup.outcome === 'found' ? [lookup.device] : lookup.outcome === 'ambiguous' ? lookup.candidates : [];
        expect(new Set(found.map((other) => nameOf(facts, other))), value).toEqual(new Set(sharers.map((other) => nameOf(facts, other))));
      }
    }
  });
});

describe('lookupError()', () => {
  const errorFor = (query: string) => {
    const lookup = findDevice(facts, query);
    if (lookup.outcome === 'found') throw new Error(`${query} is known`);
    return lookupError(facts, query, lookup);
  };

  test('lists the candidates by names that can be typed', () => {
    const { code, message } = errorFor('standard');
    expect(code).toBe('device-ambiguous');
    expect(message).toContain('"standard" may be any of 3 devices: bcm47xx/generic:standard (Generic Image');
  });

  test('says how many more there are', () => expect(errorFor('tp-link').message).toMatch(/may be any of \d{3} devices: .* and \d{3} more$/));

  test('names the nearest of an unknown one', () => {
    const { code, message, hint } = errorFor('archr c7 v5');
    expect([code, message]).toEqual(['device-unknown', 'No device is called "archr c7 v5"']);
    expect(hint).toContain('tplink_archer-c7-v5 (TP-Link Archer C7 v5)');
  });
});

/** What people type, and the device that has to come first. */
const searches: readonly (readonly [query: string, first: string])[] = [
  ['archr c7', 'tplink_archer-c7-v1'],
  ['AC1750 c7', 'tplink_archer-c7-v1'],
  ['acrher c7 v2', 'tplink_archer-c7-v2'],
  ['wr1043 v2', 'tplink_tl-wr1043nd-v2'],
  ['wr 1043nd v4', 'tplink_tl-wr1043nd-v4'],
  ['1043 v3', 'tplink_tl-wr1043nd-v3'],
  ['tplink wr841 v9', 'tplink_tl-wr841-v9'],
  ['wr841nd v9', 'tplink_tl-wr841-v9'],
  ['tl-wr703', 'tplink_tl-wr703n'],
  ['fritz 4040', 'avm_fritzbox-4040'],
  ['fritzbox 7530', 'avm_fritzbox-7530'],
  ['frtzbox 7412', 'avm_fritz7412'],
  ['avm 1200 repeater', 'avm_fritzrepeater-1200'],
  ['wrt1900acs', 'linksys_wrt1900acs'],
  ['linksys wrt 3200', 'linksys_wrt3200acm'],
  ['linskys ea8300', 'linksys_ea8300'],
  ['rt3200', 'linksys_e8450'],
  ['r7800', 'netgear_r7800'],
  ['netgaer r6220', 'netgear_r6220'],
  ['wndr3700v2', 'netgear_wndr3700-v2'],
  ['nighthawk x4s r7800', 'netgear_r7800'],
  ['rt ac68u', 'asus_rt-ac68u'],
  ['asus ac57u', 'asus_rt-ac57u-v1'],
  ['edge router x', 'ubnt_edgerouter-x'],
  ['edgeruoter x sfp', 'ubnt_edgerouter-x-sfp'],
  ['unifi ap ac lite', 'ubnt_unifiac-lite'],
  ['nanostation m xw', 'ubnt_nanostation-m-xw'],
  ['dir825 b1', 'dlink_dir-825-b1'],
  ['dlink dap 2695', 'dlink_dap-2695-a1'],
  ['mi router 4a gigabit', 'xiaomi_mi-router-4a-gigabit'],
  ['xiaomi ax3200', 'xiaomi_redmi-router-ax6s'],
  ['redmi ax6000', 'xiaomi_redmi-router-ax6000-stock'],
  ['nano pi r4s', 'friendlyarm_nanopi-r4s'],
  ['banana pi r4', 'bananapi_bpi-r4'],
  ['bpi r3 mini', 'bananapi_bpi-r3-mini'],
  ['glinet mt6000', 'glinet_gl-mt6000'],
  ['gl mt300n v2', 'glinet_gl-mt300n-v2'],
  ['turris omina', 'cznic_turris-omnia'],
  ['hap ac2', 'mikrotik_hap-ac2'],
  ['mikrotik hap ac lite', 'mikrotik_routerboard-952ui-5ac2nd'],
  ['openwrt one', 'openwrt_one'],
  ['merakki mr33', 'meraki_mr33'],
  ['cudy wr3000 v1', 'cudy_wr3000-v1'],
  ['zyxel nr7101', 'zyxel_nr7101'],
  ['tuf ax4200', 'asus_tuf-ax4200'],
];

describe('searchDevices()', () => {
  test.each(searches)('%s -> %s', (query, first) => {
    expect(searchDevices(facts, query)[0]?.device.profile).toBe(first);
  });

  test('gives all versions in their order, and nothing that is much worse', () => {
    const names = searchDevices(facts, 'archr c7').map(({ device }) => device.profile);
    expect(names).toEqual([...['v1', 'v2', 'v4', 'v5'].map((version) => `tplink_archer-c7-${version}`), ...names.slice(4)]);
    expect(names.length).toBeLessThan(8);
  });

  test('gives nothing for words that no device has', () => {
    expect(searchDevices(facts, 'qwertzuiop')).toEqual([]);
    expect(searchDevices(facts, 'netgear r9999')).toEqual([]);
  });

  test('finds devices by SoC and by target', () => {
    expect(searchDevices(facts, 'ipq8074').map(({ device }) => device.soc)).toContain('ipq8074');
    expect(searchDevices(facts, 'kirkwood').every(({ device }) => device.target === 'kirkwood/generic')).toBe(true);
  });

  test('ranks every device first, or among equals, for its own title, profile and first board', () => {
    for (const device of facts.devices) {
      for (const query of [device.title, device.profile, ...device.boards.slice(0, 1)]) {
        const found = searchDevices(facts, query);
        const equals = found.filter(({ score }) => score === found[0]?.score).map((entry) => entry.device);
        expect(equals, `${nameOf(facts, device)} by "${query}"`).toContain(device);
        if (found[0]?.device === device) continue;
        // Before it may stand only what has the same name.
        const [first] = equals as [Device];
        expect([first.title, first.profile, ...first.boards, ...first.otherTitles], query).toContain(query);
      }
    }
  });

  test('even without the exact names every title scores best for itself', () => {
    for (const device of facts.devices.filter((_, index) => index % 10 === 0)) {
      const ranked = rank(facts, device.title);
      const own = ranked.find((entry) => entry.device === device);
      expect(own?.score, device.title).toBeCloseTo(ranked[0]?.score ?? Number.NaN);
    }
  });
});

describe('devicesByIdentity()', () => {
  test('gives all devices that have an old board name', () => {
    expect(devicesByIdentity(facts, 'archer-c7').map(({ profile }) => profile)).toEqual(['tplink_archer-c7-v1', 'tplink_archer-c7-v2', 'tplink_tl-wdr7500-v3']);
  });

  test('gives the device of a profile, and each of the same name once', () => {
    expect(devicesByIdentity(facts, 'tplink_archer-c7-v5')).toHaveLength(1);
    expect(devicesByIdentity(facts, 'standard')).toHaveLength(3);
    expect(devicesByIdentity(facts, 'no such board')).toEqual([]);
  });
});

describe('imageRoutes()', () => {
  const routes = (name: string): object => {
    const [device] = devicesByIdentity(facts, name) as [Device];
    return Object.fromEntries(device.images.map((image) => [image.name, imageRoutes(device, image)]));
  };

  test('a factory image that a commit calls the recovery file goes through both doors', () => {
    expect(routes('tplink_archer-c7-v5')).toEqual({ 'sysupgrade.bin': ['sysupgrade'], 'factory.bin': ['stock', 'tftp'] });
  });

  test('the bare blocks of UBI are not for a web page', () => {
    expect(routes('netgear_rax120v2')).toMatchObject({ 'factory.ubi': ['mtd'], 'web-ui-factory.img': ['stock'] });
  });

  test('the image of a whole disk with metadata is for sysupgrade too', () => {
    expect(routes('friendlyarm_nanopi-r4s')).toEqual({ 'sysupgrade.img.gz': ['sysupgrade', 'disk'] });
  });
});
