/**
 * What the metadata at the end of an image makes a running OpenWrt say, replayed from `fwtool_check_image` in
 * `package/base-files/files/lib/upgrade/fwtool.sh`.
 */
import type { Check, Layer } from '../core/types.ts';

/** Of a chunk: magic number, checksum, type, length. */
const trailerLength = 16;

export interface ImageMetadata {
  /** `absent` also where a checksum is wrong: fwtool then sees none. */
  readonly state: 'absent' | 'invalid' | 'present';
  readonly compatVersion: string;
  readonly compatMessage: string | undefined;
  /** What the running system looks itself up in: the new list for images with a compat version of their own. */
  readonly supported: readonly string[] | undefined;
  readonly signed: boolean;
}

const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);
const list = (value: unknown): string[] | undefined => (Array.isArray(value) ? value.filter((entry): entry is string => typeof entry === 'string') : undefined);

/** Reads the last metadata chunk at the file's end, as fwtool does. */
export function readMetadata(root: Layer): ImageMetadata {
  const trailer = root.children.find(({ format }) => format === 'fwtool');
  const passed = (name: string): Check | undefined => trailer?.checks.findLast((check) => check.name === name && check.ok === true);
  const chunk = passed('metadata-crc');
  const none = { compatVersion: '1.0', compatMessage: undefined, supported: undefined, signed: passed('signature-crc') !== undefined };
  // fwtool begins at the end of the file: what stands behind the chunks hides them.
  if (trailer === undefined || chunk === undefined || trailer.findings.some(({ code }) => code === 'metadata-displaced')) return { state: 'absent', ...none };
  const end = Math.max(...chunk.covers.map(({ offset, length }) => offset + length)) - trailerLength;
  const json = trailer.fields.find(({ name, offset, length }) => name === 'metadata' && Math.abs(offset + length - end) <= trailerLength)?.value;
  if (typeof json !== 'string') return { state: 'invalid', ...none };
  const values = JSON.parse(json) as Readonly<Record<string, unknown>>;
  const compatVersion = text(values['compat_version']) ?? '1.0';
  return {
    ...none,
    state: 'present',
    compatVersion,
    compatMessage: text(values['compat_message']),
    supported: list(values[compatVersion === '1.0' ? 'supported_devices' : 'new_supported_devices']),
  };
}

/** `minor`: only without the settings. */
export type Compat = 'same' | 'minor' | 'major';

/** Both sides of the dot are compared as strings: a downgrade differs as an upgrade does. */
export function compareCompat(running: string, image: string): Compat {
  const [a = '', b = ''] = [running, image];
  const [majorA, minorA] = a.split('.');
  const [majorB, minorB] = b.split('.');
  if (majorA !== majorB) return 'major';
  return minorA === minorB ? 'same' : 'minor';
}
