/** What holds for every format and every fixture. A new format gets these tests by its fixtures alone. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { allLayers } from '../src/core/layers.ts';
import { Budget } from '../src/core/limits.ts';
import { type FindingCode, findingKinds, formats, type Inspection, inspect } from '../src/index.ts';
import { fixtureFolders, fixtureReadme, fixtures, readFixture } from './support/fixtures.ts';
import { silentUnknowns, strayChildren, tilingProblems } from './support/layers.ts';
import { randomFrom } from './support/random.ts';

const formatOf = (id: string) => formats.find((format) => format.id === id);

/** Everything that must hold for any input at all. */
function expectWellFormed(result: Inspection): void {
  const layers = allLayers(result.root);
  expect(layers.flatMap(tilingProblems)).toEqual([]);
  expect(layers.flatMap(strayChildren)).toEqual([]);
  expect(layers.flatMap(silentUnknowns)).toEqual([]);
  for (const entry of result.findings) expect(entry.length).toBeGreaterThanOrEqual(0);
}

describe.each(formats.map((format) => format.id))('format %s', (id) => {
  const own = fixtures.filter((fixture) => fixture.format === id);
  const format = formatOf(id);

  test('has a sound fixture, and a broken one unless it is a mark', () => {
    expect(own.filter((fixture) => fixture.code === undefined).map((fixture) => fixture.file)).not.toEqual([]);
    if (format?.role !== 'mark') expect(own.filter((fixture) => fixture.code !== undefined).map((fixture) => fixture.file)).not.toEqual([]);
  });

  test('says where each fixture comes from', () => {
    const readme = fixtureReadme(id);
    for (const { file } of own) expect(readme).toContain(`\`${file}\``);
  });

  test('detect() and locate() never throw on random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 700 }), (bytes) => {
        expect(['no', 'maybe', 'yes']).toContain(format?.detect(bytes));
        expect(format?.locate?.(bytes) ?? -1).toBeLessThan(Math.max(1, bytes.length));
      }),
      { numRuns: 300, seed: 1 },
    );
  });
});

test('inspect() reads a Buffer as it reads a Uint8Array, and leaves its bytes alone', async () => {
  for (const folder of fixtureFolders) {
    const fixture = fixtures.find(({ format, code }) => format === folder && code === undefined) as (typeof fixtures)[number];
    const bytes = readFixture(fixture);
    // In the middle of a larger one, as readFile gives them.
    const buffer = Buffer.concat([Buffer.alloc(3), bytes]).subarray(3);
    expect(await inspect(buffer, { deep: true }), fixture.path).toEqual(await inspect(bytes, { deep: true }));
    expect(buffer.equals(readFixture(fixture)), fixture.path).toBe(true);
  }
});

test('every fixture folder belongs to a format', () => {
  expect(fixtureFolders.filter((folder) => formatOf(folder) === undefined)).toEqual([]);
});

describe.each(fixtures.map((fixture) => [`${fixture.format}/${fixture.file}`, fixture] as const))('fixture %s', (_, fixture) => {
  const bytes = readFixture(fixture);
  const format = formatOf(fixture.format);
  const appended = format?.role === 'trailer' || format?.role === 'footer' || format?.role === 'mark';

  test('says what its name says', async () => {
    const result = await inspect(bytes, { deep: true });
    if (fixture.code === undefined) {
      expect(result.findings.filter((entry) => entry.severity !== 'note')).toEqual([]);
      expect(result.status).toBe('sound');
      const ids = allLayers(result.root).map((layer) => layer.format);
      if (appended) expect(ids.slice(1)).toContain(fixture.format);
      else expect(ids[0]).toBe(fixture.format);
    } else {
      expect(Object.keys(findingKinds)).toContain(fixture.code);
      expect(result.findings.map((entry) => entry.code)).toContain(fixture.code);
      if (findingKinds[fixture.code as FindingCode].severity !== 'note') expect(result.status).not.toBe('sound');
    }
  });

  test('gives its golden tree', async () => {
    const result = await inspect(bytes);
    expectWellFormed(result);
    await expect(`${JSON.stringify(result, null, 1)}\n`).toMatchFileSnapshot(`${fixture.path}.json`);
  });

  test('cut anywhere gives only findings', async () => {
    const random = randomFrom(bytes.length);
    const cuts = new Set([
      0,
      1,
      2,
      3,
      ...Array.from({ length: 40 }, () => random(Math.min(600, bytes.length))),
      ...Array.from({ length: 40 }, () => random(bytes.length)),
    ]);
    for (const cut of cuts) expectWellFormed(await inspect(bytes.slice(0, cut)));
  });

  if (fixture.code !== undefined) return;

  test('is claimed by no other format', () => {
    const claims = formats.filter((other) => other.id !== fixture.format && other.detect(bytes) === 'yes').map((other) => other.id);
    if (fixture.format === 'flash-slice' || appended) expect(claims.length).toBeLessThanOrEqual(1);
    else expect(claims).toEqual([]);
  });

  test('notices every changed bit that a check covers', async () => {
    const { coverage } = await inspect(bytes);
    const random = randomFrom(7);
    for (const range of coverage.ranges) {
      const positions = new Set([0, 1, 2, 3, range.length - 1, ...Array.from({ length: 24 }, () => random(range.length))]);
      for (const position of positions) {
        if (position < 0 || position >= range.length) continue;
        const offset = range.offset + position;
        const flipped = bytes.slice();
        flipped[offset] = (flipped[offset] as number) ^ (1 << random(8));
        const { status } = await inspect(flipped);
        expect(status, `byte ${offset}, covered by ${range.checks.join()}`).not.toBe('sound');
      }
    }
  });

  if (format?.build === undefined) return;

  test('is built again from what was read', async () => {
    const reading = await format.parse(bytes, { unpack: true, deep: true, budget: new Budget() });
    const start = reading.start ?? 0;
    const built: Uint8Array = (format.build as (input: unknown) => Uint8Array)((reading.input as () => unknown)());
    expect(built).toEqual(bytes.slice(start, start + reading.length));
  });
});
