/** What is typed, and what may be copied: options that take several values, words for a shell. */
import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { sayError } from '../src/cli/console.ts';
import { collectCodes, collectValues, spreadLists } from '../src/cli/lists.ts';
import { shellWord } from '../src/report/shell-word.ts';
import { consoleOf } from './support/console.ts';

describe('shellWord()', () => {
  const names = [
    'recovery.bin',
    '$(reboot)',
    '`reboot`',
    "it's",
    '"x"',
    'a b',
    'a;b',
    'a\\b',
    '*',
    '~',
    '-x',
    '#x',
    '!x',
    'ä',
    "''",
    '$HOME',
    'a&b|c>d',
    '',
    '%x',
  ];

  test.each(names)('%j is one word to sh, the very same', (name) => {
    const word = shellWord(name, 'linux');
    expect(word).toBeDefined();
    expect(spawnSync('sh', ['-c', `printf '%s|' x ${word}`], { encoding: 'utf8' }).stdout).toBe(`x|${name}|`);
  });

  test.each(['a\nb', 'a\x1b[31m', 'a\0', 'a\u202eb', 'a\u2028b', 'a\tb', 'a\x7f'])('%j is offered in no command', (name) => {
    expect(shellWord(name, 'linux')).toBeUndefined();
  });

  test('on Windows only what no shell there reads otherwise is offered', () => {
    expect(shellWord('openwrt_x-1.2/recovery.bin', 'win32')).toBe('openwrt_x-1.2/recovery.bin');
    for (const name of ['%PATH%', 'a b', 'a&calc', "it's", '$(x)', 'ä', '']) expect(shellWord(name, 'win32')).toBeUndefined();
  });
});

describe('options that take several values', () => {
  test('collectCodes() takes them one by one and with commas', () => {
    expect(collectCodes('c-d,e-f', collectCodes('a-b'))).toEqual(['a-b', 'c-d', 'e-f']);
    expect(collectCodes('a-b, c-d,')).toEqual(['a-b', 'c-d']);
    expect(collectValues('junit=a,b.xml')).toEqual(['junit=a,b.xml']);
  });

  test.each([
    ['serve --accept a-b FILE.bin', 'serve --accept a-b FILE.bin'],
    ['serve --accept a-b c-d FILE.bin', 'serve --accept a-b --accept c-d FILE.bin'],
    ['serve FILE.bin --accept a-b c-d', 'serve FILE.bin --accept a-b --accept c-d'],
    ['serve --accept a-b --once c-d', 'serve --accept a-b --once c-d'],
    ['serve --accept a-b FILE.bin c-d', 'serve --accept a-b FILE.bin c-d'],
    ['serve --accept a-b tsconfig.json', 'serve --accept a-b tsconfig.json'],
    ['serve --accept a-b -- c-d', 'serve --accept a-b -- c-d'],
    ['audit DIR --report junit=x sarif=y', 'audit DIR --report junit=x --report sarif=y'],
    ['audit --report junit=x DIR', 'audit --report junit=x DIR'],
    ['to-factory --part loader=x dtb=y FILE', 'to-factory --part loader=x --part dtb=y FILE'],
    ['explain bad magic number', 'explain bad magic number'],
  ])('spreadLists() of %j', (typed, expected) => expect(spreadLists(typed.split(' ')).join(' ')).toBe(expected));

  test('a file that is there is a file, although its name could be a code', () => {
    const args = ['serve', '--accept', 'a-b', 'my-image'];
    expect(spreadLists(args, () => true)).toEqual(args);
    expect(spreadLists(args, () => false)).toEqual(['serve', '--accept', 'a-b', '--accept', 'my-image']);
  });
});

test('sayError() sends nothing to the terminal that steers it, neither in the message nor in the advice', () => {
  const { io, ran } = consoleOf();
  sayError(io, { message: 'no \x1b[2J', hint: 'type \x1b]0;x\x07' });
  expect(ran.err).toBe('owimg: no \\x1b[2J\n       type \\x1b]0;x\\x07\n');
});
