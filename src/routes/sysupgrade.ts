/** What a running OpenWrt would say to the image, and whether what it then writes would boot. */
import type { Finding } from '../core/types.ts';
import { damageFindings, damageOf, fileWord, unwrapAdvice } from './maker.ts';
import { type Compat, compareCompat } from './metadata.ts';
import { platformCheck, requiresMetadata } from './platform-checks.ts';
import type { Fit, Subject } from './subject.ts';
import type { Outcome, Verdict } from './verdict.ts';

/** The object that `validate_firmware_image` prints and LuCI reads. */
export interface FirmwareValidation {
  readonly tests: { readonly fwtool_signature: boolean; readonly fwtool_device_match: boolean; readonly trx_valid?: boolean };
  readonly valid: boolean;
  readonly forceable: boolean;
  readonly allow_backup: boolean;
}

/** What the checks of the running system come to, in its own order: signature, device, platform. */
interface Replay {
  readonly validation: FirmwareValidation;
  /** Findings that make it refuse. */
  readonly refusals: readonly Finding[];
  /** Only without the settings. */
  readonly withoutSettings: Finding | undefined;
  readonly renamed: boolean;
  /** What the platform's check says is not known. */
  readonly undecided: string | undefined;
}

const messageOf = (subject: Subject): string => (subject.metadata.compatMessage === undefined ? '' : ` Its message: "${subject.metadata.compatMessage}"`);

/** The device by all its names, when the running system may call itself by any of them. */
const isThisHardware = (subject: Subject): boolean => subject.metadata.supported?.some((name) => subject.device.boards.includes(name)) === true;

function compatFinding(subject: Subject, compat: Compat, running: string): Finding | undefined {
  if (compat === 'same') return undefined;
  const args = { device: running, image: subject.metadata.compatVersion, message: messageOf(subject) };
  return subject.finding(compat === 'major' ? 'compat-version-major' : 'compat-version-minor', subject.metadataPlace, args);
}

/** Replays `validate_firmware_image` with settings kept, as LuCI and sysupgrade do unless told otherwise. */
export function replay(subject: Subject): Replay {
  const { metadata, device, running } = subject;
  const refusals: Finding[] = [];
  let withoutSettings: Finding | undefined;
  let renamed = false;
  const signatureOk = running.signedOnly !== true || metadata.signed;
  if (!signatureOk) refusals.push(subject.finding('signature-demanded', subject.metadataPlace, { present: 'this one carries no signature' }));
  let deviceOk = true;
  if (metadata.state === 'absent') {
    const required = requiresMetadata(device);
    deviceOk = !required;
    if (required) refusals.push(subject.finding('metadata-missing', subject.metadataPlace, { required: `${device.target} demands it` }));
  } else if (metadata.state === 'invalid' || metadata.supported === undefined) {
    deviceOk = false;
    refusals.push(subject.finding('metadata-missing', subject.metadataPlace, { required: 'what is there names no devices ("Invalid image metadata")' }));
  } else if (!metadata.supported.includes(subject.board)) {
    deviceOk = false;
    renamed = isThisHardware(subject) && subject.foreignFindings().length === 0 && subject.best(['sysupgrade', 'both', 'disk'])?.answer !== 'no';
    const names = { device: subject.board, now: metadata.supported.join(', ') };
    const other = { device: subject.board, supported: metadata.supported.join(', ') };
    refusals.push(renamed ? subject.finding('device-renamed', subject.metadataPlace, names) : subject.finding('device-mismatch', subject.metadataPlace, other));
  } else {
    const compatVersion = running.compatVersion ?? device.compatVersion;
    const compat = compareCompat(compatVersion, metadata.compatVersion);
    const found = compatFinding(subject, compat, compatVersion);
    deviceOk = found === undefined;
    if (compat === 'major' && found !== undefined) refusals.push(found);
    else withoutSettings = found;
  }
  const platform = platformCheck(subject);
  if (platform.ok === false) {
    refusals.push(subject.finding('platform-check-failed', subject.wholeFile, { says: platform.says, why: platform.why }));
    renamed = platform.renamed === true && refusals.length === 1;
  }
  const broken = platform.ok === false && platform.broken === true;
  return {
    validation: {
      tests: {
        fwtool_signature: signatureOk,
        fwtool_device_match: deviceOk,
        ...(platform.ok !== null && platform.trx === true ? { trx_valid: platform.ok } : {}),
      },
      valid: refusals.length === 0 && withoutSettings === undefined,
      forceable: !broken,
      allow_backup: !(platform.ok === true && platform.noBackup === true),
    },
    refusals,
    withoutSettings,
    renamed,
    undecided: platform.ok === null ? platform.why : undefined,
  };
}

