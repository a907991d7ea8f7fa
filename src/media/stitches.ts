/** Pages of the guest made contiguous in this process, within a bound: each piece is a mapping of its own to the kernel. */
import type { LinearMapping, RegionPiece } from '../native.js';
import { join } from '../virtio/window.js';
import { MAX_STITCHED_PIECES } from './policy.js';

export interface Stitched {
  readonly mapping: LinearMapping;
  readonly places: readonly RegionPiece[];
  /** Twice is harmless. */
  close(): void;
}

/** All stitched buffers of one device. */
export class Stitches {
  #pieces = 0;

  /** Null: the pages do not join (a piece ends inside a page), or there are too many: then a frame is copied. */
  make(places: readonly RegionPiece[]): Stitched | null {
    if (this.#pieces + places.length > MAX_STITCHED_PIECES) return null;
    const mapping = join(places);
    if (typeof mapping === 'number') return null;
    this.#pieces += places.length;
    let open = true;
    const close = (): void => {
      if (!open) return;
      open = false;
      this.#pieces -= places.length;
      mapping.close();
    };
    return { mapping, places, close };
  }
}

/** Whether these are the same bytes in the same order. */
export function isSame(a: readonly RegionPiece[], b: readonly RegionPiece[]): boolean {
  const equal = (one: RegionPiece, other: RegionPiece | undefined) =>
    one.region === other?.region && one.offset === other.offset && one.length === other.length;
  return a.length === b.length && a.every((piece, index) => equal(piece, b[index]));
}
