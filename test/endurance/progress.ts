/** Progress of a long run: now and then a line with what the processes hold and what each step has cost them. */
import { createHash } from 'node:crypto';
import type { Holdings } from './holdings.js';

const EVERY_MS = 60_000;
const MIB = 1 << 20;

/** The processes of a run, by name. */
export type Processes = Readonly<Record<string, () => Promise<Holdings>>>;

type Seen = Readonly<Record<string, Holdings>>;

async function look(processes: Processes): Promise<Seen> {
  const seen: Record<string, Holdings> = {};
  for (const [name, holdings] of Object.entries(processes)) seen[name] = await holdings();
  return seen;
}

function lineOf(name: string, now: Holdings, before: Holdings, steps: number): string {
  const { resident, heap } = now.memory;
  const each = (now.processorMs - before.processorMs) / steps;
  return [
    `${name}: ${now.counts.descriptors.length} descriptors`,
    `${(resident / MIB).toFixed(1)} MiB resident, ${(heap / MIB).toFixed(1)} heap`,
    `${each.toFixed(2)} ms of a processor each`,
  ].join(', ');
}

/** Input of the yardstick: work without V8's compiler, whose speed varies. */
const WORK = Buffer.alloc(4 * MIB);

/**
 * Milliseconds that a fixed calculation takes. This is the present speed of the machine, which depends on other
 * programs of its host.
 */
function yardstick(): number {
  const start = performance.now();
  createHash('sha256').update(WORK).digest();
  return performance.now() - start;
}

/** Reports on standard error until it is stopped. */
export class ProgressReport {
  #done = 0;
  #told = 0;
  #at = performance.now();
  readonly #timer: NodeJS.Timeout;

  private constructor(
    private readonly what: string,
    private readonly count: number,
    private readonly processes: Processes,
    private last: Seen,
  ) {
    this.#timer = setInterval(() => void this.#tell(), EVERY_MS);
  }

  static async start(what: string, count: number, processes: Processes): Promise<ProgressReport> {
    return new ProgressReport(what, count, processes, await look(processes));
  }

  readonly progress = (done: number): void => {
    this.#done = done;
  };

  stop(): void {
    clearInterval(this.#timer);
  }

  async #tell(): Promise<void> {
    const [steps, passed] = [this.#done - this.#told, performance.now() - this.#at];
    if (steps === 0)
      return console.error(
        `${this.what}: ${this.#told} of ${this.count}, none in ${(passed / 1000).toFixed(0)} s`,
      );
    this.#told += steps;
    this.#at += passed;
    const seen = await look(this.processes);
    const lines = Object.entries(seen).map(([name, now]) => lineOf(name, now, this.last[name]!, steps));
    this.last = seen;
    const pace = `${(passed / steps).toFixed(2)} ms each (a fixed calculation: ${yardstick().toFixed(0)} ms)`;
    console.error([`${this.what}: ${this.#told} of ${this.count}, ${pace}`, ...lines].join('; '));
  }
}
