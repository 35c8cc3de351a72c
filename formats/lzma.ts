/**
 * LZMA-alone, what `lzma e` and `xz --format=lzma` write: a header of 13 bytes, little endian, then one stream.
 * Most kernels on NOR flash are compressed so.
 *
 * There is no magic number and no checksum. Whether a stream is whole shows only when it is unpacked: then it
 * must end exactly where its length, or its end marker, says. Until then it reaches up to whatever comes next.
 *
 * Layout: LZMA specification, "LZMA file format". Writers: LZMA SDK 4.65 (OpenWrt tools/lzma), xz.
 */
import { finding, type LocalFinding } from '../src/core/findings.ts';
import { type Format, type Payload, type Reading, region } from '../src/core/format.ts';
import { beginsLikeLzma, type LzmaResult, lzmaProperties, unpackLzma } from '../src/core/lzma.ts';
import { hex8, struct, u32, u64 } from '../src/core/struct.ts';

const header = struct('little', {
  properties: hex8,
  dictionaryLength: u32,
  unpackedLength: u64,
});

const unknownLength = 0xffffffffffffffffn;
/** No stream gives more for a packed byte: a repeated match of 273 bytes costs a third of a bit at least. */
const highestRatio = 8192;
const mebibyte = 1 << 20;
/** Packed bytes that are unpacked to see whether this is LZMA at all. */
const probed = 512;

/** A size that an encoder writes: older ones 2^n or 2^n + 2^(n-1), newer ones whole MiB above 4 MiB. */
function isDictionaryLength(length: number): boolean {
  if (length < 4096 || length > 1536 * mebibyte) return false;
  if (length % mebibyte === 0) return true;
  const top = 2 ** Math.floor(Math.log2(length));
  return length === top || length === top + top / 2;
}

/** Where damage was noticed, it lies in front of that place. */
function failed(result: LzmaResult & { ok: false }, expected: number | null): LocalFinding {
  if (result.failure === 'length' && expected !== null) {
    return finding('stream-length-mismatch', header.at.unpackedLength, { what: 'LZMA', expected, actual: result.unpacked });
  }
  const place = { offset: 0, length: header.length + result.offset };
  if (result.failure === 'limit') return finding('unpacking-stopped', place, { reason: `the LZMA stream: ${result.reason}` });
  return finding('stream-corrupt', place, { what: 'LZMA', reason: result.reason });
}

export const lzma: Format = {
  id: 'lzma',
  title: 'LZMA stream (LZMA-alone)',
  summary: 'A compressed stream with a header of 13 bytes: how most kernels for NOR flash are packed.',
  role: 'compressed',
  kind: 'kernel',
  references: [
    { title: 'LZMA specification', url: 'https://github.com/jljusten/LZMA-SDK/blob/781863cdf592da3e97420f50de5dac056ad352a5/DOC/lzma-specification.txt' },
  ],
  limitations: [
    'It has no checksum: without --deep only its header is read, unless unpacking is no more work than reading the file.',
    'Streams with a header of 5 bytes, without a length (Broadcom CFE), and those with a rewritten header (AVM EVA) are not recognised.',
  ],

  detect(bytes) {
    if (bytes.length < header.length + 5) return 'no';
    // Looked at one by one, for this is asked of everything: the stream begins with a zero and a literal.
    if (bytes[13] !== 0 || (bytes[14] as number) >= 0x80) return 'no';
    const properties = lzmaProperties(bytes[0] as number);
    if (properties === undefined || properties.literalContext + properties.literalPosition > 4) return 'no';
    const { dictionaryLength, unpackedLength } = header.read(bytes);
    const known = unpackedLength !== unknownLength;
    if (dictionaryLength < 4096 || (known && (unpackedLength === 0n || unpackedLength >= 1n << 32n))) return 'no';
    const packed = bytes.subarray(header.length, header.length + probed);
    return beginsLikeLzma(packed, bytes[0] as number, known ? Number(unpackedLength) : null) ? 'maybe' : 'no';
  },

  parse(bytes, { unpack, budget }): Reading {
    const values = header.read(bytes);
    const { properties, dictionaryLength } = values;
    const length = values.unpackedLength === unknownLength ? null : Number(values.unpackedLength);
    const packed = bytes.subarray(header.length);
    const findings: LocalFinding[] = [];
    if (!isDictionaryLength(dictionaryLength)) findings.push(finding('lzma-dictionary-invalid', header.at.dictionaryLength, { actual: dictionaryLength }));
    const payloads: Payload[] = [];
    let end: number | undefined;
    // A stream that says it gives no more than is there packed is unpacked in any case: that is no more work than
    // reading the file, and such a length is more often wrong than right.
    const small = length !== null && length <= bytes.length;
    const most = packed.length * highestRatio;
    if (length !== null && length > most) {
      const expected = `at most ${most}, as only ${packed.length} bytes follow`;
      findings.push(finding('structure-invalid', header.at.unpackedLength, { what: 'LZMA length', expected, actual: length }));
    } else if (unpack || small) {
      const limit = budget.unpackLimit(packed.length);
      const result = unpackLzma(packed, { properties, dictionaryLength, length, limit: unpack ? limit : Math.min(limit, packed.length * 16) });
      budget.tookUnpacked(result.ok ? result.bytes.length : result.unpacked);
      if (result.ok) {
        end = header.length + result.consumed;
        const ranges = [{ offset: header.length, length: result.consumed }];
        if (unpack) payloads.push({ label: 'unpacked', ranges, unpacked: { bytes: result.bytes, by: 'lzma' }, content: 'slice' });
      } else findings.push(failed(result, length));
    }
    const { literalContext, literalPosition, position } = lzmaProperties(properties) ?? {};
    return {
      length: end ?? bytes.length,
      open: end === undefined,
      summary: `LZMA stream${length === null ? '' : `, ${length} bytes unpacked`}`,
      fields: header.fields(values, {
        properties: `lc ${literalContext}, lp ${literalPosition}, pb ${position}`,
        unpackedLength: length === null ? 'not known, an end marker tells' : undefined,
      }),
      regions: [region('header', 'LZMA header', 0, header.length), region('payload', 'LZMA stream', header.length, (end ?? bytes.length) - header.length)],
      checks: [],
      findings,
      identities: [],
      payloads,
    };
  },
};
