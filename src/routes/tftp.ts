/** The boot loader's recovery: what it fetches or takes over the network, and writes or starts. */
import type { Finding } from '../core/types.ts';
import type { Recovery } from '../devices/facts.ts';
import { recoveryLimits } from './loader-limits.ts';
import { damageFindings, damageOf, fileWord, type Said, seeDevice, unwrapAdvice, verdictMaker } from './maker.ts';
import type { Fit, Subject } from './subject.ts';
import { lockVerdict } from './vendor-locks.ts';
import type { Verdict } from './verdict.ts';

const blockLength = 512;
const largestBlock = 65_535;

/**
 * Outer formats whose loaders look at the header and the ids in it before they write: SafeLoader ("the firmware is not for this model",
 * https://github.com/openwrt/openwrt/issues/893) and Linksys's CFE ("Code pattern is incorrect"). All others are taken to write what they get.
 */
const checked: ReadonlySet<string> = new Set(['cybertan', 'tplink-safeloader']);

/** What the record says was sent, or `undefined` where it does not. */
function wantedKind(records: readonly Recovery[]): Recovery['imageKind'] {
  return records.find(({ imageKind }) => imageKind !== undefined)?.imageKind;
}

const assumedLoader = ({ openwrtLoader, commit }: Recovery): string =>
  openwrtLoader === true ? `the boot loader is the U-Boot that OpenWrt builds, not the vendor's` : `the boot loader is as in OpenWrt's commit ${commit}`;

/** Who sends what to whom, as far as it is recorded. */
function handOver({ mode, routerAddress, hostAddress, fileName, fileNameRequired, trigger }: Recovery, file: string): string {
  const when = trigger === undefined ? '' : ` Trigger: ${trigger}.`;
  if (mode === 'router-is-server') return `Send ${file} by TFTP (put, binary mode) to ${routerAddress ?? 'the router'} while the loader listens.${when}`;
  const name = fileNameRequired === true && fileName !== undefined ? `under the name ${fileName}` : 'under the name that the loader asks for';
  return `Serve ${file} by TFTP ${name}, from ${hostAddress ?? 'the address that the loader asks'}.${when}`;
}

