/** What people hold instead of an image: web pages, pointers, dumps of nothing. Only asked where no format fits. */
import { finding, type LocalFinding } from './core/findings.ts';
import { latin1 } from './core/hex.ts';
import { runLength } from './core/padding.ts';

const looked = 4096;

const documents: readonly (readonly [magic: string, what: string])[] = [
  ['%PDF-', 'a PDF document'],
  ['\x89PNG', 'a PNG picture'],
  ['\xff\xd8\xff', 'a JPEG picture'],
  ['Rar!', 'a RAR archive, which owimg does not unpack'],
  ['7z\xbc\xaf\x27\x1c', 'a 7z archive, which owimg does not unpack'],
  ['MZ', 'a Windows program'],
];

function describeText(text: string): string {
  const start = text.trimStart().slice(0, 512).toLowerCase();
  if (start.startsWith('<!doctype html') || start.startsWith('<html'))
    return 'an HTML page; the link led to a web page about the file, not to the file (on GitHub use the "Raw" link)';
  if (start.startsWith('version https://git-lfs')) return 'a Git LFS pointer; the file itself was not fetched';
  if (start.startsWith('<?xml') || start.startsWith('<error')) return 'an XML document, most likely the error message of a download server';
  if (start.startsWith('{')) return 'a JSON text';
  const compact = text.replaceAll(/\s+/g, '');
  if (/^[0-9a-f]{64} [ *]\S/m.test(text)) return 'a list of SHA-256 checksums; the images stand beside it';
  if (/^[0-9a-fA-F]+$/.test(compact)) return 'hexadecimal text; turn it back into bytes (xxd -r -p)';
  if (compact.length > 64 && /^[0-9A-Za-z+/]+=*$/.test(compact)) return 'base64 text, as mail programs make it; decode it first (base64 -d)';
  return 'plain text';
}

/** Says what a file is that no format claims, or `undefined` if it may be firmware. */
export function recogniseOther(bytes: Uint8Array): LocalFinding | undefined {
  const where = { offset: 0, length: bytes.length };
  if (bytes.length === 0) return finding('file-empty', where, {});
  if (runLength(bytes) === bytes.length && bytes.length > 16) {
    if (bytes[0] === 0xff) return finding('not-firmware', where, { what: 'every byte is ff, as erased flash reads' });
    if (bytes[0] === 0x00) return finding('not-firmware', where, { what: 'every byte is 00; the download or the dump failed' });
  }
  const head = latin1(bytes.subarray(0, looked));
  const document = documents.find(([magic]) => head.startsWith(magic));
  if (document !== undefined) return finding('not-firmware', where, { what: document[1] });
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what tells bytes from text
  if (bytes.length >= 16 && !/[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\xff]/.test(head)) return finding('not-firmware', where, { what: describeText(head) });
  return undefined;
}

function swap(bytes: Uint8Array, unit: 2 | 4): Uint8Array {
  const swapped = new Uint8Array(bytes.length - (bytes.length % unit));
  for (let index = 0; index < swapped.length; index += 1) swapped[index] = bytes[index - (index % unit) + (unit - 1 - (index % unit))] as number;
  return swapped;
}

/** Tries whether the bytes make sense when every 16 or 32 bits are turned round. `detect` names what it sees. */
export function swappedBytes(bytes: Uint8Array, detect: (swapped: Uint8Array) => string | undefined): LocalFinding | undefined {
  const head = bytes.subarray(0, 64 * 1024);
  for (const unit of [2, 4] as const) {
    const what = detect(swap(head, unit));
    if (what !== undefined) return finding('bytes-swapped', { offset: 0, length: bytes.length }, { what, unit });
  }
  return undefined;
}

/** A damaged file in which every LF stands behind a CR was sent as text. */
export function lineEndDamage(bytes: Uint8Array): LocalFinding[] {
  let count = 0;
  let first = -1;
  for (let index = bytes.indexOf(0x0a); index >= 0; index = bytes.indexOf(0x0a, index + 1)) {
    if (bytes[index - 1] !== 0x0d) return [];
    if (first < 0) first = index - 1;
    count += 1;
  }
  // In random bytes one LF in 256 follows a CR; sixteen of sixteen do not do so by chance.
  return count >= 16 ? [finding('text-mode-damage', { offset: first, length: bytes.length - first }, { count })] : [];
}
