/** One process that is fuzzed: runs what it is told to, and tells how far it is. It may die of it: see campaign.ts. */
import { Finding, runOnce } from './fuzzer.js';
import { fuzzers } from './fuzzers.js';
import { Invariants } from './invariants.js';

/** What a worker is started with, as JSON. */
export interface Order {
  readonly fuzzer: string;
  readonly seed: number;
  readonly operations: number;
  readonly device?: string;
  readonly decoys: readonly number[];
}

/** What it says. `run`: one begins; `done`: so many operations of it are over. */
export type Report =
  | { readonly kind: 'run'; readonly seed: number; readonly operations: number }
  | { readonly kind: 'done'; readonly operations: number }
  | { readonly kind: 'finding'; readonly operation: number; readonly what: string };

/** Operations of one run: each has a seed of its own, so that a finding is replayed in no time. */
export const RUN = 5000;
/** Loads what is loaded once, before anything is counted. */
const WARM_UP = { seed: 0, operations: 100 };

async function obey({ fuzzer: name, seed, operations, ...target }: Order): Promise<void> {
  const fuzzer = fuzzers.find((each) => each.name === name)!;
  const invariants = new Invariants(target.decoys);
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
// What a finding has left open must not keep the process.
setTimeout(() => process.exit(), 500).unref();
