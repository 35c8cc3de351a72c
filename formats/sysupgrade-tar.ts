/**
 * OpenWrt's sysupgrade tar: a tar with one directory `sysupgrade-BOARD`, in it CONTROL (a line `BOARD=...`), kernel
 * and root, for some boards dtb or ramdisk. What devices with NAND, UBI or eMMC are upgraded with.
 *
 * Each header has tar's checksum; nothing covers the data but the metadata that may be appended behind it and, for
 * some boards, a one-byte sum behind the root file system.
 *
 * Writer: OpenWrt scripts/sysupgrade-tar.sh (GNU tar). Reader: package/base-files/files/lib/upgrade/nand.sh.
 */
import { standsAt } from '../src/core/bytes.ts';
import { type CodedCheck, compare, sum8 } from '../src/core/checksums.ts';
import { OwimgError } from '../src/core/errors.ts';
import { fileSystemType } from '../src/core/file-system-type.ts';
import { finding, type LocalFinding } from '../src/core/findings.ts';
import type { Format, Payload, Reading } from '../src/core/format.ts';
import { byteCount, printable, toBytes } from '../src/core/hex.ts';
import { Budget } from '../src/core/limits.ts';
import { paddingLength } from '../src/core/padding.ts';
import { unsafePath } from '../src/core/path.ts';
import type { ComposeUse, DecomposeUse, StepUse } from '../src/core/recipe-step.ts';
import { boardOf, detectTar, holdsUpgrade, linkNameAt, nameAt, readTar, type TarMember, writeTar } from '../src/core/tar.ts';
import type { Identity, Range } from '../src/core/types.ts';
import { fileKey, numberKey, textKey, wrapping } from '../src/core/wrap.ts';

/** In the order in which the archive has them. */
const parts = ['CONTROL', 'dtb', 'kernel', 'ramdisk', 'root'] as const;
type Part = (typeof parts)[number];
const needed: readonly Part[] = ['CONTROL', 'kernel', 'root'];
/**
 * Boards whose boot loader wants the bytes of the root file system to add up to FF: one behind it makes it so.
 * Writer: OpenWrt target/linux/ipq806x/image/generic.mk (buffalo-rootfs-cksum).
 */
const summedBoards: ReadonlySet<string> = new Set(['buffalo_wxr-2533dhp']);
/** CONTROL is one short line. */
const longestControl = 1024;
const directoryPrefix = 'sysupgrade-';

export interface SysupgradeTarInput {
  readonly board: string;
  /** Seconds since 1970: the tool's SOURCE_DATE_EPOCH. */
  readonly time: number;
  /** Without it `BOARD=board` and a line end. */
  readonly CONTROL?: Uint8Array;
  readonly dtb?: Uint8Array;
  readonly kernel?: Uint8Array;
  readonly ramdisk?: Uint8Array;
  /** As stored: the tool fills a SquashFS up to a multiple of 1024 bytes, with zeros. */
  readonly root?: Uint8Array;
  /** Permissions; without them 0755 for the directory and 0644 for the files. */
  readonly modes?: Readonly<Partial<Record<Part | 'directory', number>>>;
}

/** As the tool stores it: a SquashFS is filled up with zeros. */
function filledUp(root: Uint8Array): Uint8Array {
  if (!standsAt(root, 0, toBytes('hsqs'))) return root;
  const stored = new Uint8Array(Math.ceil(root.length / 1024) * 1024);
  stored.set(root);
  return stored;
}

/** Which of the parts a member is. */
function partOf(member: TarMember): Part | undefined {
  const board = boardOf(member.name);
  return board === undefined ? undefined : parts.find((part) => member.name === `${directoryPrefix}${board}/${part}`);
}

/** The device takes both spellings of a board's name. */
const sameBoard = (a: string, b: string): boolean => a.replaceAll(',', '_') === b.replaceAll(',', '_');

