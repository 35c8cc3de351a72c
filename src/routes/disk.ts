/** Written to an SD card, a USB stick or a disk. */

import { allLayers } from '../core/layers.ts';
import { damageOf, fileWord, seeDevice, verdictMaker } from './maker.ts';
import type { Subject } from './subject.ts';
import type { Verdict } from './verdict.ts';

/** The verdict for writing the image to a whole disk. */
export function diskVerdict(subject: Subject): Verdict {
  const say = verdictMaker(subject, 'disk');
  const { inspection, root, context } = subject;
  const next = seeDevice(subject);
  const fits = subject.fits.filter(({ shape }) => shape.some((entry) => entry.what === 'disk' || (entry.what === 'layer' && entry.inside[0]?.what === 'disk')));
  const isDisk = allLayers(root).some(({ format }) => context.roles.disks.has(format));
  if (fits.length === 0) return say('not-applicable', 'OpenWrt builds no disk image for this device.', { next });
  if (!isDisk) return say('not-applicable', 'It is not a disk image.', { next });
  if (inspection.status === 'broken') return say('bricks', `It can be written, but it is damaged: ${damageOf(subject)}.`, { next });
  const foreign = subject.foreignFindings();
  if (foreign.length > 0) return say('bricks', `${foreign[0]?.message}.`, { findings: foreign, next });
  const names = inspection.identities.filter(({ source }) => source.endsWith('supported_devices')).map(({ value }) => value);
  if (names.length > 0 && !names.includes(subject.board)) {
    const place = { offset: subject.imageLength, length: subject.length - subject.imageLength };
    const findings = [subject.finding('device-mismatch', place, { device: subject.board, supported: names.join(', ') })];
    return say('bricks', `${findings[0]?.message}.`, { findings, next });
  }
  if (!fits.some(({ answer }) => answer === 'yes')) return say('unknown', 'It is a disk image, but not built as the one of this device.', { next });
  const tree = inspection.identities.some(({ source, value }) => source === 'dtb.compatible' && subject.device.boards.includes(value));
  if (names.length === 0 && !tree) return say('unknown', 'It is a disk image, but nothing in it names the device that it is for.', { next });
  const unpack = root.format === 'gzip' ? `gunzip -c ${fileWord(subject)} | dd of=/dev/DISK bs=4M` : `dd if=${fileWord(subject)} of=/dev/DISK bs=4M`;
  return say('installs', 'It is a disk image built as the one of this device; all on the disk is overwritten.', {
    assumes: ['the disk is at least as large as the image'],
    next: `${unpack} (look twice at the name of the disk)`,
  });
}
