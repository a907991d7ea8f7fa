/**
 * The time from the moment when a USB camera is plugged in to its first frame: in a guest, whose program tries to open
 * its node, and in a program of the host, which opens the node as soon as udev has named it. The machine has no udev, so
 * the test makes the name, as a rule with SYMLINK does. The bound is checked on the clock that leaps, where nothing but
 * waiting and the steps themselves take time. On other machines the test prints the times only: code in emulation takes
 * thirty times as long.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { BufferType } from '../../src/v4l2/layout.js';
import { keepJournal, showJournal } from './support/daemon-log.js';
import { GuestQueue } from './support/guest-queue.js';
import { isLeaping } from './support/leaping.js';
import { type AnyQueue, HostQueue, start } from './support/native-mmap-queue.js';
import { NativeNode } from './support/native-node.js';
import { errnoOf, onStage, type Stage } from './support/stage.js';
import { UsbCamera } from './support/usb-camera.js';

const WIDTH = 320;
const HEIGHT = 180;
const BUFFERS = 4;
const NAME = '/dev/vmb-lab-timed';
const ROUNDS = 7;
/** Milliseconds between two looks for the node, for its name, and between two OPENs. */
const LOOK_MS = 2;
/** Milliseconds in the guest for one on the host. */
const MOST = 1.3;
const CLASS = '/sys/class/video4linux';

/** Milliseconds since the camera was plugged in. */
interface Times {
  opened: number;
  streaming: number;
  frame: number;
}
const steps = ['opened', 'streaming', 'frame'] as const;

/** Whether the node is that of the USB camera, and not that of its metadata. It may go while it is looked at. */
function isCamera(node: string): boolean {
  try {
    const device = realpathSync(`${CLASS}/${node}/device`);
    return device.includes('vhci_hcd') && readFileSync(`${CLASS}/${node}/index`, 'latin1').trim() === '0';
  } catch {
    return false;
  }
}

describe('lab: time from the plug to the first frame', function () {
  this.timeout(120_000);
  let camera: UsbCamera;

  beforeEach(async function () {
    keepJournal();
    camera = await UsbCamera.plugIn(this);
    name(camera.node);
  });
  afterEach(async function () {
    showJournal(this.currentTest);
    rmSync(NAME, { force: true });
    await camera?.end();
  });

  function name(node: string): void {
    rmSync(NAME, { force: true });
    symlinkSync(node, NAME);
  }

  /** The camera's node, as soon as the kernel has it. */
  async function appeared(): Promise<string> {
    for (;;) {
      const names = existsSync(CLASS) ? readdirSync(CLASS) : [];
      const found = names.find((node) => existsSync(`/dev/${node}`) && isCamera(node));
      if (found) return `/dev/${found}`;
      await sleep(LOOK_MS);
    }
  }

  /** Plugs the camera in, and runs what waits for it meanwhile. */
  async function timed(program: (since: () => number, times: Times) => Promise<void>): Promise<Times> {
    await camera.unplug();
    rmSync(NAME);
    const began = performance.now();
    const plugged = camera.replug();
    const times = {} as Times;
    await Promise.all([plugged, appeared().then(name), program(() => performance.now() - began, times)]);
    return times;
  }

  async function firstFrame(queue: AnyQueue, since: () => number, times: Times): Promise<void> {
    times.opened = since();
    await queue.setFormat('YUYV', WIDTH, HEIGHT);
    await start(queue, BUFFERS);
    times.streaming = since();
    await queue.next();
    times.frame = since();
    await queue.off();
    await queue.release();
  }

  const natively = () =>
    timed(async (since, times) => {
      while (!existsSync(NAME)) await sleep(LOOK_MS);
      await NativeNode.with(NAME, (node) =>
        HostQueue.with(node, BufferType.VIDEO_CAPTURE, (queue) => firstFrame(queue, since, times)),
      );
    });

  const inGuest = ({ driver }: Stage) =>
    timed(async (since, times) => {
      let session = 0;
      const open = async () => {
        session = await driver.open();
      };
      while ((await errnoOf(open())) !== 0) await sleep(LOOK_MS);
      await firstFrame(GuestQueue.ofCamera(driver, session), since, times);
      await driver.close(session);
    });

  for (const [what, path] of [
    ['a name of the operator’s own', () => NAME],
    ['its node', () => camera.node],
  ] as const)
    it(`is in a guest what it is natively, given by ${what}`, () =>
      onStage(path(), {}, async (stage) => {
        const host: Times[] = [];
        const guest: Times[] = [];
        for (let round = 0; round < ROUNDS; round++) {
          host.push(await natively());
          guest.push(await inGuest(stage));
        }
        const median = (all: readonly Times[], step: keyof Times) =>
          all.map((times) => times[step]).sort((a, b) => a - b)[ROUNDS >> 1]!;
        const text = (all: readonly Times[]) =>
          steps.map((step) => `${step} ${median(all, step).toFixed(0)} ms`).join(', ');
        console.log(`      natively: ${text(host)}\n      in a guest: ${text(guest)}`);
        const ratio = median(guest, 'frame') / median(host, 'frame');
        assert.ok(!isLeaping || ratio <= MOST, `${ratio.toFixed(2)} times as long`);
      }));
});
