/** What only the records of a whole build show: names claimed twice, and what was lost since another build. */
import { finding } from '../core/findings.ts';
import type { Finding } from '../core/types.ts';
import type { AuditRecord } from './image.ts';

const nowhere = { offset: 0, length: 0 };
const about = (entry: ReturnType<typeof finding>): Finding => ({ ...entry, layer: '' });

/** What another build said of its profiles, by target and profile. */
export type Baseline = ReadonlyMap<string, { readonly boards: ReadonlySet<string>; readonly compatVersion: string | undefined }>;

const keyOf = ({ target, profile }: Pick<AuditRecord, 'target' | 'profile'>): string => `${target ?? ''} ${profile ?? ''}`;

/** Sums up the records of another build. */
export function baselineOf(records: readonly AuditRecord[]): Baseline {
  const baseline = new Map<string, { boards: Set<string>; compatVersion: string | undefined }>();
  for (const record of records) {
    if (record.profile === null || record.boards.length === 0) continue;
    const entry = baseline.get(keyOf(record)) ?? { boards: new Set<string>(), compatVersion: undefined };
    for (const board of record.boards) entry.boards.add(board);
    baseline.set(keyOf(record), { boards: entry.boards, compatVersion: record.compatVersion ?? entry.compatVersion });
  }
  return baseline;
}

/** -1 if `a` is the lower version. */
function compareVersions(a: string, b: string): number {
  const [left, right] = [a.split('.').map(Number), b.split('.').map(Number)];
  for (let index = 0; index < Math.max(left.length, right.length); index += 1) {
    const difference = (left[index] ?? 0) - (right[index] ?? 0);
    if (difference !== 0) return Math.sign(difference);
  }
  return 0;
}

function regressions(record: AuditRecord, baseline: Baseline): Finding[] {
  const before = baseline.get(keyOf(record));
  if (before === undefined || record.boards.length === 0 || record.profile === null) return [];
  const { profile } = record;
  const lost = [...before.boards].filter((board) => !record.boards.includes(board)).map((board) => about(finding('board-lost', nowhere, { board, profile })));
  const { compatVersion } = before;
  if (compatVersion === undefined || record.compatVersion === null || compareVersions(record.compatVersion, compatVersion) >= 0) return lost;
  return [...lost, about(finding('compat-version-fallen', nowhere, { profile, before: compatVersion, now: record.compatVersion }))];
}

/** Board names that the images of several profiles of one target claim. */
function claimedTwice(records: readonly AuditRecord[]): Map<AuditRecord, Finding[]> {
  const owners = new Map<string, AuditRecord>();
  const found = new Map<AuditRecord, Finding[]>();
  const said = new Set<string>();
  for (const record of [...records].sort((a, b) => a.path.localeCompare(b.path))) {
    if (record.profile === null) continue;
    for (const board of record.boards) {
      const key = `${record.target} ${board}`;
      const owner = owners.get(key) ?? record;
      owners.set(key, owner);
      if (owner.profile === record.profile || said.has(`${key} ${record.profile}`)) continue;
      said.add(`${key} ${record.profile}`);
      const args = { board, first: owner.profile as string, second: record.profile };
      found.set(record, [...(found.get(record) ?? []), about(finding('board-claimed-twice', nowhere, args))]);
    }
  }
  return found;
}

const added = (record: AuditRecord, more: readonly Finding[]): AuditRecord =>
  more.length === 0 ? record : { ...record, findings: [...record.findings, ...more] };

/** Adds what each profile has lost since another build. */
export const withRegressions = (records: readonly AuditRecord[], baseline: Baseline): AuditRecord[] =>
  records.map((record) => added(record, regressions(record, baseline)));

/** Adds the names that several profiles claim; needs the records of all shards. */
export function withClaims(records: readonly AuditRecord[]): AuditRecord[] {
  const claimed = claimedTwice(records);
  return records.map((record) => added(record, claimed.get(record) ?? []));
}
