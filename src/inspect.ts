/**
 * The engine: bytes in, a tree of layers out. It asks the formats it is given and knows none by name.
 *
 * Three things are its own: where a layer may begin (walking a stretch of flash from one thing to the
 * next), turning offsets of a window into offsets of the file, and what the tree as a whole amounts to
 * (kind, status, coverage).
 */

import { standsAt } from './core/bytes.ts';
import { type CodedCheck, failedCheck, mergeRanges } from './core/checksums.ts';
import { finding, type LocalFinding } from './core/findings.ts';
import { type AnyFormat, type Magic, nowhere, type ParseContext, type Payload, type Reading, type Role, region } from './core/format.ts';
import { hexBytes } from './core/hex.ts';
import { allLayers } from './core/layers.ts';
import { Budget, defaultLimits, type Limits } from './core/limits.ts';
import { paddingLength, trailingPadding } from './core/padding.ts';
import type { FlashPiece } from './core/recipe-step.ts';
import type { Coverage, Field, Finding, Identity, Inspection, Kind, Layer, Range, Region, Source, Status } from './core/types.ts';
import { nameFindings } from './file-name.ts';
import { lineEndDamage, recogniseOther, swappedBytes } from './not-firmware.ts';

export interface InspectOptions {
  /** Unpack kernels too (LZMA, gzip, xz), check their lengths and find device trees in them. */
  readonly deep?: boolean;
  /** The file's name; only ever compared with the content, never believed. */
  readonly name?: string;
  readonly limits?: Partial<Limits>;
}

/** An unknown stretch of fewer bytes is seen as a region, but gets no finding of its own. */
const shortestUnknown = 16;

/** The id of the root layer where a kernel and a root file system lie one after the other without a header around them. */
export const sliceId = 'flash-slice';

/** Bytes with offsets of their own: the file, or what was unpacked or gathered from it. */
interface Space {
  readonly bytes: Uint8Array;
  /** Where these bytes lie in the file, in order; `null` if they do not lie there as such. */
  readonly places: readonly Place[] | null;
}

/** A stretch of the file, or of {@link nowhere}, that stands at `start` in a space. */
interface Place extends Range {
  readonly start: number;
}

/** Lays stretches of the file one behind the other. */
function layOut(ranges: readonly Range[]): Place[] {
  let start = 0;
  return ranges.map(({ offset, length }) => {
    start += length;
    return { offset, length, start: start - length };
  });
}

interface Window extends Range {
  readonly space: Space;
}

interface Piece {
  readonly region: Region;
  readonly layer?: Layer;
  readonly format?: AnyFormat;
  readonly reading?: Reading;
}

/** A magic number to look for. */
interface Searched extends Magic {
  readonly format: AnyFormat;
}

/** How a stretch is to be walked. */
interface Walk {
  readonly depth: number;
  readonly path: string;
  /** The one region label and what the leading bytes are if nobody knows them. */
  readonly label: string;
  readonly unexplained: 'payload' | 'unknown';
  readonly content: 'one' | 'slice';
  readonly compression?: string | undefined;
  readonly behind?: Payload['behind'] | undefined;
  /** Whether everything around is an archive or a compressed stream, so that this is still "the file". */
  readonly outer: boolean;
  /** One of several files in an archive: not each has to be firmware. */
  readonly member?: boolean;
  readonly source?: Source | undefined;
  /** Findings of the walk itself, for the layer that holds the stretch. */
  readonly findings: LocalFinding[];
}

/** For the layers of a file: its name and where it comes from stand at the one that spans it. */
const nameless = { label: '', source: undefined } as const;

const subWindow = (window: Window, offset: number, length = window.length - offset): Window => ({
  space: window.space,
  offset: window.offset + offset,
  length,
});
const bytesOf = (window: Window): Uint8Array => window.space.bytes.subarray(window.offset, window.offset + window.length);

/** As many bytes as tell what something is, or all if there are fewer. */
const beginning = (bytes: Uint8Array, { offset, length }: Range): string => hexBytes(bytes.subarray(offset, offset + Math.min(length, 8)));

/** Whether what the format holds is a file again, and not the part of an image. */
const packsFiles = (format: AnyFormat): boolean => format.role === 'archive' || (format.role === 'compressed' && format.kind === 'archive');

/** Maps a stretch of a space to the file; pieces, because a gathered space lies scattered. */
function placesInFile(space: Space, range: Range): Range[] {
  const { places } = space;
  if (places === null) return [];
  const end = range.offset + range.length;
  // The last place that begins at or in front of the stretch: a volume has thousands of them.
  let [low, high] = [0, places.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((places[middle] as Place).start <= range.offset) low = middle + 1;
    else high = middle;
  }
  const found: Range[] = [];
  for (let index = Math.max(0, low - 1); index < places.length; index += 1) {
    const place = places[index] as Place;
    if (place.start >= end) break;
    const from = Math.max(range.offset, place.start);
    const to = Math.min(end, place.start + place.length);
    if (to > from) found.push({ offset: place.offset === nowhere ? nowhere : place.offset + (from - place.start), length: to - from });
  }
  return found;
}

