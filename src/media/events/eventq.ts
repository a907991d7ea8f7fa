/** The eventq. A descriptor is reserved before an event leaves the kernel, so no event is ever dropped. */
import type { NativeRing } from '../../native-ring.js';
import { buffer, EventType, event } from '../../v4l2/layout.js';
import type { Queue } from '../../virtio/queue.js';
import { Turn } from '../../virtio/turn.js';
import { EVENT_BARRIER_MS } from '../policy.js';
import { dqbufEvent, Event, errorEvent, eventHeader, sessionEvent } from '../protocol.js';

/** Tests whether an unsent event (`waiting`) is stale: those of a queue, those of a subscription, or all. */
export const stale = {
  /** DQBUF events of a queue. `type`: V4L2_BUF_TYPE_*. */
  framesOf: (type: number) => (waiting: Buffer) =>
    waiting.readUInt32LE(0) === Event.DQBUF &&
    waiting.readUInt32LE(dqbufEvent.offset.buffer + buffer.offset.type) === type,
  /** V4L2 events of a subscription. `type`: V4L2_EVENT_*; V4L2_EVENT_ALL: all subscriptions. */
  eventsOf: (type: number, id: number) => (waiting: Buffer) => {
    if (waiting.readUInt32LE(0) !== Event.EVENT) return false;
    const own = event.read(waiting, sessionEvent.offset.v4l2Event);
    return type === EventType.ALL || (own.type === type && own.id === id);
  },
  all: () => true,
} as const;

interface Barrier {
  /** Number of events before the barrier, including unsent ones. It ends when the driver has given back as many. */
  pushed: number;
  readonly pass: () => void;
}

/** The eventq of a device. */
export class EventQueue {
  #queue: Queue | null = null;
  /** Number of event reservations. */
  #reserved = 0;
  /** Events with a reservation but no usable descriptor (overdrawn, malformed, or the device is paused). */
  #unsent: Buffer[] = [];
  #barriers: Barrier[] = [];
  /** Events of `together` are being sent: no interrupt before the last one. */
  #isQuiet = false;
  /** Called when a descriptor may be free. */
  #starved = new Set<() => void>();

  readonly #resume = (): void => this.kicked();

  constructor(private readonly turn = new Turn()) {}

  /** The queue is started. */
  get running(): boolean {
    return this.#queue !== null;
  }

  /** The queue starts: unsent events are sent now. */
  start(queue: Queue): void {
    this.#queue = queue;
    this.#claim();
    this.kicked();
  }

