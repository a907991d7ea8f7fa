/**
 * The eventq: take the slot first, then dequeue. Nothing is ever dropped, because nothing is taken
 * from the kernel that has no descriptor to go to.
 */
import { buffer, EventType, event } from '../../v4l2/layout.js';
import type { Queue } from '../../virtio/queue.js';
import { Turn } from '../../virtio/turn.js';
import { EVENT_BARRIER_MS } from '../policy.js';
import { dqbufEvent, Event, errorEvent, eventHeader, sessionEvent } from '../protocol.js';

/** Which events of a session wait in vain: those of a queue, of a subscription, or all. */
export const stale = {
  framesOf: (type: number) => (waiting: Buffer) =>
    waiting.readUInt32LE(0) === Event.DQBUF &&
    waiting.readUInt32LE(dqbufEvent.offset.buffer + buffer.offset.type) === type,
  eventsOf: (type: number, id: number) => (waiting: Buffer) => {
    if (waiting.readUInt32LE(0) !== Event.EVENT) return false;
    const own = event.read(waiting, sessionEvent.offset.v4l2Event);
    return type === EventType.ALL || (own.type === type && own.id === id);
  },
  all: () => true,
} as const;

interface Barrier {
  /** Events that were sent before the barrier, those that wait for a descriptor included; passed when the driver has given as many back. */
  pushed: number;
  readonly pass: () => void;
}

export class EventQueue {
  #queue: Queue | null = null;
  /** Descriptors promised to dequeues that are under way. */
  #reserved = 0;
  /** Events whose promised descriptor was overdrawn, broken, or is gone (device paused): each had a reservation. */
  #unsent: Buffer[] = [];
  /** How many descriptors circulate: the most that were ever out of our hands' reach at once. */
  #pool = 0;
  #barriers: Barrier[] = [];
  #starved = new Set<() => void>();

  readonly #resume = (): void => this.kicked();

  constructor(private readonly turn = new Turn()) {}

  get running(): boolean {
    return this.#queue !== null;
  }

  start(queue: Queue): void {
    this.#queue = queue;
    this.#pool = 0;
    this.kicked();
  }

