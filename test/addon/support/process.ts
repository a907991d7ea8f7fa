/** Descriptors, threads and mappings of this process, as the kernel counts them. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

export const openDescriptors = (): number => readdirSync('/proc/self/fd').length;
/** The descriptors that are open on the file of a path. */
export const descriptorsOn = (path: string): number[] =>
  readdirSync('/proc/self/fd')
    .map(Number)
    .filter((fd) => targetOf(fd) === path);

function targetOf(fd: number): string | null {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    // The descriptor with which the folder was read is closed by now.
    return null;
  }
}

export const threads = (): number => readdirSync('/proc/self/task').length;
/** How many lines of /proc/self/maps have this text. */
export const mappingsOf = (name: string): number =>
  readFileSync('/proc/self/maps', 'latin1')
    .split('\n')
    .filter((line) => line.includes(name)).length;

/** Waits until `condition` is true. False: it is not after `ms` milliseconds. */
export async function eventually(condition: () => boolean | Promise<boolean>, ms = 2000): Promise<boolean> {
  const end = Date.now() + ms;
  while (!(await condition())) {
    if (Date.now() > end) return false;
    await sleep(5);
  }
  return true;
}
