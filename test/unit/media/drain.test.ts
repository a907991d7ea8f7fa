/** The order in which one drain empties both queues of a codec. A fake: a session whose driver finishes buffers when asked. */
import assert from 'node:assert/strict';
import { drain } from '../../../src/media/events/drain.js';
import { EventQueue } from '../../../src/media/events/eventq.js';
import { BufferQueue } from '../../../src/media/queues/buffer-queue.js';
import type { RequestHandles } from '../../../src/media/queues/request-handles.js';
import { VideoBuffer } from '../../../src/media/queues/video-buffer.js';
import type { Session } from '../../../src/media/session.js';
import type { NodeCall } from '../../../src/native.js';
import { BufferType, buffer } from '../../../src/v4l2/layout.js';
import { Turn } from '../../../src/virtio/turn.js';
import { Bench } from '../virtio/bench.js';
import { WRITE } from '../virtio/driver.js';

const { VIDEO_CAPTURE, VIDEO_OUTPUT } = BufferType;
const [EAGAIN, DQBUF] = [11, 608];

function streaming(type: number): BufferQueue {
  const queue = new BufferQueue(type, 'direct');
  queue.started();
  for (const index of [0, 1]) {
    queue.add(new VideoBuffer(index));
    queue.enqueue(index);
  }
  return queue;
}

describe('drain', () => {
  let ring: Bench;
  let events: EventQueue;
  let posted: number;

  beforeEach(() => {
    ring = new Bench({ size: 16 });
    events = new EventQueue();
    posted = 0;
    events.start(ring.queue());
  });
  afterEach(() => {
    events.stop();
    ring.close();
  });

  const post = (count: number) => {
    for (let n = 0; n < count; n++, posted++) {
      const address = ring.put(1024 * posted, Buffer.alloc(DQBUF));
      ring.ring.describe(posted, { address, length: DQBUF, flags: WRITE });
      ring.ring.offer(posted);
    }
    events.kicked();
  };
  /** Queue type and index of each DQBUF event, in order. */
  const sent = () =>
    Array.from({ length: ring.ring.usedIndex }, (_, n) => {
      const bytes = ring.seen(1024 * ring.ring.usedElement(n).id, DQBUF);
      return [bytes.readUInt32LE(8 + 4), bytes.readUInt32LE(8)];
    });

  /** A driver that finishes a request after CAPTURE was found empty and before OUTPUT is asked. */
  function decoder(handles: boolean): Session {
    const done = new Map<number, number[]>([
      [VIDEO_CAPTURE, []],
      [VIDEO_OUTPUT, []],
    ]);
    let frames = 2;
    const call = async (asked: NodeCall): Promise<number> => {
      assert.equal(asked.kind, 'dequeueBuffer');
      const record = (asked as NodeCall & { kind: 'dequeueBuffer' }).buffer;
      const { type } = buffer.read(record);
      if (type === VIDEO_OUTPUT && frames > 0) for (const queue of done.values()) queue.push(2 - frames);
      if (type === VIDEO_OUTPUT) frames--;
      const index = done.get(type)!.shift();
      if (index === undefined) return EAGAIN;
      buffer.write(record, { ...buffer.read(record), index });
      return 0;
    };
    return {
      id: 1,
      queues: new Map([VIDEO_CAPTURE, VIDEO_OUTPUT].map((type) => [type, streaming(type)])),
      subscriptions: new Set<string>(),
      gone: false,
      closing: false,
      requests: null,
      handles: handles ? ({} as RequestHandles) : null,
      context: { events, errorEvents: false, turn: new Turn() },
      resume: () => assert.fail('it found what it needed'),
      arm: async () => {},
      call,
    } as unknown as Session;
  }

  it("with handles, a request's picture is sent before the OUTPUT buffer that says that it is complete", async () => {
    post(4);
    await drain(decoder(true));
    assert.deepEqual(sent(), [
      [VIDEO_CAPTURE, 0],
      [VIDEO_OUTPUT, 0],
      [VIDEO_CAPTURE, 1],
      [VIDEO_OUTPUT, 1],
    ]);
  });

  it('the same where the guest has one descriptor at a time', async () => {
    post(1);
    const session = decoder(true);
    let resumed = 0;
    Object.assign(session, { resume: () => resumed++ });
    await drain(session);
    assert.deepEqual(sent(), [[VIDEO_CAPTURE, 0]]);
    post(1);
    assert.equal(resumed, 0, 'the OUTPUT buffer has taken it: it was out of the kernel already');
    post(1);
    assert.equal(resumed, 1);
    await drain(session);
    post(1);
    assert.deepEqual(sent(), [
      [VIDEO_CAPTURE, 0],
      [VIDEO_OUTPUT, 0],
      [VIDEO_CAPTURE, 1],
      [VIDEO_OUTPUT, 1],
    ]);
  });

  it('without handles an OUTPUT buffer waits for nothing', async () => {
    post(4);
    await drain(decoder(false));
    assert.deepEqual(sent(), [
      [VIDEO_OUTPUT, 0],
      [VIDEO_OUTPUT, 1],
    ]);
  });
});
