/** The rules of a transfer, one by one, with a clock and a network in the test's hand. */
import { describe, expect, test } from 'vitest';
import type { ClientJob, Peer } from '../src/tftp/client.ts';
import { getPace, pushPace } from '../src/tftp/pace.ts';
import { ackPacket, dataPacket, errorPacket, optionsPacket, packetText, parsePacket, requestPacket } from '../src/tftp/packets.ts';
import { bytesSource, wireNumber } from '../src/tftp/sending.ts';
import { serverLimits } from '../src/tftp/server.ts';
import {
  AskingLoader,
  asusTufAx4200,
  hpeMsm460,
  type LoaderHabits,
  linksysEa6900,
  senao,
  ubootTftpboot,
  ubootTftpsrv,
  WaitingLoader,
} from './support/loaders.ts';
import { randomFrom } from './support/random.ts';
import { type Conditions, type Sent, SimulatedNetwork } from './support/simulated-network.ts';
import { type ClientAtWork, here, numberedBytes, router, startClient, startServer, startWriteServer } from './support/tftp-peers.ts';

const quick: Conditions = { loss: 0, duplicates: 0, delay: [1, 1] };
const network = (conditions = quick): SimulatedNetwork => new SimulatedNetwork(randomFrom(1), conditions);
const said = (sent: readonly Sent[], from: Peer = here): string[] =>
  sent.filter((packet) => packet.from.address === from.address).map(({ bytes }) => packetText(bytes));
const transferPort: Peer = { address: router.address, port: 3333 };

/** A client that faces a peer which the test plays itself: answers by hand, from any port. */
function against(
  job: Partial<ClientJob> & { direction: 'get' | 'put'; bytes?: Uint8Array },
): ClientAtWork & { net: SimulatedNetwork; says: (bytes: Uint8Array, from?: Peer) => void; wait: (ms: number) => void; heard: () => string[] } {
  const net = network({ ...quick, delay: [0, 0] });
  const client = startClient(net, job);
  let seen = 0;
  return {
    ...client,
    net,
    says: (bytes, from = transferPort) => {
      net.send(bytes, from, here);
      net.run(() => false, 0);
    },
    wait: (ms) => void net.run(() => false, ms),
    // What the client has sent since it was asked last.
    heard: () => {
      const fresh = net.sent.slice(seen).filter(({ from }) => from === here);
      seen = net.sent.length;
      return fresh.map(({ bytes, to }) => `${packetText(bytes)}${to.port === transferPort.port || to.port === 69 ? '' : ` to ${to.port}`}`);
    },
  };
}

const options = (entries: Record<string, string>): Uint8Array => optionsPacket(new Map(Object.entries(entries)));
const block = (number: number, length = 512): Uint8Array => dataPacket(number, new Uint8Array(length).fill(number));

describe('asking', () => {
  test('push asks every 250 ms from one port for as long as it takes', () => {
    const { net, heard, wait } = against({ direction: 'put', bytes: numberedBytes(1), pace: { ...pushPace, most: 250 }, askFor: Number.POSITIVE_INFINITY });
    wait(60_000);
    expect(heard()).toHaveLength(241);
    expect(new Set(net.sent.map(({ from }) => from.port))).toEqual(new Set([here.port]));
    expect(net.sent.every(({ at }, index) => at === index * 250)).toBe(true);
  });

  test('get and put give up after the time they were given, with a sentence', () => {
    const { transfer, net, wait } = against({ direction: 'get', askFor: 20_000 });
    wait(19_900);
    expect(transfer.outcome).toBeUndefined();
    wait(200);
    expect(transfer.outcome).toMatchObject({ failure: 'no-answer', message: 'No answer from 192.168.1.1:69 within 20 s' });
    expect(net.sent.length).toBeGreaterThan(8);
  });

  test.each([4, 8])('a request with options that is answered by error %i is made again without them, from the same port', (code) => {
    const { transfer, heard, says, events } = against({ direction: 'put', bytes: numberedBytes(3), wishes: { blockSize: 1468 } });
    says(errorPacket(code, 'no options'));
    expect(heard()).toEqual(['WRQ "firmware.bin" octet blksize=1468', 'WRQ "firmware.bin" octet']);
    expect(events).toContainEqual(expect.objectContaining({ event: 'fallback', reason: expect.stringContaining('no options') }));
    says(errorPacket(code, 'no options')); // the same error once more: it is none to the second request
    says(ackPacket(0), { ...transferPort, port: 3334 });
    expect(heard()).toEqual(['DATA 1, 3 bytes to 3334']);
    says(ackPacket(1), { ...transferPort, port: 3334 });
    expect(transfer.outcome).toMatchObject({ outcome: 'complete', bytes: 3 });
  });

  test('after three requests with options that nobody answers one is made without', () => {
    const { heard, wait } = against({ direction: 'put', bytes: numberedBytes(3), wishes: { blockSize: 1468 }, pace: { ...pushPace, most: 250 } });
    wait(1800);
    expect(heard().map((text) => text.includes('blksize'))).toEqual([true, true, true, false, true, true, true, false]);
  });

  test.each([
    ['a larger block size', { blksize: '8192' }],
    ['a window of 0', { blksize: '1024', windowsize: '0' }],
    ['another timeout', { blksize: '1024', timeout: '9' }],
    ['a window that was not asked for', { blksize: '1024', windowsize: '4' }],
  ])('an answer with %s gets error 8, and a plain request follows', (_, answer) => {
    const { transfer, heard, says, got } = against({ direction: 'get', wishes: { blockSize: 1024, timeout: 1 } });
    heard();
    says(options(answer));
    expect(heard()).toEqual([expect.stringMatching(/^ERROR 8 /), 'RRQ "firmware.bin" octet']);
    says(block(1), transferPort); // what still comes from the transfer that was refused
    expect(heard()).toEqual([]);
    says(block(1, 5), { ...transferPort, port: 3334 });
    expect(transfer.outcome).toMatchObject({ outcome: 'complete', bytes: 5 });
    expect(got.bytes).toHaveLength(5);
  });

  test('names of options in capitals and an empty answer are taken', () => {
    const capitals = against({ direction: 'get', wishes: { blockSize: 1024 } });
    capitals.says(options({ BLKSIZE: '600' }));
    expect(capitals.transfer.terms.blockSize).toBe(600);
    const empty = against({ direction: 'get', wishes: { blockSize: 1024 } });
    empty.says(options({}));
    expect(empty.transfer.terms.blockSize).toBe(512);
  });

  test('a server that never answers options is taken as it is', () => {
    const { transfer, heard, says } = against({ direction: 'get', wishes: { blockSize: 1428, transferSize: 0, windowSize: 8 } });
    heard();
    says(block(1));
    says(block(2, 7));
    expect(heard()).toEqual(['ACK 1', 'ACK 2']);
    expect(transfer.outcome).toMatchObject({ outcome: 'complete', bytes: 519 });
  });

  test('options to a request for writing, and an acknowledgement of block 0 behind them, begin one transfer', () => {
    const { heard, says } = against({ direction: 'put', bytes: numberedBytes(600), wishes: { blockSize: 512 } });
    heard();
    says(options({ blksize: '512' }));
    says(ackPacket(0));
    expect(heard()).toEqual(['DATA 1, 512 bytes']);
  });

  test('an error in answer to the request ends it, with its words; where it is to be waited out it does not', () => {
    const refused = against({ direction: 'put', bytes: numberedBytes(3) });
    refused.says(errorPacket(0, 'Code pattern is incorrect'));
    expect(refused.transfer.outcome).toMatchObject({ failure: 'refused', said: { code: 0, text: 'Code pattern is incorrect' }, allSent: false });
    const patient = against({ direction: 'put', bytes: numberedBytes(3), endsBy: (_, text) => text !== 'Invalid Password' });
    patient.says(errorPacket(0, 'Invalid Password'));
    expect(patient.transfer.outcome).toBeUndefined();
    expect(patient.events).toContainEqual({ event: 'put-off', from: transferPort, text: '"Invalid Password" (error 0)' });
    patient.says(ackPacket(0));
    expect(patient.heard().at(-1)).toBe('DATA 1, 3 bytes');
  });

  test('what belongs to an older transfer is no answer', () => {
    const get = against({ direction: 'get' });
    get.heard();
    for (const packet of [block(7), ackPacket(0), options({ blksize: '512' }), errorPacket(5, 'unknown'), Uint8Array.from([0, 9, 9])]) get.says(packet);
    expect(get.heard()).toEqual([]);
    expect(get.transfer.outcome).toBeUndefined();
    const put = against({ direction: 'put', bytes: numberedBytes(9) });
    put.heard();
    for (const packet of [block(1), ackPacket(3), options({ blksize: '512' })]) put.says(packet);
    expect(put.heard()).toEqual([]);
  });
});

