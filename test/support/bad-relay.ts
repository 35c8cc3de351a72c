/** A bad network between real sockets of loopback: packets are lost, come twice, late and in another order. Keeps every transfer's two ports apart. */
import { createSocket, type Socket } from 'node:dgram';
import type { Peer } from '../../src/tftp/client.ts';
import { randomFrom } from './random.ts';
import type { Conditions } from './simulated-network.ts';

const address = '127.0.0.1';

function open(port: number, message: (bytes: Buffer, from: Peer) => void): Promise<Socket> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    socket.on('message', message);
    socket.bind(port, address, () => resolve(socket));
  });
}

export class BadRelay {
  readonly #random: (below: number) => number;
  readonly #conditions: Conditions;
  readonly #server: number;
  readonly #sockets: Socket[] = [];
  /** By the client's port: what leads to the server. */
  readonly #ways = new Map<number, Promise<(bytes: Buffer) => void>>();
  #closed = false;
  port = 0;
  /** Nothing gets through: the link is down, or the peer is dead. */
  down = false;
  lost = 0;

  private constructor(server: number, conditions: Conditions, seed: number) {
    this.#server = server;
    this.#conditions = conditions;
    this.#random = randomFrom(seed);
  }

  /** @param server a port of loopback */
  static async to(server: number, conditions: Conditions, seed = 1): Promise<BadRelay> {
    const relay = new BadRelay(server, conditions, seed);
    const socket = await open(0, (bytes, from) => void relay.#request(bytes, from));
    relay.#sockets.push(socket);
    relay.port = socket.address().port;
    return relay;
  }

  close(): void {
    this.#closed = true;
    for (const socket of this.#sockets) socket.close();
  }

  #pass(send: () => void): void {
    const { loss, duplicates, delay } = this.#conditions;
    if (this.down || this.#random(100) < loss) {
      this.lost += 1;
      return;
    }
    for (let copies = this.#random(100) < duplicates ? 2 : 1; copies > 0; copies -= 1) {
      const wait = delay[0] + this.#random(delay[1] - delay[0] + 1);
      setTimeout(() => {
        if (!this.#closed) send();
      }, wait);
    }
  }

  async #request(bytes: Buffer, from: Peer): Promise<void> {
    const way = this.#ways.get(from.port) ?? this.#open(from);
    this.#ways.set(from.port, way);
    const send = await way;
    if (!this.#closed) send(bytes);
  }

  async #open(client: Peer): Promise<(bytes: Buffer) => void> {
    let transfer = this.#server;
    const towardsServer = await open(0, (bytes, from) => {
      transfer = from.port;
      this.#pass(() => towardsClient.send(bytes, client.port, address));
    });
    const towardsClient = await open(0, (bytes) => this.#pass(() => towardsServer.send(bytes, transfer, address)));
    this.#sockets.push(towardsServer, towardsClient);
    return (bytes) => this.#pass(() => towardsServer.send(bytes, this.#server, address));
  }
}
