/** The vendor's own web page: it looks at its header, the ids in it and the checksums, and then writes. */
import { kernelLimits } from './loader-limits.ts';
import { damageOf, fileWord, seeDevice, verdictMaker } from './maker.ts';
import type { Subject } from './subject.ts';
import type { Verdict } from './verdict.ts';

/** TP-Link's pages refuse longer file names (https://github.com/libremesh/libremesh.github.io/issues/15). */
const nameLimit = 64;

/** The verdict for the upgrade page of the vendor's firmware. */
export function stockVerdict(subject: Subject): Verdict {
  const say = verdictMaker(subject, 'stock');
  const { device, inspection } = subject;
  const next = seeDevice(subject);
  const fit = subject.best(['factory', 'both', 'factory-initramfs', 'recovery']);
  if (fit === undefined) {
    const reason = `OpenWrt builds no image for the vendor's web page of ${device.title}; what that page accepts is not known.`;
    return say('unknown', reason, { next: `${next} The device's page in the OpenWrt wiki tells how it is installed.` });
  }
  const right = `Use ${fit.image.name} of ${device.profile} (owimg devices ${device.profile}).`;
  if (inspection.status === 'broken' && fit.answer !== 'unknown') {
    return say('refused', `The page checks what it is given, and this file is damaged: ${damageOf(subject)}.`, { next: right });
  }
  if (fit.answer !== 'no' && inspection.status === 'unknown') return say('unknown', 'owimg does not recognise the file.', { next: right });
  if (fit.answer === 'no') {
    const findings = fit.match.misfits.map((misfit) => subject.misfitFinding(misfit));
    const [first] = fit.match.misfits;
    // A header of another format or with other ids is what these pages look for; what lies deeper they write.
    const outside = first !== undefined && (first.what === 'field' || first.offset === subject.root.offset);
    const reason = `The page wants what OpenWrt builds as ${fit.image.name}, and this is not that: ${findings[0]?.message}.`;
    return outside ? say('refused', reason, { findings, next: right }) : say('unknown', reason, { findings, next: right });
  }
  const foreign = subject.foreignFindings();
  if (foreign.length > 0) return say('bricks', `The header is the right one, but ${foreign[0]?.message}.`, { findings: foreign, next: right });
  if (fit.answer === 'unknown') {
    const [step] = fit.match.unknownSteps;
    const why = step === undefined ? 'it has no header that could be compared' : `owimg does not know the step "${step}" of its recipe`;
    return say('unknown', `OpenWrt builds ${fit.image.name} for this page, but ${why}.`, { next });
  }
  const sizes = subject.sizeFindings(fit);
  if (sizes.length > 0) return say('bricks', `${sizes[0]?.message}.`, { findings: sizes, next: right });
  const limit = kernelLimits[device.profile];
  if (limit !== undefined && subject.kernel !== undefined && subject.kernel.length > limit.limit) {
    const findings = [subject.finding('kernel-too-big', subject.kernel, { length: subject.kernel.length, limit: limit.limit, where: 'the boot loader' })];
    return say('bricks', `${findings[0]?.message}.`, { findings, next: right });
  }
  const tooLong = subject.name !== undefined && device.profile.startsWith('tplink_') && subject.name.length > nameLimit;
  const findings = tooLong ? [subject.finding('name-too-long', { offset: 0, length: 0 }, { length: subject.name?.length ?? 0, limit: nameLimit })] : [];
  const assumes = ['the vendor firmware on the device takes unsigned images and does not forbid this version'];
  if (findings.length > 0) return say('refused', `${findings[0]?.message}.`, { findings, assumes, next: `Rename ${fileWord(subject)} to firmware.bin.` });
  const reason = `It is built as OpenWrt builds ${fit.image.name} for this page: format, ids, sizes and all checksums fit.`;
  const afterwards = fit.image.role === 'factory-initramfs' ? ' It runs from RAM: install the sysupgrade image from it.' : '';
  return say('installs', reason, { assumes, next: `Upload ${fileWord(subject)} on the vendor's upgrade page.${afterwards}` });
}
