/** Copies as long as a guest wants them, cut over turns of the loop. */
import { COPY_STEP, type Turn } from '../../virtio/turn.js';
import type { SgList } from './sg-list.js';

/** Moves `bytes` bytes from byte `at` of our memory on. */
export type Move = (at: number, bytes: number) => void;
/** The same, from or to a guest address. */
export type ListMove = (address: number, at: number, bytes: number) => void;

/** A copy that goes on from turn to turn. */
export interface PacedCopy {
  /** Goes on until all is moved; false: until the turn is used up. What a move throws ends it. */
  advance(turn: Turn): boolean;
}

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

/** Each piece of a list by itself. */
export class ListCopy implements PacedCopy {
  #list: SgList | null = null;
  #length = 0;
  #at = 0;
  #index = 0;
  #inside = 0;

  constructor(private readonly move: ListMove) {}

  /** The first `length` bytes that a list covers are next. */
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

/** To the end of a copy. False: `isOff` was true after a wait, and nothing more was moved. */
export async function runCopy(turn: Turn, copy: PacedCopy, isOff: () => boolean): Promise<boolean> {
  while (!copy.advance(turn)) {
    await turn.next();
    if (isOff()) return false;
  }
  return true;
}