function unsafeMembers(members: readonly TarMember[]): LocalFinding[] {
  const findings: LocalFinding[] = [];
  for (const member of members) {
    const { name: path, kind, linkName } = member;
    const reason = unsafePath(path);
    if (reason !== undefined) findings.push(finding('path-unsafe', nameAt(member), { path, reason }));
    if (kind === 'link') findings.push(finding('path-unsafe', linkNameAt(member), { path, reason: `is a link to "${linkName}"` }));
    if (kind === 'device') findings.push(finding('path-unsafe', nameAt(member), { path, reason: 'is a device file or a pipe' }));
  }
  return findings;
}

/** The sum over a root file system, the byte behind it and the zeros that fill it up: the byte itself may stand in front of any number of them. */
function rootSum(bytes: Uint8Array, data: Range): CodedCheck {
  return compare({
    code: 'rootfs-checksum-mismatch',
    name: 'root-sum',
    algorithm: 'sum8',
    stored: 0xff,
    computed: sum8(bytes.subarray(data.offset, data.offset + data.length)),
    at: data,
    covers: [data],
    digits: 2,
  });
}

/** @throws OwimgError `bad-value` */
function build(input: SysupgradeTarInput): Uint8Array {
  const { board, time, modes = {} } = input;
  const directory = `${directoryPrefix}${board}/`;
  const contents = { CONTROL: toBytes(`BOARD=${board}\n`), ...input };
  return writeTar([
    { name: directory, mode: modes.directory ?? 0o755, time, data: new Uint8Array(0) },
    ...parts.flatMap((part) => {
      const data = contents[part];
      return data === undefined ? [] : [{ name: `${directory}${part}`, mode: modes[part] ?? 0o644, time, data }];
    }),
  ]);
}

/** Where a step takes a member from: a part, what the recipe made so far, or (with `undefined`) nowhere. */
type Source = { readonly part: string } | 'made' | undefined;

/**
 * Where the members that the step writes come from. Its words may name others than the device's kernel and the root file system.
 *
 * @throws OwimgError `step-unknown`
 */
function sourcesOf(use: StepUse): Readonly<Record<'kernel' | 'root' | 'dtb', Source>> {
  const source = (parameter: string, usual: Source): Source => {
    const word = use.words.find((entry) => entry.startsWith(`${parameter}=`));
    if (word === undefined) return usual;
    const file = word.slice(parameter.length + 1);
    if (file === '@OUT@') return 'made';
    // A file beside what was made so far: only the step that wrote it knows what is in it.
    const part = file.startsWith('@OUT@') ? undefined : [...namedFiles].find(([pattern]) => pattern.test(file))?.[1];
    if (part !== undefined) return { part };
    throw new OwimgError(
      'step-unknown',
      `Cannot convert from or to images of ${use.device.profile}: owimg does not know what the file is that the step "${wholeStep(use)}" of its recipe takes`,
    );
  };
  return { kernel: source('kernel', { part: 'kernel' }), root: source('rootfs', { part: 'rootfs' }), dtb: source('dtb', undefined) };
}

const wholeStep = ({ name, words }: StepUse): string => [name, ...words].join(' ');

/** Files of the build that recipes put into the tar, by their names. */
const namedFiles: ReadonlyMap<RegExp, string> = new Map([
  [/\/loader-[^/]+\.bin$/, 'loader'],
  [/-initramfs-[^/]+$/, 'initramfs'],
  [/\.dtb$/, 'dtb'],
]);

/** OpenWrt's script copies a SquashFS in whole blocks of this. */
const rootUnit = 1024;

function rootMember(root: Uint8Array): Uint8Array {
  if (fileSystemType(root) !== 'squashfs') return root;
  const filled = new Uint8Array(Math.ceil(root.length / rootUnit) * rootUnit);
  filled.set(root);
  return filled;
}

