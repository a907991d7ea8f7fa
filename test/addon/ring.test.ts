/**
 * Rings of the addon without a node: what a ring answers to nonsense from the loop, and that a ring without memory, or
 * after its end, touches none. The node is /dev/null, whose ioctls all answer ENOTTY.
 */
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { native } from '../../src/native.js';
import { FlatKind, type NativeRing, RingFlags } from '../../src/native-ring.js';
import { Bench, GUEST } from '../unit/virtio/bench.js';
import { WRITE } from '../unit/virtio/driver.js';
import { close, open } from './support/node-file.js';
import { anything, pick, random, SEED } from './support/nonsense.js';
import { eventually, openDescriptors, threads } from './support/process.js';

const LIMITS = [1 << 20, 32768, 2 ** 32] as const;
const ENOTTY = 25;
const EINTR = 4;
const G_INPUT = 38;
/** Bytes of 256 rules. */
const RULES = 5120;
const SESSION = 7;
/** Milliseconds: deadline, last write, patience of the guest. */
const TIMES = [4000, 4500, 5000] as const;

describe(`addon: rings (seed ${SEED})`, () => {
  let bench: Bench;
  beforeEach(() => {
    bench = new Bench({ size: 16 });
  });
  afterEach(() => bench.close());

  const made = (flags: number = RingFlags.INDIRECT) =>
    new native.Ring(bench.memory.native, 16, flags, ...LIMITS);
  const bound = () => {
    const ring = made();
    const { descriptors, available, used } = bench.rings;
    ring.bind(descriptors, available, used);
    ring.start(0, 0);
    return ring;
  };
  const use = (ring: NativeRing, names: readonly string[]) => {
    for (let round = 0; round < 5000; round++) {
      const name = pick(names);
      const rest = Array.from({ length: random(6) }, () => anything());
      try {
        (ring as unknown as Record<string, (...rest: unknown[]) => unknown>)[name]!(...rest);
      } catch (error) {
        assert.ok(error instanceof Error, `${name}: ${String(error)}`);
      }
    }
  };
  const methods = Object.getOwnPropertyNames(native.Ring.prototype).filter((name) => name !== 'constructor');

  it('answer nonsense with a value or an error', () => {
    const before = openDescriptors();
    for (const ring of [made(), bound()]) {
      bench.ring.describe(0, { address: GUEST, length: 8 });
      bench.ring.offer(0);
      use(
        ring,
        // Numbers that are descriptors of the test runner must not be given away.
        methods.filter((name) => !['stop', 'serve', 'setKick', 'setCall'].includes(name)),
      );
      ring.stop();
      use(ring, [
        'waiting',
        'walk',
        'take',
        'refuse',
        'push',
        'enableKicks',
        'takeNotification',
        'reply',
        'start',
      ]);
    }
    assert.equal(openDescriptors(), before);
  });

  it('refuse sizes, limits and memory that are none', () => {
    for (const wrong of [0, 3, 65536, -1, 1.5, Number.NaN])
      assert.throws(() => new native.Ring(bench.memory.native, wrong, 0, ...LIMITS), TypeError);
    assert.throws(() => new native.Ring({} as never, 16, 0, ...LIMITS), TypeError);
    const { descriptors, available, used } = bench.rings;
    const ring = made();
    assert.throws(() => ring.bind(descriptors.subarray(16), available, used), TypeError);
    assert.throws(() => ring.bind(descriptors, available.subarray(4), used), TypeError);
    assert.throws(() => ring.bind(descriptors, available, used.subarray(2)), TypeError);
    assert.deepEqual([ring.waiting(), ring.walk(8), ring.enableKicks()], [0, 0, false]);
  });

  it('do nothing in memory that guest memory no longer has', () => {
    const ring = bound();
    bench.ring.describe(0, { address: GUEST, length: 8 });
    bench.ring.offer(0);
    bench.memory.close();
    assert.equal(ring.waiting(), 1, 'the ring itself stays mapped until it is bound anew');
    ring.walk(8);
    assert.match(ring.why(), /not in guest memory/);
    ring.stop();
  });

  it('are answered by threads, and are the loop’s again for a command that is none of theirs', async () => {
    const before = [openDescriptors(), threads()];
    const [kick, call] = [native.eventFd(), native.eventFd()];
    const file = new native.NodeFile(() => undefined);
    assert.equal(await open(file, '/dev/null'), 0);
    const table = new native.CommandTable(new Uint8Array(RULES));
    table.add(SESSION, file, new Uint8Array(256).fill(FlatKind.PAYLOAD));
    const ring = bound();
    ring.setCall(call);
    let woken = 0;
    ring.serve(table, kick, ...TIMES, 3, () => {
      woken++;
    });
    file.release();
    // A chain whose kick the loop has taken: the threads look at the ring without one.
    const waits = Buffer.from(Uint32Array.of(3, 0, SESSION, G_INPUT).buffer);
    const answered = { address: bench.put(0x8100, Buffer.alloc(64)), length: 64, flags: WRITE };
    bench.ring.chain(12, [{ address: bench.put(0x8000, waits), length: waits.length }], [answered]);
    bench.ring.offer(12);
    ring.lend();
    assert.equal(ring.isLent(), true);
    assert.ok(await eventually(() => bench.ring.usedIndex === 1), 'nobody looks at the ring');
    const ask = async (index: number, words: readonly number[]) => {
      const bytes = Buffer.from(Uint32Array.from(words).buffer);
      const answer = { address: bench.put(1024 * index + 512, Buffer.alloc(64)), length: 64, flags: WRITE };
      bench.ring.chain(
        2 * index,
        [{ address: bench.put(1024 * index, bytes), length: bytes.length }],
        [answer],
      );
      const used = bench.ring.usedIndex;
      bench.ring.offer(2 * index);
      native.signal(kick);
      await eventually(() => bench.ring.usedIndex !== used || !ring.isLent(), 1000);
      return bench.ring.usedIndex === used ? undefined : bench.seen(1024 * index + 512, 8).readUInt32LE();
    };
    for (let round = 0; round < 50; round++)
      assert.equal(await ask(round % 4, [3, 0, SESSION, G_INPUT]), ENOTTY, `${round}`);
    assert.ok(Number(native.drain(call)) > 0, 'the driver was not called');
    assert.equal(woken, 0);
    // The loop has the file: the command waits in the ring, for the loop.
    assert.equal(file.hold(), true);
    assert.equal(await ask(0, [3, 0, SESSION, G_INPUT]), undefined);
    assert.deepEqual([ring.isLent(), ring.waiting()], [false, 1]);
    assert.ok(await eventually(() => woken > 0));
    ring.interrupt(EINTR);
    ring.stop();
    await close(file);
    for (const fd of [kick, call]) closeSync(fd);
    assert.ok(await eventually(() => threads() <= before[1]!), 'threads are left');
    assert.ok(await eventually(() => openDescriptors() === before[0]), 'descriptors are left');
  });

  it('have plans of good numbers only', async () => {
    const file = new native.NodeFile(() => undefined);
    assert.equal(await open(file, '/dev/null'), 0);
    const ring = bound();
    const plan = (numbers: readonly number[], regions: object[] = []) =>
      file.plan(ring, new Uint8Array(Uint32Array.from(numbers).buffer), regions);
    const header = [SESSION, 0, 1];
    const queue = [1, 1, 1, 0xffff_ffff];
    const good = [...header, ...queue, 1, 0, 1, 4096, 0, 0, 0, 0, 1, 0];
    plan(good);
    assert.deepEqual(file.takePlan(), [[[Buffer.from([0]), null]], []]);
    assert.equal(file.takePlan(), undefined);
    for (const numbers of [
      good.slice(0, -1),
      [...header, ...queue, 65],
      [...header, ...queue, 1, 0, 9],
      [...header, ...queue, 1, 0, 2, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0],
      good.with(good.length - 1, 1),
      good.with(good.length - 2, 2),
      good.with(2, 0),
      good.with(2, 2),
      good.with(2, 3),
      good.with(5, 4),
      good.with(5, 2),
      good.with(12, 1),
    ])
      assert.throws(() => plan(numbers), TypeError, String(numbers));
    for (let round = 0; round < 2000; round++) {
      try {
        file.plan(anything() as never, anything() as never, anything() as never);
      } catch (error) {
        assert.ok(error instanceof TypeError, String(error));
      }
    }
    assert.equal(file.takePlan(), undefined);
    ring.stop();
    await close(file);
  });
});