describe('strangers', () => {
  test('the port of the first answer is kept; another one gets error 5, and silence where errors would disturb a loader', () => {
    for (const quiet of [false, true]) {
      const { transfer, heard, says } = against({ direction: 'put', bytes: numberedBytes(600), quiet });
      heard();
      says(ackPacket(0));
      says(ackPacket(0), { ...transferPort, port: 3334 });
      says(errorPacket(0, 'no'), { ...transferPort, port: 3334 });
      says(ackPacket(1), { address: '192.168.1.77', port: transferPort.port });
      expect(heard()).toEqual(['DATA 1, 512 bytes', ...(quiet ? [] : ['ERROR 5 "unknown transfer" to 3334', 'ERROR 5 "unknown transfer"'])]);
      says(ackPacket(1));
      says(ackPacket(2));
      expect(transfer.outcome).toMatchObject({ outcome: 'complete' });
    }
  });

  test('an answer from the port that was asked is an answer (single-port routers)', () => {
    const { transfer, heard, says } = against({ direction: 'put', bytes: numberedBytes(3) });
    heard();
    says(ackPacket(0), router);
    expect(heard()).toEqual(['DATA 1, 3 bytes']);
    says(ackPacket(1), router);
    expect(transfer.outcome).toMatchObject({ outcome: 'complete' });
  });

  test('before anybody has answered, nobody but the router can', () => {
    const { transfer, says } = against({ direction: 'get' });
    says(block(1, 4), { address: '192.168.1.9', port: 69 });
    expect(transfer.outcome).toBeUndefined();
    expect(transfer.peer).toBeUndefined();
  });
});

