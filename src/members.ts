/** The firmware files in an archive: what a command works on that needs one image. */
import { OwimgError } from './core/errors.ts';
import type { AnyFormat } from './core/format.ts';
import type { Opened } from './inspect.ts';

export interface Member {
  /** `undefined` where the archive names none: what was only compressed. */
  readonly name: string | undefined;
  readonly bytes: Uint8Array;
}

/** What the archive holds that is recognised; empty for what is no archive. */
function membersOf({ inspection: { root }, bytesOf }: Opened, formats: readonly AnyFormat[]): Member[] {
  const format = formats.find(({ id }) => id === root.format);
  if (format?.role !== 'archive' && !(format?.role === 'compressed' && format.kind === 'archive')) return [];
  const name = (label: string | undefined): string | undefined => (format.role === 'archive' ? label : undefined);
  return root.children.flatMap((layer) =>
    layer.source === undefined || layer.format === 'unknown' ? [] : [{ name: name(layer.label), bytes: bytesOf(layer) }],
  );
}

/**
 * The one firmware file in an archive; `undefined` for what is no archive, or holds none.
 *
 * @param wanted its name, with or without folders
 * @throws OwimgError `member-needed` where there are several; `bad-value` where none has that name
 */
export function memberOf(opened: Opened, formats: readonly AnyFormat[], wanted: string | undefined): Member | undefined {
  const members = membersOf(opened, formats);
  const names = members.flatMap(({ name }) => name ?? []).join(', ');
  if (wanted !== undefined) {
    const fitting = members.filter(({ name }) => name === wanted || name?.endsWith(`/${wanted}`));
    if (fitting[0] !== undefined && fitting.length === 1) return fitting[0];
    const hint = names === '' ? 'Leave --member out: the file is taken as it is.' : `It holds ${names}.`;
    throw new OwimgError('bad-value', `The file holds no firmware file that is called "${wanted}"`, hint);
  }
  if (members.length > 1) throw new OwimgError('member-needed', `The file holds ${members.length} firmware files: ${names}`, 'Choose one with --member NAME.');
  return members[0];
}
