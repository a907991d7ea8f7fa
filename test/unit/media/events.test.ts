/** The eventq with a real queue over test RAM. The test plays the driver. */
import assert from 'node:assert/strict';
import { EventQueue, stale } from '../../../src/media/events/eventq.js';
import type { Queue } from '../../../src/virtio/queue.js';
import { Bench, GUEST } from '../virtio/bench.js';
import { INDIRECT, WRITE } from '../virtio/driver.js';

const DQBUF = 608;
const EVENT = 144;

describe('events', () => {
  let bench: Bench;
  let events: EventQueue;
  let queue: Queue;
  let given: number;

  beforeEach(() => {
    bench = new Bench({ size: 16 });
    events = new EventQueue();
    queue = bench.queue();
    given = 0;
  });
  afterEach(() => {
    events.stop();
    bench.close();
  });

  /** Makes `count` descriptors of `length` bytes available and kicks the device. */
  const post = (count: number, length = DQBUF, flags = WRITE) => {
    for (let n = 0; n < count; n++) {
      const slot = given++ % 16;
      bench.ring.describe(slot, { address: bench.put(1024 * slot, Buffer.alloc(length)), length, flags });
      bench.ring.offer(slot);
    }
    events.kicked();
  };
  const start = (count = 0) => {
    if (count > 0) post(count);
    events.start(queue);
  };
  /** What has come back so far: used length in bytes, and the bytes of the event. */
  const sent = () =>
    Array.from({ length: bench.ring.usedIndex }, (_, n) => {
      const { id, length } = bench.ring.usedElement(n);
      return { length, bytes: bench.seen(1024 * id, DQBUF) };
    });
  const lengths = () => sent().map(({ length }) => length);
  const never = () => assert.fail('nobody is to be resumed');
  const send = (mark: number) => events.sendBuffer(7, Buffer.alloc(88, mark), Buffer.alloc(512, mark));
  const reserveAndSend = (mark: number) => {
    assert.ok(events.reserve(never));
    send(mark);
  };

  it('DQBUF is 608 bytes, EVENT 144, with header and session', () => {
    start(2);
    reserveAndSend(0x11);
    assert.ok(events.reserve(never));
    events.sendEvent(0x1234_5678, Buffer.alloc(136, 0x22));
    const [first, second] = sent();
    assert.deepEqual([first!.length, second!.length], [DQBUF, EVENT]);
    assert.equal(first!.bytes.subarray(0, 8).toString('hex'), '0100000007000000');
    assert.ok(first!.bytes.subarray(8).every((byte) => byte === 0x11));
    assert.equal(second!.bytes.subarray(0, 8).toString('hex'), '0200000078563412');
    assert.ok(second!.bytes.subarray(8, EVENT).every((byte) => byte === 0x22));
    assert.ok(second!.bytes.subarray(EVENT).every((byte) => byte === 0));
  });

  it('a slot is promised once: reservations count before anything is sent', () => {
    start(2);
    assert.deepEqual([events.reserve(never), events.reserve(never)], [true, true]);
    let resumed = 0;
    assert.equal(
      events.reserve(() => resumed++),
      false,
    );
    send(1);
    assert.equal(
      events.reserve(() => resumed++),
      false,
      'the other one is still promised',
    );
    assert.equal(resumed, 0);
    events.release();
    assert.equal(resumed, 2, 'a promise that was not used frees a slot');
    assert.equal(events.reserve(never), true);
  });

  it('whoever found none free is resumed by the next kick, once, in order', () => {
    start();
    const order: string[] = [];
    const [first, second, third] = ['first', 'second', 'third'].map((name) => () => void order.push(name));
    for (const resume of [first!, second!, first!, third!]) assert.equal(events.reserve(resume), false);
    events.forget(second!);
    events.kicked();
    assert.deepEqual(order, [], 'nothing has come');
    post(1);
    assert.deepEqual(order, ['first', 'third']);
    post(1);
    assert.deepEqual(order, ['first', 'third'], 'they ask again if they want more');
  });

  it('what is resumed may reserve, and starve again', () => {
    start();
    let served = 0;
    const serve = (): void => {
      while (events.reserve(serve)) send(++served);
    };
    serve();
    for (let n = 1; n <= 5; n++) {
      post(1);
      assert.equal(served, n);
    }
    post(3);
    assert.equal(served, 8);
    assert.deepEqual(lengths(), Array(8).fill(DQBUF));
  });

  for (const [what, length, flags] of [
    ['too small', DQBUF - 1, WRITE],
    ['tiny', 1, WRITE],
    ['readable', DQBUF, 0],
  ] as const)
    it(`a descriptor that is ${what} goes back empty, and the event waits for a good one`, () => {
      start();
      post(2, length, flags);
      reserveAndSend(0x33);
      assert.deepEqual(lengths(), [0, 0]);
      assert.ok(
        sent().every(({ bytes }) => bytes.every((byte) => byte === 0)),
        'nothing was written',
      );
      post(1);
      assert.deepEqual(lengths(), [0, 0, DQBUF]);
      assert.ok(bench.seen(1024 * 2 + 8, 600).every((byte) => byte === 0x33));
    });

  it('malformed chains between good ones lose nothing and keep the order', () => {
    start();
    const lost = (): void => {
      bench.ring.describe(15, { address: 0, length: DQBUF, flags: WRITE });
      bench.ring.offer(15);
    };
    lost();
    lost();
    post(1, 100);
    assert.equal(events.reserve(never), true);
    assert.equal(events.reserve(never), true);
    send(1);
    send(2);
    assert.deepEqual(lengths(), [0, 0, 0]);
    lost();
    post(1);
    lost();
    post(1);
    assert.deepEqual(lengths(), [0, 0, 0, 0, DQBUF, 0, DQBUF]);
    const marks = sent().filter(({ length }) => length > 0);
    assert.deepEqual(
      marks.map(({ bytes }) => bytes[8]),
      [1, 2],
    );
  });

  it('events that wait go before new ones, and nobody gets their slots', () => {
    start();
    post(1, 8);
    reserveAndSend(1);
    let resumed = 0;
    assert.equal(
      events.reserve(() => resumed++),
      false,
    );
    post(1);
    assert.equal(resumed, 0, 'the waiting event has taken it');
    post(1);
    assert.equal(resumed, 1);
    reserveAndSend(2);
    assert.deepEqual(lengths(), [0, DQBUF, DQBUF]);
  });

  it('a ring of nothing but long bad chains is looked at turn by turn, and the event gets its descriptor', async () => {
    start();
    const TABLE = 0x40_0000;
    const ENTRIES = 32768;
    for (let n = 0; n < ENTRIES; n++) {
      bench.ram.bytes.writeUInt16LE(n === ENTRIES - 1 ? WRITE : WRITE | 1, TABLE + 16 * n + 12);
      bench.ram.bytes.writeUInt16LE((n + 1) % ENTRIES, TABLE + 16 * n + 14);
    }
    bench.ring.describe(0, { address: GUEST + TABLE, length: 16 * ENTRIES, flags: INDIRECT });
    bench.ring.offer(...Array(16).fill(0));
    events.kicked();
    reserveAndSend(1);
    assert.ok(bench.ring.usedIndex < 16, 'all of it in one turn');
    for (let turn = 0; bench.ring.usedIndex < 16 && turn < 1000; turn++) await new Promise(setImmediate);
    assert.deepEqual(lengths(), Array(16).fill(0));
    given = 1;
    post(1);
    assert.equal(bench.ring.usedElement(16).length, DQBUF);
  });

  it('a paused eventq keeps what was under way, and a reset forgets it', () => {
    for (const reset of [false, true]) {
      events = new EventQueue();
      bench = new Bench({ size: 16 });
      queue = bench.queue();
      given = 0;
      start(1);
      assert.ok(events.reserve(never));
      events.stop();
      send(9);
      if (reset) events.reset();
      queue = bench.queue({ base: 0 });
      events.start(queue);
      assert.deepEqual(lengths(), reset ? [] : [DQBUF]);
      bench.close();
    }
    bench = new Bench();
  });

  it('a starved caller that is told of a reset is not resumed', () => {
    start();
    assert.equal(events.reserve(never), false);
    events.reset();
    post(4);
    assert.equal(events.reserve(never), true);
  });

  it('forgets what waits for a descriptor in vain, and a barrier does not wait for it', async () => {
    start(1);
    const frame = (type: number) => {
      const record = Buffer.alloc(88);
      record.writeUInt32LE(type, 4);
      return record;
    };
    reserveAndSend(1);
    for (const type of [1, 2]) {
      events.overdraw();
      events.sendBuffer(7, frame(type), Buffer.alloc(512));
    }
    events.overdraw();
    events.sendBuffer(8, frame(1), Buffer.alloc(512));
    let passed = false;
    const barrier = events.barrier(10_000).then(() => {
      passed = true;
    });
    events.discard(7, stale.framesOf(1));
    events.discard(8, stale.all);
    post(1);
    await new Promise(setImmediate);
    assert.equal(passed, false, 'the frame of the other queue is still to come');
    post(2);
    await barrier;
    const shown = sent().map(({ bytes }) => [bytes.readUInt32LE(4), bytes.readUInt32LE(12)]);
    assert.deepEqual(shown.slice(1), [[7, 2]], '(session, type) of what came after the first');
  });

  it('knows the events of a subscription', () => {
    const waiting = (type: number, id: number) => {
      const record = Buffer.alloc(8 + 136);
      record.writeUInt32LE(2);
      record.writeUInt32LE(type, 8);
      record.writeUInt32LE(id, 8 + 96);
      return record;
    };
    const is = (type: number, id: number) => stale.eventsOf(type, id)(waiting(3, 5));
    assert.deepEqual([is(3, 5), is(3, 6), is(4, 5), is(0, 0)], [true, false, false, true]);
    assert.equal(stale.framesOf(3)(waiting(3, 5)), false);
  });

  describe('barrier', () => {
    it('passes at once where nothing was sent, or no queue runs', async () => {
      await events.barrier(1000);
      start(4);
      await events.barrier(1000);
    });

    it('passes when the driver has given every descriptor back', async () => {
      start(4);
      reserveAndSend(1);
      reserveAndSend(2);
      let passed = false;
      const barrier = events.barrier(10_000).then(() => {
        passed = true;
      });
      post(1);
      await new Promise(setImmediate);
      assert.equal(passed, false, 'one is still out');
      post(1);
      await barrier;
    });

    it('waits only for what was sent before it', async () => {
      start(4);
      reserveAndSend(1);
      const barrier = events.barrier(10_000);
      reserveAndSend(2);
      post(1);
      await barrier;
    });

    it('ends after 300 ms when the driver keeps them', async () => {
      start(4);
      reserveAndSend(1);
      const started = performance.now();
      await events.barrier(10_000);
      const waited = performance.now() - started;
      assert.ok(waited >= 295 && waited < 1500, `${waited} ms`);
    });

    it('ends earlier when the command has less time left', async () => {
      start(4);
      reserveAndSend(1);
      const started = performance.now();
      await events.barrier(20);
      assert.ok(performance.now() - started < 280);
    });

    it('ends when the queue stops', async () => {
      start(4);
      reserveAndSend(1);
      const barrier = events.barrier(60_000);
      events.stop();
      await barrier;
    });

    it('counts anew for a queue that was started again, with fewer descriptors', async () => {
      start(16);
      reserveAndSend(1);
      events.stop();
      bench.close();
      bench = new Bench({ size: 16 });
      queue = bench.queue();
      given = 0;
      start(2);
      reserveAndSend(2);
      let passed = false;
      const barrier = events.barrier(10_000).then(() => {
        passed = true;
      });
      post(1);
      await new Promise(setImmediate);
      assert.equal(passed, true);
      await barrier;
    });

    it('several pass each at its own time', async () => {
      start(4);
      const order: number[] = [];
      const barriers = [1, 2, 3].map((n) => {
        reserveAndSend(n);
        return events.barrier(10_000).then(() => void order.push(n));
      });
      for (let n = 0; n < 3; n++) {
        post(1);
        await new Promise(setImmediate);
      }
      await Promise.all(barriers);
      assert.deepEqual(order, [1, 2, 3]);
    });

    it('holds for a driver that posts its descriptors late, one after the other', async () => {
      start();
      post(1);
      reserveAndSend(1);
      // The device never had two descriptors at once, so it counts this one as the first one that comes back.
      post(1);
      reserveAndSend(2);
      post(1);
      await events.barrier(10_000);
    });
  });
});
