/**
 * tar, any but OpenWrt's sysupgrade tar: what some vendors put kernel, root file system and scripts in (Senao,
 * NETGEAR, D-Link), and what downloads come in.
 *
 * Each header has tar's checksum. Some vendors put an MD5 of one member into another one beside it.
 *
 * Layout: POSIX.1-2017 pax. Writers: GNU tar and many others.
 */
import { type CodedCheck, compare, digest } from '../src/core/checksums.ts';
import { finding, type LocalFinding } from '../src/core/findings.ts';
import type { Format, Payload, Reading } from '../src/core/format.ts';
import { fromHex, hexBytes, latin1, toBytes } from '../src/core/hex.ts';
import { unsafeLink, unsafePath } from '../src/core/path.ts';
import { detectTar, holdsUpgrade, linkNameAt, nameAt, readTar, type TarMember } from '../src/core/tar.ts';

/** `rootfs.md5` beside `rootfs.bin`, `nand.md5sum` beside `nand.img`. */
const digestName = /^(.+)\.md5(?:sum)?$/;
/** ELECOM's is the MD5 of the MD5 as text and this: target/linux/ramips/image/mt7620.mk (elecom-header). */
const elecomSalt = '\n458\n';
/** What md5sum writes. */
const digestText = /^(?:[0-9a-f]{32}|[0-9A-F]{32})(?=[\s*-]|$)/;
const digestLength = 32;

/** The members by their names, and by these without the last ending; three of each are enough to tell that a name is not clear. */
function byStem(files: readonly TarMember[]): ReadonlyMap<string, readonly TarMember[]> {
  const members = new Map<string, TarMember[]>();
  for (const file of files) {
    for (const stem of new Set([file.name, file.name.replace(/\.[^./]*$/, '')])) {
      const same = members.get(stem);
      if (same === undefined) members.set(stem, [file]);
      else if (same.length < 3) same.push(file);
    }
  }
  return members;
}

interface Digests {
  readonly checks: CodedCheck[];
  readonly findings: LocalFinding[];
}

/** The MD5 files of the archive, each compared with the one member that it can only mean. */
function digests(bytes: Uint8Array, members: readonly TarMember[]): Digests {
  const checks: CodedCheck[] = [];
  const findings: LocalFinding[] = [];
  const files = members.filter((member) => member.kind === 'file');
  const stems = byStem(files);
  for (const member of files) {
    const stem = digestName.exec(member.name)?.[1];
    if (stem === undefined) continue;
    const candidates = (stems.get(stem) ?? []).filter((other) => other !== member);
    const subject = candidates[0];
    if (subject === undefined || candidates.length > 1 || !member.whole) continue;
    const { offset, length } = member.data;
    const text = latin1(bytes.subarray(offset, offset + Math.min(length, digestLength + 1)));
    const stored = digestText.exec(text)?.[0];
    if (stored === undefined) {
      const args = { what: `content of "${member.name}"`, expected: 'an MD5 of 32 hexadecimal digits', actual: JSON.stringify(text) };
      findings.push(finding('structure-invalid', member.data, args));
      continue;
    }
    const plain = digest('md5', [bytes.subarray(subject.data.offset, subject.data.offset + subject.data.length)]);
    const salted = digest('md5', [toBytes(`${hexBytes(plain)}${elecomSalt}`)]);
    checks.push(
      compare({
        code: 'data-checksum-mismatch',
        name: `MD5 of ${subject.name}`,
        algorithm: 'md5',
        stored: subject.whole ? fromHex(stored) : null,
        computed: hexBytes(salted) === stored ? salted : plain,
        at: { offset, length: digestLength },
        covers: [subject.data],
      }),
    );
  }
  return { checks, findings };
}

function unsafeMembers(members: readonly TarMember[]): LocalFinding[] {
  const findings: LocalFinding[] = [];
  for (const member of members) {
    const { name: path, kind, linkName } = member;
    const reason = unsafePath(path) ?? (kind === 'device' ? 'is a device file or a pipe' : undefined);
    if (reason !== undefined) findings.push(finding('path-unsafe', nameAt(member), { path, reason }));
    const link = kind === 'link' ? unsafeLink(path, linkName) : undefined;
    if (link !== undefined) findings.push(finding('path-unsafe', linkNameAt(member), { path, reason: link }));
  }
  return findings;
}

export const tar: Format = {
  id: 'tar',
  title: 'tar archive',
  summary: 'An archive of files; some vendors take firmware in one, with scripts and an MD5 beside the images.',
  role: 'archive',
  kind: 'archive',
  references: [
    { title: 'POSIX.1-2017 pax, ustar interchange format', url: 'https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html' },
    { title: 'GNU tar, basic tar format', url: 'https://www.gnu.org/software/tar/manual/html_node/Standard.html' },
  ],
  limitations: ['Sparse files of GNU tar are read as they are stored.'],

  detect(bytes) {
    return holdsUpgrade(bytes) ? 'no' : detectTar(bytes);
  },

  parse(bytes, { budget }): Reading {
    const { members, ...archive } = readTar(bytes, budget);
    const files = members.filter((member) => member.kind === 'file');
    const { checks, findings } = digests(bytes, members);
    const payloads: Payload[] = files.filter(({ data }) => data.length > 0).map(({ name, data }) => ({ label: name, ranges: [data] }));
    return {
      ...archive,
      summary: `tar of ${files.length} file${files.length === 1 ? '' : 's'}`,
      checks: [...archive.checks, ...checks],
      findings: [...archive.findings, ...unsafeMembers(members), ...findings],
      identities: [],
      payloads,
    };
  },
};
