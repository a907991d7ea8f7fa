/** What this process holds: descriptors, mappings and threads as the kernel counts them, memory as V8 does. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** What must be the same at the end as at the start. */
export interface Counts {
  /** Kinds of open descriptors, and how many of each. */
  readonly descriptors: Readonly<Record<string, number>>;
  /** Mappings of files and devices, by name. */
  readonly mappings: Readonly<Record<string, number>>;
  /** Lanes and watchers. */
  readonly threads: number;
}

/** Bytes, after a garbage collection. */
export interface Memory {
  readonly resident: number;
  readonly heap: number;
  /** Array buffers and what the addon has told of. */
  readonly external: number;
}

export interface Holdings {
  readonly counts: Counts;
  readonly memory: Memory;
}

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

function tally(names: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of [...names].sort()) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}

function descriptors(): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`).replace(/:\[\d+\]$/, '')];
    } catch {
      // The folder itself, which is closed by now.
      return [];
    }
  });
}

function mappings(): string[] {
  const names = readFileSync('/proc/self/maps', 'latin1').split('\n');
  return names.map((line) => line.slice(73).trim()).filter((name) => /\/memfd:|\/dev\/|dmabuf/.test(name));
}

function lanes(): number {
  const names = readdirSync('/proc/self/task').flatMap((thread) => {
    try {
      return [readFileSync(`/proc/self/task/${thread}/comm`, 'latin1')];
    } catch {
      // It ended between the two calls.
      return [];
    }
  });
  return names.filter((name) => name.startsWith('vmb-')).length;
}

/** Twice, with a turn between: what a finalizer lets go of is freed by the second. */
export async function holdings(): Promise<Holdings> {
  for (let i = 0; i < 2; i++) {
    collect();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { rss, heapUsed, external } = process.memoryUsage();
  return {
    counts: { descriptors: tally(descriptors()), mappings: tally(mappings()), threads: lanes() },
    memory: { resident: rss, heap: heapUsed, external },
  };
}
