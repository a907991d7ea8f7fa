/** What the chains of a queue hold that were popped and not yet pushed, and its limits. */
import { type Chain, ChainError } from './chain.js';
import { readablePool } from './readable-pool.js';

/** The most readable bytes of all chains popped and not yet pushed. A chain above that goes back with length 0. */
export const MAX_PARKED_BYTES = 64 * 1024 * 1024;

/**
 * The most pieces of writable memory of all chains that were popped and not yet pushed. A chain above that goes back
 * with length 0. All of them may have to be answered in one turn of the loop, when the ring stops.
 */
export const MAX_PARKED_PIECES = 1024;

export class ParkedChains {
  #bytes = 0;
  #pieces = 0;

  /** Throws ChainError above a limit. Then the copy is released: a guest may send many such chains. */
  check(readable: Buffer, writablePieces: number): void {
    const bytes = this.#bytes + readable.length;
    if (bytes <= MAX_PARKED_BYTES && this.#pieces + writablePieces <= MAX_PARKED_PIECES) return;
    readablePool.give(readable);
    const what = bytes > MAX_PARKED_BYTES ? 'readable bytes wait' : 'pieces of memory wait';
    throw new ChainError(`too many ${what} for an answer`);
  }

  add({ readable, writablePieces }: Chain): void {
    this.#bytes += readable.length;
    this.#pieces += writablePieces;
  }

  remove({ readable, writablePieces }: Chain): void {
    this.#bytes -= readable.length;
    this.#pieces -= writablePieces;
  }

  clear(): void {
    this.#bytes = this.#pieces = 0;
  }
}
