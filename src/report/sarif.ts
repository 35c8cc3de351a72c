/** SARIF 2.1.0 (https://docs.oasis-open.org/sarif/sarif/v2.1.0/), which GitHub's code scanning takes. */
import { createHash } from 'node:crypto';
import type { Log, ReportingDescriptor, Result } from 'sarif';
import { type FindingCode, findingKinds } from '../core/findings.ts';
import type { Finding, Severity } from '../core/types.ts';
import { allFindings, type CiFile } from './ci.ts';
import type { Tool } from './json.ts';

const levels: Readonly<Record<Severity, Result.level>> = { error: 'error', warning: 'warning', note: 'note' };

/** Results name files as the repository does: from its root, with slashes. */
const uriOf = (path: string): string => encodeURI(path.toWellFormed().replaceAll('\\', '/').replace(/^\.\//, '')).replaceAll('#', '%23').replaceAll('?', '%3F');

function ruleOf(code: string): ReportingDescriptor {
  const { title, severity, hint } = findingKinds[code as FindingCode] as { title: string; severity: Severity; hint?: string };
  return {
    id: code,
    shortDescription: { text: title },
    ...(hint === undefined ? {} : { help: { text: hint } }),
    defaultConfiguration: { level: levels[severity] },
  };
}

function resultOf(path: string, { code, severity, message, hint, offset, length, layer }: Finding, ruleIndex: number): Result {
  // GitHub makes fingerprints of the source text around a result; an image has none.
  const fingerprint = createHash('sha256').update([code, path, layer, message].join('\0')).digest('hex');
  return {
    ruleId: code,
    ruleIndex,
    level: levels[severity],
    message: { text: hint === undefined ? message : `${message}\n${hint}` },
    locations: [
      {
        // A line, because viewers want one; the bytes, because they are meant.
        physicalLocation: {
          artifactLocation: { uri: uriOf(path) },
          region: { startLine: 1, byteOffset: Math.max(0, offset), byteLength: Math.max(0, length) },
        },
        ...(layer === '' ? {} : { logicalLocations: [{ fullyQualifiedName: layer }] }),
      },
    ],
    partialFingerprints: { 'owimgFinding/v1': fingerprint },
  };
}

/** The report on all files. */
export function renderSarif(files: readonly CiFile[], tool: Tool): string {
  const all = files.map((file) => ({ path: file.path, findings: allFindings(file) }));
  const codes = [...new Set(all.flatMap(({ findings }) => findings.map(({ code }) => code)))].sort();
  const results = all.flatMap(({ path, findings }) => findings.map((entry) => resultOf(path, entry, codes.indexOf(entry.code))));
  const log: Log = {
    version: '2.1.0',
    $schema: 'https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json',
    runs: [{ tool: { driver: { name: tool.name, version: tool.version, rules: codes.map(ruleOf) } }, results }],
  };
  return `${JSON.stringify(log, null, 2)}\n`;
}
