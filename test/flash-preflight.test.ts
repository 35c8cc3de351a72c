/** `owimg doctor`: what is said of a computer, and which commands are offered for each fault. The computers are made up; nothing is asked of this one. */
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, test } from 'vitest';
import schema from '../docs/schema/flash.schema.json' with { type: 'json' };
import { runDoctor } from '../src/cli/doctor.ts';
import type { Host, HostInterface } from '../src/flash/host.ts';
import { type HostCheck, type Need, preflight, problemOf, remedyOf } from '../src/flash/preflight.ts';
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
  const neighbours = async () => [{ address: '192.168.0.5', mac: '02:00:00:00:00:05' }];
  const ready = await preflight(serve, fakeHost({ cards: [inNetwork('192.168.0.66')], neighbours }));
  expect(ready.interface).toBe('eth0');
  expect(ready.checks.map(({ state }) => state)).toEqual(ready.checks.map(() => 'good'));
  expect(ready.checks.map(({ code }) => code)).toEqual(['host-link', 'host-address', 'host-port', 'host-firewall', 'host-server', 'host-tftp']);
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

  test('of a card without a link is enough for both parts: the device is off', async () => {
    const off = { link: 'no-cable' } as const;
    expect((await checkOf('host-address', serve, { cards: [inNetwork('192.168.0.66', off)] }))?.state).toBe('good');
    expect((await checkOf('host-address', push, { cards: [inNetwork('192.168.1.10', off)] }))?.state).toBe('good');
  });

  test.each(['macos', 'windows'] as const)(
    'that %s does not list is enough where it can be used; otherwise it says that it may be hidden',
    async (platform) => {
      for (const need of [serve, push]) {
        expect((await checkOf('host-address', need, { platform, cards: [wired()], hasAddress: async () => true }))?.state).toBe('good');
        const check = await checkOf('host-address', need, { platform, cards: [wired()] });
        expect(check?.state).toBe('problem');
        expect(check?.says).toContain('only while it has a link');
      }
    },
  );

  test('that the loader asks is not recorded: nobody can tell whether it is there', async () => {
    const need: Need = { part: 'server', router: '192.168.0.86', port: 69 };
    expect((await checkOf('host-address', need, { cards: [wired()] }))?.state).toBe('note');
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

  test('is on another card than the one that was named: packets would leave by the other', async () => {
    const cards = [wired(), inNetwork('192.168.1.10', { name: 'wlan0', wireless: true })];
    const check = await checkOf('host-address', { ...push, interface: 'eth0' }, { cards });
    expect(check?.state).toBe('problem');
    expect(check?.says).toBe('eth0 has no address in the network of 192.168.1.1; wlan0 has: packets would leave by wlan0.');
    // Not the one that wlan0 has.
    expect(typed(check)).toEqual([
      'sudo ip address add 192.168.1.11/24 dev eth0 && sudo ip link set eth0 up',
      'sudo ip address del 192.168.1.11/24 dev eth0',
      'sudo ip link set wlan0 down',
    ]);
  });

  test('that the loader asks is on another card than the one that was named', async () => {
    const cards = [wired(), inNetwork('192.168.0.66', { name: 'eth1' })];
    const check = await checkOf('host-address', { ...serve, interface: 'eth0' }, { cards });
    expect(check).toMatchObject({
      state: 'problem',
      says: 'eth0 does not have the address 192.168.0.66; eth1 has: packets would leave by eth1.',
    });
  });
});

