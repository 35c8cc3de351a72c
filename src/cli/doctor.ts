/** `owimg doctor`: whether this computer is ready to talk to a boot loader. Changes nothing; others on the cable are asked what they serve. */
import type { Command } from '@commander-js/extra-typings';
import type { Device, Recovery } from '../devices/facts.ts';
import type { Habit } from '../flash/habits.ts';
import type { Host } from '../flash/host.ts';
import type { Need } from '../flash/preflight.ts';
import { version } from '../version.ts';
import type { Console } from './console.ts';

export interface DoctorFlags {
  readonly device?: string | undefined;
  readonly interface?: string | undefined;
  readonly json?: true | undefined;
}

/** What the device's loader needs, as far as it is recorded or its relatives do so. */
function needOf(told: Recovery | Habit | undefined, card: string | undefined): Need {
  const part = told?.mode === 'router-is-server' ? 'client' : told?.mode === 'router-is-client' ? 'server' : told?.mode === 'bootp' ? 'bootp' : undefined;
  const router = told?.routerAddress ?? (part === 'client' ? '192.168.1.1' : undefined);
  return { part, router, host: part === 'server' ? told?.hostAddress : undefined, proposed: told?.hostAddress, interface: card, port: 69 };
}

export async function runDoctor(flags: DoctorFlags, io: Console, host: Host): Promise<number> {
  const [{ preflight }, { renderPreflight }] = await Promise.all([import('../flash/preflight.ts'), import('../report/flash-text.ts')]);
  let device: Device | undefined;
  let need: Need = { interface: flags.interface, port: 69 };
  let says = 'This computer, for TFTP with boot loaders in general:';
  if (flags.device !== undefined) {
    const [{ loadDeviceFacts }, { requireDevice }, { habitOf }] = await Promise.all([
      import('../devices/load.ts'),
      import('../devices/lookup.ts'),
      import('../flash/habits.ts'),
    ]);
    const facts = await loadDeviceFacts();
    device = requireDevice(facts, flags.device);
    const record = device.recovery.find(({ mode }) => mode !== 'uboot-console');
    const habit = record === undefined ? habitOf(facts, device) : undefined;
    need = needOf(record ?? habit, flags.interface);
    const whose = record !== undefined ? 'as recorded' : habit !== undefined ? `a guess: ${habit.whose}` : 'whose way is not recorded';
    says = `This computer, for the boot loader of ${device.title} (${whose}):`;
  }
  const ready = await preflight(need, host);
  if (flags.json === true) {
    const { doctorJson } = await import('../report/flash-json.ts');
    io.out(`${JSON.stringify(doctorJson(ready, device?.profile ?? null, { name: 'owimg', version }), null, 2)}\n`);
  } else io.out(`${says}\n${renderPreflight(ready, { columns: io.columns, colour: io.colour })}\n`);
  return ready.checks.some(({ state }) => state === 'problem') ? 1 : 0;
}

/** Adds the command; `done` gets its exit status. */
export function addDoctor(program: Command, io: Console, done: (status: number) => void): void {
  program
    .command('doctor')
    .description('look whether this computer is ready for TFTP with a boot loader: link, address, port, firewall, other servers')
    .option('-d, --device <name>', 'the device on the table: profile, board name or title')
    .option('--interface <name>', 'the network card that leads to the device')
    .option('--json', 'one JSON object (docs/schema/flash.schema.json)')
    .addHelpText(
      'after',
      '\nOther DHCP servers are asked for only by the administrator (sudo): it needs UDP port 68, and 4 seconds.\n\nExit status: 0 ready, 1 a problem was found, 2 wrong use, 3 unknown device\n\nExample: owimg doctor --device tplink_archer-c7-v5',
    )
    .action(async (flags) => {
      const { systemHost } = await import('../flash/system-host.ts');
      done(await runDoctor(flags, io, systemHost()));
    });
}
