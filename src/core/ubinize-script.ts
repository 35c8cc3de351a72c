/**
 * What OpenWrt's scripts/ubinize-image.sh asks of ubinize: which volumes, of which size, in which order.
 */
import { OwimgError } from './errors.ts';
import { fileSystemType } from './file-system-type.ts';
import { type StepUse, sizeOf } from './recipe-step.ts';
import type { UbinizeFlash, UbiVolume } from './ubi-image.ts';

/** A volume as OpenWrt's script asks ubinize for it. */
export interface PlannedVolume {
  readonly name: string;
  readonly type: UbiVolume['type'];
  /** What lies in it: a part, what the recipe made so far, or nothing yet. */
  readonly source: { readonly part: string } | 'made' | 'nothing';
  /** Bytes; without it, as many as its content has, in whole units of `unit`. */
  readonly length?: number;
  readonly unit?: number;
  readonly autoresize?: true;
}

export interface UbinizeCommand {
  /** Without those of the root file system. */
  readonly volumes: readonly PlannedVolume[];
  readonly rootfs: boolean;
  readonly flash: UbinizeFlash;
  readonly eraseCounter: number;
  readonly version: number;
  readonly eofMarkers: number;
}

const kibibyte = 1024;
/** What a volume without content gets, until it grows. */
const emptyVolume = 1024 * kibibyte;

const sourceOf = (file: string, name: string): PlannedVolume['source'] => {
  if (/^@OUT@(\.tmp)?$/.test(file)) return 'made';
  return { part: file === '@KERNEL@' ? 'kernel' : name };
};

/** `NAME=FILE`, `NAME=:FILE` for a static volume, `NAME=FILE=MEBIBYTES`. */
function partVolume(word: string): PlannedVolume {
  const [name = '', file = '', size = ''] = word.split('=');
  if (file === '') return { name, type: 'dynamic', source: 'nothing', length: emptyVolume };
  const type = file.startsWith(':') ? 'static' : 'dynamic';
  const source = sourceOf(file.replace(/^:/, ''), name);
  return { name, type, source, ...(size === '' ? { unit: kibibyte } : { length: sizeOf(`${size}M`) }) };
}

/**
 * Reads the command line of OpenWrt's scripts/ubinize-image.sh.
 *
 * @throws OwimgError `step-unknown`
 */
export function ubinizeCommand(use: StepUse): UbinizeCommand {
  const [, ...words] = use.command('ubinize-image.sh');
  const unknown = (what: string): OwimgError =>
    new OwimgError('step-unknown', `Cannot run the step "${[use.name, ...use.words].join(' ')}" of ${use.device.profile}: ${what}`);
  const parts: PlannedVolume[] = [];
  const options = new Map<string, number>();
  let [environment, kernel, rootfs]: [boolean, string | undefined, string | undefined] = [false, undefined, undefined];
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    if (word === '--uboot-env') environment = true;
    else if (word === '--kernel') kernel = words.shift();
    else if (word === '--rootfs') rootfs = words.shift();
    else if (word === '--part') parts.push(partVolume(words.shift() ?? ''));
    else if (/^-[pmsOexE]$/.test(word)) options.set(word, sizeOf(words.shift() ?? ''));
    else if (word.startsWith('-')) throw unknown(`owimg does not know the option ${word} of ubinize`);
  }
  const [pebLength, minimumIo] = [options.get('-p'), options.get('-m')];
  const wrong = [...options].find(([, value]) => Number.isNaN(value));
  if (wrong !== undefined) throw unknown(`the option ${wrong[0]} of ubinize has no number behind it`);
  if (pebLength === undefined || minimumIo === undefined) throw unknown('how ubinize is called for it is not known');
  const empty = (name: string): PlannedVolume => ({ name, type: 'dynamic', source: 'nothing', length: emptyVolume });
  return {
    volumes: [
      ...(environment ? [empty('ubootenv'), empty('ubootenv2')] : []),
      ...parts,
      ...(kernel === undefined ? [] : [{ name: 'kernel', type: 'dynamic' as const, source: sourceOf(kernel, 'kernel') }]),
    ],
    rootfs: rootfs !== undefined,
    flash: { pebLength, minimumIo, subpage: options.get('-s'), vidHeaderOffset: options.get('-O') },
    eraseCounter: options.get('-e') ?? 0,
    version: options.get('-x') ?? 1,
    eofMarkers: options.get('-E') ?? 0,
  };
}

/** A UBIFS grows by itself; behind any other the volume stands in which OpenWrt keeps what is changed. */
export function rootVolumesFor(rootfs: Uint8Array): readonly PlannedVolume[] {
  const root: PlannedVolume = { name: 'rootfs', type: 'dynamic', source: { part: 'rootfs' } };
  const type = fileSystemType(rootfs);
  if (type === 'ubifs') return [{ ...root, autoresize: true }];
  const data: PlannedVolume = { name: 'rootfs_data', type: 'dynamic', source: 'nothing', length: emptyVolume, autoresize: true };
  return [type === 'squashfs' ? { ...root, unit: kibibyte } : root, data];
}
