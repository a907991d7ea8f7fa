/** Conditions that hold before and after every run, in the process that is fuzzed. */
import { readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { log } from '../../src/log.js';
import { collectGarbage, untilForgotten } from '../device/support/living-objects.js';
import { type Holdings, holdingsOf } from '../device/support/process-holdings.js';

/** Milliseconds that closing the files may take. */
const QUIET_MS = 6000;
/** Objects of each class that the deadlines of a run's last commands may still refer to. */
const MOST_KNOWN = 8;
/** Bytes by which the JavaScript heap and its buffers may have grown after garbage collection. */
const MOST_GROWTH = 48 << 20;

export class Invariants {
  /** Faults outside of any call: rejections that nobody handles, and errors that the product logged. */
  readonly #faults: string[] = [];
  readonly #foreign: readonly string[];
  #before: Holdings | null = null;
  #memory = 0;

  constructor(private readonly foreign: readonly number[]) {
    log.silent = true;
    const fault = (kind: string) => (what: unknown) => {
      this.#faults.push(`${kind}: ${what instanceof Error ? what.stack : String(what)}`);
    };
    process.on('unhandledRejection', fault('unhandled rejection'));
    process.on('uncaughtException', fault('uncaught exception'));
    // The product logs its own faults as errors; what a guest does wrong is logged as a warning.
    log.error = ((message: unknown, details: unknown) => {
      fault('logged')(details instanceof Error ? details.stack : `${message} ${JSON.stringify(details)}`);
      return log;
    }) as typeof log.error;
    this.#foreign = foreign.map(appearance);
  }

  /** Throws if something went wrong that no call reported. */
  readonly judge = (): void => {
    const [first] = this.#faults.splice(0);
    if (first !== undefined) throw new Error(first);
  };

  /** Records what this process holds now. Every run must leave the same. */
  async learn(): Promise<void> {
    await sleep(100);
    await collectGarbage();
    this.#before = holdingsOf('self');
    this.#memory = inUse();
  }

  /** Throws if a run has left something behind or has touched a foreign descriptor. */
  async check(): Promise<void> {
    const wanted = JSON.stringify(this.#before);
    const limit = performance.now() + QUIET_MS;
    while (JSON.stringify(holdingsOf('self')) !== wanted && performance.now() < limit) await sleep(5);
    this.judge();
    if (JSON.stringify(holdingsOf('self')) !== wanted)
      throw new Error(`held before: ${wanted}\nheld after: ${JSON.stringify(holdingsOf('self'))}`);
    for (const [at, fd] of this.foreign.entries())
      if (appearance(fd) !== this.#foreign[at])
        throw new Error(`descriptor ${fd} was touched:\n${this.#foreign[at]}\n${appearance(fd)}`);
    await untilForgotten(MOST_KNOWN);
    const grown = inUse() - this.#memory;
    if (grown > MOST_GROWTH) throw new Error(`memory has grown by ${Math.round(grown / 1024)} KiB`);
  }
}

/** What the kernel says about a descriptor: kind, position, count of an eventfd, users of a DMABUF. */
function appearance(fd: number): string {
  return `${readlinkSync(`/proc/self/fd/${fd}`)} ${readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1')}`;
}

function inUse(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
