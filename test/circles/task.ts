/** One thing that a circle does: something that is built, or a part of the tests. */

export interface Task {
  readonly name: string;
  /** For who reads the plan and the result. */
  readonly what: string;
  readonly command: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Names of tasks that must have succeeded before. */
  readonly needs: readonly string[];
  /** Processors that it keeps busy: a part that measures time gets them, whoever else is there. */
  readonly processors: 1 | 2;
  /** `tests` must say how many they were, a `check` is one, something that is built is none. */
  readonly kind: 'build' | 'check' | 'tests';
  /** Why nobody is to blame where it fails: what needs it is skipped, loudly. Absent: it is a failure. */
  readonly excuse?: string;
  /** Ends it, as a failure. */
  readonly limitSeconds: number;
}

export type Outcome = 'passed' | 'failed' | 'skipped';
