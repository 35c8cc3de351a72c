/** `owimg flash` from end to end on the loopback: simulated loaders take the image, or do not. */
import { createHash } from 'node:crypto';
import { createSocket, Socket } from 'node:dgram';
import { once } from 'node:events';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import schema from '../docs/schema/flash.schema.json' with { type: 'json' };
import type { Console } from '../src/cli/console.ts';
import { runDoctor } from '../src/cli/doctor.ts';
import { type FlashFlags, runFlash } from '../src/cli/flash.ts';
import type { Host, HostInterface } from '../src/flash/host.ts';
import type { Surroundings } from '../src/flash/surroundings.ts';
import { consoleOf, owimg } from './support/console.ts';
import { fakeHost, loopbackHost, wired } from './support/flash-host.ts';
import { askingLoader, emptySurroundings, freePort, waitingLoader } from './support/flash-loaders.ts';
import { loadImage } from './support/images.ts';
import { type LoaderHabits, ubootTftpboot, ubootTftpsrv } from './support/loaders.ts';

const folder = mkdtempSync(join(tmpdir(), 'owimg-flash-'));
const archer = join(folder, 'openwrt-ath79-factory.bin');
const wndr = join(folder, 'wndr3700-factory.img');
const asr = join(folder, 'asr3000-initramfs.itb');
const images = {
  archer: loadImage('tplink_archer-c7-v5-factory.bin'),
  wndr: loadImage('netgear_wndr3700-v2-factory.img'),
  asr: loadImage('abt_asr3000-initramfs-recovery.itb'),
};

