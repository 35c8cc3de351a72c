/** The JSON of `owimg to-factory` and `owimg to-sysupgrade`, docs/schema/convert.schema.json. Rendering only. */
import type { Conversion, Proof } from '../convert.ts';
import type { DeviceImage } from '../devices/facts.ts';
import { type InspectedFile, schemaVersion, type Tool } from './json.ts';

/** What the release's own lists say of the image that was made. */
export interface Published {
  readonly name: string;
  /** `profiles.json` or `sha256sums`. */
  readonly list: string;
  readonly sha256: string;
  readonly identical: boolean;
  /** The published one is signed; without its signature both are the same. */
  readonly unsigned: boolean;
}

/** One file that was converted. */
export interface ConvertedFile {
  readonly file: InspectedFile;
  readonly output: InspectedFile & { readonly written: boolean };
  readonly conversion: Conversion;
  readonly proof: Proof;
  readonly published: Published | undefined;
}

const imageJson = ({ name, role, fs, steps }: DeviceImage): object => ({ name, role, fs, steps });

/** The object for one file. */
export function convertJson({ file, output, conversion, proof, published }: ConvertedFile, tool: Tool): object {
  const { device, from, to, parts, values, differs, lost, member } = conversion;
  const { format, kind, status, findings } = proof.inspection;
  return {
    schemaVersion,
    tool,
    file,
    ...(member === undefined ? {} : { member }),
    output,
    device: { profile: device.profile, boards: device.boards, title: device.title, target: device.target },
    from: imageJson(from),
    to: imageJson(to),
    parts,
    values,
    recipe: { reproduces: differs.length === 0, differs },
    lost,
    result: { format, kind, status, findings },
    verdict: proof.verdict,
    published: published ?? null,
  };
}
