/**
 * The words that everything else is made of. No imports, no code.
 *
 * Offsets and lengths are bytes. What a format returns counts from the first byte of the window it was
 * given; the engine alone turns that into offsets of the file.
 */

/** A stretch of bytes. */
export interface Range {
  readonly offset: number;
  readonly length: number;
}

/** `yes`: structure or checksum leaves no doubt. `maybe`: only right where nothing better fits. */
export type Confidence = 'no' | 'maybe' | 'yes';

export type Kind = 'factory' | 'sysupgrade' | 'recovery' | 'initramfs' | 'kernel' | 'rootfs' | 'bootloader' | 'disk' | 'archive' | 'unknown';

export type Status = 'sound' | 'doubtful' | 'broken' | 'unknown';

export type Severity = 'error' | 'warning' | 'note';

/**
 * - `header`: numbers and names that a format reads.
 * - `payload`: bytes that the format carries for somebody else.
 * - `padding`: filler, known to be filler by its value or by the format.
 * - `metadata`: data about the image which is not part of what boots (an appended trailer, a table of names).
 * - `unknown`: nobody understands these bytes.
 */
export type RegionKind = 'header' | 'payload' | 'padding' | 'metadata' | 'unknown';

export interface Region extends Range {
  readonly kind: RegionKind;
  readonly label: string;
}

export type FieldValue = number | string | readonly (number | string)[];

export interface Field extends Range {
  readonly name: string;
  readonly value: FieldValue;
  readonly meaning?: string;
}

/** `ok: null` is a check that cannot be made, for instance because the stored value is left empty by design. */
export interface Check {
  readonly name: string;
  readonly algorithm: string;
  readonly ok: boolean | null;
  readonly expected: string | null;
  readonly actual: string | null;
  /** The bytes in which any changed bit makes this check fail, the stored value's own bytes among them. */
  readonly covers: readonly Range[];
}

export interface Identity {
  /** Format and field, as `fwtool.supported_devices`. */
  readonly source: string;
  readonly value: string;
  readonly offset: number;
}

export interface Finding extends Range {
  readonly code: string;
  readonly severity: Severity;
  readonly message: string;
  readonly hint?: string;
  /** Path of format ids from the root, as `netgear-chk/trx`. */
  readonly layer: string;
}

/** Where bytes come from that do not lie in the file as such. */
export interface Source {
  readonly how: 'unpacked' | 'gathered';
  readonly by: string;
  readonly from: readonly Range[];
}

/** One format's reading of one stretch of bytes. */
export interface Layer extends Range {
  readonly format: string;
  /** The name under which its parent carries it: a partition, a tar member, a volume. */
  readonly label?: string;
  /** What it is, in words for people: `uImage "MIPS OpenWrt Linux-6.6.99" (linux mips kernel, lzma)`. */
  readonly summary?: string;
  readonly source?: Source;
  readonly fields: readonly Field[];
  readonly regions: readonly Region[];
  readonly checks: readonly Check[];
  readonly findings: readonly Finding[];
  readonly children: readonly Layer[];
}

export interface Coverage {
  /** Share of the file's bytes that a passed check protects, 0 to 1. */
  readonly checked: number;
  readonly ranges: readonly (Range & { readonly checks: readonly string[] })[];
}

/** What `inspect` answers; the JSON of `owimg inspect --json` without `tool` and `file.path`. */
export interface Inspection {
  /** Id of the outermost layer, `unknown` if there is none. */
  readonly format: string;
  readonly kind: Kind;
  readonly status: Status;
  readonly identities: readonly Identity[];
  /** Spans the whole file, whatever it is. */
  readonly root: Layer;
  readonly findings: readonly Finding[];
  readonly coverage: Coverage;
}
