/** The plan of a transfer and what came of it, for a person who is afraid of breaking something. */
import { byteCount } from '../core/hex.ts';
import type { Sighting, Verification } from '../flash/afterwards.ts';
import { type Giving, type Origin, type Part, type Plan, timeText, type Value } from '../flash/plan.ts';
import type { Command, HostCheck, Preflight } from '../flash/preflight.ts';
import { outcomeStyles, outcomeWords } from './check-text.ts';
import { type Paint, painter, type TextOptions, wrap } from './text.ts';
import { harmless } from './words.ts';

const partWords: Readonly<Record<Part, string>> = {
  client: 'The device waits for the file: owimg sends it, again and again, until the boot loader takes it.',
  server: 'The device fetches the file: owimg is the TFTP server, and waits until the boot loader asks.',
  bootp: 'The device asks for an address first, and then fetches the file: owimg gives it the address, and is the TFTP server.',
  none: 'How the boot loader takes a file over the network is not known.',
};

const originWords: Readonly<Record<Origin, string>> = {
  record: '',
  habit: 'a guess',
  option: 'as you say',
  usual: 'any other would do',
  image: 'the name of the file',
};

const labelWidth = 18;

/** One row: label and value, and where the value is from unless it is recorded. */
function row(label: string, value: string, options: TextOptions): string {
  return wrap(harmless(value), options.columns, `  ${label.padEnd(labelWidth)}`);
}

function valueRow(label: string, value: Value<string | number> | undefined, options: TextOptions, otherwise: string): string {
  if (value === undefined) return row(label, otherwise, options);
  const origin = originWords[value.from];
  return row(label, `${value.value}${origin === '' ? '' : ` (${origin})`}`, options);
}

function nameRow({ part, name }: Plan, options: TextOptions): string {
  if (name === undefined) return row('file name', 'whatever the device asks for', options);
  const only = part === 'server' ? ' (exactly this name)' : '';
  return valueRow('file name', only === '' || name.from !== 'record' ? name : { ...name, value: `${name.value}${only}` }, options, '');
}

/** What follows the transfer, and how long it takes. */
export function patienceText({ ramOnly, seconds }: Plan): string {
  if (ramOnly) return 'The device starts it from memory now; nothing is written. That takes about a minute.';
  return `It is writing its flash now. Do not unplug it; usually ${timeText(seconds.write)}, up to ${timeText(seconds.most)}.`;
}

/** `BOOTP`, `BOOTP and DHCP` */
const protocolsOf = ({ bootp, dhcp }: Giving): string => [...(bootp ? ['BOOTP'] : []), ...(dhcp ? ['DHCP'] : [])].join(' and ');

/** Who is given an address, on which card. */
function givingRows({ gives, interface: card }: Plan, options: TextOptions): string[] {
  if (gives === undefined) return [];
  const to = gives.mac === undefined ? 'the first device that asks there' : `${gives.mac} only`;
  return [row('gives an address', `by ${protocolsOf(gives)}, on ${card ?? 'the card that you name (--interface)'}, to ${to}`, options)];
}

/** What it means to give addresses on a network. */
const givingNote = (gives: Giving): string =>
  `So owimg is a ${protocolsOf(gives)} server meanwhile, for one device. It listens for another DHCP server for 5 seconds first, and answers nobody where there is one.`;

/** How the plan goes on behind its last line. */
export interface PlanCourse {
  /** The person is asked whether to begin. */
  readonly asks: boolean;
  /** Milliseconds after which it gives up; as long as it takes without it. */
  readonly wait: number | undefined;
  /** Has to be said in the end all the same: what is long scrolls away. */
  readonly problems: readonly HostCheck[];
}

/** What the hands have to do. */
function stepsOf(plan: Plan, { asks, wait }: PlanCourse): string[] {
  const { part, trigger, router, host, interface: card } = plan;
  if (part === 'none') return [];
  const hands =
    trigger === undefined
      ? 'Then switch the device on. What makes its loader listen is not recorded: mostly the reset button, held while powering on.'
      : `Then ${byHand(trigger.value)}${trigger.from === 'habit' ? ' (a guess)' : ''}.`;
  const when = asks ? 'When you have said yes below, owimg' : 'owimg';
  const long = wait === undefined ? 'for as long as it takes' : `for ${wait / 1000} s`;
  // Where the device asks by itself there may be no button at all.
  const letGo = (done: string): string[] =>
    trigger === undefined || /button|hold|press|reset/i.test(trigger.value) ? [`Let the button go when owimg says that the device has ${done}.`] : [];
  if (part === 'bootp') {
    const needs = host?.from === 'option' ? ` The card needs the address ${host.value}.` : '';
    return [
      `Connect ${card ?? 'the network card'} of this computer to the first port of the device by cable, and nothing else to it: most devices ask on that port only.${needs}`,
      `Switch the device off. ${when} waits until there is a link, and then until the device asks, ${long}.`,
      hands,
      ...letGo('asked for the file'),
    ];
  }
  const address =
    host === undefined
      ? 'the address that the loader asks'
      : host.from === 'usual'
        ? `an address beside that of the device, as ${host.value}`
        : `the address ${host.value}`;
  const cable = `Connect this computer to a LAN port of the device by cable, and nothing else to it. This computer needs ${address}.`;
  const waits = part === 'client' ? `asks ${router?.value ?? 'the device'} four times a second` : 'waits until the device asks';
  return [cable, `Switch the device off. ${when} ${waits}, ${long}.`, hands, ...letGo(part === 'client' ? 'answered' : 'asked for the file')];
}

