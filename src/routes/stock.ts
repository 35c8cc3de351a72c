/** The vendor's own web page: it looks at its header, the ids in it and the checksums, and then writes. */
import { uploadLimits } from './loader-limits.ts';
import { damageFindings, damageOf, fileWord, type Say, seeDevice, unwrapAdvice, verdictMaker } from './maker.ts';
import { regionAssumptions, regionFindings } from './regions.ts';
import type { Fit, Subject } from './subject.ts';
import { lockAssumption, lockVerdict } from './vendor-locks.ts';
import type { Verdict } from './verdict.ts';

/** TP-Link's pages refuse longer file names (https://github.com/libremesh/libremesh.github.io/issues/15). */
const nameLimit = 64;

const tarFormat = 'sysupgrade-tar';

/** The verdict for the upgrade page of the vendor's firmware. */
export function stockVerdict(subject: Subject): Verdict {
  const say = verdictMaker(subject, 'stock');
  const { inspection, root } = subject;
  const lock = lockVerdict(subject, 'stock');
  if (lock !== undefined) return say(lock.outcome, lock.reason, { findings: [lock.finding], next: lock.advice });
  const fit = subject.best(['factory', 'both', 'factory-initramfs']);
  if (fit === undefined) return withoutFactory(subject, say);
  const right = unwrapAdvice(subject) ?? `Use ${fit.image.name} of ${subject.device.profile} (owimg devices ${subject.device.profile}).`;
  if (inspection.status === 'broken' && fit.answer !== 'unknown') {
    return say('refused', `The page checks what it is given, and this file is damaged: ${damageOf(subject)}.`, {
      findings: damageFindings(subject),
      next: right,
    });
  }
  if (fit.answer !== 'no' && inspection.status === 'unknown') return say('unknown', 'owimg does not recognise the file.', { next: right });
  const findings = fit.match.misfits.map((misfit) => subject.misfitFinding(misfit));
  const [first] = fit.match.misfits;
  const reason = `The page wants what OpenWrt builds as ${fit.image.name}, and this is not that: ${findings[0]?.message}.`;
  // A header of another format or with other ids is what these pages look for; what lies deeper they write.
  if (first !== undefined && (first.what === 'field' || first.offset === root.offset)) return say('refused', reason, { findings, next: right });
  const refusal = refusedUpload(subject, say, right);
  if (refusal !== undefined) return refusal;
  if (fit.answer === 'no') return say('unknown', reason, { findings, next: right });
  const regional = missingRegion(subject, fit);
  if (subject.running.region !== undefined && regional !== undefined) {
    const region = [subject.finding('region-mismatch', { offset: 0, length: 0 }, { wanted: subject.running.region.toUpperCase(), regions: 'no region' })];
    return say('unknown', `${region[0]?.message}: ${regional}.`, { findings: region, next: right });
  }
  const foreign = subject.foreignFindings();
  if (foreign.length > 0) return say('bricks', `The header is the right one, but ${foreign[0]?.message}.`, { findings: foreign, next: right });
  if (fit.answer === 'unknown' && root.format === tarFormat) {
    const args = { what: 'The file', expected: "the vendor's format", actual: "OpenWrt's sysupgrade tar", device: subject.device.title };
    const tar = [subject.finding('layout-mismatch', { offset: 0, length: subject.length }, args)];
    return say('refused', `The page wants what OpenWrt builds as ${fit.image.name}; no vendor's page knows a sysupgrade tar.`, { findings: tar, next: right });
  }
  if (fit.answer === 'unknown') {
    const [step] = fit.match.unknownSteps;
    const why = step === undefined ? 'it has no header that could be compared' : `owimg does not know the step "${step}" of its recipe`;
    return say('unknown', `OpenWrt builds ${fit.image.name} for this page, but ${why}.`, { next: seeDevice(subject) });
  }
  const sizes = subject.sizeFindings(fit);
  if (sizes.length > 0) return say('bricks', `${sizes[0]?.message}.`, { findings: sizes, next: right });
  const other = subject.sysupgradeFinding(fit);
  if (other !== undefined) {
    const outcome = root.format === 'tplink-v2' ? 'bricks' : 'unknown';
    return say(outcome, `It has the header that the page looks for, but is made for sysupgrade: ${other.message}.`, { findings: [other], next: right });
  }
  return installs(subject, say, fit);
}

