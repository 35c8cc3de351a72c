/** One image of a build: whether it is the published one, sound, and fit for the device that it is listed for. */
import { type Checked, checkWith } from '../check.ts';
import { finding } from '../core/findings.ts';
import type { Finding, Inspection, Kind, Status } from '../core/types.ts';
import type { Device } from '../devices/facts.ts';
import { readMetadata } from '../routes/metadata.ts';
import { type Context, Subject } from '../routes/subject.ts';
import type { Outcome, Route } from '../routes/verdict.ts';
import type { ListedImage } from './release.ts';

/** What came of one file; a line of the NDJSON. */
export interface AuditRecord {
  /** From the folder given, with slashes. */
  readonly path: string;
  readonly size: number | null;
  readonly sha256: string | null;
  readonly format: string | null;
  readonly kind: Kind | null;
  readonly status: Status | null;
  readonly target: string | null;
  readonly profile: string | null;
  /** What the metadata says it is for. */
  readonly boards: readonly string[];
  readonly compatVersion: string | null;
  /** Of the way that an image of this type is made for; `null` where it is made for none, or the device is not known. */
  readonly verdict: { readonly route: Route; readonly outcome: Outcome; readonly reason: string } | null;
  readonly findings: readonly Finding[];
  /** Why the file could not be read. */
  readonly error: string | null;
}

/** A share of its room from which on a kernel is worth a warning. */
const nearLimit = 0.95;

/** The route for a type of image as the build system calls it; others are parts, or for nobody's door. */
function routeOf(type: string | undefined, kind: Kind): Route | undefined {
  if (type === 'sysupgrade') return 'sysupgrade';
  if (type === 'factory') return 'stock';
  if (type === undefined && (kind === 'sysupgrade' || kind === 'factory')) return kind === 'factory' ? 'stock' : 'sysupgrade';
  return undefined;
}

export interface AuditSubject {
  readonly path: string;
  readonly name: string;
  readonly length: number;
  readonly sha256: string;
  readonly inspection: Inspection;
  readonly listed: ListedImage | undefined;
  /** Whether the folder has a list that could name it. */
  readonly hasList: boolean;
  readonly target: string | undefined;
}

function listFindings({ listed, sha256, length, hasList }: AuditSubject): Finding[] {
  const whole = { offset: 0, length };
  if (listed === undefined)
    return hasList ? [{ ...finding('image-not-listed', { offset: 0, length: 0 }, { list: 'the lists of its folder' }), layer: '' }] : [];
  if (listed.sha256 === undefined || listed.sha256 === sha256) return [];
  return [{ ...finding('digest-mismatch', whole, { list: listed.list, expected: listed.sha256, actual: sha256 }), layer: '' }];
}

function deviceOf(subject: AuditSubject, context: Context): Device | undefined {
  const profile = subject.listed?.profile;
  if (profile === undefined) return undefined;
  const named = context.facts.devices.filter((device) => device.profile === profile);
  return named.find(({ target }) => target === subject.target) ?? named[0];
}

function kernelFindings(image: Subject): Finding[] {
  const limit = image.device.sizes.kernel;
  const length = image.kernel?.length;
  if (limit === undefined || length === undefined || image.device.flags['KERNEL_IN_UBI'] === '1') return [];
  if (length > limit || length < nearLimit * limit) return [];
  return [
    image.finding('kernel-near-limit', image.kernel as { offset: number; length: number }, { length, limit, percent: Math.floor((100 * length) / limit) }),
  ];
}

/** Audits one image. Pure. */
export function auditImage(subject: AuditSubject, context: Context): AuditRecord {
  const { inspection, listed, path, name, length, sha256 } = subject;
  const device = deviceOf(subject, context);
  const findings: Finding[] = [...listFindings(subject), ...inspection.findings.filter(({ severity }) => severity !== 'note')];
  const metadata = readMetadata(inspection.root);
  const wanted = routeOf(listed?.type, inspection.kind);
  let checked: Checked | undefined;
  if (device !== undefined || listed?.profile === undefined) {
    // The next release may have another compat version than the facts: an image is upgraded to from its own kind.
    checked = checkWith(inspection, length, context, { device, name, running: { compatVersion: metadata.compatVersion } });
  } else {
    findings.push({ ...finding('profile-unknown', { offset: 0, length: 0 }, { profile: listed.profile }), layer: '' });
  }
  const both = device?.images.some(({ role, name: image }) => role === 'both' && name.endsWith(image)) === true;
  const route = both && wanted === 'stock' ? 'sysupgrade' : wanted;
  const verdict = checked?.verdicts.find((entry) => entry.route === route);
  if (verdict !== undefined) findings.push(...verdict.findings);
  if (device !== undefined && inspection.kind !== 'unknown') {
    findings.push(...kernelFindings(new Subject(inspection, length, name, device, {}, context)));
  }
  return {
    path,
    size: length,
    sha256,
    format: inspection.format,
    kind: inspection.kind,
    status: inspection.status,
    target: subject.target ?? device?.target ?? null,
    profile: listed?.profile ?? checked?.device?.profile ?? null,
    boards: metadata.supported ?? [],
    compatVersion: metadata.state === 'present' ? metadata.compatVersion : null,
    verdict: verdict === undefined ? null : { route: verdict.route, outcome: verdict.outcome, reason: verdict.reason },
    findings,
    error: null,
  };
}

const empty = { size: null, sha256: null, format: null, kind: null, status: null, target: null, profile: null, boards: [], compatVersion: null, verdict: null };

/** A file that could not be read. */
export const unreadRecord = (path: string, error: string): AuditRecord => ({ path, ...empty, findings: [], error });

/** Findings about a list or a whole build, not about one image. */
export const listRecord = (path: string, findings: readonly Finding[]): AuditRecord => ({ path, ...empty, findings, error: null });