/** As it is told to somebody. */
const byHand = (trigger: string): string => trigger.replace(/^automatic( at boot)?/, 'switch the device on: it asks by itself');

const stateWords: Readonly<Record<HostCheck['state'], readonly [string, Parameters<Paint>[0]]>> = {
  good: ['good', 'green'],
  note: ['note', 'yellow'],
  problem: ['PROBLEM', 'red'],
};

function commandLines(commands: readonly Command[], indent: string): string[] {
  // A command is copied as a whole: it is never broken.
  return commands.flatMap(({ why, type }) => [`${indent}${why}:`, `${indent}  ${harmless(type)}`]);
}

/** What was found out about this computer. */
export function renderPreflight({ checks }: Preflight, options: TextOptions): string {
  const paint = painter(options.colour);
  const lines = checks.flatMap(({ state, says, commands, code }) => {
    const [word, style] = stateWords[state];
    const told = wrap(`${harmless(says)}${state === 'problem' ? ` (${code})` : ''}`, options.columns, `  ${word.padEnd(8)}`);
    return [told.replace(word, paint(style, word)), ...commandLines(commands, ' '.repeat(10))];
  });
  return lines.join('\n');
}

/** Names of the partitions that make a device that device: radio calibration, MAC addresses, serial numbers, the vendor's own. */
const partitionNames = 'art|factory|caldata|calibration|eeprom|radio|config|bdinfo|devinfo|devdata|board_data|product-info|u-boot-env|factory_data|persist';

/** How to save what cannot be downloaded again. */
export function saveCommands(address: string): Command[] {
  return [
    {
      why: 'while an OpenWrt runs on it (from memory too)',
      type: `ssh root@${address} cat /proc/mtd | tee mtd.txt`,
    },
    {
      why: 'then, in a shell of Linux or macOS',
      type: `for n in $(grep -iE '"(0:)?(${partitionNames})"' mtd.txt | cut -d: -f1); do ssh root@${address} cat /dev/$n > $n.bin; done`,
    },
  ];
}

/** The verdict, on two lines where one is too short. */
function verdictTitle({ outcome }: Plan['verdict'], { columns, colour }: TextOptions): string {
  const paint = painter(colour);
  const title = "Verdict for the boot loader's TFTP recovery:";
  const words = outcomeWords[outcome];
  const fits = title.length + 1 + words.length <= columns;
  return `${paint('bold', title)}${fits ? ' ' : '\n  '}${paint(outcomeStyles[outcome], words)}`;
}

/** Problems by their first sentences, for the end. */
function shortProblems(problems: readonly HostCheck[], options: TextOptions): string[] {
  const paint = painter(options.colour);
  return problems.map(({ says, code }) => {
    const [first = says] = says.split(/(?<=[.:]) /);
    return wrap(harmless(`${first.replace(/:$/, '.')} (${code})`), options.columns, '  PROBLEM ').replace('PROBLEM', paint('red', 'PROBLEM'));
  });
}

