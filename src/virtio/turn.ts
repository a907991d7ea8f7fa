/**
 * The account of one turn of the loop. Everything that a guest can size has a price; when a turn is used up, the work goes
 * on in a later one, and whoever waited longest goes first.
 */

/**
 * What one turn may cost, in bytes that are copied: 256 pages, which take 2 ms where each is touched for the first time and a
 * host has yet to find memory for it, and a tenth of that where they are there.
 */
export const TURN_BYTES = 0x10_0000;

/** What work costs beside the bytes that it copies, in bytes. */
export const Price = {
  /** A chain: its place in the rings, its dispatch, its answer. */
  CHAIN: 32_768,
  /** A descriptor that is read. */
  DESCRIPTOR: 512,
  /** A piece of guest memory that is read or written, however short: it may be a page that is touched for the first time. */
  PIECE: 4096,
  /** An entry of a list that is looked at. */
  ENTRY: 64,
  /** An entry that is taken over into a list of ours. */
  JOINED_ENTRY: 256,
  /** A record of an array that is judged. */
  RECORD: 2048,
} as const;

/** Bytes of one piece that are copied between two looks at the account. */
export const COPY_STEP = 0x1_0000;

export class Turn {
  #spent = 0;
  #scheduled = false;
  readonly #waiting: (() => void)[] = [];
  readonly #asked = new Set<() => void>();

  /** Nothing is left in this turn: wait for `next` before going on. */
  get over(): boolean {
    return this.#spent >= TURN_BYTES;
  }

  /** Before or after the work: the last piece of a turn may cost more than is left. */
  spend(price: number): void {
    this.#spent += price;
  }

  /** A piece of guest memory of so many bytes is read or written. */
  spendPiece(bytes: number): void {
    this.#spent += Math.max(Price.PIECE, bytes);
  }

  /** Resolves in a later turn that has something left; look at `over` again after anything else was awaited. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#schedule();
    });
  }

  /** Calls `run` in a later turn: once, however often that is asked for meanwhile. */
  goOn(run: () => void): void {
    if (this.#asked.has(run)) return;
    this.#asked.add(run);
    void this.next().then(() => {
      this.#asked.delete(run);
      run();
    });
  }

  // What is not used up is not given back: a turn without immediates costs the loop nothing.
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#spent = 0;
      this.#serve();
    });
  }

  /** One after the other: what the first one leaves is the second one's. */
  #serve(): void {
    const resume = this.#waiting.shift();
    if (!resume) return;
    resume();
    // Runs after what awaited `next` has gone on as far as it could.
    queueMicrotask(() => (this.over ? this.#schedule() : this.#serve()));
  }
}
