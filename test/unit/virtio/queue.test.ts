import assert from 'node:assert/strict';
import { type Chain, MAX_READABLE } from '../../../src/virtio/chain.js';
import { MAX_PARKED_BYTES, MAX_PARKED_PIECES } from '../../../src/virtio/parked-chains.js';
import { type Queue, RingError } from '../../../src/virtio/queue.js';
import { Bench, type BenchOptions, BUFFERS, GUEST } from './bench.js';
import { NEXT } from './driver.js';

describe('virtqueue', () => {
  let bench: Bench;
  const set = (options: BenchOptions = {}) => {
    bench?.close();
    bench = new Bench(options);
    return bench;
  };

  afterEach(() => {
    bench.close();
    bench = undefined as unknown as Bench;
  });

  /** Writes descriptor `index`: 4 readable bytes with the value `index`. */
  const describe4 = (index: number) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(index);
    bench.ring.describe(index, { address: bench.put(4 * index, bytes), length: 4 });
  };

  const malformed = (index: number) => bench.ring.describe(index, { address: 0, length: 1 });

  const popAll = (queue: Queue) => {
    const heads: number[] = [];
    for (let chain = queue.pop(); chain; chain = queue.pop()) {
      heads.push(chain.head);
      assert.equal(chain.readable.readUInt32LE(0), chain.head);
      queue.push(chain, chain.head + 100);
    }
    queue.notify();
    return heads;
  };

  /** Pops all chains that wait, in as many turns of the loop as necessary. */
  const popTurnByTurn = (queue: Queue): Chain[] => {
    const chains: Chain[] = [];
    while (queue.waiting > 0) {
      const chain = queue.pop();
      if (chain) chains.push(chain);
    }
    return chains;
  };

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
      const memory = Object.create(bench.memory, {
        // The driver makes the next chain available while the device checks this one.
        check: {
          value: (address: number, length: number) => {
            bench.ring.offer(0);
            bench.memory.check(address, length);
          },
        },
      });
      // The chain that is being checked is not outstanding yet, so a ring of size 1 is full again each time.
      const queue = bench.queue({ memory });
      malformed(0);
      bench.ring.offer(0);
      assert.equal(queue.pop(), null);
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
