/** The driver's commandq. By default it sends one command at a time and waits 5 s for each answer. */
import { Errno } from '../errno.js';
import { CommandTimeout, DriverError } from './driver-error.js';
import type { DriverQueue } from './driver-queue.js';
import type { Block } from './heap.js';
import { cut, type Piece } from './pieces.js';

export interface LaneOptions {
  /** Milliseconds from the moment the chain is available to its answer: 5000 in the Linux driver. */
  readonly timeout: number;
  /** true: a command does not wait for the answer of the one before. The Linux driver always waits. */
  readonly concurrent: boolean;
  /** Bytes of the descriptors that every chain is cut into (see `cut`); undefined: one descriptor for each struct. */
  readonly cutting: readonly number[] | undefined;
}

export interface Submission {
  readonly operation: string;
  readonly readable: readonly Piece[];
  readonly writable: readonly Piece[];
  /** The memory of the command. It is released when the device returns the chain, even if that is late. */
  readonly block: Block;
  /** Runs when the driver sees the answer, before any event that the device published after it. */
  readonly answered?: (written: number) => void;
}

interface Pending extends Submission {
  resolve(written: number): void;
  reject(error: Error): void;
  timer: NodeJS.Timeout;
  expired: boolean;
}

export class CommandLane {
  /** Chains that came back after the timeout. Each of them would have corrupted the stack of a Linux guest. */
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

  /**
   * Sends a command and resolves with the number of bytes that the device wrote. Read the contents of the block in
   * `answered`: the block is released afterwards. Rejects with CommandTimeout, with DriverError (ENOSPC) if the ring
   * has no room, or with the reason given to fail().
   */
  submit(submission: Submission): Promise<number> {
    if (this.#options.concurrent) return this.#queueUp(submission);
    const mine = this.#turn.then(() => this.#queueUp(submission));
    this.#turn = mine.catch(() => undefined);
    return mine;
  }

  /** Collects the chains that the device has returned. True if there was one. */
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

  /** The device answers no more: rejects waiting and later commands with `error`, and releases their memory. */
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
