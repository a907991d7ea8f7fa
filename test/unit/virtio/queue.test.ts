/** A virtqueue: chains go out and come back, from where it starts to its end. */
import assert from 'node:assert/strict';
import { RingError } from '../../../src/virtio/queue.js';
import { Bench } from './bench.js';
import { popAll, queueSuite } from './support/queue-suite.js';

describe('virtqueue', () => {
  let bench: Bench;
  const { set, describe4 } = queueSuite((made) => {
    bench = made;
  });

  it('pops in order and pushes what was written', () => {
    set();
    const queue = bench.queue();
    for (const index of [0, 1, 2]) describe4(index);
    assert.equal(queue.waiting, 0);
    assert.equal(queue.pop(), null);
    bench.ring.offer(2, 0, 1);
    assert.equal(queue.waiting, 3);
    assert.deepEqual(popAll(queue), [2, 0, 1]);
    assert.equal(bench.ring.usedIndex, 3);
    assert.deepEqual(bench.ring.usedElement(0), { id: 2, length: 102 });
    assert.deepEqual(bench.ring.usedElement(2), { id: 1, length: 101 });
    assert.equal(bench.notifications, 1);
    assert.deepEqual([queue.popped, queue.pushed, queue.madeAvailable, queue.outstanding], [3, 3, 3, 0]);
    assert.equal(queue.nextAvailable, 3);
  });

  it('pushes in any order', () => {
    set();
    const queue = bench.queue();
    for (const index of [4, 5]) describe4(index);
    bench.ring.offer(4, 5);
    const [first, second] = [queue.pop()!, queue.pop()!];
    queue.push(second, 1);
    assert.deepEqual(bench.ring.usedElement(0), { id: 5, length: 1 });
    queue.push(first, 2);
    assert.deepEqual(bench.ring.usedElement(1), { id: 4, length: 2 });
    queue.push(first, 3);
    assert.equal(bench.ring.usedIndex, 2, 'a chain went back twice');
  });

  for (const size of [1, 2, 256, 32768])
    it(`goes round a ring of ${size}, and past index 65535`, () => {
      set({ size, start: 65530 });
      const queue = bench.queue();
      for (let round = 0; round < 12; round++) {
        const head = round % size;
        describe4(head);
        bench.ring.offer(head);
        assert.deepEqual(popAll(queue), [head]);
        assert.deepEqual(bench.ring.usedElement((65530 + round) % 65536), { id: head, length: head + 100 });
      }
      assert.equal(bench.ring.usedIndex, 6);
      assert.equal(queue.nextAvailable, 6);
      assert.deepEqual([queue.popped, queue.pushed, queue.madeAvailable], [12, 12, 12]);
      assert.deepEqual(bench.broken, []);
    });

  it('takes a full ring of 32768', () => {
    set({ size: 32768, start: 40000 });
    const queue = bench.queue();
    const heads = Array.from({ length: 32768 }, (_, index) => index);
    for (const head of heads) describe4(head);
    bench.ring.offer(...heads);
    assert.equal(queue.waiting, 32768);
    assert.deepEqual(popAll(queue), heads);
    assert.deepEqual(bench.broken, []);
  });

  for (const size of [0, 3, 65536, -1, 1.5])
    it(`refuses a size of ${size}`, () => {
      set();
      assert.throws(() => bench.queue({ size }), RingError);
    });

  it('refuses rings that are misaligned or too short', () => {
    set();
    const { descriptors, available, used } = bench.rings;
    const shifted = (view: Uint8Array, by: number) =>
      new Uint8Array(view.buffer, view.byteOffset + by, view.length);
    const refused = (rings: object) =>
      assert.throws(() => bench.queue({ rings: { descriptors, available, used, ...rings } }), RingError);
    refused({ descriptors: shifted(descriptors, 8) });
    refused({ available: shifted(available, 1) });
    refused({ used: shifted(used, 2) });
    refused({ descriptors: descriptors.subarray(0, 127) });
    refused({ available: available.subarray(0, 19) });
    refused({ used: used.subarray(0, 67) });
    const queue = bench.queue();
    assert.throws(() => queue.rebind({ descriptors, available, used: shifted(used, 2) }), RingError);
  });

  describe('starts', () => {
    const startOf = (base: number, usedIndex: number, size = 16) => {
      set({ size, start: usedIndex });
      return bench.queue({ base }).nextAvailable;
    };

    it('at the base that the front-end says', () => {
      assert.equal(startOf(0, 0), 0);
      assert.equal(startOf(5, 5), 5);
      assert.equal(startOf(65535, 65535), 65535);
      assert.equal(startOf(0, 7), 0, 'behind the used index');
      assert.equal(startOf(17, 0), 17, 'further than a queue');
    });

    it('at the used index where the base would skip chains (cloud-hypervisor)', () => {
      assert.equal(startOf(16, 0), 0);
      assert.equal(startOf(1, 0), 0);
      assert.equal(startOf(3, 65530), 65530);
    });

    it('and finds the chains that were posted before', () => {
      set({ size: 16 });
      for (let index = 0; index < 16; index++) describe4(index);
      bench.ring.offer(...Array.from({ length: 16 }, (_, index) => index));
      const queue = bench.queue({ base: 16 });
      assert.equal(queue.waiting, 16);
      assert.equal(popAll(queue).length, 16);
    });
  });

  it('is dead after stop', () => {
    set();
    const queue = bench.queue();
    for (const index of [0, 1]) describe4(index);
    bench.ring.offer(0, 1);
    const chain = queue.pop()!;
    queue.stop();
    queue.push(chain, 4);
    queue.notify();
    assert.deepEqual(
      [queue.pop(), queue.waiting, queue.enableKicks(), queue.outstanding],
      [null, 0, false, 0],
    );
    assert.equal(bench.ring.usedIndex, 0);
    assert.equal(bench.notifications, 0);
    assert.equal(queue.nextAvailable, 1);
  });

  it('goes on in the new place after rebind', () => {
    set();
    const queue = bench.queue();
    describe4(0);
    bench.ring.offer(0);
    popAll(queue);
    // The RAM is copied to another mapping, and the first mapping is closed.
    const again = new Bench();
    bench.ram.bytes.copy(again.ram.bytes);
    again.ring.availableIndex = 1;
    bench.memory.close();
    queue.rebind(again.rings);
    again.ring.offer(0);
    assert.equal(queue.waiting, 1);
    assert.equal(queue.nextAvailable, 1);
    again.close();
  });
});
