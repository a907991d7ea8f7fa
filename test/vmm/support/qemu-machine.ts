/** A real QEMU as the machine of a GuestDriver: rings in its RAM, kicks over its PCI bus, interrupts by MSI-X. */
import { DriverQueue } from '../../../src/client/driver-queue.js';
import { Heap } from '../../../src/client/heap.js';
import type { InterruptHandler, Machine } from '../../../src/client/machine.js';
import { config as configSpace } from '../../../src/media/protocol.js';
import { Virtio } from '../../../src/vhost-user/protocol.js';
import { PciFunction } from './pci.js';
import { type Qemu, RAM_SIZE } from './qemu.js';
import { CapabilityType, type QueueInfo, Status, VIRTIO_VENDOR, VirtioPci } from './virtio-pci.js';

/** The last page of RAM: MSI-X messages are written to it. */
const MESSAGE_ADDRESS = RAM_SIZE - 4096;
const MESSAGE = 1;
/** Memory below and above the hole of the PC's video memory: QEMU announces two regions, and the driver uses both. */
const HEAP = [
  { address: 0x1000, length: 0x9_f000 },
  { address: 0x10_0000, length: MESSAGE_ADDRESS - 0x10_0000 },
];
const WANTED = Virtio.VERSION_1 | Virtio.RING_INDIRECT_DESC | Virtio.RING_EVENT_IDX;
const INTERRUPT_POLL_MS = 1;

export class QemuMachine implements Machine {
  readonly heap: Heap;
  readonly device: VirtioPci;
  readonly features: bigint;
  readonly #queues: readonly QueueInfo[];
  readonly #message: Int32Array;
  #driver: InterruptHandler | undefined;
  #timer: NodeJS.Timeout | undefined;
  #programmed: Promise<unknown>[] = [];

  private constructor(qemu: Qemu, device: VirtioPci, features: bigint, queues: readonly QueueInfo[]) {
    this.device = device;
    this.features = features;
    this.#queues = queues;
    this.heap = new Heap(qemu, HEAP);
    const { buffer, byteOffset } = qemu.view(MESSAGE_ADDRESS, 4);
    this.#message = new Int32Array(buffer, byteOffset, 1).fill(0);
    void qemu.program.exited.then(() => this.#fail(new Error('QEMU has ended')));
  }

  /** Finds the device and initializes it up to FEATURES_OK (VIRTIO 1.4, 3.1.1), whatever its state was. */
  static async create(qemu: Qemu): Promise<QemuMachine> {
    const pci = await PciFunction.find(qemu.qtest, VIRTIO_VENDOR);
    if (!pci) throw new Error('there is no virtio function on bus 0');
    const device = await VirtioPci.setUp(pci);
    await reset(device);
    await device.setStatus(Status.ACKNOWLEDGE | Status.DRIVER);
    const features = (await device.features()) & WANTED;
    await device.acceptFeatures(features);
    await device.setStatus(Status.ACKNOWLEDGE | Status.DRIVER | Status.FEATURES_OK);
    if (!((await device.status()) & Status.FEATURES_OK)) throw new Error('the device refuses the features');
    await device.routeInterrupts(MESSAGE_ADDRESS, MESSAGE);
    const queues: QueueInfo[] = [];
    for (let index = 0; index < (await device.queues()); index++) queues.push(await device.queueInfo(index));
    return new QemuMachine(qemu, device, features, queues);
  }

  createQueue(index: number): DriverQueue {
    const { maximum, notifyAddress } = this.#queues[index]!;
    const queue = new DriverQueue(this.heap, {
      size: maximum,
      indirect: (this.features & Virtio.RING_INDIRECT_DESC) !== 0n,
      eventIdx: (this.features & Virtio.RING_EVENT_IDX) !== 0n,
      kick: () => this.#attempt(this.device.qtest.writew(notifyAddress, index)),
    });
    this.#programmed.push(this.device.enableQueue(index, queue.size, queue.places));
    return queue;
  }

  attach(driver: InterruptHandler | undefined): void {
    clearInterval(this.#timer);
    this.#driver = driver;
    if (driver) this.#timer = setInterval(() => this.#takeMessage(), INTERRUPT_POLL_MS);
  }

  async ready(): Promise<void> {
    await Promise.all(this.#programmed.splice(0));
    await this.device.setStatus((await this.device.status()) | Status.DRIVER_OK);
  }

  /** A real VMM's SHM region 0 is behind its PCI bus: use readWindow. */
  window(): Uint8Array {
    throw new Error('SHM region 0 of a QEMU without a CPU is read by qtest, which takes time: readWindow');
  }

  /** The bytes that the guest reads at `offset` of SHM region 0. */
  readWindow(offset: number, length: number): Promise<Buffer> {
    const { address } = this.device.find(CapabilityType.SHARED_MEMORY);
    return this.device.qtest.read(address + offset, length);
  }

  writeWindow(offset: number, bytes: Uint8Array): Promise<void> {
    const { address } = this.device.find(CapabilityType.SHARED_MEMORY);
    return this.device.qtest.write(address + offset, bytes);
  }

  /** Reads the configuration space 32 bits at a time. Each read is a GET_CONFIG to the back-end. */
  async readConfig() {
    const { address } = this.device.find(CapabilityType.DEVICE);
    const bytes = Buffer.alloc(configSpace.size);
    for (let at = 0; at < bytes.length; at += 4)
      bytes.writeUInt32LE(await this.device.qtest.readl(address + at), at);
    return configSpace.read(bytes);
  }

  /** The guest resets the device. A new driver needs a new machine. */
  async reset(): Promise<void> {
    await reset(this.device);
  }

  #takeMessage(): void {
    if (Atomics.exchange(this.#message, 0, 0) === MESSAGE) this.#driver?.poll();
  }

  #attempt(access: Promise<unknown>): void {
    access.catch((error: Error) => this.#fail(error));
  }

  #fail(reason: Error): void {
    this.#driver?.fail(reason);
    this.attach(undefined);
  }
}

/** 4.1.4.3.2: the driver waits until the device reports that the reset is done. */
async function reset(device: VirtioPci): Promise<void> {
  await device.setStatus(0);
  while ((await device.status()) !== 0);
}
