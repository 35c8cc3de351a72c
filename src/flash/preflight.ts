/** Whether this computer is ready for a transfer, and what to type where it is not. Decides from the answers of a {@link Host}; changes nothing. */
import { isHostBeside, maskOf, parseAddress } from '../dhcp/addresses.ts';
import { addressBeside, addressNumber, sameNetwork } from './addresses.ts';
import type { BindAnswer, DhcpAnswers, Firewall, Host, HostInterface, Neighbour, Platform } from './host.ts';

export interface Command {
  readonly why: string;
  readonly type: string;
}

export interface HostCheck {
  readonly code:
    | 'host-link'
    | 'host-address'
    | 'host-mac'
    | 'host-port'
    | 'host-manager'
    | 'host-firewall'
    | 'host-router'
    | 'host-server'
    | 'host-tftp'
    | 'host-rollover'
    | 'host-neighbour'
    | 'host-back';
  /** `problem`: it cannot work like this. `note`: it may get in the way. */
  readonly state: 'good' | 'note' | 'problem';
  readonly says: string;
  readonly commands: readonly Command[];
  /** Of a problem: nobody can go on in spite of it, whatever is accepted. */
  readonly acceptable?: false;
}

export interface Preflight {
  /** The network card that it goes by; `undefined` where nobody can tell. */
  readonly interface: string | undefined;
  readonly checks: readonly HostCheck[];
}

/** What the transfer needs. Everything may be left out: then it is about the computer in general. */
export interface Need {
  /** `bootp`: the device is given an address. */
  readonly part?: 'client' | 'server' | 'bootp' | undefined;
  /** The device's; with the part `bootp` the one that it is to be given, where that was named. */
  readonly router?: string | undefined;
  /** The very address that this computer must have. */
  readonly host?: string | undefined;
  /** One that would do. */
  readonly proposed?: string | undefined;
  readonly interface?: string | undefined;
  /** With the part `bootp`: the hardware address of the device, where it was named. `undefined`: nobody has been asked for it yet. */
  readonly gives?: { readonly mac: string | undefined } | undefined;
  readonly port: number;
  /** Where the device will be looked for afterwards. */
  readonly back?: string | undefined;
  readonly rollsOver?: boolean | undefined;
}

const prefix = 24;
const mask = '255.255.255.0';

/** Whether the card has an address in the network of another. */
const isBeside = ({ addresses }: HostInterface, address: string | undefined): boolean =>
  address !== undefined && addresses.some((own) => sameNetwork(own.address, address, own.prefix));

/**
 * The network card that leads to the device: the one named, the one with the address, one in the same network, or the only one that can be meant. The way
 * into the internet is seldom that one, also where it is the only card with a link: the device is off, so its card has none.
 */
function chooseInterface(need: Need, all: readonly HostInterface[]): HostInterface | undefined {
  if (need.interface !== undefined) return all.find(({ name }) => name === need.interface);
  const holder = all.find(({ addresses }) => addresses.some(({ address }) => address === need.host));
  if (holder !== undefined) return holder;
  const beside = all.filter((card) => isBeside(card, need.router));
  const cables = all.filter(({ loopback, wireless }) => !loopback && !wireless);
  const real = cables.filter(({ virtual }) => !virtual);
  const wired = real.length > 0 ? real : cables;
  const free = wired.filter(({ gateway }) => gateway === undefined);
  const [near = beside[0]] = beside.filter((card) => free.includes(card));
  if (near !== undefined) return near;
  const alive = free.filter(({ link }) => link === 'up');
  return [alive, free, wired].find(({ length }) => length === 1)?.[0];
}

/** A name as the shells take it. */
const quoted = (name: string, platform: Platform): string => (platform === 'windows' || /[^\w.@-]/.test(name) ? `"${name.replaceAll('"', '')}"` : name);

function addressCommands(platform: Platform, name: string, address: string): Command[] {
  const card = quoted(name, platform);
  if (platform === 'linux') {
    return [
      { why: 'give it the address', type: `sudo ip address add ${address}/${prefix} dev ${card} && sudo ip link set ${card} up` },
      { why: 'take it away afterwards', type: `sudo ip address del ${address}/${prefix} dev ${card}` },
    ];
  }
  if (platform === 'macos') {
    return [
      { why: 'give it the address', type: `sudo ifconfig ${card} alias ${address} ${mask}` },
      { why: 'take it away afterwards', type: `sudo ifconfig ${card} -alias ${address}` },
    ];
  }
  if (platform === 'windows') {
    return [
      { why: 'give it the address (as administrator)', type: `netsh interface ipv4 add address ${card} ${address} ${mask}` },
      { why: 'take it away afterwards', type: `netsh interface ipv4 delete address ${card} ${address}` },
    ];
  }
  return [];
}

const cardWord = 'CARD';

function cardList(all: readonly HostInterface[]): string {
  const known = all
    .filter(({ loopback }) => !loopback)
    .map(({ name, link }) => `${name}${link === undefined ? '' : link === 'up' ? ' (cable in)' : ' (no link)'}`);
  return known.length === 0 ? 'There is none besides the loopback.' : `There are: ${known.join(', ')}.`;
}

