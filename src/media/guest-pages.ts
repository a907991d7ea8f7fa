/** Pages of the guest that a plane was given: their list, counted in a budget, and one mapping of them where they can be joined. */
import { Errno } from '../errno.js';
import { GuestMemoryError } from '../virtio/guest-memory.js';
import { Price } from '../virtio/turn.js';
import type { Session } from './session.js';
import type { SgList } from './sg-list.js';
import type { Stitched } from './stitches.js';

export interface GuestPages {
  /** In memory of its own, neighbours joined. */
  readonly list: SgList;
  /** `GuestMemory.generation` as it was when the pages were found there. */
  readonly generation: number;
  /** Contiguous here; null: a frame is copied. */
  readonly stitched: Stitched | null;
  /** Twice is harmless. */
  release(): void;
}

/**
 * Takes the pages of a list. An errno: EFAULT where one is not in guest memory, ENOMEM where there is no room for the list.
 * `stitch`: whether the driver could write to them as they are.
 */
export async function takePages(
  session: Session,
  given: SgList,
  stitch: boolean,
): Promise<GuestPages | number> {
  const { memory, stitches, turn } = session.context;
  // Before there is any of it, as if no two were neighbours.
  if (!session.lists.take(given.bytes)) return Errno.ENOMEM;
  const list = await given.joined(turn);
  session.lists.giveBack(given.bytes - list.bytes);
  const { generation } = memory;
  let stitched: Stitched | null = null;
  let isOpen = true;
  const release = (): void => {
    if (!isOpen) return;
    isOpen = false;
    session.lists.giveBack(list.bytes);
    stitched?.close();
  };
  try {
    await checkPages(session, list);
    if (stitch) stitched = await stitches.make(session, list);
    if (generation === memory.generation) return { list, generation, stitched, release };
  } catch (error) {
    if (!(error instanceof GuestMemoryError)) throw error;
  }
  release();
  return Errno.EFAULT;
}

/** Throws GuestMemoryError. */
async function checkPages({ context: { memory, turn } }: Session, list: SgList): Promise<void> {
  for (let index = 0; index < list.count; index++) {
    if (turn.over) await turn.next();
    turn.spend(Price.ENTRY);
    memory.check(list.start(index), list.length(index));
  }
}

/** Whether a plane that has pages is given the same ones again. */
export async function isSamePages(
  { context: { memory, turn } }: Session,
  kept: GuestPages,
  given: SgList,
): Promise<boolean> {
  // Once more afterwards: memory may have changed in between.
  const isStill = (): boolean => kept.generation === memory.generation;
  return isStill() && (await given.isSame(kept.list, turn)) && isStill();
}
