/** The virtio registers of a PCI function (VIRTIO 1.4, 4.1.4). */
import type { RingPlaces } from '../../../src/client/driver-queue.js';
import type { BarRange, PciCapability, PciFunction } from './pci.js';
import type { Qtest } from './qtest.js';

export const VIRTIO_VENDOR = 0x1af4;
/** 4.1.2.1: PCI device ids of virtio devices start here. */
export const VIRTIO_DEVICE_BASE = 0x1040;
/** 4.1.4: cfg_type. */
export const CapabilityType = { COMMON: 1, NOTIFY: 2, ISR: 3, DEVICE: 4, PCI: 5, SHARED_MEMORY: 8 } as const;
/** 2.1. */
export const Status = { ACKNOWLEDGE: 1, DRIVER: 2, DRIVER_OK: 4, FEATURES_OK: 8 } as const;

const PciCapabilityId = { VENDOR: 0x09, MSIX: 0x11 } as const;
/** 4.1.4.3: struct virtio_pci_common_cfg. */
const Common = {
  DEVICE_FEATURE_SELECT: 0,
  DEVICE_FEATURE: 4,
  DRIVER_FEATURE_SELECT: 8,
  DRIVER_FEATURE: 12,
  CONFIG_MSIX_VECTOR: 16,
  NUM_QUEUES: 18,
  STATUS: 20,
  QUEUE_SELECT: 22,
  QUEUE_SIZE: 24,
  QUEUE_MSIX_VECTOR: 26,
  QUEUE_ENABLE: 28,
  QUEUE_NOTIFY_OFF: 30,
  QUEUE_DESC: 32,
  QUEUE_DRIVER: 40,
  QUEUE_DEVICE: 48,
} as const;
/** One entry of the MSI-X table: address, data, mask. */
const Msix = { ADDRESS: 0, DATA: 8, CONTROL: 12, ENABLE: 0x8000_0000 } as const;

export interface VirtioCapability extends BarRange {
  readonly type: number;
  readonly bar: number;
  readonly id: number;
  readonly notifyMultiplier: number;
}

export interface QueueInfo {
  readonly maximum: number;
  readonly notifyAddress: number;
}

export class VirtioPci {
  readonly capabilities: readonly VirtioCapability[];
  readonly qtest: Qtest;
  readonly #function: PciFunction;
  readonly #bars: ReadonlyMap<number, BarRange>;
  readonly #msix: PciCapability;
  readonly #common: number;

  private constructor(pci: PciFunction, bars: Map<number, BarRange>, capabilities: PciCapability[]) {
    this.#function = pci;
    this.qtest = pci.qtest;
    this.#bars = bars;
    this.capabilities = capabilities
      .filter(({ id }) => id === PciCapabilityId.VENDOR)
      .map(({ bytes }) => virtioCapability(bytes, bars));
    this.#msix = capabilities.find(({ id }) => id === PciCapabilityId.MSIX)!;
    this.#common = this.find(CapabilityType.COMMON).address;
  }

  static async setUp(pci: PciFunction): Promise<VirtioPci> {
    const bars = await pci.placeBars();
    return new VirtioPci(pci, bars, await pci.capabilities());
  }

  /** The capability of that type. Throws if the device has none. */
  find(type: number): VirtioCapability {
    const found = this.capabilities.find((capability) => capability.type === type);
    if (!found) throw new Error(`the device has no virtio capability of type ${type}`);
    return found;
  }

