import { Memory } from '../../v4l2/layout.js';
import type { MemoryType } from './memory-type.js';
import { mmap } from './mmap.js';
import { object } from './object.js';
import { sharedPages } from './shared-pages.js';

/** By the guest's V4L2_MEMORY_*. */
export const memoryTypes: Readonly<Record<number, MemoryType>> = {
  [Memory.MMAP]: mmap,
  [Memory.USERPTR]: sharedPages,
  [Memory.DMABUF]: object,
};
