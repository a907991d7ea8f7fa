import assert from 'node:assert/strict';
import { BitstreamError, type Bytes, bitstreams } from '../../../src/client/bitstreams.js';

/** A file in memory with the given parts. */
function fileOf(...parts: readonly Uint8Array[]): Bytes {
  const whole = Buffer.concat(parts);
  return { size: whole.length, read: (offset, length) => whole.subarray(offset, offset + length) };
}

const lengths = (fourcc: string, file: Bytes) =>
  [...bitstreams.get(fourcc)!.spans(file)].map(({ length }) => length);

/** Asserts that the frames follow each other without gaps and fill the file. */
function assertWhole(fourcc: string, file: Bytes): void {
  let at = 0;
  for (const { offset, length } of bitstreams.get(fourcc)!.spans(file)) {
    assert.equal(offset, at);
    at += length;
  }
  assert.equal(at, file.size);
}

function fwht(width: number, height: number, size: number): Buffer {
  const frame = Buffer.alloc(44 + size, 0x4f);
  frame.write('4f4f4f4fffffffff00000003', 'hex');
  frame.writeUInt32BE(width, 12);
  frame.writeUInt32BE(height, 16);
  frame.writeUInt32BE(size, 40);
  return frame;
}

const LONG = Buffer.from([0, 0, 0, 1]);
const SHORT = Buffer.from([0, 0, 1]);
const nal = (code: Buffer, type: number, ...payload: number[]) =>
  Buffer.from([...code, 0x60 | type, ...payload]);
const SPS = nal(LONG, 7, 66, 0, 30);
const PPS = nal(LONG, 8, 0xce);
const AUD = nal(LONG, 9, 0x10);
const IDR = nal(SHORT, 5, 0x88, 1, 2, 3);
/** Another slice of the same picture: its first_mb_in_slice is not 0. */
const MORE = nal(SHORT, 5, 0x40, 4, 5);
const P = nal(LONG, 1, 0x9a, 6);

describe('bitstreams: FWHT', () => {
  it('is cut at the frame headers, whose bytes may also be in the data', () => {
    const file = fileOf(fwht(640, 360, 100), fwht(640, 360, 0), fwht(720, 480, 7));
    assert.deepEqual(lengths('FWHT', file), [144, 44, 51]);
    assertWhole('FWHT', file);
  });

  it('says how large its frames are', () => {
    assert.deepEqual(bitstreams.get('FWHT')!.size!(fileOf(fwht(720, 480, 1))), { width: 720, height: 480 });
  });

  it('is refused where it is something else, or cut short', () => {
    const wrong: [Bytes, RegExp][] = [
      [fileOf(Buffer.from('RIFF')), /no FWHT stream: .* at byte 0/],
      [fileOf(fwht(640, 360, 10), Buffer.from([0])), /no frame header at byte 54/],
      [fileOf(fwht(640, 360, 10).subarray(0, 43)), /byte 0 is cut short/],
      [fileOf(fwht(640, 360, 10), fwht(640, 360, 10).subarray(0, 53)), /byte 54 is cut short/],
    ];
    for (const [file, sentence] of wrong)
      assert.throws(
        () => lengths('FWHT', file),
        (error: Error) => error instanceof BitstreamError && sentence.test(error.message),
      );
  });
});

describe('bitstreams: H.264', () => {
  it('is cut at access units: parameter sets go with the picture behind them', () => {
    const file = fileOf(SPS, PPS, IDR, MORE, P, P, SPS, PPS, IDR);
    const first = SPS.length + PPS.length + IDR.length + MORE.length;
    const last = SPS.length + PPS.length + IDR.length;
    assert.deepEqual(lengths('H264', file), [first, P.length, P.length, last]);
    assertWhole('H264', file);
  });

  it('is cut at delimiters', () => {
    assert.deepEqual(lengths('H264', fileOf(AUD, SPS, IDR, AUD, P)), [
      AUD.length + SPS.length + IDR.length,
      AUD.length + P.length,
    ]);
  });

  it('is cut right wherever a start code lies in what is read at once', () => {
    for (let padding = (1 << 20) - 24; padding < (1 << 20) + 4; padding++) {
      const file = fileOf(IDR, Buffer.alloc(padding, 0xff), P, P);
      assert.deepEqual(lengths('H264', file), [IDR.length + padding, P.length, P.length], `${padding}`);
    }
  });

  it('is refused where there is no picture in it', () => {
    for (const file of [fileOf(Buffer.alloc(100)), fileOf(SPS, PPS), fileOf(SHORT)])
      assert.throws(() => lengths('H264', file), /no H\.264 stream/);
  });
});
