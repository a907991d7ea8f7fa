import assert from 'node:assert/strict';
import { ReadablePool } from '../../../src/virtio/readable-pool.js';

const LONG = 1 << 20;

describe('the pool of long readable parts', () => {
  it('hands the memory of a buffer out again when it has come back', () => {
    const pool = new ReadablePool();
    const first = pool.take(LONG);
    first[0] = 77;
    pool.give(first);
    assert.equal(pool.waiting, 1);
    const second = pool.take(LONG - 5);
    assert.deepEqual([second.length, second[0], pool.waiting], [LONG - 5, 77, 0]);
    assert.notEqual(pool.take(LONG).buffer, second.buffer);
  });

  it('leaves nothing to see in a view that was kept by mistake', () => {
    const pool = new ReadablePool();
    const buffer = pool.take(LONG);
    const kept = [buffer.subarray(100, 200), new DataView(buffer.buffer, 0, 8)] as const;
    pool.give(buffer);
    assert.equal(kept[0].length, 100, 'nobody else uses the memory yet');
    pool.take(LONG).fill(9);
    assert.deepEqual([buffer.length, kept[0].length], [0, 0]);
    assert.throws(() => kept[1].getUint8(0), TypeError);
  });

  it('ignores what it did not hand out, and what came back already', () => {
    const pool = new ReadablePool();
    const foreign = Buffer.alloc(LONG);
    const short = pool.take(1000);
    const long = pool.take(LONG);
    for (const buffer of [foreign, short, long, long]) pool.give(buffer);
    assert.deepEqual([pool.waiting, foreign.length, short.length], [1, LONG, 1000]);
  });

  it('keeps 64 buffers at most', () => {
    const pool = new ReadablePool();
    for (const buffer of Array.from({ length: 80 }, () => pool.take(LONG))) pool.give(buffer);
    assert.equal(pool.waiting, 64);
  });

  it('lets its memory go when it was not used for a while', () => {
    const timers: (() => void)[] = [];
    const original = globalThis.setInterval;
    globalThis.setInterval = ((run: () => void) => {
      timers.push(run);
      return original(() => undefined, 1 << 30);
    }) as typeof setInterval;
    const pool = new ReadablePool();
    try {
      pool.give(pool.take(LONG));
    } finally {
      globalThis.setInterval = original;
    }
    const [tick] = timers;
    tick!(); // The buffer was taken since the last tick.
    assert.equal(pool.waiting, 1);
    tick!();
    assert.equal(pool.waiting, 0);
  });
});