class Inspector {
  readonly #formats: readonly AnyFormat[];
  readonly #known: ReadonlySet<string>;
  /** What may begin at a byte, by that byte. */
  readonly #searched: readonly (readonly Searched[])[];
  /** Which pairs of bytes begin a magic number: nearly none do, and this is asked at every byte nobody explains. */
  readonly #pairs = new Uint8Array(1 << 16);
  readonly #budget: Budget;
  readonly #deep: boolean;
  readonly identities: Identity[] = [];
  /** The bytes of everything that does not lie in the file as such, by where it comes from. Only filled where they are asked for. */
  readonly unpacked: Map<Source, Uint8Array> | undefined;
  readonly covered: (Range & { check: string })[] = [];
  /** What each layer said it is; not part of the layer, for only the outermost one's counts. */
  readonly kinds = new Map<Layer, Kind>();

  constructor(formats: readonly AnyFormat[], budget: Budget, deep: boolean, unpacked?: Map<Source, Uint8Array>) {
    this.#formats = formats;
    this.#known = new Set(formats.map((format) => format.id));
    this.#budget = budget;
    this.#deep = deep;
    this.unpacked = unpacked;
    const searched: Searched[][] = Array.from({ length: 256 }, () => []);
    for (const format of formats) {
      for (const { offset, bytes } of format.magics ?? []) {
        const [first, second] = bytes as unknown as [number, number];
        searched[first]?.push({ format, offset, bytes });
        this.#pairs[(first << 8) | second] = 1;
      }
    }
    this.#searched = searched;
  }

  /** The format at the window's first byte. `mark`s only where asked for, `trailer`s and `footer`s never. */
  detect(bytes: Uint8Array, atStart: boolean, compression?: string): AnyFormat | undefined {
    let maybe: AnyFormat | undefined;
    for (const format of this.#formats) {
      if (format.role === 'trailer' || format.role === 'footer' || (atStart && format.role === 'mark')) continue;
      // Where a header says that nothing is compressed, only a magic number proves the contrary.
      const confidence = format.detect(bytes);
      if (confidence === 'maybe' && compression === 'none' && format.role === 'compressed') continue;
      if (confidence === 'yes') return format;
      if (confidence === 'maybe' && (maybe === undefined || format.id === compression)) maybe = format;
    }
    return atStart ? maybe : undefined;
  }

  /** The first offset from `from` on where a format with a magic number proves itself; the length if there is none. */
  findNext(bytes: Uint8Array, from: number): number {
    const pairs = this.#pairs;
    let pair = bytes[from] ?? 0;
    for (let offset = from; offset + 1 < bytes.length && this.#budget.maySearch; offset += 1) {
      pair = ((pair & 0xff) << 8) | (bytes[offset + 1] as number);
      if (pairs[pair] === 0) continue;
      for (const candidate of this.#searched[pair >> 8] as readonly Searched[]) {
        const start = offset - candidate.offset;
        if (start < from || !standsAt(bytes, offset, candidate.bytes)) continue;
        if (candidate.format.detect(bytes.subarray(start)) === 'yes') return start;
        this.#budget.tookFalseMagic();
      }
    }
    return bytes.length;
  }

