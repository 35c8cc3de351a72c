/** A raw write to the firmware partition: nobody looks at the bytes before the boot loader does. */
import type { Finding, Layer } from '../core/types.ts';
import type { LayerShape } from '../recipes/shape.ts';
import { layerTitles, loaderWords } from './loaders.ts';
import { damageFindings, damageForLoader, fileWord, type Say, seeDevice, verdictMaker } from './maker.ts';
import { byFit, type Fit, type Subject } from './subject.ts';
import type { Verdict } from './verdict.ts';

/** Formats that stand at the start of a sysupgrade image and are unpacked before anything is written. */
const packed: ReadonlySet<string> = new Set(['sysupgrade-tar', 'gzip', 'zip', 'tar']);

/** The vendor's headers that sysupgrade takes off before it writes what is behind them. */
const takenOff: ReadonlySet<string> = new Set(['netgear-chk', 'cybertan']);

/** The layer that a shape begins with, if that is one that could be looked for. */
function firstLayer({ shape }: Fit): LayerShape | undefined {
  const first = shape.find(({ what }) => what !== 'gap');
  return first?.what === 'layer' ? first : undefined;
}

/** The device's own images that lie in flash as they lie in the file, the best fit first. */
function rawFits(subject: Subject): Fit[] {
  const raw = subject.fits.filter((fit) => {
    const first = firstLayer(fit);
    return (fit.image.role === 'sysupgrade' || fit.image.role === 'both') && first !== undefined && !packed.has(first.format);
  });
  return raw.sort(byFit);
}

const cutAt = (subject: Subject, offset: number): string =>
  `Take off what stands in front, tail -c +${offset + 1} ${fileWord(subject)} > firmware.bin, and check firmware.bin before you write it.`;

/** The verdict for `mtd write FILE firmware` and U-Boot's `cp.b`. */
export function mtdVerdict(subject: Subject): Verdict {
  const say = verdictMaker(subject, 'mtd');
  const { inspection, root, device } = subject;
  const next = `Install with sysupgrade instead. ${seeDevice(subject)}`;
  if (device.images.length > 0 && subject.fits.every(({ shape }) => shape.length === 0 || isDisk(shape[0]))) {
    return say('not-applicable', `${device.title} starts from a disk or card, not from a flash partition.`, { next });
  }
  if (root.format === 'gzip' || subject.context.archives.has(root.format)) {
    const found = root.format;
    const findings = [bootMagic(subject, 'the kernel', found)];
    return say('bricks', `Nothing unpacks a ${found} on this way: the packed bytes would be written as they are.`, { findings, next });
  }
  const loader = subject.loaderInside;
  if (loader !== undefined) {
    const reason =
      "It carries a boot loader, as the vendor's images do: written like this, that would come where the kernel belongs, and the device would not start.";
    return say('bricks', reason, { findings: [loader.finding], next: cutAt(subject, loader.firmware.offset) });
  }
  const [fit] = rawFits(subject);
  const outermost = fit === undefined ? undefined : firstLayer(fit);
  if (fit === undefined || outermost === undefined) return otherVerdict(subject, say, next);
  const inside = takenOff.has(outermost.format) ? outermost.inside[0] : outermost;
  const expected = inside?.what === 'layer' ? inside.format : outermost.format;
  const [first] = subject.pieces;
  if (first?.format !== expected || first.offset !== root.offset) return wrongStart(subject, say, expected, next);
  if (inspection.status === 'broken') return broken(subject, say, next);
  const foreign = subject.foreignFindings();
  if (foreign.length > 0) return say('bricks', `${foreign[0]?.message}.`, { findings: foreign, next });
  if (expected !== outermost.format)
    return say('unknown', `It begins as the boot loader wants it; owimg compares only images with their ${outermost.format} header.`, { next });
  const inner = fit.match.misfits.find(({ what }) => what === 'layer');
  if (inner !== undefined) {
    const findings = [subject.isKernelAlone ? subject.finding('initramfs-not-installable', subject.wholeFile, {}) : subject.misfitFinding(inner)];
    return say('bricks', `The boot loader would find its magic number, but not what belongs behind it: ${findings[0]?.message}.`, { findings, next });
  }
  if (fit.image.steps.some((step) => step.includes('with-rootfs'))) return volumeVerdict(subject, say, next);
  const sizes = subject.sizeFindings(fit);
  if (sizes.length > 0) return say('bricks', `${sizes[0]?.message}.`, { findings: sizes, next });
  if (fit.answer !== 'yes') {
    const findings = fit.match.misfits.map((misfit) => subject.misfitFinding(misfit));
    return say('unknown', 'It begins with what the boot loader looks for, but not all of it is as OpenWrt builds it for this device.', { findings, next });
  }
  const assumes = [
    'the partition called "firmware" (older systems: "linux" or "kernel") is what you write to, and nothing else',
    'the settings in the partition are lost',
  ];
  const reason = `It begins with ${layerTitles(expected)}, which the boot loader looks for there, and is built as the device's own image is.`;
  return say('installs', reason, { assumes, next: `mtd -r write ${fileWord(subject)} firmware` });
}

