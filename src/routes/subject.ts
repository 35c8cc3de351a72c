/** One image and one device: what all routes ask of them, worked out once. */
import { finding } from '../core/findings.ts';
import { allLayers } from '../core/layers.ts';
import { sizeOf } from '../core/recipe-step.ts';
import type { Finding, Identity, Inspection, Layer, Range } from '../core/types.ts';
import type { Device, DeviceFacts, DeviceImage, ImageRole } from '../devices/facts.ts';
import { type FormatRoles, type Match, type Misfit, matchShape } from '../recipes/match.ts';
import { type Shape, stepWords } from '../recipes/shape.ts';
import { kernelLimits } from './loader-limits.ts';
import { type ImageMetadata, readMetadata } from './metadata.ts';

/** What is known of the device that stands on the table, beyond its model. */
export interface Running {
  /** What the running system calls itself; its own name if not given. */
  readonly board?: string | undefined;
  /** The compat version of the running system; the device's own if not given. */
  readonly compatVersion?: string | undefined;
  /** It takes signed images only. */
  readonly signedOnly?: boolean | undefined;
  /** The region that the device was sold for: `EU`, `US`. */
  readonly region?: string | undefined;
  /** Version of the vendor's firmware on the device. */
  readonly stockVersion?: string | undefined;
}

/** How well the file fits one of the device's images. */
export interface Fit {
  readonly image: DeviceImage;
  readonly shape: readonly Shape[];
  readonly match: Match;
  /** `unknown`: a step of the recipe is not known, or there is nothing to look for. */
  readonly answer: 'yes' | 'no' | 'unknown';
}

const rank = { yes: 2, unknown: 1, no: 0 };

/** The better fit first. */
export const byFit = (a: Fit, b: Fit): number => rank[b.answer] - rank[a.answer] || b.match.agreements - a.match.agreements;

/** What a device's images look like. */
export interface DeviceShapes {
  readonly images: readonly { readonly image: DeviceImage; readonly shape: readonly Shape[] }[];
  /** Empty if OpenWrt builds no initramfs image for it. */
  readonly initramfs: readonly Shape[];
}

/** What the routes are told of formats and of the engine. */
export interface Context {
  readonly facts: DeviceFacts;
  readonly roles: FormatRoles;
  /** Root layer of a file whose pieces have no header around them. */
  readonly sliceId: string;
  /** Formats whose layers are a kernel, or a container of one. */
  readonly kernels: ReadonlySet<string>;
  readonly rootfs: ReadonlySet<string>;
  readonly archives: ReadonlySet<string>;
  /** What the device's images and its initramfs look like; worked out once. */
  readonly shapesOf: (device: Device) => DeviceShapes;
  /** The profiles that have a board name, old names too. */
  readonly devicesOf: (board: string) => readonly Device[];
}

/** A kernel for a second loader, which has none of the first one's limits. */
const okliMagic = '0x4f4b4c49';

/** The largest LZMA dictionary that a kernel recipe allows, where it is told: the boot loader has no room for more. */
function dictionaryLimit(steps: readonly string[]): number | undefined {
  const bits = steps.map((step) => /^lzma(?:-d| -d)(\d+)$/.exec(step)?.[1]).find((found) => found !== undefined);
  return bits === undefined ? undefined : 2 ** Number(bits);
}

const isMetadataStep = (step: string): boolean => /^append-(\S+-)?metadata$/.test(step);

export function answerOf({ misfits, unknownSteps, agreements }: Match): Fit['answer'] {
  if (misfits.length > 0) return 'no';
  return unknownSteps.length > 0 || agreements === 0 ? 'unknown' : 'yes';
}

/** What is named in an image: the device of a tree, the directory of a tar, the devices in the metadata. */
const namingSources = ['dtb.compatible', 'sysupgrade-tar.board', 'supported_devices'];

/** The length of a member of a sysupgrade tar; `undefined` in other files. */
export function tarMemberLength(root: Layer, part: string): number | undefined {
  if (root.format !== 'sysupgrade-tar') return undefined;
  const name = root.fields.find((field) => field.name.endsWith('].name') && String(field.value).endsWith(`/${part}`))?.name;
  const length = root.fields.find((field) => field.name === name?.replace('].name', '].length'))?.value;
  return length === undefined ? undefined : Number(length);
}

