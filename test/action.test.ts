/** The GitHub action as a runner starts it: the bundle in action/, inputs in the environment, no packages around it. */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';

const root = fileURLToPath(new URL('../', import.meta.url));
const fixture = (name: string): string => join(root, 'fixtures', name);
const definition = parse(readFileSync(join(root, 'action.yml'), 'utf8')) as { inputs: Record<string, { default?: string }>; runs: { main: string } };

describe('the action', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'owimg-action-'));
    cpSync(join(root, 'action'), join(folder, 'action'), { recursive: true });
    // Node is told so by the nearest package.json, which is the repository's own.
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  const run = (inputs: Readonly<Record<string, string>>): { status: number | null; out: string; output: string; summary: string } => {
    for (const name of Object.keys(inputs)) expect(Object.keys(definition.inputs)).toContain(name);
    const files = { GITHUB_OUTPUT: join(folder, 'output'), GITHUB_STEP_SUMMARY: join(folder, 'summary') };
    for (const path of Object.values(files)) rmSync(path, { force: true });
    const given = Object.entries(definition.inputs).map(([name, value]) => [`INPUT_${name.toUpperCase()}`, inputs[name] ?? value.default ?? '']);
    const environment = { PATH: process.env['PATH'], ...Object.fromEntries(given), ...files };
    const { status, stdout } = spawnSync(process.execPath, [join(folder, definition.runs.main)], { cwd: folder, env: environment, encoding: 'utf8' });
    const text = (path: string): string => (existsSync(path) ? readFileSync(path, 'utf8') : '');
    return { status, out: stdout, output: text(files.GITHUB_OUTPUT), summary: text(files.GITHUB_STEP_SUMMARY) };
  };

  test('annotates what would brick, fails the step, and writes summary, JUnit and SARIF', () => {
    const { status, out, output, summary } = run({
      path: fixture('tplink-safeloader/sound-archer-c7-v5.bin'),
      device: 'tplink_archer-c7-v5',
      route: 'mtd',
      junit: 'report.xml',
      sarif: 'report.sarif',
    });
    expect(status).toBe(1);
    expect(out).toMatch(/^::error file=.*,title=owimg%3A boot-magic-mismatch::/);
    expect(output).toBe('exit-status=1\n');
    expect(summary).toContain('| mtd on tplink_archer-c7-v5 | ❌ |');
    expect(readFileSync(join(folder, 'report.xml'), 'utf8')).toContain('<testsuites name="owimg"');
    expect(JSON.parse(readFileSync(join(folder, 'report.sarif'), 'utf8')).version).toBe('2.1.0');
  });

  test('takes patterns, and passes where all is well', () => {
    const { status, out } = run({ path: `${fixture('tplink-safeloader')}/sound-archer-c7-*.bin` });
    expect(out).toBe('');
    expect(status).toBe(0);
  });

  test('fails where it cannot tell, unless the workflow says otherwise', () => {
    const path = fixture('uimage/sound-lzma.bin');
    expect(run({ path }).status).toBe(3);
    expect(run({ path, 'allow-unknown': 'true' }).status).toBe(0);
  });

  test('audits a folder with its own workers', () => {
    const { status, out } = run({ path: fixture('gpt') });
    expect(status).toBe(1);
    expect(out).toContain('::error file=');
  });

  test('a pattern that matches nothing fails the step', () => {
    const { status, out } = run({ path: 'nothing-*.bin' });
    expect(status).toBe(4);
    expect(out).toContain('::error');
  });
});
