/** `owimg explain`: every message in the table is found as people see it, and codes, logs and unknown texts. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, test } from 'vitest';
import schema from '../docs/schema/explain.schema.json' with { type: 'json' };
import { errorKinds } from '../src/core/errors.ts';
import { type FindingCode, finding, findingKinds } from '../src/core/findings.ts';
import { type ExplainedMessage, explain, nearest } from '../src/explain/explain.ts';
import { forcings, type Message, messages, stages } from '../src/explain/messages.ts';
import { owimg } from './support/console.ts';

const root = fileURLToPath(new URL('../', import.meta.url));
const ids = (text: string): string[] => explain(text).map((entry) => (entry.what === 'message' ? entry.id : entry.code));
const only = (text: string): ExplainedMessage => {
  const [entry, ...others] = explain(text);
  if (entry?.what !== 'message' || others.length > 0) throw new Error(`"${text}" is not one message`);
  return entry;
};
const entryOf = (id: string): Message => {
  const message = messages.find((one) => one.id === id);
  if (message === undefined) throw new Error(`no entry ${id}`);
  return message;
};

/** The ways in which people paste a message. */
const ways: readonly (readonly [string, (text: string) => string])[] = [
  ['as it is', (text) => text],
  ['in capitals', (text) => text.toUpperCase()],
  ['in small letters', (text) => text.toLowerCase()],
  ['in quotes', (text) => `"${text.trim()}"`],
  ['in curled quotes', (text) => `“${text.trim().replaceAll("'", '’')}”`],
  ["behind the kernel's time", (text) => text.replaceAll(/^/gm, '[    3.141592] ')],
  ["behind a terminal's time", (text) => text.replaceAll(/^/gm, '[2026-11-21 07:55:14.123] ')],
  ['behind a syslog prefix', (text) => text.replaceAll(/^/gm, 'Sat Nov 21 07:55:14 2026 user.notice upgrade: ')],
  ['quoted in a mail', (text) => text.replaceAll(/^/gm, '> > ')],
  ['in the colours of a terminal', (text) => `\u001b[1;31m${text}\u001b[0m`],
  ['with line ends of Windows', (text) => `${text.replaceAll('\n', '\r\n')}\r\n`],
  ['broken by a narrow window', (text) => text.trim().replaceAll(/(\S{1,40}(?: \S+){1,3}) /g, '$1\n')],
];

describe('explain() with the messages of the table', () => {
  const examples = messages.flatMap(({ id, examples: seen }) => seen.map((example) => [example, id] as const));

  test.each(examples)('explain(%j) finds %s however it is pasted', (example, id) => {
    for (const [way, paste] of ways) {
      // Where a pattern has "anything up to the end of the line", a broken line is another text.
      if (way.startsWith('broken') && entryOf(id).patterns.some((text) => text.includes('…'))) continue;
      expect(ids(paste(example)), way).toEqual([id]);
    }
  });

  test.each(messages.flatMap(({ id, aliases = [] }) => aliases.map((alias) => [alias, id] as const)))('explain(%j) finds %s', (alias, id) => {
    expect(ids(alias)).toEqual([id]);
    expect(ids(` "${alias.toUpperCase()}". `)).toEqual([id]);
  });

  test('every pattern is needed: each of them finds its own entry', () => {
    const filled = (text: string): string => text.replaceAll('%s', 'abc,def-1').replaceAll('%d', '0x1f').replaceAll('…', ' and ');
    for (const { id, patterns } of messages) for (const pattern of patterns) expect(ids(filled(pattern)), pattern).toEqual([id]);
  });

  test('no two entries have the same id', () => {
    expect([...new Set(messages.map(({ id }) => id))]).toEqual(messages.map(({ id }) => id));
  });
});

