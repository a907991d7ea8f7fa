/** The event barrier: an answer waits until the driver has given back the event buffers that were sent before it. */
import assert from 'node:assert/strict';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { GuestDriver } from '../../src/client/guest-driver.js';
import { EVENT_BARRIER_MS } from '../../src/media/policy.js';
import { control } from '../../src/v4l2/control-layout.js';
import { Ioctl } from '../../src/v4l2/ioctls.js';
import { BufferType, EventType, eventSubscription } from '../../src/v4l2/layout.js';
import { keepJournal, showJournal } from './support/daemon-log.js';
import { GuestQueue } from './support/guest-queue.js';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';
import { NativeNode } from './support/native-node.js';
import { SlowEventBuffers } from './support/slow-event-buffers.js';
import { Stage } from './support/stage.js';
import { VividControl as V } from './support/vivid.js';

const VIVID = 'vivid n_devs=1 node_types=0x1';
const CAMERA = 'vivid-000-vid-cap';

describe('lab: the event barrier', function () {
  this.timeout(30_000);
  let stage: Stage;
  let driver: GuestDriver;
  let eventBuffers: SlowEventBuffers;
  let session: number;
  let node: NativeNode;

  before(async function () {
    provide(this, VIVID);
    keepJournal();
    node = await NativeNode.open(nodeNamed(CAMERA));
    stage = await Stage.open(nodeNamed(CAMERA));
    driver = stage.driver;
    eventBuffers = new SlowEventBuffers(stage.frontEnd);
  });
  beforeEach(async () => {
    keepJournal();
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

  const subscription = (nr: number, type: number, id = 0) =>
    driver.call(session, nr, eventSubscription, { type, id });

  it('after the answer of STREAMOFF no frame of that stream comes, ten times', async () => {
    const queue = new GuestQueue(driver, session, BufferType.VIDEO_CAPTURE);
    await queue.setFormat('RGB3', 320, 180);
    await queue.setRate(60);
    await queue.request(6);
    for (let round = 0; round < 10; round++) {
      for (let index = 0; index < 6; index++) await queue.queue(index);
      await queue.on();
      for (let i = 0; i < round % 4; i++) await queue.next();
      await queue.off();
      await driver.call(session, Ioctl.S_CTRL, control, { id: V.CONTRAST, value: round });
      assert.equal(driver.waitingEvents(session), 0, 'a stale frame');
      assert.deepEqual(driver.complaints, []);
    }
  });

  for (const [name, command] of [
    ['STREAMOFF', (queue: GuestQueue) => queue.off()],
    ['REQBUFS', (queue: GuestQueue) => queue.request(2)],
    ['CREATE_BUFS', (queue: GuestQueue) => queue.create(1)],
    ['UNSUBSCRIBE_EVENT', () => subscription(Ioctl.UNSUBSCRIBE_EVENT, EventType.ALL)],
    ['CLOSE', (queue: GuestQueue) => driver.close(queue.session)],
  ] as const)
    it(`${name} waits until the driver has given back the events before it, and not for ever`, async () => {
      const other = new GuestQueue(driver, await driver.open(), BufferType.VIDEO_CAPTURE);
      await other.setFormat('RGB3', 320, 180);
      await subscription(Ioctl.SUBSCRIBE_EVENT, EventType.CTRL, V.MUTE);
      eventBuffers.giveBack(0);
      const before = driver.postedEvents;
      await node.setControl(V.MUTE, 1);
      await driver.nextEvent(session);
      await node.setControl(V.MUTE, 0);
      await driver.nextEvent(session);
      assert.equal(eventBuffers.atDevice, before - 2);
      if (name === 'STREAMOFF') await other.request(2);
      const answered = command(other).then(() => performance.now());
      const waited = await Promise.race([
        answered.then(() => 'answered'),
        sleep(EVENT_BARRIER_MS / 3, 'waits'),
      ]);
      assert.equal(waited, 'waits');
      const given = performance.now();
      eventBuffers.giveBack();
      assert.ok((await answered) - given < EVENT_BARRIER_MS / 2, 'it did not notice');
      if (name === 'UNSUBSCRIBE_EVENT') await subscription(Ioctl.SUBSCRIBE_EVENT, EventType.CTRL, V.MUTE);
      eventBuffers.giveBack(0);
      await node.setControl(V.MUTE, 1);
      await driver.nextEvent(session);
      const started = performance.now();
      await (name === 'CLOSE' ? driver.close(await driver.open()) : command(other));
      const took = performance.now() - started;
      assert.ok(took > EVENT_BARRIER_MS - 50 && took < 2000, `${took.toFixed()} ms`);
      eventBuffers.giveBack();
      await node.setControl(V.MUTE, 0);
      if (name !== 'CLOSE') await driver.close(other.session);
    });
});
