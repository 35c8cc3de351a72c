/**
 * owimg as a library: reads router firmware images, in Node and in browsers.
 *
 * @example
 * ```ts
 * import { readFile } from 'node:fs/promises';
 * import { inspect } from 'owimg';
 *
 * const { format, kind, status } = await inspect(await readFile('fixtures/fwtool/sound-metadata.bin'));
 * console.log(`${format}: ${kind}, ${status}`); // → flash-slice: sysupgrade, sound
 * ```
 */
import { formats } from '../formats/index.ts';
import type { Checked } from './check.ts';
import type { Conversion, ConvertRequest, Proof } from './convert.ts';
import type { Inspection } from './core/types.ts';
import { type InspectOptions, inspectWith } from './inspect.ts';
import type { Running } from './routes/subject.ts';

/**
 * Reads an image: its layers, every checksum, the devices it is for, and which bytes are protected by what.
 *
 * Never throws for damaged or hostile bytes: what is wrong with them is in `findings`.
 *
 * @param bytes the whole file; a Buffer will do
 *
 * @example What is wrong, where, and what to do
 * ```ts
 * import { readFile } from 'node:fs/promises';
 * import { inspect } from 'owimg';
 *
 * const { status, findings } = await inspect(await readFile('fixtures/uimage/data-checksum-mismatch--kernel.bin'));
 * console.log(status); // → broken
 * for (const { severity, code, layer, offset, message, hint } of findings) {
 *   console.log(`${severity} ${code} in ${layer} at ${offset}`);
 *   // → error data-checksum-mismatch in uimage at 24
 *   console.log(message);
 *   // → The checksum over the data is wrong: data-crc (crc32) should be 0x2254c1f9 but the bytes give 0x54871bd0
 *   console.log(hint?.split('. ')[0]);
 *   // → The data is damaged or incomplete; a boot loader that checks it will not boot it
 * }
 * ```
 *
 * @example The devices that a file names
 * ```ts
 * import { readFile } from 'node:fs/promises';
 * import { inspect } from 'owimg';
 *
 * const { identities } = await inspect(await readFile('fixtures/fwtool/sound-metadata.bin'));
 * for (const { source, value } of identities) console.log(`${source}: ${value}`);
 * // → fwtool.supported_devices: vendor,golden-v1
 * // → fwtool.supported_devices: golden-v1
 * // → fwtool.board: vendor_golden-v1
 * ```
 *
 * @example All layers
 * ```ts
 * import { readFile } from 'node:fs/promises';
 * import { inspect, type Layer } from 'owimg';
 *
 * function show(layer: Layer, depth = 0): void {
 *   // What does not lie in the file as such has offsets of its own.
 *   const place = layer.source === undefined ? `at ${layer.offset}` : `${layer.source.how}, at ${layer.offset} there`;
 *   console.log(`${'- '.repeat(depth)}${layer.format}, ${layer.length} bytes ${place}`);
 *   for (const child of layer.children) show(child, depth + 1);
 * }
 *
 * const { root } = await inspect(await readFile('fixtures/ubi/sound-16k-blocks.ubi'));
 * show(root);
 * // → ubi, 65536 bytes at 0
 * // → - uimage, 13359 bytes gathered, at 0 there
 * // → - - lzma, 13295 bytes at 64
 * // → - squashfs, 5762 bytes gathered, at 0 there
 * ```
 *
 * @example Kernels unpacked too, for the device trees in them
 * ```ts
 * import { readFile } from 'node:fs/promises';
 * import { inspect } from 'owimg';
 *
 * const image = await readFile('fixtures/uimage/sound-asus-trx2.bin');
 * for (const deep of [false, true]) {
 *   const { identities } = await inspect(image, { deep });
 *   console.log(deep, identities.map(({ value }) => value).join(' | '));
 * }
 * // → false RT-AX53U
 * // → true ASUS RT-AX53U | asus,rt-ax53u | RT-AX53U
 * ```
 *
 * @example One field, and which checks passed
 * ```ts
 * import { readFile } from 'node:fs/promises';
 * import { inspect } from 'owimg';
 *
 * const { root } = await inspect(await readFile('fixtures/uimage/sound-lzma.bin'));
 * console.log(root.fields.find(({ name }) => name === 'load')?.value); // → 0x80060000
 * for (const { name, ok } of root.checks) console.log(name, ok);
 * // → header-crc true
 * // → data-crc true
 * ```
 *
 * @example In a browser, with `<input type="file">`: nothing leaves the page
 * ```ts
 * import { inspect } from 'owimg';
 *
 * const input = document.querySelector<HTMLInputElement>('input[type=file]');
 * input?.addEventListener('change', async () => {
 *   const file = input.files?.[0];
 *   if (file === undefined) return;
 *   const { kind, status } = await inspect(new Uint8Array(await file.arrayBuffer()), { name: file.name });
 *   console.log(`${file.name}: ${kind}, ${status}`); // → factory.trx: factory, sound
 * });
 * ```
 */