function linkCheck(card: HostInterface | undefined, need: Need, all: readonly HostInterface[]): HostCheck {
  const code = 'host-link';
  if (card === undefined) {
    const list = cardList(all);
    if (need.interface !== undefined) {
      return { code, state: 'problem', says: `This computer has no network card "${need.interface}". ${list}`, commands: [], acceptable: false };
    }
    if (need.part !== 'bootp')
      return { code, state: 'note', says: `Which network card leads to the device nobody can tell: --interface NAME. ${list}`, commands: [] };
  }
  if (card === undefined || (need.part === 'bootp' && need.interface === undefined)) {
    const says = `Addresses are given on one network card only: name the one that leads to the device with --interface. ${cardList(all)}`;
    return { code, state: need.gives === undefined ? 'note' : 'problem', says, commands: [] };
  }
  const { name, link, wireless } = card;
  if (wireless) {
    return { code, state: 'note', says: `${name} is wireless. Boot loaders listen on the cable only: connect one, and switch the wireless off.`, commands: [] };
  }
  if (link === 'up' || card.loopback) return { code, state: 'good', says: `${name} has a link.`, commands: [] };
  if (link === undefined) return { code, state: 'note', says: `Whether ${name} has a link nobody can tell here: see that its light is on.`, commands: [] };
  if (link === 'off') {
    const commands = [{ why: 'switch it on', type: `sudo ip link set ${quoted(name, 'linux')} up` }];
    return { code, state: need.part === undefined ? 'note' : 'problem', says: `${name} is switched off.`, commands };
  }
  const says = `${name} has no link. That is as it should be while the device is off; owimg waits. A switch between the two keeps the link up and saves the seconds that it takes to come.`;
  return { code, state: 'note', says, commands: [] };
}

/** Where systems hide addresses, and what makes them show them. */
const hides = (platform: Platform): string =>
  platform === 'linux' ? '' : ' Systems like this one show the address of a card only while it has a link: a switch between the two keeps it up.';

const switchOff = (platform: Platform, { name }: HostInterface): Command[] =>
  platform === 'linux' ? [{ why: `switch ${name} off for now`, type: `sudo ip link set ${quoted(name, platform)} down` }] : [];

/** One that nobody here has. */
function freeAddress(wanted: string | undefined, beside: string | undefined, all: readonly HostInterface[]): string | undefined {
  const network = beside?.split('.').slice(0, 3).join('.');
  const others = addressNumber(beside ?? '') === undefined ? [] : ['10', '11', '12', '13', '14'].map((last) => `${network}.${last}`);
  const isFree = (address: string): boolean => address !== beside && !all.some(({ addresses }) => addresses.some((own) => own.address === address));
  return [wanted, ...others].filter((address) => address !== undefined).find(isFree);
}

