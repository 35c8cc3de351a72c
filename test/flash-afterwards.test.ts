/** What comes behind the transfer: the device is watched, and what runs is compared with what was sent. Devices and time are made up. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { loadDeviceFacts } from '../src/devices/load.ts';
import { requireDevice } from '../src/devices/lookup.ts';
import { type Sighting, type Verification, type Watched, watchConsole, watchReturn } from '../src/flash/afterwards.ts';
import { readConsole } from '../src/flash/console-log.ts';
import { compare, type Expected, expectedOf, questionFor, reportedOf } from '../src/flash/expected.ts';
import type { Surroundings } from '../src/flash/surroundings.ts';
import { formats } from '../src/index.ts';
import { openWith } from '../src/inspect.ts';
import { emptySurroundings } from './support/flash-loaders.ts';
import { loadImage } from './support/images.ts';

const minute = 60_000;

const expected: Expected = {
  boards: ['tplink,archer-c7-v5', 'archer-c7-v5'],
  release: { distribution: 'OpenWrt', version: '24.10.0', revision: 'r28427-6df0e3d02a', target: 'ath79/generic' },
  rootfs: { blocks: 2, sha256: 'a'.repeat(64) },
  ramOnly: false,
};

const board = (more: object = {}, release: object = {}): object => ({
  kernel: '6.6.73',
  hostname: 'OpenWrt',
  board_name: 'tplink,archer-c7-v5',
  rootfs_type: 'squashfs',
  release: { distribution: 'OpenWrt', version: '24.10.0', revision: 'r28427-6df0e3d02a', target: 'ath79/generic', ...release },
  ...more,
});

const says = (answer: object, rootfs?: string): string => `${JSON.stringify(answer, null, '\t')}\n${rootfs === undefined ? '' : `rootfs ${rootfs}  -\n`}`;

/** The loader's, and that of the system. */
const [loaderMac, systemMac] = ['00:11:22:33:44:55', '00:11:22:33:44:56'];

/** The system runs, and has a MAC beside that of the loader. */
const running = (answer: string): Partial<Surroundings> => ({
  ping: async () => ({ ttl: 64 }),
  hardwareAddress: async (address) => (address === '192.168.0.86' ? loaderMac : systemMac),
  banner: async (_, port) => (port === 22 ? 'SSH-2.0-dropbear' : undefined),
  ssh: async () => ({ ok: true, text: answer }),
});

async function watch(around: Partial<Surroundings>, watched: Partial<Watched> = {}): Promise<Verification & { readonly seen: readonly Sighting[] }> {
  const seen: Sighting[] = [];
  const whole = { address: '192.168.1.1', loader: '192.168.0.86', interface: 'eth0', expected, patience: 15 * minute, ...watched };
  const verification = await watchReturn(whole, emptySurroundings(around), (sighting) => void seen.push(sighting), new AbortController().signal);
  return { ...verification, seen };
}

