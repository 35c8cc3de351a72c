/** What a file's name promises, compared with what is in it. The name is never evidence, only a finding. */
import { finding, type LocalFinding } from './core/findings.ts';
import type { Kind } from './core/types.ts';

/** Endings that name one outermost format, and the formats that may stand there. Asus calls its uImages TRX too. */
const endings: readonly (readonly [ending: string, formats: readonly string[]])[] = [
  ['.trx', ['trx', 'uimage']],
  ['.chk', ['netgear-chk']],
  ['.itb', ['fit']],
  ['.ubi', ['ubi']],
  ['.zip', ['zip']],
  ['.gz', ['gzip']],
  ['.xz', ['xz']],
  ['.tar', ['tar', 'sysupgrade-tar']],
  ['.squashfs', ['squashfs']],
];

/** Kinds that can never be what a word in the name says. */
const contradictions: Readonly<Record<string, readonly Kind[]>> = {
  // Some devices take kernel and root file system as two factory files, so a root file system alone may be one.
  factory: ['bootloader'],
  // A kernel alone: the download broke off between the kernel and the root file system, where no checksum notices.
  sysupgrade: ['factory', 'bootloader', 'initramfs', 'kernel'],
  initramfs: ['rootfs', 'disk', 'bootloader'],
};

export function nameFindings(name: string, format: string, kind: Kind, children: readonly string[]): LocalFinding[] {
  const where = { offset: 0, length: 0 };
  const lower = (name.split(/[\\/]/).at(-1) ?? '').toLowerCase();
  const findings: LocalFinding[] = [];
  const ending = endings.find(([text]) => lower.endsWith(text));
  if (ending !== undefined && !ending[1].includes(format) && !children.some((child) => ending[1].includes(child))) {
    findings.push(finding('name-contradicts', where, { says: `"${ending[0]}"`, is: `${format} (${kind})` }));
  }
  const words = Object.keys(contradictions).filter((word) => lower.split(/[^a-z0-9]+/).includes(word));
  const word = words.length === 1 ? (words[0] as string) : undefined;
  if (word !== undefined && contradictions[word]?.includes(kind)) {
    findings.push(finding('name-contradicts', where, { says: `"${word}"`, is: `${format} (${kind})` }));
  }
  return findings;
}
