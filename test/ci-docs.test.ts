/** Every snippet of docs/ci.md is run, with a built owimg on the PATH and a small build in bin/targets. */
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { bundleForNode } from '../scripts/bundle.ts';

const root = fileURLToPath(new URL('../', import.meta.url));
const page = readFileSync(join(root, 'docs', 'ci.md'), 'utf8');
const blocks = (language: string): string[] => [...page.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'))].map((match) => match[1] as string);
const image = 'openwrt-archer-c7-v5-factory.bin';

describe('docs/ci.md', () => {
  let built: string;
  let folder: string;

  beforeAll(async () => {
    built = mkdtempSync(join(root, 'node_modules', '.owimg-'));
    await bundleForNode(built, 'command');
    folder = join(built, 'work');
    mkdirSync(join(folder, 'bin', 'targets'), { recursive: true });
    const source = join(root, 'fixtures', 'tplink-safeloader', 'sound-archer-c7-v5.bin');
    copyFileSync(source, join(folder, image));
    copyFileSync(source, join(folder, 'bin', 'targets', image));
    writeFileSync(join(built, 'owimg'), `#!/bin/sh\nexec "${process.execPath}" "${join(built, 'bin', 'owimg.js')}" "$@"\n`);
    chmodSync(join(built, 'owimg'), 0o755);
  });
  afterAll(() => rmSync(built, { recursive: true }));

  const shell = (script: string): { status: number | null; out: string } => {
    const environment = { ...process.env, PATH: `${built}${delimiter}${process.env['PATH']}`, GITHUB_STEP_SUMMARY: '' };
    const { status, stdout, stderr } = spawnSync('sh', ['-e', '-c', script], { cwd: folder, encoding: 'utf8', env: environment });
    return { status, out: stdout + stderr };
  };

  test('a check of the right image passes', () => {
    const [script] = blocks('sh') as [string];
    const { status, out } = shell(script);
    expect(out).toContain('INSTALLS');
    expect(status).toBe(0);
  });

  test('a job is stopped by what would brick, with annotations', () => {
    const [, script] = blocks('sh') as [string, string];
    const { out } = shell(script);
    expect(out).toContain('::error file=');
    expect(out).toContain('stopped with status 1');
    expect(out).not.toContain('go on');
  });

  test('the shards and their merge give one report', () => {
    const [, , script] = blocks('sh') as [string, string, string];
    expect(shell(script).status).toBe(0);
    expect(readFileSync(join(folder, 'owimg.xml'), 'utf8')).toContain(image);
  });

  test('the GitLab job runs, and leaves the report that it names', () => {
    const [, text] = blocks('yaml') as [string, string];
    const { images } = parse(text) as { images: { script: string[]; artifacts: { reports: { junit: string } } } };
    rmSync(join(folder, images.artifacts.reports.junit), { force: true });
    expect(shell(images.script.join('\n')).status).toBe(0);
    expect(existsSync(join(folder, images.artifacts.reports.junit))).toBe(true);
  });

  test('the Makefile runs', () => {
    const [text] = blocks('make') as [string];
    const [, command] = /^audit:\n\t(.+)$/m.exec(text) as unknown as [string, string];
    expect(shell(command).status).toBe(0);
  });

  test('the GitHub workflow gives the action inputs that it has', () => {
    const [text] = blocks('yaml') as [string];
    const { jobs } = parse(text) as { jobs: { images: { steps: { uses?: string; with?: object }[] } } };
    const { inputs } = parse(readFileSync(join(root, 'action.yml'), 'utf8')) as { inputs: object };
    const step = jobs.images.steps.find(({ uses }) => uses?.includes('owimg'));
    expect(Object.keys(step?.with ?? {}).length).toBeGreaterThan(0);
    for (const name of Object.keys(step?.with ?? {})) expect(Object.keys(inputs)).toContain(name);
  });
});
