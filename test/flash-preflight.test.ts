/** `owimg doctor`: what is said of a computer, and which commands are offered for each fault. The computers are made up; nothing is asked of this one. */
import { describe, expect, test } from 'vitest';
import { runDoctor } from '../src/cli/doctor.ts';
import type { BindAnswer, Host, HostInterface } from '../src/flash/host.ts';
import { type HostCheck, type Need, preflight } from '../src/flash/preflight.ts';
import { consoleOf } from './support/console.ts';
import { fakeHost, wired } from './support/flash-host.ts';

const serve: Need = { part: 'server', host: '192.168.0.66', port: 69 };
const push: Need = { part: 'client', router: '192.168.1.1', proposed: '192.168.1.10', port: 69 };

const inNetwork = (address: string, more: Partial<HostInterface> = {}): HostInterface => wired({ addresses: [{ address, prefix: 24 }], ...more });

async function checkOf(
  code: HostCheck['code'],
  need: Need,
  host: Partial<Host> & { readonly cards?: readonly HostInterface[] },
): Promise<HostCheck | undefined> {
  return (await preflight(need, fakeHost(host))).checks.find((check) => check.code === code);
}

const typed = (check: HostCheck | undefined): readonly string[] => check?.commands.map(({ type }) => type) ?? [];

test('preflight() of a computer that is ready finds nothing but good', async () => {
  const ready = await preflight(serve, fakeHost({ cards: [inNetwork('192.168.0.66')] }));
  expect(ready.interface).toBe('eth0');
  expect(ready.checks.map(({ state }) => state)).toEqual(ready.checks.map(() => 'good'));
  expect(ready.checks.map(({ code }) => code)).toEqual(['host-link', 'host-address', 'host-port', 'host-firewall']);
});

describe('the address', () => {
  test.each([
    ['linux', 'sudo ip address add 192.168.0.66/24 dev eth0 && sudo ip link set eth0 up', 'sudo ip address del 192.168.0.66/24 dev eth0'],
    ['macos', 'sudo ifconfig eth0 alias 192.168.0.66 255.255.255.0', 'sudo ifconfig eth0 -alias 192.168.0.66'],
    ['windows', 'netsh interface ipv4 add address "eth0" 192.168.0.66 255.255.255.0', 'netsh interface ipv4 delete address "eth0" 192.168.0.66'],
  ] as const)('that the loader asks is missing: on %s the command that gives it, and the one that takes it away', async (platform, give, take) => {
    const check = await checkOf('host-address', serve, {
      platform,
      cards: [inNetwork('10.0.0.5')],
      mayBind: async (_, address) => (address === undefined ? 'yes' : 'EADDRNOTAVAIL'),
    });
    expect(check?.state).toBe('problem');
    expect(check?.says).toContain('The loader asks 192.168.0.66');
    expect(typed(check)).toEqual([give, take]);
  });

  test('a name with a blank is quoted', async () => {
    const cards = [wired({ name: 'Ethernet 2' })];
    const check = await checkOf('host-address', serve, { platform: 'windows', cards, mayBind: async () => 'EADDRNOTAVAIL' });
    expect(typed(check)[0]).toContain('"Ethernet 2"');
  });

  test('of a card without a link is not listed, but can be used: that is enough', async () => {
    const check = await checkOf('host-address', serve, { cards: [wired({ link: 'no-cable' })] });
    expect(check?.state).toBe('good');
  });

  test('in the network of the device any will do', async () => {
    expect((await checkOf('host-address', push, { cards: [inNetwork('192.168.1.77')] }))?.state).toBe('good');
  });

  test('in no network of the device: packets would go to another router', async () => {
    const check = await checkOf('host-address', push, { cards: [inNetwork('192.168.2.77')] });
    expect(check?.state).toBe('problem');
    expect(typed(check)[0]).toBe('sudo ip address add 192.168.1.10/24 dev eth0 && sudo ip link set eth0 up');
  });

  test('from which the file is to come is missing', async () => {
    const check = await checkOf('host-address', { ...push, host: '192.168.1.2' }, { cards: [inNetwork('192.168.1.77')], mayBind: async () => 'EADDRNOTAVAIL' });
    expect(check?.says).toContain('is to come from 192.168.1.2');
    expect(check?.state).toBe('problem');
  });

  test('that is the same on both sides', async () => {
    expect((await checkOf('host-address', { ...serve, router: '192.168.0.66' }, { cards: [inNetwork('192.168.0.66')] }))?.state).toBe('problem');
    expect((await checkOf('host-address', push, { cards: [inNetwork('192.168.1.1')] }))?.says).toContain("this computer's own address");
  });

  test('on two cards in one network: packets may leave by the wrong one', async () => {
    const cards = [inNetwork('192.168.1.5'), inNetwork('192.168.1.6', { name: 'wlan0', wireless: true })];
    const check = await checkOf('host-address', push, { cards });
    expect(check?.state).toBe('note');
    expect(typed(check)).toEqual(['sudo ip link set wlan0 down']);
  });
});