describe('watchReturn()', () => {
  test('a system with the release of the image is verified', async () => {
    const { result, compared } = await watch(running(says(board())));
    expect(result).toBe('verified');
    expect(compared.join('; ')).toContain('the revision is r28427-6df0e3d02a');
  });

  test('the same board with another revision: something else runs', async () => {
    const { result, compared, next } = await watch(running(says(board({}, { revision: 'r24106-10cc5fcd00', version: '23.05.5' }))));
    expect(result).toBe('different');
    expect(compared.join('; ')).toContain('the revision is r24106-10cc5fcd00, the image has r28427-6df0e3d02a');
    expect(next).toContain('two slots');
  });

  test('another board', async () => {
    expect((await watch(running(says(board({ board_name: 'tplink,archer-c7-v4' }))))).result).toBe('different');
  });

  test('a release alone proves nothing where the image tells none; the root file system does', async () => {
    const silent = { ...expected, release: undefined };
    expect((await watch(running(says(board())), { expected: silent })).result).toBe('unverified');
    expect((await watch(running(says(board(), 'a'.repeat(64))), { expected: silent })).result).toBe('verified');
    expect((await watch(running(says(board(), 'b'.repeat(64))), { expected: silent })).result).toBe('different');
  });

  test('a device that asks for the file again did not take it', async () => {
    let turns = 0;
    const { result, says: told } = await watch(running(says(board())), {
      askedAgain: () => {
        turns += 1;
        return turns > 0;
      },
    });
    expect(result).toBe('different');
    expect(told).toContain('did not take the image');
  });

  test('a password stands in the way', async () => {
    const { result, next } = await watch({
      ...running(''),
      ssh: async () => ({ ok: false, text: 'root@192.168.1.1: Permission denied (publickey,password).' }),
    });
    expect(result).toBe('unverified');
    expect(next).toContain('password or a key');
  });

  test('something answers SSH that is no OpenWrt', async () => {
    expect((await watch({ ...running(''), ssh: async () => ({ ok: true, text: '-ash: ubus: not found' }) })).result).toBe('unverified');
  });

  test('nobody comes back within the patience', async () => {
    const { result, says: told } = await watch({});
    expect(result).toBe('unverified');
    expect(told).toContain('Within 15 minutes nobody answered');
  });

  test('the boot loader answers to the end: TTL 100', async () => {
    const { result, says: told, seen } = await watch({ ping: async () => ({ ttl: 100 }) });
    expect(result).toBe('unverified');
    expect(told).toContain('the boot loader still answers');
    expect(seen).toEqual([{ event: 'answers', address: '192.168.1.1', ttl: 100, who: 'boot loader', mac: undefined }]);
  });

  test("a page that is not OpenWrt's ends nothing: the loader shows it while it writes, and the system comes after it", async () => {
    const page = 'HTTP/1.0 200 OK\r\n\r\n<title>Firmware update</title> takes images of OpenWrt';
    const patient = await watch({ webPage: async () => page, hardwareAddress: async () => loaderMac });
    expect(patient).toMatchObject({ result: 'unverified', says: expect.stringContaining("not OpenWrt's"), next: expect.stringContaining('read the version') });
    expect(patient.seen.filter(({ event }) => event === 'web')).toEqual([{ event: 'web', openwrt: false }]);

    const around = emptySurroundings();
    const { result } = await watch({
      ...running(says(board())),
      now: around.now,
      sleep: around.sleep,
      webPage: async () => (around.time < 10 * minute ? page : undefined),
      banner: async () => (around.time < 10 * minute ? undefined : 'SSH-2.0-dropbear'),
    });
    expect(result).toBe('verified');
    expect(around.time).toBe(10 * minute);
  });

  test("OpenWrt's page and no SSH server for a minute: that is the system, and nobody can be asked", async () => {
    const around = emptySurroundings();
    const { result, says: told } = await watch({
      now: around.now,
      sleep: around.sleep,
      webPage: async () => (around.time < minute ? undefined : 'HTTP/1.1 200 OK\r\n\r\n<meta http-equiv="refresh" content="0; URL=cgi-bin/luci/" />'),
    });
    expect(result).toBe('unverified');
    expect(told).toContain('OpenWrt shows its web page');
    expect(around.time).toBeLessThan(3 * minute);
  });

  describe('an SSH server at the address of the device', () => {
    const asked = async (): Promise<never> => {
      throw new Error('it was asked');
    };
    /** A home router with OpenWrt, which has been there all along, on a system that tells no MAC. */
    const home: Partial<Surroundings> = { ping: async () => ({ ttl: 64 }), banner: async () => 'SSH-2.0-dropbear', ssh: asked };

    test('that is reached by another card is another machine: nobody is asked there, and it is said once', async () => {
      const { result, says: told, seen } = await watch({ ...home, cardTo: async () => 'wlan0', ping: asked, banner: asked, webPage: asked });
      expect(result).toBe('unverified');
      expect(told).toContain('by another network card than eth0');
      expect(seen).toEqual([{ event: 'elsewhere', address: '192.168.1.1', interface: 'wlan0' }]);
    });

    test('that is reached by another card until that is switched off: the device is asked then', async () => {
      const around = emptySurroundings();
      const { result } = await watch({
        ...running(says(board())),
        now: around.now,
        sleep: around.sleep,
        cardTo: async (address) => (address === '192.168.1.1' && around.time < minute ? 'wlan0' : 'eth0'),
      });
      expect(result).toBe('verified');
      expect(around.time).toBe(minute);
    });

    test('that has been there all the time since the transfer is not the device, however long it is waited for', async () => {
      const { result, says: told, seen } = await watch({ ...home, webPage: async () => 'HTTP/1.0 200 OK\r\n\r\ncgi-bin/luci' });
      expect(result).toBe('unverified');
      expect(told).toContain('all the time since the transfer');
      expect(seen.filter(({ event }) => event === 'not-the-device')).toEqual([
        { event: 'not-the-device', address: '192.168.1.1', service: 'ssh' },
        { event: 'not-the-device', address: '192.168.1.1', service: 'web' },
      ]);
      expect(seen.some(({ event }) => event === 'ssh' || event === 'web')).toBe(false);
    });

    test('that is missed once is still the one that was there', async () => {
      let looks = 0;
      const { result } = await watch({
        ...home,
        banner: async () => {
          looks += 1;
          return looks === 3 ? undefined : 'SSH-2.0-dropbear';
        },
      });
      expect(result).toBe('unverified');
    });

    test('that answers while the link of the device is down is not behind it', async () => {
      let looks = 0;
      const banner = async () => {
        looks += 1;
        return looks > 2 ? 'SSH-2.0-dropbear' : undefined;
      };
      expect((await watch({ ...home, banner, hasLink: async () => false, hardwareAddress: async () => loaderMac })).result).toBe('unverified');
    });

    test.each([
      ['missed twice in a row', [undefined, undefined], undefined],
      ['missed while the link was down', [undefined], false],
    ])('that was %s and comes up is the device, whatever its MAC is', async (_, silences, link) => {
      let looks = 0;
      const { result } = await watch({
        ...running(says(board())),
        hardwareAddress: async (address) => (address === '192.168.0.86' ? loaderMac : '40:ed:00:12:34:56'),
        hasLink: async () => (looks < silences.length ? link : true),
        banner: async () => {
          looks += 1;
          return looks > silences.length ? 'SSH-2.0-dropbear' : undefined;
        },
      });
      expect(result).toBe('verified');
    });

    test('whose MAC is that of the loader is the device at once; the MAC is looked up on its card only', async () => {
      const cards = new Set<string | undefined>();
      const { result } = await watch({
        ...running(says(board())),
        hardwareAddress: async (_, card) => {
          cards.add(card);
          return loaderMac;
        },
      });
      expect(result).toBe('verified');
      expect([...cards]).toEqual(['eth0']);
    });
  });

  test('what is seen is told once: link, ping, MAC, and what comes after silence', async () => {
    let turn = 0;
    const ping: Surroundings['ping'] = async () => {
      turn += 1;
      return turn < 3 || turn > 5 ? { ttl: turn < 3 ? 128 : 64 } : undefined;
    };
    const around: Partial<Surroundings> = {
      ...running(says(board())),
      ping,
      banner: async () => (turn > 6 ? 'SSH-2.0-dropbear' : undefined),
      hasLink: async () => turn !== 4,
      hardwareAddress: async () => systemMac,
    };
    const { seen } = await watch(around, { loader: undefined });
    expect(seen.map(({ event }) => event)).toEqual(['link', 'answers', 'silent', 'link', 'link', 'answers', 'ssh']);
    expect(seen[5]).toMatchObject({ ttl: 64, who: 'system', mac: systemMac });
  });

  test('the loader has another address than the system: both are looked at', async () => {
    const asked = new Set<string>();
    await watch(
      {
        ping: async (address) => {
          asked.add(address);
          return undefined;
        },
      },
      { loader: '192.168.0.86', patience: minute },
    );
    expect([...asked]).toEqual(['192.168.1.1', '192.168.0.86']);
  });

  test('ends at once when somebody ends it', async () => {
    const end = new AbortController();
    end.abort();
    const whole = { address: '192.168.1.1', loader: undefined, interface: undefined, expected, patience: minute };
    expect((await watchReturn(whole, emptySurroundings(), () => undefined, end.signal)).result).toBe('interrupted');
  });

  test('the console decides where it says that the loader refused', async () => {
    const { result, says: told, next } = await watch({}, { console: async () => readConsole('## Booting image at bf020000 ...\nBad Magic Number') });
    expect(result).toBe('different');
    expect(told).toContain('The console says "Bad Magic Number"');
    expect(next).toBeDefined();
  });

  test('a console that says the system is up, while nobody answers', async () => {
    const { result, says: told } = await watch({}, { patience: minute, console: async () => readConsole('procd: - init complete -') });
    expect(result).toBe('unverified');
    expect(told).toContain('has started');
  });
});

