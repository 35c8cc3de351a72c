/** What is special about bare kernels. */
import { expect, test } from 'vitest';
import { inspect } from '../src/index.ts';
import { readFixtureFile } from './support/fixtures.ts';

test('linux-image.parse() reads its header although another format seems to begin inside of it', async () => {
  const bytes = Uint8Array.from(readFixtureFile('linux-image/sound-arm64.Image'));
  bytes.set(readFixtureFile('uimage/sound-lzma.bin').subarray(0, 64), 60);
  const { root } = await inspect(bytes);
  expect(root?.format).toBe('linux-image');
  expect(root?.fields.some(({ name }) => name === 'peOffset')).toBe(true);
});
