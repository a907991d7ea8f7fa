/**
 * The order in which one drain empties both queues of a codec. The session is a fake; its driver finishes buffers on
 * request.
 */
import assert from 'node:assert/strict';
import { drain } from '../../../src/media/events/drain.js';
import { memoryTypes } from '../../../src/media/memory/types.js';
import { BufferQueue } from '../../../src/media/queues/buffer-queue.js';
import type { RequestHandles } from '../../../src/media/queues/request-handles.js';
import { VideoBuffer } from '../../../src/media/queues/video-buffer.js';
import type { Session } from '../../../src/media/session.js';
import type { NodeCall } from '../../../src/native.js';
import { BufferType, buffer, Memory } from '../../../src/v4l2/layout.js';
import { Turn } from '../../../src/virtio/turn.js';
import { type EventqStage, eventqSuite } from './support/eventq-stage.js';

const { VIDEO_CAPTURE, VIDEO_OUTPUT } = BufferType;
const EAGAIN = 11;
/** Queue type and index of a DQBUF event. */
const captured = (index: number) => [VIDEO_CAPTURE, index];
const output = (index: number) => [VIDEO_OUTPUT, index];

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
  let stage: EventqStage;
  eventqSuite((made) => {
    stage = made;
  });
  beforeEach(() => stage.start());

  /** Queue type and index of each DQBUF event, in order. */
  const sent = () => stage.sent().map(({ bytes }) => [bytes.readUInt32LE(8 + 4), bytes.readUInt32LE(8)]);

  /** A session whose driver answers DQBUF by `take`: an index, or undefined. */
  function session(handles: boolean, take: (type: number) => number | undefined): Session {
    const call = async (asked: NodeCall): Promise<number> => {
      assert.equal(asked.kind, 'dequeueBuffer');
      const record = (asked as NodeCall & { kind: 'dequeueBuffer' }).buffer;
      const index = take(buffer.read(record).type);
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
      context: { events: stage.events, errorEvents: false, turn: new Turn() },
      resume: () => assert.fail('it found what it needed'),
      arm: async () => {},
      call,
    } as unknown as Session;
  }

  /** Allows that the session is resumed. Returns what counts how often it was. */
  function resumptions(session: Session): () => number {
    let count = 0;
    Object.assign(session, { resume: () => count++ });
    return () => count;
  }

  const noneDone = () =>
    new Map<number, number[]>([
      [VIDEO_CAPTURE, []],
      [VIDEO_OUTPUT, []],
    ]);

  /** A driver whose jobs end when the test says so: both buffers at once. */
  function transformer() {
    const done = noneDone();
    return {
      session: session(false, (type) => done.get(type)!.shift()),
      finish: (index: number) => {
        for (const queue of done.values()) queue.push(index);
      },
    };
  }

  /** A driver that finishes a request between the DQBUF of CAPTURE, which finds nothing, and the DQBUF of OUTPUT. */
  function decoder(handles: boolean): Session {
    const done = noneDone();
    let frames = 2;
    return session(handles, (type) => {
      if (type === VIDEO_OUTPUT && frames > 0) for (const queue of done.values()) queue.push(2 - frames);
      if (type === VIDEO_OUTPUT) frames--;
      return done.get(type)!.shift();
    });
  }

  it("with handles, a request's picture is sent before the OUTPUT buffer that says that it is complete", async () => {
    stage.post(4);
    await drain(decoder(true));
    assert.deepEqual(sent(), [captured(0), output(0), captured(1), output(1)]);
  });

  it('the same where the guest has one descriptor at a time', async () => {
    stage.post(1);
    const session = decoder(true);
    const resumed = resumptions(session);
    await drain(session);
    assert.deepEqual(sent(), [captured(0)]);
    stage.post(1);
    assert.equal(resumed(), 0, 'the OUTPUT buffer has taken it: it was out of the kernel already');
    stage.post(1);
    assert.equal(resumed(), 1);
    await drain(session);
    stage.post(1);
    assert.deepEqual(sent(), [captured(0), output(0), captured(1), output(1)]);
  });

  it('without handles, what is ready together is sent together, OUTPUT first, with one interrupt', async () => {
    stage.post(4);
    const { session, finish } = transformer();
    finish(0);
    await drain(session);
    assert.deepEqual(sent(), [output(0), captured(0)]);
    assert.equal(stage.bench.notifications, 1);
    finish(1);
    await drain(session);
    assert.deepEqual(sent().slice(2), [output(1), captured(1)]);
    assert.equal(stage.bench.notifications, 2);
  });

  it('a job that ends between the DQBUF of one queue and that of the other is not told by halves', async () => {
    stage.post(4);
    await drain(decoder(false));
    assert.deepEqual(sent(), [output(0), captured(0), output(1), captured(1)]);
    assert.equal(stage.bench.notifications, 1);
  });

  // v4l2-compliance on vim2m streams for ever if it is told of two OUTPUT buffers before the CAPTURE buffer of the first.
  it('both jobs of a codec that is ahead of the guest: side by side, and with one interrupt', async () => {
    stage.post(4);
    const { session, finish } = transformer();
    finish(0);
    finish(1);
    await drain(session);
    assert.deepEqual(sent(), [output(0), captured(0), output(1), captured(1)]);
    assert.equal(stage.bench.notifications, 1);
  });

  it('where the guest has one descriptor at a time, the order is the same, and nothing is lost', async () => {
    const { session, finish } = transformer();
    resumptions(session);
    stage.post(1);
    finish(0);
    finish(1);
    await drain(session);
    for (let n = 0; n < 8; n++) {
      stage.post(1);
      await drain(session);
    }
    assert.deepEqual(sent(), [output(0), captured(0), output(1), captured(1)]);
  });

  it('no event of a group goes out before all its frames are ready for the guest', async () => {
    stage.post(4);
    const { session, finish } = transformer();
    let copied = () => {};
    const type = memoryTypes[Memory.MMAP]!;
    const { release } = type;
    const copying = new Promise<void>((resolve) => {
      copied = resolve;
    });
    type.release = (_, queue) => (queue.isCapture ? copying : undefined);
    try {
      finish(0);
      const drained = drain(session);
      await new Promise(setImmediate);
      assert.deepEqual(sent(), []);
      copied();
      await drained;
      assert.equal(sent().length, 2);
    } finally {
      type.release = release;
    }
  });

  it('a session that closes meanwhile sends nothing and keeps no descriptor', async () => {
    stage.post(2);
    const { session, finish } = transformer();
    finish(0);
    const { call } = session;
    let calls = 0;
    const closing = async (asked: NodeCall): Promise<number> => {
      const errno = await call(asked);
      if (++calls === 2) Object.assign(session, { closing: true });
      return errno;
    };
    Object.assign(session, { call: closing });
    await drain(session);
    assert.deepEqual(sent(), []);
    const free = [0, 1, 2].map(() => stage.events.reserve(() => undefined));
    assert.deepEqual(free, [true, true, false]);
  });
});
