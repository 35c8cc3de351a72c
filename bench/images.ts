/** Images for measuring, of any length: filled with noise that was packed as kernels are, never with zeros. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type SafeloaderInput, tplinkSafeloader } from '../formats/tplink-safeloader.ts';
import { trx } from '../formats/trx.ts';
import { uimage } from '../formats/uimage.ts';
import { Budget } from '../src/core/limits.ts';
import { randomFrom } from '../test/support/random.ts';

/** Bytes without a pattern that a compressor or a branch predictor could use. */
export function noise(length: number, seed: number): Uint8Array {
  const random = randomFrom(seed);
  const bytes = new Uint8Array(length);
  const words = new Uint32Array(bytes.buffer, 0, Math.floor(length / 4));
  for (let index = 0; index < words.length; index += 1) words[index] = (random(0x10000) << 16) | random(0x10000);
  return bytes;
}

/** The same as an LZMA stream, about as long: what a kernel is in an image. */
function packedNoise(length: number, seed: number): Uint8Array {
  const packed = execFileSync('xz', ['--format=lzma', '-0', '--stdout'], { input: noise(Math.floor(length * 0.985), seed), maxBuffer: length * 2 });
  return new Uint8Array(packed);
}

export const kernel = (length: number, packed: boolean, load = 0x80060000): Uint8Array =>
  uimage.build?.({
    magic: 0x27051956,
    time: 1_700_000_000,
    load,
    entry: load,
    os: 5,
    architecture: 5,
    type: 2,
    compression: packed ? 3 : 0,
    name: 'MIPS OpenWrt Linux-6.6.99',
    data: packed ? packedNoise(length - 64, 1) : noise(length - 64, 1),
  }) as Uint8Array;

export type ImageKind = 'uimage' | 'trx' | 'tplink-safeloader' | 'fit';

/** Writes one image of about `length` bytes into `folder` and returns its path. Not `packed`: without the time that packing takes. */
export async function writeImage(kind: ImageKind, length: number, folder: string, packed = true): Promise<string> {
  const path = join(folder, `${kind}-${length}.bin`);
  if (kind === 'uimage') writeFileSync(path, kernel(length, packed));
  else if (kind === 'trx') {
    const body = noise(length - 28, 2);
    writeFileSync(path, trx.build?.({ magic: 0x30524448, version: 1, flags: 0, offsets: [28, 0x200000, 0], body }) as Uint8Array);
  } else if (kind === 'fit') writeFit(path, length, folder);
  else writeFileSync(path, await safeloader(length));
  return path;
}

function writeFit(path: string, length: number, folder: string): void {
  const data = join(folder, `fit-${length}.kernel`);
  const source = join(folder, `fit-${length}.its`);
  writeFileSync(data, packedNoise(length - 4096, 3));
  const hashes = 'hash-1 { algo = "crc32"; }; hash-2 { algo = "sha1"; };';
  writeFileSync(
    source,
    `/dts-v1/; / { description = "bench"; #address-cells = <1>; images { kernel-1 { description = "kernel"; data = /incbin/("${data}"); type = "kernel"; arch = "arm64"; os = "linux"; compression = "lzma"; load = <0x48080000>; entry = <0x48080000>; ${hashes} }; }; configurations { default = "config-1"; config-1 { kernel = "kernel-1"; }; }; };`,
  );
  execFileSync('mkimage', ['-f', source, path], { stdio: 'ignore' });
}

/** The image of a board with another kernel: all partitions but `os-image` are those of a fixture. */
async function safeloader(length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(readFileSync(new URL('../fixtures/tplink-safeloader/sound-extra-para.bin', import.meta.url)));
  const { input } = await tplinkSafeloader.parse(bytes, { unpack: false, deep: false, budget: new Budget() });
  const { partitions, ...rest } = (input as () => SafeloaderInput)();
  const others = partitions.reduce((sum, { name, data }) => sum + (name === 'os-image' ? 0 : data.length), 0);
  const changed = partitions.map((partition) => (partition.name === 'os-image' ? { ...partition, data: kernel(length - others - 0x2000, true) } : partition));
  return tplinkSafeloader.build?.({ ...rest, partitions: changed }) as Uint8Array;
}
