/** One image and one device: what all routes ask of them, worked out once. */
import { finding } from '../core/findings.ts';
import type { Finding, Identity, Inspection, Layer, Range } from '../core/types.ts';
import type { Device, DeviceFacts, DeviceImage, ImageRole } from '../devices/facts.ts';
import { type FormatRoles, type Match, type Misfit, matchShape } from '../recipes/match.ts';
import { type Shape, stepNumber, stepWords } from '../recipes/shape.ts';
import { type ImageMetadata, readMetadata } from './metadata.ts';

/** What is known of the device that stands on the table, beyond its model. */
export interface Running {
  /** What the running system calls itself; its own name if not given. */
  readonly board?: string | undefined;
  /** The compat version of the running system; the device's own if not given. */
  readonly compatVersion?: string | undefined;
  /** It takes signed images only. */
  readonly signedOnly?: boolean | undefined;
}

/** How well the file fits one of the device's images. */
export interface Fit {
  readonly image: DeviceImage;
  readonly shape: readonly Shape[];
  readonly match: Match;
  /** `unknown`: a step of the recipe is not known, or there is nothing to look for. */
  readonly answer: 'yes' | 'no' | 'unknown';
}

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

export function answerOf({ misfits, unknownSteps, agreements }: Match): Fit['answer'] {
  if (misfits.length > 0) return 'no';
  return unknownSteps.length > 0 || agreements === 0 ? 'unknown' : 'yes';
}

/** What is named in an image: the device of a tree, the directory of a tar, the devices in the metadata. */
const namingSources = ['dtb.compatible', 'sysupgrade-tar.board', 'supported_devices'];

export function allLayers(layer: Layer): Layer[] {
  return [layer, ...layer.children.flatMap(allLayers)];
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
    this.root = inspection.root as Layer;
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
    const rank = { yes: 2, unknown: 1, no: 0 };
    const fits = this.fits.filter(({ image }) => roles.includes(image.role));
    return [...fits].sort((a, b) => rank[b.answer] - rank[a.answer] || b.match.agreements - a.match.agreements)[0];
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

  get hasRootfs(): boolean {
    return allLayers(this.root).some(({ format }) => this.context.rootfs.has(format));
  }

  /** A kernel and nothing to mount: made to be run from RAM, or a part of an image. */
  get isKernelAlone(): boolean {
    return !this.hasRootfs && (this.inspection.kind === 'kernel' || this.inspection.kind === 'initramfs');
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
      if (named.some(({ identity, owners }) => this.#isOwn(identity.value) || (name === 'dtb.compatible' && this.#sharesTree(owners)))) return [];
      return named.filter(({ owners }) => owners.length > 0).slice(0, 1);
    });
  }

  #owners(value: string): readonly Device[] {
    const { devicesOf } = this.context;
    const owners = devicesOf(value);
    return owners.length > 0 ? owners : devicesOf(value.replace('_', ','));
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
      const other = owners[0]?.title ?? identity.value;
      return this.finding('identity-mismatch', place, { source: identity.source, value: identity.value, device: this.device.title, other });
    });
  }

  /** The limit that a recipe sets for its image, where nothing is put around it afterwards. */
  limitOf({ image }: Fit): number | undefined {
    const { sizes } = this.device;
    const words = image.steps.map(stepWords);
    const at = words.findLastIndex(([name]) => name === 'check-size');
    if (at < 0) return undefined;
    const after = words.slice(at + 1).map(([name]) => name as string);
    if (after.some((name) => !name.startsWith('append-') || !name.endsWith('metadata'))) return undefined;
    const given = words[at]?.[1];
    return given === undefined ? sizes.image : stepNumber(given);
  }

  /** What is too big for this device, if the file is taken for one of its images. */
  sizeFindings(fit: Fit): Finding[] {
    const findings: Finding[] = [];
    const limit = this.limitOf(fit);
    if (limit !== undefined && this.imageLength > limit) {
      const args = { length: this.imageLength, limit, where: 'the firmware partition' };
      findings.push(this.finding('image-too-big', { offset: limit, length: this.imageLength - limit }, args));
    }
    const kernel = this.kernel;
    const { kernel: room } = this.device.sizes;
    if (kernel !== undefined && room !== undefined && this.device.flags['KERNEL_IN_UBI'] !== '1' && kernel.length > room) {
      findings.push(this.finding('kernel-too-big', kernel, { length: kernel.length, limit: room, where: 'the kernel partition' }));
    }
    return findings;
  }

  /** The kernel's container in the file, as far as its length is known. */
  get kernel(): Layer | undefined {
    const labelled = allLayers(this.root).find(({ label }) => label === 'kernel');
    const first = this.pieces[0];
    return labelled ?? (first !== undefined && this.context.kernels.has(first.format) ? first : undefined);
  }
}
