/** The eventfds of a ring: the kick, on which the loop may wait, and the rules for those that a VMM sends. */
import { closeSync } from 'node:fs';
import { type FdPoller, native, PollEvents } from '../native.js';
import { Refusal } from './refusal.js';

export class Kick {
  readonly #poller: FdPoller;

  /** Owns the descriptor, and closes it if it cannot be polled. The loop does not wait for it yet. */
  constructor(
    readonly fd: number,
    onReady: () => void,
  ) {
    try {
      this.#poller = new native.FdPoller(fd, onReady);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  /** Whether the loop waits for it. */
  watch(isWanted: boolean): void {
    this.#poller.watch(isWanted ? PollEvents.READABLE : 0);
  }

  /** Takes the kicks so far. */
  drain(): void {
    native.drain(this.fd);
  }

  close(): void {
    this.#poller.close();
    closeSync(this.fd);
  }
}

/** Removes the first descriptor. Throws Refusal if it is not an eventfd: another file could block, or worse. */
export function takeEventFd(descriptors: number[]): number {
  const fd = descriptors[0]!;
  if (!native.isEventFd(fd)) throw new Refusal('a descriptor is not an eventfd');
  descriptors.shift();
  return fd;
}

export function closeIfOpen(fd: number): void {
  if (fd >= 0) closeSync(fd);
}