  /** Reads one layer with a format; its payloads are walked. */
  async read(format: AnyFormat, window: Window, walk: Walk, given?: Reading): Promise<{ layer: Layer; reading: Reading }> {
    const context: ParseContext = {
      unpack: this.#deep || (walk.outer && (format.role === 'archive' || format.role === 'compressed')),
      deep: this.#deep,
      budget: this.#budget,
    };
    const reading = given ?? ((await format.parse(bytesOf(window), context)) as Reading);
    const start = reading.start ?? 0;
    const path = walk.path === '' ? format.id : `${walk.path}/${format.id}`;
    const outer = walk.outer && packsFiles(format);
    const local: LocalFinding[] = [...reading.checks.filter((check) => check.ok === false).map(failedCheck), ...reading.findings];
    const children: Layer[] = [];
    const explained: Region[] = [];
    for (const payload of reading.payloads) {
      const pieces = await this.#payload(format, payload, window, { depth: walk.depth + 1, path, outer, findings: local });
      if (pieces === null) continue;
      children.push(...pieces.flatMap((piece) => (piece.layer === undefined ? [] : [piece.layer])));
      if (payload.unpacked === undefined && payload.gathered === undefined) explained.push(...pieces.map((piece) => piece.region));
    }
    const searched = format.role === 'archive' && outer && local.every((entry) => entry.severity === 'note');
    if (searched && children.length === 0) {
      const code = local.some((entry) => entry.code === 'member-unknown') ? 'archive-unrecognised' : 'archive-without-firmware';
      local.push(finding(code, { offset: start, length: reading.length }, { count: reading.payloads.length }));
    }
    const regions = putIn(reading.regions, explained, window.offset);
    // An error explains what could not be read because of it.
    if (local.every(({ severity }) => severity !== 'error')) local.push(...unexplained(regions, local, bytesOf(window)));
    const { fields, findings } = this.#shown(reading.fields, local, { offset: start, length: reading.length });
    const shift = window.offset;
    const moved = <T extends Range>(entry: T): T => ({ ...entry, offset: entry.offset + shift });
    const layer: Layer = {
      format: format.id,
      ...(walk.label === '' ? {} : { label: walk.label }),
      ...(reading.summary === undefined ? {} : { summary: reading.summary }),
      offset: shift + start,
      length: reading.length,
      ...(walk.source === undefined ? {} : { source: walk.source }),
      fields: fields.map(moved),
      regions: regions.map(moved),
      checks: reading.checks.map(({ name, algorithm, ok, expected, actual, covers }) => ({ name, algorithm, ok, expected, actual, covers: covers.map(moved) })),
      findings: findings.map((entry) => ({ ...moved(entry), layer: path })),
      children,
    };
    for (const identity of reading.identities) this.identities.push({ ...identity, offset: identity.offset + shift });
    this.#cover(window.space, reading.checks, shift);
    this.kinds.set(layer, reading.kind ?? format.kind);
    return { layer, reading };
  }