describe('the texts of the table', () => {
  const texts = [
    ...messages.flatMap(({ id, means, next }) => [means, next].map((text) => [id, text] as const)),
    ...Object.entries(stages).map(([id, { says }]) => [id, says] as const),
    ...Object.entries(forcings).map(([id, { says }]) => [id, says] as const),
    ...Object.entries(findingKinds).map(([code, kind]) => [code, (kind as { why?: string }).why ?? ''] as const),
    ...Object.entries(errorKinds).map(([code, { why }]) => [code, why] as const),
  ];

  test.each(texts)('%s: %j is a sentence, and promises nothing', (_, text) => {
    expect(text).toMatch(/^\S.*[.!)]$/);
    expect(text).not.toMatch(/\bsafe(?:ly|ty)?\b|\bguarantee/i);
  });

  test('what bricks is never offered: "-F" stands in the next step only where forcing loses the settings at most, or only under a condition', () => {
    for (const { id, forcing, next } of messages) {
      if (/sysupgrade -F|-F -n/.test(next)) expect(['loses-settings', 'same-hardware-only', 'number-decides'], id).toContain(forcing);
    }
  });

  test('every message that comes from sysupgrade or LuCI before anything is written says what forcing does, or has nothing to force', () => {
    const without = messages.filter(
      ({ saidBy, stage, forcing }) => ['sysupgrade', 'luci'].includes(saidBy) && stage === 'nothing-written' && forcing === undefined,
    );
    expect(without.map(({ id }) => id)).toEqual([
      'image-check-failed',
      'image-file-missing',
      'config-file-invalid',
      'processes-left',
      'tar-being-verified',
      'dual-boot-partition',
    ]);
  });
});

describe('explain() says what is at stake', () => {
  const harm = (text: string): (string | undefined)[] => [only(text).stage.harm, only(text).forcing?.harm];

  test.each([
    ['The device is supported, but the config is incompatible to the new image (1.0->1.1).', ['harmless', 'lossy']],
    ['this image is incompatible for sysupgrade based on the image version (1.0->2.0)', ['harmless', 'deadly']],
    ['Device a,b not supported by this image', ['harmless', 'depends']],
    ['Image metadata not present', ['harmless', 'depends']],
    ['Image signature not present', ['harmless', 'harmless']],
    ["Your configurations won't be saved if factory-uboot.bin image specified.", ['harmless', 'lossy']],
    ['Bad Magic Number', ['depends', undefined]],
    ['Bad Magic Number,FFFFFFFF', ['deadly', undefined]],
    ['Bad Magic Number, it is forbidden to be written to flash!!', ['harmless', undefined]],
    ['Error writing image.', ['deadly', undefined]],
    ['Error code: 18005', ['harmless', 'harmless']],
    ['Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)', ['deadly', undefined]],
  ])('explain(%j): %j for the flash and for forcing', (text, expected) => {
    expect(harm(text)).toEqual(expected);
  });

  test('a count of seconds in front of the boot is no time-out', () => {
    expect(ids('Filename "recovery.bin".\n TIMEOUT_COUNT=10,Load address: 0x80100000\nLoading: Got ARP REPLY')).toEqual([]);
  });
});

