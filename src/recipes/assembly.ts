/**
 * The steps that only put things one behind the other and fill up: `append-kernel`, `pad-to`, `pad-rootfs` ... Written down in
 * OpenWrt's include/image-commands.mk; what `pad-rootfs` writes, in tools/padjffs2.
 *
 * Their inverses cut from the end: what stands behind a part is filler, and the layers tell where a part ends.
 */
import { joined, standsAt } from '../core/bytes.ts';
import { digest } from '../core/checksums.ts';
import { OwimgError } from '../core/errors.ts';
import { byteCount, hexBytes, hexOffset, toBytes } from '../core/hex.ts';
import { endMarks, jffs2Padding, usualBoundaries } from '../core/padjffs2.ts';
import { type DecomposeUse, type FlashPiece, type RecipeStep, type RecipeSteps, type StepUse, sizeWord } from '../core/recipe-step.ts';
import { stepWords } from './shape.ts';

const whole = ({ name, words }: Pick<StepUse, 'name' | 'words'>): string => [name, ...words].join(' ');

const same = (image: Uint8Array): Uint8Array => image;

const roundUp = (length: number, unit: number): number => Math.ceil(length / unit) * unit;

/** Whether the piece is only there to fill up or to mark the end. */
export const isFiller = ({ role }: FlashPiece): boolean => role === 'padding' || role === 'mark';

/** Cuts the image where the last piece begins that fits; behind it there may be filler alone. */
async function cutBefore(image: Uint8Array, use: DecomposeUse, what: string, fits: (piece: FlashPiece) => boolean): Promise<number> {
  const pieces = await use.pieces(image);
  const index = pieces.findLastIndex(fits);
  const piece = pieces[index];
  if (piece === undefined) {
    throw new OwimgError(
      'conversion-impossible',
      `Cannot take the image apart at the step "${whole(use)}": no ${what} was found in its ${byteCount(image.length)}`,
    );
  }
  const behind = pieces.slice(index + 1).find((entry) => !isFiller(entry));
  if (behind !== undefined) {
    const place = `${byteCount(behind.length)} at ${hexOffset(behind.offset)} of what this step made`;
    throw new OwimgError(
      'conversion-impossible',
      `Cannot take the image apart at the step "${whole(use)}": behind the ${what} stand ${place}, which no recipe puts there`,
    );
  }
  return piece.offset;
}

/** What stands at the image's end is a part of its own. */
const appended = (name: string, what: string, fits: (piece: FlashPiece) => boolean): RecipeStep => ({
  append: (_, use) => [use.part(name)],
  decompose: async (image, use) => {
    const start = await cutBefore(image, use, what, fits);
    await use.found(name, image.subarray(start), true);
    return image.subarray(0, start);
  },
});

function padRootfs(length: number, { words, device }: StepUse): Uint8Array[] {
  const at = words.indexOf('-x');
  const mark = words.includes('-J') ? endMarks['-J'] : words.includes('-j') ? endMarks['-j'] : endMarks.end;
  const { block } = device.sizes;
  return jffs2Padding(length, block === undefined ? usualBoundaries : [block], at < 0 ? 0 : Number(words[at + 1]), mark);
}

/** As if the root file system at the image's end stood at an erase block. */
const rootfsPadding = (block: number): RecipeStep => ({
  append: (length, use) => jffs2Padding(length, [block], use.part('rootfs').length - length),
  decompose: same,
});

/** @throws OwimgError `conversion-impossible` */
function checkSize(length: number, use: StepUse): Uint8Array[] {
  const [word] = use.words;
  const limit = word === undefined ? use.device.sizes.image : sizeWord(word, whole(use));
  if (limit !== undefined && length > limit) {
    const over = byteCount(length - limit);
    throw new OwimgError(
      'conversion-impossible',
      `The image would be too big for the device: ${byteCount(length)}, and the limit is ${byteCount(limit)}`,
      `It is ${over} too big. Build or download one with fewer packages.`,
    );
  }
  return [];
}

type Fill = (length: number, use: Pick<StepUse, 'name' | 'words'>) => number;

/** The length that these steps fill an image up to, with zeros. */
const fills: Readonly<Record<string, Fill>> = {
  'pad-to': (length, use) => roundUp(length, sizeWord(use.words[0], whole(use))),
  'pad-offset': (length, use) => {
    const [unit, before] = [sizeWord(use.words[0], whole(use)), sizeWord(use.words[1] ?? '0', whole(use))];
    return roundUp(length + before, unit) - before;
  },
  'pad-extra': (length, use) => length + sizeWord(use.words[0], whole(use)),
};

const filler = (fill: Fill): RecipeStep => ({
  append: (length, use) => [new Uint8Array(Math.max(0, fill(length, use) - length))],
  // Where a part ends is seen by the step that appended it. In front of everything there is no part.
  decompose: (image, { first }) => (first && image.every((byte) => byte === 0) ? image.subarray(0, 0) : image),
});