describe('sending', () => {
  test.each([0, 1, 511, 512, 513, 1024, 5120])('%i bytes: the last block is shorter, empty where nothing is left', (length) => {
    const net = network();
    const { files } = startWriteServer(net);
    const { transfer } = startClient(net, { direction: 'put', bytes: numberedBytes(length) });
    expect(net.run(() => transfer.outcome !== undefined)).toBe(true);
    expect(transfer.outcome).toEqual({ outcome: 'complete', bytes: length, retransmissions: 0 });
    expect(files[0]).toEqual({ bytes: numberedBytes(length), complete: true });
    expect(said(net.sent).at(-1)).toBe(`DATA ${Math.floor(length / 512) + 1}, ${length % 512} bytes`);
  });

  test('data is never sent for a repeated acknowledgement (the Sorcerer’s Apprentice)', () => {
    const { transfer, heard, says } = against({ direction: 'put', bytes: numberedBytes(2000) });
    heard();
    for (const number of [0, 0, 0, 1, 1, 0, 1]) says(ackPacket(number));
    expect(heard()).toEqual(['DATA 1, 512 bytes', 'DATA 2, 512 bytes']);
    expect(transfer.retransmissions).toBe(0);
  });

  test('an acknowledgement that comes later than the repetition costs one repetition, not one for every block that follows', () => {
    // Round trips of 400 ms, longer than the first wait.
    const net = network({ loss: 0, duplicates: 0, delay: [200, 200] });
    const { files } = startWriteServer(net);
    const { transfer } = startClient(net, { direction: 'put', bytes: numberedBytes(40 * 512) });
    expect(net.run(() => transfer.outcome !== undefined)).toBe(true);
    expect(files.map(({ complete }) => complete)).toContain(true);
    expect(transfer.retransmissions).toBeLessThanOrEqual(2);
  });

  test('an acknowledgement of a block that was not sent yet is ignored', () => {
    const { transfer, heard, says } = against({ direction: 'put', bytes: numberedBytes(2000) });
    heard();
    for (const number of [0, 2, 77, 65535]) says(ackPacket(number));
    expect(heard()).toEqual(['DATA 1, 512 bytes']);
    expect(transfer.bytes).toBe(0);
  });

  test('a block is repeated after 250, 500, 1000 ms and then every second, for 30 s', () => {
    const { transfer, net, says, wait } = against({ direction: 'put', bytes: numberedBytes(2000) });
    says(ackPacket(0));
    const from = net.sent.length - 1;
    wait(29_999);
    expect(transfer.outcome).toBeUndefined();
    wait(2);
    const times = net.sent.slice(from).map(({ at }) => at);
    expect(times.slice(0, 6)).toEqual([0, 250, 750, 1750, 2750, 3750]);
    expect(transfer.outcome).toMatchObject({
      outcome: 'failed',
      failure: 'silent',
      message: expect.stringContaining('silent for 30 s'),
      allSent: false,
      bytes: 0,
    });
    expect(said(net.sent).at(-1)).toBe('ERROR 0 "no answer for too long"');
  });

  test('the agreed timeout is the time between repetitions', () => {
    const { net, says, wait } = against({ direction: 'put', bytes: numberedBytes(2000), wishes: { timeout: 3 } });
    says(options({ timeout: '3' }));
    const from = net.sent.length - 1;
    wait(10_000);
    expect(net.sent.slice(from).map(({ at }) => at)).toEqual([0, 3000, 6000, 9000]);
  });

  test('any progress renews the patience', () => {
    const { transfer, says, wait } = against({ direction: 'put', bytes: numberedBytes(5 * 512) });
    for (const number of [0, 1, 2, 3, 4, 5, 6]) {
      says(ackPacket(number));
      wait(29_000);
    }
    expect(transfer.outcome).toMatchObject({ outcome: 'complete' });
  });

  test('a peer that repeats itself is waited for three times as long, and no longer', () => {
    const { transfer, says, wait } = against({ direction: 'put', bytes: numberedBytes(5 * 512) });
    for (let seconds = 0; seconds < 85; seconds += 5) {
      says(ackPacket(0));
      wait(5000);
      expect(transfer.outcome).toBeUndefined();
    }
    says(ackPacket(0));
    wait(5001);
    expect(transfer.outcome).toMatchObject({ failure: 'silent' });
  });

  test('a missing last acknowledgement is no failure', () => {
    const { transfer, says, wait } = against({ direction: 'put', bytes: numberedBytes(700) });
    says(ackPacket(0));
    says(ackPacket(1));
    wait(31_000);
    expect(transfer.outcome).toMatchObject({ outcome: 'unconfirmed', bytes: 512 });
  });

  test('an error behind the last block is told apart from one in the middle', () => {
    const late = against({ direction: 'put', bytes: numberedBytes(700) });
    for (const packet of [ackPacket(0), ackPacket(1), errorPacket(4, 'Invalid filename, upload failed')]) late.says(packet);
    expect(late.transfer.outcome).toMatchObject({ failure: 'peer-error', allSent: true, said: { code: 4, text: 'Invalid filename, upload failed' } });
    const middle = against({ direction: 'put', bytes: numberedBytes(1700) });
    for (const packet of [ackPacket(0), errorPacket(3, 'too big')]) middle.says(packet);
    expect(middle.transfer.outcome).toMatchObject({ failure: 'peer-error', allSent: false });
  });

  test('plain words from the peer end it, and are handed on', () => {
    const { transfer, says } = against({ direction: 'put', bytes: numberedBytes(1700) });
    says(ackPacket(0));
    says(new TextEncoder().encode('Check firmware error!\n'));
    expect(transfer.outcome).toMatchObject({
      failure: 'peer-error',
      said: { code: -1, text: 'Check firmware error!' },
      message: expect.stringContaining('Check firmware error!'),
    });
  });

  test('malformed packets and error 5 in the middle are dropped, and the transfer lives on', () => {
    const { transfer, says } = against({ direction: 'put', bytes: numberedBytes(700) });
    says(ackPacket(0));
    for (const packet of [
      new Uint8Array(0),
      Uint8Array.from([0]),
      Uint8Array.from([0, 4, 1]),
      Uint8Array.from([0, 0, 0, 0]),
      Uint8Array.from([0, 7, 0, 0]),
      Uint8Array.from([0xff]),
      block(1),
      errorPacket(5, 'x'),
    ])
      says(packet);
    says(ackPacket(1));
    says(ackPacket(2));
    expect(transfer.outcome).toMatchObject({ outcome: 'complete' });
  });

  test('a source that is no longer what was meant is not sent on: the peer gets an error', () => {
    let state: string | undefined;
    const source = bytesSource(numberedBytes(1700), () => state);
    const { transfer, heard, says } = against({ direction: 'put', source } as never);
    heard();
    for (const number of [0, 1, 2]) says(ackPacket(number));
    expect(heard()).toHaveLength(3);
    state = '"fw.bin" has changed';
    says(ackPacket(3)); // the last block follows
    expect(heard()).toEqual(['ERROR 0 "the file has changed"']);
    expect(transfer.outcome).toMatchObject({ failure: 'changed', message: 'Stopped: "fw.bin" has changed' });
  });

  test('an interrupt tells the peer', () => {
    const { transfer, heard, says } = against({ direction: 'put', bytes: numberedBytes(1700) });
    says(ackPacket(0));
    heard();
    transfer.interrupt();
    expect(heard()).toEqual(['ERROR 0 "interrupted"']);
    expect(transfer).toMatchObject({ closed: true, outcome: { failure: 'interrupted' } });
  });
});