/** Whether our address is there, or another one by which the device can be reached. */
async function addressCheck(
  asked: Host,
  card: HostInterface | undefined,
  need: Need,
  all: readonly HostInterface[],
  taken: Neighbour | undefined,
): Promise<HostCheck | undefined> {
  const code = 'host-address';
  const { part, host, router, proposed = host } = need;
  if (host === undefined && router === undefined) return undefined;
  const { platform } = asked;
  const name = card?.name ?? cardWord;
  if (host !== undefined && host === router) {
    return { code, state: 'problem', says: `${host} cannot be the address of both: give this computer another one (--host).`, commands: [] };
  }
  for (const given of [host, router]) {
    if (given !== undefined && addressNumber(given) === undefined)
      return { code, state: 'note', says: `${given} is no IPv4 address in numbers: what leads there was not looked at.`, commands: [] };
  }
  const holder = all.find(({ addresses }) => addresses.some(({ address }) => address === host));
  const inNetwork = all.filter((one) => isBeside(one, router));
  // The problem is not ours to accept where nothing can be sent from an address, nor heard at it, that is not there.
  const fixed = { code, state: 'problem', acceptable: false } as const;
  if (host !== undefined && !(await asked.hasAddress(host))) {
    const from = part === 'server' ? `The loader asks ${host}` : `The file is to come from ${host}`;
    const says = `${from}, and this computer does not have that address now.`;
    // Two with one address would be worse than none.
    if (taken !== undefined)
      return { ...fixed, says: `${says} Another machine has it, or had it minutes ago (${taken.mac}): take that one off the cable first.`, commands: [] };
    return { ...fixed, says: `${says}${hides(platform)}`, commands: addressCommands(platform, name, host) };
  }
  const itself = all.find(({ addresses }) => addresses.some(({ address }) => address === router));
  if (itself !== undefined && !itself.loopback && router !== undefined) {
    return { code, state: 'problem', says: `${router} is this computer's own address (${itself.name}): the device needs it.`, commands: [] };
  }
  const named = need.interface === undefined ? undefined : card;
  if (named !== undefined && host !== undefined && holder !== undefined && holder !== named && !holder.loopback) {
    const says = `${named.name} does not have the address ${host}; ${holder.name} has: packets would leave by ${holder.name}.`;
    const commands = [{ why: `take it from ${holder.name}`, type: `sudo ip address del ${host} dev ${quoted(holder.name, platform)}` }];
    return { code, state: 'problem', says, commands: platform === 'linux' ? [...commands, ...addressCommands(platform, name, host)] : [] };
  }
  const [other] = inNetwork.filter((one) => one !== (card ?? inNetwork[0]));
  if (card !== undefined && other !== undefined && router !== undefined && !inNetwork.includes(card)) {
    const says = `${name} has no address in the network of ${router}; ${other.name} has: packets would leave by ${other.name}.`;
    const address = freeAddress(proposed, router, all);
    return {
      code,
      state: 'problem',
      says,
      commands: address === undefined ? [] : [...addressCommands(platform, name, address), ...switchOff(platform, other)],
    };
  }
  if (other !== undefined && router !== undefined) {
    const says = `${inNetwork.map((one) => one.name).join(' and ')} are both in the network of ${router}: packets may leave by the wrong one. Switch the other off.`;
    return { code, state: 'note', says, commands: switchOff(platform, other) };
  }
  const hidden = proposed !== undefined && router !== undefined && sameNetwork(proposed, router, prefix) && (await asked.hasAddress(proposed));
  if (part === 'client' && router !== undefined && inNetwork.length === 0 && !hidden) {
    const says = `The device will be ${router}, and this computer has no address in that network: what it sends would go elsewhere.${hides(platform)}`;
    return { code, state: 'problem', says, commands: proposed === undefined ? [] : addressCommands(platform, name, proposed) };
  }
  const whose = holder ?? inNetwork[0];
  if (whose !== undefined) return { code, state: 'good', says: `${whose.name} has an address in the right network.`, commands: [] };
  if (host !== undefined || hidden) return { code, state: 'good', says: `This computer has the address ${host ?? proposed}.`, commands: [] };
  if (part !== 'server') return undefined;
  return { code, state: 'note', says: 'Which address the loader asks is not recorded, so nobody can tell whether this computer has it.', commands: [] };
}

/** Whether the card has an address of ours, from which the device is served, and beside which it gets its own. */
async function givingAddressCheck(asked: Host, card: HostInterface | undefined, { host, router, proposed }: Need): Promise<HostCheck | undefined> {
  if (card === undefined) return undefined;
  const code = 'host-address';
  const { name, addresses, link } = card;
  const wanted = host ?? proposed;
  const commands = wanted === undefined ? [] : addressCommands(asked.platform, name, wanted);
  const own = host === undefined ? addresses : addresses.filter(({ address }) => address === host);
  const listed = own.map(({ address, prefix: bits }) => `${address}/${bits}`).join(' and ');
  if (own.length > 0) {
    const client = router === undefined ? undefined : parseAddress(router);
    const fits = client === undefined || own.some(({ address, prefix: bits }) => isHostBeside(client, parseAddress(address) ?? 0, maskOf(bits)));
    if (fits) return { code, state: 'good', says: `${name} has an address: ${listed}.`, commands: [] };
    const beside = router === undefined ? undefined : addressBeside(router);
    const says = `The device cannot be given ${router}: ${name} has ${listed}, and no address beside that.`;
    return { code, state: 'problem', says, commands: host !== undefined || beside === undefined ? [] : addressCommands(asked.platform, name, beside) };
  }
  if (link === 'no-cable' || link === 'off') {
    if (wanted !== undefined && (await asked.hasAddress(wanted))) return { code, state: 'good', says: `${wanted} is there.`, commands: [] };
    return { code, state: 'note', says: `${name} needs an address, and has none now; owimg waits for it, and for the link.`, commands };
  }
  const says = host === undefined ? `${name} has no IPv4 address, and needs one.` : `${name} does not have the address ${host}.`;
  return { code, state: 'problem', says, commands };
}

/** A broadcast does not tell by which card it came in. */
function macCheck(card: HostInterface | undefined, { part, gives, interface: named }: Need, all: readonly HostInterface[]): HostCheck | undefined {
  const others = all.filter(({ name, loopback }) => !loopback && name !== card?.name).map(({ name }) => name);
  if (part !== 'bootp' || named === undefined || card === undefined || others.length === 0) return undefined;
  const code = 'host-mac';
  if (gives?.mac !== undefined) return { code, state: 'good', says: `Only the device with the hardware address ${gives.mac} is answered.`, commands: [] };
  const says = `This computer also has ${others.join(', ')}, and cannot tell by which card a request comes in: name the device by its hardware address with --mac. It is printed on the label.`;
  return gives === undefined ? { code, state: 'note', says, commands: [] } : { code, state: 'problem', says, commands: [], acceptable: false };
}

const stopServers = 'sudo systemctl stop tftpd-hpa atftpd dnsmasq';

