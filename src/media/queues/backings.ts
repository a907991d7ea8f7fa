/** The table of backings: how host memory stands behind a guest's queue. */
import { Memory } from '../../v4l2/layout.js';

/**
 * A backing: which memory the host's queue uses for the buffers of a guest's queue.
 *
 * MMAP:
 * - userptr: the host's queue is USERPTR, and its memory is the slots of the arena. Zero copy.
 * - copy: the host's queue is MMAP and mapped into this process. Each frame is copied to or from its arena slot.
 * - direct: the host's queue is MMAP, and the guest maps the DMABUFs. Zero copy.
 * - unmapped: the VMM has no shared memory. Buffers exist, but CMD_MMAP is refused.
 *
 * SHARED_PAGES:
 * - pages-userptr: the host's queue is USERPTR, and its memory is the guest pages. Zero copy.
 * - pages-copy: the host's queue is MMAP and mapped into this process. Each frame is copied to or from the guest pages.
 *
 * OBJECT:
 * - imported: the host's queue is DMABUF, and its memory is the objects that the guest names. Zero copy.
 */
export type Backing =
  | 'userptr'
  | 'copy'
  | 'direct'
  | 'unmapped'
  | 'pages-userptr'
  | 'pages-copy'
  | 'imported';

interface BackingRow {
  /** V4L2_MEMORY_* of the guest's queue. */
  readonly guest: number;
  /** V4L2_MEMORY_* of the host's queue. */
  readonly host: number;
  /** Where in SHM region 0 each plane gets a slot; null: it gets none. */
  readonly slot: 'arena' | 'direct' | null;
  /** Whether the host's buffers are mapped into this process. */
  readonly mapped: boolean;
  /**
   * Whether the driver can follow the guest's cache hints (V4L2_MEMORY_FLAG_NON_COHERENT, V4L2_BUF_FLAG_NO_CACHE_*).
   * vb2 follows them for MMAP only. If this process copies frames, it needs caches that are in step.
   */
  readonly hints: boolean;
}

const { MMAP, USERPTR, DMABUF } = Memory;

/** Guest and host memory type of each backing, and what its planes need. */
// biome-ignore format: a table
export const backings: Readonly<Record<Backing, BackingRow>> = {
  userptr:         { guest: MMAP,    host: USERPTR, slot: 'arena',  mapped: false, hints: false },
  copy:            { guest: MMAP,    host: MMAP,    slot: 'arena',  mapped: true,  hints: false },
  direct:          { guest: MMAP,    host: MMAP,    slot: 'direct', mapped: false, hints: true },
  unmapped:        { guest: MMAP,    host: MMAP,    slot: null,     mapped: false, hints: true },
  'pages-userptr': { guest: USERPTR, host: USERPTR, slot: null,     mapped: false, hints: false },
  'pages-copy':    { guest: USERPTR, host: MMAP,    slot: null,     mapped: true,  hints: false },
  imported:        { guest: DMABUF,  host: DMABUF,  slot: null,     mapped: false, hints: false },
};
