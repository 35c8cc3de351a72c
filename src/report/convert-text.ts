/** What a conversion did, for a person at a terminal of 80 columns. */
import type { UsedValue, ValueSource } from '../convert.ts';
import type { AnyFormat, Role } from '../core/format.ts';
import { byteCount, hexOffset } from '../core/hex.ts';
import type { BuildValue } from '../core/recipe-step.ts';
import type { Layer, Range } from '../core/types.ts';
import { sharedPart } from '../recipes/interpreter.ts';
import type { ConvertedFile } from './convert-json.ts';
import { endOf, regionsWithChildren } from './coverage.ts';
import { countChecks, type Paint, painter, type TextOptions, wrap } from './text.ts';
import { counted, harmless, statusSentence } from './words.ts';

type Look = 'header' | 'kernel' | 'root file system' | 'UBI' | 'other data' | 'metadata' | 'padding';

const looks: Readonly<Record<Look, { readonly character: string; readonly style: Parameters<Paint>[0] }>> = {
  header: { character: '▓', style: 'cyan' },
  kernel: { character: '█', style: 'green' },
  'root file system': { character: '▒', style: 'blue' },
  UBI: { character: '▤', style: 'blue' },
  'other data': { character: '▪', style: 'yellow' },
  metadata: { character: 'm', style: 'magenta' },
  padding: { character: '·', style: 'dim' },
};

const lookOfRole: Readonly<Partial<Record<Role, Look>>> = {
  kernel: 'kernel',
  compressed: 'kernel',
  rootfs: 'root file system',
  trailer: 'metadata',
  footer: 'metadata',
};

type Stretch = Range & { readonly look: Look };

/** What lies where, as far as a conversion moves it: what is inside of a kernel is all kernel. */
function stretchesOf(layer: Layer, roles: ReadonlyMap<string, Role>): Stretch[] {
  return regionsWithChildren(layer).flatMap(({ region, inside }): Stretch[] => {
    const { kind, label } = region;
    const own =
      kind === 'payload' || kind === 'unknown' ? (/kernel|os-image/.test(label) ? 'kernel' : /root/.test(label) ? 'root file system' : 'other data') : kind;
    const children = inside.flatMap((child): Stretch[] => {
      const look = child.format === 'ubi' ? 'UBI' : lookOfRole[roles.get(child.format) ?? 'data'];
      return look === undefined ? stretchesOf(child, roles) : [{ offset: child.offset, length: child.length, look }];
    });
    return children.length > 0 ? children : [{ offset: region.offset, length: region.length, look: own }];
  });
}

/** The root of a bare kernel or of a bare UBI is that, whole. */
function layoutOf(root: Layer, roles: ReadonlyMap<string, Role>): Stretch[] {
  const look = root.format === 'ubi' ? 'UBI' : undefined;
  return look === undefined ? stretchesOf(root, roles) : [{ offset: root.offset, length: root.length, look }];
}

/** One character for each `scale` bytes, by what most of them are. */
function barOf(stretches: readonly Stretch[], length: number, scale: number, width: number): Look[] {
  // Rounding must not make the longer bar one character too long.
  return Array.from({ length: Math.min(width, Math.max(1, Math.ceil(length / scale))) }, (_, cell) => {
    const [from, to] = [cell * scale, Math.min(length, (cell + 1) * scale)];
    const share = new Map<Look, number>();
    for (const stretch of stretches) {
      const common = Math.min(endOf(stretch), to) - Math.max(stretch.offset, from);
      if (common > 0) share.set(stretch.look, (share.get(stretch.look) ?? 0) + common);
    }
    return [...share].sort((a, b) => b[1] - a[1])[0]?.[0] ?? 'other data';
  });
}

/** Both layouts to one scale, so that what was added or taken off is seen. */
function layouts(before: Layer, after: Layer, roles: ReadonlyMap<string, Role>, columns: number, paint: Paint): string {
  const width = columns - 21;
  const scale = Math.max(before.length, after.length) / width;
  const bars = [before, after].map((root) => barOf(layoutOf(root, roles), root.length, scale, width));
  const lines = bars.map((bar, index) => {
    const drawn = bar.map((look) => paint(looks[look].style, looks[look].character)).join('');
    return `  ${index === 0 ? 'before' : 'after '}  ${drawn}${' '.repeat(width - bar.length)} ${byteCount((index === 0 ? before : after).length).padStart(10)}`;
  });
  const used = (Object.keys(looks) as Look[]).filter((look) => bars.some((bar) => bar.includes(look)));
  const legend = wrap(used.map((look) => `${looks[look].character} ${look}`).join('   '), columns, '          ');
  return [...lines, legend].join('\n');
}

const valueNames: Readonly<Record<BuildValue, string>> = {
  dist: 'distribution',
  version: 'version',
  revision: 'revision',
  epoch: 'build time',
  linux: 'version of Linux',
};
const sourceNames: Readonly<Record<ValueSource, string>> = {
  option: 'as you said',
  image: 'as the image says',
  name: "as the file's name says",
  environment: 'from SOURCE_DATE_EPOCH',
  assumed: 'nothing tells it',
};

