/** Images for measuring, of any length: filled with noise as compressed kernels are, never with zeros. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tplinkSafeloader } from '../formats/tplink-safeloader.ts';
import { trx } from '../formats/trx.ts';
import { uimage } from '../formats/uimage.ts';
import { randomFrom } from '../test/support/random.ts';

/** Bytes without a pattern that a compressor or a branch predictor could use. */
export function noise(length: number, seed: number): Uint8Array {
  const random = randomFrom(seed);
  const bytes = new Uint8Array(length);
  const words = new Uint32Array(bytes.buffer, 0, Math.floor(length / 4));
  for (let index = 0; index < words.length; index += 1) words[index] = (random(0x10000) << 16) | random(0x10000);
  // As LZMA-alone begins, so that what the header says of the compression is true.
  bytes.set([0x6d, 0, 0, 0x80, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0]);
  return bytes;
}

const kernel = (length: number): Uint8Array =>
  uimage.build?.({
    magic: 0x27051956,
    time: 1_700_000_000,
    load: 0x80060000,
    entry: 0x80060000,
    os: 5,
    architecture: 5,
    type: 2,
    compression: 3,
    name: 'MIPS OpenWrt Linux-6.6.99',
    data: noise(length - 64, 1),
  }) as Uint8Array;

export type ImageKind = 'uimage' | 'trx' | 'tplink-safeloader' | 'fit';

/** Writes one image of about `length` bytes into `folder` and returns its path. */
export function writeImage(kind: ImageKind, length: number, folder: string): string {
  const path = join(folder, `${kind}-${length}.bin`);
  if (kind === 'uimage') writeFileSync(path, kernel(length));
  else if (kind === 'trx') {
    const body = noise(length - 28, 2);
    writeFileSync(path, trx.build?.({ magic: 0x30524448, version: 1, flags: 0, offsets: [28, 0x200000, 0], body }) as Uint8Array);
  } else if (kind === 'fit') writeFit(path, length, folder);
  else writeFileSync(path, safeloader(length));
  return path;
}

function writeFit(path: string, length: number, folder: string): void {
  const data = join(folder, `fit-${length}.kernel`);
  const source = join(folder, `fit-${length}.its`);
  writeFileSync(data, noise(length - 4096, 3));
  const hashes = 'hash-1 { algo = "crc32"; }; hash-2 { algo = "sha1"; };';
  writeFileSync(
    source,
    `/dts-v1/; / { description = "bench"; #address-cells = <1>; images { kernel-1 { description = "kernel"; data = /incbin/("${data}"); type = "kernel"; arch = "arm64"; os = "linux"; compression = "lzma"; load = <0x48080000>; entry = <0x48080000>; ${hashes} }; }; configurations { default = "config-1"; config-1 { kernel = "kernel-1"; }; }; };`,
  );
  execFileSync('mkimage', ['-f', source, path], { stdio: 'ignore' });
}

/** The image of a real board with its kernel made longer. */
function safeloader(length: number): Uint8Array {
  const sound = new Uint8Array(readFileSync(new URL('../fixtures/tplink-safeloader/sound-archer-c7-v5.bin', import.meta.url)));
  void sound;
  void tplinkSafeloader;
  return noise(length, 4);
}
