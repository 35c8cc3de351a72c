/**
 * From an image and the name of a device to a plan that can be carried out: proves the image, judges it for the device, makes the plan, looks at this
 * computer, and says what keeps it from being done. Sends nothing.
 */
import { isIPv4 } from 'node:net';
import { formats } from '../../formats/index.ts';
import { checkContext, checkWith } from '../check.ts';
import { digest } from '../core/checksums.ts';
import { OwimgError } from '../core/errors.ts';
import { hexBytes } from '../core/hex.ts';
import type { Inspection } from '../core/types.ts';
import { loadDeviceFacts } from '../devices/load.ts';
import { requireDevice } from '../devices/lookup.ts';
import { macText, parseAddress } from '../dhcp/addresses.ts';
import { fileNameLimit } from '../dhcp/packets.ts';
import { openWith } from '../inspect.ts';
import { memberOf } from '../members.ts';
import { blockSizes } from '../tftp/options.ts';
import { requestFits } from '../tftp/packets.ts';
import { canonicalAddress, resolveHost } from '../tftp/udp.ts';
import { notOneDevice } from './addresses.ts';
import { type Expected, expectedOf } from './expected.ts';
import type { Host } from './host.ts';
import { needOf, obstacleOf } from './obstacle.ts';
import { makePlan, type Plan, type PlanOptions, verdictByPlan } from './plan.ts';
import { type Preflight, preflight } from './preflight.ts';

export interface Image {
  readonly bytes: Uint8Array;
  /** Its path or name; `-` for what has none. */
  readonly path: string;
}

export interface PrepareOptions extends Omit<PlanOptions, 'cards'> {
  /** Which file of an archive that holds several. */
  readonly member?: string | undefined;
  /** Codes of what speaks against it and is taken all the same. */
  readonly accept?: readonly string[] | undefined;
  /** Stay until the device is back, and compare what runs with the image; so this computer has to reach that address too. */
  readonly verify?: boolean | undefined;
  /** Ask the loader for the file again, and compare; only of one that is sent the file. Few give it. */
  readonly readBack?: boolean | undefined;
}

/** A plan, and all that is needed to carry it out. */
export interface Prepared {
  readonly plan: Plan;
  readonly verify: boolean;
  readonly readBack: boolean;
  /** What is sent: the bytes that were judged, out of an archive where they were in one. */
  readonly bytes: Uint8Array;
  readonly inspection: Inspection;
  /** What the device should say of itself afterwards. */
  readonly expected: Expected;
  /** Whether this computer is ready. */
  readonly ready: Preflight;
  /** Codes that were accepted. */
  readonly accepted: ReadonlySet<string>;
  /** Why it is not carried out; `undefined` where nothing is in the way but a word of the person. */
  readonly obstacle: OwimgError | undefined;
}

/** @throws OwimgError `bad-value` */
function checkAddress(option: string, address: string): void {
  const canonical = canonicalAddress(address);
  if (canonical === undefined)
    throw new OwimgError('bad-value', `Cannot use "${address}" for ${option}: expected an address in numbers, as 192.168.1.1`, 'Boot loaders have no names.');
  const why = notOneDevice(canonical);
  if (why !== undefined)
    throw new OwimgError('bad-value', `Cannot use ${address} for ${option}: ${why}`, 'Give the address of one device or network card, as 192.168.1.1.');
}

/** @throws OwimgError `bad-value` */
function checkName(name: string, blockSize: number | undefined): void {
  if (name === '') throw new OwimgError('bad-value', 'Cannot use an empty name for the file', 'Give one with --name.');
  // The longest that goes with it: a size of any length, and the block size.
  const options = new Map(blockSize === undefined ? [] : [['tsize', String(Number.MAX_SAFE_INTEGER)] as const, ['blksize', String(blockSize)] as const]);
  if (!requestFits({ kind: 'write', name, mode: 'octet', options }))
    throw new OwimgError(
      'bad-value',
      `Cannot use a name of ${new TextEncoder().encode(name).length} bytes: a TFTP request has at most 512 bytes, and no zero byte in a name`,
      'Give a shorter one with --name.',
    );
}

/**
 * Whether the options can be meant.
 *
 * @throws OwimgError `bad-value`, `bad-usage`
 */
export function checkPlanOptions({ as, router, host, back, port, bootp, dhcp, mac, clientAddress, name, blockSize }: PrepareOptions): void {
  for (const [option, address] of Object.entries({ '--router': router, '--host': host, '--back': back }))
    if (address !== undefined) checkAddress(option, address);
  if (router !== undefined && host !== undefined && isIPv4(canonicalAddress(router) ?? '') !== isIPv4(canonicalAddress(host) ?? ''))
    throw new OwimgError('bad-usage', 'Cannot use an IPv4 and an IPv6 address at once');
  if (port !== undefined && !(Number.isInteger(port) && port >= 0 && port <= 65_535))
    throw new OwimgError('bad-value', `Cannot use ${port} as a port: expected a number from 0 to 65535`);
  if (blockSize !== undefined && !(Number.isInteger(blockSize) && blockSize >= blockSizes.least && blockSize <= blockSizes.most))
    throw new OwimgError('bad-value', `Cannot use ${blockSize} as the block size: expected a number from ${blockSizes.least} to ${blockSizes.most}`);
  if (name !== undefined) checkName(name, blockSize);
  if (clientAddress !== undefined && parseAddress(clientAddress) === undefined)
    throw new OwimgError('bad-value', `Cannot use "${clientAddress}" as the device's address: expected an IPv4 address, as 192.168.1.1`);
  if (clientAddress !== undefined) checkAddress('--client-address', clientAddress);
  if (mac !== undefined && macText(mac) === undefined)
    throw new OwimgError('bad-value', `Cannot use "${mac}" as a hardware address: expected six bytes, as 00:1f:c6:12:34:56`, 'It is printed on the device.');
  if ((bootp === true || dhcp === true) && as === 'client')
    throw new OwimgError(
      'bad-usage',
      'Cannot give an address to a device that waits for the file: it has one',
      'Leave --as client out, or --bootp and --dhcp.',
    );
}

