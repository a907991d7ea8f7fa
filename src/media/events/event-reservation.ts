import type { EventQueue } from './eventq.js';

/**
 * The event reservations of one drain of a session. One descriptor of the eventq is reserved for the next dequeue. If a
 * dequeue returns nothing, the next dequeue of the session uses the same reservation. Otherwise another waiting session
 * would get the descriptor between DQEVENT and DQBUF. With more sessions than descriptors, they would take it from each
 * other, and none would get to its frame.
 */
export class EventReservation {
  readonly #events: EventQueue;
  readonly #resume: (() => void) | null;
  #isTaken = false;
  /** Number of reservations for buffers that are out of the kernel and not sent yet. */
  #kept = 0;

  /**
   * `resume`: called after `take` failed, when a descriptor may be free. Null: `take` never fails. This is for events
   * that must go before an event that is already dequeued. If no descriptor is free, both wait in the eventq, in order.
   */
  constructor(events: EventQueue, resume: (() => void) | null) {
    this.#events = events;
    this.#resume = resume;
  }

  /**
   * Makes sure that there is a reservation for the next dequeue, the earlier one or a new one. False: no descriptor is
   * free. `isAhead`: as if `resume` were null.
   */
  take(isAhead = false): boolean {
    this.#isTaken ||= this.#resume && !isAhead ? this.#events.reserve(this.#resume) : this.#events.overdraw();
    return this.#isTaken;
  }

  /** Uses the reservation up. Returns the eventq; the caller must send exactly one event at once. */
  use(): EventQueue {
    this.#isTaken = false;
    return this.#events;
  }

  /** The dequeue has returned a buffer. Its reservation is kept for `useKept`, and the next dequeue needs another one. */
  keep(): void {
    this.#isTaken = false;
    this.#kept++;
  }

  /** Uses a reservation up that was kept. Returns the eventq; the caller must send exactly one event at once. */
  useKept(): EventQueue {
    this.#kept--;
    return this.#events;
  }

  /** Gives back the reservation for the next dequeue, if there is one. Those that were kept stay. */
  relinquish(): void {
    if (!this.#isTaken) return;
    this.#isTaken = false;
    this.#events.release();
  }

  /** The drain ends: reservations that were not used are free for other sessions. */
  giveBack(): void {
    this.relinquish();
    for (; this.#kept > 0; this.#kept--) this.#events.release();
  }
}