export function inspect(bytes: Uint8Array, options: InspectOptions = {}): Promise<Inspection> {
  return inspectWith(formats, bytes, options);
}

export interface CheckRequest {
  /** Profile, board name or title; found by the names in the image if not given. */
  readonly device?: string;
  /** What is known of the running system. */
  readonly running?: Running;
  /** The file's name, without folders. */
  readonly name?: string;
}

export interface CheckAnswer extends Checked {
  readonly inspection: Inspection;
}

/**
 * What each way of flashing would do with the image on a device. Loads the device facts (a quarter of a megabyte) when it is first called.
 *
 * @param bytes the whole file
 * @throws OwimgError `device-unknown`, `device-ambiguous`
 *
 * @example In Node
 * ```ts
 * import { readFile } from 'node:fs/promises';
 * import { check } from 'owimg';
 *
 * const image = await readFile('fixtures/tplink-safeloader/sound-archer-c7-v5.bin');
 * const { verdicts } = await check(image, { device: 'TP-Link Archer C7 v5' });
 *
 * for (const { route, outcome } of verdicts) console.log(route, outcome);
 * // → stock installs
 * // → sysupgrade refused
 * // → mtd bricks
 * // → tftp installs
 * // → ram not-applicable
 * // → disk not-applicable
 * ```
 */
export async function check(bytes: Uint8Array, { device: wanted, running, name }: CheckRequest = {}): Promise<CheckAnswer> {
  const [{ checkContext, checkWith }, { requireDevice }, { loadDeviceFacts }] = await Promise.all([
    import('./check.ts'),
    import('./devices/lookup.ts'),
    import('./devices/load.ts'),
  ]);
  const facts = await loadDeviceFacts();
  const device = wanted === undefined ? undefined : requireDevice(facts, wanted);
  const inspection = await inspect(bytes, { deep: true, ...(name === undefined ? {} : { name }) });
  return { inspection, ...checkWith(inspection, bytes.length, checkContext(formats, facts), { device, running, name }) };
}

export interface ConvertOptions extends Omit<ConvertRequest, 'device' | 'accept'> {
  /** Profile, board name or title; the only one that the image names if not given. */
  readonly device?: string;
}

export interface ConvertAnswer extends Conversion {
  /** What was found when the result was read again. */
  readonly proof: Proof;
}

/**
 * Makes a factory image of one for sysupgrade, or the other way, and proves it. Loads the device facts when it is first called.
 *
 * @param bytes the whole file
 * @throws OwimgError with nothing done: `input-refused` (broken, or for another device), `image-ambiguous`, `part-missing`,
 *   `step-unknown`, `conversion-impossible`, `device-unknown`, `device-ambiguous`
 *
 * @example In Node
 * ```ts
 * import { readFile } from 'node:fs/promises';
 * import { convert } from 'owimg';
 *
 * const sysupgrade = await readFile('test/images/netgear_ex6120-sysupgrade.bin.gz');
 * const { image, device, to, proof } = await convert(sysupgrade, { to: 'factory' });
 *
 * console.log(`${to.name} of ${device.title}: ${image.length} bytes`); // → factory.chk of NETGEAR EX6120: 65598 bytes
 * console.log(proof.verdict.route, proof.verdict.outcome); // → stock installs
 * ```
 */
export async function convert(bytes: Uint8Array, { device, ...request }: ConvertOptions): Promise<ConvertAnswer> {
  const [{ checkContext }, { convertWith, proveConversion }, { requireDevice }, { loadDeviceFacts }] = await Promise.all([
    import('./check.ts'),
    import('./convert.ts'),
    import('./devices/lookup.ts'),
    import('./devices/load.ts'),
  ]);
  const facts = await loadDeviceFacts();
  const context = checkContext(formats, facts);
  const conversion = await convertWith(bytes, formats, context, { ...request, device: device === undefined ? undefined : requireDevice(facts, device) });
  return { ...conversion, proof: await proveConversion(conversion.image, conversion, formats, context) };
}

export { formats } from '../formats/index.ts';
export type { Checked } from './check.ts';
export type { Conversion, Direction, Proof, UsedValue } from './convert.ts';
export { type ErrorCode, OwimgError } from './core/errors.ts';
export { type FindingCode, findingKinds } from './core/findings.ts';
export type { AnyFormat, Format, Reading, Reference } from './core/format.ts';
export { defaultLimits, type Limits } from './core/limits.ts';
export type { Check, Coverage, Field, Finding, Identity, Inspection, Kind, Layer, Range, Region, Severity, Source, Status } from './core/types.ts';
export type { Device, DeviceImage, Recovery } from './devices/facts.ts';
export { type InspectOptions, inspectWith } from './inspect.ts';
export type { Running } from './routes/subject.ts';
export type { FirmwareValidation } from './routes/sysupgrade.ts';
export type { Outcome, Route, Verdict } from './routes/verdict.ts';
