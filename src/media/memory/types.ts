import { Memory } from '../../v4l2/layout.js';
import type { MemoryType } from './memory-type.js';
import { mmap } from './mmap.js';
import { object } from './object.js';
import { sharedPages } from './shared-pages.js';

/** The memory types by V4L2_MEMORY_* of the guest's queue. */
export const memoryTypes: Readonly<Record<number, MemoryType>> = {
  [Memory.MMAP]: mmap,
  [Memory.USERPTR]: sharedPages,
  [Memory.DMABUF]: object,
};
