/**
 * How boot loaders of a vendor, or of a target, mostly take an image. For devices whose own way is not recorded: a guess, never more. Pure.
 */
import type { Device, DeviceFacts, Recovery } from '../devices/facts.ts';

export interface Habit {
  readonly mode: Exclude<Recovery['mode'], 'uboot-console'>;
  readonly routerAddress?: string | undefined;
  readonly hostAddress?: string | undefined;
  readonly fileName?: string | undefined;
  readonly trigger?: string | undefined;
  readonly imageKind?: Recovery['imageKind'] | undefined;
  /** Whose habit it is, and how well known: as it stands behind "a guess: ". */
  readonly whose: string;
}

/** What is told of vendors by their users and by the sources of their loaders, where OpenWrt's history says less. */
const vendorHabits: Readonly<Record<string, Habit>> = {
  asus: {
    mode: 'router-is-server',
    routerAddress: '192.168.1.1',
    hostAddress: '192.168.1.10',
    trigger: 'hold reset button while powering on until the LED blinks slowly; on old models only port LAN1 listens',
    whose: "most of ASUS's rescue modes do so",
  },
  buffalo: {
    mode: 'router-is-server',
    routerAddress: '192.168.11.1',
    hostAddress: '192.168.11.2',
    fileName: 'tftp.bin',
    trigger: 'switch the device on while owimg asks: it listens for about 4 seconds',
    whose: 'Buffalo\'s older loaders do so, and take only names with "tftp" in them',
  },
  linksys: {
    mode: 'router-is-server',
    routerAddress: '192.168.1.1',
    hostAddress: '192.168.1.10',
    fileName: 'code.bin',
    trigger: 'switch the device on while owimg asks: it listens for about 3 seconds',
    imageKind: 'factory',
    whose: "Linksys's CFE does so; newer models fetch the file themselves",
  },
  mikrotik: {
    mode: 'bootp',
    trigger: 'hold reset button while powering on until the LED goes out',
    whose: 'RouterBOOT does so',
  },
  netgear: {
    mode: 'router-is-server',
    routerAddress: '192.168.1.1',
    hostAddress: '192.168.1.10',
    trigger: 'hold reset button while powering on until the power LED blinks',
    imageKind: 'factory',
    whose: "most of Netgear's loaders do so",
  },
  ubnt: {
    mode: 'router-is-server',
    routerAddress: '192.168.1.20',
    hostAddress: '192.168.1.25',
    fileName: 'flash_update',
    trigger: 'hold reset button while powering on until the LEDs light in turn',
    imageKind: 'factory',
    whose: 'AirOS devices do so',
  },
};

const targetHabits: Readonly<Record<string, Habit>> = {
  bcm47xx: {
    mode: 'router-is-server',
    routerAddress: '192.168.1.1',
    hostAddress: '192.168.1.10',
    fileName: 'code.bin',
    trigger: 'switch the device on while owimg asks: it listens for about 3 seconds',
    whose: 'most CFE boot loaders do so',
  },
  econet: {
    mode: 'router-is-server',
    routerAddress: '192.168.1.1',
    hostAddress: '192.168.1.2',
    whose: "EcoNet's loaders do so; they write only what is called tclinux.bin or tcboot.bin",
  },
};

/** What is told of a loader beside what the records have room for. */
export interface Peculiarity {
  /** It takes no other name. */
  readonly fileName: string;
  /** A sentence for the plan. */
  readonly note: string;
}

/** By profile, for loaders that wait for the file. */
const peculiarities: Readonly<Record<string, Peculiarity>> = {
  // The message of OpenWrt's commit af329ec38980, which added the device.
  hpe_msm460: {
    fileName: 'nflashd.cccc9999',
    note: 'This loader ends without a word: that the last acknowledgement is missing ("Transfer timed out" in other programs) is expected, and its LED tells that it writes.',
  },
};

export const peculiarityOf = ({ profile }: Pick<Device, 'profile'>): Peculiarity | undefined => peculiarities[profile];

/** So many devices must agree before it is called a habit, and such a share of all that are recorded. */
const [fewest, share] = [2, 0.5];

export const vendorOf = ({ profile }: Pick<Device, 'profile'>): string => profile.split(/[_-]/)[0] as string;

/** What is told of the vendor itself. */
export const vendorHabitOf = (device: Pick<Device, 'profile'>): Habit | undefined => vendorHabits[vendorOf(device)];

const targetOf = ({ target }: Pick<Device, 'target'>): string => target.split('/')[0] as string;

/** NMRP is a protocol of its own, below IP. */
export const isNmrp = ({ trigger }: Pick<Recovery, 'trigger'>): boolean => trigger?.startsWith('NMRP') === true;

function commonest(texts: readonly string[]): string | undefined {
  const times = (text: string): number => texts.filter((other) => other === text).length;
  return [...texts].sort((a, b) => times(b) - times(a))[0];
}

/** What most of these devices do. */
function commonHabit(devices: readonly Device[], who: string): Habit | undefined {
  const recorded = devices.map(({ recovery }) =>
    recovery.find((record) => record.mode !== 'uboot-console' && record.openwrtLoader !== true && !isNmrp(record)),
  );
  const known = recorded.filter((record) => record !== undefined);
  const keyOf = ({ mode, hostAddress, routerAddress }: Recovery): string => `${mode} ${(mode === 'router-is-server' ? routerAddress : hostAddress) ?? ''}`;
  const groups = new Map<string, Recovery[]>();
  for (const record of known) groups.set(keyOf(record), [...(groups.get(keyOf(record)) ?? []), record]);
  const [most = []] = [...groups.values()].sort((a, b) => b.length - a.length);
  const [first] = most;
  if (first === undefined || first.mode === 'uboot-console' || most.length < fewest || most.length < share * known.length) return undefined;
  /** A value that all of them have. */
  const agreed = (value: (record: Recovery) => string | undefined): string | undefined =>
    most.every((record) => value(record) === value(first)) ? value(first) : undefined;
  // A record without a kind says nothing against the others.
  const kinds = [...new Set(most.map(({ imageKind }) => imageKind))].filter((kind) => kind !== undefined);
  return {
    mode: first.mode,
    routerAddress: agreed(({ routerAddress }) => routerAddress),
    hostAddress: agreed(({ hostAddress }) => hostAddress),
    fileName: agreed(({ fileName, fileNameRequired }) => (fileNameRequired === true ? fileName : undefined)),
    trigger: commonest(most.flatMap(({ trigger }) => trigger ?? [])),
    imageKind: kinds.length === 1 ? kinds[0] : undefined,
    whose: `${most.length} of ${known.length} recorded devices of ${who} do so`,
  };
}

/** The device as if its habit were recorded: to judge an image by it. */
export const byHabit = (device: Device, { mode, imageKind }: Habit): Device => ({
  ...device,
  recovery: [{ mode, ...(imageKind === undefined ? {} : { imageKind }), purpose: 'recovery', commit: '' }],
});

/** The nearest habit that is known; `undefined` where there is none. */
export function habitOf(facts: DeviceFacts, device: Device): Habit | undefined {
  const vendor = vendorOf(device);
  const target = targetOf(device);
  const [name = vendor] = device.title.split(' ');
  const others = facts.devices.filter((other) => other !== device && vendorOf(other) === vendor);
  return (
    commonHabit(
      others.filter((other) => targetOf(other) === target),
      `${name} in the target ${target}`,
    ) ??
    vendorHabitOf(device) ??
    targetHabits[target] ??
    commonHabit(others, name)
  );
}
