/**
 * The notes that the tests' reporter (test/tally.cjs) prints while they run: lines of JSON, each after a RECORD
 * SEPARATOR (RFC 7464).
 */

export const SEPARATOR = '\x1e';

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** A stretch of time of a run: a test with its own hooks, the hooks of a suite, or the start of mocha. */
export interface Stretch {
  /** Path below dist/test. '': the stretch belongs to no file. */
  readonly file: string;
  readonly what: string;
  /**
   * Seconds by the clock of the machine that ran it. In the um machine this clock may skip times in which nothing runs.
   */
  readonly clock: number;
  /** Processor seconds of that machine, all processes together. */
  readonly cpu: number;
  /** Threads and processes that were created on that machine. */
  readonly made: number;
}

/** One note. Only one of the properties is present. */
export interface Note {
  /** Number of tests in this run. */
  readonly total?: number;
  readonly now?: string;
  readonly stretch?: Stretch;
  readonly verdict?: Verdict;
  readonly end?: Counts;
}

export interface Verdict {
  readonly file: string;
  readonly title: string;
  readonly state: keyof Counts;
}

/**
 * Splits a line into the text for people and the note in it. A note starts a line of its own, unless a test has left a
 * line unfinished.
 */
export function read(line: string): { readonly text: string; readonly note?: Note } {
  const at = line.indexOf(SEPARATOR);
  if (at < 0) return { text: line };
  try {
    return { text: line.slice(0, at), note: JSON.parse(line.slice(at + 1)) as Note };
  } catch {
    return { text: line };
  }
}

export function sum(counts: readonly Counts[]): Counts {
  const all = (state: keyof Counts) => counts.reduce((total, each) => total + each[state], 0);
  return { passed: all('passed'), failed: all('failed'), skipped: all('skipped') };
}
