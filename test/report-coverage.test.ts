import fc from 'fast-check';
import { expect, test } from 'vitest';
import { mergeRanges } from '../src/core/checksums.ts';
import { inspect } from '../src/index.ts';
import { countCovered, endOf, leavesOf } from '../src/report/coverage.ts';
import { fixtures, readFixture } from './support/fixtures.ts';

test('countCovered() counts what a loop over all bytes counts', () => {
  const range = fc.record({ offset: fc.nat(40), length: fc.nat(12) });
  fc.assert(
    fc.property(fc.array(range, { maxLength: 6 }), fc.nat(60), fc.nat(60), (some, a, b) => {
      const [from, to] = [Math.min(a, b), Math.max(a, b)];
      const ranges = mergeRanges(some);
      const inside = (position: number): boolean => ranges.some((entry) => entry.offset <= position && position < endOf(entry));
      const expected = Array.from({ length: to - from }, (_, index) => from + index).filter(inside).length;
      expect(countCovered(ranges)(from, to)).toBe(expected);
    }),
    { seed: 1 },
  );
});

test('leavesOf() tiles every fixture', async () => {
  for (const fixture of fixtures) {
    const bytes = readFixture(fixture);
    const { root } = await inspect(bytes);
    let position = 0;
    for (const { region } of leavesOf(root)) {
      expect(region.offset, fixture.file).toBe(position);
      position = endOf(region);
    }
    expect(position, fixture.file).toBe(bytes.length);
  }
});
