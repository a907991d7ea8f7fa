/**
 * The result of a command that was answered before it ended (EINTR at a pause, ETIMEDOUT at the deadline). The guest's
 * program makes the same request again, and that one is answered by it: nothing is done twice. docs/protocol.md has the rules.
 */
import { createHash } from 'node:crypto';
import { Errno } from '../../errno.js';
import { MAX_LATE_BYTES, MAX_LATE_MS } from '../policy.js';
import type { Answer, Command } from './command.js';
import type { Task } from './sequence.js';

interface Kept {
  /** SHA-256 of the request, which may be a megabyte. */
  readonly request: Buffer;
  readonly answer: Answer;
  readonly until: number;
  readonly timer: NodeJS.Timeout;
}

/** The one result that a session keeps. */
export class LateResult {
  #kept: Kept | null = null;
  /** What was taken last, by a command that may be interrupted in its turn. */
  #taken: Answer | null = null;

  /** `later`: does something in the session's turn. */
  constructor(private readonly later: (task: Task) => void) {}

  get isEmpty(): boolean {
    return this.#kept === null;
  }

  /** Keeps the result of `request`, the command as the guest sent it. Where that is not to be, nobody hears of it. */
  async keep(request: Buffer, answer: Answer): Promise<void> {
    await this.drop();
    if (answer !== this.#taken) answer.untold?.();
    // EINTR: nothing was done yet.
    const isVain = answer.once || answer.status === Errno.EINTR;
    if (isVain || bytesOf(answer) > MAX_LATE_BYTES) await answer.dropped?.();
    else this.#kept = this.#keptFor(digest(request), answer);
  }

  /** A guest that does nothing more must not be left with it either. */
  #keptFor(request: Buffer, answer: Answer): Kept {
    const timer = setTimeout(() => {
      if (this.#kept === kept) this.later(async () => (this.#kept === kept ? this.drop() : undefined));
    }, MAX_LATE_MS);
    const kept = { request, answer, until: performance.now() + MAX_LATE_MS, timer };
    return kept;
  }

  /** Takes the result where this is the same request once more. Any other one drops it: the guest does without. */
  async take(command: Command): Promise<Answer | null> {
    const kept = this.#kept;
    if (!kept) return null;
    const isSame = performance.now() <= kept.until && digest(command.request).equals(kept.request);
    if (!isSame || (await kept.answer.isSame?.(command)) === false) {
      await this.drop();
      return null;
    }
    this.#forget();
    this.#taken = kept.answer;
    return kept.answer;
  }

  /** The guest will not ask for it: something else came, its time is over, or its session ends. Twice is harmless. */
  async drop(): Promise<void> {
    await this.#forget()?.answer.dropped?.();
  }

  #forget(): Kept | null {
    const kept = this.#kept;
    this.#kept = null;
    if (kept) clearTimeout(kept.timer);
    return kept;
  }
}

function digest(request: Buffer): Buffer {
  return createHash('sha256').update(request).digest();
}

function bytesOf({ payload = [], holds = 0 }: Answer): number {
  return payload.reduce((sum, { length }) => sum + length, holds);
}
