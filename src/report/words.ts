/** Names of kinds and states for people. */
import type { Inspection, Kind } from '../core/types.ts';

const kindNames: Readonly<Record<Exclude<Kind, 'unknown'>, string>> = {
  factory: 'factory image',
  sysupgrade: 'sysupgrade image',
  recovery: 'recovery image',
  initramfs: 'initramfs image (runs from RAM, stores nothing)',
  kernel: 'kernel without a root file system',
  rootfs: 'root file system without a kernel',
  bootloader: 'boot loader',
  disk: 'disk image',
  archive: 'archive',
};

export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** What the status means, in a sentence that promises no more than was checked. */
export function statusSentence({ status, findings }: Inspection, checks: number): string {
  const errors = findings.filter((entry) => entry.severity === 'error').length;
  const warnings = findings.filter((entry) => entry.severity === 'warning').length;
  switch (status) {
    case 'broken':
      return `BROKEN: ${counted(errors, 'error')}`;
    case 'unknown':
      return 'NOT RECOGNISED: owimg cannot tell what this is';
    case 'doubtful':
      return `doubtful: ${counted(warnings, 'warning')}`;
    default:
      if (checks === 0) return 'well-formed; it has no checksum that could prove more';
      if (checks === 1) return 'well-formed: its only check passed';
      return checks === 2 ? 'well-formed: both checks passed' : `well-formed: all ${checks} checks passed`;
  }
}

/** What the file is, with a comma; nothing where nobody knows. */
export function whatItIs({ kind, status, format, root }: Inspection): string {
  if (kind !== 'unknown') return `${kindNames[kind]}, `;
  if (format === 'unknown' || root.regions[0]?.kind === 'unknown') return '';
  return `${status === 'broken' ? format : (root.summary ?? format)}, `;
}

/** The last line of a report: what to do now. */
export function nextStep({ status, kind, identities }: Inspection): string {
  switch (status) {
    case 'broken':
      return 'Do not flash this file.';
    case 'unknown':
      return 'Do not flash this file on the word of this report: owimg could not check it.';
    case 'doubtful':
      return 'Read the warnings before you use this file.';
    default: {
      if (kind === 'archive') return 'The archive is well-formed. Take the file for your device out of it, and inspect that one by itself.';
      const meant = 'Well-formed says that the file is what its maker meant, not that it is the one for your device:';
      return identities.length > 0
        ? `${meant} compare the names above with yours.`
        : `${meant} it names no device, so only the place you got it from can tell.`;
    }
  }
}

/** What comes out of a file must not steer the terminal: characters that control it or the direction of writing are shown, not sent. */
export function harmless(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (character) => {
    const code = character.codePointAt(0) as number;
    if (character === '\n') return ' ';
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
  });
}
