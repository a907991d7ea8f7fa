/**
 * A USB camera that has faults during a stream but stays plugged in: what the guest sees, and that the stream recovers.
 */
import assert from 'node:assert/strict';
import { performance } from 'node:perf_hooks';
import { Errno } from '../../src/errno.js';
import { ANSWER_DEADLINE_MS } from '../../src/media/policy.js';
import { encoded } from '../../src/struct.js';
import { control } from '../../src/v4l2/control-layout.js';
import { Ioctl } from '../../src/v4l2/ioctls.js';
import { BufferFlag } from '../../src/v4l2/layout.js';
import { timed } from '../support/until.js';
import { keepJournal, showJournal } from './support/daemon-log.js';
import { GuestQueue } from './support/guest-queue.js';
import { NativeNode } from './support/native-node.js';
import { errnoOf, Stage } from './support/stage.js';
import { UsbCamera } from './support/usb-camera.js';
import { verifyYuy2 } from './support/usb-camera-frame.js';

const WIDTH = 320;
const HEIGHT = 180;
const BUFFERS = 4;
const BRIGHTNESS = 0x0098_0900;
/** Milliseconds after which the Linux driver gives up. */
const GUEST_PATIENCE_MS = 5000;
/** Milliseconds after which uvcvideo gives up a control transfer. */
const CONTROL_TIMEOUT_MS = 5000;

describe('lab: a camera that misbehaves', function () {
  this.timeout(60_000);
  let camera: UsbCamera;
  let stage: Stage;
  let queue: GuestQueue;

  before(async function () {
    camera = await UsbCamera.plugIn(this);
  });
  beforeEach(async () => {
    keepJournal();
    stage = await Stage.open(camera.node);
    queue = GuestQueue.ofCamera(stage.driver, await stage.driver.open());
    await queue.setFormat('YUYV', WIDTH, HEIGHT);
    await queue.start(BUFFERS);
    await goodFrames();
  });
  afterEach(async function () {
    showJournal(this.currentTest);
    await camera.heal();
    await stage.close();
  });
  after(() => camera?.end());

  async function goodFrames(): Promise<void> {
    for (let n = 0; n < 2 * BUFFERS; n++) {
      const frame = await queue.next();
      assert.equal(frame.buffer.flags & BufferFlag.ERROR, 0);
      verifyYuy2(queue.bytes(frame)[0]!, WIDTH * HEIGHT * 2);
      await queue.queue(frame.buffer.index);
    }
  }

  const setBrightness = (value: number) =>
    errnoOf(stage.driver.call(queue.session, Ioctl.S_CTRL, control, { id: BRIGHTNESS, value }));

  it('falls silent between frames: no event and no work; then the stream goes on', async () => {
    assert.equal(await camera.tell('no-frames'), 'ok');
    // Frames that were under way.
    while ((await errnoOf(stage.driver.nextEvent(queue.session, 500))) === 0);
    const before = process.cpuUsage();
    assert.equal(await errnoOf(stage.driver.nextEvent(queue.session, 1000)), Errno.ETIMEDOUT);
    const { user, system } = process.cpuUsage(before);
    assert.ok(user + system < 500_000, `${(user + system) / 1000} ms of CPU in a second of nothing`);
    await queue.off();
    await camera.heal();
    for (let index = 0; index < BUFFERS; index++) await queue.queue(index);
    await queue.on();
    await goodFrames();
    await queue.off();
    stage.verify();
  });

  it('stalls its requests: the errno is the native one, and the stream goes on', async () => {
    assert.equal(await camera.tell('stall'), 'ok');
    const value = 3;
    const own = await NativeNode.with(camera.node, (node) =>
      node.ioctl(Ioctl.S_CTRL, encoded(control, { id: BRIGHTNESS, value })),
    );
    assert.notEqual(own.errno, 0);
    assert.equal(await setBrightness(value), own.errno);
    await goodFrames();
    await camera.heal();
    assert.equal(await setBrightness(value), 0);
    await goodFrames();
    await queue.off();
    stage.verify();
  });

  it('answers no request: ETIMEDOUT before the guest gives up; when it answers again, so does the session', async () => {
    assert.equal(await camera.tell('silent'), 'ok');
    const started = performance.now();
    assert.equal(await setBrightness(4), Errno.ETIMEDOUT);
    const took = performance.now() - started;
    assert.ok(took > ANSWER_DEADLINE_MS - 100 && took < GUEST_PATIENCE_MS, `${took} ms`);
    await camera.heal();
    let errno: number = Errno.ETIMEDOUT;
    while (errno === Errno.ETIMEDOUT && performance.now() - started < 10_000) errno = await setBrightness(5);
    assert.equal(errno, 0);
    await goodFrames();
    await queue.off();
    stage.verify();
  });

  it('is pulled while it answers no request: the command ends, the buffers come back, then ENODEV', async () => {
    assert.equal(await camera.tell('silent'), 'ok');
    const started = performance.now();
    const asked = timed(() => setBrightness(6));
    // The nodes stay until the driver has given up a transfer that is under way.
    await camera.unplug();
    const { value: errno, ms } = await asked;
    assert.notEqual(errno, 0);
    assert.ok(ms < GUEST_PATIENCE_MS, `the guest has given up: ${ms} ms`);
    // A session runs one ioctl at a time, so its buffers come back when the transfer has ended.
    let damaged = 0;
    for (let n = 0; n < BUFFERS; n++)
      if ((await queue.next(CONTROL_TIMEOUT_MS)).buffer.flags & BufferFlag.ERROR) damaged++;
    assert.ok(damaged > 0, 'no buffer says that its frame is damaged');
    assert.ok(performance.now() - started < CONTROL_TIMEOUT_MS + 3000, `${performance.now() - started} ms`);
    assert.equal(await errnoOf(queue.off()), Errno.ENODEV);
    assert.equal(await errnoOf(stage.driver.open()), Errno.ENODEV);
    await camera.heal();
    await camera.replug();
    await stage.driver.close(queue.session);
    queue = GuestQueue.ofCamera(stage.driver, await stage.driver.open());
    await queue.setFormat('YUYV', WIDTH, HEIGHT);
    await queue.start(BUFFERS);
    await goodFrames();
    await queue.off();
    stage.verify();
  });
});
