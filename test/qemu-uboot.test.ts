/** A real boot loader, Debian's U-Boot in QEMU, pulls images from `owimg serve`: what it says of them is what owimg says, before and after. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { inspect } from '../src/index.ts';
import { giveAddresses, serveBehind } from './support/bridge-servers.ts';
import { owimg } from './support/console.ts';
import { FrameBridge } from './support/frame-bridge.ts';
import { loadImage } from './support/images.ts';
import { loadAddress, Uboot, ubootMissing } from './support/qemu.ts';

const missing = ubootMissing();
const [host, device] = ['192.168.1.10', '192.168.1.1'];
const ramImage = 'xiaomi_mi-router-4a-gigabit-initramfs-kernel.bin';
const ramDevice = 'xiaomi_mi-router-4a-gigabit';
const address = loadAddress.toString(16);

const flipped = (bytes: Uint8Array, offset: number): Uint8Array => bytes.map((byte, index) => (index === offset ? byte ^ 1 : byte));
const hex8 = (value: number): string => value.toString(16).padStart(8, '0');

describe.skipIf(missing !== undefined)(`U-Boot in QEMU${missing === undefined ? '' : `: ${missing}`}`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'owimg-uboot-'));
  let bridge: FrameBridge;
  let uboot: Uboot;

  beforeAll(async () => {
    bridge = await FrameBridge.open(host);
    uboot = await Uboot.start(bridge, device);
  });
  afterEach(() => {
    bridge.lose = () => false;
    bridge.onBroadcast = () => undefined;
  });
  afterAll(async () => {
    await uboot?.stop();
    await bridge?.close();
    rmSync(folder, { recursive: true });
  });

  function write(name: string, bytes: Uint8Array): string {
    const path = join(folder, name);
    writeFileSync(path, bytes);
    return path;
  }

  /** @returns what U-Boot said to it */
  async function pull(name: string, bytes: Uint8Array, ...flags: string[]): Promise<string> {
    const server = await serveBehind(bridge, write(name, bytes), ...flags);
    const said = await uboot.command(`tftpboot ${address} ${name}`);
    expect(said, server.said()).toContain(`Bytes transferred = ${bytes.length} (${bytes.length.toString(16)} hex)`);
    const { status } = await server.ended;
    expect(status).toBe(0);
    expect(server.said()).toContain(`asked for ${name}: serving it`);
    expect(server.said()).toContain('has all of it');
    return said;
  }

  /** What U-Boot's crc32 says of what lies in its memory. */
  async function memoryCrc(offset: number, length: number): Promise<string | undefined> {
    return /==> ([0-9a-f]{8})/.exec(await uboot.command(`crc32 ${(loadAddress + offset).toString(16)} ${length.toString(16)}`))?.[1];
  }

  test('pulls an image: every byte is there, its crc32 and iminfo say what owimg inspect says', async () => {
    const bytes = loadImage(ramImage);
    await pull('openwrt-initramfs.bin', bytes);
    const { root, status } = await inspect(bytes);
    expect(status).toBe('sound');
    const value = (name: string): unknown => root?.fields.find((field) => field.name === name)?.value;
    const length = value('dataLength') as number;
    expect(await memoryCrc(0, bytes.length)).toBe(hex8(crc32(bytes)));
    expect(`0x${await memoryCrc(64, length)}`).toBe(value('dataChecksum'));
    const said = await uboot.command(`iminfo ${address}`);
    expect(said).toContain('Verifying Checksum ... OK');
    const line = (name: string): string | undefined => new RegExp(`^ *${name}: *(.*?) *$`, 'm').exec(said)?.[1];
    expect(line('Image Name')).toBe(value('name'));
    expect(line('Data Size')).toMatch(new RegExp(`^${length} Bytes`));
    expect(`0x${line('Load Address')}`).toBe(value('load'));
    expect(`0x${line('Entry Point')}`).toBe(value('entry'));
    expect(line('Created')).toContain('2023-11-14  22:13:20 UTC');
    expect(root?.fields.find(({ name }) => name === 'time')?.meaning).toBe('2023-11-14T22:13:20Z');
  });

  test('pulls a size that needs the final empty block, and one of thousands of blocks, with windows too', async () => {
    const bytes = Uint8Array.from({ length: 3 * 1024 * 1024 }, (_, index) => (index * 7 + (index >> 9)) & 0xff);
    for (const [blockSize, windowSize] of [
      [512, 1],
      [1468, 8],
    ]) {
      await uboot.command(`setenv tftpblocksize ${blockSize}`);
      await uboot.command(`setenv tftpwindowsize ${windowSize}`);
      await pull('large.bin', bytes, '--accept', 'unknown-format');
      expect(await memoryCrc(0, bytes.length)).toBe(hex8(crc32(bytes)));
    }
    await uboot.command('setenv tftpblocksize');
    await uboot.command('setenv tftpwindowsize');
  });

  test('pulls it whole over a bad cable: an answer, data and an acknowledgement lost, data twice', async () => {
    const bytes = loadImage(ramImage);
    const seen = { 'to-guest': 0, 'from-guest': 0 };
    bridge.lose = (datagram, direction) => {
      seen[direction] += 1;
      const number = seen[direction];
      if (direction === 'to-guest' && number % 9 === 0) bridge.send(datagram);
      return direction === 'to-guest' ? number === 1 || number === 13 : number === 11;
    };
    await pull('openwrt-initramfs.bin', bytes);
    expect(seen['to-guest']).toBeGreaterThan(13);
    expect(await memoryCrc(0, bytes.length)).toBe(hex8(crc32(bytes)));
  });

  test('shows the words of owimg serve when it asks for another file, and owimg says what it asked for', async () => {
    const server = await serveBehind(bridge, write('right.bin', loadImage(ramImage)));
    const said = await uboot.command(`tftpboot ${address} wrong.bin`);
    expect(said).toContain("TFTP error: 'file not found' (1)");
    expect(said).toContain('Not retrying...');
    expect(server.said()).toContain('asked for "wrong.bin": refused, file not found. Offered: right.bin. To give it that: --as wrong.bin, or --any-name');
    await uboot.command(`tftpboot ${address} \\\\RIGHT.BIN`);
    expect((await server.ended).status).toBe(0);
  });

  test.each([
    ['netgear_wndr3700-v2', 'netgear_wndr3700-v2-factory.img'],
    ['mercusys_mr70x-v1', 'mercusys_mr70x-v1-factory.bin'],
  ])('the factory image of %s: owimg check foretells what U-Boot says', async (profile, name) => {
    const bytes = loadImage(name);
    const { out, status } = await owimg(['check', write(name, bytes), '--device', profile, '--route', 'mtd', '--json']);
    expect(status).toBe(1);
    const verdict = JSON.parse(out).verdicts.find(({ route }: { route: string }) => route === 'mtd');
    expect(verdict.outcome).toBe('bricks');
    await pull(name, bytes);
    const said = await uboot.command(`bootm ${address}`);
    const words = /Wrong Image Format for bootm command/.exec(said)?.[0] ?? 'nothing of that kind';
    expect(verdict.reason).toContain(`"${words}"`);
    expect(await uboot.command(`iminfo ${address}`)).toContain('Unknown image format!');
  });

  test.each([
    ['in its data', 20_000, 'data-checksum-mismatch', 'Bad Data CRC'],
    ['in its header', 40, 'header-checksum-mismatch', 'Bad Header Checksum'],
  ])('an image with a bit flipped %s: owimg serve refuses it, owimg check foretells what U-Boot says', async (_, offset, code, words) => {
    const bytes = flipped(loadImage(ramImage), offset);
    const path = write('flipped.bin', bytes);
    const { out, status } = await owimg(['check', path, '--device', ramDevice, '--route', 'ram', '--json']);
    expect(status).toBe(1);
    const { verdicts, findings } = JSON.parse(out);
    const verdict = verdicts.find(({ route }: { route: string }) => route === 'ram');
    expect(verdict).toMatchObject({ outcome: 'refused', reason: expect.stringContaining(`It says "${words}"`) });
    expect(findings[0].code).toBe(code);
    const refused = await owimg(['serve', path]);
    expect(refused.status).toBe(1);
    expect(refused.err).toContain(`Not served: "${path}" is broken: ${code}`);
    await pull('flipped.bin', bytes, '--accept', code);
    for (const command of ['bootm', 'iminfo']) expect(await uboot.command(`${command} ${address}`)).toContain(words);
  });

  test('a FIT: its hashes are right for both, and with a bit flipped wrong for both', async () => {
    const name = 'abt_asr3000-initramfs-recovery.itb';
    const bytes = loadImage(name);
    const verdictOf = async (image: Uint8Array) => {
      const { out } = await owimg(['check', write(name, image), '--device', 'abt_asr3000', '--route', 'ram', '--json']);
      return JSON.parse(out).verdicts.find(({ route }: { route: string }) => route === 'ram');
    };
    expect((await verdictOf(bytes)).outcome).toBe('boots');
    await pull(name, bytes);
    expect(await uboot.command(`iminfo ${address}`)).toMatch(/crc32\+ sha1\+/);
    const wrong = flipped(bytes, 20_000);
    const { outcome, reason } = await verdictOf(wrong);
    expect(outcome).toBe('refused');
    await pull(name, wrong, '--accept', 'hash-mismatch', 'stream-corrupt');
    expect(await uboot.command(`iminfo ${address}`)).toContain('Bad hash in FIT image!');
    // Of several it would take the one for the board that it runs on.
    const said = await uboot.command(`bootm ${address}#config-1`);
    const words = /Bad Data Hash/.exec(said)?.[0] ?? said;
    expect(reason).toContain(`It says "${words}"`);
  });

  describe('asks for an address', () => {
    test.each([
      ['U-Boot by itself', undefined],
      ['U-Boot that says it is PXE', 'PXEClient:Arch:00010:UNDI:003000'],
    ])('%s: address, server and file name come from our answer, and the file from owimg serve', async (_, vendorClass) => {
      const bytes = loadImage(ramImage);
      const events = giveAddresses(bridge, '192.168.1.77', 'recovery.bin');
      for (const name of ['ipaddr', 'serverip', 'bootfile', 'autoload']) await uboot.command(`setenv ${name}`);
      await uboot.command(vendorClass === undefined ? 'setenv bootp_vci' : `setenv bootp_vci ${vendorClass}`);
      const server = await serveBehind(bridge, write('recovery.bin', bytes));
      const said = await uboot.command(`dhcp ${address}`);
      expect(said).toContain('DHCP client bound to address 192.168.1.77');
      expect(said).toContain("Filename 'recovery.bin'.");
      expect(said).toContain(`Bytes transferred = ${bytes.length}`);
      expect((await server.ended).status).toBe(0);
      expect(await memoryCrc(0, bytes.length)).toBe(hex8(crc32(bytes)));
      const answers = events.flatMap((event) => (event.event === 'dhcp-reply' ? [[event.asked, event.answered]] : []));
      expect(answers).toEqual([
        ['DHCPDISCOVER', 'DHCPOFFER'],
        ['DHCPREQUEST', 'DHCPACK'],
      ]);
      expect(await uboot.command('printenv serverip ipaddr netmask')).toContain('serverip=192.168.1.10\nipaddr=192.168.1.77\nnetmask=255.255.255.0');
      expect(events.some((event) => event.event === 'dhcp-reply' && event.vendorClass === (vendorClass ?? 'U-Boot.armv7'))).toBe(true);
    });
  });
});
