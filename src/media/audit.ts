/**
 * The audit: what the log says of a guest's use of a node. There is a line for each OPEN, each CLOSE, and for the start and
 * the end of each stream. A guest can cause lines at will, so their number has a bound. Lines over the bound are counted.
 */
import { errnoName } from '../errno.js';
import { type Fields, log } from '../log.js';
import { AUDIT_WINDOW_MS, MAX_AUDIT_LINES } from './policy.js';

/** A stream that has begun. */
interface Streaming {
  readonly since: number;
  /** How many frames the session had got before. */
  readonly before: number;
}

/** The audit of one device and one VMM. `fields`: what each line says; null: there is no audit. */
export class Audit {
  #begun = Number.NEGATIVE_INFINITY;
  #lines = 0;
  #leftOut = 0;

  constructor(private readonly fields: Fields | null) {}

  /** `captured`: how many frames of CAPTURE queues the session has got. */
  session(id: number, captured: () => number): SessionAudit {
    return new SessionAudit(this, id, captured);
  }

  /** Logs a line. If the window has too many already, the line is left out, and the next window says so. */
  say(message: string, fields: Fields): void {
    if (!this.fields) return;
    const now = performance.now();
    if (now - this.#begun >= AUDIT_WINDOW_MS) this.#begin(now);
    if (this.#lines >= MAX_AUDIT_LINES) {
      this.#leftOut++;
      return;
    }
    this.#lines++;
    log.info(message, { ...this.fields, ...fields });
  }

  /** Says how many lines were left out, if there are any. The device is given up after it. */
  close(): void {
    if (this.#leftOut > 0)
      log.warn('lines of the audit were left out', { ...this.fields, lines: this.#leftOut });
    this.#leftOut = 0;
  }

  #begin(now: number): void {
    this.close();
    this.#begun = now;
    this.#lines = 0;
  }
}

/** The audit of one session. */
export class SessionAudit {
  #opened: number | null = null;
  #stream: Streaming | null = null;

  constructor(
    private readonly audit: Audit,
    private readonly session: number,
    private readonly captured: () => number,
  ) {}

  /** OPEN is answered with 0. */
  opened(): void {
    this.#opened = performance.now();
    this.#say('a guest has opened the device');
  }

  /** OPEN is answered with an errno. */
  refused(errno: number): void {
    this.#say('a guest was refused the device', { errno: errnoName(errno) });
  }

  /** The session streams: at least one of its queues does. Again: the stream that it has goes on. */
  started(): void {
    if (this.#stream) return;
    this.#stream = { since: performance.now(), before: this.captured() };
    this.#say('a guest streams');
  }

  /** No queue of the session streams any more. Again: nothing. */
  stopped(): void {
    const stream = this.#stream;
    this.#stream = null;
    if (!stream) return;
    const frames = this.captured() - stream.before;
    this.#say('the stream of a guest has ended', { seconds: since(stream.since), frames });
  }

  /** The file of the session is closed, or its close has failed. */
  closed(): void {
    this.stopped();
    if (this.#opened !== null) this.#say('a guest has closed the device', { seconds: since(this.#opened) });
    this.#opened = null;
  }

  #say(message: string, fields: Fields = {}): void {
    this.audit.say(message, { session: this.session, ...fields });
  }
}

/** Seconds since `then`, with one decimal. */
const since = (then: number): number => Math.round((performance.now() - then) / 100) / 10;
