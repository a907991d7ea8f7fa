/** Waits with a time limit. */
import { setTimeout as sleep } from 'node:timers/promises';

/** Waits until `condition` returns true. Throws after `ms`. */
export async function until(condition: () => boolean, what: string, ms = 6000): Promise<void> {
  const end = performance.now() + ms;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`${what}: not within ${ms} ms`);
    await sleep(2);
  }
}

/** Runs `work` and measures how many milliseconds it took. */
export async function timed<T>(work: () => Promise<T>): Promise<{ value: T; ms: number }> {
  const started = performance.now();
  const value = await work();
  return { value, ms: performance.now() - started };
}
