/** The JSON of `owimg check`, docs/schema/check.schema.json. Rendering only. */
import type { Checked } from '../check.ts';
import type { Inspection } from '../core/types.ts';
import type { Device } from '../devices/facts.ts';
import { type InspectedFile, schemaVersion, type Tool, type UnreadFile } from './json.ts';

export interface CheckedImage {
  readonly file: InspectedFile;
  /** The file in the archive that was asked for. */
  readonly member?: string;
  readonly inspection: Inspection;
  readonly checked: Checked;
}

export type CheckResult = CheckedImage | UnreadFile;

const deviceJson = ({ profile, boards, title, target }: Device): object => ({ profile, boards, title, target });

/** The object for one file: as `inspect`, without the tree, with the device and the verdicts. */
export function checkJson(result: CheckResult, tool: Tool): object {
  const head = { schemaVersion, tool, file: result.file };
  if ('error' in result) return { ...head, error: result.error };
  const { member } = result;
  const { root: _, ...inspection } = result.inspection;
  const { device, candidates, verdicts, validation } = result.checked;
  return {
    ...head,
    ...(member === undefined ? {} : { member }),
    ...inspection,
    device: device === null ? null : deviceJson(device),
    candidates: candidates.map(({ profile }) => profile),
    verdicts,
    openwrt_validate: validation,
  };
}
