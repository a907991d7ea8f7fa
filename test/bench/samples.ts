/** What the runs found: one value for each run, subject, phase and key. */
import type { Cores } from './options.js';

export interface Sample {
  readonly cores: Cores;
  readonly run: number;
  /** Who was measured: `hop`, `native`, `ours qemu`, … */
  readonly subject: string;
  readonly phase: string;
  readonly key: string;
  readonly value: number;
}

export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly greatest: number;
}

/** Of no values: undefined. Of an even number of values, the median is the mean of the two in the middle. */
export function spreadOf(values: readonly number[]): Spread | undefined {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const [low, high] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]];
  if (low === undefined || high === undefined) return undefined;
  return { median: (low + high) / 2, least: sorted[0]!, greatest: sorted.at(-1)! };
}

/** Names one value of a run. */
export interface Place {
  readonly subject: string;
  readonly phase: string;
  readonly key: string;
}

export class Samples {
  readonly all: Sample[] = [];

  add(...samples: readonly Sample[]): void {
    this.all.push(...samples);
  }

  /** Who was measured, in the order in which they came. */
  subjects(cores: Cores): string[] {
    return [...new Set(this.all.filter((each) => each.cores === cores).map(({ subject }) => subject))];
  }

  /** What was found of a phase. */
  keys(cores: Cores, { subject, phase }: Omit<Place, 'key'>): string[] {
    const found = this.all.filter(
      (each) => each.cores === cores && each.subject === subject && each.phase === phase,
    );
    return [...new Set(found.map(({ key }) => key))];
  }

  /** By run. */
  values(cores: Cores, { subject, phase, key }: Place): Map<number, number> {
    const found = this.all.filter(
      (each) => each.cores === cores && each.subject === subject && each.phase === phase && each.key === key,
    );
    return new Map(found.map(({ run, value }) => [run, value]));
  }
}
