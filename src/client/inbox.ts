/** The events of one session, until they are read. */
import { CommandTimeout } from './driver-error.js';
import type { MediaEvent } from './event-lane.js';

interface Waiter {
  take(event: MediaEvent): void;
  fail(error: Error): void;
}

export class Inbox {
  readonly #events: MediaEvent[] = [];
  #waiters: Waiter[] = [];
  #handler: ((event: MediaEvent) => void) | undefined;

  /** How many events are not read yet. */
  get waiting(): number {
    return this.#events.length;
  }

  /** Gives waiting and later events to `handler`, in order; undefined: events wait for next() again. */
  handle(handler: ((event: MediaEvent) => void) | undefined): void {
    this.#handler = handler;
    while (this.#handler && this.#events.length > 0) this.#handler(this.#events.shift()!);
  }

  /** Gives the event to the handler, else to the oldest waiting next(), else it waits. */
  deliver(event: MediaEvent): void {
    const take = this.#handler ?? this.#waiters.shift()?.take;
    if (take) take(event);
    else this.#events.push(event);
  }

  /**
   * The next event. Rejects with CommandTimeout if none comes within `timeout` milliseconds. The timer is by hand, because
   * it also takes the waiter away.
   */
  next(timeout: number): Promise<MediaEvent> {
    const first = this.#events.shift();
    if (first) return Promise.resolve(first);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiters = this.#waiters.filter((other) => other !== waiter);
        reject(new CommandTimeout('DQEVENT', timeout));
      }, timeout);
      const waiter: Waiter = {
        take: (event) => {
          clearTimeout(timer);
          resolve(event);
        },
        fail: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      };
      this.#waiters.push(waiter);
    });
  }

  /** Rejects every waiting next() with `error`. */
  close(error: Error): void {
    for (const waiter of this.#waiters.splice(0)) waiter.fail(error);
  }
}
