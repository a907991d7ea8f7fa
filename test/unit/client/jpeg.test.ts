import assert from 'node:assert/strict';
import jpeg from 'jpeg-js';
import { huffmanSegment } from '../../../src/client/huffman.js';
import { completeJpeg, decodeJpeg } from '../../../src/client/jpeg.js';
import { encodeJpeg, PictureError } from '../../../src/client/picture.js';

/** A JPEG from an encoder that is not ours and uses the typical tables. */
function photograph(): Buffer {
  const data = Buffer.alloc(16 * 16 * 4);
  for (let i = 0; i < data.length; i++) data[i] = (i * 7919) % 251;
  return jpeg.encode({ width: 16, height: 16, data }, 80).data;
}

/** The JPEG without its DHT segments, as UVC cameras send it. */
function withoutTables(complete: Buffer): Buffer {
  const parts = [complete.subarray(0, 2)];
  let at = 2;
  while (complete[at + 1] !== 0xda) {
    const length = 2 + complete.readUInt16BE(at + 2);
    if (complete[at + 1] !== 0xc4) parts.push(complete.subarray(at, at + length));
    at += length;
  }
  return Buffer.concat([...parts, complete.subarray(at)]);
}

describe('JPEG frames', () => {
  it('get the typical Huffman tables where they have none, byte for byte', () => {
    const complete = photograph();
    const bare = withoutTables(complete);
    assert.equal(complete.length - bare.length, 420);
    assert.deepEqual(completeJpeg(bare), complete);
  });

  it('stay as they are where they have tables', () => {
    const complete = photograph();
    assert.deepEqual(completeJpeg(complete), complete);
  });

  it('keep what lies behind the picture, and fill bytes before markers', () => {
    const bare = withoutTables(photograph());
    const padded = Buffer.concat([bare.subarray(0, 2), Buffer.from([0xff, 0xff]), bare.subarray(2)]);
    const complete = completeJpeg(Buffer.concat([padded, Buffer.alloc(10)]));
    assert.equal(complete.length, bare.length + 2 + 10 + huffmanSegment.length);
  });

  it('decode to the pixels that any decoder gives', () => {
    const complete = photograph();
    const expected = jpeg.decode(complete, { useTArray: true, formatAsRGBA: false });
    assert.deepEqual(decodeJpeg(withoutTables(complete)), expected);
  });

  it('come out of the encoder nearly as they went in', () => {
    const data = new Uint8Array(8 * 8 * 3).fill(0);
    for (let i = 0; i < data.length; i += 3) data.set([200, 100, 50], i);
    const { width, height, data: pixels } = decodeJpeg(encodeJpeg({ width: 8, height: 8, data }));
    assert.deepEqual([width, height], [8, 8]);
    for (const [i, value] of pixels.entries()) assert.ok(Math.abs(value - data[i]!) <= 3);
  });

  it('are refused with a sentence when they are something else, at any length', () => {
    assert.throws(() => completeJpeg(Buffer.from('RIFF....')), /no JPEG: it starts with 52494646/);
    const bare = withoutTables(photograph());
    for (let length = 0; length < bare.length; length++) {
      try {
        decodeJpeg(bare.subarray(0, length));
      } catch (error) {
        assert.ok(error instanceof PictureError, `${length} bytes: ${error}`);
      }
    }
  });

  it('have tables whose counts are those of their values', () => {
    assert.equal(huffmanSegment.length, 420);
    assert.equal(huffmanSegment.readUInt16BE(0), 0xffc4);
    let at = 4;
    const lengths: number[] = [];
    while (at < huffmanSegment.length) {
      const counts = [...huffmanSegment.subarray(at + 1, at + 17)];
      const total = counts.reduce((sum, count) => sum + count, 0);
      assert.equal(new Set(huffmanSegment.subarray(at + 17, at + 17 + total)).size, total);
      lengths.push(total);
      at += 17 + total;
    }
    assert.deepEqual(lengths, [12, 162, 12, 162]);
    assert.equal(at, huffmanSegment.length);
  });
});
