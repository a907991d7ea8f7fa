/**
 * A VM that is paused and resumed (QMP stop and cont), at random moments or within a command. The driver in it does not
 * know of the pauses: its processor stands still meanwhile. If a command is answered EINTR, its program sends the same
 * bytes again.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { GuestDriver } from '../../../src/client/guest-driver.js';
import type { Piece } from '../../../src/client/pieces.js';
import type { Answer, Transaction } from '../../../src/client/transaction.js';
import { Errno } from '../../../src/errno.js';
import { Random } from '../../fuzz/random.js';
import type { Guest } from './guest.js';

/** Milliseconds between a command and the pause that is placed within it. The command is on its lane by then. */
const LEAD_MS = 50;

/**
 * Slows down a command with these bytes, so that a pause finds it under way. null: this command is not meant. The
 * resolved function ends the slowdown.
 */
export type Aim = (request: Buffer) => Promise<() => Promise<void>> | null;

export class PausedVm {
  /** Chooses the commands that are paused within when they are sent for the first time. */
  aim: Aim = () => null;
  /** Number of pauses so far, and of commands that ended with EINTR because of a pause. */
  pauses = 0;
  interrupted = 0;
  /** The longest pause in milliseconds. On a busy machine QEMU may take long. */
  longest = 0;
  readonly #random: Random;
  #running: Promise<void> = Promise.resolve();

  /**
   * `seed` decides the moments of the pauses. From now on the driver of `guest` repeats commands that end with EINTR.
   */
  constructor(
    private readonly guest: Guest,
    readonly seed: number,
  ) {
    this.#random = Random.of(seed, 'pauses');
    const { driver } = guest;
    const transact = driver.transact.bind(driver);
    driver.transact = (transaction) => this.#persist(driver, transact, transaction);
  }

  /** Makes `count` pauses, each of `longest` milliseconds at most, with at most as much time between two. */
  async pause(count: number, longest: number): Promise<void> {
    for (let n = 0; n < count; n++) {
      await delay(this.#random.below(longest));
      await this.#pauseFor(this.#random.below(longest));
    }
  }

  async #pauseFor(milliseconds: number): Promise<void> {
    const { qmp } = this.guest.qemu;
    const began = performance.now();
    await qmp.execute('stop');
    this.pauses++;
    let resume = () => {};
    this.#running = new Promise((resolve) => {
      resume = resolve;
    });
    await delay(milliseconds);
    await qmp.execute('cont');
    this.longest = Math.max(this.longest, performance.now() - began);
    resume();
  }

  async #persist(
    driver: GuestDriver,
    transact: (transaction: Transaction) => Promise<Answer>,
    first: Transaction,
  ): Promise<Answer> {
    const { pieces } = first.block;
    const bytes = pieces.map((_, at) => Buffer.from(first.block.bytes(at)));
    const release = await this.aim(bytes[0]!);
    if (release) void delay(LEAD_MS).then(() => this.#pauseFor(0));
    for (let transaction = first; ; transaction = copyOf(driver, first, bytes)) {
      await this.#running;
      const answer = await transact(transaction);
      if (answer.errno !== Errno.EINTR) {
        await release?.();
        return answer;
      }
      this.interrupted++;
    }
  }
}

/** The same command again, in other memory. */
function copyOf(driver: GuestDriver, transaction: Transaction, bytes: readonly Buffer[]): Transaction {
  const { pieces } = transaction.block;
  const block = driver.heap.block(...bytes.map(({ length }) => length));
  for (const [at, each] of bytes.entries()) block.bytes(at).set(each);
  const again = (piece: Piece): Piece => block.pieces[(pieces as readonly Piece[]).indexOf(piece)]!;
  return {
    ...transaction,
    block,
    readable: transaction.readable.map(again),
    writable: transaction.writable.map(again),
  };
}
