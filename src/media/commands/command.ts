/** One command: a descriptor chain of the commandq, from its arrival to its single answer. */
import { Errno } from '../../errno.js';
import { errorLimited } from '../../log.js';
import type { Chain } from '../../virtio/chain.js';
import type { Queue } from '../../virtio/queue.js';
import { readablePool } from '../../virtio/readable-pool.js';
import { ANSWER_DEADLINE_MS, GUEST_TIMEOUT_MS, LAST_WRITE_MS } from '../policy.js';
import { responseHeader } from '../protocol.js';
import type { Sequence, Task } from './sequence.js';

/** The answer to a command. `status`: a positive errno, 0: success. `payload`: what follows the response header. */
export interface Answer {
  readonly status: number;
  readonly payload?: readonly Uint8Array[];
  /** Writes results into the guest's pages before the answer. null: done; otherwise this answer is used instead. */
  readonly pages?: (command: Command) => Promise<Answer | null>;
  /** Bytes that are kept with the answer in addition to its payload. */
  readonly holds?: number;
  /** Called when the guest has the answer, in time or with its next request. Does the work that must follow it. */
  readonly announced?: () => Promise<void>;

  // The rest is for an answer that came late (late-result.ts).

  /** Called when the answer came late: the session records what the driver did, but the guest does not know it yet. */
  readonly unannounced?: () => void;
  /** Called when the late answer is dropped, because the guest will not ask for it any more. */
  readonly dropped?: () => Promise<void> | void;
  /** `command` repeats the request. Whether the data behind its pointers is unchanged. Absent: nothing to compare. */
  readonly isSame?: (command: Command) => Promise<boolean>;
  /** True: a late answer is not kept, because it is better to run the request again. */
  readonly once?: boolean;
}

const statusOnly = (status: number): Answer => ({ status });

/** Parked or running until `answer` is called the first time. */
export class Command {
  /** The readable part of the chain, copied when the chain was popped. Some time after release() it has length 0. */
  readonly request: Buffer;
  #answered = false;
  #isInterrupted = false;
  readonly #arrival = performance.now();
  /** Gives the answer for an errno. The handler that parks the command sets it. */
  #refuse: (errno: number) => Answer = statusOnly;
  /** Called at the deadline. */
  #onLate: (() => void) | null = null;
  /** Memory from borrow(). */
  #borrowed: Buffer | null = null;
  /** The sequence in which it waits, and its task there. */
  #sequence: Sequence | null = null;
  #task: Task | null = null;

  constructor(
    private readonly queue: Queue,
    private readonly chain: Chain,
    private readonly onAnswered: (command: Command) => void,
  ) {
    this.request = chain.readable;
  }

  get answered(): boolean {
    return this.#answered;
  }

  /** Milliseconds since the arrival. */
  get age(): number {
    return performance.now() - this.#arrival;
  }

  /** Whether guest memory that the command names may still be written. Later the driver may have freed it. */
  get isWritable(): boolean {
    return !this.#answered && this.age < LAST_WRITE_MS;
  }

  /** Milliseconds until the deadline. 0: it has passed. */
  get remaining(): number {
    return Math.max(0, ANSWER_DEADLINE_MS - this.age);
  }

  /** `task` waits in `sequence`. It is withdrawn when the command is answered. */
  waits(sequence: Sequence, task: Task): void {
    this.#sequence = sequence;
    this.#task = task;
  }

  /**
   * What to do if the command is interrupted. `refuse` gives the answer, because some drivers need a payload to see
   * the errno. `notify` is called at the deadline only.
   */
  onLate(refuse: (errno: number) => Answer, notify: (() => void) | null): void {
    this.#refuse = refuse;
    this.#onLate = notify;
  }

  /**
   * Answers the command now with `errno`, although its work goes on. The result is kept for the next try. ETIMEDOUT
   * means that the work hangs, so `notify` is called. EINTR comes from a pause: the guest tries again, and the new
   * command waits behind the work.
   */
  interrupt(errno: number): void {
    if (this.#answered) return;
    this.#isInterrupted = true;
    if (errno === Errno.ETIMEDOUT) this.#onLate?.();
    this.answer(this.#refuse(errno));
  }

  /** Answers the command. Only the first answer counts, so a chain is never written after the driver has it back. */
  answer(answer: Answer): void {
    if (this.#answered) return;
    this.#answered = true;
    this.onLate(statusOnly, null);
    this.#finish(answer);
    if (this.#sequence && this.#task) this.#sequence.withdraw(this.#task);
    else this.release();
    this.#sequence = null;
    this.#task = null;
    this.onAnswered(this);
  }

  /** Memory of `length` bytes for the work of this command, at most MAX_READABLE. Its content is undefined. Once only. */
  borrow(length: number): Buffer {
    this.#borrowed = readablePool.take(length);
    return this.#borrowed;
  }

  /**
   * The work of an answered command has ended, so nothing needs the request any more, or what was borrowed for it. The
   * bytes of an interrupted command are left to the garbage collector, because its work may not have ended.
   */
  release(): void {
    if (!this.#answered || this.#isInterrupted) return;
    readablePool.give(this.request);
    if (this.#borrowed) readablePool.give(this.#borrowed);
  }

  /** Looks at the age first: if the process was stopped (SIGSTOP, a suspended host), no timer has run. */
  #finish(answer: Answer): void {
    const { age } = this;
    if (age >= GUEST_TIMEOUT_MS) return this.queue.abandon(this.chain);
    const { status, payload = [] } = answer;
    const parts = [responseHeader.encode({ status, reserved: 0 }), ...payload];
    this.queue.push(this.chain, age < LAST_WRITE_MS ? this.chain.reply(parts) : 0);
    this.queue.notify();
  }
}

/**
 * Runs a handler of a command. If it throws or rejects, the error is logged and the command is answered EIO: a bug
 * must not leave this command, or the commands behind it, without an answer.
 */
export function attempt(command: Command, run: () => void | Promise<void>): void {
  const failed = (error: unknown): void => {
    errorLimited('command.fault', 'a command failed', error);
    command.answer({ status: Errno.EIO });
  };
  try {
    run()?.catch(failed);
  } catch (error) {
    failed(error);
  }
}

/** A task for a session's sequence: runs `run`, then answers EIO if it gave no answer. The sequence logs errors. */
export function guard(command: Command, run: () => Promise<void>): () => Promise<void> {
  return async () => {
    try {
      await run();
    } finally {
      command.answer({ status: Errno.EIO });
      command.release();
    }
  };
}
