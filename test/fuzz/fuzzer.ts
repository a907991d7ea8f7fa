/** What a fuzzer is, and one run of it. */
import { Random } from './random.js';

/** Where the fuzzers find what they fuzz. */
export interface Target {
  /** A V4L2 node; absent: a fake. */
  readonly device?: string;
  /** Descriptors that are open here without anybody's knowledge: what a guest may guess. */
  readonly decoys: readonly number[];
}

/** Some thousand operations on one thing, from its making to its end. */
export interface Run {
  /** One operation. Throws where a promise was broken. */
  step(): Promise<void>;
  /** Waits for what is under way, checks it, and gives everything back. */
  end(): Promise<void>;
}

export interface Fuzzer {
  readonly name: string;
  /** Its part of a campaign over everything, in percent. */
  readonly share: number;
  begin(random: Random, target: Target): Promise<Run>;
}

/** A promise that was broken, and by which operation of the run. */
export class Finding extends Error {
  constructor(
    readonly operation: number,
    override readonly cause: unknown,
  ) {
    super(cause instanceof Error ? (cause.stack ?? cause.message) : String(cause));
  }
}

/** One run. `judge` is asked after each operation and throws where something happened elsewhere. Throws Finding. */
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
