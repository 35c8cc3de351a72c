/** A raw write to the firmware partition: nobody looks at the bytes before the boot loader does. */
import type { Finding } from '../core/types.ts';
import { layerTitles, loaderWords } from './loaders.ts';
import { damageOf, fileWord, type Say, seeDevice, verdictMaker } from './maker.ts';
import type { Fit, Subject } from './subject.ts';
import type { Verdict } from './verdict.ts';

/** Formats that stand at the start of a firmware partition, as a boot loader or a kernel splitter reads it. */
const packed: ReadonlySet<string> = new Set(['sysupgrade-tar', 'gzip', 'zip', 'tar']);

/** The device's own images that lie in flash as they lie in the file, the best fit first. */
function rawFits(subject: Subject): Fit[] {
  const raw = subject.fits.filter(({ image, shape }) => {
    const first = shape.find(({ what }) => what !== 'gap');
    return (image.role === 'sysupgrade' || image.role === 'both') && first !== undefined && first.what === 'layer' && !packed.has(first.format);
  });
  const rank = { yes: 2, unknown: 1, no: 0 };
  return raw.sort((a, b) => rank[b.answer] - rank[a.answer] || b.match.agreements - a.match.agreements);
}

/** The verdict for `mtd write FILE firmware` and U-Boot's `cp.b`. */
export function mtdVerdict(subject: Subject): Verdict {
  const say = verdictMaker(subject, 'mtd');
  const { inspection } = subject;
  const next = `Install with sysupgrade instead. ${seeDevice(subject)}`;
  if (subject.root.format === 'gzip' || subject.context.archives.has(subject.root.format)) {
    const found = subject.root.format;
    const findings = [bootMagic(subject, 'the kernel', found)];
    return say('bricks', `Nothing unpacks a ${found} on this way: the packed bytes would be written as they are.`, { findings, next });
  }
  const [fit] = rawFits(subject);
  if (fit === undefined) return nandVerdict(subject, say, next);
  const wanted = fit.shape.find((shape) => shape.what === 'layer');
  const expected = wanted?.what === 'layer' ? wanted.format : '';
  const first = subject.pieces[0];
  if (first?.format !== expected || first.offset !== subject.root.offset) {
    const found = first === undefined || first.format === 'unknown' ? 'something that it does not know' : layerTitles(first.format);
    const finding = bootMagic(subject, layerTitles(expected), found);
    return say('bricks', `${finding.message}.`, { findings: [finding], next });
  }
  if (inspection.status === 'broken') return say('bricks', `Nobody would notice before the boot loader does: ${damageOf(subject)}.`, { next });
  const foreign = subject.foreignFindings();
  if (foreign.length > 0) return say('bricks', `${foreign[0]?.message}.`, { findings: foreign, next });
  const inner = fit.match.misfits.find(({ what }) => what === 'layer');
  if (inner !== undefined) {
    const findings = [subject.isKernelAlone ? subject.finding('initramfs-not-installable', whole(subject), {}) : subject.misfitFinding(inner)];
    return say('bricks', `The boot loader would find its magic number, but not what belongs behind it: ${findings[0]?.message}.`, { findings, next });
  }
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

const whole = (subject: Subject): { offset: number; length: number } => ({ offset: 0, length: subject.length });

function bootMagic(subject: Subject, expected: string, actual: string): Finding {
  const first = subject.fits.find(({ shape }) => shape.some(({ what }) => what === 'layer'))?.shape.find((shape) => shape.what === 'layer');
  const words = loaderWords[first?.what === 'layer' ? first.format : ''] ?? 'it stays in the loader';
  return subject.finding('boot-magic-mismatch', { offset: 0, length: Math.min(4, subject.length) }, { expected, actual, words: `it says ${words}` });
}

/** On NAND the kernel has a partition of its own and the rest is UBI: no one file can be written as it is. */
function nandVerdict(subject: Subject, say: Say, next: string): Verdict {
  const { device } = subject;
  const known = subject.fits.find(({ image }) => image.role === 'sysupgrade');
  if (known === undefined) return say('not-applicable', `OpenWrt does not say what lies in the firmware partition of ${device.title}.`, { next });
  if (subject.isKernelAlone) {
    const sizes = subject.kernel === undefined ? [] : subject.sizeFindings(known).filter(({ code }) => code === 'kernel-too-big');
    if (sizes.length > 0) return say('bricks', `${sizes[0]?.message}.`, { findings: sizes, next });
    return say('unknown', 'It is a kernel alone; whether it goes with the root file system on the device cannot be seen from it.', { next });
  }
  if (subject.root.format === 'sysupgrade-tar') {
    const finding = bootMagic(subject, 'the kernel', 'a tar archive');
    return say('bricks', `${finding.message}.`, { findings: [finding], next });
  }
  const factory = subject.best(['factory']);
  if (factory?.answer === 'yes') {
    const reason = 'It is the factory image; written raw it also needs the right start and the bad blocks of this NAND left out, which the file cannot show.';
    return say('unknown', reason, { next });
  }
  const first = subject.pieces[0];
  if (subject.context.rootfs.has(first?.format ?? '') && first?.format !== 'ubi') {
    const findings = [subject.finding('kernel-missing', whole(subject), { found: first?.format ?? 'nothing' })];
    return say('bricks', `${findings[0]?.message}.`, { findings, next });
  }
  return say('bricks', 'This device keeps its kernel and UBI in NAND flash; the file is not built like that.', { findings: [], next });
}