function valueText({ name, text, source, bytes }: UsedValue): string {
  const seconds = Number(text);
  const shown = name === 'epoch' && seconds > 0 ? `${text} (${new Date(seconds * 1000).toISOString().slice(0, 10)})` : text;
  const [first] = bytes;
  const count = bytes.reduce((sum, { length }) => sum + length, 0);
  const places =
    first === undefined
      ? ''
      : bytes.length === 1
        ? ` at ${hexOffset(first.offset)}`
        : ` in ${counted(bytes.length, 'place')}, the first at ${hexOffset(first.offset)}`;
  const hang = first === undefined ? '' : `; ${counted(count, 'byte hangs', 'bytes hang')} on it${places}, checksums among them`;
  return `${valueNames[name]} ${harmless(shown)}: ${sourceNames[source]}${hang}.`;
}

function proofLines({ conversion, proof, published, output }: ConvertedFile): string[] {
  const { differs, from, to, lost, parts } = conversion;
  const { inspection, verdict } = proof;
  const inexact = parts.filter(({ exact }) => !exact).map(({ name }) => name);
  const outcome =
    verdict.outcome === 'unknown' ? `owimg cannot tell what ${verdict.route} would do with it: ${verdict.reason}` : `By ${verdict.route}: ${verdict.reason}`;
  return [
    `${output.written ? 'Read back: it' : 'It'} is ${statusSentence(inspection, countChecks(inspection.root))}.`,
    ...(published === undefined ? [] : [publishedLine(published)]),
    differs.length === 0
      ? `Its parts, put together as ${from.name} again, give the file that you gave, byte for byte: nothing was overlooked.`
      : `Its parts, put together as ${from.name} by OpenWrt's recipe of today, give another file than yours: ${differencesText(differs)}. It was made by another version of OpenWrt, or changed; the same places may differ in the result from an image of that version.`,
    ...(inexact.length === 0 ? [] : [`Where the ${inexact.join(' and the ')} ends is not written in it; zeros at its end may be missing in ${to.name}.`]),
    ...lost.map((what) => `Not taken over: ${what}.`),
    outcome,
  ];
}

/** Places that differ, by their names; of many the first. */
function differencesText(differs: ConvertedFile['conversion']['differs']): string {
  const count = differs.reduce((sum, { length }) => sum + length, 0);
  const names = [...new Set(differs.map(({ what }) => harmless(what)))];
  const more = names.length > 4 ? ` and ${names.length - 4} more` : '';
  return `${counted(count, 'byte differs', 'bytes differ')}, the first at ${hexOffset(differs[0]?.offset ?? 0)}, in ${names.slice(0, 4).join('; ')}${more}`;
}

function publishedLine({ identical, unsigned, name, list }: NonNullable<ConvertedFile['published']>): string {
  if (!identical) return `It is NOT bit-identical with the published ${name} (${list}): another build, or values above that are not those of the release.`;
  return `Bit-identical with the published image ${name} (${list})${unsigned ? ', but for its signature' : ''}.`;
}

/** The report on one conversion. */
export function renderConvertText(converted: ConvertedFile, options: TextOptions, formats: readonly AnyFormat[]): string {
  const { file, output, conversion, proof } = converted;
  const { columns } = options;
  const paint = painter(options.colour);
  const roles = new Map(formats.map(({ id, role }) => [id, role]));
  const { inspection, device, from, to, parts, values, member } = conversion;
  const name = harmless(file.path === '-' ? 'standard input' : file.path);
  const list = (texts: readonly string[]): string => texts.map((text) => wrap(text, columns, '  ')).join('\n');
  const partWords = parts.map(({ name: part, length }) => `${part === sharedPart ? 'what both recipes begin with' : part} ${byteCount(length)}`).join(', ');
  const sections = [
    wrap(`${name}${member === undefined ? '' : ` (${harmless(member)})`}: ${from.name} of ${device.title}, made into ${to.name}`, columns),
    `${paint('bold', 'Layout')}\n${layouts(inspection.root, proof.inspection.root, roles, columns, paint)}`,
    `${paint('bold', 'Made of')}\n${list([partWords, `by OpenWrt's recipe: ${to.steps.join(' | ')}`])}`,
    ...(values.length === 0 ? [] : [`${paint('bold', 'Values of the build')}\n${list(values.map(valueText))}`]),
    `${paint('bold', 'Proof')}\n${list(proofLines(converted))}`,
    ...(proof.verdict.assumes.length === 0 ? [] : [`${paint('bold', 'Taken for granted')}\n${list(proof.verdict.assumes.map(harmless))}`]),
    `${wrap(`${output.written ? 'Written' : 'Not written (--dry-run)'}: ${harmless(output.path)}, ${byteCount(output.size)} (${output.size}), SHA-256`, columns)}\n${output.sha256}`,
    wrap(harmless(proof.verdict.next.replaceAll('FILE', output.path)), columns, 'Next: '),
  ];
  return `${sections.join('\n\n')}\n`;
}