describe('watchConsole()', () => {
  test('waits for the word that decides', async () => {
    const lines = ['U-Boot 1.1.4', 'Verifying Checksum ... OK', 'Please press Enter to activate this console.'];
    let read = 0;
    const told = await watchConsole(
      async () => {
        read += 1;
        return readConsole(lines.slice(0, read).join('\n'));
      },
      minute,
      emptySurroundings(),
      new AbortController().signal,
    );
    expect(told?.outcome).toBe('booted');
    expect(read).toBe(3);
  });

  test('gives up when nothing comes', async () => {
    expect(await watchConsole(async () => readConsole(''), minute, emptySurroundings(), new AbortController().signal)).toBeUndefined();
  });
});

describe('readConsole()', () => {
  test.each([
    'Bad Magic Number',
    'Bad magic number',
    'Bad Header Checksum',
    'Bad Data CRC',
    'Bad CRC',
    'Unknown image format!',
    'Wrong Image Format for bootm command',
    "ERROR: can't get kernel image!",
    'Unsupported Architecture 0x5',
    'Bad hash value',
    'Bad hash in FIT image!',
    'Could not find configuration node',
    'TFTP error: trying to overwrite reserved memory...',
    'Boot program checksum is invalid',
    'Invalid boot block on disk',
    'LZMA ERROR 1 - must RESET board to recover',
    'Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)',
    'CODE Pattern is incorrect! (E900)',
    'the firmware is not for this model',
  ])('%s: failed, and it is explained', (line) => {
    const { outcome, message } = readConsole(`U-Boot 2010.03\n\n${line}\n`);
    expect(outcome).toBe('failed');
    expect(message?.means).toMatch(/\w/);
  });

  test.each([
    ['Please press Enter to activate this console.', 'booted'],
    ['[   12.345678] procd: - init complete -', 'booted'],
    ['Starting kernel ...', 'starting'],
    ['   Verifying Checksum ... OK', 'starting'],
    ['[    0.000000] Linux version 6.6.73 (builder@buildhost)', 'starting'],
    ['Loading: #################', 'nothing'],
    ['T T T T', 'nothing'],
    ['', 'nothing'],
  ] as const)('%j: %s', (line, outcome) => expect(readConsole(line).outcome).toBe(outcome));

  test('the last word decides: a loader that found nothing at first and was given an image', () => {
    expect(readConsole('Bad Magic Number\nTFTP from server 192.168.0.66\ndone\nStarting kernel ...\nprocd: - init complete -').outcome).toBe('booted');
    expect(readConsole('Starting kernel ...\nKernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)').outcome).toBe('failed');
    expect(readConsole('Bad Magic Number\nprocd: - init complete -\nBad Magic Number').outcome).toBe('failed');
  });
});

