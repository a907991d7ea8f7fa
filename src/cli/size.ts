/** Reads sizes that an operator writes. By hand, because the package bytes reads 256M as 256, 1GiB as 1 and 12abc as 12. */
import { OperatorError } from './exit.js';

const KIB = 1024;
const units: ReadonlyMap<string, number> = new Map([
  ['', 1],
  ['K', KIB],
  ['M', KIB ** 2],
  ['G', KIB ** 3],
]);

/** Least bytes of SHM region 0. A guest with 64 KiB pages cannot map a smaller one. */
export const MIN_SHARED_MEMORY = 64 * KIB;
/** Most bytes of SHM region 0. For a larger one no guest firmware finds space among the PCI addresses. */
export const MAX_SHARED_MEMORY = 64 * KIB ** 3;
/** The default of --shm-size. */
export const DEFAULT_SHARED_MEMORY = '1G';

/** The bytes of `256M`, `1G` or `65536`. NaN: the text is no size. */
export function sizeOf(text: string): number {
  const [, digits, unit] = /^(\d+)([KMG]?)(?:i?B)?$/i.exec(text) ?? [];
  return Number(digits) * (units.get((unit ?? '').toUpperCase()) ?? 0);
}

/** The bytes of --shm-size. Throws ERR_USAGE also if it is no power of two, because QEMU aborts then. */
export function sharedMemorySize(text: string): number {
  const size = sizeOf(text);
  const valid = size >= MIN_SHARED_MEMORY && size <= MAX_SHARED_MEMORY && Number.isInteger(Math.log2(size));
  if (valid) return size;
  throw new OperatorError(
    'ERR_USAGE',
    `--shm-size must be a power of two from 64K to 64G, for example 256M or 1G, not ${text}`,
  );
}
