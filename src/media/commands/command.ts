/** One chain of the commandq, from its arrival to its one and only answer. */
import { Errno } from '../../errno.js';
import { errorLimited } from '../../log.js';
import type { Chain } from '../../virtio/chain.js';
import type { Queue } from '../../virtio/queue.js';
import { ANSWER_DEADLINE_MS, GUEST_TIMEOUT_MS, LAST_WRITE_MS } from '../policy.js';
import { responseHeader } from '../protocol.js';
import type { Sequence, Task } from './sequence.js';

/** What a command is answered with: a positive errno (0: success) and what follows the response header. */
export interface Answer {
  readonly status: number;
  readonly payload?: readonly Uint8Array[];
  /** Writes what belongs into the guest's own pages, before the command is answered. Another answer where they are gone. */
  readonly pages?: (command: Command) => Promise<Answer | null>;
  /** Bytes that the answer holds beside its payload. */
  readonly holds?: number;
  /** The guest has the answer, in time or by its next request: what must not come before goes on. */
  readonly told?: () => Promise<void>;

  // The rest is about an answer that came late (late-result.ts).

  /** The record is what the driver did, and the guest does not know it. */
  readonly untold?: () => void;
  /** Nobody will ask for it any more. */
  readonly dropped?: () => Promise<void> | void;
  /** Whether what the request points to, of which this command is another one, is as it was; absent: it points to nothing. */
  readonly isSame?: (command: Command) => Promise<boolean>;
  /** Not kept: the request is better done again. */
  readonly once?: boolean;
}

export class Command {
  /** Everything the driver wrote, copied out when the chain was popped. */
  readonly request: Buffer;
  #answered = false;
  readonly #arrival = performance.now();
  /** What to answer when the deadline comes, and who wants to know (set by whoever parks the command). */
  #lateAnswer: Answer = { status: Errno.ETIMEDOUT };
  #onLate: (() => void) | null = null;
  /** Where it waits for its turn, and with what. */
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

  /** Milliseconds since its arrival. */
  get age(): number {
    return performance.now() - this.#arrival;
  }

  /** Whether memory of the guest that it names is still its own. */
  get isWritable(): boolean {
    return !this.#answered && this.age < LAST_WRITE_MS;
  }

  /** Milliseconds that are left before the deadline, at least 0. */
  get remaining(): number {
    return Math.max(0, ANSWER_DEADLINE_MS - this.age);
  }

  /** `task`, which waits for its turn, is not needed once the command is answered. */
  waits(sequence: Sequence, task: Task): void {
    this.#sequence = sequence;
    this.#task = task;
  }

  /** What an early end answers besides its errno: some drivers need the payload to see the errno. */
  onLate(payload: readonly Uint8Array[], notify: () => void): void {
    this.#lateAnswer = { status: Errno.ETIMEDOUT, payload };
    this.#onLate = notify;
  }

  /**
   * Ends the command now, whatever the work behind it does: its result is kept for the next try. Only ETIMEDOUT
   * says something about that work: after a pause (EINTR) the guest tries again, and waits behind it.
   */
  interrupt(errno: number): void {
    if (this.#answered) return;
    if (errno === Errno.ETIMEDOUT) this.#onLate?.();
    this.answer({ ...this.#lateAnswer, status: errno });
  }

  /** Answers once; later answers are dropped, so that a chain is never written to after it was given back. */
  answer(answer: Answer): void {
    if (this.#answered) return;
    this.#answered = true;
    this.#onLate = null;
    this.#finish(answer);
    if (this.#sequence && this.#task) this.#sequence.withdraw(this.#task);
    this.#sequence = null;
    this.#task = null;
    this.onAnswered(this);
  }

  /** Its age decides first: the process may have been stopped (SIGSTOP, a suspended host), and no timer has run. */
  #finish(answer: Answer): void {
    const { age } = this;
    if (age >= GUEST_TIMEOUT_MS) return this.queue.abandon(this.chain);
    const { status, payload = [] } = answer;
    const parts = [responseHeader.encode({ status, reserved: 0 }), ...payload];
    this.queue.push(this.chain, age < LAST_WRITE_MS ? this.chain.reply(parts) : 0);
    this.queue.notify();
  }
}

/** Runs a handler, to its end: a bug in it must not leave the guest without an answer, nor the commands behind it. */
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

/** The same for what runs in a session's turn, which logs what is thrown. */
export function guard(command: Command, run: () => Promise<void>): () => Promise<void> {
  return async () => {
    try {
      await run();
    } finally {
      command.answer({ status: Errno.EIO });
    }
  };
}