function compose(image: Uint8Array, use: ComposeUse): Uint8Array {
  const { kernel, root, dtb } = sourcesOf(use);
  const bytesOf = (source: Exclude<Source, undefined>): Uint8Array => (source === 'made' ? image : use.part(source.part));
  const board = boardOf(`${use.tarDirectory}/`);
  if (board === undefined) {
    throw new OwimgError('step-unknown', `Cannot make a sysupgrade tar for ${use.device.profile}: the name of the directory in it is not known`);
  }
  return build({
    board,
    time: Number(use.build('epoch')),
    kernel: bytesOf(kernel ?? { part: 'kernel' }),
    root: rootMember(bytesOf(root ?? { part: 'rootfs' })),
    ...(dtb === undefined ? {} : { dtb: bytesOf(dtb) }),
  });
}

async function decompose(image: Uint8Array, use: DecomposeUse): Promise<Uint8Array> {
  const impossible = (reason: string): OwimgError =>
    new OwimgError('conversion-impossible', `Cannot take the image apart at the step "${wholeStep(use)}": ${reason}`);
  if (detectTar(image) === 'no') throw impossible('what is there is no tar');
  const { members, length } = readTar(image, new Budget());
  const behind = image.subarray(length);
  if (paddingLength(behind) !== behind.length) throw impossible(`behind the tar stand ${byteCount(behind.length)} that are not of it`);
  const sources = sourcesOf(use);
  const found = new Map<Part, TarMember>();
  for (const member of members) {
    const part = partOf(member);
    if (part === 'CONTROL' || (part === undefined && member.kind === 'directory')) continue;
    if (part === undefined || part === 'ramdisk' || sources[part] === undefined) throw impossible(`its recipe puts no "${member.name}" into the tar`);
    if (found.has(part)) throw impossible(`the tar has two members "${member.name}"`);
    found.set(part, member);
  }
  let made: Uint8Array | undefined;
  let kernel = image.subarray(0, 0);
  for (const part of ['kernel', 'root', 'dtb'] as const) {
    const source = sources[part];
    if (source === undefined) continue;
    const member = found.get(part);
    if (member === undefined || !member.whole || member.data.length === 0) throw impossible(`the tar lacks its member "${part}"`);
    const bytes = image.subarray(member.data.offset, member.data.offset + member.data.length);
    if (part === 'kernel') kernel = bytes;
    if (source === 'made') made = bytes;
    else await use.found(source.part, bytes, part === 'root' && fileSystemType(bytes) === 'squashfs');
  }
  const time = members[0]?.time ?? 0;
  if (time > 0) use.tells('epoch', String(time));
  // What was made so far and is not in the tar was thrown away: wherever that happens, it was the kernel.
  return made ?? (use.first ? image.subarray(0, 0) : kernel);
}

