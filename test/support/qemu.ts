/** Real boot loaders of Debian in QEMU, with a console and a network card, without any privilege: U-Boot, and iPXE. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { Namespace } from './namespaces.ts';
import { attempt, installed } from './tools.ts';

const firmware = '/usr/lib/u-boot/qemu_arm/u-boot.bin';
/** The output of crc32 has `==>` in its midst. */
const prompt = '\n=> ';

/** Where images are put: behind what U-Boot itself has at the beginning of its memory. */
export const loadAddress = 0x48000000;

/** Why it cannot be done here; `undefined` if it can. */
export function ubootMissing(): string | undefined {
  if (!installed('qemu-system-arm')) return 'qemu-system-arm is not installed';
  return existsSync(firmware) ? undefined : 'u-boot-qemu is not installed';
}

/** What leads out of a machine, and the address of the host at its other end: a frame bridge, or {@link tapIn}. */
export interface Wire {
  readonly netdev: string;
  readonly address: string;
  /** Words in front of the command line. */
  readonly before?: readonly string[];
}

/** A network card of a namespace: its link is up while the machine runs. Needs root. */
export function tapIn(namespace: Namespace, name: string, address: string): Wire {
  namespace.ip('tuntap', 'add', 'dev', name, 'mode', 'tap');
  namespace.ip('address', 'add', `${address}/24`, 'dev', name);
  namespace.ip('link', 'set', name, 'up');
  return { netdev: `tap,id=n0,ifname=${name},script=no,downscript=no`, address, before: ['ip', 'netns', 'exec', namespace.name] };
}

/** Why there are no such cards; `undefined` if there are. */
export const tapMissing = (): string | undefined => (attempt('test', '-w', '/dev/net/tun').ok ? undefined : '/dev/net/tun cannot be opened');

/** A machine whose console is a pipe. It ends with the test, at the latest with this process. */
export class Machine {
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  #written = '';
  #hasEnded = false;
  #look: () => void = () => undefined;
  readonly #kill = (): void => void this.#child.kill('SIGKILL');

  constructor(program: string, flags: readonly string[], wire: Wire, card: string) {
    const common = ['-display', 'none', '-monitor', 'none', '-serial', 'stdio', '-netdev', wire.netdev, '-device', `${card},netdev=n0`];
    const [first, ...words] = [...(wire.before ?? []), program, ...flags, ...common] as [string, ...string[]];
    this.#child = spawn(first, words, { stdio: ['pipe', 'pipe', 'pipe'] });
    const take = (data: Buffer): void => {
      this.#written += data.toString('latin1');
      this.#look();
    };
    this.#child.stdout?.on('data', take);
    this.#child.stderr?.on('data', take);
    this.#ended = new Promise((resolve) => {
      const end = (): void => {
        this.#hasEnded = true;
        this.#look();
        resolve();
      };
      this.#child.on('error', end);
      this.#child.on('close', end);
    });
    process.once('exit', this.#kill);
    // The process may end before it has read everything.
    this.#child.stdin?.on('error', () => undefined);
  }

  type(text: string): void {
    this.#child.stdin?.write(text);
  }

  async stop(): Promise<void> {
    this.#kill();
    await this.#ended;
    process.off('exit', this.#kill);
  }

  /** Waits for a text on the console. @returns all up to it, which is taken away */
  until(text: string): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#look = () => {
        const at = this.#written.indexOf(text);
        if (at >= 0) {
          const said = this.#written.slice(0, at);
          this.#written = this.#written.slice(at + text.length);
          this.#look = () => undefined;
          resolve(said);
        } else if (this.#hasEnded) reject(new Error(`QEMU ended before it said "${text}":\n${this.#written}`));
      };
      this.#look();
    });
  }
}

export class Uboot {
  readonly #machine: Machine;

  private constructor(wire: Wire) {
    this.#machine = new Machine('qemu-system-arm', ['-M', 'virt', '-cpu', 'cortex-a15', '-m', '512', '-bios', firmware], wire, 'virtio-net-device');
  }

  /** @returns U-Boot at its prompt, with addresses set */
  static async start(wire: Wire, address: string): Promise<Uboot> {
    const uboot = new Uboot(wire);
    try {
      await uboot.#machine.until('stop autoboot');
      uboot.#machine.type(' ');
      await uboot.#machine.until(prompt);
      for (const line of ['setenv autoload no', `setenv ipaddr ${address}`, `setenv serverip ${wire.address}`]) await uboot.command(line);
      return uboot;
    } catch (error) {
      await uboot.stop();
      throw error;
    }
  }

  /** Types a line. @returns what is written up to the next prompt */
  async command(line: string): Promise<string> {
    this.#machine.type(`${line}\r`);
    const said = await this.#machine.until(prompt);
    return said.replaceAll('\r', '').replace(line, '').trim();
  }

  stop(): Promise<void> {
    return this.#machine.stop();
  }
}

/** Why there is no PXE ROM to be had; `undefined` if there is. */
export function pxeMissing(): string | undefined {
  if (!installed('qemu-system-x86_64')) return 'qemu-system-x86_64 is not installed';
  return existsSync('/usr/lib/ipxe/qemu/pxe-virtio.rom') ? undefined : 'ipxe-qemu is not installed';
}

/** A PC that has nothing to boot from but its network card, with iPXE as the ROM on it. */
export const pxePc = (wire: Wire): Machine => new Machine('qemu-system-x86_64', ['-M', 'pc,graphics=off', '-m', '64', '-boot', 'n'], wire, 'virtio-net-pci');