/** `67, 68 and 69` */
const listText = (numbers: readonly number[]): string => numbers.join(', ').replace(/, (\d+)$/, ' and $1');

/** BOOTP and DHCP: the server's port and the client's; at this one other servers are heard. */
const [dhcpServerPort, dhcpClientPort] = [67, 68];

async function portCheck(host: Host, card: HostInterface | undefined, need: Need): Promise<HostCheck | undefined> {
  if (need.part === 'client') return undefined;
  const code = 'host-port';
  const { platform } = host;
  const ports = need.part === 'bootp' ? [dhcpServerPort, dhcpClientPort, need.port] : [need.port];
  const own = need.host ?? (need.part === 'bootp' ? card?.addresses[0]?.address : undefined);
  const answers = new Map<number, BindAnswer>();
  for (const port of ports) {
    // Whether the address is there is another question.
    const first = await host.mayBind(port, own);
    const answer = first === 'EADDRNOTAVAIL' ? await host.mayBind(port, undefined) : first;
    // Another server of this computer may serve another card, and let the port be shared: it is named by a check of its own.
    if (answer !== 'yes' && !(port === dhcpServerPort && answer === 'EADDRINUSE')) answers.set(port, answer);
  }
  const several = ports.length > 1;
  const word = several ? `ports ${listText(ports)}` : `port ${need.port}`;
  const closed = [...answers].filter(([, answer]) => answer === 'EACCES').map(([port]) => port);
  // Nobody is asked to do anything about it before it is known that owimg has to serve.
  const state = need.part === undefined && closed.length > 0 ? 'note' : 'problem';
  if (closed.length > 0) {
    const says = `UDP ${word} may be opened by the administrator only, and loaders know no other${several ? 's' : ' port'}.`;
    const commands =
      platform === 'linux'
        ? [
            { why: 'allow it to everybody until the next start', type: `sudo sysctl net.ipv4.ip_unprivileged_port_start=${Math.min(...closed)}` },
            { why: 'take that back', type: 'sudo sysctl net.ipv4.ip_unprivileged_port_start=1024' },
          ]
        : platform === 'windows'
          ? []
          : [{ why: 'run owimg as administrator', type: 'sudo owimg flash …' }];
    return { code, state, says: `${says}${commands.length === 0 ? ' Run owimg as administrator.' : ''}`, commands };
  }
  const taken = [need.port, dhcpClientPort].find((port) => answers.get(port) === 'EADDRINUSE');
  if (taken !== undefined) {
    const client = taken !== need.port;
    const commands: Command[] =
      platform === 'linux'
        ? [{ why: 'see which program', type: `sudo ss -lunp sport = :${taken}` }, ...(client ? [] : [{ why: 'stop the usual ones', type: stopServers }])]
        : platform === 'macos'
          ? [
              { why: 'see which program', type: `sudo lsof -nP -iUDP:${taken}` },
              ...(client ? [] : [{ why: "stop Apple's", type: 'sudo launchctl unload /System/Library/LaunchDaemons/tftp.plist' }]),
            ]
          : [{ why: 'see which program', type: `netstat -abno -p UDP | findstr :${taken}` }];
    if (!client) return { code, state: 'problem', says: `UDP port ${taken} is taken: another TFTP server runs on this computer.`, commands };
    const says = `UDP port ${taken} is taken: a DHCP client of this computer has it. Where it does not share it, owimg cannot begin: give ${card?.name ?? 'the card'} a fixed address.`;
    return { code, state: 'note', says, commands };
  }
  if (answers.size > 0)
    return { code, state: 'problem', says: `UDP ${several ? 'ports' : 'port'} ${listText([...answers.keys()])} cannot be opened.`, commands: [] };
  return { code, state: 'good', says: `UDP ${word} can be opened.`, commands: [] };
}

function managerCheck(platform: Platform, card: HostInterface | undefined): HostCheck | undefined {
  if (card?.managedBy === undefined) return undefined;
  const name = quoted(card.name, platform);
  return {
    code: 'host-manager',
    state: 'note',
    says: `${card.managedBy} looks after ${card.name}: it takes addresses away when the link goes down, and the link goes down when the device starts.`,
    commands: [
      { why: 'keep it away for now', type: `nmcli device set ${name} managed no` },
      { why: 'give it back afterwards', type: `nmcli device set ${name} managed yes` },
    ],
  };
}