/** What was taken for granted of the running system; of a refusal only what could have been otherwise. */
function assumptions(subject: Subject, refusals: readonly Finding[]): string[] {
  const { device, running, metadata } = subject;
  const matters = (codes: readonly string[]): boolean => refusals.length === 0 || refusals.some(({ code }) => codes.includes(code));
  const assumes: string[] = [];
  if (running.board === undefined && matters(['device-mismatch', 'device-renamed', 'platform-check-failed'])) {
    assumes.push(`the running system calls itself ${subject.board}; --from NAME if it has another name`);
  }
  if (running.compatVersion === undefined && matters(['compat-version-major'])) {
    const here = `the running system has compat version ${device.compatVersion}, the one OpenWrt now sets for this device`;
    const ifOld = metadata.state === 'present' && device.compatVersion !== '1.0' ? compareCompat('1.0', metadata.compatVersion) : 'same';
    const would = { same: '', minor: '; if it were 1.0, only without keeping the settings', major: '; if it were 1.0, it would refuse' }[ifOld];
    assumes.push(`${here}${would}; --compat X.Y if it has another one`);
  }
  if (running.signedOnly !== true && matters([])) assumes.push('the running system does not demand signed images; --signed-only if it does');
  return assumes;
}

/** What would come of `sysupgrade -F`, where that is certain. */
function forcedWords(subject: Subject, fit: Fit, foreign: readonly Finding[]): string {
  const { root, context, inspection } = subject;
  // A gzip is unpacked and a disk is written whole, whatever the checks said.
  if (root.format === 'gzip' || context.roles.disks.has(root.format)) return '';
  const deadly = foreign.length > 0 || fit.match.misfits.some(({ what }) => what === 'layer') || (fit.answer === 'yes' && subject.sizeFindings(fit).length > 0);
  if (deadly) return ' Do not force it: it would be written, and not boot.';
  return inspection.status === 'broken' ? ` Do not force it: the file is damaged (${damageOf(subject)}).` : '';
}

/** The right content in the wrong wrapper: packed where the bare image is wanted, or unpacked where the packed one is. */
function packedAdvice(subject: Subject): string | undefined {
  const { root, context, metadata } = subject;
  if (metadata.state !== 'absent') return undefined;
  const isPacked = ({ shape }: Fit): boolean => shape[0]?.what === 'layer' && shape[0].format === 'gzip';
  const own = subject.fits.find(({ image }) => image.role === 'sysupgrade' || image.role === 'disk');
  if (own === undefined || !isPacked(own)) return unwrapAdvice(subject);
  if (!context.roles.disks.has(root.format) && root.format !== 'gzip') return undefined;
  return `Use ${own.image.name} as it was published, packed: its metadata stands behind the packed bytes and is lost when somebody unpacks or packs it again.`;
}

