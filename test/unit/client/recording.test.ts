import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import jpeg from 'jpeg-js';
import { PNG } from 'pngjs';
import type { ImageFormat } from '../../../src/client/image-format.js';
import { PictureError } from '../../../src/client/picture.js';
import { Recording } from '../../../src/client/recording.js';

const rgb: ImageFormat = {
  fourcc: 'RGB3',
  width: 1,
  height: 1,
  planes: [{ bytesperline: 3, sizeimage: 3 }],
  colorspace: 0,
  ycbcrEnc: 0,
  quantization: 0,
};
const mjpg = { ...rgb, fourcc: 'MJPG' };

const frame = (bytes: Uint8Array | number[], damaged = false) => ({
  index: 0,
  sequence: 0,
  timestamp: 0,
  bytesused: 3,
  damaged,
  last: false,
  planes: [Uint8Array.from(bytes)],
});
/** A JPEG of one colour. */
const picture = (value: number) =>
  jpeg.encode({ width: 8, height: 8, data: Buffer.alloc(256, value) }, 90).data;

describe('recordings', () => {
  let folder: string;
  const path = (name: string) => join(folder, name);
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'recording-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  function record(name: string, format: ImageFormat, ...frames: ReturnType<typeof frame>[]): Buffer {
    const recording = new Recording(path(name));
    for (const one of frames) recording.add(format, one);
    recording.finish(format);
    const written = readFileSync(path(name));
    assert.equal(recording.bytes, written.length);
    return written;
  }

  it('are a picture of the last frame that is whole', () => {
    const png = record('a.png', rgb, frame([1, 2, 3]), frame([4, 5, 6]), frame([7, 8, 9], true));
    assert.deepEqual([...PNG.sync.read(png).data], [4, 5, 6, 255]);
    const only = record('b.PNG', rgb, frame([7, 8, 9], true));
    assert.deepEqual([...PNG.sync.read(only).data], [7, 8, 9, 255], 'a damaged one is better than none');
  });

  it('keep the JPEG of the camera as it is, and make one of other frames', () => {
    const [first, last] = [picture(10), picture(200)];
    assert.deepEqual(record('a.jpg', mjpg, frame(first), frame(last)), last);
    const made = jpeg.decode(record('b.jpeg', rgb, frame([100, 100, 100])), { useTArray: true });
    assert.equal(made.width, 1);
    assert.ok(Math.abs(made.data[0]! - 100) < 4);
  });

  it('are all frames, raw or JPEG after JPEG', () => {
    const raw = record('a.raw', rgb, frame([1, 2, 3]), frame([4, 5, 6], true));
    assert.deepEqual([...raw], [1, 2, 3, 4, 5, 6]);
    const [first, last] = [picture(10), picture(200)];
    assert.deepEqual(record('a.mjpg', mjpg, frame(first), frame(last)), Buffer.concat([first, last]));
  });

  it('refuse a name that says nothing and a place that cannot be written', () => {
    assert.throws(() => new Recording(path('picture')), /must end in one of \.png, \.jpg/);
    assert.throws(() => new Recording(path('none/picture.png')), { code: 'ENOENT' });
    if (process.getuid?.() !== 0) assert.throws(() => new Recording('/proc/picture.png'), { code: 'EACCES' });
  });

  it('touch no file before there is something to write', () => {
    writeFileSync(path('old.png'), 'old');
    const recording = new Recording(path('old.png'));
    recording.add({ ...rgb, fourcc: 'BA81' }, frame([1, 2, 3]));
    assert.throws(() => recording.finish({ ...rgb, fourcc: 'BA81' }), PictureError);
    recording.close();
    assert.equal(readFileSync(path('old.png'), 'latin1'), 'old');
    new Recording(path('new.raw')).finish(rgb);
    assert.ok(!existsSync(path('new.raw')));
  });
});
