/**
 * A VM that is paused and resumed (QMP stop and cont), at random moments or within a command, and a driver in it that knows nothing of that: its processor stands
 * still meanwhile, and what answers EINTR its program asks again, with the same bytes.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { GuestDriver } from '../../../src/client/guest-driver.js';
import type { Piece } from '../../../src/client/pieces.js';
import type { Answer, Transaction } from '../../../src/client/transaction.js';
import { Errno } from '../../../src/errno.js';
import { Random } from '../../fuzz/random.js';
import type { Guest } from './guest.js';

/** Between a command that is aimed at and its pause: it is on its lane by then. */
const LEAD_MS = 50;

/** Holds a command up, of which these are the bytes, so that a pause finds it under way. Null: not this one. Resolves to what ends that. */
export type Aim = (request: Buffer) => Promise<() => Promise<void>> | null;

export class PausedVm {
  /** Which commands are paused within, the first time that they are made. */
  aim: Aim = () => null;
  /** Pauses so far, and commands that one of them has ended with EINTR. */
  pauses = 0;
  interrupted = 0;
  /** The longest pause, in milliseconds: QEMU takes its time on a busy machine. */
  longest = 0;
  readonly #random: Random;
  #running: Promise<void> = Promise.resolve();

  /** `seed` makes the moments; the driver of `guest` asks again from now on. */
  constructor(
    private readonly guest: Guest,
    readonly seed: number,
  ) {
    this.#random = Random.of(seed, 'pauses');
    const { driver } = guest;
    const transact = driver.transact.bind(driver);
    driver.transact = (transaction) => this.#persist(driver, transact, transaction);
  }

  /** So many pauses, each for as long as `longest` milliseconds at most, with as much time between two. */
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

/** The same command once more, in other memory. */
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
