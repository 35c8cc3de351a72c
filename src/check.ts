/**
 * The pre-flash guard: what each way of flashing would do with an image on a device. Decides from the image's layers, the
 * device's recipes and the rules in `routes/`; the image's own metadata alone never suffices.
 */

import type { AnyFormat } from './core/format.ts';
import { allLayers } from './core/layers.ts';
import type { Identity, Inspection, Layer } from './core/types.ts';
import type { Device, DeviceFacts } from './devices/facts.ts';
import { devicesByIdentity } from './devices/lookup.ts';
import { sliceId } from './inspect.ts';
import { imageShape, initramfsShape, type Shape } from './recipes/shape.ts';
import { diskVerdict } from './routes/disk.ts';
import { mtdVerdict } from './routes/mtd.ts';
import { ramVerdict } from './routes/ram.ts';
import { stockVerdict } from './routes/stock.ts';
import { type Context, type DeviceShapes, type Running, Subject } from './routes/subject.ts';
import { type FirmwareValidation, replay, sysupgradeVerdict } from './routes/sysupgrade.ts';
import { tftpVerdict } from './routes/tftp.ts';
import { type Route, routes, type Verdict } from './routes/verdict.ts';

export interface CheckOptions {
  /** The device on the table; found by the identities in the file if not given. */
  readonly device?: Device | undefined;
  readonly running?: Running | undefined;
  /** The file's name, without folders. */
  readonly name?: string | undefined;
}

export interface Checked {
  /** The device asked for, or the only one that the file is for. */
  readonly device: Device | null;
  /** The devices that verdicts are given for; more than one where the file is for several. */
  readonly candidates: readonly Device[];
  /** Of each device one for each route. */
  readonly verdicts: readonly Verdict[];
  /** What a running OpenWrt on the device would print; `null` without a device. */
  readonly validation: FirmwareValidation | null;
}

/** The verdicts are given for so many devices that a file without `--device` may be for. */
const fewDevices = 4;

const verdictOf: Readonly<Record<Route, (subject: Subject) => Verdict>> = {
  stock: stockVerdict,
  sysupgrade: sysupgradeVerdict,
  mtd: mtdVerdict,
  tftp: tftpVerdict,
  ram: ramVerdict,
  disk: diskVerdict,
};

const idsOf = (formats: readonly AnyFormat[], wanted: (format: AnyFormat) => boolean): ReadonlySet<string> =>
  new Set(formats.filter(wanted).map(({ id }) => id));

/** Formats that are read up to whatever comes next, or whose length says nothing about where the next one begins. */
const openFormats: ReadonlySet<string> = new Set(['elf', 'jffs2', 'linux-image', 'ubi', 'zimage']);

/** What the routes must know beyond the image: the facts, and what the formats are. Made once for many images. */
export function checkContext(formats: readonly AnyFormat[], facts: DeviceFacts): Context {
  const shapes = new Map<Device, DeviceShapes>();
  return {
    facts,
    sliceId,
    roles: {
      trailers: idsOf(formats, ({ role }) => role === 'trailer' || role === 'footer'),
      disks: idsOf(formats, ({ role }) => role === 'disk'),
      marks: idsOf(formats, ({ role, id }) => role === 'mark' || id === 'safeloader-record'),
      open: idsOf(formats, ({ role, id }) => role === 'compressed' || openFormats.has(id)),
    },
    kernels: idsOf(formats, ({ role }) => role === 'kernel'),
    rootfs: idsOf(formats, ({ role }) => role === 'rootfs'),
    archives: idsOf(formats, ({ role }) => role === 'archive'),
    shapesOf: (device) => {
      const known = shapes.get(device);
      if (known !== undefined) return known;
      const { safeloaderBoards } = facts;
      const images = device.images.map((image) => ({ image, shape: imageShape(device, image, safeloaderBoards) }));
      const made = { images, initramfs: initramfsShape(device, safeloaderBoards) };
      shapes.set(device, made);
      return made;
    },
    devicesOf: (board) => devicesByIdentity(facts, board),
  };
}

/** The sources of identities that are names of OpenWrt's devices, the most telling first. */
const namingSources: readonly string[] = ['fwtool.new_supported_devices', 'fwtool.supported_devices', 'fwtool.board', 'sysupgrade-tar.board', 'dtb.compatible'];

/** The devices that the file says it is for. */
function devicesFor(identities: readonly Identity[], context: Context): readonly Device[] {
  for (const source of namingSources) {
    const named = identities.filter((identity) => identity.source === source).map(({ value }) => value);
    const devices = new Set(named.flatMap((value) => [...context.devicesOf(value), ...context.devicesOf(value.replace('_', ','))]));
    // The first name is the device's own, the others are older ones that several devices may share.
    const own = [...devices].filter((device) => named.includes(device.boards[0] ?? '') || named.includes(device.profile));
    if (own.length > 0) return own;
    if (devices.size > 0) return [...devices];
  }
  return [];
}

/** The devices whose recipe gives just these header values, for files that name no board. */
function devicesByHeader(inspection: Inspection, length: number, context: Context): readonly Device[] {
  const present = new Set(allLayers(inspection.root).map(({ format }) => format));
  const couldBe = (shape: readonly Shape[]): boolean => shape.some((entry) => entry.what === 'layer' && entry.identifies === true && present.has(entry.format));
  return context.facts.devices.filter((device) => {
    if (!context.shapesOf(device).images.some(({ shape }) => couldBe(shape))) return false;
    const { fits } = new Subject(inspection, length, undefined, device, {}, context);
    return fits.some(({ answer, shape }) => answer === 'yes' && couldBe(shape));
  });
}

/** Gives the verdicts for an inspected image. Pure; never throws for what is in the image. */
export function checkWith(inspection: Inspection, length: number, context: Context, options: CheckOptions = {}): Checked {
  const none: Checked = { device: null, candidates: [], verdicts: [], validation: null };
  let candidates: readonly Device[] = options.device === undefined ? devicesFor(inspection.identities, context) : [options.device];
  if (candidates.length === 0 && inspection.status !== 'unknown') candidates = devicesByHeader(inspection, length, context);
  if (candidates.length === 0 || candidates.length > fewDevices) return { ...none, candidates };
  const subjects = candidates.map((device) => new Subject(inspection, length, options.name, device, options.running ?? {}, context));
  const [only] = subjects;
  return {
    device: subjects.length === 1 ? (only as Subject).device : null,
    candidates,
    verdicts: subjects.flatMap((subject) => routes.map((route) => verdictOf[route](subject))),
    validation: subjects.length === 1 ? replay(only as Subject).validation : null,
  };
}
