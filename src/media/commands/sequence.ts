/** Runs the tasks of one session, one at a time, in their order. */
import { log } from '../../log.js';

/** What it throws is logged. */
export type Task = () => Promise<void>;

/** Tasks of all sessions run side by side; those of one session never do. */
export class Sequence {
  readonly #tasks: Task[] = [];
  #busy = false;
  #onIdle: (() => void)[] = [];

  /** `idle` gives a task when no task waits. null: nothing to do. `owner`: the session's id, for the log. */
  constructor(
    private readonly idle: () => Task | null,
    private readonly owner: number,
  ) {}

  /** How many tasks wait. */
  get waiting(): number {
    return this.#tasks.length;
  }

  /** Adds a task behind the others. If no task runs or waits, it starts now, before add() returns. */
  add(task: Task): void {
    this.#tasks.push(task);
    this.next();
  }

  /** Removes a task that has not started. Any other task is ignored. */
  withdraw(task: Task): void {
    const at = this.#tasks.indexOf(task);
    if (at >= 0) this.#tasks.splice(at, 1);
  }

  /** Resolves when no task runs and no task waits. */
  over(): Promise<void> {
    if (!this.#busy && this.#tasks.length === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onIdle.push(resolve);
    });
  }

  /** Starts the next task if none runs. */
  next(): void {
    if (this.#busy) return;
    const task = this.#tasks.shift() ?? this.idle();
    if (!task) {
      for (const resolve of this.#onIdle.splice(0)) resolve();
      return;
    }
    this.#busy = true;
    task()
      .catch((error: unknown) => log.fault('a session task failed', error, { session: this.owner }))
      .finally(() => {
        this.#busy = false;
        this.next();
      });
  }
}
