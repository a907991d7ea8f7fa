/** Runs the tasks of one session, one at a time, in their order. */
import { log } from '../../log.js';

/** What it throws is logged. */
export type Task = () => Promise<void>;

/** Who else uses the session's file: threads of the commandq. */
export interface Gate {
  /** False: a thread uses the file. Sequence.held() has to be called when it no longer does. */
  hold(): boolean;
  /** No task needs the file. */
  release(): void;
}

/** Tasks of all sessions run side by side; those of one session never do. */
export class Sequence {
  readonly #tasks: Task[] = [];
  #busy = false;
  #isHeld = false;
  /** The next task waits for the file. */
  #waits = false;
  #onIdle: (() => void)[] = [];

  /**
   * `idle` gives a task when no task waits. null: nothing to do. `owner`: the session's id, for the log. Without a gate,
   * nobody else uses the file.
   */
  constructor(
    private readonly idle: () => Task | null,
    private readonly owner: number,
    private readonly gate: Gate | null = null,
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

  /** Adds a task before all others that have not started. */
  first(task: Task): void {
    this.#tasks.unshift(task);
    this.held();
  }

  /** The file is the loop's again. */
  held(): void {
    this.#waits = false;
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
    if (this.#busy || this.#waits) return;
    const idle = this.#tasks.length === 0 ? this.idle() : null;
    if (idle) this.#tasks.push(idle);
    if (this.#tasks.length === 0) this.#rest();
    else if (this.#hold()) this.#start(this.#tasks.shift()!);
    else this.#waits = true;
  }

  #hold(): boolean {
    this.#isHeld ||= this.gate?.hold() ?? true;
    return this.#isHeld;
  }

  /** Nothing is to be done. */
  #rest(): void {
    if (this.#isHeld) this.gate?.release();
    this.#isHeld = false;
    for (const resolve of this.#onIdle.splice(0)) resolve();
  }

  #start(task: Task): void {
    this.#busy = true;
    task()
      .catch((error: unknown) => log.fault('a session task failed', error, { session: this.owner }))
      .finally(() => {
        this.#busy = false;
        this.next();
      });
  }
}
