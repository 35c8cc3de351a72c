/**
 * What an image made by a recipe looks like: which layers it has, in which order, at which offsets, and which values
 * must stand in them. Made from a recipe's steps, without any bytes.
 */
import { sizeOf } from '../core/recipe-step.ts';
import type { FieldValue } from '../core/types.ts';
import type { Device, DeviceImage, SafeloaderBoard } from '../devices/facts.ts';
import { diskSteps, kernelCodeSteps, layerSteps, type StepUse, skippedSteps } from './steps.ts';

/** A layer of some format; `fields` are values that must stand in it. */
export interface LayerShape {
  readonly what: 'layer';
  readonly format: string;
  readonly fields: Readonly<Record<string, FieldValue>>;
  readonly inside: readonly Shape[];
  /** What it holds are parts with names (files, volumes), not bytes one after the other. */
  readonly parts?: true;
  /** Its values are the ids of one device, or of a few. */
  readonly identifies?: true;
  /** The step that made it. */
  readonly step: string;
}

/** A layer appended behind all others, found from the end. */
export interface TrailerShape {
  readonly what: 'trailer';
  readonly format: string;
  readonly fields: Readonly<Record<string, FieldValue>>;
  readonly step: string;
}

export interface RootfsShape {
  readonly what: 'rootfs';
  /** `squashfs`, `ext4`, `ubifs` ... */
  readonly fs: string;
}

/** A partition table and its partitions. */
export interface DiskShape {
  readonly what: 'disk';
}

/** Bytes of which the recipe says nothing that could be looked for: a kernel's own code, a boot loader. */
export interface DataShape {
  readonly what: 'data';
  readonly label: string;
}

/** A step that owimg does not know; what it did to the bytes is open. */
export interface UnknownShape {
  readonly what: 'unknown';
  readonly step: string;
}

/** Filler: what follows begins at the next multiple of `unit` less `before`, or `extra` bytes on, or `at` bytes from the start. */
export type GapShape = { readonly what: 'gap' } & ({ readonly unit: number; readonly before: number } | { readonly extra: number } | { readonly at: number });

export type Shape = LayerShape | TrailerShape | RootfsShape | DiskShape | DataShape | UnknownShape | GapShape;

/** Cuts a step into its words; quoted words stay together and lose their quotes. */
export function stepWords(step: string): string[] {
  return [...step.matchAll(/"([^"]*)"|(\S+)/g)].map((match) => match[1] ?? (match[2] as string));
}

/** Steps in front of the compression change the kernel's own bytes, which nobody can look for. */
const onlyData = (shapes: readonly Shape[]): boolean => shapes.every(({ what }) => what === 'data');

type Boards = readonly SafeloaderBoard[];

class Folding {
  readonly #device: Device;
  readonly #boards: Boards;
  readonly #image: DeviceImage | undefined;
  readonly #board: SafeloaderBoard | undefined;

  /** @param image `undefined` for a kernel or an initramfs alone */
  constructor(device: Device, boards: Boards, image?: DeviceImage) {
    this.#device = device;
    this.#boards = boards;
    this.#image = image;
    this.#board = boards.find(({ id }) => id === device.variables['TPLINK_BOARD_ID']);
  }

