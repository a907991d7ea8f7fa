/** The processors that this process may use. */
import { readFileSync } from 'node:fs';
import type { Cores } from './options.js';

/** `0-2,5` of /proc/self/status: 0, 1, 2 and 5. */
export function processorsOf(list: string): number[] {
  return list.split(',').flatMap((range) => {
    const [first, last] = range.split('-').map(Number) as [number, number | undefined];
    return Array.from({ length: (last ?? first) - first + 1 }, (_, index) => first + index);
  });
}

const allowed = processorsOf(
  /^Cpus_allowed_list:\s*(\S+)/m.exec(readFileSync('/proc/self/status', 'utf8'))![1]!,
);

export const available = allowed.length;

/** The last ones, as a list for `launch`: processor 0 often serves more interrupts. */
export const processorsFor = (cores: Cores) => allowed.slice(-cores).join(',');