describe('windows', () => {
  const window = (size: number) => ({ wishes: { windowSize: size } });

  test('a window is sent at once, and the next behind its last acknowledgement', () => {
    const { heard, says } = against({ direction: 'put', bytes: numberedBytes(6 * 512 + 1), ...window(4) });
    heard();
    says(options({ windowsize: '4' }));
    expect(heard()).toEqual([1, 2, 3, 4].map((number) => `DATA ${number}, 512 bytes`));
    says(ackPacket(4));
    expect(heard()).toEqual(['DATA 5, 512 bytes', 'DATA 6, 512 bytes', 'DATA 7, 1 bytes']);
  });

  test('an acknowledgement in the middle of a window begins it anew behind that block', () => {
    const { heard, says, wait } = against({ direction: 'put', bytes: numberedBytes(20 * 512), ...window(4) });
    says(options({ windowsize: '4' }));
    heard();
    wait(5);
    says(ackPacket(2));
    expect(heard().slice(0, 2)).toEqual(['DATA 3, 512 bytes', 'DATA 4, 512 bytes']);
    wait(5);
    says(ackPacket(6));
    expect(heard().slice(-4)).toEqual([7, 8, 9, 10].map((number) => `DATA ${number}, 512 bytes`));
  });

  test('a repeated acknowledgement repeats a window once it can be an answer to it, not sooner', () => {
    const { heard, says, wait } = against({ direction: 'put', bytes: numberedBytes(20 * 512), ...window(4) });
    says(options({ windowsize: '4' }));
    wait(90);
    says(ackPacket(4)); // an answer takes 90 ms here
    heard();
    wait(30);
    says(ackPacket(4));
    expect(heard()).toEqual([]);
    wait(60);
    says(ackPacket(4)); // block 5 was lost
    expect(heard()).toEqual([5, 6, 7, 8].map((number) => `DATA ${number}, 512 bytes`));
  });

  test('a time-out repeats the whole window', () => {
    const { heard, says, wait } = against({ direction: 'put', bytes: numberedBytes(20 * 512), ...window(4) });
    says(options({ windowsize: '4' }));
    heard();
    wait(110);
    expect(heard().slice(0, 2)).toEqual([1, 2].map((number) => `DATA ${number}, 512 bytes`));
  });

  test('a receiver acknowledges once a window, and at the short block', () => {
    const { transfer, heard, says } = against({ direction: 'get', ...window(4) });
    heard();
    says(options({ windowsize: '4' }));
    expect(heard()).toEqual(['ACK 0']);
    for (const number of [1, 2, 3, 4, 5]) says(block(number));
    expect(heard()).toEqual(['ACK 4']);
    says(block(6, 3));
    expect(heard()).toEqual(['ACK 6']);
    expect(transfer.outcome).toMatchObject({ outcome: 'complete', bytes: 5 * 512 + 3 });
  });

  test('a receiver puts a window in order without asking again', () => {
    const { got, heard, says } = against({ direction: 'get', ...window(4) });
    says(options({ windowsize: '4' }));
    heard();
    for (const number of [2, 3, 1, 4]) says(block(number));
    expect(heard()).toEqual(['ACK 4']);
    expect([0, 512, 1024, 1536].map((offset) => got.bytes[offset])).toEqual([1, 2, 3, 4]);
  });

  test('a receiver asks for what is missing: at the end of the window at once, before it after 10 ms', () => {
    const { heard, says, wait } = against({ direction: 'get', ...window(4) });
    says(options({ windowsize: '4' }));
    heard();
    says(block(1));
    says(block(3));
    expect(heard()).toEqual([]);
    wait(11);
    expect(heard()).toEqual(['ACK 1']);
    for (const number of [2, 4, 5]) says(block(number)); // block 3 is there already
    expect(heard()).toEqual(['ACK 5']);
    for (const number of [7, 8]) says(block(number));
    wait(30);
    heard();
    says(block(9));
    expect(heard().length).toBeLessThanOrEqual(1);
  });

  test('a receiver that holds fewer blocks than its window is found out, and given them in bursts that it holds', () => {
    const net = network();
    const { files } = startWriteServer(net);
    // Ten packets a millisecond, and what comes beyond them is lost.
    let millisecond = -1;
    let packets = 0;
    net.lose = ({ at, from }) => {
      if (from !== here) return false;
      if (Math.floor(at) !== millisecond) packets = 0;
      millisecond = Math.floor(at);
      packets += 1;
      return packets > 10;
    };
    const bytes = numberedBytes(2000 * 512);
    const { transfer } = startClient(net, { direction: 'put', bytes, wishes: { windowSize: 64 } });
    expect(net.run(() => transfer.outcome !== undefined)).toBe(true);
    expect(files[0]).toEqual({ bytes, complete: true });
    // By a time-out for every window it would be more than ten seconds.
    expect(net.now).toBeLessThan(4000);
  });

  test('the window of the request holds across the roll-over', () => {
    const net = network();
    const bytes = numberedBytes(65_540 * 8 + 3);
    const { files } = startWriteServer(net);
    const { transfer } = startClient(net, { direction: 'put', bytes, wishes: { blockSize: 8, windowSize: 8 } });
    expect(net.run(() => transfer.outcome !== undefined, 3_600_000)).toBe(true);
    expect(files[0]?.complete).toBe(true);
    expect(Buffer.compare(files[0]?.bytes as Uint8Array, bytes)).toBe(0);
  });
});

describe('receiving', () => {
  test('data that comes twice is acknowledged twice and kept once; older data is ignored', () => {
    const { got, heard, says } = against({ direction: 'get' });
    heard();
    for (const number of [1, 1, 2, 1, 2]) says(block(number));
    expect(heard()).toEqual(['ACK 1', 'ACK 1', 'ACK 2', 'ACK 2']);
    expect(got.bytes).toHaveLength(1024);
  });

  test('silence is answered by the last acknowledgement, for 20 s', () => {
    const { transfer, heard, says, wait } = against({ direction: 'get' });
    says(block(1));
    heard();
    wait(3500);
    expect(heard()).toEqual(['ACK 1', 'ACK 1']);
    wait(17_000);
    expect(transfer.outcome).toMatchObject({ failure: 'silent', bytes: 512 });
  });

  test('a server that repeats its options gets their acknowledgement again', () => {
    const { heard, says } = against({ direction: 'get', wishes: { blockSize: 1024 } });
    heard();
    says(options({ blksize: '1024' }));
    says(options({ blksize: '1024' }));
    expect(heard()).toEqual(['ACK 0', 'ACK 0']);
  });

  test('a block longer than agreed on ends it', () => {
    const { transfer, says } = against({ direction: 'get' });
    says(block(1, 513));
    expect(transfer.outcome).toMatchObject({ failure: 'protocol', message: expect.stringContaining('more than 512 bytes') });
  });

  test('another number of bytes than announced is a failure', () => {
    const { transfer, says } = against({ direction: 'get', wishes: { transferSize: 0 } });
    says(options({ tsize: '1000' }));
    says(block(1, 500));
    expect(transfer.outcome).toMatchObject({ failure: 'protocol', message: 'The peer announced 1000 bytes and sent 500' });
  });

  test('where packets got lost the last acknowledgement is given again for 5 s', () => {
    const { transfer, heard, says, wait } = against({ direction: 'get' });
    for (const number of [1, 1]) says(block(number));
    says(block(2, 9));
    expect(transfer).toMatchObject({ closed: false, outcome: { outcome: 'complete' } });
    heard();
    says(block(2, 9));
    expect(heard()).toEqual(['ACK 2']);
    wait(5001);
    expect(transfer.closed).toBe(true);
  });
});