/** The verdict for the boot loader's TFTP recovery. */
export function tftpVerdict(subject: Subject): Verdict {
  const say = verdictMaker(subject, 'tftp');
  const { device, inspection } = subject;
  const next = seeDevice(subject);
  const lock = lockVerdict(subject, 'tftp');
  if (lock !== undefined) return say(lock.outcome, lock.reason, { findings: [lock.finding], next: lock.advice });
  const limit = recoveryLimits[device.profile];
  if (limit !== undefined && subject.length > limit.limit) {
    const args = { length: subject.length, limit: limit.limit, where: `the boot loader's recovery (${limit.source})` };
    const findings = [subject.finding('image-too-big', { offset: limit.limit, length: subject.length - limit.limit }, args)];
    return say('bricks', `${findings[0]?.message}: it would write over itself.`, { findings, next });
  }
  const records = device.recovery.filter(({ mode }) => mode !== 'uboot-console');
  const own = subject.best(['recovery']);
  if (inspection.status === 'broken') {
    const reason = `Few boot loaders check what they write, and this is damaged: ${damageOf(subject)}.`;
    return say('bricks', reason, { findings: damageFindings(subject), next });
  }
  const padded = own ?? subject.best(['factory']);
  const short = padded === undefined ? undefined : subject.unpaddedFinding(padded);
  if (short !== undefined) {
    const reason = `TP-Link's loaders copy as many bytes as the layout of the flash has, whatever they were sent: ${short.message}.`;
    return say('bricks', reason, { findings: [short], next: `Use ${padded?.image.name} of ${device.profile}.` });
  }
  if (records.length === 0 && own === undefined) {
    return say('unknown', `How the boot loader of ${device.title} takes an image over the network is not recorded.`, { next });
  }
  if (inspection.status === 'unknown') return say('unknown', 'owimg does not recognise the file.', { next });
  const blocks = Math.floor(subject.length / blockLength) + 1;
  const rollover =
    blocks > largestBlock ? [subject.finding('block-rollover', { offset: largestBlock * blockLength, length: 0 }, { length: subject.length, blocks })] : [];
  const [record] = records;
  const assumes = record === undefined ? [] : [assumedLoader(record)];
  const send = record === undefined ? next : handOver(record, fileWord(subject));
  /** All is as it should be; but the loader may ask for another name. */
  const taken = (outcome: 'installs' | 'boots', reason: string): Verdict => {
    const renamed = nameFinding(subject, records);
    if (renamed === undefined) return say(outcome, reason, { assumes, findings: rollover, next: send });
    return say('refused', `${reason} But ${lowerFirst(renamed.message)}: it would find nothing to fetch.`, {
      assumes,
      findings: [renamed, ...rollover],
      next: send,
    });
  };
  const wanted = own === undefined ? wantedKind(records) : 'recovery';
  const fit = own ?? subject.best(wanted === 'sysupgrade' ? ['sysupgrade', 'both'] : ['factory', 'both']);
  const wrong = fit?.answer === 'no' ? misfit(subject, fit, assumes) : undefined;
  if (wrong?.outcome === 'refused' && wanted !== 'initramfs' && wanted !== 'kernel') return wrong;
  const foreign = subject.foreignFindings();
  if (foreign.length > 0) return say('bricks', `${foreign[0]?.message}.`, { findings: foreign, next });
  if (wanted === 'initramfs' || wanted === 'kernel') {
    if (subject.initramfs?.answer === 'yes' && subject.isKernelAlone) {
      return taken('boots', 'It is built as the initramfs image that this loader starts from RAM; nothing is stored.');
    }
    return say('unknown', 'The loader is known to start an initramfs image, which this is not.', { assumes, findings: rollover, next });
  }
  if (fit === undefined || wanted === 'stock') {
    return say('unknown', 'The loader is known to take the vendor firmware; what else it takes is not recorded.', { assumes, next });
  }
  if (wrong !== undefined) return wrong;
  if (fit.answer === 'unknown') {
    return say('unknown', `The loader wants ${fit.image.name}, whose recipe owimg does not know in full.`, { assumes, next });
  }
  const sizes = subject.sizeFindings(fit);
  if (sizes.length > 0) return say('bricks', `${sizes[0]?.message}.`, { assumes, findings: sizes, next });
  if (wanted === undefined) {
    return say('unknown', 'It is the factory image; that the loader takes it is likely, but not recorded.', { assumes, findings: rollover, next: send });
  }
  return taken('installs', `It is built as ${fit.image.name}, which this loader is recorded to take.`);
}

/** Whether a wrong file is turned down or written depends on the loader. */
function misfit(subject: Subject, fit: Fit, assumes: readonly string[]): Verdict {
  const say = verdictMaker(subject, 'tftp');
  const findings = fit.match.misfits.map((entry) => subject.misfitFinding(entry));
  const [first] = fit.match.misfits;
  const outer = fit.shape.find(({ what }) => what !== 'gap');
  const outside = first?.what === 'field' || first?.offset === subject.root.offset;
  const next = unwrapAdvice(subject) ?? `Use ${fit.image.name} of ${subject.device.profile}.`;
  const said: Said = { assumes, findings, next };
  const reason = `The loader wants what OpenWrt builds as ${fit.image.name}, and this is not that: ${findings[0]?.message}.`;
  if (outer?.what === 'layer' && checked.has(outer.format) && outside) return say('refused', reason, said);
  return say('bricks', `${reason} Few boot loaders look at what they write.`, said);
}

const wantedName = (records: readonly Recovery[]): string | undefined => records.find(({ fileNameRequired }) => fileNameRequired === true)?.fileName;

/** A loader that fetches one name only finds no other. */
function nameFinding(subject: Subject, records: readonly Recovery[]): Finding | undefined {
  const wanted = wantedName(records);
  const { name } = subject;
  if (wanted === undefined || name === undefined || name.toLowerCase() === wanted.toLowerCase()) return undefined;
  return subject.finding('file-name-not-asked', { offset: 0, length: 0 }, { name, wanted });
}

const lowerFirst = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1);