const fillers: RecipeSteps = Object.fromEntries(Object.entries(fills).map(([name, fill]) => [name, filler(fill)]));

/**
 * How long a part is when the last steps of its own recipe have filled it up.
 *
 * @param length without that filler
 */
export function filledUp(length: number, steps: readonly string[]): number {
  const uses = steps.map((step) => {
    const [name, ...words] = stepWords(step) as [string, ...string[]];
    return { name, words, fill: fills[name] };
  });
  const last = uses.findLastIndex(({ fill }) => fill === undefined);
  return uses.slice(last + 1).reduce((filled, { fill, ...use }) => fill?.(filled, use) ?? filled, length);
}

/** Steps that change nothing of the image: checks, and work on other files. */
const nothing: RecipeStep = { append: () => [], decompose: same };

const kernel: RecipeStep = {
  append: (_, use) => [use.part('kernel')],
  decompose: async (image, use) => {
    if (!use.first) return appended('kernel', 'kernel', ({ role }) => role === 'kernel' || role === 'compressed').decompose(image, use);
    await use.found('kernel', image, true);
    return image.subarray(0, 0);
  },
};

const text: RecipeStep = {
  append: (_, { words }) => [toBytes(words.join(' '))],
  decompose: (image, use) => {
    const expected = toBytes(use.words.join(' '));
    const start = image.length - expected.length;
    if (start < 0 || expected.some((byte, index) => image[start + index] !== byte)) {
      throw new OwimgError('conversion-impossible', `Cannot take the image apart: it should end with "${use.words.join(' ')}" and does not`);
    }
    return image.subarray(0, start);
  },
};

/** A sum of the image as it was made so far, and of a text that is not written, stands at its end. */
const closingMd5 = (length: number, written: (sum: Uint8Array) => Uint8Array, salt: (use: StepUse) => string): RecipeStep => {
  const sumOf = (image: Uint8Array, use: StepUse): Uint8Array => written(digest('md5', [image, toBytes(salt(use))]));
  return {
    compose: (image, use) => joined([image, sumOf(image, use)]),
    decompose: (image, use) => {
      const body = image.subarray(0, Math.max(0, image.length - length));
      if (standsAt(image, body.length, sumOf(body, use))) return body;
      throw new OwimgError(
        'conversion-impossible',
        `Cannot take the image apart at the step "${whole(use)}": it does not end with the MD5 of what is in front`,
      );
    },
  };
};

const asDigits = (sum: Uint8Array): Uint8Array => toBytes(hexBytes(sum));

/** Another image of the device, or its initramfs; a part of its own. */
const imageAppended: RecipeStep = {
  append: (_, use) => [use.part(imagePart(use))],
  decompose: async (image, use) => {
    const step = appended(imagePart(use), 'image', ({ role }) => role === 'kernel' || role === 'compressed');
    if (!use.first) return step.decompose(image, use);
    await use.found(imagePart(use), image, true);
    return image.subarray(0, 0);
  },
};

const imagePart = ({ words: [name = ''] }: StepUse): string => (name.startsWith('initramfs') ? 'initramfs' : name);

/** A small file system that only fools a boot loader, made by a program that owimg cannot stand in for. */
const fakeRootfs = appended('fakeroot', 'small file system', ({ format }) => format === 'squashfs');

/** Steps that only fill up. */
export const fillerSteps: ReadonlySet<string> = new Set(['pad-to', 'pad-offset', 'pad-extra', 'pad-rootfs', 'dir685-pad-rootfs', 'wrgg-pad-rootfs']);

/** Steps that leave the image as it is. */
export const idleSteps: ReadonlySet<string> = new Set(['check-size', 'ls-clean']);

export const assemblySteps: RecipeSteps = {
  'append-kernel': kernel,
  'append-rootfs': appended('rootfs', 'root file system', ({ role }) => role === 'rootfs'),
  'append-dtb': appended('dtb', 'device tree', ({ format }) => format === 'dtb'),
  'append-string': text,
  'append-image': imageAppended,
  'append-image-stage': imageAppended,
  'append-loader-okli-uimage': appended('loader', 'loader', ({ format }) => format === 'uimage'),
  'append-md5sum-ascii-salted': closingMd5(32, asDigits, ({ words }) => words.join(' ')),
  'append-md5sum-bin': closingMd5(
    16,
    (sum) => sum,
    () => '',
  ),
  'append-squashfs-fakeroot-be': fakeRootfs,
  'append-squashfs4-fakeroot': fakeRootfs,
  'append-uboot': appended('u-boot', 'boot loader', ({ role }) => role === 'unknown'),
  'watchguard-cksum': closingMd5(32, asDigits, ({ words: [salt = ''] }) => salt),
  'check-size': { append: checkSize, decompose: same },
  ...fillers,
  'pad-rootfs': { append: padRootfs, decompose: same },
  'dir685-pad-rootfs': rootfsPadding(128 * 1024),
  'wrgg-pad-rootfs': rootfsPadding(64 * 1024),
  'ls-clean': nothing,
};
