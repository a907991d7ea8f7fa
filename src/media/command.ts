/** One chain of the commandq, from its arrival to its one and only answer. */
import { Errno } from '../errno.js';
import { errorLimited } from '../log.js';
import type { Chain } from '../virtio/chain.js';
import type { Queue } from '../virtio/queue.js';
import { ANSWER_DEADLINE_MS } from './policy.js';
import { responseHeader } from './protocol.js';

/** What a command is answered with: a positive errno (0: success) and what follows the response header. */
export interface Answer {
  readonly status: number;
  readonly payload?: readonly Uint8Array[];
}

export class Command {
  /** Everything the driver wrote, copied out when the chain was popped. */
  readonly request: Buffer;
  #answered = false;
  readonly #deadline = performance.now() + ANSWER_DEADLINE_MS;
  /** What to answer when the deadline comes, and who wants to know (set by whoever parks the command). */
  #lateAnswer: Answer = { status: Errno.ETIMEDOUT };
  #onLate: (() => void) | null = null;

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

  /** Milliseconds that are left before the deadline, at least 0. */
  get remaining(): number {
    return Math.max(0, this.#deadline - performance.now());
  }

  /** What an early end answers besides its errno: some drivers need the payload to see the errno. */
  onLate(payload: readonly Uint8Array[], notify: () => void): void {
    this.#lateAnswer = { status: Errno.ETIMEDOUT, payload };
    this.#onLate = notify;
  }

  /**
   * Ends the command now, whatever the work behind it does: its result is thrown away when it comes. Only ETIMEDOUT
   * says something about that work: after a pause (EINTR) the guest tries again, and waits behind it.
   */
  interrupt(errno: number): void {
    if (this.#answered) return;
    if (errno === Errno.ETIMEDOUT) this.#onLate?.();
    this.answer({ ...this.#lateAnswer, status: errno });
  }

  /** Answers once; later answers are dropped, so that a chain is never written to after it was given back. */
  answer({ status, payload = [] }: Answer): void {
    if (this.#answered) return;
    this.#answered = true;
    this.#onLate = null;
    const written = this.chain.reply([responseHeader.encode({ status, reserved: 0 }), ...payload]);
    this.queue.push(this.chain, written);
    this.queue.notify();
    this.onAnswered(this);
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
