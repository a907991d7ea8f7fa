import assert from 'node:assert/strict';
import { Ranges } from '../../../src/media/memory/ranges.js';

const UNIT = 0x1_0000;

describe('ranges', () => {
  it('start aligned, follow each other, and end at the end', () => {
    const ranges = new Ranges(0x10_0000, 4 * UNIT, UNIT);
    assert.equal(ranges.available, 4 * UNIT);
    assert.deepEqual(
      [1, UNIT, UNIT + 1].map((length) => ranges.allocate(length)),
      [0x10_0000, 0x11_0000, 0x12_0000],
    );
    assert.equal(ranges.available, 0);
    assert.equal(ranges.allocate(1), null);
    assert.equal(ranges.allocate(0), null, 'nothing still needs a place');
  });

  it('a length of 0 takes one unit', () => {
    const ranges = new Ranges(0, 2 * UNIT, UNIT);
    assert.deepEqual([ranges.allocate(0), ranges.allocate(0), ranges.allocate(0)], [0, UNIT, null]);
    assert.equal(ranges.span(0), UNIT);
    assert.equal(ranges.span(UNIT), UNIT);
    assert.equal(ranges.span(UNIT + 1), 2 * UNIT);
  });

  it('hands out what was given back as late as possible', () => {
    const ranges = new Ranges(0, 4 * UNIT, UNIT);
    assert.deepEqual([ranges.allocate(1), ranges.allocate(1)], [0, UNIT]);
    ranges.release(0, 1);
    assert.equal(ranges.allocate(1), 2 * UNIT);
    assert.equal(ranges.allocate(1), 3 * UNIT);
    assert.equal(ranges.allocate(1), 0, 'only when there is nothing else');
    assert.equal(ranges.allocate(1), null);
  });

  it('joins neighbours on both sides, in any order', () => {
    for (const order of [
      [0, 1, 2, 3],
      [3, 2, 1, 0],
      [1, 3, 0, 2],
      [0, 2, 1, 3],
      [2, 0, 3, 1],
    ]) {
      const ranges = new Ranges(0, 4 * UNIT, UNIT);
      for (let n = 0; n < 4; n++) ranges.allocate(1);
      for (const n of order) ranges.release(n * UNIT, 1);
      assert.ok(ranges.available === 4 * UNIT);
      assert.equal(ranges.allocate(4 * UNIT), 0, `released in the order ${order}`);
    }
  });

  it('fits a long range into the middle, before or after the cursor', () => {
    const ranges = new Ranges(0, 10 * UNIT, UNIT);
    const taken = Array.from({ length: 10 }, () => ranges.allocate(1)!);
    for (const n of [2, 3, 4, 8]) ranges.release(taken[n]!, 1);
    assert.equal(ranges.allocate(3 * UNIT), 2 * UNIT);
    assert.equal(ranges.allocate(2), 8 * UNIT);
    assert.equal(ranges.allocate(1), null);
  });

  it('starts in the middle of a free range where the cursor stands there', () => {
    const ranges = new Ranges(0, 8 * UNIT, UNIT);
    assert.equal(ranges.allocate(3 * UNIT), 0);
    ranges.release(0, 3 * UNIT);
    assert.equal(ranges.allocate(2 * UNIT), 3 * UNIT, 'the cursor stands at three');
    assert.equal(ranges.allocate(4 * UNIT), null, 'three before, three behind');
    assert.equal(ranges.allocate(3 * UNIT), 5 * UNIT);
    assert.equal(ranges.allocate(3 * UNIT), 0);
  });

  it('an empty space has no room', () => {
    const ranges = new Ranges(0, 0, UNIT);
    assert.equal(ranges.allocate(1), null);
    assert.ok(ranges.available === 0);
  });

  it('thousands of takings and givings lose nothing and never overlap', () => {
    const ranges = new Ranges(0, 64 * UNIT, UNIT);
    const live = new Map<number, number>();
    let state = 7;
    const random = (below: number) => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return (state >>> 8) % below;
    };
    for (let round = 0; round < 5000; round++) {
      if (random(2) === 0) {
        const length = 1 + random(5 * UNIT);
        const start = ranges.allocate(length);
        if (start === null) continue;
        const end = start + ranges.span(length);
        assert.ok(end <= 64 * UNIT);
        for (const [other, size] of live)
          assert.ok(end <= other || other + ranges.span(size) <= start, `${start} overlaps ${other}`);
        live.set(start, length);
      } else {
        const [start] = [...live.keys()].slice(random(Math.max(1, live.size)));
        if (start === undefined) continue;
        ranges.release(start, live.get(start)!);
        live.delete(start);
      }
      const used = [...live.values()].reduce((sum, length) => sum + ranges.span(length), 0);
      assert.equal(ranges.available, 64 * UNIT - used);
    }
    for (const [start, length] of live) ranges.release(start, length);
    assert.ok(ranges.available === 64 * UNIT);
  });

  describe('count', () => {
    it('says how often all lengths fit, and allocates nothing', () => {
      const ranges = new Ranges(0x10_0000, 10 * UNIT, UNIT);
      assert.equal(ranges.count([1], 100, []), 10);
      assert.equal(ranges.count([1], 4, []), 4);
      assert.equal(ranges.count([UNIT + 1], 100, []), 5);
      assert.equal(ranges.count([2 * UNIT, 1], 100, []), 3);
      assert.equal(ranges.count([11 * UNIT], 100, []), 0);
      assert.equal(ranges.available, 10 * UNIT);
      assert.equal(new Ranges(0, 0, UNIT).count([1], 100, []), 0);
    });

    it('counts what is released first, joined with its neighbours', () => {
      const ranges = new Ranges(0, 6 * UNIT, UNIT);
      const places = Array.from({ length: 6 }, () => ranges.allocate(1)!);
      assert.equal(ranges.count([1], 100, []), 0);
      const freed = [4, 2, 3].map((n) => ({ offset: places[n]!, length: 1 }));
      assert.equal(ranges.count([3 * UNIT], 100, freed), 1);
      ranges.release(places[1]!, 1);
      assert.equal(ranges.count([4 * UNIT], 100, freed), 1);
      assert.equal(ranges.count([2 * UNIT], 100, freed.slice(1)), 1);
      assert.equal(ranges.available, UNIT);
    });

    it('is what allocate then finds, for lengths of one kind and any holes', () => {
      for (let seed = 1; seed < 200; seed++) {
        const ranges = new Ranges(0, 40 * UNIT, UNIT);
        const taken = Array.from({ length: 40 }, () => ranges.allocate(1)!);
        taken
          .filter((_, n) => (n * seed * 7 + seed) % 5 < 3)
          .forEach((place) => void ranges.release(place, 1));
        const length = (1 + (seed % 3)) * UNIT;
        const counted = ranges.count([length], 100, []);
        for (let n = 0; n < counted; n++) assert.notEqual(ranges.allocate(length), null);
        assert.equal(ranges.allocate(length), null);
      }
    });

    it('takes no longer for a region of many holes', () => {
      const ranges = new Ranges(0, 16384 * UNIT, UNIT);
      const taken = Array.from({ length: 16384 }, () => ranges.allocate(1)!);
      const freed = taken.filter((_, n) => n % 2 === 0).map((offset) => ({ offset, length: 1 }));
      const started = process.hrtime.bigint();
      assert.equal(ranges.count([1, 1, 1, 1, 1, 1, 1, 1], 64, freed), 64);
      assert.equal(ranges.count([1, 2 * UNIT], 64, freed), 0);
      assert.ok(Number(process.hrtime.bigint() - started) < 500e6);
    });
  });
});
