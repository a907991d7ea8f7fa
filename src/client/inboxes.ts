/** Delivers events to the open sessions, an inbox for each. */
import type { MediaEvent } from './event-lane.js';
import { Inbox } from './inbox.js';
import type { QueuedBuffers } from './queued-buffers.js';

export class Inboxes {
  readonly #inboxes = new Map<number, Inbox>();

  /** `complain` gets a sentence about each event that the Linux driver could not handle. */
  constructor(
    private readonly queued: QueuedBuffers,
    private readonly complain: (sentence: string) => void,
  ) {}

  /** OPEN has given this session. */
  opened(sessionId: number): void {
    if (this.#inboxes.has(sessionId)) this.complain(`OPEN gave session ${sessionId}, which is open`);
    this.#inboxes.set(sessionId, new Inbox());
  }

  /** The session's inbox. Throws if the session is not open. */
  of(sessionId: number): Inbox {
    const inbox = this.#inboxes.get(sessionId);
    if (!inbox) throw new Error(`session ${sessionId} is not open`);
    return inbox;
  }

  deliver(event: MediaEvent): void {
    const { sessionId } = event;
    const inbox = this.#inboxes.get(sessionId);
    if (!inbox) return this.complain(`${event.kind} event for session ${sessionId}, which is not open`);
    if (event.kind === 'dqbuf') {
      const { type, index } = event.buffer;
      if (!this.queued.dequeue(sessionId, type, index))
        this.complain(`DQBUF event for buffer ${index} of type ${type}, which is not queued`);
    }
    inbox.deliver(event);
  }

  /** The session is closed: whoever waits for its next event gets an error. */
  closed(sessionId: number): void {
    this.queued.closed(sessionId);
    this.#inboxes.get(sessionId)?.close(new Error(`session ${sessionId} was closed`));
    this.#inboxes.delete(sessionId);
  }

  /** The device is gone: whoever waits for an event gets `error`. */
  fail(error: Error): void {
    for (const inbox of this.#inboxes.values()) inbox.close(error);
  }
}
