import assert from 'node:assert/strict';
import {
  cautionsOf,
  type Kind,
  kindOf,
  type Queue,
  refusalOf,
  waitsForProducer,
} from '../../../src/v4l2/kind.js';

const STREAMING = 0x04000000;
const READWRITE = 0x01000000;

/** [buffer type, formats]. `name`: a raw format; `*name`: a compressed one. */
function queues(...given: [number, string[]][]): Queue[] {
  return given.map(([type, formats]) => ({
    type,
    formats: formats.map((name) => ({ fourcc: name.replace('*', ''), compressed: name.startsWith('*') })),
  }));
}

//  device_caps of real drivers, formats, kind
const rows: readonly (readonly [what: string, caps: number, formats: Queue[], kind: Kind])[] = [
  ['uvcvideo', 0x04200001, queues([1, ['YUYV', '*MJPG']]), 'capture'],
  ['uvcvideo metadata', 0x04a00000, [], 'metadata'],
  ['vivid multiplanar', 0x05201000, queues([9, ['YUYV']]), 'capture'],
  ['vivid output', 0x05200002, queues([2, ['YUYV']]), 'output'],
  ['vivid vbi', 0x05210050, [], 'vbi'],
  ['vivid vbi output', 0x050000a0, [], 'vbi output'],
  ['vivid radio', 0x01050400, [], 'radio'],
  ['vivid radio transmitter', 0x010c0800, [], 'radio transmitter'],
  ['vivid sdr', 0x05310000, [], 'sdr'],
  ['vivid touch', 0x14200001, queues([1, ['TD16']]), 'touch'],
  ['vivid metadata output', 0x0c000000, [], 'metadata output'],
  ['sdr transmitter', 0x04400000, [], 'sdr output'],
  [
    'v4l2loopback without exclusive_caps',
    0x05200003,
    queues([1, ['YUYV']], [2, ['YUYV']]),
    'capture and output',
  ],
  ['vim2m', 0x04208000, queues([2, ['RGB3']], [1, ['RGB3']]), 'converter'],
  ['vicodec encoder', 0x04208000, queues([2, ['YU12']], [1, ['*FWHT']]), 'stateful encoder'],
  ['vicodec decoder', 0x04208000, queues([2, ['*FWHT']], [1, ['YU12']]), 'stateful decoder'],
  ['vicodec stateless', 0x04208000, queues([2, ['*SFWH']], [1, ['YU12']]), 'stateless decoder'],
  ['hantro', 0x04204000, queues([10, ['*MG2S', '*S264']], [9, ['NV12']]), 'stateless decoder'],
  ['coda', 0x04208000, queues([2, ['*H264', 'YU12']], [1, ['*H264', 'YU12']]), 'codec'],
  ['nothing known', 0x04000000, [], 'unknown'],
];

describe('v4l2/kind', () => {
  for (const [what, caps, formats, kind] of rows)
    it(`takes ${what} for ${kind}`, () => assert.equal(kindOf('video', caps, formats), kind));

  it('waits for a producer if it is an output without a device behind it', () => {
    const OUTPUT = 0x05200002;
    assert.equal(waitsForProducer('video', OUTPUT, true), true);
    assert.equal(waitsForProducer('video', OUTPUT, false), false, 'an output of hardware');
    assert.equal(waitsForProducer('video', 0x05200001, true), false, 'it has one');
    assert.equal(waitsForProducer('video', 0x05200003, true), false, 'it is both');
    assert.equal(waitsForProducer('video', OUTPUT | 0x8000, true), false, 'a codec');
    assert.equal(waitsForProducer('vbi', OUTPUT, true), false);
  });

  it('takes a sub-device for what it is, whatever it says', () => {
    assert.equal(kindOf('v4l-subdev', 0x04200001, []), 'subdevice');
    assert.match(refusalOf('v4l-subdev', STREAMING)!, /sub-device/);
  });

  it('refuses a node without streaming I/O, and says what it has instead', () => {
    assert.match(refusalOf('video', READWRITE | 1)!, /read\(\) and write\(\)/);
    assert.match(refusalOf('video', 0x00000001)!, /no streaming I\/O/);
    assert.equal(refusalOf('video', STREAMING | READWRITE | 1), undefined);
    assert.equal(refusalOf('radio', 0x01050000), undefined, 'a tuner without buffers');
  });

  it('warns of what the guest driver or the bridge does not do', () => {
    assert.deepEqual(cautionsOf(STREAMING, 'capture'), []);
    assert.match(cautionsOf(STREAMING, 'metadata')[0]!, /poll\(\)/);
    assert.match(cautionsOf(STREAMING | 0x20000000, 'capture')[0]!, /media-ctl/);
    assert.deepEqual(cautionsOf(STREAMING, 'stateful decoder'), []);
    assert.match(cautionsOf(0x01050000, 'radio')[0]!, /RDS/);
  });
});
