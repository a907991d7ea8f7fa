/** The interface of a fuzzer, and one run of it. */
import { Random } from './random.js';

/** What the fuzzers need to find the thing that they test. */
export interface Target {
  /** Path of a V4L2 node. Absent: a fake node. */
  readonly device?: string;
  /** Descriptors that are open here without the product's knowledge, and that a guest may guess. */
  readonly foreign: readonly number[];
}

/** Some thousand operations on one thing, from its creation to its end. */
export interface Run {
  /** One operation. Throws if a promise of the product was broken. */
  step(): Promise<void>;
  /** Waits for what is under way, checks the result, and releases everything. */
  end(): Promise<void>;
}

export interface Fuzzer {
  readonly name: string;
  /** Its share of a campaign over all fuzzers, in percent. */
  readonly share: number;
  begin(random: Random, target: Target): Promise<Run>;
}

/** A broken promise, and the number of the operation that broke it. */
export class Finding extends Error {
  constructor(
    readonly operation: number,
    override readonly cause: unknown,
  ) {
    super(cause instanceof Error ? (cause.stack ?? cause.message) : String(cause));
  }
}

/** One run. `judge` is called after each operation and throws if something went wrong outside of it. Throws Finding. */
export async function runOnce(
  fuzzer: Fuzzer,
  seed: number,
  operations: number,
  target: Target,
  judge: () => void,
): Promise<void> {
  let operation = 0;
  try {
    const run = await fuzzer.begin(Random.of(seed, fuzzer.name), target);
    for (; operation < operations; operation++) {
      await run.step();
      judge();
    }
    await run.end();
    judge();
  } catch (error) {
    throw new Finding(operation, error);
  }
}
