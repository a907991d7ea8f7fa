import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PNG } from 'pngjs';
import type { ImageFormat } from '../../../src/client/image-format.js';
import { PictureError } from '../../../src/client/picture.js';
import { type DamagedFrames, Recording } from '../../../src/client/recording.js';
import * as turbo from './support/jpeg-turbo.js';

const rgb: ImageFormat = {
  fourcc: 'RGB3',
  width: 1,
  height: 1,
  planes: [{ bytesperline: 3, sizeimage: 3 }],
  colorspace: 0,
  ycbcrEnc: 0,
  quantization: 0,
};
const yuyv = { ...rgb, fourcc: 'YUYV', width: 2, height: 2, planes: [{ bytesperline: 4, sizeimage: 8 }] };
const mjpg = { ...rgb, fourcc: 'MJPG' };
const bayer = { ...rgb, fourcc: 'BA81' };

const frame = (bytes: Uint8Array | number[], damaged = false) => ({
  index: 0,
  sequence: 0,
  timestamp: 0,
  bytesused: 3,
  damaged,
  last: false,
  clock: 'monotonic' as const,
  planes: [Uint8Array.from(bytes)],
});
const marked = (bytes: Uint8Array | number[]) => frame(bytes, true);

/** JPEGs that differ. */
const picture = (quality: number) => turbo.encode(turbo.scene(48, 32), '4:2:2', quality);
const [first, second, last] = [picture(60), picture(70), picture(80)];
const SCAN = Buffer.from([0xff, 0xda]);
/** Without the second half of its data. */
const cut = (jpeg: Buffer) => jpeg.subarray(0, (jpeg.indexOf(SCAN) + jpeg.length) / 2);
const endless = (jpeg: Buffer) => jpeg.subarray(0, -2);
const overwritten = turbo.withRestarts(turbo.scene(48, 32), '4:2:2', (pieces) =>
  pieces.splice(3, 0, Buffer.alloc(5, 7)),
);
const END = Buffer.from([0xff, 0xd9]);
const MARKED = 'the driver has marked the frame as damaged';
const CUT = 'the JPEG frame is damaged: premature end of data segment';