async function firewallCheck(host: Host, card: HostInterface | undefined, { part, router, port }: Need): Promise<HostCheck | undefined> {
  const { platform } = host;
  const code = 'host-firewall';
  const firewall = await host.firewall();
  const name = quoted(card?.name ?? cardWord, platform);
  const why =
    part === 'client'
      ? 'Answers come from another port than the one asked, so firewalls throw them away'
      : `The device asks first, which firewalls do not let in${part === 'bootp' ? `: ${dhcpServerPort}/udp and ${port}/udp` : ''}`;
  if (firewall.kind === 'ufw') {
    const rule =
      part === 'client' && router !== undefined
        ? `from ${router} proto udp`
        : `in on ${name} proto udp to any${part === 'bootp' ? ` port ${dhcpServerPort},${port}` : ''}`;
    return {
      code,
      state: 'note',
      says: `The firewall ufw is on. ${why}.`,
      commands: [
        { why: 'let it through', type: `sudo ufw allow ${rule}` },
        { why: 'take that back', type: `sudo ufw delete allow ${rule}` },
      ],
    };
  }
  if (firewall.kind === 'firewalld') {
    return {
      code,
      state: 'note',
      says: `The firewall firewalld is on. ${why}.`,
      commands: [
        { why: 'trust the card for now', type: `sudo firewall-cmd --zone=trusted --change-interface=${name}` },
        { why: 'take that back', type: 'sudo firewall-cmd --reload' },
      ],
    };
  }
  if (platform === 'windows') {
    // Who has no address yet comes from none.
    const from = part === 'bootp' ? ` localport=${dhcpServerPort},${port}` : router === undefined ? '' : ` remoteip=${router}`;
    return {
      code,
      state: 'note',
      says: `Windows Defender lets nothing in that was not allowed. ${why}.`,
      commands: [
        { why: 'let it through (as administrator)', type: `netsh advfirewall firewall add rule name="owimg" dir=in action=allow protocol=UDP${from}` },
        { why: 'take that back', type: 'netsh advfirewall firewall delete rule name="owimg"' },
      ],
    };
  }
  if (platform === 'macos') {
    const tool = '/usr/libexec/ApplicationFirewall/socketfilterfw';
    return {
      code,
      state: 'note',
      says: `If the firewall of macOS is on, it asks whether node may be reached: allow it. ${why}.`,
      commands: [{ why: 'see whether it is on', type: `${tool} --getglobalstate` }],
    };
  }
  if (firewall.kind === 'rules') {
    const says = `This computer has firewall rules that drop or refuse something that comes in (${firewall.chain}). Whether they let this through owimg cannot tell. ${why}.`;
    return { code, state: 'note', says, commands: ruleCommands(firewall, name) };
  }
  if (firewall.kind === 'none') return { code, state: 'good', says: 'No firewall rule drops or refuses what comes in.', commands: [] };
  const unread =
    firewall.see === undefined
      ? `Whether a firewall is on nobody can tell here${platform === 'linux' ? ': neither nft nor iptables is installed to show its rules' : ''}.`
      : 'ufw and firewalld are off. Whether other firewall rules are there only the administrator may see.';
  const commands = firewall.see === undefined ? [] : [{ why: 'see the rules', type: firewall.see }];
  return { code, state: 'note', says: `${unread} ${why}: UDP ${part === 'bootp' ? `ports ${dhcpServerPort} and ${port}` : `port ${port}`}.`, commands };
}

/** In front of all others, so that no rule behind it counts. */
function ruleCommands({ by, chain }: Extract<Firewall, { kind: 'rules' }>, name: string): Command[] {
  if (by === 'iptables') {
    return [
      { why: 'let it through', type: `sudo iptables -I INPUT -i ${name} -j ACCEPT` },
      { why: 'take that back', type: `sudo iptables -D INPUT -i ${name} -j ACCEPT` },
      { why: 'see the rules', type: 'sudo iptables -S' },
    ];
  }
  const handle = `$(sudo nft -a list chain ${chain} | sed -n 's/.*"owimg" # handle //p')`;
  return [
    { why: 'let it through', type: `sudo nft insert rule ${chain} iifname ${name} accept comment owimg` },
    { why: 'take that back', type: `sudo nft delete rule ${chain} handle ${handle}` },
    { why: 'see the rules', type: 'sudo nft list ruleset' },
  ];
}

/**
 * The system that comes back has another address than the loader. 192.168.1.1 is that of many a home router too: whoever asks there by another card would
 * ask that one what runs on it.
 */
function backCheck(platform: Platform, card: HostInterface | undefined, { back }: Need, all: readonly HostInterface[]): HostCheck | undefined {
  if (back === undefined || addressNumber(back) === undefined) return undefined;
  const code = 'host-back';
  const own = all.filter((one) => isBeside(one, back) && !one.loopback);
  const name = card?.name ?? cardWord;
  const address = freeAddress(addressBeside(back), back, all);
  const give = address === undefined || (card !== undefined && own.includes(card)) ? [] : addressCommands(platform, name, address);
  const stranger = all.find((one) => one.gateway === back && one !== card);
  if (stranger !== undefined) {
    const says = `Afterwards the device will be ${back}, and that is the router by which this computer goes into the internet now (${stranger.name}): what is asked there would be asked of that one. Switch ${stranger.name} off for the time, or leave --verify out.`;
    return { code, state: card === undefined ? 'note' : 'problem', says, commands: [...switchOff(platform, stranger), ...give] };
  }
  const [other] = own.filter((one) => one !== card);
  if (other === undefined && own.length > 0) return undefined;
  if (other === undefined) {
    const says = `Afterwards the device will be ${back}, and this computer has no address in that network: give it a second one, or nothing can be verified.`;
    return { code, state: 'note', says, commands: give };
  }
  if (card === undefined) return undefined;
  if (own.includes(card)) {
    const says = `Afterwards the device will be ${back}, and ${other.name} is in that network too: it may be looked for by the wrong card. Switch ${other.name} off.`;
    return { code, state: 'note', says, commands: switchOff(platform, other) };
  }
  const says = `Afterwards the device will be ${back}. ${name} has no address in that network; ${other.name} has: it would be looked for by ${other.name}, where another machine may answer. Switch ${other.name} off for the time and give ${name} an address, or leave --verify out.`;
  return { code, state: 'problem', says, commands: [...switchOff(platform, other), ...give] };
}