/** What does not go with the plan that came out. @throws OwimgError `bad-usage` */
function checkAgainstPlan({ part, host, router, name, blockSize, singlePort }: Plan, { mac, clientAddress, readBack }: PrepareOptions): void {
  if (blockSize !== undefined && (part === 'server' || part === 'bootp'))
    throw new OwimgError('bad-usage', 'Cannot use --blksize: the device fetches the file, and asks for the size of blocks itself', 'Leave it out.');
  if (singlePort && part === 'client') throw new OwimgError('bad-usage', 'Cannot use --single-port: the device does not fetch the file', 'Leave it out.');
  // That of a file in an archive has any length.
  if (name !== undefined) checkName(name.value, blockSize);
  if (name !== undefined && part === 'bootp' && new TextEncoder().encode(name.value).length > fileNameLimit)
    throw new OwimgError(
      'bad-value',
      `Cannot announce "${name.value}": a BOOTP reply has room for a name of ${fileNameLimit} bytes`,
      'Give a shorter one with --name.',
    );
  if (readBack === true && part !== 'client')
    throw new OwimgError('bad-usage', 'Cannot read back from a loader that fetches the file itself', 'Leave --read-back out; --verify compares what runs.');
  if (part !== 'bootp') {
    if (mac === undefined && clientAddress === undefined) return;
    const option = mac === undefined ? '--client-address' : '--mac';
    throw new OwimgError('bad-usage', `Cannot use ${option}: the plan gives no address to the device`, 'It belongs to --bootp or --dhcp.');
  }
  for (const value of [host?.value, router?.value]) {
    if (value !== undefined && parseAddress(value) === undefined)
      throw new OwimgError('bad-usage', `Cannot use ${value} with BOOTP and DHCP: they know IPv4 addresses only`);
  }
}

/**
 * The options with every address in the one way to write it, as it comes back in answers.
 *
 * @throws OwimgError `bad-usage` for a link-local address without a network card
 */
async function canonical(options: PrepareOptions): Promise<PrepareOptions> {
  const same = async (address: string | undefined): Promise<string | undefined> =>
    address === undefined ? undefined : resolveHost(address, 0, options.interface);
  return { ...options, router: await same(options.router), host: await same(options.host), back: await same(options.back) };
}

const sha256 = (data: Uint8Array): string => hexBytes(digest('sha256', [data]));

/** A path without its folders. */
const nameIn = (path: string): string => path.slice(Math.max(path.lastIndexOf('/'), path.lastIndexOf('\\')) + 1);

/**
 * @param wanted the device: its profile, board name, title or words of it
 * @throws OwimgError `device-unknown`, `device-ambiguous`, `member-needed`, `bad-value`, `bad-usage`. What speaks against image and computer is in the
 *   result, as `obstacle`.
 */
export async function prepare({ path, bytes: read }: Image, wanted: string, given: PrepareOptions, host: Host): Promise<Prepared> {
  checkPlanOptions(given);
  const options = await canonical(given);
  const facts = await loadDeviceFacts();
  const device = requireDevice(facts, wanted);
  const outer = await openWith(formats, read, path === '-' ? { deep: true } : { deep: true, name: path });
  const member = outer.inspection.kind === 'archive' || options.member !== undefined ? memberOf(outer, formats, options.member) : undefined;
  // What was only packed is unpacked here: loaders take it as it is written to the flash.
  const bytes = member?.bytes ?? read;
  const opened = member === undefined ? outer : await openWith(formats, bytes, { deep: true, ...(member.name === undefined ? {} : { name: member.name }) });
  const { inspection } = opened;
  if (inspection.kind === 'archive') {
    throw new OwimgError(
      'member-needed',
      `Cannot flash "${path}": it is an archive, which no loader unpacks`,
      'Unpack it, and choose the file for your device.',
    );
  }
  const fileName = member?.name ?? (path === '-' ? undefined : path.replace(/\.(gz|xz)$/i, member === undefined ? '$&' : ''));
  const file = {
    path,
    ...(member?.name === undefined ? {} : { member: member.name }),
    name: fileName === undefined ? undefined : nameIn(fileName),
    size: bytes.length,
    sha256: sha256(bytes),
  };
  const planOptions: PlanOptions = { ...options, mac: options.mac === undefined ? undefined : macText(options.mac), cards: await host.interfaces() };
  const context = checkContext(formats, facts);
  const verdict = verdictByPlan(facts, device, planOptions, (judged) => {
    // What the file is called on this computer does not matter: it is sent under the name that the loader wants.
    const found = checkWith(inspection, bytes.length, context, { device: judged, name: options.name }).verdicts.find(({ route }) => route === 'tftp');
    if (found === undefined) throw new Error('check gives a verdict for every route of a device');
    return found;
  });
  const plan = makePlan(facts, device, file, inspection, verdict, planOptions);
  checkAgainstPlan(plan, options);
  const ready = await preflight(needOf(plan, options.verify === true), host);
  const accepted = new Set(options.accept ?? []);
  return {
    plan,
    verify: options.verify === true,
    readBack: options.readBack === true,
    bytes,
    inspection,
    expected: expectedOf(device, inspection, plan.ramOnly, opened.bytesOf, sha256),
    ready,
    accepted,
    obstacle: obstacleOf(plan, ready, accepted),
  };
}