export class Subject {
  readonly inspection: Inspection;
  readonly root: Layer;
  /** Length of the file. */
  readonly length: number;
  /** Its name without folders, if it has one. */
  readonly name: string | undefined;
  readonly device: Device;
  readonly running: Running;
  readonly context: Context;
  /** What sysupgrade reads of it: the last metadata at the end of the file. */
  readonly metadata: ImageMetadata;
  readonly fits: readonly Fit[];
  readonly initramfs: { readonly match: Match; readonly answer: Fit['answer'] } | undefined;

  constructor(inspection: Inspection, length: number, name: string | undefined, device: Device, running: Running, context: Context) {
    this.inspection = inspection;
    this.root = inspection.root;
    this.length = length;
    this.name = name;
    this.device = device;
    this.running = running;
    this.context = context;
    this.metadata = readMetadata(this.root);
    const { images, initramfs } = context.shapesOf(device);
    this.fits = images.map(({ image, shape }) => {
      const match = this.#match(shape);
      return { image, shape, match, answer: answerOf(match) };
    });
    if (initramfs.length > 0) {
      const match = this.#match(initramfs);
      this.initramfs = { match, answer: answerOf(match) };
    }
  }

  #match(shape: readonly Shape[]): Match {
    return matchShape(shape, this.root, this.context.sliceId, this.context.roles);
  }

  get board(): string {
    return this.running.board ?? this.device.boards[0] ?? this.device.profile.replace('_', ',');
  }

  /** The best fit among the device's images with these roles; `undefined` if it has none. */
  best(roles: readonly ImageRole[]): Fit | undefined {
    return this.fits.filter(({ image }) => roles.includes(image.role)).sort(byFit)[0];
  }

  /** The layers that lie in the file one after the other, without what is appended behind them. */
  get pieces(): readonly Layer[] {
    const { trailers, marks } = this.context.roles;
    const pieces = this.root.format === this.context.sliceId ? this.root.children : [this.root];
    return pieces.filter(({ format }) => !trailers.has(format) && !marks.has(format));
  }

  /** How many bytes are written: the file without what is appended for sysupgrade. */
  get imageLength(): number {
    const appended = this.root.children.filter(({ format }) => format === 'fwtool').map(({ offset }) => offset);
    return Math.min(this.length, ...appended);
  }

  /** For findings about the file as a whole. */
  get wholeFile(): Range {
    return { offset: 0, length: this.length };
  }

  /** What is appended for sysupgrade, or where it would stand. */
  get metadataPlace(): Range {
    return { offset: this.imageLength, length: this.length - this.imageLength };
  }

  get hasRootfs(): boolean {
    return allLayers(this.root).some(({ format }) => this.context.rootfs.has(format));
  }

  /** A kernel and nothing to mount: made to be run from RAM, or a part of an image. */
  get isKernelAlone(): boolean {
    return !this.hasRootfs && (this.inspection.kind === 'kernel' || this.inspection.kind === 'initramfs');
  }

  /** The boot loader that the vendor's images for the web page carry, and the firmware behind it. */
  get loaderInside(): { readonly finding: Finding; readonly firmware: Layer } | undefined {
    const finding = this.inspection.findings.find(({ code, layer }) => code === 'bootloader-inside' && layer === this.root.format);
    const firmware = this.root.children.find(({ label }) => label === 'firmware');
    return finding === undefined || firmware === undefined ? undefined : { finding, firmware };
  }

  /** A finding about this image on this device, at a place in the file. */
  finding(...args: Parameters<typeof finding>): Finding {
    return { ...finding(...args), layer: this.root.format };
  }

  /** What is in the file where the device's own image has something else. */
  misfitFinding(misfit: Misfit): Finding {
    const { subject, expected, actual } = misfit;
    const place: Range = { offset: misfit.offset, length: misfit.length };
    const device = this.device.title;
    if (misfit.what === 'field') return this.finding('header-mismatch', place, { field: subject, expected, actual, device });
    return this.finding('layout-mismatch', place, { what: misfit.what === 'layer' ? `What stands here` : subject, expected, actual, device });
  }

  /**
   * Names in the file that belong to other devices: of a device tree, the directory of a sysupgrade tar, in the metadata. Names that nobody has,
   * and device trees that this device shares with the other, say nothing.
   */
  get foreignIdentities(): readonly { readonly identity: Identity; readonly owners: readonly Device[] }[] {
    return namingSources.flatMap((name) => {
      const identities = this.inspection.identities.filter(({ source }) => source === name || source === `fwtool.new_${name}` || source === `fwtool.${name}`);
      const named = identities.map((identity) => ({ identity, owners: this.#owners(identity.value) }));
      const isTree = name === 'dtb.compatible';
      const agrees = ({ identity: { value }, owners }: (typeof named)[number]): boolean => {
        if (isTree && this.#isOtherTree(value, owners)) return false;
        return this.#isOwn(value) || (isTree && this.#sharesTree(owners));
      };
      if (named.some(agrees)) return [];
      return named.filter(({ owners }) => owners.length > 0).slice(0, 1);
    });
  }

  #owners(value: string): readonly Device[] {
    const { devicesOf, facts } = this.context;
    const owners = devicesOf(value);
    if (owners.length > 0) return owners;
    const renamed = devicesOf(value.replace('_', ','));
    // The directory of a sysupgrade tar may have a name of its own.
    return renamed.length > 0 ? renamed : facts.devices.filter(({ boardName }) => boardName === value);
  }

  /** Devices may list each other's names in their metadata; a device tree is for the one that it is named after. */
  #isOtherTree(value: string, owners: readonly Device[]): boolean {
    const { profile, boards, dts } = this.device;
    if (boards[0] === value || dts === undefined) return false;
    return owners.some((other) => other.profile !== profile && other.boards[0] === value && other.dts !== undefined && other.dts !== dts);
  }

  #isOwn(value: string): boolean {
    const { profile, boards, boardName, images } = this.device;
    const own = [profile, boardName, ...boards, ...images.map(({ tarDirectory }) => tarDirectory?.replace('sysupgrade-', ''))];
    return own.includes(value) || own.includes(value.replace('_', ','));
  }

  /** Where the device tree source is not recorded, devices of one target may share one. */
  #sharesTree(owners: readonly Device[]): boolean {
    const { target, dts } = this.device;
    return owners.some((other) => other.target === target && (dts === undefined || other.dts === dts));
  }

  /** The finding for {@link foreignIdentities}. */
  foreignFindings(): Finding[] {
    return this.foreignIdentities.map(({ identity, owners }) => {
      const place = { offset: identity.offset, length: identity.value.length };
      const other = (owners.find(({ boards }) => boards[0] === identity.value) ?? owners[0])?.title ?? identity.value;
      return this.finding('identity-mismatch', place, { source: identity.source, value: identity.value, device: this.device.title, other });
    });
  }

  /** The file is shorter than the flash layout that TP-Link's header names and the image for the vendor's page and loader fills. */
  unpaddedFinding({ image }: Fit): Finding | undefined {
    const { root, device } = this;
    const fills = image.steps.some((step) => /^tplink-v[12]-image/.test(step) && !/ (sysupgrade|-s)\b/.test(step));
    const expected = root.fields.find(({ name }) => name === 'flashLength')?.value;
    if (!fills || !/^tplink-v[12]$/.test(root.format) || typeof expected !== 'number' || this.imageLength >= expected) return undefined;
    const args = { what: 'The length of the image', expected: String(expected), actual: String(this.imageLength), device: device.title };
    return this.finding('layout-mismatch', { offset: 0, length: this.imageLength }, args);
  }

  /** What tells an image for sysupgrade from one for the vendor's page that has the same header. */
  sysupgradeFinding(fit: Fit): Finding | undefined {
    const appended = this.root.children.find(({ format }) => format === 'fwtool');
    const carriesMetadata = ({ image, answer }: Fit): boolean => image.role !== 'sysupgrade' && answer === 'yes' && image.steps.some(isMetadataStep);
    if (appended === undefined || this.fits.some(carriesMetadata)) return this.unpaddedFinding(fit);
    const args = { what: 'What is appended', expected: 'nothing', actual: 'metadata for sysupgrade', device: this.device.title };
    return this.finding('layout-mismatch', { offset: appended.offset, length: appended.length }, args);
  }

  /** The limit that a recipe sets for its image, where nothing is put around it afterwards. */
  limitOf({ image }: Fit): number | undefined {
    const { sizes } = this.device;
    const words = image.steps.map(stepWords);
    const at = words.findLastIndex(([name]) => name === 'check-size');
    if (at < 0) return undefined;
    const after = words.slice(at + 1).map(([name]) => name as string);
    if (!after.every(isMetadataStep)) return undefined;
    const given = words[at]?.[1];
    return given === undefined ? sizes.image : sizeOf(given);
  }

  /** What is too big for this device, if the file is taken for one of its images. */
  sizeFindings(fit: Fit): Finding[] {
    const findings: Finding[] = [];
    const limit = this.limitOf(fit);
    if (limit !== undefined && this.imageLength > limit) {
      const args = { length: this.imageLength, limit, where: 'the firmware partition' };
      findings.push(this.finding('image-too-big', { offset: limit, length: this.imageLength - limit }, args));
    }
    findings.push(...this.#headerSizeFindings(), ...this.kernelFindings(this.device.kernel));
    return findings;
  }

  /** TP-Link's images, of which no recipe says a limit: what lies in flash is the file itself, or what a SafeLoader file holds. */
  #headerSizeFindings(): Finding[] {
    const { image: limit } = this.device.sizes;
    const { format } = this.root;
    const place = { offset: 0, length: this.imageLength };
    if (limit === undefined || !format.startsWith('tplink-')) return [];
    const sizes = this.root.fields.filter(({ name }) => /^partition\.(os-image|file-system|firmware)$/.test(name));
    const sizeOf = (value: unknown): number => Number(/size (0x[0-9a-f]+)/.exec(String(value))?.[1] ?? 0);
    const length = format === 'tplink-safeloader' ? sizes.reduce((sum, { value }) => sum + sizeOf(value), 0) : this.imageLength;
    return length <= limit ? [] : [this.finding('image-too-big', place, { length, limit, where: 'the firmware partition' })];
  }

  /** What the boot loader cannot take of the kernel, however it came into flash or RAM. */
  kernelFindings(steps: readonly string[]): Finding[] {
    const findings: Finding[] = [];
    const { kernel, device } = this;
    const { kernel: room } = device.sizes;
    const length = tarMemberLength(this.root, 'kernel') ?? kernel?.length ?? 0;
    if (kernel !== undefined && room !== undefined && device.flags['KERNEL_IN_UBI'] !== '1' && length > room) {
      findings.push(this.finding('kernel-too-big', kernel, { length, limit: room, where: 'the kernel partition' }));
    }
    const limit = kernelLimits[device.profile];
    const isOkli = kernel?.fields.some(({ name, value }) => name === 'magic' && value === okliMagic) === true;
    if (kernel !== undefined && limit !== undefined && !isOkli && kernel.length > limit.limit) {
      findings.push(this.finding('kernel-too-big', kernel, { length: kernel.length, limit: limit.limit, where: `the boot loader (${limit.source})` }));
    }
    const packed = allLayers(this.root).find(({ format, label }) => format === 'lzma' && label === 'kernel');
    const dictionary = packed?.fields.find(({ name }) => name === 'dictionaryLength');
    const largest = dictionaryLimit(steps);
    if (packed !== undefined && dictionary !== undefined && largest !== undefined && Number(dictionary.value) > largest) {
      const place = { offset: dictionary.offset, length: dictionary.length };
      findings.push(this.finding('dictionary-too-big', place, { length: Number(dictionary.value), limit: largest }));
    }
    return findings;
  }

  /** The kernel's container in the file, as far as its length is known. */
  get kernel(): Layer | undefined {
    const [first] = this.pieces;
    if (first !== undefined && this.context.kernels.has(first.format)) return first;
    const labelled = allLayers(this.root).filter(({ label }) => label === 'kernel' || label === 'os-image');
    return labelled.find(({ format }) => this.context.kernels.has(format)) ?? labelled[0];
  }
}
