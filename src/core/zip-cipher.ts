/**
 * The traditional encryption of zip (APPNOTE.TXT 6.1), of which a known password is all that it takes. Three numbers
 * are stirred by every byte of the password, then by every byte that comes out; 12 bytes stand in front of the data.
 */
import { crc0 } from './checksums.ts';
import { toBytes } from './hex.ts';

export const cipherHeaderLength = 12;
let table: Uint32Array | undefined;

/**
 * Takes the encryption off.
 *
 * @param check what the last of the 12 bytes in front must be
 * @returns `undefined` where the password is another one
 */
export function decrypt(bytes: Uint8Array, password: string, check: number): Uint8Array | undefined {
  table ??= Uint32Array.from({ length: 256 }, (_, byte) => crc0(Uint8Array.of(byte)));
  const crcs = table;
  let [first, second, third] = [0x12345678, 0x23456789, 0x34567890];
  const stir = (byte: number): void => {
    first = (crcs[(first ^ byte) & 0xff] as number) ^ (first >>> 8);
    second = (Math.imul(second + (first & 0xff), 134775813) + 1) | 0;
    third = (crcs[(third ^ (second >>> 24)) & 0xff] as number) ^ (third >>> 8);
  };
  for (const byte of toBytes(password)) stir(byte);
  const plain = new Uint8Array(bytes.length);
  for (let index = 0; index < bytes.length; index += 1) {
    const mixed = (third | 2) & 0xffff;
    const byte = (bytes[index] as number) ^ (((mixed * (mixed ^ 1)) >>> 8) & 0xff);
    if (index === cipherHeaderLength - 1 && byte !== check) return undefined;
    plain[index] = byte;
    stir(byte);
  }
  return bytes.length < cipherHeaderLength ? undefined : plain.subarray(cipherHeaderLength);
}
