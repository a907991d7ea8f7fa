/**
 * One process that is fuzzed. It runs the operations that it is told to and reports its progress. It may crash: see
 * campaign.ts.
 */
import { Finding, runOnce } from './fuzzer.js';
import { fuzzers } from './fuzzers.js';
import { Invariants } from './invariants.js';

/** The argument of a worker, as JSON. */
export interface Order {
  readonly fuzzer: string;
  readonly seed: number;
  readonly operations: number;
  readonly device?: string;
  readonly foreign: readonly number[];
}

/** Messages to the parent. `run`: a run begins. `done`: this many operations of it are over. */
export type Report =
  | { readonly kind: 'run'; readonly seed: number; readonly operations: number }
  | { readonly kind: 'done'; readonly operations: number }
  | { readonly kind: 'finding'; readonly operation: number; readonly what: string };

/** Operations of one run. Each run has a seed of its own, so a finding is replayed quickly. */
export const RUN = 5000;
/** Loads everything that is loaded only once, before anything is counted. */
const WARM_UP = { seed: 0, operations: 100 };

async function obey({ fuzzer: name, seed, operations, ...target }: Order): Promise<void> {
  const fuzzer = fuzzers.find((each) => each.name === name)!;
  const invariants = new Invariants(target.foreign);
  say({ kind: 'run', ...WARM_UP });
  await runOnce(fuzzer, WARM_UP.seed, WARM_UP.operations, target, invariants.judge);
  await invariants.learn();
  for (let done = 0, next = seed; done < operations; next = (next + 1) >>> 0) {
    const run = Math.min(RUN, operations - done);
    say({ kind: 'run', seed: next, operations: run });
    await runOnce(fuzzer, next, run, target, invariants.judge);
    try {
      await invariants.check();
    } catch (error) {
      throw new Finding(run, error);
    }
    done += run;
    say({ kind: 'done', operations: run });
  }
}

function say(report: Report): void {
  process.send!(report);
}

try {
  await obey(JSON.parse(process.argv[2]!) as Order);
} catch (error) {
  const operation = error instanceof Finding ? error.operation : 0;
  say({ kind: 'finding', operation, what: error instanceof Error ? error.message : String(error) });
}
process.disconnect();
// What a finding has left open must not keep the process alive.
setTimeout(() => process.exit(), 500).unref();
