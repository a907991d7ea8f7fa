/**
 * The budget of one turn of the loop. All work whose size the guest chooses has a price. When a turn is used up, the
 * work goes on in a later turn, and the work that has waited longest goes first.
 */

/**
 * What one turn may cost, in copied bytes: a megabyte takes 1 ms if its pages are touched for the first time, and a
 * tenth of that if they are present. A turn of the loop may hold two of these turns: what is left of one, and the next.
 */
export const TURN_BYTES = 0x10_0000;

/** What work costs in addition to the bytes that it copies, in bytes. */
export const Price = {
  /** A chain: reading it from the ring, calling its handler, answering it. */
  CHAIN: 32_768,
  /** A descriptor that is read. */
  DESCRIPTOR: 1024,
  /**
   * A piece of guest memory that is read or written. It may be short, but its page may be touched for the first time.
   */
  PIECE: 8192,
  /** An entry of a list that is read. */
  ENTRY: 128,
  /** An entry that is added to a list of the bridge. */
  JOINED_ENTRY: 512,
  /** An entry whose place in guest memory is looked up. */
  FOUND_ENTRY: 512,
  /** A record of an array that is checked. */
  RECORD: 2048,
} as const;

/** The most bytes of one piece that are copied between two checks of the budget. */
export const COPY_STEP = 0x1_0000;

/** The budget of the current turn, and the work that waits for the next one. */
export class Turn {
  #spent = 0;
  #scheduled = false;
  readonly #waiting: (() => void)[] = [];
  readonly #asked = new Set<() => void>();

  /** Whether the turn is used up. Wait for `next` before you go on. */
  get over(): boolean {
    return this.#spent >= TURN_BYTES;
  }

  /** What is left of the turn. */
  get left(): number {
    return Math.max(0, TURN_BYTES - this.#spent);
  }

  /** Charges a price, before or after the work. The last piece of a turn may cost more than what is left. */
  spend(price: number): void {
    this.#spent += price;
  }

  /** Charges for a piece of guest memory of `bytes` bytes that is read or written. */
  spendPiece(bytes: number): void {
    this.#spent += Math.max(Price.PIECE, bytes);
  }

  /** Resolves in a later turn that has something left. If anything else was awaited after it, check `over` again. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#schedule();
    });
  }

  /** Calls `run` in a later turn. Calls with the same `run` before that turn are one call. */
  goOn(run: () => void): void {
    if (this.#asked.has(run)) return;
    this.#asked.add(run);
    void this.next().then(() => {
      this.#asked.delete(run);
      run();
    });
  }

  // The budget is renewed only when work waits for it. Without waiting work there is no immediate, which the loop
  // would pay for.
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#spent = 0;
      this.#serve();
    });
  }

  /** Resumes waiting work, one after the other, as long as something is left of the turn. */
  #serve(): void {
    const resume = this.#waiting.shift();
    if (!resume) return;
    resume();
    // This runs after the code that awaited `next` has gone on as far as it could.
    queueMicrotask(() => (this.over ? this.#schedule() : this.#serve()));
  }
}
