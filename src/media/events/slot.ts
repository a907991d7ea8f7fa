/**
 * A descriptor of the eventq in the hand of one session. What one dequeue did not use serves the next: a slot that
 * goes back after each empty dequeue goes to another session that waits, and where more sessions than descriptors
 * take it from each other between DQEVENT and DQBUF, none gets to its frame.
 */
import type { EventQueue } from './eventq.js';

export class Slot {
  readonly #events: EventQueue;
  readonly #resume: (() => void) | null;
  #held = false;

  /**
   * `resume` is called when a descriptor that `take` did not get may be free. null: `take` never fails, for what has to
   * go before an event that is in hand; where the guest has no descriptor, both wait in the eventq, in order.
   */
  constructor(events: EventQueue, resume: (() => void) | null) {
    this.#events = events;
    this.#resume = resume;
  }

  /** True: there is a slot in hand, the one from before or a new one. */
  take(): boolean {
    this.#held ||= this.#resume ? this.#events.reserve(this.#resume) : this.#events.overdraw();
    return this.#held;
  }

  /** The eventq, to send the one event that the slot is for. */
  spend(): EventQueue {
    this.#held = false;
    return this.#events;
  }

  /** At the end: a slot that nothing has used is another's. */
  giveBack(): void {
    if (!this.#held) return;
    this.#held = false;
    this.#events.release();
  }
}