/** The plan. */
export function renderPlan(plan: Plan, ready: Preflight, what: string, course: PlanCourse, options: TextOptions): string {
  const paint = painter(options.colour);
  const { columns } = options;
  const { file, device, verdict, part, seconds, guesses } = plan;
  const name = `${file.path === '-' ? 'standard input' : file.path}${file.member === undefined ? '' : ` (${file.member})`}`;
  const section = (title: string, ...lines: readonly string[]): string => [paint('bold', title), ...lines].join('\n');
  const sections = [
    [wrap(harmless(`${name}: ${what}`), columns), wrap(`for ${device.title} (${device.profile}, ${device.target})`, columns)].join('\n'),
    [
      verdictTitle(verdict, options),
      wrap(harmless(verdict.reason), columns, '  '),
      ...verdict.assumes.map((assumed, index) => wrap(harmless(assumed), columns, index === 0 ? '  Taken for granted: ' : ' '.repeat(21))),
    ].join('\n'),
    section(
      'What will happen',
      wrap(partWords[part], columns, '  '),
      ...(plan.gives === undefined ? [] : [wrap(givingNote(plan.gives), columns, '  ')]),
      ...(part === 'none'
        ? []
        : [
            valueRow('this computer', plan.host, options, 'any address'),
            valueRow('the device', plan.router, options, part === 'server' ? 'an address of its own: the request shows it' : 'gets one'),
            ...givingRows(plan, options),
            nameRow(plan, options),
            part === 'bootp'
              ? row('UDP ports', `67, 68 and ${plan.port.value}`, options)
              : row('UDP port', `${plan.port.value}${plan.singlePort ? ', also for the file (as you say)' : ''}`, options),
            row('size', `${byteCount(file.size)}, ${plan.blocks.of512} blocks of 512 bytes`, options),
            ...(plan.blockSize === undefined
              ? []
              : [row('block size', `${plan.blockSize} bytes are asked for; 512 where the loader takes no options`, options)]),
            row('sha256', file.sha256, options),
            row(
              'time',
              `about ${timeText(seconds.transfer)} for the transfer, then ${plan.ramOnly ? 'about a minute to start' : `usually ${timeText(seconds.write)} for the flash, up to ${timeText(seconds.most)}`}`,
              options,
            ),
            row('known from', plan.source, options),
          ]),
      ...plan.notes.map((note) => wrap(harmless(note), columns, '  ')),
    ),
  ];
  if (guesses.length > 0)
    sections.push(section(paint('yellow', 'Guessed, and to be confirmed by you'), ...guesses.map((guess) => wrap(harmless(guess), columns, '  - '))));
  const steps = stepsOf(plan, course);
  if (steps.length > 0) {
    sections.push(section('What to do', ...steps.map((step, index) => wrap(harmless(step), columns, `  ${index + 1}. `))));
    const not = plan.ramOnly
      ? 'Nothing is written: if it goes wrong, switch the device off and on, and it is as it was.'
      : 'From the moment it has the file: do not unplug it, do not switch it off, do not press anything, also where nothing seems to happen. Interrupting the writing is what breaks devices; a transfer that fails is not.';
    sections.push(section('What not to do', wrap(not, columns, '  ')));
    if (!plan.ramOnly) {
      const why =
        "If this is the first time: save the calibration and the vendor's partitions before. They are unlike those of any other device, and nobody can download them again.";
      sections.push(section('Save first', wrap(why, columns, '  '), ...commandLines(saveCommands(plan.back.value), '  ')));
    }
    sections.push(section('This computer', renderPreflight(ready, options)));
    if (course.problems.length > 0) sections.push(section('Not ready', ...shortProblems(course.problems, options)));
  }
  return `${sections.join('\n\n')}\n`;
}

/** One thing that was seen of the device, in a line. */
export function sightingText(sighting: Sighting): string {
  switch (sighting.event) {
    case 'link':
      return sighting.up ? 'the link is up' : 'the link is down: the device restarts, or its port sleeps';
    case 'answers': {
      const { address, ttl, who, mac } = sighting;
      const is = { 'boot loader': 'that is a boot loader', system: 'that is a running system', somebody: '' }[who];
      return `${address} answers to ping${ttl === undefined ? '' : `, TTL ${ttl}: ${is}`}${mac === undefined ? '' : ` (${mac})`}`;
    }
    case 'silent':
      return `${sighting.address} is silent: it restarts, or writes`;
    case 'elsewhere':
      return `${sighting.address} is reached by ${sighting.interface} here, not by the device's card: who answers there is another machine, and is not asked`;
    case 'not-the-device':
      return `${sighting.service === 'ssh' ? 'an SSH server' : 'a web page'} has been there at ${sighting.address} since the transfer: not taken for the device, which has to restart first`;
    case 'ssh':
      return `an SSH server is up: ${sighting.banner}`;
    default:
      return sighting.openwrt ? "OpenWrt's web page is up" : 'a web page is up that is not OpenWrt’s';
  }
}

const resultWords: Readonly<Record<Verification['result'], string>> = {
  verified: 'SENT AND VERIFIED',
  different: 'SENT, BUT SOMETHING ELSE RUNS THERE',
  unverified: 'SENT, BUT COULD NOT BE VERIFIED',
  interrupted: 'SENT; THE WATCH WAS ENDED',
};

const resultStyles: Readonly<Record<Verification['result'], Parameters<Paint>[0]>> = {
  verified: 'green',
  different: 'red',
  unverified: 'yellow',
  interrupted: 'yellow',
};

/** What came of it. */
export function renderVerification({ result, says, compared, next }: Verification, options: TextOptions): string {
  const paint = painter(options.colour);
  const lines = [
    paint(resultStyles[result], resultWords[result]),
    wrap(harmless(says), options.columns, '  '),
    ...compared.map((line) => wrap(harmless(line), options.columns, '  - ')),
  ];
  if (next !== undefined) lines.push(wrap(harmless(next), options.columns, '  Next: '));
  return `${lines.join('\n')}\n`;
}
