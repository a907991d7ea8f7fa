/** Copies that are divided over several turns, because the guest chooses their length. */
import { COPY_STEP, type Turn } from '../../virtio/turn.js';
import type { SgList } from './sg-list.js';

/** Moves `bytes` bytes. `at`: byte offset in the bridge's memory. */
export type Move = (at: number, bytes: number) => void;
/** Moves `bytes` bytes between a guest address and the bridge's memory at byte offset `at`. */
export type ListMove = (address: number, at: number, bytes: number) => void;

/** A copy that continues from turn to turn. */
export interface PacedCopy {
  /** Moves bytes. True: the copy is complete. False: the turn is used up. Throws what a move throws. */
  advance(turn: Turn): boolean;
}

/** A copy of `length` bytes of contiguous memory. */
export class FlatCopy implements PacedCopy {
  #at = 0;

  constructor(
    private readonly length: number,
    private readonly move: Move,
  ) {}

  advance(turn: Turn): boolean {
    for (; this.#at < this.length; this.#at += COPY_STEP) {
      if (turn.over) return false;
      const bytes = Math.min(this.length - this.#at, COPY_STEP);
      turn.spendPiece(bytes);
      this.move(this.#at, bytes);
    }
    return true;
  }
}

/** A copy from or to the pieces of an SG list. One move never covers two pieces. */
export class ListCopy implements PacedCopy {
  #list: SgList | null = null;
  #length = 0;
  #at = 0;
  #index = 0;
  #inside = 0;

  constructor(private readonly move: ListMove) {}

  /** Starts again, with the first `length` bytes of an SG list. */
  begin(list: SgList, length: number): this {
    this.#list = list;
    this.#length = length;
    this.#at = this.#index = this.#inside = 0;
    return this;
  }

  advance(turn: Turn): boolean {
    const list = this.#list!;
    const length = this.#length;
    while (this.#at < length) {
      if (turn.over) return false;
      const piece = list.length(this.#index) - this.#inside;
      const bytes = Math.min(piece, length - this.#at, COPY_STEP);
      turn.spendPiece(bytes);
      this.move(list.start(this.#index) + this.#inside, this.#at, bytes);
      this.#at += bytes;
      this.#inside += bytes;
      if (bytes < piece) continue;
      this.#index++;
      this.#inside = 0;
    }
    return true;
  }
}

/** Runs a copy to its end. False: `isOff` was true after a wait, so the copy was stopped. Throws what a move throws. */
export async function runCopy(turn: Turn, copy: PacedCopy, isOff: () => boolean): Promise<boolean> {
  while (!copy.advance(turn)) {
    await turn.next();
    if (isOff()) return false;
  }
  return true;
}