describe('explain() with a log', () => {
  test('a sysupgrade that is refused: every line in its order', () => {
    const log = [
      'root@OpenWrt:/tmp# sysupgrade -v fw.bin',
      'Device tplink,c20-v1 not supported by this image',
      'Supported devices: c20v1',
      'Image check failed.',
    ].join('\n');
    expect(ids(log)).toEqual(['device-not-supported', 'supported-devices', 'image-check-failed']);
    expect(explain(log)).toMatchObject([{ line: 2, text: 'Device tplink,c20-v1 not supported by this image' }, { line: 3 }, { line: 4 }]);
  });

  test('a system that does not know compat versions: why its own name is in the list that refuses it', () => {
    const log =
      'Device ubnt,edgerouter-x not supported by this image\nSupported devices: ubnt,edgerouter-x - Image version mismatch: image 2.0, device 1.0. Please wipe config during upgrade (force required) or reinstall. Reason: Config cannot be migrated from swconfig to DSA\nImage check failed.';
    expect(ids(log)).toEqual(['device-not-supported', 'compat-unknown-to-old-system', 'compat-settings', 'image-check-failed']);
  });

  test('a boot loop: each message once, with how often it came', () => {
    const boot = 'U-Boot 1.1.4 (Nov 12 2012)\r\n## Booting image at 9f020000 ...\r\nBad Magic Number\r\n';
    const [first, ...others] = explain(boot.repeat(3));
    expect(first).toMatchObject({ id: 'bad-magic', times: 3, line: 3, text: 'Bad Magic Number' });
    expect(others).toEqual([]);
  });

  test('a kernel that cannot be unpacked', () => {
    const log = '   Verifying Checksum ... OK\n   Uncompressing Kernel Image ... LZMA ERROR 1 - must RESET board to recover\n\nresetting ...';
    expect(ids(log)).toEqual(['lzma-error']);
  });

  test('a boot loader that finds no server', () => {
    const log =
      "TFTP from server 192.168.0.66; our IP address is 192.168.0.86\nFilename 'ArcherC7v5_tp_recovery.bin'.\nLoad address: 0x80060000\nLoading: T T T T T T T T T T \nRetry count exceeded; starting again";
    expect(ids(log)).toEqual(['tftp-gave-up']);
  });

  test('a Linksys router that was too fast', () => {
    const log =
      'tftp> put code.bin\nsent WRQ <file=code.bin, mode=octet>\nreceived ERROR <code=100, msg=Invalid Password !!>\nError code 100: Invalid Password !!';
    expect(ids(log)).toEqual(['invalid-password']);
  });

  test("owimg's own report", () => {
    const report = `Findings
  error   The checksum over the data is wrong: data-crc (crc32) should be
          0x2254c1f9 but the bytes give 0x54871bd0 [uimage, offset 0x18 to
          0x342e]`;
    expect(ids(report)).toEqual(['data-checksum-mismatch']);
  });

  test('words inside of other words are not found', () => {
    expect(ids('the baddest magician numbers his tricks, error code 1180055; t_t_t; opkg: Signature check failed.')).toEqual([]);
  });

  test('a line without an end is not shown as a whole', () => {
    expect(only(`${'x'.repeat(4000)} Bad Data CRC ${'y'.repeat(4000)}`).text).toBe('Bad Data CRC');
  });

  test('a log of a megabyte without any message gives nothing', () => {
    expect(ids(`${'device image bad error bind tftp sent illegal '.repeat(20)}\n`.repeat(1100))).toEqual([]);
  });
});

describe('explain() with a code', () => {
  test.each(Object.keys(findingKinds) as FindingCode[])('explain(%j) has what, why and what to do', (code) => {
    const [entry] = explain(` "${code.toUpperCase()}"\n`);
    expect(entry).toMatchObject({ what: 'finding', code, why: expect.stringMatching(/\.$/) });
    if (entry?.what === 'finding' && entry.severity === 'error') expect(entry.hint).toMatch(/[.!]$/);
  });

  test.each(Object.keys(errorKinds))('explain(%j) has why and what to do', (code) => {
    expect(explain(code.replaceAll('-', ' '))).toMatchObject([
      { what: 'error', code, why: expect.stringMatching(/\.$/), hint: expect.stringMatching(/[.?]$/) },
    ]);
  });

  test('explain() finds the code to a sentence that finding() made', () => {
    const { message } = finding('length-beyond-end', { offset: 0, length: 4 }, { field: 'dataLength', claimed: 100, available: 60, missing: 40 });
    expect(ids(message)).toEqual(['length-beyond-end']);
  });
});

describe('nearest()', () => {
  test.each([
    ['header-checksum-missmatch', 'header-checksum-mismatch'],
    ['Bad Magik Numbr', '## Booting image at 9f020000 ... Bad Magic Number'],
    ['image file is not correct', 'The image file is incorrect.'],
    ['devise unknown', 'device-unknown'],
  ])('nearest(%j) begins with %j', (text, expected) => {
    expect(nearest(text)[0]?.text).toBe(expected);
  });

  test('nearest() offers nothing for what is like nothing', () => {
    expect(nearest('zzz qqq')).toEqual([]);
  });
});

