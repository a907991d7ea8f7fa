/** Streams over a fake node: when buffers are dequeued, and in which order events reach the guest. */
import assert from 'node:assert/strict';
import { log } from '../../../src/log.js';
import { Queue } from '../../../src/virtio/queue.js';
import { buffer, DeviceBench, format, turns, u32 } from './bench.js';
import { pass, startClock, stopClock } from './clock.js';

const EBUSY = 16;
const ENODEV = 19;
const EPIPE = 32;
const LAST = 0x0010_0000;

describe('streaming', () => {
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

  const stream = async (session: number, count: number) => {
    assert.equal((await bench.ioctl(session, 8, u32(count, 1, 1, 0, 0))).status, 0);
    for (let index = 0; index < count; index++)
      assert.equal((await bench.ioctl(session, 15, buffer(index))).status, 0);
    assert.equal((await bench.tell(session, 18, u32(1))).status, 0);
  };

  /** struct v4l2_event (136 bytes) of SOURCE_CHANGE, with `count` more events pending. */
  const pending = (count: number): Buffer => {
    const event = Buffer.alloc(136);
    event.writeUInt32LE(5, 0);
    event.writeUInt32LE(count, 72);
    return event;
  };

  /** The result of `look` at the time when each event is pushed to the ring. */
  const answersAtEvents = <T>(look: () => T): T[] => {
    const seen: T[] = [];
    const push = Queue.prototype.push.bind(bench.eventq);
    bench.eventq.push = (chain, written) => {
      seen.push(look());
      push(chain, written);
    };
    return seen;
  };

  it('the answers of QBUF and STREAMON come before the frame that they cause', async () => {
    bench.start();
    const session = await bench.open();
    assert.equal((await bench.ioctl(session, 8, u32(1, 1, 1, 0, 0))).status, 0);
    await bench.ioctl(session, 15, buffer(0));
    bench.node.ioctls.set(18, () => {
      // The driver finishes the frame before the ioctl returns.
      bench.node.file.streaming = true;
      bench.node.file.frame();
      return 0;
    });
    const head = bench.offer(Buffer.concat([u32(3, 0, session, 18), u32(1)]), 8);
    const seen = answersAtEvents(() => bench.answered(head));
    await turns(20);
    assert.deepEqual(
      seen.map((reply) => reply?.status),
      [0],
    );
    const [event] = bench.takeEvents();
    assert.deepEqual([event!.length, event!.readUInt32LE(0), event!.readUInt32LE(4)], [608, 1, session]);
    // The driver also finishes a buffer before QBUF returns.
    const { file } = bench.node;
    const run = file.call.bind(file);
    file.call = async (call) => {
      const errno = await run(call);
      if (call.kind === 'buffer' && call.nr === 15) file.frame();
      return errno;
    };
    const queued = bench.offer(Buffer.concat([u32(3, 0, session, 15), buffer(0)]), 96);
    const again = answersAtEvents(() => bench.answered(queued));
    await turns(20);
    assert.deepEqual(
      again.map((reply) => reply?.status),
      [0],
    );
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
    let sentBefore = -1;
    const push = Queue.prototype.push.bind(bench.commandq);
    bench.commandq.push = (chain, written) => {
      sentBefore = bench.events.ring.usedIndex;
      push(chain, written);
    };
    await turns(20);
    assert.deepEqual([bench.answered(head)?.status, sentBefore], [0, 1]);
    const sent = bench.takeEvents()[0]!;
    assert.equal(sent.length, 144);
    assert.equal(sent.readUInt32LE(8 + 4), 0, 'padding of the kernel does not cross');
  });

  it('an event of any type passes byte for byte, to the session that has subscribed to one', async () => {
    bench.start();
    const [session, other] = [await bench.open(), await bench.open()];
    const PRIVATE = 0x0800_0001;
    const types = [1, 2, 3, 4, 5, 6, PRIVATE, 0x7fff_ffff];
    const sent = types.map((type, n) => {
      const event = Buffer.from(Array.from({ length: 136 }, (_, at) => at + n));
      event.writeUInt32LE(type, 0);
      return event;
    });
    const { files } = bench.node;
    const drained = async (n: number) => {
      files[n]!.events.push(...sent);
      files[n]!.ready(2);
      await turns(20);
      return bench.takeEvents();
    };
    assert.deepEqual(await drained(1), [], 'nobody has subscribed');
    assert.equal((await bench.tell(session, 90, Buffer.concat([u32(5, 0, 0), Buffer.alloc(20)]))).status, 0);
    const came = await drained(0);
    assert.equal(came.length, types.length);
    for (const [n, event] of sent.entries()) {
      assert.deepEqual([came[n]!.readUInt32LE(0), came[n]!.readUInt32LE(4)], [2, session]);
      assert.notEqual(came[n]!.readUInt32LE(4), other);
      const expected = Buffer.from(event);
      // The two padding fields of struct v4l2_event.
      for (const at of [4, 132]) expected.writeUInt32LE(0, at);
      assert.deepEqual(came[n]!.subarray(8), expected, `type ${types[n]}`);
    }
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
    const isArmed = () => ((file.watched.at(-1) ?? 0) & IN) !== 0;
    await stream(session, 2);
    await turns();
    assert.equal(isArmed(), true);
    // If the queue were armed for a moment while its buffers are freed, vb2 would start read() emulation in poll.
    const seen: boolean[] = [];
    for (const nr of [8, 19, 92])
      bench.node.ioctls.set(nr, () => {
        seen.push(isArmed());
        return 0;
      });
    await bench.ioctl(session, 92, Buffer.concat([u32(0, 1, 1, 0, 1), Buffer.alloc(236)]));
    assert.equal(isArmed(), true, 'the stream goes on');
    await bench.tell(session, 19, u32(1));
    await bench.ioctl(session, 8, u32(0, 1, 1, 0, 0));
    assert.deepEqual([seen, isArmed()], [[false, false, false], false]);
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

  it('one ENODEV of a node that is there is the errno of that call, and the session lives', async () => {
    bench.start();
    const session = await bench.open();
    await stream(session, 2);
    for (const nr of [5, 27]) bench.node.ioctls.set(nr, () => ENODEV);
    bench.node.controls = () => ENODEV;
    assert.equal((await bench.ioctl(session, 5, format)).status, ENODEV);
    assert.equal((await bench.ioctl(session, 27, Buffer.alloc(8))).status, ENODEV);
    assert.equal((await bench.ioctl(session, 71, Buffer.alloc(32))).status, ENODEV);
    assert.deepEqual(bench.takeEvents(), []);
    assert.equal((await bench.ioctl(session, 4, format)).status, 0);
    bench.node.file.frame();
    await turns();
    assert.deepEqual(
      bench.takeEvents().map((event) => [event.readUInt32LE(8), event.readUInt32LE(20) & 0x40]),
      [[0, 0]],
    );
  });

  it('ENODEV of DQBUF too: buffers stay queued, nothing spins, and the stream goes on', async () => {
    bench.start();
    const session = await bench.open();
    await stream(session, 2);
    bench.node.dequeueErrno = ENODEV;
    bench.node.file.frame();
    await turns();
    assert.deepEqual(bench.takeEvents(), []);
    const { length } = bench.node.file.calls;
    await turns(50);
    assert.equal(bench.node.file.calls.length, length);
    bench.node.dequeueErrno = 0;
    bench.node.file.frame();
    await turns();
    assert.deepEqual(
      bench.takeEvents().map((event) => event.readUInt32LE(8)),
      [0, 1],
    );
  });

  it('ENODEV of a node that is gone, before its watcher says so: the session ends with that call', async () => {
    bench.start();
    const session = await bench.open();
    await stream(session, 2);
    bench.node.ioctls.set(5, () => ENODEV);
    bench.node.hungUp = true;
    assert.equal((await bench.ioctl(session, 5, format)).status, ENODEV);
    await turns();
    assert.deepEqual(
      bench.takeEvents().map((event) => event.readUInt32LE(20) & 0x40),
      [0x40, 0x40],
    );
    const { length } = bench.node.file.calls;
    assert.equal((await bench.ioctl(session, 4, format)).status, ENODEV);
    assert.equal(bench.node.file.calls.length, length, 'the node is not asked any more');
  });

  it('a node that says EBUSY to a session: it is asked who has it', async () => {
    bench.start();
    const session = await bench.open();
    assert.equal((await bench.ioctl(session, 4, format)).status, 0);
    assert.equal(bench.node.busyReports, 0);
    bench.node.ioctls.set(5, () => EBUSY);
    assert.equal((await bench.ioctl(session, 5, format)).status, EBUSY);
    assert.equal(bench.node.busyReports, 1);
  });

  it('EBUSY that may be of the guest’s own making blames nobody', async () => {
    bench.start();
    const [session, other] = [await bench.open(), await bench.open()];
    await bench.ioctl(session, 8, u32(2, 1, 1, 0, 0));
    bench.node.ioctls.set(5, () => EBUSY);
    for (const each of [session, other])
      assert.equal((await bench.ioctl(each, 5, format)).status, EBUSY, 'a queue has buffers');
    let closed = () => {};
    bench.node.closing = new Promise((resolve) => {
      closed = resolve;
    });
    bench.offer(u32(2, 0, session, 0), 0);
    await bench.ioctl(other, 5, format);
    assert.equal(bench.node.busyReports, 0, 'the hardware has not let go of them');
    closed();
    await turns();
    await bench.ioctl(other, 5, format);
    assert.equal(bench.node.busyReports, 1);
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

  it('what is ready without being there costs no descriptor of the eventq', async () => {
    bench.start(1);
    const session = await bench.open();
    await stream(session, 2);
    for (let n = 0; n < 20; n++) {
      bench.node.file.ready(1);
      await turns();
    }
    bench.node.file.frame();
    await turns();
    assert.equal(bench.takeEvents().length, 1);
  });

  it('events come before the buffer that says LAST', async () => {
    bench.start();
    const session = await bench.open();
    await bench.tell(session, 90, Buffer.concat([u32(5, 0, 0), Buffer.alloc(20)]));
    await stream(session, 2);
    const { file } = bench.node;
    const run = file.call.bind(file);
    // The driver queues SOURCE_CHANGE together with the last buffer, after DQEVENT found nothing.
    file.call = async (call) => {
      if (call.kind === 'dequeueBuffer' && file.done.length > 0) file.events.push(Buffer.alloc(136, 5));
      return run(call);
    };
    file.frame(LAST);
    await turns();
    assert.deepEqual(
      bench.takeEvents().map((event) => event.length),
      [144, 608],
    );
  });

  it('events come before the buffer that says LAST, where the guest has one descriptor for both too', async () => {
    bench.start(1);
    const session = await bench.open();
    await bench.tell(session, 90, Buffer.concat([u32(5, 0, 0), Buffer.alloc(20)]));
    await stream(session, 2);
    const { file } = bench.node;
    const run = file.call.bind(file);
    let asked = 0;
    // Each DQEVENT causes a new event. Two events go before the buffer; later ones must not delay it for ever.
    file.call = async (call) => {
      if (call.kind === 'dequeueBuffer' && file.done.length > 0) file.events.push(pending(1), pending(0));
      if (call.kind === 'dequeueEvent' && file.events.length > 0 && asked++ < 1000)
        file.events.push(pending(9));
      return run(call);
    };
    file.frame(LAST);
    await turns();
    const came = [];
    for (let n = 0; n < 4; n++) {
      came.push(...bench.takeEvents().map((event) => event.length));
      await turns();
    }
    assert.deepEqual(came.slice(0, 3), [144, 144, 608]);
  });

  it('frames reach the guest of 17, 24 and 40 sessions that share sixteen descriptors, each as often', async () => {
    for (const sessions of [17, 24, 40]) {
      bench.close();
      bench = new DeviceBench();
      bench.start(16);
      const ids: number[] = [];
      for (let n = 0; n < sessions; n++) {
        const session = await bench.open();
        ids.push(session);
        await bench.tell(session, 90, Buffer.concat([u32(5, 0, 0), Buffer.alloc(20)]));
        await stream(session, 4);
      }
      for (const file of bench.node.files) {
        const run = file.call.bind(file);
        // The loop makes a turn meanwhile, as with a real lane.
        file.call = async (call) => new Promise(setImmediate).then(() => run(call));
        for (let n = 0; n < 4; n++) file.frame();
      }
      const came: number[] = [];
      for (let turn = 0; turn < 40 * sessions && came.length < 4 * sessions; turn++) {
        await turns(1);
        came.push(...bench.takeEvents().map((event) => event.readUInt32LE(4)));
      }
      assert.equal(came.length, 4 * sessions);
      const first = came.slice(0, sessions);
      assert.deepEqual(new Set(first), new Set(ids), 'nobody has a second frame before everybody has one');
    }
  });

  it('after EPIPE the queue is left alone until it is streamed anew', async () => {
    bench.start();
    const session = await bench.open();
    await stream(session, 2);
    const { file } = bench.node;
    await turns();
    bench.node.dequeueErrno = EPIPE;
    file.ready(1);
    await turns();
    const asked = () => file.asked('dequeueBuffer').length;
    const before = asked();
    for (let n = 0; n < 5; n++) {
      file.ready(1);
      await turns();
    }
    assert.equal(asked(), before, 'no busy loop on a queue that has ended');
    assert.equal(file.watched.at(-1)! & 1, 0, 'nor does the watcher wait for it');
    bench.node.dequeueErrno = 0;
    await bench.tell(session, 19, u32(1));
    assert.equal((await bench.ioctl(session, 15, buffer(0))).status, 0);
    assert.equal((await bench.tell(session, 18, u32(1))).status, 0);
    file.frame();
    await turns();
    assert.equal(bench.takeEvents().length, 1);
  });

  it('a session that is closing sends nothing more', async () => {
    bench.start();
    const session = await bench.open();
    await stream(session, 2);
    bench.node.file.frame();
    bench.offer(u32(2, 0, session, 0), 0);
    bench.node.file.ready(1);
    await turns(10);
    bench.takeEvents();
    bench.node.file.ready(1);
    await turns();
    assert.deepEqual(bench.takeEvents(), []);
  });

  it('REQBUFS, UNSUBSCRIBE_EVENT and CLOSE wait for the frames that were sent before, as STREAMOFF does', async () => {
    bench.start();
    const commands: ((session: number) => [Buffer, number])[] = [
      (session) => [Buffer.concat([u32(3, 0, session, 91), u32(3, 7, 0), Buffer.alloc(20)]), 8],
      (session) => [Buffer.concat([u32(3, 0, session, 92), u32(0, 1, 1, 0, 1), Buffer.alloc(236)]), 264],
      (session) => [Buffer.concat([u32(3, 0, session, 8), u32(2, 1, 1, 0, 0)]), 28],
      (session) => [u32(2, 0, session, 0), 0],
    ];
    for (const command of commands) {
      const session = await bench.open();
      await stream(session, 2);
      bench.node.file.frame();
      await turns();
      assert.equal(bench.node.file.done.length, 0, 'the frame was sent');
      const head = bench.offer(...command(session));
      await turns(20);
      assert.equal(bench.answered(head), null);
      bench.takeEvents();
      await turns();
      assert.notEqual(bench.answered(head), null);
    }
  });

  it('a driver that never gives frames back is answered after 300 ms', async () => {
    bench.start();
    const session = await bench.open();
    await stream(session, 2);
    bench.node.file.frame();
    await turns();
    const head = bench.offer(Buffer.concat([u32(3, 0, session, 19), u32(1)]), 8);
    await turns();
    pass(299);
    await turns();
    assert.equal(bench.answered(head), null);
    pass(1);
    await turns();
    assert.equal(bench.answered(head)?.status, 0);
  });
});
