/** What a guest driver needs of the machine around it: FrontEnd is one; a test can make another over a real VMM. */
import type { DriverQueue } from './driver-queue.js';
import type { Heap } from './heap.js';

export interface InterruptHandler {
  /** The device has interrupted the driver, for whichever queue. */
  poll(): void;
  /** The device is gone for good. */
  fail(reason: Error): void;
}

export interface Machine {
  readonly heap: Heap;
  /** Builds the driver's side of queue `index`. */
  createQueue(index: number): DriverQueue;
  /** Who is to be told of interrupts and of the machine's end; undefined: nobody. */
  attach(driver: InterruptHandler | undefined): void;
  /** DRIVER_OK: everything that the driver has set up becomes visible to the device. */
  ready(): Promise<void>;
  /** Live bytes of the SHM window. RangeError where nothing whole is mapped. */
  window(offset: number, length: number): Uint8Array;
}
