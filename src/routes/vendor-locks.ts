/**
 * Vendor firmware and boot loaders that take only what the vendor has signed, from some version on, and those that must have a newer version
 * first. Which version is on the device cannot be seen from a file: `--stock VERSION` tells it.
 */
import type { Finding } from '../core/types.ts';
import type { Subject } from './subject.ts';

interface Lock {
  /** Profiles begin with this. */
  readonly profiles: readonly string[];
  /** The ways that look: the vendor's web page, the boot loader. */
  readonly ways: readonly ('stock' | 'tftp')[];
  /** The first version that wants a signature; `undefined`: all do. */
  readonly from?: string;
  /** The first version that takes OpenWrt's image at all. */
  readonly since?: string;
  /** What has been seen where nothing stopped it. */
  readonly outcome: 'refused' | 'bricks';
  /** What to do about it. */
  readonly advice: string;
  readonly source: string;
}

const locks: readonly Lock[] = [
  {
    profiles: ['linksys_e8450', 'belkin_rt3200'],
    ways: ['stock'],
    from: '1.1.01.272918',
    outcome: 'refused',
    advice: 'Use the installer whose name ends in _signed.itb.',
    source: 'https://github.com/dangowrt/owrt-ubi-installer/issues/139',
  },
  {
    profiles: ['ubnt_unifi-ap', 'ubnt_unifiac'],
    ways: ['stock'],
    from: '3.4.14',
    outcome: 'refused',
    advice: 'Go back to an older version of the vendor firmware first; the page of the device in the OpenWrt wiki names it.',
    source: 'https://github.com/openwrt/openwrt/issues/423',
  },
  {
    profiles: ['ubnt_bullet-ac', 'ubnt_lap-120', 'ubnt_litebeam-ac', 'ubnt_nanobeam-ac', 'ubnt_nanostation-ac', 'ubnt_powerbeam-5ac', 'ubnt_rocket-5ac'],
    ways: ['stock', 'tftp'],
    outcome: 'refused',
    advice: 'Install over SSH with a patched fwupdate, on exactly the AirOS version that the commit which added the device names.',
    source: 'https://github.com/openwrt/openwrt/pull/689',
  },
  {
    profiles: [
      'ubnt_bullet-m',
      'ubnt_nanobridge-m',
      'ubnt_nanostation-loco-m',
      'ubnt_nanostation-m',
      'ubnt_picostation-m',
      'ubnt_powerbridge-m',
      'ubnt_rocket-m',
    ],
    ways: ['stock', 'tftp'],
    from: '5.6',
    outcome: 'bricks',
    advice: "Go back to AirOS 5.5 with the vendor's own image first: it brings its boot loader along.",
    source: 'https://github.com/freifunk-gluon/gluon/issues/663',
  },
  {
    profiles: ['engenius_ews2910p'],
    ways: ['stock'],
    since: '1.06.21',
    outcome: 'refused',
    advice: 'Bring the vendor firmware up to 1.06.21 first, version by version.',
    source: 'https://github.com/openwrt/openwrt/issues/19424',
  },
  {
    profiles: ['tplink_eap'],
    ways: ['stock'],
    outcome: 'refused',
    advice: 'Switch the check off first: turn SSH on in the vendor firmware, log in and type cliclientd stopcs; it holds until the next start.',
    source: 'https://openwrt.org/toh/tp-link/eap615-wall',
  },
];

/** Compares `1.06.21` and `1.6.9` number by number: below 0 if the first is older. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((text) => [...text.matchAll(/\d+/g)].map(([digits]) => Number(digits))) as [number[], number[]];
  for (let index = 0; index < Math.max(left.length, right.length); index += 1) {
    const difference = (left[index] ?? 0) - (right[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

export interface LockVerdict {
  readonly outcome: 'refused' | 'bricks';
  readonly reason: string;
  readonly finding: Finding;
  readonly advice: string;
}

const lockOf = ({ device }: Subject, way: 'stock' | 'tftp'): Lock | undefined =>
  locks.find(({ profiles, ways }) => ways.includes(way) && profiles.some((start) => device.profile.startsWith(start)));

/** Something in the file is signed; whether by the vendor, only the device can tell. */
const isSigned = ({ inspection }: Subject): boolean => inspection.findings.some(({ code }) => code === 'signature-key-missing');

/** What the vendor's lock does to this file on the version that was told; `undefined` if it lets it in, or nothing is known. */
export function lockVerdict(subject: Subject, way: 'stock' | 'tftp'): LockVerdict | undefined {
  const lock = lockOf(subject, way);
  const version = subject.running.stockVersion;
  if (lock === undefined || version === undefined || isSigned(subject)) return undefined;
  const { outcome, advice, source, from, since } = lock;
  if (since === undefined ? from !== undefined && compareVersions(version, from) < 0 : compareVersions(version, since) >= 0) return undefined;
  const place = { offset: 0, length: 0 };
  const finding =
    since === undefined
      ? subject.finding('vendor-signature-missing', place, { version, from: from ?? 'the first one', source })
      : subject.finding('vendor-version-too-old', place, { version, since, source });
  const seen = outcome === 'bricks' ? ' Not all of them check before they write: devices have been bricked like this.' : '';
  return { outcome, reason: `${finding.message}.${seen}`, finding, advice };
}

/** What is taken for granted of the vendor firmware where its version was not told. */
export function lockAssumption(subject: Subject, way: 'stock' | 'tftp'): string {
  const lock = lockOf(subject, way);
  if (lock === undefined || isSigned(subject)) return 'the vendor firmware on the device takes unsigned images and does not forbid this version';
  const { from, since, advice, source } = lock;
  if (since !== undefined) return `the vendor firmware has version ${since} or newer (${source}); --stock VERSION if it is older`;
  if (from === undefined) return `the signature check of the vendor firmware was got round (${source}). ${advice}`;
  return `the vendor firmware is older than ${from}, which wants a signature (${source}); --stock VERSION if it is not`;
}