  status(): Promise<number> {
    return this.qtest.readb(this.#common + Common.STATUS);
  }

  setStatus(value: number): Promise<void> {
    return this.qtest.writeb(this.#common + Common.STATUS, value);
  }

  queues(): Promise<number> {
    return this.qtest.readw(this.#common + Common.NUM_QUEUES);
  }

  /** All feature bits that the device offers. */
  async features(): Promise<bigint> {
    let features = 0n;
    for (const half of [0, 1]) {
      await this.qtest.writel(this.#common + Common.DEVICE_FEATURE_SELECT, half);
      const bits = await this.qtest.readl(this.#common + Common.DEVICE_FEATURE);
      features |= BigInt(bits) << BigInt(32 * half);
    }
    return features;
  }

  async acceptFeatures(features: bigint): Promise<void> {
    for (const half of [0, 1]) {
      await this.qtest.writel(this.#common + Common.DRIVER_FEATURE_SELECT, half);
      const bits = Number((features >> BigInt(32 * half)) & 0xffff_ffffn);
      await this.qtest.writel(this.#common + Common.DRIVER_FEATURE, bits);
    }
  }

  async queueInfo(index: number): Promise<QueueInfo> {
    await this.qtest.writew(this.#common + Common.QUEUE_SELECT, index);
    const maximum = await this.qtest.readw(this.#common + Common.QUEUE_SIZE);
    const offset = await this.qtest.readw(this.#common + Common.QUEUE_NOTIFY_OFF);
    const notify = this.find(CapabilityType.NOTIFY);
    return { maximum, notifyAddress: notify.address + offset * notify.notifyMultiplier };
  }

  /** Writes only; all writes are sent before this returns. So the next command that is sent finds the queue enabled. */
  enableQueue(index: number, size: number, places: RingPlaces): Promise<unknown> {
    const { qtest } = this;
    const at = (register: number) => this.#common + register;
    const address = (register: number, value: number) => [
      qtest.writel(at(register), value % 2 ** 32),
      qtest.writel(at(register + 4), Math.floor(value / 2 ** 32)),
    ];
    return Promise.all([
      qtest.writew(at(Common.QUEUE_SELECT), index),
      qtest.writew(at(Common.QUEUE_SIZE), size),
      qtest.writew(at(Common.QUEUE_MSIX_VECTOR), 0),
      ...address(Common.QUEUE_DESC, places.descriptors),
      ...address(Common.QUEUE_DRIVER, places.available),
      ...address(Common.QUEUE_DEVICE, places.used),
      qtest.writew(at(Common.QUEUE_ENABLE), 1),
    ]);
  }

  /** Makes every interrupt write `data` to guest memory at `address`. */
  async routeInterrupts(address: number, data: number): Promise<void> {
    const { bytes, at } = this.#msix;
    const place = bytes.readUInt32LE(4);
    const table = this.#bars.get(place & 7)!.address + (place & ~7);
    await this.qtest.writel(table + Msix.ADDRESS, address % 2 ** 32);
    await this.qtest.writel(table + Msix.ADDRESS + 4, Math.floor(address / 2 ** 32));
    await this.qtest.writel(table + Msix.DATA, data);
    await this.qtest.writel(table + Msix.CONTROL, 0);
    await this.#function.writeRegister(at, bytes.readUInt32LE(0) | Msix.ENABLE);
    await this.qtest.writew(this.#common + Common.CONFIG_MSIX_VECTOR, 0);
  }
}

/** 4.1.4: struct virtio_pci_cap; 4.1.4.4: notify_off_multiplier; 4.1.4.7: struct virtio_pci_cap64. */
function virtioCapability(bytes: Buffer, bars: Map<number, BarRange>): VirtioCapability {
  const type = bytes[3]!;
  const bar = bytes[4]!;
  const isWide = type === CapabilityType.SHARED_MEMORY;
  const high = (at: number) => (isWide ? bytes.readUInt32LE(at) * 2 ** 32 : 0);
  const offset = bytes.readUInt32LE(8) + high(16);
  return {
    type,
    bar,
    id: bytes[5]!,
    address: (bars.get(bar)?.address ?? Number.NaN) + offset,
    size: bytes.readUInt32LE(12) + high(20),
    notifyMultiplier: type === CapabilityType.NOTIFY ? bytes.readUInt32LE(16) : 0,
  };
}
