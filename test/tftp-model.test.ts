/** Random networks between our client and our server: the bytes arrive whole, or there is a clear error; never a mixture, and it always ends. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Wishes } from '../src/tftp/options.ts';
import { randomFrom } from './support/random.ts';
import { type Conditions, SimulatedNetwork } from './support/simulated-network.ts';
import { numberedBytes, startClient, startServer, startWriteServer } from './support/tftp-peers.ts';

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

const conditions: fc.Arbitrary<Conditions> = fc.record({
  loss: fc.constantFrom(0, 1, 10, 30),
  duplicates: fc.constantFrom(0, 20, 50),
  delay: fc.constantFrom([0, 0], [0, 5], [5, 40], [300, 300], [100, 400], [0, 1500]) as fc.Arbitrary<readonly [number, number]>,
});

const wishes: fc.Arbitrary<Wishes | undefined> = fc.option(
  fc.record({
    blockSize: fc.option(fc.constantFrom(8, 512, 1428), { nil: undefined }),
    windowSize: fc.option(fc.constantFrom(1, 2, 4, 16, 64), { nil: undefined }),
    timeout: fc.option(fc.constantFrom(1, 5), { nil: undefined }),
    transferSize: fc.option(fc.constant(0), { nil: undefined }),
  }),
  { nil: undefined },
);

const blocks = fc.integer({ min: 0, max: 40 });
const rest = fc.constantFrom(0, 1, 511);
const seeds = fc.integer({ min: 0, max: 2 ** 31 });

describe('random networks', () => {
  test('ClientTransfer gets from TftpServer: whole bytes or an error, within the time-outs', () => {
    fc.assert(
      fc.property(conditions, wishes, blocks, rest, fc.boolean(), seeds, (network, asked, count, odd, single, seed) => {
        const simulated = new SimulatedNetwork(randomFrom(seed), network);
        const bytes = numberedBytes(count * (asked?.blockSize ?? 512) + odd);
        const { server } = startServer(simulated, { bytes }, single);
        const { transfer, got } = startClient(simulated, { direction: 'get', wishes: asked });
        expect(simulated.run(() => transfer.outcome !== undefined, 3_600_000)).toBe(true);
        if (transfer.outcome?.outcome === 'complete') expect(same(got.bytes, bytes)).toBe(true);
        else expect(transfer.outcome).toMatchObject({ outcome: 'failed', message: expect.stringMatching(/\w/) });
        // Without loss nothing may fail.
        if (network.loss === 0) expect(transfer.outcome?.outcome).toBe('complete');
        // The server ends too, whatever became of its peer.
        expect(simulated.run(() => server.count === 0 && transfer.closed, 3_600_000)).toBe(true);
      }),
      { numRuns: 1500 },
    );
  });

  test.each([true, false])('ClientTransfer puts to a server (that takes options: %s): what it calls complete is complete there', (options) => {
    fc.assert(
      fc.property(conditions, wishes, blocks, rest, seeds, (network, asked, count, odd, seed) => {
        const simulated = new SimulatedNetwork(randomFrom(seed), network);
        const bytes = numberedBytes(count * (asked?.blockSize ?? 512) + odd);
        const { files } = startWriteServer(simulated, { options });
        const { transfer } = startClient(simulated, { direction: 'put', wishes: asked, bytes });
        expect(simulated.run(() => transfer.outcome !== undefined, 3_600_000)).toBe(true);
        for (const file of files) if (file.complete) expect(same(file.bytes, bytes)).toBe(true);
        if (transfer.outcome?.outcome === 'complete') expect(files.some(({ complete }) => complete)).toBe(true);
        if (transfer.outcome?.outcome === 'failed') expect(transfer.outcome.message).toMatch(/\w/);
        if (network.loss === 0) expect(transfer.outcome?.outcome).toBe('complete');
      }),
      { numRuns: 1000 },
    );
  });

  test('a stranger who sends anything to any port never disturbs a transfer', () => {
    const noise = fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc
        .tuple(fc.integer({ min: 0, max: 7 }), fc.integer({ min: 0, max: 9 }), fc.uint8Array({ maxLength: 600 }))
        .map(([opcode, number, tail]) => Uint8Array.from([0, opcode, 0, number, ...tail])),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(noise, fc.integer({ min: 0, max: 200 }), fc.boolean(), fc.boolean()), { maxLength: 60 }), seeds, (packets, seed) => {
        const simulated = new SimulatedNetwork(randomFrom(seed), { loss: 0, duplicates: 0, delay: [1, 3] });
        const bytes = numberedBytes(20 * 512);
        startServer(simulated, { bytes });
        const { transfer, got } = startClient(simulated, { direction: 'get' });
        for (const [packet, at, foreign, toClient] of packets) {
          const from = { address: foreign ? '192.168.1.66' : '192.168.1.1', port: 4444 };
          // Before anybody has answered every port of the server may be the one that answers.
          simulated.at(10 + at, () =>
            simulated.send(packet, from, toClient ? { address: '192.168.1.2', port: 50000 } : { address: '192.168.1.1', port: 20001 }),
          );
        }
        expect(simulated.run(() => transfer.outcome !== undefined)).toBe(true);
        expect(transfer.outcome?.outcome).toBe('complete');
        expect(same(got.bytes, bytes)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});
