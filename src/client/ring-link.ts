/** The VMM's side of one queue: three eventfds, and the index where the queue continues after a stop. */
import { closeSync } from 'node:fs';
import { type FdPoller, native, PollEvents } from '../native.js';
import type { DriverQueue } from './driver-queue.js';

export class RingLink {
  readonly index: number;
  readonly kickFd: number;
  readonly callFd: number;
  readonly errorFd: number;
  /** Index that the back-end returned to GET_VRING_BASE at the last stop; 0 after a reset. */
  base = 0;
  driver: DriverQueue | undefined;
  /** How often the back-end has signalled the err descriptor: the ring is broken. */
  errors = 0;
  readonly #pollers: FdPoller[];

  /** `onCall` runs when the back-end interrupts the guest for this queue. */
  constructor(index: number, onCall: () => void) {
    this.index = index;
    this.kickFd = native.eventFd();
    this.callFd = native.eventFd();
    this.errorFd = native.eventFd();
    this.#pollers = [
      poll(this.callFd, onCall),
      poll(this.errorFd, () => {
        this.errors++;
      }),
    ];
  }

  kick(): void {
    native.signal(this.kickFd);
  }

  close(): void {
    for (const poller of this.#pollers.splice(0)) poller.close();
    for (const fd of [this.kickFd, this.callFd, this.errorFd]) closeSync(fd);
  }
}

function poll(fd: number, handler: () => void): FdPoller {
  const poller = new native.FdPoller(fd, () => {
    native.drain(fd);
    handler();
  });
  poller.watch(PollEvents.READABLE);
  return poller;
}
