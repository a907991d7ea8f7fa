/** Sizes as an operator writes them. */
import { OperatorError } from './exit.js';

const KIB = 1024;
const units: ReadonlyMap<string, number> = new Map([
  ['', 1],
  ['K', KIB],
  ['M', KIB ** 2],
  ['G', KIB ** 3],
]);

/** Of SHM region 0: below, a guest with 64 KiB pages cannot map it. */
export const MIN_SHARED_MEMORY = 64 * KIB;
/** Above, no guest firmware finds room for the PCI window. */
export const MAX_SHARED_MEMORY = 64 * KIB ** 3;
export const DEFAULT_SHARED_MEMORY = '1G';

/** `256M`, `1G`, `65536` in bytes; NaN where it is no size. */
export function sizeOf(text: string): number {
  const [, digits, unit] = /^(\d+)([KMG]?)(?:i?B)?$/i.exec(text) ?? [];
  return Number(digits) * (units.get((unit ?? '').toUpperCase()) ?? 0);
}

/** Throws ERR_USAGE: QEMU aborts on a size that is no power of two. */
export function sharedMemorySize(text: string): number {
  const size = sizeOf(text);
  const valid = size >= MIN_SHARED_MEMORY && size <= MAX_SHARED_MEMORY && Number.isInteger(Math.log2(size));
  if (valid) return size;
  throw new OperatorError(
    'ERR_USAGE',
    `--shm-size must be a power of two from 64K to 64G, for example 256M or 1G, not ${text}`,
  );
}
