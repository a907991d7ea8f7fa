/**
 * A USB host controller whose driver is bound again, so that its bus gets another number, as after a suspend that it
 * does not survive. The port of a camera stays the same. The kernel as a program has no second controller that could
 * take the number, so there is no test there.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { Errno } from '../../src/errno.js';
import { BufferFlag } from '../../src/v4l2/layout.js';
import { eventually } from '../addon/support/process.js';
import { journalled, keepJournal, showJournal } from './support/daemon-log.js';
import { GuestQueue } from './support/guest-queue.js';
import { errnoOf, onStage, type Stage } from './support/stage.js';
import { UsbCamera } from './support/usb-camera.js';
import { verifyYuy2 } from './support/usb-camera-frame.js';

const WIDTH = 320;
const HEIGHT = 180;
const BUFFERS = 4;
const DRIVER = '/sys/bus/platform/drivers/vhci_hcd';
const CONTROLLERS = ['vhci_hcd.0', 'vhci_hcd.1'] as const;
const BY_PATH = '/dev/v4l/by-path/platform-vhci_hcd.0-usb-0:1:1.0-video-index0';

const isProgram = readFileSync('/proc/cpuinfo', 'latin1').includes('User Mode Linux');

/** The number of the first bus of a controller; by default the camera's. */
function bus(controller: string = CONTROLLERS[0]): number {
  const names = readdirSync(`/sys/devices/platform/${controller}`);
  return Math.min(...names.flatMap((name) => /^usb(\d+)$/.exec(name)?.[1] ?? []).map(Number));
}

const tell = (what: 'bind' | 'unbind', controller: string) => writeFileSync(`${DRIVER}/${what}`, controller);

/** Takes the camera's controller away, with its bus. */
const unbind = () => tell('unbind', CONTROLLERS[0]);

/** The camera's controller comes back with a bus that has not the number `before`, because the other one exchanges it. */
function bind(before: number): void {
  const isFirst = before < bus(CONTROLLERS[1]);
  tell('unbind', CONTROLLERS[1]);
  for (const controller of isFirst ? [...CONTROLLERS].reverse() : CONTROLLERS) tell('bind', controller);
  assert.notEqual(bus(), before, 'the bus has its old number');
}

if (!isProgram)
  describe('lab: the bus of a camera gets another number', function () {
    this.timeout(120_000);
    let camera: UsbCamera;

    beforeEach(async function () {
      keepJournal();
      camera = await UsbCamera.plugIn(this);
    });
    afterEach(async function () {
      showJournal(this.currentTest);
      await camera?.end();
    });

    async function streaming({ driver }: Stage): Promise<GuestQueue> {
      const queue = GuestQueue.ofCamera(driver, await driver.open());
      await queue.setFormat('YUYV', WIDTH, HEIGHT);
      await queue.start(BUFFERS);
      const frame = await queue.next();
      assert.equal(frame.buffer.flags & BufferFlag.ERROR, 0);
      verifyYuy2(queue.bytes(frame)[0]!, WIDTH * HEIGHT * 2);
      return queue;
    }

    /** The controller goes under a stream, and comes back with another bus. `device`: the operator's path. */
    const rebound = (device: string) =>
      onStage(device, {}, async (stage) => {
        const { driver } = stage;
        const old = await streaming(stage);
        const before = bus();
        unbind();
        assert.ok(await eventually(() => journalled('was unplugged').length > 0, 10_000));
        assert.equal(await errnoOf(driver.open()), Errno.ENODEV);
        bind(before);
        await camera.replug();
        const queue = await streaming(stage);
        assert.equal(await errnoOf(old.off()), Errno.ENODEV);
        await queue.off();
      });

    it('the camera is found again by its port', () => rebound(camera.node));

    it('it is found again by the port that the operator named', async () => {
      mkdirSync(dirname(BY_PATH), { recursive: true });
      symlinkSync(camera.node, BY_PATH);
      await rebound(BY_PATH).finally(() => rmSync(BY_PATH));
    });
  });
