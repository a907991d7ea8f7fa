/**
 * What this process holds: descriptors, mappings and threads as counted by the kernel, objects and memory as counted by
 * V8.
 */

import { isDeepStrictEqual } from 'node:util';
import { closedButKnown, type Kind, type Known } from '../device/support/living-objects.js';
import { holdingsOf, type Holdings as Kept } from '../device/support/process-holdings.js';

/** Bytes after a garbage collection. */
export interface Memory {
  readonly resident: number;
  readonly heap: number;
  /** Array buffers, and memory that the addon has reported to V8. */
  readonly external: number;
}

/** What must be the same at the end as at the start. */
export interface Counts extends Kept {
  readonly objects: Known;
}

export interface Holdings {
  readonly counts: Counts;
  readonly memory: Memory;
  /** Milliseconds of processor time since the start: all threads, user and kernel part. */
  readonly processorMs: number;
}

export async function holdings(): Promise<Holdings> {
  const objects = await closedButKnown();
  const { rss, heapUsed, external } = process.memoryUsage();
  const { user, system } = process.cpuUsage();
  return {
    counts: { ...holdingsOf('self'), objects },
    memory: { resident: rss, heap: heapUsed, external },
    processorMs: (user + system) / 1000,
  };
}

/** Whether nothing is held that was not held before. A session that was about to go before may be gone now. */
export function isBack({ counts: before }: Holdings, { counts: now }: Holdings): boolean {
  const isKept = isDeepStrictEqual({ ...now, objects: null }, { ...before, objects: null });
  return (
    isKept && Object.entries(now.objects).every(([kind, count]) => count <= before.objects[kind as Kind])
  );
}
