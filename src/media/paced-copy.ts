/** Copies as long as a guest wants them, cut over turns of the loop. */
import { COPY_STEP, type Turn } from '../virtio/turn.js';
import type { SgList } from './sg-list.js';

/** Moves `bytes` bytes from byte `at` of our memory on. */
export type Move = (at: number, bytes: number) => void;
/** The same, from or to a guest address. */
export type ListMove = (address: number, at: number, bytes: number) => void;

/** Moves `length` bytes. False: `isOff` was true after a wait, and nothing more was moved. What `move` throws ends it. */
export async function pacedCopy(
  turn: Turn,
  length: number,
  move: Move,
  isOff: () => boolean,
): Promise<boolean> {
  for (let at = 0; at < length; at += COPY_STEP) {
    while (turn.over) {
      await turn.next();
      if (isOff()) return false;
    }
    const bytes = Math.min(length - at, COPY_STEP);
    turn.spendPiece(bytes);
    move(at, bytes);
  }
  return true;
}

/** The same with the first `length` bytes that a list covers, each piece by itself. */
export async function pacedListCopy(
  turn: Turn,
  list: SgList,
  length: number,
  move: ListMove,
  isOff: () => boolean,
): Promise<boolean> {
  let at = 0;
  for (let index = 0; index < list.count && at < length; index++) {
    const start = list.start(index);
    const bytes = Math.min(list.length(index), list.size - at, length - at);
    for (let done = 0; done < bytes; ) {
      while (turn.over) {
        await turn.next();
        if (isOff()) return false;
      }
      const step = Math.min(bytes - done, COPY_STEP);
      turn.spendPiece(step);
      move(start + done, at, step);
      done += step;
      at += step;
    }
  }
  return true;
}