describe('the address after the transfer', () => {
  const back = '192.168.1.1';

  test('is in another network: a second address is needed', async () => {
    const check = await checkOf('host-back', { ...serve, back }, { cards: [inNetwork('192.168.0.66')] });
    expect(check?.state).toBe('note');
    expect(typed(check)[0]).toBe('sudo ip address add 192.168.1.10/24 dev eth0 && sudo ip link set eth0 up');
  });

  test('is in the same network, or nobody asked', async () => {
    expect(await checkOf('host-back', { ...push, back }, { cards: [inNetwork('192.168.1.5')] })).toBeUndefined();
    expect(await checkOf('host-back', serve, { cards: [inNetwork('192.168.0.66')] })).toBeUndefined();
  });
});

describe('the link', () => {
  test('is missing while the device is off: no problem, and a switch between helps', async () => {
    const check = await checkOf('host-link', serve, { cards: [inNetwork('192.168.0.66', { link: 'no-cable' })] });
    expect(check?.state).toBe('note');
    expect(check?.says).toContain('A switch between');
  });

  test('of a card that is switched off', async () => {
    expect(typed(await checkOf('host-link', serve, { cards: [inNetwork('192.168.0.66', { link: 'off' })] }))).toEqual(['sudo ip link set eth0 up']);
  });

  test('is wireless', async () => {
    expect((await checkOf('host-link', push, { cards: [inNetwork('192.168.1.5', { wireless: true })] }))?.says).toContain('the cable only');
  });

  test('of a card that does not exist', async () => {
    const check = await checkOf('host-link', { ...serve, interface: 'eth9' }, { cards: [wired()] });
    expect(check?.state).toBe('problem');
    expect(check?.says).toContain('There are: eth0 (cable in).');
  });

  test('of several cards: the person has to choose', async () => {
    const ready = await preflight({ port: 69 }, fakeHost({ cards: [wired(), wired({ name: 'eth1' })] }));
    expect(ready.interface).toBeUndefined();
    expect(ready.checks[0]?.says).toContain('--interface NAME');
  });

  test('the only card with a cable is taken', async () => {
    expect((await preflight({ port: 69 }, fakeHost({ cards: [wired({ link: 'no-cable' }), wired({ name: 'eth1' })] }))).interface).toBe('eth1');
  });
});

describe('port 69', () => {
  test.each([
    ['linux', ['sudo sysctl net.ipv4.ip_unprivileged_port_start=69', 'sudo sysctl net.ipv4.ip_unprivileged_port_start=1024']],
    ['macos', ['sudo owimg flash …']],
    ['windows', []],
  ] as const)('is for the administrator only on %s', async (platform, commands) => {
    const check = await checkOf('host-port', serve, { platform, mayBind: async () => 'EACCES' });
    expect(check?.state).toBe('problem');
    expect(typed(check)).toEqual(commands);
  });

  test.each([
    ['linux', 'sudo ss -lunp sport = :69'],
    ['macos', 'sudo lsof -nP -iUDP:69'],
    ['windows', 'netstat -abno -p UDP | findstr :69'],
  ] as const)('is taken by another server: how to see which on %s', async (platform, command) => {
    const check = await checkOf('host-port', serve, { platform, mayBind: async () => 'EADDRINUSE' });
    expect(check?.says).toContain('another TFTP server');
    expect(typed(check)[0]).toBe(command);
  });

  test('does not matter to who sends', async () => {
    expect(await checkOf('host-port', push, { mayBind: async () => 'EACCES' })).toBeUndefined();
  });

  test('is no problem of somebody who only looks around', async () => {
    expect((await checkOf('host-port', { port: 69 }, { mayBind: async () => 'EACCES' }))?.state).toBe('note');
  });

  test('is asked of all addresses where the one is not there yet', async () => {
    const asked: (string | undefined)[] = [];
    await checkOf('host-port', serve, {
      mayBind: async (_, address) => {
        asked.push(address);
        return address === undefined ? 'EACCES' : 'EADDRNOTAVAIL';
      },
    });
    expect(asked).toContain(undefined);
  });
});

