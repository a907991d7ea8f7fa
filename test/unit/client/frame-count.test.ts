import assert from 'node:assert/strict';
import { FrameCount } from '../../../src/client/frame-count.js';

const frame = (sequence: number, timestamp: number, damaged = false) => ({
  index: 0,
  sequence,
  timestamp,
  bytesused: 100,
  damaged,
  last: false,
  clock: 'monotonic' as const,
  planes: [],
});

describe('the count of frames', () => {
  it('has no rate before there are two', () => {
    const count = new FrameCount();
    assert.equal(count.summary.fps, null);
    count.add(frame(5, 1), 1);
    const { frames, fps, arrivalFps, dropped } = count.summary;
    assert.deepEqual([frames, fps, arrivalFps, dropped], [1, null, null, 0]);
  });

  it('says where the timestamp of the last frame is from', () => {
    const count = new FrameCount();
    assert.equal(count.summary.clock, 'unknown');
    count.add(frame(0, 0), 0);
    assert.equal(count.summary.clock, 'monotonic');
    count.add({ ...frame(1, 0), clock: 'copy' }, 0);
    assert.equal(count.summary.clock, 'copy');
  });

  it('takes rates from the first to the last, by both clocks', () => {
    const count = new FrameCount();
    for (let i = 0; i <= 30; i++) count.add(frame(i, 100 + i / 30), 7 + i / 15);
    const { fps, arrivalFps, frames, bytes, dropped } = count.summary;
    assert.ok(Math.abs(fps! - 30) < 1e-6);
    assert.ok(Math.abs(arrivalFps! - 15) < 1e-6);
    assert.deepEqual([frames, bytes, dropped], [31, 3100, 0]);
  });

  it('counts gaps in the sequence, over its end too, and damaged frames', () => {
    const count = new FrameCount();
    for (const sequence of [0xffff_fffe, 0xffff_ffff, 0, 3, 4, 10]) count.add(frame(sequence, 0), 0);
    assert.equal(count.summary.dropped, 2 + 5);
    count.add(frame(11, 0, true), 0);
    assert.equal(count.summary.damaged, 1);
    assert.equal(count.summary.fps, null, 'a clock that stands still gives no rate');
  });

  it('takes a device that does not count for one that drops nothing', () => {
    const count = new FrameCount();
    for (let i = 0; i < 5; i++) count.add(frame(0, i), i);
    assert.equal(count.summary.dropped, 0);
  });
});
