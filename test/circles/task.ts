/** One task of a circle: something to build, or a part of the tests. */

export interface Task {
  readonly name: string;
  /** Its name in the plan and in the result. */
  readonly what: string;
  readonly command: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Names of the tasks that must have passed before. */
  readonly needs: readonly string[];
  /** Number of processors that it keeps busy. A task that measures time has that many to itself. */
  readonly processors: 1 | 2;
  /**
   * `tests`: the process must report how many tests ran. `check`: counts as one test. The third kind builds something
   * and counts as none.
   */
  readonly kind: 'build' | 'check' | 'tests';
  /**
   * Why a failure is nobody's fault: then the task and those that need it are skipped, loudly. Absent: it is a failure.
   */
  readonly excuse?: string;
  /** After this time the task is ended and counts as failed. */
  readonly limitSeconds: number;
}

export type Outcome = 'passed' | 'failed' | 'skipped';
