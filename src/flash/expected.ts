/** What a device should say of itself after it was flashed, from the image that was sent. Pure. */
import { allLayers } from '../core/layers.ts';
import type { Inspection, Layer } from '../core/types.ts';
import type { Device } from '../devices/facts.ts';

export interface Release {
  readonly distribution: string | undefined;
  readonly version: string | undefined;
  readonly revision: string | undefined;
  readonly target: string | undefined;
}

export interface Expected {
  readonly boards: readonly string[];
  /** `undefined` where the image does not tell: most factory images carry no metadata. */
  readonly release: Release | undefined;
  /** The root file system as it lies in the flash. Its length is in whole blocks: the few bytes behind the last are left out. */
  readonly rootfs: { readonly blocks: number; readonly sha256: string } | undefined;
  /** It runs from memory. */
  readonly ramOnly: boolean;
}

/** The device reads its flash in such pieces. */
export const readBlock = 1024;

const text = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);

function releaseOf(root: Layer): Release | undefined {
  for (const layer of allLayers(root)) {
    const json = layer.format === 'fwtool' ? layer.fields.findLast(({ name }) => name === 'metadata')?.value : undefined;
    if (typeof json !== 'string') continue;
    const { version } = JSON.parse(json) as { version?: Readonly<Record<string, unknown>> };
    const release = {
      distribution: text(version?.['dist']),
      version: text(version?.['version']),
      revision: text(version?.['revision']),
      target: text(version?.['target']),
    };
    if (release.revision !== undefined || release.version !== undefined) return release;
  }
  return undefined;
}

/**
 * @param bytesOf the bytes of a layer
 * @param sha256 their digest in hexadecimal
 */
export function expectedOf(
  device: Device,
  inspection: Inspection,
  ramOnly: boolean,
  bytesOf: (layer: Layer) => Uint8Array,
  sha256: (bytes: Uint8Array) => string,
): Expected {
  // Some loaders want the kernel in a file system too: it stands in front of the root file system.
  const squashfs = ramOnly ? undefined : allLayers(inspection.root).findLast(({ format }) => format === 'squashfs');
  const blocks = squashfs === undefined ? 0 : Math.floor(squashfs.length / readBlock);
  return {
    boards: device.boards,
    release: releaseOf(inspection.root),
    rootfs: squashfs === undefined || blocks === 0 ? undefined : { blocks, sha256: sha256(bytesOf(squashfs).subarray(0, blocks * readBlock)) },
    ramOnly,
  };
}

/** What the device said of itself. */
export interface Reported {
  /** `ubus call system board` */
  readonly board: Readonly<Record<string, unknown>>;
  /** Of the root file system's first blocks; `undefined` where it could not be read. */
  readonly rootfs: string | undefined;
}

/** One shell command that tells all of it; the shell is busybox. */
export function questionFor({ rootfs }: Expected): string {
  const board = 'ubus call system board';
  if (rootfs === undefined) return board;
  const find = [
    `d=$(sed -n 's/^\\(mtd[0-9]*\\):.* "rootfs"$/\\1ro/p' /proc/mtd 2>/dev/null | head -n1)`,
    `[ -n "$d" ] || d=$(basename "$(dirname "$(grep -lx rootfs /sys/class/ubi/ubi*_*/name 2>/dev/null | head -n1)")")`,
  ].join('; ');
  return `${board}; ${find}; [ -c "/dev/$d" ] && dd if="/dev/$d" bs=${readBlock} count=${rootfs.blocks} 2>/dev/null | sha256sum | sed 's/^/rootfs /'; true`;
}

/** What it answered. `undefined` where that is no answer of an OpenWrt. */
export function reportedOf(output: string): Reported | undefined {
  const end = output.lastIndexOf('}');
  const begin = output.indexOf('{');
  if (begin === -1 || end < begin) return undefined;
  try {
    const board = JSON.parse(output.slice(begin, end + 1)) as Readonly<Record<string, unknown>>;
    return { board, rootfs: /^rootfs ([0-9a-f]{64})/m.exec(output.slice(end))?.[1] };
  } catch {
    return undefined;
  }
}

/** `same`: it is what was sent. `other`: it is not. `unproved`: nothing speaks against it, and nothing proves it. */
export interface Comparison {
  readonly result: 'same' | 'other' | 'unproved';
  readonly compared: readonly string[];
}

/** Compares what runs with what was sent. */
export function compare(expected: Expected, { board, rootfs }: Reported): Comparison {
  const release = (board['release'] ?? {}) as Readonly<Record<string, unknown>>;
  const compared: string[] = [];
  const differences: string[] = [];
  let proofs = 0;
  const say = (what: string, wanted: string | undefined, found: string | undefined): boolean => {
    if (wanted === undefined || found === undefined) return false;
    if (wanted === found) compared.push(`${what} is ${found}`);
    else differences.push(`${what} is ${found}, the image has ${wanted}`);
    return wanted === found;
  };
  const name = text(board['board_name']);
  if (name !== undefined) {
    if (expected.boards.includes(name)) compared.push(`the board calls itself ${name}`);
    else differences.push(`the board calls itself ${name}, and the image is for ${expected.boards.join(', ')}`);
  }
  say('the target', expected.release?.target, text(release['target']));
  say('the version', expected.release?.version, text(release['version']));
  if (say('the revision', expected.release?.revision, text(release['revision']))) proofs += 1;
  if (expected.rootfs !== undefined && rootfs !== undefined) {
    if (rootfs === expected.rootfs.sha256) {
      compared.push(`the root file system in the flash is that of the image, in all of ${expected.rootfs.blocks} KiB`);
      proofs += 1;
    } else differences.push('the root file system in the flash is not that of the image');
  }
  const type = text(board['rootfs_type']);
  if (expected.ramOnly && type !== undefined && type !== 'initramfs' && type !== 'tmpfs') differences.push(`it runs from the flash (${type}), not from memory`);
  if (differences.length > 0) return { result: 'other', compared: differences };
  return { result: proofs > 0 && name !== undefined ? 'same' : 'unproved', compared };
}