describe('block numbers', () => {
  test('wireNumber() rolls over to 0 or to 1', () => {
    expect([0, 1, 65535, 65536, 65537, 131071, 131072].map((number) => wireNumber(number, 0))).toEqual([0, 1, 65535, 0, 1, 65535, 0]);
    expect([0, 1, 65535, 65536, 65537, 131070, 131071].map((number) => wireNumber(number, 1))).toEqual([0, 1, 65535, 1, 2, 65535, 1]);
  });

  const many = 65_540;

  test('a server that goes on with 1 behind 65535 is followed', () => {
    const { transfer, got, says, heard } = against({ direction: 'get', wishes: { blockSize: 8 } });
    says(options({ blksize: '8' }));
    const bytes = numberedBytes(many * 8 + 2);
    for (let index = 1; index <= many + 1; index += 1)
      transfer.receive(dataPacket(wireNumber(index, 1), bytes.subarray((index - 1) * 8, index * 8)), transferPort, index);
    expect(transfer.outcome).toMatchObject({ outcome: 'complete', bytes: bytes.length });
    expect(Buffer.compare(got.bytes, bytes)).toBe(0);
    expect(heard().slice(-7)).toEqual(
      [65534, 65535, 1, 2, 3, 4, 5]
        .map((number) => `ACK ${number}`)
        .slice(-7)
        .concat('ACK 6')
        .slice(-7),
    );
  });

  test('a peer that cannot count beyond 65535 ends in a sentence that says so', () => {
    const net = network();
    const loader = startLoader(net, { ...ubootTftpsrv, noRollover: true });
    const { transfer } = startClient(net, { direction: 'put', bytes: numberedBytes(65_537 * 512), quiet: true });
    expect(net.run(() => transfer.outcome !== undefined, 3_600_000)).toBe(true);
    expect(transfer.outcome).toMatchObject({
      failure: 'silent',
      reason: 'rollover',
      message: expect.stringMatching(/at block 65536: it may be unable to count further$/),
    });
    expect(loader.taken).toEqual([]);
  });

  test('with roll-over to 1 a receiver of that kind gets all', () => {
    const { transfer, net, says } = against({ direction: 'put', bytes: numberedBytes(many * 8 + 2), wishes: { blockSize: 8 }, rollover: 1 });
    says(options({ blksize: '8' }));
    for (let index = 1; index <= many + 1; index += 1) transfer.receive(ackPacket(wireNumber(index, 1)), transferPort, index);
    expect(transfer.outcome).toMatchObject({ outcome: 'complete' });
    expect(said(net.sent).slice(-6)).toEqual([65535, 1, 2, 3, 4, 5, 6].slice(-6).map((number) => expect.stringContaining(`DATA ${number},`)));
  });
});

/** A loader that waits for a file, at the router's address: it listens on 69 and on whatever port it answers from. */
function startLoader(net: SimulatedNetwork, habits: LoaderHabits): WaitingLoader {
  const loader = new WaitingLoader(habits, (bytes, port, to) => net.send(bytes, { address: router.address, port }, to));
  for (const port of [69, ...Array.from({ length: 20 }, (_, index) => (habits.answerPort ?? 69) + index)]) {
    net.listen({ address: router.address, port }, (bytes, from) => loader.receive(bytes, port, from, net.now));
  }
  net.add(loader);
  return loader;
}

