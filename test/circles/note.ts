/** What the reporter of the tests says while they run (test/tally.cjs): lines of JSON, each behind a RECORD SEPARATOR (RFC 7464). */

export const SEPARATOR = '\x1e';

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** What a stretch of a run was spent on: a test with its own hooks, hooks of a suite, or the start of it all. */
export interface Stretch {
  /** Below dist/test; '': of no file. */
  readonly file: string;
  readonly what: string;
  /** By the clock of the machine that it ran on, which may leap over times in which nothing runs. */
  readonly clock: number;
  /** Seconds of that machine's processors, whoever had them. */
  readonly cpu: number;
  /** Threads and processes that were made on that machine. */
  readonly made: number;
}

/** One of them each. */
export interface Note {
  /** Tests that this run has. */
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

/** What a line says to people, and the note in it. A note begins a line of its own unless a test has left one open. */
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