describe('what a device is asked and says', () => {
  test('questionFor() reads as many bytes as the root file system of the image has', () => {
    const question = questionFor(expected);
    expect(question).toContain('ubus call system board');
    expect(question).toContain('bs=1024 count=2');
    expect(questionFor({ ...expected, rootfs: undefined })).toBe('ubus call system board');
  });

  test('questionFor() is a command that shells understand, and that ends well where there is no such flash', () => {
    const folder = mkdtempSync(join(tmpdir(), 'owimg-ubus-'));
    try {
      writeFileSync(join(folder, 'ubus'), `#!/bin/sh\necho '${JSON.stringify(board())}'\n`, { mode: 0o755 });
      const output = execFileSync('sh', ['-c', questionFor(expected)], { env: { PATH: `${folder}:${process.env['PATH']}` }, encoding: 'utf8' });
      expect(reportedOf(output)).toEqual({ board: board(), rootfs: undefined });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('reportedOf() takes the JSON and the digest apart, and nothing else for an answer', () => {
    expect(reportedOf(says(board(), 'c'.repeat(64)))).toEqual({ board: board(), rootfs: 'c'.repeat(64) });
    expect(reportedOf(says(board()))?.rootfs).toBeUndefined();
    expect(reportedOf('Permission denied')).toBeUndefined();
    expect(reportedOf('{ not json }')).toBeUndefined();
  });

  test('compare(): an image that runs from memory does not run from the flash', () => {
    const ram = { ...expected, rootfs: undefined, ramOnly: true };
    expect(compare(ram, { board: board({ rootfs_type: 'initramfs' }) as never, rootfs: undefined }).result).toBe('same');
    expect(compare(ram, { board: board() as never, rootfs: undefined })).toMatchObject({
      result: 'other',
      compared: ['it runs from the flash (squashfs), not from memory'],
    });
  });

  test('compare(): an empty answer proves nothing', () => {
    expect(compare(expected, { board: {}, rootfs: undefined }).result).toBe('unproved');
  });
});

describe('expectedOf()', () => {
  const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

  test('takes release and root file system from a sysupgrade image', async () => {
    const bytes = loadImage('tplink_archer-c7-v5-sysupgrade.bin');
    const opened = await openWith(formats, bytes, { deep: true });
    const device = requireDevice(await loadDeviceFacts(), 'tplink_archer-c7-v5');
    const found = expectedOf(device, opened.inspection, false, opened.bytesOf, sha256);
    expect(found.boards[0]).toBe('tplink,archer-c7-v5');
    expect(found.release?.target).toBe('ath79/generic');
    // The root file system begins with its magic number, and says its own length.
    const at = Buffer.from(bytes).indexOf('hsqs');
    const length = Number(Buffer.from(bytes).readBigUInt64LE(at + 40));
    const blocks = Math.floor(length / 1024);
    expect(found.rootfs).toEqual({ blocks, sha256: sha256(bytes.subarray(at, at + blocks * 1024)) });
  });

  test('expects no root file system in the flash of what runs from memory', async () => {
    const opened = await openWith(formats, loadImage('abt_asr3000-initramfs-recovery.itb'), { deep: true });
    const device = requireDevice(await loadDeviceFacts(), 'abt_asr3000');
    expect(expectedOf(device, opened.inspection, true, opened.bytesOf, sha256).rootfs).toBeUndefined();
  });
});