  /** As much as one layer may show, the worst findings first if there are too many. */
  #shown(fields: readonly Field[], findings: readonly LocalFinding[], place: Range): { fields: readonly Field[]; findings: readonly LocalFinding[] } {
    const { shown } = this.#budget.limits;
    if (fields.length <= shown && findings.length <= shown) return { fields, findings };
    const omitted = { fields: Math.max(0, fields.length - shown), findings: Math.max(0, findings.length - shown) };
    const bySeverity = (['error', 'warning', 'note'] as const).flatMap((severity) => findings.filter((entry) => entry.severity === severity));
    const kept = findings.length <= shown ? findings : bySeverity.slice(0, shown);
    return { fields: fields.slice(0, shown), findings: [...kept, finding('details-omitted', place, omitted)] };
  }

  #cover(space: Space, checks: readonly CodedCheck[], shift: number): void {
    for (const check of checks) {
      if (check.ok !== true) continue;
      for (const range of check.covers) {
        for (const place of placesInFile(space, { offset: range.offset + shift, length: range.length })) {
          if (place.offset !== nowhere) this.covered.push({ ...place, check: check.name });
        }
      }
    }
  }

  /** What lies in a payload; `null` where it is not looked into. */
  async #payload(parent: AnyFormat, payload: Payload, window: Window, inherited: Pick<Walk, 'depth' | 'path' | 'outer' | 'findings'>): Promise<Piece[] | null> {
    if (payload.content === 'opaque') return null;
    const { findings } = inherited;
    const first = payload.ranges[0] ?? { offset: 0, length: 0 };
    if (inherited.depth > this.#budget.limits.depth) {
      findings.push(finding('nesting-too-deep', first, { limit: this.#budget.limits.depth }));
      return null;
    }
    let inner = subWindow(window, first.offset, first.length);
    let source: Source | undefined;
    const elsewhere = payload.unpacked ?? payload.gathered;
    if (elsewhere !== undefined) {
      const from = payload.ranges.map(({ offset, length }) => ({ offset: offset === nowhere ? nowhere : offset + window.offset, length }));
      const places = from.flatMap((range) => (range.offset === nowhere ? [range] : placesInFile(window.space, range)));
      const scattered = payload.gathered !== undefined && window.space.places !== null;
      source = { how: payload.unpacked === undefined ? 'gathered' : 'unpacked', by: elsewhere.by, from: from.filter(({ offset }) => offset !== nowhere) };
      this.unpacked?.set(source, elsewhere.bytes);
      inner = { space: { bytes: elsewhere.bytes, places: scattered ? layOut(places) : null }, offset: 0, length: elsewhere.bytes.length };
    }
    const walk: Walk = {
      ...inherited,
      label: payload.label,
      unexplained: 'payload',
      // What an archive held is a file again: anything may follow anything in it.
      content: payload.content ?? (inherited.outer ? 'slice' : 'one'),
      compression: payload.compression,
      behind: payload.behind,
      member: parent.role === 'archive',
      source,
    };
    const pieces = inherited.outer ? await this.file(inner, walk) : await this.#withFooter(inner, walk, payload.footer === true);
    const child = pieces[0];
    // A read-me beside the firmware is nothing to worry about; what is neither may be firmware of a kind that is not known.
    const unread = walk.member === true && inherited.outer && child?.layer === undefined;
    if (unread && inner.length >= shortestUnknown && recogniseOther(bytesOf(inner)) === undefined) {
      findings.push(finding('member-unknown', first, { member: payload.label, found: beginning(inner.space.bytes, inner) }));
    }
    if (child?.format?.id === parent.id && payload.mayRepeat !== true && parent.role !== 'archive') {
      findings.push(finding('wrapped-twice', { offset: first.offset, length: Math.min(first.length, child.layer?.length ?? 0) }, { format: parent.id }));
    } else if (
      payload.compression !== undefined &&
      payload.compression !== 'none' &&
      this.#known.has(payload.compression) &&
      child?.format?.id !== payload.compression &&
      inner.length > 0
    ) {
      const actual = child?.format === undefined ? `not (it begins with ${hexBytes(bytesOf(inner).subarray(0, 8))})` : child.format.id;
      findings.push(finding('compression-mismatch', payload.compressionAt ?? first, { expected: payload.compression, actual }));
    }
    if (payload.boots === true && pieces.find((piece) => piece.region.kind !== 'padding')?.layer === undefined) {
      findings.push(finding('data-unknown', first, { length: inner.length, found: hexBytes(bytesOf(inner).subarray(0, 8)) }));
    }
    return pieces;
  }

  /** Cuts a stretch into layers, padding and bytes that nobody explains. The pieces tile the window; offsets are the space's. */
  async walk(window: Window, walk: Walk): Promise<Piece[]> {
    const bytes = bytesOf(window);
    const pieces: Piece[] = [];
    const plain = (kind: Region['kind'], label: string, offset: number, length: number): void => {
      pieces.push({ region: region(kind, label, window.offset + offset, length) });
    };
    let position = 0;
    while (position < bytes.length) {
      const rest = bytes.subarray(position);
      const atStart = position === 0;
      const format = this.detect(rest, atStart, walk.compression);
      if (format !== undefined) {
        if (!this.#budget.takeLayer()) {
          walk.findings.push(
            finding('entries-too-many', { offset: window.offset + position, length: rest.length }, { what: 'layers', limit: this.#budget.limits.layers }),
          );
          plain('unknown', 'not read', position, rest.length);
          break;
        }
        const { layer, reading } = await this.#readAt(format, subWindow(window, position), walk);
        const length = Math.max(1, Math.min(layer.length, rest.length));
        const label = walk.label === '' ? format.id : walk.label;
        pieces.push({ region: region('payload', label, window.offset + position, length), layer, format, reading });
        position += length;
        continue;
      }
      const padding = paddingLength(rest);
      if (padding > 0 && (padding >= 16 || padding === rest.length || this.detect(rest.subarray(padding), false) !== undefined)) {
        plain('padding', `filled with ${hexBytes(rest.subarray(0, 1))}`, position, padding);
        position += padding;
        continue;
      }
      const end = walk.content === 'slice' ? this.findNext(bytes, position + 1) : bytes.length;
      const tail = trailingPadding(bytes.subarray(position, end));
      const length = end - position - tail;
      if (atStart && walk.unexplained === 'payload') plain('payload', walk.label, position, length);
      else if (length === walk.behind?.length) plain('metadata', walk.behind.label, position, length);
      else plain('unknown', 'not recognised', position, length);
      position += length;
    }
    return pieces;
  }

  async #readAt(format: AnyFormat, window: Window, walk: Walk): Promise<{ layer: Layer; reading: Reading }> {
    if (walk.content !== 'slice') return this.read(format, window, walk);
    // A bare kernel may not say where it ends; what proves itself next does.
    const identities = this.identities.length;
    const covered = this.covered.length;
    const whole = await this.read(format, window, walk);
    if (whole.reading.open !== true) return whole;
    const end = this.findNext(bytesOf(window), 1);
    // What seems to begin inside of its header does not.
    if (end === window.length || format.detect(bytesOf(subWindow(window, 0, end))) === 'no') return whole;
    this.identities.length = identities;
    this.covered.length = covered;
    return this.read(format, subWindow(window, 0, end), walk);
  }

  /** Takes trailers or footers off the window's end; they come back in the order of their bytes, with where the first one begins. */
  async #takeOffEnd(window: Window, role: 'trailer' | 'footer', walk: Walk): Promise<{ behind: Piece[]; end: number }> {
    const bytes = bytesOf(window);
    const behind: Piece[] = [];
    let end = bytes.length;
    for (let found = true; found && behind.length < 8; ) {
      found = false;
      for (const format of this.#formats) {
        if (format.role !== role) continue;
        const start = format.locate?.(bytes.subarray(0, end)) ?? -1;
        if (start < 0 || start >= end) continue;
        const { layer, reading } = await this.read(format, subWindow(window, 0, end), { ...walk, ...nameless, outer: false });
        behind.unshift({ region: region('metadata', format.id, layer.offset, layer.length), layer, format, reading });
        end = start;
        found = true;
        break;
      }
    }
    return { behind, end };
  }

  async #withFooter(window: Window, walk: Walk, footer: boolean): Promise<Piece[]> {
    const { behind, end } = footer ? await this.#takeOffEnd(window, 'footer', walk) : { behind: [], end: window.length };
    return [...(await this.walk(subWindow(window, 0, end), walk)), ...behind];
  }

  /** A whole file, or what an archive held: trailers are taken off the end first; the outermost layer spans it all. */
  async file(window: Window, walk: Walk): Promise<Piece[]> {
    const walkFindings: LocalFinding[] = [];
    const { behind, end } = await this.#takeOffEnd(window, 'trailer', walk);
    const pieces = await this.walk(subWindow(window, 0, end), { ...walk, ...nameless, content: 'slice', unexplained: 'unknown', findings: walkFindings });
    if (pieces[0]?.region.kind === 'unknown') walkFindings.push(...(await this.#withoutPrefix(window, walk, behind, pieces)));
    const layers = pieces.filter((piece) => piece.layer !== undefined && piece.format?.role !== 'mark');
    if (walk.member === true && layers.length === 0 && behind.length === 0) return [{ region: region('payload', walk.label, window.offset, window.length) }];
    const only = layers.length === 1 && layers[0] === pieces[0] ? (layers[0] as Required<Piece>) : undefined;
    const all = [...pieces, ...behind];
    const root = only === undefined ? this.#slice(window, walk, all, layers.length > 0, walkFindings) : this.#extend(only, walk, all, walkFindings);
    return [{ region: region('payload', walk.label === '' ? root.layer.format : walk.label, window.offset, window.length), ...root }];
  }

  /**
   * A vendor's prefix may have been put in front of an image after something was appended to it, whose checksum then knows
   * nothing of the prefix. So a trailer with a check that fails is read once more from the first layer on; it is replaced
   * in `behind` if that makes it right.
   */
  async #withoutPrefix(window: Window, walk: Walk, behind: Piece[], pieces: readonly Piece[]): Promise<LocalFinding[]> {
    const first = pieces.find(({ layer }) => layer !== undefined)?.region.offset ?? window.offset;
    const prefix = first - window.offset;
    if (prefix === 0) return [];
    const findings: LocalFinding[] = [];
    for (const [index, { layer, format, reading }] of (behind as Required<Piece>[]).entries()) {
      if (reading.checks.every((check) => check.ok !== false)) continue;
      const rest = subWindow(window, prefix, layer.offset + layer.length - first);
      if ((format.locate?.(bytesOf(rest)) ?? -1) < 0) continue;
      const identities = this.identities.length;
      const covered = this.covered.length;
      const again = await this.read(format, rest, { ...walk, ...nameless, outer: false });
      // They are the ones that were recorded at the first reading.
      this.identities.length = identities;
      if (again.layer.offset === layer.offset && again.reading.checks.every((check) => check.ok !== false)) {
        behind[index] = { region: region('metadata', format.id, layer.offset, layer.length), format, ...again };
        findings.push(finding('data-prepended', { offset: window.offset, length: prefix }, { length: prefix, what: format.title }));
      } else this.covered.length = covered;
    }
    return findings;
  }

  /** The outermost layer takes in what was appended to it. */
  #extend(only: Required<Piece>, walk: Walk, all: readonly Piece[], extra: readonly LocalFinding[]): Pick<Required<Piece>, 'layer' | 'format' | 'reading'> {
    const { layer, format, reading } = only;
    const appended = all.slice(1);
    const path = layer.findings[0]?.layer ?? '';
    const findings: Finding[] = [];
    const own = path === '' ? format.id : path;
    for (const piece of appended) {
      if (piece.region.kind !== 'unknown') continue;
      findings.push({ ...finding('data-trailing', piece.region, { length: piece.region.length, format: format.title }), layer: own });
    }
    for (const entry of extra) findings.push({ ...entry, layer: own });
    const { format: id, summary, offset, length: ownLength, ...rest } = layer;
    const length = appended.reduce((sum, piece) => sum + piece.region.length, ownLength);
    const extended: Layer = {
      format: id,
      ...(walk.label === '' ? {} : { label: walk.label }),
      ...(summary === undefined ? {} : { summary }),
      offset,
      length,
      ...(walk.source === undefined ? {} : { source: walk.source }),
      ...rest,
      regions: [...layer.regions, ...appended.map((piece) => piece.region)],
      findings: [...layer.findings, ...findings],
      children: [...layer.children, ...appended.flatMap((piece) => (piece.layer === undefined ? [] : [piece.layer]))],
    };
    this.kinds.set(extended, this.kinds.get(layer) ?? format.kind);
    return { layer: extended, format, reading };
  }

  /** Several things one after the other, or nothing at all, under one root. */
  #slice(window: Window, walk: Walk, all: readonly Piece[], recognised: boolean, extra: readonly LocalFinding[]): Partial<Piece> & { layer: Layer } {
    const id = recognised ? sliceId : 'unknown';
    const own = walk.path === '' ? id : `${walk.path}/${id}`;
    const findings: LocalFinding[] = [...extra];
    const bytes = bytesOf(window);
    all.forEach((piece, index) => {
      if (piece.region.kind !== 'unknown') return;
      const found = beginning(bytes, { ...piece.region, offset: piece.region.offset - window.offset });
      if (index === 0) findings.push(finding('format-unknown', piece.region, { found }));
      else findings.push(finding('data-unknown', piece.region, { length: piece.region.length, found }));
    });
    if (all[0]?.region.kind !== 'unknown') findings.push(...displacedStart(window, all));
    // A piece that is labelled after its payload would give all of them the same name.
    const regions = all.map((piece) => (piece.format === undefined ? piece.region : { ...piece.region, label: piece.format.id }));
    const doubtful = all[0]?.region.kind === 'unknown';
    const children = all.flatMap(({ layer, format }) => {
      if (layer === undefined) return [];
      return [doubtful && format?.role !== 'trailer' ? doubted(layer) : layer];
    });
    const layer: Layer = {
      format: id,
      ...(walk.label === '' ? {} : { label: walk.label }),
      offset: window.offset,
      length: window.length,
      ...(walk.source === undefined ? {} : { source: walk.source }),
      fields: [],
      regions,
      checks: [],
      findings: findings.map((entry) => ({ ...entry, layer: own })),
      children,
    };
    return { layer };
  }
}

