/**
 * The host is suspended during a stream, as far as the lab's machine can do it: the kernel stops every process and
 * thread, then lets them go on (its own test, /sys/power/pm_test "freezer"). The devices keep their power, because the
 * machine's folders are devices too and would not come back.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { promisify } from 'node:util';
import type { GuestDriver } from '../../src/client/guest-driver.js';
import { encoded } from '../../src/struct.js';
import { Ioctl } from '../../src/v4l2/ioctls.js';
import { BufferFlag, BufferType, format } from '../../src/v4l2/layout.js';
import { keepJournal, showJournal } from './support/daemon-log.js';
import { GuestQueue } from './support/guest-queue.js';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';
import { errnoOf, onStage, type Stage } from './support/stage.js';
import { UsbCamera } from './support/usb-camera.js';
import { verifyYuy2 } from './support/usb-camera-frame.js';

const VIVID = 'vivid n_devs=1 node_types=0x1';
const type = BufferType.VIDEO_CAPTURE;
const WIDTH = 320;
const HEIGHT = 180;
const BUFFERS = 4;
const SUSPENDED_S = 3;

/**
 * Suspends the machine for that many seconds. It starts one second later, so that this process has returned from
 * starting the child. Throws if the kernel has aborted it.
 */
async function suspend(seconds: number): Promise<void> {
  writeFileSync('/sys/module/suspend/parameters/pm_test_delay', `${seconds}`);
  writeFileSync('/sys/power/pm_test', 'freezer');
  try {
    await promisify(execFile)('sh', ['-c', 'sleep 1; echo freeze > /sys/power/state']);
  } finally {
    writeFileSync('/sys/power/pm_test', 'none');
  }
}

/** Runs `work`. Returns the longest time in seconds for which this process did not run meanwhile. */
async function standstill(work: () => Promise<unknown>): Promise<number> {
  let [longest, last] = [0, performance.now()];
  const look = () => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
  };
  const timer = setInterval(look, 5);
  await work().finally(() => clearInterval(timer));
  look();
  return longest / 1000;
}

/** A guest that streams and sends ioctls before, during and after the suspend. `look` checks a picture. */
async function sleepThrough(
  { driver }: Stage,
  queueOf: (driver: GuestDriver, session: number) => GuestQueue,
  look: (picture: Uint8Array) => void,
): Promise<void> {
  const queue = queueOf(driver, await driver.open());
  await queue.setFormat('YUYV', WIDTH, HEIGHT);
  await queue.start(BUFFERS);
  const frames = async (count: number) => {
    for (let n = 0; n < count; n++) {
      const frame = await queue.next();
      assert.equal(frame.buffer.flags & BufferFlag.ERROR, 0);
      look(queue.bytes(frame)[0]!);
      await queue.queue(frame.buffer.index);
    }
  };
  await frames(2 * BUFFERS);
  let awake = false;
  const suspended = () =>
    suspend(SUSPENDED_S).finally(() => {
      awake = true;
    });
  const goOn = async () => {
    while (!awake) {
      await frames(1);
      const asked = driver.ioctl(queue.session, Ioctl.G_FMT, encoded(format, { type }));
      assert.equal(await errnoOf(asked), 0);
    }
  };
  const stood = await standstill(() => Promise.all([suspended(), goOn()]));
  assert.ok(stood > SUSPENDED_S - 0.5, `stood still for ${stood.toFixed(1)} s only`);
  await frames(4 * BUFFERS);
  await queue.off();
  await queue.release();
  await driver.close(queue.session);
  await driver.close(await driver.open());
}

describe('lab: suspend of the host', function () {
  this.timeout(60_000);
  beforeEach(keepJournal);
  afterEach(function () {
    showJournal(this.currentTest);
  });

  it('vivid: the stream goes on, and commands are answered', async function () {
    provide(this, VIVID);
    await onStage(nodeNamed('vivid-000-vid-cap'), {}, (stage) =>
      sleepThrough(
        stage,
        (driver, session) => new GuestQueue(driver, session, type),
        (picture) => assert.equal(picture.length, WIDTH * HEIGHT * 2),
      ),
    );
    unload(VIVID);
  });

  it('a USB camera that keeps its power: the stream goes on, every picture whole', async function () {
    const camera = await UsbCamera.plugIn(this);
    try {
      await onStage(camera.node, {}, (stage) =>
        sleepThrough(stage, GuestQueue.ofCamera, (picture) => verifyYuy2(picture, WIDTH * HEIGHT * 2)),
      );
    } finally {
      await camera.end();
    }
  });
});
