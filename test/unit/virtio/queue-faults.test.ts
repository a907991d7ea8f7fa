/** A driver that breaks a virtqueue, by malformed chains or impossible indices. */
import assert from 'node:assert/strict';
import { MAX_READABLE } from '../../../src/virtio/chain.js';
import { MAX_PARKED_BYTES, MAX_PARKED_PIECES } from '../../../src/virtio/parked-chains.js';
import { Turn } from '../../../src/virtio/turn.js';
import { type Bench, BUFFERS, GUEST } from './bench.js';
import { NEXT } from './driver.js';
import { popTurnByTurn, queueSuite } from './support/queue-suite.js';

describe('a broken virtqueue', () => {
  let bench: Bench;
  const { set, describe4, malformed } = queueSuite((made) => {
    bench = made;
  });

  describe('with a driver that breaks the ring', () => {
    it('stops at an available index that is too far', () => {
      set();
      const queue = bench.queue();
      bench.ram.bytes.writeUInt16LE(9, 0x10_0002);
      assert.equal(queue.waiting, 0);
      assert.equal(bench.broken.length, 1);
      assert.equal(queue.stopped, true);
      bench.ram.bytes.writeUInt16LE(1, 0x10_0002);
      assert.deepEqual([queue.pop(), queue.waiting, queue.enableKicks()], [null, 0, false]);
      assert.equal(bench.broken.length, 1);
    });

    it('stops at an available index that went back', () => {
      set({ start: 100 });
      const queue = bench.queue();
      bench.ram.bytes.writeUInt16LE(99, 0x10_0002);
      assert.equal(queue.pop(), null);
      assert.equal(bench.broken.length, 1);
    });

    it('stops when more chains are out than the ring has descriptors', () => {
      set({ size: 4 });
      const queue = bench.queue();
      for (const index of [0, 1, 2, 3]) describe4(index);
      bench.ring.offer(0, 1, 2, 3);
      for (let count = 0; count < 4; count++) assert.notEqual(queue.pop(), null);
      assert.equal(queue.outstanding, 4);
      bench.ring.offer(0);
      assert.equal(queue.pop(), null);
      assert.equal(bench.broken.length, 1);
    });

    it('gives malformed chains back with length 0 and goes on', () => {
      set();
      const queue = bench.queue();
      malformed(0);
      describe4(1);
      bench.ring.describe(2, { address: 0, length: 0, flags: NEXT, next: 2 });
      bench.ring.offer(0, 999, 1, 2);
      assert.equal(queue.pop()?.head, 1);
      assert.equal(queue.pop(), null);
      assert.deepEqual(bench.ring.usedElement(0), { id: 0, length: 0 });
      assert.deepEqual(bench.ring.usedElement(1), { id: 999, length: 0 });
      assert.deepEqual(bench.ring.usedElement(2), { id: 2, length: 0 });
      assert.deepEqual([queue.popped, queue.pushed, queue.outstanding], [4, 3, 1]);
      assert.equal(bench.notifications, 2, 'the driver was not told');
      assert.deepEqual(bench.broken, []);
    });

    it('takes a whole ring of malformed chains', () => {
      set();
      const queue = bench.queue();
      for (let index = 0; index < 8; index++) malformed(index);
      bench.ring.offer(0, 1, 2, 3, 4, 5, 6, 7);
      assert.equal(queue.pop(), null);
      assert.equal(bench.ring.usedIndex, 8);
      assert.deepEqual(bench.broken, []);
    });

    it('stops when malformed chains come faster than they go', () => {
      set({ size: 1 });
      // The chain that is being walked is not outstanding yet, so a ring of size 1 is full again each time.
      const queue = bench.queue();
      malformed(0);
      const turn = new Turn();
      // The driver makes the next chain available while the device looks at this one.
      turn.spend = () => bench.ring.offer(0);
      bench.ring.offer(0);
      assert.equal(queue.pop(turn), null);
      assert.equal(bench.broken.length, 1);
      assert.ok(queue.pushed <= 2);
    });

    it('does not hold more readable bytes than its limit', () => {
      set({ size: 128 });
      const queue = bench.queue();
      for (let index = 0; index < 65; index++)
        bench.ring.describe(index, { address: GUEST + BUFFERS, length: MAX_READABLE });
      const most = MAX_PARKED_BYTES / MAX_READABLE;
      assert.equal(most, 64);
      bench.ring.offer(...Array.from({ length: 65 }, (_, index) => index));
      const chains = popTurnByTurn(queue);
      assert.deepEqual([chains.length, queue.waiting], [64, 0]);
      assert.deepEqual(bench.ring.usedElement(0), { id: 64, length: 0 });
      queue.push(chains[0]!, 0);
      bench.ring.offer(64);
      assert.equal(popTurnByTurn(queue)[0]!.head, 64);
    });

    it('does not hold more pieces of writable memory than its limit', () => {
      set({ size: 4096 });
      const queue = bench.queue();
      const long = (first: number, count: number) => {
        const pieces = Array.from({ length: count }, (_, n) => ({
          address: GUEST + BUFFERS + 8 * n,
          length: 4,
        }));
        bench.ring.chain(first, [], pieces);
        bench.ring.offer(first);
      };
      long(0, MAX_PARKED_PIECES + 1);
      long(2000, MAX_PARKED_PIECES);
      long(4000, 1);
      const [most] = popTurnByTurn(queue);
      assert.equal(most!.head, 2000);
      assert.deepEqual(
        [0, 1].map((n) => bench.ring.usedElement(n)),
        [
          { id: 0, length: 0 },
          { id: 4000, length: 0 },
        ],
      );
      queue.push(most!, most!.reply([Buffer.alloc(8192, 1)]));
      long(4000, 1);
      assert.deepEqual(
        popTurnByTurn(queue).map(({ head }) => head),
        [4000],
      );
    });
  });
});
