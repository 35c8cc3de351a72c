import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fromHex, hexBytes } from '../src/core/hex.ts';
import { acceptedTerms, plainTerms, serverTerms, wishedOptions } from '../src/tftp/options.ts';
import { ackPacket, dataPacket, errorPacket, optionsPacket, packetText, parsePacket, requestFits, requestPacket } from '../src/tftp/packets.ts';
import { plainName } from '../src/tftp/server.ts';

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
const raw = (opcode: number, rest: string): Uint8Array => Uint8Array.from([0, opcode, ...bytesOf(rest)]);

describe('packets', () => {
  // Requests as clients of Debian 12 send them, and answers as its servers give them; the last three by RFC 1350.
  test.each([
    ['a request of tftp-hpa', '000166006f6374657400', { kind: 'read', name: 'f', mode: 'octet', options: new Map() }],
    [
      'a request of curl',
      '000166006f63746574007473697a65003000626c6b73697a65003531320074696d656f7574003100',
      { kind: 'read', name: 'f', mode: 'octet', options: new Map(Object.entries({ tsize: '0', blksize: '512', timeout: '1' })) },
    ],
    [
      'a request of atftp',
      '000166006f6374657400626c6b73697a6500313432380077696e646f7773697a65003400',
      { kind: 'read', name: 'f', mode: 'octet', options: new Map(Object.entries({ blksize: '1428', windowsize: '4' })) },
    ],
    [
      'an answer of atftpd',
      '00067473697a650033333535343433320074696d656f7574003500626c6b73697a6500313432380077696e646f7773697a65003400',
      { kind: 'options', options: new Map(Object.entries({ tsize: '33554432', timeout: '5', blksize: '1428', windowsize: '4' })) },
    ],
    [
      'an answer of dnsmasq',
      '0006626c6b73697a650031343238007473697a6500333335353434333200',
      { kind: 'options', options: new Map(Object.entries({ blksize: '1428', tsize: '33554432' })) },
    ],
    ['an error of atftpd', '0005000146696c65206e6f7420666f756e6400', { kind: 'error', code: 1, text: 'File not found' }],
    ['data', '0003ffff6162', { kind: 'data', block: 65535, data: bytesOf('ab') }],
    ['an acknowledgement', '00040102', { kind: 'ack', block: 258 }],
    ['a request to write', '0002662e62696e006e6574617363696900', { kind: 'write', name: 'f.bin', mode: 'netascii', options: new Map() }],
  ])('parsePacket() reads %s', (_, hex, expected) => expect(parsePacket(fromHex(hex))).toMatchObject(expected));

  test.each([
    ['nothing', new Uint8Array(0), 'empty'],
    ['half an opcode', Uint8Array.from([0]), 'too short'],
    ['opcode 0', Uint8Array.from([0, 0, 0, 0]), 'unknown opcode 0'],
    ['opcode 7', Uint8Array.from([0, 7, 0, 0]), 'unknown opcode 7'],
    ['data without a number', Uint8Array.from([0, 3, 0]), 'at least 4'],
    ['an acknowledgement without a number', Uint8Array.from([0, 4]), 'at least 4'],
    ['a name without an end', raw(1, 'file'), 'has no end'],
    ['a mode without an end', raw(1, 'file\0octet'), 'has no end'],
    ['a request of more than 512 bytes', raw(1, `${'x'.repeat(505)}\0octet\0`), 'at most 512'],
    ['options without an end', raw(6, 'blksize\x00512'), 'without an end'],
    ['noise', Uint8Array.from([0x80, 0x01, 0x02]), 'neither TFTP nor text'],
  ])('parsePacket() calls %s malformed', (_, bytes, reason) => {
    const packet = parsePacket(bytes);
    expect(packet).toMatchObject({ kind: 'malformed', reason: expect.stringContaining(reason) });
    expect(packetText(bytes)).toContain('not TFTP');
  });

  test('parsePacket() takes a datagram that begins with a printable byte for words', () => {
    expect(parsePacket(bytesOf('Check Image Fail!\r\n'))).toEqual({ kind: 'text', text: 'Check Image Fail!' });
  });

  test('parsePacket() takes what real senders append: a bare password, padding behind a number, an error text without an end', () => {
    expect(parsePacket(raw(2, 'code.bin\0octet\0admin\0'))).toMatchObject({ kind: 'write', name: 'code.bin', options: new Map() });
    expect(parsePacket(raw(2, 'code.bin\0octet\0blksize\x00512\0admin'))).toMatchObject({ options: new Map([['blksize', '512']]) });
    expect(parsePacket(Uint8Array.from([0, 4, 0, 9, 0, 0, 0, 0]))).toEqual({ kind: 'ack', block: 9 });
    expect(parsePacket(Uint8Array.from([0, 5, 0, 2, ...bytesOf('no')]))).toEqual({ kind: 'error', code: 2, text: 'no' });
  });

  test('parsePacket() compares names of options and modes without case, and takes the first of two', () => {
    const parsed = parsePacket(raw(1, 'F\0OcTeT\0BlkSize\x001024\0blksize\x008\0'));
    expect(parsed).toMatchObject({ name: 'F', mode: 'octet', options: new Map([['blksize', '1024']]) });
  });

  test('parsePacket() reads back whatever was written', () => {
    const word = fc.string({ unit: fc.constantFrom(...'abcXYZ0189 ._-/\\äß'), maxLength: 20 });
    const options = fc
      .uniqueArray(
        fc.tuple(
          word.map((name) => name.toLowerCase()),
          word,
        ),
        { selector: ([name]) => name, maxLength: 5 },
      )
      .map((entries) => new Map(entries));
    const number = fc.integer({ min: 0, max: 65535 });
    fc.assert(
      fc.property(
        fc.constantFrom('read' as const, 'write' as const),
        word,
        word.map((mode) => mode.toLowerCase()),
        options,
        (kind, name, mode, asked) => {
          const request = { kind, name, mode, options: asked };
          fc.pre(requestFits(request));
          expect(parsePacket(requestPacket(request))).toEqual(request);
        },
      ),
    );
    fc.assert(fc.property(options, (asked) => void expect(parsePacket(optionsPacket(asked))).toEqual({ kind: 'options', options: asked })));
    fc.assert(
      fc.property(
        number,
        fc.uint8Array({ maxLength: 70_000 }),
        (block, data) => void expect(parsePacket(dataPacket(block, data))).toEqual({ kind: 'data', block, data }),
      ),
      { numRuns: 30 },
    );
    fc.assert(fc.property(number, (block) => void expect(parsePacket(ackPacket(block))).toEqual({ kind: 'ack', block })));
    fc.assert(
      fc.property(number, word, (code, words) => void expect(parsePacket(errorPacket(code, words))).toEqual({ kind: 'error', code, text: words.trim() })),
    );
  });

  test('parsePacket() and packetText() never throw', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 600 }),
      fc.tuple(fc.integer({ min: 0, max: 8 }), fc.uint8Array({ maxLength: 600 })).map(([opcode, rest]) => Uint8Array.from([0, opcode, ...rest])),
    );
    fc.assert(
      fc.property(bytes, (datagram) => void [parsePacket(datagram), packetText(datagram)]),
      { numRuns: 5000 },
    );
  });

  test('dataPacket() gives bytes that no later packet changes', () => {
    const made = Array.from({ length: 2000 }, (_, index) => dataPacket(index, new Uint8Array(512).fill(index & 0xff)));
    for (const [index, bytes] of made.entries()) {
      expect(hexBytes(bytes.subarray(0, 4))).toBe(`0003${index.toString(16).padStart(4, '0')}`);
      expect(bytes.subarray(4).every((byte) => byte === (index & 0xff))).toBe(true);
    }
  });

  test('requestFits() refuses what a server would not take', () => {
    const request = { kind: 'read' as const, mode: 'octet', options: new Map<string, string>() };
    expect(requestFits({ ...request, name: 'x'.repeat(512 - 2 - 1 - 6) })).toBe(true);
    expect(requestFits({ ...request, name: 'x'.repeat(512 - 2 - 1 - 5) })).toBe(false);
    expect(requestFits({ ...request, name: 'a\0b' })).toBe(false);
  });
});

