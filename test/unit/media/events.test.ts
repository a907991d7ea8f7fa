/** The eventq with a real queue over test RAM. The test plays the driver. */
import assert from 'node:assert/strict';
import { EventQueue, stale } from '../../../src/media/events/eventq.js';
import { Bench, GUEST } from '../virtio/bench.js';
import { INDIRECT, WRITE } from '../virtio/driver.js';
import { DQBUF, type EventqStage, eventqSuite, never } from './support/eventq-stage.js';

const EVENT = 144;

describe('events', () => {
  let stage: EventqStage;
  eventqSuite((made) => {
    stage = made;
  });

  it('DQBUF is 608 bytes, EVENT 144, with header and session', () => {
    stage.start(2);
    stage.reserveAndSend(0x11);
    assert.ok(stage.events.reserve(never));
    stage.events.sendEvent(0x1234_5678, Buffer.alloc(136, 0x22));
    const [first, second] = stage.sent();
    assert.deepEqual([first!.length, second!.length], [DQBUF, EVENT]);
    assert.equal(first!.bytes.subarray(0, 8).toString('hex'), '0100000007000000');
    assert.ok(first!.bytes.subarray(8).every((byte) => byte === 0x11));
    assert.equal(second!.bytes.subarray(0, 8).toString('hex'), '0200000078563412');
    assert.ok(second!.bytes.subarray(8, EVENT).every((byte) => byte === 0x22));
    assert.ok(second!.bytes.subarray(EVENT).every((byte) => byte === 0));
  });

  it('a slot is promised once: reservations count before anything is sent', () => {
    stage.start(2);
    assert.deepEqual([stage.events.reserve(never), stage.events.reserve(never)], [true, true]);
    let resumed = 0;
    assert.equal(
      stage.events.reserve(() => resumed++),
      false,
    );
    stage.send(1);
    assert.equal(
      stage.events.reserve(() => resumed++),
      false,
      'the other one is still promised',
    );
    assert.equal(resumed, 0);
    stage.events.release();
    assert.equal(resumed, 2, 'a promise that was not used frees a slot');
    assert.equal(stage.events.reserve(never), true);
  });

  it('whoever found none free is resumed by the next kick, once, in order', () => {
    stage.start();
    const order: string[] = [];
    const [first, second, third] = ['first', 'second', 'third'].map((name) => () => void order.push(name));
    for (const resume of [first!, second!, first!, third!]) assert.equal(stage.events.reserve(resume), false);
    stage.events.forget(second!);
    stage.events.kicked();
    assert.deepEqual(order, [], 'nothing has come');
    stage.post(1);
    assert.deepEqual(order, ['first', 'third']);
    stage.post(1);
    assert.deepEqual(order, ['first', 'third'], 'they ask again if they want more');
  });

  it('what is resumed may reserve, and starve again', () => {
    stage.start();
    let served = 0;
    const serve = (): void => {
      while (stage.events.reserve(serve)) stage.send(++served);
    };
    serve();
    for (let n = 1; n <= 5; n++) {
      stage.post(1);
      assert.equal(served, n);
    }
    stage.post(3);
    assert.equal(served, 8);
    assert.deepEqual(stage.lengths(), Array(8).fill(DQBUF));
  });

  for (const [what, length, flags] of [
    ['too small', DQBUF - 1, WRITE],
    ['tiny', 1, WRITE],
    ['readable', DQBUF, 0],
  ] as const)
    it(`a descriptor that is ${what} goes back empty, and the event waits for a good one`, () => {
      stage.start();
      stage.post(2, length, flags);
      stage.reserveAndSend(0x33);
      assert.deepEqual(stage.lengths(), [0, 0]);
      assert.ok(
        stage.sent().every(({ bytes }) => bytes.every((byte) => byte === 0)),
        'nothing was written',
      );
      stage.post(1);
      assert.deepEqual(stage.lengths(), [0, 0, DQBUF]);
      assert.ok(stage.bench.seen(1024 * 2 + 8, 600).every((byte) => byte === 0x33));
    });

  it('malformed chains between good ones lose nothing and keep the order', () => {
    stage.start();
    const lost = (): void => {
      stage.bench.ring.describe(15, { address: 0, length: DQBUF, flags: WRITE });
      stage.bench.ring.offer(15);
    };
    lost();
    lost();
    stage.post(1, 100);
    assert.equal(stage.events.reserve(never), true);
    assert.equal(stage.events.reserve(never), true);
    stage.send(1);
    stage.send(2);
    assert.deepEqual(stage.lengths(), [0, 0, 0]);
    lost();
    stage.post(1);
    lost();
    stage.post(1);
    assert.deepEqual(stage.lengths(), [0, 0, 0, 0, DQBUF, 0, DQBUF]);
    const marks = stage.sent().filter(({ length }) => length > 0);
    assert.deepEqual(
      marks.map(({ bytes }) => bytes[8]),
      [1, 2],
    );
  });

  it('events that wait go before new ones, and nobody gets their slots', () => {
    stage.start();
    stage.post(1, 8);
    stage.reserveAndSend(1);
    let resumed = 0;
    assert.equal(
      stage.events.reserve(() => resumed++),
      false,
    );
    stage.post(1);
    assert.equal(resumed, 0, 'the waiting event has taken it');
    stage.post(1);
    assert.equal(resumed, 1);
    stage.reserveAndSend(2);
    assert.deepEqual(stage.lengths(), [0, DQBUF, DQBUF]);
  });

  it('a ring of nothing but long bad chains is looked at turn by turn, and the event gets its descriptor', async () => {
    stage.start();
    const TABLE = 0x40_0000;
    const ENTRIES = 32768;
    for (let n = 0; n < ENTRIES; n++) {
      stage.bench.ram.bytes.writeUInt16LE(n === ENTRIES - 1 ? WRITE : WRITE | 1, TABLE + 16 * n + 12);
      stage.bench.ram.bytes.writeUInt16LE((n + 1) % ENTRIES, TABLE + 16 * n + 14);
    }
    stage.bench.ring.describe(0, { address: GUEST + TABLE, length: 16 * ENTRIES, flags: INDIRECT });
    stage.bench.ring.offer(...Array(16).fill(0));
    stage.events.kicked();
    stage.reserveAndSend(1);
    assert.ok(stage.bench.ring.usedIndex < 16, 'all of it in one turn');
    for (let turn = 0; stage.bench.ring.usedIndex < 16 && turn < 1000; turn++)
      await new Promise(setImmediate);
    assert.deepEqual(stage.lengths(), Array(16).fill(0));
    stage.given = 1;
    stage.post(1);
    assert.equal(stage.bench.ring.usedElement(16).length, DQBUF);
  });

  it('a paused eventq keeps what was under way, and a reset forgets it', () => {
    for (const reset of [false, true]) {
      stage.events = new EventQueue();
      stage.bench = new Bench({ size: 16 });
      stage.queue = stage.bench.queue();
      stage.given = 0;
      stage.start(1);
      assert.ok(stage.events.reserve(never));
      stage.events.stop();
      stage.send(9);
      if (reset) stage.events.reset();
      stage.queue = stage.bench.queue({ base: 0 });
      stage.events.start(stage.queue);
      assert.deepEqual(stage.lengths(), reset ? [] : [DQBUF]);
      stage.bench.close();
    }
    stage.bench = new Bench();
  });

  it('a starved caller that is told of a reset is not resumed', () => {
    stage.start();
    assert.equal(stage.events.reserve(never), false);
    stage.events.reset();
    stage.post(4);
    assert.equal(stage.events.reserve(never), true);
  });

  it('forgets what waits for a descriptor in vain, and a barrier does not wait for it', async () => {
    stage.start(1);
    const frame = (type: number) => {
      const record = Buffer.alloc(88);
      record.writeUInt32LE(type, 4);
      return record;
    };
    stage.reserveAndSend(1);
    for (const type of [1, 2]) {
      stage.events.overdraw();
      stage.events.sendBuffer(7, frame(type), Buffer.alloc(512));
    }
    stage.events.overdraw();
    stage.events.sendBuffer(8, frame(1), Buffer.alloc(512));
    let passed = false;
    const barrier = stage.events.barrier(10_000).then(() => {
      passed = true;
    });
    stage.events.discard(7, stale.framesOf(1));
    stage.events.discard(8, stale.all);
    stage.post(1);
    await new Promise(setImmediate);
    assert.equal(passed, false, 'the frame of the other queue is still to come');
    stage.post(2);
    await barrier;
    const shown = stage.sent().map(({ bytes }) => [bytes.readUInt32LE(4), bytes.readUInt32LE(12)]);
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
});
