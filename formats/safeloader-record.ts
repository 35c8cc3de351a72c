/**
 * A record of TP-Link's SafeLoader as it lies in flash: a length and a zero, big endian, and then the version of
 * the firmware or the list of devices that may take it. No checksum.
 *
 * The sysupgrade images of the CPE and WBS devices end with two of them, because the flash keeps them behind the
 * root file system and the boot loader looks for them. In a factory image they are partitions, which
 * `tplink-safeloader` reads.
 *
 * Layout and writer: firmware-utils tplink-safeloader.c (-S).
 */
import type { Format } from '../src/core/format.ts';
import { region } from '../src/core/format.ts';
import { toBytes } from '../src/core/hex.ts';
import { type RecordName, readRecord, recogniseRecord, recordHeader } from '../src/core/safeloader-metadata.ts';

export const safeloaderRecord: Format = {
  id: 'safeloader-record',
  title: 'SafeLoader record in flash',
  summary: 'Version and supported devices, which the sysupgrade images of some TP-Link devices carry behind the root file system.',
  role: 'mark',
  kind: 'unknown',
  references: [{ title: 'firmware-utils tplink-safeloader.c', url: 'https://github.com/openwrt/firmware-utils/blob/d21804ad/src/tplink-safeloader.c' }],
  limitations: ['`extra-para`, which no sysupgrade image carries, is too short to be recognised outside of a factory image.'],
  magics: [
    { offset: recordHeader.length, bytes: toBytes('SupportList:') },
    { offset: recordHeader.length, bytes: toBytes('soft_ver:') },
  ],

  detect: (bytes) => (recogniseRecord(bytes) === undefined ? 'no' : 'yes'),

  parse(bytes, { budget }) {
    const name = recogniseRecord(bytes) as RecordName;
    const values = recordHeader.read(bytes);
    const length = Math.min(recordHeader.length + values.length, bytes.length);
    const record = readRecord(bytes, { offset: 0, length: bytes.length }, name, budget.limits.entries);
    return {
      length,
      summary: `SafeLoader ${name}`,
      fields: [...recordHeader.fields(values), ...record.fields],
      regions: [region('header', 'length', 0, recordHeader.length), region('metadata', name, recordHeader.length, length - recordHeader.length)],
      checks: [],
      findings: record.findings,
      identities: record.identities,
      payloads: [],
    };
  },
};
