/** The order in which the events of a stream over a fake node reach the guest, and what they contain. */
import assert from 'node:assert/strict';
import { Queue } from '../../../src/virtio/queue.js';
import { buffer, type DeviceBench, turns, u32 } from './bench.js';
import { streamSuite } from './support/stream-suite.js';

const LAST = 0x0010_0000;

describe('the order of events', () => {
  let bench: DeviceBench;
  const { stream } = streamSuite((made) => {
    bench = made;
  });

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
});
