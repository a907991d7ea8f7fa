import assert from 'node:assert/strict';
import { readImageFormat } from '../../../src/client/image-format.js';
import { fourcc, fourccCode } from '../../../src/v4l2/names.js';

describe('image formats', () => {
  it('have names of four characters, or fewer, or big-endian', () => {
    const names: [string, number][] = [
      ['YUYV', 0x56595559],
      ['Y10', 0x20303159],
      ['Y16-BE', 0xa0363159],
      ['MJPG', 0x47504a4d],
    ];
    for (const [name, code] of names) {
      assert.equal(fourcc(code), name);
      assert.equal(fourccCode(name), code);
    }
    assert.equal(fourcc(0x01020304), '0x01020304');
    for (const wrong of ['', 'FIVES', 'a\u00e9', 'Y16-LE'])
      assert.throws(() => fourccCode(wrong), RangeError);
  });

  it('are read from a single-planar record', () => {
    const bytes = Buffer.alloc(208);
    bytes.writeUInt32LE(1, 0);
    for (const [i, value] of [640, 480, 0x56595559, 1, 1280, 614400, 8, 0xfeedcafe, 0, 1, 2, 3].entries())
      bytes.writeUInt32LE(value, 8 + 4 * i);
    const { fourcc, width, height, planes, colorspace, ycbcrEnc, quantization } = readImageFormat(
      bytes,
      false,
    );
    assert.deepEqual([fourcc, width, height], ['YUYV', 640, 480]);
    assert.deepEqual(planes, [{ bytesperline: 1280, sizeimage: 614400 }]);
    assert.deepEqual([colorspace, ycbcrEnc, quantization], [8, 1, 2]);
  });

  it('are read from a multi-planar record, of which only the planes in use count', () => {
    const bytes = Buffer.alloc(208);
    for (const [i, value] of [640, 360, 0x32314d4e, 1, 3].entries()) bytes.writeUInt32LE(value, 8 + 4 * i);
    for (const [i, value] of [230400, 640].entries()) bytes.writeUInt32LE(value, 28 + 4 * i);
    for (const [i, value] of [115200, 672].entries()) bytes.writeUInt32LE(value, 48 + 4 * i);
    bytes.set([2, 0, 2, 1], 188);
    const { fourcc, planes, colorspace, ycbcrEnc, quantization } = readImageFormat(bytes, true);
    assert.equal(fourcc, 'NM12');
    assert.deepEqual(planes, [
      { bytesperline: 640, sizeimage: 230400 },
      { bytesperline: 672, sizeimage: 115200 },
    ]);
    assert.deepEqual([colorspace, ycbcrEnc, quantization], [3, 2, 1]);
  });
});
