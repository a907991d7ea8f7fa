/** A USB camera for each test of a suite, the stage on which it is served, and other cameras beside it. */
import assert from 'node:assert/strict';
import { BufferFlag } from '../../../src/v4l2/layout.js';
import { keepJournal, showJournal } from './daemon-log.js';
import { GuestQueue } from './guest-queue.js';
import { errnoOf, Stage } from './stage.js';
import { UsbCamera } from './usb-camera.js';
import { verifyYuy2 } from './usb-camera-frame.js';

const WIDTH = 320;
const HEIGHT = 180;
export const BUFFERS = 4;
/** Options of a camera in another port than the first one. */
export const OTHER_PORT = ['--port', '1'];

/** A session with its format set. */
async function openQueue({ driver }: Stage): Promise<GuestQueue> {
  const queue = GuestQueue.ofCamera(driver, await driver.open());
  await queue.setFormat('YUYV', WIDTH, HEIGHT);
  return queue;
}

/** Checks every byte of some frames, and that each frame comes once. */
async function goodFrames(queue: GuestQueue): Promise<void> {
  const numbers = new Set<number>();
  while (numbers.size < 4) {
    const frame = await queue.next();
    assert.equal(frame.buffer.flags & BufferFlag.ERROR, 0);
    const number = verifyYuy2(queue.bytes(frame)[0]!, WIDTH * HEIGHT * 2);
    assert.ok(!numbers.has(number), `frame ${number} comes twice`);
    numbers.add(number);
    await queue.queue(frame.buffer.index);
  }
}

/** Opens a session, streams, and closes it. */
async function streams(on: Stage): Promise<void> {
  const queue = await openQueue(on);
  await queue.start(BUFFERS);
  await goodFrames(queue);
  await queue.off();
  await queue.release();
  await on.driver.close(queue.session);
}

const openErrno = (on: Stage) => errnoOf(on.driver.open());

/**
 * Adds the hooks of a suite, and gives the camera of each test to `plugged`. `serve` opens the stage of a test, `end`
 * closes it before the test is over. `plugIn`: another camera, with options of its program.
 */
export function servedCamera(plugged: (camera: UsbCamera) => void) {
  let camera: UsbCamera | undefined;
  let others: UsbCamera[] = [];
  let stage: Stage | undefined;

  beforeEach(async function () {
    keepJournal();
    others = [];
    camera = undefined;
    camera = await UsbCamera.plugIn(this);
    plugged(camera);
  });
  afterEach(async function () {
    showJournal(this.currentTest);
    await end();
    for (const other of others) await other.takeAway();
    await camera?.end();
  });

  async function serve(device: string): Promise<Stage> {
    stage = await Stage.open(device);
    return stage;
  }

  async function end(): Promise<void> {
    const served = stage;
    stage = undefined;
    await served?.close();
  }

  async function plugIn(...options: string[]): Promise<UsbCamera> {
    const other = await UsbCamera.plugInBeside(...options);
    others.push(other);
    return other;
  }

  return { serve, end, plugIn, openQueue, goodFrames, streams, openErrno };
}
