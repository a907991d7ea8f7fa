/**
 * Pages of the guest that a plane was given: their list, counted in a budget, and one linear mapping of them in this process
 * if they can be joined.
 */
import { Errno } from '../../errno.js';
import type { LinearMapping, NodeCall, RegionPiece } from '../../native.js';
import { type GuestMemory, GuestMemoryError } from '../../virtio/guest-memory.js';
import { join, packPieces } from '../../virtio/region-bytes.js';
import { Price, type Turn } from '../../virtio/turn.js';
import { MAX_LINEAR_PIECES } from '../policy.js';
import type { SgBudget } from './sg-budget.js';
import type { SgList } from './sg-list.js';

/** What pages need of the session whose buffer they are. */
export interface PageOwner {
  readonly context: {
    readonly memory: GuestMemory;
    readonly turn: Turn;
    readonly linearMappings: LinearMappings;
  };
  /** SG lists that are kept with its buffers. */
  readonly lists: SgBudget;
  /** Runs a call on its file; resolves to an errno. */
  call(call: NodeCall): Promise<number>;
}

export interface GuestPages {
  /** In memory of its own, neighbours joined. */
  readonly list: SgList;
  /** `GuestMemory.generation` as it was when the pages were found there. */
  readonly generation: number;
  /** Contiguous here; null: a frame is copied. */
  readonly mapping: PageMapping | null;
  /** Twice is harmless. */
  release(): void;
}

/**
 * Takes the pages of a list. An errno: EFAULT where one is not in guest memory, ENOMEM where there is no room for the list.
 * `isZeroCopy`: the driver takes USERPTR, so it can write to the pages themselves.
 */
export async function takePages(
  owner: PageOwner,
  given: SgList,
  isZeroCopy: boolean,
): Promise<GuestPages | number> {
  const { memory, linearMappings, turn } = owner.context;
  // Before there is any of it, as if no two were neighbours.
  if (!owner.lists.take(given.bytes)) return Errno.ENOMEM;
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
  return Errno.EFAULT;
}

/** Throws GuestMemoryError. */
async function checkPages({ context: { memory, turn } }: PageOwner, list: SgList): Promise<void> {
  for (let index = 0; index < list.count; index++) {
    if (turn.over) await turn.next();
    turn.spend(Price.ENTRY);
    memory.check(list.start(index), list.length(index));
  }
}

/** Whether a plane that has pages is given the same ones again. */
export async function isSamePages(
  { context: { memory, turn } }: PageOwner,
  kept: GuestPages,
  given: SgList,
): Promise<boolean> {
  // Once more afterwards: memory may have changed in between.
  const isStill = (): boolean => kept.generation === memory.generation;
  return isStill() && (await given.isSame(kept.list, turn)) && isStill();
}

export interface PageMapping {
  readonly linear: LinearMapping;
  /** Twice is harmless. */
  close(): void;
}

/** Pieces that are joined on the loop: sooner done there than on the session's lane. */
const JOINED_HERE = 64;

/** The linear mappings of all buffers of one node. */
export class LinearMappings {
  #pieces = 0;

  /**
   * Joins pages that are in guest memory. Null: they do not join (a piece ends inside a page), or there are too many: then a
   * frame is copied.
   */
  async join(owner: PageOwner, list: SgList): Promise<PageMapping | null> {
    if (this.#pieces + list.count > MAX_LINEAR_PIECES) return null;
    const places = await locate(owner, list);
    const { length } = places;
    if (this.#pieces + length > MAX_LINEAR_PIECES) return null;
    // Before the lane has made it: another session may ask meanwhile.
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

async function locate({ context: { memory, turn } }: PageOwner, list: SgList): Promise<RegionPiece[]> {
  const places: RegionPiece[] = [];
  for (let index = 0; index < list.count; index++) {
    if (turn.over) await turn.next();
    turn.spend(Price.DESCRIPTOR);
    places.push(...memory.pieces(list.start(index), list.length(index)));
  }
  return places;
}

async function joined(owner: PageOwner, places: readonly RegionPiece[]): Promise<LinearMapping | null> {
  owner.context.turn.spend(Math.min(places.length, JOINED_HERE) * Price.PIECE);
  if (places.length <= JOINED_HERE) {
    const mapping = join(places);
    return typeof mapping === 'number' ? null : mapping;
  }
  const call: NodeCall & { kind: 'join' } = { kind: 'join', ...packPieces(places) };
  const errno = await owner.call(call);
  return errno === 0 ? (call.mapping ?? null) : null;
}
