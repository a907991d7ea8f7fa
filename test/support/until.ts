/** Waits for a condition or for some turns of the loop, and measures. */
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';

/** Turns of the loop that a condition within this process may take. What takes longer happens elsewhere, or later. */
const TURNS = 30;

/**
 * Waits until `condition` returns true. Throws after `ms`, with `what`, or with the source of the condition. It looks once a
 * turn of the loop, then once a millisecond, so that another process gets the processor.
 */
export async function until(
  condition: () => boolean,
  what = `${condition}`.replace(/^\(\) => /, ''),
  ms = 6000,
): Promise<void> {
  const end = performance.now() + ms;
  for (let looks = 1; !condition(); looks++) {
    if (performance.now() > end) throw new Error(`${what}: not within ${ms} ms`);
    await (looks < TURNS ? turn() : sleep(1));
  }
}

/** Waits for some turns of the loop. A message or a kick within this process is seen in the next one. */
export async function settle(turns = 30): Promise<void> {
  for (let count = 0; count < turns; count++) await turn();
}

/** Runs `work` and measures how many milliseconds it took. */
export async function timed<T>(work: () => Promise<T>): Promise<{ value: T; ms: number }> {
  const started = performance.now();
  const value = await work();
  return { value, ms: performance.now() - started };
}
