/** The limits of this process (setrlimit(2)), as the kernel shows them. */
import { join } from 'node:path';
import { textOf } from './text-file.js';

/** The soft limit in the unit of `name`, a row of /proc/self/limits. Infinity: none. null: it cannot be seen. */
export async function limitOf(root: string, name: string): Promise<number | null> {
  const limits = (await textOf(join(root, 'proc/self/limits'))) ?? '';
  const row = limits.split('\n').find((line) => line.startsWith(`${name}  `));
  const [soft] = row?.slice(name.length).trim().split(/\s+/) ?? [];
  if (soft === undefined) return null;
  return soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft);
}
