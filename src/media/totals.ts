/** Sums of what ended and what goes on: they never fall, whoever comes and goes. */
import { addFrames, type FrameCounts, noFrames } from '../v4l2/frame-counters.js';
import { addTimes, type Times } from '../v4l2/histogram.js';

/** The commands of one kind. */
export interface CommandCounts {
  readonly errors: number;
  /** The errno of the last one that failed. 0: none has. */
  readonly lastErrno: number;
  /** From the arrival of the chain to its answer. */
  readonly times: Times;
}

/** What sessions and devices have done. */
export interface Totals {
  /** By V4L2_BUF_TYPE_*. */
  readonly frames: ReadonlyMap<number, FrameCounts>;
  /** By kind (commands/command-kinds.ts). */
  readonly commands: ReadonlyMap<number, CommandCounts>;
}

const addCommands = (left: CommandCounts, right: CommandCounts): CommandCounts => ({
  errors: left.errors + right.errors,
  lastErrno: right.lastErrno || left.lastErrno,
  times: addTimes(left.times, right.times),
});

function joined<T>(maps: readonly ReadonlyMap<number, T>[], add: (left: T, right: T) => T): Map<number, T> {
  const sums = new Map<number, T>();
  for (const [key, value] of maps.flatMap((map) => [...map])) {
    const sum = sums.get(key);
    sums.set(key, sum === undefined ? value : add(sum, value));
  }
  return sums;
}

/** All together. */
export const addTotals = (all: readonly Totals[]): Totals => ({
  frames: joined(
    all.map(({ frames }) => frames),
    addFrames,
  ),
  commands: joined(
    all.map(({ commands }) => commands),
    addCommands,
  ),
});

export const noTotals: Totals = { frames: new Map(), commands: new Map() };

/** Something that counts until it ends. */
export interface Counted {
  readonly totals: Totals;
}

/** The sum of all that counts or has counted. */
export class Sum implements Counted {
  #past = noTotals;
  readonly #counting = new Set<Counted>();

  add(counted: Counted): void {
    this.#counting.add(counted);
  }

  /** It counts no more. Twice is harmless. */
  ended(counted: Counted): void {
    if (this.#counting.delete(counted)) this.#past = addTotals([this.#past, counted.totals]);
  }

  get totals(): Totals {
    return addTotals([this.#past, ...[...this.#counting].map(({ totals }) => totals)]);
  }
}

/** The frames of all queues of all sessions. */
export const framesOf = (totals: Totals): FrameCounts =>
  [...totals.frames.values()].reduce(addFrames, noFrames);
