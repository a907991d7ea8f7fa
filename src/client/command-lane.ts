/** The driver's commandq: one command at a time unless told otherwise, and 5 s for each answer. */
import { Errno } from '../errno.js';
import { CommandTimeout, DriverError } from './driver-error.js';
import type { DriverQueue } from './driver-queue.js';
import type { Block } from './heap.js';
import { cut, type Piece } from './pieces.js';

export interface LaneOptions {
  /** Milliseconds from queueing to the answer: 5000 in the Linux driver. */
  readonly timeout: number;
  /** Commands do not wait for each other. The Linux driver never does that. */
  readonly concurrent: boolean;
  /** Lengths of the descriptors that every chain is cut into (see `cut`); undefined: one a struct. */
  readonly cutting: readonly number[] | undefined;
}

export interface Submission {
  readonly operation: string;
  readonly readable: readonly Piece[];
  readonly writable: readonly Piece[];
  /** The memory of the command: released when the chain has come back, however late. */
  readonly block: Block;
  /** Runs at the moment the answer is seen, before any event that was published after it. */
  readonly answered?: (written: number) => void;
}

interface Pending extends Submission {
  resolve(written: number): void;
  reject(error: Error): void;
  timer: NodeJS.Timeout;
  expired: boolean;
}

export class CommandLane {
  /** Chains that came back after their time: each one would have corrupted a Linux guest's stack. */
  lateAnswers = 0;
  readonly #queue: DriverQueue;
  readonly #options: LaneOptions;
  readonly #pending = new Map<number, Pending>();
  #turn: Promise<unknown> = Promise.resolve();
  #failure: Error | undefined;

  constructor(queue: DriverQueue, options: LaneOptions) {
    this.#queue = queue;
    this.#options = options;
  }

  /** Bytes that the device has written. The block's contents are read in `answered`. */
  submit(submission: Submission): Promise<number> {
    if (this.#options.concurrent) return this.#queueUp(submission);
    const mine = this.#turn.then(() => this.#queueUp(submission));
    this.#turn = mine.catch(() => undefined);
    return mine;
  }

  /** Takes whatever the device has returned. True if there was anything. */
  collect(): boolean {
    const chains = this.#queue.poll();
    for (const { token, written } of chains) {
      const pending = this.#pending.get(token);
      if (!pending) continue;
      this.#pending.delete(token);
      clearTimeout(pending.timer);
      if (pending.expired) this.lateAnswers++;
      else this.#settle(pending, written);
      pending.block.release();
    }
    return chains.length > 0;
  }

  /** Nothing will be answered any more: rejects what waits and what comes, and takes the memory back. */
  fail(error: Error): void {
    this.#failure ??= error;
    for (const pending of this.#pending.values()) {
      clearTimeout(pending.timer);
      if (!pending.expired) pending.reject(error);
      pending.block.release();
    }
    this.#pending.clear();
  }

  #queueUp(submission: Submission): Promise<number> {
    return new Promise((resolve, reject) => {
      const { timeout } = this.#options;
      const token = this.#add(submission);
      const pending: Pending = { ...submission, resolve, reject, expired: false, timer: undefined as never };
      pending.timer = setTimeout(() => {
        pending.expired = true;
        reject(new CommandTimeout(submission.operation, timeout));
      }, timeout);
      this.#pending.set(token, pending);
      this.#queue.kick();
    });
  }

  #add({ operation, readable, writable, block }: Submission): number {
    const lengths = this.#options.cutting ?? [Number.POSITIVE_INFINITY];
    try {
      if (this.#failure) throw this.#failure;
      return this.#queue.add(cut(readable, lengths), cut(writable, lengths));
    } catch (error) {
      block.release();
      if (!(error instanceof RangeError)) throw error;
      throw new DriverError(operation, Errno.ENOSPC, undefined, error.message);
    }
  }

  #settle(pending: Pending, written: number): void {
    try {
      pending.answered?.(written);
      pending.resolve(written);
    } catch (error) {
      pending.reject(error as Error);
    }
  }
}
