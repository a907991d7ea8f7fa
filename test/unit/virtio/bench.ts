/** One queue with 8 MiB of guest RAM, and the driver's side of it. */
import { GuestMemory } from '../../../src/virtio/guest-memory.js';
import { Queue, type QueueOptions, type Rings } from '../../../src/virtio/queue.js';
import { anotherDescriptor, DriverRing, GuestRam } from './driver.js';

export const GUEST = 0x4000_0000;
export const USER = 0x7f12_3456_0000;
export const RAM = 8 * 1024 * 1024;
/** Buffers start at this offset in RAM. The rings are below it. */
export const BUFFERS = 0x20_0000;
const PLACE = { descriptors: 0x0, available: 0x10_0000, used: 0x14_0000 };

export interface BenchOptions extends Partial<Pick<QueueOptions, 'size' | 'base' | 'eventIdx' | 'indirect'>> {
  /** avail idx and used idx before the start. */
  start?: number;
}

export class Bench {
  readonly ram = new GuestRam(RAM);
  readonly memory = new GuestMemory();
  readonly ring: DriverRing;
  notifications = 0;
  broken: string[] = [];
  readonly #options: BenchOptions;

  constructor(options: BenchOptions = {}) {
    this.#options = options;
    this.ring = new DriverRing(this.ram.bytes, options.size ?? 8, PLACE, options.start ?? 0);
    const region = { guestAddress: GUEST, size: RAM, userAddress: USER, fileOffset: 0 };
    this.memory.add(region, anotherDescriptor(this.ram.fd));
  }

  get rings(): Rings {
    const { size = 8 } = this.#options;
    const view = (offset: number, length: number) => this.memory.ring(USER + offset, length) as Uint8Array;
    return {
      descriptors: view(PLACE.descriptors, 16 * size),
      available: view(PLACE.available, 6 + 2 * size),
      used: view(PLACE.used, 6 + 8 * size),
    };
  }

  queue(overrides: Partial<QueueOptions> = {}): Queue {
    const { size = 8, base, start = 0, eventIdx = false, indirect = true } = this.#options;
    return new Queue({
      memory: this.memory,
      size,
      rings: this.rings,
      base: base ?? start,
      eventIdx,
      indirect,
      notify: () => {
        this.notifications++;
      },
      onBroken: (why) => {
        this.broken.push(why);
      },
      ...overrides,
    });
  }

  /** Copies `bytes` to byte `at` of the buffers. Returns the guest address. */
  put(at: number, bytes: Uint8Array): number {
    this.ram.bytes.set(bytes, BUFFERS + at);
    return GUEST + BUFFERS + at;
  }

  /** A copy of `length` bytes of the buffers. */
  seen(at: number, length: number): Buffer {
    return Buffer.from(this.ram.bytes.subarray(BUFFERS + at, BUFFERS + at + length));
  }

  close(): void {
    this.memory.close();
    this.ram.close();
  }
}
