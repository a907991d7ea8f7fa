/** Times by magnitude: what their shares and sums are. */
import assert from 'node:assert/strict';
import { timeBounds } from '../../../src/v4l2/frame-counters.js';
import { addTimes, cumulated, quantile, totalOf } from '../../../src/v4l2/histogram.js';

const bounds = [1, 2, 4, 8, Infinity];

describe('v4l2/histogram', () => {
  it('has no quantile without times', () => {
    assert.equal(quantile({ counts: [0, 0, 0, 0, 0], sum: 0 }, bounds, 0.5), null);
    assert.equal(quantile({ counts: [], sum: 0 }, bounds, 0.5), null);
  });

  it('finds a share between the bounds of a bucket', () => {
    const times = { counts: [0, 0, 4, 4, 0], sum: 0 };
    assert.equal(quantile(times, bounds, 0.25), 3, 'the second of four between 2 and 4');
    assert.equal(quantile(times, bounds, 0.5), 4);
    assert.equal(quantile(times, bounds, 0.75), 6);
    assert.equal(quantile(times, bounds, 1), 8);
  });

  it('says of times beyond all bounds that they took the last bound at least', () => {
    assert.equal(quantile({ counts: [0, 0, 0, 0, 3], sum: 0 }, bounds, 0.99), 8);
  });

  it('adds, also to nothing', () => {
    const sum = addTimes({ counts: [1, 2], sum: 5 }, { counts: [3, 4], sum: 7 });
    assert.deepEqual(sum, { counts: [4, 6], sum: 12 });
    assert.deepEqual(addTimes({ counts: [], sum: 0 }, sum), sum);
    assert.equal(totalOf(sum), 10);
  });

  it('cumulates at bounds of its buckets', () => {
    assert.deepEqual(cumulated({ counts: [1, 2, 3, 4, 5], sum: 0 }, bounds, [2, 8]), [3, 10]);
  });

  it('has the bounds of the addon: ascending, a quarter of a power of two apart, to 8 s', () => {
    assert.equal(timeBounds.length, 88);
    assert.deepEqual(timeBounds.slice(0, 13), [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20]);
    assert.equal(timeBounds.at(-1), Infinity);
    for (const [n, bound] of timeBounds.slice(1).entries()) assert.ok(bound > timeBounds[n]!, `${n}`);
    // The buckets of the metrics: 16 us, 64 us, … 4.2 s.
    for (let limit = 16; limit < 8e6; limit *= 4) assert.ok(timeBounds.includes(limit), `${limit}`);
  });
});