/** A note for every stretch that nobody understands and that no finding speaks of. Both lists count from the first of `bytes`. */
function unexplained(regions: readonly Region[], findings: readonly LocalFinding[], bytes: Uint8Array): LocalFinding[] {
  const explained = mergeRanges(findings);
  let index = 0;
  return regions.flatMap(({ kind, offset, length }) => {
    if (kind !== 'unknown' || length < shortestUnknown) return [];
    for (; index < explained.length; index += 1) {
      const place = explained[index] as Range;
      if (place.offset >= offset + length) break;
      if (place.offset + place.length > offset) return [];
    }
    return [finding('data-unexplained', { offset, length }, { length, found: beginning(bytes, { offset, length }) })];
  });
}

/**
 * Behind a beginning that nobody understands, a layer was found by its magic number alone. Vendors put headers between
 * the parts of an image and change what they wrap, so a wrong checksum there is no proof of damage: errors become warnings.
 */
function doubted(layer: Layer): Layer {
  const findings = layer.findings.map((entry): Finding => (entry.severity === 'error' ? { ...entry, severity: 'warning' } : entry));
  return { ...layer, findings, children: layer.children.map(doubted) };
}

/** What can only lie on an erase-block boundary tells whether the slice around it begins on one. */
function displacedStart(window: Window, pieces: readonly Piece[]): LocalFinding[] {
  const starts = [window.offset];
  for (const { region: place, format } of pieces) {
    if (format === undefined) continue;
    const { alignment = 1 } = format;
    if (starts.some((start) => (place.offset - start) % alignment === 0)) {
      starts.push(place.offset);
      continue;
    }
    const surplus = (place.offset - window.offset) % alignment;
    const range = { offset: window.offset, length: place.offset + place.length - window.offset };
    return [finding('start-displaced', range, { what: format.title.toLowerCase(), at: place.offset, missing: alignment - surplus, surplus })];
  }
  return [];
}

