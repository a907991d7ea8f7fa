/**
 * The late result: the result of a command that was answered before it ended (EINTR at a pause, ETIMEDOUT at the
 * deadline). When the guest's program makes the same request again, the late result answers it, so nothing is done
 * twice. docs/protocol.md has the rules.
 */
import { crypto } from '../../crypto.js';
import { Errno } from '../../errno.js';
import { MAX_LATE_BYTES, MAX_LATE_MS } from '../policy.js';
import type { Answer, Command } from './command.js';
import type { Task } from './sequence.js';

interface Kept {
  /** SHA-256 of the request. The request itself may be a megabyte. */
  readonly request: Buffer;
  readonly answer: Answer;
  /** The result is too old after this time: milliseconds of performance.now(). */
  readonly until: number;
  readonly timer: NodeJS.Timeout;
}

/** A session keeps at most one late result, of at most MAX_LATE_BYTES, for MAX_LATE_MS. */
export class LateResult {
  #kept: Kept | null = null;
  /** The answer that was taken last. If its new command is interrupted too, the same answer is kept again. */
  #taken: Answer | null = null;

  /** `later` adds a task to the session's sequence. */
  constructor(private readonly later: (task: Task) => void) {}

  get isEmpty(): boolean {
    return this.#kept === null;
  }

  /**
   * Keeps the result of `request`, the command as the guest sent it. It replaces the result before. A result that is
   * too large, or better made again, is dropped.
   */
  async keep(request: Buffer, answer: Answer): Promise<void> {
    await this.drop();
    if (answer !== this.#taken) answer.unannounced?.();
    // EINTR: the ioctl has done nothing, so there is no result.
    const isVain = answer.once || answer.status === Errno.EINTR;
    if (isVain || bytesOf(answer) > MAX_LATE_BYTES) await answer.dropped?.();
    else this.#kept = this.#keptFor(digest(request), answer);
  }

  /** The timer drops the result if the guest makes no other request. */
  #keptFor(request: Buffer, answer: Answer): Kept {
    const drop = async (): Promise<void> => {
      if (this.#kept === kept) await this.drop();
    };
    const timer = setTimeout(() => this.later(drop), MAX_LATE_MS);
    const kept = { request, answer, until: performance.now() + MAX_LATE_MS, timer };
    return kept;
  }

  /** Takes the result if `command` is the same request again. Any other request drops the result. null: no result. */
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

  /** Drops the result: another request came, the result is too old, or the session ends. Twice is harmless. */
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
  return crypto().createHash('sha256').update(request).digest();
}

function bytesOf({ payload = [], holds = 0 }: Answer): number {
  return payload.reduce((sum, { length }) => sum + length, holds);
}