/** What the page turns down before it looks at what lies behind the header. */
function refusedUpload(subject: Subject, say: Say, right: string): Verdict | undefined {
  const { device, length, name } = subject;
  const regions = regionFindings(subject);
  if (regions.length > 0) {
    const own = device.images.find(({ steps }) => steps.some((step) => step.endsWith(` -C ${subject.running.region?.toUpperCase()}`)));
    const next = own === undefined ? `OpenWrt builds none for that region. ${seeDevice(subject)}` : `Use ${own.name} of ${device.profile}.`;
    return say('refused', `${regions[0]?.message}.`, { findings: regions, next });
  }
  const upload = uploadLimits[device.profile];
  if (upload !== undefined && length > upload.limit) {
    const args = { length, limit: upload.limit, where: `the upload page (${upload.source})` };
    const findings = [subject.finding('image-too-big', { offset: upload.limit, length: length - upload.limit }, args)];
    return say('refused', `${findings[0]?.message}.`, { findings, next: right });
  }
  if (name === undefined || !device.profile.startsWith('tplink_') || name.length <= nameLimit) return undefined;
  const findings = [subject.finding('name-too-long', { offset: 0, length: 0 }, { length: name.length, limit: nameLimit })];
  return say('refused', `${findings[0]?.message}.`, { findings, next: `Rename ${fileWord(subject)} to firmware.bin.` });
}

function installs(subject: Subject, say: Say, fit: Fit): Verdict {
  const assumes = [lockAssumption(subject, 'stock'), ...regionAssumptions(subject), missingRegion(subject, fit) ?? []].flat();
  const reason = `It is built as OpenWrt builds ${fit.image.name} for this page: format, ids, sizes and all checksums fit.`;
  const afterwards = fit.image.role === 'factory-initramfs' ? ' It runs from RAM: install the sysupgrade image from it.' : '';
  return say('installs', reason, { assumes, next: `Upload ${fileWord(subject)} on the vendor's upgrade page.${afterwards}` });
}

/** Where OpenWrt builds an image for each region, the page of newer vendor firmware wants one of them. */
function missingRegion({ device, root }: Subject, fit: Fit): string | undefined {
  const regional = device.images.filter(({ role, steps }) => role === 'factory' && steps.some((step) => / -C [A-Z]{2}$/.test(step)));
  const named = root.fields.some(({ name, value }) => name === 'regionText1' && value !== '');
  if (regional.length === 0 || named || fit.image.role !== 'factory') return undefined;
  return `the vendor firmware must be from before it asked for a region; if it says 18005, use ${regional.map(({ name }) => name).join(' or ')}`;
}

/** OpenWrt builds nothing for this page. */
function withoutFactory(subject: Subject, say: Say): Verdict {
  const { device, root } = subject;
  const next = `${seeDevice(subject)} The device's page in the OpenWrt wiki tells how it is installed.`;
  const own = subject.best(['sysupgrade']);
  if (root.format === 'tplink-v2' && own?.answer === 'yes') {
    const reason =
      "The page knows this header and its ids and would write it as one of the vendor's images, which have a boot loader in front; OpenWrt builds none for it.";
    const findings = [subject.finding('layout-mismatch', { offset: 0, length: 512 }, sysupgradeImage(device.title))];
    return say('bricks', `${reason} See https://forum.openwrt.org/t/165250.`, { findings, next });
  }
  return say('unknown', `OpenWrt builds no image for the vendor's web page of ${device.title}; what that page accepts is not known.`, { next });
}

const sysupgradeImage = (device: string) => ({ what: 'The kind of image', expected: 'one for the vendor web page', actual: 'one for sysupgrade', device });
