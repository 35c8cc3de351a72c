/** Both ends of simulated transfers: our client, our server, and a server that takes files, on a {@link SimulatedNetwork}. */
import { type ClientEvent, type ClientJob, ClientTransfer, type Peer, samePeer } from '../../src/tftp/client.ts';
import { serverTerms } from '../../src/tftp/options.ts';
import { getPace, pushPace } from '../../src/tftp/pace.ts';
import { ackPacket, optionsPacket, parsePacket } from '../../src/tftp/packets.ts';
import { Receiving } from '../../src/tftp/receiving.ts';
import { bytesSource, type Source } from '../../src/tftp/sending.ts';
import { type ServerEvent, type ServerRules, type ServerTransfer, serverLimits, TftpServer } from '../../src/tftp/server.ts';
import type { SimulatedNetwork } from './simulated-network.ts';

export const here: Peer = { address: '192.168.1.2', port: 50000 };
export const router: Peer = { address: '192.168.1.1', port: 69 };

/** Bytes in which every block is another one. */
export function numberedBytes(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let index = 0; index < length; index += 1) bytes[index] = (index * 7 + (index >> 8) * 13 + (index >> 16) * 101) & 0xff;
  return bytes;
}

/** Collects what a transfer delivers. */
export class Collected {
  readonly #parts: Uint8Array[] = [];
  readonly add = (data: Uint8Array): void => void this.#parts.push(data.slice());

  get bytes(): Uint8Array {
    return new Uint8Array(Buffer.concat(this.#parts));
  }
}

export interface ClientAtWork {
  readonly transfer: ClientTransfer;
  readonly events: ClientEvent[];
  readonly got: Collected;
}

/** A client on the network, started. */
export function startClient(
  network: SimulatedNetwork,
  job: Partial<ClientJob> & { direction: 'get' | 'put'; bytes?: Uint8Array; source?: Source },
  at: Peer = here,
): ClientAtWork {
  const events: ClientEvent[] = [];
  const got = new Collected();
  const common = { server: router, name: 'firmware.bin', mode: 'octet' as const, askFor: 20_000, pace: job.direction === 'get' ? getPace : pushPace };
  const full = { ...common, source: bytesSource(job.bytes ?? new Uint8Array(0)), deliver: got.add, ...job } as ClientJob;
  const transfer = new ClientTransfer(full, { send: (packet, to) => network.send(packet, at, to), event: (event) => void events.push(event) }, network.now);
  network.listen(at, (bytes, from) => transfer.receive(bytes, from, network.now));
  network.add(transfer);
  transfer.start(network.now);
  return { transfer, events, got };
}

export interface ServerAtWork {
  readonly server: TftpServer<undefined>;
  readonly events: ServerEvent[];
}

/** Our server on the network, at {@link router}. */
export function startServer(network: SimulatedNetwork, rules: Partial<ServerRules> & { bytes?: Uint8Array }, single = false): ServerAtWork {
  const events: ServerEvent[] = [];
  const ports = new Map<ServerTransfer, Peer>();
  let port = 20_000;
  const offers = rules.offers ?? [{ names: ['firmware.bin'], source: bytesSource(rules.bytes ?? new Uint8Array(0)) }];
  const server = new TftpServer<undefined>({ anyName: false, limits: { ...serverLimits, blockSize: 65464 }, ...rules, offers }, single, {
    reply: (packet, to) => network.send(packet, router, to),
    open: (transfer) => {
      network.add(transfer);
      if (single) return (packet, to) => network.send(packet, router, to);
      port += 1;
      const own = { address: router.address, port };
      ports.set(transfer, own);
      network.listen(own, (bytes, from) => transfer.receive(bytes, from, network.now));
      return (packet, to) => network.send(packet, own, to);
    },
    close: (transfer) => {
      network.remove(transfer);
      const own = ports.get(transfer);
      if (own !== undefined) network.close(own);
    },
    event: (event) => void events.push(event),
  });
  network.listen(router, (bytes, from) => server.receive(bytes, from, undefined, network.now));
  return { server, events };
}

/** A server that takes files, as programs do (not as loaders do): with options, a port of its own for each transfer. */
export function startWriteServer(
  network: SimulatedNetwork,
  wishes: { readonly options: boolean } = { options: true },
): { readonly files: { bytes: Uint8Array; complete: boolean }[] } {
  const files: { bytes: Uint8Array; complete: boolean }[] = [];
  let port = 30_000;
  const open: { peer: Peer; own: Peer; repeat: () => void }[] = [];
  network.listen(router, (bytes, from) => {
    const packet = parsePacket(bytes);
    if (packet.kind !== 'write') return;
    const known = open.find(({ peer }) => samePeer(peer, from));
    if (known !== undefined) {
      known.repeat();
      return;
    }
    port += 1;
    const own = { address: router.address, port };
    const { answer, terms } = serverTerms(packet.options, Number(packet.options.get('tsize') ?? 0), {
      plain: !wishes.options,
      blockSize: 65464,
      windowSize: 64,
    });
    const got = new Collected();
    const file: { bytes: Uint8Array; complete: boolean } = { bytes: new Uint8Array(0), complete: false };
    files.push(file);
    const emit = (reply: Uint8Array): void => network.send(reply, own, from);
    // Until the first block comes the answer to the request is repeated, never an acknowledgement in its place.
    const half: Receiving = new Receiving(
      { ...terms, transferSize: undefined },
      getPace,
      got.add,
      (reply) => (half.blocks === 0 ? first() : emit(reply)),
      network.now,
    );
    const first = (): void => emit(answer.size > 0 ? optionsPacket(answer) : ackPacket(0));
    network.add(half);
    open.push({ peer: from, own, repeat: () => (half.blocks === 0 ? first() : undefined) });
    network.listen(own, (data, sender) => {
      const block = parsePacket(data);
      if (!samePeer(sender, from) || block.kind !== 'data') return;
      half.data(block.block, block.data, network.now);
      file.complete = half.state === 'complete';
      file.bytes = file.complete ? got.bytes : file.bytes;
    });
    first();
  });
  return { files };
}
