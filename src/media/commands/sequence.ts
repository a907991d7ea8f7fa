/** One thing at a time, in order: what a session does. */
import { log } from '../../log.js';

export type Task = () => Promise<void>;

export class Sequence {
  readonly #tasks: Task[] = [];
  #busy = false;
  #onIdle: (() => void)[] = [];

  /** `idle`: what there is to do where nothing waits; null: nothing. `owner`: of whom, for the log. */
  constructor(
    private readonly idle: () => Task | null,
    private readonly owner: number,
  ) {}

  /** Tasks that wait. */
  get waiting(): number {
    return this.#tasks.length;
  }

  /** Queues a task behind what is being done. The first part of it runs now where nothing is. */
  add(task: Task): void {
    this.#tasks.push(task);
    this.next();
  }

  /** A task that has not begun, and need not. */
  withdraw(task: Task): void {
    const at = this.#tasks.indexOf(task);
    if (at >= 0) this.#tasks.splice(at, 1);
  }

  /** Resolves when nothing is done and nothing waits. */
  over(): Promise<void> {
    if (!this.#busy && this.#tasks.length === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onIdle.push(resolve);
    });
  }

  /** Begins what is next, where nothing is done. */
  next(): void {
    if (this.#busy) return;
    const task = this.#tasks.shift() ?? this.idle();
    if (!task) {
      for (const resolve of this.#onIdle.splice(0)) resolve();
      return;
    }
    this.#busy = true;
    task()
      .catch((error: unknown) => {
        const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
        log.error('a session task failed', { session: this.owner, error: text });
      })
      .finally(() => {
        this.#busy = false;
        this.next();
      });
  }
}
