/** Numbers and bytes as people read them. */

export { latin1 } from '#platform';

/** `0x27051956`: lower case, at least `digits` digits. */
export function hex(value: number | bigint, digits = 8): string {
  return `0x${value.toString(16).padStart(digits, '0')}`;
}

/** `0x1a40`: an offset, no leading zeros. */
export function hexOffset(value: number): string {
  return `0x${value.toString(16)}`;
}

/** `dcd73aa5…`: every byte as two digits, no separators. */
export function hexBytes(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += byte.toString(16).padStart(2, '0');
  return text;
}

/** The reverse of {@link hexBytes}. Blanks are allowed between the bytes. */
export function fromHex(text: string): Uint8Array {
  const digits = text.replaceAll(/\s+/g, '');
  const bytes = new Uint8Array(digits.length / 2);
  for (let index = 0; index < bytes.length; index += 1) bytes[index] = Number.parseInt(digits.slice(index * 2, index * 2 + 2), 16);
  return bytes;
}

/** `0009CA1F`: 32 bits as `printf %08X` writes them. */
export function hexText(value: number): string {
  return value.toString(16).toUpperCase().padStart(8, '0');
}

/** The reverse of {@link hexText}; `null` for any other spelling, as tools compare the text. */
export function fromHexText(text: string): number | null {
  return /^[0-9A-F]{8}$/.test(text) ? Number.parseInt(text, 16) : null;
}

/** Bytes up to the first NUL as text; bytes outside of printable ASCII become `\xNN`. */
export function printable(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) {
    if (byte === 0) break;
    text += byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return text;
}

/** UTF-16 in little endian up to its first NUL; what is not printable ASCII becomes `\uNNNN`. */
export function printableUtf16(bytes: Uint8Array): string {
  let text = '';
  for (let index = 0; index + 1 < bytes.length; index += 2) {
    const unit = (bytes[index] as number) | ((bytes[index + 1] as number) << 8);
    if (unit === 0) break;
    text += unit >= 0x20 && unit < 0x7f ? String.fromCharCode(unit) : `\\u${unit.toString(16).padStart(4, '0')}`;
  }
  return text;
}

/** The reverse of {@link latin1}: each character's code as one byte; codes above 255 are cut. */
export function toBytes(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let index = 0; index < text.length; index += 1) bytes[index] = text.charCodeAt(index);
  return bytes;
}

/** `1 byte`, `15936 bytes`: exactly. */
export function bytesText(length: number): string {
  return length === 1 ? '1 byte' : `${length} bytes`;
}

/** `15.2 MiB`, `512 bytes`: for people. */
export function byteCount(length: number): string {
  if (length < 1024) return bytesText(length);
  const units = ['KiB', 'MiB', 'GiB', 'TiB'];
  let value = length;
  let unit = '';
  for (const next of units) {
    if (value < 1024) break;
    value /= 1024;
    unit = next;
  }
  return `${value >= 100 || Number.isInteger(value) ? Math.round(value) : value.toFixed(1)} ${unit}`;
}
