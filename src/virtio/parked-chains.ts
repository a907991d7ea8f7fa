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

  /** Counts a chain. Throws ChainError above a limit. Then the chain's copy is released: a guest may send many of them. */
  add(chain: Chain): void {
    const bytes = this.#bytes + chain.readable.length;
    const pieces = this.#pieces + chain.writablePieces;
    if (bytes > MAX_PARKED_BYTES || pieces > MAX_PARKED_PIECES) {
      readablePool.give(chain.readable);
      const what = bytes > MAX_PARKED_BYTES ? 'readable bytes wait' : 'pieces of memory wait';
      throw new ChainError(`too many ${what} for an answer`);
    }
    this.#bytes = bytes;
    this.#pieces = pieces;
  }

  remove({ readable, writablePieces }: Chain): void {
    this.#bytes -= readable.length;
    this.#pieces -= writablePieces;
  }

  clear(): void {
    this.#bytes = this.#pieces = 0;
  }
}
