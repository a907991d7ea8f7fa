/** Black in every format, beside what the documentation of the formats says. The test has pixels of its own. */
import assert from 'node:assert/strict';
import { blackFrame, fill } from '../../../../src/media/mute/black-frame.js';
import { blackJpeg } from '../../../../src/media/mute/black-jpeg.js';
import { decode } from '../../client/support/jpeg-turbo.js';
import { u32 } from '../bench.js';

/** struct v4l2_format of a single-planar type. */
function single(fourcc: string, width: number, height: number, line: number, size: number): Buffer {
  const record = Buffer.alloc(208);
  record.set(u32(1));
  record.set(u32(width, height, Buffer.from(fourcc).readUInt32LE(), 1, line, size), 8);
  return record;
}
/** The same of a multi-planar type; sizes and lines of its planes. */
function multi(fourcc: string, width: number, height: number, planes: readonly [number, number][]): Buffer {
  const record = Buffer.alloc(208);
  record.set(u32(9));
  record.set(u32(width, height, Buffer.from(fourcc).readUInt32LE(), 1, 0), 8);
  for (const [n, [size, line]] of planes.entries()) record.set(u32(size, line), 28 + 20 * n);
  record[188] = planes.length;
  return record;
}
/** The bytes of each plane, filled in odd pieces. */
function bytes(current: Buffer, extra = 0): Buffer[] {
  const frame = blackFrame(current);
  assert.ok(frame);
  return frame.planes.map((plane) => {
    const whole = Buffer.alloc(plane.used + extra, 0xee);
    for (let at = 0; at < whole.length; at += 7) fill(plane, whole.subarray(at, at + 7), at);
    return whole;
  });
}
const repeated = (pattern: string, times: number) => Buffer.from(pattern.repeat(times), 'hex');

describe('a black frame', () => {
  it('is none for formats without pixels, unknown ones, and types without pictures', () => {
    for (const fourcc of ['H264', 'HEVC', 'VP80', 'FWHT', 'VT12', 'Z16 ', '\0\0\0\0'])
      assert.equal(blackFrame(single(fourcc, 8, 2, 16, 32)), null, fourcc);
    for (const type of [0, 2, 4, 6, 11, 13, 99]) {
      const record = single('YUYV', 8, 2, 16, 32);
      record.writeUInt32LE(type, 0);
      assert.equal(blackFrame(record), null, `${type}`);
    }
    assert.equal(blackFrame(single('MJPG', 640, 480, 0, 100)), null, 'too small for the picture');
    assert.equal(blackFrame(single('MJPG', 0, 480, 0, 1 << 20)), null);
    assert.equal(blackFrame(single('MJPG', 0xffff_ffff, 0xffff_ffff, 0, 0xffff_ffff)), null);
  });

  it('has luma 16 and chroma 128 where they are', () => {
    assert.deepEqual(bytes(single('YUYV', 4, 2, 8, 16)), [repeated('1080', 8)]);
    assert.deepEqual(bytes(single('UYVY', 4, 2, 8, 16)), [repeated('8010', 8)]);
    assert.deepEqual(bytes(single('NV12', 4, 2, 6, 18)), [
      Buffer.concat([repeated('10', 12), repeated('80', 6)]),
    ]);
    assert.deepEqual(bytes(single('YU12', 4, 2, 4, 12)), [
      Buffer.concat([repeated('10', 8), repeated('80', 4)]),
    ]);
    assert.deepEqual(bytes(single('NV16', 4, 2, 4, 16)), [
      Buffer.concat([repeated('10', 8), repeated('80', 8)]),
    ]);
    assert.deepEqual(bytes(single('P010', 2, 2, 4, 12)), [
      Buffer.concat([repeated('0010', 4), repeated('0080', 2)]),
    ]);
    assert.deepEqual(
      bytes(
        multi('NM12', 4, 2, [
          [8, 4],
          [4, 4],
        ]),
      ),
      [repeated('10', 8), repeated('80', 4)],
    );
    assert.deepEqual(
      bytes(
        multi('YM12', 4, 2, [
          [8, 4],
          [2, 2],
          [2, 2],
        ]),
      ),
      [repeated('10', 8), repeated('80', 2), repeated('80', 2)],
    );
    assert.deepEqual(bytes(multi('NV12', 4, 2, [[12, 4]])), [
      Buffer.concat([repeated('10', 8), repeated('80', 4)]),
    ]);
  });

  it('is 0 in RGB, grey and Bayer formats, and opaque', () => {
    for (const fourcc of ['RGB3', 'BGR3', 'RGBP', 'XR24', 'GREY', 'Y16 ', 'BA81', 'RG10'])
      assert.deepEqual(bytes(single(fourcc, 4, 2, 8, 16)), [Buffer.alloc(16)], fourcc);
    assert.deepEqual(bytes(single('AR24', 2, 1, 8, 8)), [repeated('000000ff', 2)]);
    assert.deepEqual(bytes(single('BA24', 2, 1, 8, 8)), [repeated('ff000000', 2)]);
  });

  it('leaves nothing in the rest of the buffer, and trusts no size', () => {
    assert.deepEqual(bytes(single('YUYV', 2, 1, 4, 4), 3), [Buffer.from('10801080000000', 'hex')]);
    assert.deepEqual(bytes(single('NV12', 4, 0xffff_ffff, 4, 8)), [repeated('10', 8)]);
    assert.deepEqual(blackFrame(multi('NM12', 4, 2, []))!.planes, []);
  });

  it('has a field that is the format’s', () => {
    const record = single('YUYV', 2, 1, 4, 4);
    record.writeUInt32LE(4, 8 + 12);
    assert.equal(blackFrame(record)!.field, 4);
  });

  it('is a JPEG that a decoder shows black, whatever its size', () => {
    for (const [width, height] of [
      [640, 480],
      [16, 8],
      [1, 1],
      [17, 9],
      [1920, 1080],
    ] as const) {
      const [file] = bytes(single('MJPG', width, height, 0, 1 << 20));
      assert.deepEqual(file, blackJpeg(width, height));
      const { width: w, height: h, data } = decode(file!);
      assert.deepEqual([w, h], [width, height]);
      assert.ok(
        data.every((byte) => byte === 0),
        `${width}x${height}`,
      );
    }
  });
});
