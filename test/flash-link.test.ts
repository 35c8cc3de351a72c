/** The device is off, so the network card that leads straight to it has no link: in networks that the test makes for itself. */
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { loadImage } from './support/images.ts';
import { Namespace, namespacesMissing } from './support/namespaces.ts';
import { installed } from './support/tools.ts';

const missing = namespacesMissing() ?? (installed('atftpd', 'busybox') ? undefined : 'atftpd or busybox is not installed');
const command = [process.execPath, '--import', 'tsx', 'bin/owimg.ts'] as const;

/** How long the device is off while owimg runs already, in milliseconds. */
const offFor = 3000;

describe.skipIf(missing !== undefined)(`a link that comes up late${missing === undefined ? '' : `: ${missing}`}`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'owimg-link-'));
  const wndr = join(folder, 'wndr3700-factory.img');
  const archer = join(folder, 'archer-factory.bin');
  writeFileSync(wndr, loadImage('netgear_wndr3700-v2-factory.img'));
  writeFileSync(archer, loadImage('tplink_archer-c7-v5-factory.bin'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const made: Namespace[] = [];
  afterEach(async () => {
    for (const one of made.splice(0)) await one.remove();
  });

  interface Pair {
    readonly host: Namespace;
    readonly device: Namespace;
    /** Where the device keeps what it is given. */
    readonly kept: string;
    switchOn(): Promise<void>;
  }

  /** A computer with an address on `eth0`, and a device behind that is off. */
  async function pair(own: string, other: string): Promise<Pair> {
    const [host, device] = [new Namespace(), new Namespace()];
    made.push(host, device);
    host.cable('eth0', device, 'port1');
    host.ip('address', 'add', `${own}/24`, 'dev', 'eth0');
    device.ip('address', 'add', `${other}/24`, 'dev', 'port1');
    device.ip('link', 'set', 'port1', 'down');
    await host.cableOut('eth0');
    const kept = join(folder, device.name);
    mkdirSync(kept);
    chmodSync(folder, 0o755);
    chmodSync(kept, 0o777);
    const switchOn = async (): Promise<void> => {
      await new Promise((resolve) => setTimeout(resolve, offFor));
      expect(host.ip('-o', 'link', 'show', 'dev', 'eth0')).toContain('NO-CARRIER');
      device.ip('link', 'set', 'port1', 'up');
    };
    return { host, device, kept, switchOn };
  }

  const takes = ({ device, kept }: Pair): void => void device.start('atftpd', '--daemon', '--no-fork', '--port', '69', '--user', 'nobody.nogroup', kept);

  test.each([
    ['packets go nowhere', '0', ''],
    ['the system refuses to send', '1', 'no way to that network yet'],
  ])('owimg tftp put --push asks on while %s, and the bytes arrive whole', async (_, ignored, said) => {
    const both = await pair('192.168.1.10', '192.168.1.1');
    const { host, kept, switchOn } = both;
    await host.run('sh', '-c', `echo ${ignored} > /proc/sys/net/ipv4/conf/eth0/ignore_routes_with_linkdown`);
    takes(both);
    const put = host.start(...command, 'tftp', 'put', wndr, '192.168.1.1', 'code.bin', '--push', '--interface', 'eth0');
    await switchOn();
    expect(await put.ended, put.err()).toBe(0);
    expect(put.err()).toContain(said);
    expect(readFileSync(join(kept, 'code.bin')).equals(readFileSync(wndr))).toBe(true);
  });

  test.each([
    ['by the card that was named', ['--interface', 'eth0']],
    ['by whatever card has the address', []],
  ])('owimg flash sends %s: the plan finds the address, and owimg waits for the device', async (_, flags) => {
    const both = await pair('192.168.1.10', '192.168.1.1');
    const { host, kept, switchOn } = both;
    takes(both);
    const words = ['--device', 'netgear_wndr3700-v2', '--yes', '--accept', 'habit-guessed', '--name', 'code.bin', ...flags];
    const flash = host.start(...command, 'flash', wndr, ...words);
    await flash.until('Asking 192.168.1.1 to take code.bin');
    await switchOn();
    expect(await flash.ended, flash.err()).toBe(0);
    expect(flash.out()).toContain('eth0 has no link. That is as it should be while the device is off');
    expect(flash.out()).toContain('eth0 has an address in the right network.');
    expect(flash.out()).not.toContain('PROBLEM');
    expect(readFileSync(join(kept, 'code.bin')).equals(readFileSync(wndr))).toBe(true);
  });

  test.each([
    ['serve --interface', ['serve', archer, '--as', 'ArcherC7v5_tp_recovery.bin', '--once', '--interface', 'eth0'], 'listening on 192.168.0.66:69'],
    ['serve', ['serve', archer, '--as', 'ArcherC7v5_tp_recovery.bin', '--once'], 'listening on 192.168.0.66:69'],
    ['flash --interface', ['flash', archer, '--device', 'tplink_archer-c7-v5', '--yes', '--interface', 'eth0'], 'Waiting for the device on 192.168.0.66:69'],
  ])('owimg %s serves the device that asks when its link has come', async (_, words, ready) => {
    const { host, device, kept, switchOn } = await pair('192.168.0.66', '192.168.0.86');
    const serving = host.start(...command, ...words);
    await serving.until(ready);
    await switchOn();
    const got = join(kept, 'got.bin');
    const asks = ['busybox', 'tftp', '-g', '-r', 'ArcherC7v5_tp_recovery.bin', '-l', got, '192.168.0.66'];
    const { status, said } = await device.run(...(asks as [string, ...string[]]));
    expect(status, said).toBe(0);
    expect(await serving.ended, serving.err()).toBe(0);
    expect(readFileSync(got).equals(readFileSync(archer))).toBe(true);
  });

  test('owimg doctor finds the address of a card without a link beside an uplink that has one', async () => {
    const { host } = await pair('192.168.1.10', '192.168.1.1');
    const office = new Namespace();
    made.push(office);
    host.cable('uplink', office, 'port1');
    host.ip('address', 'add', '10.0.0.5/24', 'dev', 'uplink');
    host.ip('route', 'add', 'default', 'via', '10.0.0.1');
    const { said } = await host.run(...command, 'doctor', '--device', 'hpe_msm460', '--json');
    const { host: found } = JSON.parse(said);
    expect(found.interface).toBe('eth0');
    expect(found.checks.find(({ code }: { readonly code: string }) => code === 'host-address')).toMatchObject({ state: 'good' });
  });

  test('a card that is switched off cannot be used, and it says so', async () => {
    const { host } = await pair('192.168.1.10', '192.168.1.1');
    host.ip('link', 'set', 'eth0', 'down');
    const { status, said } = await host.run(...command, 'tftp', 'put', wndr, '192.168.1.1', 'code.bin', '--push', '--interface', 'eth0');
    expect(status).toBe(4);
    expect(said).toContain('it is switched off');
  });

  test('owimg flash --verify asks nothing of a home router with the address of the device, which another card leads to', async () => {
    const { host, device, kept, switchOn } = await pair('192.168.0.66', '192.168.0.86');
    const home = new Namespace();
    made.push(home);
    host.cable('home', home, 'port1');
    host.ip('address', 'add', '192.168.1.50/24', 'dev', 'home');
    home.ip('address', 'add', '192.168.1.1/24', 'dev', 'port1');
    const shell =
      "require('node:net').createServer((s) => { console.log('asked'); s.end('SSH-2.0-dropbear\\r\\n'); }).listen(22, () => console.log('listening'))";
    const router = home.start(process.execPath, '-e', shell);
    await router.until('listening');
    const words = ['flash', archer, '--device', 'tplink_archer-c7-v5', '--yes', '--verify'];
    const refused = await host.run(...command, ...words);
    expect(refused.status).toBe(4);
    expect(refused.said).toContain('home has: it would be looked for by home, where another machine may answer');
    const flash = host.start(...command, ...words, '--accept', 'host-back');
    await flash.until('Waiting for the device on 192.168.0.66:69');
    await switchOn();
    await device.run('busybox', 'tftp', '-g', '-r', 'ArcherC7v5_tp_recovery.bin', '-l', join(kept, 'got.bin'), '192.168.0.66');
    await flash.until('192.168.1.1 is reached by home here');
    // It looks every two seconds.
    await new Promise((resolve) => setTimeout(resolve, 5000));
    flash.child.kill('SIGINT');
    expect(await flash.ended).toBe(130);
    expect(flash.err()).not.toContain('an SSH server');
    expect(router.out()).not.toContain('asked');
  });
});
