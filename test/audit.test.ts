/** `owimg audit`: the lists of a build, what only a whole build shows, and the command itself with its workers. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import schema from '../docs/schema/audit.schema.json' with { type: 'json' };
import { bundleForNode } from '../scripts/bundle.ts';
import { baselineOf, withClaims, withRegressions } from '../src/audit/build.ts';
import { type AuditRecord, listRecord } from '../src/audit/image.ts';
import { readRelease } from '../src/audit/release.ts';
import { readFixtureFile } from './support/fixtures.ts';

const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const codes = ({ findings }: AuditRecord): string[] => findings.map(({ code }) => code);

describe('readRelease()', () => {
  const listed = JSON.stringify({
    target: 'ath79/generic',
    profiles: { a_b: { supported_devices: ['a,b', 'old-b'], images: [{ name: 'x-sysupgrade.bin', type: 'sysupgrade', sha256: 'ab' }] } },
  });

  test('readRelease() takes profile, type and digest from profiles.json', () => {
    const { target, images, problems } = readRelease(listed, undefined);
    expect(problems).toEqual([]);
    expect(target).toBe('ath79/generic');
    expect(images.get('x-sysupgrade.bin')).toEqual({ name: 'x-sysupgrade.bin', sha256: 'ab', list: 'profiles.json', profile: 'a_b', type: 'sysupgrade' });
  });

  test('readRelease() reads text and binary lines of sha256sums', () => {
    const sum = '0'.repeat(64);
    const { images, problems } = readRelease(undefined, `${sum} *a.bin\n${sum}  b.bin\n\n`);
    expect(problems).toEqual([]);
    expect([...images.keys()]).toEqual(['a.bin', 'b.bin']);
    expect(images.get('a.bin')?.sha256).toBe(sum);
  });

  test.each([
    ['profiles.json', '{', undefined],
    ['profiles.json', '{"profiles":[]}', undefined],
    ['profiles.json', '{"profiles":{"a":{"images":[{"name":"../../etc/passwd"}]}}}', undefined],
    ['sha256sums', undefined, 'no digest here\n'],
  ])('readRelease() says why %s cannot be read, case %#', (list, profiles, sums) => {
    const { images, problems } = readRelease(profiles, sums);
    expect(problems.map((problem) => problem.list)).toEqual([list]);
    expect(images.size).toBe(0);
  });

  test('readRelease() keeps one list where the other is broken', () => {
    const { images, problems } = readRelease('{', `${'1'.repeat(64)}  a.bin\n`);
    expect(problems).toHaveLength(1);
    expect(images.has('a.bin')).toBe(true);
  });
});

const record = (profile: string, boards: readonly string[], compatVersion: string): AuditRecord => ({
  ...listRecord(`${profile}.bin`, []),
  target: 'ath79/generic',
  profile,
  boards,
  compatVersion,
});

describe('a whole build', () => {
  test('withClaims() names the two profiles that claim one board', () => {
    const [first, second] = withClaims([record('a', ['a,a', 'shared'], '1.0'), record('b', ['b,b', 'shared'], '1.0')]) as [AuditRecord, AuditRecord];
    expect(codes(first)).toEqual([]);
    expect(codes(second)).toEqual(['board-claimed-twice']);
    expect(second.findings[0]?.message).toContain('shared');
  });

  test('withClaims() says nothing of two images of one profile', () => {
    expect(withClaims([record('a', ['x'], '1.0'), record('a', ['x'], '1.0')]).flatMap(codes)).toEqual([]);
  });

  test('withRegressions() finds lost names and fallen compat versions', () => {
    const before = baselineOf([record('a', ['a,a', 'old-a'], '2.0')]);
    const [now] = withRegressions([record('a', ['a,a'], '1.0')], before) as [AuditRecord];
    expect(codes(now)).toEqual(['board-lost', 'compat-version-fallen']);
  });

  test('withRegressions() says nothing of names and versions that were added', () => {
    const before = baselineOf([record('a', ['a,a'], '1.0')]);
    expect(withRegressions([record('a', ['a,a', 'new'], '1.10')], before).flatMap(codes)).toEqual([]);
  });
});

describe('owimg audit', () => {
  const root = fileURLToPath(new URL('../', import.meta.url));
  let folder: string;
  let built: string;

  const audit = (...args: string[]): { status: number | null; out: string; err: string } => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [join(built, 'bin', 'owimg.js'), ...args], { cwd: root, encoding: 'utf8' });
    return { status, out: stdout, err: stderr };
  };
  const records = (out: string): AuditRecord[] =>
    out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as AuditRecord);
  const byName = (all: readonly AuditRecord[], name: string): AuditRecord => all.find(({ path }) => path.endsWith(name)) as AuditRecord;

  beforeAll(async () => {
    // Workers need files that Node itself can load.
    built = mkdtempSync(join(root, 'node_modules', '.owimg-'));
    await bundleForNode(built, 'command');
    folder = mkdtempSync(join(tmpdir(), 'owimg-audit-'));
    const target = join(folder, 'targets', 'made', 'generic');
    mkdirSync(target, { recursive: true });
    const image = readFixtureFile('fwtool/sound-compat-2.0.bin');
    const changed = Uint8Array.from(image);
    changed[1000] = (changed[1000] as number) ^ 1;
    const list = (name: string, type: string) => ({ name, type, sha256: digest(image) });
    writeFileSync(join(target, 'good-squashfs-sysupgrade.bin'), image);
    writeFileSync(join(target, 'changed-squashfs-sysupgrade.bin'), changed);
    writeFileSync(join(target, 'left-over.bin'), image);
    const images = [list('good-squashfs-sysupgrade.bin', 'sysupgrade'), list('changed-squashfs-sysupgrade.bin', 'sysupgrade'), list('gone.bin', 'factory')];
    const profiles = { vendor_golden: { supported_devices: ['vendor,golden-v2'], images } };
    writeFileSync(join(target, 'profiles.json'), JSON.stringify({ target: 'made/generic', profiles }));
    writeFileSync(join(target, 'sha256sums'), images.map(({ name, sha256 }) => `${sha256} *${name}\n`).join(''));
  });
  afterAll(() => {
    for (const path of [folder, built]) rmSync(path, { recursive: true });
  });

  test('audit finds the changed, the missing and the unlisted image, and still looks at the others', () => {
    const { status, out } = audit('audit', '--ndjson', folder);
    expect(status).toBe(1);
    const all = records(out);
    expect(codes(byName(all, 'good-squashfs-sysupgrade.bin'))).toEqual(['profile-unknown']);
    expect(codes(byName(all, 'changed-squashfs-sysupgrade.bin'))).toContain('digest-mismatch');
    expect(codes(byName(all, 'changed-squashfs-sysupgrade.bin'))).toContain('metadata-checksum-mismatch');
    expect(codes(byName(all, 'left-over.bin'))).toContain('image-not-listed');
    expect(byName(all, 'profiles.json').findings.map(({ message }) => message)).toEqual(['profiles.json lists gone.bin, which is not in the folder']);
  });

  test('audit goes on where profiles.json is broken', () => {
    const broken = mkdtempSync(join(tmpdir(), 'owimg-audit-'));
    try {
      cpSync(folder, broken, { recursive: true });
      writeFileSync(join(broken, 'targets', 'made', 'generic', 'profiles.json'), '{"profiles":');
      const { status, out } = audit('audit', '--ndjson', broken);
      expect(status).toBe(1);
      const all = records(out);
      expect(codes(byName(all, 'profiles.json'))).toEqual(['list-invalid']);
      expect(codes(byName(all, 'changed-squashfs-sysupgrade.bin'))).toContain('digest-mismatch');
    } finally {
      rmSync(broken, { recursive: true });
    }
  });

  test('the pieces of all shards, merged, are the records of the whole', () => {
    const whole = records(audit('audit', '--ndjson', folder).out);
    const pieces = [1, 2, 3].map((index) => {
      const { out } = audit('audit', '--ndjson', '--shard', `${index}/3`, folder);
      const path = join(folder, `shard-${index}.ndjson`);
      writeFileSync(path, out);
      return path;
    });
    const merged = audit('report', 'merge', '--ndjson', ...pieces);
    expect(merged.status).toBe(1);
    const sorted = (all: readonly AuditRecord[]): AuditRecord[] => [...all].sort((a, b) => a.path.localeCompare(b.path));
    expect(sorted(records(merged.out))).toEqual(sorted(whole));
    for (const path of pieces) rmSync(path);
  });

  test('--json and --ndjson are what the schema says', () => {
    const validate = new Ajv2020({ strict: true, allowUnionTypes: true, strictRequired: false }).compile(schema);
    for (const text of [audit('audit', '--json', folder).out, ...audit('audit', '--ndjson', folder).out.trimEnd().split('\n')]) {
      validate(JSON.parse(text));
      expect(validate.errors).toBeNull();
    }
  });

  test('a cache gives the same records, and is not believed for changed content', () => {
    const cache = join(folder, 'cache');
    const target = join(folder, 'targets');
    const first = audit('audit', '--ndjson', '--cache', cache, target);
    expect(readdirSync(cache).length).toBe(3);
    expect(audit('audit', '--ndjson', '--cache', cache, target).out).toBe(first.out);
    const path = join(target, 'made', 'generic', 'left-over.bin');
    writeFileSync(path, readFixtureFile('fwtool/sound-compat-2.0.bin').subarray(0, 5000));
    const again = records(audit('audit', '--ndjson', '--cache', cache, target).out);
    expect(byName(again, 'left-over.bin').size).toBe(5000);
    writeFileSync(path, readFixtureFile('fwtool/sound-compat-2.0.bin'));
    rmSync(cache, { recursive: true });
  });

  test.each([
    [['audit', '--shard', '4/3', '.'], 2, 'expected i/n'],
    [['audit', '--json', '--ndjson', '.'], 2, 'Choose one'],
    [['audit', '/nowhere-at-all'], 4, 'there is no such folder'],
    [['report', 'merge', 'package.json'], 4, 'line 1 of "package.json"'],
  ])('%j is refused with exit status %i', (args, expected, words) => {
    const { status, err } = audit(...args);
    expect(err).toContain(words);
    expect(status).toBe(expected);
  });

  test('the report for people names what is wrong before it counts', () => {
    const { out } = audit('audit', folder);
    expect(out).toContain('error digest-mismatch');
    expect(out.indexOf('digest-mismatch')).toBeLessThan(out.indexOf('3 images:'));
    expect(Math.max(...out.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
  });
});
