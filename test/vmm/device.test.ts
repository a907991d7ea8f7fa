/** What a guest of a real QEMU finds on its PCI bus. */
import assert from 'node:assert/strict';
import { Capability } from '../../src/v4l2/layout.js';
import { Virtio } from '../../src/vhost-user/protocol.js';
import { nodeNamed, provide } from '../lab/support/kernel-modules.js';
import { Bridge } from './support/bridge.js';
import { requires, VIVID, VIVID_NODE } from './support/host.js';
import { PciFunction } from './support/pci.js';
import { Qemu, VIRTIO_ID } from './support/qemu.js';
import { QemuMachine } from './support/qemu-machine.js';
import { CapabilityType, Status, VIRTIO_DEVICE_BASE, VIRTIO_VENDOR } from './support/virtio-pci.js';

const WINDOW_SIZE = 256 << 20;

for (const mode of ['arena', 'direct'] as const) {
  describe(`a real QEMU shows its guest the device, --mmap ${mode}`, function () {
    this.timeout(120_000);
    let camera: string;
    let bridge: Bridge;
    let qemu: Qemu;
    let machine: QemuMachine;

    before(async function () {
      requires(this, 'qemu');
      provide(this, VIVID);
      camera = nodeNamed(VIVID_NODE);
      bridge = await Bridge.serve(camera, '--mmap', mode, '--shm-size', '256M');
      qemu = await Qemu.start(bridge.socket);
      machine = await QemuMachine.create(qemu);
    });

    after(async () => {
      await qemu?.close();
      await bridge?.close();
    });

    it('as a virtio function of its number', async () => {
      const pci = await PciFunction.find(qemu.qtest, VIRTIO_VENDOR);
      assert.equal(pci?.device, VIRTIO_DEVICE_BASE + VIRTIO_ID);
      assert.equal((await pci.subsystem()).vendor, VIRTIO_VENDOR);
    });

    it('with SHM region 0 of the size that was asked for, in a BAR of its own', () => {
      const regions = machine.device.capabilities.filter(({ type }) => type === CapabilityType.SHARED_MEMORY);
      assert.equal(regions.length, 1);
      const { id, bar, size, address } = regions[0]!;
      assert.deepEqual({ id, bar, size }, { id: 0, bar: 4, size: WINDOW_SIZE });
      assert.equal(address % WINDOW_SIZE, 0);
    });

    it('with the features that a driver needs, and two queues', async () => {
      const features = await machine.device.features();
      for (const name of ['VERSION_1', 'RING_INDIRECT_DESC', 'RING_EVENT_IDX'] as const)
        assert.ok(features & Virtio[name], name);
      assert.equal(await machine.device.queues(), 2);
      assert.equal(await machine.device.status(), Status.ACKNOWLEDGE | Status.DRIVER | Status.FEATURES_OK);
    });

    it('with the configuration of the node: streaming, and not read()', async () => {
      const { deviceCaps, deviceType, card } = await machine.readConfig();
      const { VIDEO_CAPTURE, STREAMING, READWRITE, DEVICE_CAPS } = Capability;
      assert.equal(deviceCaps & (VIDEO_CAPTURE | STREAMING), VIDEO_CAPTURE | STREAMING);
      assert.equal(deviceCaps & (READWRITE | DEVICE_CAPS), 0);
      assert.deepEqual({ deviceType, card }, { deviceType: 0, card: 'vivid' });
    });

    it('with the same configuration byte by byte, as the Linux driver reads the name', async () => {
      const { address } = machine.device.find(CapabilityType.DEVICE);
      const bytes: number[] = [];
      for (let at = 8; at < 40; at++) bytes.push(await qemu.qtest.readb(address + at));
      assert.equal(Buffer.from(bytes).toString(), 'vivid'.padEnd(32, '\0'));
    });

    it('with an empty SHM region 0 while nothing is mapped', async () => {
      assert.deepEqual(await machine.readWindow(0, 4096), Buffer.alloc(4096));
    });

    it('and neither side has anything to complain about', async () => {
      assert.deepEqual(await qemu.quit(), { code: 0, signal: null });
      assert.equal(qemu.program.stderr, '');
      assert.deepEqual(await bridge.stop(1000), { code: 0, signal: null });
    });
  });
}
