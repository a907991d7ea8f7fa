/** Every chain is answered within 4 s of its arrival, and never written to later. Over a fake node and a stopped clock. */
import assert from 'node:assert/strict';
import { log } from '../../../src/log.js';
import { buffer, DeviceBench, format, turns, u32 } from './bench.js';
import { pass, startClock, stopClock } from './clock.js';

const EINTR = 4;
const EINVAL = 22;
const ETIMEDOUT = 110;

describe('deadline', () => {
  let bench: DeviceBench;

  before(() => {
    log.silent = true;
  });
  after(() => {
    log.silent = false;
  });
  beforeEach(() => {
    stopClock();
    bench = new DeviceBench();
  });
  afterEach(() => {
    bench.close();
    startClock();
  });

  it('is answered at 4 s when an ioctl hangs, and nothing is written when it ends', async () => {
    bench.start();
    const session = await bench.open();
    const release = bench.node.hold();
    const head = bench.offer(Buffer.concat([u32(3, 0, session, 4), format]), 216);
    // The same session waits behind it; another one does not.
    const behind = bench.offer(Buffer.concat([u32(3, 0, session, 4), format]), 216);
    const other = await bench.open();
    assert.equal((await bench.ioctl(other, 4, format)).status, 0);
    pass(3900);
    await turns();
    assert.deepEqual([bench.answered(head), bench.answered(behind)], [null, null]);
    pass(100);
    await turns();
    assert.deepEqual([bench.answered(head)!.status, bench.answered(head)!.length], [ETIMEDOUT, 8]);
    assert.equal(bench.answered(behind)?.status, ETIMEDOUT);
    assert.equal(
      (await bench.ioctl(session, 4, format)).status,
      ETIMEDOUT,
      'at once: the session is degraded',
    );
    const used = bench.commands.ring.usedIndex;
    release();
    await turns();
    assert.equal(bench.commands.ring.usedIndex, used, 'the late result goes nowhere');
    assert.equal((await bench.ioctl(session, 4, format)).status, 0, 'the session goes on');
  });

  it('extended controls that hang are answered with their echo, and degrade the session too', async () => {
    bench.start();
    const session = await bench.open();
    const release = bench.node.hold();
    const request = Buffer.concat([u32(0, 1, 0, 0, 0, 0, 5, 6), u32(0x0098_0900, 0, 0, 7, 8)]);
    const head = bench.offer(Buffer.concat([u32(3, 0, session, 72), request]), 60);
    pass(4000);
    await turns();
    assert.deepEqual([bench.answered(head)?.status, bench.answered(head)?.payload], [ETIMEDOUT, request]);
    assert.equal((await bench.ioctl(session, 4, format)).status, ETIMEDOUT);
    release();
    await turns();
    assert.equal((await bench.ioctl(session, 4, format)).status, 0);
  });

  it('a queue that stops takes every answer with it: EINTR, and nothing afterwards', async () => {
    bench.start();
    const session = await bench.open();
    const release = bench.node.hold();
    const head = bench.offer(Buffer.concat([u32(3, 0, session, 4), format]), 216);
    await turns();
    bench.device.queueStopped(0);
    assert.deepEqual([bench.answered(head)?.status, bench.commandq.outstanding], [EINTR, 0]);
    bench.commandq.stop();
    const used = bench.commands.ring.usedIndex;
    release();
    await turns();
    assert.equal(bench.commands.ring.usedIndex, used);
  });

  it('a parked MMAP is answered at the deadline, and nothing is mapped for the guest afterwards', async () => {
    bench.transport.errno = null;
    bench.start();
    const session = await bench.open();
    assert.equal((await bench.ioctl(session, 8, u32(1, 1, 1, 0, 0))).status, 0);
    const queried = await bench.ioctl(session, 9, buffer(0));
    const cookie = queried.payload.readUInt32LE(64);
    const head = bench.offer(u32(4, 0, session, 1, cookie), 24);
    await turns();
    assert.equal(bench.transport.waiting, 1);
    pass(4000);
    await turns();
    assert.deepEqual([bench.answered(head)?.status, bench.answered(head)?.length], [ETIMEDOUT, 8]);
    bench.transport.answer(0);
    await turns();
    const again = await bench.command(u32(4, 0, session, 1, cookie), 24);
    assert.equal(again.status, 0);
    const address = again.payload.readBigUInt64LE(0);
    const munmap = () => {
      const raw = Buffer.alloc(8);
      raw.writeBigUInt64LE(address);
      return bench.command(Buffer.concat([u32(5, 0), raw]), 8);
    };
    assert.equal((await munmap()).status, 0);
    await bench.ioctl(session, 8, u32(0, 1, 1, 0, 0));
    assert.equal((await munmap()).status, EINVAL, 'the late mapping left no reference behind');
  });

  it('a STREAMON, a REQBUFS and a SUBSCRIBE_EVENT that end too late are undone', async () => {
    bench.start();
    const session = await bench.open();
    const { file } = bench.node;
    const late = async (nr: number, payload: Buffer, room: number) => {
      const release = bench.node.hold();
      const head = bench.offer(Buffer.concat([u32(3, 0, session, nr), payload]), room);
      pass(4000);
      await turns();
      assert.equal(bench.answered(head)?.status, ETIMEDOUT);
      release();
      await turns(20);
    };
    // The first call of REQBUFS is G_FMT.
    await late(8, u32(2, 1, 1, 0, 0), 28);
    assert.equal(file.buffers.length, 0, 'the guest was told of no buffers');
    assert.equal((await bench.ioctl(session, 8, u32(2, 1, 1, 0, 0))).status, 0);
    assert.equal((await bench.ioctl(session, 15, buffer(0))).status, 0);
    bench.node.held.push(null);
    await late(18, u32(1), 8);
    assert.equal(file.streaming, false, 'the guest believes that it does not stream');
    await late(90, Buffer.concat([u32(3, 7, 0), Buffer.alloc(20)]), 8);
    assert.equal(file.asked(91).length, 1, 'UNSUBSCRIBE_EVENT');
  });

  describe('a QBUF that ends too late', () => {
    let session: number;
    const start = async () => {
      bench.start();
      session = await bench.open();
      assert.equal((await bench.ioctl(session, 8, u32(3, 1, 1, 0, 0))).status, 0);
      assert.equal((await bench.ioctl(session, 15, buffer(0))).status, 0);
      assert.equal((await bench.tell(session, 18, u32(1))).status, 0);
      const release = bench.node.hold();
      const head = bench.offer(Buffer.concat([u32(3, 0, session, 15), buffer(1)]), 96);
      pass(4000);
      await turns();
      assert.equal(bench.answered(head)?.status, ETIMEDOUT);
      release();
      await turns();
      bench.takeEvents();
    };
    const frames = async (count: number) => {
      for (let n = 0; n < count; n++) bench.node.file.frame();
      await turns();
      return bench.takeEvents().map((event) => event.readUInt32LE(8));
    };

    it('is no frame for a guest that believes it has the buffer; the next QBUF is one again', async () => {
      await start();
      assert.deepEqual(await frames(2), [0]);
      assert.equal((await bench.ioctl(session, 15, buffer(1))).status, 0);
      assert.deepEqual(await frames(1), [1]);
    });

    it('and is tried again: it was done', async () => {
      await start();
      assert.equal((await bench.ioctl(session, 15, buffer(1))).status, 0);
      assert.deepEqual(await frames(2), [0, 1]);
    });

    it('with pages of the guest: the driver gives everything back, for the pages are the guest’s again', async () => {
      bench.close();
      bench = new DeviceBench('auto', undefined, { sharedPages: true });
      bench.start();
      session = await bench.open();
      const [USERPTR, PAGES] = [2, 0x10_0000];
      assert.equal((await bench.ioctl(session, 8, u32(3, 1, USERPTR, 0, 0))).status, 0);
      const given = (index: number) => {
        const record = buffer(index);
        record.writeUInt32LE(USERPTR, 60);
        record.writeUInt32LE(1000, 72);
        const entry = u32(bench.commands.put(PAGES + 4096 * index, Buffer.alloc(1000)), 0, 1000, 0);
        return Buffer.concat([u32(3, 0, session, 15), record, entry]);
      };
      assert.equal((await bench.command(given(0), 96)).status, 0);
      assert.equal((await bench.tell(session, 18, u32(1))).status, 0);
      const release = bench.node.hold();
      const head = bench.offer(given(1), 96);
      pass(4000);
      await turns();
      assert.equal(bench.answered(head)?.status, ETIMEDOUT);
      assert.equal(bench.node.file.asked(19).length, 0);
      release();
      await turns(20);
      assert.equal(bench.node.file.asked(19).length, 1, 'STREAMOFF');
      const ERROR = 0x40;
      const events = bench
        .takeEvents()
        .map((event) => [event.readUInt32LE(8), event.readUInt32LE(20) & ERROR]);
      assert.deepEqual(events, [[0, ERROR]]);
    });
  });
});
