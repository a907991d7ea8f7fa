import assert from 'node:assert/strict';
import { bufferTypeWord, capabilityWords, controlTypeWord, fourcc } from '../../../src/v4l2/names.js';

describe('v4l2/names', () => {
  it('reads a FOURCC', () => {
    assert.equal(fourcc(0x56595559), 'YUYV');
    assert.equal(fourcc(0x20363159), 'Y16');
    assert.equal(fourcc(0xb6315559 >>> 0), 'YU16-BE');
    assert.equal(fourcc(0x00000001), '0x00000001');
    assert.equal(fourcc(0), '0x00000000');
  });

  it('names capability bits, lowest first, and shows bits without a name', () => {
    assert.deepEqual(capabilityWords(0x04200001), ['VIDEO_CAPTURE', 'EXT_PIX_FORMAT', 'STREAMING']);
    assert.deepEqual(capabilityWords(0x80000000), ['DEVICE_CAPS']);
    assert.deepEqual(capabilityWords(0x00000401), ['VIDEO_CAPTURE', '0x400']);
    assert.deepEqual(capabilityWords(0), []);
  });

  it('names buffer types and control types, known or not', () => {
    assert.equal(bufferTypeWord(9), 'VIDEO_CAPTURE_MPLANE');
    assert.equal(bufferTypeWord(99), 'type 99');
    assert.equal(controlTypeWord(9), 'integer menu');
    assert.equal(controlTypeWord(0x200), 'compound 0x200');
  });
});
