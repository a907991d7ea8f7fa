/** A guest repeats a call on a queue after an early answer, or makes another one. The node is a fake. */
import assert from 'node:assert/strict';
import { buffer, turns, u32 } from './bench.js';
import type { Interruption, LateStage } from './support/late-stage.js';
import { lateSuite } from './support/late-suite.js';

const [REQBUFS, QBUF, STREAMON, STREAMOFF, CREATE_BUFS] = [8, 15, 18, 19, 92];
const QUERYBUF = 9;
const EBUSY = 16;
const CAPTURE = 1;
const MMAP = 1;
const ways: readonly Interruption[] = ['EINTR', 'ETIMEDOUT'];

describe('late calls on a queue', () => {
  let stage: LateStage;
  const { open, ioctl, streamOn, late, frames, finish } = lateSuite((made) => {
    stage = made;
  });

  for (const by of ways) {
    describe(`STREAMON, ${by}`, () => {
      it('tried again streams with the buffers that are queued, and no frame comes before its answer', async () => {
        await open(2);
        for (const index of [0, 1]) await ioctl(QBUF, buffer(index));
        await late(STREAMON, u32(CAPTURE), by);
        const { file } = stage.bench.node;
        file.frame();
        await turns(20);
        assert.deepEqual(frames(), [], 'the guest believes that it does not stream');
        await streamOn();
        await finish();
        assert.deepEqual(
          frames(),
          [0, 1].map((index) => [index, false]),
        );
        assert.deepEqual([file.asked(STREAMON).length, file.asked(STREAMOFF).length], [1, 0]);
      });

      it('of a stream that runs leaves it running', async () => {
        await open(2);
        for (const index of [0, 1]) await ioctl(QBUF, buffer(index));
        await streamOn();
        await late(STREAMON, u32(CAPTURE), by);
        await finish();
        assert.equal(frames().length, 2);
      });
    });

    describe(`CREATE_BUFS, ${by}`, () => {
      const create = (count: number) => {
        const record = Buffer.alloc(256);
        record.set(u32(0, count, MMAP, 0, CAPTURE));
        record.writeUInt32LE(1000, 16 + 8 + 20);
        return record;
      };
      for (const count of [1, 0])
        it(`of ${count}: the buffers of before are there, and others come behind them`, async () => {
          await open(4);
          await late(CREATE_BUFS, create(count), by);
          assert.equal((await ioctl(QUERYBUF, buffer(0))).status, 0);
          const { status, payload } = await ioctl(CREATE_BUFS, create(1));
          assert.deepEqual([status, payload.readUInt32LE(0)], [0, 4 + count]);
        });

      it('of a stream that runs: its frames come, and its memory is nobody else’s', async () => {
        await open(2);
        for (const index of [0, 1]) await ioctl(QBUF, buffer(index));
        await streamOn();
        await late(CREATE_BUFS, create(1), by);
        const slots = [...stage.record.queues.get(CAPTURE)!.buffers.values()].flatMap(({ planes }) => planes);
        assert.ok(slots.every(({ slot }) => slot));
        await finish();
        assert.equal(frames().length, 2);
        stage.compare();
      });
    });

    it(`STREAMOFF, ${by}: a guest that believes in the stream gets its buffers, as damaged ones`, async () => {
      await open(2);
      for (const index of [0, 1]) await ioctl(QBUF, buffer(index));
      await streamOn();
      await late(STREAMOFF, u32(CAPTURE), by);
      assert.deepEqual(
        frames(),
        [0, 1].map((index) => [index, true]),
      );
      assert.equal((await stage.bench.tell(stage.session, STREAMOFF, u32(CAPTURE))).status, 0);
      assert.equal(stage.bench.node.file.asked(STREAMOFF).length, 1);
    });
  }

  it('a retry that is interrupted too changes nothing: no buffer comes twice', async () => {
    await open(2);
    for (const index of [0, 1]) await ioctl(QBUF, buffer(index));
    await streamOn();
    await late(STREAMOFF, u32(CAPTURE), 'EINTR');
    // The answer waits, because the guest has not given the events back yet.
    const head = stage.bench.offer(stage.request(STREAMOFF, u32(CAPTURE)), 8);
    await turns();
    assert.equal(stage.bench.answered(head), null);
    stage.interrupt('EINTR');
    await turns();
    assert.equal(stage.bench.answered(head)?.status, 4);
    assert.equal(frames().length, 2);
    assert.equal((await stage.bench.tell(stage.session, STREAMOFF, u32(CAPTURE))).status, 0);
    await turns();
    assert.equal(frames().length, 0);
    assert.equal(stage.bench.node.file.asked(STREAMOFF).length, 1);
  });

  it('a REQBUFS that a stream refuses is refused again, without asking', async () => {
    await open(1);
    stage.bench.node.ioctls.set(REQBUFS, () => EBUSY);
    await late(REQBUFS, u32(2, CAPTURE, MMAP, 0, 0), 'EINTR');
    assert.equal((await ioctl(REQBUFS, u32(2, CAPTURE, MMAP, 0, 0))).status, EBUSY);
    assert.equal(stage.executed, 1);
    stage.compare();
  });
});
