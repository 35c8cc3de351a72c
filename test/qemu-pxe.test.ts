/** A real PXE ROM, iPXE on the network card of a PC in QEMU: it gets its address from our DHCP, and fetches and runs what `owimg serve` gives. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { giveAddresses, serveBehind } from './support/bridge-servers.ts';
import { FrameBridge } from './support/frame-bridge.ts';
import { pxeMissing, pxePc } from './support/qemu.ts';

const missing = pxeMissing();

test.skipIf(missing !== undefined)(`a PXE ROM boots from owimg serve, by the first offer${missing === undefined ? '' : `: ${missing}`}`, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'owimg-pxe-'));
  const bridge = await FrameBridge.open('192.168.1.10');
  const path = join(folder, 'boot.ipxe');
  // biome-ignore lint/suspicious/noTemplateCurlyInString: iPXE fills it in
  writeFileSync(path, '#!ipxe\necho From ${next-server} as ${filename}\n');
  const server = await serveBehind(bridge, path, '--accept', 'not-firmware', 'unknown-format');
  const events = giveAddresses(bridge, '192.168.1.77', 'boot.ipxe');
  const pc = pxePc(bridge);
  try {
    await pc.until('Filename: boot.ipxe');
    await pc.until('From 192.168.1.10 as boot.ipxe');
    expect((await server.ended).status).toBe(0);
    expect(server.said()).toContain('asked for boot.ipxe: serving it');
    const answers = events.filter(({ event }) => event === 'dhcp-reply');
    expect(answers).toMatchObject([
      { asked: 'DHCPDISCOVER', answered: 'DHCPOFFER', vendorClass: 'PXEClient:Arch:00000:UNDI:002001', address: '192.168.1.77' },
      { asked: 'DHCPREQUEST', answered: 'DHCPACK' },
    ]);
  } finally {
    await pc.stop();
    await bridge.close();
    rmSync(folder, { recursive: true });
  }
});
