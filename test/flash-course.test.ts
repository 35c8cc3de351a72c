/** The course of `owimg flash` as a person sees it: how long it waits, what it says of who asks for something else, what it takes for success. */
import { createSocket, Socket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, describe, expect, test, vi } from 'vitest';
import schema from '../docs/schema/flash.schema.json' with { type: 'json' };
import type { Console } from '../src/cli/console.ts';
import { type FlashFlags, runFlash } from '../src/cli/flash.ts';
import type { Host } from '../src/flash/host.ts';
import { prepare } from '../src/flash/prepare.ts';
import { outcomeWords } from '../src/report/check-text.ts';
import { renderPlan } from '../src/report/flash-text.ts';
import type { Outcome } from '../src/routes/verdict.ts';
import { consoleOf, owimg } from './support/console.ts';
import { fakeHost, loopbackHost, wired } from './support/flash-host.ts';
import { emptySurroundings, freePort, waitingLoader } from './support/flash-loaders.ts';
import { loadImage } from './support/images.ts';
import { type LoaderHabits, ubootTftpsrv } from './support/loaders.ts';

const folder = mkdtempSync(join(tmpdir(), 'owimg-course-'));
const archer = 'fixtures/tplink-safeloader/sound-archer-c7-v5.bin';
const wanted = 'ArcherC7v5_tp_recovery.bin';
const wndr = join(folder, 'wndr3700-factory.img');
const initramfs = join(folder, 'asr3000-initramfs.itb');
writeFileSync(wndr, loadImage('netgear_wndr3700-v2-factory.img'));
writeFileSync(initramfs, loadImage('abt_asr3000-initramfs-recovery.itb'));
afterAll(() => rmSync(folder, { recursive: true }));

interface World {
  readonly host?: Host;
  readonly console?: Partial<Console>;
  readonly quietFor?: number;
}

