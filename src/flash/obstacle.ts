/** What keeps a plan from being carried out. Pure. */
import { errorKinds, OwimgError } from '../core/errors.ts';
import { gateOf, type MissingOption, type Plan } from './plan.ts';
import type { HostCheck, Need, Preflight } from './preflight.ts';

/** Accepts that the way is a guess. */
export const guessCode = 'habit-guessed';

/** What the plan needs of this computer. */
export function needOf(plan: Plan, verify: boolean): Need {
  const { part, router, host, gives, back, port, blocks } = plan;
  return {
    part: part === 'none' ? undefined : part,
    // What nobody named is chosen beside our own address, whatever that is.
    router: part === 'bootp' && router?.from !== 'option' ? undefined : router?.value,
    // Who sends may do so from any address in the network, and so may who says which it is, unless one was named.
    host: part === 'server' || host?.from === 'option' ? host?.value : undefined,
    back: verify ? back.value : undefined,
    proposed: host?.value,
    interface: plan.interface,
    gives,
    port: port.value,
    rollsOver: blocks.rollsOver,
  };
}

/** What helps nobody to be accepted: a port that is closed or taken cannot be opened, and a broadcast does not tell by which card it came. */
const neverAccepted: ReadonlySet<HostCheck['code']> = new Set(['host-port', 'host-mac']);

/** Where this computer says it in its own words, and why it matters. */
const askedFor: Readonly<Partial<Record<MissingOption, readonly [HostCheck['code'], string]>>> = {
  '--interface': ['host-link', 'A loader asks everybody on its network for an address: on another network other devices would get one.'],
  '--mac': ['host-mac', 'Nobody else is answered then.'],
};

function missingError({ missing: [first] }: Plan, { checks }: Preflight): OwimgError | undefined {
  if (first === undefined) return undefined;
  const [code, hint] = askedFor[first] ?? [];
  const check = checks.find((one) => one.code === code);
  if (check !== undefined) return new OwimgError('bad-usage', check.says.replace(/\.$/, ''), hint);
  return new OwimgError(
    'bad-usage',
    `Not recorded is the address that its loader asks: give it with ${first}`,
    'A sniffer shows it while the device starts: tcpdump -ni CARD arp.',
  );
}

/** What keeps the plan from being carried out; the image first. A guess that nobody has confirmed is no obstacle here: {@link unconfirmedGuess}. */
export function obstacleOf(plan: Plan, ready: Preflight, accepted: ReadonlySet<string>): OwimgError | undefined {
  const gate = gateOf(plan, accepted);
  const { verdict, part, device } = plan;
  if (!gate.open) {
    const codes = `If you know better: --accept ${gate.codes.join(' ')}.`;
    if (gate.exit === 3) {
      return new OwimgError(
        'verdict-unknown',
        `Not sent: whether the boot loader of ${device.title} takes this cannot be told. ${verdict.reason}`,
        `${verdict.next} ${codes}`,
      );
    }
    return new OwimgError('input-refused', `Not sent: ${verdict.reason}`, `${verdict.next} ${codes}`);
  }
  if (part === 'none') {
    return new OwimgError(
      'recovery-unknown',
      `How the boot loader of ${device.title} takes an image is not recorded`,
      [errorKinds['recovery-unknown'].hint, ...plan.notes].join(' '),
    );
  }
  const missing = missingError(plan, ready);
  if (missing !== undefined) return missing;
  const problem = ready.checks.find(({ state, code }) => state === 'problem' && (neverAccepted.has(code) || !accepted.has(code)));
  if (problem === undefined) return undefined;
  const [first] = problem.commands;
  const type = first === undefined ? [] : [`To ${first.why}: ${first.type}.`];
  const all = neverAccepted.has(problem.code) ? type : [...type, `If you know better: --accept ${problem.code}.`];
  return new OwimgError('host-not-ready', problem.says, all.length === 0 ? undefined : all.join(' '));
}

/** Where nobody can be asked, a guess is confirmed by its code. */
export function unconfirmedGuess({ guesses }: Plan, accepted: ReadonlySet<string>): OwimgError | undefined {
  if (guesses.length === 0 || accepted.has(guessCode)) return undefined;
  const hint = `Give --as and the address if you know them, or take the guess: --accept ${guessCode}.`;
  return new OwimgError('not-confirmed', `A guess has to be confirmed. ${guesses.join(' ')}`, hint);
}
