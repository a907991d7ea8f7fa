/** The device as a whole over a fake node: deadlines, turns, limits, order of answers and events. */
import assert from 'node:assert/strict';
import { mock } from 'node:test';
import { log } from '../../../src/log.js';
import { DeviceBench, turns, u32 } from './bench.js';

const EINTR = 4;
const EBADF = 9;
const ENODEV = 19;
const EINVAL = 22;
const EMFILE = 24;
const ETIMEDOUT = 110;
const format = u32(1, ...Array(51).fill(0));
const buffer = (index: number) => {
  const raw = Buffer.alloc(88);
  raw.writeUInt32LE(index, 0);
  raw.writeUInt32LE(1, 4);
  raw.writeUInt32LE(1, 60);
  return raw;
};

describe('media device', () => {
  let bench: DeviceBench;

  let later = 0;
  const now = performance.now.bind(performance);

  before(() => {
    log.silent = true;
  });
  after(() => {
    log.silent = false;
  });
  beforeEach(() => {
    later = 0;
    performance.now = () => now() + later;
    mock.timers.enable({ apis: ['setTimeout'] });
    bench = new DeviceBench();
  });
  afterEach(() => {
    bench.close();
    mock.timers.reset();
    performance.now = now;
  });

  /** That much time passes. */
  const pass = (ms: number) => {
    later += ms;
    mock.timers.tick(ms);
  };

  const stream = async (session: number, count: number) => {
    assert.equal((await bench.ioctl(session, 8, u32(count, 1, 1, 0, 0))).status, 0);
    for (let index = 0; index < count; index++)
      assert.equal((await bench.ioctl(session, 15, buffer(index))).status, 0);
    assert.equal((await bench.tell(session, 18, u32(1))).status, 0);
  };

  it('says what the node is, less what a guest has no calls for', () => {
    const { config } = bench.device;
    assert.equal(config.length, 40);
    const raw = Buffer.from(config);
    assert.equal(raw.readUInt32LE(0), 0x0420_0001, 'READWRITE is gone');
    assert.equal(raw.readUInt32LE(4), 0);
    assert.equal(raw.subarray(8).toString('latin1'), `a fake card${'\0'.repeat(21)}`);
  });

  it('takes commands and event buffers that were there before it started', async () => {
    const head = (() => {
      bench.commands.ring.chain(
        0,
        [{ address: bench.commands.put(0, u32(1, 0)), length: 8 }],
        [{ address: bench.commands.put(4096, Buffer.alloc(16)), length: 16 }],
      );
      bench.commands.ring.offer(0);
      return 0;
    })();
    bench.start();
    await turns();
    assert.deepEqual(bench.commands.ring.usedElement(0), { id: head, length: 16 });
  });

  it('the answers of QBUF and STREAMON come before the frame that they cause', async () => {
    bench.start();
    const session = await bench.open();
    assert.equal((await bench.ioctl(session, 8, u32(1, 1, 1, 0, 0))).status, 0);
    await bench.ioctl(session, 15, buffer(0));
    bench.node.ioctls.set(18, () => {
      // The frame is there before the ioctl returns.
      bench.node.file.streaming = true;
      bench.node.file.frame();
      return 0;
    });
    const head = bench.offer(Buffer.concat([u32(3, 0, session, 18), u32(1)]), 8);
    let answeredFirst: boolean | undefined;
    for (let n = 0; n < 50 && answeredFirst === undefined; n++) {
      await new Promise(setImmediate);
      const [answer, events] = [bench.answered(head), bench.events.ring.usedIndex];
      if (answer || events > 0) answeredFirst = answer !== null;
    }
    assert.equal(answeredFirst, true);
    await turns();
    const [event] = bench.takeEvents();
    assert.deepEqual([event!.length, event!.readUInt32LE(0), event!.readUInt32LE(4)], [608, 1, session]);
  });

  it('an initial event comes before the answer of SUBSCRIBE_EVENT', async () => {
    bench.start();
    const session = await bench.open();
    const event = Buffer.alloc(136, 0x44);
    bench.node.ioctls.set(90, () => {
      bench.node.file.events.push(event);
      return 0;
    });
    const head = bench.offer(Buffer.concat([u32(3, 0, session, 90, 3, 7, 1), Buffer.alloc(20)]), 8);
    while (!bench.answered(head)) {
      await new Promise(setImmediate);
      if (bench.events.ring.usedIndex > 0) break;
    }
    assert.equal(bench.events.ring.usedIndex, 1, 'before the answer, or with it');
    const sent = bench.takeEvents()[0]!;
    assert.equal(sent.length, 144);
    assert.equal(sent.readUInt32LE(8 + 4), 0, 'padding of the kernel does not cross');
  });

  it('STREAMOFF is answered when the driver has given back the frames that were sent before', async () => {
    bench.start();
    const session = await bench.open();
    await stream(session, 3);
    bench.node.file.frame();
    await turns();
    assert.equal(bench.events.ring.usedIndex, 1);
    const head = bench.offer(Buffer.concat([u32(3, 0, session, 19), u32(1)]), 8);
    await turns(20);
    assert.equal(bench.answered(head), null, 'the event is still with the driver');
    bench.takeEvents();
    await turns();
    assert.equal(bench.answered(head)?.status, 0);
  });

  it('the watcher waits for buffers only while there are some and the stream is on', async () => {
    bench.start();
    const session = await bench.open();
    const { file } = bench.node;
    const IN = 1;
    await stream(session, 2);
    await turns();
    assert.equal(file.watched.at(-1)! & IN, IN);
    await bench.tell(session, 19, u32(1));
    assert.equal(file.watched.at(-1)! & IN, 0);
    const before = file.watched.length;
    await bench.ioctl(session, 8, u32(0, 1, 1, 0, 0));
    assert.ok(
      file.watched.slice(before).every((mask) => (mask & IN) === 0),
      'never armed without buffers',
    );
  });

  it('a frame for which the guest has no descriptor stays in the kernel until it has', async () => {
    bench.start(0);
    const session = await bench.open();
    await stream(session, 2);
    bench.node.file.frame();
    bench.node.file.frame();
    await turns();
    assert.deepEqual(bench.node.file.done, [0, 1], 'DQBUF was not called');
    bench.postEvents(1);
    await turns();
    assert.deepEqual(bench.node.file.done, [1]);
    bench.postEvents(1);
    await turns();
    assert.deepEqual(
      bench.takeEvents().map((event) => event.readUInt32LE(8)),
      [0, 1],
    );
  });

  it('a node that is unplugged: queued buffers come back with the ERROR flag, every command is ENODEV', async () => {
    bench.start();
    const session = await bench.open();
    await stream(session, 2);
    bench.node.file.ready(0x10);
    await turns();
    const flags = bench.takeEvents().map((event) => [event.readUInt32LE(8), event.readUInt32LE(20) & 0x40]);
    assert.deepEqual(flags, [
      [0, 0x40],
      [1, 0x40],
    ]);
    assert.equal((await bench.ioctl(session, 4, format)).status, ENODEV);
    assert.equal((await bench.command(u32(2, 0, session, 0), 0)).length, 0);
  });

  it('a driver that gives up on a queue (EIO): its buffers come back with the ERROR flag', async () => {
    bench.start();
    const session = await bench.open();
    await stream(session, 2);
    bench.node.dequeueErrno = 5;
    bench.node.file.ready(1);
    await turns();
    assert.deepEqual(
      bench.takeEvents().map((event) => event.readUInt32LE(20) & 0x40),
      [0x40, 0x40],
    );
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

  it('a reset closes every session, and their identifiers are never given again', async () => {
    bench.start();
    const first = await bench.open();
    const { file } = bench.node;
    bench.device.reset();
    await turns();
    assert.ok(file.closed);
    assert.equal((await bench.ioctl(first, 4, format)).status, EBADF);
    assert.ok((await bench.open()) > first);
  });

  it('128 files at most, those counted that are not closed yet', async () => {
    bench.start();
    const sessions: number[] = [];
    while (sessions.length < 128) sessions.push(await bench.open());
    assert.equal((await bench.command(u32(1, 0), 16)).status, EMFILE);
    let closed = () => {};
    bench.node.closing = new Promise((resolve) => {
      closed = resolve;
    });
    for (const session of sessions.slice(0, 50)) bench.offer(u32(2, 0, session, 0), 0);
    await turns();
    assert.equal((await bench.command(u32(1, 0), 16)).status, EMFILE, 'the hardware still has them');
    closed();
    await turns();
    assert.ok((await bench.open()) > sessions.at(-1)!);
  });

  it('64 commands are under way at most; the rest stays in the ring', async () => {
    bench.start();
    const session = await bench.open();
    const release = bench.node.hold();
    const popped = bench.commandq.popped;
    const heads = Array.from({ length: 100 }, () =>
      bench.offer(Buffer.concat([u32(3, 0, session, 4), format]), 216),
    );
    await turns();
    assert.equal(bench.commandq.popped - popped, 64);
    release();
    await turns(400);
    assert.ok(heads.every((head) => bench.answered(head)?.status === 0));
  });

  it('a guest that never stops offering commands does not keep the loop', async () => {
    bench.start();
    // Every answer is followed by another command before the device looks again.
    const { ring } = bench.commands;
    ring.chain(
      0,
      [{ address: bench.commands.put(0, u32(77, 0)), length: 8 }],
      [{ address: bench.commands.put(4096, Buffer.alloc(8)), length: 8 }],
    );
    const push = bench.commandq.push.bind(bench.commandq);
    let offered = 1;
    bench.commandq.push = (chain, written) => {
      push(chain, written);
      if (offered++ < 100_000) ring.offer(0);
    };
    ring.offer(0);
    bench.device.queueKicked(0);
    assert.ok(offered <= 1000, `${offered} commands in one turn`);
    await turns(3);
    const turnsOver = offered;
    assert.ok(turnsOver > 300, 'it goes on in the next turns');
    offered = 100_000;
  });

  it('a subscription too many is ENOMEM', async () => {
    bench.start();
    const session = await bench.open();
    const subscribe = (id: number) =>
      bench.tell(session, 90, Buffer.concat([u32(3, id, 0), Buffer.alloc(20)]));
    for (let id = 0; id < 256; id++) assert.equal((await subscribe(id)).status, 0);
    const ENOMEM = 12;
    assert.equal((await subscribe(256)).status, ENOMEM);
    assert.equal((await subscribe(7)).status, 0, 'one that it has already');
    await bench.tell(session, 91, Buffer.concat([u32(3, 7, 0), Buffer.alloc(20)]));
    assert.equal((await subscribe(256)).status, 0);
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