const byOffset = (a: Range, b: Range): number => a.offset - b.offset;

/** Puts what was found in the payloads in the place of their regions. Where payloads overlap the first one counts. */
function putIn(regions: readonly Region[], found: readonly Region[], shift: number): Region[] {
  const put: Region[] = [];
  let end = 0;
  for (const entry of [...found].sort(byOffset)) {
    if (entry.offset - shift < end) continue;
    end = entry.offset - shift + entry.length;
    put.push({ ...entry, offset: entry.offset - shift });
  }
  let next = 0;
  const kept = [...regions].sort(byOffset).filter(({ offset, length }) => {
    while (next < put.length && (put[next] as Region).offset + (put[next] as Region).length <= offset) next += 1;
    return length > 0 && offset + length <= (put[next]?.offset ?? Number.POSITIVE_INFINITY);
  });
  return [...kept, ...put].sort(byOffset);
}

/** What a file is, from its root layer; a format's own word holds unless what stands around it says more. */
class Classifier {
  readonly #formats: ReadonlyMap<string, AnyFormat>;
  readonly #stated: ReadonlyMap<Layer, Kind>;

  constructor(formats: ReadonlyMap<string, AnyFormat>, stated: ReadonlyMap<Layer, Kind>) {
    this.#formats = formats;
    this.#stated = stated;
  }