interface Ran {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

async function flash(path: string, flags: FlashFlags, { host = loopbackHost(), console = {}, quietFor }: World = {}): Promise<Ran> {
  const { io, ran } = consoleOf(console);
  const status = await runFlash(path, flags, io, { host, around: emptySurroundings(), quietFor });
  return { status, ...ran };
}

/** Of a device whose way is a guess. */
const push = (port: number, more: Partial<FlashFlags> = {}): FlashFlags => ({
  device: 'netgear_wndr3700-v2',
  router: '127.0.0.1',
  port: String(port),
  yes: true,
  accept: ['habit-guessed'],
  ...more,
});

const serve = (port: number, more: Partial<FlashFlags> = {}): FlashFlags => ({
  device: 'tplink_archer-c7-v5',
  host: '127.0.0.1',
  port: String(port),
  yes: true,
  ...more,
});

async function sentTo(habits: LoaderHabits, path: string, flags: (port: number) => FlashFlags): Promise<Ran> {
  const behind = await waitingLoader(habits);
  try {
    return await flash(path, flags(behind.port));
  } finally {
    behind.close();
  }
}

/** Runs it in the background; resolves as soon as it serves. */
async function serving(flags: FlashFlags, world: World = {}): Promise<{ readonly flashing: Promise<Ran> }> {
  let err = '';
  let flashing: Promise<Ran> | undefined;
  await new Promise<void>((resolve, reject) => {
    const told = (text: string): void => {
      err += text;
      if (err.includes('Waiting for the device on')) resolve();
    };
    flashing = flash(archer, flags, { ...world, console: { err: told } }).then((ran) => ({ ...ran, err }));
    flashing.then(resolve as never, reject);
  });
  return { flashing: flashing as unknown as Promise<Ran> };
}

const request = (name: string, opcode = 1): Uint8Array => new TextEncoder().encode(`\0${String.fromCharCode(opcode)}${name}\0octet\0`);
const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function socketOf(): Promise<Socket> {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return socket;
}

/** A device that asks, and acknowledges each block after so many milliseconds, up to `until` blocks; then it breaks off with an error. */
async function slowDevice(server: number, delay: number, until = Number.POSITIVE_INFINITY): Promise<Socket> {
  const socket = await socketOf();
  let next = 1;
  socket.on('message', (bytes, { port }) => {
    const block = ((bytes[2] as number) << 8) | (bytes[3] as number);
    if (bytes[1] !== 3 || block !== next) return;
    next += 1;
    const answer = block > until ? new TextEncoder().encode('\0\x05\0\0out of memory\0') : Uint8Array.from([0, 4, block >> 8, block & 0xff]);
    setTimeout(() => socket.send(answer, port, '127.0.0.1'), delay);
  });
  socket.send(request(wanted), server, '127.0.0.1');
  return socket;
}

describe('--wait, where the device fetches the file', () => {
  test('a transfer that runs when the time is over comes to its end', async () => {
    const port = await freePort();
    const { flashing } = await serving(serve(port, { wait: '0.6' }));
    await pause(300);
    // 214 blocks: more than a second.
    const device = await slowDevice(port, 5);
    const { status, err } = await flashing;
    expect(err).toContain('The device has all of it');
    expect(status).toBe(0);
    device.close();
  });

  test('the time counts anew after a transfer that broke off', async () => {
    const port = await freePort();
    const { flashing } = await serving(serve(port, { wait: '0.9' }));
    await pause(600);
    const first = await slowDevice(port, 20, 3);
    await pause(600);
    const second = await slowDevice(port, 0);
    const { status } = await flashing;
    expect(status).toBe(0);
    first.close();
    second.close();
  });

  test('it is over when nobody asks again: exit 5, with the words of the last transfer', async () => {
    const port = await freePort();
    const { flashing } = await serving(serve(port, { wait: '0.5' }));
    const device = await slowDevice(port, 0, 3);
    const { status, err } = await flashing;
    expect(status).toBe(5);
    expect(err).toContain('Nobody asked again within 0.5 s; the last transfer broke off: "out of memory" (error 0)');
    device.close();
  });

  test('nobody asks at all: exit 4, and how long that was', async () => {
    const { status, err } = await flash(archer, serve(await freePort(), { wait: '0.3' }));
    expect(status).toBe(4);
    expect(err).toContain('No device has asked for the file within 0.3 s');
  });
});

describe('loaders of EcoNet', () => {
  const econet =
    (more: Partial<FlashFlags>) =>
    (port: number): FlashFlags => ({
      ...push(port),
      device: 'jiofiber_jcow407',
      as: 'client',
      accept: ['verdict-unknown', 'verdict-refused', 'identity-mismatch', 'habit-guessed'],
      ...more,
    });
  const kept = { ...ubootTftpsrv, errorAfterLast: { code: 0, text: 'Invalid filename, upload failed' } };

  test('keep an initramfs image in memory, with an error behind the last block: sent', async () => {
    const { status, err } = await sentTo(kept, initramfs, econet({}));
    expect(err).toContain('"Invalid filename, upload failed" behind the last block');
    expect(err).toContain('nothing is written');
    expect(status).toBe(0);
  });

  test('the same error for an image that is to be written is no success: exit 5', async () => {
    const { status, out, err } = await sentTo(kept, wndr, econet({}));
    expect(status).toBe(5);
    expect(err).toContain('in memory, and nothing is written');
    expect(err).toContain('--name tclinux.bin');
    expect(out).not.toContain('SENT');
  });

  test.each([
    ['under a name that is written', 'Invalid filename, upload failed', { name: 'tclinux.bin' }],
    ['of a checksum', 'Image checksum error, not written', {}],
    ['of a checksum, under a name that is written', 'Image checksum error, not written', { name: 'tclinux.bin' }],
  ])('any other error behind the last block is a failure, with its words: %s', async (_, text, more) => {
    for (const path of [initramfs, wndr]) {
      const { status, err, out } = await sentTo({ ...ubootTftpsrv, errorAfterLast: { code: 0, text } }, path, econet(more));
      expect(status).toBe(5);
      expect(err).toContain(text);
      expect(out).not.toContain('SENT');
    }
  });

  test('an image that is to be written under a name that is not, and no word of the loader: exit 7', async () => {
    const { status, out } = await sentTo(ubootTftpsrv, wndr, econet({}));
    expect(status).toBe(7);
    expect(out).toContain('probably nothing is written');
    expect((await sentTo(ubootTftpsrv, wndr, econet({ name: 'tclinux.bin' }))).status).toBe(0);
  });

  test('other loaders that say so behind the last block have failed', async () => {
    expect((await sentTo(kept, wndr, push)).status).toBe(5);
  });
});

describe('a device that asks for another name', () => {
  async function asking(names: readonly string[], world: World = {}): Promise<Ran> {
    const port = await freePort();
    const { flashing } = await serving(serve(port, { wait: '0.8' }), world);
    const socket = await socketOf();
    for (const name of names) socket.send(request(name), port, '127.0.0.1');
    const ran = await flashing;
    socket.close();
    return ran;
  }

  test('the advice while it waits, and the error, name the wish', async () => {
    const { status, err } = await asking(['ArcherA7v5_tp_recovery.bin'], { quietFor: 300 });
    expect(status).toBe(4);
    const says = 'The device asked for "ArcherA7v5_tp_recovery.bin", and owimg serves "ArcherC7v5_tp_recovery.bin"';
    expect(err).toContain(`${says}: if it is yours, start again with --name ArcherA7v5_tp_recovery.bin.`);
    expect(err).toContain(`owimg: ${says}\n`);
    expect(err.slice(err.indexOf('owimg: '))).toContain('start again with --name ArcherA7v5_tp_recovery.bin.');
    for (const wrong of ['Nobody has asked', 'No device has asked', 'Is the cable']) expect(err).not.toContain(wrong);
  });

  test.runIf(process.platform !== 'win32')('a name becomes one word of the shell, whatever is in it', async () => {
    const { err } = await asking(['$(touch PWNED)x.bin']);
    // At once, and in the end.
    expect(err.split("--name '$(touch PWNED)x.bin'")).toHaveLength(3);
    expect(err.split('--name ')).toHaveLength(3);
  });

  test('of a name with characters that steer terminals no command is made', async () => {
    const { err } = await asking(['\x1b[2Jx.bin']);
    expect(err).toContain('with that name (--name)');
    expect(err).not.toContain('\x1b');
  });

  test('ever new names fill neither the terminal nor the memory', async () => {
    const { err } = await asking(Array.from({ length: 60 }, (_, index) => `other-${index}.bin`));
    expect(err.match(/: refused\./g)).toHaveLength(20);
    expect(err.match(/are not shown/g)).toHaveLength(1);
  });
});

describe('what is refused before anything is done', () => {
  test.each<[string, Partial<FlashFlags>]>([
    ['a name that no request has room for', { name: 'n'.repeat(600) }],
    ['a name that has no room beside the block size', { name: 'n'.repeat(480), blksize: '1428' }],
    ['an empty name', { name: '' }],
    ['--host 0.0.0.0', { host: '0.0.0.0' }],
    ['--host 255.255.255.255', { host: '255.255.255.255' }],
    ['--router 224.0.0.1', { router: '224.0.0.1' }],
    ['--router 255.255.255.255', { router: '255.255.255.255' }],
    ['--router ff02::1', { router: 'ff02::1' }],
    ['--back ::', { back: '::' }],
    ['--back 240.0.0.1', { back: '240.0.0.1' }],
    ['a block size that RFC 2348 does not know', { blksize: '7' }],
  ])('%s', async (_, flags) => {
    await expect(flash(wndr, push(6969, flags))).rejects.toMatchObject({ code: 'bad-value' });
  });

  test.each<[string, string, FlashFlags]>([
    ['--blksize for a device that fetches the file', archer, serve(6969, { blksize: '1428' })],
    ['--single-port for one that is sent the file', wndr, push(6969, { singlePort: true })],
  ])('%s', async (_, path, flags) => {
    await expect(flash(path, flags)).rejects.toMatchObject({ code: 'bad-usage' });
  });

  test('a name of the longest length is none of these', async () => {
    const { status } = await flash(wndr, push(6969, { name: 'n'.repeat(503), dryRun: true }));
    expect(status).toBe(0);
  });
});

describe('addresses', () => {
  test('are taken in any spelling', () =>
    sentTo(ubootTftpsrv, wndr, (port) => push(port, { router: '::ffff:127.0.0.1', wait: '3' })).then(({ status }) => expect(status).toBe(0)));

  test.each([
    ['0:0::1', undefined, '::1'],
    ['FD00:0::A', undefined, 'fd00::a'],
    ['FE80::1', 'lo', 'fe80::1%lo'],
  ])('%s on the card %s is %s', async (router, card, canonical) => {
    const { out } = await flash(wndr, push(69, { router, interface: card, dryRun: true, json: true }));
    expect(JSON.parse(out).plan.router.value).toBe(canonical);
  });
});

describe('--blksize', () => {
  /** A loader that grants what it is asked for, or refuses options by their error. */
  async function loader(grants: boolean): Promise<{ readonly socket: Socket; readonly requests: string[]; readonly sizes: number[] }> {
    const socket = await socketOf();
    const requests: string[] = [];
    const sizes: number[] = [];
    const packet = (text: string): Uint8Array => new TextEncoder().encode(text);
    socket.on('message', (bytes, { port, address }) => {
      const text = bytes.toString('latin1');
      if (bytes[1] === 2) {
        requests.push(text);
        const plain = !text.includes('blksize');
        const granted = grants ? packet('\0\x06blksize\x001428\0') : packet('\0\x05\0\x08no options\0');
        socket.send(plain ? Uint8Array.from([0, 4, 0, 0]) : granted, port, address);
      } else if (bytes[1] === 3) {
        sizes.push(bytes.length - 4);
        socket.send(Uint8Array.from([0, 4, bytes[2] as number, bytes[3] as number]), port, address);
      }
    });
    return { socket, requests, sizes };
  }

  test('a loader that knows the option gets blocks of that size', async () => {
    const { socket, requests, sizes } = await loader(true);
    const { status, out, err } = await flash(wndr, push(socket.address().port, { blksize: '1428' }));
    socket.close();
    expect(status).toBe(0);
    expect(requests[0]).toContain(`tsize\0${readFileSync(wndr).length}\0blksize\x001428\0`);
    expect(sizes[0]).toBe(1428);
    expect(out).toContain('1428 bytes are asked for');
    expect(err).toContain('takes blocks of 1428 bytes');
  });

  test('one that refuses options gets the file as without them', async () => {
    const { socket, sizes } = await loader(false);
    const { status, err } = await flash(wndr, push(socket.address().port, { blksize: '1428' }));
    socket.close();
    expect(status).toBe(0);
    expect(sizes[0]).toBe(512);
    expect(err).toContain('The loader takes no options');
  });

  test('without it no option is sent', async () => {
    const { socket, requests } = await loader(true);
    await flash(wndr, push(socket.address().port));
    socket.close();
    expect(requests[0]).toMatch(/\0octet\0$/);
  });
});

test.each([
  [true, true],
  [undefined, false],
] as const)('--single-port %s: the file comes from the port that was asked: %s', async (singlePort, same) => {
  const port = await freePort();
  const { flashing } = await serving(serve(port, { singlePort }));
  const device = await slowDevice(port, 0);
  const [, from] = (await once(device, 'message')) as [Buffer, { port: number }];
  expect(from.port === port).toBe(same);
  expect((await flashing).status).toBe(0);
  device.close();
});

describe('Ctrl-C at the question', () => {
  const ask = (): Promise<string> => {
    setTimeout(() => process.emit('SIGINT'), 20);
    return new Promise(() => undefined);
  };

  test.each([
    ['at the guess', undefined],
    ['at the beginning', ['habit-guessed']],
  ])('%s: says that nothing was done, exit 130, and the transcript is written', async (when, accept) => {
    const transcript = join(folder, `stopped ${when}.txt`);
    const { status, err } = await flash(wndr, push(6969, { yes: undefined, accept, transcript }), { console: { ask } });
    expect(status).toBe(130);
    expect(err).toContain('\nStopped. Nothing was sent, and nothing was changed.\n');
    expect(readFileSync(transcript, 'utf8')).toMatch(/Stopped\. Nothing was sent, and nothing was changed\.\nexit status 130\n$/);
  });

  test('is a result of --ndjson', async () => {
    const { out } = await flash(wndr, push(6969, { yes: undefined, ndjson: true }), { console: { ask } });
    const last = JSON.parse(out.trim().split('\n').at(-1) ?? '');
    expect(last).toMatchObject({ event: 'result', result: 'interrupted', exit: 130 });
    const validate = new Ajv2020({ strict: true, allowUnionTypes: true }).compile(schema);
    validate(last);
    expect(validate.errors).toBeNull();
  });
});

const outcomes = Object.keys(outcomeWords) as Outcome[];

describe('the plan', () => {
  const oneLine = (out: string): string => out.replaceAll(/\s+/g, ' ');

  test('asks for a yes only where one is asked for', async () => {
    const said = 'When you have said yes below';
    const asked = await flash(wndr, push(6969, { yes: undefined }), { console: { ask: async () => 'no' } });
    expect(asked.out).toContain(said);
    expect((await flash(wndr, push(6969, { dryRun: true }))).out).not.toContain(said);
    expect((await flash(wndr, push(await freePort(), { wait: '0.1' }))).out).not.toContain(said);
  });

  test('says how long it waits', async () => {
    const { out } = await flash(wndr, push(6969, { dryRun: true, wait: '300' }));
    expect(oneLine(out)).toContain('four times a second, for 300 s.');
  });

  test.each(outcomes)('has room for the verdict %s on 80 columns', async (outcome) => {
    const image = { path: archer, bytes: new Uint8Array(readFileSync(archer)) };
    const { plan, ready } = await prepare(image, 'tplink_archer-c7-v5', {}, loopbackHost());
    const judged = { ...plan, verdict: { ...plan.verdict, outcome } };
    const text = renderPlan(judged, ready, 'an image', { asks: false, wait: undefined, problems: [] }, { columns: 80, colour: false });
    const [title = ''] = text.split('\n\n').filter((part) => part.startsWith('Verdict'));
    expect(oneLine(title)).toContain(`TFTP recovery: ${outcomeWords[outcome]}`);
    for (const line of title.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
  });

  test('what is saved first stands before this computer, and problems that are accepted stand last again', async () => {
    const host = fakeHost({ cards: [wired({ addresses: [{ address: '10.0.0.1', prefix: 24 }] })] });
    const { out } = await flash(wndr, push(69, { router: '192.168.0.1', accept: ['host-address'], dryRun: true }), { host });
    expect(out.indexOf('Save first')).toBeGreaterThan(0);
    expect(out.indexOf('Save first')).toBeLessThan(out.indexOf('This computer\n'));
    const last = out.trimEnd().split('\n\n').at(-2) ?? '';
    expect(last).toMatch(/^Not ready\n {2}PROBLEM The device will be 192\.168\.0\.1/);
    for (const line of last.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
  });

  test.each(['EACCES', 'EADDRINUSE'] as const)('a port that cannot be opened (%s) cannot be accepted', async (answer) => {
    const host = loopbackHost({ mayBind: async () => answer });
    const { status, err } = await flash(archer, serve(69, { accept: ['host-port'], dryRun: true }), { host });
    expect(status).toBe(4);
    expect(err).not.toContain('--accept');
  });
});

test('--dry-run --transcript writes the plan and how it ends', async () => {
  const transcript = join(folder, 'dry.txt');
  const { status } = await flash(wndr, push(6969, { dryRun: true, transcript }));
  const text = readFileSync(transcript, 'utf8');
  expect(text).toContain('What will happen');
  expect(text).toContain('Dry run: the image was not sent.');
  expect(text).toContain(`exit status ${status}`);
});

test.each([
  ['one code', ['habit-guessed']],
  ['several with commas', ['habit-guessed,host-address']],
  ['several in a row', ['habit-guessed', 'host-address']],
])('--accept takes %s, and never the file', async (_, codes) => {
  // The loopback: on a card others would be asked.
  const before = ['flash', '-d', 'netgear_wndr3700-v2', '--router', '127.0.0.1', '--interface', 'lo', '--dry-run', '--json'];
  const { status, out } = await owimg([...before, '--accept', ...codes, wndr]);
  expect(status).toBe(0);
  expect(JSON.parse(out).file.path).toBe(wndr);
});

test('what the system refuses to send is said in words, and once', async () => {
  const send = vi.spyOn(Socket.prototype, 'send').mockImplementation((...args: unknown[]) => {
    (args.at(-1) as (error: Error) => void)(Object.assign(new Error(), { code: 'ENETUNREACH' }));
  });
  try {
    const { status, err } = await flash(wndr, push(6969, { wait: '0.6' }));
    expect(status).toBe(4);
    expect(err.split('No way to that network yet: does the network card have an address in it? Trying on.\n')).toHaveLength(2);
  } finally {
    send.mockRestore();
  }
});

test('firmware that has booted: what to do is a whole sentence', async () => {
  const { err } = await sentTo({ ...ubootTftpsrv, refuse: { code: 100, text: 'Invalid Password !!' } }, wndr, (port) => push(port, { wait: '0.5' }));
  expect(err).toContain('Switch the device off and on; owimg goes on asking.\n');
});

test('one packet that is sent again is one packet', async () => {
  const { err } = await sentTo({ ...ubootTftpsrv, repeatAfter: 60_000, pause: { afterBlock: 20, milliseconds: 200 } }, wndr, push);
  expect(err).toContain(', 1 packet sent again.');
});

test('on a terminal of 80 columns no line of what happens is broken by the terminal', async () => {
  let err = '';
  const behind = await waitingLoader({ ...ubootTftpsrv, refuse: { code: 100, text: 'Invalid Password !!' } });
  const told = (text: string): void => {
    if (!text.startsWith('owimg: ')) err += text;
  };
  await flash(wndr, push(behind.port, { wait: '0.5' }), { console: { interactive: true, err: told } });
  behind.close();
  // What takes long is written over.
  const lines = err.split('\n').map((line) => line.split('\x1b[K').at(-1) ?? '');
  expect(lines.join(' ')).toContain('and this is its own TFTP server. Switch the device off and on; owimg goes on asking.');
  for (const line of lines) expect(line.length).toBeLessThanOrEqual(80);
});
