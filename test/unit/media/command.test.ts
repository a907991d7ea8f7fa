/** A command from its arrival to its only answer, with a real queue over test RAM. */
import assert from 'node:assert/strict';
import { Command, guard } from '../../../src/media/commands/command.js';
import { Sequence } from '../../../src/media/commands/sequence.js';
import type { Queue } from '../../../src/virtio/queue.js';
import { readablePool } from '../../../src/virtio/readable-pool.js';
import { Bench } from '../virtio/bench.js';

const ETIMEDOUT = 110;
const EINTR = 4;

describe('command', () => {
  let bench: Bench;
  let queue: Queue;
  let answered: Command[];

  beforeEach(() => {
    bench = new Bench();
    queue = bench.queue();
    answered = [];
  });
  afterEach(() => bench.close());

  /** A command of 4 readable bytes with `room` writable bytes. */
  const arrive = (room = 64): Command => {
    const request = { address: bench.put(0, Buffer.from([1, 2, 3, 4])), length: 4 };
    bench.put(512, Buffer.alloc(256, 0xa5));
    bench.ring.chain(
      0,
      [request],
      room > 0 ? [{ address: bench.put(512, Buffer.alloc(0)), length: room }] : [],
    );
    bench.ring.offer(0);
    const chain = queue.pop();
    assert.ok(chain);
    return new Command(queue, chain, (command) => answered.push(command));
  };
  const written = (length: number) => bench.seen(512, length).toString('hex');

  /** A command of so many readable bytes that its buffer comes from the pool. */
  const arriveLong = (): Command => {
    const length = 100_000;
    bench.ring.chain(0, [{ address: bench.put(1024, Buffer.alloc(length, 7)), length }], []);
    bench.ring.offer(0);
    return new Command(queue, queue.pop()!, (command) => answered.push(command));
  };

  it('a long request goes back to its pool with the answer, or with the end of the task that answers it', async () => {
    const alone = arriveLong();
    const before = readablePool.waiting;
    alone.answer({ status: 22 });
    assert.equal(readablePool.waiting, before + 1);
    const queued = arriveLong();
    queued.borrow(100_000);
    const without = readablePool.waiting;
    const sequence = new Sequence(() => null, 1);
    const waiting: number[] = [];
    const task = guard(queued, async () => {
      queued.answer({ status: 0 });
      await Promise.resolve();
      waiting.push(readablePool.waiting - without);
    });
    queued.waits(sequence, task);
    sequence.add(task);
    await sequence.over();
    assert.deepEqual([...waiting, readablePool.waiting - without], [0, 2]);
  });

  it('a long request that was interrupted is never used again: its work may go on', async () => {
    const command = arriveLong();
    const sequence = new Sequence(() => null, 1);
    const task = guard(command, async () => command.interrupt(EINTR));
    command.waits(sequence, task);
    sequence.add(task);
    await sequence.over();
    command.borrow(100_000);
    const before = readablePool.waiting;
    command.release();
    assert.equal(readablePool.waiting, before);
  });

  it('is answered with a header, what follows it, and the length of both', () => {
    const command = arrive();
    assert.equal(command.request.toString('hex'), '01020304');
    assert.equal(command.answered, false);
    command.answer({ status: 0, payload: [Buffer.from('aabb', 'hex'), Buffer.from('cc', 'hex')] });
    assert.deepEqual(bench.ring.usedElement(0), { id: 0, length: 11 });
    assert.equal(written(12), '0000000000000000aabbcca5');
    assert.deepEqual([command.answered, answered, bench.notifications], [true, [command], 1]);
  });

  it('a status is a positive errno in four bytes', () => {
    arrive().answer({ status: 25 });
    assert.deepEqual([bench.ring.usedElement(0).length, written(9)], [8, '1900000000000000a5']);
  });

  it('is answered once: what comes later goes nowhere', () => {
    const command = arrive();
    command.answer({ status: 0 });
    bench.put(512, Buffer.alloc(64, 0xee));
    command.answer({ status: 5, payload: [Buffer.alloc(16, 1)] });
    command.interrupt(EINTR);
    assert.deepEqual([bench.ring.usedIndex, answered.length, bench.notifications], [1, 1, 1]);
    assert.ok(bench.seen(512, 64).every((byte) => byte === 0xee));
  });

  it('nothing is written to a queue that has stopped', () => {
    const command = arrive();
    queue.stop();
    command.answer({ status: 0, payload: [Buffer.alloc(8, 1)] });
    assert.equal(bench.ring.usedIndex, 0);
  });

  it('a writable part that is too short gets the prefix', () => {
    for (const room of [0, 1, 7, 8, 9]) {
      bench.close();
      bench = new Bench();
      queue = bench.queue();
      arrive(room).answer({ status: 22, payload: [Buffer.alloc(8, 0xff)] });
      assert.equal(bench.ring.usedElement(0).length, room);
      const whole = '1600000000000000ffffffffffffffff';
      assert.equal(written(16), whole.slice(0, 2 * room) + 'a5'.repeat(16 - room));
    }
  });

  it('interrupted, it answers the errno alone', () => {
    arrive().interrupt(EINTR);
    assert.deepEqual([bench.ring.usedElement(0).length, written(8)], [8, '0400000000000000']);
  });

  it('interrupted, it answers what its work left for that, and says so', () => {
    const command = arrive();
    let late = 0;
    command.onLate(
      (status) => ({ status, payload: [Buffer.from('beef', 'hex')] }),
      () => late++,
    );
    command.interrupt(ETIMEDOUT);
    assert.deepEqual([bench.ring.usedElement(0).length, written(10), late], [10, '6e00000000000000beef', 1]);
    command.interrupt(ETIMEDOUT);
    assert.equal(late, 1);
  });

  it('answered in time, nobody hears of a deadline', () => {
    const command = arrive();
    command.onLate(
      (status) => ({ status }),
      () => assert.fail('it was not late'),
    );
    command.answer({ status: 0 });
    command.interrupt(ETIMEDOUT);
    assert.equal(written(4), '00000000');
  });

  /** Lets time pass without running timers, as if the process had been stopped. */
  const after = <T>(ms: number, run: () => T): T => {
    const { now } = performance;
    const later = now.call(performance) + ms;
    performance.now = () => later;
    try {
      return run();
    } finally {
      performance.now = now;
    }
  };

  it('has four seconds from its arrival, and never less than none', () => {
    const command = arrive();
    assert.ok(command.remaining > 3900 && command.remaining <= 4000, `${command.remaining}`);
    after(5000, () => assert.equal(command.remaining, 0));
  });

  it('older than 4.5 s comes back without a byte', () => {
    const command = arrive();
    after(4600, () => command.answer({ status: 0, payload: [Buffer.alloc(8, 1)] }));
    assert.deepEqual(bench.ring.usedElement(0), { id: 0, length: 0 });
    assert.deepEqual([written(4), queue.outstanding, answered], ['a5a5a5a5', 0, [command]]);
  });

  it('older than 5 s does not come back, and its ring goes on behind it', () => {
    const command = arrive();
    after(5100, () => command.interrupt(ETIMEDOUT));
    assert.deepEqual([bench.ring.usedIndex, written(4), answered.length], [0, 'a5a5a5a5', 1]);
    assert.deepEqual([queue.outstanding, queue.lost], [0, 1]);
    queue.stop();
    queue = bench.queue({ base: queue.nextAvailable, lost: queue.lost });
    arrive().answer({ status: 0 });
    assert.equal(bench.ring.usedIndex, 1);
  });

  it('lets go of what waits with it, once it is answered', () => {
    const sequence = new Sequence(() => null, 1);
    sequence.add(() => new Promise(() => undefined));
    const command = arrive();
    const task = async () => assert.fail('it is answered');
    command.waits(sequence, task);
    sequence.add(task);
    assert.equal(sequence.waiting, 1);
    command.interrupt(EINTR);
    assert.equal(sequence.waiting, 0);
  });
});