describe('pushing to loaders', () => {
  const image = numberedBytes(9 * 512);
  const push = (net: SimulatedNetwork, job: Partial<ClientJob> = {}) =>
    startClient(net, {
      direction: 'put',
      bytes: image,
      quiet: true,
      askFor: Number.POSITIVE_INFINITY,
      pace: pushPace,
      endsBy: (_: number, text: string) => !/password/i.test(text),
      ...job,
    } as never);

  test.each<[string, LoaderHabits]>([
    ['U-Boot tftpsrv', ubootTftpsrv],
    ['CFE, which answers from the port that was asked', { repeatAfter: 1000 }],
    ['one that refuses options with error 8', { ...ubootTftpsrv, options: 8 }],
    ['one that refuses options with error 4', { ...ubootTftpsrv, options: 4 }],
    ['one that does not answer options at all', { ...ubootTftpsrv, options: 'silent' }],
    ['Netgear and ASUS, which are busy with their flash in the middle', { ...ubootTftpsrv, pause: { afterBlock: 3, milliseconds: 10_000 } }],
    ['one that opens a transfer for every request', { ...ubootTftpsrv, manyTransfers: true }],
  ])('%s gets the image, with and without options, by a network that loses packets too', (_, habits) => {
    for (const conditions of [quick, { loss: 30, duplicates: 20, delay: [0, 300] as const }]) {
      for (const wishes of [undefined, { blockSize: 1468, timeout: 2 }]) {
        const net = new SimulatedNetwork(randomFrom(7), conditions);
        const loader = startLoader(net, habits);
        const { transfer } = push(net, { wishes });
        expect(net.run(() => transfer.outcome !== undefined, 3_600_000)).toBe(true);
        expect(transfer.outcome).not.toMatchObject({ outcome: 'failed' });
        expect(loader.taken).toHaveLength(1);
        expect(Buffer.compare(loader.taken[0] as Uint8Array, image)).toBe(0);
      }
    }
  });

  test('U-Boot does not acknowledge a repeated block: a lost acknowledgement costs 5 s and no more', () => {
    const net = network();
    const loader = startLoader(net, ubootTftpsrv);
    let lost = false;
    net.lose = ({ from, bytes }) => {
      if (lost || from.address !== router.address || packetText(bytes) !== 'ACK 4') return false;
      lost = true;
      return true;
    };
    const { transfer } = push(net);
    expect(net.run(() => transfer.outcome !== undefined)).toBe(true);
    expect(transfer.outcome?.outcome).toBe('complete');
    expect(net.now).toBeGreaterThan(4900);
    expect(net.now).toBeLessThan(5500);
    expect(loader.taken).toHaveLength(1);
  });

  test('a link that comes up late: six requests arrive at once, and one transfer comes of it', () => {
    for (const habits of [ubootTftpsrv, { ...ubootTftpsrv, manyTransfers: true }, { repeatAfter: 1000 }]) {
      const net = network();
      const waiting: Sent[] = [];
      net.lose = (packet) => {
        if (net.now >= 20_000 || packet.from.address !== here.address) return false;
        waiting.push(packet);
        return true;
      };
      const loader = startLoader(net, habits);
      const { transfer } = push(net, { pace: { ...pushPace, most: 250 } });
      net.run(() => net.now >= 19_999, 19_999);
      // What waits for the answer to ARP goes out in a burst.
      net.at(20_000, () => {
        for (const { bytes, from, to } of waiting.slice(-6)) net.send(bytes, from, to);
      });
      expect(net.run(() => transfer.outcome !== undefined)).toBe(true);
      expect(transfer.outcome?.outcome).toBe('complete');
      expect(loader.requests).toBeGreaterThanOrEqual(6);
      expect(loader.taken.map((bytes) => Buffer.compare(bytes, image))).toEqual([0]);
      expect(loader.errors).toEqual([]);
    }
  });

  test('firmware that has booted already says "Invalid Password": it is shown, and asked on until the loader is there', () => {
    const net = network();
    startLoader(net, { repeatAfter: 1000, refuse: { code: 0, text: 'Invalid Password' } });
    const { transfer, events } = push(net);
    net.run(() => false, 3000);
    expect(transfer.outcome).toBeUndefined();
    expect(events.some(({ event }) => event === 'put-off')).toBe(true);
    const loader = startLoader(net, ubootTftpsrv);
    expect(net.run(() => transfer.outcome !== undefined)).toBe(true);
    expect(loader.taken).toHaveLength(1);
  });

  test.each<[string, LoaderHabits, object]>([
    [
      'an image for another model (CFE)',
      { repeatAfter: 1000, judge: () => ({ code: 0, text: 'Code pattern is incorrect' }) },
      { failure: 'peer-error', allSent: true, said: { code: 0, text: 'Code pattern is incorrect' } },
    ],
    [
      'words instead of a packet (Netgear EX2700)',
      { ...ubootTftpsrv, judge: () => ({ raw: 'Check image error' }) },
      { failure: 'peer-error', said: { code: -1, text: 'Check image error' } },
    ],
    [
      'an error behind the last block although it took it (EcoNet)',
      { ...ubootTftpsrv, errorAfterLast: { code: 4, text: 'Invalid filename, upload failed' } },
      { failure: 'peer-error', allSent: true },
    ],
    ['no last acknowledgement (it writes and restarts at once)', { ...ubootTftpsrv, noLastAck: true }, { outcome: 'unconfirmed', bytes: image.length }],
    ['"Transfer timed out" with everything well (HPE MSM460)', hpeMsm460, { outcome: 'unconfirmed', bytes: image.length }],
    ['a name that it does not want (Buffalo)', { ...ubootTftpsrv, nameMust: /tftp/ }, { failure: 'refused', said: { code: 1, text: 'file not found' } }],
  ])('%s is told as what it is', (_, habits, expected) => {
    const net = network();
    startLoader(net, habits);
    const { transfer } = push(net, habits === hpeMsm460 ? { name: 'nflashd.cccc9999' } : {});
    expect(net.run(() => transfer.outcome !== undefined)).toBe(true);
    expect(transfer.outcome).toMatchObject(expected);
  });

  test('HPE MSM460 has the image although its last acknowledgement never comes; by another name it takes nothing', () => {
    const net = network();
    const loader = startLoader(net, hpeMsm460);
    const { transfer: other } = push(net);
    expect(net.run(() => other.outcome !== undefined)).toBe(true);
    expect(other.outcome).toMatchObject({ failure: 'refused' });
    const { transfer } = push(net, { name: 'nflashd.cccc9999' });
    expect(net.run(() => transfer.outcome !== undefined)).toBe(true);
    expect(loader.taken.map((bytes) => Buffer.compare(bytes, image))).toEqual([0]);
  });

  test('the ASUS server that bears no other client takes what is asked without options, by one port, without an error packet', () => {
    for (const conditions of [quick, { loss: 30, duplicates: 20, delay: [0, 300] as const }]) {
      const net = new SimulatedNetwork(randomFrom(7), conditions);
      const loader = startLoader(net, asusTufAx4200);
      const { transfer } = push(net);
      expect(net.run(() => transfer.outcome !== undefined, 3_600_000)).toBe(true);
      expect(loader.hangs).toBe(false);
      expect(loader.taken.map((bytes) => Buffer.compare(bytes, image))).toEqual([0]);
    }
  });

  test('the ASUS server hangs with options: that is why a push asks for none, and the error says that nobody answers', () => {
    const net = network();
    const loader = startLoader(net, asusTufAx4200);
    const { transfer } = push(net, { wishes: { blockSize: 1468 }, askFor: 20_000 });
    expect(net.run(() => transfer.outcome !== undefined)).toBe(true);
    expect(loader.hangs).toBe(true);
    expect(transfer.outcome).toMatchObject({ failure: 'no-answer' });
  });

  test('Linksys EA6900 listens several times in one boot: who asks on is there when it does', () => {
    const net = network();
    const loader = startLoader(net, linksysEa6900);
    // The cable comes up behind the first attempt.
    net.lose = () => net.now < 5000;
    const { transfer } = push(net, { pace: { ...pushPace, most: pushPace.first } });
    expect(net.run(() => transfer.outcome !== undefined)).toBe(true);
    expect(transfer.outcome).toMatchObject({ outcome: 'complete' });
    expect(net.now).toBeGreaterThan(12_000);
    expect(net.now).toBeLessThan(12_500);
    expect(loader.taken.map((bytes) => Buffer.compare(bytes, image))).toEqual([0]);
  });

  test('Linksys EA6900 throws away what is not finished when an attempt ends: a clear error, and the next push gets the next attempt', () => {
    const net = network({ ...quick, delay: [60, 60] });
    const slow = {
      ...linksysEa6900,
      attempts: [
        [2000, 2500],
        [40_000, 60_000],
      ] as const,
    };
    const loader = startLoader(net, slow);
    const pace = { ...pushPace, most: pushPace.first };
    const { transfer } = push(net, { pace });
    expect(net.run(() => transfer.outcome !== undefined)).toBe(true);
    expect(transfer.outcome).toMatchObject({ failure: 'silent', allSent: false });
    expect(loader.taken).toEqual([]);
    const { transfer: again } = push(net, { pace });
    expect(net.run(() => again.outcome !== undefined)).toBe(true);
    expect(again.outcome).toMatchObject({ outcome: 'complete' });
    expect(loader.taken.map((bytes) => Buffer.compare(bytes, image))).toEqual([0]);
  });

  test('a loader that dies in the middle is a clear error after the patience, not before', () => {
    const net = network();
    const loader = startLoader(net, ubootTftpsrv);
    let dead = false;
    net.lose = ({ bytes }) => {
      dead ||= packetText(bytes) === 'DATA 5, 512 bytes';
      return dead;
    };
    const { transfer } = push(net);
    expect(net.run(() => transfer.outcome !== undefined)).toBe(true);
    expect(transfer.outcome).toMatchObject({ failure: 'silent', bytes: 4 * 512 });
    expect(net.now).toBeGreaterThan(30_000);
    expect(net.now).toBeLessThan(31_000);
    expect(loader.taken).toEqual([]);
  });
});

