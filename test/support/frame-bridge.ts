/**
 * The network card of a machine in QEMU (`-netdev dgram`), as the other end of its cable: a host with one address. What the guest sends by
 * UDP goes to real sockets of loopback, so no privilege is needed and nothing leaves this machine. Frames can be lost on the way.
 */
import { createSocket, type Socket } from 'node:dgram';
import { addressText, parseAddress } from '../../src/dhcp/addresses.ts';
import { freePort } from './tftp-daemons.ts';

const loopback = '127.0.0.1';
const hostMac = [0x02, 0, 0, 0, 0, 1];
const everybodyMac = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff];

/** A UDP datagram inside of a frame. */
export interface Datagram {
  readonly from: { readonly address: string; readonly port: number };
  readonly to: { readonly address: string; readonly port: number };
  readonly data: Uint8Array;
}

function bound(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createSocket('udp4');
    socket.once('error', reject);
    socket.bind(port, loopback, () => resolve(socket));
  });
}

/** RFC 1071. */
function internetChecksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let index = 0; index < bytes.length; index += 2) sum += ((bytes[index] as number) << 8) | (bytes[index + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

const bytesOfAddress = (text: string): number[] => {
  const value = parseAddress(text) ?? 0;
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 0xff);
};

export class FrameBridge {
  /** The host that the guest sees. */
  readonly address: string;
  readonly #cable: Socket;
  readonly #guestPort: number;
  /** The guest's ports, each with a socket that stands for it on loopback. */
  readonly #relays = new Map<number, Promise<Socket>>();
  readonly #services = new Map<number, number>();
  #guestMac = everybodyMac;
  /** Says of a datagram that it is lost. */
  lose: (datagram: Datagram, direction: 'to-guest' | 'from-guest') => boolean = () => false;
  /** Gets what the guest sends to everybody. */
  onBroadcast: (datagram: Datagram) => void = () => undefined;

  private constructor(address: string, cable: Socket, guestPort: number) {
    this.address = address;
    this.#cable = cable;
    this.#guestPort = guestPort;
    cable.on('message', (frame) => void this.#receive(frame));
  }

  static async open(address: string): Promise<FrameBridge> {
    return new FrameBridge(address, await bound(0), await freePort());
  }

  /** What QEMU is told. */
  get netdev(): string {
    const { port } = this.#cable.address();
    const end = (which: string, number: number): string => `${which}.type=inet,${which}.host=${loopback},${which}.port=${number}`;
    return `dgram,id=n0,${end('local', this.#guestPort)},${end('remote', port)}`;
  }

  /** What the guest sends to this port of the host goes to another one of loopback. */
  forward(port: number, to: number): void {
    this.#services.set(port, to);
  }

  async close(): Promise<void> {
    for (const relay of this.#relays.values()) (await relay).close();
    this.#relays.clear();
    this.#cable.close();
  }

  /** One datagram to the guest, or to everybody on the cable. */
  send(datagram: Datagram): void {
    if (this.lose(datagram, 'to-guest')) return;
    const { from, to, data } = datagram;
    const header = new Uint8Array(20);
    const length = 28 + data.length;
    header.set([0x45, 0, length >> 8, length & 0xff, 0, 0, 0, 0, 64, 17, 0, 0, ...bytesOfAddress(from.address), ...bytesOfAddress(to.address)]);
    const sum = internetChecksum(header);
    header.set([sum >> 8, sum & 0xff], 10);
    // A UDP checksum of 0 is none.
    const udp = [from.port >> 8, from.port & 0xff, to.port >> 8, to.port & 0xff, (length - 20) >> 8, (length - 20) & 0xff, 0, 0];
    const target = to.address === '255.255.255.255' ? everybodyMac : this.#guestMac;
    this.#frame(target, 0x0800, Uint8Array.from([...header, ...udp, ...data]));
  }

  #frame(target: readonly number[], type: number, payload: Uint8Array): void {
    const frame = Uint8Array.from([...target, ...hostMac, type >> 8, type & 0xff, ...payload]);
    this.#cable.send(frame, this.#guestPort, loopback);
  }

  async #receive(frame: Uint8Array): Promise<void> {
    if (frame.length < 14) return;
    const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
    this.#guestMac = [...frame.subarray(6, 12)];
    const type = view.getUint16(12);
    if (type === 0x0806) this.#answerArp(frame, view);
    if (type !== 0x0800 || view.getUint8(23) !== 17) return;
    const ip = 14;
    const udp = ip + (view.getUint8(ip) & 15) * 4;
    const datagram = {
      from: { address: addressText(view.getUint32(ip + 12)), port: view.getUint16(udp) },
      to: { address: addressText(view.getUint32(ip + 16)), port: view.getUint16(udp + 2) },
      data: frame.slice(udp + 8, udp + view.getUint16(udp + 4)),
    };
    if (this.lose(datagram, 'from-guest')) return;
    if (datagram.to.address === '255.255.255.255') this.onBroadcast(datagram);
    else if (datagram.to.address === this.address) await this.#relay(datagram);
  }

  /** Who has our address? We do. */
  #answerArp(frame: Uint8Array, view: DataView): void {
    if (view.getUint16(20) !== 1 || addressText(view.getUint32(38)) !== this.address) return;
    const asker = frame.subarray(22, 32);
    this.#frame(this.#guestMac, 0x0806, Uint8Array.from([0, 1, 8, 0, 6, 4, 0, 2, ...hostMac, ...bytesOfAddress(this.address), ...asker]));
  }

  async #relay({ from, to, data }: Datagram): Promise<void> {
    let relay = this.#relays.get(from.port);
    if (relay === undefined) {
      relay = bound(0);
      this.#relays.set(from.port, relay);
      (await relay).on('message', (answer, { port }) => {
        const service = [...this.#services].find(([, real]) => real === port)?.[0] ?? port;
        this.send({ from: { address: this.address, port: service }, to: from, data: answer });
      });
    }
    (await relay).send(data, this.#services.get(to.port) ?? to.port, loopback);
  }
}
