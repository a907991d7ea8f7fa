/** One queue as the VMM holds it: its three eventfds, and where it goes on after a stop. */
import { closeSync } from 'node:fs';
import { type FdPoller, native, PollEvents } from '../native.js';
import type { DriverQueue } from './driver-queue.js';

export class RingLink {
  readonly index: number;
  readonly kickFd: number;
  readonly callFd: number;
  readonly errorFd: number;
  /** What the back-end returned at the last stop; 0 after a reset. */
  base = 0;
  driver: DriverQueue | undefined;
  /** Times that the back-end has called the ring broken. */
  errors = 0;
  readonly #pollers: FdPoller[];

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