describe('serving', () => {
  const image = numberedBytes(9 * 512);
  const ask = (name: string, mode = 'octet', entries: Record<string, string> = {}, kind: 'read' | 'write' = 'read') =>
    requestPacket({ kind, name, mode, options: new Map(Object.entries(entries)) });
  const answers = (net: SimulatedNetwork): string[] => said(net.sent, router);

  function served(rules: Parameters<typeof startServer>[1] = { bytes: image }, single = false) {
    const net = network({ ...quick, delay: [0, 0] });
    const work = startServer(net, rules, single);
    return {
      net,
      ...work,
      says: (bytes: Uint8Array, port = 69, from: Peer = here) => {
        net.send(bytes, from, { address: router.address, port });
        net.run(() => false, 0);
      },
    };
  }

  test.each([
    ['firmware.bin', 'DATA 1, 512 bytes'],
    ['/FIRMWARE.bin', 'DATA 1, 512 bytes'],
    ['\\firmware.bin', 'DATA 1, 512 bytes'],
    ['other.bin', 'ERROR 1 "file not found"'],
    ['', 'ERROR 1 "file not found"'],
    ['../firmware.bin', 'ERROR 1 "file not found"'],
    ['/etc/passwd', 'ERROR 1 "file not found"'],
    ['firmware.bin/../../etc/passwd', 'ERROR 1 "file not found"'],
    ['firmware.bin ', 'ERROR 1 "file not found"'],
  ])('asked for "%s" it answers %s', (name, expected) => {
    const { net, says, events } = served();
    says(ask(name));
    expect(answers(net)).toEqual([expected]);
    expect(events[0]).toMatchObject({ event: expected.startsWith('DATA') ? 'request' : 'refused', name });
  });

  test('any name is served on request, and the name asked for is told', () => {
    const { net, says, events } = served({ bytes: image, anyName: true });
    says(ask('C0A80101.img'));
    expect(answers(net)).toEqual(['DATA 1, 512 bytes']);
    expect(events).toContainEqual(expect.objectContaining({ event: 'request', name: 'C0A80101.img', offer: 'firmware.bin' }));
  });

  test('nothing can be written, and netascii would destroy the image', () => {
    const { net, says } = served();
    says(ask('firmware.bin', 'octet', {}, 'write'));
    says(ask('firmware.bin', 'netascii'));
    says(ask('firmware.bin', 'mail'));
    expect(answers(net)).toEqual([
      expect.stringMatching(/^ERROR 2 "read only/),
      expect.stringMatching(/^ERROR 4 "mode netascii/),
      expect.stringMatching(/^ERROR 4 "mode mail/),
    ]);
  });

  test('a request that comes again before anything was acknowledged is answered again, from the same port', () => {
    const { net, says, server } = served();
    const request = ask('firmware.bin', 'octet', { blksize: '1024' });
    for (let times = 0; times < 3; times += 1) says(request);
    expect(server.count).toBe(1);
    expect(answers(net)).toEqual(['OACK blksize=1024', 'OACK blksize=1024', 'OACK blksize=1024']);
    expect(new Set(net.sent.filter(({ from }) => from.address === router.address).map(({ from }) => from.port)).size).toBe(1);
  });

  test('a size probe (a request, then an error) and the request behind it are two transfers', () => {
    const { net, says, server, events } = served();
    says(ask('firmware.bin', 'octet', { tsize: '0', blksize: '1456' }));
    says(errorPacket(0, 'User aborted'), 20_001);
    expect(server.count).toBe(0);
    expect(events.at(-1)).toMatchObject({ event: 'ended', outcome: 'stopped-by-peer' });
    says(ask('firmware.bin', 'octet', { blksize: '1456' }));
    expect(answers(net).at(-1)).toBe('OACK blksize=1456');
  });

  test.each([false, true])('a device that was restarted asks from the same port and gets the file (by one port: %s)', (single) => {
    const { net, says, server, events } = served({ bytes: image }, single);
    const port = single ? 69 : 20_001;
    says(ask('firmware.bin'));
    says(ackPacket(1), port);
    says(ackPacket(2), port);
    net.run(() => false, 6000);
    says(ask('firmware.bin'));
    expect(answers(net).at(-1)).toBe('DATA 1, 512 bytes');
    expect(server.count).toBe(single ? 1 : 2);
    if (single) expect(events).toContainEqual(expect.objectContaining({ event: 'ended', outcome: 'replaced' }));
  });

  test('by one port an old copy of a request does not begin the transfer anew', () => {
    const { net, says } = served({ bytes: image }, true);
    says(ask('firmware.bin'));
    says(ackPacket(1));
    says(ask('firmware.bin'));
    says(ackPacket(2));
    expect(answers(net)).toEqual([1, 2, 3].map((number) => `DATA ${number}, 512 bytes`));
  });

  test('somebody else at the port of a transfer gets error 5, and the transfer goes on', () => {
    const { net, says } = served();
    says(ask('firmware.bin'));
    says(ackPacket(1), 20_001, { address: '192.168.1.66', port: 1 });
    expect(answers(net).at(-1)).toMatch(/^ERROR 5/);
    says(ackPacket(1), 20_001);
    expect(answers(net).at(-1)).toBe('DATA 2, 512 bytes');
  });

  test('malformed requests get an error, noise gets nothing, and an error is never answered', () => {
    const { net, says } = served();
    for (const bytes of [
      new Uint8Array(0),
      Uint8Array.from([0]),
      Uint8Array.from([9, 9, 9]),
      Uint8Array.from([0, 0, 0, 0]),
      Uint8Array.from([0, 7, 0, 1]),
      errorPacket(1, 'x'),
    ])
      says(bytes);
    expect(answers(net)).toEqual([]);
    says(Uint8Array.from([0, 1, 0x61, 0x62]));
    says(ask('x'.repeat(600)));
    says(ackPacket(3));
    expect(answers(net)).toEqual([expect.stringMatching(/^ERROR 4/), expect.stringMatching(/^ERROR 4/), expect.stringMatching(/^ERROR 5/)]);
  });

  test('the last block is repeated for 20 s; then all was sent, and only the acknowledgement is missing', () => {
    const { net, says, events } = served({ bytes: numberedBytes(10) });
    says(ask('firmware.bin'));
    net.run(() => false, 25_000);
    expect(answers(net).filter((text) => text === 'DATA 1, 10 bytes').length).toBeGreaterThan(5);
    expect(events.at(-1)).toMatchObject({ event: 'ended', outcome: 'unconfirmed' });
  });

  test('options that are never acknowledged are repeated, and given up', () => {
    const { net, says, events } = served();
    says(ask('firmware.bin', 'octet', { timeout: '2' }));
    net.run(() => false, 30_000);
    expect(net.sent.filter(({ from }) => from.address === router.address).map(({ at }) => at)).toEqual([
      0, 2000, 4000, 6000, 8000, 10_000, 12_000, 14_000, 16_000, 18_000,
    ]);
    expect(events.at(-1)).toMatchObject({ event: 'ended', outcome: 'silent' });
  });

  test('a file that changes while it is served: the device gets an error, the event says why', () => {
    let state: string | undefined;
    const { net, says, events } = served({ offers: [{ names: ['firmware.bin'], source: bytesSource(numberedBytes(1200), () => state) }] });
    says(ask('firmware.bin'));
    says(ackPacket(1), 20_001);
    state = 'it has other bytes now';
    says(ackPacket(2), 20_001);
    expect(answers(net).at(-1)).toBe('ERROR 0 "the file has changed"');
    expect(events.at(-1)).toMatchObject({ event: 'ended', outcome: 'changed', text: 'it has other bytes now' });
    says(ask('firmware.bin'));
    expect(answers(net).at(-1)).toBe('ERROR 0 "the file has changed"');
  });

  test('stopping tells every device', () => {
    const { net, says, server } = served();
    says(ask('firmware.bin'));
    says(ask('firmware.bin'), 69, { address: '192.168.1.3', port: 7 });
    server.stop('owimg was stopped', net.now);
    expect(answers(net).slice(-2)).toEqual(['ERROR 0 "owimg was stopped"', 'ERROR 0 "owimg was stopped"']);
    expect(server.count).toBe(0);
  });

  test('more transfers than allowed are refused, in words', () => {
    const { net, says, server } = served({ bytes: image, most: 2 });
    for (const last of [10, 11, 12]) says(ask('firmware.bin'), 69, { address: `192.168.1.${last}`, port: 7 });
    expect(answers(net).at(-1)).toMatch(/^ERROR 0 "too many/);
    expect(server.count).toBe(2);
  });

  test.each([
    ['U-Boot since 2020.10', ubootTftpboot],
    ['U-Boot with a window', { ...ubootTftpboot, options: { ...ubootTftpboot.options, windowsize: '8' } }],
    ['U-Boot 1.1.x, RFC 1350 only', { name: '\\Firmware.bin', options: {}, repeatAfter: 5000, tries: 10 }],
    ['PXE, which asks for the size first', { name: 'firmware.bin', options: { tsize: '0', blksize: '1456' }, repeatAfter: 1000, tries: 10, probe: true }],
    ['a loader in a hurry', { name: 'firmware.bin', options: { blksize: '600' }, repeatAfter: 300, tries: 40 }],
  ])('%s loads the image, strict as it is, by good networks and bad ones', (_, habits) => {
    // A probe is never repeated by those who make it, and its error neither: what a bad network makes of it is between them and it.
    const networks = 'probe' in habits ? [quick] : [quick, { loss: 20, duplicates: 20, delay: [0, 30] as const }];
    for (const conditions of networks) {
      for (const single of [false, true]) {
        const net = new SimulatedNetwork(randomFrom(3), conditions);
        startServer(net, { bytes: image, limits: serverLimits }, single);
        const device = { address: '192.168.1.1', port: 2222 };
        const loader = new AskingLoader(habits, router, (bytes, to) => net.send(bytes, device, to));
        net.listen(device, (bytes, from) => loader.receive(bytes, from, net.now));
        net.add(loader);
        loader.start(net.now);
        expect(net.run(() => loader.state === 'done' || loader.state === 'failed', 3_600_000)).toBe(true);
        expect(`${loader.state} ${loader.said}`).toBe('done ');
        expect(Buffer.compare(loader.bytes, image)).toBe(0);
      }
    }
  });

  test('a hundred devices at once get all of it, by one port too', () => {
    for (const single of [false, true]) {
      const net = new SimulatedNetwork(randomFrom(5), { loss: 5, duplicates: 5, delay: [0, 20] });
      const { events } = startServer(net, { bytes: image }, single);
      const clients = Array.from({ length: 100 }, (_, index) =>
        startClient(
          net,
          { direction: 'get', pace: getPace, wishes: index % 2 === 0 ? undefined : { blockSize: 1428, windowSize: 4 } },
          { address: `10.0.${index}.1`, port: 6000 },
        ),
      );
      expect(net.run(() => clients.every(({ transfer }) => transfer.outcome !== undefined), 3_600_000)).toBe(true);
      for (const { got } of clients) expect(Buffer.compare(got.bytes, image)).toBe(0);
      expect(events.filter(({ event }) => event === 'request').length).toBeGreaterThanOrEqual(100);
    }
  });

  test('Senao loses packets in the device itself: it gets all, and much sooner where it asks for larger blocks, as it was found', () => {
    const large = numberedBytes(60_000);
    const took = [{}, { blksize: '1468' }].map((options) => {
      const net = network();
      startServer(net, { bytes: large, limits: serverLimits });
      const device = { address: '192.168.1.101', port: 2000 };
      const loader = new AskingLoader({ ...senao, options }, router, (bytes, to) => net.send(bytes, device, to));
      net.listen(device, (bytes, from) => loader.receive(bytes, from, net.now));
      net.add(loader);
      loader.start(net.now);
      expect(net.run(() => loader.state === 'done' || loader.state === 'failed', 3_600_000)).toBe(true);
      expect(loader.said).toBe('');
      expect(Buffer.compare(loader.bytes, large)).toBe(0);
      return net.now;
    });
    expect(took[1]).toBeLessThan((took[0] as number) / 2);
  });

  test('what has ended is remembered: its last packets are no strangers', () => {
    const { net, says } = served({ bytes: numberedBytes(3) }, true);
    says(ask('firmware.bin'));
    says(ackPacket(1));
    says(ackPacket(1));
    expect(answers(net)).toEqual(['DATA 1, 3 bytes']);
  });
});

test('no packet of ours exceeds what the reader of it accepts', () => {
  for (const bytes of [errorPacket(0, 'a\0b'), optionsPacket(new Map([['a', 'b\0c']]))]) expect(parsePacket(bytes).kind).not.toBe('malformed');
});
