/** Events of real drivers on the eventq: order, loss, lack of buffers, and no event after its source was stopped. */
import assert from 'node:assert/strict';
import type { MediaEvent } from '../../src/client/event-lane.js';
import type { GuestDriver } from '../../src/client/guest-driver.js';
import { Errno } from '../../src/errno.js';
import { dqbufEvent } from '../../src/media/protocol.js';
import { control } from '../../src/v4l2/control-layout.js';
import { Ioctl } from '../../src/v4l2/ioctls.js';
import { BufferType, EventType, eventSubscription, SubscriptionFlag } from '../../src/v4l2/layout.js';
import { Queue } from '../../src/virtio/queue.js';
import { eventually } from '../addon/support/process.js';
import { keepJournal, showJournal } from './support/daemon-log.js';
import { GuestQueue } from './support/guest-queue.js';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';
import { isFree, NativeNode } from './support/native-node.js';
import { SlowEventBuffers } from './support/slow-event-buffers.js';
import { errnoOf, Stage } from './support/stage.js';
import { MovingBars, showMovingBars, VividControl as V } from './support/vivid.js';

const VIVID = 'vivid n_devs=1 node_types=0x1';
const CAMERA = 'vivid-000-vid-cap';
const { SEND_INITIAL, ALLOW_FEEDBACK } = SubscriptionFlag;
/** Byte offset of the value: v4l2_event_ctrl in v4l2_event.u. */
const VALUE = 8;

/**
 * Runs `run` and records the order in which the device gives chains back. Event buffers are recognized by their size.
 */
async function published(run: () => Promise<unknown>): Promise<string[]> {
  const order: string[] = [];
  const { push } = Queue.prototype;
  Queue.prototype.push = function (chain, written) {
    order.push(chain.writableLength === dqbufEvent.size ? 'event' : 'answer');
    push.call(this, chain, written);
  };
  try {
    await run();
  } finally {
    Queue.prototype.push = push;
  }
  return order;
}