function routerCheck(card: HostInterface | undefined): HostCheck | undefined {
  if (card?.gateway === undefined || card.loopback) return undefined;
  const says = `${card.name} leads to another router (${card.gateway}), which gives addresses of its own. Connect the device alone, by its own cable: two with one address, or two DHCP servers, do not get along.`;
  return { code: 'host-router', state: 'note', says, commands: [] };
}

/** So many machines are asked at most. */
const mostAsked = 16;

/** What others on the cable answered. */
interface Others {
  readonly dhcp: DhcpAnswers | Exclude<BindAnswer, 'yes'>;
  /** Whether the system tells whom it knows. */
  readonly tells: boolean;
  /** Who was asked for a file, and who answered. */
  readonly asked: readonly string[];
  readonly tftp: readonly string[];
  /** Who has the very address that this computer must have. */
  readonly taken: Neighbour | undefined;
}

/** Why others cannot be asked at all; `undefined` if they can. */
function cannotAsk(card: HostInterface | undefined): string | undefined {
  if (card === undefined) return 'which network card leads to the device is not known';
  if (card.link === 'no-cable' || card.link === 'off') return `${card.name} has no link now`;
  return card.addresses.length === 0 ? `${card.name} has no address now` : undefined;
}

/** DHCP servers hear what is sent to everybody, TFTP servers do not (RFC 1123, 4.2.3.5): those are asked whose address is known. Never the loader: it may be waiting for a file. */
async function askOthers(host: Host, card: HostInterface | undefined, need: Need, all: readonly HostInterface[]): Promise<Others | undefined> {
  if (card === undefined || card.loopback || cannotAsk(card) !== undefined) return undefined;
  const dhcp = await host.dhcpServers(card.name);
  const own = new Set(all.flatMap(({ addresses }) => addresses.map(({ address }) => address)));
  const mayAsk = (address: string): boolean =>
    address !== need.router && !own.has(address) && card.addresses.some((beside) => sameNetwork(beside.address, address, beside.prefix));
  // Nobody else should have it: whoever does is found in the tables of the system when it was asked.
  const wanted = need.host !== undefined && !(await host.hasAddress(need.host)) ? need.host : undefined;
  const givers = typeof dhcp === 'string' ? [] : dhcp.servers.flatMap(({ address, nextServer }) => [address, nextServer]);
  const known = await host.neighbours(card.name);
  const candidates = [wanted, card.gateway, ...givers, ...(known ?? []).map(({ address }) => address)].filter((address) => address !== undefined);
  const asked = [...new Set(candidates.filter(mayAsk))].slice(0, mostAsked);
  const tftp = await host.tftpServers(asked);
  const taken = wanted === undefined ? undefined : (await host.neighbours(card.name))?.find(({ address }) => address === wanted);
  // The empty seat is nobody.
  const others = asked.filter((address) => address !== wanted || taken !== undefined || tftp.includes(address));
  return { dhcp, tells: known !== undefined, asked: others, tftp, taken };
}

/** What may throw answers away before they are heard; `undefined` where nothing does. */
async function filterOf(host: Host): Promise<string | undefined> {
  const systems: Readonly<Partial<Record<Platform, string>>> = { windows: 'Windows Defender', macos: 'the firewall of macOS' };
  const { kind } = await host.firewall();
  if (kind === 'none') return undefined;
  if (kind === 'rules') return 'a firewall rule';
  return kind === 'unknown' ? (systems[host.platform] ?? 'a firewall that owimg cannot see') : `the firewall ${kind}`;
}

const alone = 'Connect the device alone, by its own cable';

function askAgain(platform: Platform, why: string, name: string): Command[] {
  if (platform === 'windows') return [{ why: `${why} (as administrator)`, type: `owimg doctor --interface ${quoted(name, platform)}` }];
  return [{ why, type: `sudo owimg doctor --interface ${quoted(name, platform)}` }];
}

const whoHas = (platform: Platform, port: number): Command[] =>
  platform === 'linux' ? [{ why: 'see which program', type: `sudo ss -lunp sport = :${port}` }] : [];

