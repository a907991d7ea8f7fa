/** The memory that the machine has left. */
import { readFileSync } from 'node:fs';

const available = () => Number(/MemAvailable: +(\d+)/.exec(readFileSync('/proc/meminfo', 'utf8'))![1]);

/** Runs `work`. `taken`: how many KiB less were available meanwhile, at the worst of the looks. */
export async function memoryTaken<T>(work: () => Promise<T>): Promise<{ value: T; taken: number }> {
  const before = available();
  let least = before;
  const watch = setInterval(() => {
    least = Math.min(least, available());
  }, 5);
  try {
    return { value: await work(), taken: before - least };
  } finally {
    clearInterval(watch);
  }
}
