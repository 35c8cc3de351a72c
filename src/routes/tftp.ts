/** The boot loader's recovery: what it fetches or takes over the network, and writes or starts. */
import type { Recovery } from '../devices/facts.ts';
import { damageOf, fileWord, seeDevice, verdictMaker } from './maker.ts';
import type { Subject } from './subject.ts';
import type { Verdict } from './verdict.ts';

const blockLength = 512;
const largestBlock = 65_535;

/** What the record says was sent, or `undefined` where it does not. */
function wantedKind(records: readonly Recovery[]): Recovery['imageKind'] {
  return records.find(({ imageKind }) => imageKind !== undefined)?.imageKind;
}

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
  const records = device.recovery.filter(({ mode }) => mode !== 'uboot-console');
  const own = subject.best(['recovery']);
  if (records.length === 0 && own === undefined) {
    return say('unknown', `How the boot loader of ${device.title} takes an image over the network is not recorded.`, { next });
  }
  if (inspection.status === 'broken') return say('bricks', `Few boot loaders check what they write, and this is damaged: ${damageOf(subject)}.`, { next });
  if (inspection.status === 'unknown') return say('unknown', 'owimg does not recognise the file.', { next });
  const foreign = subject.foreignFindings();
  if (foreign.length > 0) return say('bricks', `${foreign[0]?.message}.`, { findings: foreign, next });
  const blocks = Math.floor(subject.length / blockLength) + 1;
  const rollover =
    blocks > largestBlock ? [subject.finding('block-rollover', { offset: largestBlock * blockLength, length: 0 }, { length: subject.length, blocks })] : [];
  const [record] = records;
  const assumes = record === undefined ? [] : [`the boot loader is as in OpenWrt's commit ${record.commit}`];
  const send = record === undefined ? next : handOver(record, fileWord(subject));
  const wanted = own === undefined ? wantedKind(records) : 'recovery';
  if (wanted === 'initramfs' || wanted === 'kernel') {
    if (subject.initramfs?.answer === 'yes' && subject.isKernelAlone) {
      return say('boots', 'It is built as the initramfs image that this loader starts from RAM; nothing is stored.', {
        assumes,
        findings: rollover,
        next: send,
      });
    }
    return say('unknown', 'The loader is known to start an initramfs image, which this is not.', { assumes, findings: rollover, next });
  }
  const fit = own ?? subject.best(wanted === 'sysupgrade' ? ['sysupgrade', 'both'] : ['factory', 'both']);
  if (fit === undefined || wanted === 'stock') {
    return say('unknown', 'The loader is known to take the vendor firmware; what else it takes is not recorded.', { assumes, next });
  }
  if (fit.answer === 'no') {
    const findings = fit.match.misfits.map((misfit) => subject.misfitFinding(misfit));
    const reason = `The loader wants what OpenWrt builds as ${fit.image.name}, and this is not that: ${findings[0]?.message}.`;
    return say('refused', reason, { assumes, findings, next: `Use ${fit.image.name} of ${device.profile}.` });
  }
  if (fit.answer === 'unknown') {
    return say('unknown', `The loader wants ${fit.image.name}, whose recipe owimg does not know in full.`, { assumes, next });
  }
  const sizes = subject.sizeFindings(fit);
  if (sizes.length > 0) return say('bricks', `${sizes[0]?.message}.`, { assumes, findings: sizes, next });
  if (wanted === undefined) {
    return say('unknown', 'It is the factory image; that the loader takes it is likely, but not recorded.', { assumes, findings: rollover, next: send });
  }
  return say('installs', `It is built as ${fit.image.name}, which this loader is recorded to take.`, { assumes, findings: rollover, next: send });
}