describe('options', () => {
  const asked = { blockSize: 1468, windowSize: 8, timeout: 5, transferSize: 0 };
  const answer = (options: Record<string, string>) => acceptedTerms(new Map(Object.entries(options)), asked);

  test('wishedOptions() asks in the order of U-Boot', () => {
    expect([...wishedOptions(asked)]).toEqual([
      ['timeout', '5'],
      ['tsize', '0'],
      ['blksize', '1468'],
      ['windowsize', '8'],
    ]);
    expect(wishedOptions({}).size).toBe(0);
  });

  test('acceptedTerms() takes what was granted, and lower values', () => {
    expect(answer({ timeout: '5', tsize: '3145792', blksize: '512', windowsize: '4' })).toMatchObject({
      timeout: 5,
      transferSize: 3145792,
      blockSize: 512,
      windowSize: 4,
    });
    expect(answer({})).toMatchObject(plainTerms);
  });

  test.each([
    ['a larger block size', { blksize: '1469' }],
    ['a block size below 8', { blksize: '7' }],
    ['a window of 0', { windowsize: '0' }],
    ['a larger window', { windowsize: '9' }],
    ['another timeout', { timeout: '6' }],
    ['no number', { blksize: '0x200' }],
    ['another roll-over', { rollover: '1' }],
  ])('acceptedTerms() refuses %s', (_, options) => expect(answer(options)).toEqual(expect.any(String)));

  test('acceptedTerms() refuses what was not asked for where it would change the transfer, and only there', () => {
    const unasked = (options: Record<string, string>) => acceptedTerms(new Map(Object.entries(options)), { blockSize: 1024 });
    // pTFTPd on Linux.
    expect(unasked({ blksize: '1024', windowsize: '0' })).toEqual(expect.any(String));
    expect(acceptedTerms(new Map([['blksize', '256']]), { windowSize: 4 })).toEqual(expect.any(String));
    expect(unasked({ blksize: '1024', tsize: '77', multicast: '', windowsize: '1' })).toMatchObject({ blockSize: 1024, windowSize: 1, transferSize: 77 });
  });

  test('acceptedTerms() does not believe a size of 0, which servers answer that do not know it', () =>
    expect(answer({ tsize: '0' })).toMatchObject({ transferSize: undefined }));

  const limits = { plain: false, blockSize: 1468, windowSize: 64 };
  const served = (options: Record<string, string>, given = limits) => serverTerms(new Map(Object.entries(options)), 3145792, given);

  test('serverTerms() answers U-Boot: what was asked for, timeout unchanged, the block size never raised', () => {
    const { answer: options, terms } = served({ timeout: '05', tsize: '0', blksize: '1468' });
    expect([...options]).toEqual([
      ['timeout', '05'],
      ['tsize', '3145792'],
      ['blksize', '1468'],
    ]);
    expect(terms).toMatchObject({ blockSize: 1468, windowSize: 1, timeout: 5 });
    expect([...served({ blksize: '512' }).answer]).toEqual([['blksize', '512']]);
    expect([...served({ blksize: '65464', windowsize: '65535' }).answer]).toEqual([
      ['blksize', '1468'],
      ['windowsize', '64'],
    ]);
  });

  test.each([
    ['a block size below 8', { blksize: '7' }],
    ['a window of 0', { windowsize: '0' }],
    ['a timeout of 0', { timeout: '0' }],
    ['a timeout of 256', { timeout: '256' }],
    // npm tftp.
    ['a timeout in milliseconds', { timeout: '3000' }],
    ['no number', { tsize: 'x' }],
    ['multicast', { multicast: '' }],
    ['what it does not know', { utimeout: '1000000', blksize2: '512' }],
    ['a roll-over to 2', { rollover: '2' }],
  ])('serverTerms() leaves out %s', (_, options) => expect(served(options as Record<string, string>)).toMatchObject({ answer: new Map(), terms: plainTerms }));

  test('serverTerms() does not tell a size of 0, which curl takes for an error', () => {
    expect(serverTerms(new Map([['tsize', '0']]), 0, limits).answer).toEqual(new Map());
  });

  test('serverTerms() answers nothing where only RFC 1350 is wanted', () => {
    expect(served({ blksize: '1024', tsize: '0' }, { ...limits, plain: true })).toEqual({ answer: new Map(), terms: plainTerms });
  });

  test('plainName() forgives what routers put in front of a name', () => {
    for (const name of ['/WR841_tp_recovery.bin', '\\wr841_TP_recovery.bin', './wr841_tp_recovery.bin', '//\\wr841_tp_recovery.bin']) {
      expect(plainName(name)).toBe('wr841_tp_recovery.bin');
    }
    expect(plainName('../x')).toBe('../x');
  });
});
