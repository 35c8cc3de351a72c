/** `owimg explain`: every message that stands in the table is found as people see it, and leads to the right entry. */
import { describe, expect, test } from 'vitest';
import { findingKinds } from '../src/core/findings.ts';
import { explain, nearest } from '../src/explain/explain.ts';
import { messages } from '../src/explain/messages.ts';
import { owimg } from './support/console.ts';

const ids = (text: string): string[] => explain(text).map((entry) => (entry.what === 'message' ? entry.message.id : entry.code));

describe('explain()', () => {
  test.each(messages.flatMap(({ id, examples }) => examples.map((example) => [example, id] as const)))('explain(%j) finds %s', (example, id) => {
    expect(ids(example)).toEqual([id]);
    expect(ids(`[    3.141592] ${example.toUpperCase()} `)).toEqual([id]);
  });

  test.each(Object.keys(findingKinds))('explain() knows the code %s', (code) => {
    const [entry] = explain(code);
    expect(entry).toMatchObject({ what: 'finding', code });
  });

  test('explain() finds all messages of a log, each once, in their order', () => {
    const log =
      'U-Boot 1.1.4\r\n## Booting image at 9f020000 ...\r\nBad Magic Number\r\nBad Magic Number\r\nTTTTT\nT T T T \nRetry count exceeded; starting again\n';
    expect(ids(log)).toEqual(['bad-magic', 'tftp-timeout']);
  });

  test('explain() tells a refusal before the flash from a boot that fails', () => {
    const stage = (text: string): string => messages.find(({ id }) => id === ids(text)[0])?.stage ?? '';
    expect(stage('Bad Magic Number, it is forbidden to be written to flash!!')).toBe('nothing-written');
    expect(stage('Bad Magic Number')).toBe('written');
  });

  test('explain() does not find words in other words', () => {
    expect(ids('the baddest magician numbers his tricks, 118005 of them')).toEqual([]);
  });

  test('a message that forcing bricks never says that it is harmless', () => {
    for (const { id, forcing, next } of messages) if (forcing === 'bricks') expect(next.toLowerCase(), id).not.toMatch(/harmless|safe/);
  });

  test('nearest() offers what shares the most words', () => {
    expect(nearest('the uploaded file is not in a supported format')[0]?.id).toBe('luci-format');
  });

  test('explain() takes a long log in time that grows with its length', () => {
    expect(ids(`${'x'.repeat(5000)}\n`.repeat(2000))).toEqual([]);
  });
});

describe('owimg explain', () => {
  test('prints what a message means, what forcing would do, and what to do next', async () => {
    const { status, out } = await owimg(['explain', 'Device tplink,archer-c7-v5 not supported by this image']);
    expect(status).toBe(0);
    expect(out).toContain('Nothing was written');
    expect(out).toContain('Next: ');
    expect(Math.max(...out.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
  });

  test('takes the words of a message without quotes', async () => {
    expect((await owimg(['explain', 'Bad', 'Data', 'CRC'])).out).toContain('U-Boot');
  });

  test('an unknown text is exit status 3, with the nearest on standard error', async () => {
    const { status, out, err } = await owimg(['explain', 'my image signature went away']);
    expect(status).toBe(3);
    expect(out).toBe('');
    expect(err).toContain('Image Signature Error');
  });

  test('--json gives the entries without the patterns', async () => {
    const { out } = await owimg(['explain', '--json', 'device-mismatch']);
    expect(JSON.parse(out)).toMatchObject({ schemaVersion: 1, explanations: [{ what: 'finding', code: 'device-mismatch', severity: 'error' }] });
  });
});
