/** Descriptors, threads and mappings of this process, as the kernel counts them. */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

export const openDescriptors = (): number => readdirSync('/proc/self/fd').length;
export const threads = (): number => readdirSync('/proc/self/task').length;
/** How many lines of /proc/self/maps have this text. */
export const mappingsOf = (name: string): number =>
  readFileSync('/proc/self/maps', 'latin1')
    .split('\n')
    .filter((line) => line.includes(name)).length;

/** Waits until `condition` is true. False: it is not after `ms` milliseconds. */
export async function eventually(condition: () => boolean, ms = 2000): Promise<boolean> {
  const end = Date.now() + ms;
  while (!condition()) {
    if (Date.now() > end) return false;
    await sleep(5);
  }
  return true;
}