describe('the network card', () => {
  const uplink = inNetwork('10.0.0.5', { name: 'enp1s0', gateway: '10.0.0.1' });
  const chosen = async (need: Need, ...cards: HostInterface[]): Promise<string | undefined> => (await preflight(need, fakeHost({ cards }))).interface;

  test('is the one with the address, also without a link, beside an uplink that has one', async () => {
    expect(await chosen(push, uplink, inNetwork('192.168.1.10', { name: 'enp2s0', link: 'no-cable' }))).toBe('enp2s0');
    expect(await chosen(serve, uplink, inNetwork('192.168.0.66', { name: 'enp2s0', link: 'no-cable' }))).toBe('enp2s0');
  });

  test('is not the way into the internet only because nothing else has a link', async () => {
    expect(await chosen(push, uplink, wired({ name: 'enp2s0', link: 'no-cable' }))).toBe('enp2s0');
    expect(await chosen(push, uplink, wired({ name: 'enp2s0', link: 'no-cable' }), wired({ name: 'enp3s0', link: 'no-cable' }))).toBeUndefined();
  });

  test('is the way into the internet where that is the only cable; bridges and containers have none', async () => {
    expect(await chosen(push, uplink, wired({ name: 'docker0', link: 'no-cable', virtual: true }))).toBe('enp1s0');
  });

  test('is, of two in the network of the device, the one that does not lead into the internet', async () => {
    const home = inNetwork('192.168.1.50', { name: 'wlan0', wireless: true, gateway: '192.168.1.1' });
    expect(await chosen(push, home, inNetwork('192.168.1.10', { name: 'eth0', link: 'no-cable' }))).toBe('eth0');
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

describe('the address after the transfer, which many a home router has', () => {
  const back = '192.168.1.1';
  const home = inNetwork('192.168.1.50', { name: 'wlan0', wireless: true, gateway: '192.168.1.1' });

  test('is that of the router by which this computer goes into the internet: it would be asked instead of the device', async () => {
    const check = await checkOf('host-back', { ...serve, back }, { cards: [home, inNetwork('192.168.0.66')] });
    expect(check).toMatchObject({ state: 'problem', says: expect.stringContaining('would be asked of that one') });
    expect(typed(check).slice(0, 2)).toEqual(['sudo ip link set wlan0 down', 'sudo ip address add 192.168.1.10/24 dev eth0 && sudo ip link set eth0 up']);
    const both = await checkOf('host-back', { ...push, back }, { cards: [home, inNetwork('192.168.1.10')] });
    expect(both?.state).toBe('problem');
    expect(typed(both)).toEqual(['sudo ip link set wlan0 down']);
  });

  test('is in the network of another card only', async () => {
    const cards = [inNetwork('192.168.1.50', { name: 'eth1' }), inNetwork('192.168.0.66')];
    expect(await checkOf('host-back', { ...serve, back }, { cards })).toMatchObject({
      state: 'problem',
      says: expect.stringContaining('eth0 has no address in that network; eth1 has'),
    });
  });

  test('is in the networks of two cards: it may be looked for by the wrong one', async () => {
    const cards = [inNetwork('192.168.1.50', { name: 'eth1' }), inNetwork('192.168.1.10')];
    expect((await checkOf('host-back', { ...push, interface: 'eth0', back }, { cards }))?.state).toBe('note');
  });

  test('is that of the router on the very card: the device itself, before it was switched off', async () => {
    expect(await checkOf('host-back', { ...push, back }, { cards: [inNetwork('192.168.1.50', { gateway: back })] })).toBeUndefined();
  });

  test('has a card with an address there that has no link yet: no false alarm', async () => {
    expect(await checkOf('host-back', { ...push, back }, { cards: [inNetwork('192.168.1.10', { link: 'no-cable' })] })).toBeUndefined();
  });
});

describe('problems that nobody can accept', () => {
  const nothing: ReadonlySet<string> = new Set();
  const hostOf = (host: Partial<Host>): Host => fakeHost({ cards: [inNetwork('192.168.0.66')], ...host });

  test.each(['EADDRINUSE', 'EACCES', 'other'] as const)('a port that cannot be opened (%s) stays one, and --accept is not offered', async (answer) => {
    const ready = await preflight(serve, hostOf({ mayBind: async () => answer }));
    const problem = problemOf(ready, new Set(['host-port']));
    expect(problem?.code).toBe('host-port');
    expect(remedyOf(problem as HostCheck)).not.toContain('--accept');
  });

  test('a command that only shows more is not told as if it helped', async () => {
    const problem = problemOf(await preflight(serve, hostOf({ mayBind: async () => 'EADDRINUSE' })), nothing);
    expect(remedyOf(problem as HostCheck)).toBe('To see which program: sudo ss -lunp sport = :69.');
  });

  test('an address that must be there, and is not; a card that does not exist', async () => {
    for (const [need, code] of [
      [serve, 'host-address'],
      [{ ...push, interface: 'eth9' }, 'host-link'],
    ] as const)
      expect(problemOf(await preflight(need, fakeHost({})), new Set([code]))?.code).toBe(code);
  });

  test('anything else is left to who knows better', async () => {
    const ready = await preflight(push, fakeHost({}));
    const problem = problemOf(ready, nothing);
    expect(problem?.code).toBe('host-address');
    expect(remedyOf(problem as HostCheck)).toMatch(/^To give it the address: sudo ip address add .* If you know better: --accept host-address\.$/);
    expect(problemOf(ready, new Set(['host-address']))).toBeUndefined();
  });
});

describe('the link', () => {
  test('is missing while the device is off: no problem, and a switch between helps', async () => {
    const check = await checkOf('host-link', serve, { cards: [inNetwork('192.168.0.66', { link: 'no-cable' })] });
    expect(check?.state).toBe('note');
    expect(check?.says).toContain('A switch between');
  });

  test('of a card that is switched off: a problem of who wants to use it', async () => {
    const off = { cards: [inNetwork('192.168.0.66', { link: 'off' })] };
    expect((await checkOf('host-link', serve, off))?.state).toBe('problem');
    expect((await checkOf('host-link', { port: 69 }, off))?.state).toBe('note');
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
    const unread = await checkOf('host-firewall', give, { cards: [own], firewall: async () => ({ kind: 'unknown', see: undefined }) });
    expect(unread?.says).toContain('UDP ports 67 and 69.');
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

  test('a card without a link may get one later: owimg waits for both', async () => {
    const off = (hasAddress: boolean) => checkOf('host-address', give, { cards: [wired({ link: 'no-cable' })], hasAddress: async () => hasAddress });
    expect((await off(false))?.state).toBe('note');
    expect(typed(await off(false))[0]).toContain('192.168.88.2/24 dev eth0');
    expect((await off(true))?.state).toBe('good');
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
    const firewall = await checkOf('host-firewall', give, { cards: [own], firewall: async () => ({ kind: 'ufw' }) });
    expect(firewall?.says).toContain('67/udp and 69/udp');
    expect(typed(firewall)[0]).toBe('sudo ufw allow in on eth0 proto udp to any port 67,69');
    expect((await checkOf('host-firewall', give, { cards: [own], firewall: async () => ({ kind: 'firewalld' }) }))?.says).toContain('67/udp and 69/udp');
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
    expect(typed(await checkOf('host-firewall', push, { cards, firewall: async () => ({ kind: 'ufw' }) }))[0]).toBe(
      'sudo ufw allow from 192.168.1.1 proto udp',
    );
    expect(typed(await checkOf('host-firewall', serve, { cards, firewall: async () => ({ kind: 'ufw' }) }))[0]).toBe(
      'sudo ufw allow in on eth0 proto udp to any',
    );
  });

  test('rules of nftables or iptables: that they are there, and how a card is let through and that is taken back', async () => {
    const nft = await checkOf('host-firewall', serve, { firewall: async () => ({ kind: 'rules', by: 'nft', chain: 'inet filter input' }) });
    expect(nft?.state).toBe('note');
    expect(nft?.says).toContain('(inet filter input). Whether they let this through owimg cannot tell.');
    expect(typed(nft)[0]).toBe('sudo nft insert rule inet filter input iifname eth0 accept comment owimg');
    expect(typed(nft)[1]).toContain('sudo nft delete rule inet filter input handle ');
    const iptables = await checkOf('host-firewall', serve, { firewall: async () => ({ kind: 'rules', by: 'iptables', chain: 'ip filter INPUT' }) });
    expect(typed(iptables).slice(0, 2)).toEqual(['sudo iptables -I INPUT -i eth0 -j ACCEPT', 'sudo iptables -D INPUT -i eth0 -j ACCEPT']);
  });

  test('rules that nobody may read are not called absent', async () => {
    const closed = await checkOf('host-firewall', serve, { firewall: async () => ({ kind: 'unknown', see: 'sudo nft list ruleset' }) });
    expect(closed?.state).toBe('note');
    expect(typed(closed)).toEqual(['sudo nft list ruleset']);
    for (const platform of ['linux', 'other'] as const)
      expect((await checkOf('host-firewall', serve, { platform, firewall: async () => ({ kind: 'unknown', see: undefined }) }))?.state).toBe('note');
  });

  test('firewalld, Windows Defender, the firewall of macOS', async () => {
    expect(typed(await checkOf('host-firewall', serve, { firewall: async () => ({ kind: 'firewalld' }) }))[0]).toContain('firewall-cmd --zone=trusted');
    expect(typed(await checkOf('host-firewall', push, { platform: 'windows' }))[0]).toContain('remoteip=192.168.1.1');
    expect(typed(await checkOf('host-firewall', push, { platform: 'macos' }))[0]).toContain('socketfilterfw');
  });

  test('another router on the same cable', async () => {
    expect((await checkOf('host-router', serve, { cards: [inNetwork('192.168.0.66', { gateway: '192.168.0.1' })] }))?.says).toContain('192.168.0.1');
  });

  test('a DHCP server on this computer', async () => {
    const check = await checkOf('host-server', serve, { isTaken: async (port) => port === 67 });
    expect(check?.says).toContain('A DHCP server runs on this computer');
    expect(check?.state).toBe('note');
  });

  test('a file of more than 65,535 blocks', async () => {
    expect((await checkOf('host-rollover', { ...push, rollsOver: true }, {}))?.state).toBe('note');
    expect(await checkOf('host-rollover', { ...push, rollsOver: false }, {})).toBeUndefined();
  });
});

describe('another DHCP server on the cable', () => {
  const cards = [inNetwork('192.168.0.66')];
  const answering = (...servers: string[]): Partial<Host> => ({
    dhcpServers: async () => ({ servers: servers.map((address) => ({ address, nextServer: undefined })), waited: 3500, thrownAway: false }),
  });
  const states = async (need: Need, host: Partial<Host>, all = cards): Promise<readonly (readonly [HostCheck['state'], string])[]> =>
    (await preflight(need, fakeHost({ cards: all, ...host }))).checks.filter(({ code }) => code === 'host-server').map(({ state, says }) => [state, says]);

  test('that answers is named: a note to who serves or sends, a problem to who gives addresses', async () => {
    const host = answering('192.168.0.1', '192.168.0.2');
    for (const need of [serve, push, { port: 69, interface: 'eth0' }]) expect((await checkOf('host-server', need, { cards, ...host }))?.state).toBe('note');
    const check = await checkOf('host-server', { ...serve, part: 'bootp' }, { cards, ...host });
    expect(check?.state).toBe('problem');
    expect(check?.says).toContain('192.168.0.1, 192.168.0.2');
    expect(check?.says).toContain('gives no addresses beside it');
  });

  test('that is one of this computer is told so, once, with how to see which', async () => {
    const host = { ...answering('192.168.0.66'), isTaken: async () => true };
    expect(await states(serve, host)).toEqual([['note', expect.stringContaining('A DHCP server of this computer answers on eth0')]]);
    expect(typed(await checkOf('host-server', serve, { cards, ...host }))).toEqual(['sudo ss -lunp sport = :67']);
  });

  test('that nobody heard: good, with how long was listened', async () => {
    expect(await states(serve, {})).toEqual([['good', 'No DHCP server was heard on eth0 within 3.5 s.']]);
  });

  test.each<[string, Partial<Host>, string]>([
    [
      'the system threw a packet of another network away',
      { dhcpServers: async () => ({ servers: [], waited: 3500, thrownAway: true }) },
      'may have been an answer',
    ],
    ['a firewall is on', { firewall: async () => ({ kind: 'firewalld' }) }, 'firewalld may have thrown'],
    ['a rule may drop it', { firewall: async () => ({ kind: 'rules', by: 'nft', chain: 'inet filter input' }) }, 'a firewall rule may have thrown'],
    ['the rules are not readable', { firewall: async () => ({ kind: 'unknown', see: undefined }) }, 'a firewall that owimg cannot see may have'],
    ['Windows has one of its own', { platform: 'windows' }, 'Windows Defender may have thrown'],
    ['only the administrator may open the port', { dhcpServers: async () => 'EACCES' }, 'not asked: that needs UDP port 68'],
    ['a DHCP client has the port', { dhcpServers: async () => 'EADDRINUSE' }, 'not asked: a DHCP client'],
    ['nothing could be sent', { dhcpServers: async () => 'other' }, 'not asked: the system did not let it'],
  ])('is not called absent where %s', async (_, host, says) => {
    expect(await states(serve, host)).toEqual([['note', expect.stringContaining(says)]]);
  });

  test('that has its port here is told of, also where the cable was not asked', async () => {
    const heard = await states(serve, { isTaken: async () => true, dhcpServers: async () => 'EADDRINUSE' });
    expect(heard.map(([state]) => state)).toEqual(['note', 'note']);
  });

  test.each([
    ['linux', 'sudo owimg doctor --interface eth0'],
    ['macos', 'sudo owimg doctor --interface eth0'],
    ['windows', 'owimg doctor --interface "eth0"'],
  ] as const)('can be asked for by the administrator: the command on %s', async (platform, command) => {
    expect(typed(await checkOf('host-server', serve, { cards, platform, dhcpServers: async () => 'EACCES' }))).toEqual([command]);
  });

  test.each<[string, HostInterface[], string]>([
    ['has no link', [inNetwork('192.168.0.66', { link: 'no-cable' })], 'eth0 has no link now'],
    ['has no address', [wired()], 'eth0 has no address now'],
    ['is not known', [wired(), wired({ name: 'eth1' })], 'which network card leads to the device is not known'],
  ])('is not asked for where the card %s, and it says so', async (_, all, says) => {
    const ask = async () => {
      throw new Error('asked');
    };
    const host = { dhcpServers: ask, tftpServers: ask };
    expect(await states({ port: 69 }, host, all)).toEqual([
      ['note', `Whether another DHCP or TFTP server is ${all.length === 1 ? 'on eth0' : 'on the cable'} was not asked: ${says}.`],
    ]);
  });

  test('is not asked for on the loopback, nor on a card that is not there', async () => {
    const ask = async () => {
      throw new Error('asked');
    };
    const host = { dhcpServers: ask, tftpServers: ask };
    expect(await states({ port: 69, interface: 'lo' }, host, [inNetwork('127.0.0.1', { name: 'lo', loopback: true })])).toEqual([]);
    expect(await states({ port: 69, interface: 'eth9' }, host)).toEqual([]);
  });
});

describe('another TFTP server on the cable', () => {
  const neighbour = (address: string) => ({ address, mac: '02:00:00:00:00:05' });
  /** Whom it asked, and what it says then. */
  async function ask(
    need: Need,
    host: Partial<Host> & { readonly cards?: readonly HostInterface[] },
  ): Promise<{ asked: readonly string[]; check: HostCheck | undefined }> {
    let asked: readonly string[] = [];
    const tftpServers: Host['tftpServers'] = async (addresses) => {
      asked = addresses;
      return host.tftpServers?.(addresses) ?? [];
    };
    const check = await checkOf('host-tftp', need, { cards: [inNetwork('192.168.1.5')], ...host, tftpServers });
    return { asked, check };
  }

  test('is asked for: the gateway, who gives addresses, where that one sends devices, and who is known', async () => {
    const { asked, check } = await ask(
      { port: 69 },
      {
        cards: [inNetwork('192.168.1.5', { gateway: '192.168.1.1' })],
        dhcpServers: async () => ({ servers: [{ address: '192.168.1.2', nextServer: '192.168.1.3' }], waited: 3500, thrownAway: false }),
        neighbours: async () => [neighbour('192.168.1.1'), neighbour('192.168.1.4')],
      },
    );
    expect(asked).toEqual(['192.168.1.1', '192.168.1.2', '192.168.1.3', '192.168.1.4']);
    expect(check).toMatchObject({ state: 'good', says: expect.stringContaining('Asked 4 machines') });
  });

  test('the loader itself is never asked, nor this computer, nor who is in another network', async () => {
    const neighbours = async () => ['192.168.1.1', '192.168.1.5', '10.0.0.1', '192.168.1.9'].map(neighbour);
    for (const part of ['client', 'server', 'bootp'] as const) expect((await ask({ ...push, part }, { neighbours })).asked).toEqual(['192.168.1.9']);
  });

  test('at most 16 are asked', async () => {
    const neighbours = async () => Array.from({ length: 40 }, (_, index) => neighbour(`192.168.1.${100 + index}`));
    const { asked, check } = await ask(push, { neighbours });
    expect(asked).toHaveLength(16);
    expect(check?.says).toContain('192.168.1.102 and 13 more');
  });

  test('that answers is named', async () => {
    const { check } = await ask(push, { neighbours: async () => [neighbour('192.168.1.9')], tftpServers: async () => ['192.168.1.9'] });
    expect(check).toMatchObject({ state: 'note', says: expect.stringContaining('Another TFTP server answers on eth0: 192.168.1.9.') });
  });

  test.each<[string, Partial<Host>, string]>([
    ['nobody is known', {}, 'not asked: this computer knows no other machine there'],
    ['the system does not tell whom it knows', { neighbours: async () => undefined }, 'not asked: this system does not tell'],
    ['a firewall is on', { neighbours: async () => [neighbour('192.168.1.9')], firewall: async () => ({ kind: 'ufw' }) }, 'ufw may have thrown'],
  ])('is not called absent where %s', async (_, host, says) => {
    expect((await ask(push, host)).check).toMatchObject({ state: 'note', says: expect.stringContaining(says) });
  });

  describe('with the address that this computer must have', () => {
    const need: Need = { part: 'server', host: '192.168.1.66', port: 69 };
    const mayBind: Host['mayBind'] = async (_, address) => (address === undefined ? 'yes' : 'EADDRNOTAVAIL');

    test('is a problem, and this computer is not told to take the address', async () => {
      const host: Partial<Host> = { mayBind, neighbours: async () => [neighbour('192.168.1.66')], tftpServers: async () => ['192.168.1.66'] };
      const { asked, check } = await ask(need, host);
      expect(asked).toEqual(['192.168.1.66']);
      expect(check).toMatchObject({ state: 'problem', says: expect.stringContaining('192.168.1.66, which the loader asks, is another machine on eth0') });
      const address = await checkOf('host-address', need, { cards: [inNetwork('192.168.1.5')], ...host });
      expect(address).toMatchObject({
        state: 'problem',
        says: expect.stringContaining('Another machine has it, or had it minutes ago (02:00:00:00:00:05)'),
        commands: [],
      });
    });

    test('nobody has it: asked, but not counted', async () => {
      const { asked, check } = await ask(need, { mayBind });
      expect(asked).toEqual(['192.168.1.66']);
      expect(check?.says).toContain('was not asked');
      expect(typed(await checkOf('host-address', need, { cards: [inNetwork('192.168.1.5')], mayBind }))).not.toEqual([]);
    });

    test('this computer has it, if only on another card without a link: nobody is asked there', async () => {
      const cards = [inNetwork('192.168.1.5'), inNetwork('192.168.1.66', { name: 'eth1', link: 'no-cable' })];
      expect((await ask({ ...need, interface: 'eth0' }, { cards })).asked).toEqual([]);
    });
  });
});

test('the static neighbour entry is offered to who sends, in the words of each system', async () => {
  const commands = async (platform: Host['platform']): Promise<string> =>
    typed(await checkOf('host-neighbour', push, { platform, cards: [inNetwork('192.168.1.5')] })).join('\n');
  expect(await commands('linux')).toContain('sudo ip neigh replace 192.168.1.1 lladdr AA:BB:CC:DD:EE:FF dev eth0 nud permanent');
  expect(await commands('macos')).toContain('sudo arp -s 192.168.1.1');
  expect(await commands('windows')).toContain('netsh interface ipv4 add neighbors "eth0" 192.168.1.1');
  expect(await checkOf('host-neighbour', serve, {})).toBeUndefined();
  // Advice: nothing was looked at that could be good.
  expect((await checkOf('host-neighbour', push, {}))?.state).toBe('note');
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

  test('prints JSON that fits its schema, also of a problem that nobody can accept', async () => {
    const { io, ran } = consoleOf();
    const host = fakeHost({ cards: [inNetwork('192.168.0.66')], mayBind: async () => 'EADDRINUSE' });
    expect(await runDoctor({ json: true, device: 'tplink_archer-c7-v5' }, io, host)).toBe(1);
    const printed = JSON.parse(ran.out);
    expect(printed.host.checks.find(({ code }: HostCheck) => code === 'host-port')).toMatchObject({ state: 'problem', acceptable: false });
    const validate = new Ajv2020({ strict: false }).compile(schema);
    expect(validate(printed), JSON.stringify(validate.errors)).toBe(true);
  });

  test('exits 1 where another DHCP server is there and the device has to be given an address', async () => {
    const dhcpServers: Host['dhcpServers'] = async () => ({ servers: [{ address: '192.168.88.1', nextServer: undefined }], waited: 3500, thrownAway: false });
    const host = fakeHost({ cards: [inNetwork('192.168.88.2')], dhcpServers });
    expect(await runDoctor({ device: 'mikrotik_rb5009upr' }, consoleOf().io, host)).toBe(1);
    expect(await runDoctor({}, consoleOf().io, host)).toBe(0);
    expect(await runDoctor({ device: 'mikrotik_rb5009upr' }, consoleOf().io, fakeHost({ cards: [inNetwork('192.168.88.2')] }))).toBe(0);
  });

  test('names a guess as one', async () => {
    const { io, ran } = consoleOf();
    await runDoctor({ device: 'linksys_wrt54g' }, io, fakeHost({}));
    expect(ran.out).toContain('a guess: ');
  });
});