describe('owimg explain', () => {
  test('prints what a message means, what is in the flash, what forcing does, and what to do next', async () => {
    const { status, out, err } = await owimg(['explain', 'Device tplink,archer-c7-v5 not supported by this image']);
    expect(status).toBe(0);
    expect(err).toBe('');
    expect(out.split('\n').filter((line) => /^ {2}\S/.test(line))).toMatchObject(
      ['Said by', 'Means', 'Flash', 'Forcing', 'Next', 'In owimg'].map((label) => expect.stringMatching(`^ {2}${label} `)),
    );
    expect(out).toMatch(/Flash +harmless\. Nothing was written\./);
  });

  test('keeps to 80 columns and sends no control characters, for every entry', async () => {
    for (const { examples } of messages) {
      const { out } = await owimg(['explain', examples[0]]);
      expect(
        out.split('\n').filter((line) => [...line].length > 80),
        examples[0],
      ).toEqual([]);
    }
    const { out } = await owimg(['explain', 'Bad Magic Number \u001b]0;x\u0007']);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: none of these may come out
    expect(out).not.toMatch(/[\x00-\x09\x0b-\x1f]/);
  });

  test('takes the words of a message without quotes', async () => {
    expect((await owimg(['explain', 'Bad', 'Data', 'CRC'])).out).toContain('U-Boot');
  });

  test('tells line and count in a log', async () => {
    const { out } = await owimg(['explain', 'Bad Data CRC\nBad Data CRC']);
    expect(out).toMatch(/Line 1, 2\s+times\./);
  });

  test('an unknown text is exit status 3, with the nearest on standard error', async () => {
    const { status, out, err } = await owimg(['explain', 'the image signature is not there']);
    expect(status).toBe(3);
    expect(out).toBe('');
    expect(err).toContain('"Image signature not present"');
    expect(err).toContain('owimg explain - < LOG');
  });

  test('no text is wrong use', async () => {
    expect((await owimg(['explain', '  '])).status).toBe(2);
    expect((await owimg(['explain'])).status).toBe(2);
  });

  test.each([
    ['a message', 'Image metadata not present', 0],
    ['a code', 'device-mismatch', 0],
    ['an error', 'bad-usage', 0],
    ['nothing known', 'the image signature is not there', 3],
  ])('--json for %s is valid against its schema', async (_, text, expected) => {
    const { status, out } = await owimg(['explain', '--json', text]);
    const validate = new Ajv2020({ strict: true }).compile(schema);
    expect(validate(JSON.parse(out)), JSON.stringify(validate.errors)).toBe(true);
    expect(status).toBe(expected);
  });

  test('the schema refuses another kind of answer', async () => {
    const answer = JSON.parse((await owimg(['explain', '--json', 'Image metadata not present'])).out);
    delete answer.explanations[0].stage.harm;
    expect(new Ajv2020({ strict: true }).compile(schema)(answer)).toBe(false);
  });

  const piped = (input: string | Uint8Array) =>
    spawnSync(process.execPath, ['--import', 'tsx', 'bin/owimg.ts', 'explain', '-'], { cwd: root, input, encoding: 'utf8' });

  test('"-" reads a log from standard input, that of a PowerShell too', () => {
    expect(piped('## Booting image at 9f020000 ...\r\nBad Magic Number\r\n').stdout).toContain('Bad Magic Number');
    expect(piped(Buffer.from('\ufeffImage check failed.\r\n', 'utf16le')).stdout).toContain('"Image check failed."');
  });

  test('"-" refuses more than 4 MiB', () => {
    const { status, stderr } = piped('x'.repeat(5_000_000));
    expect(status).toBe(4);
    expect(stderr).toContain('the limit is 4 MiB');
  });
});