describe('recordings', () => {
  let folder: string;
  const path = (name: string) => join(folder, name);
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'recording-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  async function record(
    name: string,
    format: ImageFormat,
    frames: ReturnType<typeof frame>[],
    damaged?: DamagedFrames,
  ) {
    const recording = new Recording(path(name), damaged);
    for (const one of frames) {
      await recording.add(format, one);
      for (const plane of one.planes) plane.fill(0);
    }
    await recording.finish(format);
    const written = existsSync(path(name)) ? readFileSync(path(name)) : Buffer.alloc(0);
    assert.equal(recording.bytes, written.length);
    return { written, damage: recording.damage, loss: recording.loss };
  }
  const pixels = (png: Buffer) => [...PNG.sync.read(png).data.filter((_, at) => at % 4 !== 3)];
  const shown = (jpeg: Buffer) => [...turbo.decode(jpeg).data];

  it('are a picture of the last frame', async () => {
    const { written, damage, loss } = await record('a.png', rgb, [frame([1, 2, 3]), frame([4, 5, 6])]);
    assert.deepEqual(pixels(written), [4, 5, 6]);
    assert.deepEqual([damage, loss], [[], null]);
    const { written: jpeg } = await record('a.png', mjpg, [frame(first), frame(endless(last))]);
    assert.deepEqual(pixels(jpeg), shown(last), 'only the end marker is missing');
  });

  it('keep the JPEG of the camera as it is, and make one of other frames', async () => {
    assert.deepEqual((await record('a.jpg', mjpg, [frame(first), frame(last)])).written, last);
    const bare = turbo.withoutTables(endless(last));
    assert.deepEqual(shown((await record('a.jpg', mjpg, [frame(bare)])).written), shown(last));
    const { width, data } = turbo.decode((await record('b.jpeg', rgb, [frame([100, 100, 100])])).written);
    assert.equal(width, 1);
    assert.ok(Math.abs(data[0]! - 100) < 4);
  });

  it('are all frames, raw or JPEG after JPEG', async () => {
    const raw = await record('a.raw', rgb, [frame([1, 2, 3]), frame([4, 5, 6])]);
    assert.deepEqual([...raw.written], [1, 2, 3, 4, 5, 6]);
    const unknown = await record('b.raw', bayer, [frame([1]), frame([2, 3])]);
    assert.deepEqual([...unknown.written], [1, 2, 3], 'of a format whose frames nothing is known of');
    const sequence = await record('a.mjpg', mjpg, [frame(first), frame(endless(last))]);
    assert.deepEqual(sequence.written, Buffer.concat([first, last]));
    assert.deepEqual(sequence.damage, []);
  });

  describe('of a camera that sends damaged frames', () => {
    it('leave those out of a file of every frame, and count them', async () => {
      const { written, damage, loss } = await record('a.mjpg', mjpg, [
        frame(first),
        frame([]),
        frame(cut(second)),
        frame(Buffer.from('RIFF')),
        marked(second),
        frame(cut(last)),
        frame(last),
      ]);
      assert.deepEqual(written, Buffer.concat([first, last]));
      assert.deepEqual(damage, [
        { reason: 'the frame is empty', frames: 1 },
        { reason: CUT, frames: 2 },
        { reason: 'the frame is no JPEG: it starts with 52494646', frames: 1 },
        { reason: MARKED, frames: 1 },
      ]);
      assert.equal(loss, null);
    });

    it('leave short frames out, raw or compressed here', async () => {
      const whole = [100, 128, 100, 128, 100, 128, 100, 128];
      const frames = () => [frame(whole), frame(whole.slice(0, 5)), frame(whole)];
      const reason = 'the frame is cut short: plane 0 has 5 bytes, 2x2 YUYV needs 8';
      const raw = await record('a.raw', yuyv, frames());
      assert.deepEqual([...raw.written], [...whole, ...whole]);
      const jpegs = await record('a.mjpg', yuyv, frames());
      assert.equal(jpegs.written.indexOf(END), jpegs.written.length / 2 - 2, 'two JPEGs of the same size');
      for (const { damage } of [raw, jpegs]) assert.deepEqual(damage, [{ reason, frames: 1 }]);
    });

    it('keep what such frames have, if that is wanted', async () => {
      const damaged = [frame(first), frame([]), frame(cut(second)), marked(last)];
      const { written, damage } = await record('a.mjpg', mjpg, damaged, 'keep');
      assert.deepEqual(written, Buffer.concat([first, cut(second), END, last]));
      assert.equal(damage.length, 3);
      const short = [frame([1, 2, 3]), frame([4, 5]), marked([6, 7, 8])];
      assert.deepEqual([...(await record('a.raw', rgb, short, 'keep')).written], [1, 2, 3, 4, 5, 6, 7, 8]);
      const jpegs = await record('b.mjpg', yuyv, [frame([200, 128, 200, 128])], 'keep');
      const { data } = turbo.decode(jpegs.written);
      assert.ok(data[0]! > 200 && Math.abs(data[6]! - 130) < 4, `${data}`);
    });

    it('are a picture of the last frame that is whole, whatever came after it', async () => {
      const rgbs = [frame([1, 2, 3]), frame([4, 5, 6]), marked([7, 8, 9]), frame([1])];
      const { written, damage, loss } = await record('a.png', rgb, rgbs);
      assert.deepEqual(pixels(written), [4, 5, 6]);
      assert.deepEqual([damage.length, loss], [2, null]);
      // That one is damaged shows only when it is decoded.
      const jpegs = [frame(cut(first)), frame(first), frame(second), frame(overwritten), frame(cut(last))];
      const decoded = await record('b.png', mjpg, jpegs);
      assert.deepEqual(pixels(decoded.written), shown(second));
      assert.deepEqual(decoded.damage, [
        { reason: CUT, frames: 2 },
        { reason: 'the JPEG frame is damaged: 5 extraneous bytes before marker 0xd1', frames: 1 },
      ]);
      assert.deepEqual((await record('a.jpg', mjpg, [frame(second), frame(overwritten)])).written, second);
    });

    it('are a picture of what has arrived where no frame is whole, and say what is missing', async () => {
      const only = await record('b.PNG', rgb, [marked([7, 8, 9])]);
      assert.deepEqual(pixels(only.written), [7, 8, 9]);
      assert.deepEqual(only.loss, { reason: MARKED, missing: 0 });
      const half = await record('a.png', mjpg, [frame([]), frame(cut(last)), frame([])]);
      assert.equal(half.loss?.reason, CUT, 'not the empty frame before it');
      const { written, loss, damage } = await record('c.png', mjpg, [frame(cut(last)), frame([])]);
      assert.deepEqual(pixels(written).slice(0, 48 * 8 * 3), shown(last).slice(0, 48 * 8 * 3));
      assert.equal(loss!.reason, CUT);
      assert.ok(loss!.missing > 0.2 && loss!.missing < 0.8);
      assert.equal(damage.length, 2);
      const jpeg = await record('c.jpg', mjpg, [frame(cut(last))]);
      assert.deepEqual(jpeg.written, Buffer.concat([cut(last), END]));
      assert.deepEqual(jpeg.loss, loss);
    });

    it('are a picture of the very last frame, if damaged ones are to be kept', async () => {
      const { written, loss } = await record('a.png', mjpg, [frame(first), frame(cut(last))], 'keep');
      assert.deepEqual(pixels(written).slice(0, 48 * 8 * 3), shown(last).slice(0, 48 * 8 * 3));
      assert.equal(loss!.reason, CUT);
      assert.deepEqual(
        pixels((await record('b.png', rgb, [marked([1, 2, 3]), frame([4, 5, 6])], 'keep')).written),
        [4, 5, 6],
      );
    });

    it('are no file where no frame has anything to show', async () => {
      for (const name of ['a.png', 'a.jpg', 'a.mjpg'])
        for (const damaged of ['skip', 'keep'] as const) {
          const { written, damage, loss } = await record(name, mjpg, [frame([]), frame([1, 2, 3])], damaged);
          assert.deepEqual([written.length, damage.length, loss], [0, 2, null]);
          assert.ok(!existsSync(path(name)));
        }
    });
  });

  it('refuse a name that says nothing and a place that cannot be written', () => {
    assert.throws(() => new Recording(path('picture')), /must end in one of \.png, \.jpg/);
    assert.throws(() => new Recording(path('none/picture.png')), { code: 'ENOENT' });
    if (process.getuid?.() !== 0) assert.throws(() => new Recording('/proc/picture.png'), { code: 'EACCES' });
  });

  it('touch no file before there is something to write', async () => {
    writeFileSync(path('old.png'), 'old');
    const recording = new Recording(path('old.png'));
    await recording.add(bayer, frame([1, 2, 3]));
    await assert.rejects(recording.finish(bayer), PictureError);
    recording.close();
    assert.equal(readFileSync(path('old.png'), 'latin1'), 'old');
    await assert.rejects(new Recording(path('new.mjpg')).add(bayer, frame([1, 2, 3])), PictureError);
    await new Recording(path('new.raw')).finish(rgb);
    assert.ok(!existsSync(path('new.raw')) && !existsSync(path('new.mjpg')));
  });
});