const broken = (subject: Subject, say: Say, next: string): Verdict =>
  say('bricks', `Nobody would notice before the boot loader does: ${damageForLoader(subject)}`, { findings: damageFindings(subject), next });

const isDisk = (shape: Fit['shape'][number] | undefined): boolean =>
  shape?.what === 'disk' || (shape?.what === 'layer' && packed.has(shape.format) && shape.inside[0]?.what === 'disk');

/** The file does not begin with what the boot loader looks for; it may well hold that further on. */
function wrongStart(subject: Subject, say: Say, expected: string, next: string): Verdict {
  const { pieces, root } = subject;
  const [first] = pieces;
  const later = root.format === subject.context.sliceId ? pieces.find(({ format, offset }) => format === expected && offset > root.offset) : undefined;
  const found = first === undefined || first.format === 'unknown' || later === first ? 'something that it does not know' : layerTitles(first.format);
  const magic = bootMagic(subject, layerTitles(expected), found);
  if (later === undefined) return say('bricks', `${magic.message}.`, { findings: [magic], next });
  const dump = subject.finding('dump-in-front', range(later), { format: later.format, offset: later.offset });
  return say('bricks', `${dump.message}.`, { findings: [dump, magic], next: cutAt(subject, later.offset) });
}

const range = ({ offset, length }: Layer): { offset: number; length: number } => ({ offset, length });

/** A FIT that holds its root file system is a volume of UBI, or a partition of an eMMC, and no one writes it to raw flash. */
function volumeVerdict(subject: Subject, say: Say, next: string): Verdict {
  if (subject.device.sizes.page === undefined) {
    return say('unknown', 'Whether this FIT lies in a flash partition of its own on this device is not recorded.', { next });
  }
  const findings = [bootMagic(subject, 'UBI, with the FIT in a volume of it,', 'the FIT itself')];
  return say('bricks', `${findings[0]?.message}.`, { findings, next });
}

function bootMagic(subject: Subject, expected: string, actual: string): Finding {
  const first = subject.fits.find(({ shape }) => shape.some(({ what }) => what === 'layer'))?.shape.find((shape) => shape.what === 'layer');
  const words = loaderWords[first?.what === 'layer' ? first.format : ''] ?? 'it stays in the loader';
  return subject.finding('boot-magic-mismatch', { offset: 0, length: Math.min(4, subject.length) }, { expected, actual, words: `it says ${words}` });
}

/** None of the device's images lies in flash as it lies in the file, or nothing at its start could be looked for. */
function otherVerdict(subject: Subject, say: Say, next: string): Verdict {
  const { device } = subject;
  const known = subject.fits.find(({ image }) => image.role === 'sysupgrade');
  if (known === undefined) return say('not-applicable', `OpenWrt does not say what lies in the firmware partition of ${device.title}.`, { next });
  if (subject.root.format === 'sysupgrade-tar') {
    const finding = bootMagic(subject, 'the kernel', 'a tar archive');
    return say('bricks', `${finding.message}.`, { findings: [finding], next });
  }
  if (firstLayer(known) === undefined) {
    if (subject.inspection.status === 'broken') return broken(subject, say, next);
    return say('unknown', `The images of ${device.title} begin with code that has no mark which owimg could look for.`, { next });
  }
  return nandVerdict(subject, say, next, known);
}

/** On NAND the kernel has a partition of its own and the rest is UBI: no one file can be written as it is. */
function nandVerdict(subject: Subject, say: Say, next: string, known: Fit): Verdict {
  if (subject.isKernelAlone) {
    const findings = subject.kernelFindings(subject.device.kernel);
    if (findings.length > 0) return say('bricks', `${findings[0]?.message}.`, { findings, next });
    return say('unknown', 'It is a kernel alone; whether it goes with the root file system on the device cannot be seen from it.', { next });
  }
  const factory = subject.best(['factory']);
  if (factory?.answer === 'yes') {
    const reason = 'It is the factory image; written raw it also needs the right start and the bad blocks of this NAND left out, which the file cannot show.';
    return say('unknown', reason, { next });
  }
  const [first] = subject.pieces;
  if (subject.context.rootfs.has(first?.format ?? '') && first?.format !== 'ubi') {
    const findings = [subject.finding('kernel-missing', subject.wholeFile, { found: first?.format ?? 'nothing' })];
    return say('bricks', `${findings[0]?.message}.`, { findings, next });
  }
  const reason = `This device keeps kernel and root file system apart (OpenWrt builds ${known.image.name} as a ${firstLayer(known)?.format}); the file is not built like that.`;
  return say('bricks', reason, { findings: [], next });
}
