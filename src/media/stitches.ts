/** Pages of the guest made contiguous in this process, within a bound: each piece is a mapping of its own to the kernel. */
import type { LinearMapping, NodeCall, RegionPiece } from '../native.js';
import { Price } from '../virtio/turn.js';
import { join, packPieces } from '../virtio/window.js';
import { MAX_STITCHED_PIECES } from './policy.js';
import type { Session } from './session.js';
import type { SgList } from './sg-list.js';

export interface Stitched {
  readonly mapping: LinearMapping;
  /** Twice is harmless. */
  close(): void;
}

/** Pieces that are joined on the loop: sooner done there than on the session's lane. */
const JOINED_HERE = 64;

/** All stitched buffers of one device. */
export class Stitches {
  #pieces = 0;

  /**
   * Joins pages that are in guest memory. Null: they do not join (a piece ends inside a page), or there are too many: then a
   * frame is copied.
   */
  async make(session: Session, list: SgList): Promise<Stitched | null> {
    if (this.#pieces + list.count > MAX_STITCHED_PIECES) return null;
    const places = await locate(session, list);
    const { length } = places;
    if (this.#pieces + length > MAX_STITCHED_PIECES) return null;
    // Before the lane has made it: another session may ask meanwhile.
    this.#pieces += length;
    const mapping = await joined(session, places);
    if (mapping) return this.#keep(mapping, length);
    this.#pieces -= length;
    return null;
  }

  #keep(mapping: LinearMapping, pieces: number): Stitched {
    let open = true;
    const close = (): void => {
      if (!open) return;
      open = false;
      this.#pieces -= pieces;
      mapping.close();
    };
    return { mapping, close };
  }
}

async function locate({ context: { memory, turn } }: Session, list: SgList): Promise<RegionPiece[]> {
  const places: RegionPiece[] = [];
  for (let index = 0; index < list.count; index++) {
    if (turn.over) await turn.next();
    turn.spend(Price.DESCRIPTOR);
    places.push(...memory.pieces(list.start(index), list.length(index)));
  }
  return places;
}

async function joined(session: Session, places: readonly RegionPiece[]): Promise<LinearMapping | null> {
  session.context.turn.spend(Math.min(places.length, JOINED_HERE) * Price.PIECE);
  if (places.length <= JOINED_HERE) {
    const mapping = join(places);
    return typeof mapping === 'number' ? null : mapping;
  }
  const call: NodeCall & { kind: 'join' } = { kind: 'join', ...packPieces(places) };
  const errno = await session.call(call);
  return errno === 0 ? (call.mapping ?? null) : null;
}