describe('for a device that is given an address', () => {
  const give: Need = { part: 'bootp', interface: 'eth0', proposed: '192.168.88.2', gives: { mac: undefined }, port: 69 };
  const own = inNetwork('192.168.88.2');

  test('a computer that is ready: all good', async () => {
    const ready = await preflight(give, fakeHost({ cards: [own] }));
    for (const code of ['host-link', 'host-address', 'host-port', 'host-firewall'])
      expect(ready.checks.find((check) => check.code === code)).toMatchObject({ code, state: 'good' });
    const says = (code: HostCheck['code']): string => ready.checks.find((check) => check.code === code)?.says ?? '';
    expect(says('host-port')).toBe('UDP ports 67, 68 and 69 can be opened.');
    expect(says('host-firewall')).toContain('UDP ports 67 and 69.');
  });

  test('the card has to be named, though there is but one', async () => {
    const check = await checkOf('host-link', { ...give, interface: undefined }, { cards: [own] });
    expect(check?.state).toBe('problem');
    expect(check?.says).toContain('with --interface. There are: eth0 (cable in).');
    expect((await checkOf('host-link', { ...give, interface: undefined, gives: undefined }, { cards: [own] }))?.state).toBe('note');
  });

  test('a card without an address needs one, as the plan has it', async () => {
    const check = await checkOf('host-address', give, { cards: [wired()] });
    expect(check?.state).toBe('problem');
    expect(typed(check)[0]).toBe('sudo ip address add 192.168.88.2/24 dev eth0 && sudo ip link set eth0 up');
  });

  test('whether a card without a link has one nobody can tell, unless it can be used', async () => {
    const off = (answer: BindAnswer) => checkOf('host-address', give, { cards: [wired({ link: 'no-cable' })], mayBind: async () => answer });
    expect((await off('EADDRNOTAVAIL'))?.state).toBe('note');
    expect(typed(await off('EADDRNOTAVAIL'))[0]).toContain('192.168.88.2/24 dev eth0');
    expect((await off('yes'))?.state).toBe('good');
  });

  test('the address that the device is to get is beside none of the card, or ours is not there', async () => {
    const beside = await checkOf('host-address', { ...give, router: '10.0.0.1' }, { cards: [own] });
    expect(beside?.says).toContain('The device cannot be given 10.0.0.1: eth0 has 192.168.88.2/24');
    expect(typed(beside)[0]).toContain('10.0.0.10/24 dev eth0');
    expect((await checkOf('host-address', { ...give, router: '192.168.88.2' }, { cards: [own] }))?.state).toBe('problem');
    expect((await checkOf('host-address', { ...give, router: '192.168.88.9' }, { cards: [own] }))?.state).toBe('good');
    const other = await checkOf('host-address', { ...give, host: '192.168.88.5', proposed: '192.168.88.5' }, { cards: [own] });
    expect(other?.says).toBe('eth0 does not have the address 192.168.88.5.');
    expect(typed(other)[0]).toContain('192.168.88.5/24 dev eth0');
  });

  test('with another card the device has to be named', async () => {
    const cards = [own, wired({ name: 'wlan0' }), wired({ name: 'lo', loopback: true })];
    const check = await checkOf('host-mac', give, { cards });
    expect(check?.state).toBe('problem');
    expect(check?.says).toContain('This computer also has wlan0, and cannot tell');
    expect((await checkOf('host-mac', { ...give, gives: { mac: '02:00:00:00:00:01' } }, { cards }))?.state).toBe('good');
    expect((await checkOf('host-mac', { ...give, gives: undefined }, { cards }))?.state).toBe('note');
    expect(await checkOf('host-mac', give, { cards: [own, wired({ name: 'lo', loopback: true })] })).toBeUndefined();
  });

  const taken = (...ports: readonly number[]): Partial<Host> => ({ mayBind: async (port) => (ports.includes(port) ? 'EADDRINUSE' : 'yes') });

  test('the ports are for the administrator only: the lowest is named', async () => {
    const check = await checkOf('host-port', give, { cards: [own], mayBind: async () => 'EACCES' });
    expect(check?.says).toContain('UDP ports 67, 68 and 69 may be opened by the administrator only');
    expect(typed(check)[0]).toBe('sudo sysctl net.ipv4.ip_unprivileged_port_start=67');
  });

  test('another TFTP server is a problem; a DHCP client of this computer may share its port; a DHCP server has a check of its own', async () => {
    expect(await checkOf('host-port', give, { cards: [own], ...taken(69) })).toMatchObject({
      state: 'problem',
      says: expect.stringContaining('UDP port 69 is taken'),
    });
    const client = await checkOf('host-port', give, { cards: [own], ...taken(68) });
    expect(client).toMatchObject({ state: 'note', says: expect.stringContaining('UDP port 68 is taken: a DHCP client') });
    expect(typed(client)).toEqual(['sudo ss -lunp sport = :68']);
    const server = { cards: [own], ...taken(67), isTaken: async (port: number) => port === 67 };
    expect((await checkOf('host-port', give, server))?.state).toBe('good');
    expect((await checkOf('host-server', give, server))?.state).toBe('note');
  });

  test('firewalls have to let in both ports', async () => {
    const firewall = await checkOf('host-firewall', give, { cards: [own], firewall: async () => 'ufw' });
    expect(firewall?.says).toContain('67/udp and 69/udp');
    expect(typed(firewall)[0]).toBe('sudo ufw allow in on eth0 proto udp to any port 67,69');
    expect((await checkOf('host-firewall', give, { cards: [own], firewall: async () => 'firewalld' }))?.says).toContain('67/udp and 69/udp');
    expect(typed(await checkOf('host-firewall', { ...give, router: '192.168.88.3' }, { cards: [own], platform: 'windows' }))[0]).toContain('localport=67,69');
  });
});

