/**
 * The walk along the next chain of a ring. It may take several turns of the loop. First the ring reads and checks every
 * descriptor once; then the readable part is copied. So a refused chain costs no copy.
 */
import { type NativeRing, RingWalk } from '../native-ring.js';
import { Chain, ChainError, MAX_READABLE } from './chain.js';
import { readablePool } from './readable-pool.js';
import { MAX_QUEUE_SIZE } from './ring-layout.js';
import { Price, type Turn } from './turn.js';

/** The most entries of an indirect table. VIRTIO 1.4, 2.7.5.3.1 allows the queue size; Linux and others use more. */
export const MAX_INDIRECT = MAX_QUEUE_SIZE;

/**
 * Gets the first HEAD_BYTES bytes of a readable part and returns how many bytes of the part its reader needs. The
 * others are not copied.
 */
export type Useful = (head: Buffer) => number;
const HEAD_BYTES = 16;
/** Up to this many bytes it is faster to copy a readable part whole than to ask `useful`. */
const FEW_BYTES = 4096;

export class Walk {
  #isJudged = false;
  #copied: Buffer | null = null;
  /** How many chains had been popped when it began. */
  readonly #number: number;

  constructor(private readonly ring: NativeRing) {
    this.#number = ring.popped();
  }

  /** A thread has popped the chain meanwhile. */
  get isOver(): boolean {
    return this.ring.popped() !== this.#number;
  }

  /**
   * Continues the walk. `isWelcome` is asked before the chain is popped, and may throw ChainError. Returns the chain;
   * null: the turn is used up. Throws ChainError: the chain is still in the ring, to be refused.
   */
  advance(
    turn: Turn,
    useful: Useful = () => MAX_READABLE,
    isWelcome: (readable: Buffer, writablePieces: number) => void = () => undefined,
  ): Chain | null {
    if (!this.#read(turn)) return null;
    const [head, readableBytes, writableBytes, writablePieces] = this.ring.shape()!;
    if (!this.#copy(turn, readableBytes, useful)) return null;
    isWelcome(this.#copied!, writablePieces);
    return new Chain(this.ring, turn, this.ring.take()!, head, this.#copied!, writableBytes, writablePieces);
  }

  /** Reads descriptors, if not all are read. Returns false if the turn is used up. */
  #read(turn: Turn): boolean {
    const walked = this.ring.walk(Math.ceil(turn.left / Price.DESCRIPTOR));
    turn.spend((walked >> RingWalk.BITS) * Price.DESCRIPTOR);
    const found = walked & ((1 << RingWalk.BITS) - 1);
    if (found === RingWalk.MALFORMED) throw new ChainError(this.ring.why());
    return found === RingWalk.CHAIN;
  }

  /** Copies the bytes of the readable part that are needed, each once. Returns false if the turn is used up. */
  #copy(turn: Turn, total: number, useful: Useful): boolean {
    this.#isJudged ||= total <= FEW_BYTES;
    this.#copied ??= Buffer.allocUnsafe(this.#isJudged ? total : HEAD_BYTES);
    if (!this.#fill(turn, this.#copied)) return false;
    if (this.#isJudged) return true;
    this.#isJudged = true;
    const head = this.#copied;
    this.#copied = readablePool.take(Math.min(total, Math.max(HEAD_BYTES, useful(head))));
    this.#copied.set(head);
    return this.#fill(turn, this.#copied);
  }

  #fill(turn: Turn, into: Buffer): boolean {
    const { left } = turn;
    const rest = this.ring.copy(into, Price.PIECE, left);
    if (rest === undefined) throw new ChainError(this.ring.why());
    turn.spend(left - rest);
    return this.ring.copied() === into.length;
  }
}
