/** Each chain is answered within 4 s of its arrival and never written to later. Node and clock are fakes. */
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
    // The next command of the same session waits behind the first. Another session does not wait.
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
});