function dhcpUnasked(platform: Platform, name: string, why: Exclude<BindAnswer, 'yes'>): HostCheck {
  const [code, state] = ['host-server', 'note'] as const;
  const says = `Whether another DHCP server is on ${name} was not asked`;
  if (why === 'EACCES') {
    return {
      code,
      state,
      says: `${says}: that needs UDP port 68, which only the administrator may open.`,
      commands: askAgain(platform, 'ask', name),
    };
  }
  if (why === 'EADDRINUSE') {
    const client = `${says}: a DHCP client of this computer has UDP port 68. Give ${name} a fixed address, without DHCP, to have it asked.`;
    return { code, state, says: client, commands: whoHas(platform, 68) };
  }
  return { code, state, says: `${says}: the system did not let it be sent. ${alone}.`, commands: [] };
}

/** Whether somebody else gives addresses, on the cable or here. */
async function dhcpCheck(
  host: Host,
  card: HostInterface | undefined,
  need: Need,
  others: Others | undefined,
  all: readonly HostInterface[],
): Promise<HostCheck[]> {
  const code = 'host-server';
  const { platform } = host;
  const here: HostCheck[] =
    (await host.isTaken(67)) === true
      ? [
          {
            code,
            state: 'note',
            says: 'A DHCP server runs on this computer (UDP port 67): it may answer the device too.',
            commands: whoHas(platform, 67),
          },
        ]
      : [];
  if (card === undefined || others === undefined) return here;
  const { dhcp } = others;
  const { name } = card;
  if (typeof dhcp === 'string') return [...here, dhcpUnasked(platform, name, dhcp)];
  const servers = dhcp.servers.map(({ address }) => address);
  // Whoever accepted it would be stopped by the responder itself.
  const found = need.part === 'bootp' ? ({ code, state: 'problem', acceptable: false } as const) : ({ code, state: 'note' } as const);
  const danger = need.part === 'bootp' ? 'The device takes the first answer, so owimg gives no addresses beside it' : 'It may answer the device too';
  const own = servers.filter((server) => all.some(({ addresses }) => addresses.some(({ address }) => address === server)));
  const strangers = servers.filter((server) => !own.includes(server));
  const checks: HostCheck[] = [];
  if (strangers.length > 0) {
    const who = strangers.length === 1 ? 'Another DHCP server answers' : 'Other DHCP servers answer';
    checks.push({ ...found, says: `${who} on ${name}: ${strangers.join(', ')}. ${danger}. ${alone}, or stop that server.`, commands: [] });
  }
  if (own.length > 0) {
    const says = `A DHCP server of this computer answers on ${name} (${own.join(', ')}). ${danger}: stop it first.`;
    checks.push({ ...found, says, commands: whoHas(platform, 67) });
  }
  if (checks.length > 0) return checks;
  const filter = await filterOf(host);
  const nobody = `No DHCP server was heard on ${name} within ${dhcp.waited / 1000} s`;
  if (dhcp.thrownAway) {
    const says = `${nobody}. But this system threw away something that came from an address of another network (rp_filter), and that may have been an answer. ${alone}.`;
    return [...here, { code, state: 'note', says, commands: [] }];
  }
  if (filter !== undefined) return [...here, { code, state: 'note', says: `${nobody}. But ${filter} may have thrown an answer away. ${alone}.`, commands: [] }];
  return [...here, { code, state: 'good', says: `${nobody}.`, commands: [] }];
}

/** As many addresses as can be read at a glance. */
const listed = (addresses: readonly string[]): string =>
  addresses.length <= 4 ? addresses.join(', ') : `${addresses.slice(0, 3).join(', ')} and ${addresses.length - 3} more`;

/** Whether somebody else serves files on the cable. What has the port on this computer is told by the check of the port. */
async function tftpCheck(host: Host, { name }: HostInterface, { asked, tftp, tells }: Others, need: Need): Promise<HostCheck> {
  const code = 'host-tftp';
  if (need.host !== undefined && tftp.includes(need.host)) {
    const whose = need.part === 'server' ? `${need.host}, which the loader asks,` : need.host;
    return {
      code,
      state: 'problem',
      says: `${whose} is another machine on ${name}, and a TFTP server answers there. Take that one off the cable.`,
      commands: [],
    };
  }
  if (tftp.length > 0) {
    const who = tftp.length === 1 ? 'Another TFTP server answers' : 'Other TFTP servers answer';
    const danger = 'A device that looks for it there gets its file from it';
    return { code, state: 'note', says: `${who} on ${name}: ${listed(tftp)}. ${danger}. ${alone}.`, commands: [] };
  }
  if (asked.length === 0) {
    const why = tells ? 'this computer knows no other machine there' : 'this system does not tell who is there';
    const says = `Whether another TFTP server is on ${name} was not asked: ${why}, and such servers do not answer a call to everybody. ${alone}.`;
    return { code, state: 'note', says, commands: [] };
  }
  const nobody = `Asked ${asked.length === 1 ? 'the one machine' : `${asked.length} machines`} that this computer knows on ${name} (${listed(asked)}): no TFTP server answered`;
  const filter = await filterOf(host);
  if (filter !== undefined) return { code, state: 'note', says: `${nobody}. But ${filter} may have thrown an answer away. ${alone}.`, commands: [] };
  return { code, state: 'good', says: `${nobody}.`, commands: [] };
}

