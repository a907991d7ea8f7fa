/**
 * The machine that a guest driver runs on: memory, queues, interrupts and SHM region 0. Vmm implements it. A test can
 * implement it over a real VMM.
 */
import type { DriverQueue } from './driver-queue.js';
import type { Heap } from './heap.js';

export interface InterruptHandler {
  /** The device has interrupted the driver. The interrupt does not name a queue. */
  poll(): void;
  /** The device is gone and does not come back. */
  fail(reason: Error): void;
}

export interface Machine {
  readonly heap: Heap;
  /** Builds the driver's side of queue `index`. */
  createQueue(index: number): DriverQueue;
  /** Sets the receiver of interrupts and of the end of the machine; undefined: no receiver. */
  attach(driver: InterruptHandler | undefined): void;
  /** DRIVER_OK: the device sees everything that the driver has set up. */
  ready(): Promise<void>;
  /** Live bytes of SHM region 0; offset and length in bytes. RangeError if the range is not inside one mapping. */
  window(offset: number, length: number): Uint8Array;
}
