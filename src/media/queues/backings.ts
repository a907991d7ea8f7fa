/** The ways in which host memory backs a guest's queue: a table. */
import { Memory } from '../../v4l2/layout.js';

/**
 * The host memory behind a guest's queue.
 *
 * MMAP:
 * - userptr: the host's queue is USERPTR, on slots of the arena. Zero copy.
 * - copy: the host's queue is MMAP and mapped here. Each frame is copied to or from its arena slot.
 * - direct: the host's queue is MMAP, and the guest maps the DMABUFs. Zero copy.
 * - unmapped: the VMM has no shared memory. Buffers exist, CMD_MMAP is refused.
 *
 * SHARED_PAGES:
 * - pages-userptr: the host's queue is USERPTR, on the guest's pages. Zero copy.
 * - pages-copy: the host's queue is MMAP and mapped here. Each frame is copied to or from the guest's pages.
 *
 * OBJECT:
 * - imported: the host's queue is DMABUF.
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
  /** V4L2_MEMORY_* of the guest's queue and of the host's. */
  readonly guest: number;
  readonly host: number;
  /** A plane has a slot of the arena; it is mapped into this process. */
  readonly slot: boolean;
  readonly mapped: boolean;
}

const { MMAP, USERPTR, DMABUF } = Memory;

// biome-ignore format: a table
export const backings: Readonly<Record<Backing, BackingRow>> = {
  userptr:         { guest: MMAP,    host: USERPTR, slot: true,  mapped: false },
  copy:            { guest: MMAP,    host: MMAP,    slot: true,  mapped: true },
  direct:          { guest: MMAP,    host: MMAP,    slot: false, mapped: false },
  unmapped:        { guest: MMAP,    host: MMAP,    slot: false, mapped: false },
  'pages-userptr': { guest: USERPTR, host: USERPTR, slot: false, mapped: false },
  'pages-copy':    { guest: USERPTR, host: MMAP,    slot: false, mapped: true },
  imported:        { guest: DMABUF,  host: DMABUF,  slot: false, mapped: false },
};