  #role(layer: Layer): Role | undefined {
    return this.#formats.get(layer.format)?.role;
  }

  kind(root: Layer): Kind {
    const stated = root.format === sliceId ? this.#slice(root) : (this.#stated.get(root) ?? 'unknown');
    const appended = (kind: Kind): boolean => root.children.some((layer) => this.#role(layer) === 'trailer' && this.#stated.get(layer) === kind);
    // Appended metadata makes an image one for sysupgrade, whatever header it has; a vendor's trailer does what a vendor's header does.
    const metadata = appended('sysupgrade');
    if (stated === 'archive') {
      const inside = this.#archive(root);
      return metadata && inside === 'archive' ? 'sysupgrade' : inside;
    }
    if (stated === 'factory' || (stated !== 'unknown' && appended('factory'))) return metadata ? 'sysupgrade' : 'factory';
    if (stated !== 'kernel') return stated;
    if (allLayers(root).some((layer) => this.#role(layer) === 'rootfs')) return 'sysupgrade';
    const beside = root.regions.filter((entry) => entry.kind === 'payload' || entry.kind === 'unknown').length;
    return metadata && root.format === sliceId && beside > 1 ? 'sysupgrade' : 'kernel';
  }

  /** A slice is what stands first in it, unless a kernel and a root file system make it an image. */
  #slice(root: Layer): Kind {
    const first = root.children[0];
    if (first === undefined || root.regions[0]?.kind === 'unknown') return 'unknown';
    const stated = this.#stated.get(first) ?? 'unknown';
    if (root.regions[0]?.kind === 'padding' && stated === 'factory') return 'recovery';
    const role = this.#role(first);
    if (role === 'compressed' || role === 'data') return 'kernel';
    // Some loaders want the kernel itself in a container that is marked as a file system.
    const containers = root.children.filter((layer) => this.#role(layer) === 'kernel' || this.#role(layer) === 'rootfs');
    return stated === 'rootfs' && role === 'kernel' && containers.length > 1 ? 'kernel' : stated;
  }

  /** An archive that holds one firmware file takes that file's kind. */
  #archive(root: Layer): Kind {
    const inside = root.children.filter((layer) => layer.format !== 'unknown' && this.#role(layer) !== 'trailer');
    return inside.length === 1 ? this.kind(inside[0] as Layer) : 'archive';
  }
}

function coverageOf(length: number, covered: readonly (Range & { check: string })[]): Coverage {
  // Sweep over the ends of all ranges: linear in their number but for the sorting.
  const edges = covered.flatMap((range) => [
    { at: range.offset, check: range.check, step: 1 },
    { at: range.offset + range.length, check: range.check, step: -1 },
  ]);
  edges.sort((a, b) => a.at - b.at);
  const active = new Map<string, number>();
  const ranges: { offset: number; length: number; checks: string[] }[] = [];
  let position = 0;
  let index = 0;
  while (index < edges.length) {
    const at = (edges[index] as { at: number }).at;
    const checks = [...active.keys()];
    if (at > position && checks.length > 0) {
      const last = ranges.at(-1);
      if (last !== undefined && last.offset + last.length === position && last.checks.join() === checks.join()) last.length += at - position;
      else ranges.push({ offset: position, length: at - position, checks });
    }
    for (; index < edges.length && edges[index]?.at === at; index += 1) {
      const { check, step } = edges[index] as { check: string; step: number };
      const count = (active.get(check) ?? 0) + step;
      if (count === 0) active.delete(check);
      else active.set(check, count);
    }
    position = at;
  }
  const total = mergeRanges(covered).reduce((sum, range) => sum + range.length, 0);
  return { checked: length === 0 ? 0 : total / length, ranges };
}

function statusOf(findings: readonly Finding[]): Status {
  if (findings.some(({ severity }) => severity === 'error')) return 'broken';
  // The file itself, or one of those that an archive holds.
  if (findings.some(({ code }) => code === 'format-unknown' || code === 'archive-unrecognised')) return 'unknown';
  return findings.some(({ severity }) => severity === 'warning') ? 'doubtful' : 'sound';
}

/**
 * What stands one behind the other in a stretch of flash, without a look into it: layers, filler, and bytes that nobody knows.
 *
 * @param deep unpack what does not say where it ends
 */
export async function piecesOf(formats: readonly AnyFormat[], bytes: Uint8Array, deep = false): Promise<readonly FlashPiece[]> {
  const inspector = new Inspector(formats, new Budget(defaultLimits), deep);
  const window: Window = { space: { bytes, places: null }, offset: 0, length: bytes.length };
  const walk: Walk = { depth: 0, path: '', label: '', unexplained: 'unknown', content: 'slice', outer: false, findings: [] };
  const pieces = await inspector.walk(window, walk);
  return pieces.map(({ region: { kind, offset, length }, format, reading }) => ({
    format: format?.id ?? null,
    role: format?.role ?? (kind === 'padding' ? kind : 'unknown'),
    open: reading?.open === true,
    offset,
    length,
  }));
}

/**
 * Reads an image with the formats given. Never throws for damaged or hostile bytes.
 *
 * @param formats in the order in which they are asked: the most selective first
 * @param file all of it; a Buffer will do
 */
export function inspectWith(formats: readonly AnyFormat[], file: Uint8Array, options: InspectOptions = {}): Promise<Inspection> {
  return read(formats, file, options);
}

/** An image that was read, and the bytes of each of its layers. */
export interface Opened {
  readonly inspection: Inspection;
  /** All bytes of a layer of `inspection`: a piece of the file, or of what was unpacked or gathered from it. */
  bytesOf(layer: Layer): Uint8Array;
}

/**
 * Reads an image as {@link inspectWith} does, and keeps what was unpacked and gathered on the way: for whoever wants the layers themselves.
 *
 * @param file all of it; a Buffer will do
 */
export async function openWith(formats: readonly AnyFormat[], file: Uint8Array, options: InspectOptions = {}): Promise<Opened> {
  const unpacked = new Map<Source, Uint8Array>();
  const inspection = await read(formats, file, options, unpacked);
  const spaces = new Map<Layer, Uint8Array>();
  // A layer without a source lies in the bytes that its parent lies in.
  const enter = (layer: Layer, around: Uint8Array): void => {
    const space = (layer.source === undefined ? undefined : unpacked.get(layer.source)) ?? around;
    spaces.set(layer, space);
    for (const child of layer.children) enter(child, space);
  };
  enter(inspection.root, new Uint8Array(file.buffer, file.byteOffset, file.byteLength));
  return {
    inspection,
    bytesOf: (layer) => (spaces.get(layer) as Uint8Array).subarray(layer.offset, layer.offset + layer.length),
  };
}

async function read(formats: readonly AnyFormat[], file: Uint8Array, options: InspectOptions, unpacked?: Map<Source, Uint8Array>): Promise<Inspection> {
  // Node's Buffer is an Uint8Array whose slice() copies nothing: a format would write into the caller's bytes.
  const bytes = new Uint8Array(file.buffer, file.byteOffset, file.byteLength);
  const budget = new Budget({ ...defaultLimits, ...options.limits });
  const byId = new Map(formats.map((format) => [format.id, format]));
  const inspector = new Inspector(formats, budget, options.deep === true, unpacked);
  const walk: Walk = { depth: 0, path: '', label: '', unexplained: 'unknown', content: 'slice', outer: true, findings: [] };
  const window: Window = { space: { bytes, places: layOut([{ offset: 0, length: bytes.length }]) }, offset: 0, length: bytes.length };
  const [piece] = await inspector.file(window, walk);
  let root = piece?.layer as Layer;
  const kind = new Classifier(byId, inspector.kinds).kind(root);
  if (root.format === 'unknown') {
    const other = recogniseOther(bytes) ?? swappedBytes(bytes, (swapped) => inspector.detect(swapped, false)?.title);
    if (other !== undefined) root = { ...root, findings: [{ ...other, layer: root.format }] };
  }
  const findings = allLayers(root).flatMap((layer) => [...layer.findings]);
  const whole = (entries: readonly LocalFinding[]): void => {
    for (const entry of entries) findings.push({ ...entry, layer: root.format });
  };
  if (!budget.maySearch) {
    whole([
      finding('entries-too-many', { offset: 0, length: bytes.length }, { what: 'magic numbers that nothing begins with', limit: budget.limits.falseMagics }),
    ]);
  }
  if (findings.some((entry) => entry.severity !== 'note')) whole(lineEndDamage(bytes));
  if (options.name !== undefined && root.format !== 'unknown')
    whole(
      nameFindings(
        options.name,
        root.format,
        kind,
        root.children.map((layer) => layer.format),
      ),
    );
  return {
    format: root.format,
    kind,
    status: statusOf(findings),
    identities: inspector.identities,
    root,
    findings,
    coverage: coverageOf(bytes.length, inspector.covered),
  };
}