  stop(): void {
    this.#queue = null;
    for (const barrier of [...this.#barriers]) barrier.pass();
  }

  /** The guest reset the device: what was not sent concerns sessions that are gone. */
  reset(): void {
    this.#unsent = [];
    this.#starved.clear();
  }

  /** The driver made descriptors available. */
  kicked(): void {
    const queue = this.#queue;
    if (!queue) return;
    do {
      this.#observe(queue);
      this.#sendUnsent(queue);
      this.#passBarriers(queue);
      this.#feed();
    } while (queue.enableKicks());
    queue.notify();
  }

  /** Promises a descriptor to the caller. False: none is free; `resume` is called when that may have changed. */
  reserve(resume: () => void): boolean {
    if (this.#free() > 0) {
      this.#reserved++;
      return true;
    }
    this.#starved.add(resume);
    return false;
  }

  /** A promise whether a descriptor is free or not: its event waits here for one, and goes before all later ones. */
  overdraw(): true {
    this.#reserved++;
    return true;
  }

  /** Gives back a promise that was not used. */
  release(): void {
    this.#reserved--;
    if (this.#starved.size > 0) this.#feed();
  }

  /** Forgets a caller that waits for a descriptor. */
  forget(resume: () => void): void {
    this.#starved.delete(resume);
  }

  /** DQBUF of a reserved slot: always all 608 bytes. */
  sendBuffer(sessionId: number, buffer: Uint8Array, planes: Uint8Array): void {
    this.#send(dqbufEvent.encode({ event: Event.DQBUF, sessionId, buffer, planes }));
  }

  /** EVENT of a reserved slot. */
  sendEvent(sessionId: number, v4l2Event: Uint8Array): void {
    this.#send(sessionEvent.encode({ event: Event.EVENT, sessionId, v4l2Event }));
  }

  /** ERROR of a reserved slot. */
  sendError(sessionId: number, errno: number): void {
    this.#send(errorEvent.encode({ event: Event.ERROR, sessionId, errno, reserved: 0 }));
  }

  /**
   * Resolves when every event sent so far has been processed by the driver (it gives each descriptor
   * back right after), or after `EVENT_BARRIER_MS`: no stale event can then follow an answer.
   */
  barrier(limit: number): Promise<void> {
    const queue = this.#queue;
    const pushed = (queue?.pushed ?? 0) + this.#unsent.length;
    if (!queue || this.#returned(queue) >= pushed) return Promise.resolve();
    return new Promise((resolve) => {
      const pass = (): void => {
        clearTimeout(timer);
        this.#barriers = this.#barriers.filter((other) => other !== barrier);
        resolve();
      };
      const barrier: Barrier = { pushed, pass };
      const timer = setTimeout(pass, Math.min(EVENT_BARRIER_MS, limit));
      this.#barriers.push(barrier);
    });
  }

  /**
   * Resolves when every event that was sent is in the ring, or when the ring has no descriptor for it: no answer can then
   * overtake an event only because the turn was used up. `isOff`: the caller does not wait any longer.
   */
  async flushed(isOff: () => boolean): Promise<void> {
    while (this.#unsent.length > 0 && (this.#queue?.waiting ?? 0) > 0 && !isOff()) await this.turn.next();
  }

  /** Forgets events of a session that still wait for a descriptor, those for which `isStale`: their time is over. */
  discard(sessionId: number, isStale: (waiting: Buffer) => boolean): void {
    const { sessionId: id } = eventHeader.offset;
    this.#unsent = this.#unsent.filter((each) => each.readUInt32LE(id) !== sessionId || !isStale(each));
    const most = (this.#queue?.pushed ?? 0) + this.#unsent.length;
    for (const barrier of this.#barriers) barrier.pushed = Math.min(barrier.pushed, most);
  }

  #free(): number {
    const queue = this.#queue;
    if (!queue) return 0;
    this.#observe(queue);
    return queue.waiting - this.#reserved - this.#unsent.length;
  }

  #send(event: Buffer): void {
    this.#reserved--;
    if (this.#unsent.length > 0 || !this.#push(event)) this.#unsent.push(event);
  }

  /** False: no descriptor holds the event. Those that are too small go back empty: a part of an event is a lost one. */
  #push(event: Buffer): boolean {
    const queue = this.#queue;
    if (!queue) return false;
    let sent = false;
    while (!sent && !this.turn.over) {
      const chain = queue.pop(this.turn);
      if (!chain) break;
      sent = chain.writableLength >= event.length && chain.reply([event]) === event.length;
      queue.push(chain, sent ? event.length : 0);
    }
    queue.notify();
    // A driver that makes nothing but bad descriptors available must not keep the loop from others.
    if (!sent && this.turn.over) this.turn.goOn(this.#resume);
    return sent;
  }

  #sendUnsent(queue: Queue): void {
    while (this.#unsent.length > 0 && queue.waiting > 0 && this.#push(this.#unsent[0]!)) this.#unsent.shift();
  }

  #observe(queue: Queue): void {
    this.#pool = Math.max(this.#pool, queue.madeAvailable - queue.pushed);
  }

  /** How many sent events the driver has given back. */
  #returned(queue: Queue): number {
    return queue.madeAvailable - this.#pool;
  }

  #passBarriers(queue: Queue): void {
    const returned = this.#returned(queue);
    for (const barrier of this.#barriers.filter(({ pushed }) => returned >= pushed)) barrier.pass();
  }

  #feed(): void {
    if (this.#starved.size === 0 || this.#free() <= 0) return;
    const waiting = [...this.#starved];
    this.#starved.clear();
    for (const resume of waiting) resume();
  }
}

/**
 * A descriptor of the eventq in the hand of one session. What one dequeue did not use serves the next: a slot that
 * goes back after each empty dequeue goes to another session that waits, and where more sessions than descriptors
 * take it from each other between DQEVENT and DQBUF, none gets to its frame.
 */
export class EventReservation {
  readonly #events: EventQueue;
  readonly #resume: (() => void) | null;
  #isTaken = false;

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
    this.#isTaken ||= this.#resume ? this.#events.reserve(this.#resume) : this.#events.overdraw();
    return this.#isTaken;
  }

  /** The eventq, to send the one event that the slot is for. */
  use(): EventQueue {
    this.#isTaken = false;
    return this.#events;
  }

  /** At the end: a slot that nothing has used is another's. */
  giveBack(): void {
    if (!this.#isTaken) return;
    this.#isTaken = false;
    this.#events.release();
  }
}