describe('lab: events', function () {
  this.timeout(30_000);
  let stage: Stage;
  let driver: GuestDriver;
  let eventBuffers: SlowEventBuffers;
  let session: number;
  let node: NativeNode;

  before(async function () {
    provide(this, VIVID);
    keepJournal();
    await showMovingBars(nodeNamed(CAMERA));
    node = await NativeNode.open(nodeNamed(CAMERA));
    stage = await Stage.open(nodeNamed(CAMERA));
    driver = stage.driver;
    eventBuffers = new SlowEventBuffers(stage.frontEnd);
  });
  beforeEach(async () => {
    keepJournal();
    await node.setControl(V.BRIGHTNESS, 128);
    session = await driver.open();
  });
  afterEach(async function () {
    showJournal(this.currentTest);
    eventBuffers.giveBack();
    await driver.close(session);
    stage.verify();
  });
  after(async () => {
    await node?.close();
    await stage?.close();
    unload(VIVID);
  });

  const subscribe = (id: number, flags = 0, of = session, type: number = EventType.CTRL) =>
    driver.call(of, Ioctl.SUBSCRIBE_EVENT, eventSubscription, { type, id, flags });
  const unsubscribe = (type: number, id = 0) =>
    driver.call(session, Ioctl.UNSUBSCRIBE_EVENT, eventSubscription, { type, id });
  const set = (of: number, id: number, value: number) =>
    driver.call(of, Ioctl.S_CTRL, control, { id, value });
  /** The value in a control event. */
  const valueIn = (event: MediaEvent, id: number) => {
    assert.ok(event.kind === 'event', `a ${event.kind} event`);
    assert.deepEqual([event.event.type, event.event.id], [EventType.CTRL, id]);
    return Buffer.from(event.event.u).readInt32LE(VALUE);
  };
  /** Checks that no event has come. An event would have arrived before the answer of another command. */
  const nothingCame = async () => {
    await set(session, V.CONTRAST, 3);
    assert.equal(driver.waitingEvents(session), 0);
  };

  it('a control that another session sets, and one that the host sets', async () => {
    const other = await driver.open();
    await subscribe(V.BRIGHTNESS);
    await set(other, V.BRIGHTNESS, 17);
    assert.equal(valueIn(await driver.nextEvent(session), V.BRIGHTNESS), 17);
    await node.setControl(V.BRIGHTNESS, 18);
    assert.equal(valueIn(await driver.nextEvent(session), V.BRIGHTNESS), 18);
    assert.equal(driver.waitingEvents(other), 0, 'it did not subscribe');
    await driver.close(other);
  });

  it("a session's own settings: only with ALLOW_FEEDBACK", async () => {
    await subscribe(V.BRIGHTNESS);
    await set(session, V.BRIGHTNESS, 21);
    await nothingCame();
    await unsubscribe(EventType.CTRL, V.BRIGHTNESS);
    await subscribe(V.BRIGHTNESS, ALLOW_FEEDBACK);
    await set(session, V.BRIGHTNESS, 22);
    assert.equal(valueIn(await driver.nextEvent(session), V.BRIGHTNESS), 22);
  });

  it('SEND_INITIAL: the event is there when the answer is, every time', async () => {
    await node.setControl(V.BRIGHTNESS, 33);
    for (let round = 0; round < 10; round++) {
      let seen = 0;
      driver.onEvent(session, (event) => {
        seen = valueIn(event, V.BRIGHTNESS);
      });
      await subscribe(V.BRIGHTNESS, SEND_INITIAL);
      assert.equal(seen, 33, 'the answer came first');
      await unsubscribe(EventType.CTRL, V.BRIGHTNESS);
    }
    driver.onEvent(session, undefined);
    const order = await published(() => subscribe(V.BRIGHTNESS, SEND_INITIAL));
    assert.deepEqual(order, ['event', 'answer']);
    await subscribe(V.BRIGHTNESS, SEND_INITIAL);
    assert.equal(driver.waitingEvents(session), 1, 'subscribed already: no second one, as natively');
  });

  it('UNSUBSCRIBE, one and all: nothing comes any more', async () => {
    await subscribe(V.BRIGHTNESS);
    await subscribe(V.MUTE);
    await unsubscribe(EventType.CTRL, V.BRIGHTNESS);
    await node.setControl(V.BRIGHTNESS, 41);
    await node.setControl(V.MUTE, 1);
    assert.equal(valueIn(await driver.nextEvent(session), V.MUTE), 1);
    await unsubscribe(EventType.ALL);
    await node.setControl(V.BRIGHTNESS, 42);
    await node.setControl(V.MUTE, 0);
    await nothingCame();
    await subscribe(V.MUTE);
    await node.setControl(V.MUTE, 1);
    assert.equal(valueIn(await driver.nextEvent(session), V.MUTE), 1);
    await node.setControl(V.MUTE, 0);
  });

  it('types and controls that there are not: the errno of the kernel', async () => {
    for (const [type, id] of [
      [EventType.ALL, 0],
      [EventType.EOS, 0],
      [EventType.FRAME_SYNC, 0],
      [EventType.SOURCE_CHANGE, 5],
      [EventType.CTRL, 0x0098_fff0],
      [0x0800_0000, 0],
      [77, 0],
    ] as const) {
      const own = await NativeNode.with(nodeNamed(CAMERA), async (other) => {
        const record = eventSubscription.encode({ type, id, flags: 0, reserved: new Uint8Array(0) });
        const answers = [Ioctl.SUBSCRIBE_EVENT, Ioctl.UNSUBSCRIBE_EVENT].map((nr) => other.ioctl(nr, record));
        return (await Promise.all(answers)).map(({ errno }) => errno);
      });
      const asked = [await errnoOf(subscribe(id, 0, session, type)), await errnoOf(unsubscribe(type, id))];
      assert.deepEqual(asked, own, `type ${type}`);
    }
    assert.equal(await errnoOf(subscribe(0, 0, session, EventType.EOS)), Errno.EINVAL);
  });

  it('without a free event buffer the kernel keeps the events: the newest value of each comes at last', async () => {
    await subscribe(V.BRIGHTNESS);
    await subscribe(V.CONTRAST);
    let mute = 0;
    await subscribe(V.MUTE);
    await eventBuffers.takeAll(async () => {
      mute = 1 - mute;
      await node.setControl(V.MUTE, mute);
      return driver.nextEvent(session);
    });
    for (let i = 1; i <= 60; i++) {
      await node.setControl(V.BRIGHTNESS, i);
      await node.setControl(V.CONTRAST, i + 100);
    }
    assert.equal(driver.waitingEvents(session), 0);
    eventBuffers.giveBack();
    const values = new Map<number, number>();
    await eventually(() => driver.waitingEvents(session) >= 2);
    while (driver.waitingEvents(session) > 0) {
      const event = await driver.nextEvent(session);
      assert.ok(event.kind === 'event');
      values.set(event.event.id, valueIn(event, event.event.id));
    }
    assert.deepEqual(Object.fromEntries(values), { [V.BRIGHTNESS]: 60, [V.CONTRAST]: 160 });
  });

  it('without a free event buffer a stream stands still; afterwards no frame is lost', async () => {
    const queue = new GuestQueue(driver, session, BufferType.VIDEO_CAPTURE);
    await queue.setFormat('RGB3', 320, 180);
    await queue.setRate(25);
    const bars = new MovingBars('RGB3', 320, 180);
    await queue.start(4);
    await eventBuffers.takeAll(async () => queue.queue((await queue.next()).buffer.index));
    while (driver.waitingEvents(session) > 0) await queue.queue((await queue.next()).buffer.index);
    assert.equal(await errnoOf(driver.nextEvent(session, 400)), Errno.ETIMEDOUT, 'an event out of nowhere');
    eventBuffers.giveBack();
    const order: number[] = [];
    for (let i = 0; i < 12; i++) {
      const frame = await queue.next();
      bars.shiftOf(queue.bytes(frame), `frame ${frame.buffer.sequence}`);
      order.push(frame.buffer.index);
      await queue.queue(frame.buffer.index);
    }
    const expected = order.map((_, i) => (order[0]! + i) % 4);
    assert.deepEqual(order, expected, 'vivid fills buffers in turn: one was lost or doubled');
    await queue.off();
  });

  it('one event buffer alone carries a whole stream', async () => {
    const queue = new GuestQueue(driver, session, BufferType.VIDEO_CAPTURE);
    await queue.setFormat('RGB3', 320, 180);
    await queue.setRate(25);
    await queue.start(3);
    await eventBuffers.takeAll(async () => queue.queue((await queue.next()).buffer.index));
    eventBuffers.giveBack(1);
    const first = await queue.next();
    await queue.queue(first.buffer.index);
    for (let i = 1; i < 7; i++) {
      const frame = await queue.next();
      assert.ok(eventBuffers.atDevice <= 1);
      assert.equal(frame.buffer.index, (first.buffer.index + i) % 3);
      await queue.queue(frame.buffer.index);
    }
    await queue.off();
  });

  it('events on a queue without buffers do not start a stream of the kernel’s own', async () => {
    const queue = new GuestQueue(driver, session, BufferType.VIDEO_CAPTURE);
    await queue.setFormat('RGB3', 320, 180);
    await subscribe(V.BRIGHTNESS);
    const free = async (value: number) => {
      await node.setControl(V.BRIGHTNESS, value);
      assert.equal(valueIn(await driver.nextEvent(session), V.BRIGHTNESS), value);
      return isFree(nodeNamed(CAMERA), BufferType.VIDEO_CAPTURE);
    };
    assert.equal(await free(1), true, 'before the first buffers');
    await queue.start(2);
    await queue.next();
    await queue.off();
    assert.equal(await free(2), false, 'it has buffers');
    await queue.request(0);
    assert.equal(await free(3), true, 'after the last buffers');
  });

  it('frames and control events of two sessions arrive where they belong', async () => {
    const queue = new GuestQueue(driver, session, BufferType.VIDEO_CAPTURE);
    const other = await driver.open();
    await subscribe(V.BRIGHTNESS, 0, other);
    await queue.setFormat('RGB3', 320, 180);
    await queue.setRate(30);
    await queue.start(4);
    for (let i = 1; i <= 8; i++) {
      await node.setControl(V.BRIGHTNESS, i);
      assert.equal(valueIn(await driver.nextEvent(other), V.BRIGHTNESS), i);
      await queue.queue((await queue.next()).buffer.index);
    }
    await queue.off();
    await driver.close(other);
  });
});