beforeAll(() => {
  writeFileSync(archer, images.archer);
  writeFileSync(wndr, images.wndr);
  writeFileSync(asr, images.asr);
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Flashed {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

async function flash(
  path: string,
  flags: FlashFlags,
  {
    host = loopbackHost(),
    around = {},
    console = {},
    quietFor,
  }: { host?: Host; around?: Partial<Surroundings>; console?: Partial<Console>; quietFor?: number } = {},
): Promise<Flashed> {
  const { io, ran } = consoleOf(console);
  const status = await runFlash(path, flags, io, { host, around: emptySurroundings(around), quietFor });
  return { status, ...ran };
}

/** Runs it in the background, as soon as it serves. */
async function serving(path: string, flags: FlashFlags, options: Parameters<typeof flash>[2] = {}): Promise<{ readonly flashing: Promise<Flashed> }> {
  let err = '';
  let flashing: Promise<Flashed> | undefined;
  await new Promise<void>((resolve, reject) => {
    const told = (text: string): void => {
      err += text;
      if (err.includes('Waiting for the device on')) resolve();
    };
    flashing = flash(path, flags, { ...options, console: { err: told } }).then((ran) => ({ ...ran, err }));
    flashing.then(resolve as never, reject);
  });
  return { flashing: flashing as unknown as Promise<Flashed> };
}

/** For the WNDR3700, of which nothing is recorded: the guess is confirmed. */
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

async function withWaiting<T>(habits: LoaderHabits, use: (behind: Awaited<ReturnType<typeof waitingLoader>>) => Promise<T>): Promise<T> {
  const behind = await waitingLoader(habits);
  try {
    return await use(behind);
  } finally {
    behind.close();
  }
}

const eventsOf = (out: string): { event: string; [name: string]: unknown }[] =>
  out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

const expectWhole = (taken: readonly Uint8Array[], image: Uint8Array): void => {
  expect(taken).toHaveLength(1);
  expect(
    createHash('sha256')
      .update(taken[0] as Uint8Array)
      .digest('hex'),
  ).toBe(createHash('sha256').update(image).digest('hex'));
};

describe('sending to a loader', () => {
  test('U-Boot takes the very bytes of the file: exit 0, with patience in words', () =>
    withWaiting(ubootTftpsrv, async ({ loader, port }) => {
      const { status, out, err } = await flash(wndr, push(port));
      expect(status).toBe(0);
      expectWhole(loader.taken, images.wndr);
      expect(out).toContain('SENT.');
      expect(err).toContain('It is writing its flash now. Do not unplug it; usually');
      expect(err).toContain('up to 30 minutes');
    }));

  test('the wrong model: "Code pattern is incorrect" is explained, exit 5', () =>
    withWaiting({ ...ubootTftpsrv, judge: () => ({ code: 0, text: 'Code pattern is incorrect' }) }, async ({ port }) => {
      const { status, err } = await flash(wndr, push(port));
      expect(status).toBe(5);
      expect(err).toContain('Code pattern is incorrect');
      expect(err.length).toBeGreaterThan(err.indexOf('incorrect') + 40);
    }));

  test('firmware that has booted says "Invalid Password": owimg asks on, and says what to do', () =>
    withWaiting({ ...ubootTftpsrv, refuse: { code: 100, text: 'Invalid Password !!' } }, async ({ loader, port }) => {
      const { status, err } = await flash(wndr, push(port, { wait: '1' }));
      expect(status).toBe(4);
      expect(loader.requests).toBeGreaterThanOrEqual(3);
      expect(err).toContain('the firmware has booted');
      expect(err.match(/the firmware has booted/g)).toHaveLength(1);
    }));

  test('nobody answers within --wait: exit 4, nothing was written', async () => {
    const { status, err } = await flash(wndr, push(await freePort(), { wait: '0.6' }));
    expect(status).toBe(4);
    expect(err).toContain('No answer from 127.0.0.1');
  });

  test.each([
    ['no ping either: cable, address, boot loader', undefined, 'not even a ping to 127.0.0.1'],
    ['TTL 64: the system runs already', { ttl: 64 }, 'a running system, not the boot loader'],
    ['TTL 100: the loader is there, and wants another name or a longer hold', { ttl: 100 }, 'with TTL 100, as boot loaders do'],
  ] as const)('what a ping tells while nobody takes the file: %s', async (_, answer, words) => {
    const { status, err } = await flash(wndr, push(await freePort(), { wait: '0.5' }), { around: { ping: async () => answer }, quietFor: 200 });
    expect(status).toBe(4);
    // While it waits, and in the end.
    expect(err.match(new RegExp(words, 'g'))?.length).toBeGreaterThanOrEqual(2);
    expect(err).toContain('owimg goes on.');
  });

  test('Ctrl-C in the middle: exit 130, and the loader is told', () =>
    withWaiting({ ...ubootTftpsrv, pause: { afterBlock: 20, milliseconds: 60_000 } }, async ({ loader, port }) => {
      const flashing = flash(wndr, push(port));
      await vi.waitFor(() => expect(loader.requests).toBeGreaterThan(0), 5000);
      await new Promise((resolve) => setTimeout(resolve, 300));
      process.emit('SIGINT');
      const { status, err } = await flashing;
      expect(status).toBe(130);
      await vi.waitFor(() => expect(loader.errors.join()).toContain('interrupted'), 2000);
      expect(loader.taken).toEqual([]);
      expect(err).toContain('Stopped. The device was told');
    }));
});

test.runIf(process.platform === 'linux')('a file is sent from the address that was named', async () => {
  const device = createSocket('udp4');
  device.bind(0, '127.0.0.1');
  await once(device, 'listening');
  const flashing = flash(wndr, push(device.address().port, { host: '127.0.0.2', wait: '0.3' }));
  const [, from] = (await once(device, 'message')) as [Buffer, { address: string }];
  expect(from.address).toBe('127.0.0.2');
  await flashing;
  device.close();
});

describe('serving a loader', () => {
  test('the TP-Link loader gets the very bytes under the name that it wants, whatever the file is called', async () => {
    const port = await freePort();
    const { flashing } = await serving(archer, serve(port));
    const { loader, close } = await askingLoader({ ...ubootTftpboot, name: 'ArcherC7v5_tp_recovery.bin' }, port);
    const { status, err } = await flashing;
    expect(status).toBe(0);
    await vi.waitFor(() => expect(loader.state).toBe('done'));
    expectWhole([loader.bytes], images.archer);
    expect(err).toContain('router 127.0.0.1 asked for ArcherC7v5_tp_recovery.bin: serving it');
    close();
  });

  test('a loader that asks for another name gets nothing, and the person is told which', async () => {
    const port = await freePort();
    const { flashing } = await serving(archer, serve(port, { wait: '1.5' }));
    const { loader, close } = await askingLoader({ ...ubootTftpboot, name: 'ArcherA7v5_tp_recovery.bin' }, port);
    const { status, err } = await flashing;
    expect(status).toBe(4);
    expect(loader.said).toContain('(1)');
    expect(err).toContain('asked for "ArcherA7v5_tp_recovery.bin", and owimg serves "ArcherC7v5_tp_recovery.bin": refused.');
    expect(err).toContain('start again with --name ArcherA7v5_tp_recovery.bin.');
    close();
  });

  test('Ctrl-C in the middle: exit 130, and the device is told', async () => {
    const port = await freePort();
    const { flashing } = await serving(archer, serve(port));
    const heard: Uint8Array[] = [];
    const device = createSocket('udp4');
    device.on('message', (bytes) => heard.push(bytes));
    // It asks, and is dead from then on.
    device.send('\0\x01ArcherC7v5_tp_recovery.bin\0octet\0', port, '127.0.0.1');
    await vi.waitFor(() => expect(heard[0]?.[1]).toBe(3), 5000);
    process.emit('SIGINT');
    expect((await flashing).status).toBe(130);
    await vi.waitFor(() => expect(heard.at(-1)?.[1]).toBe(5), 2000);
    expect(new TextDecoder().decode(heard.at(-1)?.subarray(4))).toContain('owimg was stopped');
    device.close();
  });

  test('a device that pulls again within a minute did not take it: exit 6', async () => {
    const port = await freePort();
    const habits = { ...ubootTftpboot, name: 'ArcherC7v5_tp_recovery.bin' };
    const { flashing } = await serving(archer, serve(port, { verify: true }), {
      around: { ping: async () => new Promise((resolve) => setTimeout(() => resolve(undefined), 20)) },
    });
    const first = await askingLoader(habits, port);
    await vi.waitFor(() => expect(first.loader.state).toBe('done'), 5000);
    const second = await askingLoader(habits, port);
    const { status, out } = await flashing;
    expect(status).toBe(6);
    expect(out).toContain('SENT, BUT SOMETHING ELSE RUNS THERE');
    expect(out).toContain('asked for the file again');
    first.close();
    second.close();
  });
});

describe('--verify', () => {
  /** The system has the MAC of the loader. */
  const dropbear: Partial<Surroundings> = {
    ping: async () => ({ ttl: 64 }),
    banner: async () => 'SSH-2.0-dropbear',
    hardwareAddress: async () => '00:11:22:33:44:55',
  };

  /** What the device would say whose flash holds this root file system. */
  const answering = (image: Uint8Array, boardName = 'netgear,wndr3700-v2'): Partial<Surroundings> => ({
    ...dropbear,
    ssh: async (_, command) => {
      const blocks = Number(/count=(\d+)/.exec(command)?.[1]);
      const at = Buffer.from(image).indexOf('hsqs');
      const digest = createHash('sha256')
        .update(image.subarray(at, at + blocks * 1024))
        .digest('hex');
      return { ok: true, text: `${JSON.stringify({ board_name: boardName, rootfs_type: 'squashfs', release: { revision: 'r1-0' } })}\nrootfs ${digest}  -\n` };
    },
  });

  test('the root file system of the image is in the flash: sent and verified, exit 0', () =>
    withWaiting(ubootTftpsrv, async ({ port }) => {
      const { status, out } = await flash(wndr, push(port, { verify: true }), { around: answering(images.wndr) });
      expect(out).toContain('SENT AND VERIFIED');
      expect(status).toBe(0);
    }));

  test('another one: exit 6', () =>
    withWaiting(ubootTftpsrv, async ({ port }) => {
      const old = images.wndr.slice();
      old.fill(0x55, Buffer.from(old).indexOf('hsqs') + 96);
      const { status, out } = await flash(wndr, push(port, { verify: true }), { around: answering(old) });
      expect(out).toContain('SENT, BUT SOMETHING ELSE RUNS THERE');
      expect(status).toBe(6);
    }));

  test('nobody comes back: exit 7', () =>
    withWaiting(ubootTftpsrv, async ({ port }) => {
      const { status, out } = await flash(wndr, push(port, { verify: true }));
      expect(out).toContain('SENT, BUT COULD NOT BE VERIFIED');
      expect(status).toBe(7);
    }));

  test('a console log in which the loader refuses the image: exit 6; what stood in it before does not count', () =>
    withWaiting(ubootTftpsrv, async ({ loader, port }) => {
      const log = join(folder, 'console.log');
      writeFileSync(log, 'Bad Data CRC\n');
      const flashing = flash(wndr, push(port, { serialLog: log }));
      await vi.waitFor(() => expect(loader.taken).toHaveLength(1), 5000);
      appendFileSync(log, '## Booting image at 9f050000 ...\nWrong Image Format for bootm command\n');
      const { status, out } = await flashing;
      expect(out).toContain('Wrong Image Format for bootm command');
      expect(out).not.toContain('Bad Data CRC');
      expect(status).toBe(6);
    }));
});

describe('--read-back', () => {
  async function readBack(readable: Uint8Array | undefined): Promise<Flashed> {
    const behind = await waitingLoader(ubootTftpsrv, readable);
    try {
      return await flash(wndr, push(behind.port, { readBack: true }));
    } finally {
      behind.close();
    }
  }

  test('a loader that gives back what it was sent', async () => {
    const { status, err } = await readBack(images.wndr);
    expect(err).toContain('every byte is the same');
    expect(status).toBe(0);
  });

  test('one that gives back something else, longer or shorter: exit 6', async () => {
    for (const other of [images.wndr.with(40_000, 1), images.wndr.subarray(0, -1), new Uint8Array([...images.wndr, 0])])
      expect((await readBack(other)).status).toBe(6);
  });

  test('is nothing for loaders that fetch the file: exit 2', async () => {
    await expect(flash(archer, serve(await freePort(), { readBack: true }))).rejects.toMatchObject({ code: 'bad-usage' });
  });
});

describe('what stops it before anything is sent', () => {
  /** Runs with a loader that would take anything, and proves that nothing left by any socket. */
  async function nothingSent(path: string, flags: (port: number) => FlashFlags, options: Parameters<typeof flash>[2] = {}): Promise<Flashed> {
    return withWaiting(ubootTftpsrv, async ({ loader, port }) => {
      const send = vi.spyOn(Socket.prototype, 'send');
      try {
        const ran = await flash(path, flags(port), options);
        expect(send).not.toHaveBeenCalled();
        expect(loader.requests).toBe(0);
        return ran;
      } finally {
        send.mockRestore();
      }
    });
  }

  test('a dry run shows everything and sends nothing', async () => {
    const { status, out } = await nothingSent(wndr, (port) => push(port, { dryRun: true, yes: undefined, accept: undefined }));
    expect(status).toBe(0);
    for (const words of ['Verdict', 'What will happen', 'A guess', 'What to do', 'What not to do', 'Save first', 'Dry run: the image was not sent.'])
      expect(out).toContain(words);
    // Commands are never broken, and a digest has no place to break.
    for (const line of out.split('\n')) if (!/^ {4,}\S.*[|&;]|^ {12}/.test(line)) expect(line.length).toBeLessThanOrEqual(80);
  });

  test('damage: exit 1, and the code that would let it through', async () => {
    const bad = join(folder, 'bad.img');
    const bytes = images.wndr.slice();
    bytes[5000] = (bytes[5000] as number) ^ 1;
    writeFileSync(bad, bytes);
    const { status, err } = await nothingSent(bad, (port) => push(port));
    expect(status).toBe(1);
    expect(err).toContain('Not sent: ');
    expect(err).toMatch(/--accept [a-z-]+-mismatch/);
  });

  test('an image for another device: exit 1', async () => {
    const { status } = await nothingSent(archer, (port) => push(port, { device: 'tplink_archer-c7-v4' }));
    expect(status).toBe(1);
  });

  test('nothing is known: exit 3', async () => {
    const { status, err } = await nothingSent(wndr, (port) => push(port, { device: 'dlink_dir-842-c1', accept: undefined }));
    expect([1, 3]).toContain(status);
    expect(err).toContain('--accept');
  });

  test('a guess needs more than --yes: exit 2', async () => {
    const { status, err } = await nothingSent(wndr, (port) => push(port, { accept: undefined }));
    expect(status).toBe(2);
    expect(err).toContain('--accept habit-guessed');
  });

  test('no terminal and no --yes: exit 2', async () => {
    const { status, err } = await nothingSent(wndr, (port) => push(port, { yes: undefined }));
    expect(status).toBe(2);
    expect(err).toContain('Nobody is at the terminal');
  });

  test('a person who says no, to the guess or to the plan: exit 2', async () => {
    const asked: string[] = [];
    const ask = (answers: readonly string[]) => async (question: string) => {
      asked.push(question);
      return answers[asked.length - 1] ?? '';
    };
    expect((await nothingSent(wndr, (port) => push(port, { yes: undefined, accept: undefined }), { console: { ask: ask(['no']) } })).status).toBe(2);
    expect(asked).toHaveLength(1);
    expect(asked[0]).toContain('A guess');
    asked.length = 0;
    expect((await nothingSent(wndr, (port) => push(port, { yes: undefined, accept: undefined }), { console: { ask: ask(['yes', '']) } })).status).toBe(2);
    expect(asked[1]).toContain('Begin?');
  });

  describe('a loader that asks by BOOTP', () => {
    const eth0 = wired({ addresses: [{ address: '192.168.88.2', prefix: 24 }] });
    const mikrotik = (more: Partial<FlashFlags> = {}): FlashFlags => ({
      device: 'mikrotik_rb5009upr',
      yes: true,
      accept: ['verdict-unknown', 'identity-mismatch'],
      ...more,
    });

    test('the card has to be named: exit 2, with those that there are', async () => {
      const { status, err } = await nothingSent(asr, () => mikrotik(), { host: fakeHost({ cards: [eth0, wired({ name: 'wlan0', link: 'no-cable' })] }) });
      expect(status).toBe(2);
      expect(err).toContain('name the one that leads to the device with --interface. There are: eth0 (cable in), wlan0 (no link)');
    });

    test('one that is not there: exit 4', async () => {
      const { status, err } = await nothingSent(asr, () => mikrotik({ interface: 'eth7' }), { host: fakeHost({ cards: [eth0] }) });
      expect(status).toBe(4);
      expect(err).toContain('no network card "eth7". There are: eth0 (cable in).');
    });

    test('with several cards the device has to be named: exit 2', async () => {
      const host = fakeHost({ cards: [eth0, wired({ name: 'docker0' })] });
      const { status, err } = await nothingSent(asr, () => mikrotik({ interface: 'eth0' }), { host });
      expect(status).toBe(2);
      expect(err).toContain('This computer also has docker0, and cannot tell by which card a request comes in');
      expect(err).toContain('--mac');
    });

    test('a card without an address: exit 4, with the command that gives it one', async () => {
      const { status, err } = await nothingSent(asr, () => mikrotik({ interface: 'eth0' }), { host: fakeHost({}) });
      expect(status).toBe(4);
      expect(err).toContain('sudo ip address add 192.168.88.2/24 dev eth0');
    });

    test('a dry run says that the device is given an address, by what, on which card, and to whom', async () => {
      const flags = mikrotik({ device: 'mikrotik_routerboard-750-r2', interface: 'eth0', mac: 'D4-CA-6D-01-02-03', dryRun: true, yes: undefined });
      const { status, out } = await nothingSent('fixtures/elf/sound-mips-32-big.elf', () => flags, {
        host: fakeHost({ cards: [eth0, wired({ name: 'wlan0' })] }),
      });
      expect(status).toBe(0);
      expect(out).toContain('gives an address  by BOOTP, on eth0, to d4:ca:6d:01:02:03 only\n');
      expect(out.replaceAll(/\s+/g, ' ')).toContain('So owimg is a BOOTP server meanwhile, for one device. It listens for another DHCP server');
      expect(out).toContain('UDP ports         67, 68 and 69\n');
      for (const line of out.split('\n')) if (!/^ {12}/.test(line)) expect(line.length).toBeLessThanOrEqual(80);
    });

    test.each<[string, Partial<FlashFlags>, string]>([
      ['--mac where no address is given', { device: 'tplink_archer-c7-v5', mac: '02:00:00:00:00:01', accept: [] }, 'bad-usage'],
      ['--client-address where no address is given', { device: 'tplink_archer-c7-v5', clientAddress: '192.168.0.67', accept: [] }, 'bad-usage'],
      ['a hardware address that is none', { mac: 'eth0' }, 'bad-value'],
      ['an address for the device that is none', { clientAddress: '192.168.88' }, 'bad-value'],
      ['an IPv6 address', { host: 'fd00::1' }, 'bad-usage'],
      ['--bootp for one that waits for the file', { as: 'client', bootp: true }, 'bad-usage'],
    ])('refuses %s', async (_, flags, code) => {
      await expect(flash(archer, mikrotik({ interface: 'eth0', ...flags }), { host: fakeHost({ cards: [eth0] }) })).rejects.toMatchObject({ code });
    });
  });

  test('a computer without the address: exit 4, with the command, unless it is accepted', async () => {
    const host = loopbackHost({ interfaces: async () => [], mayBind: async () => 'EADDRNOTAVAIL' });
    const { status, err } = await nothingSent(archer, (port) => serve(port, { host: '192.168.0.66' }), { host });
    expect(status).toBe(4);
    expect(err).toContain('sudo ip address add 192.168.0.66/24');
  });

  test('wrong use: exit 2 by the error', async () => {
    await expect(flash(wndr, push(69, { json: true }))).rejects.toMatchObject({ code: 'bad-usage' });
    await expect(flash(wndr, push(69, { router: 'router.lan' }))).rejects.toMatchObject({ code: 'bad-value' });
    await expect(flash(wndr, push(69, { router: '-oProxyCommand=x' }))).rejects.toMatchObject({ code: 'bad-value' });
    await expect(flash(wndr, push(70_000))).rejects.toMatchObject({ code: 'bad-value' });
  });
});

describe('the command line', () => {
  test('owimg flash without a device is wrong use', async () => {
    const { status, err } = await owimg(['flash', wndr, '--yes']);
    expect(status).toBe(2);
    expect(err).toContain('--device');
  });

  test('owimg flash --help tells all exit statuses', async () => {
    const { status, out } = await owimg(['flash', '--help']);
    expect(status).toBe(0);
    for (const code of [0, 1, 2, 3, 4, 5, 6, 7, 130]) expect(out).toMatch(new RegExp(`\\b${code} [a-z]`));
  });

  test('owimg flash of a file that is not there: exit 4', async () => {
    expect((await owimg(['flash', join(folder, 'none.bin'), '-d', 'tplink_archer-c7-v5', '--dry-run'])).status).toBe(4);
  });

  test('owimg doctor looks at this computer', async () => {
    const { status, out } = await owimg(['doctor', '--interface', 'no-such-card']);
    expect(status).toBe(1);
    expect(out).toContain('no network card "no-such-card"');
  });
});

describe('docs/flash.md shows what a dry run prints', () => {
  const page = readFileSync(new URL('../docs/flash.md', import.meta.url), 'utf8');

  test.each<[string, string, Partial<FlashFlags>, HostInterface[]]>([
    [
      'of a device that fetches the file',
      '--device "archer c7 v5" --verify --dry-run',
      { device: 'archer c7 v5', verify: true },
      [wired({ addresses: [{ address: '192.168.0.66', prefix: 24 }] })],
    ],
    [
      'of a device that asks for an address',
      '--device mikrotik_routerboard-750-r2 --interface eth0 --mac 4c:5e:0c:12:34:56 --dry-run',
      { device: 'mikrotik_routerboard-750-r2', interface: 'eth0', mac: '4c:5e:0c:12:34:56' },
      [wired({ addresses: [{ address: '192.168.88.2', prefix: 24 }] }), wired({ name: 'wlan0', wireless: true })],
    ],
  ])('%s', async (_, typed, flags, cards) => {
    const blocks = page.split('\n$ owimg flash ').slice(1);
    const block = blocks.find((text) => text.includes(` ${typed}\n`)) ?? '';
    const [path = ''] = block.split(' ');
    const shown = block.slice(block.indexOf('\n') + 1, block.indexOf('\n```'));
    const { out } = await flash(path, { device: '', dryRun: true, ...flags }, { host: fakeHost({ cards }) });
    expect(out.trimEnd()).toBe(shown);
  });
});

test('after yes and yes it is sent', () =>
  withWaiting(ubootTftpsrv, async ({ loader, port }) => {
    const { status } = await flash(wndr, push(port, { yes: undefined, accept: undefined }), { console: { ask: async () => 'yes' } });
    expect(status).toBe(0);
    expectWhole(loader.taken, images.wndr);
  }));

test('the transcript tells what happened, without folders and without the owner’s MAC', () =>
  withWaiting(ubootTftpsrv, async ({ port }) => {
    const transcript = join(folder, 'transcript.txt');
    const around: Partial<Surroundings> = { ping: async () => ({ ttl: 100 }), hardwareAddress: async () => '00:11:22:33:44:55' };
    const { status } = await flash(wndr, push(port, { transcript, verify: true }), { around });
    const text = readFileSync(transcript, 'utf8');
    expect(text).toContain('NETGEAR WNDR3700 v2');
    expect(text).toContain('00:11:22:xx:xx:xx');
    expect(text).not.toContain(folder);
    expect(text).toContain(`exit status ${status}`);
  }));

describe('docs/schema/flash.schema.json', () => {
  const validate = new Ajv2020({ strict: true, allowUnionTypes: true }).compile(schema);

  test('holds for plans: of records, of guesses, of what stops, of what nobody knows', async () => {
    const plans: readonly (readonly [string, FlashFlags])[] = [
      [archer, serve(6969)],
      [wndr, push(6969)],
      [wndr, push(6969, { device: 'dlink_dir-842-c1' })],
      [asr, push(6969, { device: 'mikrotik_rb5009upr' })],
      [asr, { device: 'mikrotik_rb5009upr', interface: 'lo', mac: '02:00:00:00:00:01' }],
    ];
    for (const [path, flags] of plans) {
      const { status, out } = await flash(path, { ...flags, dryRun: true, json: true });
      const plan = JSON.parse(out);
      validate(plan);
      expect(validate.errors).toBeNull();
      expect(plan.exit).toBe(status);
    }
  });

  test('holds for every event of a transfer, sent and served', async () => {
    const lines: unknown[] = await withWaiting(ubootTftpsrv, async ({ port }) => eventsOf((await flash(wndr, push(port, { ndjson: true, verify: true }))).out));
    const port = await freePort();
    const { flashing } = await serving(archer, serve(port, { ndjson: true }));
    const { close } = await askingLoader({ ...ubootTftpboot, name: 'ArcherC7v5_tp_recovery.bin' }, port);
    lines.push(...eventsOf((await flashing).out));
    close();
    expect(lines.length).toBeGreaterThan(8);
    for (const line of lines) {
      validate(line);
      expect(validate.errors).toBeNull();
    }
  });

  test('holds for what never became a plan', async () => {
    const missing = await flash(join(folder, 'none.bin'), { device: 'tplink_archer-c7-v5', dryRun: true, json: true });
    expect(missing.status).toBe(4);
    validate(JSON.parse(missing.out));
    expect(validate.errors).toBeNull();
    const nobody = await flash(wndr, { device: 'no such thing', ndjson: true });
    expect(nobody.status).toBe(3);
    validate(eventsOf(nobody.out)[0]);
    expect(validate.errors).toBeNull();
  });

  test('holds for owimg doctor, and not for anything', async () => {
    const { io, ran } = consoleOf();
    await runDoctor({ device: 'ubnt_bullet-m-ar7240', json: true }, io, loopbackHost());
    validate(JSON.parse(ran.out));
    expect(validate.errors).toBeNull();
    expect(validate({ schemaVersion: 1 })).toBe(false);
  });
});

test('--ndjson: plan, transfer and result as events', () =>
  withWaiting(ubootTftpsrv, async ({ port }) => {
    const { status, out } = await flash(wndr, push(port, { ndjson: true, verify: true }));
    const events = eventsOf(out);
    expect(events[0]).toMatchObject({ event: 'plan', dryRun: false, plan: { part: 'client' } });
    expect(events.map(({ event }) => event)).toEqual(expect.arrayContaining(['asking', 'answered', 'sent']));
    expect(events.at(-1)).toMatchObject({ event: 'result', result: 'unverified', exit: 7 });
    expect(status).toBe(7);
  }));
