/** The guest pages of a plane: their SG list, counted in a budget, and their linear mapping if they can be joined. */
import { Errno } from '../../errno.js';
import type { LinearMapping, NodeCall, RegionPiece } from '../../native.js';
import { failure, isFailure, type Result } from '../../result.js';
import { type GuestMemory, GuestMemoryError } from '../../virtio/guest-memory.js';
import { join, packPieces } from '../../virtio/region-bytes.js';
import { Price, type Turn } from '../../virtio/turn.js';
import { MAX_LINEAR_PIECES } from '../policy.js';
import type { SgBudget } from './sg-budget.js';
import type { SgList } from './sg-list.js';

/** The part of a session that guest pages need. */
export interface PageOwner {
  readonly context: {
    readonly memory: GuestMemory;
    readonly turn: Turn;
    readonly linearMappings: LinearMappings;
  };
  /** Budget for the SG lists that are kept with the buffers of the session. */
  readonly lists: SgBudget;
  /** Runs a call on the session's file. Resolves to an errno. */
  call(call: NodeCall): Promise<number>;
}

/** Guest pages that a plane uses. */
export interface GuestPages {
  /** A copy of the guest's SG list, with neighbours joined. */
  readonly list: SgList;
  /** `GuestMemory.generation` at the time of the check that all pages are in guest memory. */
  readonly generation: number;
  /** The linear mapping of the pages; null: frames are copied. */
  readonly mapping: PageMapping | null;
  /** Gives the list's bytes back to the budget and closes the mapping. Calling twice is harmless. */
  release(): void;
}

/**
 * Takes the pages of an SG list. `isZeroCopy`: the driver takes USERPTR, so the pages are joined if that is possible.
 * EFAULT: a page is not in guest memory. ENOMEM: the budget has no room for the list.
 */
export async function takePages(
  owner: PageOwner,
  given: SgList,
  isZeroCopy: boolean,
): Promise<Result<GuestPages>> {
  const { memory, linearMappings, turn } = owner.context;
  // Taken before the copy is made, so the size is that of a list in which nothing can be joined.
  if (!owner.lists.take(given.bytes)) return failure(Errno.ENOMEM);
  const list = await given.joined(turn);
  owner.lists.giveBack(given.bytes - list.bytes);
  const { generation } = memory;
  let mapping: PageMapping | null = null;
  let isOpen = true;
  const release = (): void => {
    if (!isOpen) return;
    isOpen = false;
    owner.lists.giveBack(list.bytes);
    mapping?.close();
  };
  try {
    await checkPages(owner, list);
    if (isZeroCopy) mapping = await linearMappings.join(owner, list);
    if (generation === memory.generation) return { list, generation, mapping, release };
  } catch (error) {
    if (!(error instanceof GuestMemoryError)) throw error;
  }
  release();
  return failure(Errno.EFAULT);
}

/** Throws GuestMemoryError if a piece of the list is not in guest memory. */
async function checkPages({ context: { memory, turn } }: PageOwner, list: SgList): Promise<void> {
  for (let index = 0; index < list.count; index++) {
    if (turn.over) await turn.next();
    turn.spend(Price.FOUND_ENTRY);
    memory.check(list.start(index), list.length(index));
  }
}

/** Whether `given` names the pages that the plane already has, and guest memory has not changed since. */
export async function isSamePages(
  { context: { memory, turn } }: PageOwner,
  kept: GuestPages,
  given: SgList,
): Promise<boolean> {
  // Checked again afterwards, because guest memory may change during the comparison.
  const isStill = (): boolean => kept.generation === memory.generation;
  return isStill() && (await given.isSame(kept.list, turn)) && isStill();
}

/** A linear mapping that counts in the limit of its node. */
export interface PageMapping {
  readonly linear: LinearMapping;
  /** Unmaps. Calling twice is harmless. */
  close(): void;
}

/** Up to this number of pieces, the loop joins them itself: that is faster than a call on the session's lane. */
const JOINED_HERE = 64;

/** The linear mappings of all buffers of one node, at most MAX_LINEAR_PIECES pieces together. */
export class LinearMappings {
  #pieces = 0;

  /**
   * Joins the pages of an SG list. Resolves to null if they cannot be joined (a piece ends inside a page) or if the
   * node would have too many pieces. Then frames are copied. Throws GuestMemoryError.
   */
  async join(owner: PageOwner, list: SgList): Promise<PageMapping | null> {
    if (this.#pieces + list.count > MAX_LINEAR_PIECES) return null;
    const places = await locate(owner, list);
    const { length } = places;
    if (this.#pieces + length > MAX_LINEAR_PIECES) return null;
    // Counted before the lane has made the mapping, because another session may join pages meanwhile.
    this.#pieces += length;
    const mapping = await joined(owner, places);
    if (mapping) return this.#keep(mapping, length);
    this.#pieces -= length;
    return null;
  }

  #keep(mapping: LinearMapping, pieces: number): PageMapping {
    let open = true;
    const close = (): void => {
      if (!open) return;
      open = false;
      this.#pieces -= pieces;
      mapping.close();
    };
    return { linear: mapping, close };
  }
}

/** The pieces of mapped regions that the list covers. Throws GuestMemoryError. */
async function locate({ context: { memory, turn } }: PageOwner, list: SgList): Promise<RegionPiece[]> {
  const places: RegionPiece[] = [];
  for (let index = 0; index < list.count; index++) {
    if (turn.over) await turn.next();
    turn.spend(Price.DESCRIPTOR);
    places.push(...memory.pieces(list.start(index), list.length(index)));
  }
  return places;
}

/** Null: the pieces cannot be joined. */
async function joined(owner: PageOwner, places: readonly RegionPiece[]): Promise<LinearMapping | null> {
  owner.context.turn.spend(Math.min(places.length, JOINED_HERE) * Price.PIECE);
  if (places.length <= JOINED_HERE) {
    const mapping = join(places);
    return isFailure(mapping) ? null : mapping;
  }
  const call: NodeCall & { kind: 'join' } = { kind: 'join', ...packPieces(places) };
  const errno = await owner.call(call);
  return errno === 0 ? (call.mapping ?? null) : null;
}
