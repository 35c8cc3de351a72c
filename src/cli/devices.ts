/** `owimg devices [QUERY...]`. Everything is imported when the command runs: no other one shall load the facts for it. */
import type { Command } from '@commander-js/extra-typings';
import type { Device, DeviceFacts } from '../devices/facts.ts';
import type { Lookup } from '../devices/lookup.ts';
import { schemaVersion } from '../report/json.ts';
import { version } from '../version.ts';
import type { Console } from './console.ts';

/** With less in common a match is only near: it may well be another device. */
const surelyMeant = 0.8;

type Outcome = Lookup['outcome'] | 'all';

async function run(query: string, json: boolean, io: Console): Promise<number> {
  const { loadDeviceFacts } = await import('../devices/load.ts');
  const facts = await loadDeviceFacts();
  if (query === '') {
    if (json) io.out(await renderJson(facts, 'all', facts.devices));
    else io.out((await import('../report/devices-text.ts')).renderDeviceCounts(facts, io.columns));
    return 0;
  }
  const { findDevice, lookupError, nameOf, searchDevices } = await import('../devices/lookup.ts');
  const lookup = findDevice(facts, query);
  // Who types the very name wants nothing else.
  const exact = lookup.outcome === 'found' && query === nameOf(facts, lookup.device);
  const matches = exact ? [] : searchDevices(facts, query);
  const devices = matches.map(({ device }) => device);
  const [best] = matches;
  if (json) io.out(await renderJson(facts, lookup.outcome, lookup.outcome === 'found' ? [lookup.device] : devices));
  if (lookup.outcome !== 'found' && best === undefined) throw lookupError(facts, query, lookup);
  if (json) return 0;
  const sure = best !== undefined && best.score >= surelyMeant;
  const single = sure && devices.length === 1 ? best.device : undefined;
  const one = lookup.outcome === 'found' ? lookup.device : single;
  const { renderDevice, renderDeviceList } = await import('../report/devices-text.ts');
  const listed = (device: Device) => ({ device, name: nameOf(facts, device) });
  if (one !== undefined) {
    const others = devices.filter((device) => device !== one);
    io.out(renderDevice(listed(one), others.map(listed), io));
    return 0;
  }
  if (!sure) io.err(`owimg: No device is called "${query}". These come near:\n`);
  io.out(renderDeviceList(devices.map(listed), io));
  return 0;
}

/** Devices with all that is known of them, and for each image the ways of flashing that it is for. */
async function renderJson({ source }: DeviceFacts, outcome: Outcome, devices: readonly Device[]): Promise<string> {
  const { imageRoutes } = await import('../devices/doors.ts');
  const shown = devices.map((device) => ({
    ...device,
    images: device.images.map((image) => ({ ...image, routes: imageRoutes(device, image) })),
  }));
  return `${JSON.stringify({ schemaVersion, tool: { name: 'owimg', version }, source, outcome, devices: shown }, null, 2)}\n`;
}

/** Adds the command; `done` gets its exit status. */
export function addDevices(program: Command, io: Console, done: (status: number) => void): void {
  program
    .command('devices')
    .description('search the devices that OpenWrt knows, and show what is known of one')
    .argument('[query...]', 'profile, board name, TARGET:PROFILE, or words of the title; without, how many there are')
    .option('--json', 'as JSON (docs/schema/devices.schema.json)')
    .addHelpText('after', '\nExit status: 0 found, 2 wrong use, 3 nothing found\n\nExample: owimg devices archer c7')
    .action(async (query, flags) => done(await run(query.join(' ').trim(), flags.json === true, io)));
}