/** Other servers, here and on the cable. */
async function otherChecks(
  host: Host,
  card: HostInterface | undefined,
  need: Need,
  others: Others | undefined,
  all: readonly HostInterface[],
): Promise<HostCheck[]> {
  const checks = await dhcpCheck(host, card, need, others, all);
  if (card !== undefined && others !== undefined) return [...checks, await tftpCheck(host, card, others, need)];
  // A card that is not there, or leads nowhere, has been told of.
  if (card?.loopback === true || (card === undefined && need.interface !== undefined)) return checks;
  const where = card === undefined ? 'on the cable' : `on ${card.name}`;
  const says = `Whether another DHCP or TFTP server is ${where} was not asked: ${cannotAsk(card)}.`;
  return [...checks, { code: 'host-server', state: 'note', says, commands: askAgain(host.platform, 'ask later', card?.name ?? cardWord) }];
}

function rolloverCheck({ rollsOver, part }: Need): HostCheck | undefined {
  if (rollsOver !== true) return undefined;
  const says =
    part === 'client'
      ? 'The image has more than 65,535 blocks of 512 bytes. U-Boot counts on from 0; a loader that cannot stops in the middle, before anything is written.'
      : 'The image has more than 65,535 blocks of 512 bytes. U-Boot asks for larger blocks, or counts on from 0; an old loader may stop in the middle.';
  return { code: 'host-rollover', state: 'note', says, commands: [] };
}

/** Time is short where the loader listens for three seconds. */
function neighbourCheck(platform: Platform, card: HostInterface | undefined, { part, router }: Need): HostCheck | undefined {
  if (part !== 'client' || router === undefined || addressNumber(router) === undefined || card?.loopback === true) return undefined;
  const name = quoted(card?.name ?? cardWord, platform);
  const says =
    'Only where the loader listens for a few seconds: the system looks for the device once a second, and this saves up to 0.9 s. Its MAC is on the label.';
  const commands: Readonly<Record<Platform, readonly Command[]>> = {
    linux: [
      { why: 'name its MAC', type: `sudo ip neigh replace ${router} lladdr AA:BB:CC:DD:EE:FF dev ${name} nud permanent` },
      { why: 'or look ten times a second', type: `sudo sysctl net.ipv4.neigh.${name}.retrans_time_ms=100` },
      { why: 'take it back afterwards', type: `sudo ip neigh del ${router} dev ${name}` },
    ],
    macos: [
      { why: 'name its MAC', type: `sudo arp -s ${router} aa:bb:cc:dd:ee:ff` },
      { why: 'take it back afterwards', type: `sudo arp -d ${router}` },
    ],
    windows: [
      { why: 'name its MAC (as administrator)', type: `netsh interface ipv4 add neighbors ${name} ${router} aa-bb-cc-dd-ee-ff` },
      { why: 'take it back afterwards', type: `netsh interface ipv4 delete neighbors ${name} ${router}` },
    ],
    other: [],
  };
  return { code: 'host-neighbour', state: 'note', says, commands: commands[platform] };
}

/** What keeps a transfer from being begun; `undefined` if nothing does. @param accepted codes of checks */
export const problemOf = ({ checks }: Preflight, accepted: ReadonlySet<string>): HostCheck | undefined =>
  checks.find(({ state, code, acceptable }) => state === 'problem' && (acceptable === false || !accepted.has(code)));

/** What to do about a problem, in a line: some commands only show more of it. */
export function remedyOf({ commands: [first], code, acceptable }: HostCheck): string {
  const type = first === undefined ? [] : [`To ${first.why}: ${first.type}.`];
  return [...type, ...(acceptable === false ? [] : [`If you know better: --accept ${code}.`])].join(' ');
}

/** Asks the computer, and others on the cable, and says what it means for the transfer. */
export async function preflight(need: Need, host: Host): Promise<Preflight> {
  const all = await host.interfaces();
  const card = chooseInterface(need, all);
  // One after the other: to ask takes ports too.
  const port = await portCheck(host, card, need);
  const others = await askOthers(host, card, need, all);
  const checks = [
    linkCheck(card, need, all),
    need.part === 'bootp' ? await givingAddressCheck(host, card, need) : await addressCheck(host, card, need, all, others?.taken),
    macCheck(card, need, all),
    // Nothing opens a port that is closed or taken, whatever is accepted.
    port?.state === 'problem' ? { ...port, acceptable: false as const } : port,
    backCheck(host.platform, card, need, all),
    managerCheck(host.platform, card),
    await firewallCheck(host, card, need),
    routerCheck(card),
    ...(await otherChecks(host, card, need, others, all)),
    rolloverCheck(need),
    neighbourCheck(host.platform, card, need),
  ];
  return { interface: card?.name, checks: checks.filter((check) => check !== undefined) };
}
