/** Memory and the device itself are added to and removed from a running QEMU. */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { GuestDriver } from '../../src/client/guest-driver.js';
import { Ioctl } from '../../src/v4l2/ioctls.js';
import { BufferType, Memory, requestBuffers } from '../../src/v4l2/layout.js';
import { nodeNamed, provide } from '../lab/support/kernel-modules.js';
import { Bridge } from './support/bridge.js';
import { Capture } from './support/capture.js';
import { Guest } from './support/guest.js';
import { requires, VIVID, VIVID_NODE } from './support/host.js';
import { freeWithin } from './support/node-claim.js';
import { DEVICE, DEVICE_PROPERTIES, type Shape } from './support/qemu.js';
import { QemuMachine } from './support/qemu-machine.js';
import { BUFFERS, inOrder, startStream, takeFrames } from './support/streaming.js';

const RATE = 10;
const FREE_MS = 3000;
const MORE_RAM = 64 << 20;
/** Registers of PIIX4's ACPI hot-plug: one bit for each slot. */
const EJECT_PORT = 0xae08;
const UNPLUG_MS = 5000;

for (const mode of ['arena', 'direct'] as const) {
  describe(`hot-plug in a real QEMU, --mmap ${mode}`, function () {
    this.timeout(120_000);
    let camera: string;
    let bridge: Bridge;
    let guest: Guest;

    before(async function () {
      requires(this, 'qemu');
      provide(this, VIVID);
      camera = nodeNamed(VIVID_NODE);
      bridge = await Bridge.serve(camera, '--mmap', mode, '--shm-size', '256M');
    });

    afterEach(async function () {
      if (this.currentTest?.state === 'failed')
        console.error(bridge.program.stderr, guest?.qemu.program.stderr);
      await guest?.close();
      await freeWithin(camera, FREE_MS);
    });

    after(() => bridge?.close());

    const boot = async (shape: Partial<Shape>) => {
      guest = await Guest.boot(bridge.socket, shape);
    };

    const nobodyComplains = () => {
      assert.ok(guest.qemu.program.alive);
      assert.equal(guest.qemu.program.stderr, '');
      assert.deepEqual(guest.driver.complaints, []);
    };

    /**
     * Removes the device: the operator requests it and the guest agrees. Resolves when the device is gone, or when QEMU
     * has ended.
     */
    const unplug = async () => {
      const { qmp, qtest, program } = guest.qemu;
      await qmp.execute('device_del', { id: DEVICE.id });
      await qtest.outl(EJECT_PORT, 1 << DEVICE.slot);
      const deadline = Date.now() + UNPLUG_MS;
      for (let there = true; there && program.alive; await delay(20)) {
        assert.ok(Date.now() < deadline, 'the device stays');
        const list = qmp.execute('qom-list', { path: '/machine/peripheral' }).catch(() => []);
        there = ((await list) as { name: string }[]).some(({ name }) => name === DEVICE.id);
      }
    };

    const plug = async () => {
      guest.driver.remove();
      await guest.qemu.qmp.execute('device_add', DEVICE_PROPERTIES);
      guest.machine = await QemuMachine.create(guest.qemu);
      guest.driver = await GuestDriver.probe(guest.machine);
    };

    it('memory that is added in mid-stream: no frame is lost', async () => {
      await boot({ moreRam: MORE_RAM });
      const capture = await startStream(guest, RATE);
      const before = await takeFrames(capture, BUFFERS);
      const { qmp } = guest.qemu;
      const memory = { 'qom-type': 'memory-backend-memfd', id: 'more', size: MORE_RAM, share: true };
      await qmp.execute('object-add', memory);
      await qmp.execute('device_add', { driver: 'pc-dimm', id: 'dimm', memdev: 'more' });
      inOrder([...before, ...(await takeFrames(capture, 2 * BUFFERS))]);
      nobodyComplains();
    });

    it('the device is unplugged after its programs have ended: QEMU lives, and takes it again', async () => {
      await boot({ machine: 'pc' });
      for (let round = 0; round < 2; round++) {
        const capture = await startStream(guest, RATE);
        await takeFrames(capture, BUFFERS);
        await capture.stop();
        await capture.release();
        await capture.close();
        await unplug();
        nobodyComplains();
        await plug();
      }
      await takeFrames(await startStream(guest, RATE), BUFFERS);
      nobodyComplains();
    });

    it('the device is unplugged while a program has it open: the camera is let go, and serves again', async () => {
      await boot({ machine: 'pc' });
      const capture = await Capture.open(guest);
      const buffers = { count: BUFFERS, type: BufferType.VIDEO_CAPTURE, memory: Memory.MMAP };
      await guest.driver.call(capture.session, Ioctl.REQBUFS, requestBuffers, buffers);
      for (let index = 0; index < BUFFERS; index++) await capture.queue(index);
      await capture.start();
      await unplug();
      await freeWithin(camera, FREE_MS);
      await plug();
      await takeFrames(await startStream(guest, RATE), BUFFERS);
      nobodyComplains();
    });

    it('the device is unplugged in mid-stream, after its driver has reset it: QEMU lives', async () => {
      await boot({ machine: 'pc' });
      await startStream(guest, RATE);
      await guest.machine.reset();
      await unplug();
      await freeWithin(camera, FREE_MS);
      await plug();
      await takeFrames(await startStream(guest, RATE), BUFFERS);
      nobodyComplains();
    });

    it('the device is torn out in mid-stream: QEMU aborts, and the next one is served', async () => {
      await boot({ machine: 'pc' });
      await startStream(guest, RATE);
      await unplug();
      assert.deepEqual(await guest.qemu.program.end(), { code: null, signal: 'SIGABRT' });
      await freeWithin(camera, FREE_MS);
      await guest.close();
      await boot({ machine: 'pc' });
      await takeFrames(await startStream(guest, RATE), BUFFERS);
      nobodyComplains();
    });
  });
}
