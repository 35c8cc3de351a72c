/** Images of real devices, and what is done to them on the way to an incident. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { fwtool } from '../../formats/fwtool.ts';
import type { Format, Reading } from '../../src/core/format.ts';
import { Budget } from '../../src/core/limits.ts';

const folder = fileURLToPath(new URL('../images/', import.meta.url));

/** `tplink_archer-c7-v5-factory.bin` ... */
export const imageNames: readonly string[] = readdirSync(folder)
  .filter((file) => file.endsWith('.gz'))
  .map((file) => file.slice(0, -'.gz'.length));

/** An image by its name without the last `.gz`. */
export const loadImage = (name: string): Uint8Array => new Uint8Array(gunzipSync(readFileSync(`${folder}${name}.gz`)));

export function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let position = 0;
  for (const part of parts) {
    bytes.set(part, position);
    position += part.length;
  }
  return bytes;
}

export interface Metadata {
  readonly compat_version?: string;
  readonly compat_message?: string;
  readonly supported_devices?: readonly string[];
  readonly new_supported_devices?: readonly string[];
}

const metadataType = 1;

/** The image without what is appended for sysupgrade. */
export function withoutMetadata(image: Uint8Array): Uint8Array {
  const start = fwtool.locate?.(image) ?? -1;
  return start < 0 ? image : image.slice(0, start);
}

/** The image with this metadata in place of what it has, under a checksum that is right. */
export function withMetadata(image: Uint8Array, metadata: Metadata): Uint8Array {
  const bare = withoutMetadata(image);
  const json = new TextEncoder().encode(`${JSON.stringify(metadata)}\n`);
  // In front of the JSON stand a version and flags, both 0.
  return joined(bare, fwtool.build?.({ image: bare, chunks: [{ type: metadataType, data: joined(new Uint8Array(8), json) }] }) as Uint8Array);
}

/** What a format's builder makes of the values that stand at `offset` once they are changed, with all around it as it was. */
export function rebuilt<Input>(format: Format<Input>, image: Uint8Array, change: (input: Input) => Partial<Input>, offset = 0): Uint8Array {
  const window = image.subarray(offset);
  const reading = format.parse(window, { unpack: false, deep: false, budget: new Budget() }) as Reading<Input>;
  const input = reading.input?.() as Input;
  const built = format.build?.({ ...input, ...change(input) }) as Uint8Array;
  return joined(image.subarray(0, offset), built, window.subarray(reading.length));
}

/** Bytes of erased flash. */
export const erased = (length: number): Uint8Array => new Uint8Array(length).fill(0xff);
