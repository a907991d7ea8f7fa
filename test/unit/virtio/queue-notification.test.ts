/** Interrupts and kicks of a virtqueue: who asks for them, and who gets them. */
import assert from 'node:assert/strict';
import type { Bench } from './bench.js';
import { popAll, queueSuite } from './support/queue-suite.js';

describe('notification of a virtqueue', () => {
  let bench: Bench;
  const { set, describe4 } = queueSuite((made) => {
    bench = made;
  });

  describe('tells the driver', () => {
    it('once for a batch', () => {
      set();
      const queue = bench.queue();
      for (const index of [0, 1, 2]) describe4(index);
      bench.ring.offer(0, 1, 2);
      popAll(queue);
      assert.equal(bench.notifications, 1);
      queue.notify();
      assert.equal(bench.notifications, 1, 'nothing new');
    });

    it('not while VIRTQ_AVAIL_F_NO_INTERRUPT is set', () => {
      set();
      const queue = bench.queue();
      describe4(0);
      bench.ring.availableFlags = 1;
      bench.ring.offer(0);
      popAll(queue);
      assert.equal(bench.notifications, 0);
      bench.ring.availableFlags = 0;
      bench.ring.offer(0);
      popAll(queue);
      assert.equal(bench.notifications, 1);
    });

    // VIRTIO 1.4, 2.7.7.2: an interrupt is wanted when the used index moves past used_event.
    const cases: [from: number, count: number, usedEvent: number, wanted: boolean][] = [
      [0, 1, 0, true],
      [0, 1, 1, false],
      [0, 1, 65535, false],
      [0, 3, 0, true],
      [0, 3, 2, true],
      [0, 3, 3, false],
      [65534, 1, 65534, true],
      [65534, 1, 65535, false],
      [65534, 4, 65535, true],
      [65534, 4, 0, true],
      [65534, 4, 1, true],
      [65534, 4, 2, false],
      [65534, 4, 65533, false],
      [65535, 1, 65535, true],
      [65535, 1, 0, false],
      [30000, 8, 30007, true],
      [30000, 8, 29999, false],
    ];
    for (const [from, count, usedEvent, wanted] of cases)
      it(`from ${from} by ${count}: used_event ${usedEvent} ${wanted ? 'wants' : 'does not want'} it`, () => {
        set({ start: from, eventIdx: true });
        const queue = bench.queue();
        const heads = Array.from({ length: count }, (_, index) => index);
        for (const head of heads) describe4(head);
        // With EVENT_IDX the flag has no meaning.
        bench.ring.availableFlags = 1;
        bench.ring.usedEvent = usedEvent;
        bench.ring.offer(...heads);
        popAll(queue);
        assert.equal(bench.notifications, wanted ? 1 : 0);
      });

    it('counts from the last look, not from the last signal', () => {
      set({ eventIdx: true });
      const queue = bench.queue();
      for (const index of [0, 1, 2]) describe4(index);
      bench.ring.usedEvent = 2;
      for (const [head, expected] of [
        [0, 0],
        [1, 0],
        [2, 1],
        [0, 1],
      ] as const) {
        bench.ring.offer(head);
        popAll(queue);
        assert.equal(bench.notifications, expected);
      }
    });
  });

  describe('asks for kicks', () => {
    it('with avail_event, across the wrap', () => {
      set({ start: 65535, eventIdx: true });
      const queue = bench.queue();
      assert.equal(queue.enableKicks(), false);
      assert.equal(bench.ring.availEvent, 65535);
      describe4(0);
      bench.ring.offer(0);
      popAll(queue);
      queue.enableKicks();
      assert.equal(bench.ring.availEvent, 0);
    });

    it('and says what came since the last time', () => {
      set({ eventIdx: true });
      const queue = bench.queue();
      for (const index of [0, 1]) describe4(index);
      assert.equal(queue.enableKicks(), false);
      bench.ring.offer(0);
      assert.equal(queue.enableKicks(), true);
      assert.equal(queue.enableKicks(), false);
      bench.ring.offer(1);
      popAll(queue);
      assert.equal(queue.enableKicks(), true, 'came and went: whoever waits for it must look once more');
      assert.equal(queue.enableKicks(), false);
    });

    it('for the next one, with chains left waiting', () => {
      set({ size: 16, eventIdx: true });
      const queue = bench.queue();
      bench.ring.offer(0, 1, 2, 3);
      assert.equal(queue.enableKicks(), true);
      assert.equal(queue.enableKicks(), false);
      assert.equal(queue.waiting, 4);
      assert.equal(bench.ring.availEvent, 4, 'a driver that adds a fifth would not kick');
    });

    it('without EVENT_IDX by clearing VIRTQ_USED_F_NO_NOTIFY', () => {
      set();
      bench.ram.bytes.writeUInt16LE(1, 0x14_0000);
      const queue = bench.queue();
      assert.equal(queue.enableKicks(), false);
      assert.equal(bench.ring.usedFlags, 0);
    });
  });
});