describe('what may interfere', () => {
  test('NetworkManager, which takes the address away when the device restarts', async () => {
    const check = await checkOf('host-manager', serve, { cards: [inNetwork('192.168.0.66', { managedBy: 'NetworkManager' })] });
    expect(typed(check)).toEqual(['nmcli device set eth0 managed no', 'nmcli device set eth0 managed yes']);
  });

  test('ufw: another rule for who sends than for who serves', async () => {
    const cards = [inNetwork('192.168.1.5')];
    expect(typed(await checkOf('host-firewall', push, { cards, firewall: async () => 'ufw' }))[0]).toBe('sudo ufw allow from 192.168.1.1 proto udp');
    expect(typed(await checkOf('host-firewall', serve, { cards, firewall: async () => 'ufw' }))[0]).toBe('sudo ufw allow in on eth0 proto udp to any');
  });

  test('firewalld, Windows Defender, the firewall of macOS', async () => {
    expect(typed(await checkOf('host-firewall', serve, { firewall: async () => 'firewalld' }))[0]).toContain('firewall-cmd --zone=trusted');
    expect(typed(await checkOf('host-firewall', push, { platform: 'windows' }))[0]).toContain('remoteip=192.168.1.1');
    expect(typed(await checkOf('host-firewall', push, { platform: 'macos' }))[0]).toContain('socketfilterfw');
  });

  test('another router on the same cable', async () => {
    expect((await checkOf('host-router', serve, { cards: [inNetwork('192.168.0.66', { gateway: '192.168.0.1' })] }))?.says).toContain('192.168.0.1');
  });

  test('a DHCP server on this computer', async () => {
    expect((await checkOf('host-server', serve, { isTaken: async (port) => port === 67 }))?.says).toContain('DHCP');
  });

  test('a file of more than 65,535 blocks', async () => {
    expect((await checkOf('host-rollover', { ...push, rollsOver: true }, {}))?.state).toBe('note');
    expect(await checkOf('host-rollover', { ...push, rollsOver: false }, {})).toBeUndefined();
  });
});

test('the static neighbour entry is offered to who sends, in the words of each system', async () => {
  const commands = async (platform: Host['platform']): Promise<string> =>
    typed(await checkOf('host-neighbour', push, { platform, cards: [inNetwork('192.168.1.5')] })).join('\n');
  expect(await commands('linux')).toContain('sudo ip neigh replace 192.168.1.1 lladdr AA:BB:CC:DD:EE:FF dev eth0 nud permanent');
  expect(await commands('macos')).toContain('sudo arp -s 192.168.1.1');
  expect(await commands('windows')).toContain('netsh interface ipv4 add neighbors "eth0" 192.168.1.1');
  expect(await checkOf('host-neighbour', serve, {})).toBeUndefined();
});

describe('runDoctor()', () => {
  test('exits 1 where something is missing for the device, in 80 columns but for the commands', async () => {
    const { io, ran } = consoleOf();
    const status = await runDoctor(
      { device: 'tplink_archer-c7-v5' },
      io,
      fakeHost({ mayBind: async (_, address) => (address === undefined ? 'yes' : 'EADDRNOTAVAIL') }),
    );
    expect(status).toBe(1);
    expect(ran.out).toContain('TP-Link Archer C7 v5 (as recorded)');
    expect(ran.out).toContain('PROBLEM');
    for (const line of ran.out.split('\n')) if (!/^ {12}/.test(line)) expect(line.length).toBeLessThanOrEqual(80);
  });

  test('exits 0 without a device where all is well, and prints JSON', async () => {
    const { io, ran } = consoleOf();
    expect(await runDoctor({ json: true }, io, fakeHost({}))).toBe(0);
    expect(JSON.parse(ran.out)).toMatchObject({ schemaVersion: 1, device: null, host: { interface: 'eth0' } });
  });

  test('names a guess as one', async () => {
    const { io, ran } = consoleOf();
    await runDoctor({ device: 'linksys_wrt54g' }, io, fakeHost({}));
    expect(ran.out).toContain('a guess: ');
  });
});