/** The verdict for LuCI and `sysupgrade` on a running OpenWrt. */
export function sysupgradeVerdict(subject: Subject): Verdict {
  const base = { device: subject.device.profile, route: 'sysupgrade' as const };
  const { refusals, withoutSettings, renamed, undecided } = replay(subject);
  const assumes = assumptions(subject, refusals);
  const verdict = (outcome: Outcome, reason: string, findings: readonly Finding[], next: string): Verdict => ({
    ...base,
    outcome,
    reason,
    assumes,
    findings,
    next,
  });
  const { device, inspection } = subject;
  const right = `Use the sysupgrade image of ${device.title}: owimg devices ${device.profile} names it.`;
  const fit = subject.best(['sysupgrade', 'both', 'disk']);
  if (fit === undefined) return verdict('not-applicable', `OpenWrt builds no sysupgrade image for ${device.title}.`, [], `owimg devices ${device.profile}`);
  const foreign = subject.foreignFindings();
  if (refusals.length > 0) {
    const [first] = refusals as [Finding];
    const intact = foreign.length === 0 && inspection.status !== 'broken';
    if (renamed && refusals.length === 1 && intact && fit.answer === 'yes') {
      const next = `sysupgrade -F -n ${fileWord(subject)} (it overrides the name check only; the settings are lost)`;
      return verdict('refused', 'It is the image of this very hardware, refused only because the device has another name now.', refusals, next);
    }
    const loader = subject.loaderInside;
    const findings = [...refusals, ...foreign, ...(loader === undefined ? [] : [loader.finding])];
    const reason = `The running system refuses it before anything is written: ${first.message}.${forcedWords(subject, fit, foreign)}`;
    return verdict('refused', reason, findings, packedAdvice(subject) ?? right);
  }
  if (inspection.status === 'broken') {
    return verdict('bricks', `Nothing on the way stops this broken image: ${damageOf(subject)}.`, damageFindings(subject), right);
  }
  if (foreign.length > 0) {
    const findings = [...foreign, ...fit.match.misfits.map((misfit) => subject.misfitFinding(misfit))];
    return verdict('bricks', `The running system would take it, but ${foreign[0]?.message}.`, findings, right);
  }
  if (inspection.status === 'unknown') return verdict('unknown', 'owimg does not recognise the file.', [], 'owimg formats lists what it reads.');
  if (fit.answer === 'no') return misfitVerdict(subject, fit, verdict, right);
  const sizes = subject.sizeFindings(fit);
  if (sizes.length > 0) return verdict('bricks', `Nothing on the way stops it, but it does not fit: ${sizes[0]?.message}.`, sizes, right);
  if (fit.answer === 'unknown') {
    const [step] = fit.match.unknownSteps;
    const why = step === undefined ? 'nothing in it could be compared with' : `owimg does not know the step "${step}" of`;
    return verdict('unknown', `The running system would take it, but ${why} the recipe of this device's image.`, [], right);
  }
  if (undecided !== undefined) return verdict('unknown', `${undecided}.`, [], right);
  if (withoutSettings !== undefined) {
    const next = `sysupgrade -n ${fileWord(subject)}`;
    return verdict('installs-without-settings', `It installs, but the settings are lost: ${withoutSettings.message}.`, [withoutSettings], next);
  }
  const named = subject.metadata.state === 'present' ? 'its metadata names the device' : 'this target asks for no metadata';
  const what = `It is built as OpenWrt builds ${fit.image.name} for this device, ${named}, and all its checks pass.`;
  return verdict('installs', what, [], `sysupgrade ${fileWord(subject)}`);
}

/** The running system takes the image, but it is not built as the device's own is. */
function misfitVerdict(
  subject: Subject,
  fit: Fit,
  verdict: (outcome: Outcome, reason: string, findings: readonly Finding[], next: string) => Verdict,
  right: string,
): Verdict {
  if (subject.isKernelAlone && subject.initramfs?.answer === 'yes') {
    const findings = [subject.finding('initramfs-not-installable', subject.wholeFile, {})];
    const reason = 'It would be written in place of the system and run from RAM at every start: no setting would last, and the room for it may not suffice.';
    return verdict('bricks', reason, findings, right);
  }
  const findings = fit.match.misfits.map((misfit) => subject.misfitFinding(misfit));
  if (fit.match.misfits.every(({ what }) => what !== 'layer')) {
    return verdict('unknown', `The running system would take it, but it is not built as for this device: ${findings[0]?.message}.`, findings, right);
  }
  return verdict('bricks', `The running system would take it, but it would not boot: ${findings[0]?.message}.`, findings, right);
}