  /** The queue stops: events stay unsent, and every barrier ends. */
  stop(): void {
    this.#queue = null;
    for (const barrier of [...this.#barriers]) barrier.pass();
  }

  /** The guest has reset the device: unsent events belong to sessions that no longer exist. */
  reset(): void {
    this.#unsent = [];
    this.#claim();
    this.#starved.clear();
  }

  /** The driver has made descriptors available. */
  kicked(): void {
    const queue = this.#queue;
    if (!queue) return;
    do {
      this.#sendUnsent(queue);
      this.#passBarriers(queue);
      this.#feed();
    } while (this.#waits ? queue.enableKicks() : queue.disableKicks());
    queue.notify();
  }

  /** Something waits for the driver to make descriptors available. If nothing does, a kick would only wake the loop. */
  get #waits(): boolean {
    return this.#starved.size + this.#unsent.length + this.#barriers.length > 0;
  }

  /** Something waits from now on. Chains may have come while no kick was wanted. */
  #await(): void {
    if (this.#queue?.enableKicks()) this.turn.goOn(this.#resume);
  }

  /** Reserves a descriptor. False: none is free; `resume` is called when one may be free. */
  reserve(resume: () => void): boolean {
    const isFree = this.#queue?.claimOne() ?? false;
    if (isFree) this.#reserved++;
    else {
      this.#starved.add(resume);
      this.#await();
    }
    return isFree;
  }

  /** Reserves even if no descriptor is free. The event then waits here for a descriptor, before all later events. */
  overdraw(): true {
    this.#reserved++;
    this.#claim();
    return true;
  }

  /** Gives back a reservation that was not used. */
  release(): void {
    this.#reserved--;
    this.#claim();
    if (this.#starved.size > 0) this.#feed();
  }

  /** Forgets a caller that waits for a descriptor. */
  forget(resume: () => void): void {
    this.#starved.delete(resume);
  }

  /** `send` sends events. The driver is interrupted once, when it can find all of them. */
  together(send: () => void): void {
    this.#isQuiet = true;
    try {
      send();
    } finally {
      this.#isQuiet = false;
      this.#queue?.notify();
    }
  }

  /** Sends EVT_DQBUF on a reserved descriptor: always 608 bytes. `buffer`: 88 bytes; `planes`: 512 bytes. */
  sendBuffer(sessionId: number, buffer: Uint8Array, planes: Uint8Array): void {
    this.#send(dqbufEvent.encode({ event: Event.DQBUF, sessionId, buffer, planes }));
  }

  /** Sends EVT_EVENT on a reserved descriptor. `v4l2Event`: struct v4l2_event, 136 bytes. */
  sendEvent(sessionId: number, v4l2Event: Uint8Array): void {
    this.#send(sessionEvent.encode({ event: Event.EVENT, sessionId, v4l2Event }));
  }

  /** Sends EVT_ERROR on a reserved descriptor. */
  sendError(sessionId: number, errno: number): void {
    this.#send(errorEvent.encode({ event: Event.ERROR, sessionId, errno, reserved: 0 }));
  }

  /**
   * Resolves when the driver has processed every event that was sent so far, or after `limit` ms, at most
   * EVENT_BARRIER_MS. The driver gives each descriptor back right after it has processed the event. So no stale event
   * can reach the driver after an answer. The timer is by hand, because p-timeout takes no limit of 0.
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
      this.#await();
    });
  }

  /**
   * Resolves when every event that was sent is in the ring, or when the ring has no descriptor for it: no answer can then
   * overtake an event only because the turn was used up. `isOff`: the caller does not wait any longer.
   */
  async flushed(isOff: () => boolean): Promise<void> {
    while (this.#unsent.length > 0 && (this.#queue?.waiting ?? 0) > 0 && !isOff()) await this.turn.next();
  }

  /** Drops unsent events of a session for which `isStale` returns true. */
  discard(sessionId: number, isStale: (waiting: Buffer) => boolean): void {
    const { sessionId: id } = eventHeader.offset;
    this.#unsent = this.#unsent.filter((each) => each.readUInt32LE(id) !== sessionId || !isStale(each));
    this.#claim();
    const most = (this.#queue?.pushed ?? 0) + this.#unsent.length;
    for (const barrier of this.#barriers) barrier.pushed = Math.min(barrier.pushed, most);
  }

  /** For the frames that threads send; null: none. */
  get shared(): NativeRing | null {
    return this.#queue?.shared ?? null;
  }

  /** Sends an event that a thread could not send. */
  sendUntold(event: Buffer): void {
    if (this.overdraw()) this.#send(event);
  }

  #claim(): void {
    this.#queue?.claim(this.#reserved + this.#unsent.length, this.#unsent.length > 0);
  }

  /** Sends an event on a reserved descriptor, after all unsent ones. */
  #send(event: Buffer): void {
    if (this.#unsent.length > 0 || !this.#push(event)) {
      this.#unsent.push(event);
      this.#await();
    }
    this.#reserved--;
    this.#claim();
  }

  /** False: no descriptor was large enough. Smaller ones go back empty, because a part of an event would be useless. */
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
    if (!this.#isQuiet) queue.notify();
    // A driver that makes only bad descriptors available must not block the loop.
    if (!sent && this.turn.over) this.turn.goOn(this.#resume);
    return sent;
  }

  #sendUnsent(queue: Queue): void {
    if (this.#unsent.length === 0) return;
    while (this.#unsent.length > 0 && queue.waiting > 0 && this.#push(this.#unsent[0]!)) this.#unsent.shift();
    this.#claim();
  }

  /** Number of descriptors that the driver has given back after their events. */
  #returned(queue: Queue): number {
    return queue.madeAvailable - queue.pool;
  }

  #passBarriers(queue: Queue): void {
    const returned = this.#returned(queue);
    for (const barrier of this.#barriers.filter(({ pushed }) => returned >= pushed)) barrier.pass();
  }

  /** Resumes callers that wait for a descriptor. */
  #feed(): void {
    if (this.#starved.size === 0 || (this.#queue?.free ?? 0) <= 0) return;
    const waiting = [...this.#starved];
    this.#starved.clear();
    for (const resume of waiting) resume();
  }
}
