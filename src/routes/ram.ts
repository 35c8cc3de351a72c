/** Booted from RAM by the boot loader, without being written. */
import { ramLimits } from './loader-limits.ts';
import { damageForLoader, fileWord, seeDevice, verdictMaker } from './maker.ts';
import type { Subject } from './subject.ts';
import type { Verdict } from './verdict.ts';

/** The verdict for U-Boot's `tftpboot` and `bootm`. */
export function ramVerdict(subject: Subject): Verdict {
  const say = verdictMaker(subject, 'ram');
  const { device, inspection, initramfs } = subject;
  if (subject.hasRootfs || !subject.isKernelAlone) {
    return say('not-applicable', 'It is not an image that runs from RAM.', { next: `Use the initramfs image of ${device.profile} for that.` });
  }
  if (inspection.status === 'broken')
    return say('refused', `The loader would stop in RAM, nothing is written: ${damageForLoader(subject)}`, { next: seeDevice(subject) });
  const foreign = subject.foreignFindings();
  if (foreign.length > 0) return say('refused', `${foreign[0]?.message}.`, { findings: foreign, next: `Use the initramfs image of ${device.profile}.` });
  if (initramfs === undefined) return say('unknown', `OpenWrt builds no initramfs image for ${device.title}.`, { next: seeDevice(subject) });
  if (initramfs.answer === 'no') {
    const findings = initramfs.match.misfits.map((misfit) => subject.misfitFinding(misfit));
    return say('refused', `It is not built like the initramfs image of this device: ${findings[0]?.message}.`, { findings, next: seeDevice(subject) });
  }
  if (initramfs.answer === 'unknown') {
    return say('unknown', "owimg does not know the recipe of this device's initramfs image in full.", { next: seeDevice(subject) });
  }
  const limit = ramLimits[device.profile];
  const tooBig = limit !== undefined && subject.imageLength > limit.limit;
  const findings = [
    ...(tooBig
      ? [
          subject.finding(
            'kernel-too-big',
            { offset: 0, length: subject.imageLength },
            { length: subject.imageLength, limit: limit.limit, where: `the boot loader (${limit.source})` },
          ),
        ]
      : []),
    ...subject.kernelFindings(device.initramfs).filter(({ code }) => code === 'dictionary-too-big'),
  ];
  if (findings.length > 0) {
    return say('refused', `The loader would stop while it unpacks it, nothing is written: ${findings[0]?.message}.`, {
      findings,
      next: 'Build a smaller initramfs image.',
    });
  }
  const assumes = ['the kernel carries its root file system inside (an initramfs), and the load address is free on this loader'];
  const reason = 'It is built like the initramfs image of this device. Nothing is stored: it is gone with the power, and so are its settings.';
  return say('boots', reason, {
    assumes,
    next: `On the console: tftpboot, then bootm. From the running system, install with sysupgrade. (${fileWord(subject)})`,
  });
}