  fold(steps: readonly string[]): readonly Shape[] {
    return steps.reduce<readonly Shape[]>((shapes, step) => this.#step(shapes, step), []);
  }

  #kernelShapes(): readonly Shape[] {
    return new Folding(this.#device, this.#boards).fold(this.#device.kernel);
  }

  #rootfs(): Shape {
    return { what: 'rootfs', fs: this.#image?.fs ?? 'squashfs' };
  }

  #step(shapes: readonly Shape[], step: string): readonly Shape[] {
    const [name, ...words] = stepWords(step) as [string, ...string[]];
    // What is written into the partitions of a disk is not looked for.
    if (shapes[0]?.what === 'disk' && !layerSteps[name]?.format.endsWith('zip')) return shapes;
    switch (name) {
      case 'kernel-bin':
        return [...shapes, { what: 'data', label: 'kernel' }];
      case 'append-kernel':
        return [...shapes, ...this.#kernelShapes()];
      case 'append-rootfs':
        return [...shapes, this.#rootfs()];
      case 'append-ubi':
        return [...shapes, this.#ubi(step)];
      case 'append-uImage-fakehdr':
        return [...shapes, { what: 'layer', format: 'uimage', fields: {}, inside: [], step }];
      case 'prepend-dtb-uImage':
        // The tree in a uImage of its own. The padding behind the kernel was counted without it: where the next thing begins is left open.
        return [
          { what: 'layer', format: 'uimage', fields: {}, inside: [{ what: 'layer', format: 'dtb', fields: {}, inside: [], step }], step },
          ...shapes.map((shape): Shape => (shape.what === 'gap' ? { what: 'data', label: 'padding' } : shape)),
        ];
      case 'append-avm-fakeroot':
        return [...shapes, { what: 'layer', format: 'squashfs', fields: {}, inside: [], step }, { what: 'gap', unit: 256, before: 0 }];
      case 'append-squashfs-fakeroot-be':
      case 'append-squashfs4-fakeroot':
        return [...shapes, { what: 'layer', format: 'squashfs', fields: {}, inside: [], step }];
      case 'append-dtb':
        return shapes.length > 0 && onlyData(shapes) ? shapes : [...shapes, { what: 'layer', format: 'dtb', fields: {}, inside: [], step }];
      case 'pad-to':
        return [...shapes, gap(words[0], '0', step)];
      case 'pad-offset':
        return [...shapes, gap(words[0], words[1], step)];
      case 'pad-extra':
        return [...shapes, { what: 'gap', extra: sizeOf(words[0] ?? '') }];
      case 'at91-sdcard':
        return [{ what: 'layer', format: 'gzip', fields: {}, inside: [{ what: 'disk' }], step }];
      case 'append-image-stage':
        return [...shapes, ...(words[0]?.startsWith('initramfs') === true ? this.#initramfs() : [{ what: 'unknown' as const, step }])];
    }
    if (skippedSteps.has(name)) return shapes;
    if (diskSteps.has(name)) return [{ what: 'disk' }];
    if (name === 'loader-kernel' || name === 'loader-okli') return [this.#loader(step), ...(name === 'loader-okli' ? shapes : [])];
    if (kernelCodeSteps.has(name)) return [{ what: 'data', label: 'kernel' }];
    const known = layerSteps[name];
    if (known === undefined) return [{ what: 'unknown', step }];
    const command = (tool: string): readonly string[] => this.#image?.commands?.find(([first]) => first === tool) ?? [];
    const use: StepUse = { words, device: this.#device, board: this.#board, command };
    const { format, takes, trailer } = known;
    const fields = defined(known.fields?.(use) ?? {});
    const wrapped = shapes[0];
    if (known.uimage === true && wrapped?.what === 'layer' && wrapped.format === 'uimage') return [{ ...wrapped, fields: { ...wrapped.fields, ...fields } }];
    if (trailer === true && wrapped?.what === 'unknown') return shapes;
    if (trailer === true) return [...shapes, { what: 'trailer', format, fields, step }];
    if (known.slice?.(use) === true) return this.#safeloaderSlice();
    const inside = takes === 'nothing' ? [] : takes === 'image' ? shapes : this.#parts(shapes, words, takes);
    const filler = takes === 'kernel-and-rootfs' && shapes.every(({ what }) => what === 'gap') ? shapes : [];
    return [
      ...filler,
      {
        what: 'layer',
        format,
        fields,
        inside,
        step,
        ...(known.parts === true ? { parts: true } : {}),
        ...(known.identifies === true ? { identifies: true } : {}),
      },
    ];
  }

  /** Kernel and root file system, one of which may be what was made so far. */
  #parts(shapes: readonly Shape[], words: readonly string[], takes: 'kernel-and-rootfs' | 'kernel-and-image'): readonly Shape[] {
    if (takes === 'kernel-and-image') return [...this.#kernelShapes(), ...shapes];
    const made = (word: string): boolean => words.some((entry) => entry.startsWith(`${word}=`));
    const from = (word: string, usual: readonly Shape[]): readonly Shape[] => {
      if (!made(word)) return usual;
      return words.includes(`${word}=@OUT@`) ? shapes : [{ what: 'data', label: word }];
    };
    return [...from('kernel', this.#kernelShapes()), ...from('rootfs', [this.#rootfs()])];
  }

  /** A loader of OpenWrt's own: an ELF or packed where the boot loader wants that, else code without a header. */
  #loader(step: string): Shape {
    const format = { elf: 'elf', gz: 'gzip' }[this.#device.variables['LOADER_TYPE'] ?? ''];
    return format === undefined ? { what: 'data', label: 'loader' } : { what: 'layer', format, fields: {}, inside: [], step };
  }

  /** Kernel and root file system as they lie in flash: the board's table says where, or only that both are in one partition. */
  #safeloaderSlice(): readonly Shape[] {
    const offsetOf = (name: string): number | undefined => this.#board?.partitions.find((entry) => entry.name === name)?.offset;
    const names = this.#board?.partitionNames ?? {};
    const [kernel, rootfs] = [offsetOf(names['os-image'] ?? 'os-image'), offsetOf(names['file-system'] ?? 'file-system')];
    const between: Shape[] = kernel === undefined || rootfs === undefined ? [] : [{ what: 'gap', at: rootfs - kernel }];
    return [...this.#kernelShapes(), ...between, this.#rootfs()];
  }

  #initramfs(): readonly Shape[] {
    return new Folding(this.#device, this.#boards).fold(this.#device.initramfs);
  }

  #ubi(step: string): Shape {
    const { flags, sizes } = this.#device;
    const kernel = flags['KERNEL_IN_UBI'] === '1' ? this.#kernelShapes() : [];
    const fields = defined({ pebLength: sizes.block, vidHeaderOffset: sizes.vidHeaderOffset ?? sizes.subpage ?? sizes.page });
    return { what: 'layer', format: 'ubi', fields, inside: [...kernel, this.#rootfs()], parts: true, step };
  }
}

function gap(unit: string | undefined, before: string | undefined, step: string): Shape {
  const shape: Shape = { what: 'gap', unit: sizeOf(unit ?? ''), before: sizeOf(before ?? '') };
  return Number.isNaN(shape.unit + shape.before) ? { what: 'unknown', step } : shape;
}

function defined(fields: Readonly<Record<string, FieldValue | undefined>>): Record<string, FieldValue> {
  return Object.fromEntries(Object.entries(fields).filter((entry): entry is [string, FieldValue] => entry[1] !== undefined));
}

/** What this image of this device looks like. */
export function imageShape(device: Device, image: DeviceImage, boards: Boards): readonly Shape[] {
  return new Folding(device, boards, image).fold(image.steps);
}

/** What the device's initramfs image looks like; empty if OpenWrt builds none. */
export function initramfsShape(device: Device, boards: Boards): readonly Shape[] {
  return new Folding(device, boards).fold(device.initramfs);
}

/** The steps in a shape that owimg does not know. */
export function unknownSteps(shapes: readonly Shape[]): string[] {
  return shapes.flatMap((shape) => {
    if (shape.what === 'unknown') return [shape.step];
    return shape.what === 'layer' ? unknownSteps(shape.inside) : [];
  });
}