export const sysupgradeTar: Format<SysupgradeTarInput> = {
  id: 'sysupgrade-tar',
  title: 'OpenWrt sysupgrade tar',
  summary: 'A tar with kernel and root file system for one board; what sysupgrade takes on devices with NAND, UBI or eMMC.',
  role: 'wrapper',
  kind: 'sysupgrade',
  references: [
    {
      title: 'OpenWrt scripts/sysupgrade-tar.sh',
      url: 'https://github.com/openwrt/openwrt/blob/12c9028e05383cca40fc55e60e7f125298db3f99/scripts/sysupgrade-tar.sh',
    },
    {
      title: 'OpenWrt lib/upgrade/nand.sh',
      url: 'https://github.com/openwrt/openwrt/blob/12c9028e05383cca40fc55e60e7f125298db3f99/package/base-files/files/lib/upgrade/nand.sh',
    },
    { title: 'GNU tar, basic tar format', url: 'https://www.gnu.org/software/tar/manual/html_node/Standard.html' },
  ],
  limitations: ['Sparse files of GNU tar are read as they are stored.'],
  magics: [{ offset: 257, bytes: toBytes('ustar') }],

  wrap: wrapping(
    'kernel',
    {
      board: textKey('board, with an underscore for the comma: netgear_r6220', 64),
      root: fileKey('root file system'),
      dtb: fileKey('device tree'),
      time: numberKey('seconds since 1970', { initial: '0' }),
    },
    (kernel, { board, root, dtb, time }): SysupgradeTarInput => {
      if (!/^[\w.+-]+$/.test(board)) throw new OwimgError('bad-value', `Cannot name a directory after the board "${board}": expected letters, digits, _ . + -`);
      return { board, time, kernel, ...(dtb.length === 0 ? {} : { dtb }), ...(root.length === 0 ? {} : { root: filledUp(root) }) };
    },
  ),

  detect(bytes) {
    const tar = detectTar(bytes);
    return tar !== 'no' && holdsUpgrade(bytes) ? tar : 'no';
  },

  parse(bytes, { budget }): Reading<SysupgradeTarInput> {
    const { members, ...tar } = readTar(bytes, budget);
    const findings: LocalFinding[] = [...tar.findings, ...unsafeMembers(members)];
    const identities: Identity[] = [];
    const first = members.find((member) => boardOf(member.name) !== undefined);
    const board = first === undefined ? '' : (boardOf(first.name) as string);
    if (first !== undefined) identities.push({ source: 'sysupgrade-tar.board', value: board, offset: nameAt(first).offset + directoryPrefix.length });
    const other = members.find((member) => ![undefined, board].includes(boardOf(member.name)));
    if (other !== undefined) {
      const args = { what: 'second directory of the sysupgrade tar', expected: `"${directoryPrefix}${board}"`, actual: `"${other.name}"` };
      findings.push(finding('structure-invalid', nameAt(other), args));
    }

    const found = new Map<Part, TarMember>();
    for (const member of members) {
      const part = partOf(member);
      if (part !== undefined && !found.has(part)) found.set(part, member);
    }
    for (const part of needed) {
      const member = found.get(part);
      if (member === undefined) findings.push(finding('member-missing', { offset: 0, length: tar.length }, { member: part, container: 'sysupgrade tar' }));
      else if (member.kind === 'file' && member.data.length === 0 && member.whole) {
        findings.push(finding('member-missing', nameAt(member), { member: `bytes in its ${part}`, container: 'sysupgrade tar' }));
      }
    }

    const control = found.get('CONTROL');
    if (control !== undefined && control.data.length > 0) {
      const { offset, length } = control.data;
      const text = printable(bytes.subarray(offset, offset + Math.min(length, longestControl))).split('\\x0a')[0] as string;
      const named = /^BOARD=(.+)$/.exec(text)?.[1];
      if (named === undefined) {
        findings.push(finding('structure-invalid', control.data, { what: 'CONTROL file', expected: 'a line "BOARD=..."', actual: `"${text}"` }));
      } else {
        identities.push({ source: 'sysupgrade-tar.control', value: text, offset });
        if (!sameBoard(named, board)) {
          const args = { first: `the directory is for "${board}"`, second: `CONTROL says "${named}"` };
          findings.push(finding('identities-differ', { offset, length: text.length }, args));
        }
      }
    }

    const root = found.get('root');
    const sum = root?.whole === true && root.data.length > 0 && summedBoards.has(board) ? [rootSum(bytes, root.data)] : [];
    const payloads: Payload[] = members
      .filter((member) => member.kind === 'file' && member.data.length > 0)
      .map((member) => {
        const part = partOf(member);
        return {
          label: part ?? member.name,
          ranges: [member.data],
          ...(part === 'CONTROL' ? { content: 'opaque' } : {}),
          ...(member === root && sum.length > 0 ? { behind: { label: 'sum of the root file system', length: 1 } } : {}),
        };
      });
    return {
      ...tar,
      checks: [...tar.checks, ...sum],
      summary: `sysupgrade tar for ${board}`,
      findings,
      identities,
      payloads,
      input: () => {
        const entries = [...found].map(([part, { data }]) => [part, bytes.subarray(data.offset, data.offset + data.length)]);
        const modes = [...found].map(([part, { mode }]) => [part, mode]);
        const directory = members.find((member) => member.kind === 'directory');
        return {
          board,
          time: first?.time ?? 0,
          ...Object.fromEntries(entries),
          modes: { ...(directory === undefined ? {} : { directory: directory.mode }), ...Object.fromEntries(modes) },
        };
      },
    };
  },

  build,

  recipeSteps: { 'sysupgrade-tar': { compose, decompose } },
};
