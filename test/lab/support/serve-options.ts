/** Options of a daemon with every optional feature off. */
import type { ServeOptions, ServePair } from '../../../src/daemon.js';

export const plainly = (
  pairs: readonly ServePair[],
  sharedMemorySize: number,
  more: Partial<ServeOptions> = {},
): ServeOptions => ({
  pairs,
  sharedMemorySize,
  mmap: 'auto',
  frontend: 'auto',
  memSlots: false,
  objects: false,
  sharedPages: false,
  errorEvents: false,
  requests: 'auto',
  ...more,
});
